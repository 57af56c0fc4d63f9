//! Three times as much as the backend can take.

use std::time::{Duration, Instant};

use super::counting::Counting;
use super::{configuration, outcomes, reload, wait_for_silence};
use crate::harness::{Balancer, Client, Response};

const CAP: usize = 4;

/// What each of so many clients, that ask one request after the other, was answered, and how long that took.
fn rush(balancer: &Balancer, clients: usize, each: usize, path: &str) -> Vec<(Response, Duration)> {
    let address = balancer.address("web");
    std::thread::scope(|scope| {
        let one = || {
            let mut client = Client::of(address);
            let ask = |_| {
                let begun = Instant::now();
                let response = client.get(path);
                (response, begun.elapsed())
            };
            (0..each).map(ask).collect::<Vec<_>>()
        };
        let clients: Vec<_> = (0..clients).map(|_| scope.spawn(one)).collect();
        clients
            .into_iter()
            .flat_map(|client| client.join().unwrap())
            .collect()
    })
}

#[test]
fn the_backend_never_has_more_than_it_may_and_what_is_too_much_is_told_so() {
    let backend = Counting::start(Duration::from_millis(10));
    let limits = format!("per_backend = {CAP}\nqueue = {CAP}\nqueue_timeout = \"10s\"");
    let balancer = Balancer::start(&configuration(backend.address(), &limits));
    let answers = rush(&balancer, 3 * CAP, 20, "/");
    let (mut good, mut refused) = (0, 0);
    for (response, _) in &answers {
        if response.status == 200 {
            good += 1;
        } else {
            assert_eq!(
                (response.status, response.cause()),
                (503, Some("queue-full"))
            );
            assert_eq!(response.field("retry-after"), Some("1"));
            refused += 1;
        }
    }
    assert_eq!(backend.most(), CAP, "all that it may, and no more");
    assert_eq!(backend.served(), good);
    assert!(refused > 0 && good > 0, "{good} and {refused}");
    assert_eq!(outcomes(&balancer, "full"), f64::from(refused));
    wait_for_silence(&balancer, backend.address());
}

#[test]
fn the_limit_of_the_pool_counts_all_workers_and_a_reload_moves_it() {
    let backend = Counting::start(Duration::from_millis(10));
    let of = |cap: usize| {
        let limits = format!("in_flight = {cap}\nqueue = 100\nqueue_timeout = \"20s\"");
        configuration(backend.address(), &limits)
    };
    let balancer = Balancer::start(&of(2));
    for cap in [2, 5, 1] {
        if cap != 2 {
            reload(&balancer, &of(cap));
        }
        backend.forget();
        let answers = rush(&balancer, 12, 10, "/");
        assert!(answers.iter().all(|(response, _)| response.status == 200));
        assert_eq!(backend.most(), cap);
        wait_for_silence(&balancer, backend.address());
    }
    assert!(outcomes(&balancer, "admitted") > 0.0);
}
