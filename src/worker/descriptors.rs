//! The descriptors that connections of all workers are made of: a budget, with somebody waiting at its end.
//!
//! Clients and backends draw on one count, for neither knows how much the other needs: ten thousand clients
//! that read a page need no backend, a hundred that order need a hundred. What is beyond the budget is
//! kept for the admin API, logs and reloads. The count changes once for each connection.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// The budget that all workers share.
#[derive(Debug)]
pub struct Descriptors {
    most: usize,
    held: AtomicUsize,
    waiting: AtomicUsize,
    freed: Notify,
}

/// One descriptor of the budget; dropping it gives it back. To be dropped after the socket is.
#[derive(Debug)]
pub struct Descriptor(Arc<Descriptors>);

impl Descriptors {
    /// A budget of so many.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            held: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            freed: Notify::new(),
        })
    }

    /// How many there are in all.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Whether there is none left, or somebody waits for the next one.
    pub fn are_short(&self) -> bool {
        self.held.load(Ordering::Relaxed) >= self.most || self.are_awaited()
    }

    /// Whether somebody waits for one.
    pub fn are_awaited(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Takes one, if there is one.
    pub fn take(self: &Arc<Self>) -> Option<Descriptor> {
        let one_more = |held| (held < self.most).then_some(held + 1);
        let taken = self
            .held
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        taken.is_ok().then(|| Descriptor(Arc::clone(self)))
    }

    /// Counts one that is held already.
    pub fn enter(self: &Arc<Self>) -> Descriptor {
        self.held.fetch_add(1, Ordering::Relaxed);
        Descriptor(Arc::clone(self))
    }

    /// Waits until there is one, and takes it; who waits longest is woken first. Cancel-safe.
    pub async fn wait(self: &Arc<Self>) -> Descriptor {
        let _waiting = Waiting::begin(self);
        loop {
            // Registered before looking, so that one that is given back in between is not missed.
            let mut freed = pin!(self.freed.notified());
            freed.as_mut().enable();
            if let Some(descriptor) = self.take() {
                return descriptor;
            }
            freed.await;
        }
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // In one order with a waiter's announcement and its look: one of the two sees the other.
        self.0.held.fetch_sub(1, Ordering::SeqCst);
        if self.0.waiting.load(Ordering::SeqCst) > 0 {
            self.0.freed.notify_one();
        }
    }
}

/// Somebody who waits.
struct Waiting<'a>(&'a Descriptors);

impl<'a> Waiting<'a> {
    fn begin(descriptors: &'a Descriptors) -> Self {
        descriptors.waiting.fetch_add(1, Ordering::SeqCst);
        Self(descriptors)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::task::{Context, Waker};

    use super::*;

    #[test]
    fn what_is_given_back_wakes_whoever_waited_longest() {
        let descriptors = Descriptors::new(2);
        let first = descriptors.take().unwrap();
        let second = descriptors.enter();
        assert!(descriptors.take().is_none() && descriptors.are_short());
        let mut cx = Context::from_waker(Waker::noop());
        let mut early = pin!(descriptors.wait());
        let mut late = Box::pin(descriptors.wait());
        assert!(early.as_mut().poll(&mut cx).is_pending());
        assert!(late.as_mut().poll(&mut cx).is_pending());
        drop(first);
        assert!(late.as_mut().poll(&mut cx).is_pending());
        assert!(early.as_mut().poll(&mut cx).is_ready());
        drop(late);
        drop(second);
        assert!(!descriptors.are_short());
    }

    #[test]
    fn more_than_there_are_can_be_counted_and_given_back() {
        let descriptors = Descriptors::new(1);
        let held = [descriptors.enter(), descriptors.enter()];
        assert!(descriptors.take().is_none());
        drop(held);
        assert!(descriptors.take().is_some());
    }
}
