//! Limits that are found: where they are seen, and that they hold.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use super::{configuration, reload, wait_for_silence};
use crate::harness::{Balancer, Behaviour, Client, DEADLINE, Origin, wait_until};

fn limit(balancer: &Balancer, origin: &Origin) -> f64 {
    let address = origin.address();
    balancer.metric(&format!(
        "forecourt_backend_limit{{pool=\"shop\",backend=\"{address}\"}}"
    ))
}

/// Has so many clients ask, each as quickly as it is answered, until `done` says so. Counts their statuses.
fn rush(
    balancer: &Balancer,
    clients: usize,
    what: &str,
    done: impl Fn() -> bool,
) -> BTreeMap<u16, usize> {
    let address = balancer.address("web");
    let is_over = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        let asks = || {
            let mut client = Client::of(address);
            let mut statuses = Vec::new();
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                statuses.push(client.get("/").status);
            }
            statuses
        };
        let threads: Vec<_> = (0..clients).map(|_| scope.spawn(asks)).collect();
        // Whatever comes of it, the threads have to end.
        let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_until(DEADLINE, what, &done);
        }));
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        let mut counted = BTreeMap::new();
        for status in threads.into_iter().flat_map(|one| one.join().unwrap()) {
            *counted.entry(status).or_default() += 1;
        }
        seen.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        counted
    })
}

#[test]
fn a_limit_rises_while_it_is_reached_and_nothing_slows_down() {
    let origin = Origin::named("a");
    origin.behave(Behaviour::Slow(Duration::from_millis(20)));
    let balancer = Balancer::start(&configuration(
        origin.address(),
        "adaptive = true\nqueue_timeout = \"10s\"",
    ));
    assert_eq!(limit(&balancer, &origin), 20.0, "where it begins");
    let status = balancer.admin("/v1/status").text();
    assert!(status.contains("\"limit\":20"), "{status}");
    let counted = rush(&balancer, 40, "the limit is raised", || {
        limit(&balancer, &origin) > 20.0
    });
    assert_eq!(counted.len(), 1, "the queue keeps the others: {counted:?}");
    // A reload forgets nothing, and what is written is the most.
    let found = limit(&balancer, &origin);
    let on = "adaptive = true\nqueue_timeout = \"9s\"";
    reload(&balancer, &configuration(origin.address(), on));
    assert!(limit(&balancer, &origin) >= found.min(21.0));
    let low = "adaptive = true\nper_backend = 7";
    reload(&balancer, &configuration(origin.address(), low));
    assert_eq!(limit(&balancer, &origin), 7.0);
    reload(&balancer, &configuration(origin.address(), ""));
    assert_eq!(limit(&balancer, &origin), 0.0);
    wait_for_silence(&balancer, origin.address());
}

#[test]
fn a_limit_falls_where_more_only_wait() {
    let behind = Origin::named("a");
    behind.behave(Behaviour::Slow(Duration::from_millis(5)));
    // Another balancer stands for a backend with two places and a queue of its own.
    let backend = Balancer::start(&configuration(
        behind.address(),
        "per_backend = 2\nqueue = 1000\nqueue_timeout = \"60s\"",
    ));
    let address = backend.address("web");
    let limits = "adaptive = true\nadaptive_floor = 2\nqueue = 0";
    let balancer = Balancer::start(&configuration(address, limits));
    let limit = || {
        balancer.metric(&format!(
            "forecourt_backend_limit{{pool=\"shop\",backend=\"{address}\"}}"
        ))
    };
    // Few at first, for longer than from one look to the next, so that it is seen how long one takes.
    let counted = rush(&balancer, 2, "some are served", || behind.requests() > 600);
    assert_eq!(counted.keys().collect::<Vec<_>>(), [&200]);
    let counted = rush(&balancer, 24, "the limit is lowered", || limit() <= 10.0);
    assert!(counted[&200] > 0);
    assert!(
        counted.get(&503).is_some_and(|refused| *refused > 0),
        "what is too much is refused at once: {counted:?}"
    );
}
