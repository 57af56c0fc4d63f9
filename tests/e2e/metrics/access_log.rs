//! What is logged of each request, a JSON object a line.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::{Figures, wait_for_records};
use crate::harness::{Balancer, Behaviour, DEADLINE, Origin, Request, pool, wait_for, wait_until};

/// Reads the access log as far as whole lines go.
fn lines(log: &str) -> Vec<Value> {
    let whole = log.rfind('\n').map_or("", |end| &log[..end]);
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    whole.lines().map(parse).collect()
}

/// Waits for so many lines of the access log.
#[track_caller]
fn wait_for_lines(count: usize, read: impl Fn() -> String) -> Vec<Value> {
    wait_for(
        DEADLINE,
        &format!("{count} lines of the access log"),
        || {
            let lines = lines(&read());
            (lines.len() >= count).then_some(lines)
        },
    )
}

#[test]
#[allow(clippy::too_many_lines, reason = "one scene, looked at from all sides")]
fn the_log_tells_of_a_success() {
    let origin = Origin::named("a");
    let balancer = Balancer::in_front_of(&[&origin]);
    let mut client = balancer.client("web");
    client.send(&Request::post("/basket?secret=1", b"x"));
    let brought = origin.last_received();
    let line = wait_for_lines(1, || balancer.stdout()).remove(0);
    let address = origin.address().to_string();
    for (field, value) in [
        ("http.request.method", "POST"),
        ("url.path", "/basket"),
        ("client.ip", "127.0.0.1"),
        ("forecourt.listener", "web"),
        ("forecourt.route", "/"),
        ("forecourt.pool", "shop"),
        ("forecourt.strategy", "round-robin"),
        ("forecourt.backend", &address),
        ("http.request.id", brought.field("x-request-id").unwrap()),
    ] {
        assert_eq!(line[field], value, "{field} of {line}");
    }
    assert_eq!(line["http.response.status_code"], 200);
    assert_eq!(line["http.response.body.bytes"], 1);
    assert_eq!(line["forecourt.generation"], 1);
    assert!(
        line.get("forecourt.error").is_none() && line.get("forecourt.sticky").is_none(),
        "{line}"
    );
    let attempts = line["forecourt.attempts"].as_array().unwrap();
    assert_eq!(
        (attempts.len(), &attempts[0]["backend"]),
        (1, &Value::from(address))
    );
    assert!(attempts[0].get("cause").is_none());
    let time = |name: &str| {
        line[name]
            .as_u64()
            .unwrap_or_else(|| panic!("{name} of {line}"))
    };
    let (queue, connect, first, total) = (
        time("forecourt.times.queue"),
        time("forecourt.times.connect"),
        time("forecourt.times.first_byte"),
        time("forecourt.times.total"),
    );
    assert!(
        queue <= first && connect <= first && first <= total && total == time("event.duration"),
        "{line}"
    );
    assert!(attempts[0]["duration"].as_u64().unwrap() <= total);
    let stamp: jiff::Timestamp = line["@timestamp"].as_str().unwrap().parse().unwrap();
    assert!(
        stamp.duration_until(jiff::Timestamp::now()).unsigned_abs() < Duration::from_secs(3600)
    );
    // The log is flat: the one array is the attempts.
    let nested = line
        .as_object()
        .unwrap()
        .iter()
        .filter(|(_, value)| value.is_object() || value.is_array());
    assert_eq!(
        nested.map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["forecourt.attempts"]
    );
}

#[test]
fn the_log_tells_of_a_retry_and_of_a_failure() {
    let (mut dead, alive) = (Origin::named("dead"), Origin::named("alive"));
    dead.refuse();
    let balancer = Balancer::in_front_of(&[&dead, &alive]);
    let mut client = balancer.client("web");
    client.get("/1");
    client.get("/2");
    let lines = wait_for_lines(2, || balancer.stdout());
    let retried = lines
        .iter()
        .find(|line| line["forecourt.attempts"].as_array().unwrap().len() == 2);
    let retried = retried.expect("round robin asks both in turn");
    let (first, second) = (
        &retried["forecourt.attempts"][0],
        &retried["forecourt.attempts"][1],
    );
    assert_eq!(
        (&first["backend"], &first["cause"]),
        (
            &Value::from(dead.address().to_string()),
            &Value::from("connect-refused")
        )
    );
    assert_eq!(second["backend"], alive.address().to_string());
    assert!(
        second.get("cause").is_none() && retried.get("forecourt.error").is_none(),
        "{retried}"
    );
    assert_eq!(retried["forecourt.backend"], alive.address().to_string());
    assert_eq!(retried["http.response.status_code"], 200);

    alive.behave(Behaviour::Garbage);
    let failed = loop {
        let response = client.get("/3");
        if response.status == 502 {
            break response;
        }
    };
    let line = wait_for_lines(3, || balancer.stdout()).remove(2);
    assert_eq!(line["http.response.status_code"], 502);
    assert_eq!(line["forecourt.error"], failed.cause().unwrap());
    assert_eq!(
        line["http.request.id"],
        failed.field("x-request-id").unwrap()
    );
    let attempts = line["forecourt.attempts"].as_array().unwrap();
    assert_eq!(attempts.last().unwrap()["cause"], "protocol");

    client.send(&Request::get("/").host("a b"));
    let line = wait_for_lines(4, || balancer.stdout()).remove(3);
    assert_eq!(
        (&line["http.response.status_code"], &line["forecourt.error"]),
        (&Value::from(400), &Value::from("bad-request"))
    );
    assert!(line.get("forecourt.attempts").is_none(), "{line}");
}

#[test]
fn the_log_tells_of_clients_that_went_away() {
    let origin = Origin::named("a");
    origin.behave(Behaviour::Gated);
    let balancer = Balancer::in_front_of(&[&origin]);
    let mut client = balancer.client("web");
    client.send_raw(&Request::get("/taken").to_bytes()).unwrap();
    client.connect().unwrap().read_head().unwrap();
    client.reset();
    let line = wait_for_lines(1, || balancer.stdout()).remove(0);
    assert_eq!(line["forecourt.error"], "client-aborted", "{line}");
    assert_eq!(
        (
            &line["http.response.status_code"],
            &line["http.response.body.bytes"]
        ),
        (&Value::from(200), &Value::from(0))
    );
    assert!(
        line["forecourt.attempts"][0].get("cause").is_none(),
        "no fault of the backend: {line}"
    );

    client
        .send_raw(b"POST /given HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n12345")
        .unwrap();
    wait_until(DEADLINE, "the request's way to the backend", || {
        Figures::of(&balancer).sum("forecourt_backend_in_flight", &[]) == 1.0
    });
    client.reset();
    let line = wait_for_lines(2, || balancer.stdout()).remove(1);
    assert_eq!(
        (&line["forecourt.error"], &line["url.path"]),
        (&Value::from("client-aborted"), &Value::from("/given"))
    );
    let figures = wait_for_records(&balancer, 2);
    assert_eq!(
        figures.by("forecourt_requests_total", "code", &[]),
        BTreeMap::from([("aborted".to_owned(), 2.0)])
    );
    assert_eq!(figures.sum("forecourt_backend_failures_total", &[]), 0.0);
}

#[test]
fn a_line_cannot_be_forged() {
    let origin = Origin::named("a");
    let balancer = Balancer::in_front_of(&[&origin]);
    let mut client = balancer.client("web");
    client.send(&Request::get("/%0a\"},{\"url.path\":\"/no\"\\u000a").host("shop.example"));
    let lines = wait_for_lines(1, || balancer.stdout());
    assert_eq!(lines[0]["url.path"], "/%0a\"},{\"url.path\":\"/no\"\\u000a");
}

/// What proxies ask has a host in its target, and no path has one.
#[test]
fn the_path_is_a_path_in_every_form_of_target() {
    let origin = Origin::named("a");
    let balancer = Balancer::in_front_of(&[&origin]);
    let mut client = balancer.client("web");
    for (index, (method, target, path)) in [
        ("GET", "http://shop.example/a//b?to=http://c/d", "/a//b"),
        ("GET", "http://shop.example?q=/", "/"),
        ("GET", "/x?y=http://a/b", "/x"),
        ("OPTIONS", "*", "*"),
    ]
    .into_iter()
    .enumerate()
    {
        client.send(&Request::new(method, target));
        let line = wait_for_lines(index + 1, || balancer.stdout()).remove(index);
        assert_eq!(line["url.path"], path, "{method} {target}");
    }
}

/// A request that a trusted proxy has named keeps its name, also where no backend is asked.
#[test]
fn a_reply_of_our_own_has_the_name_that_a_trusted_proxy_gave() {
    let origin = Origin::named("a");
    for (trusted, kept) in [("[\"127.0.0.1\"]", true), ("[]", false)] {
        let configuration = format!(
            "[listeners.web]\naddress = \"127.0.0.1:0\"\ntrusted_proxies = {trusted}\n\
             [[routes]]\npath_prefix = \"/shop\"\npool = \"shop\"\n"
        ) + &pool("shop", "round-robin", &[&origin]);
        let balancer = Balancer::start(&configuration);
        let asked = Request::get("/elsewhere").field("x-request-id", "edge-1");
        let response = balancer.client("web").send(&asked);
        assert_eq!(response.cause(), Some("no-route"));
        let id = response.field("x-request-id").unwrap();
        assert_eq!(id == "edge-1", kept, "{id}");
        let line = wait_for_lines(1, || balancer.stdout()).remove(0);
        assert_eq!(line["http.request.id"], id);
    }
}

#[test]
fn the_log_is_opened_anew_on_sigusr1() {
    let origin = Origin::named("a");
    let configuration = Balancer::front("shop")
        + "[log.access]\npath = \"access.log\"\n\n"
        + &pool("shop", "round-robin", &[&origin]);
    let balancer = Balancer::start(&configuration);
    let (current, moved) = (
        balancer.folder().join("access.log"),
        balancer.folder().join("access.log.1"),
    );
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    let mut client = balancer.client("web");
    client.get("/before");
    wait_for_lines(1, || read(&current));
    fs::rename(&current, &moved).unwrap();
    client.get("/between");
    let lines = wait_for_lines(2, || read(&moved));
    assert_eq!(lines[1]["url.path"], "/between");
    balancer.signal(Signal::USR1);
    wait_until(DEADLINE, "the new file", || current.exists());
    client.get("/after");
    let lines = wait_for_lines(1, || read(&current));
    assert_eq!(
        (lines.len(), &lines[0]["url.path"]),
        (1, &Value::from("/after"))
    );
    assert_eq!(
        self::lines(&read(&moved)).len(),
        2,
        "nothing more goes to the old file"
    );
}
