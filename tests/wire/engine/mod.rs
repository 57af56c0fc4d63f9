//! The property of the HTTP/1 data path, in both directions, and the machine that holds it.
//!
//! *Requests*: whatever a client sends, cut however, what reaches the backends is whole requests that
//! everybody reads alike, perhaps with one behind them that is not whole on a connection that then ends; each
//! request that the obvious reader finds is answered, in order, and nothing of what it refuses goes on.
//!
//! *Responses*: whatever a backend answers, cut however and ended however, what reaches the client is whole
//! responses that everybody reads alike; what the backend cut short never looks complete; and nothing
//! of one answer is seen in the next.
//!
//! In reading order: [`reference`], what the bytes mean; [`readings`], that all readers agree on what came
//! through; `backend` and `house`, a real balancer with both ends of it in our hands; [`requests`] and
//! [`responses`], the judges. Shared by `tests/wire` and the fuzzers `request_path` and `response_path`; it
//! needs `ours` and `theirs` of the fuzzers and the `oracle` of `src/h1/tests` beside it.

pub(crate) mod backend;
pub(crate) mod house;
pub(crate) mod readings;
pub(crate) mod reference;
pub mod requests;
pub mod responses;

/// Cuts a stream: each byte of the pattern is the length of a piece, as a digit (beyond the digits, as a
/// larger number), over and over. There are at most [`MOST_PIECES`].
pub(crate) fn cut(pattern: &[u8], mut stream: &[u8]) -> Vec<Vec<u8>> {
    let mut lengths = pattern.iter().cycle();
    let mut pieces = Vec::new();
    while !stream.is_empty() {
        let length = match lengths.next() {
            Some(digit) if pieces.len() < MOST_PIECES => {
                usize::from(digit.wrapping_sub(b'0')).max(1)
            }
            Some(_) | None => usize::MAX,
        };
        let (piece, rest) = stream.split_at(length.min(stream.len()));
        pieces.push(piece.to_vec());
        stream = rest;
    }
    pieces
}

/// The first line, without its end, and what is behind it.
fn cut_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, b""),
    }
}

/// More pieces say nothing new and take their time.
const MOST_PIECES: usize = 24;
