//! Templates: text with names in braces, which each request fills in: `https://{host}{uri}`.
//!
//! *What enters*: a text of the configuration, and the place where it stands, which says what can be known there.
//! *What leaves*: a [`Template`], split into segments once, and rendered into a caller's buffer for each request.
//!
//! Nothing that is filled in can end a line, a field or a tag: what that takes depends on where the text goes, and
//! [`Encoding`] is told so on every rendering. What stands in the template itself is the operator's and left as it is.
//!
//! In reading order: here what a template and a value are; `parse` (text to segments, every problem with its place);
//! [`render`] (segments to bytes).
//!
//! Deliberately absent: where values come from (`proxy` knows the request).

mod parse;
pub mod render;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;

pub use render::{Encoding, Values};

use crate::route::PathPattern;

/// A text with names in braces. Compared by its text.
#[derive(Clone, PartialEq, Eq)]
pub struct Template {
    text: Box<str>,
    segments: Box<[Segment]>,
}

/// A part of a template, with its place in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// As it stands.
    Text { text: String, at: usize },
    /// To be filled in.
    Value {
        variable: Variable,
        at: Range<usize>,
    },
}

/// What can be filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variable {
    /// `{host}`: the host asked for, in lower case and without its port; IPv6 in brackets.
    Host,
    /// `{port}`: the port asked for, or that of the scheme.
    Port,
    /// `{scheme}`: `http` or `https`, as the client came.
    Scheme,
    /// `{method}`.
    Method,
    /// `{path}`: as the client wrote it.
    Path,
    /// `{query}`: with its `?`; nothing without one.
    Query,
    /// `{uri}`: path and query.
    Uri,
    /// `{rest}`: what follows the prefix; nothing, or it begins with a slash.
    Rest,
    /// `{1}` or a name: what a group of the regex took, nothing if it took no part.
    Capture(usize),
    /// `{client}`: the client's address.
    Client,
    /// `{request_id}`.
    RequestId,
    /// `{listener}`: its name.
    Listener,
    /// `{route}`: its name.
    Route,
    /// `{backend}`: the address of the backend that was picked.
    Backend,
    /// `{status}`: of an error, as a number.
    Status,
    /// `{reason}`: the status in words.
    Reason,
    /// `{code}`: the word of `forecourt-error`.
    Code,
}

/// Where a template stands, which decides what it may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// `redirect.to`.
    Redirect,
    /// `rewrite.path`.
    RewritePath,
    /// `rewrite.host`.
    RewriteHost,
    /// A value in `request_headers`.
    RequestField,
    /// A value in `response_headers`.
    ResponseField,
    /// A file of `error_pages`. Braces are common in such files, so only a name between them makes a value.
    Page,
}

/// What is wrong with a template, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// Bytes of the text.
    pub at: Range<usize>,
    /// What is wrong.
    pub what: What,
}

/// What can be wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum What {
    /// A name that means nothing.
    #[error("there is no value `{{{0}}}`")]
    Unknown(String),
    /// A name that means nothing in this place.
    #[error("`{{{name}}}` cannot stand here: {why}")]
    Misplaced {
        /// The name.
        name: String,
        /// Why not.
        why: &'static str,
    },
    /// A group that the regex does not have.
    #[error("the regex of this route has no group {0}")]
    NoGroup(usize),
    /// A group with the name of a value.
    #[error("`{{{0}}}` is a group of the regex and a value as well")]
    TwoMeanings(String),
    /// A brace that nothing closes.
    #[error("`{{` is not closed")]
    Open,
    /// A brace that nothing opened.
    #[error("`}}` closes nothing")]
    Closed,
    /// A byte that cannot stand where the template goes.
    #[error("{0:?} cannot stand here")]
    Character(char, Place),
}

impl Template {
    /// Reads a template. `path` is the path of the route it belongs to, any path outside routes.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse(text: &str, place: Place, path: &PathPattern) -> Result<Self, Vec<TemplateError>> {
        parse::parse(text, place, path)
    }

    /// The template as written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it fills in.
    pub fn variables(&self) -> impl Iterator<Item = Variable> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Text { .. } => None,
            Segment::Value { variable, .. } => Some(*variable),
        })
    }

    /// Whether it fills in this.
    #[must_use]
    pub fn uses(&self, variable: Variable) -> bool {
        self.variables().any(|used| used == variable)
    }

    /// Whether it fills in something that a regex took.
    #[must_use]
    pub fn uses_captures(&self) -> bool {
        self.variables()
            .any(|used| matches!(used, Variable::Capture(_)))
    }

    /// Whether it says by itself what the query is.
    #[must_use]
    pub fn has_query(&self) -> bool {
        self.segments.iter().any(|segment| match segment {
            Segment::Text { text, .. } => text.contains('?'),
            Segment::Value { variable, .. } => matches!(variable, Variable::Query | Variable::Uri),
        })
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Template").field(&self.text).finish()
    }
}

impl Variable {
    /// The values with names of their own.
    pub const NAMED: [(&'static str, Self); 16] = [
        ("host", Self::Host),
        ("port", Self::Port),
        ("scheme", Self::Scheme),
        ("method", Self::Method),
        ("path", Self::Path),
        ("query", Self::Query),
        ("uri", Self::Uri),
        ("rest", Self::Rest),
        ("client", Self::Client),
        ("request_id", Self::RequestId),
        ("listener", Self::Listener),
        ("route", Self::Route),
        ("backend", Self::Backend),
        ("status", Self::Status),
        ("reason", Self::Reason),
        ("code", Self::Code),
    ];
}

impl What {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> Option<&'static str> {
        Some(match self {
            Self::Unknown(_) => {
                "a template knows {host} {port} {scheme} {method} {path} {query} {uri} {client} {request_id} {listener} {route}, and more in some places; a brace itself is {{ or }}"
            }
            Self::Misplaced { .. } => return None,
            Self::NoGroup(_) => "groups are counted from 1, by their opening parentheses",
            Self::TwoMeanings(_) => "give the group another name",
            Self::Open => "a value is written {name}; a brace itself is {{",
            Self::Closed => "a brace itself is }}",
            Self::Character(_, Place::RewriteHost) => {
                "a host is letters, digits, `-`, `_` and `.`, perhaps with a port"
            }
            Self::Character(_, Place::RequestField | Place::ResponseField) => {
                "a field's value is one line without control characters"
            }
            Self::Character(..) => {
                "write it percent-encoded, such as %20 for a space and %25 for a percent sign"
            }
        })
    }
}
