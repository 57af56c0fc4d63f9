//! What must arrive as it was sent: order, interim responses, trailers, bodies that are none, old clients.

use std::time::Duration;

use super::{Script, assert_codes, failures, front, read_whole_body, write};
use crate::harness::{Balancer, Behaviour, Client, Framing, Origin, Request, Wire, pool};

/// A scripted backend, the balancer before it and a client.
fn scene(more: &str) -> (Script, Balancer, Client) {
    let script = Script::new();
    let balancer = Balancer::start(&(front(more) + &script.pool("")));
    let client = balancer.client("web");
    (script, balancer, client)
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::named("a");
    let balancer = Balancer::start(&(front("") + &pool("shop", "round-robin", &[&origin])));
    let mut client = balancer.client("web");
    let statuses: Vec<u16> = (201..=203).chain(400..=420).collect();
    let mut bytes = Vec::new();
    for status in &statuses {
        origin.on(&format!("/{status}"), Behaviour::Status(*status));
        let path = format!("/{status}");
        let request = match status % 3 {
            0 => Request::get(&path),
            1 => Request::post(&path, &vec![b'x'; usize::from(*status) * 50]),
            _ => Request::new("PUT", &path).chunks(&[b"one", b"two"]),
        };
        bytes.extend_from_slice(&request.to_bytes());
    }
    origin.on("/201", Behaviour::Slow(Duration::from_millis(30)));
    client.send_raw(&bytes).unwrap();
    for status in &statuses {
        let expected = if *status == 201 { 200 } else { *status };
        assert_eq!(client.read_response("GET").unwrap().status, expected);
    }
    assert!(client.ahead().is_empty());
    let targets: Vec<_> = origin
        .received()
        .into_iter()
        .map(|received| received.target)
        .collect();
    assert_eq!(
        targets,
        statuses
            .iter()
            .map(|status| format!("/{status}"))
            .collect::<Vec<_>>()
    );
}

#[test]
fn leave_to_send_comes_from_the_backend() {
    let (script, _balancer, mut client) = scene("");
    let head = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n";
    client.send_raw(head).unwrap();
    let (mut wire, head) = script.receive();
    assert!(head.fields.lists("expect", "100-continue"));
    // Had we given leave ourselves, it would come before this.
    write(&wire, "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n");
    let hints = client.connect().unwrap().read_head().unwrap();
    assert_eq!(hints.first_line, "HTTP/1.1 103 Early Hints");
    assert_eq!(hints.fields.first("link"), Some("</a.css>"));
    write(&wire, "HTTP/1.1 100 Continue\r\n\r\n");
    assert!(
        client
            .connect()
            .unwrap()
            .read_head()
            .unwrap()
            .first_line
            .starts_with("HTTP/1.1 100")
    );
    client.send_raw(b"body").unwrap();
    assert_eq!(read_whole_body(&mut wire, Framing::Length(4)), b"body");
    write(&wire, "HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n");
    let response = client.read_response("POST").unwrap();
    assert_eq!((response.status, response.interim.len()), (201, 0));
    assert!(client.is_connected());
}

#[test]
fn leave_to_send_that_is_not_given() {
    let (script, balancer, mut client) = scene("");
    let head =
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4000000\r\nexpect: 100-continue\r\n\r\n";
    client.send_raw(head).unwrap();
    let (wire, _) = script.receive();
    write(
        &wire,
        "HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno",
    );
    let response = client.read_response("POST").unwrap();
    assert_eq!(
        (
            response.status,
            response.interim.len(),
            response.text().as_str()
        ),
        (401, 0, "no")
    );
    // It does what it may do then, and has had its answer.
    client.close();
    assert_codes(&balancer, &[("4xx", 1.0)]);
    assert_eq!(failures(&balancer, script.address(), 1).len(), 0);
}

#[test]
fn our_own_refusal_gives_no_leave_to_send() {
    let origin = Origin::named("a");
    let balancer = Balancer::start(
        &(front("limits = { body_bytes = \"1KiB\" }") + &pool("shop", "round-robin", &[&origin])),
    );
    let mut client = balancer.client("web");
    let head =
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4000\r\nexpect: 100-continue\r\n\r\n";
    client.send_raw(head).unwrap();
    let response = client.read_response("POST").unwrap();
    assert_eq!(
        (response.status, response.cause(), response.interim.len()),
        (413, Some("body-too-large"), 0)
    );
    assert!(
        !client.is_connected(),
        "for where the next request begins is unknown"
    );
    assert_eq!(origin.connections(), 0);
}

#[test]
fn an_answer_may_come_before_the_request_has_ended() {
    let (script, balancer, mut client) = scene("");
    client
        .send_raw(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\nbegin")
        .unwrap();
    let (mut wire, _) = script.receive();
    write(&wire, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nearly");
    let response = client.read_response("POST").unwrap();
    assert_eq!((response.status, response.text().as_str()), (200, "early"));
    assert!(client.is_connected());
    client.send_raw(&[b'x'; 99_995]).unwrap();
    let body = read_whole_body(&mut wire, Framing::Length(100_000));
    assert!(body.starts_with(b"beginxxx"));
    // Both messages are whole, so both connections carry the next exchange.
    client.send_raw(&Request::get("/next").to_bytes()).unwrap();
    assert_eq!(wire.read_head().unwrap().first_line, "GET /next HTTP/1.1");
    write(&wire, "HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(client.read_response("GET").unwrap().status, 204);
    assert_codes(&balancer, &[("2xx", 2.0)]);
}

#[test]
fn a_backend_that_answers_early_and_hangs_up_has_still_answered() {
    let (script, balancer, mut client) = scene("");
    client
        .send_raw(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 8000000\r\n\r\nbegin")
        .unwrap();
    let (wire, _) = script.receive();
    write(
        &wire,
        "HTTP/1.1 413 Too Much\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbig",
    );
    drop(wire);
    let sent = client.send_raw(&vec![b'x'; 7_999_995]);
    let response = client.read_response("POST").unwrap();
    assert_eq!(
        (response.status, response.text().as_str()),
        (413, "big"),
        "after {sent:?}"
    );
    assert_codes(&balancer, &[("4xx", 1.0)]);
    assert_eq!(failures(&balancer, script.address(), 1).len(), 0);
}

/// Reads a chunked message's end and trailers.
fn trailers(wire: &mut Wire) -> (Vec<u8>, Vec<(String, String)>) {
    let body = wire.read_body(Framing::Chunked);
    assert!(body.fault.is_none(), "{:?}", body.fault);
    (body.bytes, body.trailers.0)
}

#[test]
fn trailers_go_both_ways() {
    let (script, _balancer, mut client) = scene("");
    client
        .send_raw(
            b"POST / HTTP/1.1\r\nhost: a\r\nte: trailers\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
              3;ext=1\r\none\r\n3\r\ntwo\r\n0\r\nx-sum: 6\r\ncontent-length: 9\r\n\r\n",
        )
        .unwrap();
    let (mut wire, head) = script.receive();
    assert_eq!(head.fields.first("transfer-encoding"), Some("chunked"));
    assert_eq!(head.fields.first("trailer"), Some("x-sum"));
    let (body, fields) = trailers(&mut wire);
    assert_eq!(body, b"onetwo");
    assert_eq!(
        fields,
        [("x-sum".to_owned(), "6".to_owned())],
        "what frames a message is no trailer"
    );
    write(
        &wire,
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfour\r\n0\r\ngrpc-status: 0\r\nhost: b\r\n\r\n",
    );
    let response = client.read_response("POST").unwrap();
    assert_eq!(response.text(), "four");
    assert_eq!(
        response.trailers.0,
        [("grpc-status".to_owned(), "0".to_owned())]
    );
    assert!(client.is_connected());
}

#[test]
fn chunks_flow_as_they_come() {
    let (script, _balancer, mut client) = scene("");
    client
        .send_raw(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n")
        .unwrap();
    let (mut wire, _) = script.receive();
    write(
        &wire,
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
    );
    client.connect().unwrap().read_head().unwrap();
    // Each piece is answered before the next is sent: whoever gathers them waits here for ever.
    for piece in ["b", "c", "d"] {
        while wire.ahead().len() < 6 {
            wire.fill().unwrap();
        }
        write(&wire, &format!("1\r\n{piece}\r\n"));
        let down = client.connect().unwrap();
        while !down.ahead().ends_with(format!("{piece}\r\n").as_bytes()) {
            down.fill().unwrap();
        }
        client
            .send_raw(format!("1\r\n{piece}\r\n").as_bytes())
            .unwrap();
    }
    client.send_raw(b"0\r\n\r\n").unwrap();
    assert_eq!(trailers(&mut wire).0, b"abcd");
    write(&wire, "0\r\n\r\n");
    assert_eq!(trailers(client.connect().unwrap()).0, b"bcd");
}

#[test]
fn an_old_client_gets_no_chunks_and_a_connection_that_ends() {
    let (script, _balancer, mut client) = scene("");
    for (answer, framing) in [
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwhole",
            Framing::Length(5),
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nwhole\r\n0\r\n\r\n",
            Framing::UntilClose,
        ),
    ] {
        client.send_raw(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let (wire, head) = script.receive();
        assert_eq!(head.first_line, "GET / HTTP/1.1");
        write(&wire, "HTTP/1.1 103 Early Hints\r\n\r\n");
        write(&wire, answer);
        let response = client.read_response("GET").unwrap();
        assert_eq!(
            (
                response.framing,
                response.text().as_str(),
                response.interim.len()
            ),
            (framing, "whole", 0),
            "{response}"
        );
        assert!(response.is_whole() && !client.is_connected(), "{response}");
        // So that the next exchange comes by a new connection.
        drop(wire);
    }
}

#[test]
fn an_old_client_may_ask_for_its_connection_to_stay() {
    let origin = Origin::named("a");
    let balancer = Balancer::start(&(front("") + &pool("shop", "round-robin", &[&origin])));
    let mut client = balancer.client("web");
    let mut addresses = Vec::new();
    for _ in 0..3 {
        client
            .send_raw(b"GET / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n")
            .unwrap();
        addresses.push(client.local_address());
        let response = client.read_response("GET").unwrap();
        assert!(
            response.head.fields.lists("connection", "keep-alive"),
            "{response}"
        );
        assert_eq!(response.origin(), "a");
    }
    addresses.dedup();
    assert_eq!(addresses.len(), 1);
    client
        .send_raw(b"GET / HTTP/1.0\r\nhost: a\r\n\r\n")
        .unwrap();
    client.read_response("GET").unwrap();
    client
        .send_raw(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .unwrap();
    let response = client.read_response("GET").unwrap();
    assert!(response.head.fields.lists("connection", "close") && !client.is_connected());
}

#[test]
fn an_old_backend_is_understood() {
    let (script, _balancer, mut client) = scene("");
    client.send_raw(&Request::get("/").to_bytes()).unwrap();
    let (wire, _) = script.receive();
    write(&wire, "HTTP/1.0 200 OK\r\n\r\nuntil the end");
    drop(wire);
    let response = client.read_response("GET").unwrap();
    assert!(
        response.is_whole()
            && response.text() == "until the end"
            && response.head.first_line == "HTTP/1.1 200 OK",
        "{response}"
    );
    assert!(client.is_connected(), "chunks tell the end");
}

#[test]
fn messages_without_a_body_leave_the_connection_usable() {
    let (script, _balancer, mut client) = scene("");
    client
        .send_raw(&Request::new("HEAD", "/").to_bytes())
        .unwrap();
    let (mut wire, head) = script.receive();
    assert_eq!(head.first_line, "HEAD / HTTP/1.1");
    write(&wire, "HTTP/1.1 200 OK\r\ncontent-length: 1234\r\n\r\n");
    let response = client.read_response("HEAD").unwrap();
    assert_eq!(
        (response.field("content-length"), response.body.len()),
        (Some("1234"), 0)
    );
    for (answer, length) in [
        ("HTTP/1.1 204 No Content\r\n\r\n", None),
        (
            "HTTP/1.1 304 Not Modified\r\netag: \"1\"\r\ncontent-length: 1234\r\n\r\n",
            Some("1234"),
        ),
        ("HTTP/1.1 304 Not Modified\r\netag: \"1\"\r\n\r\n", None),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", Some("0")),
    ] {
        client.send_raw(&Request::get("/").to_bytes()).unwrap();
        wire.read_head().unwrap();
        write(&wire, answer);
        let response = client.read_response("GET").unwrap();
        assert_eq!(
            (response.field("content-length"), response.body.len()),
            (length, 0),
            "{answer:?} became {response}"
        );
        assert!(response.field("transfer-encoding").is_none(), "{response}");
        assert!(client.is_connected() && client.ahead().is_empty());
    }
    client
        .send_raw(&Request::new("HEAD", "/").to_bytes())
        .unwrap();
    wire.read_head().unwrap();
    write(
        &wire,
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
    );
    let response = client.read_response("HEAD").unwrap();
    assert!(
        response.body.is_empty() && client.is_connected() && client.ahead().is_empty(),
        "{response}"
    );
}

#[test]
fn what_belongs_to_one_connection_stays_there() {
    let (script, _balancer, mut client) = scene("");
    let request = Request::get("/")
        .field("connection", "close, x-hop")
        .field("x-hop", "1")
        .field("keep-alive", "timeout=5")
        .field("proxy-connection", "keep-alive")
        .field("te", "gzip")
        .field("upgrade", "h2c")
        .field("x-end", "1");
    client.send_raw(&request.to_bytes()).unwrap();
    let (wire, head) = script.receive();
    for name in ["x-hop", "keep-alive", "proxy-connection", "upgrade"] {
        assert_eq!(head.fields.first(name), None, "{name}");
    }
    assert!(
        !head.fields.lists("connection", "close"),
        "the backend's connection is ours"
    );
    assert_eq!(head.fields.first("x-end"), Some("1"));
    write(
        &wire,
        "HTTP/1.1 200 OK\r\nconnection: close, x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nx-end: 1\r\ncontent-length: 0\r\n\r\n",
    );
    let response = client.read_response("GET").unwrap();
    assert_eq!(
        (
            response.field("x-hop"),
            response.field("keep-alive"),
            response.field("x-end")
        ),
        (None, None, Some("1"))
    );
    assert_eq!(response.head.fields.all("connection"), ["close"]);
}
