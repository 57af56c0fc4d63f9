//! Those that wait: who is served before whom, who may be refused, and what nobody may wait for.

use std::rc::Rc;

use super::course::{Due, State};
use super::{LATE, Shadow, now};
use crate::requests::Number;
use crate::settings::Port;

impl Shadow {
    /// The more important are served first, and among equals whoever came first; but whoever finds full all that it may use
    /// lets others by. Whoever is more important than all that wait need not, and takes the place of the last if the queue is
    /// full.
    pub(super) fn hold_turn(&mut self, number: Number, has_waited: bool, queue: &[Number]) {
        let priority = self.asked[&number].priority;
        let is_ahead = |other: &&Number| {
            if has_waited {
                **other != number
            } else {
                self.asked[other].priority >= priority
            }
        };
        let overtaken = queue.iter().take_while(is_ahead);
        let wronged = overtaken.copied().find(|other| {
            let free = self
                .eligible(*other, true)
                .any(|port| self.of(port).has_room());
            free || !self.is_choosy(*other)
        });
        self.hold("queue order", wronged.is_none(), || {
            format!("{number} is served before {wronged:?}, which waits")
        });
        if !has_waited && queue.len() >= self.settings.room {
            self.displace(queue);
        }
    }

    /// The last in the queue has no place there any more.
    fn displace(&mut self, queue: &[Number]) {
        let last = queue.last().and_then(|last| self.asked.get_mut(last));
        if let Some(asked) = last {
            asked.state = State::Displaced;
            self.tally.displaced += 1;
        }
    }

    /// Its future was polled, and waits for something.
    pub(crate) fn pends(&mut self, number: Number) {
        if self.asked[&number].state != State::Moving {
            return;
        }
        // Nothing else is waited for without a claim.
        let serial = self.next_serial();
        let queue = self.queue();
        let asked = &self.asked[&number];
        let (due, priority, room) = (asked.due, asked.priority, self.settings.room);
        self.tell(|| format!("request {number} waits behind {queue:?}"));
        let may_wait = matches!(due, Due::First | Due::Elsewhere | Due::Anew(_));
        self.hold("queue", may_wait, || {
            format!("{number} waits when {due:?} is due")
        });
        if queue.is_empty() {
            self.hold_full(number, "waits");
        }
        if queue.len() >= room {
            let last = queue.last().copied();
            let lower = last.filter(|last| self.asked[last].priority < priority);
            self.hold("queue bound", lower.is_some(), || {
                format!("{number} of {priority} waits behind {queue:?}, and {room} may")
            });
            self.displace(&queue);
        }
        let asked = self.asked.get_mut(&number).expect("it has begun");
        let since = now();
        asked.state = State::Waiting { since, serial };
        asked.has_waited = true;
        self.tally.waited += 1;
    }

    /// Who waits, the first to be served first.
    pub(crate) fn queue(&self) -> Vec<Number> {
        let waiting = self
            .asked
            .iter()
            .filter_map(|(number, asked)| match asked.state {
                State::Waiting { serial, .. } => Some((u8::MAX - asked.priority, serial, *number)),
                _ => None,
            });
        let mut waiting: Vec<_> = waiting.collect();
        waiting.sort_unstable();
        waiting.into_iter().map(|(_, _, number)| number).collect()
    }

    /// Whom a request may go to now, whether there is room or not.
    pub(super) fn candidates(&self, number: Number, is_late: bool) -> Vec<Port> {
        let eligible = self.eligible(number, is_late);
        eligible.chain(self.bound(number)).collect()
    }

    /// The same, without whom its cookie names.
    fn eligible(&self, number: Number, is_late: bool) -> impl Iterator<Item = Port> {
        let asked = &self.asked[&number];
        asked.version.eligible.iter().copied().filter(move |port| {
            let is_out = !self.of(*port).still_takes(false) || asked.doubtful.contains(port);
            let may = !is_out || !is_late;
            may && !asked.tried.contains(port)
        })
    }

    /// Whether it may find all full that it can use, and others may not: those behind it go first then.
    fn is_choosy(&self, number: Number) -> bool {
        let asked = &self.asked[&number];
        let is_outdated = !Rc::ptr_eq(&asked.version, &self.newest);
        is_outdated || !asked.tried.is_empty() || !asked.doubtful.is_empty()
    }

    /// Whoever has begun may have passed it over.
    pub(super) fn note_taken_out(&mut self, port: Port) {
        for asked in self.asked.values_mut() {
            asked.doubtful.insert(port);
        }
    }

    /// Nobody may be turned away, or wait at the head of the queue, while there is a place that it could have.
    fn hold_full(&mut self, number: Number, does: &str) {
        let places = self.settings.places;
        let pool = places == 0 || self.places_taken < places;
        let candidates = self.candidates(number, self.is_late(number));
        let free = candidates.iter().find(|port| self.of(**port).has_room());
        let free = free.copied().filter(|_| pool);
        self.hold("idle place", free.is_none(), || {
            format!("{number} {does}, and {free:?} has room")
        });
    }

    /// Whoever waits does not wait too long, and not for what is there.
    pub(crate) fn hold_queue(&mut self, is_settled: bool) {
        let queue = self.queue();
        for number in &queue {
            let asked = &self.asked[number];
            let State::Waiting { since, .. } = asked.state else {
                continue;
            };
            let waited = now().duration_since(since);
            let most = asked.version.settings.patience + LATE;
            self.hold("queue deadline", waited <= most, || {
                format!("{number} has waited {waited:?}")
            });
        }
        if !is_settled {
            return;
        }
        for (before, number) in queue.iter().enumerate() {
            self.hold_full(*number, "waits for its turn");
            self.tally.let_by += u64::from(before > 0);
            if !self.is_choosy(*number) {
                return;
            }
        }
    }

    /// Ended without an answer and without waiting: nothing was due, there was nobody, or the queue was full of those that are
    /// as important.
    pub(super) fn hold_refusal(&mut self, number: Number, error: Option<&str>) {
        let asked = &self.asked[&number];
        let priority = asked.priority;
        self.tally.refused += 1;
        if asked.due == Due::Nothing {
            return;
        }
        let queue = self.queue();
        if self.candidates(number, true).is_empty() {
            // Whoever else was eligible is full, and not to be waited for.
            if queue.is_empty() {
                self.hold_full(number, "is refused");
            }
            return;
        }
        let lower = queue
            .iter()
            .find(|other| self.asked[other].priority < priority)
            .copied();
        let room = self.settings.room;
        self.hold("queue", queue.len() >= room, || {
            format!("{number} is refused ({error:?}), and {queue:?} is not full")
        });
        self.hold("priority", lower.is_none(), || {
            format!("{number} of {priority} is refused, and {lower:?} waits")
        });
        if queue.is_empty() {
            self.hold_full(number, "is refused");
        }
    }
}
