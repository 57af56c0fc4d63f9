//! Many at once who find no connection: no outage of our own making.

use std::time::Duration;

use super::counting::Counting;
use crate::harness::{Balancer, Crowd};

/// Each backend's queue has room for one or two connections: the kernel drops the SYN of all others and says it again a
/// second later.
#[test]
fn a_burst_overruns_no_queue_of_connections() {
    let backends = [(); 2].map(|()| Counting::slow_to_accept(Duration::from_millis(5)));
    let balancer = Balancer::start(&format!(
        "[server]\nworkers = 1\n[admin]\naddress = \"127.0.0.1:0\"\n[listeners.web]\naddress = \"127.0.0.1:0\"\n\
         [[routes]]\npath_prefix = \"/\"\npool = \"shop\"\n\
         [pools.shop]\nbackends = [{{ address = \"{}\" }}, {{ address = \"{}\" }}]\n",
        backends[0].address(),
        backends[1].address(),
    ));
    let mut crowd = Crowd::connect(balancer.address("web"), CLIENTS);
    for _ in 0..2 {
        crowd.ask();
        let statuses = crowd.statuses();
        let failed: Vec<_> = statuses.iter().filter(|status| *status != "200").collect();
        assert!(failed.is_empty(), "{} failed: {failed:?}", failed.len());
    }
    let figure = |name: &str| -> f64 {
        let of = |backend: &Counting| format!("{{pool=\"shop\",backend=\"{}\"", backend.address());
        let page = balancer.admin("/metrics").text();
        let lines = page.lines().filter(|line| {
            line.starts_with(name) && backends.iter().any(|backend| line.contains(&of(backend)))
        });
        lines
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    };
    assert_eq!(figure("forecourt_backend_ejections_total"), 0.0);
    assert_eq!(
        figure("forecourt_backend_requests_total"),
        (2 * CLIENTS) as f64
    );
    eprintln!(
        "connections that failed: {}",
        figure("forecourt_backend_failures_total")
    );
}

const CLIENTS: usize = 500;
