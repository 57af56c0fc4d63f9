//! What is valid and will hurt: advice on a plan, each with its reason and remedy.
//!
//! *What enters*: a plan that is right, and the time of day. *What leaves*: [`Advice`], in the order of the plan. A problem
//! keeps a configuration from being used, a warning of `config` says that something is probably not meant; advice is about
//! what is meant and has a price that somebody pays at night. A rule stays silent where it cannot know: advice that is
//! wrong is worse than none.
//!
//! In reading order: `listeners`, `routes`, `pools` with `times` (deadlines that are in each other's way), `process`.
//!
//! Deliberately absent: what only a running instance knows; the command asks it.

mod listeners;
mod pools;
mod process;
mod routes;
mod times;

use std::fmt;

use super::Plan;

/// Something that works and will hurt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// The setting that it is about, such as `pools.shop.timeouts.idle`.
    pub path: String,
    /// What will hurt, and when.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

/// All that is to be said of `plan` at `now` (seconds since 1970).
#[must_use]
pub fn advise(plan: &Plan, now: i64) -> Vec<Advice> {
    let mut notes = Notes::default();
    process::look(plan, &mut notes);
    for listener in &plan.listeners {
        listeners::look(listener, now, &mut notes);
    }
    routes::look(plan, &mut notes);
    for pool in &plan.pools {
        pools::look(pool, &mut notes);
        times::look(pool, &mut notes);
    }
    notes.0
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n  {}", self.path, self.what, self.remedy)
    }
}

/// Where advice is gathered.
#[derive(Debug, Default)]
struct Notes(Vec<Advice>);

impl Notes {
    /// Notes it if `hurts`.
    fn note(
        &mut self,
        hurts: bool,
        path: impl Into<String>,
        what: impl Into<String>,
        remedy: &str,
    ) {
        if hurts {
            self.0.push(Advice {
                path: path.into(),
                what: what.into(),
                remedy: remedy.to_owned(),
            });
        }
    }
}
