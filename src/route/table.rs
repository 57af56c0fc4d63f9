//! The table of routes: built once for a configuration, asked once for each request.
//!
//! Host, path and listener are found by hashing, level by level in the order of precedence that the
//! room's story writes down. Within one place of the table (one host, one path) what is left to decide
//! is the listener, the conditions and the position, so each place holds a short list, best first.
//!
//! What a search costs among very many routes is memory that no cache holds. So a host's name stands in its
//! bucket, and beside it what most hosts have and nothing else: a prefix `/`, or no path.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use ahash::AHasher;
use smallvec::SmallVec;

use super::host::HostPattern;
use super::path::{PathPattern, PathRegex};
use super::{Asked, Conditions, Matcher, view};

/// A route's position in the configuration, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteId(pub u32);

/// All routes of a configuration, made to be searched. Immutable.
#[derive(Default)]
pub struct RouteTable {
    hosts: Map<Paths>,
    /// By suffix, its first dot included.
    wildcards: Map<Paths>,
    longest_suffix: usize,
    any_host: Paths,
    routes: u32,
}

/// By a name or a path. Whoever asks adds nothing, so the seeds need not be secret: a client cannot make keys collide
/// that the operator has not written.
type Map<V> = HashMap<SmallVec<[u8; 24]>, V, BuildHasherDefault<AHasher>>;

/// The routes of one host.
#[derive(Default)]
struct Paths {
    /// Those that are more particular than the next two; nearly always absent.
    particular: Option<Box<Particular>>,
    /// The prefix `/`.
    root: Choices,
    any: Choices,
}

/// The routes of one host and some paths.
#[derive(Default)]
struct Particular {
    exact: Map<Choices>,
    regexes: Vec<(PathRegex, Choice)>,
    /// Without the slash at their end.
    prefixes: Map<Choices>,
    /// The lengths that prefixes have, each once, longest first.
    prefix_lengths: Vec<usize>,
}

/// The routes of one host and path, best first.
#[derive(Default)]
struct Choices(SmallVec<[Choice; 1]>);

#[derive(Clone)]
struct Choice {
    route: RouteId,
    /// Absent if nothing is asked besides host and path.
    terms: Option<Arc<Terms>>,
}

/// What a route asks besides host and path. One memory for all routes that ask for the same, so that it stays in the
/// cache: many routes ask for few things.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Terms {
    /// Empty for every listener.
    listeners: Box<[usize]>,
    conditions: Option<Arc<Conditions>>,
}

impl RouteTable {
    /// Builds the table. Each route comes with the indexes of its listeners, none for all of them; a
    /// route's id is its position in `routes`.
    #[allow(
        clippy::mutable_key_type,
        reason = "what changes within a regex is its scratch memory; hash and equality are those of its text"
    )]
    pub fn build<'a>(routes: impl IntoIterator<Item = (&'a Matcher, &'a [usize])>) -> Self {
        let mut table = Self::default();
        let mut ranked: Vec<_> = (0..).map(RouteId).zip(routes).collect();
        table.routes = u32::try_from(ranked.len()).unwrap_or(u32::MAX);
        // So that everywhere the order of insertion is that of precedence. The sort is stable, and position comes last.
        ranked.sort_by_key(|(_, (matcher, listeners))| rank(matcher, listeners));
        let mut known = HashSet::new();
        for (route, (matcher, listeners)) in ranked {
            let terms = Terms::of(matcher, listeners, &mut known);
            let choice = Choice { route, terms };
            table.insert(matcher, &choice);
        }
        table.seal();
        table
    }

    /// Finds the route that takes a request.
    pub fn find(&self, asked: &Asked<'_>) -> Option<RouteId> {
        let host = asked.host.strip_suffix(b".").unwrap_or(asked.host);
        self.hosts
            .get(host)
            .and_then(|paths| paths.find(asked))
            .or_else(|| self.find_wildcard(host, asked))
            .or_else(|| self.any_host.find(asked))
    }

    /// Number of routes.
    pub fn len(&self) -> usize {
        self.routes as usize
    }

    /// Whether there is no route.
    pub fn is_empty(&self) -> bool {
        self.routes == 0
    }

    fn find_wildcard(&self, host: &[u8], asked: &Asked<'_>) -> Option<RouteId> {
        // Suffixes are bounded by DNS, so a host of ten thousand dots costs no more than its end.
        let start = host.len().saturating_sub(self.longest_suffix).max(1);
        let end = host.get(start..)?;
        memchr::memchr_iter(b'.', end)
            .filter_map(|dot| self.wildcards.get(&end[dot..]))
            .find_map(|paths| paths.find(asked))
    }

    fn insert(&mut self, matcher: &Matcher, choice: &Choice) {
        if matcher.hosts.is_empty() {
            self.any_host.insert(&matcher.path, choice);
        }
        for host in &matcher.hosts {
            let (map, name) = match host {
                HostPattern::Exact(name) => (&mut self.hosts, name),
                HostPattern::Wildcard(suffix) => (&mut self.wildcards, suffix),
            };
            let mut name = SmallVec::from_slice(name.as_bytes());
            name.make_ascii_lowercase();
            map.entry(name).or_default().insert(&matcher.path, choice);
        }
    }

    fn seal(&mut self) {
        self.longest_suffix = self
            .wildcards
            .keys()
            .map(|suffix| suffix.len())
            .max()
            .unwrap_or(0);
        let named = self.hosts.values_mut().chain(self.wildcards.values_mut());
        for paths in named.chain([&mut self.any_host]) {
            paths.seal();
        }
    }
}

impl Paths {
    fn find(&self, asked: &Asked<'_>) -> Option<RouteId> {
        self.particular
            .as_ref()
            .and_then(|particular| particular.find(asked))
            .or_else(|| self.root.find(asked))
            .or_else(|| self.any.find(asked))
    }

    fn insert(&mut self, pattern: &PathPattern, choice: &Choice) {
        let mut room = view::Room::new();
        let particular = &mut self.particular;
        match pattern {
            PathPattern::Any => self.any.insert(choice),
            PathPattern::Exact(path) => {
                let path = view::of_pattern(path, &mut room);
                let exact = &mut particular.get_or_insert_default().exact;
                exact.entry(path.into()).or_default().insert(choice);
            }
            PathPattern::Prefix(prefix) => {
                let prefix = view::of_pattern(prefix, &mut room);
                match prefix.strip_suffix(b"/").unwrap_or(prefix) {
                    b"" => self.root.insert(choice),
                    prefix => {
                        let prefixes = &mut particular.get_or_insert_default().prefixes;
                        prefixes.entry(prefix.into()).or_default().insert(choice);
                    }
                }
            }
            PathPattern::Regex(regex) => {
                let regexes = &mut particular.get_or_insert_default().regexes;
                regexes.push((regex.clone(), choice.clone()));
            }
        }
    }

    fn seal(&mut self) {
        if let Some(particular) = &mut self.particular {
            let lengths = particular.prefixes.keys().map(SmallVec::len);
            let mut lengths: Vec<usize> = lengths.collect();
            lengths.sort_unstable_by(|one, other| other.cmp(one));
            lengths.dedup();
            lengths.shrink_to_fit();
            particular.prefix_lengths = lengths;
        }
    }
}

impl Particular {
    fn find(&self, asked: &Asked<'_>) -> Option<RouteId> {
        self.exact
            .get(asked.path)
            .and_then(|choices| choices.find(asked))
            .or_else(|| self.find_regex(asked))
            .or_else(|| self.find_prefix(asked))
    }

    fn find_regex(&self, asked: &Asked<'_>) -> Option<RouteId> {
        self.regexes
            .iter()
            .find(|(regex, choice)| {
                choice.serves(asked.listener) && regex.finds(asked.path) && choice.is_met_by(asked)
            })
            .map(|(_, choice)| choice.route)
    }

    fn find_prefix(&self, asked: &Asked<'_>) -> Option<RouteId> {
        let path = asked.path;
        self.prefix_lengths
            .iter()
            .filter(|length| {
                path.get(**length)
                    .map_or(**length == path.len(), |next| *next == b'/')
            })
            .filter_map(|length| self.prefixes.get(&path[..*length]))
            .find_map(|choices| choices.find(asked))
    }
}

impl Choices {
    fn find(&self, asked: &Asked<'_>) -> Option<RouteId> {
        self.0
            .iter()
            .find(|choice| choice.serves(asked.listener) && choice.is_met_by(asked))
            .map(|choice| choice.route)
    }

    /// Adds a choice unless those before it leave it nothing to take; so there are never more choices without
    /// conditions than listeners and one. Those with conditions are all kept: equal ones are rare.
    fn insert(&mut self, choice: &Choice) {
        // Insertion is by precedence, so those without conditions that name listeners or not stand together at the end.
        let mut earlier = self.0.iter().rev().take_while(|earlier| {
            !earlier.has_conditions() && earlier.terms.is_some() == choice.terms.is_some()
        });
        let adds = match &choice.terms {
            _ if choice.has_conditions() => true,
            None => earlier.next().is_none(),
            Some(terms) => !terms
                .listeners
                .iter()
                .all(|listener| earlier.clone().any(|earlier| earlier.serves(*listener))),
        };
        if adds {
            self.0.push(choice.clone());
        }
    }
}

impl Choice {
    fn serves(&self, listener: usize) -> bool {
        self.terms
            .as_ref()
            .is_none_or(|terms| terms.listeners.is_empty() || terms.listeners.contains(&listener))
    }

    fn is_met_by(&self, asked: &Asked<'_>) -> bool {
        let conditions = self
            .terms
            .as_ref()
            .and_then(|terms| terms.conditions.as_ref());
        conditions.is_none_or(|conditions| conditions.hold(asked))
    }

    fn has_conditions(&self) -> bool {
        self.terms
            .as_ref()
            .is_some_and(|terms| terms.conditions.is_some())
    }
}

impl Terms {
    #[allow(
        clippy::mutable_key_type,
        reason = "what changes within a regex is its scratch memory; hash and equality are those of its text"
    )]
    fn of(
        matcher: &Matcher,
        listeners: &[usize],
        known: &mut HashSet<Arc<Self>>,
    ) -> Option<Arc<Self>> {
        if listeners.is_empty() && matcher.conditions.is_none() {
            return None;
        }
        let terms = Self {
            listeners: listeners.into(),
            conditions: matcher.conditions.clone(),
        };
        if let Some(known) = known.get(&terms) {
            return Some(Arc::clone(known));
        }
        let terms = Arc::new(terms);
        known.insert(Arc::clone(&terms));
        Some(terms)
    }
}

/// What decides within one host and path, but for the position; smaller is better.
pub(super) fn rank(matcher: &Matcher, listeners: &[usize]) -> (bool, Reverse<usize>) {
    let conditions = matcher.conditions.as_ref();
    let count = conditions.map_or(0, |conditions| conditions.count());
    (listeners.is_empty(), Reverse(count))
}

impl fmt::Debug for RouteTable {
    /// Says how much there is; a hundred thousand routes are no help to anyone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteTable")
            .field("routes", &self.routes)
            .field("hosts", &self.hosts.len())
            .field("wildcards", &self.wildcards.len())
            .finish_non_exhaustive()
    }
}
