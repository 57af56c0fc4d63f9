//! What a drill is, and what it leaves: rows of a table, and promises that were kept or not.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use crate::Outcome;
use crate::backend::Mode;
use crate::fleet::Fleet;
use crate::load::{Load, Schedule};
use crate::proxy::{Kind, Proxy, Setup};
use crate::tally::Tally;
use crate::wait::{DEADLINE, wait_until};

/// One of them.
#[derive(Debug)]
pub(crate) struct Drill {
    pub(crate) name: &'static str,
    /// What is done, in a sentence or two.
    pub(crate) story: &'static str,
    pub(crate) run: fn(Kind, Scale) -> Outcome<Vec<Row>>,
}

/// How large.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    pub(crate) full: bool,
    /// Requests a second.
    pub(crate) rate: u32,
    /// How long a fault lasts.
    pub(crate) fault: Duration,
}

/// One load through one proxy.
#[derive(Debug)]
pub(crate) struct Row {
    /// What the proxy's name does not say.
    pub(crate) when: &'static str,
    pub(crate) tally: Tally,
    /// What else was seen.
    pub(crate) besides: Vec<String>,
    pub(crate) promises: Vec<Promise>,
}

/// What forecourt promises of this. The others are measured by it, and held to nothing.
#[derive(Debug)]
pub(crate) struct Promise {
    pub(crate) text: &'static str,
    pub(crate) is_kept: bool,
    /// What was found.
    pub(crate) found: String,
}

impl Row {
    pub(crate) fn new(tally: Tally) -> Self {
        Self {
            when: "",
            tally,
            besides: Vec::new(),
            promises: Vec::new(),
        }
    }

    pub(crate) fn besides(mut self, text: impl Into<String>) -> Self {
        self.besides.push(text.into());
        self
    }

    pub(crate) fn promise(
        mut self,
        text: &'static str,
        is_kept: bool,
        found: impl Into<String>,
    ) -> Self {
        self.promises.push(Promise {
            text,
            is_kept,
            found: found.into(),
        });
        self
    }

    /// The same of what has to be zero.
    pub(crate) fn none(self, text: &'static str, count: usize) -> Self {
        self.promise(text, count == 0, count.to_string())
    }

    /// Nothing failed, of whatever kind.
    pub(crate) fn all_answered(self) -> Self {
        let (found, is_kept) = (
            self.tally.failures(),
            self.tally.answered() == self.tally.offered(),
        );
        self.promise("no request fails", is_kept, found)
    }

    /// What can be sent again is, and what cannot is not.
    pub(crate) fn safe(self, fleet: &Fleet) -> Outcome<Self> {
        let (gets, twice) = (self.tally.failed_gets(), fleet.orders()?.twice);
        let besides = format!("POSTs that came to backends twice: {twice}");
        Ok(self
            .none("no GET fails whose answer had not begun", gets)
            .none("no POST is done twice", twice)
            .besides(besides))
    }
}

/// The backends and a proxy before them.
#[derive(Debug)]
pub(crate) struct Scene {
    // In this order: the proxy goes first.
    pub(crate) proxy: Proxy,
    pub(crate) fleet: Fleet,
    _folder: TempDir,
}

/// How long a load goes on before something happens, and behind it.
pub(crate) const CALM: Duration = Duration::from_secs(1);

impl Scene {
    pub(crate) fn open(kind: Kind, mode: Mode, setup: Setup) -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        let path: &Path = folder.path();
        let mut fleet = Fleet::start(path)?;
        fleet.tell(mode)?;
        let addresses: Vec<_> = fleet.backends.iter().map(|one| one.address).collect();
        Ok(Self {
            proxy: Proxy::start(kind, &addresses, setup)?,
            fleet,
            _folder: folder,
        })
    }

    pub(crate) fn load(&self, schedule: Schedule) -> Load {
        Load::start(self.proxy.address, schedule)
    }

    /// Waits until the proxy says that a backend takes requests, or takes none; does not wait for one that does not say.
    /// Tells how long it took.
    pub(crate) fn wait_until_it(&self, takes: bool, backend: usize, load: &Load) -> Wait {
        let began = load.now();
        if self.proxy.takes(backend).is_none() {
            return Wait { began, took: None };
        }
        let what = if takes {
            "a backend to be in"
        } else {
            "a backend to be out"
        };
        wait_until(DEADLINE, what, || self.proxy.takes(backend) == Some(takes));
        let took = Some(load.now().saturating_sub(began));
        Wait { began, took }
    }
}

/// How long something took, from when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait {
    pub(crate) began: Duration,
    pub(crate) took: Option<Duration>,
}

impl Wait {
    /// When it was over; when it began if nobody knows.
    pub(crate) fn ended(&self) -> Duration {
        self.began + self.took.unwrap_or_default()
    }

    pub(crate) fn said(&self, what: &str) -> String {
        match self.took {
            Some(took) => format!("{what} after {:.1} s", took.as_secs_f64()),
            None => format!("{what}: it does not say when"),
        }
    }
}
