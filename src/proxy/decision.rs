//! What was decided about a request, told to whoever asked for it by the field `forecourt-explain`, and to the log.
//!
//! The field is the operator's: its value is the token of the admin API, compared in constant time. Whoever shows it hears
//! in `forecourt-decision` what happened up to the response's head. It is taken off every request, whether it opens
//! anything or not: no backend and no log ever sees a token.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use serde::Serialize;

use super::exchange::{Exchange, Tried};
use crate::message::{Head, Name};
use crate::telemetry::access::{Decision, ascii_json, nanoseconds};

/// Takes the field off a request's head, and notes whether it opens anything.
#[cold]
pub(super) fn ask(head: &mut Head, x: &mut Exchange) {
    let admin = x.view.plan.admin.as_ref();
    let token = admin.and_then(|admin| admin.token.as_ref());
    let opens = {
        let mut shown = head.all(Name::ForecourtExplain);
        match (token, shown.next(), shown.next()) {
            (Some(token), Some(shown), None) => {
                verify_slices_are_equal(shown, token.bytes()).is_ok()
            }
            _ => false,
        }
    };
    x.tells = opens;
    head.remove(Name::ForecourtExplain);
}

/// Adds what was decided to a response's head.
#[cold]
pub(super) fn tell(head: &mut Head, x: &Exchange) {
    head.remove_if(|field| field.name.eq_ignore_ascii_case(FIELD));
    head.push(FIELD, &text(x));
}

/// How the backend came to be picked; nothing without a pool.
pub(super) fn of(x: &Exchange) -> Option<Decision> {
    let pool = &x.view.pools[x.pool?];
    Some(Decision {
        reason: x.attempts.last().map(|tried| tried.reason),
        eligible: pool.members.eligible().len(),
        members: pool.members.all().len(),
        panic: pool.members.are_in_panic(),
    })
}

/// The record as it stands when the head goes out. Durations are nanoseconds, as in the access log.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    listener: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pool: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strategy: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backend: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    eligible: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    members: Option<usize>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    panic: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    sticky: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    generation: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attempts: Vec<Try<'a>>,
    times: Times,
    /// Whether there was more to tell than the field may hold.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cut: bool,
}

#[derive(Serialize)]
struct Try<'a> {
    backend: &'a str,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'static str>,
    /// Absent while it lasts.
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<u64>,
}

#[derive(Serialize)]
struct Times {
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connect: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_byte: Option<u64>,
}

fn text(x: &Exchange) -> Vec<u8> {
    let mut told = told(x);
    let text = ascii_json(&told);
    if text.len() <= FIELD_MOST {
        return text;
    }
    told.attempts.clear();
    told.cut = true;
    let text = ascii_json(&told);
    if text.len() <= FIELD_MOST {
        return text;
    }
    // Names of a configuration may be of any length.
    ascii_json(&serde_json::json!({"generation": told.generation, "cut": true}))
}

fn told(x: &Exchange) -> Told<'_> {
    let plan = &x.view.plan;
    let pool = x.pool.map(|pool| &x.view.pools[pool]);
    let decision = of(x);
    let last = x.attempts.last();
    Told {
        id: x.known_request_id().and_then(|id| str::from_utf8(id).ok()),
        listener: &x.listener.name,
        route: x.route.map(|route| &*plan.routes[route].name),
        pool: pool.map(|pool| &*pool.name),
        strategy: pool.map(|pool| pool.strategy.name()),
        backend: last.map(|tried| x.backend(tried).shown()),
        reason: last.map(|tried| tried.reason.as_str()),
        eligible: decision.map(|decision| decision.eligible),
        members: decision.map(|decision| decision.members),
        panic: decision.is_some_and(|decision| decision.panic),
        sticky: x.sticky.map(|sticky| sticky.as_str()),
        error: x.cause.map(|cause| cause.as_str()),
        generation: x.view.generation,
        attempts: x.attempts.iter().map(|tried| one(tried, x)).collect(),
        times: Times {
            queue: x.picked.map(nanoseconds),
            connect: x.connecting.map(nanoseconds),
            first_byte: x.first_byte.map(nanoseconds),
        },
        cut: false,
    }
}

fn one<'a>(tried: &Tried, x: &'a Exchange) -> Try<'a> {
    Try {
        backend: x.backend(tried).shown(),
        reason: tried.reason.as_str(),
        cause: tried.cause.map(|cause| cause.as_str()),
        duration: (!tried.took.is_zero()).then(|| nanoseconds(tried.took)),
    }
}

const FIELD: &[u8] = b"forecourt-decision";

/// What every client takes as one field.
const FIELD_MOST: usize = 2048;
