//! What another plan would do to traffic: which share of it would go elsewhere, and which sessions would lose their backend.
//!
//! *What enters*: two plans, and what was counted lately ([`Seen`]). *What leaves*: [`Moves`]. It is an estimate, and an
//! upper one where it cannot be told: a route whose rule changes counts as if all of its requests would move. What new
//! routes would take from others cannot be told from counters at all; that is said in words.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Action, Plan, Pool, Route};
use crate::backend::{Address, BackendKey};
use crate::strategy::{Spec, StickySpec};

/// What was counted.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Requests lately, by the name of the route that took them.
    pub routes: HashMap<Arc<str>, u64>,
    /// Picks by cookie since each backend is known.
    pub sessions: HashMap<BackendKey, u64>,
}

/// What would move.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moves {
    /// Requests that were counted.
    pub requests: u64,
    /// The share of them that would be sent elsewhere, from 0 to 1.
    pub share: f64,
    /// Route by route, in the order of the old plan; only those of which some would move.
    pub routes: Vec<Moved>,
    /// Pools whose sessions would be bound anew.
    pub sessions: Vec<Moved>,
    /// What cannot be told.
    pub unsure: Vec<String>,
}

/// What would move of one route or one pool's sessions.
#[derive(Clone, Debug, PartialEq)]
pub struct Moved {
    /// The route, or the pool.
    pub name: Arc<str>,
    /// Requests that were counted for it.
    pub requests: u64,
    /// The share of them that would move, from 0 to 1.
    pub share: f64,
    /// Because of what.
    pub why: String,
}

/// What `new` in place of `old` would do to what was seen.
#[must_use]
pub fn moves(old: &Plan, new: &Plan, seen: &Seen) -> Moves {
    let after: HashMap<&str, &Route> = new.routes.iter().map(|it| (&*it.name, it)).collect();
    let mut moves = Moves {
        requests: seen.routes.values().sum(),
        ..Moves::default()
    };
    let mut moved = 0.0;
    for route in &old.routes {
        let next = after.get(&*route.name).copied();
        let Some((share, why)) = of_route((old, route), new, next) else {
            continue;
        };
        let requests = seen.routes.get(&route.name).copied().unwrap_or(0);
        moved += share * requests as f64;
        moves.routes.push(Moved {
            name: Arc::clone(&route.name),
            requests,
            share,
            why,
        });
    }
    if moves.requests > 0 {
        moves.share = moved / moves.requests as f64;
    }
    moves.sessions = sessions(old, new, seen);
    let before: HashSet<&str> = old.routes.iter().map(|it| &*it.name).collect();
    let added = new.routes.iter();
    let added = added.filter(|route| !before.contains(&*route.name));
    moves.unsure = added
        .map(|route| {
            format!(
                "the new route {} may take requests from others: how many cannot be told",
                route.name
            )
        })
        .collect();
    moves
}

/// The share of a route's requests that would move, and why; nothing if none would.
fn of_route(
    (old_plan, old): (&Plan, &Route),
    new_plan: &Plan,
    new: Option<&Route>,
) -> Option<(f64, String)> {
    let Some(new) = new else {
        return Some((1.0, "the route is removed".to_owned()));
    };
    if old.matcher != new.matcher || listeners(old_plan, old) != listeners(new_plan, new) {
        return Some((1.0, "what it takes changes: all of it counts".to_owned()));
    }
    let (from, to) = (old.action.text(old_plan), new.action.text(new_plan));
    match (&old.action, &new.action) {
        (Action::Pool(before), Action::Pool(after)) => {
            let (before, after) = (old_plan.pools.get(*before)?, new_plan.pools.get(*after)?);
            let share = distance(before, after);
            let why = if from == to {
                format!("{from}: backends or weights change")
            } else {
                format!("{from} -> {to}")
            };
            (share > 0.0).then_some((share, why))
        }
        (before, after) => (before != after).then(|| (1.0, format!("{from} -> {to}"))),
    }
}

fn listeners<'p>(plan: &'p Plan, route: &Route) -> Vec<&'p str> {
    let indexes = route.listeners.iter();
    let mut names: Vec<_> = indexes
        .filter_map(|index| plan.listeners.get(*index))
        .map(|listener| &*listener.name)
        .collect();
    names.sort_unstable();
    names
}

/// The share of a pool's requests that would meet another address in the other pool, as weights have it: half of the sum
/// of the differences of shares. A strategy that goes by the client moves all if it comes, goes or changes.
fn distance(old: &Pool, new: &Pool) -> f64 {
    let by_client = |spec: &Spec| matches!(spec, Spec::IpHash { .. });
    if old.strategy != new.strategy && (by_client(&old.strategy) || by_client(&new.strategy)) {
        return 1.0;
    }
    let (before, after) = (shares(old), shares(new));
    let lost = before.iter().map(|(address, share)| {
        let kept = after.get(address).copied().unwrap_or(0.0);
        (share - kept).max(0.0)
    });
    // What rounding leaves is no share.
    let lost: f64 = lost.sum();
    if lost < 1e-9 { 0.0 } else { lost.min(1.0) }
}

fn shares(pool: &Pool) -> HashMap<&Address, f64> {
    let asked = || pool.backends.iter().filter(|backend| !backend.backup);
    let all: f64 = asked().map(|backend| f64::from(backend.weight)).sum();
    asked()
        .filter(|backend| backend.weight > 0)
        .map(|backend| (&backend.address, f64::from(backend.weight) / all))
        .collect()
}

fn sessions(old: &Plan, new: &Plan, seen: &Seen) -> Vec<Moved> {
    let after: HashMap<&str, &Pool> = new.pools.iter().map(|pool| (&*pool.name, pool)).collect();
    let mut all = Vec::new();
    for pool in &old.pools {
        let Some(sticky) = &pool.sticky else { continue };
        let picks = |wanted: &dyn Fn(&str) -> bool| -> u64 {
            let backends = pool.backends.iter();
            let wanted = backends.filter(|backend| wanted(&backend.id));
            let keys = wanted.map(|backend| BackendKey {
                pool: Arc::clone(&pool.name),
                address: backend.address.clone(),
            });
            keys.filter_map(|key| seen.sessions.get(&key)).sum()
        };
        let requests = picks(&|_| true);
        let (share, why) = match after.get(&*pool.name) {
            None => (1.0, "the pool is removed".to_owned()),
            Some(next) => match lost_cookie(sticky, next.sticky.as_ref()) {
                Some(why) => (1.0, why.to_owned()),
                None => {
                    let stays = |id: &str| next.backends.iter().any(|backend| *backend.id == *id);
                    let gone: Vec<_> = pool.backends.iter().filter(|it| !stays(&it.id)).collect();
                    if gone.is_empty() {
                        continue;
                    }
                    let names: Vec<_> = gone.iter().map(|backend| &*backend.id).collect();
                    let share = match requests {
                        0 => gone.len() as f64 / pool.backends.len() as f64,
                        all => picks(&|id| !stays(id)) as f64 / all as f64,
                    };
                    (share, format!("backend {} is removed", names.join(", ")))
                }
            },
        };
        all.push(Moved {
            name: Arc::clone(&pool.name),
            requests,
            share,
            why,
        });
    }
    all
}

/// Why cookies that were given under `old` say nothing under `new`; nothing if they go on.
fn lost_cookie(old: &StickySpec, new: Option<&StickySpec>) -> Option<&'static str> {
    let Some(new) = new else {
        return Some("stickiness is removed");
    };
    if old.cookie != new.cookie {
        return Some("the cookie has another name");
    }
    let sealed_by = old.keys.first();
    let opens = sealed_by.is_some_and(|key| new.keys.contains(key));
    (!opens).then_some("the secret is another one")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::diff::tests::{member, plan, sticky_by, to};

    /// One route to one pool of these ports and weights.
    fn shop(backends: &[(u16, u32)]) -> Plan {
        let mut plan = plan();
        plan.routes = vec![to("all", "/", 0)];
        let backends = backends.iter();
        plan.pools[0].backends = backends
            .map(|(port, weight)| member(*port, *weight))
            .collect();
        plan
    }

    fn seen(routes: &[(&str, u64)], sessions: &[(u16, u64)]) -> Seen {
        let routes = routes.iter();
        let sessions = sessions.iter().map(|(port, count)| {
            let address = Address::Tcp(([127, 0, 0, 1], *port).into());
            let pool = "shop".into();
            (BackendKey { pool, address }, *count)
        });
        Seen {
            routes: routes
                .map(|(name, count)| ((*name).into(), *count))
                .collect(),
            sessions: sessions.collect(),
        }
    }

    #[test]
    fn the_same_moves_nothing() {
        let plan = shop(&[(1, 1), (2, 3)]);
        let moves = moves(&plan, &plan, &seen(&[("all", 100)], &[]));
        assert_eq!(moves.requests, 100);
        assert_eq!((moves.share, moves.routes.len()), (0.0, 0));
        assert!(moves.sessions.is_empty() && moves.unsure.is_empty());
    }

    #[test]
    fn a_backend_takes_its_share_with_it() {
        let (both, one) = (shop(&[(1, 1), (2, 3)]), shop(&[(1, 1)]));
        let gone = moves(&both, &one, &seen(&[("all", 100)], &[]));
        assert!((gone.share - 0.75).abs() < 1e-9, "{gone:?}");
        // As much as the newcomer would take is what would move to it.
        let back = moves(&one, &both, &seen(&[("all", 100)], &[]));
        assert!((back.share - 0.75).abs() < 1e-9, "{back:?}");
    }

    #[test]
    fn a_strategy_by_the_client_moves_all_when_it_comes_or_goes() {
        let plain = shop(&[(1, 1), (2, 1)]);
        let mut hashed = plain.clone();
        hashed.pools[0].strategy = Spec::IpHash {
            ipv4_prefix: 24,
            ipv6_prefix: 64,
        };
        let counted = seen(&[("all", 100)], &[]);
        assert_eq!(moves(&plain, &hashed, &counted).share, 1.0);
        assert_eq!(moves(&hashed, &plain, &counted).share, 1.0);
        let mut random = plain.clone();
        random.pools[0].strategy = Spec::Random;
        assert_eq!(moves(&plain, &random, &counted).share, 0.0);
    }

    #[test]
    fn traffic_is_weighed_by_route() {
        let mut old = shop(&[(1, 1)]);
        old.routes.insert(0, to("cart", "/cart", 0));
        let mut other = old.pools[0].clone();
        other.name = "other".into();
        other.backends = vec![member(2, 1)];
        old.pools.push(other);
        let mut new = old.clone();
        new.routes[0].action = Action::Pool(1);
        let moves = moves(&old, &new, &seen(&[("cart", 10), ("all", 90)], &[]));
        assert!((moves.share - 0.1).abs() < 1e-9, "{moves:?}");
        assert_eq!(moves.routes[0].why, "pool shop -> pool other");
    }

    #[test]
    fn sessions_of_a_removed_backend_and_of_another_cookie_are_bound_anew() {
        let mut old = shop(&[(1, 1), (2, 1)]);
        old.pools[0].sticky = Some(sticky_by(&[b"0123456789abcdef"]));
        let counted = seen(&[], &[(1, 30), (2, 10)]);
        let lost = |change: &dyn Fn(&mut Pool)| {
            let mut new = old.clone();
            change(&mut new.pools[0]);
            moves(&old, &new, &counted).sessions
        };
        assert!(lost(&|_| {}).is_empty());
        let fewer = lost(&|pool| pool.backends.truncate(1));
        assert_eq!((fewer[0].requests, fewer[0].share), (40, 0.25));
        assert!(fewer[0].why.contains("127.0.0.1:2"), "{fewer:?}");
        let renamed = lost(&|pool| {
            if let Some(sticky) = &mut pool.sticky {
                sticky.cookie = Some("b".into());
            }
        });
        assert_eq!(renamed[0].why, "the cookie has another name");
        let by = |secrets: &[&[u8]]| {
            let spec = sticky_by(secrets);
            lost(&|pool| pool.sticky = Some(spec.clone()))
        };
        let replaced = by(&[b"fedcba9876543210"]);
        assert_eq!(
            (replaced[0].share, &*replaced[0].why),
            (1.0, "the secret is another one")
        );
        assert!(by(&[b"fedcba9876543210", b"0123456789abcdef"]).is_empty());
        assert_eq!(lost(&|pool| pool.sticky = None)[0].share, 1.0);
        assert_eq!(
            lost(&|pool| pool.name = "x".into())[0].why,
            "the pool is removed"
        );
    }

    #[test]
    fn what_cannot_be_told_is_said() {
        let old = shop(&[(1, 1)]);
        let mut new = old.clone();
        new.routes.insert(0, to("more", "/more", 0));
        let forward = moves(&old, &new, &Seen::default());
        assert_eq!(forward.unsure.len(), 1);
        let back = moves(&new, &old, &Seen::default());
        assert_eq!(back.routes[0].why, "the route is removed");
        assert_eq!(back.share, 0.0, "nobody was there");
    }
}
