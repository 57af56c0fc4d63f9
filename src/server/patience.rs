//! How long a client may keep us waiting within a body: waiting uses patience up, bytes give it back.
//!
//! A deadline that begins anew with every byte is none for whoever sends one byte a minute. So there is a
//! credit of time: it starts full, it runs down while we wait for the client, and each byte that moves
//! gives back what it may take at the least rate allowed. Whoever moves at that rate or faster never
//! runs out; whoever is slower does, however the bytes are spread. Time in which we do not wait for
//! the client, because a backend thinks, costs nothing.
//!
//! No clock in here: it is told the time, and only when waiting begins or ends.

use std::time::Duration;

use tokio::time::Instant;

use crate::message::body::BodyFailure;
use crate::plan::Listener;

/// What is left of the time that a client may keep us waiting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    most: Duration,
    left: Duration,
    /// Bytes a second that use it up no faster than they give it back; 0 if any byte gives back all.
    rate: u64,
    /// When the wait under way began.
    since: Option<Instant>,
}

impl Patience {
    /// Full patience of `most`, of which each byte gives back 1/`rate` seconds; with a rate of 0, all of it.
    pub(super) fn new(most: Duration, rate: u64) -> Self {
        Self {
            most,
            left: most,
            rate,
            since: None,
        }
    }

    /// Full patience with a listener's clients, for a body.
    pub(super) fn of(listener: &Listener) -> Self {
        Self::new(listener.timeouts.body, listener.limits.body_rate)
    }

    /// Whether a wait is under way.
    pub(super) fn is_waiting(&self) -> bool {
        self.since.is_some()
    }

    /// Begins to wait, and gives the moment at which patience ends.
    pub(super) fn wait(&mut self, now: Instant) -> Instant {
        self.since = Some(now);
        now + self.left
    }

    /// Ends the wait under way: what it took is gone.
    pub(super) fn end_wait(&mut self, now: Instant) {
        if let Some(since) = self.since.take() {
            self.left = self
                .left
                .saturating_sub(now.saturating_duration_since(since));
        }
    }

    /// Gives back what `bytes` that moved have bought.
    pub(super) fn moved(&mut self, bytes: u64) {
        if self.left == self.most || bytes == 0 {
            return;
        }
        let bought = match self.rate {
            0 => self.most,
            rate => Duration::from_nanos(
                u64::try_from(u128::from(bytes) * NANOS / u128::from(rate)).unwrap_or(u64::MAX),
            ),
        };
        self.left = self.left.saturating_add(bought).min(self.most);
    }

    /// What to call the wait under way if it ends patience: began it with all of it, not a byte came in that time.
    pub(super) fn failure(&self) -> BodyFailure {
        if self.left == self.most {
            BodyFailure::TimedOut
        } else {
            BodyFailure::TooSlow
        }
    }
}

const NANOS: u128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MOST: Duration = Duration::from_secs(30);

    /// Moves `bytes` after each of these gaps; gives when patience ended, from the start.
    fn cut_at(
        mut patience: Patience,
        gaps: impl IntoIterator<Item = (Duration, u64)>,
    ) -> Option<Duration> {
        let start = Instant::now();
        let mut now = start;
        for (gap, bytes) in gaps {
            let deadline = patience.wait(now);
            now += gap;
            if deadline <= now {
                return Some(deadline - start);
            }
            patience.end_wait(now);
            patience.moved(bytes);
        }
        None
    }

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_trickle_is_cut() {
        let trickle = std::iter::repeat_n((seconds(1), 1), 1000);
        let cut = cut_at(Patience::new(MOST, 500), trickle.clone()).unwrap();
        // Each byte gave back 2 ms.
        assert!(
            cut > MOST && cut < MOST + Duration::from_millis(100),
            "{cut:?}"
        );
        assert_eq!(
            cut_at(Patience::new(MOST, 0), trickle),
            None,
            "no rate, no cut"
        );
    }

    #[test]
    fn silence_is_cut_with_and_without_a_rate() {
        for rate in [0, 1, 500, u64::MAX] {
            let silence = [(seconds(10), 10_000_000), (seconds(31), 0)];
            let cut = cut_at(Patience::new(MOST, rate), silence);
            assert!(cut.is_some(), "{rate}");
            let mut patience = Patience::new(MOST, rate);
            patience.wait(Instant::now());
            assert_eq!(patience.failure(), BodyFailure::TimedOut);
        }
    }

    #[test]
    fn a_burst_buys_no_more_than_full_patience() {
        let burst = [(seconds(20), u64::MAX), (seconds(29), 0), (seconds(2), 0)];
        assert_eq!(cut_at(Patience::new(MOST, 500), burst), Some(seconds(50)));
    }

    #[test]
    fn only_waiting_costs() {
        let start = Instant::now();
        let mut patience = Patience::new(MOST, 500);
        assert_eq!(patience.wait(start), start + MOST);
        patience.end_wait(start + seconds(10));
        // A backend thinks for an hour.
        let later = start + seconds(3600);
        assert_eq!(patience.wait(later), later + seconds(20));
        assert_eq!(patience.failure(), BodyFailure::TooSlow);
        // A wait that lasted too long leaves nothing, and not less.
        patience.end_wait(later + seconds(100));
        patience.moved(500);
        assert_eq!(patience.wait(later), later + seconds(1));
    }

    proptest! {
        #[test]
        fn whoever_keeps_the_rate_is_never_cut(
            rate in 1_u64..100_000,
            gaps in prop::collection::vec(1_u64..29_000, 1..200),
        ) {
            // Rounded up: at the rate or above it.
            let moves = gaps.iter().map(|ms| (Duration::from_millis(*ms), (ms * rate).div_ceil(1000)));
            prop_assert_eq!(cut_at(Patience::new(MOST, rate), moves), None);
        }

        #[test]
        fn whoever_is_slower_is_cut_in_time(
            rate in 100_u64..100_000,
            gap_ms in 1_u64..5_000,
        ) {
            // At most half of the rate: patience is gone after twice its length, or with the gap after that.
            let bytes = gap_ms * rate / 2000;
            let moves = std::iter::repeat_n((Duration::from_millis(gap_ms), bytes), 70_000);
            let cut = cut_at(Patience::new(MOST, rate), moves);
            prop_assert!(cut.is_some_and(|cut| cut <= 2 * MOST + Duration::from_millis(2 * gap_ms)), "{:?}", cut);
        }
    }
}
