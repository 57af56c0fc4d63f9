//! Who of a pool would be picked, and why each of the others would not.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::backend::{Health, Standing};
use crate::message::cookie;
use crate::plan::Route;
use crate::route::Asked;
use crate::snapshot::Pool;
use crate::strategy::{Foresight, Member, PickContext, Slot, Sticky, Tried, ticket};

use super::answer::Occasion;

/// Who takes the request.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct Taker {
    /// The route.
    pub route: String,
    /// Its pool.
    pub pool: String,
    /// How the pool picks.
    pub strategy: String,
    /// The one backend that it would be, if that is known.
    pub backend: Option<Backend>,
    /// How the backend is known: `sticky-cookie`, `client-address`, `turn`, `load` or `only` (no other can be).
    pub by: Option<String>,
    /// Who shares the pool's requests otherwise; of a running instance with the chances of this one.
    pub share: Vec<Backend>,
    /// What the sticky cookie says; absent if the pool is not sticky.
    pub cookie: Option<String>,
    /// How things stand now; absent of a file.
    pub now: Option<Now>,
}

/// A member of a pool.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct Backend {
    /// Its address.
    pub address: String,
    /// What hash and cookie know it by.
    pub id: String,
    /// Its weight.
    pub weight: u32,
    /// Its part: of the weights of all, or its chance.
    pub share: f64,
}

/// How things stand in a pool now.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct Now {
    /// Whether so few are well that health is not asked for.
    pub panic: bool,
    /// Why it would not be sent at once: `no-backend`, `waits` or `queue-full`; absent if it would.
    pub held: Option<String>,
    /// Requests in flight at all backends.
    pub in_flight: u32,
    /// The most that may be; 0 for as many as come.
    pub in_flight_limit: u32,
    /// Requests that wait for a place.
    pub queued: usize,
    /// The most that may.
    pub queue_limit: usize,
    /// Every member, in the order of the configuration, as the strategy sees it.
    pub members: Vec<Standpoint>,
}

/// One member, as the strategy sees it now.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct Standpoint {
    /// Its address.
    pub address: String,
    /// What hash and cookie know it by.
    pub id: String,
    /// Whether new requests may go there.
    pub eligible: bool,
    /// Why not, or what would keep this one away: `maintenance`, `draining`, `failing`, `unproven`, `ejected`, `weight-0`,
    /// `backup`, `at-limit`, `changing`.
    pub out: Option<String>,
    /// The same in a sentence.
    pub why: Option<String>,
    /// When it was found failing, in seconds since 1970.
    pub failing_since: Option<u64>,
    /// For how many seconds it is ejected yet, at most.
    pub ejected_for: Option<u64>,
    /// Its share, as it holds now.
    pub weight: u32,
    /// Its share by the configuration.
    pub weight_configured: u32,
    /// Per cent of its share that it takes; 100 but in slow start.
    pub ramp: u8,
    /// Requests in flight.
    pub in_flight: u32,
    /// The most that may be; 0 for as many as come.
    pub limit: u32,
    /// The hash of its id, which with that of the client's address says who is picked; only for `ip-hash`.
    pub hash: Option<String>,
    /// The chance that it is this one.
    pub chance: f64,
}

/// Who would answer. Of a file: as far as it does not depend on the moment.
pub(super) fn taker(
    route: &Route,
    pool: &Pool,
    asked: &Asked<'_>,
    (https, occasion, now): (bool, Occasion, u64),
) -> Taker {
    let ticket = pool.sticky.as_ref().map(|spec| {
        let name = spec.cookie_name(https);
        let value = cookie::find(asked.head, name);
        let opened = value.map(|value| ticket::open(spec, name, &pool.name, value, now));
        (name, opened)
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
    let outlook = match occasion {
        Occasion::File => by_file(pool, &cx, bound),
        Occasion::Running => by_now(pool, &cx),
    };
    let picked = match outlook.seen {
        Foresight::Sure(slot) => Some(slot),
        Foresight::ByLot(_) | Foresight::Nobody => None,
    };
    Taker {
        route: route.name.to_string(),
        pool: pool.name.to_string(),
        strategy: pool.strategy.name().to_owned(),
        backend: picked.map(|slot| shown(pool, slot, share_of(pool, slot))),
        by: picked.map(|slot| known_by(pool, &cx, (slot, bound)).to_owned()),
        share: shares(pool, &outlook),
        cookie: ticket.map(|(name, ticket)| match ticket {
            None => format!("the request has no cookie {name}: the answer gives one"),
            Some(Err(error)) => format!("the cookie {name} binds nothing: {error}"),
            Some(Ok(_)) if bound.is_some() => format!("the cookie {name} names the backend"),
            Some(Ok(_)) => format!("the cookie {name} names a backend that cannot be used"),
        }),
        now: (occasion == Occasion::Running).then(|| state(pool, &outlook, now)),
    }
}

/// What is seen coming.
struct Outlook {
    seen: Foresight,
    /// Why it is held back, if it is.
    held: Option<&'static str>,
}

/// What a file says: the cookie and the client's address only.
fn by_file(pool: &Pool, cx: &PickContext<'_>, bound: Option<Slot>) -> Outlook {
    let known = match bound {
        None if cx.affinity.is_some() => pool.strategy.pick(&pool.members, cx),
        bound => bound,
    };
    let everybody = || {
        let eligible = pool.members.eligible().iter();
        let shares = eligible.map(|slot| (*slot, share_of(pool, *slot)));
        Foresight::ByLot(shares.collect())
    };
    Outlook {
        seen: known.map_or_else(everybody, Foresight::Sure),
        held: None,
    }
}

/// What would be picked now: by the strategy, and past whoever is full, as `View::choose` goes.
fn by_now(pool: &Pool, cx: &PickContext<'_>) -> Outlook {
    let held = |held| Outlook {
        seen: Foresight::Nobody,
        held: Some(held),
    };
    let (places, room) = pool.door.bounds();
    let waiting = pool.door.waiting();
    let full = if waiting < room {
        "waits"
    } else {
        "queue-full"
    };
    if waiting > 0 || places > 0 && pool.door.taken() >= places {
        return held(full);
    }
    let mut tried = *cx.tried;
    let mut turns = 0;
    loop {
        let cx = PickContext {
            tried: &tried,
            ..*cx
        };
        let seen = pool.strategy.foresee(&pool.members, &cx, &mut turns);
        let passed: Vec<Slot> = match &seen {
            Foresight::Nobody if tried.is_empty() => return held("no-backend"),
            Foresight::Nobody => return held(full),
            Foresight::Sure(slot) => vec![*slot],
            Foresight::ByLot(chances) => chances.iter().map(|(slot, _)| *slot).collect(),
        };
        let passed: Vec<Slot> = passed
            .into_iter()
            .filter(|slot| is_full(pool.members.get(*slot)))
            .collect();
        if passed.is_empty() {
            return Outlook { seen, held: None };
        }
        // A full set stays as it is: then the others are gone through from somewhere.
        if !passed
            .iter()
            .all(|slot| !tried.contains(*slot) && tried.insert(*slot))
        {
            return among_the_rest(pool, full);
        }
    }
}

/// Whoever has a place, from anywhere: all alike.
fn among_the_rest(pool: &Pool, full: &'static str) -> Outlook {
    let eligible = pool.members.eligible().iter().copied();
    let free: Vec<Slot> = eligible
        .filter(|slot| !is_full(pool.members.get(*slot)))
        .collect();
    let chance = 1.0 / free.len().max(1) as f64;
    let seen = match free.as_slice() {
        [] => Foresight::Nobody,
        [only] => Foresight::Sure(*only),
        _ => Foresight::ByLot(free.into_iter().map(|slot| (slot, chance)).collect()),
    };
    let held = (seen == Foresight::Nobody).then_some(full);
    Outlook { seen, held }
}

fn is_full(member: &Member) -> bool {
    let most = member.backend.most_in_flight();
    most > 0 && member.backend.in_flight() >= most
}

fn known_by(
    pool: &Pool,
    cx: &PickContext<'_>,
    (slot, bound): (Slot, Option<Slot>),
) -> &'static str {
    match pool.strategy.name() {
        _ if bound == Some(slot) => "sticky-cookie",
        _ if cx.affinity.is_some() => "client-address",
        "round-robin" | "weighted" => "turn",
        "least-connections" => "load",
        _ => "only",
    }
}

fn share_of(pool: &Pool, slot: Slot) -> f64 {
    let total = pool.members.total_weight().max(1);
    f64::from(pool.members.get(slot).weight) / total as f64
}

fn shares(pool: &Pool, outlook: &Outlook) -> Vec<Backend> {
    match &outlook.seen {
        Foresight::ByLot(chances) => chances
            .iter()
            .map(|(slot, chance)| shown(pool, *slot, *chance))
            .collect(),
        Foresight::Nobody | Foresight::Sure(_) => {
            let eligible = pool.members.eligible().iter();
            eligible
                .map(|slot| shown(pool, *slot, share_of(pool, *slot)))
                .collect()
        }
    }
}

fn shown(pool: &Pool, slot: Slot, share: f64) -> Backend {
    let member = pool.members.get(slot);
    Backend {
        address: member.backend.shown().to_owned(),
        id: member.id.to_string(),
        weight: member.nominal,
        share,
    }
}

fn state(pool: &Pool, outlook: &Outlook, now: u64) -> Now {
    let (in_flight_limit, queue_limit) = pool.door.bounds();
    let mut members: Vec<Standpoint> = pool
        .members
        .all()
        .iter()
        .map(|member| standpoint(pool, member, now))
        .collect();
    for slot in pool.members.eligible() {
        members[slot.0 as usize].eligible = true;
    }
    for (member, standpoint) in pool.members.all().iter().zip(&mut members) {
        if let Some((word, why)) = out(member, standpoint) {
            standpoint.out = Some(word.to_owned());
            standpoint.why = Some(why);
        }
    }
    match &outlook.seen {
        Foresight::Nobody => {}
        Foresight::Sure(slot) => members[slot.0 as usize].chance = 1.0,
        Foresight::ByLot(chances) => {
            for (slot, chance) in chances {
                members[slot.0 as usize].chance = *chance;
            }
        }
    }
    Now {
        panic: pool.members.are_in_panic(),
        held: outlook.held.map(str::to_owned),
        in_flight: pool.in_flight(),
        in_flight_limit,
        queued: pool.door.waiting(),
        queue_limit,
        members,
    }
}

fn standpoint(pool: &Pool, member: &Member, now: u64) -> Standpoint {
    let backend = &member.backend;
    let ends = backend.ejected_until();
    let by_hash = pool.strategy.needs().affinity.is_some();
    Standpoint {
        address: backend.shown().to_owned(),
        id: member.id.to_string(),
        eligible: false,
        out: None,
        why: None,
        failing_since: backend.failing_since(),
        ejected_for: ends.map(|until| until.saturating_sub(now)),
        weight: member.nominal,
        weight_configured: member.configured,
        ramp: backend.ramp(),
        in_flight: backend.in_flight(),
        limit: backend.most_in_flight(),
        hash: by_hash.then(|| format!("{:016x}", member.placement)),
        chance: 0.0,
    }
}

/// Why a member is not picked, in a word and in a sentence; nothing if it may be.
fn out(member: &Member, seen: &Standpoint) -> Option<(&'static str, String)> {
    if seen.eligible {
        let full = is_full(member);
        return full.then(|| {
            let most = seen.limit;
            (
                "at-limit",
                format!("it has all {most} requests that it may have"),
            )
        });
    }
    let backend = &member.backend;
    Some(match backend.standing() {
        Standing::Maintenance => ("maintenance", "the operator has taken it out".to_owned()),
        Standing::Failing if backend.health() == Health::Unproven => (
            "unproven",
            "no health check has said yet how it is".to_owned(),
        ),
        Standing::Failing => ("failing", failing(member)),
        Standing::Ejected => ("ejected", ejected(member, seen)),
        Standing::Draining => (
            "draining",
            "the operator drains it: only sessions that a cookie binds to it".to_owned(),
        ),
        Standing::Ready if member.weight == 0 => (
            "weight-0",
            "its weight is 0: only sessions that a cookie binds to it".to_owned(),
        ),
        Standing::Ready if member.backup => {
            ("backup", "it is a backup, and others are ready".to_owned())
        }
        Standing::Ready => (
            "changing",
            "it has just become ready: from the next moment on".to_owned(),
        ),
    })
}

fn failing(member: &Member) -> String {
    let since = member.backend.failing_since();
    let since = since.and_then(|at| jiff::Timestamp::from_second(i64::try_from(at).ok()?).ok());
    let since = since.map_or_else(String::new, |since| format!(" since {since}"));
    let check = member.backend.last_check();
    let cause = check.and_then(|check| check.failure);
    match (cause, check) {
        (Some(cause), Some(check)) => format!(
            "its health checks fail{since}: {cause}, {} in a row; {}",
            check.in_row,
            cause.remedy()
        ),
        _ => format!("its health checks fail{since}"),
    }
}

fn ejected(member: &Member, seen: &Standpoint) -> String {
    let found = match member.backend.ejection() {
        Some(ejection) => ejection.as_str(),
        None => "over",
    };
    match seen.ejected_for {
        Some(seconds) => {
            format!("ejected for what requests found ({found}), for {seconds} s more at most")
        }
        None => format!("ejected for what requests found ({found})"),
    }
}
