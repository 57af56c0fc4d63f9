//! Shares: exact where turns are taken, by the odds where lots are drawn, by load where load is looked at.

use proptest::prelude::{prop, prop_assert_eq, prop_assume, proptest};

use super::*;
use crate::backend::InFlight;

/// Length of the period of weights that need no scaling.
fn period(weights: &[u32]) -> u64 {
    let gcd = |mut a: u64, mut b: u64| {
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let divisor = weights.iter().fold(0, |a, &b| gcd(a, u64::from(b)));
    weights.iter().map(|&weight| u64::from(weight)).sum::<u64>() / divisor.max(1)
}

proptest! {
    /// Any window of one period holds each member exactly by its weight, wherever it begins.
    /// Least-connections does the same in an idle pool.
    #[test]
    fn windows_are_exact(
        weights in prop::collection::vec(0_u32..9, 1..8),
        before in 0_u64..50,
        periods in 1_u64..4,
    ) {
        prop_assume!(weights.iter().any(|&weight| weight > 0));
        let members = members(&weights);
        let whole: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
        for name in ["round-robin", "weighted", "least-connections"] {
            let strategy = built(name, &members);
            counts(&*strategy, &members, before);
            let window = period(&weights) * periods;
            let seen = counts(&*strategy, &members, window);
            for (count, &weight) in seen.iter().zip(&weights) {
                prop_assert_eq!(count * whole, window * u64::from(weight), "{}: {:?}", name, seen);
            }
        }
    }
}

#[test]
fn windows_are_exact_over_threads() {
    for (name, weights) in [("round-robin", [1, 1, 1]), ("weighted", [5, 1, 1])] {
        let members = members(&weights);
        let strategy = built(name, &members);
        let per_thread = 700 * 3;
        let seen = std::thread::scope(|scope| {
            let threads =
                [(); 4].map(|()| scope.spawn(|| counts(&*strategy, &members, per_thread)));
            threads.map(|thread| thread.join().unwrap())
        });
        let whole: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
        for (at, weight) in weights.into_iter().enumerate() {
            let count: u64 = seen.iter().map(|seen| seen[at]).sum();
            assert_eq!(count * whole, 4 * per_thread * u64::from(weight), "{name}");
        }
    }
}

#[test]
fn the_cursor_wraps_and_survives_a_change_of_members() {
    let cursor = Arc::new(Cursor::starting_at(u64::MAX - 5));
    for count in [3, 7, 1, 2] {
        let members = members(&vec![1; count]);
        let strategy = build(&Spec::RoundRobin, &members, Arc::clone(&cursor));
        let seen = counts(&*strategy, &members, 12 * count as u64);
        assert!(seen.iter().all(|count| count.abs_diff(12) <= 1), "{seen:?}");
    }
    assert!(cursor.next() < 200);
}

#[test]
fn lots_fall_by_weight() {
    for weights in [
        vec![1, 1, 1],
        vec![5, 1, 1],
        vec![3, 0, 2, 7],
        vec![1; 30],
        (1..=20).collect(),
    ] {
        let members = members(&weights);
        for name in ["random", "two-choices", "ip-hash"] {
            let seen = counts(&*built(name, &members), &members, 60_000);
            let misfit = misfit(&seen, &weights);
            assert!(misfit < 1.0, "{name} {weights:?}: {seen:?}, {misfit}");
        }
    }
}

#[test]
fn clients_without_an_address_are_spread() {
    let members = members(&[1, 1, 1]);
    let strategy = built("ip-hash", &members);
    let mut seen = vec![0; 3];
    for seed in 0..30_000 {
        let tried = Tried::new();
        let cx = PickContext {
            affinity: None,
            ..request(seed, &tried)
        };
        seen[strategy.pick(&members, &cx).unwrap().0 as usize] += 1;
    }
    assert!(misfit(&seen, &[1, 1, 1]) < 1.0, "{seen:?}");
}

#[test]
fn names_and_needs_are_those_of_the_specification() {
    for weights in [[1, 1], [1, 2]] {
        let members = members(&weights);
        for name in Spec::NAMES {
            let strategy = built(name, &members);
            assert_eq!(strategy.name(), name);
            let key = AddressKey {
                ipv4_prefix: 32,
                ipv6_prefix: 64,
            };
            assert_eq!(
                strategy.needs().affinity,
                (name == "ip-hash").then_some(key)
            );
        }
    }
}

/// A closed loop: so many requests always in flight, each ending at random whatever its member.
/// Gives how many each member served, and the most that any had in flight.
fn closed_loop(name: &str, weights: &[u32], clients: usize, rounds: u64) -> (Vec<u64>, u32) {
    let members = members(weights);
    let strategy = built(name, &members);
    let tried = Tried::new();
    let (mut served, mut most) = (vec![0; weights.len()], 0);
    let mut flying: Vec<InFlight> = Vec::new();
    for seed in 0..rounds {
        if flying.len() == clients {
            let ends = placement::mix(seed.wrapping_mul(0x2545_f491_4f6c_dd1d)) as usize % clients;
            drop(flying.swap_remove(ends));
        }
        let slot = strategy.pick(&members, &request(seed, &tried)).unwrap();
        let claim = members.get(slot).backend.begin();
        served[slot.0 as usize] += 1;
        most = most.max(claim.backend().in_flight());
        flying.push(claim);
    }
    drop(flying);
    assert!(
        members
            .all()
            .iter()
            .all(|member| member.backend.in_flight() == 0)
    );
    (served, most)
}

#[test]
fn least_connections_serves_by_weight_under_load() {
    let weights = [4, 2, 1, 1];
    let (served, _) = closed_loop("least-connections", &weights, 256, 200_000);
    for (&served, &weight) in served.iter().zip(&weights) {
        let share = served as f64 / 200_000.0 / (f64::from(weight) / 8.0);
        assert!((share - 1.0).abs() < 0.03, "{share}");
    }
}

#[test]
fn load_is_kept_level() {
    let (_, most) = closed_loop("least-connections", &[1; 10], 100, 50_000);
    assert!(most <= 11, "{most}");
    let (_, chosen) = closed_loop("two-choices", &[1; 10], 100, 50_000);
    let (_, drawn) = closed_loop("random", &[1; 10], 100, 50_000);
    assert!(chosen <= 16 && chosen + 4 < drawn, "{chosen} {drawn}");
}

#[test]
fn ties_beside_a_busy_member_rotate_by_weight() {
    let weights = [4, 2, 1];
    let members = members(&weights);
    let strategy = built("least-connections", &members);
    let busy = members.get(Slot(0)).backend.begin();
    let seen = counts(&*strategy, &members, 30_000);
    assert_eq!(seen[0], 0);
    assert!(seen[1].abs_diff(20_000) <= 600, "{seen:?}");
    drop(busy);
    assert_eq!(counts(&*strategy, &members, 7), [4, 2, 1]);
}

/// A member that cookies send one request in nine has as many fewer from the rotation.
#[test]
fn bound_requests_are_charged_to_the_rotation() {
    for (name, weights) in [("round-robin", [1, 1, 1]), ("weighted", [2, 1, 1])] {
        let members = members(&weights);
        let strategy = Sticky::new(built(name, &members));
        let tried = Tried::new();
        let whole: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
        let mut seen = [0_u64; 3];
        for seed in 0..9 * whole * 100 {
            let pin = (seed % 9 == 0).then_some(members.get(Slot(0)).tag.unwrap());
            let cx = PickContext {
                pin,
                ..request(seed, &tried)
            };
            seen[strategy.pick(&members, &cx).unwrap().0 as usize] += 1;
        }
        for (count, weight) in seen.into_iter().zip(weights) {
            assert!(
                count.abs_diff(900 * u64::from(weight)) <= 4,
                "{name}: {seen:?}"
            );
        }
    }
}

#[test]
fn a_member_with_many_bound_requests_keeps_half_its_turns() {
    let members = members(&[1, 1, 1]);
    let strategy = built("round-robin", &members);
    for _ in 0..10_000 {
        strategy.charge(&members, Slot(1));
    }
    let seen = counts(&*strategy, &members, 50);
    assert!(seen[1] * 2 + 1 >= seen[0] && seen[1] < seen[0], "{seen:?}");
    counts(&*strategy, &members, 1_000);
    let later = counts(&*strategy, &members, 300);
    assert_eq!(later, [100, 100, 100]);
}

#[test]
fn two_choices_are_two() {
    let members = members(&[50, 1]);
    let strategy = built("two-choices", &members);
    let _busy = members.get(Slot(0)).backend.begin();
    // Both are drawn each time, however seldom the second would be, so the idle one always wins.
    assert_eq!(counts(&*strategy, &members, 500), [0, 500]);
}

#[test]
fn a_pick_lets_one_turn_pass_at_most() {
    let cursor = Arc::new(Cursor::starting_at(0));
    let members = members(&[1, 1, 1, 1]);
    let strategy = build(&Spec::RoundRobin, &members, Arc::clone(&cursor));
    for slot in (0..4).map(Slot) {
        strategy.charge(&members, slot);
    }
    // Turn 0 passes and turn 1 is taken, in debt or not; its debt is still to be paid.
    assert_eq!(counts(&*strategy, &members, 1), [0, 1, 0, 0]);
    assert_eq!(cursor.next(), 2);
    assert!(!members.get(Slot(0)).backend.pay_debt());
    assert!(members.get(Slot(1)).backend.pay_debt());
}
