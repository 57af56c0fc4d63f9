//! The view behind `/v1/stats`: what happens per second, while somebody looks.
//!
//! Workers count in cells of their own and know nothing of this. Once a second the admin thread adds the cells up, as a
//! scrape does, and takes the difference to the second before. When nobody looks, nothing is added up.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio::time::{MissedTickBehavior, interval};
use utoipa::ToSchema;

use super::alarms::{self, Alarm};
use super::instance::Instance;
use super::status::{self, BackendStatus, ListenerStatus, Status};
use super::window::{self, Recent, Window};
use crate::snapshot::{Pool, Snapshot};
use crate::strategy::Member;
use crate::telemetry::cells::HistogramTotal;
use crate::telemetry::meters::{BackendTotal, PoolTotal, RouteTotal};
use crate::telemetry::{Cause, CodeClass, PickReason, RetryOutcome, StickyOutcome};

/// What happened in about the last second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Stats {
    /// When it ended, by RFC 3339 in UTC.
    pub time: String,
    /// How long it was.
    pub seconds: f64,
    /// The program's version.
    pub version: String,
    /// `starting`, `serving` or `draining`.
    pub state: String,
    /// Number of the configuration.
    pub generation: u64,
    /// Seconds since it started.
    pub uptime_seconds: u64,
    /// Requests that ended, per second.
    pub requests_per_second: f64,
    /// Those of them that were answered by a 5xx, forecourt's own too.
    pub errors_per_second: f64,
    /// From a request's head to the end of its response.
    #[serde(flatten)]
    pub times: Times,
    /// Client connections that are open.
    pub connections: i64,
    /// Where it listens.
    pub listeners: Vec<ListenerStatus>,
    /// What is wrong, the gravest first, with what can be done about it.
    #[serde(default)]
    pub alarms: Vec<Alarm>,
    /// The pools, in the order of the file.
    pub pools: Vec<PoolStats>,
}

/// What so many of a hundred were not above, in milliseconds; nothing if there were none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Times {
    pub p50_milliseconds: Option<f64>,
    pub p90_milliseconds: Option<f64>,
    pub p99_milliseconds: Option<f64>,
}

/// A pool in the last second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PoolStats {
    /// Its name.
    pub name: String,
    /// Its strategy's name.
    pub strategy: String,
    /// Whether sessions keep their backend.
    pub sticky: bool,
    /// Whether so few backends are well that requests go to all of them.
    pub panic: bool,
    /// Requests in flight at all its backends.
    pub in_flight: u32,
    /// Requests that wait for a place.
    pub queued: usize,
    /// Attempts that ended, per second, those too that failed.
    pub requests_per_second: f64,
    /// Requests that were sent again, per second.
    pub retries_per_second: f64,
    /// Sessions that were bound to a backend, per second: new ones, and those whose backend could not take them.
    pub sessions_per_second: f64,
    /// Its backends.
    pub backends: Vec<BackendStats>,
}

/// A backend in the last second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BackendStats {
    /// How it stands.
    #[serde(flatten)]
    pub status: BackendStatus,
    /// Attempts that ended, per second, those too that failed.
    pub requests_per_second: f64,
    /// Those of them that it answered by a 5xx.
    pub errors_per_second: f64,
    /// Attempts that failed, per second.
    pub failures_per_second: f64,
    /// The last failure of an attempt that was seen while somebody looked; of several in a second the most frequent.
    pub last_failure: Option<LastFailure>,
    /// Requests of sessions that are bound to it, per second.
    pub sticky_per_second: f64,
    /// From the start of an attempt to the end of its response.
    #[serde(flatten)]
    pub times: Times,
    /// The same of late, beside the others of its pool.
    #[serde(default)]
    pub recent: Recent,
    /// The share of new requests that its weight stands for, from 0 to 1; 0 if it takes none now.
    pub share_wanted: f64,
    /// The share of its pool's attempts that it had; nothing if there were none.
    pub share_got: Option<f64>,
}

/// Why an attempt failed last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LastFailure {
    /// When, by RFC 3339 in UTC, to the second.
    pub time: String,
    /// In the words of the `forecourt-error` field.
    pub cause: String,
}

/// Who looks, and what they see.
#[derive(Debug)]
pub(super) struct Looking {
    last: watch::Sender<Option<Arc<Stats>>>,
    begun: Notify,
}

impl Default for Looking {
    fn default() -> Self {
        Self {
            last: watch::Sender::new(None),
            begun: Notify::new(),
        }
    }
}

impl Looking {
    /// Begins to look; what changes next is at least about a second.
    pub(super) fn look(&self) -> watch::Receiver<Option<Arc<Stats>>> {
        let receiver = self.last.subscribe();
        self.begun.notify_one();
        receiver
    }

    fn has_lookers(&self) -> bool {
        self.last.receiver_count() > 0
    }

    async fn wait_for_lookers(&self) {
        while !self.has_lookers() {
            self.begun.notified().await;
        }
    }
}

/// The next figures, for one who waits for nothing else. Cancel-safe.
pub(super) async fn next(seen: &mut watch::Receiver<Option<Arc<Stats>>>) -> Option<Arc<Stats>> {
    loop {
        seen.changed().await.ok()?;
        let stats = seen.borrow_and_update().clone();
        if stats.is_some() {
            return stats;
        }
    }
}

/// Makes figures once a second while somebody looks, for as long as it is polled.
pub(super) async fn sample(instance: &Instance) -> Infallible {
    let looking = &instance.looking;
    loop {
        looking.wait_for_lookers().await;
        let mut sampler = Sampler::new(&instance.snapshots.load());
        let mut ticks = interval(SECOND);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        while looking.has_lookers() {
            ticks.tick().await;
            let stats = sampler.stats(instance);
            looking.last.send_replace(Some(Arc::new(stats)));
        }
        // Who looks next must not take old figures for new ones.
        looking.last.send_replace(None);
    }
}

/// A backend is known by pool and address.
type Key = (Arc<str>, String);

/// What had been counted at the last look.
struct Sampler {
    at: Instant,
    counted: Counted,
    failures: HashMap<Key, LastFailure>,
    windows: HashMap<Key, Window>,
}

/// What has been counted so far.
struct Counted {
    all: RouteTotal,
    pools: HashMap<Arc<str>, PoolTotal>,
    backends: HashMap<Key, BackendTotal>,
}

impl Counted {
    fn of(snapshot: &Snapshot) -> Self {
        let mut all = RouteTotal::default();
        for (_, _, meters) in snapshot.used_route_meters() {
            let total = meters.total();
            for (sum, count) in all.requests.iter_mut().zip(total.requests) {
                *sum += count;
            }
            all.duration.merge(&total.duration);
        }
        let pools = snapshot.pools.iter();
        let members = pools.clone().flat_map(|pool| {
            let members = pool.members.all().iter();
            members.map(move |member| (key(pool, member), member.backend.meters().total()))
        });
        Self {
            all,
            backends: members.collect(),
            pools: pools
                .map(|pool| (Arc::clone(&pool.name), pool.meters.total()))
                .collect(),
        }
    }
}

impl Sampler {
    fn new(snapshot: &Snapshot) -> Self {
        let (at, counted) = (Instant::now(), Counted::of(snapshot));
        let windows = counted.backends.iter();
        let windows = windows.map(|(key, total)| (key.clone(), Window::new(at, &total.duration)));
        Self {
            windows: windows.collect(),
            failures: HashMap::new(),
            at,
            counted,
        }
    }

    fn stats(&mut self, instance: &Instance) -> Stats {
        let snapshot = instance.snapshots.load();
        let (now, counted) = (Instant::now(), Counted::of(&snapshot));
        let before = std::mem::replace(&mut self.counted, counted);
        let seconds = now.duration_since(self.at).as_secs_f64().max(0.001);
        self.at = now;
        // To the second: what it was to the millisecond nobody has seen.
        let time = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second());
        let passed = Passed {
            seconds,
            time: time.map_or_else(|_| String::new(), |time| time.to_string()),
        };
        self.failures
            .retain(|key, _| self.counted.backends.contains_key(key));
        self.windows
            .retain(|key, _| self.counted.backends.contains_key(key));
        let pools = snapshot.pools.iter();
        let pools = pools
            .map(|pool| self.pool(pool, &before, &passed))
            .collect();
        let all = &self.counted.all;
        let rate_of = |class: CodeClass| {
            let index = class.index();
            passed.rate(all.requests[index], before.all.requests[index])
        };
        let status = Status::of(instance);
        let mut stats = Stats {
            alarms: Vec::new(),
            requests_per_second: CodeClass::ALL.into_iter().map(rate_of).sum(),
            errors_per_second: rate_of(CodeClass::ServerError),
            times: Times::of(&all.duration.since(&before.all.duration)),
            connections: status
                .listeners
                .iter()
                .map(|listener| listener.connections)
                .sum(),
            pools,
            time: passed.time,
            seconds,
            version: status.version,
            state: status.state,
            generation: status.generation,
            uptime_seconds: status.uptime_seconds,
            listeners: status.listeners,
        };
        stats.alarms = alarms::of(&stats);
        stats
    }

    fn pool(&mut self, pool: &Pool, before: &Counted, passed: &Passed) -> PoolStats {
        let now = &self.counted.pools[&pool.name];
        let then = before.pools.get(&pool.name).unwrap_or(now);
        let bound = [StickyOutcome::New, StickyOutcome::Rebound].map(StickyOutcome::index);
        let sessions = bound.map(|outcome| passed.rate(now.sticky[outcome], then.sticky[outcome]));
        let sent_again = [RetryOutcome::Ok, RetryOutcome::Failed].map(RetryOutcome::index);
        let retries =
            sent_again.map(|outcome| passed.rate(now.retries[outcome], then.retries[outcome]));
        let members = pool.members.all().iter();
        let mut backends: Vec<_> = members
            .map(|member| self.backend(pool, member, before, passed))
            .collect();
        let windows = pool.members.all().iter().zip(&backends);
        let windows: Vec<_> = windows
            .map(|(member, backend)| (backend.is_ready(), self.window(key(pool, member))))
            .collect();
        for (backend, recent) in backends.iter_mut().zip(window::compared(&windows)) {
            backend.recent = recent;
        }
        let requests: f64 = backends.iter().map(|one| one.requests_per_second).sum();
        for (backend, wanted) in backends.iter_mut().zip(shares_wanted(pool)) {
            backend.share_wanted = wanted;
            backend.share_got = (requests > 0.0).then(|| backend.requests_per_second / requests);
        }
        PoolStats {
            name: pool.name.to_string(),
            strategy: pool.strategy.name().to_owned(),
            sticky: pool.sticky.is_some(),
            panic: pool.members.are_in_panic(),
            in_flight: pool.in_flight(),
            queued: pool.door.waiting(),
            requests_per_second: requests,
            retries_per_second: retries.iter().sum(),
            sessions_per_second: sessions.iter().sum(),
            backends,
        }
    }

    fn backend(
        &mut self,
        pool: &Pool,
        member: &Member,
        before: &Counted,
        passed: &Passed,
    ) -> BackendStats {
        let key = key(pool, member);
        let now = &self.counted.backends[&key];
        // One that has come since counts from here: it may have been known before.
        let then = before.backends.get(&key).unwrap_or(now);
        let rate_of = |cause: Cause| {
            let index = cause.index();
            passed.rate(now.failures[index], then.failures[index])
        };
        let causes = Cause::of_backend()
            .iter()
            .map(|cause| (*cause, rate_of(*cause)));
        let failures = causes.clone().map(|(_, rate)| rate).sum();
        // Of several in one second nobody knows the order: the most frequent one.
        let worst = causes.max_by(|one, other| one.1.total_cmp(&other.1));
        if let Some((cause, _)) = worst.filter(|(_, rate)| *rate > 0.0) {
            let last = LastFailure {
                time: passed.time.clone(),
                cause: cause.as_str().to_owned(),
            };
            self.failures.insert(key.clone(), last);
        }
        let (errors, sticky) = (CodeClass::ServerError.index(), PickReason::Sticky.index());
        BackendStats {
            status: status::backend(member),
            requests_per_second: passed.rate(status::attempts(now), status::attempts(then)),
            errors_per_second: passed.rate(now.requests[errors], then.requests[errors]),
            failures_per_second: failures,
            sticky_per_second: passed.rate(now.picks[sticky], then.picks[sticky]),
            times: Times::of(&now.duration.since(&then.duration)),
            last_failure: self.failures.get(&key).cloned(),
            recent: Recent::default(),
            share_wanted: 0.0,
            share_got: None,
        }
    }

    /// The answers of a backend's last window.
    fn window(&mut self, key: Key) -> HistogramTotal {
        let (at, counted) = (self.at, self.counted.backends[&key].duration);
        // One that has come since counts from here.
        let window = self.windows.entry(key);
        let window = window.or_insert_with(|| Window::new(at, &counted));
        window.update(at, &counted)
    }
}

impl BackendStats {
    /// Whether nothing keeps it from taking requests but its weight.
    pub(super) fn is_ready(&self) -> bool {
        self.status.standing == "ready"
    }
}

fn key(pool: &Pool, member: &Member) -> Key {
    (Arc::clone(&pool.name), member.backend.address().to_string())
}

/// Of each member, in their order, the part of its weight in that of all who take new requests.
fn shares_wanted(pool: &Pool) -> Vec<f64> {
    let members = &pool.members;
    let eligible = members.eligible().iter();
    let weights = eligible.map(|slot| (slot.0 as usize, members.get(*slot).weight));
    let all: u64 = weights.clone().map(|(_, weight)| u64::from(weight)).sum();
    let mut shares = vec![0.0; members.all().len()];
    for (slot, weight) in weights.filter(|_| all > 0) {
        shares[slot] = f64::from(weight) / all as f64;
    }
    shares
}

/// The time from one look to the next.
struct Passed {
    seconds: f64,
    /// When it ended.
    time: String,
}

impl Passed {
    /// Per second. Cells are read while workers count, and routes go: never below 0.
    fn rate(&self, now: u64, then: u64) -> f64 {
        now.saturating_sub(then) as f64 / self.seconds
    }
}

impl Times {
    fn of(durations: &HistogramTotal) -> Self {
        let of = |percent| {
            let time = durations.percentile(percent, 0)?;
            Some(time.as_secs_f64() * 1_000.0)
        };
        Self {
            p50_milliseconds: of(50),
            p90_milliseconds: of(90),
            p99_milliseconds: of(99),
        }
    }
}

/// From one look to the next.
const SECOND: Duration = Duration::from_secs(1);
