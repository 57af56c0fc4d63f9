//! The shadow: what has to be true, kept by hand beside the real thing.
//!
//! It knows what the world did (words, weights, outcomes, reloads) and what requests went through, and works out by the plain
//! rules what follows: never by the product's code. [`course`] has the requests: claims and retries; [`queue`] those that
//! wait. [`standing`] has the backends: verdicts, ejections, ramps, and who is eligible. The first thing that is not as it
//! should be is kept.

mod course;
mod queue;
mod standing;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Weak;
use std::time::{Duration, Instant};

use forecourt::backend::{Backend, Health, OperatorWord};

pub(crate) use course::{Asked, Ended, Over};
pub(crate) use standing::Version;

use crate::requests::Number;
use crate::settings::{Port, Settings};
use crate::tally::Tally;

/// The shadow, as tasks and driver share it; never borrowed over an await.
pub(crate) type Shared = Rc<RefCell<Shadow>>;

/// What has to be true.
#[derive(Debug)]
pub(crate) struct Shadow {
    pub(crate) settings: Settings,
    pub(crate) backends: BTreeMap<Port, Facts>,
    /// What requests that begin now see.
    pub(crate) newest: Rc<Version>,
    /// Requests that have not ended.
    pub(crate) asked: BTreeMap<Number, Asked>,
    /// Sessions: the cookie and whom it names, by client.
    pub(crate) sessions: BTreeMap<u32, (String, Port)>,
    /// Requests that hold a counted place of the pool.
    pub(crate) places_taken: u32,
    /// Ramps: how each backend stood at the last look.
    known: BTreeMap<Port, standing::Known>,
    /// When the interval of ejections ends.
    pub(crate) interval_end: Option<Instant>,
    /// Picks that passed an idle backend over, in a row.
    missed: BTreeMap<Port, u64>,
    /// Counts events: whoever comes later has the higher number.
    serial: u64,
    pub(crate) tally: Tally,
    pub(crate) broken: Option<Broken>,
    trace: Option<Vec<String>>,
    start: Instant,
}

/// What is not as it should be.
#[derive(Clone, Debug)]
pub(crate) struct Broken {
    pub(crate) invariant: &'static str,
    pub(crate) what: String,
}

/// What is true of a backend.
#[derive(Debug)]
pub(crate) struct Facts {
    /// Weak, for whoever holds a backend keeps it alive.
    pub(crate) real: Weak<Backend>,
    pub(crate) number: u32,
    pub(crate) word: OperatorWord,
    /// Whether no configuration names it any more.
    removed: bool,
    /// Whether it has had no weight since members were made last.
    weightless: bool,
    pub(crate) health: Health,
    /// Outcomes of its checks since they began.
    outcomes: Vec<bool>,
    /// When its ejection ends.
    pub(crate) ejected: Option<Instant>,
    /// Checks that succeeded in a row since it was ejected.
    successes: u32,
    /// Ejections that are not forgiven.
    times: u32,
    /// Since when it has been in, if it was ejected before.
    since: Option<Instant>,
    /// Whether a check has ended its ejection, which whoever ejects has not seen.
    lifted: bool,
    /// Failures in a row.
    fails: u32,
    pub(crate) in_flight: u32,
    pub(crate) cap: u32,
    pub(crate) configured: u32,
    /// A weight set at run time, and what the configuration said then.
    pub(crate) steered: Option<(u32, u32)>,
    pub(crate) backup: bool,
    /// Per cent of its weight.
    ramp: u8,
}

impl Shadow {
    pub(crate) fn new(settings: Settings, traced: bool) -> Self {
        Self {
            newest: Rc::new(Version::none(&settings)),
            settings,
            backends: BTreeMap::new(),
            asked: BTreeMap::new(),
            sessions: BTreeMap::new(),
            places_taken: 0,
            known: BTreeMap::new(),
            interval_end: None,
            missed: BTreeMap::new(),
            serial: 0,
            tally: Tally::default(),
            broken: None,
            trace: traced.then(Vec::new),
            start: now(),
        }
    }

    /// Notes a step, if somebody wants to read it.
    pub(crate) fn tell(&mut self, what: impl FnOnce() -> String) {
        // What comes behind a broken promise says nothing.
        if let (Some(trace), None) = (&mut self.trace, &self.broken) {
            let at = now().duration_since(self.start).as_secs_f64();
            trace.push(format!("{at:>9.3}  {}", what()));
        }
    }

    pub(crate) fn take_trace(&mut self) -> Vec<String> {
        self.trace.take().unwrap_or_default()
    }

    /// Holds that something is so.
    pub(crate) fn hold(
        &mut self,
        invariant: &'static str,
        is_so: bool,
        what: impl FnOnce() -> String,
    ) {
        if !is_so && self.broken.is_none() {
            let what = what();
            self.tell(|| format!("BROKEN {invariant}: {what}"));
            self.broken = Some(Broken { invariant, what });
        }
    }

    fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// Events so far.
    pub(crate) fn events(&self) -> u64 {
        self.serial
    }

    fn facts(&mut self, port: Port) -> &mut Facts {
        self.backends
            .get_mut(&port)
            .expect("nobody is asked who never was configured")
    }

    fn of(&self, port: Port) -> &Facts {
        &self.backends[&port]
    }
}

impl Facts {
    pub(crate) fn weight(&self) -> u32 {
        match self.steered {
            Some((weight, configured)) if configured == self.configured => weight,
            _ => self.configured,
        }
    }

    fn has_room(&self) -> bool {
        self.cap == 0 || self.in_flight < self.cap
    }

    /// Whether a request may come that began before, and is bound to it or not.
    fn still_takes(&self, bound: bool) -> bool {
        !self.removed
            && match self.word {
                OperatorWord::Ready => bound || !self.weightless,
                OperatorWord::Draining => bound,
                OperatorWord::Maintenance => false,
            }
    }

    fn takes_new(&self) -> bool {
        self.word == OperatorWord::Ready && self.takes_bound()
    }

    fn takes_bound(&self) -> bool {
        self.word != OperatorWord::Maintenance
            && self.health == Health::Well
            && self.ejected.is_none()
    }

    fn is_wanted(&self) -> bool {
        self.word == OperatorWord::Ready && self.health != Health::Unproven
    }
}

/// The time of the simulation.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// A deadline may be so late: a tick of the worker's wheel, and the rounding of its timers.
const LATE: Duration = Duration::from_millis(105);
