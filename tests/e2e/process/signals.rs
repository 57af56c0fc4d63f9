//! What SIGTERM and SIGINT do, and what they must not.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{
    Balancer, Behaviour, Client, DEADLINE, Ending, Origin, Request, pool, wait_until,
};

/// The usual configuration with this `shutdown`.
fn ending(shutdown: &str, origin: &Origin) -> String {
    format!(
        "[server]\nshutdown = {{ {shutdown} }}\n{}{}",
        Balancer::front("shop"),
        pool("shop", "round-robin", &[origin])
    )
}

#[track_caller]
fn wait_until_refused(address: SocketAddr) {
    wait_until(
        DEADLINE,
        "the end of listening",
        || match TcpStream::connect(address) {
            Ok(_) => false,
            Err(error) => error.kind() == ErrorKind::ConnectionRefused,
        },
    );
}

#[test]
fn sigterm_lets_requests_in_flight_end_and_takes_no_more() {
    for signal in [Signal::TERM, Signal::INT] {
        let origin = Origin::named("a");
        origin.behave(Behaviour::Gated);
        let mut balancer = Balancer::start(&ending("deadline = \"60s\"", &origin));
        let (mut slow, mut idle) = (balancer.client("web"), balancer.client("web"));
        origin.on("/quick", Behaviour::Answer);
        idle.get("/quick");
        slow.send_raw(&Request::get("/").to_bytes()).unwrap();
        origin.wait_for_requests(2);
        balancer.signal(signal);
        wait_until_refused(balancer.address("web"));
        assert_eq!(balancer.admin("/readyz").status, 503);
        assert!(
            idle.read_to_end().unwrap().is_empty(),
            "a connection between two requests ends quietly"
        );
        assert!(balancer.try_exit().is_none(), "a request is in flight");
        origin.open_gate();
        let response = slow.read_response("GET").unwrap();
        assert!(
            response.is_whole() && response.origin() == "a",
            "{response}"
        );
        assert!(slow.read_to_end().unwrap_or_default().is_empty());
        assert_eq!(balancer.wait_for_exit(DEADLINE).code(), Some(0));
        assert!(!balancer.stderr().contains("cut"), "{}", balancer.stderr());
        let log = balancer.stdout();
        assert_eq!(
            log.lines().count(),
            2,
            "the last lines of the access log are written: {log}"
        );
    }
}

/// A request that is on its way when the signal comes is answered, and told that it was the last.
#[test]
fn a_request_that_crosses_the_signal_is_served() {
    let origin = Origin::named("a");
    let mut balancer = Balancer::start(&ending("deadline = \"60s\"", &origin));
    let mut client = balancer.client("web");
    client.get("/");
    balancer.signal(Signal::TERM);
    wait_until_refused(balancer.address("web"));
    if let Ok(response) = client.try_send(&Request::get("/")) {
        assert!(response.is_whole() && response.status == 200, "{response}");
        assert!(
            response.head.fields.lists("connection", "close"),
            "{response}"
        );
    }
    assert_eq!(balancer.wait_for_exit(DEADLINE).code(), Some(0));
}

#[test]
fn the_deadline_cuts_what_has_not_ended_and_says_so() {
    let origin = Origin::named("a");
    origin.behave(Behaviour::Gated);
    let mut balancer = Balancer::start(&ending("deadline = \"200ms\"", &origin));
    let mut client = balancer.client("web");
    client.send_raw(&Request::get("/").to_bytes()).unwrap();
    client.connect().unwrap().read_head().unwrap();
    balancer.signal(Signal::TERM);
    assert_eq!(balancer.wait_for_exit(DEADLINE).code(), Some(0));
    let log = balancer.stderr();
    assert!(log.contains("cut at the deadline connections=1"), "{log}");
    assert!(client.read_to_end().is_ok_and(|rest| rest.is_empty()) || !client.is_connected());
    let line: Value =
        serde_json::from_str(balancer.stdout().trim()).expect("one line for the one request");
    assert_eq!(line["http.response.status_code"], 200);
}

#[test]
fn a_second_signal_ends_at_once() {
    for shutdown in ["deadline = \"1h\"", "delay = \"1h\""] {
        let origin = Origin::named("a");
        origin.behave(Behaviour::Hang);
        let mut balancer = Balancer::start(&ending(shutdown, &origin));
        let mut client = balancer.client("web");
        client.send_raw(&Request::get("/").to_bytes()).unwrap();
        origin.wait_for_requests(1);
        balancer.signal(Signal::TERM);
        wait_until(DEADLINE, "the first signal's effect", || {
            balancer.admin("/readyz").status == 503
        });
        assert!(balancer.try_exit().is_none());
        balancer.signal(Signal::TERM);
        assert_eq!(balancer.wait_for_exit(DEADLINE).code(), Some(0));
        assert!(client.read_response("GET").is_err());
    }
}

#[test]
fn the_delay_keeps_serving_while_readyz_says_no() {
    let origin = Origin::named("a");
    let mut balancer = Balancer::start(&ending("delay = \"1h\"", &origin));
    assert_eq!(balancer.admin("/readyz").status, 200);
    let mut old = balancer.client("web");
    old.get("/");
    balancer.signal(Signal::TERM);
    wait_until(DEADLINE, "readyz's no", || {
        balancer.admin("/readyz").status == 503
    });
    for _ in 0..3 {
        assert_eq!(old.get("/").origin(), "a");
        assert!(old.is_connected(), "nobody is sent away yet");
        assert_eq!(balancer.client("web").get("/").origin(), "a");
    }
    let readyz = balancer.admin("/readyz");
    assert_eq!(
        readyz.field("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(balancer.admin("/healthz").status, 200);
    let status: Value = serde_json::from_slice(&balancer.admin("/v1/status").body).unwrap();
    assert_eq!(status["state"], "draining");
    balancer.signal(Signal::TERM);
    assert_eq!(balancer.wait_for_exit(DEADLINE).code(), Some(0));
}

/// Whoever sends traffic notices by `/readyz` and opens no more connections; those that are kept are told with their last
/// answer. Nobody sees a failure.
#[test]
fn an_announced_end_fails_nobody() {
    let origin = Origin::named("a");
    let shutdown = "delay = \"3s\", deadline = \"60s\"";
    let mut balancer = Balancer::start(&ending(shutdown, &origin));
    let address = balancer.address("web");
    let noticed = Arc::<AtomicBool>::default();
    let clients: Vec<_> = (0..8)
        .map(|number| {
            let noticed = Arc::clone(&noticed);
            std::thread::spawn(move || {
                let mut client = Client::of(address);
                loop {
                    // Every other one with a new connection for each request.
                    if number % 2 == 0 {
                        if noticed.load(Ordering::Relaxed) {
                            return Ok(());
                        }
                        client.close();
                    }
                    let response = client.try_send(&Request::get("/"));
                    let response = response.map_err(|error| format!("{number}: {error}"))?;
                    if response.status != 200 || !response.is_whole() {
                        return Err(response.to_string());
                    }
                    if response.head.fields.lists("connection", "close") {
                        return Ok(());
                    }
                }
            })
        })
        .collect();
    origin.wait_for_requests(200);
    balancer.signal(Signal::TERM);
    wait_until(DEADLINE, "readyz's no", || {
        balancer.admin("/readyz").status == 503
    });
    noticed.store(true, Ordering::Relaxed);
    let results = clients.into_iter().map(|client| client.join().unwrap());
    let failures: Vec<String> = results.filter_map(Result::err).collect();
    assert_eq!(failures, [""; 0]);
    assert_eq!(balancer.wait_for_exit(DEADLINE).code(), Some(0));
}

/// A drain cuts nothing that could have ended, whatever the clients are at.
#[test]
fn a_drain_under_load_loses_no_request() {
    let origin = Origin::named("a");
    let mut balancer = Balancer::start(&ending("deadline = \"60s\"", &origin));
    let address = balancer.address("web");
    let clients: Vec<_> = (0..8)
        .map(|_| {
            std::thread::spawn(move || {
                let mut client = Client::of(address);
                loop {
                    let was_connected = client.is_connected();
                    match client.try_send(&Request::get("/")) {
                        Ok(response)
                            if matches!(response.ending, Ending::Whole)
                                && response.status == 200 => {}
                        Ok(response) => return Err(response.to_string()),
                        // Refused: nothing was lost, for nothing was taken.
                        Err(error) if !was_connected && error.to_string().contains("refused") => {
                            return Ok(());
                        }
                        Err(error) => {
                            return Err(format!("{error}, connected before: {was_connected}"));
                        }
                    }
                }
            })
        })
        .collect();
    origin.wait_for_requests(200);
    balancer.signal(Signal::TERM);
    let results: Vec<_> = clients
        .into_iter()
        .map(|client| client.join().unwrap())
        .collect();
    assert_eq!(
        results
            .iter()
            .filter_map(|result| result.as_ref().err())
            .collect::<Vec<_>>(),
        Vec::<&String>::new()
    );
    assert_eq!(balancer.wait_for_exit(DEADLINE).code(), Some(0));
}
