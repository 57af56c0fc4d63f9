//! `[[routes]]` as written.

use serde::Deserialize;

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
