//! What the room promises, tried from four sides: messages that attack, a second reader, properties over
//! random messages, and bodies in all their pieces.

mod body;
mod differential;
mod hostile;
mod oracle;
mod properties;

use super::{
    BodyError, Decoded, Decoder, HeadError, HeadScan, Limits, parse_request, parse_response,
};
use crate::message::framing::Framing;
use crate::message::head::Head;

/// Finds and parses a request's head at the front of `bytes`.
fn read_request(bytes: &[u8]) -> Result<Head, HeadError> {
    let length = HeadScan::default()
        .find(bytes, &Limits::default())?
        .ok_or(HeadError::Length)?;
    let mut head = Head::new();
    parse_request(&bytes[..length], &Limits::default(), &mut head).map(|()| head)
}

/// Finds and parses a response's head at the front of `bytes`.
fn read_response(bytes: &[u8]) -> Result<Head, HeadError> {
    let length = HeadScan::default()
        .find(bytes, &Limits::default())?
        .ok_or(HeadError::Length)?;
    let mut head = Head::new();
    parse_response(&bytes[..length], &Limits::default(), &mut head).map(|()| head)
}

fn field_list(head: &Head) -> Vec<(Vec<u8>, Vec<u8>)> {
    head.fields()
        .map(|field| (field.name.to_vec(), field.value.to_vec()))
        .collect()
}

/// What came of reading a body.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    content: Vec<u8>,
    /// Bytes of the body with its framing, or why it failed.
    length: Result<usize, BodyError>,
    trailers: Option<Vec<(Vec<u8>, Vec<u8>)>>,
}

/// Reads a body that arrives in `pieces`, taking at most `bite` bytes of content at a time.
fn read_body<'a>(
    framing: Framing,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    bite: usize,
) -> Outcome {
    let mut pieces = pieces.into_iter();
    let mut decoder = Decoder::new(framing);
    let mut content = Vec::new();
    let mut buffer: Vec<u8> = Vec::new();
    let mut dropped = 0;
    let mut drop_front = |decoder: &mut Decoder, buffer: &mut Vec<u8>, n: usize| {
        decoder.consume(n);
        buffer.drain(..n);
        dropped += n;
        dropped
    };
    let length = loop {
        let first = decoder.decode(&buffer);
        assert_eq!(
            decoder.decode(&buffer),
            first,
            "asking twice changes nothing"
        );
        match first {
            Ok(Decoded::Data { skip, len }) => {
                assert!(len > 0);
                let used = len.min(bite);
                content.extend_from_slice(&buffer[skip..skip + used]);
                // At once or in two steps is the same.
                if used % 2 == 0 {
                    drop_front(&mut decoder, &mut buffer, skip);
                    drop_front(&mut decoder, &mut buffer, used);
                } else {
                    drop_front(&mut decoder, &mut buffer, skip + used);
                }
            }
            Ok(Decoded::End { skip }) => {
                let length = drop_front(&mut decoder, &mut buffer, skip);
                assert!(decoder.is_end());
                break Ok(length);
            }
            Ok(Decoded::More { skip }) => {
                let length = drop_front(&mut decoder, &mut buffer, skip);
                match pieces.next() {
                    Some(piece) => buffer.extend_from_slice(piece),
                    None => break decoder.at_eof().map(|()| length),
                }
            }
            Err(error) => break Err(error),
        }
    };
    let trailers = decoder.trailers().map(field_list);
    Outcome {
        content,
        length,
        trailers,
    }
}
