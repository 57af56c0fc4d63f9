//! One worker's handle on one generation.
//!
//! Reading the shared pointer with its reference count would make every request of every worker write to
//! one cache line. So a worker keeps the generation it saw last, looks by one load whether there is a
//! newer one, and hands out counts of its own, which no other thread touches.

use std::cell::RefCell;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use arc_swap::{ArcSwap, Cache};

use super::Snapshot;

/// A worker's way to the generation of now.
#[derive(Debug)]
pub struct Reader {
    cache: RefCell<Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>>,
    view: RefCell<View>,
}

/// One generation, held by one worker. To be taken for one request, not for a connection: an idle
/// connection must not keep an old generation alive.
#[derive(Clone, Debug)]
#[allow(
    clippy::redundant_allocation,
    reason = "the outer count is the worker's own, the inner one is shared by all"
)]
pub struct View(Rc<Arc<Snapshot>>);

impl Reader {
    pub(super) fn new(current: Arc<ArcSwap<Snapshot>>) -> Self {
        let mut cache = Cache::new(current);
        let view = View(Rc::new(Arc::clone(cache.load())));
        Self {
            cache: RefCell::new(cache),
            view: RefCell::new(view),
        }
    }

    /// The generation of now.
    pub fn view(&self) -> View {
        let mut cache = self.cache.borrow_mut();
        let newest = cache.load();
        let mut view = self.view.borrow_mut();
        if !Arc::ptr_eq(newest, &view.0) {
            *view = View(Rc::new(Arc::clone(newest)));
        }
        view.clone()
    }
}

impl Deref for View {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.0
    }
}
