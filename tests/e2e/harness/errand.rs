//! What load asks for: bodies whose every byte follows from the target, so that nothing can be mixed up or lost
//! without being seen; and a connection as both ends of a load read it.

use std::fmt;
use std::io;
use std::sync::LazyLock;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::wire::{Fields, Framing, WireError};

/// The largest body that is asked for or sent.
pub(crate) const LARGEST: usize = 1024 * 1024;

/// The bytes of a body: other ones for each seed, so that an answer to somebody else is seen.
pub(super) fn pattern(seed: u64, size: usize) -> &'static [u8] {
    static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut draw = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        };
        (0..LARGEST + SEEDS).map(|_| draw()).collect()
    });
    let start = (seed % SEEDS as u64) as usize;
    &BYTES[start..start + size]
}

/// Seeds that give different bodies.
const SEEDS: usize = 4093;

/// What one request asks for and sends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Errand {
    pub(super) seed: u64,
    /// Bytes of the answer's body.
    pub(super) down: usize,
    pub(super) down_chunked: bool,
    /// Bytes of the request's body; `None` for a GET.
    pub(super) up: Option<usize>,
    up_chunked: bool,
}

impl Errand {
    /// The `number`th request of a connection: mostly small, some large, some with a body either way.
    pub(super) fn of_load(connection: usize, number: u64) -> Self {
        let seed = number * 7919 + connection as u64;
        let small = (seed % 2000) as usize;
        let (down, up) = match number % 40 {
            39 => (LARGEST, Some(LARGEST)),
            19 => (LARGEST, None),
            9 | 29 => (30_000 + small, Some(100_000 + small)),
            n if n % 5 == 1 => (small, Some(small)),
            n if n % 5 == 3 => (64 * 1024 + small, None),
            _ => (small, None),
        };
        Self {
            seed,
            down,
            down_chunked: seed.is_multiple_of(3),
            up,
            up_chunked: seed.is_multiple_of(2),
        }
    }

    pub(super) fn small(seed: u64) -> Self {
        Self {
            seed,
            down: (seed % 600) as usize,
            down_chunked: false,
            up: None,
            up_chunked: false,
        }
    }

    fn target(&self) -> String {
        let down = if self.down_chunked {
            "chunked"
        } else {
            "length"
        };
        let up = self.up.map_or_else(|| "none".to_owned(), |n| n.to_string());
        format!("/{}/{}/{down}/{up}", self.seed, self.down)
    }

    /// Reads a target; the framing of the upload is seen on the message itself.
    pub(super) fn read(target: &str) -> Option<Self> {
        let mut parts = target.strip_prefix('/')?.split('/');
        let mut part = || parts.next();
        Some(Self {
            seed: part()?.parse().ok()?,
            down: part()?.parse().ok().filter(|size| *size <= LARGEST)?,
            down_chunked: part()? == "chunked",
            up: match part()? {
                "none" => None,
                size => Some(size.parse().ok().filter(|size| *size <= LARGEST)?),
            },
            up_chunked: false,
        })
    }

    pub(super) fn to_bytes(self) -> Vec<u8> {
        let method = if self.up.is_some() { "POST" } else { "GET" };
        let mut bytes = format!("{method} {} HTTP/1.1\r\nhost: load\r\n", self.target()).into();
        match self.up {
            None => extend(&mut bytes, "\r\n"),
            Some(size) => put_body(
                &mut bytes,
                pattern(self.seed + UPLOAD, size),
                self.up_chunked,
            ),
        }
        bytes
    }

    /// Looks at what came; says what is wrong with it.
    pub(super) fn verify(&self, status: &str, fields: &Fields, body: &[u8]) -> Result<(), String> {
        if !status.starts_with("HTTP/1.1 200 ") {
            let cause = fields.first("forecourt-error").unwrap_or("none");
            let text = String::from_utf8_lossy(&body[..body.len().min(200)]);
            return Err(format!(
                "{status:?}, forecourt-error {cause}, body {text:?}"
            ));
        }
        compare(body, pattern(self.seed, self.down))
    }
}

impl fmt::Display for Errand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = if self.up.is_some() { "POST" } else { "GET" };
        write!(f, "{method} {}", self.target())?;
        if self.up.is_some() && self.up_chunked {
            f.write_str(" in chunks")?;
        }
        Ok(())
    }
}

/// What separates the bytes of an upload from those of the answer.
pub(super) const UPLOAD: u64 = 1;

pub(super) fn compare(body: &[u8], expected: &[u8]) -> Result<(), String> {
    if body == expected {
        return Ok(());
    }
    let same = body.iter().zip(expected).take_while(|(a, b)| a == b);
    Err(format!(
        "a body of {} bytes in place of {}, right up to byte {}",
        body.len(),
        expected.len(),
        same.count()
    ))
}

pub(super) fn put_body(bytes: &mut Vec<u8>, body: &[u8], chunked: bool) {
    if !chunked {
        extend(bytes, &format!("content-length: {}\r\n\r\n", body.len()));
        bytes.extend_from_slice(body);
        return;
    }
    extend(bytes, "transfer-encoding: chunked\r\n\r\n");
    for chunk in body.chunks(10_007) {
        extend(bytes, &format!("{:x}\r\n", chunk.len()));
        bytes.extend_from_slice(chunk);
        extend(bytes, "\r\n");
    }
    extend(bytes, "0\r\n\r\n");
}

fn extend(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend_from_slice(text.as_bytes());
}

/// One side of a connection, read without blocking the thread.
pub(super) struct Talk {
    pub(super) stream: TcpStream,
    pub(super) ahead: Vec<u8>,
}

impl Talk {
    pub(super) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let ahead = Vec::new();
        Ok(Self { stream, ahead })
    }

    /// The first line and the fields of a head.
    pub(super) async fn read_head(&mut self) -> Result<(String, Fields), WireError> {
        let mut looked = 0_usize;
        let end = loop {
            let from = looked.saturating_sub(3);
            let found = self.ahead[from..]
                .windows(4)
                .position(|at| at == b"\r\n\r\n");
            if let Some(at) = found {
                break from + at;
            }
            looked = self.ahead.len();
            self.fill().await?;
        };
        let head: Vec<u8> = self.ahead.drain(..end + 4).collect();
        let head = String::from_utf8(head);
        let head = head.map_err(|_| WireError::Malformed("a head that is no text".to_owned()))?;
        let mut lines = head.trim_end().split("\r\n").map(str::to_owned);
        let first = lines.next().unwrap_or_default();
        let fields = lines.map(|line| match line.split_once(": ") {
            Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
            None => Err(WireError::Malformed(format!("field line {line:?}"))),
        });
        Ok((first, Fields(fields.collect::<Result<_, _>>()?)))
    }

    pub(super) async fn read_body(
        &mut self,
        framing: Framing,
        body: &mut Vec<u8>,
    ) -> Result<(), WireError> {
        match framing {
            Framing::None => Ok(()),
            Framing::Length(length) => self.take(length, body).await,
            Framing::Chunked => loop {
                let line = self.read_line().await?;
                let size = usize::from_str_radix(&line, 16);
                let size =
                    size.map_err(|_| WireError::Malformed(format!("chunk size {line:?}")))?;
                self.take(size, body).await?;
                let end = self.read_line().await?;
                if !end.is_empty() {
                    let what = format!("a chunk goes on beyond its size: {end:?}");
                    return Err(WireError::Malformed(what));
                }
                if size == 0 {
                    return Ok(());
                }
            },
            Framing::UntilClose => Err(WireError::Malformed("no framing".to_owned())),
        }
    }

    async fn read_line(&mut self) -> Result<String, WireError> {
        let end = loop {
            if let Some(at) = self.ahead.windows(2).position(|at| at == b"\r\n") {
                break at;
            }
            self.fill().await?;
        };
        let line: Vec<u8> = self.ahead.drain(..end + 2).take(end).collect();
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    async fn take(&mut self, count: usize, into: &mut Vec<u8>) -> Result<(), WireError> {
        let mut missing = count;
        loop {
            let here = missing.min(self.ahead.len());
            into.extend(self.ahead.drain(..here));
            missing -= here;
            if missing == 0 {
                return Ok(());
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Result<(), WireError> {
        self.ahead.reserve(64 * 1024);
        match self.stream.read_buf(&mut self.ahead).await? {
            0 => Err(WireError::Closed),
            _ => Ok(()),
        }
    }
}
