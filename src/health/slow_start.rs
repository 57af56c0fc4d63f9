//! How much of its share a backend takes that is back, or new.
//!
//! Caches are cold, connections and just-in-time code are not there yet: a backend that got its whole share at once would
//! answer slowly, or fall again. Envoy's formula with aggression 1: `max(10 %, t / window)` of its weight, in steps, for each
//! step costs a rebuild of the pool.

use std::time::{Duration, Instant};

/// A backend's way to its whole share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ramp {
    begun: Instant,
    window: Duration,
}

impl Ramp {
    /// Begins at the least share.
    pub fn begin(now: Instant, window: Duration) -> Self {
        Self { begun: now, window }
    }

    /// Per cent of its weight at `now`, from [`LEAST`] to 100, which is the end.
    pub fn percent(&self, now: Instant) -> u8 {
        let elapsed = now.saturating_duration_since(self.begun).as_nanos();
        let window = self.window.as_nanos();
        if elapsed >= window {
            return 100;
        }
        // Below 100 here.
        ((elapsed * 100 / window) as u8).max(LEAST)
    }

    /// From one step to the next: a twentieth of the window, or a second if that is longer.
    pub fn step(&self) -> Duration {
        (self.window / STEPS).max(LEAST_STEP).min(self.window)
    }
}

/// Where it begins, in per cent of the weight.
pub const LEAST: u8 = 10;
const STEPS: u32 = 20;
/// More often, rebuilding pools would cost more than it smooths.
const LEAST_STEP: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::*;

    proptest! {
        #[test]
        fn shares_grow_with_time_and_end_at_the_whole(
            window in 1_u64..100_000, times in proptest::collection::vec(0_u64..200_000, 1..50),
        ) {
            let now = Instant::now();
            let ramp = Ramp::begin(now, Duration::from_millis(window));
            let mut times = times;
            times.sort_unstable();
            let mut last = LEAST;
            for time in times {
                let percent = ramp.percent(now + Duration::from_millis(time));
                prop_assert!(percent >= last && percent <= 100);
                prop_assert_eq!(percent == 100, time >= window);
                let due = (time as f64 / window as f64 * 100.0).clamp(f64::from(LEAST), 100.0);
                prop_assert!((f64::from(percent) - due).abs() <= 1.0, "{} for {}", percent, due);
                last = percent;
            }
            prop_assert!(ramp.step() <= Duration::from_millis(window) && !ramp.step().is_zero());
        }
    }

    #[test]
    fn half_way_it_takes_half_of_its_share_by_the_steps_that_are_made() {
        for seconds in [2, 30, 600] {
            let (begun, window) = (Instant::now(), Duration::from_secs(seconds));
            let ramp = Ramp::begin(begun, window);
            assert_eq!(ramp.percent(begun), LEAST);
            let (mut now, mut percent) = (begun, LEAST);
            while now + ramp.step() <= begun + window / 2 {
                now += ramp.step();
                percent = ramp.percent(now);
            }
            assert!((45..=55).contains(&percent), "{percent} with {seconds} s");
        }
    }
}
