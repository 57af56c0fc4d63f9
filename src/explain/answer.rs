//! What becomes of a request: asked of a snapshot as the data path asks it.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::pool::{self, Taker};
use super::question::{Chosen, Question};
use crate::message::{Method, authority, forwarded};
use crate::plan::{self, Route};
use crate::proxy::status;
use crate::route::condition::Unmet;
use crate::route::explain::{Explained, Miss, Rule, Verdict};
use crate::route::{Asked, PathPattern, explain, view};
use crate::snapshot::Snapshot;
use crate::telemetry::Cause;

/// All that is said of one request.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct Answer {
    /// The configuration that was asked; absent of a file.
    pub generation: Option<u64>,
    /// The request as it is seen.
    pub request: Request,
    /// The listener that it comes by.
    pub listener: Listener,
    /// Absent if a route takes the request.
    pub refused: Option<Refusal>,
    /// Absent if no route leads it to a pool.
    pub taken_by: Option<Taker>,
    /// The route that answers by itself.
    pub answered_by: Option<Own>,
    /// In the order of precedence.
    pub routes: Vec<Line>,
    /// Routes that are not among them, by the reason.
    pub other_host: usize,
    /// The same of the path.
    pub other_path: usize,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// A file: what does not depend on the moment.
    File,
    /// A running instance: what would be done now.
    Running,
}

/// The request as it is seen.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct Request {
    /// Its method.
    pub method: String,
    /// The host that routes look at.
    pub host: String,
    /// Its path.
    pub path: String,
    /// The path as routes see it.
    pub seen_as: String,
    /// Its query.
    pub query: String,
    /// Who sends it; absent on a Unix socket.
    #[schema(value_type = Option<String>)]
    pub peer: Option<IpAddr>,
    /// Whether nobody said who sends it.
    pub peer_assumed: bool,
    /// Whether the listener trusts that address.
    pub peer_trusted: bool,
    /// For whom, after the walk over trusted proxies.
    #[schema(value_type = Option<String>)]
    pub client: Option<IpAddr>,
    /// Whether the client came by TLS.
    pub https: bool,
    /// Whether the URL says https; nothing if it has no scheme.
    pub asked_https: Option<bool>,
}

/// The listener that it comes by.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct Listener {
    /// Its name.
    pub name: String,
    /// Its address, as configured.
    pub address: String,
    /// Why this one.
    pub chosen: Chosen,
}

/// Why the balancer answers itself.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct Refusal {
    /// The status.
    pub status: u16,
    /// The word of `forecourt-error`.
    pub code: String,
    /// The reason.
    pub why: String,
}

/// A route that answers by itself.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct Own {
    /// Its name.
    pub route: String,
    /// `redirect 308 https://{host}{uri}` or `respond 503`.
    pub answer: String,
}

/// What becomes of one route.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct Line {
    /// Its name.
    pub route: String,
    /// Its place in the configuration, from 1.
    pub position: usize,
    /// What it takes.
    pub takes: String,
    /// `takes`, `outranked` or `misses`.
    pub verdict: String,
    /// Why, if it does not take it.
    pub reason: Option<String>,
}

impl Answer {
    /// Asks. `now`: seconds since 1970.
    pub fn to(mut question: Question, snapshot: &Snapshot, occasion: Occasion, now: u64) -> Self {
        let listener = Arc::clone(&snapshot.plan.listeners[question.listener]);
        let mut answer = Self::about(&question, &listener);
        answer.generation = (occasion == Occasion::Running).then_some(snapshot.generation);
        if let Err(refusal) = answer.admit(&mut question, &listener, (snapshot, occasion, now)) {
            answer.refused = Some(refusal);
        }
        answer
    }

    /// Whether a route takes the request.
    pub fn is_taken(&self) -> bool {
        self.taken_by.is_some() || self.answered_by.is_some()
    }

    /// What is known before there is a route.
    fn about(question: &Question, listener: &plan::Listener) -> Self {
        let Question { head, peer, .. } = question;
        let nets = &listener.trusted_proxies;
        let trusted = peer.is_none_or(|peer| forwarded::is_trusted(peer, nets));
        Self {
            generation: None,
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
        asking: (&Snapshot, Occasion, u64),
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
        self.judge(asking, &asked, question.all)
    }

    fn judge(
        &mut self,
        (snapshot, occasion, now): (&Snapshot, Occasion, u64),
        asked: &Asked<'_>,
        all: bool,
    ) -> Result<(), Refusal> {
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
                self.taken_by = Some(pool::taker(
                    route,
                    pool,
                    asked,
                    (self.request.https, occasion, now),
                ));
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
            code: cause.as_str().to_owned(),
            why: why.to_string(),
        }
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
        verdict: verdict.to_owned(),
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
