//! All backends are restarted one by one under load, and no client notices.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use super::*;
use crate::harness::{Client, DEADLINE, pool, wait_until};

/// Clients that ask again and again on connections that are kept.
#[derive(Default)]
struct Visitors {
    ended: AtomicBool,
    answered: AtomicUsize,
    failed: AtomicUsize,
}

impl Visitors {
    fn visit(&self, mut client: Client) {
        let mut count = 0_usize;
        while !self.ended.load(Ordering::Relaxed) {
            count += 1;
            // Every second one is of a kind that is never sent twice.
            let request = match count % 2 {
                0 => Request::get("/"),
                _ => Request::post("/checkout", b"once"),
            };
            let answer = client.try_send(&request);
            let good = answer.is_ok_and(|answer| answer.status == 200 && answer.is_whole());
            let which = if good { &self.answered } else { &self.failed };
            which.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[track_caller]
    fn wait_for_more(&self, count: usize) {
        let before = self.answered.load(Ordering::Relaxed);
        wait_until(DEADLINE, "more answers", || {
            self.answered.load(Ordering::Relaxed) >= before + count
        });
    }
}

struct End<'a>(&'a Visitors);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::Relaxed);
    }
}

#[test]
fn four_backends_are_restarted_one_by_one_and_nobody_notices() {
    let mut fleet = ["a", "b", "c", "d"].map(Origin::named);
    let steered = Steered::before(&pool("shop", "round-robin", &fleet.each_ref()));
    let visitors = Visitors::default();
    thread::scope(|scope| {
        for _ in 0..8 {
            let client = steered.balancer.client("web");
            scope.spawn(|| visitors.visit(client));
        }
        // However this ends, so do they.
        let _end = End(&visitors);
        visitors.wait_for_more(200);
        for origin in &mut fleet {
            steered.steer("drain shop @ --wait", origin);
            let empty = origin.requests();
            visitors.wait_for_more(200);
            assert_eq!(origin.requests(), empty, "nothing new comes");
            origin.refuse();
            origin.close_connections();
            visitors.wait_for_more(200);
            origin.accept_again();
            steered.steer("ready shop @", origin);
            wait_until(DEADLINE, "its requests", || origin.requests() > empty);
        }
        assert_eq!(visitors.failed.load(Ordering::Relaxed), 0);
    });
    assert_eq!(visitors.failed.load(Ordering::Relaxed), 0);
}
