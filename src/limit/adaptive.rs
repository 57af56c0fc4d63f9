//! How much a backend can take, found from how long it takes: a limit that follows by steps.
//!
//! A backend that has more requests than it can work on does not get quicker by having more: they wait in it, and how long
//! they take grows with their number. So the time that a request takes is compared with the time that it takes when
//! none waits, the *base*; the limit is multiplied by how the two compare (the gradient) and gets a little headroom to
//! find out whether there is more (the form of Netflix's Gradient2 and Envoy's gradient controller). At the point of balance
//! a backend has somewhat more than it can work on at once, so that it is never idle.
//!
//! **Whether requests wait is found out by asking for fewer**: where they wait, fewer of them take as much less time; where
//! they do not, fewer take as long. So now and then a limit at its balance is lowered by a quarter for two steps. If
//! that helps, the base was seen while others waited, and is brought down; if not, what is seen then is the base. This is
//! done only where the limit is reached and times are above the base. A backend with that many to spare serves as many
//! meanwhile; at worst it is a quarter less in one fifth of the time, and never the few that a measurement with nothing
//! else in flight would leave. A backend that has become slower as a whole shows in the same way, when its limit has been
//! lowered a lot and the times have not followed. A limit that is not reached says nothing, and stays.
//!
//! Pure: whoever counts says what has been seen since the last step, and how much was in flight.

use std::time::Duration;

/// Within what a limit is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Never less than that; at least 1.
    pub floor: u32,
    /// Never more than that.
    pub most: u32,
}

/// What has been seen of a backend since the last step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seen {
    /// Requests that were answered, or were not in time.
    pub requests: u64,
    /// What they took, together.
    pub took: Duration,
    /// How many were in flight, about.
    pub in_flight: f64,
}

/// The limit of one backend.
#[derive(Clone, Debug)]
pub struct Gradient {
    limit: f64,
    /// What a request takes when none waits, in seconds; nothing until something has been seen.
    base: Option<f64>,
    /// Whether it has never been lowered: then it may be far from what the backend can take.
    is_young: bool,
    /// Limit and time when it began to be lowered.
    before: Option<(f64, f64)>,
    /// How often in a row the times have not followed a limit that was lowered.
    vain: u32,
    /// What a request takes for each one in flight, of late, in seconds.
    pace: f64,
    /// Steps at the limit since it was lowered on trial.
    steps: u32,
    trial: Option<Trial>,
    is_at_floor: bool,
}

/// A limit that is lowered to see whether that helps.
#[derive(Clone, Copy, Debug)]
struct Trial {
    /// The limit before.
    limit: f64,
    /// The pace before.
    pace: f64,
    /// Whether what came before it is done by now.
    has_settled: bool,
}

impl Bounds {
    /// The nearest limit within them, for a backend that may have no more than `cap` (0 for no such limit) and has had
    /// `now` so far (0 for none).
    #[must_use]
    pub fn nearest(self, now: u32, cap: u32) -> u32 {
        let most = if cap == 0 { self.most } else { cap };
        let now = if now == 0 { FIRST } else { now };
        now.max(self.floor).min(most)
    }
}

impl Gradient {
    /// Requests that are enough to take a step: of fewer the times say too little.
    pub const ENOUGH: u64 = 50;

    /// Begins with this limit.
    #[must_use]
    pub fn from(limit: u32) -> Self {
        Self {
            limit: f64::from(limit),
            base: None,
            is_young: true,
            before: None,
            vain: 0,
            pace: 0.0,
            steps: 0,
            trial: None,
            is_at_floor: false,
        }
    }

    /// Takes a step, and gives the limit from now on. With less than enough seen it stays.
    pub fn step(&mut self, seen: Seen, bounds: Bounds, cap: u32) -> u32 {
        if seen.requests >= Self::ENOUGH {
            self.follow(
                seen.took.as_secs_f64() / seen.requests as f64,
                seen.in_flight,
            );
        }
        let least = f64::from(bounds.nearest(1, cap));
        let most = f64::from(bounds.nearest(u32::MAX, cap));
        self.is_at_floor = self.limit <= least;
        self.limit = self.limit.clamp(least, most);
        // No more than 32 bits, for the bounds are.
        self.limit.round() as u32
    }

    fn follow(&mut self, time: f64, in_flight: f64) {
        let base = self.base.map_or(time, |base| base.min((base + time) / 2.0));
        self.base = Some(base);
        if in_flight < self.limit / 2.0 {
            // Whatever it takes, it is not for what waits behind our limit.
            self.base = Some(base + (time - base) * FORGET);
            self.before = None;
            self.limit = self.trial.take().map_or(self.limit, |trial| trial.limit);
            return;
        }
        if let Some(trial) = self.trial {
            return self.judge(trial, in_flight, time, base);
        }
        let pace = time / self.limit;
        self.pace = match self.steps {
            0 => pace,
            _ => self.pace + (pace - self.pace) * SMOOTHING,
        };
        self.steps += 1;
        let is_clear = time <= CLEAR * base;
        if self.is_at_floor {
            // Nothing can be lowered on trial here, and a base that is too low would keep it here for ever.
            self.base = Some(base + (time - base) * FORGET_AT_FLOOR);
            (self.steps, self.before) = (0, None);
        }
        if self.steps > TRIAL_AFTER && !is_clear && !self.is_young {
            self.trial = Some(Trial {
                limit: self.limit,
                pace: self.pace,
                has_settled: false,
            });
            self.limit *= TRIAL_SHARE;
            return;
        }
        let gradient = (TOLERANCE * base / time).clamp(LEAST_GRADIENT, 1.0);
        if gradient < 1.0 {
            self.lower(time, gradient);
        } else {
            self.raise(is_clear);
        }
    }

    /// Looks whether fewer requests take less time.
    fn judge(&mut self, trial: Trial, in_flight: f64, time: f64, base: f64) {
        if !trial.has_settled {
            self.trial = Some(Trial {
                has_settled: true,
                ..trial
            });
            return;
        }
        let expected = trial.pace * self.limit;
        // Fewer were in flight only if as many would have been.
        let was_lowered = self.limit < trial.limit * 0.9 && in_flight >= self.limit * 0.9;
        if was_lowered && time >= expected * HELPED {
            self.base = Some(time);
        } else if was_lowered && base > time * BALANCED {
            self.base = Some(time.min(base * CLOSER));
        }
        self.limit = trial.limit;
        (self.trial, self.before) = (None, None);
        (self.steps, self.vain) = (0, 0);
    }

    fn raise(&mut self, is_clear: bool) {
        (self.before, self.vain) = (None, 0);
        self.limit += match (is_clear, self.is_young) {
            (true, true) => self.limit,
            (true, false) => self.limit.sqrt(),
            (false, _) => self.limit.sqrt() / 2.0,
        };
    }

    fn lower(&mut self, time: f64, gradient: f64) {
        self.is_young = false;
        let (limit, was) = *self.before.get_or_insert((self.limit, time));
        let share = self.limit / limit;
        // Were it for waiting, it would take as much less time as there are fewer.
        let is_vain = share <= LOWERED && time >= was * f64::midpoint(1.0, share);
        self.vain = if is_vain { self.vain + 1 } else { 0 };
        if self.vain >= VAIN_MOST {
            self.base = Some(time);
            (self.before, self.vain) = (None, 0);
            return;
        }
        self.limit = self.limit * gradient + self.limit.sqrt() / 2.0;
    }
}

/// What a backend may have until something is known of it.
const FIRST: u32 = 20;

/// How much longer than the base is still no waiting: times differ from one request to the next.
const TOLERANCE: f64 = 1.5;

/// No more than this is lost in one step.
const LEAST_GRADIENT: f64 = 0.5;

/// How much longer than the base leaves no doubt that nothing waits.
const CLEAR: f64 = 1.2;

/// The part of the way that the base goes towards what is seen while little is in flight.
const FORGET: f64 = 0.01;

/// What the last step counts for in what is remembered of several.
const SMOOTHING: f64 = 0.3;

/// Steps at the limit from one trial to the next.
const TRIAL_AFTER: u32 = 8;

/// The share to which a limit is lowered on trial.
const TRIAL_SHARE: f64 = 0.75;

/// Times what it takes if all of it is waiting: up to there lowering has helped. Without any waiting it would be 1.33.
const HELPED: f64 = 1.15;

/// Less of that time than this is a base at no balance: it says nothing that lowering has helped.
const BALANCED: f64 = 0.7;

/// The part of the way that the base goes while the limit is at its floor.
const FORGET_AT_FLOOR: f64 = 0.1;

/// What is left of a base that was seen while others waited.
const CLOSER: f64 = 0.8;

/// The share to which a limit must have been lowered for the times to say whether that helps.
const LOWERED: f64 = 0.6;

/// How often in a row it must not have helped.
const VAIN_MOST: u32 = 2;

#[cfg(test)]
mod tests;
