//! `request_headers` and `response_headers`: fields that are removed, set and added.

use super::scope::{Given, Scope};
use super::template::template;
use crate::config::problem::Finding;
use crate::config::raw::action as raw;
use crate::config::raw::loose::{Field, Named};
use crate::message::grammar::is_token;
use crate::plan::fields::{FieldRule, FieldRules};
use crate::plan::template::Place;
use crate::route::PathPattern;

/// Compiles `request_headers`.
pub(super) fn requests<'a>(
    scope: &Scope<'a>,
    field: &'a Field<raw::Fields>,
    path: Option<&PathPattern>,
) -> FieldRules {
    rules(scope, "request_headers", field, (Place::RequestField, path))
}

/// Compiles `response_headers`.
pub(super) fn responses<'a>(
    scope: &Scope<'a>,
    field: &'a Field<raw::Fields>,
    path: Option<&PathPattern>,
) -> FieldRules {
    rules(
        scope,
        "response_headers",
        field,
        (Place::ResponseField, path),
    )
}

fn rules<'a>(
    scope: &Scope<'a>,
    key: &str,
    field: &'a Field<raw::Fields>,
    place: (Place, Option<&PathPattern>),
) -> FieldRules {
    let Some(Given { value, scope, .. }) = scope.get(key, field) else {
        return FieldRules::default();
    };
    let removed = scope.get("remove", &value.remove);
    let removed = removed.map(|list| list.elements()).unwrap_or_default();
    let removed = removed
        .iter()
        .filter_map(|name| checked_name(name, place.0, false));
    let removed = removed.collect();
    let set = written(&scope, "set", &value.set, place);
    let mut names: Vec<&str> = set.iter().map(|rule| &*rule.name).collect();
    names.sort_unstable();
    if let Some(two) = names.windows(2).find(|two| two[0] == two[1])
        && let Some(table) = scope.get("set", &value.set)
    {
        let finding = Finding::error(format!("`{}` is set twice", two[0]));
        table.report(finding.help("names of fields are compared without regard to case"));
    }
    FieldRules {
        remove: removed,
        set,
        add: written(&scope, "add", &value.add, place),
    }
}

fn written<'a>(
    scope: &Scope<'a>,
    key: &str,
    field: &'a Field<Named<String>>,
    (place, path): (Place, Option<&PathPattern>),
) -> Vec<FieldRule> {
    let Some(table) = scope.get(key, field) else {
        return Vec::new();
    };
    let rule = |(name, value): &(Given<'a, String>, Given<'a, String>)| {
        let name = checked_name(name, place, true);
        let value = template(value, place, path);
        Some(FieldRule {
            name: name?,
            value: value?,
        })
    };
    table.values().iter().filter_map(rule).collect()
}

/// The name in lower case, unless the field is not the operator's to change.
fn checked_name(written: &Given<'_, String>, place: Place, gives: bool) -> Option<Box<str>> {
    let name = written.value.to_ascii_lowercase();
    if !is_token(name.as_bytes()) {
        let finding = Finding::error(format!("{:?} cannot be the name of a field", written.value));
        written.report(finding.help("letters, digits and hyphens can"));
        return None;
    }
    if let Some(instead) = protected(&name, place, gives) {
        let finding = Finding::error(format!("`{name}` cannot be changed here"));
        written.report(finding.help(instead));
        return None;
    }
    Some(name.into_boxed_str())
}

/// What does in place of a field that frames the message, manages the connection, or is otherwise ours to answer for.
fn protected(name: &str, place: Place, gives: bool) -> Option<&'static str> {
    let request = place == Place::RequestField;
    Some(match name {
        "host" if request => "the backend's host is `rewrite = { host = \"..\" }`",
        "host" => "responses have no host",
        "content-length" | "transfer-encoding" => {
            "messages are framed as their bodies are sent; nothing needs to be said of it"
        }
        "connection" | "keep-alive" if request => {
            "connections to backends are kept for `timeouts.idle` of the pool"
        }
        "connection" | "keep-alive" => {
            "connections of clients are kept for `timeouts.idle` of the listener"
        }
        "upgrade" => "protocols that a route may change to are its key `upgrade`",
        "te" | "trailer" => "trailers are passed on by themselves where both sides take them",
        "expect" if request => {
            "whether a client waits before it sends its body is between it and the backend"
        }
        "location" | "refresh" if gives && !request => {
            "where clients are sent is the key `redirect` of a route"
        }
        "forecourt-error" if !request => "it says which error is ours",
        name if name.starts_with("proxy-") => "it is for the next proxy, and never passed on",
        _ => return None,
    })
}
