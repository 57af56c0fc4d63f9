//! Raw settings: what the operator wrote, and nothing else.
//!
//! *What enters*: one parsed TOML file. *What leaves*: the same as lenient structs, every value with its span.
//! Nothing here is checked and no default is applied, though defaults stand here as constants, each with its reason.
//! A value of the wrong type is kept as [`Loose::Wrong`], because serde stops at its first error and an operator
//! wants to see all of them. Neither `flatten` nor tagged enums: they lose the spans.
//!
//! In reading order: [`loose`] (the lenient values), [`unit`](mod@unit) (texts with a unit), [`process`] (server, admin, log, trace, dns), [`listener`], [`route`], [`action`],
//! [`pool`], and here the file as a whole with the lists of keys that are known.
//!
//! Deliberately absent: checks (`compile`), files (`read`).

pub(crate) mod action;
pub(crate) mod listener;
pub(crate) mod loose;
pub(crate) mod pool;
pub(crate) mod process;
pub(crate) mod route;
pub(crate) mod unit;

use schemars::JsonSchema;
use serde::Deserialize;

use loose::{Field, List, Loose, Named, fields_of, right_mut, sub_table, tables};
use toml::de::DeTable;

/// A configuration of forecourt.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct File {
    /// More files, relative to this one; `*`, `?` and `[..]` match. Only the first file includes.
    pub(crate) include: Field<List<String>>,
    /// The process.
    pub(crate) server: Field<process::Server>,
    /// Where to look and steer. Default: no admin listener.
    pub(crate) admin: Field<process::Admin>,
    /// The log of the process, and of requests.
    pub(crate) log: Field<process::Log>,
    /// The traces that requests are part of.
    pub(crate) trace: Field<process::Trace>,
    /// How names of backends are asked for.
    pub(crate) dns: Field<process::Dns>,
    /// Addresses on which clients connect, by name.
    pub(crate) listeners: Field<Named<listener::Listener>>,
    /// Rules that lead to pools or answers. The most specific wins, wherever it stands.
    pub(crate) routes: Field<List<route::Route>>,
    /// Groups of backends, by name.
    pub(crate) pools: Field<Named<pool::Pool>>,
}

tables!(File);

impl File {
    /// Gives names that the operator chose their places in the file.
    pub(crate) fn place_names(&mut self, table: &DeTable<'_>) {
        if let (Some(named), Some(written)) = (
            right_mut(&mut self.listeners),
            sub_table(table, "listeners"),
        ) {
            named.place(written);
            for (name, listener) in &mut named.0 {
                if let (Loose::Right(listener), Some(written)) =
                    (listener.get_mut(), sub_table(written, name.get_ref()))
                {
                    listener.place_names(written);
                }
            }
        }
        if let (Some(named), Some(written)) =
            (right_mut(&mut self.pools), sub_table(table, "pools"))
        {
            named.place(written);
        }
        let written = table
            .get("routes")
            .and_then(|value| value.get_ref().as_array());
        if let (Some(routes), Some(written)) = (right_mut(&mut self.routes), written) {
            for (route, written) in routes.iter_mut().zip(written.iter()) {
                if let (Loose::Right(route), Some(written)) =
                    (route.get_mut(), written.get_ref().as_table())
                {
                    route.place_names(written);
                }
            }
        }
    }
}

/// The keys of the table at `path`, in which names and positions are written as `*`.
pub(crate) fn known_keys(path: &[&str]) -> &'static [&'static str] {
    match path {
        [] => fields_of::<File>(),
        ["server"] => fields_of::<process::Server>(),
        ["server", "shutdown"] => fields_of::<process::Shutdown>(),
        ["admin"] => fields_of::<process::Admin>(),
        ["log"] => fields_of::<process::Log>(),
        ["log", "access"] => fields_of::<process::Access>(),
        ["trace"] => fields_of::<process::Trace>(),
        ["trace", "export"] => fields_of::<process::Export>(),
        ["dns"] => fields_of::<process::Dns>(),
        ["listeners", _] => fields_of::<listener::Listener>(),
        ["listeners", _, "tls", of_tls @ ..] | ["admin", "tls", of_tls @ ..] => match of_tls {
            [] => fields_of::<listener::Tls>(),
            ["certificates", _] => fields_of::<listener::Certificate>(),
            ["client"] => fields_of::<listener::TlsClient>(),
            _ => &[],
        },
        ["listeners", _, "paths"] => fields_of::<listener::Paths>(),
        ["listeners", _, "timeouts"] => fields_of::<listener::Timeouts>(),
        ["listeners", _, "limits"] => fields_of::<listener::Limits>(),
        ["listeners" | "routes", _, "response_headers"] | ["routes", _, "request_headers"] => {
            fields_of::<action::Fields>()
        }
        ["routes", _] => fields_of::<route::Route>(),
        ["routes", _, "headers" | "query" | "cookies", _] => fields_of::<route::Condition>(),
        ["routes", _, "redirect"] => fields_of::<action::Redirect>(),
        ["routes", _, "respond"] => fields_of::<action::Respond>(),
        ["routes", _, "rewrite"] => fields_of::<action::Rewrite>(),
        ["pools", _] => fields_of::<pool::Pool>(),
        ["pools", _, "hash"] => fields_of::<pool::Hash>(),
        ["pools", _, "backends", _] => fields_of::<pool::Backend>(),
        ["pools", _, "sticky"] => fields_of::<pool::Sticky>(),
        ["pools", _, "sticky", "secret"] | ["pools", _, "sticky", "previous", _] => {
            fields_of::<pool::Secret>()
        }
        ["pools", _, "retry"] => fields_of::<pool::Retry>(),
        ["pools", _, "health"] => fields_of::<pool::Health>(),
        ["pools", _, "outlier"] => fields_of::<pool::Outlier>(),
        ["pools", _, "timeouts"] => fields_of::<pool::Timeouts>(),
        ["pools", _, "tls"] => fields_of::<pool::Tls>(),
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_knows_its_keys() {
        assert_eq!(
            known_keys(&["pools", "shop", "timeouts"]),
            ["connect", "response", "idle", "tunnel"]
        );
        assert_eq!(
            known_keys(&["pools", "shop", "sticky", "secret"]),
            ["file", "env"]
        );
        assert!(known_keys(&[]).contains(&"listeners"));
        assert!(known_keys(&["nowhere"]).is_empty());
    }

    #[test]
    fn the_reference_lists_every_key() {
        let reference = include_str!("../../../config/reference.toml");
        let written: Vec<&str> = reference
            .split(|character: char| !character.is_ascii_alphanumeric() && character != '_')
            .collect();
        let tables: [&[&str]; 29] = [
            &[],
            &["server"],
            &["server", "shutdown"],
            &["admin"],
            &["admin", "tls"],
            &["log"],
            &["log", "access"],
            &["trace"],
            &["trace", "export"],
            &["dns"],
            &["listeners", "*"],
            &["listeners", "*", "tls"],
            &["listeners", "*", "tls", "certificates", "*"],
            &["listeners", "*", "paths"],
            &["listeners", "*", "tls", "client"],
            &["listeners", "*", "timeouts"],
            &["listeners", "*", "limits"],
            &["routes", "*"],
            &["routes", "*", "headers", "*"],
            &["routes", "*", "redirect"],
            &["routes", "*", "respond"],
            &["routes", "*", "rewrite"],
            &["routes", "*", "request_headers"],
            &["pools", "*"],
            &["pools", "*", "hash"],
            &["pools", "*", "backends", "*"],
            &["pools", "*", "sticky"],
            &["pools", "*", "sticky", "secret"],
            &["pools", "*", "tls"],
        ];
        for table in tables {
            let keys = known_keys(table);
            assert!(!keys.is_empty(), "{table:?}");
            for key in keys {
                assert!(
                    written.contains(key),
                    "{key} of {table:?} is not in the reference"
                );
            }
        }
    }
}
