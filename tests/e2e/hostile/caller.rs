//! A client's connection, bare or within TLS.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};

use rustls::{ClientConnection, StreamOwned};

use super::house::Writing;
use crate::harness::{Fields, Response, Wire, WireError, read_response};

/// A client's end of a connection.
pub(super) enum Caller {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Caller {
    /// Says that nothing more will be sent: by TLS's own word, and by TCP's.
    pub(super) fn finish_writing(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.shutdown(Shutdown::Write),
            Self::Tls(stream) => {
                stream.conn.send_close_notify();
                stream.flush()?;
                stream.sock.shutdown(Shutdown::Write)
            }
        }
    }
}

impl Read for Caller {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(room),
            Self::Tls(stream) => stream.read(room),
        }
    }
}

impl Write for Caller {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// Writes bytes in these pieces. A server that has refused what came first need not read the rest: what it
/// said counts, not that writing failed.
pub(super) fn write(wire: &mut Wire<Caller>, bytes: &[u8], writing: Writing) {
    for piece in writing.pieces(bytes) {
        let caller = wire.stream_mut();
        if caller
            .write_all(piece)
            .and_then(|()| caller.flush())
            .is_err()
        {
            return;
        }
    }
}

/// Sends a plain `GET` of `target` and checks that the backend's answer to it comes back, and nothing else.
pub(super) fn asks(wire: &mut Wire<Caller>, target: &str) -> Result<(), String> {
    let request = format!("GET {target} HTTP/1.1\r\nhost: shop.example\r\n\r\n");
    write(wire, request.as_bytes(), Writing::Whole);
    match read_response(wire, "GET") {
        Ok(response) if is_answer_to(&response, target) && wire.ahead().is_empty() => Ok(()),
        Ok(response) => Err(format!(
            "asked for {target} and got {response}, then {:?}",
            wire.ahead().escape_ascii().to_string()
        )),
        Err(error) => Err(format!("asked for {target} and got nothing: {error}")),
    }
}

/// Whether it is the whole answer that the backend gives to a `GET` of `target`.
pub(super) fn is_answer_to(response: &Response, target: &str) -> bool {
    response.status == 200
        && response.is_whole()
        && response.interim.is_empty()
        && response.field("x-target") == Some(target)
        && response.text() == target
}

/// Checks that the other side ends the connection in an orderly way, with not a byte more.
pub(super) fn ends(wire: &mut Wire<Caller>) -> Result<(), String> {
    let ended = if wire.ahead().is_empty() {
        wire.fill()
    } else {
        Ok(())
    };
    match ended {
        Err(WireError::Closed) => Ok(()),
        Err(error) => Err(format!("the connection did not close in order: {error}")),
        Ok(()) => Err(format!(
            "no end but {:?}",
            wire.ahead().escape_ascii().to_string()
        )),
    }
}

/// The values of a field. A name with upper-case letters is one whose case counts.
pub(super) fn values_of<'f>(fields: &'f Fields, name: &str) -> Vec<&'f str> {
    let counts = name.bytes().any(|byte| byte.is_ascii_uppercase());
    let named = fields.0.iter().filter(|(other, _)| {
        if counts {
            other == name
        } else {
            other.eq_ignore_ascii_case(name)
        }
    });
    named.map(|(_, value)| value.as_str()).collect()
}
