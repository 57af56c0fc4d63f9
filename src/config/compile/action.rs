//! What becomes of the requests of a route: `pool`, `redirect` or `respond`, and what changes on the way.

use std::sync::Arc;

use toml::Spanned;

use super::scope::{Given, Scope};
use super::template::template;
use super::{Names, fields, page};
use crate::config::outside::Outside;
use crate::config::problem::Finding;
use crate::config::raw::action as raw;
use crate::config::raw::route::Route;
use crate::message::host::is_host;
use crate::plan;
use crate::plan::action::{
    Action, Edits, Host, Redirect, RedirectError, Respond, Rewrite, check_redirect, is_rooted,
};
use crate::plan::fields::FieldRules;
use crate::plan::template::Place;
use crate::route::PathPattern;

/// The pools that routes lead to.
pub(super) struct Pools<'a, 'p> {
    names: &'p Names<'a>,
    plans: &'p [plan::Pool],
    used: Vec<bool>,
}

impl<'a, 'p> Pools<'a, 'p> {
    pub(super) fn new(names: &'p Names<'a>, plans: &'p [plan::Pool]) -> Self {
        Self {
            names,
            plans,
            used: vec![false; plans.len()],
        }
    }

    /// Whether some route leads to each.
    pub(super) fn used(&self) -> &[bool] {
        &self.used
    }

    /// The pool that is named, which is then used.
    fn find(&mut self, written: &Given<'_, String>) -> Option<usize> {
        let index = self.names.find(written)?;
        if let Some(used) = self.used.get_mut(index) {
            *used = true;
        }
        Some(index)
    }
}

/// What answers; exactly one of three keys says it.
pub(super) fn action(
    given: &Given<'_, Route>,
    path: Option<&PathPattern>,
    pools: &mut Pools<'_, '_>,
    outside: &Outside,
) -> Option<Action> {
    let Given { value, scope, .. } = given;
    let pool = scope.get("pool", &value.pool);
    let redirect = scope.get("redirect", &value.redirect);
    let respond = scope.get("respond", &value.respond);
    let marks = [
        ("pool", pool.as_ref().map(Given::mark)),
        ("redirect", redirect.as_ref().map(Given::mark)),
        ("respond", respond.as_ref().map(Given::mark)),
    ];
    let written: Vec<_> = marks
        .iter()
        .filter_map(|(key, mark)| Some((key, mark.as_ref()?)))
        .collect();
    if let [(first, one), (second, other), ..] = written.as_slice() {
        let what = format!("a route has one of `{first}` and `{second}`, not both");
        let finding = Finding::error(what).help("write two routes");
        scope.report(&other.span, finding.also(one, "the other one"));
    }
    if value.pool.is_none() && value.redirect.is_none() && value.respond.is_none() {
        given.report(
            Finding::error("the route has no `pool`, and neither `redirect` nor `respond`")
                .help("add pool = \"NAME\", the name of a table [pools.NAME]"),
        );
    }
    // All are looked at, for their own problems.
    let pool = pool.and_then(|pool| pools.find(&pool)).map(Action::Pool);
    let redirect = redirect.and_then(|redirect| self::redirect(&redirect, path));
    let respond = respond.and_then(|respond| self::respond(&respond, outside));
    match (pool, redirect, respond) {
        (Some(pool), _, _) => Some(pool),
        (None, Some(redirect), _) => Some(Action::Redirect(redirect)),
        (None, None, respond) => respond.map(Action::Respond),
    }
}

fn redirect(given: &Given<'_, raw::Redirect>, path: Option<&PathPattern>) -> Option<Redirect> {
    let Given { value, scope, .. } = given;
    if value.to.is_none() {
        let finding = Finding::error("the redirect leads nowhere");
        given.report(finding.help("add to = \"https://{host}{uri}\""));
    }
    let status = scope.integer("status", &value.status, raw::REDIRECT_STATUS, 300..=399);
    if ![301, 302, 303, 307, 308].contains(&status)
        && let Some(status) = scope.get("status", &value.status)
    {
        let finding = Finding::error(format!("{} is no status of a redirect", status.value));
        status.report(finding.help(
            "307 and 308 keep the method, 308 for ever; 303 makes it GET; 301 and 302 are the old ones",
        ));
    }
    let written = scope.get("to", &value.to)?;
    let to = template(&written, Place::Redirect, path)?;
    match check_redirect(&to) {
        Ok(()) => Some(Redirect { status, to }),
        Err((error, at)) => {
            let finding = Finding::error(error.to_string());
            written.report_at(&at, finding.help(redirect_help(error)));
            None
        }
    }
}

fn redirect_help(error: RedirectError) -> &'static str {
    match error {
        RedirectError::Start => "such as \"https://{host}{uri}\" or \"/new{rest}\"",
        RedirectError::SecondSlash => {
            "two slashes begin a host, and a path could bring the second one: write \"/new{rest}\" or \"https://{host}{rest}\""
        }
        RedirectError::Host | RedirectError::NoHost => {
            "else a link could choose the host; {path}, {uri} and a `/` end it"
        }
    }
}

fn respond(given: &Given<'_, raw::Respond>, outside: &Outside) -> Option<Respond> {
    let Given { value, scope, .. } = given;
    let status: u16 = scope.integer("status", &value.status, raw::RESPOND_STATUS, 200..=599);
    if (300..400).contains(&status)
        && let Some(status) = scope.get("status", &value.status)
    {
        let finding = Finding::error(format!("{} is no status of a response", status.value));
        status.report(finding.help("for a redirect there is the key `redirect`"));
    }
    let text = scope.get("body", &value.body);
    let file = scope.get("file", &value.file);
    if let (Some(text), Some(file)) = (&text, &file) {
        let finding = Finding::error("a response has one of `body` and `file`, not both");
        file.report(finding.also(&text.mark(), "the other one"));
    }
    let given_type = content_type(scope, value);
    let wrong = value.file.is_some() && file.is_none();
    let (body, by_itself): (Arc<[u8]>, _) = match (&text, &file) {
        (Some(text), _) => (text.value.as_bytes().into(), Some(raw::RESPOND_TYPE)),
        (None, Some(file)) => {
            let path = file.scope.folder().join(file.value);
            match outside.bodies.get(&path)? {
                Ok(body) if given_type.is_some() => (Arc::clone(body), None),
                Ok(body) => (Arc::clone(body), page::file_type(file, &path)),
                Err(error) => {
                    page::report(file, error);
                    return None;
                }
            }
        }
        (None, None) if wrong => return None,
        (None, None) => (Arc::default(), None),
    };
    if matches!(status, 204 | 205) && !body.is_empty() {
        let finding = Finding::error(format!("a response of status {status} has no body"));
        given.report(finding.help("leave the body out, or make it 200"));
    }
    if body.len() as u64 > raw::FILE_BYTES_MOST {
        given.report(Finding::error("the body has more than 1024 KiB"));
    }
    let content_type = given_type.or_else(|| by_itself.map(Into::into));
    Some(Respond {
        status,
        body,
        content_type: content_type.unwrap_or_default(),
    })
}

fn content_type<'a>(scope: &Scope<'a>, value: &'a raw::Respond) -> Option<Box<str>> {
    let written = scope.get("content_type", &value.content_type)?;
    let text = written.value.trim();
    let is_sound = text.contains('/') && text.bytes().all(|byte| (b' '..0x7f).contains(&byte));
    if !is_sound {
        let finding = Finding::error(format!("{:?} is no media type", written.value));
        written.report(finding.help("such as \"text/html; charset=utf-8\""));
    }
    Some(text.into())
}

/// What changes on the way; `action` is what answers, if that is known.
pub(super) fn edits(
    given: &Given<'_, Route>,
    path: Option<&PathPattern>,
    action: Option<&Action>,
    (pools, outside): (&Pools<'_, '_>, &Outside),
) -> Edits {
    let Given { value, scope, .. } = given;
    let edits = Edits {
        rewrite: rewrite(given, path),
        request_headers: fields::requests(scope, &value.request_headers, path),
        response_headers: fields::responses(scope, &value.response_headers, path),
        error_pages: page::pages(scope, &value.error_pages, path, outside),
    };
    match action {
        Some(Action::Pool(pool)) => {
            let sticky = pools.plans.get(*pool).filter(|pool| pool.sticky.is_some());
            if let Some(pool) = sticky {
                warn_of_the_cookie(given, &edits.response_headers, &pool.name);
            }
        }
        Some(Action::Redirect(_) | Action::Respond(_)) => refuse_what_no_backend_sees(given),
        None => {}
    }
    edits
}

fn rewrite(given: &Given<'_, Route>, path: Option<&PathPattern>) -> Rewrite {
    let Some(Given { value, scope, .. }) = given.scope.get("rewrite", &given.value.rewrite) else {
        return Rewrite::default();
    };
    let written = scope.get("path", &value.path);
    let target = written.as_ref().and_then(|written| {
        let target = template(written, Place::RewritePath, path)?;
        if !is_rooted(&target) {
            let finding = Finding::error("a rewritten path begins with `/`");
            written.report(finding.help("write the slash, or begin with {rest}, {path} or {uri}"));
        }
        Some(target)
    });
    let host = scope
        .get("host", &value.host)
        .and_then(|written| host(&written, path));
    Rewrite { path: target, host }
}

/// A host without values is looked at now; the others are when they are filled in.
fn host(written: &Given<'_, String>, path: Option<&PathPattern>) -> Option<Host> {
    let template = template(written, Place::RewriteHost, path)?;
    let fixed = template.variables().next().is_none();
    if fixed && !is_host(template.text().as_bytes()) {
        let finding = Finding::error(format!("{:?} is no host", template.text()));
        written.report(finding.help("a host is a name or an address, perhaps with a port"));
        return None;
    }
    let host = Host::of(template);
    if host.is_none() {
        let finding = Finding::error("`{backend}` stands alone in a host");
        written.report(finding.help("it is the whole address, port included"));
    }
    host
}

/// A setting that is ignored is a promise that is broken.
fn refuse_what_no_backend_sees(given: &Given<'_, Route>) {
    let Given { value, scope, .. } = given;
    let rewrite = value.rewrite.as_ref().map(Spanned::span);
    let headers = value.request_headers.as_ref().map(Spanned::span);
    for (key, span) in [("rewrite", rewrite), ("request_headers", headers)] {
        if let Some(span) = span {
            let what = format!("`{key}` changes what a backend sees, and this route has no pool");
            scope.report(&span, Finding::error(what).help("leave it out"));
        }
    }
}

/// The cookie of stickiness is added behind the rules: nobody loses it by accident, nobody can replace it.
fn warn_of_the_cookie(given: &Given<'_, Route>, rules: &FieldRules, pool: &str) {
    let removed = rules.remove.iter();
    let changes = removed
        .chain(rules.set.iter().map(|rule| &rule.name))
        .any(|name| &**name == "set-cookie");
    let place = given.value.response_headers.as_ref().map(Spanned::span);
    if let (true, Some(span)) = (changes, place) {
        let what = format!(
            "the sticky cookie of the pool `{pool}` stays, whatever is done here with `set-cookie`"
        );
        let finding = Finding::warning(what);
        given.scope.report(
            &span,
            finding.help("it is added behind the rules; only cookies of backends are changed"),
        );
    }
}
