//! Waiting for what another process or thread will do, with a deadline and a name for it.

use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for what should come at once: long enough for a busy machine, so that only what
/// never comes fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// How long to stand aside between two looks.
const PAUSE: Duration = Duration::from_millis(2);

/// Looks again and again until `is_so`; panics after `deadline`, saying `what` did not come.
#[track_caller]
pub(crate) fn wait_until(deadline: Duration, what: &str, mut is_so: impl FnMut() -> bool) {
    wait_for(deadline, what, || is_so().then_some(()));
}

/// Looks again and again until there is something, and gives it; panics after `deadline`.
#[track_caller]
pub(crate) fn wait_for<T>(
    deadline: Duration,
    what: &str,
    mut look: impl FnMut() -> Option<T>,
) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            began.elapsed() < deadline,
            "waited {deadline:?} in vain for {what}"
        );
        thread::park_timeout(PAUSE);
    }
}
