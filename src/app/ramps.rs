//! Slow start: backends that are back or new take their share step by step.
//!
//! Whoever takes requests again has been well for a moment, whatever kept it out: checks, an ejection or the operator. So
//! nothing has to be told of this; what is compared is who took new requests at the last look and who does at this one.
//! At the first look everybody is new, and nobody is held back for it; no more are all backends of a pool that is new.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use ahash::RandomState;

use crate::backend::{Backend, BackendKey};
use crate::health::slow_start::Ramp;
use crate::snapshot::Snapshot;

/// The backends that take less than their share, and how the others stood at the last look.
#[derive(Debug, Default)]
pub struct Ramps {
    known: HashMap<BackendKey, Known, RandomState>,
    pools: BTreeSet<Arc<str>>,
}

#[derive(Debug)]
struct Known {
    backend: Arc<Backend>,
    is_ready: bool,
    ramp: Option<Ramp>,
}

impl Ramps {
    /// Begins the ramps of those that are back or new since the last look, and moves all that are under way.
    /// Says which pools have other weights now.
    pub fn look(&mut self, snapshot: &Snapshot, now: Instant) -> BTreeSet<Arc<str>> {
        let mut changed = BTreeSet::new();
        let mut before = std::mem::take(&mut self.known);
        let pools_before = std::mem::take(&mut self.pools);
        for (pool, plan) in snapshot.pools.iter().zip(&snapshot.plan.pools) {
            // Zero with strategies that go by hash: a client would be moved twice.
            let window = plan.slow_start;
            self.pools.insert(Arc::clone(&pool.name));
            for member in pool.members.all() {
                let backend = &member.backend;
                let is_ready = backend.standing().takes_new();
                let known = before.remove(backend.key());
                let (was_ready, ramp) = match known {
                    Some(known) if Arc::ptr_eq(&known.backend, backend) => {
                        (known.is_ready, known.ramp)
                    }
                    _ => (!pools_before.contains(&pool.name), None),
                };
                let ramp = match ramp {
                    _ if !is_ready || window.is_zero() => None,
                    Some(ramp) => Some(ramp),
                    None => (!was_ready).then(|| Ramp::begin(now, window)),
                };
                let percent = ramp.map_or(100, |ramp| ramp.percent(now));
                if backend.ramp() != percent {
                    backend.set_ramp(percent);
                    changed.insert(Arc::clone(&pool.name));
                }
                let known = Known {
                    backend: Arc::clone(backend),
                    is_ready,
                    ramp: ramp.filter(|_| percent < 100),
                };
                self.known.insert(backend.key().clone(), known);
            }
        }
        changed
    }

    /// When to look again, if nothing else happens.
    pub fn next(&self, now: Instant) -> Option<Instant> {
        let ramps = self.known.values().filter_map(|known| known.ramp);
        ramps.map(|ramp| now + ramp.step()).min()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::backend::{Ejection, Health, OperatorWord};
    use crate::config;
    use crate::snapshot::Registry;
    use crate::strategy::{PickContext, Tried};

    fn snapshot(strategy: &str, backends: u16, registry: &Arc<Registry>) -> Snapshot {
        let backends = (1..=backends).map(|port| format!("{{ address = \"127.0.0.1:{port}\" }}"));
        let backends: Vec<String> = backends.collect();
        let window = if strategy == "ip-hash" { 0 } else { 30 };
        let text = format!(
            "listeners.web.address = \"127.0.0.1:80\"\n[[routes]]\npath_prefix = \"/\"\npool = \"shop\"\n\
             [pools.shop]\nstrategy = \"{strategy}\"\nslow_start = \"{window}s\"\nbackends = [{}]\n",
            backends.join(", ")
        );
        let loaded = config::load_text(&text, Path::new("x.toml"), &config::Options::new());
        Snapshot::assemble(Arc::new(loaded.unwrap().plan), registry, 1)
    }

    /// What the first backend takes of what one of the others does, in per cent.
    fn share(snapshot: &Snapshot) -> u64 {
        let pool = &snapshot.pools[0];
        let mut picks = [0_u64; 4];
        for seed in 0..100_000_u64 {
            let cx = PickContext {
                affinity: None,
                pin: None,
                tried: &Tried::new(),
                entropy: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            };
            picks[pool.strategy.pick(&pool.members, &cx).unwrap().0 as usize] += 1;
        }
        picks[0] * 100 / picks[1]
    }

    /// Lets time pass as the control thread does, until `end`.
    fn play(
        ramps: &mut Ramps,
        now: &mut Snapshot,
        registry: &Registry,
        (from, end): (Instant, Instant),
    ) {
        let mut at = from;
        while at <= end {
            let changed = ramps.look(now, at);
            *now = now.anew(&changed, registry);
            at = ramps.next(at).unwrap_or(end + Duration::from_secs(1));
        }
    }

    #[test]
    fn half_way_a_backend_that_is_back_takes_half_a_share_with_every_strategy_by_weight() {
        type Change = fn(&Backend);
        let causes: [(Change, Change); 3] = [
            (
                |it| it.set_health(Health::Failing),
                |it| it.set_health(Health::Well),
            ),
            (|it| it.eject(Ejection::Failures), Backend::readmit),
            (
                |it| it.set_operator(OperatorWord::Draining),
                |it| it.set_operator(OperatorWord::Ready),
            ),
        ];
        for strategy in [
            "round-robin",
            "weighted",
            "random",
            "two-choices",
            "least-connections",
        ] {
            for (out, back) in causes {
                let registry = Arc::new(Registry::new(1, 7));
                let mut now = snapshot(strategy, 3, &registry);
                let (mut ramps, start) = (Ramps::default(), Instant::now());
                let second = |seconds: u64| start + Duration::from_secs(seconds);
                assert!(ramps.look(&now, start).is_empty(), "all are new");
                let backend = Arc::clone(&now.pools[0].members.all()[0].backend);
                out(&backend);
                assert!(ramps.look(&now, second(1)).is_empty());
                back(&backend);
                play(&mut ramps, &mut now, &registry, (second(2), second(2)));
                let first = share(&now);
                assert!((8..=12).contains(&first), "{strategy}: {first}");
                play(&mut ramps, &mut now, &registry, (second(3), second(17)));
                let half = share(&now);
                assert!((45..=55).contains(&half), "{strategy}: {half}");
                play(&mut ramps, &mut now, &registry, (second(18), second(33)));
                let whole = share(&now);
                assert!((97..=103).contains(&whole), "{strategy}: {whole}");
                assert_eq!(ramps.next(second(33)), None, "nothing is left to do");
                assert_eq!(now.pools[0].members.all()[0].weight, 1);
            }
        }
    }

    #[test]
    fn who_is_added_begins_slowly_and_nobody_does_by_hash() {
        for (strategy, percent) in [("round-robin", 10), ("ip-hash", 100)] {
            let registry = Arc::new(Registry::new(1, 7));
            let (mut ramps, start) = (Ramps::default(), Instant::now());
            let two = snapshot(strategy, 2, &registry);
            ramps.look(&two, start);
            let three = snapshot(strategy, 3, &registry);
            let changed = ramps.look(&three, start);
            assert_eq!(changed.is_empty(), percent == 100);
            let ramp = |at: usize| three.pools[0].members.all()[at].backend.ramp();
            assert_eq!([0, 1, 2].map(ramp), [100, 100, percent]);
        }
    }
}
