//! One connection to a backend, and its place in the counts.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::backend::{Backend, Secure};
use crate::telemetry::BackendCells;
use crate::worker::{Buffer, Descriptor, Output, Stream, Timer, Worker};

/// A connection to a backend. Dropping it closes it.
#[derive(Debug)]
pub struct Connection {
    pub(super) stream: Stream,
    pub(super) input: Buffer,
    pub(super) output: Output,
    pub(super) timer: Timer,
    pub(super) backend: Arc<Backend>,
    pub(super) worker: Rc<Worker>,
    /// TLS with the backend as it was when the connection was made.
    pub(super) secure: Option<Arc<Secure>>,
    /// Whether it has carried an exchange before this one.
    pub(super) reused: bool,
    /// How long it had rested when it was taken for this exchange.
    pub(super) rested: Duration,
    use_now: Use,
    /// The last field: given back when the socket is closed.
    _descriptor: Descriptor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Active,
    Idle,
}

impl Connection {
    /// A new connection, in use.
    pub(super) fn new(
        (stream, descriptor): (Stream, Descriptor),
        (backend, secure): (Arc<Backend>, Option<Arc<Secure>>),
        worker: &Rc<Worker>,
        timer: Timer,
    ) -> Box<Self> {
        let connection = Box::new(Self {
            stream,
            input: Buffer::default(),
            output: Output::default(),
            timer,
            backend,
            worker: Rc::clone(worker),
            secure,
            reused: false,
            rested: Duration::ZERO,
            use_now: Use::Active,
            _descriptor: descriptor,
        });
        connection.cells().connections_active.add(1);
        connection
    }

    /// Counts it as idle, and gives back what an idle connection does not need.
    pub(super) fn rest(&mut self) {
        self.timer.clear();
        self.worker.buffers().take_back(&mut self.input);
        self.output.release(self.worker.buffers());
        self.count_as(Use::Idle);
        self.reused = true;
    }

    /// Counts it as in use, after it has rested so long.
    pub(super) fn wake(&mut self, rested: Duration) {
        self.rested = rested;
        self.count_as(Use::Active);
    }

    fn count_as(&mut self, now: Use) {
        self.gauge_of(self.use_now, -1);
        self.gauge_of(now, 1);
        self.use_now = now;
    }

    fn gauge_of(&self, which: Use, by: i64) {
        match which {
            Use::Active => self.cells().connections_active.add(by),
            Use::Idle => self.cells().connections_idle.add(by),
        }
    }

    fn cells(&self) -> &BackendCells {
        self.backend.meters().at(self.worker.id())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.stream.say_goodbye();
        self.gauge_of(self.use_now, -1);
        self.worker.buffers().take_back(&mut self.input);
    }
}
