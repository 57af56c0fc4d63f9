//! The members that earlier attempts of a request have used up.

use super::Slot;

/// A small set of slots, held in place: a request makes a few attempts, not many.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tried {
    slots: [u32; Self::CAPACITY],
    len: u32,
}

impl Tried {
    /// Slots that it can hold. Settings must not allow more attempts than this and one.
    pub const CAPACITY: usize = 15;

    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a slot; says whether it is in the set now. A full set stays as it is, so that a member
    /// may come up twice, which is the lesser evil.
    pub fn insert(&mut self, slot: Slot) -> bool {
        if self.contains(slot) {
            return true;
        }
        let Some(place) = self.slots.get_mut(self.len as usize) else {
            return false;
        };
        *place = slot.0;
        self.len += 1;
        true
    }

    /// Whether a slot is in the set.
    pub fn contains(&self, slot: Slot) -> bool {
        self.slots
            .iter()
            .take(self.len())
            .any(|&tried| tried == slot.0)
    }

    /// Whether nothing has been tried.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many have been tried.
    pub fn len(&self) -> usize {
        self.len as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_each_slot_once_and_no_more_than_it_can() {
        let mut tried = Tried::new();
        assert!(tried.is_empty() && !tried.contains(Slot(0)));
        assert!(tried.insert(Slot(3)) && tried.insert(Slot(3)));
        assert_eq!(tried.len(), 1);
        let added = (10..1_000).filter(|&slot| tried.insert(Slot(slot))).count();
        assert_eq!(added, Tried::CAPACITY - 1);
        assert!(tried.contains(Slot(3)) && tried.contains(Slot(10)) && !tried.contains(Slot(999)));
    }
}
