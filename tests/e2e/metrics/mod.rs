//! What is counted, under the names that dashboards know, and what is logged of each request.
//!
//! In reading order: this file (metrics after known traffic), [`figures`] (a strict reader of scrapes),
//! [`access_log`], [`log_forms`] (what of a request is logged, and how), [`traces`].
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod access_log;
mod figures;
mod log_forms;
mod traces;

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) use figures::{Figures, wait_for_records};

use crate::harness::{Balancer, Behaviour, Client, DEADLINE, Origin, Request, pool, wait_until};

#[test]
#[allow(clippy::too_many_lines, reason = "one scene, looked at from all sides")]
fn a_new_instance_shows_all_that_applies_and_counts_nothing() {
    let origin = Origin::named("a");
    let balancer = Balancer::in_front_of(&[&origin]);
    let figures = Figures::of(&balancer);
    let address = origin.address().to_string();
    let of_backend = [("pool", "shop"), ("backend", address.as_str())];
    for (name, labels, value) in [
        ("forecourt_backend_up", &of_backend[..], 1.0),
        ("forecourt_backend_weight", &of_backend, 1.0),
        ("forecourt_backend_in_flight", &of_backend, 0.0),
        ("forecourt_config_generation", &[], 1.0),
        ("forecourt_config_generations_alive", &[], 1.0),
        ("forecourt_connections", &[("listener", "web")], 0.0),
        ("forecourt_log_dropped_total", &[], 0.0),
    ] {
        assert_eq!(figures.those(name, labels).count(), 1, "{name}");
        assert_eq!(figures.sum(name, labels), value, "{name}");
    }
    // So that a first failure is a rise from 0, which `rate` needs, and not a series out of nothing.
    for (name, label, values) in [
        (
            "forecourt_backend_failures_total",
            "cause",
            &[
                "connect-refused",
                "connect-timeout",
                "connect-failed",
                "tls-failed",
                "reset",
                "closed",
                "protocol",
                "response-timeout",
                "body-truncated",
                "body-overrun",
                "body-timeout",
            ][..],
        ),
        (
            "forecourt_backend_requests_total",
            "code",
            &["1xx", "2xx", "3xx", "4xx", "5xx", "aborted"],
        ),
        (
            "forecourt_backend_picks_total",
            "reason",
            &["strategy", "sticky", "retry", "panic", "hedge"],
        ),
        (
            "forecourt_backend_connections",
            "state",
            &["active", "idle"],
        ),
    ] {
        for value in values {
            let labels = [of_backend[0], of_backend[1], (label, *value)];
            assert_eq!(figures.those(name, &labels).count(), 1, "{name} {value}");
            assert_eq!(figures.sum(name, &labels), 0.0, "{name} {value}");
        }
        assert_eq!(figures.those(name, &[]).count(), values.len(), "{name}");
    }
    for result in ["ok", "refused", "reverted"] {
        assert_eq!(
            figures
                .those("forecourt_config_reloads_total", &[("result", result)])
                .count(),
            1,
            "{result}"
        );
    }
    for result in ["ok", "client-alert", "failed", "timed-out"] {
        let labels = [("listener", "web"), ("result", result)];
        assert_eq!(
            figures
                .those("forecourt_tls_handshakes_total", &labels)
                .count(),
            1
        );
    }
    for outcome in ["ok", "failed", "none-left"] {
        let labels = [("pool", "shop"), ("outcome", outcome)];
        assert_eq!(figures.those("forecourt_retries_total", &labels).count(), 1);
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs_f64();
    let applied = figures.sum(
        "forecourt_config_last_reload_success_timestamp_seconds",
        &[],
    );
    assert!((now - 3600.0..=now + 1.0).contains(&applied), "{applied}");
    for name in [
        "process_open_fds",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
    ] {
        assert!(figures.sum(name, &[]) > 0.0, "{name}");
    }
}

#[test]
#[allow(clippy::too_many_lines, reason = "one scene, looked at from all sides")]
fn known_traffic_makes_known_figures() {
    let (a, b) = (Origin::named("a"), Origin::named("b"));
    let configuration = format!(
        "[admin]\naddress = \"127.0.0.1:0\"\n[listeners.web]\naddress = \"127.0.0.1:0\"\n\
         [[routes]]\nname = \"basket\"\nhosts = [\"shop.example\"]\npath_prefix = \"/basket\"\npool = \"basket\"\n\
         [[routes]]\nhosts = [\"shop.example\"]\npath_prefix = \"/\"\npool = \"shop\"\n{}{}",
        pool("shop", "round-robin", &[&a]),
        pool("basket", "least-connections", &[&b]),
    );
    let balancer = Balancer::start(&configuration);
    let mut client = balancer.client("web");
    for (path, status, times) in [
        ("/1", 200, 3),
        ("/2", 302, 2),
        ("/3", 404, 1),
        ("/4", 503, 2),
    ] {
        a.on(path, Behaviour::Status(status));
        for _ in 0..times {
            assert_eq!(client.get(path).status, status);
        }
    }
    for _ in 0..4 {
        client.send(&Request::post("/basket/1", b"one more"));
    }
    assert_eq!(
        client
            .send(&Request::get("/").host("unknown.example"))
            .cause(),
        Some("no-route")
    );
    let figures = wait_for_records(&balancer, 13);
    let codes = |name, labels: &[_]| {
        let codes = figures.by(name, "code", labels);
        codes
            .iter()
            .map(|(code, count)| format!("{code} {count}"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let routes = figures.by("forecourt_requests_total", "route", &[("listener", "web")]);
    assert_eq!(routes.values().sum::<f64>(), 13.0);
    assert_eq!(
        codes("forecourt_requests_total", &[("route", "basket")]),
        "2xx 4"
    );
    assert_eq!(
        codes("forecourt_requests_total", &[("route", "shop.example/")]),
        "2xx 3, 3xx 2, 4xx 1, 5xx 2"
    );
    assert_eq!(
        codes("forecourt_requests_total", &[]),
        "2xx 7, 3xx 2, 4xx 2, 5xx 2"
    );
    assert_eq!(
        codes("forecourt_backend_requests_total", &[("pool", "shop")]),
        "2xx 3, 3xx 2, 4xx 1, 5xx 2"
    );
    assert_eq!(
        codes("forecourt_backend_requests_total", &[("pool", "basket")]),
        "2xx 4"
    );
    for (pool, origin, count) in [("shop", &a, 8.0), ("basket", &b, 4.0)] {
        let address = origin.address().to_string();
        let labels = [("pool", pool), ("backend", address.as_str())];
        assert_eq!(
            figures.by("forecourt_backend_picks_total", "reason", &labels),
            BTreeMap::from([("strategy".to_owned(), count)])
        );
        assert_eq!(
            figures.sum("forecourt_backend_request_duration_seconds_count", &labels),
            count
        );
        assert!(figures.sum("forecourt_backend_request_duration_seconds_sum", &labels) > 0.0);
        assert_eq!(
            figures.by("forecourt_backend_connections", "state", &labels),
            BTreeMap::from([("idle".to_owned(), 1.0)])
        );
        assert_eq!(
            figures.sum("forecourt_backend_failures_total", &labels),
            0.0
        );
        assert_eq!(figures.sum("forecourt_backend_in_flight", &labels), 0.0);
    }
    assert_eq!(
        figures.sum(
            "forecourt_request_duration_seconds_count",
            &[("listener", "web")]
        ),
        13.0
    );
    assert_eq!(
        figures.sum("forecourt_connections", &[("listener", "web")]),
        1.0
    );
    client.close();
    wait_until(DEADLINE, "the connection's end", || {
        Figures::of(&balancer).sum("forecourt_connections", &[]) == 0.0
    });
}

#[test]
fn what_is_under_way_shows() {
    let origin = Origin::named("a");
    origin.behave(Behaviour::Gated);
    let balancer = Balancer::in_front_of(&[&origin]);
    let mut clients: Vec<Client> = (0..3).map(|_| balancer.client("web")).collect();
    for client in &mut clients {
        client.send_raw(&Request::get("/").to_bytes()).unwrap();
    }
    origin.wait_for_requests(3);
    let figures = Figures::of(&balancer);
    assert_eq!(
        figures.sum("forecourt_backend_in_flight", &[("pool", "shop")]),
        3.0
    );
    assert_eq!(
        figures.by("forecourt_backend_connections", "state", &[]),
        BTreeMap::from([("active".to_owned(), 3.0)])
    );
    assert_eq!(figures.sum("forecourt_connections", &[]), 3.0);
    assert_eq!(figures.sum("forecourt_requests_total", &[]), 0.0);
    origin.open_gate();
    for client in &mut clients {
        assert_eq!(client.read_response("GET").unwrap().status, 200);
    }
    let figures = wait_for_records(&balancer, 3);
    assert_eq!(figures.sum("forecourt_backend_in_flight", &[]), 0.0);
}

#[test]
fn labels_come_from_the_configuration_and_never_from_clients() {
    let origin = Origin::named("a");
    let balancer = Balancer::in_front_of(&[&origin]);
    let mut client = balancer.client("web");
    client.send(
        &Request::new("BREW", "/pots")
            .host("marker-host.example")
            .field("x-marker", "marker"),
    );
    client.send(
        &Request::get("/marker-path")
            .field("cookie", "marker=1")
            .field("user-agent", "marker"),
    );
    wait_for_records(&balancer, 2);
    assert!(!balancer.admin("/metrics").text().contains("marker"));
}

#[test]
fn a_reload_is_counted_by_its_result() {
    let origin = Origin::named("a");
    let configuration = Balancer::front("shop") + &pool("shop", "round-robin", &[&origin]);
    let balancer = Balancer::start(&configuration);
    let wait = |result, generation| {
        wait_until(DEADLINE, result, || {
            let figures = Figures::of(&balancer);
            figures.sum("forecourt_config_reloads_total", &[("result", result)]) == 1.0
                && figures.sum("forecourt_config_generation", &[]) == generation
        });
    };
    balancer.reload(&configuration.replace("round-robin", "random"));
    wait("ok", 2.0);
    balancer.reload(&configuration.replace("round-robin", "chance"));
    wait("refused", 2.0);
    assert_eq!(balancer.client("web").get("/").origin(), "a");
}
