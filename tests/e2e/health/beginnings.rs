//! What is assumed of a backend before its first verdict.

use super::super::harness::{Balancer, Behaviour, DEADLINE, Origin, wait_until};
use super::super::reload::reload;
use super::{answers, checked, status, visits, wait_for_checks, wait_for_standing};

/// No verdict that it fails within the time of a test.
const PATIENT: &str = "fall = 1000\n";

#[test]
fn by_default_it_is_in_rotation_at_once() {
    let a = Origin::named("a");
    a.on("/healthz", Behaviour::Status(500));
    let balancer = Balancer::start(&checked(&[&a], PATIENT));
    assert_eq!(answers(&balancer, 3), vec!["a"; 3]);
    wait_until(DEADLINE, "readiness", || {
        balancer.admin("/readyz").status == 200
    });
    wait_for_checks(&a, 3);
    assert_eq!(
        status(&balancer, &a.address().to_string())["standing"],
        "ready"
    );
}

#[test]
fn down_is_out_until_it_has_proven_itself() {
    let a = Origin::named("a");
    a.on("/healthz", Behaviour::Status(500));
    let lines = format!("{PATIENT}initial = \"down\"");
    let balancer = Balancer::start(&checked(&[&a], &lines));
    let refused = balancer.client("web").get("/");
    assert_eq!((refused.status, refused.cause()), (503, Some("no-backend")));
    wait_for_checks(&a, 3);
    assert_eq!(balancer.client("web").get("/").status, 503);
    assert_eq!(visits(&a), 0);
    a.on("/healthz", Behaviour::Answer);
    wait_for_standing(&balancer, &a, "ready");
    wait_until(DEADLINE, "an answer", || {
        balancer.client("web").get("/").status == 200
    });
    // So it is with one that a reload brings, and those that are known stay.
    let b = Origin::named("b");
    b.on("/healthz", Behaviour::Status(500));
    reload(&balancer, &checked(&[&a, &b], &lines));
    assert_eq!(answers(&balancer, 10), vec!["a"; 10]);
    b.on("/healthz", Behaviour::Answer);
    wait_until(DEADLINE, "a pick of b", || {
        answers(&balancer, 2).contains(&"b".to_owned())
    });
}

#[test]
fn hold_keeps_the_process_from_being_ready() {
    let a = Origin::named("a");
    a.on("/healthz", Behaviour::Status(500));
    let lines = format!("{PATIENT}initial = \"hold\"");
    let balancer = Balancer::start(&checked(&[&a], &lines));
    wait_for_checks(&a, 3);
    assert_eq!(balancer.admin("/readyz").status, 503);
    assert_eq!(answers(&balancer, 3), vec!["a"; 3]);
    a.on("/healthz", Behaviour::Answer);
    wait_until(DEADLINE, "readiness", || {
        balancer.admin("/readyz").status == 200
    });
    // A process that serves does not take that back for a backend that is new.
    let b = Origin::named("b");
    b.on("/healthz", Behaviour::Status(500));
    reload(&balancer, &checked(&[&a, &b], &lines));
    wait_for_checks(&b, 2);
    assert_eq!(balancer.admin("/readyz").status, 200);
}
