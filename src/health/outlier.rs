//! Who is ejected for what requests find, for how long, and who never is.
//!
//! Two faults are looked for. A backend that fails several attempts in a row (no connection, no whole answer, or one of
//! 502, 503 and 504) is of no use whoever else is. Plain 5xx are judged against the rest of the pool only: an application
//! that has a fault on one page has it on all backends alike, and none of them is better than another.
//!
//! *Far above the rest* is a backend whose share of 5xx in an interval is at least [`POINTS`] percentage points above that of
//! all others together, and above it by at least [`SIGMAS`] standard deviations of the difference of two such shares, were
//! both the same. The first keeps small faults out of it, the second chance: of [`LEAST_VOLUME`] requests a few more
//! or less fail by luck. Beginning with the worst, each that is found is left out of what the others are held against; two
//! are nobody's rest, so it takes three.
//!
//! An ejection takes the base time the first time, twice that the second, and so on; each interval without one forgives
//! one. Whoever holds the [`Record`] asks [`Crowd::may_lose_one`] first, so that neither a whole pool nor the last that
//! is well is ever lost.

use std::time::{Duration, Instant};

/// When what requests find takes a backend out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Failures in a row; 0: never for that.
    pub consecutive: u32,
    /// Over which 5xx are compared, and after which one ejection is forgiven.
    pub interval: Duration,
    /// How long the first ejection takes.
    pub base_ejection: Duration,
    /// The most that any takes.
    pub max_ejection: Duration,
    /// The share of a pool that may be out at once for what requests found, in per cent; at least one backend, unless 0.
    pub max_ejected: u8,
    /// Whether 5xx are compared.
    pub success_rate: bool,
}

/// What is remembered of one backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    times: u32,
    until: Option<Instant>,
    /// Since when it has been in.
    since: Option<Instant>,
}

/// What requests found of one backend in an interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Requests that were answered.
    pub requests: u64,
    /// Of them, those with a status of 5xx.
    pub errors: u64,
}

/// A pool, as far as ejections go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Crowd {
    /// Its backends.
    pub all: usize,
    /// Those that are ejected.
    pub ejected: usize,
    /// Those that take new requests.
    pub ready: usize,
}

impl Policy {
    /// Whether anything is looked for.
    pub fn is_on(&self) -> bool {
        self.max_ejected > 0 && (self.consecutive > 0 || self.success_rate)
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            consecutive: 5,
            interval: Duration::from_secs(10),
            base_ejection: Duration::from_secs(30),
            max_ejection: Duration::from_secs(300),
            max_ejected: 50,
            success_rate: true,
        }
    }
}

impl Record {
    /// Ejects at `now`; says for how long.
    pub fn eject(&mut self, now: Instant, policy: &Policy) -> Duration {
        self.times = self.times.saturating_add(1);
        let time = policy.base_ejection.saturating_mul(self.times);
        let time = time.min(policy.max_ejection);
        self.until = Some(now + time);
        time
    }

    /// A record as another process had it: ejections that are not forgiven, and what is left of the last one.
    pub fn resume(times: u32, left: Option<Duration>, now: Instant) -> Self {
        Self {
            times,
            until: left.and_then(|left| now.checked_add(left)),
            since: Some(now),
        }
    }

    /// When it is back, if it is ejected.
    pub fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Whether its time is over.
    pub fn is_due(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// Ends the ejection, early or not.
    pub fn readmit(&mut self, now: Instant) {
        self.until = None;
        self.since = Some(now);
    }

    /// Forgives one ejection at the end of an interval, if it was in for all of it and its last attempt was no failure
    /// (`failing`: it was): who is dead and hardly asked is out for longer each time.
    pub fn forgive(&mut self, now: Instant, failing: bool, policy: &Policy) {
        let was_in = self.until.is_none()
            && self
                .since
                .is_none_or(|since| now.saturating_duration_since(since) >= policy.interval);
        if was_in && !failing {
            self.times = self.times.saturating_sub(1);
        }
    }

    /// Ejections that are not forgiven.
    pub fn times(&self) -> u32 {
        self.times
    }
}

impl Crowd {
    /// Whether one more of those that take requests may be ejected.
    pub fn may_lose_one(&self, policy: &Policy) -> bool {
        let share = self.all * usize::from(policy.max_ejected) / 100;
        let most = if policy.max_ejected == 0 {
            0
        } else {
            share.max(1)
        };
        self.ejected < most && self.ready > 1
    }
}

/// Whose share of 5xx is far above that of the rest, the worst first.
pub fn outliers(samples: &[Sample]) -> Vec<usize> {
    let enough = |index: &usize| samples[*index].requests >= LEAST_VOLUME;
    let mut left: Vec<usize> = (0..samples.len()).filter(enough).collect();
    let mut found = Vec::new();
    while left.len() >= LEAST_BACKENDS {
        let worst = (0..left.len()).max_by(|a, b| {
            let [a, b] = [a, b].map(|at| samples[left[*at]].share());
            a.total_cmp(&b)
        });
        let Some(at) = worst else { break };
        let index = left.swap_remove(at);
        let rest = left.iter().fold(Sample::default(), |sum, other| Sample {
            requests: sum.requests + samples[*other].requests,
            errors: sum.errors + samples[*other].errors,
        });
        if !samples[index].is_far_above(rest) {
            break;
        }
        found.push(index);
    }
    found
}

impl Sample {
    fn share(self) -> f64 {
        self.errors as f64 / (self.requests.max(1) as f64)
    }

    /// Whether its share of errors is higher than that of `rest` by more than matters little and than chance does.
    fn is_far_above(self, rest: Self) -> bool {
        let above = self.share() - rest.share();
        let both = Self {
            requests: self.requests + rest.requests,
            errors: self.errors + rest.errors,
        }
        .share();
        let spread = 1.0 / (self.requests.max(1) as f64) + 1.0 / (rest.requests.max(1) as f64);
        let deviation = (both * (1.0 - both) * spread).max(0.0).sqrt();
        above >= POINTS && above >= SIGMAS * deviation
    }
}

/// Backends with enough requests that it takes to know what is usual.
pub const LEAST_BACKENDS: usize = 3;
/// Requests in an interval below which a share says nothing.
pub const LEAST_VOLUME: u64 = 50;
/// The least difference that matters, as a share.
pub const POINTS: f64 = 0.1;
/// The least difference that is not chance, in standard deviations: some 1 in 30,000 by chance at each look.
pub const SIGMAS: f64 = 4.0;

#[cfg(test)]
mod tests;
