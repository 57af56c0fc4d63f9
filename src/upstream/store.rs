//! The idle connections of one worker.
//!
//! Last in, first out, so that those too many grow old and are closed. A connection whose backend has
//! closed it, or has sent bytes that nobody asked for, is readable; the runtime knows that already, so
//! looking costs no system call, and such a connection is never used again.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ahash::RandomState;
use tokio::time::Instant;

use super::Connection;
use super::habit::Habit;
use super::turns::Turns;
use crate::backend::{Backend, Secure};
use crate::worker::{Descriptors, Worker};

/// Idle connections, by backend.
#[derive(Debug)]
pub struct Store {
    worker: Rc<Worker>,
    descriptors: Arc<Descriptors>,
    turns: Rc<Turns>,
    shelves: RefCell<HashMap<u32, Shelf, RandomState>>,
    count: Cell<usize>,
    most: usize,
}

/// Notes that the backend closed a connection; what this worker learns of it, everybody may see.
fn learn(habit: &mut Habit, backend: &Backend, rested: Duration, now: Instant) {
    if habit.note_end(rested, now) {
        backend.note_closes_idle_after(rested);
    }
}

/// What is kept of one backend.
#[derive(Debug, Default)]
struct Shelf {
    idle: Vec<Idle>,
    habit: Habit,
}

#[derive(Debug)]
struct Idle {
    connection: Box<Connection>,
    since: Instant,
    until: Instant,
}

impl Store {
    pub(super) fn new(
        worker: Rc<Worker>,
        most: usize,
        (descriptors, turns): (Arc<Descriptors>, Rc<Turns>),
    ) -> Rc<Self> {
        Rc::new(Self {
            worker,
            descriptors,
            turns,
            shelves: RefCell::default(),
            count: Cell::new(0),
            most: most.max(1),
        })
    }

    /// Takes the connection used last, if there is one that still stands and is not too old by now: the
    /// sweep comes now and then, and the backend may be about to close it. One of other settings of TLS is closed.
    pub(super) fn take(
        &self,
        (backend, secure): (&Backend, Option<&Arc<Secure>>),
        now: Instant,
    ) -> Option<Box<Connection>> {
        let mut shelves = self.shelves.borrow_mut();
        let Shelf { idle, habit } = shelves.get_mut(&backend.number())?;
        while let Some(Idle {
            mut connection,
            since,
            until,
        }) = idle.pop()
        {
            self.count.set(self.count.get() - 1);
            if until <= now || !is_same(connection.secure.as_ref(), secure) {
                continue;
            }
            let rested = now.saturating_duration_since(since);
            if stands(&mut connection) {
                connection.wake(rested);
                return Some(connection);
            }
            learn(habit, backend, rested, now);
        }
        None
    }

    /// The same, if it was used within the last second. An older one makes room for the new one that will be made, or
    /// backends would have more connections for every request that may not use an old one.
    pub(super) fn take_recent(
        &self,
        whose: (&Backend, Option<&Arc<Secure>>),
        now: Instant,
    ) -> Option<Box<Connection>> {
        let taken = self.take(whose, now)?;
        (taken.rested < RECENT).then_some(taken)
    }

    /// Notes that the backend closed a connection before it could be used again.
    pub(super) fn note_end(&self, connection: &Connection) {
        let mut shelves = self.shelves.borrow_mut();
        if let Some(shelf) = shelves.get_mut(&connection.backend.number()) {
            let Connection {
                backend, rested, ..
            } = connection;
            learn(&mut shelf.habit, backend, *rested, Instant::now());
        }
    }

    /// Gives a connection to whoever waits for one; else keeps it for at most `keep`, unless somebody waits for its
    /// descriptor.
    pub(super) fn put(&self, mut connection: Box<Connection>, keep: Duration) {
        if self.turns.is_awaited() {
            match self.turns.offer(connection) {
                Some(unwanted) => connection = unwanted,
                None => return,
            }
        }
        if self.descriptors.are_awaited() {
            return;
        }
        if self.count.get() >= self.most {
            self.evict_some();
        }
        connection.rest();
        let since = Instant::now();
        let number = connection.backend.number();
        let mut shelves = self.shelves.borrow_mut();
        let Shelf { idle, habit } = shelves.entry(number).or_default();
        idle.push(Idle {
            connection,
            since,
            until: since + habit.bound(keep, since),
        });
        self.count.set(self.count.get() + 1);
    }

    /// Closes what is too old or has ended, and what belongs to a backend that is no longer `wanted`.
    pub fn sweep(&self, mut wanted: impl FnMut(&Arc<Backend>) -> bool) {
        let mut shelves = self.shelves.borrow_mut();
        if shelves.is_empty() {
            return;
        }
        let now = Instant::now();
        let mut gone = Vec::new();
        shelves.retain(|_, Shelf { idle, habit }| {
            gone.extend(idle.extract_if(.., |idle| {
                if idle.until <= now || !wanted(&idle.connection.backend) {
                    return true;
                }
                let ended = !stands(&mut idle.connection);
                if ended {
                    let rested = now.saturating_duration_since(idle.since);
                    learn(habit, &idle.connection.backend, rested, now);
                }
                ended
            }));
            !idle.is_empty() || habit.is_known(now)
        });
        self.count.set(self.count.get() - gone.len());
    }

    /// Closes the eighth that was used least recently; false if there was none. An eighth at a time, so
    /// that looking for the oldest costs little for each.
    pub fn evict_some(&self) -> bool {
        let count = self.count.get();
        if count == 0 {
            return false;
        }
        let mut shelves = self.shelves.borrow_mut();
        let kept = shelves.values().flat_map(|shelf| &shelf.idle);
        let mut ages: Vec<Instant> = kept.map(|idle| idle.since).collect();
        let (_, border, _) = ages.select_nth_unstable(count / 8);
        let border = *border;
        let mut gone = 0;
        for Shelf { idle, .. } in shelves.values_mut() {
            let before = idle.len();
            idle.retain(|idle| idle.since > border);
            gone += before - idle.len();
        }
        self.count.set(count - gone);
        true
    }

    /// Closes some if somebody waits for descriptors: it may be on another worker.
    pub fn make_room(&self) {
        if self.descriptors.are_awaited() {
            self.evict_some();
        }
    }

    /// Number of connections kept.
    pub fn len(&self) -> usize {
        self.count.get()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn worker(&self) -> &Rc<Worker> {
        &self.worker
    }
}

/// How long ago a connection may have been used that is good for what cannot be sent again: shorter than any backend
/// keeps one, but for those that keep none.
const RECENT: Duration = Duration::from_secs(1);

/// Whether the backend has kept the connection open and silent.
pub(super) fn stands(connection: &mut Connection) -> bool {
    connection.stream.is_quiet()
}

/// Whether a connection of the one setting of TLS serves where the other is wanted.
pub(super) fn is_same(one: Option<&Arc<Secure>>, other: Option<&Arc<Secure>>) -> bool {
    one.map(Arc::as_ptr) == other.map(Arc::as_ptr)
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use tokio::net::UnixStream;
    use tokio::time::advance;

    use super::super::turns::{Got, Ticket};
    use super::*;
    use crate::backend::{Address, BackendKey};
    use crate::telemetry::{BackendMeters, WorkerId};
    use crate::worker::Stream;

    const KEEP: Duration = Duration::from_secs(60);

    /// A store for so many connections, and what it needs.
    struct Yard {
        store: Rc<Store>,
        descriptors: Arc<Descriptors>,
    }

    impl Yard {
        fn for_most(most: usize) -> Self {
            let descriptors = Descriptors::new(1000);
            let worker = Worker::new(WorkerId(0), 1);
            Self {
                store: Store::new(worker, most, (Arc::clone(&descriptors), Turns::new(8))),
                descriptors,
            }
        }

        /// Keeps a new connection; gives the backend's end of it.
        fn keep(&self, backend: &Arc<Backend>, keep: Duration) -> UnixStream {
            let (near, far) = UnixStream::pair().unwrap();
            let worker = &self.store.worker;
            let both = (Stream::Unix(near), self.descriptors.enter());
            let whose = (Arc::clone(backend), None);
            let connection = Connection::new(both, whose, worker, worker.timer());
            self.store.put(connection, keep);
            far
        }

        fn take(&self, backend: &Backend) -> Option<Box<Connection>> {
            self.store.take((backend, None), Instant::now())
        }

        /// Lets the runtime see what has come.
        async fn settle(&self) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn backend(number: u32) -> Arc<Backend> {
        let key = BackendKey {
            pool: "shop".into(),
            address: Address::Tcp(([10, 0, 0, 1], 80).into()),
        };
        Backend::new(key, number, Arc::new(BackendMeters::new(1)))
    }

    /// Connections in use and idle.
    fn counted(backend: &Backend) -> (i64, i64) {
        let total = backend.meters().total();
        (total.connections_active, total.connections_idle)
    }

    #[tokio::test(start_paused = true)]
    async fn the_one_used_last_is_used_next_and_each_is_counted_once() {
        let (yard, one, other) = (Yard::for_most(8), backend(1), backend(2));
        let first = yard.keep(&one, KEEP);
        let second = yard.keep(&one, KEEP);
        assert!(yard.take(&other).is_none());
        assert_eq!((yard.store.len(), counted(&one)), (2, (0, 2)));
        let taken = yard.take(&one).unwrap();
        assert!(taken.reused);
        assert_eq!((yard.store.len(), counted(&one)), (1, (1, 1)));
        drop(taken);
        assert_eq!(counted(&one), (0, 1));
        // It was the second: the first still stands.
        yard.settle().await;
        assert_eq!(second.try_read(&mut [0]).unwrap(), 0);
        assert!(first.try_read(&mut [0]).is_err());
        assert!(yard.take(&one).is_some() && yard.store.is_empty());
        assert_eq!(counted(&one), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_backend_has_closed_or_written_to_is_not_used() {
        let (yard, one) = (Yard::for_most(8), backend(1));
        let _good = yard.keep(&one, KEEP);
        let spoken = yard.keep(&one, KEEP);
        drop(yard.keep(&one, KEEP));
        spoken.try_write(b"HTTP/1.1 408 Late\r\n\r\n").unwrap();
        yard.settle().await;
        assert!(yard.take(&one).is_some());
        assert!(yard.store.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_kept_too_long_is_not_used_whenever_the_sweep_comes() {
        let moment = Duration::from_millis(1);
        for late in [moment, moment * 900] {
            let (yard, one) = (Yard::for_most(8), backend(1));
            let _far = (yard.keep(&one, KEEP), yard.keep(&one, KEEP));
            advance(KEEP - moment).await;
            assert!(yard.take(&one).is_some());
            advance(late).await;
            assert!(yard.take(&one).is_none());
            assert_eq!((yard.store.len(), counted(&one)), (0, (0, 0)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_sweep_closes_what_is_old_ended_or_unwanted() {
        let (yard, one, other) = (Yard::for_most(8), backend(1), backend(2));
        let _short = yard.keep(&one, KEEP / 2);
        let _long = yard.keep(&one, KEEP);
        drop(yard.keep(&one, KEEP));
        let _unwanted = yard.keep(&other, KEEP);
        advance(KEEP / 2).await;
        yard.settle().await;
        yard.store.sweep(|backend| backend.number() == 1);
        assert_eq!(yard.store.len(), 1);
        assert_eq!((counted(&one), counted(&other)), ((0, 1), (0, 0)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_sent_again_gets_one_used_just_now_and_an_old_one_makes_room() {
        let (yard, one) = (Yard::for_most(8), backend(1));
        let _far = (yard.keep(&one, KEEP), yard.keep(&one, KEEP));
        advance(RECENT - Duration::from_millis(1)).await;
        let recent = |yard: &Yard| yard.store.take_recent((&one, None), Instant::now());
        assert!(recent(&yard).is_some());
        advance(Duration::from_millis(1)).await;
        assert!(recent(&yard).is_none());
        assert_eq!((yard.store.len(), counted(&one)), (0, (0, 0)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_backend_closes_after_a_while_is_kept_for_less() {
        let (yard, one) = (Yard::for_most(8), backend(1));
        let five = Duration::from_secs(5);
        let far = yard.keep(&one, KEEP);
        advance(five).await;
        drop(far);
        yard.settle().await;
        yard.store.sweep(|_| true);
        assert!(yard.store.is_empty());
        let _far = (yard.keep(&one, KEEP), yard.keep(&one, KEEP));
        advance(five * 7 / 10).await;
        assert!(yard.take(&one).is_some());
        advance(five * 2 / 10).await;
        assert!(
            yard.take(&one).is_none(),
            "the backend is about to close it"
        );
        // Others are not concerned.
        let other = backend(2);
        let _far = yard.keep(&other, KEEP);
        advance(KEEP / 2).await;
        assert!(yard.take(&other).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_free_goes_to_whoever_waits_longest_and_turns_are_passed_on() {
        let (yard, one, other) = (Yard::for_most(8), backend(1), backend(2));
        let turns = Turns::new(1);
        let join = |backend: &Backend, takes_used| turns.join((backend, None), takes_used);
        let poll = |ticket: &Ticket| match ticket.poll(&Context::from_waker(Waker::noop())) {
            Poll::Ready(got) => Some(got),
            Poll::Pending => None,
        };
        let (first, fresh, last) = (join(&one, true), join(&one, false), join(&one, true));
        let elsewhere = join(&other, true);
        let Some(Got::Turn(turn)) = poll(&first) else {
            panic!("the first may connect");
        };
        assert!(matches!(poll(&elsewhere), Some(Got::Turn(_))));
        assert!(poll(&fresh).is_none() && poll(&last).is_none());
        let _far = [(); 3].map(|()| yard.keep(&one, KEEP));
        let offer = || turns.offer(yard.take(&one).unwrap());
        assert!(offer().is_none() && offer().is_none());
        assert!(offer().is_some(), "the one left wants a new one");
        // It has a turn, and takes what came first.
        assert!(matches!(poll(&first), Some(Got::Freed(_))));
        assert!(matches!(poll(&last), Some(Got::Freed(_))));
        assert!(poll(&fresh).is_none());
        drop(turn);
        assert!(matches!(poll(&fresh), Some(Got::Turn(_))));
        drop((first, fresh, last, elsewhere));
        assert!(!turns.is_awaited());
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_the_most_the_oldest_go() {
        let (yard, one) = (Yard::for_most(16), backend(1));
        let mut far = Vec::new();
        for _ in 0..40 {
            far.push(yard.keep(&one, KEEP));
            assert!(yard.store.len() <= 16);
            advance(Duration::from_millis(10)).await;
        }
        yard.settle().await;
        let stands: Vec<bool> = far
            .iter()
            .map(|far| far.try_read(&mut [0]).is_err())
            .collect();
        let first = stands.iter().position(|stands| *stands).unwrap();
        assert!(stands[first..].iter().all(|stands| *stands), "{stands:?}");
        assert_eq!(stands.len() - first, yard.store.len());
        assert_eq!(counted(&one), (0, yard.store.len() as i64));
        while yard.store.evict_some() {}
        assert_eq!((yard.store.len(), counted(&one)), (0, (0, 0)));
    }
}
