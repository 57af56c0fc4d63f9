//! `[[routes]]` as written.

use serde::Deserialize;
use toml::de::DeTable;

use super::action;
use super::loose::{Field, List, tables};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Route {
    pub(crate) name: Field<String>,
    pub(crate) hosts: Field<List<String>>,
    pub(crate) path: Field<String>,
    pub(crate) path_prefix: Field<String>,
    pub(crate) path_regex: Field<String>,
    pub(crate) listeners: Field<List<String>>,
    pub(crate) methods: Field<List<String>>,
    pub(crate) headers: Field<List<Condition>>,
    pub(crate) query: Field<List<Condition>>,
    pub(crate) cookies: Field<List<Condition>>,
    pub(crate) clients: Field<List<String>>,
    pub(crate) pool: Field<String>,
    pub(crate) upgrade: Field<List<String>>,
    pub(crate) idempotency_key: Field<bool>,
    pub(crate) priority: Field<i64>,
    pub(crate) redirect: Field<action::Redirect>,
    pub(crate) respond: Field<action::Respond>,
    pub(crate) rewrite: Field<action::Rewrite>,
    pub(crate) request_headers: Field<action::Fields>,
    pub(crate) response_headers: Field<action::Fields>,
    pub(crate) error_pages: Field<action::Pages>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Condition {
    pub(crate) name: Field<String>,
    pub(crate) value: Field<String>,
    pub(crate) regex: Field<String>,
    pub(crate) present: Field<bool>,
}

tables!(Route, Condition);

impl Route {
    /// Gives names that the operator chose their places.
    pub(crate) fn place_names(&mut self, table: &DeTable<'_>) {
        action::place_fields(&mut self.request_headers, table, "request_headers");
        action::place_fields(&mut self.response_headers, table, "response_headers");
        action::place(&mut self.error_pages, table, "error_pages");
    }
}

/// What shops use it for; whatever else may lie behind an upgrade is for the route to name.
pub(crate) const UPGRADE: &str = "websocket";
/// From what may fail first, such as pictures, to what must not, such as calls of payment providers.
pub(crate) const PRIORITY_MOST: i64 = 9;
