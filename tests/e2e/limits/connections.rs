//! How many connections a client may have, and how many requests a connection.

use std::net::{IpAddr, Ipv4Addr};
use std::thread;

use super::{assert_refused, balancer, configuration, counts, front, refused};
use crate::harness::{Balancer, Client, DEADLINE, Origin, Request, wait_until};
use crate::metrics::Figures;

/// Connections that have been served once, so that they are known to count.
fn served(balancer: &Balancer, count: usize) -> Vec<Client> {
    let served = |_| {
        let mut client = balancer.client("web");
        assert_eq!(client.get("/").status, 200);
        client
    };
    (0..count).map(served).collect()
}

/// Reads the refusal that comes without a request.
#[track_caller]
fn assert_turned_away(mut client: Client) {
    client.connect().unwrap();
    let response = client.read_response("GET").unwrap();
    assert_refused(&response, 429, "too-many-connections");
}

#[test]
fn one_more_than_a_client_may_have_is_turned_away() {
    let origin = Origin::named("a");
    let balancer = balancer("limits = { connections_per_client = 3 }", &origin);
    let mut held = served(&balancer, 3);
    // Without a request, and with one that is on its way.
    assert_turned_away(balancer.client("web"));
    let mut asking = balancer.client("web");
    asking
        .send_raw(&Request::post("/", &[b'x'; 10_000]).to_bytes())
        .unwrap();
    assert_refused(
        &asking.read_response("POST").unwrap(),
        429,
        "too-many-connections",
    );
    assert_eq!(
        refused(&balancer, 2),
        counts(&[("too-many-connections", 2.0)])
    );
    // Connections and not requests; and another client has its own places.
    assert!(held.iter_mut().all(|client| client.get("/").status == 200));
    let other = IpAddr::from(Ipv4Addr::new(127, 0, 0, 77));
    assert_eq!(
        balancer.client("web").coming_from(other).get("/").status,
        200
    );
    // Whoever goes gives the place back, however it goes.
    held.pop().unwrap().reset();
    drop(held.pop());
    wait_until(DEADLINE, "the places of those that went", || {
        Figures::of(&balancer).sum("forecourt_connections", &[("listener", "web")]) <= 1.0
    });
    held.extend(served(&balancer, 2));
    assert_turned_away(balancer.client("web"));
    assert_eq!(held.len(), 3);
}

/// Many at once, on two workers: exactly as many as may are served.
#[test]
fn workers_count_together() {
    let origin = Origin::named("a");
    let balancer = balancer("limits = { connections_per_client = 10 }", &origin);
    let address = balancer.address("web");
    let asked: Vec<_> = (0..40)
        .map(|_| {
            thread::spawn(move || {
                let mut client = Client::of(address);
                let status = client.get("/").status;
                (client, status)
            })
        })
        .collect();
    let asked: Vec<_> = asked
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect();
    let those = |wanted| asked.iter().filter(|(_, status)| *status == wanted).count();
    assert_eq!((those(200), those(429)), (10, 30));
    assert_eq!(
        refused(&balancer, 30),
        counts(&[("too-many-connections", 30.0)])
    );
    drop(asked);
    wait_until(DEADLINE, "the end of all connections", || {
        Figures::of(&balancer).sum("forecourt_connections", &[]) == 0.0
    });
    served(&balancer, 10);
}

#[test]
fn a_reload_changes_the_limit_at_once() {
    let origin = Origin::named("a");
    let limit = |most: usize| {
        configuration(
            &format!("limits = {{ connections_per_client = {most} }}"),
            &origin,
        )
    };
    let balancer = Balancer::start(&limit(1));
    let held = served(&balancer, 1);
    assert_turned_away(balancer.client("web"));
    // The port is of the kernel's choosing, so the name keeps the sockets.
    balancer.reload(&limit(2));
    wait_until(DEADLINE, "the reload", || {
        balancer.metric("forecourt_config_generation") == 2.0
    });
    let more = served(&balancer, 1);
    assert_turned_away(balancer.client("web"));
    balancer.reload(&limit(1));
    wait_until(DEADLINE, "the reload", || {
        balancer.metric("forecourt_config_generation") == 3.0
    });
    drop(more);
    assert_turned_away(balancer.client("web"));
    drop(held);
}

#[test]
fn a_connection_has_so_many_requests() {
    let origin = Origin::named("a");
    let balancer = balancer("limits = { requests = 3 }", &origin);
    let mut client = balancer.client("web");
    for nth in 1..=7 {
        let response = client.get("/");
        let close = (nth % 3 == 0).then_some("close");
        assert_eq!(response.field("connection"), close, "{nth}");
        assert_eq!(client.is_connected(), close.is_none());
    }
    // What is sent behind the last request is not answered.
    let mut eager = balancer.client("web");
    eager
        .send_raw(&Request::get("/").to_bytes().repeat(5))
        .unwrap();
    for _ in 0..3 {
        assert_eq!(
            eager.connect().unwrap().read_head().unwrap().first_line,
            "HTTP/1.1 200 As-Told"
        );
        let body = eager
            .connect()
            .unwrap()
            .read_body(crate::harness::Framing::Length(1));
        assert!(body.fault.is_none(), "{:?}", body.fault);
    }
    assert!(eager.read_to_end().unwrap().is_empty());
    assert_eq!(origin.requests(), 10);
}

#[test]
fn a_listener_has_so_many_connections() {
    let origin = Origin::named("a");
    let balancer = Balancer::start(
        &(front("limits = { connections = 2 }")
            + &crate::harness::pool("shop", "round-robin", &[&origin])),
    );
    let held = served(&balancer, 2);
    let mut waiting = balancer.client("web");
    waiting.send_raw(&Request::get("/").to_bytes()).unwrap();
    wait_until(DEADLINE, "a pause", || {
        balancer.metric("forecourt_accept_pauses_total{listener=\"web\"}") > 0.0
    });
    drop(held);
    assert_eq!(waiting.read_response("GET").unwrap().status, 200);
    assert_eq!(refused(&balancer, 0), counts(&[]), "to wait is no refusal");
}
