//! Where to: which route takes a request. Pure matching.
//!
//! *What enters*: the matchers of the plan, once; then, for each request, its host, its path and the
//! listener it came by. *What leaves*: the id of the one route that takes it, or none.
//!
//! # Which route wins
//!
//! A route *matches* if its host, its path and its listeners all do. Among the routes that match, the
//! most specific wins, compared in this order; the first difference decides:
//!
//! 1. **Host**: an exact host, then the longest wildcard (`*.eu.shop.example` before `*.shop.example`),
//!    then a route without hosts. Of a route with several hosts, the one that fits best counts.
//! 2. **Kind of path**: exact, then regex, then prefix, then a route without a path.
//! 3. **Length of a prefix**: the longer first.
//! 4. **Listeners**: a route that names listeners before one that serves them all.
//! 5. **Position** in the file: the earlier first.
//!
//! So only routes that match take part: where no path of a more specific host fits, the next host level
//! is tried, down to the routes without hosts. And several regexes of one host are tried in the order of
//! the file, those that name listeners first.
//!
//! *Why a regex comes before prefixes*: nearly every configuration ends in the prefix `/`, and most hosts
//! have some prefix of their own; if prefixes won, a regex beside them would never be asked. By length no
//! two of them can be compared, since the length of a regex says nothing about what it takes. Whoever
//! writes a regex means an exception; to except from it in turn, there are exact paths.
//! *Why position does not come first*: with thousands of routes from many files nobody can keep an order;
//! it only settles what nothing else does.
//!
//! # How hosts and paths are compared
//!
//! - A host is compared without its port and, as given by the caller, in lower case; one dot at its end
//!   is not looked at. A wildcard stands for one label or more, never for none.
//! - A path is compared in the normalised view of `view.rs`: escapes decoded, `//` merged, `.` and `..`
//!   resolved, so that no other spelling of a path takes another route. What is forwarded is the
//!   caller's business and not changed here.
//! - A prefix takes whole segments: `/a` takes `/a`, `/a/` and `/a/b`, but not `/ab`. A slash at its end
//!   says nothing: `/a/` is the same prefix.
//! - A regex is searched for anywhere in the path, unless it is tied down by `^` and `$`.
//!
//! # What it costs
//!
//! Hash maps all the way: one look-up for the exact host and one for each of its dots, one for the exact
//! path, one for each end of a segment at which some prefix of that host ends. Neither the number of
//! hosts nor that of exact and prefix routes is in it; the number of regexes of one host is.
//!
//! In reading order: [`host`], [`path`], [`rules`], [`view`], [`resolved`](mod@resolved), [`table`].
//!
//! Deliberately absent: pools and backends (a [`RouteId`] is all that leaves), methods and fields as
//! conditions, rewriting, and finding host and path in a message (`message::authority` does).

pub mod host;
pub mod path;
pub mod resolved;
pub mod rules;
pub mod table;
pub mod view;

#[cfg(test)]
mod tests;

pub use host::{HostPattern, HostPatternError};
pub use path::{PathPattern, PathPatternError, PathRegex, PathRegexError};
pub use resolved::resolved;
pub use rules::{Ambiguous, PathRules};
pub use table::{RouteId, RouteTable};

/// What one route takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Matcher {
    /// Any one of them suffices; empty for any host, also none.
    pub hosts: Vec<HostPattern>,
    /// The path.
    pub path: PathPattern,
}
