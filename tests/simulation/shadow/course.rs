//! The requests: who may be asked, and what may follow on a failure. Who waits for whom is in [`queue`](super::queue).

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::{Duration, Instant};

use forecourt::strategy::Spec;

use super::{Shadow, Version, now};
use crate::requests::{Number, Wish};
use crate::settings::Port;

/// A request that has not ended.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(super) client: u32,
    pub(super) priority: u8,
    pub(super) idempotent: bool,
    pub(super) pin: Option<Port>,
    /// What it sees for all its life.
    pub(super) version: Rc<Version>,
    pub(super) state: State,
    pub(super) due: Due,
    pub(super) tried: Vec<Port>,
    /// Those that were taken out since it began, or just before. Whoever was passed over for that stays so, back or not: they may be
    /// asked, and need not.
    pub(super) doubtful: BTreeSet<Port>,
    /// Attempts that a backend may have acted on.
    pub(super) attempts: u32,
    pub(super) picks: u32,
    pub(super) holds_permit: bool,
    pub(super) has_waited: bool,
    /// The status that the backend gave, if one did.
    pub(super) status: u16,
    pub(super) last: Option<Port>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Between two polls nobody is here.
    Moving,
    /// In the queue.
    Waiting { since: Instant, serial: u64 },
    /// Another one has its place in the queue; it will hear of it.
    Displaced,
    /// At a backend, with a counted place of the pool or not.
    At { port: Port, counted: bool },
    /// All that is due is to end.
    Done,
}

/// What may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    First,
    /// The same backend, on a new connection.
    Anew(Port),
    Elsewhere,
    /// Another one in the place of an answer, if there is one.
    Instead,
    Nothing,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    Refused,
    Reset,
    Stale,
    TimedOut,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Whole,
    Cut,
    /// The client went away.
    Left,
}

impl Shadow {
    pub(crate) fn begun(&mut self, wish: &Wish) {
        // Its version may be of before they were taken out.
        let eligible = self.newest.eligible.iter().copied();
        let doubtful = eligible.filter(|port| !self.of(*port).still_takes(false));
        let asked = Asked {
            doubtful: doubtful.collect(),
            client: wish.client,
            priority: wish.priority,
            idempotent: wish.idempotent,
            pin: wish.cookie.as_ref().map(|(_, port)| *port),
            version: Rc::clone(&self.newest),
            state: State::Moving,
            due: Due::First,
            tried: Vec::new(),
            attempts: 1,
            picks: 0,
            holds_permit: false,
            has_waited: false,
            status: 0,
            last: None,
        };
        self.tell(|| format!("request {} begins: {wish:?}", wish.number));
        self.next_serial();
        self.tally.requests += 1;
        let before = self.asked.insert(wish.number, asked);
        self.hold("ends once", before.is_none(), || {
            "it began twice".to_owned()
        });
    }

    /// A backend was picked and claimed.
    pub(crate) fn claimed(&mut self, number: Number, port: Port, is_anew: bool) {
        self.next_serial();
        let asked = &self.asked[&number];
        let (state, due, version) = (asked.state, asked.due, Rc::clone(&asked.version));
        let has_waited = matches!(state, State::Waiting { .. });
        self.tell(|| {
            format!("request {number} goes to {port} ({due:?}, from the queue: {has_waited})")
        });
        let queue = self.queue();
        let counted = self.settings.places > 0;
        let bound = self.bound(number);
        let is_late = self.is_late(number) || !queue.is_empty();
        match due {
            Due::Anew(same) if is_anew => {
                self.hold("retry", same == port, || {
                    format!("{number} goes to {port} anew, and was at {same}")
                });
            }
            Due::Nothing => self.hold("retry", false, || {
                format!("{number} goes to {port} when nothing is due")
            }),
            Due::First | Due::Anew(_) | Due::Elsewhere | Due::Instead => {
                self.hold_pick(number, port, (bound, is_late));
                self.hold_turn(number, has_waited, &queue);
            }
        }
        self.hold_room(number, port);
        if due == Due::First && !is_late && bound != Some(port) {
            self.note_turn(&version, port);
        }
        self.missed.remove(&port);
        self.enter(number, port, counted);
    }

    /// Neither a backend nor the pool has more than it may have.
    fn hold_room(&mut self, number: Number, port: Port) {
        let facts = self.of(port);
        let (room, in_flight, cap) = (facts.has_room(), facts.in_flight, facts.cap);
        self.hold("in flight", room, || {
            format!("{number} goes to {port}, which has {in_flight} of {cap}")
        });
        let (taken, places) = (self.places_taken, self.settings.places);
        self.hold("in flight", places == 0 || taken < places, || {
            format!("{number} is in the pool, which has {taken} of {places}")
        });
    }

    fn enter(&mut self, number: Number, port: Port, counted: bool) {
        self.facts(port).in_flight += 1;
        self.places_taken += u32::from(counted);
        let asked = self.asked.get_mut(&number).expect("it has begun");
        self.tally.from_queue += u64::from(matches!(asked.state, State::Waiting { .. }));
        self.tally.retries += u64::from(asked.picks > 0);
        self.tally.bound += u64::from(asked.pin == Some(port));
        asked.state = State::At { port, counted };
        // Another try at the same one is no pick.
        let is_pick =
            !matches!(asked.due, Due::Anew(same) if same == port && asked.last == Some(port));
        asked.last = Some(port);
        asked.status = 0;
        asked.picks += u32::from(is_pick);
    }

    /// Who may be picked: of those that were eligible when it began, whoever was not tried; and later whoever the operator
    /// still wants. Whom the cookie names may be in a drain.
    fn hold_pick(&mut self, number: Number, port: Port, (bound, is_late): (Option<Port>, bool)) {
        let asked = &self.asked[&number];
        let was_eligible = asked.version.eligible.contains(&port);
        let was_tried = asked.tried.contains(&port);
        let facts = self.of(port);
        let (word, is_removed) = (facts.word, facts.removed);
        let wanted = !is_late || facts.still_takes(self.is_bound_to(number, port));
        self.hold("pick", !was_tried, || {
            format!("{number} goes to {port}, which it has tried")
        });
        if bound == Some(port) {
            return;
        }
        self.hold("pick", was_eligible, || {
            format!("{number} goes to {port}, which was not eligible")
        });
        self.hold("pick", wanted, || {
            format!("{number} goes late to {port}, {word:?} and removed: {is_removed}")
        });
        if let Some(bound) = bound {
            let is_full = !self.of(bound).has_room();
            self.hold("sticky", is_full, || {
                format!("{number} goes to {port} and is bound to {bound}, which has room")
            });
        }
    }

    fn is_bound_to(&self, number: Number, port: Port) -> bool {
        let asked = &self.asked[&number];
        asked.version.sticky && asked.pin == Some(port)
    }

    /// Whom its cookie names, if it may go there now.
    pub(super) fn bound(&self, number: Number) -> Option<Port> {
        let asked = &self.asked[&number];
        let pin = asked.pin?;
        let facts = self.backends.get(&pin)?;
        let takes = facts.takes_bound() || (asked.version.panics && facts.is_wanted());
        let is_member = asked.version.members.contains(&pin) && !facts.removed;
        let is_there = is_member && asked.version.sticky;
        (takes && is_there && !asked.tried.contains(&pin)).then_some(pin)
    }

    /// Whether time has passed since it looked who is eligible.
    pub(super) fn is_late(&self, number: Number) -> bool {
        let asked = &self.asked[&number];
        asked.has_waited || asked.picks > 0
    }

    /// Whoever is eligible, has a weight and is idle is picked in its turn.
    fn note_turn(&mut self, version: &Version, port: Port) {
        let total: u64 = version
            .weights
            .values()
            .map(|weight| u64::from(*weight))
            .sum();
        for other in &version.eligible {
            let facts = self.of(*other);
            let weight = u64::from(version.weights[other]);
            if *other == port || facts.in_flight > 0 {
                continue;
            }
            let missed = self.missed.entry(*other).or_default();
            *missed += 1;
            let missed = *missed;
            // By lot each pick misses it with 1 - weight/total: 30 times the average wait is one in 10^13. In turn it is the
            // average wait, and a few where others are full, tried or in debt.
            let factor = match version.strategy {
                Spec::RoundRobin | Spec::Weighted => 12,
                _ => 30,
            };
            let most = factor * (total.div_ceil(weight) + 1);
            self.hold("starvation", missed <= most, || {
                format!("{other} is idle and was passed over {missed} times by {version:?}")
            });
        }
    }

    /// The attempt under way has failed; its claim is over.
    pub(crate) fn attempt_over(&mut self, number: Number, over: Over) {
        let port = self.asked[&number].last.expect("it is at a backend");
        if over != Over::Stale {
            self.facts(port).fails += 1;
        }
        let in_flight = self.in_flight(number);
        let settings = &self.asked[&number].version.settings;
        let (resets, per_try) = (settings.retries_reset, settings.per_try);
        let idempotent = self.asked[&number].idempotent;
        let is_its_own = self.is_bound_to(number, port);
        let may_return = self.of(port).still_takes(is_its_own);
        let due = match over {
            Over::Refused if self.asked[&number].picks >= 5 => Due::Nothing,
            Over::Refused => Due::Elsewhere,
            _ if !idempotent => Due::Nothing,
            Over::Stale if may_return => Due::Anew(port),
            Over::Stale => Due::Elsewhere,
            Over::Reset if resets => self.within_budget(number, in_flight, Due::Elsewhere),
            Over::TimedOut if per_try.is_some() => {
                self.within_budget(number, in_flight, Due::Elsewhere)
            }
            Over::Reset | Over::TimedOut => Due::Nothing,
        };
        self.tell(|| format!("request {number} at {port}: {over:?}; then {due:?}"));
        let asked = self.asked.get_mut(&number).expect("it has begun");
        asked.due = due;
        if due == Due::Elsewhere {
            asked.tried.push(port);
        }
    }

    /// A backend has answered; its answer is passed on, or asked for elsewhere.
    pub(crate) fn answered(&mut self, number: Number, status: u16) {
        let in_flight = self.in_flight(number);
        let asked = self.asked.get_mut(&number).expect("it has begun");
        asked.status = status;
        let retries = asked.version.settings.retries_503;
        let due = if status == 503 && retries && asked.idempotent {
            self.within_budget(number, in_flight, Due::Instead)
        } else {
            Due::Nothing
        };
        self.tell(|| format!("request {number} is answered {status}; then {due:?}"));
        let asked = self.asked.get_mut(&number).expect("it has begun");
        asked.due = due;
        if let (Due::Instead, Some(port)) = (due, asked.last) {
            asked.tried.push(port);
        }
    }

    /// Requests in flight at the backends that it knows.
    fn in_flight(&self, number: Number) -> u32 {
        let members = self.asked[&number].version.members.iter();
        members.map(|port| self.of(*port).in_flight).sum()
    }

    /// The budget: a share of what is in flight, three in any case, none if the share is nothing.
    fn within_budget(&mut self, number: Number, in_flight: u32, due: Due) -> Due {
        let active = self.permits();
        let asked = &self.asked[&number];
        let settings = &asked.version.settings;
        let most = match settings.budget {
            0 => 0,
            percent => (in_flight * u32::from(percent) / 100).max(3),
        };
        if asked.attempts >= settings.attempts {
            return Due::Nothing;
        }
        if !asked.holds_permit && active >= most {
            self.tally.over_budget += 1;
            return Due::Nothing;
        }
        let asked = self.asked.get_mut(&number).expect("it has begun");
        asked.holds_permit = true;
        asked.attempts += 1;
        due
    }

    /// Retries that count in the budget.
    pub(crate) fn permits(&self) -> u32 {
        self.asked
            .values()
            .map(|asked| u32::from(asked.holds_permit))
            .sum()
    }

    /// The answer of the attempt under way was given up for another.
    pub(crate) fn discarded(&mut self, number: Number) {
        let asked = &self.asked[&number];
        let (port, status, due) = (asked.last, asked.status, asked.due);
        self.hold("retry", due == Due::Instead, || {
            format!("{number} gives an answer up when {due:?} is due")
        });
        if let Some(port) = port {
            self.note_answer(port, status);
        }
    }

    fn note_answer(&mut self, port: Port, status: u16) {
        let facts = self.facts(port);
        facts.fails = match status {
            502..=504 => facts.fails + 1,
            _ => 0,
        };
    }

    /// A claim is given back.
    pub(crate) fn claim_over(&mut self, number: Number) {
        self.next_serial();
        let asked = self.asked.get_mut(&number).expect("it has begun");
        let State::At { port, counted } = std::mem::replace(&mut asked.state, State::Moving) else {
            return;
        };
        self.facts(port).in_flight -= 1;
        self.places_taken -= u32::from(counted);
    }

    /// It has the head of its answer.
    pub(crate) fn headed(
        &mut self,
        number: Number,
        status: u16,
        error: Option<String>,
        cookie: Option<String>,
    ) {
        self.next_serial();
        self.tell(|| format!("request {number} has its answer: {status} {error:?}"));
        let asked = self.asked.get_mut(&number).expect("it has begun");
        asked.holds_permit = false;
        let (state, client) = (asked.state, asked.client);
        match (state, asked.last) {
            (State::At { .. }, Some(port)) => {
                if let Some(cookie) = cookie {
                    self.sessions.insert(client, (cookie, port));
                }
                self.tally.answered += 1;
            }
            (State::Waiting { since, .. }, _) => {
                let waited = now().duration_since(since);
                let patience = asked.version.settings.patience;
                let is_over = waited + Duration::from_millis(1) >= patience;
                let has_nobody = self.candidates(number, true).is_empty();
                self.hold("queue deadline", is_over || has_nobody, || {
                    format!("{number} gives up after {waited:?} of {patience:?}")
                });
                self.tally.timed_out += 1;
                self.done(number);
            }
            (State::Displaced, _) => self.done(number),
            _ => {
                self.hold_refusal(number, error.as_deref());
                self.done(number);
            }
        }
    }

    fn done(&mut self, number: Number) {
        let asked = self.asked.get_mut(&number).expect("it has begun");
        asked.state = State::Done;
    }

    pub(crate) fn ended(&mut self, number: Number, how: Ended) {
        self.next_serial();
        self.tell(|| format!("request {number} ends: {how:?}"));
        let Some(asked) = self.asked.remove(&number) else {
            self.hold("ends once", false, || format!("{number} ended twice"));
            return;
        };
        let at = matches!(asked.state, State::At { .. });
        self.hold("in flight", !at, || format!("{number} ended with a claim"));
        self.tally.ended += 1;
        let (Some(port), true) = (asked.last, asked.status > 0) else {
            return;
        };
        match how {
            Ended::Whole => self.note_answer(port, asked.status),
            Ended::Cut => self.facts(port).fails += 1,
            Ended::Left => {}
        }
    }
}
