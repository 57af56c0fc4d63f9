//! The door of a pool: how many requests are in at once, and the queue of those that wait for a place.
//!
//! The more important are served first, and among equals whoever came first. When the queue is full, a more important
//! request displaces the youngest of the least important. Nothing ages: under lasting overload the least important
//! wait until the deadline of whoever waits, which bounds what starvation can do, and then hear that there was no place.
//!
//! **Nobody is blocked by who cannot go.** Whoever is first may have use for few backends only: it has been to the others,
//! or began before they were there. If it finds just those full ([`Full::Mine`]), the next one tries, and so on; the
//! order among those that can go stays. With the next release all are in line again.
//!
//! **Nobody is woken too seldom.** Whoever leaves gives the place back first and looks for waiters then; whoever waits
//! is in the queue first and tries then. All four steps are sequentially consistent, so one of the two sees the other.
//! Only the first in the queue is woken, and only it tries, and those behind whom it lets by; when it has been admitted or gives up it wakes the next, for
//! there may be more places than one. So a release costs one wake-up however long the queue is, and one look at a
//! number when nobody waits. The lock is taken only when somebody does.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The door of one pool, shared by all workers and kept over reloads.
#[derive(Debug, Default)]
pub struct Door {
    /// Places in the whole pool; 0 for as many as come.
    places: AtomicU32,
    /// Places in the queue.
    room: AtomicUsize,
    /// Places taken since there was a bound.
    taken: AtomicU32,
    /// How many wait; the queue itself says the same under its lock.
    waiting: AtomicUsize,
    /// Counts the pools, as they stood one after the other, that it has been the door of.
    edition: AtomicU32,
    queue: Mutex<Queue>,
}

/// What a request that is in must give back: nothing if there was no bound when it came.
#[derive(Debug)]
#[must_use = "a place that is not given back is lost"]
pub struct Place {
    counted: bool,
}

/// A place in the queue. Dropping it leaves the queue.
#[derive(Debug)]
#[must_use = "dropping it leaves the queue"]
pub struct Ticket<'d> {
    door: &'d Door,
    key: Key,
    is_over: bool,
}

/// Why an attempt was in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// There is no place for anybody.
    All,
    /// There is none for this one, who may not go everywhere.
    Mine,
}

#[derive(Debug, Default)]
struct Queue {
    serial: u64,
    /// Counts what may have made places free. Whoever found none for itself since the last of it is passed over.
    round: u64,
    waiters: BTreeMap<Key, Waiter>,
}

#[derive(Debug)]
struct Waiter {
    waker: Waker,
    /// The round in which it let others by.
    passed: Option<u64>,
}

/// Sorted by who is served first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    /// The lower, the more important.
    rank: u8,
    serial: u64,
}

impl Door {
    /// Sets how many may be in at once (0: as many as come) and how many may wait, from now on. Whoever is in or waits
    /// already stays; those that came in while there was no bound are not counted.
    pub fn set(&self, places: u32, room: usize) {
        self.places.store(places, SeqCst);
        self.room.store(room, SeqCst);
        self.wake_first();
    }

    /// Has whoever waits look once more.
    pub fn look_again(&self) {
        self.wake_first();
    }

    /// Begins to be the door of the pool as it stands now. Whoever waits by an older standing lets others by.
    pub fn begin_edition(&self) -> u32 {
        let edition = self.edition.fetch_add(1, SeqCst).wrapping_add(1);
        if self.waiting() > 0 {
            self.wake_first();
        }
        edition
    }

    /// What [`Door::begin_edition`] said last.
    pub fn edition(&self) -> u32 {
        self.edition.load(Relaxed)
    }

    /// The most that may be in, and that may wait.
    pub fn bounds(&self) -> (u32, usize) {
        (self.places.load(Relaxed), self.room.load(Relaxed))
    }

    /// Goes in past the queue, if there is a place.
    pub fn enter(&self) -> Option<Place> {
        let places = self.places.load(Relaxed);
        if places == 0 {
            return Some(Place { counted: false });
        }
        let one_more = |taken| (taken < places).then_some(taken + 1);
        let entered = self.taken.fetch_update(SeqCst, SeqCst, one_more);
        entered.ok().map(|_| Place { counted: true })
    }

    /// Gives a place back that could not be used: nobody is woken for it.
    pub fn give_back(&self, place: Place) {
        if place.counted {
            let before = self.taken.fetch_sub(1, SeqCst);
            debug_assert!(before > 0, "a place was given back that nobody had");
        }
    }

    /// Leaves, and has the first in the queue try. What it needs besides must have been given back before.
    pub fn leave(&self, place: Place) {
        self.give_back(place);
        if self.waiting() > 0 {
            self.wake_first();
        }
    }

    /// How many wait. Whoever comes while somebody waits has to queue up, lest those who wait never have their turn.
    pub fn waiting(&self) -> usize {
        self.waiting.load(SeqCst)
    }

    /// Requests that are in and are counted.
    pub fn taken(&self) -> u32 {
        self.taken.load(Relaxed)
    }

    /// Queues up; nothing if the queue is full of requests that are at least as important. The higher `priority`, the
    /// more important.
    pub fn join(&self, priority: u8) -> Option<Ticket<'_>> {
        let room = self.room.load(Relaxed);
        let mut queue = self.queue();
        let rank = u8::MAX - priority;
        let mut displaced = None;
        if queue.waiters.len() >= room {
            let last = queue.waiters.last_entry()?;
            if last.key().rank <= rank {
                return None;
            }
            displaced = Some(last.remove().waker);
        }
        let serial = queue.serial;
        queue.serial += 1;
        let key = Key { rank, serial };
        let waiter = Waiter {
            waker: Waker::noop().clone(),
            passed: None,
        };
        queue.waiters.insert(key, waiter);
        self.waiting.store(queue.waiters.len(), SeqCst);
        drop(queue);
        displaced.into_iter().for_each(Waker::wake);
        Some(Ticket {
            door: self,
            key,
            is_over: false,
        })
    }

    fn wake_first(&self) {
        let mut queue = self.queue();
        queue.round += 1;
        let first = queue.next();
        drop(queue);
        first.into_iter().for_each(Waker::wake);
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Whose turn it is: the first that has not let others by in this round.
    fn turn(&self) -> Option<(&Key, &Waiter)> {
        let mut waiters = self.waiters.iter();
        waiters.find(|(_, waiter)| waiter.passed != Some(self.round))
    }

    fn next(&self) -> Option<Waker> {
        self.turn().map(|(_, waiter)| waiter.waker.clone())
    }

    fn is_turn_of(&self, key: Key) -> bool {
        self.turn().is_some_and(|(first, _)| *first == key)
    }
}

impl Ticket<'_> {
    /// Tries to get what is waited for, if it is this one's turn: `Some` when it was had, `None` when a more important
    /// request has taken this place in the queue. Cancel-safe.
    pub fn poll_turn<T>(
        &mut self,
        cx: &Context<'_>,
        attempt: impl FnOnce() -> Result<T, Full>,
    ) -> Poll<Option<T>> {
        let mut queue = self.door.queue();
        let (is_turn, round) = (queue.is_turn_of(self.key), queue.round);
        let Some(waiter) = queue.waiters.get_mut(&self.key) else {
            self.is_over = true;
            return Poll::Ready(None);
        };
        waiter.waker.clone_from(cx.waker());
        drop(queue);
        if !is_turn {
            return Poll::Pending;
        }
        let full = match attempt() {
            Ok(got) => {
                self.quit();
                return Poll::Ready(Some(got));
            }
            Err(full) => full,
        };
        let mut queue = self.door.queue();
        // Of the round in which it looked: what has become free since is for it first.
        if full == Full::Mine
            && let Some(waiter) = queue.waiters.get_mut(&self.key)
        {
            waiter.passed = Some(round);
        }
        // Somebody more important may have come in between and missed for what this one held for a moment.
        let next = (!queue.is_turn_of(self.key))
            .then(|| queue.next())
            .flatten();
        drop(queue);
        next.into_iter().for_each(Waker::wake);
        Poll::Pending
    }

    /// Leaves the queue; whoever is first then may try.
    fn quit(&mut self) {
        self.is_over = true;
        let mut queue = self.door.queue();
        let was_turn = queue.is_turn_of(self.key);
        queue.waiters.remove(&self.key);
        self.door.waiting.store(queue.waiters.len(), SeqCst);
        let next = was_turn.then(|| queue.next()).flatten();
        drop(queue);
        next.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.quit();
        }
    }
}

#[cfg(test)]
mod tests;
