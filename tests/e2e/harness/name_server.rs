//! A name server that says what it is told to, by UDP and TCP on one port of the kernel's choosing.
//!
//! It writes its own messages (RFC 1035 section 4): what the program reads by a library is not written by the same one.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::wait::{DEADLINE, wait_until};

/// A name server of this machine.
#[derive(Debug)]
pub(crate) struct NameServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// What it says of a name.
#[derive(Clone, Debug)]
pub(crate) enum Says {
    /// These records, good for so many seconds.
    Records(u32, Vec<Data>),
    /// A code of RFC 1035 section 4.1.1: 2 for SERVFAIL, 3 for NXDOMAIN; 0 with nothing.
    Code(u8),
    /// By UDP that the answer does not fit; by TCP these records.
    Truncated(u32, Vec<Data>),
    /// These bytes after the two of the query's number.
    Bytes(Vec<u8>),
    /// Nothing.
    Silence,
}

/// A record's data.
#[derive(Clone, Debug)]
pub(crate) enum Data {
    Address(IpAddr),
    Alias(&'static str),
    /// Priority, weight, port and target.
    Service(u16, u16, u16, &'static str),
}

#[derive(Debug, Default)]
struct Shared {
    says: Mutex<HashMap<String, Says>>,
    asked: Mutex<Vec<(String, u16)>>,
    ended: AtomicBool,
}

impl NameServer {
    pub(crate) fn start() -> Self {
        // A port that is free for one protocol is nearly always free for the other.
        let (tcp, udp) = (0..100)
            .find_map(|_| {
                let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
                let udp = UdpSocket::bind(tcp.local_addr().ok()?).ok()?;
                Some((tcp, udp))
            })
            .expect("the kernel has a port that is free twice");
        let address = tcp.local_addr().expect("a bound socket has an address");
        udp.set_read_timeout(Some(Duration::from_millis(50)))
            .expect("a socket has a timeout");
        let shared = Arc::<Shared>::default();
        let (one, other) = (Arc::clone(&shared), Arc::clone(&shared));
        let threads = vec![
            thread::spawn(move || one.serve_udp(&udp)),
            thread::spawn(move || other.serve_tcp(&tcp)),
        ];
        Self {
            address,
            shared,
            threads,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it says of a name from now on.
    pub(crate) fn say(&self, name: &str, says: Says) {
        self.shared.says().insert(name.to_owned(), says);
    }

    /// That a name has these addresses.
    pub(crate) fn say_addresses(&self, name: &str, addresses: &[&str]) {
        let parse = |text: &&str| Data::Address(text.parse().expect("an address"));
        self.say(
            name,
            Says::Records(0, addresses.iter().map(parse).collect()),
        );
    }

    /// How often a name was asked for.
    pub(crate) fn count(&self, name: &str) -> usize {
        let asked = self.shared.asked.lock().expect("no test panics in there");
        asked.iter().filter(|(asked, _)| asked == name).count()
    }

    /// Waits until a name is asked for so often from now on.
    #[track_caller]
    pub(crate) fn wait_for_more(&self, name: &str, more: usize) {
        let before = self.count(name);
        wait_until(DEADLINE, "more lookups", || {
            self.count(name) >= before + more
        });
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        // Wakes the one that accepts.
        drop(TcpStream::connect(self.address));
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn says(&self) -> MutexGuard<'_, HashMap<String, Says>> {
        self.says.lock().expect("no test panics in there")
    }

    fn serve_udp(&self, socket: &UdpSocket) {
        let mut buffer = [0; 1500];
        while !self.ended.load(Ordering::Acquire) {
            let Ok((length, from)) = socket.recv_from(&mut buffer) else {
                continue;
            };
            if let Some(answer) = self.answer(&buffer[..length], false) {
                let _ = socket.send_to(&answer, from);
            }
        }
    }

    fn serve_tcp(&self, listener: &TcpListener) {
        while let Ok((stream, _)) = listener.accept() {
            if self.ended.load(Ordering::Acquire) {
                return;
            }
            let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
            self.serve_stream(stream);
        }
    }

    /// One query after the other, until there is none for a moment.
    fn serve_stream(&self, mut stream: TcpStream) {
        let mut length = [0; 2];
        while stream.read_exact(&mut length).is_ok() {
            let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
            if stream.read_exact(&mut query).is_err() {
                return;
            }
            let Some(answer) = self.answer(&query, true) else {
                continue;
            };
            let length = u16::try_from(answer.len()).expect("an answer is short");
            let framed = [&length.to_be_bytes()[..], &answer].concat();
            if stream.write_all(&framed).is_err() {
                return;
            }
        }
    }

    fn answer(&self, query: &[u8], is_tcp: bool) -> Option<Vec<u8>> {
        let (name, end) = read_name(query, 12)?;
        let kind = u16::from_be_bytes([*query.get(end)?, *query.get(end + 1)?]);
        let says = self.says().get(&name).cloned();
        let asked = (name, kind);
        self.asked
            .lock()
            .expect("no test panics in there")
            .push(asked);
        let question = &query[12..end + 4];
        let head = |flags: [u8; 2], answers: usize| {
            let answers = u16::try_from(answers).expect("few records");
            let mut head = query[..2].to_vec();
            head.extend(flags);
            head.extend([0, 1]);
            head.extend(answers.to_be_bytes());
            head.extend([0; 4]);
            head.extend(question);
            head
        };
        match says.unwrap_or(Says::Code(3)) {
            Says::Code(code) => Some(head([0x81, 0x80 | code], 0)),
            Says::Truncated(..) if !is_tcp => Some(head([0x83, 0x80], 0)),
            Says::Records(ttl, records) | Says::Truncated(ttl, records) => {
                let fits = |data: &&Data| data.kind() == kind || data.kind() == ALIAS;
                let records: Vec<&Data> = records.iter().filter(fits).collect();
                let mut answer = head([0x81, 0x80], records.len());
                for data in records {
                    // The name of the question.
                    answer.extend([0xc0, 12]);
                    answer.extend(data.kind().to_be_bytes());
                    answer.extend([0, 1]);
                    answer.extend(ttl.to_be_bytes());
                    let data = data.bytes();
                    answer.extend(u16::try_from(data.len()).expect("short").to_be_bytes());
                    answer.extend(data);
                }
                Some(answer)
            }
            Says::Bytes(bytes) => Some([&query[..2], &bytes].concat()),
            Says::Silence => None,
        }
    }
}

impl Data {
    fn kind(&self) -> u16 {
        match self {
            Self::Address(IpAddr::V4(_)) => 1,
            Self::Address(IpAddr::V6(_)) => 28,
            Self::Alias(_) => ALIAS,
            Self::Service(..) => 33,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Address(IpAddr::V4(ip)) => ip.octets().to_vec(),
            Self::Address(IpAddr::V6(ip)) => ip.octets().to_vec(),
            Self::Alias(name) => write_name(name),
            Self::Service(priority, weight, port, target) => {
                let numbers = [priority, weight, port].map(|number| number.to_be_bytes());
                [numbers.concat(), write_name(target)].concat()
            }
        }
    }
}

/// The name at a place in a query, in lower case, and where it ends.
fn read_name(message: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        let label = message.get(at..at + length)?;
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        at += length;
    }
}

fn write_name(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(u8::try_from(label.len()).expect("a label is short"));
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

const ALIAS: u16 = 5;
