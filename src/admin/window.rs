//! How long answers took of late, those of one backend beside those of the others: what slowness is judged by.
//!
//! One second is no measure of a backend that gives an answer in each. So its window is as many seconds as it takes until
//! there are enough answers; and no more of them, that one which turns slow is not hidden by how fast it was.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::alarms::ENOUGH;
use crate::telemetry::cells::HistogramTotal;

/// How long answers took in the last window: the fewest seconds in which there were at least ten, within the last twenty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Recent {
    /// Answers in it.
    pub answers: u64,
    /// About what half of them were not above; nothing if there were none.
    pub p50_milliseconds: Option<f64>,
    /// Answers of the other backends of the pool that stand ready, each in its own window.
    pub others: u64,
    /// About what half of these were not above; nothing if there were none.
    pub others_p50_milliseconds: Option<f64>,
}

/// The window of one backend.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    begun: Instant,
    /// What had been counted then.
    counted: HistogramTotal,
    /// The answers of the window before, which is over.
    last: HistogramTotal,
}

impl Window {
    pub(super) fn new(now: Instant, counted: &HistogramTotal) -> Self {
        Self {
            begun: now,
            counted: *counted,
            last: HistogramTotal::default(),
        }
    }

    /// Takes what is counted by now; gives the answers of the last window that is over.
    pub(super) fn update(&mut self, now: Instant, counted: &HistogramTotal) -> HistogramTotal {
        let passed = counted.since(&self.counted);
        if passed.count() >= ENOUGH || now.saturating_duration_since(self.begun) >= LONGEST {
            self.last = passed;
            (self.begun, self.counted) = (now, *counted);
        }
        self.last
    }
}

/// Holds each of a pool's windows against all others of those backends that stand ready, which the first part says: one
/// that is drained or out is no measure.
pub(super) fn compared(windows: &[(bool, HistogramTotal)]) -> Vec<Recent> {
    let mut ready = HistogramTotal::default();
    for (_, times) in windows.iter().filter(|(is_ready, _)| *is_ready) {
        ready.merge(times);
    }
    let recent = windows.iter().map(|(is_ready, times)| {
        let others = if *is_ready { ready.since(times) } else { ready };
        Recent {
            answers: times.count(),
            p50_milliseconds: median(times),
            others: others.count(),
            others_p50_milliseconds: median(&others),
        }
    });
    recent.collect()
}

fn median(times: &HistogramTotal) -> Option<f64> {
    let median = times.percentile(50, 0)?;
    Some(median.as_secs_f64() * 1_000.0)
}

/// For how long answers are gathered. A backend that takes seconds for each and has one request at a time is not to
/// escape; what is older than this says little of now.
const LONGEST: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::cells::Histogram;

    fn count(times: &Histogram, answers: u64, milliseconds: u64) {
        for _ in 0..answers {
            times.observe(Duration::from_millis(milliseconds));
        }
    }

    fn times(answers: u64, milliseconds: u64) -> HistogramTotal {
        let times = Histogram::default();
        count(&times, answers, milliseconds);
        times.total()
    }

    #[test]
    fn a_window_lasts_until_there_are_enough_answers() {
        let (times, start) = (Histogram::default(), Instant::now());
        let second = |n| start + Duration::from_secs(n);
        count(&times, 1_000, 2);
        let mut window = Window::new(start, &times.total());
        assert_eq!(window.update(second(1), &times.total()).count(), 0);
        for n in 2..5 {
            count(&times, 3, 800);
            assert_eq!(window.update(second(n), &times.total()).count(), 0);
        }
        count(&times, 3, 800);
        // What it was like before does not count any more.
        let last = window.update(second(5), &times.total());
        assert_eq!(last.count(), 12);
        assert!(median(&last).unwrap() >= 500.0);
        // It holds until the next one is over.
        count(&times, 1, 2);
        assert_eq!(window.update(second(6), &times.total()).count(), 12);
        count(&times, 50, 2);
        let last = window.update(second(7), &times.total());
        assert_eq!(last.count(), 51);
        assert!(median(&last).unwrap() < 10.0);
    }

    #[test]
    fn few_answers_are_forgotten_in_the_end() {
        let (times, start) = (Histogram::default(), Instant::now());
        let mut window = Window::new(start, &times.total());
        count(&times, 20, 2);
        assert_eq!(window.update(start, &times.total()).count(), 20);
        count(&times, 2, 2);
        let late = start + LONGEST;
        assert_eq!(window.update(late, &times.total()).count(), 2);
        assert_eq!(window.update(late + LONGEST, &times.total()).count(), 0);
    }

    #[test]
    fn the_others_are_those_that_stand_ready_and_count_by_their_answers() {
        let windows = [
            (true, times(10, 800)),
            (true, times(10, 800)),
            (true, times(100, 2)),
            (false, times(1_000, 5_000)),
        ];
        let recent = compared(&windows);
        assert_eq!((recent[0].answers, recent[0].others), (10, 110));
        // Of two medians the one that most answers stand for, not the one that most backends have.
        assert!(recent[0].others_p50_milliseconds.unwrap() < 10.0);
        assert!(recent[2].others_p50_milliseconds.unwrap() > 100.0);
        assert_eq!((recent[3].answers, recent[3].others), (1_000, 120));
        let alone = compared(&[(true, times(10, 2))]);
        assert_eq!(
            (alone[0].others, alone[0].others_p50_milliseconds),
            (0, None)
        );
        assert_eq!(compared(&[]), []);
    }
}
