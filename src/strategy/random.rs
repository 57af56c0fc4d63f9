//! By lot, by weight: a draw from an alias table.
//!
//! The table is made once for a generation; a draw is one multiplication and one look, at three members
//! and at ten thousand. All of it is integers, so a seed gives the same picks everywhere.

use super::placement::mix;
use super::{Foresight, Members, Needs, PickContext, Slot, Strategy, Tried};

/// Members by lot.
#[derive(Debug)]
pub struct Random {
    table: AliasTable,
}

impl Random {
    /// Makes the table.
    pub fn new(members: &Members) -> Self {
        Self {
            table: AliasTable::new(members),
        }
    }
}

impl Strategy for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn needs(&self) -> Needs {
        Needs {
            entropy: true,
            ..Needs::default()
        }
    }

    fn pick(&self, members: &Members, cx: &PickContext<'_>) -> Option<Slot> {
        self.table
            .draw(members, &mut Lots::new(cx.entropy), cx.tried, None)
    }

    fn foresee(&self, members: &Members, cx: &PickContext<'_>, _: &mut u64) -> Foresight {
        Foresight::by_weight(members, cx)
    }
}

/// The lots that one request's entropy gives: as many as it takes, all fixed by the first.
#[derive(Debug)]
pub(super) struct Lots(u64);

impl Lots {
    pub(super) fn new(entropy: u64) -> Self {
        Self(entropy)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }
}

/// Eligible members in columns of equal width, each column shared by at most two of them.
#[derive(Debug)]
pub(super) struct AliasTable(Box<[Column]>);

#[derive(Clone, Copy, Debug)]
struct Column {
    /// The part of the column, of 2^64, that belongs to `own`.
    share: u64,
    own: Slot,
    other: Slot,
}

impl AliasTable {
    /// Fills the columns: each member that has less than a column is topped up by one that has more.
    pub(super) fn new(members: &Members) -> Self {
        let eligible = members.eligible();
        let (count, total) = (eligible.len() as u64, members.total_weight());
        // In units of 1 / (count * total): a column holds `total`, a member has `weight * count`.
        // Both stay below 2^64, for weights and slots are 32 bits.
        let mut left: Vec<u64> = eligible
            .iter()
            .map(|&slot| u64::from(members.get(slot).weight) * count)
            .collect();
        let mut columns: Vec<Column> = eligible
            .iter()
            .map(|&slot| Column {
                share: u64::MAX,
                own: slot,
                other: slot,
            })
            .collect();
        let (mut under, mut over): (Vec<usize>, Vec<usize>) =
            (0..left.len()).partition(|&at| left[at] < total);
        while let (Some(&poor), Some(&rich)) = (under.last(), over.last()) {
            under.pop();
            columns[poor].share = ((u128::from(left[poor]) << 64) / u128::from(total)) as u64;
            columns[poor].other = columns[rich].own;
            left[rich] -= total - left[poor];
            if left[rich] < total {
                over.pop();
                under.push(rich);
            }
        }
        Self(columns.into_boxed_slice())
    }

    /// Draws a member that was not tried and is not `except`, by weight among those that are left.
    pub(super) fn draw(
        &self,
        members: &Members,
        lots: &mut Lots,
        tried: &Tried,
        except: Option<Slot>,
    ) -> Option<Slot> {
        let may = |slot: Slot| Some(slot) != except && !tried.contains(slot);
        for _ in 0..DRAWS {
            let slot = self.at(lots.next())?;
            if may(slot) {
                return Some(slot);
            }
        }
        members.draw_among(lots.next(), may)
    }

    /// The high half of the product is the column, the low half the place in it.
    fn at(&self, lot: u64) -> Option<Slot> {
        let product = u128::from(lot) * self.0.len() as u128;
        let column = self.0.get((product >> 64) as usize)?;
        Some(if (product as u64) < column.share {
            column.own
        } else {
            column.other
        })
    }
}

/// Draws before the scan. Drawing again until a lot fits gives the same odds as the scan does.
const DRAWS: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop, prop_assert, proptest};

    use super::super::tests::members;
    use super::*;

    proptest! {
        #[test]
        fn columns_add_up_to_the_weights(weights in prop::collection::vec(0_u32..=u32::MAX, 1..40)) {
            let members = members(&weights);
            let table = AliasTable::new(&members);
            let columns = table.0.len() as f64;
            let mut parts = vec![0.0; weights.len()];
            for column in &table.0 {
                let share = column.share as f64 / 18_446_744_073_709_551_616.0;
                parts[column.own.0 as usize] += share / columns;
                parts[column.other.0 as usize] += (1.0 - share) / columns;
            }
            for (part, weight) in parts.iter().zip(&weights) {
                let due = f64::from(*weight) / (members.total_weight().max(1) as f64);
                prop_assert!((part - due).abs() < 1e-9, "{} for {}", part, due);
            }
        }
    }
}
