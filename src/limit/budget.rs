//! The budget of a pool's retries: a share of what is sent, and a few at once in any case.
//!
//! Where much fails, retries are what turns a fault into an outage: each request becomes two. Two bounds, of which either
//! lets a retry through:
//!
//! - *At once*: no more retries under way than their share of the requests in flight, as Envoy does it, and [`Budget::LEAST`]
//!   for pools with so little traffic that a share of it is less than one. It needs no clock and no history, and alone it is
//!   wrong for one bad backend among well ones: what has timed out there comes back in bunches, and a bunch is more
//!   than a share of the few requests that well backends have in flight at one moment.
//! - *Lately*: no more retries within [`Window::SECONDS`] than their share of the attempts of as many seconds before, as
//!   Finagle and Linkerd do it, and within one second no more than twice the share of an average one. So one bad backend of
//!   four, whose requests are a fifth of all attempts once each has been retried, never exhausts a budget of 20 %; and where
//!   all backends fail, what was saved up in better times is spent over seconds and not in a moment.
//!
//! Both count the same retries, so that as long as a fault lasts they allow together little more than the greater of them
//! does, and not their sum. Second attempts beside one that takes long (hedges) are no answer to a failure, and
//! have the first bound only.
//!
//! Shared by all workers, and kept over reloads: three numbers, which are touched only when there is a retry. How much was
//! sent is told once a second by whoever holds the [`Window`], from figures that the workers keep anyway.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Retries of one pool.
#[derive(Debug, Default)]
pub struct Budget {
    active: AtomicU32,
    /// Retries that may be begun before the window is turned again, however many are under way.
    spare: AtomicU32,
    /// Retries that were begun, ever; wraps.
    begun: AtomicU32,
}

/// One retry under way. Dropping it ends it.
#[derive(Debug)]
#[must_use = "dropping it gives the retry's place away"]
pub struct Permit<'b>(&'b Budget);

/// What a pool has sent in the last seconds: what its budget may spend in the next one.
#[derive(Debug, Default)]
pub struct Window {
    /// Attempts and retries among them, of each second; the oldest first.
    seconds: VecDeque<(u64, u64)>,
    /// All attempts and retries ever, as of the last turn; none before the first.
    last: Option<(u64, u32)>,
}

impl Budget {
    /// Retries at once that are allowed whatever the share, unless it is nothing.
    pub const LEAST: u32 = 3;

    /// Retries that may be under way at once with so many requests in flight; `percent` of 0 allows none.
    #[must_use]
    pub fn most(percent: u8, in_flight: u32) -> u32 {
        if percent == 0 {
            return 0;
        }
        let share = u64::from(in_flight) * u64::from(percent) / 100;
        u32::try_from(share).unwrap_or(u32::MAX).max(Self::LEAST)
    }

    /// A place for one more retry after a failure, if there is one.
    pub fn permit(&self, percent: u8, in_flight: u32) -> Option<Permit<'_>> {
        if percent == 0 {
            return None;
        }
        // What is spare goes first: what either bound lets through counts against both.
        let permit = if self.take_spare() {
            self.active.fetch_add(1, Relaxed);
            Permit(self)
        } else {
            self.permit_beside(percent, in_flight)?
        };
        self.begun.fetch_add(1, Relaxed);
        Some(permit)
    }

    /// A place for one attempt beside another one, if there is one at this moment.
    pub fn permit_beside(&self, percent: u8, in_flight: u32) -> Option<Permit<'_>> {
        let most = Self::most(percent, in_flight);
        let one_more = |active| (active < most).then_some(active + 1);
        let granted = self.active.fetch_update(Relaxed, Relaxed, one_more);
        granted.ok().map(|_| Permit(self))
    }

    /// Retries under way.
    pub fn active(&self) -> u32 {
        self.active.load(Relaxed)
    }

    fn take_spare(&self) -> bool {
        let one_less = |spare: u32| spare.checked_sub(1);
        let taken = self.spare.fetch_update(Relaxed, Relaxed, one_less);
        taken.is_ok()
    }
}

impl Permit<'_> {
    /// Notes that its holder retries once more, in the same place: who has one is not stopped half-way, and what that takes
    /// is not there for others.
    pub fn renew(&self) {
        // Where nothing is spare the next second pays.
        let _ = self.0.take_spare();
        self.0.begun.fetch_add(1, Relaxed);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let before = self.0.active.fetch_sub(1, Relaxed);
        debug_assert!(before > 0, "a retry ended that had not begun");
    }
}

impl Window {
    /// How far it reaches back.
    pub const SECONDS: usize = 10;

    /// Ends a second: `attempts` were made of the pool so far, ever, retries among them. Says what the budget may spend in
    /// the next one. To be called about once a second by one thread, always with the same budget.
    pub fn turn(&mut self, budget: &Budget, percent: u8, attempts: u64) {
        let begun = budget.begun.load(Relaxed);
        let Some((attempts_before, begun_before)) = self.last.replace((attempts, begun)) else {
            return;
        };
        // A pool that has lost a backend has lost its figures too.
        let sent = attempts.saturating_sub(attempts_before);
        let retried = u64::from(begun.wrapping_sub(begun_before));
        if self.seconds.len() == Self::SECONDS {
            self.seconds.pop_front();
        }
        self.seconds.push_back((sent, retried));
        budget.spare.store(self.spare(percent), Relaxed);
    }

    fn spare(&self, percent: u8) -> u32 {
        let length = self.seconds.len();
        let sent: u64 = self.seconds.iter().map(|(sent, _)| sent).sum();
        let share = sent.saturating_mul(percent.into()) / 100;
        // Who needs just the share needs a little more: no two seconds are alike.
        let share = share + share / SLACK;
        // With the second to come they are as many as those of the share.
        let passed = usize::from(length == Self::SECONDS);
        let retried: u64 = self.seconds.iter().skip(passed).map(|(_, it)| it).sum();
        let in_a_second = share.saturating_mul(2) / (length.max(1) as u64);
        let spare = share.saturating_sub(retried).min(in_a_second);
        u32::try_from(spare).unwrap_or(u32::MAX)
    }
}

/// Of what is allowed lately, so large a part is allowed besides.
const SLACK: u64 = 16;

#[cfg(test)]
mod faults;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_share_of_nothing_is_nothing_and_a_share_of_little_is_a_few() {
        assert_eq!(Budget::most(0, u32::MAX), 0);
        assert_eq!(Budget::most(1, 0), Budget::LEAST);
        assert_eq!(Budget::most(20, 15), Budget::LEAST);
        assert_eq!(Budget::most(20, 100), 20);
        assert_eq!(Budget::most(100, u32::MAX), u32::MAX);
        assert!(Budget::default().permit(0, 1000).is_none());
    }

    #[test]
    fn workers_together_stay_within_it() {
        let budget = Budget::default();
        let begin = std::sync::Barrier::new(8);
        let granted: usize = std::thread::scope(|scope| {
            let ask = || {
                begin.wait();
                let permits: Vec<_> = (0..100).filter_map(|_| budget.permit(20, 100)).collect();
                begin.wait();
                permits.len()
            };
            let workers: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
            workers
                .into_iter()
                .map(|worker| worker.join().unwrap())
                .sum()
        });
        assert_eq!((granted, budget.active()), (20, 0));
    }

    /// A pool in simulated time: so many requests arrive at each tick, and each attempt takes `service` ticks.
    struct Pool {
        percent: u8,
        service: u64,
        /// Attempts under way: when each ends, and whether it is a retry.
        under_way: VecDeque<(u64, bool)>,
    }

    impl Pool {
        /// Plays `ticks` in which everything fails, or nothing. Gives retries and requests.
        fn play(&mut self, from: u64, ticks: u64, arrivals: u32, failing: bool) -> (u64, u64) {
            let budget = Budget::default();
            let mut permits = VecDeque::new();
            let (mut retries, mut requests) = (0, 0);
            for now in from..from + ticks {
                while let Some(&(end, retry)) = self.under_way.front()
                    && end <= now
                {
                    self.under_way.pop_front();
                    if retry {
                        permits.pop_front();
                    } else if failing {
                        let in_flight = self.under_way.len() as u32;
                        if let Some(permit) = budget.permit(self.percent, in_flight) {
                            assert!(budget.active() <= Budget::most(self.percent, in_flight));
                            permits.push_back(permit);
                            self.under_way.push_back((now + self.service, true));
                            retries += 1;
                        }
                    }
                }
                for _ in 0..arrivals {
                    self.under_way.push_back((now + self.service, false));
                    requests += 1;
                }
            }
            self.under_way.retain(|(_, retry)| !retry);
            (retries, requests)
        }
    }

    proptest! {
        /// When everything fails, retries are no more than their share of all attempts, or the few at once.
        #[test]
        fn an_outage_adds_no_more_than_its_share(
            percent in 0_u8..=100, arrivals in 0_u32..40, service in 1_u64..20,
        ) {
            let mut pool = Pool { percent, service, under_way: VecDeque::new() };
            let (retries, requests) = pool.play(0, 200, arrivals, true);
            // Each place is taken anew once for every time of service, and once more at the edge.
            let turns = 200 / service + 1;
            let share = (retries + requests) * u64::from(percent) / 100 + u64::from(Budget::LEAST) * turns;
            prop_assert!(retries <= share, "{retries} of {requests}");
            if percent == 0 {
                prop_assert_eq!(retries, 0);
            }
            // And what has passed is no debt.
            pool.play(200, 50, arrivals, false);
            if percent > 0 && arrivals > 0 {
                prop_assert!(pool.play(250, 50, arrivals, true).0 > 0);
            }
        }

        /// Whatever is asked and given back in whatever order: no more than its share is granted, all of it is, and
        /// what is given back can be had again.
        #[test]
        fn it_grants_exactly_its_share(
            percent in 1_u8..=100, steps in prop::collection::vec((any::<bool>(), 0_u32..200), 1..200),
        ) {
            let budget = Budget::default();
            let mut held = Vec::new();
            for (asks, in_flight) in steps {
                if asks {
                    let expected = (held.len() as u32) < Budget::most(percent, in_flight);
                    let permit = budget.permit(percent, in_flight);
                    prop_assert_eq!(permit.is_some(), expected);
                    held.extend(permit);
                } else {
                    held.pop();
                }
                prop_assert_eq!(budget.active() as usize, held.len());
            }
            drop(held);
            prop_assert!(budget.permit(percent, 0).is_some());
        }
    }
}
