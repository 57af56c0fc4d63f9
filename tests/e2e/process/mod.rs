//! Starting, stopping, draining, signals and exit codes.
//!
//! In reading order: [`start`] (what can be in the way, and starting again), [`signals`] (the end),
//! [`commands`] (what the others say, and their exit codes), [`explain`] (which says what really happens).
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod commands;
mod explain;
mod signals;
mod start;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
