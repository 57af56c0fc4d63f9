//! `[[routes]]` as written.

use schemars::JsonSchema;
use serde::Deserialize;
use toml::de::DeTable;

use super::action;
use super::loose::{Field, List, tables};

/// A rule that leads to a pool or to an answer. The most specific wins.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Route {
    /// A label in metrics and log. Default: hosts and path as written.
    pub(crate) name: Field<String>,
    /// `shop.example` or `*.shop.example`. Default: any host.
    pub(crate) hosts: Field<List<String>>,
    /// Exactly this path. One of `path`, `path_prefix` and `path_regex`; without any: every path.
    pub(crate) path: Field<String>,
    /// This path and all below it, by whole segments.
    pub(crate) path_prefix: Field<String>,
    /// Paths that this regular expression finds something in.
    pub(crate) path_regex: Field<String>,
    /// The listeners that it serves. Default: all.
    pub(crate) listeners: Field<List<String>>,
    /// Methods, as they are written. Default: any but TRACE.
    pub(crate) methods: Field<List<String>>,
    /// Conditions on fields of the request.
    pub(crate) headers: Field<List<Condition>>,
    /// Conditions on parameters of the query.
    pub(crate) query: Field<List<Condition>>,
    /// Conditions on cookies.
    pub(crate) cookies: Field<List<Condition>>,
    /// Networks and addresses of clients.
    pub(crate) clients: Field<List<String>>,
    /// What answers, one of `pool`, `redirect` and `respond`: the name of a pool.
    pub(crate) pool: Field<String>,
    /// Protocols that a client may change its connection to. Default: websocket.
    pub(crate) upgrade: Field<List<String>>,
    /// Whether a request with Idempotency-Key may be sent again as a GET may. Default: false.
    pub(crate) idempotency_key: Field<bool>,
    /// Who is served first when the pool is full, from 0 to 9. Default: 5.
    pub(crate) priority: Field<i64>,
    /// What answers: another place.
    pub(crate) redirect: Field<action::Redirect>,
    /// What answers: the same for everybody.
    pub(crate) respond: Field<action::Respond>,
    /// What the backend sees in place of the client's path and host.
    pub(crate) rewrite: Field<action::Rewrite>,
    /// Fields of requests to the backend.
    pub(crate) request_headers: Field<action::Fields>,
    /// Fields of responses to the client.
    pub(crate) response_headers: Field<action::Fields>,
    /// Files for replies of forecourt's own, by status (`404`), range (`502-504`) or class (`5xx`).
    pub(crate) error_pages: Field<action::Pages>,
}

/// A condition on something with a name: at most one of `value`, `regex` and `present`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Condition {
    /// Required: its name.
    pub(crate) name: Field<String>,
    /// One of its values is this.
    pub(crate) value: Field<String>,
    /// This regular expression finds something in one of its values.
    pub(crate) regex: Field<String>,
    /// Whether it is there.
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
