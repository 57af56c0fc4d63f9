//! What the admin API has changed by whoever governs the process, and how it is answered.
//!
//! The API changes no configuration itself: it sends an [`Order`] to the one place that does, where SIGHUP arrives too,
//! and waits for the answer. So two changes never run at once, and all are logged, counted and remembered alike.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use utoipa::ToSchema;

use crate::config::Problem;
use crate::health::trial::{Figures, Terms};
use crate::plan::diff::Change;
use crate::plan::moves::{Moved, Moves};

/// Something that is wanted of whoever governs.
#[derive(Debug)]
pub struct Order {
    /// On whose behalf, for log and history.
    pub who: String,
    /// What.
    pub wish: Wish,
    /// Where the answer goes. Nobody may wait for it any more.
    pub answer: oneshot::Sender<Result<Done, Refusal>>,
}

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// What this text would change in place of the configuration's file.
    Compare(String),
    /// That the configuration on trial stays.
    Confirm,
    /// What was applied, and when.
    History,
    /// That the file is read again and applied, on trial if there are terms.
    Reload(Option<Terms>),
    /// That the configuration on trial goes at once.
    Revert,
    /// That an earlier generation is applied again, on trial if there are terms.
    Rollback(u64, Option<Terms>),
    /// The configuration as it was written.
    Show,
    /// How the trial stands.
    Trial,
    /// What the file would change.
    TryOut,
}

impl Wish {
    /// Whether it would change something, or tries out on the machine whether it could.
    pub fn touches(&self) -> bool {
        match self {
            Self::Compare(_) | Self::History | Self::Show | Self::Trial => false,
            Self::Confirm | Self::Reload(_) | Self::Revert | Self::Rollback(..) | Self::TryOut => {
                true
            }
        }
    }
}

/// What was done.
#[derive(Clone, Debug, PartialEq)]
pub enum Done {
    /// The configuration as it was written.
    Configuration(Configuration),
    /// The history.
    History(Vec<Past>),
    /// What changed, or would.
    Outcome(Box<Outcome>),
    /// How the trial stands.
    Trial(TrialStatus),
}

/// Why it was not done. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The configuration is bad.
    Bad(Vec<Problem>),
    /// It goes against how things stand.
    Conflict(String),
    /// There is no such generation.
    Unknown(String),
}

/// What a configuration changed, or would.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Outcome {
    /// The generation that serves now.
    pub generation: u64,
    /// Whether it is in use; false if only the difference was asked for.
    pub applied: bool,
    /// What differs.
    pub changes: Vec<ChangeView>,
    /// What is probably not meant.
    pub warnings: Vec<String>,
    /// What it does to traffic, as far as it can be told.
    pub traffic: Traffic,
    /// Until when it must be confirmed, if it is on trial.
    pub trial: Option<TrialView>,
}

/// One thing that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChangeView {
    /// What it belongs to, such as `pool shop`.
    pub subject: String,
    /// What is different.
    pub what: String,
    /// Whether it waits for the process to be started again.
    pub needs_restart: bool,
}

/// What a configuration does to traffic.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Traffic {
    /// For how long requests were counted.
    pub window_seconds: f64,
    /// How many there were.
    pub requests: u64,
    /// The same by the second.
    pub requests_per_second: f64,
    /// The share of them that goes elsewhere, from 0 to 1.
    pub moved: f64,
    /// Route by route; only those of which some move.
    pub routes: Vec<MovedView>,
    /// Pools whose sessions are bound anew, with picks by cookie since their backends are known.
    pub sessions: Vec<MovedView>,
    /// What cannot be told.
    pub unsure: Vec<String>,
}

/// What moves of one route, or of one pool's sessions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MovedView {
    /// The route, or the pool.
    pub name: String,
    /// Requests that were counted for it.
    pub requests: u64,
    /// The share of them that moves, from 0 to 1.
    pub share: f64,
    /// Because of what.
    pub why: String,
}

/// How the trial stands, and how the last one ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TrialStatus {
    /// The generation that serves now.
    pub generation: u64,
    /// The trial under way.
    pub trial: Option<TrialView>,
    /// The last one that ended.
    pub last: Option<TrialEnd>,
}

/// A configuration on trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TrialView {
    /// Its generation.
    pub generation: u64,
    /// On whose behalf.
    pub who: String,
    /// How long it has left to be confirmed.
    pub seconds_left: f64,
    /// By how many of a hundred requests failures may rise.
    pub errors_percent: u32,
    /// What 99 of 100 requests may take; absent if that is not judged.
    pub latency_milliseconds: Option<u64>,
    /// What requests found before it.
    pub before: FiguresView,
    /// What they have found since.
    pub since: FiguresView,
}

/// What requests found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FiguresView {
    /// Requests that ended.
    pub requests: u64,
    /// Those of them that failed: answers of 500 and above, and requests that no route took.
    pub errors: u64,
    /// What 99 of 100 took at most, about.
    pub p99_milliseconds: Option<u64>,
}

/// How a trial ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TrialEnd {
    /// The generation that was on trial.
    pub generation: u64,
    /// Whether it stayed.
    pub confirmed: bool,
    /// Who confirmed it, or why it went.
    pub why: String,
}

/// The configuration as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Configuration {
    /// Its generation.
    pub generation: u64,
    /// Its files: path and text. Secrets are in files of their own.
    pub files: Vec<FileView>,
}

/// One file of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileView {
    /// Where it is.
    pub path: String,
    /// All of it.
    pub text: String,
}

/// One configuration that was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Past {
    /// Its number.
    pub generation: u64,
    /// When, by RFC 3339.
    pub at: String,
    /// On whose behalf, or what made it so.
    pub who: String,
    /// How many things it changed.
    pub changes: usize,
    /// The first of them, in words.
    #[serde(default)]
    pub what: Vec<String>,
    /// Tells texts apart: the first half of the SHA-256 of its files.
    pub digest: String,
    /// Whether it serves now.
    pub current: bool,
}

impl From<&Change> for ChangeView {
    fn from(change: &Change) -> Self {
        Self {
            subject: change.subject.to_string(),
            what: change.what.clone(),
            needs_restart: change.needs_restart,
        }
    }
}

impl From<&Moved> for MovedView {
    fn from(moved: &Moved) -> Self {
        Self {
            name: moved.name.to_string(),
            requests: moved.requests,
            share: moved.share,
            why: moved.why.clone(),
        }
    }
}

impl Traffic {
    /// What moves, of what was counted in `window`.
    #[must_use]
    pub fn of(moves: &Moves, window: Duration) -> Self {
        let seconds = window.as_secs_f64();
        let rate = moves.requests as f64 / seconds.max(1e-3);
        Self {
            window_seconds: seconds,
            requests: moves.requests,
            requests_per_second: rate,
            moved: moves.share,
            routes: moves.routes.iter().map(MovedView::from).collect(),
            sessions: moves.sessions.iter().map(MovedView::from).collect(),
            unsure: moves.unsure.clone(),
        }
    }
}

impl From<&Figures> for FiguresView {
    fn from(figures: &Figures) -> Self {
        let p99 = figures.p99.map(|p99| p99.as_millis());
        Self {
            requests: figures.requests,
            errors: figures.errors,
            p99_milliseconds: p99.and_then(|p99| u64::try_from(p99).ok()),
        }
    }
}
