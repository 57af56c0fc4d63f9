//! Round robin by weight, smoothly interleaved: weights 5, 1, 1 give `a a b a c a a`, not `a a a a a b c`.
//!
//! The sequence is that of smooth weighted round robin: at each step every member gains its weight, the
//! one that has most (the first in order among equals) has the turn and pays the sum of all weights. It
//! comes back to its beginning after `W / gcd` steps, so it is written out once, when the pool is built,
//! and read by the shared cursor: each window of that length holds every member exactly by its weight,
//! over all workers, without a lock and at a cost that does not grow with the pool.

use std::sync::Arc;

use super::round_robin::charge_turn;
use super::{Cursor, Foresight, Members, Needs, PickContext, Slot, Strategy};

/// Members in turn by weight.
#[derive(Debug)]
pub struct Weighted {
    name: &'static str,
    cursor: Arc<Cursor>,
    sequence: Box<[Slot]>,
}

impl Weighted {
    /// Writes the sequence out. `name` is the one that the operator asked for it by.
    pub fn new(name: &'static str, members: &Members, cursor: Arc<Cursor>) -> Self {
        Self {
            name,
            cursor,
            sequence: smooth_sequence(members),
        }
    }
}

impl Strategy for Weighted {
    fn name(&self) -> &'static str {
        self.name
    }

    fn needs(&self) -> Needs {
        Needs::default()
    }

    fn pick(&self, members: &Members, cx: &PickContext<'_>) -> Option<Slot> {
        self.cursor
            .take_turn(members, cx.tried, |turn| at_turn(&self.sequence, turn))
    }

    fn foresee(&self, members: &Members, cx: &PickContext<'_>, turns: &mut u64) -> Foresight {
        let whose = |turn| at_turn(&self.sequence, turn);
        Foresight::of(self.cursor.see_turn(members, cx.tried, turns, whose))
    }

    fn charge(&self, members: &Members, slot: Slot) {
        charge_turn(members, slot);
    }
}

/// Whose turn it is; nobody's when the sequence is empty.
pub(super) fn at_turn(sequence: &[Slot], turn: u64) -> Option<Slot> {
    turn.checked_rem(sequence.len() as u64)
        .map(|at| sequence[at as usize])
}

/// Writes out one period of the smooth sequence over the eligible.
pub(super) fn smooth_sequence(members: &Members) -> Box<[Slot]> {
    let weights = turns_of(members);
    let total: u64 = weights.iter().sum();
    let mut classes = classes_of(members.eligible(), &weights);
    let mut sequence = Vec::with_capacity(total as usize);
    for step in 1..=total {
        let winner = classes
            .iter_mut()
            // The first in order wins among equals, so the smaller slot is the greater here.
            .max_by_key(|class| (class.credit(step, total), std::cmp::Reverse(class.front())))
            .expect("weights that add up to something belong to somebody");
        sequence.push(winner.front());
        winner.turns += 1;
    }
    sequence.into_boxed_slice()
}

/// Members of one weight. Among them the sequence takes the one with the fewest turns, the first in
/// order of these: it goes round. So only one of them need be looked at in each step, and since `k`
/// different weights add up to at least `k * k / 2`, there are never more than a few hundred classes.
struct Class {
    weight: u64,
    members: Vec<Slot>,
    turns: u64,
}

impl Class {
    fn front(&self) -> Slot {
        self.members[(self.turns % self.members.len() as u64) as usize]
    }

    /// What the front has gained in `step` steps, less what it has paid.
    fn credit(&self, step: u64, total: u64) -> i64 {
        let rounds = self.turns / self.members.len() as u64;
        // A period and the weights in it stay near 2^16 (or the number of members, below 2^32, each
        // of weight 1): neither product comes near 63 bits.
        (step * self.weight) as i64 - (total * rounds) as i64
    }
}

fn classes_of(eligible: &[Slot], weights: &[u64]) -> Vec<Class> {
    let mut order: Vec<(u64, Slot)> = weights
        .iter()
        .copied()
        .zip(eligible.iter().copied())
        .collect();
    order.sort_unstable();
    order
        .chunk_by(|(a, _), (b, _)| a == b)
        .map(|class| Class {
            weight: class[0].0,
            members: class.iter().map(|(_, slot)| *slot).collect(),
            turns: 0,
        })
        .collect()
}

/// How many turns of one period each of the eligible has: the weights by their common divisor, scaled
/// down if the period would be too long (each keeps at least one turn, so shares below one in
/// [`PERIOD_LIMIT`] become that).
fn turns_of(members: &Members) -> Vec<u64> {
    let weights: Vec<u64> = members
        .eligible()
        .iter()
        .map(|&slot| u64::from(members.get(slot).weight))
        .collect();
    let weights = reduced(weights);
    let total: u64 = weights.iter().sum();
    if total <= PERIOD_LIMIT {
        return weights;
    }
    let scaled = |weight: u64| {
        (weight as u128 * u128::from(PERIOD_LIMIT) + u128::from(total / 2)) / u128::from(total)
    };
    reduced(
        weights
            .into_iter()
            .map(|weight| (scaled(weight) as u64).max(1))
            .collect(),
    )
}

fn reduced(mut weights: Vec<u64>) -> Vec<u64> {
    let divisor = weights
        .iter()
        .copied()
        .fold(0, greatest_common_divisor)
        .max(1);
    weights.iter_mut().for_each(|weight| *weight /= divisor);
    weights
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// The longest period that is written out: 256 KiB of slots. Weights are then exact to one in 65,536,
/// which no operator means to exceed; weights 1000000 and 999999 do not deserve 8 MB.
const PERIOD_LIMIT: u64 = 65_536;

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop, prop_assert_eq, proptest};

    use super::super::tests::members;
    use super::*;

    fn letters(weights: &[u32]) -> String {
        let sequence = smooth_sequence(&members(weights));
        sequence
            .iter()
            .map(|slot| char::from(b'a' + slot.0 as u8))
            .collect()
    }

    #[test]
    fn the_sequence_interleaves() {
        assert_eq!(letters(&[5, 1, 1]), "aabacaa");
        assert_eq!(letters(&[10, 2, 2]), "aabacaa");
        assert_eq!(letters(&[3, 0, 1]), "aaca");
        assert_eq!(letters(&[1, 1, 1]), "abc");
        assert_eq!(letters(&[0]), "");
        assert_eq!(letters(&[]), "");
    }

    #[test]
    fn large_weights_are_scaled_down_and_small_ones_kept() {
        let sequence = smooth_sequence(&members(&[u32::MAX, u32::MAX / 2, 1]));
        let count = |slot| sequence.iter().filter(|&&seen| seen == Slot(slot)).count();
        assert!(sequence.len() <= PERIOD_LIMIT as usize + 3);
        assert_eq!(count(2), 1);
        assert!(count(0).abs_diff(2 * count(1)) <= 2);
    }

    /// The definition, step by step over all members.
    fn by_definition(weights: &[u32]) -> Vec<Slot> {
        let divisor = weights
            .iter()
            .fold(0, |a, &b| greatest_common_divisor(a, u64::from(b)));
        let total: i64 = weights.iter().map(|&weight| i64::from(weight)).sum();
        let mut credit = vec![0_i64; weights.len()];
        let mut sequence = Vec::new();
        for _ in 0..total / (divisor.max(1) as i64) {
            let mut best = None;
            for (at, &weight) in weights
                .iter()
                .enumerate()
                .filter(|(_, weight)| **weight > 0)
            {
                credit[at] += i64::from(weight);
                if best.is_none_or(|best: usize| credit[at] > credit[best]) {
                    best = Some(at);
                }
            }
            let best = best.unwrap();
            credit[best] -= total;
            assert_eq!(credit.iter().sum::<i64>(), 0);
            sequence.push(Slot(best as u32));
        }
        assert!(
            credit.iter().all(|&credit| credit == 0),
            "the period is W / gcd"
        );
        sequence
    }

    proptest! {
        #[test]
        fn the_sequence_is_that_of_the_definition(weights in prop::collection::vec(0_u32..12, 1..10)) {
            prop_assert_eq!(smooth_sequence(&members(&weights)).to_vec(), by_definition(&weights));
        }
    }
}
