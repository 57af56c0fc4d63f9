//! What is tried again, on which backend, and what never is.

use std::net::{TcpListener, TcpStream};

use super::{Script, failures, front, once, read_whole_body, write};
use crate::harness::{Balancer, Behaviour, Framing, Origin, Request, pool};
use crate::metrics::wait_for_records;

#[test]
fn a_connection_that_fails_is_tried_on_another_backend() {
    let (mut dead, alive) = (Origin::named("dead"), Origin::named("alive"));
    dead.refuse();
    let balancer = Balancer::in_front_of(&[&dead, &alive]);
    let mut client = balancer.client("web");
    let body = vec![b'x'; 300_000];
    for round in 0..4 {
        let request = Request::post(&format!("/{round}"), &body);
        assert_eq!(client.send(&request).origin(), "alive");
        let chunked = Request::new("POST", &format!("/{round}")).chunks(&[&body, b"end"]);
        assert_eq!(client.send(&chunked).origin(), "alive");
    }
    let received = alive.received();
    assert_eq!(received.len(), 8, "each request arrives once");
    for (index, request) in received.iter().enumerate() {
        let expected = if index % 2 == 0 {
            body.len()
        } else {
            body.len() + 3
        };
        assert_eq!(
            (request.body.len(), request.method.as_str()),
            (expected, "POST")
        );
    }
    let counted = failures(&balancer, dead.address(), 8);
    let refused = counted["connect-refused"];
    assert!(refused >= 1.0 && counted.len() == 1, "{counted:?}");
    let figures = wait_for_records(&balancer, 8);
    assert_eq!(
        figures.sum("forecourt_retries_total", &[("outcome", "ok")]),
        refused
    );
    assert_eq!(figures.sum("forecourt_retries_total", &[]), refused);
    assert_eq!(
        figures.sum("forecourt_backend_picks_total", &[("reason", "retry")]),
        refused
    );
    assert_eq!(figures.sum("forecourt_backend_requests_total", &[]), 8.0);
    assert_eq!(failures(&balancer, alive.address(), 8).len(), 0);
}

#[test]
fn every_strategy_goes_elsewhere_from_a_dead_backend() {
    let (mut dead, alive) = (Origin::named("dead"), Origin::named("alive"));
    dead.refuse();
    let strategies = [
        "round-robin",
        "random",
        "weighted",
        "ip-hash",
        "least-connections",
        "two-choices",
    ];
    let mut configuration = String::from(
        "[admin]\naddress = \"127.0.0.1:0\"\n[listeners.web]\naddress = \"127.0.0.1:0\"\n",
    );
    for name in strategies {
        configuration += &format!(
            "[[routes]]\npath = \"/{name}\"\npool = \"{name}\"\n{}",
            pool(name, name, &[&dead, &alive])
        );
    }
    let balancer = Balancer::start(&configuration);
    let mut client = balancer.client("web");
    for name in strategies {
        for _ in 0..4 {
            assert_eq!(client.get(&format!("/{name}")).origin(), "alive", "{name}");
        }
    }
}

#[test]
fn with_all_backends_dead_the_last_real_failure_is_told() {
    let (mut a, mut b, mut c) = (Origin::named("a"), Origin::named("b"), Origin::named("c"));
    let balancer = Balancer::in_front_of(&[&a, &b, &c]);
    for origin in [&mut a, &mut b, &mut c] {
        origin.refuse();
    }
    let mut client = balancer.client("web");
    let response = client.send(&Request::post("/", b"body"));
    assert_eq!(
        (response.status, response.cause()),
        (502, Some("connect-refused"))
    );
    let counted: f64 = [&a, &b, &c]
        .map(|origin| {
            failures(&balancer, origin.address(), 1)
                .values()
                .sum::<f64>()
        })
        .iter()
        .sum();
    assert_eq!(counted, 3.0, "each once");
    let figures = wait_for_records(&balancer, 1);
    assert_eq!(
        figures.sum("forecourt_retries_total", &[("outcome", "failed")]),
        1.0
    );
    // They come back, and so does the service, on the same connection of the client.
    for origin in [&mut a, &mut b, &mut c] {
        origin.accept_again();
    }
    assert_eq!(client.get("/").status, 200);
}

#[test]
fn what_was_sent_is_not_sent_elsewhere() {
    for (behaviour, attempts) in [
        // What is idempotent is tried elsewhere, and the order is not.
        (Behaviour::Close, 3),
        (Behaviour::Reset, 3),
        (Behaviour::Garbage, 2),
    ] {
        let (a, b) = (Origin::named("a"), Origin::named("b"));
        a.behave(behaviour.clone());
        b.behave(behaviour);
        let balancer = Balancer::in_front_of(&[&a, &b]);
        for request in [Request::get("/"), Request::post("/", b"order")] {
            assert_eq!(balancer.client("web").send(&request).status, 502);
        }
        wait_for_records(&balancer, 2);
        assert_eq!(a.requests() + b.requests(), attempts);
    }
}

#[test]
fn idle_connections_that_backends_close_are_no_clients_worry() {
    let origin = Origin::named("a");
    let balancer = Balancer::start(&(front("") + &pool("shop", "round-robin", &[&origin])));
    let mut client = balancer.client("web");
    for round in 0..100 {
        let response = client.get(&format!("/{round}"));
        assert_eq!(
            (response.status, response.origin()),
            (200, "a"),
            "round {round}"
        );
        origin.close_connections();
    }
    assert_eq!(origin.requests(), 100);
    assert!(client.is_connected());
}

/// Has a request die on a reused connection: the backend reads it and closes without a byte.
fn stale(request: &Request) -> (Script, Balancer, crate::harness::Client) {
    let script = Script::new();
    let balancer = Balancer::start(&(front("") + &script.pool("")));
    let mut client = balancer.client("web");
    client.send_raw(&Request::get("/first").to_bytes()).unwrap();
    let (mut wire, _) = script.receive();
    write(&wire, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirst");
    assert_eq!(client.read_response("GET").unwrap().text(), "first");
    client.send_raw(&request.to_bytes()).unwrap();
    wire.read_head().unwrap();
    drop(wire);
    (script, balancer, client)
}

#[test]
fn a_stale_connection_costs_a_get_nothing() {
    let (script, balancer, mut client) = stale(&Request::get("/second"));
    let (wire, head) = script.receive();
    assert_eq!(head.first_line, "GET /second HTTP/1.1");
    write(&wire, "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecond");
    assert_eq!(client.read_response("GET").unwrap().text(), "second");
    assert_eq!(
        failures(&balancer, script.address(), 2)
            .values()
            .sum::<f64>(),
        1.0
    );
}

#[test]
fn an_order_is_not_placed_twice() {
    for request in [
        Request::post("/order", b"one"),
        Request::new("POST", "/order"),
        Request::new("PATCH", "/order"),
    ] {
        let (script, balancer, mut client) = stale(&request);
        let response = client.read_response("POST").unwrap();
        assert!(
            matches!(
                (response.status, response.cause()),
                (502, Some("closed" | "reset"))
            ),
            "{response}"
        );
        assert_eq!(
            failures(&balancer, script.address(), 2)
                .values()
                .sum::<f64>(),
            1.0
        );
        assert!(script.accepted().is_none(), "no second try");
    }
}

/// A new connection that dies is no stale one: it is no other backend's turn if there is none.
#[test]
fn a_get_on_a_new_connection_is_not_tried_again_on_the_same_backend() {
    let script = Script::new();
    let balancer = Balancer::start(&(front("") + &script.pool("")));
    let mut client = balancer.client("web");
    client.send_raw(&Request::get("/").to_bytes()).unwrap();
    let (wire, _) = script.receive();
    drop(wire);
    let response = client.read_response("GET").unwrap();
    assert_eq!((response.status, response.cause()), (502, Some("closed")));
    assert_eq!(failures(&balancer, script.address(), 1), once("closed"));
    assert!(script.accepted().is_none());
}

/// Ports that are free now, for backends that are not there yet.
#[test]
fn a_backend_that_comes_late_is_found() {
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let configuration =
        front("") + &format!("[pools.shop]\nbackends = [{{ address = \"{address}\" }}]\n");
    let balancer = Balancer::start(&configuration);
    let mut client = balancer.client("web");
    assert_eq!(client.get("/").cause(), Some("connect-refused"));
    assert!(TcpStream::connect(address).is_err());
    let listener = TcpListener::bind(address).unwrap();
    client
        .send_raw(&Request::post("/", b"body").to_bytes())
        .unwrap();
    let (stream, _) = listener.accept().unwrap();
    let mut wire = crate::harness::Wire::new(stream);
    wire.read_head().unwrap();
    assert_eq!(read_whole_body(&mut wire, Framing::Length(4)), b"body");
    write(&wire, "HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(client.read_response("POST").unwrap().status, 204);
}
