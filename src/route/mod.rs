//! Where to: which route takes a request. Pure matching.
//!
//! *What enters*: the matchers of the plan, once; then, for each request, its host, its path, the
//! listener it came by, and its head for those routes that ask for more ([`Asked`]). *What leaves*: the id of
//! the one route that takes it, or none.
//!
//! # Which route wins
//!
//! A route *matches* if its host, its path, its listeners and its conditions all do. Among the routes that
//! match, the most specific wins, compared in this order; the first difference decides:
//!
//! 1. **Host**: an exact host, then the longest wildcard (`*.eu.shop.example` before `*.shop.example`),
//!    then a route without hosts. Of a route with several hosts, the one that fits best counts.
//! 2. **Kind of path**: exact, then regex, then prefix, then a route without a path.
//! 3. **Length of a prefix**: the longer first.
//! 4. **Listeners**: a route that names listeners before one that serves them all.
//! 5. **Conditions**: the more, the earlier. Methods count as one, clients as one; each header, cookie and
//!    parameter of the query counts as one.
//! 6. **Position** in the file: the earlier first.
//!
//! So only routes that match take part: where no path of a more specific host fits, the next host level
//! is tried, down to the routes without hosts. And several regexes of one host are tried in the order of
//! the file, those that name listeners first, and before the others those with more conditions.
//!
//! *Why a regex comes before prefixes*: nearly every configuration ends in the prefix `/`, and most hosts
//! have some prefix of their own; if prefixes won, a regex beside them would never be asked. By length no
//! two of them can be compared, since the length of a regex says nothing about what it takes. Whoever
//! writes a regex means an exception; to except from it in turn, there are exact paths.
//! *Why conditions come late*: a route for `/checkout` stays in force when somebody adds one for a canary
//! header to `/`; and *why by number*: a route that asks for more is the exception to one that asks for less.
//! *Why position does not come first*: with thousands of routes from many files nobody can keep an order;
//! it only settles what nothing else does.
//!
//! # How hosts and paths are compared
//!
//! - A host is compared without its port and, as given by the caller, in lower case; one dot at its end
//!   is not looked at. A wildcard stands for one label or more, never for none.
//! - A path is compared in the view of [`view`]: escapes decoded, `//` merged, `.` and `..` resolved, so that
//!   no other spelling of a path takes another route; each listener has [`rules`] for it. What is
//!   forwarded is the caller's business and not changed here.
//! - A prefix takes whole segments: `/a` takes `/a`, `/a/` and `/a/b`, but not `/ab`. A slash at its end
//!   says nothing: `/a/` is the same prefix. `/` also takes the `*` of `OPTIONS *`, which stands for all paths.
//! - A regex is searched for anywhere in the path, unless it is tied down by `^` and `$`.
//!   `.` takes every character, the end of a line too, and each byte that is no part of one.
//!
//! # What it costs
//!
//! Hash maps all the way: one look-up for the exact host and one for each of its dots, one for the exact
//! path, one for each end of a segment at which some prefix of that host ends. Neither the number of
//! hosts nor that of exact and prefix routes is in it; the number of regexes of one host is, and so is the
//! number of routes with conditions that share host and path.
//!
//! In reading order: [`host`], [`path`], [`rules`], [`view`], [`resolved`](mod@resolved), [`condition`],
//! [`table`], [`explain`](mod@explain).
//!
//! Deliberately absent: pools and backends (a [`RouteId`] is all that leaves), rewriting, and finding host,
//! path and client in a message (`message` does).

pub mod condition;
pub mod explain;
pub mod host;
pub mod path;
pub mod resolved;
pub mod rules;
pub mod table;
pub mod view;

#[cfg(test)]
mod tests;

pub use condition::{Condition, Conditions, Wanted};
pub use explain::explain;
pub use host::{HostPattern, HostPatternError};
pub use path::{PathPattern, PathPatternError, PathRegex, PathRegexError};
pub use resolved::resolved;
pub use rules::{Ambiguous, PathRules};
pub use table::{RouteId, RouteTable};

use std::net::IpAddr;
use std::sync::Arc;

use crate::message::Head;

/// What one route takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Matcher {
    /// Any one of them suffices; empty for any host, also none.
    pub hosts: Vec<HostPattern>,
    /// The path.
    pub path: PathPattern,
    /// What else is asked; absent if nothing is.
    pub conditions: Option<Arc<Conditions>>,
}

impl Matcher {
    /// Whether the route names this method.
    pub fn names_method(&self, method: &[u8]) -> bool {
        let conditions = self.conditions.as_ref();
        conditions.is_some_and(|all| all.methods.iter().any(|name| name.as_bytes() == method))
    }
}

/// One request, as routes look at it. Borrowed, and nothing in it is worked out before a route asks.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// In lower case and without a port; empty if there is none.
    pub host: &'a [u8],
    /// Without its query, in the view of [`view::of`].
    pub path: &'a [u8],
    /// The index of the listener that it came by.
    pub listener: usize,
    /// Method, query, fields and cookies.
    pub head: &'a Head,
    /// The client, after the walk over trusted proxies; none if it came by a Unix socket.
    pub client: Option<IpAddr>,
    /// Whether what the peer says of the client is believed.
    pub trusted: bool,
}

impl<'a> Asked<'a> {
    /// The query without its `?`; empty if there is none.
    pub fn query(&self) -> &'a [u8] {
        let target = self.head.target();
        memchr::memchr(b'?', target).map_or(b"", |at| &target[at + 1..])
    }
}
