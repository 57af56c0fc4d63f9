//! The head that the backend sees: minimal, canonical, and saying truly for whom it is sent.

use smallvec::SmallVec;

use super::admit::Admitted;
use super::affinity::Inputs;
use super::exchange::Exchange;
use crate::message::{Head, Name, cookie, forwarded, hop_by_hop};
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
    hop_by_hop::strip(head);
    let host = SmallVec::<[u8; 64]>::from_slice(admitted.authority.host_header(head));
    forwarded::set_forwarded(head, peer.address, admitted.trusted, inputs.https, &host);
    if let Some(spec) = &pool.sticky {
        // The cookie is ours: the application has no use for it and must not log it.
        cookie::remove(head, spec.cookie_name(inputs.https));
    }
    let id = x.request_id(head, admitted.trusted);
    head.remove(Name::XRequestId);
    head.push(b"x-request-id", id);
    if expects_continue && head.first(Name::Expect).is_none() {
        // Only the backend or its answer may say whether the body is wanted.
        head.push(b"expect", b"100-continue");
    }
}
