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

/// Reads a request's head at the front of `bytes`: in two steps and in one, which have to agree.
fn read_request(bytes: &[u8]) -> Result<Head, HeadError> {
    let limits = Limits::default();
    let in_two = HeadScan::default().find(bytes, &limits).and_then(|found| {
        let length = found.ok_or(HeadError::Length)?;
        let mut head = Head::new();
        parse_request(&bytes[..length], &limits, &mut head).map(|()| (head, length))
    });
    let mut head = Head::new();
    let in_one = HeadScan::default().read_request(bytes, &limits, &mut head);
    agree(in_two, in_one, head)
}

/// The same for a response's.
fn read_response(bytes: &[u8]) -> Result<Head, HeadError> {
    let limits = Limits::default();
    let in_two = HeadScan::default().find(bytes, &limits).and_then(|found| {
        let length = found.ok_or(HeadError::Length)?;
        let mut head = Head::new();
        parse_response(&bytes[..length], &limits, &mut head).map(|()| (head, length))
    });
    let mut head = Head::new();
    let in_one = HeadScan::default().read_response(bytes, &limits, &mut head);
    agree(in_two, in_one, head)
}

fn agree(
    in_two: Result<(Head, usize), HeadError>,
    in_one: Result<Option<usize>, HeadError>,
    head: Head,
) -> Result<Head, HeadError> {
    let length = in_one.and_then(|length| length.ok_or(HeadError::Length));
    let (other, other_length) = match in_two {
        Ok(both) => both,
        Err(error) => {
            assert_eq!(length, Err(error));
            return Err(error);
        }
    };
    assert_eq!(length, Ok(other_length));
    assert_eq!(field_list(&head), field_list(&other));
    assert_eq!(
        (head.version(), head.status()),
        (other.version(), other.status())
    );
    assert_eq!(
        (head.method(), head.target()),
        (other.method(), other.target())
    );
    assert_eq!(
        (head.method_bytes(), head.reason()),
        (other.method_bytes(), other.reason())
    );
    Ok(head)
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
