//! Differences of what becomes of requests: actions, rewriting, fields, pages.

use super::{Lines, set};
use crate::plan::action::{Action, Edits, Host};
use crate::plan::fields::FieldRules;
use crate::plan::pages::{ErrorPage, ErrorPages};
use crate::plan::template::Template;
use crate::plan::{Plan, Route};

pub(super) fn actions(
    (old_plan, old): (&Plan, &Route),
    (new_plan, new): (&Plan, &Route),
    lines: &mut Lines<'_>,
) {
    let (before, after) = (old.action.text(old_plan), new.action.text(new_plan));
    match (&old.action, &new.action) {
        (Action::Pool(_), Action::Pool(_)) if before != after => {
            let name = after.strip_prefix("pool ").unwrap_or(&after);
            lines.say(format!("{before} -> {name}"));
        }
        _ if before != after => lines.say(format!("{before} -> {after}")),
        (Action::Respond(old), Action::Respond(new)) if old != new => {
            lines.say(format!("content of respond {} changed", new.status));
        }
        _ => {}
    }
}

pub(super) fn edits(old: &Edits, new: &Edits, lines: &mut Lines<'_>) {
    let text = |template: &Option<Template>| {
        let text = template.as_ref().map(Template::text);
        text.unwrap_or("none").to_owned()
    };
    lines.compare("rewrite.path", &old.rewrite.path, &new.rewrite.path, text);
    let text = |host: &Option<Host>| {
        let text = host.as_ref().map(Host::text);
        text.unwrap_or("none").to_owned()
    };
    lines.compare("rewrite.host", &old.rewrite.host, &new.rewrite.host, text);
    fields(
        "request_headers",
        (&old.request_headers, &new.request_headers),
        lines,
    );
    fields(
        "response_headers",
        (&old.response_headers, &new.response_headers),
        lines,
    );
    pages(&old.error_pages, &new.error_pages, lines);
}

/// By verb and name alone: a value may be a secret (`authorization`), and changes are told to who may not see the
/// configuration.
pub(super) fn fields(label: &str, (old, new): (&FieldRules, &FieldRules), lines: &mut Lines<'_>) {
    let (old, new) = (by_name(old), by_name(new));
    for (line, values) in &new {
        match old.iter().find(|(other, _)| other == line) {
            None => lines.say(format!("{label}: {line} added")),
            Some((_, before)) if before != values => {
                lines.say(format!("{label}: {line}: another value"));
            }
            Some(_) => {}
        }
    }
    for (line, _) in &old {
        if !new.iter().any(|(other, _)| other == line) {
            lines.say(format!("{label}: {line} removed"));
        }
    }
}

/// Each change once, with its values: a field may be added several times, its name written in other cases.
fn by_name(rules: &FieldRules) -> Vec<(String, Vec<&str>)> {
    let mut all: Vec<(String, Vec<&str>)> = Vec::new();
    for (line, value) in rules.lines() {
        match all.iter_mut().find(|(other, _)| *other == line) {
            Some((_, values)) => values.push(value),
            None => all.push((line, vec![value])),
        }
    }
    all
}

/// By statuses and file; a page whose file says something else now has changed.
pub(super) fn pages(old: &ErrorPages, new: &ErrorPages, lines: &mut Lines<'_>) {
    let text = |page: &ErrorPage| {
        let (first, last) = (page.statuses.start(), page.statuses.end());
        let range = if first == last {
            String::new()
        } else {
            format!("-{last}")
        };
        format!("for {first}{range} {}", page.file.display())
    };
    let texts = |pages: &ErrorPages| -> Vec<String> { pages.all().iter().map(text).collect() };
    set("error page", &texts(old), &texts(new), lines);
    for page in new.all() {
        let before = old.all().iter().find(|before| text(before) == text(page));
        if before.is_some_and(|before| before != page) {
            lines.say(format!("error page {} changed", text(page)));
        }
    }
}
