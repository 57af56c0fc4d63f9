//! The head that the backend sees: minimal, canonical, and saying truly for whom it is sent.

use smallvec::SmallVec;

use super::admit::Admitted;
use super::affinity::Inputs;
use super::exchange::Exchange;
use super::{path, trace};
use crate::message::forwarded::{self, Teller};
use crate::message::head::Version;
use crate::message::{Head, Name, cookie, hop_by_hop, via};
use crate::server::Peer;
use crate::snapshot::Pool;

/// Rewrites the client's head into the one that is sent, whichever backend is picked.
pub(super) fn shape(
    head: &mut Head,
    peer: &Peer,
    admitted: &Admitted,
    inputs: &Inputs,
    pool: &Pool,
    x: &mut Exchange,
) {
    let expects_continue = x.expects_continue();
    let takes_trailers = hop_by_hop::te_trailers(head);
    path::normalise(head, admitted, x);
    hop_by_hop::strip(head);
    let host = SmallVec::<[u8; 64]>::from_slice(admitted.authority.host_header(head));
    let teller = Teller {
        peer: peer.address,
        trusted: admitted.trusted,
        https: inputs.https,
        host: &host,
    };
    forwarded::set_forwarded(head, pool.style.forwarded, &teller);
    let session = peer.session.as_ref();
    if let Some(client) = session.and_then(|session| session.client()) {
        head.push(b"Client-Cert", &client.der);
        head.push(b"Client-Cert-Subject", &client.subject);
    }
    if let Some(spec) = &pool.sticky {
        // The cookie is ours: the application has no use for it and must not log it.
        cookie::remove(head, spec.cookie_name(inputs.https));
    }
    let id = x.request_id(head, admitted.trusted);
    head.remove(Name::XRequestId);
    head.push(b"x-request-id", id);
    trace::shape(head, x);
    if pool.style.via {
        via::append(head);
    }
    if takes_trailers {
        // Trailers are passed on, so we take them if the client does (RFC 9110 section 10.1.4).
        head.push(b"te", b"trailers");
        head.push(b"connection", b"te");
    }
    if head.version() < Version::Http11 {
        // HTTP/1.0 has no 100, so nobody waits for one (RFC 9110 section 10.1.1).
        head.remove(Name::Expect);
    } else if expects_continue && head.first(Name::Expect).is_none() {
        // Only the backend or its answer may say whether the body is wanted.
        head.push(b"expect", b"100-continue");
    }
}
