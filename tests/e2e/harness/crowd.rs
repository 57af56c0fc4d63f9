//! Connections that mostly sit there, by the thousand.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use socket2::{Domain, SockRef, Socket, Type};

use super::errand::Errand;
use super::load::raise_limit;
use super::wait::DEADLINE;
use super::wire::{Framing, Wire};

/// Connections that mostly sit there.
#[derive(Debug)]
pub(crate) struct Crowd {
    members: Vec<Wire>,
    asked: u64,
}

impl Crowd {
    /// Opens so many connections, from several addresses of this machine, since one has not ports enough.
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr, count: usize) -> Self {
        raise_limit();
        let members = (0..count).map(|index| {
            let source = Ipv4Addr::new(127, 0, 0, 2 + (index / FROM_ONE_ADDRESS) as u8);
            match connect(source, address) {
                Ok(stream) => Wire::new(stream),
                Err(error) => panic!("connection {index} of {count}: {error}"),
            }
        });
        Self {
            members: members.collect(),
            asked: 0,
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// Sends a request on each connection, a few at a time, and reads the answers; tells the faults.
    pub(crate) fn ask_each(&mut self) -> Vec<String> {
        let mut faults = Vec::new();
        for (batch, members) in self.members.chunks_mut(BATCH).enumerate() {
            let errand = |index| Errand::small(self.asked + (batch * BATCH + index) as u64);
            for (index, wire) in members.iter().enumerate() {
                // What goes wrong shows when the answer is read.
                let _ = wire.stream().write_all(&errand(index).to_bytes());
            }
            for (index, wire) in members.iter_mut().enumerate() {
                if let Err(what) = read_answer(wire, &errand(index)) {
                    faults.push(format!("connection {}: {what}", batch * BATCH + index));
                }
            }
        }
        self.asked += self.members.len() as u64;
        faults
    }

    /// Sends a request on each connection and reads nothing.
    pub(crate) fn ask(&mut self) {
        for (index, wire) in self.members.iter().enumerate() {
            let _ = wire
                .stream()
                .write_all(&Errand::small(index as u64).to_bytes());
        }
    }

    /// Takes the connections on which something has come, an answer or an end.
    pub(crate) fn take_answered(&mut self) -> Self {
        let (answered, waiting) = std::mem::take(&mut self.members)
            .into_iter()
            .partition(has_something);
        self.members = waiting;
        Self {
            members: answered,
            asked: 0,
        }
    }

    /// Reads an answer on each connection and says in short what it is: its status, and its cause if
    /// forecourt made it.
    pub(crate) fn statuses(&mut self) -> Vec<String> {
        self.members.iter_mut().map(status).collect()
    }

    /// How many connections the other side has ended, or sent something on that nobody asked for.
    pub(crate) fn disturbed(&self) -> usize {
        self.members
            .iter()
            .filter(|wire| has_something(wire))
            .count()
    }
}

fn status(wire: &mut Wire) -> String {
    let head = match wire.read_head() {
        Ok(head) => head,
        Err(error) => return error.to_string(),
    };
    let framing = head.fields.framing().ok().flatten();
    let body = wire.read_body(framing.unwrap_or(Framing::None));
    let status = head.first_line.split(' ').nth(1).unwrap_or_default();
    match (body.fault, head.fields.first("forecourt-error")) {
        (Some(fault), _) => format!("{status} cut: {fault}"),
        (None, Some(cause)) => format!("{status} {cause}"),
        (None, None) => status.to_owned(),
    }
}

fn connect(source: Ipv4Addr, address: SocketAddr) -> io::Result<std::net::TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(IpAddr::V4(source), 0).into())?;
    socket.connect(&address.into())?;
    socket.set_tcp_nodelay(true)?;
    socket.set_read_timeout(Some(DEADLINE))?;
    socket.set_write_timeout(Some(DEADLINE))?;
    Ok(socket.into())
}

fn read_answer(wire: &mut Wire, errand: &Errand) -> Result<(), String> {
    let head = wire.read_head().map_err(|error| error.to_string())?;
    let framing = head.fields.framing().map_err(|error| error.to_string())?;
    let body = wire.read_body(framing.unwrap_or(Framing::None));
    if let Some(fault) = body.fault {
        return Err(format!("cut after {} bytes: {fault}", body.bytes.len()));
    }
    if head.fields.lists("connection", "close") {
        return Err("answered, with connection: close".to_owned());
    }
    errand.verify(&head.first_line, &head.fields, &body.bytes)
}

/// Whether bytes or an end have come.
fn has_something(wire: &Wire) -> bool {
    let stream = wire.stream();
    let mut byte = [std::mem::MaybeUninit::uninit(); 1];
    stream
        .set_nonblocking(true)
        .expect("a socket can be told not to block");
    let seen = SockRef::from(stream).peek(&mut byte);
    stream
        .set_nonblocking(false)
        .expect("a socket can be told to block");
    !matches!(seen, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// Far below the ephemeral ports of one address.
const FROM_ONE_ADDRESS: usize = 5000;

/// Requests that are under way at once on a crowd.
const BATCH: usize = 64;
