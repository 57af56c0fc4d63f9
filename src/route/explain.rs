//! Why a request takes the route that it takes: every route by the written rule, one after the other.
//!
//! The table answers fast and says only who wins. This reads the rule of the room's story once more, by the
//! simplest means, and says of each route why it does not. Property tests hold the two together.

use std::cmp::Reverse;

use super::condition::Unmet;
use super::host::HostPattern;
use super::path::PathPattern;
use super::table::{RouteId, rank};
use super::{Asked, Matcher, view};

/// What becomes of one route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explained<'m> {
    /// Which route.
    pub route: RouteId,
    /// What becomes of it.
    pub verdict: Verdict<'m>,
}

/// What becomes of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'m> {
    /// It takes the request.
    Takes,
    /// It would, but another comes first by this rule.
    Outranked(Rule),
    /// It does not match; the first reason.
    Misses(Miss<'m>),
}

/// The first rule by which one route comes before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// An exact host, then the longest wildcard, then any.
    Host,
    /// Exact, then regex, then prefix, then any.
    PathKind,
    /// The longer prefix.
    PrefixLength,
    /// Those that name listeners.
    Listeners,
    /// The more conditions.
    Conditions,
    /// The order of the file.
    Position,
}

/// Why a route does not match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miss<'m> {
    /// None of its hosts fits.
    Host,
    /// Its path does not fit.
    Path,
    /// It does not serve this listener.
    Listener,
    /// A condition is not met.
    Condition(Unmet<'m>),
}

/// Where a route stands in the order of precedence; smaller comes first.
type Rank = (
    (u8, Reverse<usize>),
    u8,
    Reverse<usize>,
    (bool, Reverse<usize>),
    RouteId,
);

/// Says of all routes, in the order of precedence, what becomes of them. Each comes with the indexes of its
/// listeners, none for all, as for [`RouteTable::build`](super::RouteTable::build). At most one takes the request.
pub fn explain<'m>(
    routes: impl IntoIterator<Item = (&'m Matcher, &'m [usize])>,
    asked: &Asked<'_>,
) -> Vec<Explained<'m>> {
    let host = asked.host.strip_suffix(b".").unwrap_or(asked.host);
    let mut ranked: Vec<(Rank, Option<Miss<'m>>)> = (0..)
        .map(RouteId)
        .zip(routes)
        .map(|(route, (matcher, listeners))| {
            let fitting = host_level(&matcher.hosts, Some(host));
            let level = fitting.or_else(|| host_level(&matcher.hosts, None));
            let (kind, length) = path_level(&matcher.path);
            let standing = (
                level.unwrap_or((2, Reverse(0))),
                kind,
                length,
                rank(matcher, listeners),
                route,
            );
            let miss = first_miss(matcher, listeners, fitting.is_some(), asked);
            (standing, miss)
        })
        .collect();
    ranked.sort_unstable_by_key(|(standing, _)| *standing);
    let winner = ranked.iter().find(|(_, miss)| miss.is_none());
    let winner = winner.map(|(standing, _)| *standing);
    let judged = ranked.into_iter().map(|(standing, miss)| Explained {
        route: standing.4,
        verdict: match (miss, winner) {
            (Some(miss), _) => Verdict::Misses(miss),
            (None, Some(winner)) if winner != standing => {
                Verdict::Outranked(deciding(&winner, &standing))
            }
            (None, _) => Verdict::Takes,
        },
    });
    judged.collect()
}

fn first_miss<'m>(
    matcher: &'m Matcher,
    listeners: &[usize],
    host_fits: bool,
    asked: &Asked<'_>,
) -> Option<Miss<'m>> {
    if !host_fits {
        return Some(Miss::Host);
    }
    if !path_fits(&matcher.path, asked.path) {
        return Some(Miss::Path);
    }
    if !listeners.is_empty() && !listeners.contains(&asked.listener) {
        return Some(Miss::Listener);
    }
    let unmet = matcher.conditions.as_ref()?.first_unmet(asked)?;
    Some(Miss::Condition(unmet))
}

/// The level of the best host that fits, or of the best of all if `asked` is absent.
fn host_level(hosts: &[HostPattern], asked: Option<&[u8]>) -> Option<(u8, Reverse<usize>)> {
    if hosts.is_empty() {
        return Some((2, Reverse(0)));
    }
    let fitting = hosts.iter().filter_map(|pattern| match pattern {
        HostPattern::Exact(name) => asked
            .is_none_or(|host| host == name.as_bytes())
            .then_some((0, Reverse(0))),
        HostPattern::Wildcard(suffix) => asked
            .is_none_or(|host| host.len() > suffix.len() && host.ends_with(suffix.as_bytes()))
            .then_some((1, Reverse(suffix.len()))),
    });
    fitting.min()
}

fn path_level(pattern: &PathPattern) -> (u8, Reverse<usize>) {
    match pattern {
        PathPattern::Exact(_) => (0, Reverse(0)),
        PathPattern::Regex(_) => (1, Reverse(0)),
        PathPattern::Prefix(prefix) => (2, Reverse(segments_of(prefix).len())),
        PathPattern::Any => (3, Reverse(0)),
    }
}

fn path_fits(pattern: &PathPattern, path: &[u8]) -> bool {
    match pattern {
        PathPattern::Any => true,
        PathPattern::Exact(exact) => view::of_pattern(exact, &mut view::Room::new()) == path,
        PathPattern::Regex(regex) => regex.finds(path),
        PathPattern::Prefix(prefix) => {
            let segments = segments_of(prefix);
            let rest = path.strip_prefix(&segments[..]);
            // All paths are below the root, and so is the `*` that stands for all of them.
            segments.is_empty() || rest.is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
        }
    }
}

/// A prefix without the slash at its end, which says nothing.
fn segments_of(prefix: &str) -> view::Room {
    let mut room = view::Room::new();
    let seen = view::of_pattern(prefix, &mut room);
    seen.strip_suffix(b"/").unwrap_or(seen).into()
}

fn deciding(winner: &Rank, other: &Rank) -> Rule {
    match () {
        () if winner.0 != other.0 => Rule::Host,
        () if winner.1 != other.1 => Rule::PathKind,
        () if winner.2 != other.2 => Rule::PrefixLength,
        () if winner.3.0 != other.3.0 => Rule::Listeners,
        () if winner.3.1 != other.3.1 => Rule::Conditions,
        () => Rule::Position,
    }
}
