//! What the strategy wants to know of a request, and nothing else of it.

use std::cell::RefCell;

use super::admit::Admitted;
use super::exchange::Exchange;
use crate::backend::BackendTag;
use crate::message::{Head, cookie};
use crate::snapshot::Pool;
use crate::strategy::opened::{self, Opened};
use crate::strategy::ticket::{Ticket, TicketError};
use crate::worker::unix_seconds;

/// The strategy's inputs, and what came of the sticky cookie.
#[derive(Debug)]
pub(super) struct Inputs {
    pub(super) affinity: Option<u64>,
    pub(super) pin: Option<BackendTag>,
    pub(super) sticky: Option<Stickiness>,
    pub(super) https: bool,
}

/// What came of the sticky cookie.
#[derive(Debug)]
pub(super) struct Stickiness {
    /// What the cookie said, or why it says nothing; `None` without one.
    pub(super) ticket: Option<Result<Ticket, TicketError>>,
    /// Seconds since 1970, read once for the request.
    pub(super) now: u64,
}

/// Extracts what `pool` asks for.
pub(super) fn extract(
    admitted: &Admitted,
    head: &Head,
    (pool, opened): (&Pool, &RefCell<Opened>),
    x: &Exchange,
) -> Inputs {
    let affinity = pool
        .strategy
        .needs()
        .affinity
        .and_then(|key| x.client.map(|client| key.hash(client)));
    let sticky = pool.sticky.as_ref().map(|spec| {
        let now = unix_seconds();
        let name = spec.cookie_name(admitted.https);
        let asked = opened::Asked {
            generation: x.view.generation,
            index: x.pool.unwrap_or_default(),
            pool: &pool.name,
            spec,
            cookie_name: name,
        };
        let value = cookie::find(head, name);
        let ticket = value.map(|value| opened.borrow_mut().open(asked, value, now));
        Stickiness { ticket, now }
    });
    let pin = sticky
        .as_ref()
        .and_then(|sticky| sticky.ticket.as_ref())
        .and_then(|ticket| ticket.ok());
    Inputs {
        affinity,
        pin: pin.map(|ticket| ticket.tag),
        sticky,
        https: admitted.https,
    }
}
