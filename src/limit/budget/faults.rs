//! A pool in simulated time, one of whose backends fails, or all.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// How a backend fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Each attempt times out, on a wheel that turns ten times a second.
    Hangs,
    /// Each attempt ends as an answer would.
    Resets,
}

/// Microseconds.
type Time = u64;

const MILLI: Time = 1000;
const SECOND: Time = 1000 * MILLI;
const PERCENT: u8 = 20;
const BACKENDS: u64 = 4;

/// A pool of four, asked in turn.
struct Pool {
    /// Requests in a second.
    rate: u64,
    service: Time,
    fault: Fault,
    /// From when until when a failing backend is asked.
    failing: std::ops::Range<Time>,
    /// Whether all fail.
    all: bool,
    /// When within a second the window turns.
    phase: Time,
    /// How often a request is sent at most.
    tries: u32,
}

struct Attempt<'b> {
    fails: bool,
    tries: u32,
    permit: Option<Permit<'b>>,
}

/// What there was in one second.
#[derive(Clone, Copy, Debug, Default)]
struct Second {
    attempts: u64,
    retries: u64,
    denied: u64,
}

impl Pool {
    fn play(&self, end: Time) -> Vec<Second> {
        let budget = Budget::default();
        let mut window = Window::default();
        let mut under_way: BTreeMap<(Time, u64), Attempt<'_>> = BTreeMap::new();
        let mut seconds = vec![Second::default(); usize::try_from(end / SECOND).unwrap() + 1];
        let (mut number, mut sent) = (0, 0_u64);
        let mut turns = 0;
        let step = SECOND / self.rate;
        for now in (0..end).step_by(usize::try_from(step).unwrap()) {
            // What was due before this request came, in order.
            loop {
                let turn = turns * SECOND + self.phase;
                let due = under_way.first_key_value().map(|(key, _)| *key);
                let due = due.filter(|(at, _)| *at <= now);
                if turn <= now && due.is_none_or(|(at, _)| turn < at) {
                    turns += 1;
                    window.turn(&budget, PERCENT, sent);
                    continue;
                }
                let Some(key) = due else { break };
                let attempt = under_way.remove(&key).unwrap();
                let second = &mut seconds[usize::try_from(key.0 / SECOND).unwrap()];
                if !attempt.fails || attempt.tries >= self.tries {
                    continue;
                }
                let in_flight = u32::try_from(under_way.len()).unwrap();
                let permit = match attempt.permit {
                    Some(permit) => {
                        permit.renew();
                        Some(permit)
                    }
                    None => budget.permit(PERCENT, in_flight),
                };
                if permit.is_none() {
                    second.denied += 1;
                    continue;
                }
                second.retries += 1;
                second.attempts += 1;
                (number, sent) = (number + 1, sent + 1);
                // Whoever has failed is not asked again, and the others are well unless all fail.
                let fails = self.all && self.failing.contains(&key.0);
                let next = Attempt {
                    fails,
                    tries: attempt.tries + 1,
                    permit,
                };
                under_way.insert((self.ends(key.0, fails), number), next);
            }
            (number, sent) = (number + 1, sent + 1);
            seconds[usize::try_from(now / SECOND).unwrap()].attempts += 1;
            let fails = self.failing.contains(&now) && (self.all || (now / step) % BACKENDS == 1);
            let first = Attempt {
                fails,
                tries: 1,
                permit: None,
            };
            under_way.insert((self.ends(now, fails), number), first);
        }
        drop(under_way);
        assert_eq!(budget.active(), 0);
        seconds
    }

    fn ends(&self, begun: Time, fails: bool) -> Time {
        match self.fault {
            Fault::Hangs if fails => (begun + SECOND).next_multiple_of(100 * MILLI),
            Fault::Hangs | Fault::Resets => begun + self.service,
        }
    }
}

fn sum(seconds: &[Second]) -> Second {
    seconds
        .iter()
        .fold(Second::default(), |sum, second| Second {
            attempts: sum.attempts + second.attempts,
            retries: sum.retries + second.retries,
            denied: sum.denied + second.denied,
        })
}

fn faults() -> impl Strategy<Value = Fault> {
    prop_oneof![Just(Fault::Hangs), Just(Fault::Resets)]
}

/// The case that the bound at once alone lost requests in: a few hundred requests a second, one of four hangs and is found
/// out after three seconds.
#[test]
fn what_times_out_in_bunches_is_retried() {
    for rate in [50, 300, 800, 3000] {
        let pool = Pool {
            rate,
            service: 20 * MILLI,
            fault: Fault::Hangs,
            failing: 2 * SECOND..5 * SECOND,
            all: false,
            phase: 0,
            tries: 3,
        };
        let all = sum(&pool.play(8 * SECOND));
        assert_eq!(all.denied, 0, "at {rate}/s");
        assert!(all.retries > 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// One bad backend of four never exhausts the budget, however it fails and however long it takes to find out.
    #[test]
    fn one_of_four_has_all_its_requests_retried(
        rate in 1_u64..1000, service in 1_u64..200, fault in faults(), seconds in 1_u64..30, phase in 0..SECOND,
    ) {
        let service = service * MILLI;
        let failing = 12 * SECOND..(12 + seconds) * SECOND;
        let end = failing.end + 3 * SECOND;
        let pool = Pool { rate, service, fault, failing, all: false, phase, tries: 3 };
        let all = sum(&pool.play(end));
        prop_assert_eq!(all.denied, 0, "{:?}", all);
    }

    /// Where all fail, what was saved up goes over seconds, and from then on retries are their share of all attempts; a few at
    /// once there are in any case.
    #[test]
    fn an_outage_of_all_adds_no_more_than_its_share(
        rate in 1_u64..1000, service in 1_u64..200, fault in faults(),
    ) {
        let (service, failing) = (service * MILLI, 12 * SECOND..52 * SECOND);
        let pool = Pool { rate, service, fault, failing, all: true, phase: 0, tries: 2 };
        let played = pool.play(52 * SECOND);
        // So many at once, taken anew as soon as an attempt is over.
        let few = u64::from(Budget::LEAST) * (SECOND / pool.ends(0, true) + 1);
        for (at, second) in played.iter().enumerate().skip(12) {
            let before = &played[at - Window::SECONDS..at];
            let average = sum(before).attempts / Window::SECONDS as u64;
            // Twice the share lately, and the share at once.
            let most = (average + second.attempts) * 45 / 100 + few;
            prop_assert!(second.retries <= most, "{second:?} in {at}: above {most}");
        }
        let late = sum(&played[32..52]);
        let most = late.attempts * 22 / 100 + few * 20;
        prop_assert!(late.retries <= most, "{late:?}: above {most}");
        // And no less: what cannot be had by the one bound is had by the other.
        prop_assert!(late.retries * 100 >= late.attempts * 15, "{late:?}: too few");
    }
}
