//! How long a backend keeps connections that are not used, learned from those that it closed.
//!
//! A request that meets a connection at the moment when its backend closes it has to be sent again, and what cannot be
//! sent again is lost. So connections are given up before their backend would. It may have closed them for another
//! reason, a restart say; so what was learned is a bound that grows with time, until it is seen again or no bound any
//! more.

use std::time::Duration;

use tokio::time::Instant;

/// What is known of one backend.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Habit {
    learned: Option<Learned>,
}

#[derive(Clone, Copy, Debug)]
struct Learned {
    bound: Duration,
    at: Instant,
}

impl Habit {
    /// Notes that the backend closed a connection after it had rested for so long, or less; whether that is news.
    pub(super) fn note_end(&mut self, rested: Duration, now: Instant) -> bool {
        let bound = rested * 4 / 5;
        let news = rested >= SHORTEST && bound < self.bound(LONGEST, now);
        if news {
            self.learned = Some(Learned { bound, at: now });
        }
        news
    }

    /// How long a connection may be kept that may be kept for `most`.
    pub(super) fn bound(&mut self, most: Duration, now: Instant) -> Duration {
        let Some(Learned { bound, at }) = self.learned else {
            return most;
        };
        let age = now.saturating_duration_since(at).as_secs() / DOUBLES.as_secs();
        let factor = 1_u32.checked_shl(age.try_into().unwrap_or(u32::MAX));
        let bound = factor.and_then(|factor| bound.checked_mul(factor));
        match bound.filter(|bound| *bound < LONGEST) {
            Some(bound) => bound.min(most),
            None => {
                self.learned = None;
                most
            }
        }
    }

    /// Whether anything is known, still.
    pub(super) fn is_known(&mut self, now: Instant) -> bool {
        self.bound(LONGEST, now) < LONGEST
    }
}

/// What is closed after less was closed for another reason than having rested.
const SHORTEST: Duration = Duration::from_millis(50);

/// Beyond this a bound is none.
const LONGEST: Duration = Duration::from_secs(3600);

/// How long it takes a bound to become twice as long.
const DOUBLES: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn it_stays_below_what_it_has_seen_and_forgets() {
        let (mut habit, start) = (Habit::default(), Instant::now());
        assert_eq!(habit.bound(MINUTE, start), MINUTE);
        assert!(!habit.is_known(start));
        habit.note_end(Duration::from_secs(5), start);
        assert_eq!(habit.bound(MINUTE, start), Duration::from_secs(4));
        assert_eq!(
            habit.bound(Duration::from_secs(1), start),
            Duration::from_secs(1)
        );
        // What says less is not learned, what says more is.
        habit.note_end(Duration::from_secs(50), start);
        habit.note_end(SHORTEST / 2, start);
        assert_eq!(habit.bound(MINUTE, start), Duration::from_secs(4));
        habit.note_end(Duration::from_secs(1), start);
        assert_eq!(habit.bound(MINUTE, start), Duration::from_millis(800));
        assert_eq!(
            habit.bound(MINUTE, start + DOUBLES),
            Duration::from_millis(1600)
        );
        assert_eq!(habit.bound(MINUTE, start + DOUBLES * 7), MINUTE);
        assert!(habit.is_known(start + DOUBLES * 7));
        assert!(!habit.is_known(start + DOUBLES * 13));
    }

    proptest! {
        /// A backend that closes after `limit`, seen late by up to `late`: what is kept is soon below its limit, most of
        /// the time; and nothing that was seen keeps connections from being kept for ever.
        #[test]
        fn it_comes_below_the_limit(limit in 100_u64..30_000, late in 0_u64..1000, rounds in 5_usize..30) {
            let (limit, late) = (Duration::from_millis(limit), Duration::from_millis(late));
            let (mut habit, mut now) = (Habit::default(), Instant::now());
            let mut closed = 0;
            for _ in 0..rounds {
                // A connection rests until it is given up, or closed by the backend.
                let kept = habit.bound(MINUTE, now);
                if kept > limit {
                    now += limit + late;
                    habit.note_end(limit + late, now);
                    closed += 1;
                } else {
                    now += kept;
                    prop_assert!(kept * 5 >= limit.min(MINUTE) * 2 || late > Duration::ZERO);
                }
                prop_assert!(habit.bound(MINUTE, now) >= SHORTEST * 4 / 5);
            }
            prop_assert!(closed >= 1);
            prop_assert_eq!(habit.bound(MINUTE, now + DOUBLES * 40), MINUTE);
        }

        #[test]
        fn no_figures_panic(rested in any::<u64>(), later in any::<u32>(), most in any::<u64>()) {
            let (mut habit, now) = (Habit::default(), Instant::now());
            habit.note_end(Duration::from_millis(rested), now);
            let later = now + Duration::from_millis(u64::from(later));
            prop_assert!(habit.bound(Duration::from_millis(most), later) <= Duration::from_millis(most));
        }
    }
}
