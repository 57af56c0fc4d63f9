//! The one shared number of a pool, and how turns are taken by it.
//!
//! Every turn of every worker is one `fetch_add`, so a rotation is exact over all workers without a
//! lock. The number only grows; what it means (`modulo` members, `modulo` the smooth sequence) is of
//! the generation. When it wraps after 2^64 turns the rotation jumps once.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::placement::mix;
use super::{Members, Slot, Tried};

/// The turn counter of a pool. It outlives rebuilds and reloads.
#[derive(Debug)]
#[repr(align(128))] // written by every pick of every worker: it must not drag a neighbour along
pub struct Cursor(AtomicU64);

impl Cursor {
    /// Starts somewhere. Each process should start elsewhere, lest a fleet of balancers that starts
    /// together sends its first requests all to the first backend.
    pub fn starting_at(turn: u64) -> Self {
        Self(AtomicU64::new(turn))
    }

    /// Takes the next turn, for this caller alone.
    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, Relaxed)
    }

    /// Takes turns until one falls on a member that may have it; `whose` says whose turn it is.
    ///
    /// A member that was tried loses its turn to the *next turn*, not to its neighbour: turns are dealt
    /// evenly, so those who remain share evenly (or by weight) what the lost one leaves. When the
    /// turns keep falling on tried members (a heavy one is tried, or workers race), one scan draws
    /// among the others. A member in debt lets a turn pass, at most one for each pick.
    pub(super) fn take_turn(
        &self,
        members: &Members,
        tried: &Tried,
        whose: impl Fn(u64) -> Option<Slot>,
    ) -> Option<Slot> {
        let pays = |slot: Slot| members.get(slot).backend.pay_debt();
        deal(members, tried, || self.next(), pays, whose)
    }

    /// What [`Cursor::take_turn`] would give, with the turns looked at only; `turns` counts them.
    pub(super) fn see_turn(
        &self,
        members: &Members,
        tried: &Tried,
        turns: &mut u64,
        whose: impl Fn(u64) -> Option<Slot>,
    ) -> Option<Slot> {
        let pays = |slot: Slot| members.get(slot).backend.would_pay_debt();
        deal(members, tried, || self.see_next(turns), pays, whose)
    }

    /// The turn behind those that have been looked at, which is one more of them from now on.
    pub(super) fn see_next(&self, turns: &mut u64) -> u64 {
        let turn = self.0.load(Relaxed).wrapping_add(*turns);
        *turns += 1;
        turn
    }
}

/// Deals turns out until one falls on a member that may have it.
fn deal(
    members: &Members,
    tried: &Tried,
    mut next: impl FnMut() -> u64,
    pays: impl Fn(Slot) -> bool,
    whose: impl Fn(u64) -> Option<Slot>,
) -> Option<Slot> {
    let mut turn = 0;
    let mut passed = false;
    for _ in 0..TURNS {
        turn = next();
        let slot = whose(turn)?;
        if tried.contains(slot) {
            continue;
        }
        if !passed && pays(slot) {
            passed = true;
            continue;
        }
        return Some(slot);
    }
    members.draw_among(mix(turn), |slot| !tried.contains(slot))
}

/// Turns taken before the scan. With a few members one of them is nearly always found before.
pub(super) const TURNS: usize = 6;
