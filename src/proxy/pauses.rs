//! Streams that live of being silent until there is something to say: calls of gRPC, and events sent by a server (SSE).
//!
//! What stands still in an upload or a page is dead; these wait, for minutes. So they are bounded as tunnels are,
//! by `timeouts.tunnel` of the pool, and have no least rate.

use crate::message::body::{Body as _, RequestBody};
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
        body.may_pause(pool.timeouts.tunnel);
    }
}

/// Whether a backend may be silent within this answer.
pub(super) fn in_answer(head: &Head) -> bool {
    head.first(Name::ContentType)
        .is_some_and(|kind| grpc::is_type(kind) || is_events(kind))
}

fn is_events(kind: &[u8]) -> bool {
    let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default();
    kind.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}
