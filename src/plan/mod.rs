//! What the operator wants: settings, validated, inert and comparable.
//!
//! *What enters*: values that `config` has checked. *What leaves*: the same, read by every room above.
//! A plan that exists is right: names are resolved to indexes, files are read, units are applied; names of backends come
//! with what they answered last. Nothing here runs, reads a file or looks at a clock; two plans can be compared,
//! which is what [`diff`] does for the log of a reload.
//!
//! In reading order: [`listener`] with [`tls`], [`route`], [`action`] (what becomes of a request) with [`fields`], [`pages`]
//! and [`template`], [`pool`] with [`names`], [`process`] (server, admin, log) with [`export`] (where traces go), [`diff`] with [`moves`] (what a change would
//! do to traffic), [`advice`] (what is valid and will hurt).
//!
//! Deliberately absent: TOML and serde (`config` knows them), live state (`snapshot` joins it).

use std::sync::Arc;

pub mod action;
pub mod advice;
pub mod diff;
pub mod export;
pub mod fields;
pub mod listener;
pub mod moves;
pub mod names;
pub mod pages;
pub mod pool;
pub mod process;
pub mod route;
pub mod template;
pub mod tls;

pub use action::{Action, Edits};
pub use listener::Listener;
pub use names::Dns;
pub use pool::Pool;
pub use process::{Admin, AdminToken, Log, Server, Trace};
pub use route::Route;

/// Everything that one configuration says.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The process.
    pub server: Server,
    /// Where to look and steer; absent when the configuration has no `[admin]`.
    pub admin: Option<Admin>,
    /// Logs.
    pub log: Log,
    /// Traces.
    pub trace: Trace,
    /// How names of backends are asked for.
    pub dns: Dns,
    /// Addresses for clients, in the order of the file.
    pub listeners: Vec<Arc<Listener>>,
    /// Routes, in the order of the file.
    pub routes: Vec<Route>,
    /// Pools, in the order of the file.
    pub pools: Vec<Pool>,
}

impl Plan {
    /// What the listeners show that speak TLS, and the admin listener if it does.
    pub fn tls(&self) -> impl Iterator<Item = &tls::Tls> {
        let listeners = self.listeners.iter().map(|listener| &listener.tls);
        let admin = self.admin.iter().map(|admin| &admin.tls);
        listeners.chain(admin).filter_map(Option::as_ref)
    }
}
