//! `[pools.*.drain]`.

use super::scope::{Given, Zero};
use crate::config::raw::pool as raw;
use crate::plan::pool::Drain;

/// Compiles how a backend is emptied; the defaults if nothing is said of it.
pub(super) fn drain(given: Option<&Given<'_, raw::Drain>>) -> Drain {
    let defaults = Drain::default();
    let Some(Given { value, scope, .. }) = given else {
        return defaults;
    };
    Drain {
        // Zero: none comes from the first moment.
        sessions: scope.optional_duration("sessions", &value.sessions, Zero::Allowed),
        streams: scope.duration("streams", &value.streams, defaults.streams, Zero::Allowed),
        spread: scope.duration("spread", &value.spread, defaults.spread, Zero::Allowed),
    }
}
