//! `abort_on_close`: a client that ends its side has given up what it asked for.

use std::io::Write;
use std::net::Shutdown;
use std::time::Duration;

use super::{Script, assert_codes, front, write};
use crate::harness::{Balancer, Behaviour, DEADLINE, Origin, Request, pool, wait_until};
use crate::tls::Visitor;

const ON: &str = "abort_on_close = true\ntimeouts = { body = \"1h\" }";

#[test]
fn the_end_of_a_clients_side_ends_its_request_wherever_it_is() {
    let script = Script::new();
    let pool = script.pool("timeouts = { response = \"1h\" }");
    let balancer = Balancer::start(&(front(ON) + &pool));
    let mut records = 0;
    for begun in [false, true] {
        for pipelined in [false, true] {
            let mut client = balancer.client("web");
            client.send_raw(&Request::get("/").to_bytes()).unwrap();
            let (mut wire, _) = script.receive();
            if begun {
                write(&wire, "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
                client.connect().unwrap().read_head().unwrap();
            }
            if pipelined {
                // It stays unread: only behind it is the end to be seen.
                client.send_raw(&Request::get("/next").to_bytes()).unwrap();
            }
            client.finish_writing().unwrap();
            assert!(wire.fill().is_err(), "the backend's connection ends");
            records += 1;
            assert_codes(&balancer, &[("aborted", f64::from(records))]);
        }
    }
    wait_until(DEADLINE, "the log tells of each", || {
        balancer.stdout().matches("client-aborted").count() == records as usize
    });
}

#[test]
fn who_has_given_up_leaves_the_queue() {
    let origin = Origin::named("a");
    origin.on("/first", Behaviour::Gated);
    let limits = "[pools.shop.limits]\nper_backend = 1\nqueue_timeout = \"60s\"\n";
    let pool = pool("shop", "round-robin", &[&origin]) + limits;
    let balancer = Balancer::start(&(front(ON) + &pool));
    let mut first = balancer.client("web");
    first.send_raw(&Request::get("/first").to_bytes()).unwrap();
    origin.wait_for_requests(1);
    let mut waiting = balancer.client("web");
    waiting
        .send_raw(&Request::get("/second").to_bytes())
        .unwrap();
    let queued = || balancer.metric("forecourt_pool_queued{pool=\"shop\"}");
    wait_until(DEADLINE, "it waits", || queued() == 1.0);
    waiting.finish_writing().unwrap();
    wait_until(DEADLINE, "it waits no more", || queued() == 0.0);
    let left = "forecourt_queue_total{pool=\"shop\",outcome=\"left\"}";
    assert_eq!(balancer.metric(left), 1.0);
    assert_codes(&balancer, &[("aborted", 1.0)]);
    origin.open_gate();
    assert_eq!(first.read_response("GET").unwrap().status, 200);
    assert_eq!(origin.requests(), 1);
}

#[test]
fn a_next_request_and_an_upload_are_no_end() {
    let origin = Origin::named("a");
    // Longer than from one look at the client to the next.
    origin.behave(Behaviour::Slow(Duration::from_millis(600)));
    let balancer = Balancer::start(&(front(ON) + &pool("shop", "round-robin", &[&origin])));
    let mut client = balancer.client("web");
    let body = vec![b'x'; 300_000];
    let mut both = Request::post("/1", &body).to_bytes();
    both.extend(Request::get("/2").to_bytes());
    client.send_raw(&both).unwrap();
    for method in ["POST", "GET"] {
        assert_eq!(client.read_response(method).unwrap().status, 200);
    }
    assert_codes(&balancer, &[("2xx", 2.0)]);
}

#[test]
fn without_it_an_answer_is_waited_for() {
    let script = Script::new();
    let balancer = Balancer::start(&(front("") + &script.pool("")));
    let mut client = balancer.client("web");
    client.send_raw(&Request::get("/").to_bytes()).unwrap();
    client.finish_writing().unwrap();
    let (wire, _) = script.receive();
    write(&wire, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    assert_eq!(client.read_response("GET").unwrap().text(), "ok");
    assert_codes(&balancer, &[("2xx", 1.0)]);
}

/// A farewell of TLS is bytes like any others until it is read; behind it is the end.
#[test]
fn a_client_that_has_ended_its_tls_has_given_up() {
    let origin = Origin::named("a");
    origin.behave(Behaviour::Hang);
    let listener = format!("{ON}\ntls = {{ self_signed = [\"shop.test\"] }}");
    let balancer = Balancer::start(&(front(&listener) + &pool("shop", "round-robin", &[&origin])));
    for (round, says_so) in [(1, true), (2, false)] {
        let mut visit = Visitor::new().visit(balancer.address("web"), "shop.test");
        let request = Request::get("/").host("shop.test").to_bytes();
        visit.tls.write_all(&request).unwrap();
        origin.wait_for_requests(round);
        if says_so {
            visit.tls.conn.send_close_notify();
            visit.tls.flush().unwrap();
        }
        visit.tls.sock.shutdown(Shutdown::Write).unwrap();
        wait_until(DEADLINE, "the backend's connection ends", || {
            origin.open_connections() == 0
        });
        assert_codes(&balancer, &[("aborted", round as f64)]);
    }
}
