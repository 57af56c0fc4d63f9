//! Changing the protocol of a connection (RFC 9110 section 7.8): asking for it, where the route lets one, and granting it.

use smallvec::SmallVec;

use crate::message::body::{Body as _, Length, RequestBody};
use crate::message::head::Version;
use crate::message::{Head, Method, Name, grammar, hop_by_hop};
use crate::plan::pool::Protocol;
use crate::snapshot::Pool;

/// The name of a protocol, as it was written.
pub(super) type Wanted = SmallVec<[u8; 16]>;

const WEBSOCKET: &[u8] = b"websocket";

/// The first of the protocols that the request asks for which its route allows. A request with a body asks in vain, for
/// the body would have to end before the tunnel begins; so does one to a backend that does not speak HTTP/1.1.
pub(super) fn wanted(
    head: &Head,
    body: Option<&RequestBody<'_>>,
    pool: &Pool,
    allowed: &[Box<str>],
) -> Option<Wanted> {
    let protocols = hop_by_hop::upgrade(head)?;
    let has_body = body.is_some_and(|body| !matches!(body.length(), Length::Absent { .. }));
    if has_body || !matches!(pool.protocol, Protocol::Http1 | Protocol::Auto) {
        return None;
    }
    grammar::elements(protocols)
        .find(|protocol| {
            let mut allowed = allowed.iter();
            // RFC 6455 section 4.1 has a WebSocket asked for by GET only.
            let fits = head.method() == Method::Get || !is_websocket(protocol);
            fits && allowed.any(|allowed| protocol.eq_ignore_ascii_case(allowed.as_bytes()))
        })
        .map(SmallVec::from_slice)
}

/// Puts the wish, or its grant, into a head from which all of the kind has been stripped.
pub(super) fn say(protocol: &[u8], head: &mut Head) {
    head.remove(Name::Te);
    head.remove(Name::Connection);
    head.push(b"connection", b"upgrade");
    head.push(b"upgrade", protocol);
}

/// The protocol that a backend's 101 changes to.
pub(super) fn granted(head: &Head) -> Option<Wanted> {
    let protocol = head.first(Name::Upgrade).filter(|_| head.status() == 101);
    protocol.map(SmallVec::from_slice)
}

/// Whether a 101 begins a WebSocket.
pub(super) fn begins_websocket(head: &Head) -> bool {
    head.first(Name::Upgrade).is_some_and(is_websocket)
}

/// Whether a tunnel is asked for by CONNECT, as by HTTP/2 (RFC 8441 section 4): no other request of its has the field.
pub(super) fn is_by_connect(head: &Head) -> bool {
    head.version() == Version::Http2 && hop_by_hop::upgrade(head).is_some()
}

/// Whether a status other than 101 would be taken for a grant by a client that has asked by CONNECT: any 2xx is one to it
/// (RFC 9110 section 9.3.6).
pub(super) fn is_false_grant(status: u16) -> bool {
    (200..300).contains(&status)
}

fn is_websocket(protocol: &[u8]) -> bool {
    protocol.eq_ignore_ascii_case(WEBSOCKET)
}
