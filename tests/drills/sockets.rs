//! WebSockets that stay open and say nothing: what they are told when their backend goes.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::Outcome;
use crate::wait::{DEADLINE, wait_until};

/// Some clients that come back when they have been sent away.
#[derive(Debug)]
pub(crate) struct Sockets {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    is_over: AtomicBool,
    /// Those that are open now.
    open: AtomicUsize,
    farewells: Mutex<Farewells>,
}

/// How WebSockets have ended.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Farewells {
    /// Told 1001, "going away".
    pub(crate) told: usize,
    /// Told another code.
    pub(crate) told_otherwise: usize,
    /// Closed or reset without a word.
    pub(crate) cut: usize,
}

impl Sockets {
    /// Opens them.
    pub(crate) fn open(address: SocketAddr, count: usize) -> Self {
        let shared = Arc::new(Shared {
            is_over: AtomicBool::new(false),
            open: AtomicUsize::new(0),
            farewells: Mutex::default(),
        });
        let clients = (0..count).map(|_| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || stay(address, &shared))
        });
        let sockets = Self {
            clients: clients.collect(),
            shared,
        };
        wait_until(DEADLINE, "the WebSockets", || {
            sockets.shared.open.load(Ordering::Relaxed) == count
        });
        sockets
    }

    /// Leaves, and says how those ended that did before.
    pub(crate) fn leave(self) -> Outcome<Farewells> {
        self.shared.is_over.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().map_err(|_| "a WebSocket has panicked")?;
        }
        let farewells = self.shared.farewells.lock();
        Ok(*farewells.unwrap_or_else(PoisonError::into_inner))
    }
}

/// Comes back until it is over.
fn stay(address: SocketAddr, shared: &Shared) {
    while !shared.is_over.load(Ordering::Relaxed) {
        let Ok(stream) = enter(address) else {
            thread::park_timeout(LOOK);
            continue;
        };
        shared.open.fetch_add(1, Ordering::Relaxed);
        let farewell = listen(stream, shared);
        shared.open.fetch_sub(1, Ordering::Relaxed);
        let mut farewells = shared
            .farewells
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match farewell {
            None => {}
            Some(Ok(1001)) => farewells.told += 1,
            Some(Ok(_)) => farewells.told_otherwise += 1,
            Some(Err(_)) => farewells.cut += 1,
        }
    }
}

/// How often a silent client looks whether it is over.
const LOOK: Duration = Duration::from_millis(50);

fn enter(address: SocketAddr) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&address, DEADLINE)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.write_all(
        b"GET /ws HTTP/1.1\r\nhost: shop.test\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
          sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    )?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    if head.starts_with(b"HTTP/1.1 101 ") {
        Ok(stream)
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

/// Waits for a close; none if it was for the client to end it.
fn listen(mut stream: TcpStream, shared: &Shared) -> Option<io::Result<u16>> {
    if let Err(error) = stream.set_read_timeout(Some(LOOK)) {
        return Some(Err(error));
    }
    let mut frame = Vec::new();
    loop {
        let mut room = [0; 256];
        match stream.read(&mut room) {
            Ok(0) => return Some(Err(io::ErrorKind::UnexpectedEof.into())),
            Ok(count) => frame.extend(&room[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if shared.is_over.load(Ordering::Relaxed) {
                    return None;
                }
            }
            Err(error) => return Some(Err(error)),
        }
        // A close with its code, unmasked as servers send.
        if let [first, _, high, low, ..] = frame[..]
            && first & 0x0f == 8
        {
            // The answer, masked as clients send.
            let answer = [0x88, 0x82, 0, 0, 0, 0, high, low];
            return Some(
                stream
                    .write_all(&answer)
                    .map(|()| u16::from_be_bytes([high, low])),
            );
        }
    }
}
