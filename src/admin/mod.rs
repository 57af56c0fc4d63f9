//! Look and steer: the admin API, on a thread of its own.
//!
//! *What enters*: HTTP requests of operators and scrapers. *What leaves*: views made for them, never the
//! plan or the live state themselves, so that neither is bent to please JSON.
//!
//! In reading order: [`instance`] (what it knows of the running process), [`api`] (paths and answers) with
//! `openapi` (both as machines read them), [`status`] (the view behind `/v1/status`), [`scrape`] (the figures behind
//! `/metrics`), `guard` (who may look and steer), `steer` (words and weights for one backend), [`order`] (what whoever
//! governs the process is asked to do) with `change` (how requests ask for it), [`stats`] (what happens per second) with
//! [`window`] (how long answers took of late) and [`alarms`] (what of it is wrong), `events` (the log and that, as a stream), `dashboard` (the page that shows them),
//! `explain` (what would become of a request), [`requests`] (what has become of some), [`serve`] (its
//! address and its thread) with `door` (how connections come in), [`client`] (asking a running instance, for the commands).
//!
//! Deliberately absent: the data path. The API is slow where it must be, and takes no worker's time.

pub mod alarms;
mod api;
mod change;
pub mod client;
mod dashboard;
mod door;
mod events;
mod explain;
mod guard;
pub mod instance;
mod openapi;
pub mod order;
mod problem;
pub mod requests;
mod scrape;
mod serve;
pub mod stats;
pub mod status;
pub(crate) mod steer;
pub mod window;

pub use instance::Instance;
pub use serve::{AdminError, Entrance, Running, bind};

#[cfg(test)]
mod tests;
