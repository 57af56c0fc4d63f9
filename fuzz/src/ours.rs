//! The product, reading from memory as its server and its upstream do.

use forecourt::h1::{
    BodyError, Decoded, Decoder, HeadError, HeadScan, Limits, parse_request, parse_response,
};
use forecourt::message::framing::Framing;
use forecourt::message::{Head, Version};

/// Names and values, in order.
pub type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// What came of reading a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Body {
    /// The content, as far as it was read.
    pub content: Vec<u8>,
    /// Bytes of the body with its framing, or why it failed.
    pub length: Result<usize, BodyError>,
    /// The trailer section without what may not stand there, if there is one.
    pub trailers: Option<Fields>,
}

/// Finds and parses a request's head at the front of `bytes`; gives it and its length.
///
/// # Errors
/// If it is refused, or not whole.
pub fn request(bytes: &[u8]) -> Result<(Head, usize), HeadError> {
    request_within(bytes, &Limits::default())
}

/// The same with other limits.
///
/// # Errors
/// If it is refused, or not whole.
pub fn request_within(bytes: &[u8], limits: &Limits) -> Result<(Head, usize), HeadError> {
    let length = find(bytes, limits)?;
    let mut head = Head::new();
    parse_request(&bytes[..length], limits, &mut head)?;
    Ok((head, length))
}

/// Finds and parses a response's head at the front of `bytes`; gives it and its length.
///
/// # Errors
/// If it is refused, or not whole.
pub fn response(bytes: &[u8]) -> Result<(Head, usize), HeadError> {
    response_within(bytes, &Limits::default())
}

/// The same with other limits.
///
/// # Errors
/// If it is refused, or not whole.
pub fn response_within(bytes: &[u8], limits: &Limits) -> Result<(Head, usize), HeadError> {
    let length = find(bytes, limits)?;
    let mut head = Head::new();
    parse_response(&bytes[..length], limits, &mut head)?;
    Ok((head, length))
}

/// Whether an error is about how much there is; the second readers know no limits.
pub fn is_limit(error: HeadError) -> bool {
    matches!(
        error,
        HeadError::FirstLineTooLong | HeadError::HeadTooLarge | HeadError::TooManyFields
    )
}

/// The fields of a head.
pub fn fields(head: &Head) -> Fields {
    head.fields()
        .map(|field| (field.name.to_vec(), field.value.to_vec()))
        .collect()
}

/// The digit behind `HTTP/1.`.
pub fn minor(head: &Head) -> u8 {
    u8::from(head.version() == Version::Http11)
}

/// Reads a body that comes in `pieces` until the connection ends, using at most `bite` bytes of content at a time.
pub fn body<'a>(framing: Framing, pieces: impl IntoIterator<Item = &'a [u8]>, bite: usize) -> Body {
    let mut pieces = pieces.into_iter();
    let mut decoder = Decoder::new(framing);
    let mut content = Vec::new();
    let mut buffer: Vec<u8> = Vec::new();
    let mut dropped = 0;
    let length = loop {
        let (skip, used, more) = match decoder.decode(&buffer) {
            Ok(Decoded::Data { skip, len }) => (skip, len.min(bite), false),
            Ok(Decoded::More { skip }) => (skip, 0, true),
            Ok(Decoded::End { skip }) => {
                decoder.consume(skip);
                assert!(decoder.is_end());
                break Ok(dropped + skip);
            }
            Err(error) => break Err(error),
        };
        content.extend_from_slice(&buffer[skip..skip + used]);
        decoder.consume(skip + used);
        buffer.drain(..skip + used);
        dropped += skip + used;
        if more {
            match pieces.next() {
                Some(piece) => buffer.extend_from_slice(piece),
                None => break decoder.at_eof().map(|()| dropped),
            }
        }
    };
    Body {
        content,
        length,
        trailers: decoder.trailers().map(fields),
    }
}

fn find(bytes: &[u8], limits: &Limits) -> Result<usize, HeadError> {
    HeadScan::default()
        .find(bytes, limits)?
        .ok_or(HeadError::Length)
}
