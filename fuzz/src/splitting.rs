//! A whole connection of requests, given at once and in pieces: the same requests, the same end.
//!
//! The first line says how the rest is cut: each of its bytes is the length of a piece, as a digit (and beyond
//! the digits, as a larger number), over and over.

use forecourt::h1::{BodyError, Decoded, Decoder, HeadError, HeadScan, Limits, parse_request};
use forecourt::message::Head;
use forecourt::message::framing::{Framing, FramingError, request_framing};

use crate::ours::{self, Fields};

/// Judges a pattern of pieces and a stream.
pub fn judge(bytes: &[u8]) {
    let (pattern, stream) = crate::cut_line(bytes);
    let whole = read([stream]);
    assert_eq!(read(cut(pattern, stream)), whole);
    assert_eq!(read(stream.chunks(1)), whole);
}

/// What a connection brought, one after the other. Content is joined, however it came.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    Request(Vec<u8>, Vec<u8>, Fields, Framing),
    /// What was sound of a body that breaks depends on how it came, so it does not count.
    Body(Vec<u8>, Option<Fields>),
    HeadRefused(HeadError),
    FramingRefused(FramingError),
    BodyRefused(BodyError),
    /// The connection ended within a head, or between two (then nothing of a head had come).
    Ended {
        within: bool,
    },
}

/// Reads as the server does: one buffer, emptied from its front.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Event> {
    let mut pieces = pieces.into_iter();
    let mut buffer = Vec::new();
    let mut events = Vec::new();
    let limits = Limits {
        head_bytes: 1024,
        ..Limits::default()
    };
    loop {
        let head = match next_head(&mut buffer, &mut pieces, &limits) {
            Ok(head) => head,
            Err(event) => {
                events.push(event);
                return events;
            }
        };
        let framing = match request_framing(&head) {
            Ok(framing) => framing,
            Err(error) => {
                events.push(Event::FramingRefused(error));
                return events;
            }
        };
        events.push(Event::Request(
            head.method_bytes().to_vec(),
            head.target().to_vec(),
            ours::fields(&head),
            framing,
        ));
        match next_body(framing, &mut buffer, &mut pieces) {
            Ok(body) => events.push(body),
            Err(error) => {
                events.push(Event::BodyRefused(error));
                return events;
            }
        }
    }
}

fn next_head<'a>(
    buffer: &mut Vec<u8>,
    pieces: &mut impl Iterator<Item = &'a [u8]>,
    limits: &Limits,
) -> Result<Head, Event> {
    let mut scan = HeadScan::default();
    loop {
        let empty = scan.skip_empty_lines(buffer);
        buffer.drain(..empty);
        if let Some(length) = scan.find(buffer, limits).map_err(Event::HeadRefused)? {
            let mut head = Head::new();
            let parsed = parse_request(&buffer[..length], limits, &mut head);
            buffer.drain(..length);
            return parsed.map(|()| head).map_err(Event::HeadRefused);
        }
        match pieces.next() {
            Some(piece) => buffer.extend_from_slice(piece),
            None => {
                return Err(Event::Ended {
                    within: !buffer.is_empty(),
                });
            }
        }
    }
}

fn next_body<'a>(
    framing: Framing,
    buffer: &mut Vec<u8>,
    pieces: &mut impl Iterator<Item = &'a [u8]>,
) -> Result<Event, BodyError> {
    let mut decoder = Decoder::new(framing);
    let mut content = Vec::new();
    loop {
        match decoder.decode(buffer)? {
            Decoded::Data { skip, len } => {
                content.extend_from_slice(&buffer[skip..skip + len]);
                decoder.consume(skip + len);
                buffer.drain(..skip + len);
            }
            Decoded::End { skip } => {
                decoder.consume(skip);
                buffer.drain(..skip);
                return Ok(Event::Body(content, decoder.trailers().map(ours::fields)));
            }
            Decoded::More { skip } => {
                decoder.consume(skip);
                buffer.drain(..skip);
                match pieces.next() {
                    Some(piece) => buffer.extend_from_slice(piece),
                    None => decoder.at_eof()?,
                }
            }
        }
    }
}

pub(crate) fn cut<'a>(pattern: &[u8], mut stream: &'a [u8]) -> Vec<&'a [u8]> {
    let mut lengths = pattern.iter().cycle();
    let mut pieces = Vec::new();
    while !stream.is_empty() {
        let length = lengths.next().map_or(usize::MAX, |digit| {
            usize::from(digit.wrapping_sub(b'0')).max(1)
        });
        let (piece, rest) = stream.split_at(length.min(stream.len()));
        pieces.push(piece);
        stream = rest;
    }
    pieces
}
