//! What the last check of a backend found: for whoever looks, not for any decision.

use std::time::Duration;

use crate::telemetry::Cause;

/// A check that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastCheck {
    /// When it ended, in seconds since 1970.
    pub at: u64,
    /// How long it took.
    pub took: Duration,
    /// Why it failed; `None` if it succeeded.
    pub failure: Option<Cause>,
    /// Checks with the same outcome in a row, this one included.
    pub in_row: u32,
}
