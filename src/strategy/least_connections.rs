//! The least loaded of all: fewest requests in flight for its weight, this one included.
//!
//! Load is requests, not connections (a connection may carry many or none). A member is judged by
//! `(in flight + 1) / weight`, what its load would be with this request; but an idle member comes before
//! any busy one, so that at low load a heavy member does not take everything.
//!
//! Ties are broken by the smooth sequence of [`super::weighted`], so an idle pool rotates by weight.
//! The whole pool is looked at first, and turns are taken only if there is a tie. To start the look
//! at the member whose turn it is and take the first best would be one pass less, but then a member
//! that stays busy hands every turn of its own to whoever stands behind it.

use std::cmp::Ordering;
use std::sync::Arc;

use super::cursor::TURNS;
use super::placement::mix;
use super::weighted::{at_turn, smooth_sequence};
use super::{Cursor, Foresight, Member, Members, Needs, PickContext, Slot, Strategy};

/// The least loaded member.
#[derive(Debug)]
pub struct LeastConnections {
    cursor: Arc<Cursor>,
    sequence: Box<[Slot]>,
}

impl LeastConnections {
    /// Writes out the sequence by which ties are broken.
    pub fn new(members: &Members, cursor: Arc<Cursor>) -> Self {
        Self {
            cursor,
            sequence: smooth_sequence(members),
        }
    }

    /// Gives the tied members their turns by weight. A turn that falls on another is lost to the
    /// next turn, as in [`Cursor::take_turn`]; at last one scan draws among the tied.
    fn break_tie(
        &self,
        members: &Members,
        cx: &PickContext<'_>,
        best: Load,
        mut next: impl FnMut() -> u64,
    ) -> Option<Slot> {
        let is_tied = |slot: Slot| {
            !cx.tried.contains(slot) && Load::of(members.get(slot)).compare(best).is_le()
        };
        let mut turn = 0;
        for _ in 0..TURNS {
            turn = next();
            let slot = at_turn(&self.sequence, turn)?;
            if is_tied(slot) {
                return Some(slot);
            }
        }
        members.draw_among(mix(turn), is_tied)
    }
}

impl Strategy for LeastConnections {
    fn name(&self) -> &'static str {
        "least-connections"
    }

    fn needs(&self) -> Needs {
        Needs::default()
    }

    fn pick(&self, members: &Members, cx: &PickContext<'_>) -> Option<Slot> {
        self.choose(members, cx, || self.cursor.next())
    }

    fn foresee(&self, members: &Members, cx: &PickContext<'_>, turns: &mut u64) -> Foresight {
        Foresight::of(self.choose(members, cx, || self.cursor.see_next(turns)))
    }
}

impl LeastConnections {
    /// Picks; `next` gives the turns by which ties are broken.
    fn choose(
        &self,
        members: &Members,
        cx: &PickContext<'_>,
        next: impl FnMut() -> u64,
    ) -> Option<Slot> {
        let mut untried = members
            .eligible()
            .iter()
            .copied()
            .filter(|&slot| !cx.tried.contains(slot));
        let mut first = untried.next()?;
        let mut best = Load::of(members.get(first));
        let mut tied = false;
        for slot in untried {
            let load = Load::of(members.get(slot));
            match load.compare(best) {
                Ordering::Less => (first, best, tied) = (slot, load, false),
                Ordering::Equal => tied = true,
                Ordering::Greater => {}
            }
        }
        if !tied {
            return Some(first);
        }
        // Other workers may have loaded all of the tied in the meantime: then any of them will do.
        Some(self.break_tie(members, cx, best, next).unwrap_or(first))
    }
}

/// What a member carries, as it was when it was looked at.
#[derive(Clone, Copy, Debug)]
struct Load {
    in_flight: u32,
    weight: u32,
}

impl Load {
    fn of(member: &Member) -> Self {
        Self {
            in_flight: member.backend.in_flight(),
            weight: member.weight,
        }
    }

    /// Idle before busy, all idle alike; then `(in_flight + 1) / weight`, multiplied out. Each product
    /// is at most 2^32 * (2^32 - 1), which 64 bits hold.
    fn compare(self, other: Self) -> Ordering {
        match (self.in_flight, other.in_flight) {
            (0, 0) => Ordering::Equal,
            (0, _) => Ordering::Less,
            (_, 0) => Ordering::Greater,
            (mine, theirs) => {
                let mine = (u64::from(mine) + 1) * u64::from(other.weight);
                let theirs = (u64::from(theirs) + 1) * u64::from(self.weight);
                mine.cmp(&theirs)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(in_flight: u32, weight: u32) -> Load {
        Load { in_flight, weight }
    }

    #[test]
    fn idle_comes_first_and_the_rest_by_what_it_would_carry() {
        assert_eq!(load(0, 1).compare(load(0, 9)), Ordering::Equal);
        assert_eq!(load(0, 1).compare(load(1, 1_000)), Ordering::Less);
        assert_eq!(load(1, 1).compare(load(3, 2)), Ordering::Equal);
        assert_eq!(load(1, 1).compare(load(2, 2)), Ordering::Greater);
        assert_eq!(
            load(u32::MAX, u32::MAX).compare(load(u32::MAX, 1)),
            Ordering::Less
        );
    }
}
