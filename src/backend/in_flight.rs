//! The claim on a backend: it begins when the backend is picked and ends by being dropped.
//!
//! A guard and not a pair of calls, so that a request that is cancelled, panics or becomes a WebSocket
//! is counted exactly once. It must travel with the *body* of the response: a request is in flight
//! until its last byte is through.

use std::ops::Deref;
use std::sync::Arc;

use super::Backend;

/// One request in flight at a backend. Dropping it ends the claim.
///
/// `B` is whatever keeps the backend alive meanwhile. A worker holds whole generations by counts of its
/// own; through them a claim touches no count that other workers touch.
#[derive(Debug)]
#[must_use = "dropping the claim ends it: keep it as long as the body"]
pub struct InFlight<B: Deref<Target = Backend> = Arc<Backend>>(B);

impl<B: Deref<Target = Backend>> InFlight<B> {
    /// Claims the backend.
    pub fn begin(backend: B) -> Self {
        backend.live.enter();
        Self(backend)
    }

    /// Claims the backend unless as many requests are in flight as may be; `keep` is asked for only then.
    pub fn begin_within(backend: &Backend, keep: impl FnOnce() -> B) -> Option<Self> {
        backend.live.try_enter().then(|| Self(keep()))
    }

    /// The backend that is claimed.
    pub fn backend(&self) -> &Backend {
        &self.0
    }
}

impl<B: Deref<Target = Backend>> Drop for InFlight<B> {
    fn drop(&mut self) {
        self.0.live.leave();
    }
}
