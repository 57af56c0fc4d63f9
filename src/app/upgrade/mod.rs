//! Another program in place of this one, without losing a request.
//!
//! SIGUSR2 has the running process start the program at its own path with the same arguments and tell it, on a Unix stream
//! that is the new one's standard input:
//!
//! 1. the old one: an [`Offer`] (whose sockets, and what is known), and the sockets themselves with the old one's standard error.
//!    What the new one writes to its own before it is ready comes by a pipe, so that its last words are known.
//! 2. the new one loads its configuration, takes the sockets that it wants, binds the rest, starts everything, but
//!    accepts nothing. [`Ready`]. Until then it may fail, crash or be killed, and nothing has happened.
//! 3. the old one: [`Go`]. From here the new one accepts, and the old one accepts no more, drains and ends. A
//!    connection in a queue is in both processes' sockets: nobody's close resets it.
//!
//! Messages are JSON whose unknown fields are passed over and whose missing ones have defaults, so that versions may differ.
//!
//! In reading order: [`state`] (what is known and must not be forgotten), [`predecessor`] (the new one's side),
//! [`successor`] (the old one's).

pub mod predecessor;
pub mod state;
pub(super) mod successor;

use serde::{Deserialize, Serialize};

pub use predecessor::Beginning;

use crate::listener::handoff::{Label, Role};
use state::State;

/// What the old process gives; its standard error and the sockets of the labels follow.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Offer {
    pub(super) pid: u32,
    pub(super) labels: Vec<Label>,
    pub(super) state: State,
}

/// What the new process says when it could serve.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Ready {
    /// Whose sockets it has closed, for it does not listen there.
    pub(super) left: Vec<Role>,
}

/// What the old process says when it is the new one's turn.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Go {}

/// The variable that tells a process to look at its standard input, and its value.
pub(super) const VARIABLE: &str = "FORECOURT_HANDOFF";
pub(super) const STDIN: &str = "stdin";
