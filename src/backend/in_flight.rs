//! The claim on a backend: it begins when the backend is picked and ends by being dropped.
//!
//! A guard and not a pair of calls, so that a request that is cancelled, panics or becomes a WebSocket
//! is counted exactly once. It must travel with the *body* of the response: a request is in flight
//! until its last byte is through.

use std::sync::Arc;

use super::Backend;

/// One request in flight at a backend. Dropping it ends the claim.
#[derive(Debug)]
#[must_use = "dropping the claim ends it: keep it as long as the body"]
pub struct InFlight(Arc<Backend>);

impl InFlight {
    pub(super) fn begin(backend: Arc<Backend>) -> Self {
        backend.live.enter();
        Self(backend)
    }

    /// The backend that is claimed.
    pub fn backend(&self) -> &Arc<Backend> {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.live.leave();
    }
}
