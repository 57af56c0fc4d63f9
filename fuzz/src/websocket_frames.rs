//! Where the frames of a WebSocket end, however the bytes come.
//!
//! The first line says how the rest is cut, as in [`crate::splitting`]. The second reading has all bytes before it and
//! goes by the picture of RFC 6455 section 5.2, from frame to frame; the product has one piece at a time.

use forecourt::message::websocket::Frames;

/// Judges a pattern of pieces and a stream.
pub fn judge(bytes: &[u8]) {
    let (pattern, stream) = crate::cut_line(bytes);
    let read = Read::all_of(stream);
    follow(&read, [stream]);
    follow(&read, crate::splitting::cut(pattern, stream));
    follow(&read, stream.chunks(1));
    steer(&read, stream);
}

/// A frame, by where it is in the stream. 128 bits: no length that can be written goes beyond them.
#[derive(Debug)]
struct Frame {
    start: u128,
    /// Where its payload begins.
    payload: u128,
    end: u128,
    closes: bool,
}

/// All frames of which the head is there; the last of them may end behind the stream's end.
#[derive(Debug)]
struct Read {
    frames: Vec<Frame>,
    /// Where the head begins that is not all there, if there is one.
    open: Option<u128>,
}

impl Read {
    fn all_of(stream: &[u8]) -> Self {
        let mut frames = Vec::new();
        let mut start = 0;
        while start < stream.len() as u128 {
            let Some((head, payload)) = sizes(&stream[start as usize..]) else {
                return Self {
                    frames,
                    open: Some(start),
                };
            };
            frames.push(Frame {
                start,
                payload: start + head as u128,
                end: start + head as u128 + payload,
                closes: stream[start as usize] % 16 == 8,
            });
            start += head as u128 + payload;
        }
        Self { frames, open: None }
    }

    /// The frame whose head is there when so many bytes have come, and whose payload is not.
    fn within(&self, at: u128) -> Option<&Frame> {
        self.frames
            .iter()
            .find(|frame| frame.payload <= at && at < frame.end)
    }

    /// Whether a frame may be put in behind so many bytes.
    fn is_between(&self, at: u128) -> bool {
        let inside = |frame: &Frame| frame.start < at && at < frame.end;
        !self.frames.iter().any(inside) && self.open.is_none_or(|open| at <= open)
    }

    fn is_closed(&self, at: u128) -> bool {
        self.frames
            .iter()
            .any(|frame| frame.closes && frame.payload <= at)
    }
}

/// The bytes of a head, and of the payload behind it; `None` if the head is not all there.
fn sizes(frame: &[u8]) -> Option<(usize, u128)> {
    let [_, second, rest @ ..] = frame else {
        return None;
    };
    let mask = if *second < 128 { 0 } else { 4 };
    let (head, payload) = match second % 128 {
        126 => (4, u16::from_be_bytes(*rest.first_chunk()?).into()),
        127 => (10, u64::from_be_bytes(*rest.first_chunk()?).into()),
        short => (2, short.into()),
    };
    (frame.len() >= head + mask).then_some((head + mask, payload))
}

/// What the product says behind each piece is what was read.
fn follow<'a>(read: &Read, pieces: impl IntoIterator<Item = &'a [u8]>) {
    let mut frames = Frames::default();
    let mut at = 0;
    agree(read, &frames, at);
    for piece in pieces {
        frames.follow(piece);
        at += piece.len() as u128;
        agree(read, &frames, at);
    }
}

fn agree(read: &Read, frames: &Frames, at: u128) {
    let told = || format!("behind {at} bytes: {frames:?}, {read:?}");
    assert_eq!(frames.is_between(), read.is_between(at), "{}", told());
    assert_eq!(frames.is_closed(), read.is_closed(at), "{}", told());
    let left = read.within(at).map_or(0, |frame| frame.end - at);
    for most in [0, 1, 1000, usize::MAX] {
        let expected = left.min(most as u128);
        assert_eq!(frames.left(most) as u128, expected, "{}", told());
    }
}

/// Whoever goes on by what is left, as a tunnel does that has a goodbye to put in, meets the end of each frame.
fn steer(read: &Read, stream: &[u8]) {
    let mut frames = Frames::default();
    let mut ends = Vec::new();
    let mut at = 0;
    while at < stream.len() {
        let step = frames.left(stream.len() - at).max(1);
        frames.follow(&stream[at..at + step]);
        at += step;
        if frames.is_between() {
            ends.push(at as u128);
        }
    }
    let all = read.frames.iter().map(|frame| frame.end);
    let come: Vec<_> = all.filter(|end| *end <= stream.len() as u128).collect();
    assert_eq!(ends, come);
}
