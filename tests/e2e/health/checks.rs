//! Each kind of check, and the words for what it finds.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::server;
use http::{HeaderMap, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::runtime::Builder;

use super::super::harness::{Balancer, Behaviour, DEADLINE, Origin, pool, wait_until};
use super::super::reload::reload;
use super::{FAST, checked, checks, metric, status, wait_for_standing};

/// Waits until the last check of a backend has found this: a cause, or `ok`.
#[track_caller]
fn wait_for_finding(balancer: &Balancer, address: SocketAddr, finding: &str) {
    let mut last = Value::Null;
    let begun = Instant::now();
    while begun.elapsed() < DEADLINE {
        last = status(balancer, &address.to_string())["check"].clone();
        if last["cause"].as_str().or_else(|| last["result"].as_str()) == Some(finding) {
            return;
        }
        thread::park_timeout(Duration::from_millis(2));
    }
    panic!("no check has found {finding}; the last one: {last}");
}

#[test]
fn checks_are_counted_by_result() {
    let (good, bad) = (Origin::named("good"), Origin::named("bad"));
    bad.on("/healthz", Behaviour::Status(503));
    let balancer = Balancer::start(&checked(&[&good, &bad], ""));
    let count = |origin: &Origin, result: &str| {
        let labels = format!(",result=\"{result}\"");
        metric(&balancer, "forecourt_health_checks_total", origin, &labels)
    };
    wait_until(DEADLINE, "some checks of each", || {
        count(&good, "ok") >= 2.0 && count(&bad, "failed") >= 2.0
    });
    assert_eq!((count(&good, "failed"), count(&bad, "ok")), (0.0, 0.0));
    assert!(count(&bad, "failed") <= checks(&bad) as f64);
}

#[test]
fn each_failure_has_its_word() {
    let mut a = Origin::named("a");
    let balancer = Balancer::start(&checked(&[&a], "body = \"a\"\ntimeout = \"100ms\""));
    wait_for_finding(&balancer, a.address(), "ok");
    let no = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno".to_vec();
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nb a\r\n0\r\n\r\n";
    let trailers =
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nno\r\n0\r\nx: a\r\n\r\n";
    for (behaviour, finding) in [
        (Behaviour::Status(404), "bad-status"),
        (Behaviour::Hang, "response-timeout"),
        (Behaviour::Close, "closed"),
        (Behaviour::Reset, "reset"),
        (Behaviour::Garbage, "protocol"),
        (Behaviour::CutBody, "body-truncated"),
        (Behaviour::ShorterThanSaid, "body-timeout"),
        (Behaviour::Raw(no), "bad-body"),
        (Behaviour::Raw(trailers.to_vec()), "bad-body"),
        (Behaviour::Raw(chunked.to_vec()), "ok"),
    ] {
        a.on("/healthz", behaviour);
        wait_for_finding(&balancer, a.address(), finding);
    }
    a.refuse();
    wait_for_finding(&balancer, a.address(), "connect-refused");
    wait_for_standing(&balancer, &a, "failing");
    let table = super::super::harness::program(&[
        "status",
        "--admin",
        &balancer.address("admin").to_string(),
    ]);
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(table.contains("connect-refused x"), "{table}");
    // What is wrong, why, and what to do.
    let named = format!("({}) failing, its health checks fail: ", a.address());
    for part in [&*named, "remedy  start the backend", "failing for "] {
        assert!(table.contains(part), "{part}\n{table}");
    }
}

#[test]
fn a_text_is_looked_for_in_the_beginning_of_a_body() {
    let a = Origin::named("a");
    let answer = |before: usize| {
        let body = "x".repeat(before) + "well";
        let length = body.len();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
        Behaviour::Raw((head + &body).into_bytes())
    };
    a.on("/healthz", answer(64 * 1024 - 4));
    let balancer = Balancer::start(&checked(&[&a], "body = \"well\"\nexpected = [\"200\"]"));
    wait_for_finding(&balancer, a.address(), "ok");
    a.on("/healthz", answer(64 * 1024 - 3));
    wait_for_finding(&balancer, a.address(), "bad-body");
}

#[test]
fn what_is_asked_and_expected_is_the_operators() {
    let a = Origin::named("a");
    a.behave(Behaviour::Status(404));
    let lines = "method = \"HEAD\"\nhost = \"shop.example:81\"\nexpected = [\"200\", \"403-404\"]";
    let balancer = Balancer::start(&checked(&[&a], lines).replace("/healthz", "/deep?x=1"));
    wait_for_finding(&balancer, a.address(), "ok");
    let check = a.last_received();
    assert_eq!(
        (check.method.as_str(), check.target.as_str()),
        ("HEAD", "/deep?x=1")
    );
    assert_eq!(check.field("host"), Some("shop.example:81"));
    a.behave(Behaviour::Status(405));
    wait_for_finding(&balancer, a.address(), "bad-status");
}

#[test]
fn a_connection_may_say_enough() {
    let mut a = Origin::named("a");
    a.behave(Behaviour::Status(500));
    let front = Balancer::front("shop") + &pool("shop", "round-robin", &[&a]);
    let balancer = Balancer::start(&format!(
        "{front}[pools.shop.health]\ncheck = \"tcp\"\n{FAST}"
    ));
    wait_for_finding(&balancer, a.address(), "ok");
    assert_eq!(a.requests(), 0);
    a.refuse();
    wait_for_standing(&balancer, &a, "failing");
    wait_for_finding(&balancer, a.address(), "connect-refused");
    a.accept_again();
    wait_for_standing(&balancer, &a, "ready");
}

/// A backend that is a balancer with TLS, whose `/healthz` answers this.
fn secure_backend(status: u16) -> String {
    format!(
        "[listeners.web]\naddress = \"127.0.0.1:0\"\ntls = {{ self_signed = [\"localhost\"] }}\n\
         [[routes]]\npath = \"/healthz\"\nrespond = {{ status = {status}, body = \"well\" }}\n\
         [[routes]]\npool = \"none\"\n[pools.none]\nbackends = [{{ address = \"127.0.0.1:9\" }}]\n"
    )
}

#[test]
fn checks_go_by_the_tls_and_the_version_of_the_pool() {
    let backend = Balancer::start(&secure_backend(200));
    let address = backend.address("web");
    let configuration = |protocol: &str, tls: &str, check: &str| {
        format!(
            "{}[pools.shop]\nprotocol = \"{protocol}\"\npanic_threshold = \"0%\"\n\
             backends = [{{ address = \"{address}\" }}]\n{tls}\n\
             [pools.shop.health]\ncheck = \"{check}\"\n{FAST}timeout = \"100ms\"\n",
            Balancer::front("shop")
        )
    };
    let http = "path = \"/healthz\"\nbody = \"well\"\n";
    let tls = "tls = { verify = false }";
    let first = configuration("http/1.1", tls, "http") + http;
    let balancer = Balancer::start(&first);
    wait_for_finding(&balancer, address, "ok");
    for (protocol, tls, check, keys, finding) in [
        ("h2", tls, "http", http, "ok"),
        ("auto", tls, "http", http, "ok"),
        ("h2", tls, "grpc", "", "bad-status"),
        ("http/1.1", tls, "tcp", "", "ok"),
        // The certificate is for another name, and of nobody.
        ("http/1.1", "tls = {}", "tcp", "", "tls-failed"),
        ("http/1.1", "tls = {}", "http", http, "tls-failed"),
    ] {
        reload(&balancer, &(configuration(protocol, tls, check) + keys));
        wait_for_finding(&balancer, address, finding);
    }
    reload(&balancer, &first);
    wait_for_finding(&balancer, address, "ok");
    reload_unwatched(&backend, &secure_backend(503));
    wait_for_finding(&balancer, address, "bad-status");
}

/// Reloads a balancer that has no admin API to ask.
fn reload_unwatched(balancer: &Balancer, configuration: &str) {
    balancer.reload(configuration);
    wait_until(DEADLINE, "the reload", || {
        balancer.stderr().contains("configuration applied")
    });
}

/// A server of gRPC's health protocol, which answers this status for `shop.Orders` and knows no other service.
fn grpc_backend(serving: &Arc<AtomicU8>) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a socket");
    let address = listener.local_addr().expect("an address");
    let serving = Arc::clone(serving);
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let listener = TcpListener::from_std(listener).expect("a socket");
            while let Ok((stream, _)) = listener.accept().await {
                let serving = Arc::clone(&serving);
                tokio::spawn(async move {
                    let mut connection = server::handshake(stream).await?;
                    while let Some(call) = connection.accept().await {
                        let (request, answer) = call?;
                        tokio::spawn(answer_call(request, answer, Arc::clone(&serving)));
                    }
                    Ok::<(), h2::Error>(())
                });
            }
        });
    });
    address
}

async fn answer_call(
    request: http::Request<h2::RecvStream>,
    mut answer: server::SendResponse<Bytes>,
    serving: Arc<AtomicU8>,
) {
    assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
    assert_eq!(request.headers()["te"], "trailers");
    let mut body = request.into_body();
    let mut question = Vec::new();
    while let Some(Ok(piece)) = body.data().await {
        question.extend_from_slice(&piece);
    }
    let known = question == b"\0\0\0\0\x0d\x0a\x0bshop.Orders";
    let head = Response::builder().header("content-type", "application/grpc");
    let mut end = HeaderMap::new();
    let code = if known { "0" } else { "5" };
    end.insert("grpc-status", code.parse().expect("a value"));
    let head = head.body(()).expect("a head");
    let mut stream = answer.send_response(head, false).expect("it is waited for");
    if known {
        let status = serving.load(Ordering::Relaxed);
        let message = vec![0, 0, 0, 0, 2, 8, status];
        let _ = stream.send_data(message.into(), false);
    }
    let _ = stream.send_trailers(end);
}

#[test]
fn services_of_grpc_say_how_they_are() {
    let serving = Arc::new(AtomicU8::new(1));
    let address = grpc_backend(&serving);
    let configuration = |service: &str| {
        format!(
            "{}[pools.shop]\nprotocol = \"h2c\"\nbackends = [{{ address = \"{address}\" }}]\n\
             [pools.shop.health]\ncheck = \"grpc\"\nservice = \"{service}\"\n{FAST}",
            Balancer::front("shop")
        )
    };
    let balancer = Balancer::start(&configuration("shop.Orders"));
    wait_for_finding(&balancer, address, "ok");
    serving.store(2, Ordering::Relaxed);
    wait_for_finding(&balancer, address, "bad-status");
    serving.store(1, Ordering::Relaxed);
    wait_for_finding(&balancer, address, "ok");
    reload(&balancer, &configuration("shop.Carts"));
    wait_for_finding(&balancer, address, "bad-status");
}
