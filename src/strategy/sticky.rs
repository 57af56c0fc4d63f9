//! Stickiness, around any strategy: a request that names its member by a valid cookie goes there.
//!
//! A pinned member is used as long as it lives: while it drains, and with weight 0 too, which is how an
//! operator empties it without cutting anybody's session. It is left when it fails (unless so many do that
//! health is not asked for), is taken into maintenance, has left the pool, or was tried by this very request; then the
//! inner strategy picks as if there had been no cookie, and the data path binds anew.

use std::sync::Arc;

use super::{Foresight, Members, Needs, PickContext, Slot, Strategy};

/// A strategy that honours [`PickContext::pin`] before it asks another.
#[derive(Debug)]
pub struct Sticky {
    inner: Arc<dyn Strategy>,
}

impl Sticky {
    /// Wraps the strategy that picks for requests without a usable cookie.
    pub fn new(inner: Arc<dyn Strategy>) -> Self {
        Self { inner }
    }

    /// The member that the cookie binds this request to, if it may be used. Whoever wants to know
    /// whether a pick was the cookie's compares the two.
    pub fn bound(members: &Members, cx: &PickContext<'_>) -> Option<Slot> {
        let slot = members.by_tag(cx.pin?)?;
        (members.takes_bound(slot) && !cx.tried.contains(slot)).then_some(slot)
    }
}

impl Strategy for Sticky {
    /// The inner strategy's: stickiness is a property of a pool and no strategy of its own.
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn needs(&self) -> Needs {
        self.inner.needs()
    }

    fn pick(&self, members: &Members, cx: &PickContext<'_>) -> Option<Slot> {
        let Some(bound) = Self::bound(members, cx) else {
            return self.inner.pick(members, cx);
        };
        self.inner.charge(members, bound);
        Some(bound)
    }

    fn foresee(&self, members: &Members, cx: &PickContext<'_>, turns: &mut u64) -> Foresight {
        match Self::bound(members, cx) {
            Some(bound) => Foresight::Sure(bound),
            None => self.inner.foresee(members, cx, turns),
        }
    }

    fn charge(&self, members: &Members, slot: Slot) {
        self.inner.charge(members, slot);
    }
}
