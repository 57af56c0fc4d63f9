//! Who takes over when a member is lost, and who is never picked at all.

use proptest::prelude::{Just, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::*;
use crate::backend::{Health, OperatorWord};

/// What may be said of a member: health, the operator's word, weight, load, tried or not.
fn any_member() -> impl proptest::strategy::Strategy<Value = (bool, OperatorWord, u32, usize, bool)>
{
    let word = prop_oneof![
        6 => Just(OperatorWord::Ready),
        1 => Just(OperatorWord::Draining),
        1 => Just(OperatorWord::Maintenance),
    ];
    let weight = prop_oneof![1 => Just(0), 4 => 1_u32..5, 1 => any::<u32>()];
    (
        prop::bool::weighted(0.8),
        word,
        weight,
        0_usize..3,
        prop::bool::weighted(0.3),
    )
}

proptest! {
    /// Somebody eligible and untried is picked if there is one, and nobody else ever.
    #[test]
    fn picks_are_eligible_and_untried(pool in prop::collection::vec(any_member(), 0..10), seed: u64) {
        let weights: Vec<u32> = pool.iter().map(|member| member.2).collect();
        let fresh = members(&weights);
        let mut tried = Tried::new();
        let mut claims = Vec::new();
        for (slot, (healthy, word, _, load, was_tried)) in (0..).map(Slot).zip(&pool) {
            let backend = &fresh.get(slot).backend;
            backend.set_health(if *healthy { Health::Well } else { Health::Failing });
            backend.set_operator(*word);
            claims.extend((0..*load).map(|_| backend.begin()));
            if *was_tried {
                tried.insert(slot);
            }
        }
        let members = rebuilt(&fresh);
        let may = |slot: &Slot| {
            let (healthy, word, weight, _, tried) = pool[slot.0 as usize];
            healthy && word == OperatorWord::Ready && weight > 0 && !tried
        };
        let somebody = (0..pool.len() as u32).map(Slot).any(|slot| may(&slot));
        for name in Spec::NAMES {
            let strategy = Sticky::new(built(name, &members));
            for seed in (seed..).step_by(7).take(10) {
                let picked = strategy.pick(&members, &request(seed, &tried));
                prop_assert_eq!(picked.is_some(), somebody, "{}", name);
                prop_assert!(picked.as_ref().is_none_or(may), "{} picked {:?}", name, picked);
            }
        }
    }

    /// Below the threshold all that the operator wants are eligible, at it or above only those that are well; whoever is
    /// unproven is neither.
    #[test]
    fn a_panic_is_a_matter_of_shares(
        pool in prop::collection::vec((0_u8..3, any_member()), 0..12),
        threshold in 0_u8..=100,
    ) {
        let weights: Vec<u32> = pool.iter().map(|(_, member)| member.2).collect();
        let fresh = members(&weights);
        let health = |kind: u8| [Health::Well, Health::Failing, Health::Unproven][kind as usize];
        for (member, (kind, (_, word, ..))) in fresh.all().iter().zip(&pool) {
            member.backend.set_health(health(*kind));
            member.backend.set_operator(*word);
        }
        let members = Members::with_threshold(fresh.all().to_vec(), PanicThreshold(threshold));
        let slots = |may: &dyn Fn(Health) -> bool| -> Vec<Slot> {
            let each = (0..).map(Slot).zip(&pool);
            let wanted = each.filter(|(_, (kind, (_, word, weight, ..)))| {
                *word == OperatorWord::Ready && *weight > 0 && may(health(*kind))
            });
            wanted.map(|(slot, _)| slot).collect()
        };
        let well = slots(&|health| health == Health::Well);
        let wanted = slots(&|health| health != Health::Unproven);
        let share = 100.0 * well.len() as f64 / wanted.len() as f64;
        let panics = !wanted.is_empty() && share < f64::from(threshold);
        prop_assert_eq!(members.are_in_panic(), panics);
        prop_assert_eq!(members.eligible(), if panics { &wanted[..] } else { &well[..] });
        // A rebuild of the same is the same.
        let anew = members.anew();
        prop_assert_eq!(anew.eligible(), members.eligible());
    }

    /// A tried member that refuses everything: each request goes on, and those who serve in the end
    /// have shares by weight. Where turns are taken this is exact, the lost one's turns or not.
    #[test]
    fn retries_take_the_turns_of_the_others(
        weights in prop::collection::vec(1_u32..4, 2..6),
        who: prop::sample::Index,
    ) {
        let lost = who.index(weights.len());
        let mut left = weights.clone();
        left[lost] = 0;
        let whole: u64 = left.iter().map(|&weight| u64::from(weight)).sum();
        let members = members(&weights);
        for name in ["round-robin", "weighted"] {
            let served = served_without(&*built(name, &members), &members, lost, whole * 50);
            for (&count, &weight) in served.iter().zip(&left) {
                prop_assert_eq!(count, 50 * u64::from(weight), "{}: {:?}", name, served);
            }
        }
    }
}

/// Runs requests against a pool where one member refuses all; counts who served in the end.
fn served_without(
    strategy: &dyn Strategy,
    members: &Members,
    lost: usize,
    requests: u64,
) -> Vec<u64> {
    let mut served = vec![0; members.all().len()];
    for seed in 0..requests {
        let mut tried = Tried::new();
        let mut slot = strategy.pick(members, &request(seed, &tried)).unwrap();
        if slot.0 as usize == lost {
            tried.insert(slot);
            slot = strategy.pick(members, &request(seed, &tried)).unwrap();
        }
        served[slot.0 as usize] += 1;
    }
    served
}

#[test]
fn the_load_of_a_refusing_member_is_spread_by_weight() {
    for weights in [vec![1; 5], vec![4, 2, 1, 1, 3], vec![90, 1, 2, 3]] {
        let members = members(&weights);
        for (lost, name) in (0..weights.len()).flat_map(|lost| Spec::NAMES.map(|name| (lost, name)))
        {
            let served = served_without(&*built(name, &members), &members, lost, 20_000);
            let mut left = weights.clone();
            left[lost] = 0;
            let misfit = misfit(&served, &left);
            assert!(
                misfit < 1.3,
                "{name} {weights:?} without {lost}: {served:?}, {misfit}"
            );
        }
    }
}

#[test]
fn the_load_of_a_member_that_left_is_spread_by_weight() {
    let weights = [4, 2, 1, 1, 3];
    for name in Spec::NAMES {
        for lost in 0..weights.len() {
            let whole = members(&weights);
            whole.all()[lost].backend.set_health(Health::Failing);
            let members = rebuilt(&whole);
            let served = counts(&*built(name, &members), &members, 20_000);
            let mut left = weights;
            left[lost] = 0;
            assert_eq!(served[lost], 0);
            assert!(
                misfit(&served, &left) < 1.3,
                "{name} without {lost}: {served:?}"
            );
        }
    }
}

/// Requests that fail late and together, as when a member dies under load: their retries, taken
/// alone, must not all fall on one.
#[test]
fn retries_that_come_together_are_spread() {
    let weights = [1; 5];
    let members = members(&weights);
    for name in Spec::NAMES {
        let strategy = built(name, &members);
        let mut tried = Tried::new();
        let lost: Vec<u64> = (0..20_000)
            .filter(|&seed| strategy.pick(&members, &request(seed, &tried)) == Some(Slot(2)))
            .collect();
        tried.insert(Slot(2));
        let mut taken = vec![0; 5];
        for &seed in &lost {
            taken[strategy.pick(&members, &request(seed, &tried)).unwrap().0 as usize] += 1;
        }
        assert!(misfit(&taken, &[1, 1, 0, 1, 1]) < 1.3, "{name}: {taken:?}");
    }
}

/// A client whose member fails goes where it would go if that member had left, and stays there.
#[test]
fn a_retry_of_ip_hash_is_the_placement_without_the_lost_one() {
    let whole = members(&[1, 3, 2, 1]);
    whole.all()[1].backend.set_health(Health::Failing);
    let rest = rebuilt(&whole);
    let (before, after) = (built("ip-hash", &whole), built("ip-hash", &rest));
    let (none, mut tried) = (Tried::new(), Tried::new());
    tried.insert(Slot(1));
    for seed in 0..2_000 {
        assert_eq!(
            before.pick(&whole, &request(seed, &tried)),
            after.pick(&rest, &request(seed, &none))
        );
    }
}

#[test]
fn in_flight_returns_to_zero_whatever_becomes_of_requests() {
    let members = members(&[3, 1, 2]);
    for name in Spec::NAMES {
        let strategy = built(name, &members);
        std::thread::scope(|scope| {
            for worker in 0..4_u64 {
                let (strategy, members) = (&strategy, &members);
                scope.spawn(move || {
                    let tried = Tried::new();
                    let mut flying = Vec::new();
                    for seed in 0..2_000 {
                        let slot = strategy
                            .pick(members, &request(seed << 2 | worker, &tried))
                            .unwrap();
                        flying.push(members.get(slot).backend.begin());
                        if flying.len() > 10 {
                            drop(flying.swap_remove(seed as usize % 10));
                        }
                    }
                });
            }
        });
        assert!(
            members
                .all()
                .iter()
                .all(|member| member.backend.in_flight() == 0),
            "{name}"
        );
    }
}

/// A session is not torn from a backend for a verdict that is not believed.
#[test]
fn a_panic_leaves_sessions_where_they_are() {
    let whole = members(&[1, 1, 1]);
    for at in [0, 1] {
        whole.all()[at].backend.set_health(Health::Failing);
    }
    whole.all()[1].backend.set_operator(OperatorWord::Draining);
    let tried = Tried::new();
    for (threshold, first) in [(0, None), (50, None), (51, Some(Slot(0)))] {
        let members = Members::with_threshold(whole.all().to_vec(), PanicThreshold(threshold));
        let bound = |at: usize| {
            let pin = members.all()[at].tag;
            Sticky::bound(
                &members,
                &PickContext {
                    pin,
                    ..request(7, &tried)
                },
            )
        };
        assert_eq!(bound(0), first, "{threshold}");
        // The operator wants it empty, and it cannot even serve those that are bound.
        assert_eq!(bound(1), None);
        assert_eq!(bound(2), Some(Slot(2)));
    }
}
