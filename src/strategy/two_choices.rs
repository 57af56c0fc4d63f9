//! The less loaded of two members drawn by lot.
//!
//! Two distinct members are drawn by weight, and the one with fewer requests in flight for its weight
//! is picked. That is enough to keep the fullest member close to the average, and costs the same for
//! ten thousand members as for three. No memory is written, so workers do not wait for one another, and
//! since each draws its own pair they do not all run to the same idle member.
//!
//! When both are equally loaded the first drawn is picked. This is fair without a further draw: the first
//! is itself a lot by weight, so in an idle pool each member has exactly its share. (The less loaded by
//! recent rate would be smoother still at low load, but needs a clock.)

use super::random::{AliasTable, Lots};
use super::{Foresight, Member, Members, Needs, PickContext, Slot, Strategy};

/// The better of two lots.
#[derive(Debug)]
pub struct TwoChoices {
    table: AliasTable,
}

impl TwoChoices {
    /// Makes the table to draw from.
    pub fn new(members: &Members) -> Self {
        Self {
            table: AliasTable::new(members),
        }
    }
}

impl Strategy for TwoChoices {
    fn name(&self) -> &'static str {
        "two-choices"
    }

    fn needs(&self) -> Needs {
        Needs {
            entropy: true,
            ..Needs::default()
        }
    }

    fn pick(&self, members: &Members, cx: &PickContext<'_>) -> Option<Slot> {
        let mut lots = Lots::new(cx.entropy);
        let first = self.table.draw(members, &mut lots, cx.tried, None)?;
        let Some(second) = self.table.draw(members, &mut lots, cx.tried, Some(first)) else {
            return Some(first);
        };
        let lighter = is_lighter(members.get(second), members.get(first));
        Some(if lighter { second } else { first })
    }

    fn foresee(&self, members: &Members, cx: &PickContext<'_>, _: &mut u64) -> Foresight {
        Foresight::lighter_of_two(members, cx, lighter)
    }
}

/// Whether `a` has strictly less in flight for its weight. Products of 32 bits each, so 64 hold them.
fn is_lighter(a: &Member, b: &Member) -> bool {
    let load = |member: &Member| {
        let in_flight = u64::from(member.backend.in_flight());
        (in_flight, u64::from(member.weight))
    };
    lighter(load(a), load(b))
}

/// The same of two loads: requests in flight, and weight.
fn lighter(a: (u64, u64), b: (u64, u64)) -> bool {
    a.0 * b.1 < b.0 * a.1
}
