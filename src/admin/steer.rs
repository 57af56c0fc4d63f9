//! Words and weights for one backend, at run time.
//!
//! What is set here is live state: it outlives reloads as long as pool and address do, and ends with the process. A
//! file that gives the backend another weight than it gave when one was set here has the last word; words (drain,
//! maintenance) are the operator's alone, and no file says any.

use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::http::StatusCode;
use serde::Deserialize;
use tokio::time::{Instant, sleep};
use utoipa::ToSchema;

use super::Instance;
use super::guard::Who;
use super::problem::Problem;
use super::status::{self, BackendStatus};
use crate::backend::steering::WEIGHT_MOST;
use crate::backend::{Backend, OperatorWord, SteeredWeight};
use crate::plan::pool::Drain;
use crate::snapshot::{Pool, Snapshot, Snapshots};
use crate::strategy::Member;

/// What is wanted of a backend.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BackendWish)]
pub(super) struct Wish {
    /// What is wanted of it.
    state: Option<State>,
    /// Its share, from 0 to 65535, until the configuration says another one.
    weight: Option<u32>,
    /// After so long no session comes either, and WebSockets are told to go, such as `5m`. Goes with `draining` and `maintenance`.
    deadline: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = BackendWord)]
enum State {
    /// What comes is sent to it.
    Ready,
    /// Nothing new is sent to it; sessions that a cookie binds to it stay.
    Draining,
    /// Nothing is sent to it, not even such sessions.
    Maintenance,
}

/// Does what the body of a request wishes for a backend, and waits until picks see it.
pub(super) async fn steer(
    instance: &Instance,
    who: &Who,
    (pool, address): (&str, &str),
    body: &[u8],
) -> Result<BackendStatus, Problem> {
    let (wish, deadline) = read(body)?;
    let (pool, before) = find(&instance.snapshots.load(), pool, address)?;
    let backend = &before.backend;
    let from = told(backend.operator(), before.nominal);
    if let Some(state) = wish.state {
        say(backend, state.word());
    }
    if let Some(weight) = wish.weight {
        let configured = before.configured;
        // The configuration's own weight is no exception to it.
        let steered = (weight != configured).then_some(SteeredWeight { weight, configured });
        backend.steer_weight(steered);
    }
    let to = told(backend.operator(), backend.weight_over(before.configured));
    tracing::info!(%who, pool = %pool.name, backend = address, from, to, "backend steered");
    instance.snapshots.standing_changed(&pool.name);
    if let Some(times) = wish.state.and_then(|state| times(state, deadline, &pool)) {
        let drain = Emptying::of(backend, times, Arc::clone(&instance.snapshots));
        tokio::spawn(drain.run());
    }
    wait_for_effect(instance, &pool.name, address).await
}

fn read(body: &[u8]) -> Result<(Wish, Option<Duration>), Problem> {
    let wish: Wish = serde_json::from_slice(body).map_err(|error| {
        Problem::bad(format!(
            "{error}; expected {{\"state\": \"ready\", \"draining\" or \"maintenance\", \"weight\": 0 to {WEIGHT_MOST}}}, either or both, and with the last two of them a \"deadline\": \"5m\""
        ))
    })?;
    if wish.state.is_none() && wish.weight.is_none() {
        return Err(Problem::bad("neither `state` nor `weight` is given"));
    }
    let deadline = match (&wish.deadline, wish.state) {
        (None, _) => None,
        (Some(_), None | Some(State::Ready)) => {
            return Err(Problem::bad(
                "a deadline goes with the states `draining` and `maintenance` only",
            ));
        }
        (Some(text), Some(State::Draining | State::Maintenance)) => {
            let parsed: Option<jiff::SignedDuration> = text.parse().ok();
            let time = parsed.and_then(|time| Duration::try_from(time).ok());
            let fits = time.filter(|time| *time <= DEADLINE_MOST);
            Some(fits.ok_or_else(|| {
                Problem::bad(format!(
                    "the deadline {text:?} is no time such as \"5m\", up to a day"
                ))
            })?)
        }
    };
    match wish.weight {
        Some(weight) if weight > WEIGHT_MOST => Err(Problem::bad(format!(
            "the weight {weight} is not in 0 to {WEIGHT_MOST}"
        ))),
        Some(_) | None => Ok((wish, deadline)),
    }
}

/// The pool and member of these names, or a problem that says which there are.
pub(super) fn find(
    snapshot: &Snapshot,
    pool: &str,
    address: &str,
) -> Result<(Arc<Pool>, Member), Problem> {
    let found = snapshot
        .pools
        .iter()
        .find(|candidate| *candidate.name == *pool);
    let found = found.ok_or_else(|| no_pool(snapshot, pool))?;
    let members = found.members.all();
    let member = members
        .iter()
        .find(|member| member.backend.shown() == address);
    let member = member.ok_or_else(|| {
        let there = members.iter().map(|member| member.backend.shown());
        let there: Vec<_> = there.collect();
        let there = there.join(", ");
        Problem::not_found(format!(
            "the pool {pool:?} has no backend {address:?}, but {there}"
        ))
    })?;
    Ok((Arc::clone(found), member.clone()))
}

/// That there is no such pool, and which there are.
pub(super) fn no_pool(snapshot: &Snapshot, name: &str) -> Problem {
    let there: Vec<_> = snapshot.pools.iter().map(|pool| &*pool.name).collect();
    let there = there.join(", ");
    Problem::not_found(format!("there is no pool {name:?}, but {there}"))
}

/// Waits until new requests are sent by what has been set, and says how the backend stands then.
async fn wait_for_effect(
    instance: &Instance,
    pool: &str,
    address: &str,
) -> Result<BackendStatus, Problem> {
    let until = Instant::now() + EFFECT;
    loop {
        let (pool, member) = find(&instance.snapshots.load(), pool, address)?;
        if is_in_effect(&pool, &member) {
            return Ok(status::backend(&member));
        }
        if Instant::now() > until {
            return Err(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "it is noted, and the instance is too busy to do it at once: look again",
            ));
        }
        sleep(LOOK).await;
    }
}

/// Whether the members were made after what the backend's live state says.
fn is_in_effect(pool: &Pool, member: &Member) -> bool {
    let backend = &member.backend;
    let eligible = pool.members.eligible().iter();
    let is_picked = eligible
        .map(|slot| pool.members.get(*slot))
        .any(|eligible| Arc::ptr_eq(&eligible.backend, backend));
    // Whoever is wanted may still be kept out by health, and let in by a panic.
    let word_holds = match backend.operator() {
        OperatorWord::Draining | OperatorWord::Maintenance => !is_picked,
        OperatorWord::Ready => is_picked || member.nominal == 0 || !backend.standing().takes_new(),
    };
    word_holds && member.nominal == backend.weight_over(member.configured)
}

/// When what is at a backend has to go: by the wish, or else by the pool's `drain`. Nothing if it may stay.
fn times(state: State, deadline: Option<Duration>, pool: &Pool) -> Option<Times> {
    let Drain {
        sessions,
        streams,
        spread,
    } = pool.drain;
    let sessions = match (state, deadline) {
        (State::Ready, _) => return None,
        (_, Some(deadline)) => {
            return Some(Times {
                sessions: Some(deadline),
                streams: Duration::ZERO,
                spread,
            });
        }
        (State::Draining, None) if pool.sticky.is_some() => Some(sessions?),
        // No session comes any more, or there are none.
        (State::Draining | State::Maintenance, None) => None,
    };
    Some(Times {
        sessions,
        streams,
        spread,
    })
}

/// How a backend is emptied.
#[derive(Clone, Copy, Debug)]
struct Times {
    /// After which sessions come no more; nothing if none come.
    sessions: Option<Duration>,
    /// How long WebSockets and other tunnels may stay from then on.
    streams: Duration,
    /// Over how long they are told to go.
    spread: Duration,
}

/// A backend that is being emptied.
struct Emptying {
    /// Weak: a backend that is removed is not kept for it.
    backend: Weak<Backend>,
    pool: Arc<str>,
    /// The word that began it, by its number: a later one takes its place.
    word: u32,
    times: Times,
    snapshots: Arc<Snapshots>,
}

impl Emptying {
    fn of(backend: &Arc<Backend>, times: Times, snapshots: Arc<Snapshots>) -> Self {
        tracing::info!(
            pool = %backend.key().pool, backend = backend.shown(), sessions = ?times.sessions,
            streams = ?times.streams, spread = ?times.spread, "to be empty by deadlines"
        );
        Self {
            backend: Arc::downgrade(backend),
            pool: Arc::clone(&backend.key().pool),
            word: backend.words(),
            times,
            snapshots,
        }
    }

    /// The backend, as long as the word that this goes by is the last.
    fn backend(&self) -> Option<Arc<Backend>> {
        let backend = self.backend.upgrade();
        backend.filter(|backend| backend.words() == self.word)
    }

    async fn run(mut self) {
        if let Some(sessions) = self.times.sessions {
            sleep(sessions).await;
            let Some(backend) = self.backend() else {
                return;
            };
            say(&backend, OperatorWord::Maintenance);
            self.word = backend.words();
            self.snapshots.standing_changed(&self.pool);
            tracing::info!(
                who = "deadline", pool = %self.pool, backend = backend.shown(), left = backend.in_flight(),
                "backend steered: maintenance"
            );
        }
        sleep(self.times.streams).await;
        self.tell("WebSockets are told to go");
        call_off_over(&self.backend, self.times.spread, |backend| {
            backend.words() == self.word
        })
        .await;
        sleep(LAST).await;
        self.tell("WebSockets have been told to go");
    }

    fn tell(&self, what: &str) {
        if let Some(backend) = self.backend() {
            tracing::info!(
                who = "deadline", pool = %self.pool, backend = backend.shown(), left = backend.in_flight(),
                streams = backend.streams(), "{what}"
            );
        }
    }
}

/// Has a backend call its WebSockets off, some after the others, as long as `still` holds: all at once they would all come
/// back at once.
pub(crate) async fn call_off_over(
    backend: &Weak<Backend>,
    spread: Duration,
    still: impl Fn(&Backend) -> bool,
) {
    for step in 1..=STEPS {
        let Some(backend) = backend.upgrade().filter(|backend| still(backend)) else {
            return;
        };
        backend.call_off(step * (u8::MAX / STEPS));
        drop(backend);
        sleep(spread / u32::from(STEPS)).await;
    }
}

/// Says the operator's word, and notes when the standing changed by it.
fn say(backend: &Backend, word: OperatorWord) {
    let before = backend.standing();
    backend.set_operator(word);
    if backend.standing() != before {
        let now = jiff::Timestamp::now().as_second();
        backend.note_stands_since(u64::try_from(now).unwrap_or_default());
    }
}

fn told(word: OperatorWord, weight: u32) -> String {
    format!("{} weight {weight}", word.as_str())
}

impl State {
    fn word(self) -> OperatorWord {
        match self {
            Self::Draining => OperatorWord::Draining,
            Self::Maintenance => OperatorWord::Maintenance,
            Self::Ready => OperatorWord::Ready,
        }
    }
}

/// A drain that lasts longer is a mistake.
const DEADLINE_MOST: Duration = Duration::from_secs(24 * 60 * 60);

/// In how many steps WebSockets are told to go; a divisor of 255.
const STEPS: u8 = 51;

/// How long the last of them may take to say goodbye.
const LAST: Duration = Duration::from_secs(5);

/// Far longer than it takes.
const EFFECT: Duration = Duration::from_secs(2);

/// From one look to the next.
const LOOK: Duration = Duration::from_millis(2);
