//! HTTP/1 on the wire: bytes in, heads and pieces of bodies out, and back.
//!
//! What enters: the bytes of a connection as they come, in pieces of any size. What leaves: [`Head`]s, the
//! places of body bytes within the reader's own buffer, and bytes to send. The grammar of RFC 9112 is
//! taken at its word: what it forbids is refused, and of what it allows to repair, all that could make
//! two readers see two messages is refused as well. The errors tell which rule was broken; what to
//! answer is the caller's.
//!
//! In reading order:
//!
//! - [`limits`]: how much is taken.
//! - [`parse`]: reading a head, in one strict pass.
//! - [`scan`]: finding the end of a head as its bytes come.
//! - [`body`]: where the content lies in a body, chunked or counted.
//! - [`mod@write`]: heads and chunks on their way out.
//!
//! The test suite beside them holds hostile messages, properties, and a second reader, written for being
//! obvious, which must never refuse what this one takes.
//!
//! Deliberately absent: sockets, clocks and tasks; the meaning of fields (`message`); pipelining (one head
//! is read, answered, and then the next is looked for); HTTP/0.9.
//!
//! [`Head`]: crate::message::Head

pub mod body;
pub mod limits;
pub mod parse;
pub mod scan;
pub mod write;

pub use body::{BodyError, Decoded, Decoder};
pub use limits::Limits;
pub use parse::{HeadError, HeadErrorKind, parse_request, parse_response};
pub use scan::HeadScan;
pub use write::Connection;

#[cfg(test)]
mod tests;
