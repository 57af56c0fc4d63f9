//! Whose turn it is to connect, and who takes a connection that comes free meanwhile.
//!
//! A thousand requests at once that find no idle connection must not open a thousand: the backend's queue of
//! connections overflows, the kernel drops what is beyond it and says it again a second later, and what was a burst has
//! become an outage of our own making. So only so many connect to a backend at once ([`turns_of`]); the others wait in
//! the order in which they came. A connection that comes free goes to whoever waits longest, also to one that is
//! connecting: if its SYN was lost it need not sit that out. What it had begun is finished for the next one.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use ahash::RandomState;

use super::Connection;
use super::store::is_same;
use crate::backend::{Backend, Secure};

/// How many of `workers` may connect to one backend at once, each.
///
/// All together as many as the queue of connections of a server that was set up with no thought has room for (128 for
/// long, 100 with Tomcat, 511 with nginx), and that is enough for tens of thousands a second within a data centre.
#[must_use]
pub fn turns_of(workers: usize) -> usize {
    (AT_ONCE / workers.max(1)).max(AT_LEAST)
}

/// Those of one worker who want a connection and found none idle, by backend.
#[derive(Debug)]
pub(super) struct Turns {
    most: usize,
    queues: RefCell<HashMap<u32, Queue, RandomState>>,
    /// How many wait or connect, at all backends.
    waiting: Cell<usize>,
}

/// Those who want a connection to one backend. Gone when there is neither a turn nor a waiter.
#[derive(Debug, Default)]
struct Queue {
    /// Turns that are taken.
    connecting: usize,
    /// In the order in which they came.
    waiters: VecDeque<Rc<Waiter>>,
}

#[derive(Debug)]
struct Waiter {
    /// TLS that the connection must have been made by.
    secure: Option<Arc<Secure>>,
    /// Whether one that has been used will do.
    takes_used: bool,
    /// Whether it may connect, or might before.
    had_turn: Cell<bool>,
    given: RefCell<Given>,
    waker: RefCell<Waker>,
}

/// What a waiter is given and has not fetched yet.
#[derive(Debug, Default)]
struct Given {
    connection: Option<Box<Connection>>,
    turn: Option<Turn>,
}

/// What a waiter gets.
#[derive(Debug)]
pub(super) enum Got {
    /// A connection that has come free.
    Freed(Box<Connection>),
    /// The right to connect. It goes on waiting for a free one.
    Turn(Turn),
}

/// The right to connect; dropping it passes it on.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Rc<Turns>,
    backend: u32,
}

/// A place among those who wait. Dropping it leaves.
#[derive(Debug)]
pub(super) struct Ticket {
    turns: Rc<Turns>,
    backend: u32,
    waiter: Rc<Waiter>,
}

impl Turns {
    pub(super) fn new(most: usize) -> Rc<Self> {
        Rc::new(Self {
            most: most.max(1),
            queues: RefCell::default(),
            waiting: Cell::new(0),
        })
    }

    /// Whether anybody wants a connection. One look: this is asked whenever a connection comes free.
    pub(super) fn is_awaited(&self) -> bool {
        self.waiting.get() > 0
    }

    /// Queues up for a connection to `backend`; for one that has been used only if `takes_used`.
    pub(super) fn join(
        self: &Rc<Self>,
        (backend, secure): (&Backend, Option<&Arc<Secure>>),
        takes_used: bool,
    ) -> Ticket {
        let backend = backend.number();
        let waiter = Rc::new(Waiter {
            secure: secure.cloned(),
            takes_used,
            had_turn: Cell::new(false),
            given: RefCell::default(),
            waker: RefCell::new(Waker::noop().clone()),
        });
        let mut queues = self.queues.borrow_mut();
        let queue = queues.entry(backend).or_default();
        queue.waiters.push_back(Rc::clone(&waiter));
        drop(queues);
        self.waiting.set(self.waiting.get() + 1);
        self.grant(backend);
        Ticket {
            turns: Rc::clone(self),
            backend,
            waiter,
        }
    }

    /// Puts somebody at the front again who was given a connection that had ended.
    pub(super) fn rejoin(self: &Rc<Self>, ticket: &Ticket) {
        let mut queues = self.queues.borrow_mut();
        let queue = queues.entry(ticket.backend).or_default();
        queue.waiters.push_front(Rc::clone(&ticket.waiter));
        drop(queues);
        self.waiting.set(self.waiting.get() + 1);
        self.grant(ticket.backend);
    }

    /// Gives a connection that has come free to whoever waits longest for such a one; back if nobody does.
    pub(super) fn offer(&self, mut connection: Box<Connection>) -> Option<Box<Connection>> {
        let mut queues = self.queues.borrow_mut();
        let Some(queue) = queues.get_mut(&connection.backend.number()) else {
            return Some(connection);
        };
        let fits = |waiter: &Rc<Waiter>| {
            waiter.takes_used && is_same(connection.secure.as_ref(), waiter.secure.as_ref())
        };
        let Some(at) = queue.waiters.iter().position(fits) else {
            return Some(connection);
        };
        let Some(waiter) = queue.waiters.remove(at) else {
            return Some(connection);
        };
        drop(queues);
        self.waiting.set(self.waiting.get() - 1);
        connection.rest();
        waiter.given.borrow_mut().connection = Some(connection);
        waiter.wake();
        None
    }

    /// Gives the turns that are left to those who have waited longest without one.
    fn grant(self: &Rc<Self>, backend: u32) {
        let mut granted = Vec::new();
        if let Some(queue) = self.queues.borrow_mut().get_mut(&backend) {
            for waiter in &queue.waiters {
                if queue.connecting >= self.most {
                    break;
                }
                if !waiter.had_turn.replace(true) {
                    queue.connecting += 1;
                    granted.push(Rc::clone(waiter));
                }
            }
        }
        for waiter in granted {
            let turn = Turn {
                turns: Rc::clone(self),
                backend,
            };
            waiter.given.borrow_mut().turn = Some(turn);
            waiter.wake();
        }
    }

    fn forget_if_idle(&self, backend: u32) {
        let mut queues = self.queues.borrow_mut();
        let is_idle = |queue: &Queue| queue.connecting == 0 && queue.waiters.is_empty();
        if queues.get(&backend).is_some_and(is_idle) {
            queues.remove(&backend);
        }
    }
}

impl Waiter {
    fn wake(&self) {
        self.waker.borrow().wake_by_ref();
    }
}

impl Ticket {
    /// What it is given next; a free connection before a turn. Nothing comes behind a connection. Cancel-safe.
    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<Got> {
        let mut given = self.waiter.given.borrow_mut();
        if let Some(connection) = given.connection.take() {
            return Poll::Ready(Got::Freed(connection));
        }
        if let Some(turn) = given.turn.take() {
            return Poll::Ready(Got::Turn(turn));
        }
        drop(given);
        self.waiter.waker.borrow_mut().clone_from(cx.waker());
        Poll::Pending
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut queues = self.turns.queues.borrow_mut();
        if let Some(queue) = queues.get_mut(&self.backend) {
            let before = queue.waiters.len();
            queue
                .waiters
                .retain(|waiter| !Rc::ptr_eq(waiter, &self.waiter));
            let left = before - queue.waiters.len();
            self.turns.waiting.set(self.turns.waiting.get() - left);
        }
        drop(queues);
        let Given { connection, turn } = self.waiter.given.take();
        // Nobody fetched it: the next one may have it. What nobody wants is closed.
        if let Some(connection) = connection {
            drop(self.turns.offer(connection));
        }
        drop(turn);
        self.turns.forget_if_idle(self.backend);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(queue) = self.turns.queues.borrow_mut().get_mut(&self.backend) {
            queue.connecting -= 1;
        }
        self.turns.grant(self.backend);
        self.turns.forget_if_idle(self.backend);
    }
}

/// Of all workers together, to one backend.
const AT_ONCE: usize = 128;

/// Of each worker, however many there are.
const AT_LEAST: usize = 8;
