//! What a strategy would pick, said without picking: for whoever explains.
//!
//! Each strategy answers by the code that picks, with the turns of the cursor looked at in place of taken, so the two
//! cannot drift apart. Strategies that draw lots say who has which chance.

use super::{Members, PickContext, Slot};

/// What a strategy would pick now.
#[derive(Clone, Debug, PartialEq)]
pub enum Foresight {
    /// Nobody that may be picked is left.
    Nobody,
    /// This one, if nothing changes before the next pick.
    Sure(Slot),
    /// By lot: who has which chance, in the order of the configuration; they add up to 1.
    ByLot(Vec<(Slot, f64)>),
}

impl Foresight {
    /// What is certain, or nobody.
    pub(super) fn of(slot: Option<Slot>) -> Self {
        slot.map_or(Self::Nobody, Self::Sure)
    }

    /// A draw of one by weight, among those that have not been tried.
    pub(super) fn by_weight(members: &Members, cx: &PickContext<'_>) -> Self {
        let weights = left(members, cx);
        let total: f64 = weights.iter().map(|(_, weight)| weight).sum();
        Self::by_lot(weights, |weight| weight / total)
    }

    /// The less loaded of two different ones drawn by weight. `is_lighter` says of two loads, each requests in flight and
    /// weight, whether the first is strictly less.
    ///
    /// With `W` the sum of the weights, the member `i` is picked when it is drawn first and the second is not lighter, or
    /// when it is drawn second and is lighter than the first. Sorted by load, both are sums over one side, so that this
    /// takes no more than sorting does.
    pub(super) fn lighter_of_two(
        members: &Members,
        cx: &PickContext<'_>,
        is_lighter: impl Fn((u64, u64), (u64, u64)) -> bool,
    ) -> Self {
        let weights = left(members, cx);
        let total: f64 = weights.iter().map(|(_, weight)| weight).sum();
        if weights.len() < 2 {
            return Self::by_lot(weights, |_| 1.0);
        }
        let load = |slot: Slot| {
            let member = members.get(slot);
            let in_flight = u64::from(member.backend.in_flight());
            (in_flight, u64::from(member.weight))
        };
        // Loads are read once, for they change while this looks at them.
        let mut sorted: Vec<_> = weights
            .iter()
            .map(|(slot, weight)| (*slot, *weight, load(*slot)))
            .collect();
        sorted.sort_by(|a, b| match (is_lighter(a.2, b.2), is_lighter(b.2, a.2)) {
            (true, _) => std::cmp::Ordering::Less,
            (_, true) => std::cmp::Ordering::Greater,
            _ => std::cmp::Ordering::Equal,
        });
        let mut heavier: f64 = sorted.iter().map(|(_, w, _)| w / (total - w)).sum();
        let mut lighter = 0.0;
        let mut chances = Vec::with_capacity(sorted.len());
        for alike in sorted.chunk_by(|a, b| !is_lighter(a.2, b.2) && !is_lighter(b.2, a.2)) {
            heavier -= alike.iter().map(|(_, w, _)| w / (total - w)).sum::<f64>();
            for (slot, weight, _) in alike {
                let first = (total - weight - lighter) / (total - weight);
                let chance = weight / total * (first + heavier.max(0.0));
                chances.push((*slot, chance));
            }
            lighter += alike.iter().map(|(_, w, _)| w).sum::<f64>();
        }
        chances.sort_by_key(|(slot, _)| *slot);
        Self::ByLot(chances)
    }

    fn by_lot(weights: Vec<(Slot, f64)>, chance: impl Fn(f64) -> f64) -> Self {
        match weights.as_slice() {
            [] => Self::Nobody,
            [(only, _)] => Self::Sure(*only),
            _ => Self::ByLot(
                weights
                    .into_iter()
                    .map(|(slot, weight)| (slot, chance(weight)))
                    .collect(),
            ),
        }
    }
}

/// Who is left, with the weights.
fn left(members: &Members, cx: &PickContext<'_>) -> Vec<(Slot, f64)> {
    let eligible = members.eligible().iter().copied();
    eligible
        .filter(|slot| !cx.tried.contains(*slot))
        .map(|slot| (slot, f64::from(members.get(slot).weight)))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};

    use super::super::tests::members;
    use super::*;
    use crate::strategy::{Cursor, Spec, Tried, build};

    const EXACT: [Spec; 3] = [Spec::RoundRobin, Spec::Weighted, Spec::LeastConnections];

    proptest! {
        /// Whatever the weights, the loads, the debts and the turn: the pick is the one that was foreseen.
        #[test]
        fn what_is_foreseen_is_picked(
            weights in prop::collection::vec(0_u32..5, 1..8),
            loads in prop::collection::vec(0_usize..4, 8),
            debts in prop::collection::vec(0_usize..3, 8),
            tried in prop::collection::vec(0_u32..8, 0..3),
            start in 0_u64..100,
            which in 0_usize..3,
        ) {
            let members = members(&weights);
            let mut claims = Vec::new();
            for (at, member) in members.all().iter().enumerate() {
                claims.extend((0..loads[at]).map(|_| member.backend.begin()));
                (0..debts[at]).for_each(|_| member.backend.add_debt());
            }
            let mut set = Tried::new();
            for slot in tried.into_iter().filter(|slot| (*slot as usize) < weights.len()) {
                set.insert(Slot(slot));
            }
            let strategy = build(&EXACT[which], &members, Arc::new(Cursor::starting_at(start)));
            let cx = PickContext { affinity: None, pin: None, tried: &set, entropy: 0 };
            for _ in 0..20 {
                let foreseen = strategy.foresee(&members, &cx, &mut 0);
                let again = strategy.foresee(&members, &cx, &mut 0);
                prop_assert_eq!(&foreseen, &again);
                prop_assert_eq!(foreseen, Foresight::of(strategy.pick(&members, &cx)));
            }
        }

        /// Chances are those of the draws, as far as counting them can tell.
        #[test]
        fn chances_are_those_of_the_draws(
            weights in prop::collection::vec(1_u32..5, 2..5),
            loads in prop::collection::vec(0_usize..4, 5),
            two in prop::bool::ANY,
        ) {
            let members = members(&weights);
            let mut claims = Vec::new();
            for (at, member) in members.all().iter().enumerate() {
                claims.extend((0..loads[at]).map(|_| member.backend.begin()));
            }
            let spec = if two { Spec::TwoChoices } else { Spec::Random };
            let strategy = build(&spec, &members, Arc::new(Cursor::starting_at(0)));
            let tried = Tried::new();
            let mut cx = PickContext { affinity: None, pin: None, tried: &tried, entropy: 0 };
            let Foresight::ByLot(chances) = strategy.foresee(&members, &cx, &mut 0) else {
                return Err(proptest::test_runner::TestCaseError::fail("no chances"));
            };
            let sum: f64 = chances.iter().map(|(_, chance)| chance).sum();
            prop_assert!((sum - 1.0).abs() < 1e-9, "{}", sum);
            let mut counts = vec![0_u32; weights.len()];
            for draw in 0..DRAWS {
                cx.entropy = draw.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let slot = strategy.pick(&members, &cx).unwrap();
                counts[slot.0 as usize] += 1;
            }
            for (slot, chance) in chances {
                let share = f64::from(counts[slot.0 as usize]) / DRAWS as f64;
                prop_assert!((share - chance).abs() < 0.04, "{:?}: {} for {}", slot, share, chance);
            }
        }
    }

    /// With so many a share is off by 0.04 once in far more than the cases that are tried.
    const DRAWS: u64 = 6_000;
}
