//! Who is back takes its share step by step, and who steps in when nobody is left.

use super::super::super::harness::{Balancer, Behaviour, DEADLINE, Origin, wait_until};
use super::super::super::reload::reload;
use super::super::{FAST, checked};
use super::{answers, ask, lines, status, wait_for_picks_of, wait_for_standing, watched};

/// How many of so many answers are of this one.
fn share(balancer: &Balancer, name: &str, count: usize) -> usize {
    let answers = answers(balancer, count);
    answers.iter().filter(|answer| *answer == name).count()
}

/// The same with slow start.
fn slow(configuration: &str, window: &str) -> String {
    let pool = "[pools.shop]\n";
    configuration.replace(pool, &format!("{pool}slow_start = \"{window}\"\n"))
}

#[test]
fn who_is_back_begins_with_a_tenth_of_its_share() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let balancer = Balancer::start(&slow(&checked(&[&a, &b], ""), "10m"));
    // Whoever is there from the start is held back for nothing.
    assert_eq!(share(&balancer, "a", 40), 20);
    a.on("/healthz", Behaviour::Status(500));
    wait_for_standing(&balancer, &a, "failing");
    wait_for_picks_of(&balancer, &["b"]);
    a.on("/healthz", Behaviour::Answer);
    wait_for_standing(&balancer, &a, "ready");
    wait_until(DEADLINE, "a pick of a", || share(&balancer, "a", 11) > 0);
    // One of eleven at first; the bounds leave room for a minute of its way.
    let share = share(&balancer, "a", 220);
    assert!((15..=50).contains(&share), "{share}");
    assert_eq!(status(&balancer, &a.address().to_string())["weight"], 1);
}

#[test]
fn it_ends_with_the_whole_share() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let balancer = Balancer::start(&slow(
        &watched(&[&a, &b], "base_ejection = \"100ms\""),
        "1s",
    ));
    a.behave(Behaviour::Status(503));
    wait_until(DEADLINE, "an ejection", || {
        ask(&balancer, 2);
        !lines(&balancer, super::EJECTED).is_empty()
    });
    a.behave(Behaviour::Answer);
    wait_until(DEADLINE, "the whole share", || {
        share(&balancer, "a", 40) == 20
    });
}

#[test]
fn who_is_added_by_a_reload_begins_slowly_and_a_pool_that_is_new_does_not() {
    let [a, b, c] = ["a", "b", "c"].map(Origin::named);
    let configuration = |origins: &[&Origin]| slow(&watched(origins, ""), "10m");
    let balancer = Balancer::start(&configuration(&[&a, &b]));
    reload(&balancer, &configuration(&[&a, &b, &c]));
    wait_until(DEADLINE, "a small share", || {
        share(&balancer, "c", 210) <= 40
    });
    assert!(share(&balancer, "c", 210) >= 5);
    let renamed = configuration(&[&a, &b, &c]).replace("shop", "store");
    reload(&balancer, &renamed);
    assert_eq!(share(&balancer, "c", 60), 20);
}

#[test]
fn backups_are_asked_when_nobody_else_is_left() {
    let [a, b, c] = ["a", "b", "c"].map(Origin::named);
    let backend =
        |origin: &Origin, more: &str| format!("{{ address = \"{}\"{more} }}", origin.address());
    let backends = [
        backend(&a, ""),
        backend(&b, ""),
        backend(&c, ", backup = true"),
    ];
    let configuration = format!(
        "{}[pools.shop]\nbackends = [{}]\n[pools.shop.health]\npath = \"/healthz\"\n{FAST}",
        Balancer::front("shop"),
        backends.join(", ")
    );
    let balancer = Balancer::start(&configuration);
    assert_eq!(share(&balancer, "c", 20), 0);
    a.on("/healthz", Behaviour::Status(500));
    wait_for_standing(&balancer, &a, "failing");
    wait_for_picks_of(&balancer, &["b"]);
    b.on("/healthz", Behaviour::Status(500));
    wait_for_standing(&balancer, &b, "failing");
    // No panic: whoever is well comes before whoever is not.
    wait_for_picks_of(&balancer, &["c"]);
    assert_eq!(balancer.metric("forecourt_pool_panic{pool=\"shop\"}"), 0.0);
    // With nobody well it is one, and of all.
    c.on("/healthz", Behaviour::Status(500));
    wait_for_standing(&balancer, &c, "failing");
    wait_for_picks_of(&balancer, &["a", "b", "c"]);
    b.on("/healthz", Behaviour::Answer);
    wait_for_standing(&balancer, &b, "ready");
    a.on("/healthz", Behaviour::Answer);
    wait_for_standing(&balancer, &a, "ready");
    wait_for_picks_of(&balancer, &["a", "b"]);
}
