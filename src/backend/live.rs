//! The atomics of a backend, on cache lines of their own.
//!
//! Two workers that use two backends must not share a line, or each would slow the other for nothing;
//! 128 and not 64, since the processors in question fetch lines in pairs. All orderings are relaxed:
//! each atomic is a number of its own and publishes no other memory; but for what those who wait for a place rely on.
//! What follows from a standing is published by the swap of the snapshot.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::Relaxed, Ordering::SeqCst};

use super::standing::{Health, OperatorWord};
use crate::telemetry::meters::Ejection;

#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Live {
    in_flight: AtomicU32,
    /// The most that may be in flight; 0 for as many as come.
    most: AtomicU32,
    /// Turns owed, and in the highest bit whether the last turn was let pass.
    debt: AtomicU32,
    health: AtomicU8,
    operator: AtomicU8,
    /// Failed attempts in a row.
    failures: AtomicU32,
    /// 0: not ejected; else one more than the index of the cause.
    ejection: AtomicU8,
    /// Percent of its weight.
    ramp: AtomicU8,
    /// How many words the operator has said.
    words: AtomicU32,
    /// Of 255 tunnels, how many are called off.
    called_off: AtomicU8,
    /// Whether no configuration names it any more.
    removed: AtomicBool,
    /// Whether its weight is 0.
    weightless: AtomicBool,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            in_flight: AtomicU32::new(0),
            most: AtomicU32::new(0),
            debt: AtomicU32::new(0),
            health: AtomicU8::new(Health::Well.to_bits()),
            operator: AtomicU8::new(OperatorWord::Ready.to_bits()),
            failures: AtomicU32::new(0),
            ejection: AtomicU8::new(0),
            ramp: AtomicU8::new(100),
            words: AtomicU32::new(0),
            called_off: AtomicU8::new(0),
            removed: AtomicBool::new(false),
            weightless: AtomicBool::new(false),
        }
    }
}

impl Live {
    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    pub(super) fn enter(&self) {
        self.in_flight.fetch_add(1, Relaxed);
    }

    /// Enters unless that were more than may be in flight; says whether it did.
    pub(super) fn try_enter(&self) -> bool {
        let most = self.most.load(Relaxed);
        if most == 0 {
            self.enter();
            return true;
        }
        let one_more = |now| (now < most).then_some(now + 1);
        // Sequentially consistent, as leaving is: see the story of `limit::queue`.
        let entered = self.in_flight.fetch_update(SeqCst, SeqCst, one_more);
        entered.is_ok()
    }

    pub(super) fn most(&self) -> u32 {
        self.most.load(Relaxed)
    }

    pub(super) fn set_most(&self, most: u32) {
        self.most.store(most, SeqCst);
    }

    pub(super) fn leave(&self) {
        let before = self.in_flight.fetch_sub(1, SeqCst);
        debug_assert!(before > 0, "a request ended that had not begun");
    }

    pub(super) fn health(&self) -> Health {
        Health::from_bits(self.health.load(Relaxed))
    }

    pub(super) fn set_health(&self, health: Health) {
        self.health.store(health.to_bits(), Relaxed);
    }

    pub(super) fn operator(&self) -> OperatorWord {
        OperatorWord::from_bits(self.operator.load(Relaxed))
    }

    pub(super) fn set_operator(&self, word: OperatorWord) {
        self.operator.store(word.to_bits(), Relaxed);
        self.called_off.store(0, Relaxed);
        self.words.fetch_add(1, Relaxed);
    }

    pub(super) fn words(&self) -> u32 {
        self.words.load(Relaxed)
    }

    pub(super) fn called_off(&self) -> u8 {
        self.called_off.load(Relaxed)
    }

    pub(super) fn call_off(&self, share: u8) {
        self.called_off.store(share, Relaxed);
    }

    pub(super) fn is_removed(&self) -> bool {
        self.removed.load(Relaxed)
    }

    /// One that is back has called nobody off.
    pub(super) fn set_removed(&self, removed: bool) {
        if self.removed.swap(removed, Relaxed) && !removed {
            self.called_off.store(0, Relaxed);
        }
    }

    pub(super) fn is_weightless(&self) -> bool {
        self.weightless.load(Relaxed)
    }

    pub(super) fn set_weightless(&self, weightless: bool) {
        self.weightless.store(weightless, Relaxed);
    }

    pub(super) fn failures(&self) -> u32 {
        self.failures.load(Relaxed)
    }

    pub(super) fn note_failure(&self) -> u32 {
        self.failures.fetch_add(1, Relaxed).wrapping_add(1)
    }

    pub(super) fn note_success(&self) {
        // Nearly always a look, at a line that the claim has just written.
        if self.failures.load(Relaxed) != 0 {
            self.failures.store(0, Relaxed);
        }
    }

    pub(super) fn ejection(&self) -> Option<Ejection> {
        let index = usize::from(self.ejection.load(Relaxed)).checked_sub(1)?;
        Ejection::ALL.get(index).copied()
    }

    pub(super) fn set_ejection(&self, ejection: Option<Ejection>) {
        // There are two of them.
        let bits = ejection.map_or(0, |cause| cause.index() as u8 + 1);
        self.ejection.store(bits, Relaxed);
    }

    pub(super) fn ramp(&self) -> u8 {
        self.ramp.load(Relaxed)
    }

    pub(super) fn set_ramp(&self, percent: u8) {
        self.ramp.store(percent.clamp(1, 100), Relaxed);
    }

    pub(super) fn add_debt(&self) {
        // At the bound nothing is written, so a busy sticky pool leaves the line alone.
        let _ = self.debt.fetch_update(Relaxed, Relaxed, |debt| {
            (debt & !LET_PASS < DEBT_LIMIT).then_some(debt + 1)
        });
    }

    pub(super) fn pay_debt(&self) -> bool {
        // The first look is a plain load: in a pool without cookies it is the only one.
        let paid = self.debt.fetch_update(Relaxed, Relaxed, |debt| match debt {
            0 => None,
            _ if debt & LET_PASS != 0 => Some(debt & !LET_PASS),
            _ => Some((debt - 1) | LET_PASS),
        });
        paid.is_ok_and(|before| before & LET_PASS == 0)
    }

    pub(super) fn would_pay_debt(&self) -> bool {
        let debt = self.debt.load(Relaxed);
        debt != 0 && debt & LET_PASS == 0
    }
}

const LET_PASS: u32 = 1 << 31;

/// Turns that can be owed. Enough to level a burst of bound requests, and little enough that a
/// backend is not passed over for long after its sessions have gone.
const DEBT_LIMIT: u32 = 64;
