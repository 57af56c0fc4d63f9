//! From outcomes to a verdict, and when the next check is due.

use std::time::{Duration, Instant};

use super::Policy;

/// What one check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A good answer in time.
    Succeeded,
    /// Anything else.
    Failed,
}

/// What is held of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It is well.
    Up,
    /// It is not.
    Down,
    /// Nobody knows yet; until somebody does it is out.
    Unproven,
}

/// A verdict that has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// What was held before.
    pub from: Judgement,
    /// What is held now; never [`Judgement::Unproven`].
    pub to: Judgement,
    /// The outcomes in a row that made it.
    pub after: u32,
}

/// What is held of one backend, and the outcomes in a row that may change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    judgement: Judgement,
    /// The last outcome, and how often it has come in a row.
    row: Option<(Outcome, u32)>,
    /// Checks so far, as long as the first verdict is not in; saturating.
    seen: u32,
    settled: bool,
}

impl Verdict {
    /// Begins with what is held already, or assumed.
    pub const fn begin(judgement: Judgement) -> Self {
        Self {
            judgement,
            row: None,
            seen: 0,
            settled: false,
        }
    }

    /// What is held now.
    pub const fn judgement(&self) -> Judgement {
        self.judgement
    }

    /// Whether checks have confirmed or changed what was assumed at first. Outcomes that keep changing count as a
    /// confirmation in the end, so that nobody waits for ever.
    pub const fn is_settled(&self) -> bool {
        self.settled
    }

    /// Takes note of an outcome. A change is told once, with the outcome that made it.
    pub fn note(&mut self, outcome: Outcome, policy: &Policy) -> Option<Change> {
        let in_row = match self.row {
            Some((last, count)) if last == outcome => count.saturating_add(1),
            Some(_) | None => 1,
        };
        self.row = Some((outcome, in_row));
        self.seen = self.seen.saturating_add(1);
        let (needed, to) = match outcome {
            Outcome::Succeeded => (policy.rise, Judgement::Up),
            Outcome::Failed => (policy.fall, Judgement::Down),
        };
        let enough = in_row >= needed;
        self.settled |= enough || self.seen >= policy.rise.saturating_add(policy.fall);
        if !enough || self.judgement == to {
            return None;
        }
        let from = std::mem::replace(&mut self.judgement, to);
        Some(Change {
            from,
            to,
            after: in_row,
        })
    }

    /// When to check again: an interval from `now`, a tenth more or less as `lot` has it, so that the checks of many
    /// backends do not fall together. Sooner while the last outcome speaks against the verdict, or there is none.
    pub fn next_check(&self, policy: &Policy, now: Instant, lot: u64) -> Instant {
        let agrees = matches!(
            (self.row, self.judgement),
            (Some((Outcome::Succeeded, _)), Judgement::Up)
                | (Some((Outcome::Failed, _)), Judgement::Down)
        );
        let pause = if agrees && self.settled {
            policy.interval
        } else {
            policy.fast_interval
        };
        now + jittered(pause, lot)
    }
}

/// When the first of `count` checks that begin together is due: at once if there are few, spread over an interval if
/// there are many.
pub fn first_check(policy: &Policy, now: Instant, count: usize, lot: u64) -> Instant {
    let spread = EACH
        .saturating_mul(u32::try_from(count.saturating_sub(1)).unwrap_or(u32::MAX))
        .min(policy.interval);
    now + part_of(spread, lot)
}

/// From nine tenths of a duration to eleven.
fn jittered(pause: Duration, lot: u64) -> Duration {
    pause - pause / 10 + part_of(pause / 5, lot)
}

/// The share of `whole` that `lot` is of all lots.
fn part_of(whole: Duration, lot: u64) -> Duration {
    let nanos = (u128::from(lot) * whole.as_nanos()) >> 64;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// What each of many first checks adds to the time over which they are spread.
const EACH: Duration = Duration::from_millis(1);
