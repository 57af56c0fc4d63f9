//! `/v1/events` and `/v1/stats`: what the log says and what happens per second, as it comes to whoever listens.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::cell::{Cell, RefCell};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use serde_json::Value;

use crate::harness::{Balancer, DEADLINE, Origin, pool, wait_until};

/// One who listens, by HTTP/1.0: the stream comes as it is, and ends with the connection.
struct Listener {
    lines: BufReader<TcpStream>,
    status: String,
    head: String,
}

/// One event of a stream.
#[derive(Debug, Default)]
struct Heard {
    id: Option<String>,
    kind: String,
    data: Value,
}

impl Listener {
    fn at(address: SocketAddr, path: &str, fields: &str) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.0\r\nHost: localhost\r\n{fields}\r\n"
        )
        .unwrap();
        let mut listener = Self {
            lines: BufReader::new(stream),
            status: String::new(),
            head: String::new(),
        };
        listener.lines.read_line(&mut listener.status).unwrap();
        while !listener.head.ends_with("\r\n\r\n") {
            assert!(listener.lines.read_line(&mut listener.head).unwrap() > 0);
        }
        listener
    }

    /// The next event; none when the stream has ended.
    fn next(&mut self) -> Option<Heard> {
        let mut heard = Heard::default();
        loop {
            let mut line = String::new();
            if self
                .lines
                .read_line(&mut line)
                .expect("events come in time")
                == 0
            {
                return None;
            }
            match line.trim_end_matches('\n').split_once(": ") {
                Some(("id", id)) => heard.id = Some(id.to_owned()),
                Some(("event", kind)) => kind.clone_into(&mut heard.kind),
                Some(("data", data)) => heard.data = serde_json::from_str(data).unwrap(),
                Some(("" | "retry", _)) => {}
                None if line == "\n" && heard.kind.is_empty() => {}
                None if line == "\n" => return Some(heard),
                other => panic!("{other:?} is no line of an event"),
            }
        }
    }

    /// The next event of this kind that is `so`.
    #[track_caller]
    fn wait_for(&mut self, kind: &str, so: impl Fn(&Value) -> bool) -> Heard {
        loop {
            let heard = self.next().expect("the stream goes on");
            if heard.kind == kind && so(&heard.data) {
                return heard;
            }
        }
    }
}

#[test]
fn what_the_log_says_is_told_and_told_again_from_where_one_was() {
    let origin = Origin::named("a");
    let configuration = Balancer::front("shop") + &pool("shop", "round-robin", &[&origin]);
    // The log is silent; who listens hears all the same.
    let balancer = Balancer::start(&configuration);
    let admin = balancer.address("admin");
    let mut first = Listener::at(admin, "/v1/events", "");
    assert!(first.status.contains(" 200 "), "{}", first.status);
    let head = first.head.to_ascii_lowercase();
    assert!(head.contains("content-type: text/event-stream"), "{head}");
    assert!(head.contains("cache-control: no-store"), "{head}");
    let listening = first.wait_for("log", |event| event["fields"]["listener"] == "web");
    assert_eq!(listening.data["level"], "info");
    assert_eq!(listening.data["message"], "listening");
    assert!(listening.data["time"].as_str().unwrap().ends_with('Z'));

    balancer.rewrite(&configuration.replace("round-robin", "random"));
    balancer.signal(rustix::process::Signal::HUP);
    let reloaded = first.wait_for("log", |event| event["fields"]["generation"] == 2);
    // Another one who was there for the first event hears the rest, and nothing twice.
    let id = listening.id.unwrap();
    let mut second = Listener::at(admin, "/v1/events", &format!("Last-Event-ID: {id}\r\n"));
    let next = second.next().unwrap();
    assert_eq!((next.id, next.data), (reloaded.id, reloaded.data));
    // One who was at another process hears everything that is kept.
    let mut third = Listener::at(admin, "/v1/events", "Last-Event-ID: abc-7\r\n");
    third.wait_for("log", |event| event["fields"]["listener"] == "web");
}

#[test]
fn figures_come_while_somebody_listens() {
    let (mut a, b) = (Origin::named("a"), Origin::named("b"));
    let configuration = Balancer::front("shop")
        + &format!(
            "[pools.shop]\nstrategy = \"weighted\"\nbackends = [{{ address = \"{}\", weight = 3 }}, {{ address = \"{}\" }}]\nretry = {{ attempts = 1 }}\n",
            a.address(),
            b.address()
        );
    let balancer = Balancer::start(&configuration);
    let mut listener = Listener::at(balancer.address("admin"), "/v1/events?stats=true", "");
    let quiet = listener.wait_for("stats", |_| true).data;
    assert_eq!(quiet["requests_per_second"], 0.0);
    assert_eq!(quiet["p99_milliseconds"], Value::Null);
    let backends = &quiet["pools"][0]["backends"];
    assert_eq!(backends[0]["share_wanted"], 0.75, "{quiet}");
    assert_eq!(backends[1]["share_wanted"], 0.25, "{quiet}");
    assert_eq!(backends[0]["share_got"], Value::Null);
    assert_eq!(backends[0]["standing"], "ready");

    let client = RefCell::new(balancer.client("web"));
    let counted = Cell::new(0.0);
    for _ in 0..40 {
        client.borrow_mut().get("/");
    }
    // The forty may be spread over two frames.
    let busy = listener.wait_for("stats", |stats| {
        let now =
            stats["requests_per_second"].as_f64().unwrap() * stats["seconds"].as_f64().unwrap();
        counted.set(counted.get() + now);
        now > 0.5
    });
    assert!(busy.data["p50_milliseconds"].as_f64().unwrap() > 0.0);
    assert_eq!(busy.data["connections"], 1);
    while counted.get() < 39.5 {
        listener.wait_for("stats", |stats| {
            let now = stats["requests_per_second"].as_f64().unwrap();
            counted.set(counted.get() + now * stats["seconds"].as_f64().unwrap());
            true
        });
    }
    assert!((counted.get() - 40.0).abs() < 0.5, "{}", counted.get());

    a.refuse();
    let failing = listener.wait_for("stats", |stats| {
        // Of a frame the most frequent cause is told: the first may be a connection that was still kept.
        client.borrow_mut().get("/");
        stats["pools"][0]["backends"][0]["last_failure"]["cause"] == "connect-refused"
    });
    let failed = &failing.data["pools"][0]["backends"][0];
    assert!(failed["failures_per_second"].is_number(), "{failed}");
}

#[test]
fn the_figures_of_a_second_can_be_asked_for_alone() {
    let origin = Origin::named("a");
    let balancer = Balancer::in_front_of(&[&origin]);
    let answer = balancer.admin("/v1/stats");
    assert_eq!(answer.status, 200, "{answer}");
    let stats: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(stats["pools"][0]["backends"][0]["share_wanted"], 1.0);
    assert_eq!(stats["generation"], 1);
    assert!(stats["seconds"].as_f64().unwrap() > 0.0);
}

#[test]
fn no_more_listen_than_may_and_a_place_that_is_left_is_free() {
    let origin = Origin::named("a");
    let balancer = Balancer::in_front_of(&[&origin]);
    let admin = balancer.address("admin");
    let mut all: Vec<_> = (0..32)
        .map(|_| Listener::at(admin, "/v1/events", ""))
        .collect();
    assert!(all.iter().all(|one| one.status.contains(" 200 ")));
    let refused = balancer.admin("/v1/events");
    assert_eq!(refused.status, 503, "{refused}");
    drop(all.pop());
    wait_until(DEADLINE, "the place to be free", || {
        let one = Listener::at(admin, "/v1/events", "");
        one.status.contains(" 200 ")
    });
    let strange = balancer.admin("/v1/events?sats=true");
    assert_eq!(strange.status, 400, "{strange}");
}

/// Whoever has opened one by a token that was lost must not go on reading.
#[test]
fn streams_end_when_the_token_is_another_one() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("admin.token");
    fs::write(&token, "0123456789abcdef0123456789abcdef").unwrap();
    let origin = Origin::named("a");
    let admin = format!("[admin]\ntoken_file = \"{}\"\n", token.display());
    let configuration = Balancer::front("shop").replace("[admin]\n", &admin)
        + &pool("shop", "round-robin", &[&origin]);
    let balancer = Balancer::start(&configuration);
    let address = balancer.address("admin");
    let mut listener = Listener::at(address, "/v1/events?stats=true", "");
    listener.wait_for("stats", |_| true);
    // A reload with the same token ends none.
    balancer.rewrite(&configuration.replace("round-robin", "random"));
    balancer.signal(rustix::process::Signal::HUP);
    listener.wait_for("log", |event| event["message"] == "configuration applied");
    listener.wait_for("stats", |_| true);

    fs::write(&token, "fedcba9876543210fedcba9876543210").unwrap();
    balancer.signal(rustix::process::Signal::HUP);
    let begun = Instant::now();
    while listener.next().is_some() {
        assert!(begun.elapsed() < DEADLINE, "the stream goes on");
    }
    // Who comes back is let in as before.
    let mut again = Listener::at(address, "/v1/events?stats=true", "");
    again.wait_for("stats", |_| true);
}

#[test]
fn streams_end_with_the_process_and_hold_it_up_no_longer() {
    let origin = Origin::named("a");
    let mut balancer = Balancer::in_front_of(&[&origin]);
    let mut listener = Listener::at(balancer.address("admin"), "/v1/events", "");
    listener.wait_for("log", |_| true);
    balancer.signal(rustix::process::Signal::TERM);
    listener.wait_for("log", |event| event["message"] == "ending");
    while listener.next().is_some() {}
    assert_eq!(balancer.wait_for_exit(DEADLINE).code(), Some(0));
}
