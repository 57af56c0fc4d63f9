//! The rules of HTTP messages (RFC 9110, RFC 9112): one head for the whole house and pure functions over it.
//!
//! What enters: heads, whichever version of HTTP brought them. What leaves: answers to what a proxy has to
//! know of a message (how long is its body, whom is it for, which fields end here, who is the client),
//! and heads made fit for the next hop. Where two readers could understand a message in two ways, the
//! answer is an error and never a guess: a proxy that guesses is how requests are smuggled.
//!
//! In reading order:
//!
//! - [`head`]: a first line and its fields, as spans over one buffer.
//! - [`name`]: the field names that are told apart.
//! - [`method`]: methods, and what may be done because of one.
//! - [`grammar`]: the character classes and lists that the other files share.
//! - [`framing`]: where a body ends.
//! - [`host`]: what a host may look like.
//! - [`authority`]: the four forms of a request target, whom it is for, the path.
//! - [`hop_by_hop`]: what a message says about its connection, and taking that out.
//! - [`forwarded`]: who the client is, and telling the backend.
//! - [`max_forwards`]: how far an OPTIONS may go.
//! - [`trace`]: the trace that a request is part of.
//! - [`via`]: who has passed the message on, and how often it was us.
//! - [`field_case`]: in which case field names are written.
//! - [`websocket`]: where the frames of a WebSocket begin.
//! - [`grpc`]: which messages are calls of gRPC, and how it says that one failed.
//! - [`cookie`]: finding and removing one cookie.
//! - [`body`]: bodies, lent piece by piece.
//!
//! Deliberately absent: bytes on the wire (`h1`), dot segments and percent-encoding (a path goes to the
//! backend as it came), caching, content codings, and every decision about a route.

pub mod authority;
pub mod body;
pub mod cookie;
pub mod field_case;
pub mod forwarded;
pub mod framing;
pub mod grammar;
pub mod grpc;
pub mod head;
pub mod hop_by_hop;
pub mod host;
mod kept;
pub mod max_forwards;
pub mod method;
pub mod name;
pub mod trace;
pub mod via;
pub mod websocket;

pub use field_case::FieldCase;
pub use head::{Head, Name, Version};
pub use method::Method;
