//! The budget of a pool's retries: so many at once as a share of the requests in flight, and a few in any case.
//!
//! Where much fails, retries are what turns a fault into an outage: each request becomes two. Bounded by a share of
//! what is in flight, as Envoy does it, they never add more than that share to the load; and since nothing is saved up,
//! there is no burst after a quiet time and nothing to wind with a clock. The few in any case are for pools with so
//! little traffic that a share of it is less than one.
//!
//! Shared by all workers, and kept over reloads: one number, which is touched only when there is a retry.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Retries of one pool that are under way.
#[derive(Debug, Default)]
pub struct Budget {
    active: AtomicU32,
}

/// One retry under way. Dropping it ends it.
#[derive(Debug)]
#[must_use = "dropping it gives the retry's place away"]
pub struct Permit<'b>(&'b Budget);

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

    /// A place for one more retry, if there is one.
    pub fn permit(&self, percent: u8, in_flight: u32) -> Option<Permit<'_>> {
        let most = Self::most(percent, in_flight);
        let one_more = |active| (active < most).then_some(active + 1);
        let granted = self.active.fetch_update(Relaxed, Relaxed, one_more);
        granted.ok().map(|_| Permit(self))
    }

    /// Retries under way.
    pub fn active(&self) -> u32 {
        self.active.load(Relaxed)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let before = self.0.active.fetch_sub(1, Relaxed);
        debug_assert!(before > 0, "a retry ended that had not begun");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

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
