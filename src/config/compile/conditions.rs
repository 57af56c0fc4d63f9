//! What a route asks besides host, path and listeners: `methods`, `clients`, `headers`, `cookies`, `query`.

use std::sync::Arc;

use super::listener::network;
use super::scope::{Given, Scope};
use crate::config::problem::Finding;
use crate::config::raw::loose::{Field, List, Shape};
use crate::config::raw::route as raw;
use crate::route::condition::is_token;
use crate::route::{Condition, Conditions, PathRegex, Wanted};

/// The conditions of a route, none if it has none; nothing comes out if one is wrong, for a route that asks for
/// less than was meant takes what was not meant.
pub(super) fn conditions(given: &Given<'_, raw::Route>) -> Option<Option<Arc<Conditions>>> {
    let Given { value, scope, .. } = given;
    let methods = each(scope, "methods", &value.methods, method);
    let clients = each(scope, "clients", &value.clients, network);
    let headers = each(scope, "headers", &value.headers, |written| {
        condition(written, Kind::Header)
    });
    let cookies = each(scope, "cookies", &value.cookies, |written| {
        condition(written, Kind::Cookie)
    });
    let query = each(scope, "query", &value.query, |written| {
        condition(written, Kind::Query)
    });
    let conditions = Conditions {
        methods: methods?,
        clients: clients?,
        headers: headers?,
        cookies: cookies?,
        query: query?,
    };
    Some(conditions.canonical())
}

/// Whose name a condition has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Header,
    Cookie,
    Query,
}

/// Reads all elements of a list; empty if the key is absent, nothing if one of them is wrong.
fn each<'a, T: Shape, U>(
    scope: &Scope<'a>,
    key: &str,
    field: &'a Field<List<T>>,
    read: impl Fn(&Given<'a, T>) -> Option<U>,
) -> Option<Vec<U>> {
    let Some(list) = scope.get(key, field) else {
        return field.is_none().then(Vec::new);
    };
    if list.value.is_empty() {
        // Read as "none of them" it would be a route that takes nothing, read as "any" a surprise.
        list.report(
            Finding::error(format!("`{key}` is empty"))
                .help(format!("name one, or leave `{key}` out to ask for none")),
        );
        return None;
    }
    let read: Vec<U> = list.elements().iter().filter_map(read).collect();
    (read.len() == list.value.len()).then_some(read)
}

fn method(written: &Given<'_, String>) -> Option<Box<str>> {
    let text = written.value.as_str();
    if !is_token(text) {
        let finding = Finding::error(format!("{text:?} is not a method"));
        written.report(finding.help("a method is one word, such as \"GET\" or \"POST\""));
        return None;
    }
    if text == "CONNECT" {
        let finding = Finding::error("CONNECT is never served, so no route can take it");
        written.report(finding.help("leave it out; tunnels are for forward proxies"));
        return None;
    }
    let upper = text.to_ascii_uppercase();
    if upper != text && COMMON.contains(&&*upper) {
        let finding = Finding::warning(format!(
            "methods are compared as they are written, and clients send no {text:?}"
        ));
        written.report(finding.help(format!("did you mean {upper:?}?")));
    }
    Some(text.into())
}

fn condition(written: &Given<'_, raw::Condition>, kind: Kind) -> Option<Condition> {
    let Given { value, scope, .. } = written;
    if value.name.is_none() {
        written.report(
            Finding::error("the condition has no name")
                .help("write { name = \"NAME\" }, with `value`, `regex` or `present` if need be"),
        );
    }
    let name = scope.get("name", &value.name);
    let name = name.and_then(|name| good_name(&name, kind).then_some(name.value.as_str()));
    let wanted = wanted(written, kind);
    Some(Condition {
        name: name?.into(),
        wanted: wanted?,
    })
}

fn good_name(name: &Given<'_, String>, kind: Kind) -> bool {
    let text = name.value.as_str();
    let (what, sound) = match kind {
        Kind::Header => ("header", is_token(text)),
        Kind::Cookie => ("cookie", is_token(text)),
        Kind::Query => ("parameter", !text.is_empty()),
    };
    if !sound {
        name.report(Finding::error(format!(
            "{text:?} cannot be the name of a {what}"
        )));
        return false;
    }
    if kind == Kind::Header && text.eq_ignore_ascii_case("host") {
        name.report(
            Finding::error("the host is no condition among headers")
                .help("write hosts = [\"shop.example\"] in the route"),
        );
        return false;
    }
    true
}

fn wanted(written: &Given<'_, raw::Condition>, kind: Kind) -> Option<Wanted> {
    let raw::Condition {
        value,
        regex,
        present,
        ..
    } = written.value;
    let count = [value.is_some(), regex.is_some(), present.is_some()];
    if count.iter().filter(|given| **given).count() > 1 {
        written.report(
            Finding::error("a condition has one of `value`, `regex` and `present`")
                .help("write two conditions: all of them must hold"),
        );
        return None;
    }
    let scope = &written.scope;
    if value.is_some() {
        let value = scope.get("value", value)?;
        return is_seen(&value, kind).then(|| Wanted::Value(value.value.as_str().into()));
    }
    if regex.is_some() {
        let regex = scope.get("regex", regex)?;
        return PathRegex::parse(regex.value)
            .map(Wanted::Regex)
            .map_err(|error| {
                let what = format!("not a regular expression: {error}");
                regex.report(Finding::error(what));
            })
            .ok();
    }
    if present.is_some() {
        let present = scope.get("present", present)?;
        return Some(if *present.value {
            Wanted::Present
        } else {
            Wanted::Absent
        });
    }
    Some(Wanted::Present)
}

/// Whether a value can be that of a field or a cookie, which come without the space around them.
fn is_seen(value: &Given<'_, String>, kind: Kind) -> bool {
    let text = value.value.as_str();
    let sound = match kind {
        Kind::Header | Kind::Cookie => {
            text.trim_matches([' ', '\t']) == text
                && !text
                    .contains(|character: char| character.is_ascii_control() && character != '\t')
                && !(kind == Kind::Cookie && text.contains(';'))
        }
        Kind::Query => true,
    };
    if !sound {
        let what = match kind {
            Kind::Cookie => "a cookie",
            Kind::Header | Kind::Query => "a header",
        };
        let finding = Finding::error(format!("{what} never has the value {text:?}"));
        value.report(finding.help("values have no space at their ends, no control characters, and those of cookies no `;`"));
    }
    sound
}

/// The methods that clients send.
const COMMON: &[&str] = &[
    "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE",
];
