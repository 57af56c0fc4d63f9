//! `[server]`, `[admin]` and `[log]` as written.

use std::time::Duration;

use serde::Deserialize;

use super::loose::{Field, tables};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Server {
    pub(crate) workers: Field<i64>,
    pub(crate) shutdown: Field<Shutdown>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Shutdown {
    pub(crate) delay: Field<String>,
    pub(crate) deadline: Field<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Admin {
    pub(crate) address: Field<String>,
    pub(crate) token_file: Field<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Log {
    pub(crate) level: Field<String>,
    pub(crate) access: Field<Access>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Access {
    pub(crate) path: Field<String>,
    pub(crate) format: Field<String>,
}

tables!(Server, Shutdown, Admin, Log, Access,);

/// Nobody in front needs to notice: whoever has such a somebody knows how long that takes, and sets it.
pub(crate) const SHUTDOWN_DELAY: Duration = Duration::ZERO;
/// What process managers commonly wait between asking and killing, and as long as a response may take.
pub(crate) const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(30);
/// More than any machine has cores: a typing error.
pub(crate) const WORKERS_MOST: i64 = 1024;
