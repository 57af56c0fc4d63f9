//! Differences of routes.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Change, Lines, Pair, Subject, action, matched};
use crate::plan::{Plan, Route};
use crate::route::{Matcher, PathPattern};

pub(super) fn routes(old_plan: &Plan, new_plan: &Plan, changes: &mut Vec<Change>) {
    let pairs = matched(&old_plan.routes, &new_plan.routes, |route| &route.name);
    let mut common_new = Vec::new();
    for (name, pair) in pairs {
        let mut lines = Lines {
            subject: Subject::Route(Arc::clone(&name)),
            changes,
        };
        match pair {
            Pair::Added(route) => lines.say(format!("added to {}", route.action.text(new_plan))),
            Pair::Removed(_) => lines.say("removed"),
            Pair::Both(old, new) => {
                common_new.push(name);
                lines.compare(
                    "hosts",
                    &hosts_text(&old.matcher),
                    &hosts_text(&new.matcher),
                    String::clone,
                );
                lines.compare(
                    "path",
                    &path_text(&old.matcher.path),
                    &path_text(&new.matcher.path),
                    String::clone,
                );
                let asks = (conditions_text(&old.matcher), conditions_text(&new.matcher));
                lines.compare("conditions", &asks.0, &asks.1, String::clone);
                let names = (listeners_text(old_plan, old), listeners_text(new_plan, new));
                lines.compare("listeners", &names.0, &names.1, String::clone);
                action::actions((old_plan, old), (new_plan, new), &mut lines);
                action::edits(&old.edits, &new.edits, &mut lines);
                lines.compare("upgrade", &old.upgrade, &new.upgrade, |list| {
                    list.join(", ")
                });
                let keys = (old.idempotency_key, new.idempotency_key);
                lines.compare("idempotency_key", &keys.0, &keys.1, bool::to_string);
                lines.compare("priority", &old.priority, &new.priority, u8::to_string);
            }
        }
    }
    let common: HashSet<&Arc<str>> = common_new.iter().collect();
    let common_old = old_plan
        .routes
        .iter()
        .map(|route| &route.name)
        .filter(|name| common.contains(name));
    if !common_old.eq(common_new.iter()) {
        Lines {
            subject: Subject::Routes,
            changes,
        }
        .say("order changed: among equally specific routes the first one wins");
    }
}

fn hosts_text(matcher: &Matcher) -> String {
    let hosts: Vec<String> = matcher.hosts.iter().map(ToString::to_string).collect();
    if hosts.is_empty() {
        "any".to_owned()
    } else {
        hosts.join(",")
    }
}

fn path_text(path: &PathPattern) -> String {
    match path {
        PathPattern::Any => "any".to_owned(),
        PathPattern::Exact(path) => format!("{path} exactly"),
        PathPattern::Prefix(path) => format!("{path} and below"),
        PathPattern::Regex(regex) => format!("regex {}", regex.as_str()),
    }
}

fn conditions_text(matcher: &Matcher) -> String {
    let conditions = matcher.conditions.as_ref();
    conditions.map_or_else(|| "none".to_owned(), ToString::to_string)
}

/// Names, not indexes: those move when a listener is added before.
fn listeners_text(plan: &Plan, route: &Route) -> String {
    let mut names: Vec<&str> = route
        .listeners
        .iter()
        .filter_map(|index| plan.listeners.get(*index))
        .map(|listener| &*listener.name)
        .collect();
    names.sort_unstable();
    if names.is_empty() {
        "all".to_owned()
    } else {
        names.join(",")
    }
}
