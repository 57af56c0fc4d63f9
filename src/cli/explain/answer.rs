//! What becomes of a request: asked of the plan and its snapshot as the data path asks them.

use std::net::IpAddr;
use std::sync::Arc;

use serde::Serialize;

use super::question::{Chosen, Question};
use crate::message::{Method, authority, cookie, forwarded};
use crate::plan::{self, Plan, Route};
use crate::proxy::status;
use crate::route::condition::Unmet;
use crate::route::explain::{Explained, Miss, Rule, Verdict};
use crate::route::{Asked, PathPattern, explain, view};
use crate::snapshot::{Pool, Registry, Snapshot};
use crate::strategy::{PickContext, Sticky, Tried, ticket};
use crate::telemetry::Cause;
use crate::worker::unix_seconds;

/// All that is said of one request.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    pub(super) request: Request,
    pub(super) listener: Listener,
    /// Absent if a route takes the request.
    pub(super) refused: Option<Refusal>,
    /// Absent if no route leads it to a pool.
    pub(super) taken_by: Option<Taker>,
    /// The route that answers by itself.
    pub(super) answered_by: Option<Own>,
    /// In the order of precedence.
    pub(super) routes: Vec<Line>,
    /// Routes that are not among them, by the reason.
    pub(super) other_host: usize,
    pub(super) other_path: usize,
}

/// The request as it is seen.
#[derive(Debug, Serialize)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) host: String,
    pub(super) path: String,
    /// The path as routes see it.
    pub(super) seen_as: String,
    pub(super) query: String,
    /// Who sends it; absent on a Unix socket.
    pub(super) peer: Option<IpAddr>,
    pub(super) peer_assumed: bool,
    pub(super) peer_trusted: bool,
    /// For whom, after the walk over trusted proxies.
    pub(super) client: Option<IpAddr>,
    pub(super) https: bool,
    /// Whether the URL says https; nothing if it has no scheme.
    pub(super) asked_https: Option<bool>,
}

/// The listener that it comes by.
#[derive(Debug, Serialize)]
pub(super) struct Listener {
    pub(super) name: String,
    pub(super) address: String,
    pub(super) chosen: Chosen,
}

/// Why the balancer answers itself.
#[derive(Debug, Serialize)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) why: String,
}

/// A route that answers by itself.
#[derive(Debug, Serialize)]
pub(super) struct Own {
    pub(super) route: String,
    /// `redirect 308 https://{host}{uri}` or `respond 503`.
    pub(super) answer: String,
}

/// Who takes the request.
#[derive(Debug, Serialize)]
pub(super) struct Taker {
    pub(super) route: String,
    pub(super) pool: String,
    pub(super) strategy: &'static str,
    /// The one backend that it would be, if that is known.
    pub(super) backend: Option<Backend>,
    /// How the backend is known.
    pub(super) by: Option<&'static str>,
    /// Who shares the pool's requests otherwise.
    pub(super) share: Vec<Backend>,
    /// What the sticky cookie says; absent if the pool is not sticky.
    pub(super) cookie: Option<String>,
}

/// A member of a pool.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Backend {
    pub(super) address: String,
    pub(super) id: String,
    pub(super) weight: u32,
    /// Of the weights of all.
    pub(super) share: f64,
}

/// What becomes of one route.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    pub(super) route: String,
    /// Its place in the configuration, from 1.
    pub(super) position: usize,
    pub(super) takes: String,
    /// `takes`, `outranked` or `misses`.
    pub(super) verdict: &'static str,
    pub(super) reason: Option<String>,
}

impl Answer {
    /// Asks. `all` keeps routes whose host or path does not fit.
    pub(super) fn to(mut question: Question, plan: Plan, all: bool) -> Self {
        let registry = Arc::new(Registry::new(1, 0));
        let snapshot = Snapshot::assemble(Arc::new(plan), &registry, 1);
        let listener = Arc::clone(&snapshot.plan.listeners[question.listener]);
        let mut answer = Self::about(&question, &listener);
        if let Err(refusal) = answer.admit(&mut question, &listener, &snapshot, all) {
            answer.refused = Some(refusal);
        }
        answer
    }

    /// Whether a route takes the request.
    pub(super) fn is_taken(&self) -> bool {
        self.taken_by.is_some() || self.answered_by.is_some()
    }

    /// What is known before there is a route.
    fn about(question: &Question, listener: &plan::Listener) -> Self {
        let Question { head, peer, .. } = question;
        let nets = &listener.trusted_proxies;
        let trusted = peer.is_none_or(|peer| forwarded::is_trusted(peer, nets));
        Self {
            request: Request {
                method: lossy(head.method_bytes()),
                host: String::new(),
                path: lossy(head.target()),
                seen_as: String::new(),
                query: String::new(),
                peer: *peer,
                peer_assumed: question.peer_assumed,
                peer_trusted: trusted,
                client: match peer {
                    Some(peer) => Some(forwarded::client_address(head, *peer, nets)),
                    None => forwarded::client_told(head, nets),
                },
                asked_https: question.https,
                https: listener.tls.is_some() || trusted && forwarded::says_https(head, nets),
            },
            listener: Listener {
                name: listener.name.to_string(),
                address: listener.address.to_string(),
                chosen: question.chosen,
            },
            refused: None,
            taken_by: None,
            answered_by: None,
            routes: Vec::new(),
            other_host: 0,
            other_path: 0,
        }
    }

    fn admit(
        &mut self,
        question: &mut Question,
        listener: &plan::Listener,
        snapshot: &Snapshot,
        all: bool,
    ) -> Result<(), Refusal> {
        let head = &mut question.head;
        if head.method() == Method::Connect {
            return Err(Refusal::new(
                Cause::MethodNotAllowed,
                "CONNECT is never served",
            ));
        }
        let mut authority = authority::request_authority(head)
            .map_err(|error| Refusal::new(Cause::BadRequest, error))?;
        authority.normalise(head, b"");
        let mut room = view::Room::new();
        let path = authority.path(head);
        self.request.host = lossy(authority.host());
        self.request.path = lossy(path);
        let path = view::of(path, listener.paths, &mut room)
            .map_err(|doubt| Refusal::new(Cause::AmbiguousPath, doubt))?;
        let asked = Asked {
            host: authority.host(),
            path,
            listener: question.listener,
            head,
            client: self.request.client,
            trusted: self.request.peer_trusted,
        };
        self.request.seen_as = lossy(path);
        self.request.query = lossy(asked.query());
        self.judge(snapshot, &asked, all)
    }

    fn judge(&mut self, snapshot: &Snapshot, asked: &Asked<'_>, all: bool) -> Result<(), Refusal> {
        let routes = &snapshot.plan.routes;
        let matchers = routes
            .iter()
            .map(|route| (&route.matcher, &route.listeners[..]));
        let judged = explain(matchers, asked);
        let all = all || judged.len() <= SHOWN_ANYHOW;
        for explained in &judged {
            match explained.verdict {
                Verdict::Misses(Miss::Host) if !all => self.other_host += 1,
                Verdict::Misses(Miss::Path) if !all => self.other_path += 1,
                _ => self.routes.push(line(explained, routes)),
            }
        }
        let winner = judged.iter().find(|line| line.verdict == Verdict::Takes);
        let route = winner.and_then(|winner| routes.get(winner.route.0 as usize));
        let names_trace = route.is_some_and(|route| route.matcher.names_method(b"TRACE"));
        if asked.head.method() == Method::Trace && !names_trace {
            let why = match route {
                Some(Route { name, .. }) => {
                    format!("the route {name} would take it, but does not name TRACE")
                }
                None => "no route takes it and names TRACE".to_owned(),
            };
            return Err(Refusal::new(Cause::MethodNotAllowed, why));
        }
        let route = route.ok_or_else(|| Refusal::new(Cause::NoRoute, "no route takes it"))?;
        match route.pool() {
            Some(pool) => {
                let pool = &snapshot.pools[pool];
                self.taken_by = Some(taker(route, pool, asked, self.request.https));
            }
            None => {
                self.answered_by = Some(Own {
                    route: route.name.to_string(),
                    answer: route.action.text(&snapshot.plan),
                });
            }
        }
        Ok(())
    }
}

impl Refusal {
    fn new(cause: Cause, why: impl ToString) -> Self {
        Self {
            status: status(cause).as_u16(),
            code: cause.as_str(),
            why: why.to_string(),
        }
    }
}

/// Who answers, as far as it does not depend on the moment.
fn taker(route: &Route, pool: &Pool, asked: &Asked<'_>, https: bool) -> Taker {
    let total = pool.members.total_weight().max(1);
    let backend = |slot| {
        let member = pool.members.get(slot);
        Backend {
            address: member.backend.key().address.to_string(),
            id: member.id.to_string(),
            weight: member.nominal,
            share: f64::from(member.weight) / total as f64,
        }
    };
    let ticket = pool.sticky.as_ref().map(|spec| {
        let name = spec.cookie_name(https);
        let value = cookie::find(asked.head, name);
        (
            name,
            value.map(|value| ticket::open(spec, name, &pool.name, value, unix_seconds())),
        )
    });
    let opened = ticket
        .as_ref()
        .and_then(|(_, ticket)| ticket.as_ref()?.ok());
    let key = pool.strategy.needs().affinity;
    let cx = PickContext {
        affinity: key.and_then(|key| asked.client.map(|client| key.hash(client))),
        pin: opened.map(|ticket| ticket.tag),
        tried: &Tried::default(),
        entropy: 0,
    };
    let bound = Sticky::bound(&pool.members, &cx);
    let (known, by) = match bound {
        Some(slot) => (Some(slot), Some("sticky-cookie")),
        None if cx.affinity.is_some() => (
            pool.strategy.pick(&pool.members, &cx),
            Some("client-address"),
        ),
        None => (None, None),
    };
    Taker {
        route: route.name.to_string(),
        pool: pool.name.to_string(),
        strategy: pool.strategy.name(),
        backend: known.map(backend),
        by: known.and(by),
        share: pool
            .members
            .eligible()
            .iter()
            .copied()
            .map(backend)
            .collect(),
        cookie: ticket.map(|(name, ticket)| match ticket {
            None => format!("the request has no cookie {name}: the answer gives one"),
            Some(Err(error)) => format!("the cookie {name} binds nothing: {error}"),
            Some(Ok(_)) if bound.is_some() => format!("the cookie {name} names the backend"),
            Some(Ok(_)) => format!("the cookie {name} names a backend that cannot be used"),
        }),
    }
}

fn line(explained: &Explained<'_>, routes: &[Route]) -> Line {
    let at = explained.route.0 as usize;
    let (verdict, reason) = match explained.verdict {
        Verdict::Takes => ("takes", None),
        Verdict::Outranked(rule) => ("outranked", Some(rule_text(rule).to_owned())),
        Verdict::Misses(miss) => ("misses", Some(miss_text(miss))),
    };
    Line {
        route: routes[at].name.to_string(),
        position: at + 1,
        takes: takes_text(&routes[at]),
        verdict,
        reason,
    }
}

/// What a route takes, in one line.
fn takes_text(route: &Route) -> String {
    let mut parts: Vec<String> = Vec::new();
    let hosts: Vec<String> = route
        .matcher
        .hosts
        .iter()
        .map(ToString::to_string)
        .collect();
    if !hosts.is_empty() {
        parts.push(hosts.join(" or "));
    }
    match &route.matcher.path {
        PathPattern::Any => {}
        PathPattern::Exact(path) => parts.push(format!("{path} exactly")),
        PathPattern::Prefix(path) => parts.push(format!("{path} and below")),
        PathPattern::Regex(regex) => parts.push(format!("path finds {:?}", regex.as_str())),
    }
    parts.extend(route.matcher.conditions.iter().map(ToString::to_string));
    if parts.is_empty() {
        "everything".to_owned()
    } else {
        parts.join(", ")
    }
}

fn rule_text(rule: Rule) -> &'static str {
    match rule {
        Rule::Host => "a more specific host comes first",
        Rule::PathKind => "a more specific kind of path comes first (exact, regex, prefix, any)",
        Rule::PrefixLength => "a longer prefix comes first",
        Rule::Listeners => "a route that names listeners comes first",
        Rule::Conditions => "a route with more conditions comes first",
        Rule::Position => "an equal route stands before it",
    }
}

fn miss_text(miss: Miss<'_>) -> String {
    match miss {
        Miss::Host => "host".to_owned(),
        Miss::Path => "path".to_owned(),
        Miss::Listener => "listener".to_owned(),
        Miss::Condition(Unmet::Method) => "method".to_owned(),
        Miss::Condition(Unmet::Client) => "client".to_owned(),
        Miss::Condition(Unmet::Header(condition)) => format!("header {condition}"),
        Miss::Condition(Unmet::Cookie(condition)) => format!("cookie {condition}"),
        Miss::Condition(Unmet::Query(condition)) => format!("query {condition}"),
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// With so few routes it is shown of each.
const SHOWN_ANYHOW: usize = 20;
