//! The head that the client sees.

use super::affinity::{Inputs, Stickiness};
use super::exchange::Exchange;
use super::{Incoming, headers, upgrade};
use crate::message::{Head, Name, hop_by_hop};
use crate::snapshot::Pool;
use crate::strategy::ticket::{self, TicketError};
use crate::strategy::{Slot, StickySpec};
use crate::telemetry::StickyOutcome;

/// Rewrites the backend's head into the one that is sent to the client.
pub(super) fn shape(
    head: &mut Head,
    request: &Incoming<'_>,
    pool: &Pool,
    slot: Slot,
    inputs: &Inputs,
    x: &mut Exchange,
) {
    let protocol = upgrade::granted(head);
    hop_by_hop::strip(head);
    if let Some(protocol) = &protocol {
        upgrade::say(protocol, head);
    } else if head.first(Name::Date).is_none() {
        // Whoever passes it on has to say when it came (RFC 9110 section 6.6.1).
        head.push(b"date", &x.worker.date());
    }
    headers::change_response(head, (&request.head, request.admitted.as_ref()), x);
    if let (Some(spec), Some(sticky)) = (&pool.sticky, &inputs.sticky) {
        bind(head, pool, spec, slot, sticky, inputs.https, x);
    }
}

/// Notes what became of the session's binding, and tells the client if it changed.
fn bind(
    head: &mut Head,
    pool: &Pool,
    spec: &StickySpec,
    slot: Slot,
    sticky: &Stickiness,
    https: bool,
    x: &mut Exchange,
) {
    let outcome = outcome(pool, slot, sticky);
    x.sticky = Some(outcome);
    pool.meters.at(x.worker.id()).sticky[outcome.index()].add(1);
    let name = spec.cookie_name(https);
    let Some(tag) = pool.members.get(slot).tag else {
        return;
    };
    let mut cookie = Vec::with_capacity(160);
    cookie.extend_from_slice(name.as_bytes());
    cookie.push(b'=');
    match (&sticky.ticket, outcome) {
        (Some(Ok(ticket)), StickyOutcome::Bound) => {
            // Only when it is due: a response that sets a cookie cannot be cached.
            if !ticket::is_due(spec, ticket, sticky.now) {
                return;
            }
            ticket::reseal(
                spec,
                name,
                &pool.name,
                (ticket, tag),
                sticky.now,
                &mut cookie,
            );
        }
        _ => ticket::seal(spec, name, &pool.name, tag, sticky.now, &mut cookie),
    }
    cookie.extend_from_slice(b"; Path=/; HttpOnly; SameSite=");
    cookie.extend_from_slice(spec.same_site.attribute(https).as_bytes());
    if https {
        cookie.extend_from_slice(b"; Secure");
    }
    head.push(b"set-cookie", &cookie);
    keep_private(head);
}

fn outcome(pool: &Pool, slot: Slot, sticky: &Stickiness) -> StickyOutcome {
    match &sticky.ticket {
        Some(Ok(ticket)) if pool.members.by_tag(ticket.tag) == Some(slot) => StickyOutcome::Bound,
        Some(Ok(_)) => StickyOutcome::Rebound,
        Some(Err(TicketError::Expired)) => StickyOutcome::Expired,
        Some(Err(TicketError::Forged)) => StickyOutcome::Forged,
        Some(Err(TicketError::Malformed | TicketError::Unknown)) | None => StickyOutcome::New,
    }
}

/// A cookie that a shared cache stores would bind all its users to one backend.
fn keep_private(head: &mut Head) {
    let guarded = head.all(Name::CacheControl).any(|value| {
        value
            .split(|byte| *byte == b',')
            .map(<[u8]>::trim_ascii)
            .any(|directive| {
                directive.eq_ignore_ascii_case(b"private")
                    || directive.eq_ignore_ascii_case(b"no-store")
            })
    });
    if !guarded {
        head.push(b"cache-control", b"private");
    }
}
