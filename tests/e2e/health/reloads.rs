//! What a new configuration keeps, and what it ends.

use super::super::harness::{Balancer, Behaviour, DEADLINE, Origin, pool, wait_until};
use super::super::reload::reload;
use super::{
    FAILS, answers, checked, checks, lines, status, visits, wait_for_checks, wait_for_standing,
};

/// Two backends of which `a` is out.
fn with_one_out(a: &Origin, b: &Origin, lines: &str) -> Balancer {
    a.on("/healthz", Behaviour::Status(500));
    let balancer = Balancer::start(&checked(&[a, b], lines));
    wait_for_standing(&balancer, a, "failing");
    wait_until(DEADLINE, "picks of b alone", || {
        answers(&balancer, 4).iter().all(|name| name == "b")
    });
    balancer
}

#[test]
fn a_backend_that_is_out_stays_out() {
    let [a, b, c] = ["a", "b", "c"].map(Origin::named);
    let balancer = with_one_out(&a, &b, "");
    // Standings are no configuration.
    assert_eq!(balancer.metric("forecourt_config_generation"), 1.0);
    let before = visits(&a);
    for configuration in [
        checked(&[&a, &b, &c], ""),
        checked(&[&a, &b, &c], "fall = 5\ntimeout = \"90ms\""),
    ] {
        reload(&balancer, &configuration);
        assert!(!answers(&balancer, 20).contains(&"a".to_owned()));
        let seen = checks(&a);
        wait_for_checks(&a, seen + 3);
        assert!(!answers(&balancer, 20).contains(&"a".to_owned()));
    }
    assert_eq!(visits(&a), before);
    assert_eq!(lines(&balancer, FAILS).len(), 1);
    wait_for_checks(&c, 2);
    a.on("/healthz", Behaviour::Answer);
    wait_for_standing(&balancer, &a, "ready");
}

#[test]
fn generations_do_not_pile_up() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let balancer = with_one_out(&a, &b, "");
    for _ in 0..3 {
        a.on("/healthz", Behaviour::Answer);
        wait_for_standing(&balancer, &a, "ready");
        a.on("/healthz", Behaviour::Status(500));
        wait_for_standing(&balancer, &a, "failing");
    }
    assert_eq!(balancer.metric("forecourt_config_generation"), 1.0);
    assert_eq!(balancer.metric("forecourt_config_generations_alive"), 1.0);
    reload(&balancer, &checked(&[&b], ""));
    wait_until(DEADLINE, "the end of the first generation", || {
        balancer.metric("forecourt_config_generations_alive") == 1.0
    });
}

#[test]
fn who_is_checked_no_more_is_well() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let balancer = with_one_out(&a, &b, "");
    let plain = Balancer::front("shop") + &pool("shop", "round-robin", &[&a, &b]);
    reload(&balancer, &plain);
    assert!(answers(&balancer, 4).contains(&"a".to_owned()));
    let a_now = status(&balancer, &a.address().to_string());
    assert_eq!(a_now["standing"], "ready");
    assert!(a_now["check"].is_null());
    // And after it is checked again it begins as one that nobody knows.
    reload(&balancer, &checked(&[&a, &b], ""));
    wait_for_standing(&balancer, &a, "failing");
}
