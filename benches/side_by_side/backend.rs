//! The backends: one process, one thread, any number of ports; answers are prepared.
//!
//! `GET /1k`, `/16k` and `/1m` answer bodies of that size, any other request 1 KiB; a request's body is read
//! and dropped; `/ws` with an Upgrade field echoes WebSocket frames. Requests may be pipelined: what comes
//! while an answer waits to be written is parsed when it is out.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use slab::Slab;

use crate::Outcome;
use crate::epoll::{self, Flags, Poll, READ, WRITE};
use crate::websocket;

/// Serves the ports until the process is ended.
pub(crate) fn run(arguments: &[String]) -> Outcome<()> {
    let mut listeners = Vec::new();
    for port in arguments {
        // All of 127.0.0.0/8: the scale mode has thousands of backends on one socket.
        let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port.parse()?));
        listeners.push(epoll::listen(address)?);
    }
    serve(&listeners)
}

fn serve(listeners: &[TcpListener]) -> Outcome<()> {
    let answers = Answers::new();
    let mut poll = Poll::new()?;
    for (token, listener) in listeners.iter().enumerate() {
        poll.add(listener, token, READ)?;
    }
    let mut connections: Slab<Connection> = Slab::new();
    let mut happened = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        poll.wait(&mut happened, None)?;
        for (token, flags) in happened.drain(..) {
            if let Some(listener) = listeners.get(token) {
                while let Some(stream) = epoll::accept(listener) {
                    let entry = connections.vacant_entry();
                    poll.add(&stream, listeners.len() + entry.key(), READ)?;
                    entry.insert(Connection::new(stream));
                }
                continue;
            }
            let key = token - listeners.len();
            let Some(connection) = connections.get_mut(key) else {
                continue;
            };
            let was_writing = connection.is_writing();
            if connection.go_on(flags, &mut buffer, &answers).is_err() {
                connections.remove(key);
            } else if connection.is_writing() != was_writing {
                let flags = if was_writing { READ } else { WRITE };
                poll.set(&connection.stream, token, flags)?;
            }
        }
    }
}

struct Connection {
    stream: TcpStream,
    /// Read and not yet understood.
    input: Vec<u8>,
    /// Bytes of a request's body still to come.
    body: usize,
    /// What follows once the body is read, as applications do it.
    due: Option<&'static [u8]>,
    output: VecDeque<Cow<'static, [u8]>>,
    /// How much of the first output is written.
    written: usize,
    speaks: Speaks,
}

#[derive(Clone, Copy, PartialEq)]
enum Speaks {
    Http,
    WebSocket,
    /// Nothing more once its output is written.
    Close,
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            input: Vec::new(),
            body: 0,
            due: None,
            output: VecDeque::new(),
            written: 0,
            speaks: Speaks::Http,
        }
    }

    fn is_writing(&self) -> bool {
        !self.output.is_empty()
    }

    /// An error is the end of the connection, whatever it is.
    fn go_on(&mut self, flags: Flags, buffer: &mut [u8], answers: &Answers) -> io::Result<()> {
        if self.is_writing() {
            self.flush()?;
            let input = std::mem::take(&mut self.input);
            return self.take(&input, answers);
        }
        if flags.intersects(READ | Flags::HUP | Flags::ERR) {
            let read = match self.stream.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            if self.input.is_empty() {
                return self.take(&buffer[..read], answers);
            }
            let mut input = std::mem::take(&mut self.input);
            input.extend_from_slice(&buffer[..read]);
            return self.take(&input, answers);
        }
        Ok(())
    }

    /// Understands and answers as much as it can, and keeps the rest.
    fn take(&mut self, mut data: &[u8], answers: &Answers) -> io::Result<()> {
        loop {
            let body = self.body.min(data.len());
            self.body -= body;
            data = &data[body..];
            if self.body == 0
                && let Some(answer) = self.due.take()
            {
                self.send(Cow::Borrowed(answer))?;
            }
            if self.is_writing() || data.is_empty() {
                break;
            }
            let used = match self.speaks {
                Speaks::Http => self.request(data, answers)?,
                Speaks::WebSocket => self.frame(data)?,
                Speaks::Close => return Err(ErrorKind::ConnectionAborted.into()),
            };
            if used == 0 {
                break;
            }
            data = &data[used..];
        }
        self.input.extend_from_slice(data);
        if self.speaks == Speaks::Close && self.body == 0 && !self.is_writing() {
            return Err(ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }

    /// The length of the head that it answers, or 0 if there is no whole one.
    fn request(&mut self, data: &[u8], answers: &Answers) -> io::Result<usize> {
        let mut fields = [httparse::EMPTY_HEADER; 100];
        let mut request = httparse::Request::new(&mut fields);
        let used = match request.parse(data) {
            Ok(httparse::Status::Complete(used)) => used,
            Ok(httparse::Status::Partial) => return Ok(0),
            Err(_) => return Err(ErrorKind::InvalidData.into()),
        };
        let mut upgrades = false;
        for field in request.headers.iter() {
            if field.name.eq_ignore_ascii_case("content-length") {
                let length = str::from_utf8(field.value).ok().map(str::parse);
                let Some(Ok(length)) = length else {
                    return Err(ErrorKind::InvalidData.into());
                };
                self.body = length;
            } else if field.name.eq_ignore_ascii_case("connection") {
                if field.value.eq_ignore_ascii_case(b"close") {
                    self.speaks = Speaks::Close;
                }
            } else if field.name.eq_ignore_ascii_case("upgrade") {
                upgrades = true;
            } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
                // The loads say how long their bodies are, and the proxies pass it on.
                return Err(ErrorKind::Unsupported.into());
            }
        }
        let answer = match request.path {
            Some("/ws") if upgrades => {
                self.speaks = Speaks::WebSocket;
                websocket::ACCEPTANCE.as_bytes()
            }
            Some("/16k") => answers.medium,
            Some("/1m") => answers.large,
            _ => answers.small,
        };
        self.due = Some(answer);
        Ok(used)
    }

    /// Echoes a frame; says its length, or 0 if it is not whole.
    fn frame(&mut self, data: &[u8]) -> io::Result<usize> {
        let Some((echo, used)) = websocket::echo(data)? else {
            return Ok(0);
        };
        self.send(Cow::Owned(echo))?;
        Ok(used)
    }

    fn send(&mut self, bytes: Cow<'static, [u8]>) -> io::Result<()> {
        self.output.push_back(bytes);
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        while let Some(first) = self.output.front() {
            match self.stream.write(&first[self.written..]) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
            if self.written == first.len() {
                self.output.pop_front();
                self.written = 0;
            }
        }
        Ok(())
    }
}

/// Whole answers, made once and for as long as the process.
struct Answers {
    small: &'static [u8],
    medium: &'static [u8],
    large: &'static [u8],
}

impl Answers {
    fn new() -> Self {
        Self {
            small: answer(1024),
            medium: answer(16 * 1024),
            large: answer(1024 * 1024),
        }
    }
}

fn answer(length: usize) -> &'static [u8] {
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nServer: backend\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n"
    )
    .into_bytes();
    answer.resize(answer.len() + length, b'x');
    answer.leak()
}
