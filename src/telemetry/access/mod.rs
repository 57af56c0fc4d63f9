//! The access log: one line for each exchange, from the worker that served it to a file.
//!
//! **What this room is for.** A line must never cost a request its time: workers write lines into a
//! buffer of their own and hand it over when it is full; one thread writes to the disk or the pipe. If
//! that is too slow, lines are dropped, and counted.
//!
//! **What enters**: an [`AccessRecord`] at the end of an exchange. **What leaves**: lines of JSON (one
//! flat object, dotted keys, the field names of ECS where it has one), Apache's combined format, or text for people.
//!
//! **The files, in reading order**: `record.rs` what is known of an exchange · `redact.rs` what of
//! it may be logged · `json.rs`, `combined.rs` and `text.rs` its forms · `log.rs` the worker's side and the control · `writer.rs` the thread that writes.
//!
//! **Deliberately absent**: query strings unless asked for (they carry secrets), clocks, rotation (the operator's, with
//! SIGUSR1), `tracing`.

mod combined;
mod json;
mod log;
mod record;
pub mod redact;
mod text;
mod writer;

use std::path::PathBuf;

pub use json::{ascii_json, nanoseconds};
pub use log::{AccessControl, AccessLog};
pub use record::{AccessRecord, Attempt, Decision, Stamp, Times};
pub use redact::ClientIp;

/// Where access-log lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessTarget {
    /// A file, appended to; reopened on SIGUSR1.
    File(PathBuf),
    /// Nowhere.
    Off,
    /// Standard output.
    Stdout,
}

/// How access-log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessFormat {
    /// One line in Apache's combined log format.
    Combined,
    /// One flat JSON object a line.
    Json,
    /// One short line for people.
    Text,
}

#[cfg(test)]
mod tests;
