//! Where the content lies in a body.
//!
//! A [`Decoder`] looks at the bytes at hand and says how many of them are framing and how many are content;
//! the content is used where it lies, and whoever used it reports what was dropped. So the decoder holds
//! no bytes, but those of a trailer section. Chunked bodies (RFC 9112 section 7.1) are read by the letter:
//! sizes of hexadecimal digits and nothing else, CRLF at every end, extensions of the right form, all of it
//! bounded.

use super::limits::{CHUNK_LINE_BYTES, CHUNK_SIZE_DIGITS, EXTENSION_BYTES, TRAILERS};
use super::parse::{HeadError, parse_trailers};
use super::scan::HeadScan;
use crate::message::framing::Framing;
use crate::message::grammar::{is_token_byte, trim};
use crate::message::head::Head;
use crate::message::hop_by_hop;

/// Reads one body.
#[derive(Debug)]
pub struct Decoder {
    place: Place,
    /// What [`Decoder::decode`] found, to be taken as true when its framing has been dropped.
    ahead: Option<Ahead>,
    trailers: Option<Box<Section>>,
}

/// What the bytes at hand are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// After `skip` bytes of framing come `len` bytes of content, at least one.
    Data {
        /// Bytes of framing.
        skip: usize,
        /// Bytes of content behind them.
        len: usize,
    },
    /// `skip` bytes of framing may be dropped; then more bytes are needed.
    More {
        /// Bytes of framing.
        skip: usize,
    },
    /// The body ends after `skip` bytes of framing.
    End {
        /// Bytes of framing.
        skip: usize,
    },
}

/// Why a body is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// A chunk is not followed by CRLF.
    #[error("a chunk does not end where its size says")]
    ChunkEnd,
    /// No hexadecimal number, too large a number, or something behind it that is no extension.
    #[error("a chunk size is malformed")]
    ChunkSize,
    /// A chunk extension is not of the form that RFC 9112 section 7.1.1 gives it.
    #[error("a chunk extension is malformed")]
    Extension,
    /// More bytes of extensions than a body may have.
    #[error("too many bytes of chunk extensions")]
    ExtensionsTooLarge,
    /// The trailer section is malformed or over its limits.
    #[error("a trailer: {0}")]
    Trailers(#[source] HeadError),
    /// The connection ended before the body did.
    #[error("the body is cut short")]
    Truncated,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    step: Step,
    /// Bytes of extensions that may still come.
    allowance: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Within a chunk that has this many bytes left, never 0.
    Chunk(u64),
    /// The CRLF behind a chunk.
    ChunkEnd,
    /// Within a counted body that has this many bytes left, never 0.
    Counted(u64),
    Ended,
    Open,
    Size,
    Trailers,
}

#[derive(Clone, Copy, Debug)]
struct Ahead {
    skip: usize,
    place: Place,
}

/// A trailer section on its way.
#[derive(Debug, Default)]
struct Section {
    bytes: Vec<u8>,
    /// How many of them have been dropped from the caller's bytes.
    dropped: usize,
    scan: HeadScan,
    /// Length of the section, once its end is found.
    length: Option<usize>,
    head: Head,
}

impl Decoder {
    /// Begins a body framed so.
    pub fn new(framing: Framing) -> Self {
        let step = match framing {
            Framing::None | Framing::Length(0) => Step::Ended,
            Framing::Length(length) => Step::Counted(length),
            Framing::Chunked => Step::Size,
            Framing::UntilClose => Step::Open,
        };
        Self {
            place: Place {
                step,
                allowance: EXTENSION_BYTES,
            },
            ahead: None,
            trailers: None,
        }
    }

    /// Looks at the bytes at hand. Nothing is taken as read until [`Decoder::consume`] says that it was
    /// dropped: asked again with the same bytes, the answer is the same, and with more behind them it goes
    /// further. An error stays.
    ///
    /// While a chunk's size line is incomplete the caller has to keep it: up to
    /// [`CHUNK_LINE_BYTES`].
    pub fn decode(&mut self, bytes: &[u8]) -> Result<Decoded, BodyError> {
        if self.place.step == Step::Open {
            // A tunnel comes here with every message, and nothing in it is framing.
            return Ok(data(0, bytes.len()));
        }
        let mut place = self.place;
        let mut skip = 0;
        let decoded = loop {
            let rest = &bytes[skip..];
            match place.step {
                Step::Ended => break Decoded::End { skip },
                Step::Open => break data(skip, rest.len()),
                Step::Chunk(left) | Step::Counted(left) => {
                    let most = usize::try_from(left).unwrap_or(usize::MAX);
                    break data(skip, rest.len().min(most));
                }
                Step::ChunkEnd => match rest {
                    [b'\r', b'\n', ..] => {
                        skip += 2;
                        place.step = Step::Size;
                    }
                    [] | [b'\r'] => break Decoded::More { skip },
                    _ => return Err(BodyError::ChunkEnd),
                },
                Step::Size => {
                    let Some((size, length)) = read_size_line(rest, &mut place.allowance)? else {
                        break Decoded::More { skip };
                    };
                    skip += length;
                    place.step = if size == 0 {
                        Step::Trailers
                    } else {
                        Step::Chunk(size)
                    };
                }
                Step::Trailers => {
                    let (ended, length) = self.read_trailers(rest)?;
                    skip += length;
                    if !ended {
                        break Decoded::More { skip };
                    }
                    place.step = Step::Ended;
                }
            }
        };
        self.ahead = Some(Ahead { skip, place });
        Ok(decoded)
    }

    /// Says that `n` bytes have been dropped from the front: all of the framing that the last
    /// [`Decoder::decode`] named, and then as much of the content as was used, at once or piece by piece.
    pub fn consume(&mut self, mut n: usize) {
        if self.place.step == Step::Open {
            return;
        }
        if let Some(ahead) = self.ahead {
            if n < ahead.skip {
                debug_assert_eq!(n, 0, "framing is dropped whole");
                return;
            }
            n -= ahead.skip;
            self.ahead = None;
            self.place = ahead.place;
            if let Some(section) = &mut self.trailers {
                section.dropped = section.bytes.len();
            }
        }
        let used = n as u64;
        match &mut self.place.step {
            Step::Chunk(left) => {
                debug_assert!(used <= *left);
                *left = left.saturating_sub(used);
                if *left == 0 {
                    self.place.step = Step::ChunkEnd;
                }
                self.place.allowance = self.place.allowance.saturating_add(used);
            }
            Step::Counted(left) => {
                debug_assert!(used <= *left);
                *left = left.saturating_sub(used);
                if *left == 0 {
                    self.place.step = Step::Ended;
                }
            }
            Step::ChunkEnd | Step::Ended | Step::Size | Step::Trailers => debug_assert_eq!(n, 0),
            Step::Open => {}
        }
    }

    /// Whether the body is complete and all of it dropped.
    pub fn is_end(&self) -> bool {
        self.place.step == Step::Ended
    }

    /// Says that the connection has ended. A body that lasts until then is complete; another is cut short.
    pub fn at_eof(&mut self) -> Result<(), BodyError> {
        match self.place.step {
            Step::Ended => Ok(()),
            Step::Open => {
                self.ahead = None;
                self.place.step = Step::Ended;
                Ok(())
            }
            Step::Chunk(_) | Step::ChunkEnd | Step::Counted(_) | Step::Size | Step::Trailers => {
                Err(BodyError::Truncated)
            }
        }
    }

    /// The trailer section of a chunked body that had one, without what may not stand there, once
    /// [`Decoded::End`] has been given. It may be empty.
    pub fn trailers(&self) -> Option<&Head> {
        let section = self.trailers.as_deref()?;
        section.length.map(|_| &section.head)
    }

    /// Bytes of content that are still to come, if that is known.
    pub fn remaining_length(&self) -> Option<u64> {
        match self.place.step {
            Step::Counted(left) => Some(left),
            Step::Ended => Some(0),
            Step::Chunk(_) | Step::ChunkEnd | Step::Open | Step::Size | Step::Trailers => None,
        }
    }

    /// Bytes that may come next and are content whatever they are: what is left of a counted body, `u64::MAX` of one that
    /// lasts until its connection ends, 0 of one with framing in it.
    pub fn unframed(&self) -> u64 {
        match self.place.step {
            Step::Counted(left) => left,
            Step::Open => u64::MAX,
            Step::Chunk(_) | Step::ChunkEnd | Step::Ended | Step::Size | Step::Trailers => 0,
        }
    }

    /// Reads on in the trailer section, of which `rest` begins at its first byte not yet dropped. Gives
    /// whether it has ended, and how many bytes of `rest` belong to it.
    fn read_trailers(&mut self, rest: &[u8]) -> Result<(bool, usize), BodyError> {
        if self.trailers.is_none() {
            match rest {
                [b'\r', b'\n', ..] => return Ok((true, 2)),
                [] | [b'\r'] => return Ok((false, 0)),
                _ => {}
            }
        }
        let section = self.trailers.get_or_insert_default();
        if section.length.is_none() {
            let known = section.bytes.len() - section.dropped;
            let new = rest.get(known..).unwrap_or_default();
            let room = TRAILERS.head_bytes - section.bytes.len();
            section.bytes.extend_from_slice(&new[..new.len().min(room)]);
            let Some(length) = section
                .scan
                .find(&section.bytes, &TRAILERS)
                .map_err(BodyError::Trailers)?
            else {
                return Ok((false, section.bytes.len() - section.dropped));
            };
            parse_trailers(&section.bytes[..length], &mut section.head)
                .map_err(BodyError::Trailers)?;
            hop_by_hop::strip_trailers(&mut section.head);
            section.length = Some(length);
        }
        let length = section.length.unwrap_or_default();
        Ok((true, length - section.dropped))
    }
}

fn data(skip: usize, len: usize) -> Decoded {
    if len == 0 {
        Decoded::More { skip }
    } else {
        Decoded::Data { skip, len }
    }
}

/// Reads `size [extensions] CRLF`; gives the size and the length of the line, or `None` if more is needed.
fn read_size_line(bytes: &[u8], allowance: &mut u64) -> Result<Option<(u64, usize)>, BodyError> {
    let mut size: u64 = 0;
    let mut digits = 0;
    for &byte in bytes.iter().take(CHUNK_SIZE_DIGITS) {
        let Some(digit) = (byte as char).to_digit(16) else {
            break;
        };
        size = size << 4 | u64::from(digit);
        digits += 1;
    }
    // Signed readers would take a larger one for a negative number.
    if size > i64::MAX as u64 {
        return Err(BodyError::ChunkSize);
    }
    match &bytes[digits..] {
        [] => Ok(None),
        _ if digits == 0 => Err(BodyError::ChunkSize),
        [b'\r'] => Ok(None),
        [b'\r', b'\n', ..] => Ok(Some((size, digits + 2))),
        [b';', ..] => {
            let length = read_extensions(&bytes[digits..], CHUNK_LINE_BYTES - digits, allowance)?;
            Ok(length.map(|length| (size, digits + length)))
        }
        _ => Err(BodyError::ChunkSize),
    }
}

/// Reads extensions and the CRLF behind them; gives their length, or `None` if more is needed.
fn read_extensions(
    bytes: &[u8],
    most: usize,
    allowance: &mut u64,
) -> Result<Option<usize>, BodyError> {
    let window = &bytes[..bytes.len().min(most)];
    let Some(end) = memchr::memchr(b'\n', window) else {
        return if bytes.len() < most {
            Ok(None)
        } else {
            Err(BodyError::ExtensionsTooLarge)
        };
    };
    let extensions = window[..end]
        .strip_suffix(b"\r")
        .ok_or(BodyError::Extension)?;
    if !are_extensions(extensions) {
        return Err(BodyError::Extension);
    }
    *allowance = allowance
        .checked_sub(extensions.len() as u64)
        .ok_or(BodyError::ExtensionsTooLarge)?;
    Ok(Some(end + 1))
}

/// `*( BWS ";" BWS name [ BWS "=" BWS value ] )`, with a value that is a token or a quoted string.
fn are_extensions(mut text: &[u8]) -> bool {
    let skip_spaces = |text: &mut &[u8]| {
        while let [b' ' | b'\t', rest @ ..] = *text {
            *text = rest;
        }
    };
    if trim(text).len() != text.len() {
        // Space at the end belongs to nothing.
        return false;
    }
    while !text.is_empty() {
        skip_spaces(&mut text);
        let Some(rest) = text.strip_prefix(b";") else {
            return false;
        };
        text = rest;
        skip_spaces(&mut text);
        if !skip_token(&mut text) {
            return false;
        }
        let mut behind = text;
        skip_spaces(&mut behind);
        if let Some(rest) = behind.strip_prefix(b"=") {
            text = rest;
            skip_spaces(&mut text);
            if !skip_token(&mut text) && !skip_quoted(&mut text) {
                return false;
            }
        }
    }
    true
}

fn skip_token(text: &mut &[u8]) -> bool {
    let length = text.iter().take_while(|byte| is_token_byte(**byte)).count();
    *text = &text[length..];
    length > 0
}

fn skip_quoted(text: &mut &[u8]) -> bool {
    let Some(mut rest) = text.strip_prefix(b"\"") else {
        return false;
    };
    loop {
        match rest {
            [b'"', behind @ ..] => {
                *text = behind;
                return true;
            }
            [b'\\', b'\t' | b' '..=b'~' | 0x80.., behind @ ..] => rest = behind,
            [b'\\', ..] | [] => return false,
            [b'\t' | b' '..=b'~' | 0x80.., behind @ ..] => rest = behind,
            _ => return false,
        }
    }
}
