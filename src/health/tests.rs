//! Verdicts against a shadow model that looks at the whole history, and simulated time.

use std::time::{Duration, Instant};

use proptest::prelude::{Just, any, prop, prop_assert, prop_assert_eq, proptest};
use proptest::prop_oneof;

use super::verdict::first_check;
use super::{Change, Check, Expected, Initial, Judgement, Outcome, Policy, Verdict};

fn policy(rise: u32, fall: u32) -> Policy {
    Policy {
        check: Check::Tcp,
        interval: Duration::from_secs(2),
        fast_interval: Duration::from_millis(500),
        timeout: Duration::from_secs(1),
        rise,
        fall,
        initial: Initial::Up,
    }
}

/// What is held after these outcomes, found by looking back from the end each time.
fn shadow(begun: Judgement, outcomes: &[Outcome], policy: &Policy) -> Judgement {
    let mut held = begun;
    for end in 1..=outcomes.len() {
        let all = |count: u32, wanted: Outcome| {
            let count = count as usize;
            end >= count && outcomes[end - count..end].iter().all(|it| *it == wanted)
        };
        if all(policy.rise, Outcome::Succeeded) {
            held = Judgement::Up;
        } else if all(policy.fall, Outcome::Failed) {
            held = Judgement::Down;
        }
    }
    held
}

fn outcome() -> impl proptest::strategy::Strategy<Value = Outcome> {
    prop_oneof![Just(Outcome::Succeeded), Just(Outcome::Failed)]
}

fn judgement() -> impl proptest::strategy::Strategy<Value = Judgement> {
    prop_oneof![
        Just(Judgement::Up),
        Just(Judgement::Down),
        Just(Judgement::Unproven)
    ]
}

proptest! {
    #[test]
    fn verdicts_are_those_of_the_whole_history(
        begun in judgement(),
        outcomes in prop::collection::vec(outcome(), 0..60),
        rise in 1_u32..6,
        fall in 1_u32..6,
    ) {
        let policy = policy(rise, fall);
        let mut verdict = Verdict::begin(begun);
        for count in 1..=outcomes.len() {
            let before = verdict.judgement();
            let change = verdict.note(outcomes[count - 1], &policy);
            let now = shadow(begun, &outcomes[..count], &policy);
            prop_assert_eq!(verdict.judgement(), now);
            // Told exactly when it changes.
            let expected = (before != now).then_some((before, now));
            prop_assert_eq!(change.map(|it| (it.from, it.to)), expected);
            prop_assert!(change.is_none_or(|it| it.to != Judgement::Unproven));
        }
        let most = (rise + fall) as usize;
        prop_assert!(outcomes.len() < most || verdict.is_settled());
    }

    #[test]
    fn the_next_check_is_due_within_a_tenth_of_its_interval(
        outcomes in prop::collection::vec(outcome(), 1..20),
        lot in any::<u64>(),
    ) {
        let policy = policy(2, 3);
        let mut verdict = Verdict::begin(Judgement::Up);
        for outcome in &outcomes {
            verdict.note(*outcome, &policy);
        }
        let now = Instant::now();
        let pause = verdict.next_check(&policy, now, lot) - now;
        let agrees = match outcomes.last() {
            Some(Outcome::Succeeded) => verdict.judgement() == Judgement::Up,
            _ => verdict.judgement() == Judgement::Down,
        };
        let due = if agrees && verdict.is_settled() { policy.interval } else { policy.fast_interval };
        prop_assert!(pause >= due.mul_f64(0.899) && pause <= due.mul_f64(1.101), "{:?} for {:?}", pause, due);
    }

    #[test]
    fn many_first_checks_are_spread_and_few_are_not(count in 1_usize..20_000, lot in any::<u64>()) {
        let policy = policy(2, 3);
        let now = Instant::now();
        let wait = first_check(&policy, now, count, lot) - now;
        prop_assert!(wait <= policy.interval && wait <= Duration::from_millis(count as u64 - 1));
    }
}

/// Plays a backend that dies and comes back, second by second, and says when the verdict changed.
#[test]
fn a_death_is_seen_after_fall_fast_checks_and_a_recovery_after_rise() {
    let policy = policy(2, 3);
    let start = Instant::now();
    let at = |millis: u64| start + Duration::from_millis(millis);
    let (died, back) = (at(10_000), at(60_000));
    let mut verdict = Verdict::begin(Judgement::Up);
    let mut changes: Vec<(Change, Instant)> = Vec::new();
    let mut now = start;
    let mut lot = 1_u64;
    while now < at(120_000) {
        let outcome = if now >= died && now < back {
            Outcome::Failed
        } else {
            Outcome::Succeeded
        };
        changes.extend(verdict.note(outcome, &policy).map(|change| (change, now)));
        lot = lot.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        now = verdict.next_check(&policy, now, lot);
    }
    let [(down, down_at), (up, up_at)] = changes[..] else {
        panic!("{changes:?}");
    };
    assert_eq!((down.to, down.after), (Judgement::Down, 3));
    assert_eq!((up.to, up.after), (Judgement::Up, 2));
    // One interval until the first check sees it, then fast ones.
    let (longest, fast) = (2_200, 550);
    assert!(down_at - died <= Duration::from_millis(longest + 2 * fast));
    assert!(up_at - back <= Duration::from_millis(longest + fast));
}

#[test]
fn one_bad_answer_moves_nobody() {
    let policy = policy(2, 3);
    let mut verdict = Verdict::begin(Judgement::Up);
    for _ in 0..100 {
        assert_eq!(verdict.note(Outcome::Failed, &policy), None);
        assert_eq!(verdict.note(Outcome::Failed, &policy), None);
        assert_eq!(verdict.note(Outcome::Succeeded, &policy), None);
    }
    assert_eq!(verdict.judgement(), Judgement::Up);
}

#[test]
fn statuses_read_as_they_are_written() {
    for (text, first, last) in [
        ("200", 200, 200),
        ("200-299", 200, 299),
        ("301-503", 301, 503),
    ] {
        assert_eq!(Expected::range(text), Some(first..=last), "{text}");
    }
    for text in [
        "", "-", "2xx", "200-", "-299", "299-200", "100", "600", "200-600", "0200", "+20",
    ] {
        assert_eq!(Expected::range(text), None, "{text}");
    }
    let expected = Expected::new([200..=204, 301..=301]);
    assert!(expected.has(204) && expected.has(301) && !expected.has(205) && !expected.has(300));
    assert_eq!(expected.to_string(), "200-204, 301");
    assert!(!Expected::new([]).has(200));
}
