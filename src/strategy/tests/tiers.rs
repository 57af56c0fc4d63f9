//! Backups, and members in slow start.

use proptest::prelude::{any, prop, prop_assert_eq, proptest};

use super::*;
use crate::backend::{Ejection, Health, OperatorWord};

/// How the picks of a request each are shared.
fn shares(name: &str, members: &Members, count: u64) -> Vec<u64> {
    let strategy = built(name, members);
    let mut picks = vec![0; members.all().len()];
    for seed in 0..count {
        let slot = strategy.pick(members, &request(seed, &Tried::new()));
        picks[slot.expect("somebody is eligible").0 as usize] += 1;
    }
    picks
}

proptest! {
    /// Backups are eligible exactly when no other member is ready; and only if nobody at all is, there is a panic with them.
    #[test]
    fn backups_step_in_when_nobody_else_is_ready(
        pool in prop::collection::vec((any::<bool>(), 0_u8..4, 0_u32..3), 1..10),
        threshold in 0_u8..=100,
    ) {
        let weights: Vec<u32> = pool.iter().map(|(_, _, weight)| *weight).collect();
        let mut all = members(&weights).all().to_vec();
        for (member, (backup, kind, _)) in all.iter_mut().zip(&pool) {
            member.backup = *backup;
            match kind {
                1 => member.backend.set_health(Health::Failing),
                2 => member.backend.eject(Ejection::Failures),
                3 => member.backend.set_operator(OperatorWord::Draining),
                _ => {}
            }
        }
        let members = Members::with_threshold(all, PanicThreshold(threshold));
        let of = |may: &dyn Fn(bool, u8) -> bool| -> Vec<Slot> {
            let each = (0..).map(Slot).zip(&pool);
            let those = each.filter(|(_, (backup, kind, weight))| *weight > 0 && may(*backup, *kind));
            those.map(|(slot, _)| slot).collect()
        };
        let [first, second] = [false, true].map(|tier| of(&|backup, kind| backup == tier && kind == 0));
        let panics = |ready: &[Slot], wanted: &[Slot]| ready.len() * 100 < wanted.len() * usize::from(threshold);
        let expected = if !first.is_empty() {
            let wanted = of(&|backup, kind| !backup && kind != 3);
            if panics(&first, &wanted) { wanted } else { first }
        } else if !second.is_empty() {
            second
        } else {
            let wanted = of(&|_, kind| kind != 3);
            if panics(&[], &wanted) { wanted } else { Vec::new() }
        };
        prop_assert_eq!(members.eligible(), &expected[..]);
    }

    /// A part of a share is that part for all strategies that go by weight, whatever the weights, and nothing of it stays.
    #[test]
    fn a_part_of_a_weight_is_a_part_of_the_picks(
        weights in prop::collection::vec(1_u32..4, 2..5),
        percent in 10_u8..=100,
    ) {
        let fresh = members(&weights);
        fresh.all()[0].backend.set_ramp(percent);
        let members = fresh.anew();
        let total: u64 = members.total_weight();
        let picks = shares("weighted", &members, total);
        for (at, (count, weight)) in picks.iter().zip(&weights).enumerate() {
            let percent = if at == 0 { u64::from(percent) } else { 100 };
            // In the lowest terms the period may be a part of this.
            prop_assert_eq!(count * 100 * u64::from(weights[1]), u64::from(*weight) * percent * picks[1]);
        }
        fresh.all()[0].backend.set_ramp(100);
        let after: Vec<u32> = members.anew().all().iter().map(|member| member.weight).collect();
        prop_assert_eq!(after, weights);
    }
}
