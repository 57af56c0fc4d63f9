//! Round robin over members of equal weight: the turn modulo their number.
//!
//! In any `n` turns that follow one another each of `n` members has exactly one, whichever workers took
//! them. Members of different weights take turns by [`super::weighted`].

use std::sync::Arc;

use super::{Cursor, Foresight, Members, Needs, PickContext, Slot, Strategy};

/// Members in turn.
#[derive(Debug)]
pub struct RoundRobin {
    name: &'static str,
    cursor: Arc<Cursor>,
}

impl RoundRobin {
    /// Turns by the pool's cursor. `name` is the one that the operator asked for it by.
    pub fn new(name: &'static str, cursor: Arc<Cursor>) -> Self {
        Self { name, cursor }
    }
}

impl Strategy for RoundRobin {
    fn name(&self) -> &'static str {
        self.name
    }

    fn needs(&self) -> Needs {
        Needs::default()
    }

    fn pick(&self, members: &Members, cx: &PickContext<'_>) -> Option<Slot> {
        let eligible = members.eligible();
        let count = eligible.len() as u64;
        self.cursor.take_turn(members, cx.tried, |turn| {
            turn.checked_rem(count).map(|at| eligible[at as usize])
        })
    }

    fn foresee(&self, members: &Members, cx: &PickContext<'_>, turns: &mut u64) -> Foresight {
        let eligible = members.eligible();
        let count = eligible.len() as u64;
        Foresight::of(self.cursor.see_turn(members, cx.tried, turns, |turn| {
            turn.checked_rem(count).map(|at| eligible[at as usize])
        }))
    }

    fn charge(&self, members: &Members, slot: Slot) {
        charge_turn(members, slot);
    }
}

/// Lets a later turn of a member pass for the request that a cookie sends it now. Who has no turns
/// owes none.
pub(super) fn charge_turn(members: &Members, slot: Slot) {
    let member = members.get(slot);
    if member.weight > 0 && member.backend.standing().takes_new() {
        member.backend.add_debt();
    }
}
