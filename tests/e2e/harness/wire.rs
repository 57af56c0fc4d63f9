//! HTTP/1.1 as a strict reader sees it, for the client and the origin alike.

use std::fmt;
use std::io::{self, ErrorKind, Read};
use std::net::TcpStream;

/// A head longer than this is a fault of whoever sent it.
const LONGEST_HEAD: usize = 256 * 1024;

/// A connection, bare or within TLS, and what was read from it ahead of need.
#[derive(Debug)]
pub(crate) struct Wire<S = TcpStream> {
    stream: S,
    ahead: Vec<u8>,
}

/// The first line and the fields, in order, names as written.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Head {
    pub(crate) first_line: String,
    pub(crate) fields: Fields,
}

/// Fields in order, names as written.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Fields(pub(crate) Vec<(String, String)>);

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Framing {
    None,
    Length(usize),
    Chunked,
    UntilClose,
}

/// What was read of a body, and what went wrong, if the end was not reached.
#[derive(Debug, Default)]
pub(crate) struct Body {
    pub(crate) bytes: Vec<u8>,
    pub(crate) trailers: Fields,
    pub(crate) fault: Option<WireError>,
}

/// Why nothing more can be read.
#[derive(Debug)]
pub(crate) enum WireError {
    /// The other side closed in an orderly way.
    Closed,
    /// The other side reset the connection.
    Reset,
    /// Nothing came before the deadline.
    TimedOut,
    /// What came is not HTTP/1.1.
    Malformed(String),
    /// Any other failure of the socket.
    Io(io::Error),
}

impl<S: Read> Wire<S> {
    pub(crate) fn new(stream: S) -> Self {
        let ahead = Vec::new();
        Self { stream, ahead }
    }

    pub(crate) fn stream(&self) -> &S {
        &self.stream
    }

    pub(crate) fn stream_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Bytes that came beyond what was asked for.
    pub(crate) fn ahead(&self) -> &[u8] {
        &self.ahead
    }

    /// Reads a head. [`WireError::Closed`] only before its first byte; within it a close is malformed.
    pub(crate) fn read_head(&mut self) -> Result<Head, WireError> {
        let mut head = Head {
            first_line: self.read_line()?,
            ..Head::default()
        };
        head.fields = self.read_fields().map_err(WireError::within)?;
        Ok(head)
    }

    /// Reads a body as far as it comes.
    pub(crate) fn read_body(&mut self, framing: Framing) -> Body {
        let mut body = Body::default();
        let end = match framing {
            Framing::None => Ok(()),
            Framing::Length(length) => self.read_exactly(length, &mut body.bytes),
            Framing::Chunked => self.read_chunks(&mut body),
            Framing::UntilClose => match self.read_exactly(usize::MAX, &mut body.bytes) {
                Err(WireError::Closed) => Ok(()),
                other => other,
            },
        };
        body.fault = end.err();
        body
    }

    /// Reads more into `ahead`.
    pub(crate) fn fill(&mut self) -> Result<(), WireError> {
        let mut piece = [0; 16 * 1024];
        match self.stream.read(&mut piece) {
            Ok(0) => Err(WireError::Closed),
            Ok(count) => {
                self.ahead.extend_from_slice(&piece[..count]);
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn read_exactly(&mut self, count: usize, into: &mut Vec<u8>) -> Result<(), WireError> {
        let mut missing = count;
        loop {
            let here = missing.min(self.ahead.len());
            into.extend(self.ahead.drain(..here));
            missing -= here;
            if missing == 0 {
                return Ok(());
            }
            self.fill()?;
        }
    }

    fn read_chunks(&mut self, body: &mut Body) -> Result<(), WireError> {
        loop {
            let line = self.read_line()?;
            let digits = line.split(';').next().unwrap_or_default();
            let is_hex = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            let size = usize::from_str_radix(digits, 16).ok().filter(|_| is_hex);
            let size = size.ok_or_else(|| WireError::Malformed(format!("chunk size {line:?}")))?;
            if size == 0 {
                body.trailers = self.read_fields()?;
                return Ok(());
            }
            self.read_exactly(size, &mut body.bytes)?;
            let end = self.read_line()?;
            if !end.is_empty() {
                return Err(WireError::Malformed(format!(
                    "a chunk goes on beyond its size: {end:?}"
                )));
            }
        }
    }

    fn read_fields(&mut self) -> Result<Fields, WireError> {
        let mut fields = Fields::default();
        loop {
            let line = self.read_line()?;
            if line.is_empty() {
                return Ok(fields);
            }
            let odd = || WireError::Malformed(format!("field line {line:?}"));
            let (name, value) = line.split_once(':').ok_or_else(odd)?;
            if name.is_empty() || !name.bytes().all(is_token) {
                return Err(odd());
            }
            let value = value.trim_matches([' ', '\t']);
            fields.0.push((name.to_owned(), value.to_owned()));
        }
    }

    /// Reads a line, which ends in CRLF and has no other CR, LF or NUL.
    fn read_line(&mut self) -> Result<String, WireError> {
        let mut looked = 0;
        let end = loop {
            if let Some(at) = self.ahead[looked..].iter().position(|byte| *byte == b'\n') {
                break looked + at;
            }
            looked = self.ahead.len();
            if looked > LONGEST_HEAD {
                return Err(WireError::Malformed("a line without end".to_owned()));
            }
            self.fill()
                .map_err(|error| if looked == 0 { error } else { error.within() })?;
        };
        let mut line: Vec<u8> = self.ahead.drain(..=end).collect();
        line.pop();
        let is_ended = line.pop() == Some(b'\r');
        if !is_ended || line.iter().any(|byte| matches!(byte, b'\r' | 0)) {
            let line = line.escape_ascii();
            return Err(WireError::Malformed(format!(
                "line does not end in CRLF alone: {line}"
            )));
        }
        Ok(line.iter().copied().map(char::from).collect())
    }
}

impl Fields {
    /// The value of the first field of that name, without regard to case.
    pub(crate) fn first(&self, name: &str) -> Option<&str> {
        self.all(name).into_iter().next()
    }

    /// The values of all fields of that name.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let named = self
            .0
            .iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// Whether a list field has that member.
    pub(crate) fn lists(&self, name: &str, member: &str) -> bool {
        let values = self.all(name);
        let mut members = values.iter().flat_map(|value| value.split(','));
        members.any(|other| other.trim().eq_ignore_ascii_case(member))
    }

    /// What these fields say about the body; none if they say nothing. More than one answer is malformed.
    pub(crate) fn framing(&self) -> Result<Option<Framing>, WireError> {
        let codings = self.all("transfer-encoding");
        match (codings.as_slice(), self.all("content-length").as_slice()) {
            ([], []) => Ok(None),
            ([coding], []) if coding.eq_ignore_ascii_case("chunked") => Ok(Some(Framing::Chunked)),
            ([], [length])
                if !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit()) =>
            {
                let length = length.parse();
                let length = length
                    .map_err(|_| WireError::Malformed("content-length is too long".to_owned()))?;
                Ok(Some(Framing::Length(length)))
            }
            (codings, lengths) => Err(WireError::Malformed(format!(
                "transfer-encoding {codings:?} and content-length {lengths:?}"
            ))),
        }
    }
}

impl WireError {
    /// The same within a head, where a close is no orderly one.
    fn within(self) -> Self {
        match self {
            Self::Closed => Self::Malformed("closed within a head".to_owned()),
            other => other,
        }
    }
}

impl From<io::Error> for WireError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Self::TimedOut,
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => {
                Self::Reset
            }
            _ => Self::Io(error),
        }
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed"),
            Self::Reset => f.write_str("reset"),
            Self::TimedOut => f.write_str("nothing came in time"),
            Self::Malformed(what) => write!(f, "malformed: {what}"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
