//! When too few are well, health is not asked for; the operator's share says what is too few.

use super::super::harness::{Balancer, Behaviour, DEADLINE, Origin, wait_until};
use super::{answers, checked, lines, metric, wait_for_standing};

const BEGINS: &str = "too few backends are well";
const ENDS: &str = "enough backends are well again";
const PANIC: &str = "forecourt_pool_panic{pool=\"shop\"}";

#[test]
fn with_too_few_all_are_asked_until_there_are_enough() {
    let all = ["a", "b", "c"].map(Origin::named);
    let [a, b, c] = &all;
    let balancer = Balancer::start(&checked(&[a, b, c], ""));
    assert_eq!(balancer.metric(PANIC), 0.0);
    a.on("/healthz", Behaviour::Status(500));
    wait_for_standing(&balancer, a, "failing");
    wait_until(DEADLINE, "picks without a", || {
        !answers(&balancer, 6).contains(&"a".to_owned())
    });
    // Two of three are enough, one is not.
    assert!(lines(&balancer, BEGINS).is_empty());
    b.on("/healthz", Behaviour::Status(500));
    wait_until(DEADLINE, "the panic", || balancer.metric(PANIC) == 1.0);
    let mut seen = answers(&balancer, 9);
    seen.sort();
    assert_eq!(seen, ["a", "a", "a", "b", "b", "b", "c", "c", "c"]);
    for origin in &all {
        let picks = metric(
            &balancer,
            "forecourt_backend_picks_total",
            origin,
            ",reason=\"panic\"",
        );
        assert!(picks >= 3.0, "{}: {picks}", origin.name());
    }
    assert_eq!(lines(&balancer, BEGINS).len(), 1);
    a.on("/healthz", Behaviour::Answer);
    wait_until(DEADLINE, "the end of the panic", || {
        balancer.metric(PANIC) == 0.0
    });
    assert!(!answers(&balancer, 10).contains(&"b".to_owned()));
    assert_eq!(lines(&balancer, ENDS).len(), 1);
}

#[test]
fn with_a_share_of_nothing_nobody_is_asked_who_is_not_well() {
    let [a, b] = ["a", "b"].map(Origin::named);
    for origin in [&a, &b] {
        origin.on("/healthz", Behaviour::Status(500));
    }
    let configuration = checked(&[&a, &b], "")
        .replace("[pools.shop]\n", "[pools.shop]\npanic_threshold = \"0%\"\n");
    let balancer = Balancer::start(&configuration);
    for origin in [&a, &b] {
        wait_for_standing(&balancer, origin, "failing");
    }
    wait_until(DEADLINE, "refusals", || {
        balancer.client("web").get("/").status == 503
    });
    assert_eq!(balancer.client("web").get("/").cause(), Some("no-backend"));
    assert_eq!(balancer.metric(PANIC), 0.0);
    assert!(lines(&balancer, BEGINS).is_empty());
}
