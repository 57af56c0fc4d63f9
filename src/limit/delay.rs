//! After how long a request is late, as somebody has found out who looks at all of them.
//!
//! One number for each pool, written by one thread now and then and read by all workers; kept over reloads.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// After how long a request is late; unknown at first.
#[derive(Debug, Default)]
pub struct Delay(AtomicU64);

impl Delay {
    /// The delay, if it is known.
    pub fn get(&self) -> Option<Duration> {
        let microseconds = self.0.load(Relaxed);
        (microseconds > 0).then(|| Duration::from_micros(microseconds))
    }

    /// Sets it, to the microsecond and at least one; or makes it unknown.
    pub fn set(&self, delay: Option<Duration>) {
        let microseconds = delay.map_or(0, |delay| delay.as_micros().max(1));
        self.0
            .store(u64::try_from(microseconds).unwrap_or(u64::MAX), Relaxed);
    }
}
