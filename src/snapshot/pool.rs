//! A pool in one generation: its members and its strategy.

use std::sync::Arc;
use std::time::Duration;

use super::changes::Changes;
use crate::backend::{Backend, OperatorWord, Secure};
use crate::limit::{Budget, Delay, Door};
use crate::plan::pool::{Drain, Hedge, Limits, PoolTimeouts, Protocol, RequestStyle, Retry};
use crate::strategy::{Members, Slot, StickySpec, Strategy};
use crate::telemetry::PoolMeters;

/// A pool in one generation.
#[derive(Debug)]
pub struct Pool {
    /// Its name.
    pub name: Arc<str>,
    /// Its backends as they stand.
    pub members: Members,
    /// Picks among them.
    pub strategy: Arc<dyn Strategy>,
    /// Stickiness, if sessions keep their backend.
    pub sticky: Option<StickySpec>,
    /// Deadlines towards its backends, for each attempt.
    pub timeouts: PoolTimeouts,
    /// What is spoken with its backends.
    pub protocol: Protocol,
    /// TLS with each of its members, in their order; absent if it is not spoken.
    pub(super) tls: Option<Arc<[Arc<Secure>]>>,
    /// How requests look to its backends.
    pub style: RequestStyle,
    /// What is sent again.
    pub retry: Retry,
    /// What its heads take, if somebody has found out.
    pub(super) delay: Arc<Delay>,
    /// Whether workers note how long heads take.
    pub times_heads: bool,
    /// Retries under way.
    pub budget: Arc<Budget>,
    /// How much at once.
    pub limits: Limits,
    /// How a backend is emptied.
    pub drain: Drain,
    /// Who is in, and who waits.
    pub door: Arc<Door>,
    /// Which of the door's pools this is.
    pub(super) edition: u32,
    /// Counters of the pool.
    pub meters: Arc<PoolMeters>,
    /// Failures in a row by which a backend is suspected; 0: none.
    pub(super) consecutive: u32,
    /// Who is told.
    pub(super) suspects: Arc<Changes>,
}

impl Pool {
    /// The backend of a member.
    pub fn backend(&self, slot: Slot) -> &Arc<Backend> {
        &self.members.get(slot).backend
    }

    /// Requests in flight at its backends.
    pub fn in_flight(&self) -> u32 {
        let members = self.members.all().iter();
        members.map(|member| member.backend.in_flight()).sum()
    }

    /// How long a request may be without a head until a second attempt is due; nothing if none ever is.
    #[inline]
    pub fn hedge_after(&self) -> Option<Duration> {
        match self.retry.hedge {
            Hedge::Off => None,
            Hedge::After(delay) => Some(delay),
            Hedge::Percentile95 => self.delay.get(),
        }
    }

    /// Sets what [`Hedge::Percentile95`] means from now on.
    pub fn set_delay(&self, delay: Option<Duration>) {
        self.delay.set(delay);
    }

    /// Has whoever waits for a place try: a backend may have more in flight now.
    pub fn note_raised_limit(&self) {
        self.door.look_again();
    }

    /// Whether its members stand otherwise by now, or others are in their place.
    pub fn is_outdated(&self) -> bool {
        self.door.edition() != self.edition
    }

    /// Whether a member may still be sent a request by what has happened since this was made: its backend may be drained
    /// or removed by now, or have the weight 0. `bound` if the request's session is bound to it.
    pub fn still_takes(&self, slot: Slot, bound: bool) -> bool {
        let backend = self.backend(slot);
        !backend.is_removed()
            && match backend.operator() {
                OperatorWord::Ready => bound || !backend.is_weightless(),
                OperatorWord::Draining => bound,
                OperatorWord::Maintenance => false,
            }
    }

    /// Takes note of a whole answer by a member.
    #[inline]
    pub fn note_answer(&self, slot: Slot, status: u16) {
        // A gateway or a server that says that it is none, or not now.
        if matches!(status, 502..=504) {
            self.note_failure(slot);
        } else {
            self.backend(slot).note_success();
        }
    }

    /// Takes note of an attempt at a member that failed by the fault of the backend.
    #[cold]
    pub fn note_failure(&self, slot: Slot) {
        let in_row = self.backend(slot).note_failure();
        // Not only the first time: it may have been the last one that was well, and is not by now.
        if self.consecutive > 0 && in_row.is_multiple_of(self.consecutive) {
            self.suspects.note(&self.name);
        }
    }

    /// TLS with a member, if it is spoken.
    pub fn secure(&self, slot: Slot) -> Option<&Arc<Secure>> {
        self.tls.as_ref()?.get(slot.0 as usize)
    }
}
