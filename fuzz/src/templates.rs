//! Templates and what requests can make of them: redirects, rewritten paths, fields and pages.
//!
//! The first line is the path of a route (`prefix /a`, `regex ...`, or nothing), the second a template, the third the
//! target of a request; what is left is what else a client can choose. The template is tried in every place.

use std::borrow::Cow;

use forecourt::plan::action::{Redirect, check_redirect, is_rooted, rest, rewritten};
use forecourt::plan::template::{Encoding, Place, Template, Values};
use forecourt::route::{PathPattern, PathRules, resolved, view};

use crate::cut_line;

/// Judges a template and a request.
pub fn judge(bytes: &[u8]) {
    let (path, after) = cut_line(bytes);
    let (template, after) = cut_line(after);
    let (target, other) = cut_line(after);
    let Some(pattern) = pattern(&String::from_utf8_lossy(path)) else {
        return;
    };
    let template = String::from_utf8_lossy(template);
    let end = target
        .iter()
        .position(|byte| *byte == b'?')
        .unwrap_or(target.len());
    let (path, query) = target.split_at(end);
    let rules = PathRules::default();
    let form = resolved(path, rules).unwrap_or(Cow::Borrowed(b"/"));
    let mut room = view::Room::new();
    let captures = match &pattern {
        PathPattern::Regex(regex) => {
            regex.captures(view::of(path, rules, &mut room).unwrap_or(b"/"))
        }
        _ => Vec::new(),
    };
    let route = String::from_utf8_lossy(other);
    let values = |path| Values {
        host: b"asked.example",
        port: Some(80),
        scheme: "http",
        method: other,
        path,
        query,
        rest: rest(&pattern, &form),
        captures: &captures,
        request_id: other,
        route: &route,
        ..Values::default()
    };
    let read = |place| Template::parse(&template, place, &pattern).ok();
    if let Some(to) = read(Place::Redirect).filter(|to| check_redirect(to).is_ok()) {
        judge_redirect(to, &values(path));
    }
    if let Some(path) = read(Place::RewritePath).filter(is_rooted) {
        judge_path(&path, &values(&form));
    }
    for (place, encoding) in [
        (Place::RequestField, Encoding::Field),
        (Place::Page, Encoding::Html),
        (Place::Page, Encoding::Json),
        (Place::Page, Encoding::Text),
    ] {
        if let Some(template) = read(place) {
            judge_text(&template, encoding, &values(path));
        }
    }
}

fn pattern(line: &str) -> Option<PathPattern> {
    match line.split_once(' ') {
        Some(("prefix", text)) => PathPattern::prefix(text).ok(),
        // What takes long to compile is another target's business.
        Some(("regex", text)) if text.len() <= 64 => PathPattern::regex(text).ok(),
        _ => Some(PathPattern::Any),
    }
}

/// Whatever is filled in, a browser goes to the host of the template.
fn judge_redirect(to: Template, values: &Values<'_>) {
    let redirect = Redirect { status: 307, to };
    let locate = |values: &Values<'_>| {
        let mut location = Vec::new();
        redirect
            .location(values, &mut location)
            .expect("there is a host");
        String::from_utf8(location).expect("a URL is ASCII")
    };
    let tame = Values {
        host: values.host,
        port: values.port,
        path: b"/",
        ..Values::default()
    };
    let (found, expected) = (locate(values), locate(&tame));
    assert_eq!(leads_to(&found), leads_to(&expected), "{found}");
    assert!(
        found.bytes().all(|byte| (b'!'..=b'~').contains(&byte)),
        "{found}"
    );
}

/// What a browser takes for scheme and host.
fn leads_to(location: &str) -> String {
    let seen = location.replace('\\', "/");
    let (scheme, rest) = match seen.split_once("://") {
        Some((scheme @ ("http" | "https"), rest)) => (scheme, rest),
        _ if seen.starts_with("//") => ("", &seen[2..]),
        _ => return format!("here {}", seen.starts_with('/')),
    };
    let rest = rest.trim_start_matches('/');
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    format!("{scheme}://{}", &rest[..end])
}

/// It begins with a slash, has nothing left to resolve, and is a target that a backend takes.
fn judge_path(template: &Template, values: &Values<'_>) {
    let mut target = Vec::new();
    if rewritten(template, values, PathRules::default(), &mut target).is_err() {
        return;
    }
    let end = target
        .iter()
        .position(|byte| *byte == b'?')
        .unwrap_or(target.len());
    let (path, query) = target.split_at(end);
    assert!(path.starts_with(b"/"), "{}", path.escape_ascii());
    assert_eq!(
        &*resolved(path, PathRules::default()).expect("no doubts"),
        path
    );
    assert!(
        path.iter()
            .all(|byte| (b'!'..=b'~').contains(byte) && *byte != b'#')
    );
    if !template.has_query() {
        assert_eq!(query, values.query);
    }
}

/// Lines, tags and values end where the template ends them.
fn judge_text(template: &Template, encoding: Encoding, values: &Values<'_>) {
    let mut rendered = Vec::new();
    template.render(values, encoding, &mut rendered);
    let count = |text: &[u8], wanted: &dyn Fn(u8) -> bool| {
        text.iter().filter(|byte| wanted(**byte)).count()
    };
    let written = template.text().as_bytes();
    let is_control: &dyn Fn(u8) -> bool = &|byte| byte.is_ascii_control();
    assert!(count(&rendered, is_control) <= count(written, is_control));
    if encoding == Encoding::Html {
        let is_markup: &dyn Fn(u8) -> bool = &|byte| b"<>\"'".contains(&byte);
        assert_eq!(count(&rendered, is_markup), count(written, is_markup));
    }
}
