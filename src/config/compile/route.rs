//! `[[routes]]`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::action::{self, Pools};
use super::scope::Given;
use super::{Names, conditions};
use crate::config::outside::Outside;
use crate::config::problem::{Finding, Mark};
use crate::config::raw::route as raw;
use crate::message::grammar::is_token;
use crate::plan::{Action, Route};
use crate::route::{Conditions, HostPattern, Matcher, PathPattern};

/// Compiles all routes; `pools` notes those that they lead to.
pub(super) fn routes<'a>(
    given: &[Given<'a, raw::Route>],
    listeners: &Names<'a>,
    pools: &mut Pools<'a, '_>,
    outside: &Outside,
) -> Vec<Route> {
    let mut labels = Labels::default();
    let mut earlier = Earlier::default();
    let mut routes = Vec::with_capacity(given.len());
    for written in given {
        let name = labels.given(written);
        let path = path(written);
        let listeners = listener_indexes(written, listeners);
        let action = action::action(written, path.as_ref(), pools, outside);
        let edits = action::edits(written, path.as_ref(), action.as_ref(), (pools, outside));
        let matcher = matcher(written, path);
        let (Some(matcher), Some(listeners), Some(action)) = (matcher, listeners, action) else {
            continue;
        };
        earlier.check(written, &matcher, &listeners);
        let action_is_pool = matches!(action, Action::Pool(_));
        routes.push((
            name,
            Route {
                name: Arc::from(""),
                matcher,
                listeners,
                action,
                edits,
                upgrade: upgrade(written),
                idempotency_key: idempotency_key(written, action_is_pool),
                priority: priority(written, action_is_pool),
            },
        ));
    }
    routes
        .into_iter()
        .map(|(name, route)| Route {
            name: labels.label(name, &route.matcher),
            ..route
        })
        .collect()
}

/// Whether `Idempotency-Key` counts; only backends can know keys.
fn idempotency_key(given: &Given<'_, raw::Route>, to_pool: bool) -> bool {
    let Some(written) = given
        .scope
        .get("idempotency_key", &given.value.idempotency_key)
    else {
        return false;
    };
    if !to_pool {
        let finding =
            Finding::error("`idempotency_key` means something for a route to a pool only");
        written.report(finding.help("leave it out: what a route answers itself needs no retry"));
    }
    *written.value
}

/// How important its requests are to a full pool.
fn priority(given: &Given<'_, raw::Route>, to_pool: bool) -> u8 {
    let Given { value, scope, .. } = given;
    if !to_pool && let Some(written) = scope.get("priority", &value.priority) {
        let finding = Finding::error("`priority` means something for a route to a pool only");
        written.report(finding.help("leave it out: what a route answers itself never waits"));
    }
    let most = raw::PRIORITY_MOST;
    scope.integer("priority", &value.priority, Route::PRIORITY, 0..=most)
}

/// Protocols that a client may change to; an empty list is none of them.
fn upgrade(given: &Given<'_, raw::Route>) -> Vec<Box<str>> {
    let Some(list) = given.scope.get("upgrade", &given.value.upgrade) else {
        return vec![raw::UPGRADE.into()];
    };
    let is_protocol = |written: &Given<'_, String>| {
        // A name, perhaps with a version behind a slash (RFC 9110 section 7.8).
        let good = written
            .value
            .split('/')
            .all(|part| is_token(part.as_bytes()));
        if !good {
            let finding = Finding::error(format!("{:?} is no protocol", written.value));
            written.report(finding.help("\"websocket\" is the usual one; [] allows none"));
        }
        good
    };
    let protocols = list.elements().into_iter().filter(is_protocol);
    protocols
        .map(|protocol| protocol.value.as_str().into())
        .collect()
}

/// Nothing if a host, the path or a condition is wrong: half a matcher would match what was not meant.
fn matcher(given: &Given<'_, raw::Route>, path: Option<PathPattern>) -> Option<Matcher> {
    let hosts = hosts(given);
    let conditions = conditions::conditions(given);
    Some(Matcher {
        hosts: hosts?,
        path: path?,
        conditions: conditions?,
    })
}

fn hosts(given: &Given<'_, raw::Route>) -> Option<Vec<HostPattern>> {
    let Some(list) = given.scope.get("hosts", &given.value.hosts) else {
        return given.value.hosts.is_none().then(Vec::new);
    };
    if list.value.is_empty() {
        // Read as "any host" it would be a surprise, read as "no host" a route that takes nothing.
        list.report(
            Finding::error("`hosts` is empty")
                .help("name one, or leave `hosts` out to take any host"),
        );
        return None;
    }
    let mut hosts = Vec::with_capacity(list.value.len());
    let mut seen = HashSet::with_capacity(list.value.len());
    let elements = list.elements();
    let mut whole = elements.len() == list.value.len();
    for written in elements {
        match HostPattern::parse(written.value) {
            Ok(host) if !seen.insert(host.clone()) => {
                written.report(Finding::warning(format!(
                    "the host {:?} stands here twice",
                    written.value
                )));
            }
            Ok(host) => hosts.push(host),
            Err(error) => {
                written.report(Finding::error(error.to_string()));
                whole = false;
            }
        }
    }
    whole.then_some(hosts)
}

fn path(given: &Given<'_, raw::Route>) -> Option<PathPattern> {
    let Given { value, scope, .. } = given;
    let keys = [
        ("path", &value.path),
        ("path_prefix", &value.path_prefix),
        ("path_regex", &value.path_regex),
    ];
    let present: Vec<_> = keys.iter().filter(|(_, field)| field.is_some()).collect();
    let written: Vec<_> = present
        .iter()
        .filter_map(|(key, field)| Some((*key, scope.get(key, field)?)))
        .collect();
    if let [(first, one), (second, other), ..] = written.as_slice() {
        let finding = Finding::error(format!(
            "a route has one of `{first}` and `{second}`, not both"
        ));
        other.report(
            finding
                .help("write two routes")
                .also(&one.mark(), "the other one"),
        );
        return None;
    }
    let Some((key, written)) = written.first() else {
        return present.is_empty().then_some(PathPattern::Any);
    };
    let parsed = match *key {
        "path" => PathPattern::exact(written.value).map_err(|error| error.to_string()),
        "path_prefix" => PathPattern::prefix(written.value).map_err(|error| error.to_string()),
        _ => PathPattern::regex(written.value)
            .map_err(|error| format!("not a regular expression: {error}")),
    };
    parsed
        .map_err(|what| written.report(Finding::error(what)))
        .ok()
}

fn listener_indexes(given: &Given<'_, raw::Route>, listeners: &Names<'_>) -> Option<Vec<usize>> {
    let Some(list) = given.scope.get("listeners", &given.value.listeners) else {
        return given.value.listeners.is_none().then(Vec::new);
    };
    if list.value.is_empty() {
        list.report(
            Finding::error("`listeners` is empty")
                .help("name one, or leave `listeners` out to serve all of them"),
        );
        return None;
    }
    let elements = list.elements();
    let mut indexes: Vec<usize> = elements
        .iter()
        .filter_map(|written| listeners.find(written))
        .collect();
    let whole = indexes.len() == list.value.len();
    indexes.sort_unstable();
    indexes.dedup();
    whole.then_some(indexes)
}

/// The labels of routes: those given, which must differ, and those made of hosts and path.
#[derive(Default)]
struct Labels<'a> {
    given: HashMap<&'a str, Mark<'a>>,
    made: HashMap<String, usize>,
}

impl<'a> Labels<'a> {
    fn given(&mut self, route: &Given<'a, raw::Route>) -> Option<&'a str> {
        let written = route.scope.get("name", &route.value.name)?;
        let name = written.value.as_str();
        if name.is_empty() || name.chars().any(char::is_control) {
            written.report(Finding::error(
                "a route's name has at least one character, and no control characters",
            ));
            return None;
        }
        if let Some(first) = self.given.get(name) {
            written.report(
                Finding::error(format!("two routes are called `{name}`"))
                    .also(first, "the first one"),
            );
            return None;
        }
        self.given.insert(name, written.mark());
        Some(name)
    }

    /// The name given, or hosts and path as written; a number sets apart those that would be the same.
    fn label(&mut self, given: Option<&str>, matcher: &Matcher) -> Arc<str> {
        if let Some(name) = given {
            return Arc::from(name);
        }
        let hosts: Vec<String> = matcher.hosts.iter().map(ToString::to_string).collect();
        let made = match (hosts.join(","), matcher.path.to_string()) {
            (hosts, path) if hosts.is_empty() && path.is_empty() => "*".to_owned(),
            (hosts, path) => format!("{hosts}{path}"),
        };
        let count = self.made.entry(made.clone()).or_insert(0);
        loop {
            *count += 1;
            let label = if *count == 1 {
                made.clone()
            } else {
                format!("{made}#{count}")
            };
            if !self.given.contains_key(label.as_str()) {
                return Arc::from(label);
            }
        }
    }
}

/// The routes so far, to find those that stand before an equal one and take everything from it.
#[derive(Default)]
struct Earlier<'a> {
    by_host_and_path: HashMap<Key, Vec<Taker<'a>>>,
}

/// A host, the kind of a path, its text, and what else is asked: routes that differ in that leave something to each
/// other, for those that ask for more come first.
type Key = (String, &'static str, String, Option<Arc<Conditions>>);

/// The listeners of a route, none for all, and its place.
type Taker<'a> = (Vec<usize>, Mark<'a>);

impl<'a> Earlier<'a> {
    fn check(&mut self, written: &Given<'a, raw::Route>, matcher: &Matcher, listeners: &[usize]) {
        let mark = written.mark();
        let mut taken = None;
        let mut dead = true;
        for key in keys(matcher) {
            let equals = self.by_host_and_path.entry(key).or_default();
            let before = equals
                .iter()
                .find(|(earlier, _)| takes_all(earlier, listeners));
            match before {
                Some((_, first)) => taken = taken.or_else(|| Some(first.clone())),
                None => {
                    dead = false;
                    equals.push((listeners.to_vec(), mark.clone()));
                }
            }
        }
        if let (true, Some(first)) = (dead, taken) {
            let finding =
                Finding::warning("this route can never match: an equal one stands before it");
            written.report(finding.also(&first, "takes its requests"));
        }
    }
}

/// One key for each host that the route takes.
fn keys(matcher: &Matcher) -> Vec<Key> {
    let kind = match &matcher.path {
        PathPattern::Any => "any",
        PathPattern::Exact(_) => "exact",
        PathPattern::Prefix(_) => "prefix",
        PathPattern::Regex(_) => "regex",
    };
    let path = matcher.path.to_string();
    if matcher.hosts.is_empty() {
        return vec![(String::new(), kind, path, matcher.conditions.clone())];
    }
    matcher
        .hosts
        .iter()
        .map(|host| {
            let conditions = matcher.conditions.clone();
            (host.to_string(), kind, path.clone(), conditions)
        })
        .collect()
}

/// Whether a route on the listeners `earlier` leaves nothing for an equal one on `later`. A route that names its
/// listeners comes before one that serves all, wherever they stand.
fn takes_all(earlier: &[usize], later: &[usize]) -> bool {
    match (earlier.is_empty(), later.is_empty()) {
        (true, true) => true,
        (false, false) => later.iter().all(|listener| earlier.contains(listener)),
        _ => false,
    }
}
