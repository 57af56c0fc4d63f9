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
use crate::backend::Backend;
use crate::worker::{Descriptors, Worker};

/// Idle connections, by backend.
#[derive(Debug)]
pub struct Store {
    worker: Rc<Worker>,
    descriptors: Arc<Descriptors>,
    idle: RefCell<HashMap<u32, Vec<Idle>, RandomState>>,
    count: Cell<usize>,
    most: usize,
}

#[derive(Debug)]
struct Idle {
    connection: Box<Connection>,
    since: Instant,
    until: Instant,
}

impl Store {
    pub(super) fn new(worker: Rc<Worker>, most: usize, descriptors: Arc<Descriptors>) -> Rc<Self> {
        Rc::new(Self {
            worker,
            descriptors,
            idle: RefCell::default(),
            count: Cell::new(0),
            most: most.max(1),
        })
    }

    /// Takes the connection used last, if there is one that still stands.
    pub(super) fn take(&self, backend: &Backend) -> Option<Box<Connection>> {
        let mut idle = self.idle.borrow_mut();
        let connections = idle.get_mut(&backend.number())?;
        while let Some(Idle { mut connection, .. }) = connections.pop() {
            self.count.set(self.count.get() - 1);
            if stands(&connection) {
                connection.wake();
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection for at most `keep`, unless somebody waits for its descriptor.
    pub(super) fn put(&self, mut connection: Box<Connection>, keep: Duration) {
        if self.descriptors.are_awaited() {
            return;
        }
        if self.count.get() >= self.most {
            self.evict_some();
        }
        connection.rest();
        let since = Instant::now();
        let number = connection.backend.number();
        self.idle
            .borrow_mut()
            .entry(number)
            .or_default()
            .push(Idle {
                connection,
                since,
                until: since + keep,
            });
        self.count.set(self.count.get() + 1);
    }

    /// Closes what is too old or has ended, and what belongs to a backend that is no longer `wanted`.
    pub fn sweep(&self, mut wanted: impl FnMut(&Arc<Backend>) -> bool) {
        if self.count.get() == 0 {
            return;
        }
        let now = Instant::now();
        let mut gone = Vec::new();
        let mut idle = self.idle.borrow_mut();
        idle.retain(|_, connections| {
            gone.extend(connections.extract_if(.., |idle| {
                idle.until <= now || !stands(&idle.connection) || !wanted(&idle.connection.backend)
            }));
            !connections.is_empty()
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
        let mut idle = self.idle.borrow_mut();
        let mut ages: Vec<Instant> = idle.values().flatten().map(|idle| idle.since).collect();
        let (_, border, _) = ages.select_nth_unstable(count / 8);
        let border = *border;
        let mut gone = 0;
        idle.retain(|_, connections| {
            let before = connections.len();
            connections.retain(|idle| idle.since > border);
            gone += before - connections.len();
            !connections.is_empty()
        });
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

/// Whether the backend has kept the connection open and silent.
fn stands(connection: &Connection) -> bool {
    connection.stream.is_quiet()
}
