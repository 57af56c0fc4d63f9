//! The view behind `/v1/status` and `/v1/pools`: what runs, where, and how it stands.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::instance::Instance;
use crate::backend::{Backend, Health, LastCheck, OperatorWord, Standing};
use crate::snapshot::{Pool, Snapshot};
use crate::strategy::Member;
use crate::telemetry::meters::{BackendTotal, Ejection};
use crate::telemetry::{Cause, CodeClass, QueueOutcome};

/// A running instance at a glance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// The program's version.
    pub version: String,
    /// `starting`, `serving` or `draining`.
    pub state: String,
    /// Number of the configuration.
    pub generation: u64,
    /// Seconds since it started.
    pub uptime_seconds: u64,
    /// When it started, in seconds since 1970.
    pub started: u64,
    /// Worker threads.
    pub workers: usize,
    /// Where it listens.
    pub listeners: Vec<ListenerStatus>,
    /// The pools, in the order of the file.
    pub pools: Vec<PoolStatus>,
}

/// A listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ListenerStatus {
    /// Its name.
    pub name: String,
    /// Its address, as bound.
    pub address: String,
    /// Client connections that are open.
    pub connections: i64,
}

/// A pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PoolStatus {
    /// Its name.
    pub name: String,
    /// Its strategy's name.
    pub strategy: String,
    /// Whether sessions keep their backend.
    pub sticky: bool,
    /// Whether so few backends are well that requests go to all of them.
    #[serde(default)]
    pub panic: bool,
    /// How much at once, and what was too much.
    #[serde(default)]
    pub limits: LimitsStatus,
    /// Its backends.
    pub backends: Vec<BackendStatus>,
}

/// How much at once in a pool, and what was too much.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct LimitsStatus {
    /// Requests in flight at all its backends.
    pub in_flight: u32,
    /// The most that may be; 0 for as many as come.
    pub in_flight_limit: u32,
    /// Requests that wait for a place.
    pub queued: usize,
    /// The most that may; 0 for none.
    pub queue_limit: usize,
    /// Requests that were refused for the queue was full, since it is known.
    pub queue_full: u64,
    /// Requests that waited in vain.
    pub queue_timeout: u64,
    /// Requests whose place in the queue a more important one took.
    pub shed: u64,
}

/// A backend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BackendStatus {
    /// Its address.
    pub address: String,
    /// What hash and cookie know it by.
    pub id: String,
    /// The name that it came from; nothing if the configuration has its address.
    #[serde(default)]
    pub name: Option<String>,
    /// Its share, as it holds now.
    pub weight: u32,
    /// Its share by the configuration.
    #[serde(default)]
    pub weight_configured: u32,
    /// What the operator wants of it: `ready`, `draining` or `maintenance`.
    #[serde(default)]
    pub state: String,
    /// Who wants it: `configuration` or `operator`.
    #[serde(default)]
    pub state_by: String,
    /// `ready`, `failing`, `ejected`, `draining` or `maintenance`.
    pub standing: String,
    /// Why it takes nothing new, in words; nothing of one that does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Since when it stands so, in seconds since 1970; nothing if that has not changed in this process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// For what it is ejected: `failures` or `errors`; nothing of one that is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ejected_for: Option<String>,
    /// When its ejection ends at the latest, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ejected_until: Option<u64>,
    /// What the last health check found; nothing if there was none.
    #[serde(default)]
    pub check: Option<CheckStatus>,
    /// Requests in flight; WebSockets and other tunnels count.
    pub in_flight: u32,
    /// The most requests that may be in flight, as it holds now; 0 for no limit.
    #[serde(default)]
    pub limit: u32,
    /// Of those in flight, WebSockets and other tunnels.
    #[serde(default)]
    pub streams: u32,
    /// Attempts that it answered or that clients broke off, since it is known. One that failed before there was an answer is
    /// none of them.
    pub requests: u64,
    /// Of them, those answered with 5xx.
    pub errors: u64,
    /// Attempts that failed, since it is known. One whose answer was cut short is among the requests too.
    pub failures: u64,
    /// The same by cause, in the words of the `forecourt-error` field; only those that there were.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failed_by: BTreeMap<String, u64>,
    /// Connections to it that are in use.
    pub connections_active: i64,
    /// Connections to it that are kept for later.
    pub connections_idle: i64,
    /// After how long a rest it closed a connection, if it has closed any that rested.
    #[serde(default)]
    pub closes_idle_after_milliseconds: Option<u64>,
}

/// A health check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CheckStatus {
    /// When it ended, in seconds since 1970.
    pub at: u64,
    /// How long it took.
    pub took_milliseconds: u64,
    /// `ok` or `failed`.
    pub result: String,
    /// Why it failed, in the words of the `forecourt-error` field.
    pub cause: Option<String>,
    /// Checks with this result in a row.
    pub in_row: u32,
}

impl BackendStatus {
    /// Attempts that ended, since it is known.
    pub fn attempts(&self) -> u64 {
        let within = WITHIN_ANSWER.map(|cause| self.failed_by.get(cause.as_str()));
        let counted = within.into_iter().flatten();
        // Read from another process's answer perhaps: whatever it says, nothing overflows.
        let failed = counted.fold(self.failures, |left, count| left.saturating_sub(*count));
        self.requests.saturating_add(failed)
    }
}

/// The same of what was counted.
pub(super) fn attempts(total: &BackendTotal) -> u64 {
    let causes = Cause::of_backend().iter();
    let before_answer = causes.filter(|cause| !WITHIN_ANSWER.contains(cause));
    let failed: u64 = before_answer
        .map(|cause| total.failures[cause.index()])
        .sum();
    total.requests.iter().sum::<u64>() + failed
}

/// By these an attempt fails that has been answered, and so is counted as a request already. The other causes of an answer
/// that is cut short mostly come before there is one.
const WITHIN_ANSWER: [Cause; 2] = [Cause::BodyTruncated, Cause::BodyTimeout];

impl Status {
    pub(super) fn of(instance: &Instance) -> Self {
        let snapshot = instance.snapshots.load();
        let since = instance.started.duration_since(std::time::UNIX_EPOCH);
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state: instance.state().as_str().to_owned(),
            generation: snapshot.generation,
            uptime_seconds: instance.begun.elapsed().as_secs(),
            started: since.map_or(0, |since| since.as_secs()),
            workers: snapshot.plan.server.workers,
            listeners: instance
                .addresses()
                .into_iter()
                .map(|(name, address)| listener(&snapshot, name, address))
                .collect(),
            pools: snapshot
                .pools
                .iter()
                .map(|pool| pool_status(pool))
                .collect(),
        }
    }
}

fn listener(snapshot: &Snapshot, name: String, address: String) -> ListenerStatus {
    let index = snapshot
        .plan
        .listeners
        .iter()
        .position(|listener| *listener.name == *name);
    ListenerStatus {
        connections: index.map_or(0, |index| {
            snapshot.listener_meters[index].total().connections
        }),
        name,
        address,
    }
}

pub(super) fn pool_status(pool: &Pool) -> PoolStatus {
    PoolStatus {
        name: pool.name.to_string(),
        strategy: pool.strategy.name().to_owned(),
        sticky: pool.sticky.is_some(),
        panic: pool.members.are_in_panic(),
        limits: limits(pool),
        backends: pool.members.all().iter().map(backend).collect(),
    }
}

fn limits(pool: &Pool) -> LimitsStatus {
    let (in_flight_limit, queue_limit) = pool.door.bounds();
    let queue = pool.meters.total().queue;
    LimitsStatus {
        in_flight: pool.in_flight(),
        in_flight_limit,
        queued: pool.door.waiting(),
        queue_limit,
        queue_full: queue[QueueOutcome::Full.index()],
        queue_timeout: queue[QueueOutcome::Timeout.index()],
        shed: queue[QueueOutcome::Shed.index()],
    }
}

pub(super) fn backend(member: &Member) -> BackendStatus {
    let total = member.backend.meters().total();
    let failed_by = failed_by(&total);
    BackendStatus {
        address: member.backend.address().to_string(),
        id: member.id.to_string(),
        name: member.name.as_deref().map(str::to_owned),
        weight: member.nominal,
        weight_configured: member.configured,
        state: member.backend.operator().as_str().to_owned(),
        state_by: match member.backend.operator() {
            OperatorWord::Ready => "configuration",
            OperatorWord::Draining | OperatorWord::Maintenance => "operator",
        }
        .to_owned(),
        standing: member.backend.standing().as_str().to_owned(),
        why: why(member),
        since: member.backend.stands_since(),
        ejected_for: member
            .backend
            .ejection()
            .map(|cause| cause.as_str().to_owned()),
        ejected_until: member.backend.ejected_until(),
        check: member.backend.last_check().map(check),
        in_flight: member.backend.in_flight(),
        limit: member.backend.most_in_flight(),
        streams: member.backend.streams(),
        requests: total.requests.iter().sum(),
        errors: total.requests[CodeClass::ServerError.index()],
        failures: failed_by.values().sum(),
        failed_by,
        connections_active: total.connections_active,
        connections_idle: total.connections_idle,
        closes_idle_after_milliseconds: member
            .backend
            .closes_idle_after()
            .map(|rested| u64::try_from(rested.as_millis()).unwrap_or(u64::MAX)),
    }
}

fn failed_by(total: &BackendTotal) -> BTreeMap<String, u64> {
    let causes = Cause::of_backend().iter();
    let counts = causes.map(|cause| (cause.as_str(), total.failures[cause.index()]));
    let seen = counts.filter(|(_, count)| *count > 0);
    seen.map(|(cause, count)| (cause.to_owned(), count))
        .collect()
}

/// Why a backend takes nothing new.
fn why(member: &Member) -> Option<String> {
    let backend = &member.backend;
    Some(match backend.standing() {
        Standing::Ready if member.nominal == 0 => "its weight is 0".to_owned(),
        Standing::Ready => return None,
        Standing::Draining => "an operator drains it".to_owned(),
        Standing::Maintenance => "an operator has taken it out".to_owned(),
        Standing::Failing if backend.health() == Health::Unproven => {
            "no health check has said yet how it is".to_owned()
        }
        Standing::Failing => failing(backend),
        Standing::Ejected if backend.ejection() == Some(Ejection::Errors) => {
            "it answered 5xx far more often than the others".to_owned()
        }
        // By which cause is not known here: what it failed by most often may be of long ago.
        Standing::Ejected => "requests to it failed in a row".to_owned(),
    })
}

fn failing(backend: &Backend) -> String {
    match backend.last_check() {
        Some(LastCheck {
            failure: Some(cause),
            in_row,
            ..
        }) => format!("its health checks fail: {cause}, {in_row} in a row"),
        Some(LastCheck { in_row, .. }) => {
            format!("its health checks failed; {in_row} in a row succeed by now")
        }
        None => "its health checks fail".to_owned(),
    }
}

fn check(last: LastCheck) -> CheckStatus {
    CheckStatus {
        at: last.at,
        took_milliseconds: u64::try_from(last.took.as_millis()).unwrap_or(u64::MAX),
        result: if last.failure.is_none() {
            "ok"
        } else {
            "failed"
        }
        .to_owned(),
        cause: last.failure.map(|cause| cause.as_str().to_owned()),
        in_row: last.in_row,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_that_fails_within_its_answer_is_one() {
        let mut total = BackendTotal::default();
        total.requests[CodeClass::Success.index()] = 90;
        total.requests[CodeClass::Aborted.index()] = 5;
        total.failures[Cause::ConnectRefused.index()] = 20;
        total.failures[Cause::BodyTruncated.index()] = 3;
        total.failures[Cause::BodyTimeout.index()] = 2;
        assert_eq!(attempts(&total), 115);
        let mut status = super::super::alarms::tests::backend("81").status;
        status.failed_by = failed_by(&total);
        status.failures = status.failed_by.values().sum();
        status.requests = total.requests.iter().sum();
        assert_eq!(status.attempts(), 115);
    }
}
