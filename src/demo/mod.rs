//! The whole product with nothing else installed: a little shop on four backends, the balancer in front of it.
//!
//! *What enters*: the options of `forecourt demo`. *What leaves*: addresses and lines to try, a live table on a
//! terminal, and a summary at the end. Between them a shop that is real enough to lose a basket: its sessions are in
//! the memory of the backend that began them, two of the four backends are slow, and each can be stopped.
//!
//! In reading order: [`command`] (the options, and the demo from start to end), `setup` (its configuration, as TOML),
//! `backends` (their threads and sockets; stop and start), `control` (the address that stops and starts them),
//! `shop` (paths and answers) with `sessions` and `pages`, `figures` (what the balancer has counted), `screen` (how
//! that looks).
//!
//! Deliberately absent: any short cut. The balancer is started from a configuration as everybody's is, speaks to the
//! backends over sockets, and knows nothing of the demo; no other room but `cli` imports this one.

mod backends;
pub mod command;
mod control;
mod figures;
mod pages;
mod screen;
mod sessions;
mod setup;
mod shop;

pub use command::{Demo, DemoError};
