//! WebSocket, as far as an echo needs it (RFC 6455): the backend's frames, and a client that loads.
//!
//! `talk ADDRESS CONNECTIONS SECONDS`: on each connection one message of 64 bytes goes out, and the next
//! when its echo is back. It ends with the same line as the script for wrk.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::epoll::{self, Poll, READ};

/// The example of RFC 6455, so that nobody has to compute the acceptance.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The backend's answer to the request of [`run`].
pub(crate) const ACCEPTANCE: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

const PAYLOAD: usize = 64;

/// The echo of a client's first frame in `data` and the frame's length, if it is whole.
pub(crate) fn echo(data: &[u8]) -> io::Result<Option<(Vec<u8>, usize)>> {
    let [first, second, rest @ ..] = data else {
        return Ok(None);
    };
    let length = usize::from(second & 0x7f);
    if second & 0x80 == 0 || length > 125 {
        return Err(ErrorKind::Unsupported.into());
    }
    let Some((mask, rest)) = rest.split_at_checked(4) else {
        return Ok(None);
    };
    let Some(payload) = rest.get(..length) else {
        return Ok(None);
    };
    let mut echo = vec![*first, second & 0x7f];
    echo.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    Ok(Some((echo, 6 + length)))
}

struct Talk {
    stream: TcpStream,
    sent: Instant,
    /// Of the echo that is due.
    received: usize,
}

/// The client.
pub(crate) fn run(arguments: &[String]) -> Outcome<()> {
    let [address, connections, seconds] = arguments else {
        return Err("talk ADDRESS CONNECTIONS SECONDS".into());
    };
    let mut message = vec![0x82, 0x80 | PAYLOAD as u8, 1, 2, 3, 4];
    message.extend((0..PAYLOAD as u8).map(|at| b'x' ^ (at % 4 + 1)));
    let mut poll = Poll::new()?;
    let mut talks = Vec::new();
    for token in 0..connections.parse()? {
        let stream = connect(address.parse()?)?;
        poll.add(&stream, token, READ)?;
        talks.push(Some(Talk::new(stream)));
    }
    let began = Instant::now();
    let end = began + Duration::from_secs(seconds.parse()?);
    for talk in talks.iter_mut().flatten() {
        talk.send(&message)?;
    }
    let (mut times, mut failed) = (Vec::new(), 0);
    let mut happened = Vec::new();
    while Instant::now() < end && talks.iter().any(Option::is_some) {
        poll.wait(&mut happened, Some(Duration::from_millis(100)))?;
        for (token, _) in happened.drain(..) {
            let Some(talk) = &mut talks[token] else {
                continue;
            };
            match talk.receive() {
                Ok(Some(time)) => {
                    times.push(time.as_micros());
                    talk.send(&message)?;
                }
                Ok(None) => {}
                Err(_) => {
                    failed += 1;
                    talks[token] = None;
                }
            }
        }
    }
    let lasted = began.elapsed().as_micros();
    times.sort_unstable();
    let at = |share: f64| {
        let index = (times.len() as f64 * share) as usize;
        let index = index.min(times.len().saturating_sub(1));
        times.get(index).copied().unwrap_or(0)
    };
    println!(
        "SIDE {} {lasted} 0 {failed} 0 0 0 {} {} {} {}",
        times.len(),
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
    Ok(())
}

impl Talk {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            sent: Instant::now(),
            received: 0,
        }
    }

    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.sent = Instant::now();
        self.received = 0;
        self.stream.write_all(message)
    }

    /// How long the echo took, once it is whole.
    fn receive(&mut self) -> io::Result<Option<Duration>> {
        let mut buffer = [0; 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                let from = 2_usize.saturating_sub(self.received).min(read);
                if buffer[from..read].iter().any(|byte| *byte != b'x') {
                    return Err(ErrorKind::InvalidData.into());
                }
                self.received += read;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok((self.received == 2 + PAYLOAD).then(|| self.sent.elapsed()))
    }
}

/// A connection that has changed its protocol.
fn connect(address: SocketAddr) -> Outcome<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(
        stream,
        "GET /ws HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    )?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    if !head.starts_with(b"HTTP/1.1 101 ") {
        return Err(format!(
            "no WebSocket: {}",
            String::from_utf8_lossy(&head).lines().next().unwrap_or("")
        )
        .into());
    }
    epoll::ready(&stream)?;
    Ok(stream)
}
