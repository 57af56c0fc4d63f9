//! All deadlines of a worker behind one timer.
//!
//! A timer per request and phase would cost more than parsing the request. Here a connection has one
//! [`Timer`] for its life, and setting a deadline writes a number. Time is coarse: a deadline fires up to
//! one tick late, never early. An entry that is moved to a later deadline stays in its bucket and is
//! moved when the bucket comes up, so that the common case (each request pushes the deadline on)
//! touches no list. Nor does a new timer, mostly: it takes the entry of one that has gone, and with it the
//! entry's place in a bucket. Cousin of the hashed wheels of Varghese and Lauck (SOSP 1987), scheme 6.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// The deadlines of one worker. [`Wheel::run`] must be polled for them to fire.
#[derive(Debug)]
pub struct Wheel {
    start: Instant,
    now: Cell<u64>,
    waiting: Cell<usize>,
    entries: RefCell<Vec<Entry>>,
    /// Entries of timers that have gone.
    free: RefCell<Vec<usize>>,
    buckets: RefCell<Box<[Vec<Filed>]>>,
    first: Notify,
}

/// One deadline that can be set, moved and cleared; dropping it clears it.
#[derive(Debug)]
pub struct Timer {
    wheel: Rc<Wheel>,
    key: usize,
}

#[derive(Debug)]
struct Entry {
    /// The tick at which it fires; `NEVER` when clear.
    deadline: u64,
    /// The tick of the bucket that holds it; `NEVER` when none does.
    filed: u64,
    waker: Option<Waker>,
}

/// A reference from a bucket; out of date when the entry has another place by now.
#[derive(Debug)]
struct Filed {
    key: usize,
    tick: u64,
}

impl Wheel {
    /// An empty wheel that starts now.
    pub fn new() -> Rc<Self> {
        Rc::new(Self {
            start: Instant::now(),
            now: Cell::new(0),
            waiting: Cell::new(0),
            entries: RefCell::default(),
            free: RefCell::default(),
            buckets: RefCell::new((0..BUCKETS).map(|_| Vec::new()).collect()),
            first: Notify::new(),
        })
    }

    /// Turns the wheel for ever; sleeps while no deadline is set. Cancel-safe.
    pub async fn run(self: Rc<Self>) {
        loop {
            if self.waiting.get() == 0 {
                self.first.notified().await;
            }
            // At the border of a tick: a sleep of a tick's length from anywhere within one would add as much
            // to each deadline, and a little more each time.
            let next = self.tick_before(Instant::now()) + 1;
            let since_start = Duration::from_millis(next * TICK.as_millis() as u64);
            tokio::time::sleep_until(self.start + since_start).await;
            self.turn(Instant::now());
        }
    }

    /// Wakes the task of every timer, due or not, so that it sees a change of the worker's phase.
    pub fn wake_all(&self) {
        let wakers: Vec<Waker> = self
            .entries
            .borrow_mut()
            .iter_mut()
            .filter_map(|entry| entry.waker.take())
            .collect();
        wakers.into_iter().for_each(Waker::wake);
    }

    fn turn(&self, now: Instant) {
        let last = self.now.get();
        let now = self.tick_before(now);
        if now <= last {
            return;
        }
        self.now.set(now);
        let mut due = Vec::new();
        // A stall longer than a whole turn of the wheel passes each bucket once.
        for tick in (last + 1..=now).rev().take(BUCKETS) {
            let bucket = std::mem::take(&mut self.buckets.borrow_mut()[bucket_of(tick)]);
            self.waiting.set(self.waiting.get() - bucket.len());
            for filed in bucket {
                self.visit(&filed, now, &mut due);
            }
        }
        due.into_iter().for_each(Waker::wake);
    }

    fn visit(&self, filed: &Filed, now: u64, due: &mut Vec<Waker>) {
        let mut entries = self.entries.borrow_mut();
        let Some(entry) = entries
            .get_mut(filed.key)
            .filter(|entry| entry.filed == filed.tick)
        else {
            return;
        };
        entry.filed = NEVER;
        if entry.deadline <= now {
            due.extend(entry.waker.take());
        } else if entry.deadline != NEVER {
            self.file(filed.key, entry);
        }
    }

    fn file(&self, key: usize, entry: &mut Entry) {
        // Beyond one turn it is filed as far ahead as the wheel reaches and looked at again there.
        let tick = entry
            .deadline
            .clamp(self.now.get() + 1, self.now.get() + BUCKETS as u64 - 1);
        entry.filed = tick;
        self.buckets.borrow_mut()[bucket_of(tick)].push(Filed { key, tick });
        if self.waiting.replace(self.waiting.get() + 1) == 0 {
            self.first.notify_one();
        }
    }

    fn tick_before(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.start);
        since.as_secs() * TICKS_PER_SECOND + u64::from(since.subsec_nanos() / TICK.subsec_nanos())
    }

    fn tick_after(&self, at: Instant) -> u64 {
        // Rounded up, or a deadline would fire early.
        let since = at.saturating_duration_since(self.start);
        let ticks = since.subsec_nanos().div_ceil(TICK.subsec_nanos());
        since.as_secs() * TICKS_PER_SECOND + u64::from(ticks)
    }
}

impl Timer {
    /// A timer on `wheel`, clear.
    pub fn new(wheel: &Rc<Wheel>) -> Self {
        let key = wheel.free.borrow_mut().pop().unwrap_or_else(|| {
            let mut entries = wheel.entries.borrow_mut();
            entries.push(Entry {
                deadline: NEVER,
                filed: NEVER,
                waker: None,
            });
            entries.len() - 1
        });
        Self {
            wheel: Rc::clone(wheel),
            key,
        }
    }

    /// Fires at `deadline` in place of any earlier setting.
    pub fn set(&self, deadline: Instant) {
        let tick = self.wheel.tick_after(deadline);
        // While no deadline is set the wheel stands still; it must know today's date before filing anew.
        if self.wheel.waiting.get() == 0 {
            self.wheel.turn(Instant::now());
        }
        let mut entries = self.wheel.entries.borrow_mut();
        let entry = &mut entries[self.key];
        entry.deadline = tick;
        if tick < entry.filed {
            self.wheel.file(self.key, entry);
        }
    }

    /// Clears the deadline.
    pub fn clear(&self) {
        self.wheel.entries.borrow_mut()[self.key].deadline = NEVER;
    }

    /// Ready once the deadline has passed, and until it is set anew or cleared. Wakes one task: the last
    /// that polled. Also wakes it, without being ready, when the worker changes its phase.
    pub fn poll_expired(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut entries = self.wheel.entries.borrow_mut();
        let entry = &mut entries[self.key];
        if entry.deadline <= self.wheel.now.get() {
            return Poll::Ready(());
        }
        match &entry.waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            Some(_) | None => entry.waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // The bucket goes on holding the entry, for whoever takes it next.
        let waker = {
            let entry = &mut self.wheel.entries.borrow_mut()[self.key];
            entry.deadline = NEVER;
            entry.waker.take()
        };
        self.wheel.free.borrow_mut().push(self.key);
        drop(waker);
    }
}

fn bucket_of(tick: u64) -> usize {
    (tick % BUCKETS as u64) as usize
}

/// Ten a second: fine enough for timeouts of a quarter of a second, coarse enough to cost nothing.
const TICK: Duration = Duration::from_millis(100);

const TICKS_PER_SECOND: u64 = 1_000_000_000 / TICK.subsec_nanos() as u64;

/// About 100 s a turn: most deadlines are filed once.
const BUCKETS: usize = 1024;

const NEVER: u64 = u64::MAX;

#[cfg(test)]
mod tests;
