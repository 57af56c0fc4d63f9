//! Bodies over the streams of HTTP/2 (RFC 9113), the same towards clients and towards backends.
//!
//! [`Content`] reads one, and opens its window by what has been used; [`Frames`] writes one, a piece at a time when the
//! windows have room for it. So what is not read here is not sent there: a slow end slows its other end and
//! nobody else.

mod content;
mod frames;

pub use content::Content;
pub use frames::Frames;
