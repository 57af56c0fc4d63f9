//! What one worker owns: its clock, timers, buffers, heads and random numbers.
//!
//! *What enters*: nothing from outside; a worker makes it once when its thread starts. *What leaves*:
//! an `Rc<Worker>` that every part of the data path on this thread shares. Nothing here is `Send`, so
//! nothing here needs a lock: that is what makes the way of a request free of them.
//!
//! In reading order: [`clock`] (what time it is for others), [`buffer`] (memory that is lent while bytes are there), [`stream`] (a socket of any
//! kind behind one type), [`output`] (bytes on their way out), [`pump`] (a body onto a stream), [`splice`] (large ones past this process), [`h2`] (bodies over
//! the streams of HTTP/2), [`wheel`] (all deadlines behind one timer), [`crew`] (tasks that are kept for the next job),
//! [`descriptors`] (the one thing that is not a worker's own: how many connections the process can hold).
//!
//! Deliberately absent: HTTP beyond the reuse of heads, backends, listeners, threads (`app` starts those).

pub mod buffer;
pub mod clock;
pub mod crew;
pub mod descriptors;
pub mod h2;
pub mod io;
pub mod output;
pub mod pump;
pub mod splice;
pub mod stream;
pub mod wheel;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

pub use buffer::{Buffer, Buffers};
pub use clock::{DateClock, HttpDate, unix_seconds};
pub use crew::Crew;
pub use descriptors::{Descriptor, Descriptors};
pub use io::Io;
pub use output::Output;
pub use pump::Pump;
pub use splice::Pipes;
pub use stream::Stream;
use tokio::time::Instant;
pub use wheel::{Timer, Wheel};

use crate::message::Head;
use crate::telemetry::WorkerId;

/// What one worker owns and shares with all its connections.
#[derive(Debug)]
pub struct Worker {
    id: WorkerId,
    buffers: Buffers,
    pipes: Rc<Pipes>,
    wheel: Rc<Wheel>,
    heads: RefCell<Vec<Head>>,
    entropy: RefCell<fastrand::Rng>,
    dates: DateClock,
    phase: Cell<Phase>,
    idle_grace_until: Cell<Option<Instant>>,
    called_off: Cell<u8>,
}

/// Where in its life a worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It serves.
    Serving,
    /// It answers what comes, closes connections behind their answers, and takes no new ones.
    Draining,
}

impl Worker {
    /// A worker with this index and seed for its random numbers; to be made on its own thread.
    pub fn new(id: WorkerId, seed: u64) -> Rc<Self> {
        Rc::new(Self {
            id,
            buffers: Buffers::default(),
            pipes: Rc::default(),
            wheel: Wheel::new(),
            heads: RefCell::default(),
            entropy: RefCell::new(fastrand::Rng::with_seed(seed)),
            dates: DateClock::default(),
            phase: Cell::new(Phase::Serving),
            idle_grace_until: Cell::new(None),
            called_off: Cell::new(0),
        })
    }

    /// Which worker this is: the index of its cells in every meter.
    pub fn id(&self) -> WorkerId {
        self.id
    }

    /// Memory for bytes in flight.
    pub fn buffers(&self) -> &Buffers {
        &self.buffers
    }

    /// Pipes for large bodies.
    pub fn pipes(&self) -> &Rc<Pipes> {
        &self.pipes
    }

    /// Deadlines.
    pub fn wheel(&self) -> &Rc<Wheel> {
        &self.wheel
    }

    /// A new timer on this worker's wheel.
    pub fn timer(&self) -> Timer {
        Timer::new(&self.wheel)
    }

    /// Takes an empty head, with memory of an earlier use if there is one.
    pub fn take_head(&self) -> Head {
        self.heads.borrow_mut().pop().unwrap_or_default()
    }

    /// Gives a head back for its memory.
    pub fn give_head(&self, mut head: Head) {
        let mut heads = self.heads.borrow_mut();
        if heads.len() < SPARE_HEADS && head.capacity() <= SPARE_HEAD_BYTES {
            head.clear();
            heads.push(head);
        }
    }

    /// One draw of 64 random bits; not for secrets.
    pub fn draw(&self) -> u64 {
        self.entropy.borrow_mut().u64(..)
    }

    /// The text of a `Date` field of now.
    pub fn date(&self) -> HttpDate {
        self.dates.now()
    }

    /// The phase it is in.
    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Enters [`Phase::Draining`] and wakes every connection to see it. A connection between two
    /// requests is kept until `idle_until`, since a request may be on its way to it.
    pub fn drain(&self, idle_until: Instant) {
        self.phase.set(Phase::Draining);
        self.idle_grace_until.set(Some(idle_until));
        self.wheel.wake_all();
    }

    /// Calls so many of 255 WebSockets off, and wakes every connection to see it. A drain alone calls off none.
    pub fn call_off(&self, share: u8) {
        self.called_off.set(share);
        self.wheel.wake_all();
    }

    /// How many of 255 WebSockets are called off.
    pub fn called_off(&self) -> u8 {
        self.called_off.get()
    }

    /// Until when a connection between two requests is kept once the worker drains.
    pub fn idle_grace_until(&self) -> Option<Instant> {
        self.idle_grace_until.get()
    }
}

/// Heads kept for reuse; more are only needed at once by that many requests in flight.
const SPARE_HEADS: usize = 256;

/// A head that grew beyond this is not worth keeping.
const SPARE_HEAD_BYTES: usize = 16 * 1024;
