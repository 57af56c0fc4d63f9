//! Each limit has a status that tells the client, and a counter that tells the operator.

use super::{assert_refused, balancer, counts, refused};
use crate::harness::{Origin, Request};
use crate::metrics::wait_for_records;

/// Sends bytes to a listener with these lines: the answer has this status and cause, and both are counted.
#[track_caller]
fn assert_counted(listener: &str, bytes: &[u8], status: u16, cause: &str) {
    let origin = Origin::named("a");
    let balancer = balancer(listener, &origin);
    let mut client = balancer.client("web");
    client.send_raw(bytes).unwrap();
    assert_refused(&client.read_response("POST").unwrap(), status, cause);
    assert!(!client.is_connected());
    assert_eq!(refused(&balancer, 1), counts(&[(cause, 1.0)]));
    assert_eq!(
        wait_for_records(&balancer, 1).by("forecourt_requests_total", "code", &[]),
        counts(&[("4xx", 1.0)])
    );
    assert_eq!(origin.requests(), 0);
}

#[test]
fn a_head_that_is_too_large() {
    let bytes = format!(
        "GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n",
        "x".repeat(1024)
    );
    let limits = "limits = { header_bytes = \"1KiB\" }";
    assert_counted(limits, bytes.as_bytes(), 431, "head-too-large");
}

#[test]
fn a_head_of_too_many_fields() {
    let bytes = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: 1\r\n".repeat(5));
    assert_counted(
        "limits = { headers = 5 }",
        bytes.as_bytes(),
        431,
        "head-too-large",
    );
}

#[test]
fn a_target_that_is_too_long() {
    let bytes = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(1024));
    let limits = "limits = { header_bytes = \"1KiB\" }";
    assert_counted(limits, bytes.as_bytes(), 414, "target-too-long");
}

#[test]
fn a_body_that_is_too_large() {
    let limits = "limits = { body_bytes = \"1KiB\" }";
    let announced = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1025\r\n\r\n";
    assert_counted(limits, announced, 413, "body-too-large");
    let chunked = Request::new("POST", "/").chunks(&[&[b'x'; 1000], &[b'x'; 25]]);
    assert_counted(limits, &chunked.to_bytes(), 413, "body-too-large");
}

#[test]
fn a_head_that_stops() {
    let head = b"GET / HTTP/1.1\r\nhost: a\r\nx-slow:";
    assert_counted(
        "timeouts = { header = \"150ms\" }",
        head,
        408,
        "header-timeout",
    );
}

#[test]
fn a_body_that_stops() {
    let head = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nhalf";
    assert_counted(
        "timeouts = { body = \"150ms\" }",
        head,
        408,
        "request-body-timeout",
    );
}

#[test]
fn what_is_no_request() {
    assert_counted(
        "",
        b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        400,
        "bad-request",
    );
}

#[test]
fn ends_that_are_no_refusals() {
    let origin = Origin::named("a");
    let balancer = balancer(
        "timeouts = { idle = \"150ms\" }\nlimits = { requests = 1 }",
        &origin,
    );
    // The end of an idle connection, of one that has had its requests, and of one that its client ends.
    assert!(balancer.client("web").read_to_end().unwrap().is_empty());
    assert_eq!(
        balancer.client("web").get("/").field("connection"),
        Some("close")
    );
    balancer.client("web").connect().unwrap();
    wait_for_records(&balancer, 1);
    assert_eq!(refused(&balancer, 0), counts(&[]));
}

#[test]
fn a_backend_that_fails_is_no_refusal() {
    let mut origin = Origin::named("a");
    let balancer = balancer("", &origin);
    origin.refuse();
    assert_eq!(balancer.client("web").get("/").status, 502);
    wait_for_records(&balancer, 1);
    assert_eq!(refused(&balancer, 0), counts(&[]));
}
