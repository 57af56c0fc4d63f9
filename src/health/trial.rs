//! Whether a configuration on trial may stay: pure verdicts from what requests found since, against what they found before.
//!
//! A trial ends in one of three ways: somebody confirms it, its time runs out, or the figures cross its [`Terms`]. Whoever
//! runs it looks about once a second; each look judges all that has come since the trial began, so that a verdict does
//! not hang on one second. Too little traffic makes no verdict: then the time decides.

use std::fmt;
use std::time::{Duration, Instant};

/// How long a trial lasts, and what ends it before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Until when it must be confirmed.
    pub time: Duration,
    /// By how many of a hundred requests failures may rise above what they were before.
    pub errors: u32,
    /// What 99 of 100 requests may take at most; absent: [`LATENCY_TIMES`] what they took before.
    pub latency: Option<Duration>,
}

/// What requests found in some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Requests that ended.
    pub requests: u64,
    /// Those of them that failed for the client.
    pub errors: u64,
    /// What 99 of 100 of them took at most; absent without requests.
    pub p99: Option<Duration>,
}

/// A trial that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trial {
    terms: Terms,
    before: Figures,
    ends: Instant,
}

/// What a look at a trial finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Nothing against it, and there is time left.
    Wait,
    /// It has to be undone.
    Revert(Cause),
}

/// Why a trial is undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// More requests fail than the terms allow.
    Errors {
        /// What was found before.
        before: Figures,
        /// What was found since.
        since: Figures,
    },
    /// Requests take longer than the terms allow.
    Latency {
        /// What 99 of 100 take.
        p99: Duration,
        /// What they may take.
        bound: Duration,
    },
    /// Nobody confirmed it in time.
    Unconfirmed(Duration),
}

impl Terms {
    /// The terms of whoever names nothing but the time.
    #[must_use]
    pub const fn lasting(time: Duration) -> Self {
        Self {
            time,
            errors: ERRORS,
            latency: None,
        }
    }

    /// What 99 of 100 requests may take, if that can be said.
    #[must_use]
    pub fn bound(&self, before: &Figures) -> Option<Duration> {
        let known = before.p99.filter(|_| before.requests >= SLOW_FEWEST);
        let by_before = known.map(|p99| (p99 * LATENCY_TIMES).max(LATENCY_LEAST));
        self.latency.or(by_before)
    }
}

impl Figures {
    /// The share of requests that failed, from 0 to 1.
    #[must_use]
    pub fn share(&self) -> f64 {
        if self.requests == 0 {
            return 0.0;
        }
        self.errors as f64 / self.requests as f64
    }
}

impl Trial {
    /// Begins a trial, with what requests found before it.
    #[must_use]
    pub fn begin(terms: Terms, before: Figures, now: Instant) -> Self {
        Self {
            terms,
            before,
            ends: now + terms.time,
        }
    }

    /// When it ends if nobody confirms it.
    #[must_use]
    pub const fn ends(&self) -> Instant {
        self.ends
    }

    /// What requests found before it.
    #[must_use]
    pub const fn before(&self) -> &Figures {
        &self.before
    }

    /// Its terms.
    #[must_use]
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Judges what requests have found since it began.
    #[must_use]
    pub fn look(&self, since: &Figures, now: Instant) -> Finding {
        if self.fails_more(since) {
            let (before, since) = (self.before, *since);
            return Finding::Revert(Cause::Errors { before, since });
        }
        if since.requests >= SLOW_FEWEST
            && let (Some(p99), Some(bound)) = (since.p99, self.terms.bound(&self.before))
            && p99 > bound
        {
            return Finding::Revert(Cause::Latency { p99, bound });
        }
        if now >= self.ends {
            return Finding::Revert(Cause::Unconfirmed(self.terms.time));
        }
        Finding::Wait
    }

    fn fails_more(&self, since: &Figures) -> bool {
        let allowed = self.before.share() + f64::from(self.terms.errors) / 100.0;
        since.requests >= FAILED_FEWEST && since.errors >= ERRORS_FEWEST && since.share() > allowed
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Errors { before, since } => write!(
                f,
                "{} of {} requests failed since ({:.1}%, and {:.1}% before)",
                since.errors,
                since.requests,
                since.share() * 100.0,
                before.share() * 100.0
            ),
            Self::Latency { p99, bound } => write!(
                f,
                "the slowest of 100 requests takes {} ms, and {} ms is the bound",
                p99.as_millis(),
                bound.as_millis()
            ),
            Self::Unconfirmed(time) => write!(f, "nobody confirmed it within {time:?}"),
        }
    }
}

/// Of a hundred requests so many more may fail, unless the terms say otherwise: more is no longer what a deploy does to
/// a shop anyway.
pub const ERRORS: u32 = 5;

/// So many times what they took before requests may take; less would be the noise of caches that are cold.
pub const LATENCY_TIMES: u32 = 3;

/// Three times nothing is still nothing: below this nobody is slow by comparison.
pub const LATENCY_LEAST: Duration = Duration::from_millis(250);

/// Requests without which failures make no verdict, and how many of them must have failed.
pub const FAILED_FEWEST: u64 = 20;
const ERRORS_FEWEST: u64 = 3;

/// Requests without which there is no slowest of a hundred.
pub const SLOW_FEWEST: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn figures(requests: u64, errors: u64, p99: u64) -> Figures {
        Figures {
            requests,
            errors,
            p99: (requests > 0).then_some(Duration::from_millis(p99)),
        }
    }

    fn trial(before: Figures, now: Instant) -> Trial {
        Trial::begin(Terms::lasting(Duration::from_secs(30)), before, now)
    }

    fn is_error(finding: Finding) -> bool {
        matches!(finding, Finding::Revert(Cause::Errors { .. }))
    }

    #[test]
    fn a_rise_of_failures_ends_it_and_what_failed_before_does_not() {
        let now = Instant::now();
        let well = trial(figures(1000, 0, 10), now);
        assert_eq!(well.look(&figures(1000, 50, 10), now), Finding::Wait);
        assert!(is_error(well.look(&figures(1000, 51, 10), now)));
        let sick = trial(figures(1000, 300, 10), now);
        assert_eq!(sick.look(&figures(1000, 350, 10), now), Finding::Wait);
        assert!(is_error(sick.look(&figures(1000, 351, 10), now)));
    }

    #[test]
    fn a_few_requests_make_no_verdict() {
        let now = Instant::now();
        let trial = trial(Figures::default(), now);
        assert_eq!(trial.look(&figures(19, 19, 10), now), Finding::Wait);
        assert_eq!(trial.look(&figures(20, 2, 10), now), Finding::Wait);
        assert!(is_error(trial.look(&figures(20, 3, 10), now)));
        assert_eq!(trial.look(&figures(99, 0, 30_000), now), Finding::Wait);
    }

    #[test]
    fn slowness_is_judged_by_what_was_or_by_the_terms() {
        let now = Instant::now();
        let slow = |before: Figures, latency: Option<u64>, p99: u64| {
            let mut terms = Terms::lasting(Duration::from_secs(30));
            terms.latency = latency.map(Duration::from_millis);
            let finding = Trial::begin(terms, before, now).look(&figures(100, 0, p99), now);
            matches!(finding, Finding::Revert(Cause::Latency { .. }))
        };
        assert!(slow(figures(100, 0, 200), None, 601));
        assert!(!slow(figures(100, 0, 200), None, 600));
        assert!(!slow(figures(100, 0, 1), None, 250));
        assert!(slow(figures(100, 0, 1), None, 251));
        // Nothing to compare with.
        assert!(!slow(figures(99, 0, 1), None, 30_000));
        assert!(slow(figures(0, 0, 1), Some(50), 51));
        assert!(!slow(figures(100, 0, 1), Some(400), 300));
    }

    #[test]
    fn time_runs_out_at_its_end_and_not_before() {
        let now = Instant::now();
        let trial = trial(Figures::default(), now);
        let just_before = now + Duration::from_secs(30) - Duration::from_nanos(1);
        assert_eq!(trial.look(&Figures::default(), just_before), Finding::Wait);
        let late = trial.look(&Figures::default(), trial.ends());
        let cause = Cause::Unconfirmed(Duration::from_secs(30));
        assert_eq!(late, Finding::Revert(cause));
    }

    proptest! {
        /// A trial in simulated time, a look a second, some traffic in each.
        #[test]
        fn a_trial_ends_by_its_time_and_never_without_a_cause(
            before in (0_u64..10_000, 0_u64..10_000),
            seconds in prop::collection::vec((0_u64..200, 0_u64..200), 40),
            errors in 1_u32..100,
        ) {
            let start = Instant::now();
            let before = figures(before.0, before.1.min(before.0), 5);
            let terms = Terms { errors, ..Terms::lasting(Duration::from_secs(30)) };
            let trial = Trial::begin(terms, before, start);
            let mut since = figures(0, 0, 5);
            let mut ended = None;
            for (second, (requests, failed)) in (1_u64..).zip(seconds) {
                since = figures(since.requests + requests, since.errors + failed.min(requests), 5);
                match trial.look(&since, start + Duration::from_secs(second)) {
                    Finding::Wait => prop_assert!(second < 30),
                    Finding::Revert(cause) => {
                        ended = Some((second, cause));
                        break;
                    }
                }
            }
            match ended {
                Some((second, Cause::Unconfirmed(_))) => {
                    prop_assert_eq!(second, 30);
                    prop_assert!(!trial.fails_more(&since));
                }
                Some((_, Cause::Errors { since, .. })) => {
                    prop_assert!(since.requests >= FAILED_FEWEST);
                    prop_assert!(since.share() > before.share() + f64::from(errors) / 100.0);
                }
                Some((_, Cause::Latency { .. })) | None => prop_assert!(false, "{:?}", ended),
            }
        }

        /// More failures among as many requests never make a trial better.
        #[test]
        fn verdicts_are_monotone(
            before in (0_u64..1_000, 0_u64..1_000),
            requests in 0_u64..1_000,
            failed in 0_u64..1_000,
            more in 0_u64..1_000,
        ) {
            let now = Instant::now();
            let trial = trial(figures(before.0, before.1.min(before.0), 5), now);
            let failed = failed.min(requests);
            let few = trial.look(&figures(requests, failed, 5), now);
            let many = trial.look(&figures(requests, (failed + more).min(requests), 5), now);
            prop_assert!(!is_error(few) || is_error(many));
        }
    }
}
