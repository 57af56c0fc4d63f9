//! What changes between two plans: what a reload says in the log, and `config diff` on the terminal.
//!
//! Things are known by name: a listener, route or pool that is in both plans is compared setting by setting; a backend
//! is known by its address. One [`Change`] is one line. Secrets, keys and values of fields are compared and never
//! shown.
//!
//! *What enters*: two plans. *What leaves*: the changes, in the order of the tables.
//!
//! In reading order: here what a change is and how things are paired; then a file for each table: `process` (server,
//! admin, log, dns), `listener`, `route` with `action`, `pool`.
//!
//! Deliberately absent: what to do about a change. A reload assembles the new plan whole, whatever has changed.

mod action;
mod listener;
mod outlier;
mod pool;
mod process;
mod retry;
mod route;
#[cfg(test)]
pub(in crate::plan) mod tests;

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use super::Plan;

/// One thing that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it belongs to.
    pub subject: Subject,
    /// What is different, such as `weight of 127.0.0.1:9002 2 -> 5`.
    pub what: String,
    /// Whether it waits for the process to be started again; everything else counts at once.
    pub needs_restart: bool,
}

/// What a change belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// The admin listener.
    Admin,
    /// How names are asked for.
    Dns,
    /// The listener of this name.
    Listener(Arc<str>),
    /// Logs.
    Log,
    /// The pool of this name.
    Pool(Arc<str>),
    /// The route of this name.
    Route(Arc<str>),
    /// All routes together: their order.
    Routes,
    /// The process.
    Server,
    /// Traces.
    Trace,
}

/// All that differs between two plans, in the order of the tables: process, listeners, routes, pools.
#[must_use]
pub fn diff(old: &Plan, new: &Plan) -> Vec<Change> {
    let mut changes = Vec::new();
    process::server(&old.server, &new.server, &mut changes);
    process::admin(old.admin.as_ref(), new.admin.as_ref(), &mut changes);
    process::log(&old.log, &new.log, &mut changes);
    process::trace(&old.trace, &new.trace, &mut changes);
    process::dns(&old.dns, &new.dns, &mut changes);
    listener::listeners(&old.listeners, &new.listeners, &mut changes);
    route::routes(old, new, &mut changes);
    pool::pools(&old.pools, &new.pools, &mut changes);
    changes
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.what)?;
        if self.needs_restart {
            f.write_str(" (needs a restart)")
        } else {
            Ok(())
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Admin => f.write_str("admin"),
            Self::Dns => f.write_str("dns"),
            Self::Listener(name) => write!(f, "listener {name}"),
            Self::Log => f.write_str("log"),
            Self::Pool(name) => write!(f, "pool {name}"),
            Self::Route(name) => write!(f, "route {name}"),
            Self::Routes => f.write_str("routes"),
            Self::Server => f.write_str("server"),
            Self::Trace => f.write_str("trace"),
        }
    }
}

/// Changes of one subject.
struct Lines<'c> {
    subject: Subject,
    changes: &'c mut Vec<Change>,
}

impl Lines<'_> {
    fn say(&mut self, what: impl Into<String>) {
        self.changes.push(Change {
            subject: self.subject.clone(),
            what: what.into(),
            needs_restart: false,
        });
    }

    fn say_restart(&mut self, what: impl Into<String>) {
        self.changes.push(Change {
            subject: self.subject.clone(),
            what: what.into(),
            needs_restart: true,
        });
    }

    /// Says `label old -> new` if they differ.
    fn compare<T: PartialEq>(
        &mut self,
        label: &str,
        old: &T,
        new: &T,
        show: impl Fn(&T) -> String,
    ) {
        if old != new {
            self.say(format!("{label} {} -> {}", show(old), show(new)));
        }
    }

    fn durations<const N: usize>(&mut self, pairs: [(&str, Duration, Duration); N]) {
        for (label, old, new) in pairs {
            self.compare(label, &old, &new, |duration| duration_text(*duration));
        }
    }
}

/// Says what was added to and removed from a list whose order means nothing.
fn set<T: PartialEq + fmt::Display>(label: &str, old: &[T], new: &[T], lines: &mut Lines<'_>) {
    for item in new.iter().filter(|item| !old.contains(item)) {
        lines.say(format!("{label} {item} added"));
    }
    for item in old.iter().filter(|item| !new.contains(item)) {
        lines.say(format!("{label} {item} removed"));
    }
}

/// A thing in one plan or in both.
enum Pair<'p, T> {
    Added(&'p T),
    Both(&'p T, &'p T),
    Removed(&'p T),
}

/// Pairs things of both plans by what they are known by: those of the new plan in its order, then those that are gone.
fn matched<'p, T, K>(
    old: &'p [T],
    new: &'p [T],
    key: impl Fn(&'p T) -> &'p K,
) -> Vec<(K, Pair<'p, T>)>
where
    K: Clone + Eq + Hash + 'p,
{
    let mut before: HashMap<&K, &T> = old.iter().map(|thing| (key(thing), thing)).collect();
    let mut pairs: Vec<(K, Pair<'p, T>)> = new
        .iter()
        .map(|thing| match before.remove(key(thing)) {
            Some(old) => (key(thing).clone(), Pair::Both(old, thing)),
            None => (key(thing).clone(), Pair::Added(thing)),
        })
        .collect();
    let gone = old.iter().filter(|thing| before.contains_key(key(thing)));
    pairs.extend(gone.map(|thing| (key(thing).clone(), Pair::Removed(thing))));
    pairs
}

/// As the configuration writes it: the largest unit that leaves a whole number.
fn duration_text(duration: Duration) -> String {
    match (duration.as_secs(), duration.subsec_millis()) {
        (0, 0) => "0s".to_owned(),
        (seconds, 0) if seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        (seconds, 0) if seconds % 60 == 0 => format!("{}m", seconds / 60),
        (seconds, 0) => format!("{seconds}s"),
        _ => format!("{}ms", duration.as_millis()),
    }
}
