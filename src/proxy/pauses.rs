//! Streams that live of being silent until there is something to say: calls of gRPC, and events sent by a server (SSE).
//!
//! What stands still in an upload or a page is dead; these wait, for minutes. So they are bounded as tunnels are,
//! by `timeouts.tunnel` of the pool.
//!
//! A content type costs nothing to write, so it buys little: a caller may be silent between two of its messages, and
//! within one it has to move as any upload does; and only until the backend has answered with something else. Once it
//! has answered as gRPC does, silence is judged over both directions.

use crate::message::body::{Body as _, Pause, RequestBody};
use crate::message::head::Version;
use crate::message::{Head, Name, grpc};
use crate::plan::pool::Protocol;
use crate::snapshot::Pool;

/// Lets the client be silent within its request if it is a call of gRPC: on a stream both ways it speaks when it has
/// something to say. Only where calls can be: by HTTP/2 on both sides. Elsewhere a content type is but a word by which a
/// slow client would get round the limits.
pub(super) fn allow(head: &Head, body: &mut RequestBody<'_>, pool: &Pool) {
    let can_be = head.version() == Version::Http2 && pool.protocol != Protocol::Http1;
    if can_be && grpc::is_call(head) {
        body.may_pause(Pause::For(pool.timeouts.tunnel));
    }
}

/// How long the client may be silent within its request now that the backend has answered so.
pub(super) fn behind(head: &Head) -> Pause {
    if head.first(Name::ContentType).is_some_and(grpc::is_type) {
        Pause::WithAnswer
    } else {
        Pause::Never
    }
}

/// Whether a backend may be silent within this answer.
pub(super) fn in_answer(head: &Head) -> bool {
    head.first(Name::ContentType)
        .is_some_and(|kind| grpc::is_type(kind) || is_events(kind))
}

fn is_events(kind: &[u8]) -> bool {
    let begins = |kind: &[u8]| kind.eq_ignore_ascii_case(EVENTS);
    let behind = kind.get(EVENTS.len()..).unwrap_or_default();
    // Nearly all are told apart by how they begin.
    kind.get(..EVENTS.len()).is_some_and(begins)
        && matches!(behind.trim_ascii_start(), [] | [b';', ..])
}

const EVENTS: &[u8] = b"text/event-stream";
