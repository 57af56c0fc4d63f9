//! The limit of a backend in simulated time: some servers, a time of service, and more requests than both can take.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use proptest::prelude::*;

use super::*;

const BOUNDS: Bounds = Bounds {
    floor: 4,
    most: 1000,
};

/// A backend that works on `servers` requests at once; the others wait in it.
struct Backend {
    servers: usize,
    /// What a request takes at least, in microseconds; times differ by half of it either way.
    service: u64,
    now: u64,
    /// When those are done that are worked on, and when they came.
    working: BinaryHeap<Reverse<(u64, u64)>>,
    /// When those came that wait.
    waiting: VecDeque<u64>,
    random: u64,
}

impl Backend {
    fn new(servers: usize, service: u64, random: u64) -> Self {
        Self {
            servers,
            service,
            now: 0,
            working: BinaryHeap::new(),
            waiting: VecDeque::new(),
            random: random | 1,
        }
    }

    /// A time of service.
    fn draw(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.service / 2 + self.random % self.service.max(1)
    }

    fn in_flight(&self) -> usize {
        self.working.len() + self.waiting.len()
    }

    /// Lets requests in up to `limit`, of which there are `demand` at once, until `until`. Gives what was seen.
    fn serve(&mut self, limit: u32, demand: usize, until: u64) -> Seen {
        let from = self.now;
        let (mut requests, mut took) = (0, 0);
        loop {
            while self.in_flight() < demand.min(limit as usize) {
                self.waiting.push_back(self.now);
            }
            while self.working.len() < self.servers
                && let Some(came) = self.waiting.pop_front()
            {
                let done = self.now + self.draw().max(1);
                self.working.push(Reverse((done, came)));
            }
            match self.working.peek() {
                Some(Reverse((done, came))) if *done <= until => {
                    self.now = *done;
                    requests += 1;
                    took += done - came;
                    self.working.pop();
                }
                _ => break,
            }
        }
        self.now = until;
        let elapsed = (until - from).max(1);
        let average = took as f64 / elapsed as f64;
        Seen {
            requests,
            took: Duration::from_micros(took),
            in_flight: average.max(self.in_flight() as f64),
        }
    }
}

/// A backend with its limit, as the control thread steps it.
struct Play {
    backend: Backend,
    gradient: Gradient,
    limit: u32,
    seen: Seen,
}

impl Play {
    fn new(backend: Backend) -> Self {
        let limit = BOUNDS.nearest(0, 0);
        Self {
            backend,
            gradient: Gradient::from(limit),
            limit,
            seen: Seen::default(),
        }
    }

    /// Plays windows of half a second with so many requests at once. Gives the limits of the last quarter.
    fn play(&mut self, windows: usize, demand: usize) -> Vec<u32> {
        let mut limits = Vec::new();
        for _ in 0..windows {
            let until = self.backend.now + 500_000;
            let seen = self.backend.serve(self.limit, demand, until);
            self.seen.requests += seen.requests;
            self.seen.took += seen.took;
            self.seen.in_flight = seen.in_flight;
            if self.seen.requests >= Gradient::ENOUGH {
                let seen = std::mem::take(&mut self.seen);
                self.limit = self.gradient.step(seen, BOUNDS, 0);
                assert!((BOUNDS.floor..=BOUNDS.most).contains(&self.limit));
            }
            limits.push(self.limit);
        }
        limits.split_off(windows - windows / 4)
    }
}

fn average(limits: &[u32]) -> f64 {
    limits.iter().map(|limit| f64::from(*limit)).sum::<f64>() / limits.len() as f64
}

#[test]
fn it_stays_within_its_bounds_whatever_is_seen() {
    let mut gradient = Gradient::from(20);
    let seen = |requests, took| Seen {
        requests,
        took,
        in_flight: 1e9,
    };
    for round in 0..200 {
        for (requests, took) in [
            (0, Duration::ZERO),
            (u64::MAX, Duration::from_nanos(1)),
            (50, Duration::ZERO),
            (50, Duration::MAX),
            (1_000_000, Duration::from_secs(round)),
        ] {
            let limit = gradient.step(seen(requests, took), BOUNDS, 100);
            assert!((4..=100).contains(&limit), "{limit}");
        }
    }
}

#[test]
fn a_limit_that_is_not_reached_stays() {
    let mut play = Play::new(Backend::new(50, 20_000, 7));
    let limits = play.play(100, 5);
    assert!(limits.iter().all(|limit| *limit == 20), "{limits:?}");
}

#[test]
fn too_little_says_nothing() {
    let mut gradient = Gradient::from(20);
    let seen = Seen {
        requests: Gradient::ENOUGH - 1,
        took: Duration::from_secs(3600),
        in_flight: 20.0,
    };
    assert_eq!(gradient.step(seen, BOUNDS, 0), 20);
}

#[test]
fn nearest_knows_the_cap_and_the_floor() {
    assert_eq!(BOUNDS.nearest(0, 0), 20);
    assert_eq!(BOUNDS.nearest(0, 8), 8);
    assert_eq!(BOUNDS.nearest(2, 8), 4);
    assert_eq!(BOUNDS.nearest(2, 3), 3, "the cap has the last word");
    assert_eq!(BOUNDS.nearest(5000, 0), 1000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// With more requests than it can take, a backend has somewhat more than it can work on, and not much more.
    #[test]
    fn it_settles_a_little_above_what_the_backend_works_on(
        servers in 5_usize..120, service in 2_000_u64..120_000, random in any::<u64>(),
    ) {
        let mut play = Play::new(Backend::new(servers, service, random));
        let limit = average(&play.play(240, 10_000));
        let c = servers as f64;
        prop_assert!((0.95 * c..=2.0 * c + 2.0).contains(&limit), "{servers}: {limit}");
    }

    /// A stall lowers it, and afterwards it is where it was.
    #[test]
    fn it_recovers_after_a_stall(
        servers in 5_usize..120, service in 2_000_u64..60_000, random in any::<u64>(), times in 10_u64..60,
    ) {
        let mut play = Play::new(Backend::new(servers, service, random));
        play.play(160, 10_000);
        play.backend.service = service * times;
        play.play(20, 10_000);
        play.backend.service = service;
        let limit = average(&play.play(240, 10_000));
        let c = servers as f64;
        prop_assert!((0.9 * c..=2.2 * c + 2.0).contains(&limit), "{servers}: {limit}");
    }

    /// A backend that takes longer for everything, but for as many at once, keeps what it had.
    #[test]
    fn a_backend_that_is_slower_as_a_whole_does_not_fall_to_the_floor(
        servers in 10_usize..120, service in 2_000_u64..20_000, random in any::<u64>(), times in 2_u64..8,
    ) {
        let mut play = Play::new(Backend::new(servers, service, random));
        play.play(160, 10_000);
        play.backend.service = service * times;
        let limits = play.play(320, 10_000);
        let limit = average(&limits);
        let c = servers as f64;
        prop_assert!((0.7 * c..=2.2 * c + 2.0).contains(&limit), "{servers}: {limit}");
    }

    /// Demand that comes and goes leaves it useful.
    #[test]
    fn quiet_times_do_no_harm(
        servers in 5_usize..80, service in 2_000_u64..60_000, random in any::<u64>(),
    ) {
        let mut play = Play::new(Backend::new(servers, service, random));
        for _ in 0..6 {
            play.play(60, 10_000);
            play.play(60, servers.div_ceil(3));
        }
        let limit = average(&play.play(120, 10_000));
        let c = servers as f64;
        prop_assert!((0.9 * c..=2.2 * c + 2.0).contains(&limit), "{servers}: {limit}");
    }
}
