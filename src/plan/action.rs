//! What becomes of a request once its route is known.
//!
//! A route leads to a pool, or answers by itself: with a redirect, or with a fixed response. On the way to a pool the
//! target and the host may be rewritten; fields of requests and responses may be set, added and removed; and replies of
//! our own may have pages of the operator's.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::Plan;
use super::fields::FieldRules;
use super::pages::ErrorPages;
use super::template::{Encoding, Segment, Template, Values, Variable};
use crate::route::rules::{Ambiguous, DotSegments, EncodedSlashes, PathRules, RepeatedSlashes};
use crate::route::{PathPattern, resolved};

/// What answers the requests of a route.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// A backend of the pool with this index in the plan.
    Pool(usize),
    /// A redirect.
    Redirect(Redirect),
    /// A fixed response.
    Respond(Respond),
}

/// Sends the client elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Redirect {
    /// One of 301, 302, 303, 307 and 308.
    pub status: u16,
    /// Where to: [`check_redirect`] has been here.
    pub to: Template,
}

/// A response that is the same for everybody.
#[derive(Clone, PartialEq)]
pub struct Respond {
    /// From 200 to 599; no status that has no body has one here.
    pub status: u16,
    /// The content.
    pub body: Arc<[u8]>,
    /// Its type; empty if there is no content.
    pub content_type: Box<str>,
}

/// What changes between client and pool, and what is said in place of the pool. Empty for most routes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Edits {
    /// Path and host that the backend sees.
    pub rewrite: Rewrite,
    /// Fields of requests.
    pub request_headers: FieldRules,
    /// Fields of responses, behind those of the listener.
    pub response_headers: FieldRules,
    /// Pages for replies of our own, before those of the listener.
    pub error_pages: ErrorPages,
}

/// Path and host that the backend sees, where they are others than the client's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rewrite {
    /// The target; the query is kept unless the template has one.
    pub path: Option<Template>,
    /// The host.
    pub host: Option<Host>,
}

/// A host that the backend sees.
#[derive(Clone, Debug, PartialEq)]
pub enum Host {
    /// The address of the backend that was picked, another one for each attempt.
    Backend,
    /// The same whichever backend is picked.
    Template(Template),
}

/// Why a template cannot be the target of a redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedirectError {
    /// It begins with something else.
    #[error("a redirect begins with `https://`, `http://` or `/`, written out")]
    Start,
    /// The first slash could be followed by another one, and that would be another host.
    #[error(
        "after its first `/` a redirect goes on with a character that is no slash, written out"
    )]
    SecondSlash,
    /// A value that could change the host stands in it.
    #[error("the host of a redirect is made of text, {{host}} and {{port}} only")]
    Host,
    /// There is no host.
    #[error("the redirect has no host")]
    NoHost,
}

/// Checks that no request can change where a redirect leads: its scheme and host are the template's, whatever is filled
/// in. A redirect to wherever a link says is a gift to those who send such links.
///
/// # Errors
/// What is wrong, and at which bytes of the template's text.
pub fn check_redirect(to: &Template) -> Result<(), (RedirectError, Range<usize>)> {
    let whole = 0..to.text().len();
    let text = match to.segments().first() {
        Some(Segment::Text { text, .. }) => text.as_str(),
        Some(Segment::Value { .. }) | None => return Err((RedirectError::Start, whole)),
    };
    for scheme in ["https://", "http://"] {
        if text.starts_with(scheme) {
            return check_host(to, scheme.len());
        }
    }
    match text.as_bytes() {
        [b'/'] if to.segments().len() == 1 => Ok(()),
        [b'/'] | [b'/', b'/' | b'\\', ..] => Err((RedirectError::SecondSlash, whole)),
        [b'/', ..] => Ok(()),
        _ => Err((RedirectError::Start, whole)),
    }
}

/// Walks over the host of a redirect up to where it must have ended.
fn check_host(to: &Template, from: usize) -> Result<(), (RedirectError, Range<usize>)> {
    let mut empty = true;
    // Behind a value that may be nothing the host may still go on, and may not.
    let mut open = true;
    for (index, segment) in to.segments().iter().enumerate() {
        match segment {
            Segment::Text { text, at } => {
                let skipped = if index == 0 { from } else { 0 };
                for (offset, byte) in text.bytes().enumerate().skip(skipped) {
                    let here = at + offset..at + offset + 1;
                    match byte {
                        b'/' | b'?' | b'#' if empty => return Err((RedirectError::NoHost, here)),
                        b'/' | b'?' | b'#' => return Ok(()),
                        byte if open && is_host_byte(byte) => empty = false,
                        _ => return Err((RedirectError::Host, here)),
                    }
                }
            }
            Segment::Value { variable, at } => match variable {
                Variable::Host if open => empty = false,
                Variable::Port if open && !empty => {}
                Variable::Path | Variable::Uri | Variable::Rest | Variable::Query if empty => {
                    return Err((RedirectError::NoHost, at.clone()));
                }
                // They begin with a slash whatever the request is, and a host ends there.
                Variable::Path | Variable::Uri => return Ok(()),
                Variable::Rest | Variable::Query => open = false,
                _ => return Err((RedirectError::Host, at.clone())),
            },
        }
    }
    if empty {
        return Err((RedirectError::NoHost, 0..to.text().len()));
    }
    Ok(())
}

fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.:[]".contains(&byte)
}

/// Whether a template can be a rewritten path: it begins with a slash, whatever is filled in.
#[must_use]
pub fn is_rooted(path: &Template) -> bool {
    match path.segments().first() {
        Some(Segment::Text { text, .. }) => text.starts_with('/'),
        Some(Segment::Value { variable, .. }) => {
            matches!(variable, Variable::Path | Variable::Uri | Variable::Rest)
        }
        None => false,
    }
}

impl Action {
    /// What answers, in a few words: pools by name, for their indexes mean nothing to people.
    #[must_use]
    pub fn text(&self, plan: &Plan) -> String {
        match self {
            Self::Pool(pool) => {
                let pool = plan.pools.get(*pool);
                format!("pool {}", pool.map_or("?", |pool| &pool.name))
            }
            Self::Redirect(redirect) => {
                format!("redirect {} {}", redirect.status, redirect.to.text())
            }
            Self::Respond(respond) => format!("respond {}", respond.status),
        }
    }
}

impl Redirect {
    /// Appends where the client is sent. `None` if that takes a host and the request has none.
    pub fn location(&self, values: &Values<'_>, out: &mut Vec<u8>) -> Option<()> {
        if values.host.is_empty() && self.to.uses(Variable::Host) {
            return None;
        }
        self.to.render(values, Encoding::Url, out);
        Some(())
    }
}

impl Host {
    /// What `{backend}` alone means; every other template that names it means nothing.
    #[must_use]
    pub fn of(template: Template) -> Option<Self> {
        match template.segments() {
            [
                Segment::Value {
                    variable: Variable::Backend,
                    ..
                },
            ] => Some(Self::Backend),
            _ if template.uses(Variable::Backend) => None,
            _ => Some(Self::Template(template)),
        }
    }

    /// As written.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Backend => "{backend}",
            Self::Template(template) => template.text(),
        }
    }
}

/// Appends the target that `template` makes of a request; `values.path` and `values.rest` are in resolved form by the
/// same `rules`. It begins with a slash and is in resolved form itself.
///
/// # Errors
/// If what a regex took makes a dot segment where the rules resolve those: `/v2/{1}` is not meant to lead out of `/v2`.
pub fn rewritten(
    template: &Template,
    values: &Values<'_>,
    rules: PathRules,
    out: &mut Vec<u8>,
) -> Result<(), Ambiguous> {
    let mut target = Vec::with_capacity(128);
    template.render(values, Encoding::Url, &mut target);
    let end = memchr::memchr(b'?', &target).unwrap_or(target.len());
    let (path, query) = target.split_at(end);
    let rules = PathRules {
        dot_segments: match rules.dot_segments {
            DotSegments::Keep => DotSegments::Keep,
            DotSegments::Resolve | DotSegments::Reject => DotSegments::Reject,
        },
        repeated_slashes: match rules.repeated_slashes {
            RepeatedSlashes::Keep => RepeatedSlashes::Keep,
            RepeatedSlashes::Merge | RepeatedSlashes::Reject => RepeatedSlashes::Merge,
        },
        // They have been looked at; what is left of them is data.
        encoded_slashes: EncodedSlashes::Keep,
        ..rules
    };
    let mut rooted = Vec::new();
    let path = if path.starts_with(b"/") {
        path
    } else {
        rooted.push(b'/');
        rooted.extend_from_slice(path);
        &rooted
    };
    out.extend_from_slice(&resolved(path, rules)?);
    if template.has_query() {
        out.extend_from_slice(query);
    } else {
        out.extend_from_slice(values.query);
    }
    Ok(())
}

/// What follows the prefix `pattern` in `path`, which is in resolved form and taken by it: nothing, or something that
/// begins with a slash. Segments are counted, not compared, for they may be spelt in two ways.
#[must_use]
pub fn rest<'p>(pattern: &PathPattern, path: &'p [u8]) -> &'p [u8] {
    let PathPattern::Prefix(prefix) = pattern else {
        return b"";
    };
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    let segments = memchr::memchr_iter(b'/', prefix.as_bytes()).count();
    let mut slashes = memchr::memchr_iter(b'/', path);
    slashes.nth(segments).map_or(b"", |slash| &path[slash..])
}

impl fmt::Debug for Respond {
    /// Says how much content there is; a page is no help in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Respond")
            .field("status", &self.status)
            .field("content_type", &self.content_type)
            .field("bytes", &self.body.len())
            .finish()
    }
}
