//! Frames (RFC 9113 section 4) and field blocks (RFC 7541) by our own hand, so that they can be wrong.

use httlib_hpack::Decoder;

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 0x1;
pub(super) const ACK: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const PADDED: u8 = 0x8;
pub(super) const WITH_PRIORITY: u8 = 0x20;

pub(super) const NO_ERROR: u32 = 0;
pub(super) const PROTOCOL_ERROR: u32 = 1;
pub(super) const INTERNAL_ERROR: u32 = 2;
pub(super) const FLOW_CONTROL_ERROR: u32 = 3;
pub(super) const STREAM_CLOSED: u32 = 5;
pub(super) const FRAME_SIZE_ERROR: u32 = 6;
pub(super) const REFUSED_STREAM: u32 = 7;
pub(super) const CANCEL: u32 = 8;
pub(super) const COMPRESSION_ERROR: u32 = 9;
pub(super) const ENHANCE_YOUR_CALM: u32 = 11;

pub(super) const MAX_CONCURRENT_STREAMS: u16 = 3;
pub(super) const INITIAL_WINDOW_SIZE: u16 = 4;
pub(super) const MAX_FRAME_SIZE: u16 = 5;

/// A frame as it came.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

/// Names and values, in order.
pub(super) type Pairs<'a> = &'a [(&'a str, &'a str)];

impl Frame {
    /// The first frame of `bytes`, and how many they take.
    pub(super) fn first_of(bytes: &[u8]) -> Option<(Self, usize)> {
        let length = usize::from(*bytes.first()?) << 16
            | usize::from(*bytes.get(1)?) << 8
            | usize::from(*bytes.get(2)?);
        let payload = bytes.get(9..9 + length)?.to_vec();
        let frame = Self {
            kind: bytes[3],
            flags: bytes[4],
            stream: u32::from_be_bytes([bytes[5] & 0x7f, bytes[6], bytes[7], bytes[8]]),
            payload,
        };
        Some((frame, 9 + length))
    }

    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The number at this place of the payload.
    pub(super) fn number(&self, at: usize) -> u32 {
        let bytes = self.payload.get(at..at + 4);
        bytes.map_or(u32::MAX, |bytes| {
            u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
        })
    }
}

/// A frame whose length is what its payload has.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    frame_of_length(payload.len(), kind, flags, stream, payload)
}

/// A frame that says this length, whatever follows.
pub(super) fn frame_of_length(
    length: usize,
    kind: u8,
    flags: u8,
    stream: u32,
    payload: &[u8],
) -> Vec<u8> {
    let mut bytes = (length as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

pub(super) fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (key, value) in values {
        payload.extend(key.to_be_bytes());
        payload.extend(value.to_be_bytes());
    }
    frame(SETTINGS, 0, 0, &payload)
}

pub(super) fn window_update(stream: u32, by: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
}

pub(super) fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

pub(super) fn goaway(last: u32, code: u32) -> Vec<u8> {
    let mut payload = last.to_be_bytes().to_vec();
    payload.extend(code.to_be_bytes());
    frame(GOAWAY, 0, 0, &payload)
}

pub(super) fn data(stream: u32, flags: u8, content: &[u8]) -> Vec<u8> {
    frame(DATA, flags, stream, content)
}

/// HEADERS with its end, with these flags besides.
pub(super) fn headers(stream: u32, flags: u8, fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    frame(HEADERS, flags | END_HEADERS, stream, &block(fields))
}

/// The same, of text.
pub(super) fn head(stream: u32, flags: u8, fields: Pairs<'_>) -> Vec<u8> {
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
        .collect();
    headers(stream, flags, &fields)
}

/// A field block of literals without indexing, each with its name (RFC 7541 section 6.2.2).
pub(super) fn block(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        string(name, &mut bytes);
        string(value, &mut bytes);
    }
    bytes
}

/// A string without Huffman's code (RFC 7541 section 5.2).
fn string(text: &[u8], to: &mut Vec<u8>) {
    let mut left = text.len();
    if left < 127 {
        to.push(left as u8);
    } else {
        to.push(127);
        left -= 127;
        while left >= 128 {
            to.push((left % 128) as u8 | 128);
            left /= 128;
        }
        to.push(left as u8);
    }
    to.extend(text);
}

/// Understands field blocks of one connection.
pub(super) struct Blocks(Decoder<'static>);

impl Blocks {
    pub(super) fn new() -> Self {
        Self(Decoder::with_dynamic_size(4096))
    }

    pub(super) fn read(&mut self, block: &[u8]) -> Result<Vec<(String, String)>, String> {
        let mut fields = Vec::new();
        self.0
            .decode(&mut block.to_vec(), &mut fields)
            .map_err(|error| format!("a field block that is none: {error:?}"))?;
        let text = |bytes: Vec<u8>| bytes.into_iter().map(char::from).collect();
        Ok(fields
            .into_iter()
            .map(|(name, value, _)| (text(name), text(value)))
            .collect())
    }
}

#[test]
fn what_is_written_is_read() {
    let long = "x".repeat(1000);
    let bytes = head(1, END_STREAM, &[(":status", "200"), ("x-long", &long)]);
    let (read, taken) = Frame::first_of(&bytes).unwrap();
    assert_eq!((taken, read.kind, read.stream), (bytes.len(), HEADERS, 1));
    let fields = Blocks::new().read(&read.payload).unwrap();
    assert_eq!(fields[1], ("x-long".to_owned(), long));
    assert_eq!(Frame::first_of(&bytes[..bytes.len() - 1]), None);
}
