//! Who is served first, who makes room, and who has waited long enough.

use std::thread;

use super::{configuration, outcomes, reload, wait_for_queued, wait_for_silence};
use crate::harness::{Balancer, Behaviour, Client, Origin, Response, program};

/// Asks on a thread of its own.
fn ask(balancer: &Balancer, path: &str) -> thread::JoinHandle<Response> {
    let (address, path) = (balancer.address("web"), path.to_owned());
    thread::spawn(move || Client::of(address).get(&path))
}

/// A backend whose one place is taken until its gate is opened, and who has it.
fn taken(limits: &str) -> (Origin, Balancer, thread::JoinHandle<Response>) {
    let origin = Origin::named("a");
    origin.on("/first", Behaviour::Gated);
    let limits = format!("per_backend = 1\n{limits}");
    let balancer = Balancer::start(&configuration(origin.address(), &limits));
    let first = ask(&balancer, "/first");
    origin.wait_for_requests(1);
    (origin, balancer, first)
}

#[test]
fn checkout_is_served_before_browsing_and_takes_its_place_in_a_full_queue() {
    let (origin, balancer, first) = taken("queue = 3\nqueue_timeout = \"60s\"");
    let mut waiting = Vec::new();
    for (count, path) in ["/one", "/two", "/checkout/1"].into_iter().enumerate() {
        waiting.push(ask(&balancer, path));
        wait_for_queued(&balancer, count + 1);
    }
    // Nobody is less important than this one.
    let refused = ask(&balancer, "/three").join().unwrap();
    assert_eq!((refused.status, refused.cause()), (503, Some("queue-full")));
    // The younger of the two that browse makes room.
    let second = ask(&balancer, "/checkout/2");
    let shed = waiting.remove(1).join().unwrap();
    assert_eq!((shed.status, shed.cause()), (503, Some("shed")));
    assert_eq!(shed.field("retry-after"), Some("1"));
    wait_for_queued(&balancer, 3);
    let admin = format!("http://{}", balancer.address("admin"));
    let shown = program(&["status", "--admin", &admin]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let line = "  1 in flight, 3 of 3 queued; refused: 1 queue full, 0 timed out, 1 shed\n";
    assert!(shown.contains(line), "{shown}");
    origin.open_gate();
    for answered in waiting.into_iter().chain([first, second]) {
        assert_eq!(answered.join().unwrap().status, 200);
    }
    let order: Vec<String> = origin
        .received()
        .into_iter()
        .map(|one| one.target)
        .collect();
    assert_eq!(order, ["/first", "/checkout/1", "/checkout/2", "/one"]);
    let counted = ["admitted", "full", "shed", "timeout", "left"];
    let counted = counted.map(|outcome| outcomes(&balancer, outcome));
    assert_eq!(counted, [3.0, 1.0, 1.0, 0.0, 0.0]);
    wait_for_silence(&balancer, origin.address());
}

#[test]
fn nobody_waits_for_ever_and_who_has_gone_does_not_wait() {
    let (origin, balancer, first) = taken("queue_timeout = \"200ms\"");
    let late = ask(&balancer, "/late").join().unwrap();
    assert_eq!((late.status, late.cause()), (503, Some("queue-timeout")));
    assert_eq!(late.field("retry-after"), Some("1"));
    let limits = "per_backend = 1\nqueue_timeout = \"60s\"";
    reload(&balancer, &configuration(origin.address(), limits));
    let mut gone = balancer.client("web");
    gone.send_raw(b"GET /gone HTTP/1.1\r\nhost: shop.example\r\n\r\n")
        .unwrap();
    wait_for_queued(&balancer, 1);
    gone.reset();
    wait_for_queued(&balancer, 0);
    assert_eq!(outcomes(&balancer, "left"), 1.0);
    origin.open_gate();
    assert_eq!(first.join().unwrap().status, 200);
    wait_for_silence(&balancer, origin.address());
    assert_eq!(origin.requests(), 1);
}

#[test]
fn a_reload_that_raises_the_limit_lets_in_whoever_waits() {
    let (origin, balancer, first) = taken("queue_timeout = \"60s\"");
    let second = ask(&balancer, "/second");
    wait_for_queued(&balancer, 1);
    let limits = "per_backend = 2\nqueue_timeout = \"60s\"";
    reload(&balancer, &configuration(origin.address(), limits));
    assert_eq!(second.join().unwrap().status, 200);
    assert!(!first.is_finished());
    origin.open_gate();
    assert_eq!(first.join().unwrap().status, 200);
    wait_for_silence(&balancer, origin.address());
}

/// A request waits by the backends that were there when it came, of which it remembers only some as tried.
#[test]
fn who_waits_for_backends_that_have_all_gone_keeps_nobody_from_new_ones() {
    let limits = "per_backend = 1\nqueue_timeout = \"600s\"";
    let old: Vec<Origin> = (0..24).map(|n| Origin::named(&n.to_string())).collect();
    for origin in &old {
        origin.on("/first", Behaviour::Gated);
    }
    let one = configuration(old[0].address(), limits);
    let all: Vec<String> = old
        .iter()
        .map(|origin| format!("{{ address = \"{}\" }}", origin.address()))
        .collect();
    let own = &all[0];
    let balancer = Balancer::start(&one.replace(own, &all.join(", ")));
    let firsts: Vec<_> = old.iter().map(|_| ask(&balancer, "/first")).collect();
    for origin in &old {
        origin.wait_for_requests(1);
    }
    let late = ask(&balancer, "/late");
    wait_for_queued(&balancer, 1);
    let new = Origin::named("new");
    reload(&balancer, &configuration(new.address(), limits));
    for origin in &old {
        origin.open_gate();
    }
    for first in firsts {
        assert_eq!(first.join().unwrap().status, 200);
    }
    let late = late.join().unwrap();
    assert_eq!((late.status, late.cause()), (503, Some("no-backend")));
    assert_eq!(ask(&balancer, "/next").join().unwrap().status, 200);
    wait_for_silence(&balancer, new.address());
}
