//! The harness tried on itself: each thing an origin can do, as the client sees it without a balancer between.

use std::time::Duration;

use super::balancer::listening;
use super::wire::{Framing, WireError};
use super::*;

fn pair(behaviour: Behaviour) -> (Origin, Client) {
    let origin = Origin::named("a");
    origin.behave(behaviour);
    let client = Client::of(origin.address());
    (origin, client)
}

fn cut(behaviour: Behaviour) -> (Response, String) {
    let (_origin, client) = pair(behaviour);
    let mut client = client.with_patience(Duration::from_millis(200));
    let response = client.try_send(&Request::get("/")).unwrap();
    let Ending::Cut(error) = &response.ending else {
        panic!("the response is whole: {response}");
    };
    let error = error.to_string();
    assert!(!client.is_connected());
    (response, error)
}

#[test]
fn an_origin_answers_its_name_and_remembers_what_it_was_asked() {
    let (origin, mut client) = pair(Behaviour::Answer);
    let response = client.get("/first?x=1");
    assert_eq!(
        (response.status, response.origin(), response.text()),
        (200, "a", "a".to_owned())
    );
    client.send(
        &Request::post("/second", b"body")
            .host("b.example")
            .field("X-Odd", "1"),
    );
    client.send(&Request::new("PUT", "/third").chunks(&[b"one", b"two"]));
    let received = origin.received();
    assert_eq!(received[0].target, "/first?x=1");
    assert_eq!(
        (received[1].method.as_str(), received[1].body.as_slice()),
        ("POST", &b"body"[..])
    );
    assert_eq!(
        (received[1].field("host"), received[1].field("x-odd")),
        (Some("b.example"), Some("1"))
    );
    assert_eq!(received[2].body, b"onetwo");
    assert_eq!(
        (
            origin.requests(),
            origin.connections(),
            origin.open_connections()
        ),
        (3, 1, 1)
    );
    client.close();
    wait_until(DEADLINE, "the connection's end", || {
        origin.open_connections() == 0
    });
}

#[test]
fn heads_without_bodies_leave_the_connection_usable() {
    let (origin, mut client) = pair(Behaviour::Answer);
    assert!(client.send(&Request::new("HEAD", "/")).body.is_empty());
    origin.behave(Behaviour::Status(204));
    assert_eq!(client.get("/").status, 204);
    origin.behave(Behaviour::Status(503));
    assert_eq!(client.get("/").status, 503);
    let request = Request::post("/", b"body").field("expect", "100-continue");
    assert_eq!(client.send(&request).interim.len(), 1);
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_path_can_have_a_behaviour_of_its_own() {
    let (origin, mut client) = pair(Behaviour::Answer);
    origin.on("/ill", Behaviour::Status(500));
    assert_eq!(
        (client.get("/ill?x").status, client.get("/well").status),
        (500, 200)
    );
}

#[test]
fn no_response_is_told_apart_by_its_cause() {
    let attempt = |behaviour| {
        let (_origin, client) = pair(behaviour);
        let mut client = client.with_patience(Duration::from_millis(200));
        client.try_send(&Request::get("/")).unwrap_err()
    };
    assert!(matches!(attempt(Behaviour::Close), WireError::Closed));
    assert!(matches!(attempt(Behaviour::Reset), WireError::Reset));
    assert!(matches!(attempt(Behaviour::Hang), WireError::TimedOut));
    assert!(matches!(
        attempt(Behaviour::Garbage),
        WireError::Malformed(_)
    ));
}

#[test]
fn a_body_that_was_cut_says_so() {
    for behaviour in [Behaviour::CutBody, Behaviour::CutChunks] {
        let (response, error) = cut(behaviour);
        assert!(response.body.len() >= 500, "{}", response.body.len());
        assert_eq!(error, "closed");
    }
    assert_eq!(cut(Behaviour::ShorterThanSaid).1, "nothing came in time");
    assert_eq!(cut(Behaviour::ResetBody).1, "reset");
}

#[test]
fn what_comes_beyond_a_body_is_seen() {
    let (_origin, mut client) = pair(Behaviour::LongerThanSaid);
    assert_eq!(client.get("/").body.len(), 100);
    assert_eq!(client.ahead().len(), 400);
}

#[test]
fn an_origin_refuses_and_comes_back_at_the_same_address() {
    let (mut origin, mut client) = pair(Behaviour::Answer);
    client.get("/");
    for round in 1..=3 {
        origin.refuse();
        assert!(matches!(
            client.try_send(&Request::get("/")),
            Err(WireError::Closed | WireError::Reset)
        ));
        let WireError::Io(error) = client.try_send(&Request::get("/")).unwrap_err() else {
            panic!("connecting was not refused");
        };
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        origin.accept_again();
        client.get("/");
        assert_eq!(origin.requests(), round + 1);
    }
}

#[test]
fn a_gated_body_waits_for_its_gate() {
    let (origin, mut client) = pair(Behaviour::Gated);
    client.send_raw(&Request::get("/").to_bytes()).unwrap();
    origin.wait_for_requests(1);
    let wire = client.connect().unwrap();
    assert!(wire.read_head().is_ok());
    assert!(wire.ahead().is_empty());
    origin.open_gate();
    assert_eq!(wire.read_body(Framing::Length(1)).bytes, b"a");
}

#[test]
fn a_client_can_half_close_and_reset() {
    let (origin, mut client) = pair(Behaviour::Answer);
    client.send_raw(&Request::get("/").to_bytes()).unwrap();
    client.finish_writing().unwrap();
    assert_eq!(client.read_response("GET").unwrap().status, 200);
    assert!(client.read_to_end().unwrap().is_empty());
    origin.behave(Behaviour::Hang);
    client.send_raw(&Request::get("/").to_bytes()).unwrap();
    origin.wait_for_requests(2);
    client.reset();
    wait_until(DEADLINE, "the reset's arrival", || {
        origin.open_connections() == 0
    });
}

#[test]
fn the_client_is_strict() {
    for raw in [
        "HTTP/1.1 200 OK\ncontent-length: 0\n\n",
        "HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 2000 OK\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length : 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: +1\r\n\r\n1",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\n1",
    ] {
        let (_origin, mut client) = pair(Behaviour::Raw(raw.as_bytes().to_vec()));
        let error = client.try_send(&Request::get("/")).unwrap_err();
        assert!(
            matches!(error, WireError::Malformed(_)),
            "{raw:?} gives {error}"
        );
    }
    for chunks in [
        "+1\r\nx\r\n0\r\n\r\n",
        "1\r\nxx\r\n0\r\n\r\n",
        "1\nx\r\n0\r\n\r\n",
    ] {
        let raw = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}");
        let (_origin, mut client) = pair(Behaviour::Raw(raw.into_bytes()));
        let response = client.try_send(&Request::get("/")).unwrap();
        assert!(
            matches!(response.ending, Ending::Cut(WireError::Malformed(_))),
            "{chunks:?}"
        );
    }
}

#[test]
fn the_line_that_tells_an_address_is_read_with_and_without_quotes() {
    let address = "127.0.0.1:43121".parse().unwrap();
    for line in [
        "2026-01-01T00:00:00Z  INFO forecourt::listener: listening listener=web address=127.0.0.1:43121",
        "INFO listening listener=\"web\" address=\"127.0.0.1:43121\"",
    ] {
        assert_eq!(listening(line), Some(("web".to_owned(), address)), "{line}");
    }
    assert_eq!(listening("INFO stopped listening listener=web"), None);
    assert_eq!(listening("INFO ready"), None);
}
