//! The members of one generation of a pool, and who of them may be picked.
//!
//! Eligibility is worked out here, once, when a generation is made; a change of standing or weight makes
//! a new one. So a pick costs the same whether half of the members are down or none. What changes
//! from request to request (who was tried already) is looked at by the strategies.

use std::sync::Arc;

use crate::backend::{Backend, BackendTag, Health, OperatorWord};

/// The index of a member in one generation of a pool. Means nothing in another generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u32);

/// A backend as it stands in one generation of a pool.
#[derive(Clone, Debug)]
pub struct Member {
    /// Identity and live state.
    pub backend: Arc<Backend>,
    /// What hash and cookie know it by: the id given, or the address as written.
    pub id: Arc<str>,
    /// The name that it came from; none if the configuration has its address.
    pub name: Option<Arc<str>>,
    /// Its share as it is now, worked out of the nominal one; 0 for nothing new (sticky requests still come).
    pub weight: u32,
    /// Its share when it takes all of it.
    pub nominal: u32,
    /// Who is asked only when no other member is eligible.
    pub backup: bool,
    /// The share that the configuration gives it; another one may have been set at run time.
    pub configured: u32,
    /// [`super::placement::hash_id`] of the id.
    pub placement: u64,
    /// What a cookie sealed by the first key calls it; absent when the pool is not sticky.
    pub tag: Option<BackendTag>,
}

/// All members of one generation, in the order of the configuration.
#[derive(Debug)]
pub struct Members {
    all: Box<[Member]>,
    eligible: Box<[Slot]>,
    /// Sorted by tag.
    tags: Vec<(BackendTag, Slot)>,
    total_weight: u64,
    equal_weights: bool,
    threshold: PanicThreshold,
    in_panic: bool,
}

/// The least share of members that must be well, in percent of those that the operator wants; below it health is not
/// asked for, for the few that are left would fall too. 0: health is always asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PanicThreshold(pub u8);

impl Members {
    /// Takes the members as they are now: those that stand ready and have a weight are eligible.
    ///
    /// # Panics
    /// With more than `u32::MAX` members.
    pub fn new(all: Vec<Member>) -> Self {
        Self::with_threshold(all, PanicThreshold::default())
    }

    /// The same; and when fewer than `threshold` are well, all that the operator wants are eligible, well or not. Whoever
    /// is unproven counts neither way. Backups are eligible when nobody else is ready, and before that is called a panic: a
    /// backup that is well is better than backends that are not.
    ///
    /// # Panics
    /// With more than `u32::MAX` members.
    pub fn with_threshold(mut all: Vec<Member>, threshold: PanicThreshold) -> Self {
        set_weights(&mut all);
        let slots = 0..u32::try_from(all.len())
            .expect("a pool of four thousand million members does not fit in memory");
        let slots_of = |may: &dyn Fn(&Member) -> bool| -> Box<[Slot]> {
            let has_weight = |slot: &Slot| all[slot.0 as usize].weight > 0;
            let slots = slots.clone().map(Slot).filter(has_weight);
            slots.filter(|slot| may(&all[slot.0 as usize])).collect()
        };
        let is_ready = |member: &Member| member.backend.standing().takes_new();
        let mut wanted = slots_of(&|member| !member.backup && is_wanted(member));
        let mut ready = slots_of(&|member| !member.backup && is_ready(member));
        if ready.is_empty() {
            let backups = slots_of(&|member| member.backup && is_ready(member));
            if backups.is_empty() {
                wanted = slots_of(&is_wanted);
            } else {
                // No share of backups is too few: they are the last that there is.
                wanted.clone_from(&backups);
                ready = backups;
            }
        }
        let in_panic = threshold.is_reached(ready.len(), wanted.len());
        let eligible = if in_panic { wanted } else { ready };
        let weights = || eligible.iter().map(|slot| all[slot.0 as usize].weight);
        let total_weight = weights().map(u64::from).sum();
        let equal_weights = weights().min() == weights().max();
        let tags = slots
            .map(Slot)
            .filter_map(|slot| all[slot.0 as usize].tag.map(|tag| (tag, slot)));
        let mut members = Self {
            tags: tags.collect(),
            all: all.into_boxed_slice(),
            eligible,
            total_weight,
            equal_weights,
            threshold,
            in_panic,
        };
        members.sort_tags();
        members
    }

    /// The same members as they stand now, with their weights of now.
    #[must_use]
    pub fn anew(&self) -> Self {
        let now = |member: &Member| Member {
            nominal: member.backend.weight_over(member.configured),
            ..member.clone()
        };
        let mut members = Self::with_threshold(self.all.iter().map(now).collect(), self.threshold);
        members.tags.clone_from(&self.tags);
        members
    }

    /// Whether requests that a cookie binds to a member may go there.
    pub fn takes_bound(&self, slot: Slot) -> bool {
        let member = self.get(slot);
        // Whoever might be picked anyway may as well keep its sessions.
        member.backend.standing().takes_bound() || (self.in_panic && is_wanted(member))
    }

    /// Whether so few are well that health is not asked for.
    pub fn are_in_panic(&self) -> bool {
        self.in_panic
    }

    /// Adds the tags by which cookies of earlier keys call the members ([`super::ticket::former_tags`]),
    /// so that a change of keys binds nobody anew.
    #[must_use]
    pub fn with_former_tags(
        mut self,
        former: impl IntoIterator<Item = (BackendTag, Slot)>,
    ) -> Self {
        let count = self.all.len();
        self.tags.extend(
            former
                .into_iter()
                .filter(|(_, slot)| (slot.0 as usize) < count),
        );
        self.sort_tags();
        self
    }

    /// All members, whether they may be picked or not.
    pub fn all(&self) -> &[Member] {
        &self.all
    }

    /// Who may be picked, in the order of the configuration.
    pub fn eligible(&self) -> &[Slot] {
        &self.eligible
    }

    /// The member at a slot.
    ///
    /// # Panics
    /// If the slot is of another generation and out of range here.
    pub fn get(&self, slot: Slot) -> &Member {
        &self.all[slot.0 as usize]
    }

    /// The member that a cookie names, whatever its standing.
    pub fn by_tag(&self, tag: BackendTag) -> Option<Slot> {
        let at = self.tags.partition_point(|(known, _)| *known < tag);
        self.tags
            .get(at)
            .filter(|(known, _)| *known == tag)
            .map(|(_, slot)| *slot)
    }

    /// The sum of the weights of the eligible.
    pub fn total_weight(&self) -> u64 {
        self.total_weight
    }

    /// Whether all eligible members have the same weight; also true of none.
    pub fn equal_weights(&self) -> bool {
        self.equal_weights
    }

    /// Draws by weight among the eligible for which `may` holds, by one scan: what strategies fall
    /// back on when their tables keep naming members that are out. The load of whoever is out is so
    /// spread over all others.
    pub(super) fn draw_among(&self, entropy: u64, may: impl Fn(Slot) -> bool) -> Option<Slot> {
        let left = || self.eligible.iter().copied().filter(|&slot| may(slot));
        let total: u64 = left().map(|slot| u64::from(self.get(slot).weight)).sum();
        let mut lot = scale(entropy, total);
        let mut last = None;
        for slot in left() {
            let weight = u64::from(self.get(slot).weight);
            if lot < weight {
                return Some(slot);
            }
            lot -= weight;
            last = Some(slot);
        }
        // Only if `may` changed its mind between the two passes, as it can when it looks at load.
        last
    }

    fn sort_tags(&mut self) {
        self.tags.sort_by_key(|(tag, _)| *tag);
    }
}

/// Whether the operator wants it to take what comes, and somebody knows how it does.
fn is_wanted(member: &Member) -> bool {
    let wanted = member.backend.operator() == OperatorWord::Ready;
    wanted && member.backend.health() != Health::Unproven
}

/// Gives the members their shares of now. Those in slow start have a part of theirs in per cent; in a pool with one of
/// these, weights are in hundredths, so that a tenth of 1 can be written.
fn set_weights(all: &mut [Member]) {
    let is_ramping = all.iter().any(|member| member.backend.ramp() < 100);
    for member in all {
        member.weight = if is_ramping {
            member
                .nominal
                .saturating_mul(u32::from(member.backend.ramp()))
        } else {
            member.nominal
        };
    }
}

impl PanicThreshold {
    fn is_reached(self, ready: usize, wanted: usize) -> bool {
        // Fewer than 2^32 members: no overflow in 64 bits.
        (ready as u64) * 100 < (wanted as u64) * u64::from(self.0)
    }
}

/// Maps 64 random bits to `0..bound` by the high half of a product; the bias, below `bound / 2^64`, is
/// beyond measuring.
pub(super) fn scale(entropy: u64, bound: u64) -> u64 {
    ((u128::from(entropy) * u128::from(bound)) >> 64) as u64
}
