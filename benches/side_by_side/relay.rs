//! The floor: a relay that reads and writes and understands nothing. No proxy on this kernel can be cheaper.
//!
//! Each client is paired with a connection to a backend that stands already, so there is no floor for
//! scenarios with new connections.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use slab::Slab;

use crate::Outcome;
use crate::epoll::{self, Flags, Poll, READ, WRITE};

/// `relay LISTEN_PORT CONNECTIONS BACKEND_PORT..`
pub(crate) fn run(arguments: &[String]) -> Outcome<()> {
    let [port, connections, backends @ ..] = arguments else {
        return Err("relay LISTEN_PORT CONNECTIONS BACKEND_PORT..".into());
    };
    let backends: Vec<u16> = backends
        .iter()
        .map(|port| port.parse())
        .collect::<Result<_, _>>()?;
    let mut turn = backends.iter().cycle();
    let mut connect = || -> io::Result<TcpStream> {
        let port = turn.next().copied().unwrap_or_default();
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        epoll::ready(&stream)?;
        Ok(stream)
    };
    let mut waiting = Vec::new();
    for _ in 0..connections.parse::<usize>()? {
        waiting.push(connect()?);
    }
    let listener = epoll::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse()?)))?;
    let mut poll = Poll::new()?;
    poll.add(&listener, LISTENER, READ)?;
    let mut pairs: Slab<Pair> = Slab::new();
    let mut happened = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        poll.wait(&mut happened, None)?;
        for (token, flags) in happened.drain(..) {
            if token == LISTENER {
                while let Some(client) = epoll::accept(&listener) {
                    let backend = waiting.pop().map_or_else(&mut connect, Ok)?;
                    let entry = pairs.vacant_entry();
                    poll.add(&client, entry.key() * 2, READ)?;
                    poll.add(&backend, entry.key() * 2 + 1, READ)?;
                    entry.insert(Pair::new(client, backend));
                }
            } else if let Some(pair) = pairs.get_mut(token / 2)
                && pair.go_on(token, flags, &mut buffer, &poll).is_err()
            {
                pairs.remove(token / 2);
            }
        }
    }
}

const LISTENER: usize = usize::MAX;

/// A client and its backend, in this order.
struct Pair {
    streams: [TcpStream; 2],
    /// For each side, what could not be written to it yet.
    pending: [Vec<u8>; 2],
}

impl Pair {
    fn new(client: TcpStream, backend: TcpStream) -> Self {
        Self {
            streams: [client, backend],
            pending: [Vec::new(), Vec::new()],
        }
    }

    /// An error is the end of both.
    fn go_on(
        &mut self,
        token: usize,
        flags: Flags,
        buffer: &mut [u8],
        poll: &Poll,
    ) -> io::Result<()> {
        let (here, there) = (token % 2, 1 - token % 2);
        if flags.contains(WRITE) && !self.pending[here].is_empty() {
            let written = write(&self.streams[here], &self.pending[here])?;
            self.pending[here].drain(..written);
            if self.pending[here].is_empty() {
                poll.set(&self.streams[here], token, READ)?;
                poll.set(&self.streams[there], token ^ 1, READ)?;
            }
            return Ok(());
        }
        let read = match (&self.streams[here]).read(buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        let written = write(&self.streams[there], &buffer[..read])?;
        if written < read {
            self.pending[there].extend_from_slice(&buffer[written..read]);
            poll.set(&self.streams[there], token ^ 1, WRITE)?;
            poll.set(&self.streams[here], token, Flags::empty())?;
        }
        Ok(())
    }
}

fn write(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    match stream.write(bytes) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}
