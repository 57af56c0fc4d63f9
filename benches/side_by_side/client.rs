//! A client of HTTP/1.1 that never waits: the loads that no generator at hand can make are made of it.
//!
//! What goes wrong is told by its kind: a connection that did not come about and why, a status and the word in
//! `forecourt-error` if there is one, or how the connection ended.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustix::io::Errno;
use socket2::{Domain, Socket, Type};

pub(crate) const REQUEST: &[u8] = b"GET /1k HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// After so long without an answer it is given up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// A connection, and what has been read of the answer that is due.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    input: Vec<u8>,
    /// Of the whole answer, once its head is there.
    length: Option<usize>,
}

/// A whole answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// What it was if not 200, as a kind of failure.
    pub(crate) failure: Option<String>,
    /// Whether the connection ends with it.
    pub(crate) ends: bool,
}

impl Client {
    /// Begins to connect; the stream can be written to when that is done.
    pub(crate) fn begin(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        match socket.connect(&address.into()) {
            Err(error) if error.raw_os_error() != Some(Errno::INPROGRESS.raw_os_error()) => {
                return Err(error);
            }
            _ => {}
        }
        Ok(Self {
            stream: socket.into(),
            input: Vec::new(),
            length: None,
        })
    }

    /// Waits until the connection stands.
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        crate::epoll::ready(&stream)?;
        Ok(Self {
            stream,
            input: Vec::new(),
            length: None,
        })
    }

    /// Sends the request; a socket that has just answered has room for it.
    pub(crate) fn ask(&mut self) -> io::Result<()> {
        self.input.clear();
        self.length = None;
        self.stream.write_all(REQUEST)
    }

    /// The answer, once it is whole; an error is the end of the connection.
    pub(crate) fn answer(&mut self, buffer: &mut [u8]) -> io::Result<Option<Answer>> {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => self.input.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
            if self.length.is_none() {
                self.length = length(&self.input)?;
            }
            if self.length.is_some_and(|length| self.input.len() >= length) {
                return understand(&self.input).map(Some);
            }
        }
    }
}

/// The length of an answer, head included, once the head is there.
fn length(input: &[u8]) -> io::Result<Option<usize>> {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut fields);
    match response.parse(input) {
        Ok(httparse::Status::Complete(head)) => {
            let body =
                field(&response, "content-length").and_then(|value| value.parse::<usize>().ok());
            Ok(Some(head + body.unwrap_or(0)))
        }
        Ok(httparse::Status::Partial) => Ok(None),
        Err(_) => Err(ErrorKind::InvalidData.into()),
    }
}

fn understand(input: &[u8]) -> io::Result<Answer> {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut fields);
    response.parse(input).map_err(|_| ErrorKind::InvalidData)?;
    let status = response.code.unwrap_or(0);
    let failure = (status != 200).then(|| match field(&response, "forecourt-error") {
        Some(word) => format!("{status} {word}"),
        None => status.to_string(),
    });
    let ends =
        field(&response, "connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    Ok(Answer { failure, ends })
}

fn field<'a>(response: &httparse::Response<'_, 'a>, name: &str) -> Option<&'a str> {
    let field = response
        .headers
        .iter()
        .find(|field| field.name.eq_ignore_ascii_case(name))?;
    str::from_utf8(field.value).ok()
}

/// The kind of what has ended a connection; `before` says what it was about.
pub(crate) fn kind(before: &str, error: &io::Error) -> String {
    let why = match Errno::from_io_error(error) {
        Some(Errno::MFILE | Errno::NFILE) => "no descriptor left here",
        Some(Errno::ADDRNOTAVAIL) => "no port left here",
        Some(Errno::CONNREFUSED) => "refused",
        Some(Errno::CONNRESET | Errno::PIPE) => "reset",
        Some(Errno::TIMEDOUT) => "timeout",
        _ if error.kind() == ErrorKind::UnexpectedEof => "closed",
        _ => return format!("{before}: {error}"),
    };
    format!("{before}: {why}")
}

/// How often what has failed, and how long what has not.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Microseconds.
    pub(crate) times: Vec<u128>,
    pub(crate) failures: BTreeMap<String, u64>,
}

impl Tally {
    pub(crate) fn fail(&mut self, kind: impl Into<String>) {
        self.fail_all(kind, 1);
    }

    pub(crate) fn fail_all(&mut self, kind: impl Into<String>, count: u64) {
        if count > 0 {
            *self.failures.entry(kind.into()).or_default() += count;
        }
    }

    /// Prints it for the harness: a line of figures, and one for each kind of failure.
    pub(crate) fn print(mut self, lasted: Duration) {
        self.times.sort_unstable();
        let at = |share: f64| {
            let index = (self.times.len() as f64 * share) as usize;
            let index = index.min(self.times.len().saturating_sub(1));
            self.times.get(index).copied().unwrap_or(0)
        };
        let mut text = format!(
            "SIDE {} {} 0 0 0 0 0 {} {} {} {}\n",
            self.times.len(),
            lasted.as_micros(),
            at(0.5),
            at(0.99),
            at(0.999),
            at(1.0)
        );
        for (kind, count) in &self.failures {
            let _ = writeln!(text, "FAILED {count} {kind}");
        }
        print!("{text}");
    }
}
