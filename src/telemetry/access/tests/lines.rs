//! One record, one line.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::{AccessRecord, Attempt, Decision, Stamp, Times};
use super::{json_of, small};
use crate::telemetry::cause::Cause;
use crate::telemetry::words::{PickReason, StickyOutcome};

fn with_everything<'a>(attempts: &'a [Attempt<'a>], backend: &'a str) -> AccessRecord<'a> {
    AccessRecord {
        client: Some(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        request_id: b"r-1",
        route: Some("checkout"),
        pool: Some("shop"),
        backend: Some(backend),
        strategy: Some("round-robin"),
        sticky: Some(StickyOutcome::Rebound),
        error: Some(Cause::ResponseTimeout),
        status: Some(504),
        attempts,
        times: Times {
            queue: Some(Duration::from_nanos(1)),
            connect: Some(Duration::from_nanos(2)),
            first_byte: Some(Duration::from_nanos(3)),
            total: Duration::from_nanos(6),
        },
        ..small(b"/checkout")
    }
}

fn combined_of(record: &AccessRecord<'_>) -> String {
    let mut out = Vec::new();
    record.write_combined(&mut Stamp::default(), &mut out);
    String::from_utf8(out).unwrap()
}

/// With all that is logged only where the operator wants it.
fn with_all_wishes() -> AccessRecord<'static> {
    AccessRecord {
        query: b"q=1&token=REDACTED",
        referer: b"https://shop.example/",
        user_agent: b"Mozilla/5.0 (\"odd\" \\ \xff)",
        trace_id: b"0af7651916cd43dd8448eb211c80319c",
        sampled: Some(10),
        ..small(b"/checkout")
    }
}

fn text_of(record: &AccessRecord<'_>) -> String {
    let mut out = Vec::new();
    record.write_text(&mut Stamp::default(), &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_json_line_holds_every_field_flat() {
    let first = "127.0.0.1:9001";
    let second = "unix:/run/b.sock";
    let attempts = [
        Attempt {
            backend: first,
            cause: Some(Cause::ConnectRefused),
            duration: Duration::from_nanos(4),
        },
        Attempt {
            backend: second,
            cause: None,
            duration: Duration::from_nanos(5),
        },
    ];
    let line = json_of(&with_everything(&attempts, second));
    let value: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        value,
        json!({
            "@timestamp": "2026-11-21T09:30:00.007Z",
            "http.request.method": "GET",
            "url.path": "/checkout",
            "http.response.status_code": 504,
            "http.response.body.bytes": 512,
            "event.duration": 6,
            "client.ip": "::1",
            "http.request.id": "r-1",
            "forecourt.listener": "web",
            "forecourt.route": "checkout",
            "forecourt.pool": "shop",
            "forecourt.backend": "unix:/run/b.sock",
            "forecourt.strategy": "round-robin",
            "forecourt.sticky": "rebound",
            "forecourt.generation": 3,
            "forecourt.error": "response-timeout",
            "forecourt.attempts": [
                { "backend": "127.0.0.1:9001", "cause": "connect-refused", "duration": 4 },
                { "backend": "unix:/run/b.sock", "duration": 5 },
            ],
            "forecourt.times.queue": 1,
            "forecourt.times.connect": 2,
            "forecourt.times.first_byte": 3,
            "forecourt.times.total": 6,
        })
    );
}

#[test]
fn how_a_backend_came_to_be_picked_is_one_member() {
    let decision = Decision {
        reason: Some(PickReason::Sticky),
        eligible: 12,
        members: 40,
        panic: true,
    };
    let of = |decision| {
        let record = AccessRecord {
            decision: Some(decision),
            ..small(b"/")
        };
        let line: Value = serde_json::from_str(&json_of(&record)).unwrap();
        line["forecourt.decision"].clone()
    };
    assert_eq!(
        of(decision),
        json!({"eligible": 12, "members": 40, "reason": "sticky", "panic": true})
    );
    let nobody = Decision {
        reason: None,
        eligible: 0,
        members: 1,
        panic: false,
    };
    assert_eq!(of(nobody), json!({"eligible": 0, "members": 1}));
}

#[test]
fn what_is_unknown_is_absent() {
    let record = AccessRecord {
        status: None,
        client: None,
        ..small(b"/")
    };
    assert_eq!(
        json_of(&record),
        "{\"@timestamp\":\"2026-11-21T09:30:00.007Z\",\"http.request.method\":\"GET\",\"url.path\":\"/\",\
         \"http.response.body.bytes\":512,\"event.duration\":12345678,\"forecourt.listener\":\"web\",\
         \"forecourt.generation\":3,\"forecourt.times.total\":12345678}\n"
    );
    assert_eq!(
        text_of(&record),
        "2026-11-21T09:30:00.007Z - web \"GET /\" - 512B 12.345ms\n"
    );
}

#[test]
fn a_text_line_is_short_and_says_what_was_unusual() {
    let backend = "127.0.0.1:9001";
    let attempt = Attempt {
        backend,
        cause: None,
        duration: Duration::ZERO,
    };
    assert_eq!(
        text_of(&with_everything(&[attempt, attempt], backend)),
        "2026-11-21T09:30:00.007Z ::1 web \"GET /checkout\" 504 512B 0.000ms shop -> 127.0.0.1:9001 \
         sticky=rebound attempts=2 error=response-timeout id=\"r-1\"\n"
    );
    let odd = AccessRecord {
        pool: Some("a b=\""),
        listener: "",
        ..small(b"/\xff\x1b[2J\n")
    };
    assert_eq!(
        text_of(&odd),
        "2026-11-21T09:30:00.007Z 203.0.113.7 \"\" \"GET /\\ufffd\\u001b[2J\\n\" 200 512B 12.345ms \"a b=\\\"\"\n"
    );
}

#[test]
fn what_the_operator_wishes_is_in_every_form_that_has_a_place_for_it() {
    let record = with_all_wishes();
    let value: Value = serde_json::from_str(&json_of(&record)).unwrap();
    for (field, expected) in [
        ("url.query", json!("q=1&token=REDACTED")),
        ("http.request.referrer", json!("https://shop.example/")),
        (
            "user_agent.original",
            json!("Mozilla/5.0 (\"odd\" \\ \u{fffd})"),
        ),
        ("trace.id", json!("0af7651916cd43dd8448eb211c80319c")),
        ("forecourt.sample_rate", json!(0.1)),
    ] {
        assert_eq!(value[field], expected, "{field}");
    }
    assert_eq!(
        text_of(&record),
        "2026-11-21T09:30:00.007Z 203.0.113.7 web \"GET /checkout?q=1&token=REDACTED\" 200 512B 12.345ms \
         referer=\"https://shop.example/\" agent=\"Mozilla/5.0 (\\\"odd\\\" \\\\ \\ufffd)\" \
         trace=\"0af7651916cd43dd8448eb211c80319c\" sample=10%\n"
    );
    assert_eq!(
        combined_of(&record),
        "203.0.113.7 - - [21/Nov/2026:09:29:59 +0000] \"GET /checkout?q=1&token=REDACTED HTTP/1.1\" 200 512 \
         \"https://shop.example/\" \"Mozilla/5.0 (\\\"odd\\\" \\\\ \\xff)\" sample=10%\n"
    );
}

#[test]
fn a_combined_line_has_a_dash_for_what_is_not_there() {
    let nothing = AccessRecord {
        method: b"",
        status: None,
        body_bytes: 0,
        client: None,
        times: Times::default(),
        ..small(b"")
    };
    assert_eq!(
        combined_of(&nothing),
        "- - - [21/Nov/2026:09:30:00 +0000] \"-\" 499 - \"-\" \"-\"\n"
    );
}

#[test]
fn a_sampled_line_says_its_share() {
    for (percent, share) in [(0, 0.0), (1, 0.01), (5, 0.05), (10, 0.1), (99, 0.99)] {
        let record = AccessRecord {
            sampled: Some(percent),
            ..small(b"/")
        };
        let value: Value = serde_json::from_str(&json_of(&record)).unwrap();
        assert_eq!(value["forecourt.sample_rate"], json!(share), "{percent}");
    }
}

#[test]
fn stamps_are_right_over_seconds_and_before_1970() {
    let mut stamp = Stamp::default();
    for (millisecond, text) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (999, "1970-01-01T00:00:00.999Z"),
        (1_000, "1970-01-01T00:00:01.000Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (951_782_400_050, "2000-02-29T00:00:00.050Z"),
    ] {
        let mut out = Vec::new();
        stamp.write(Timestamp::from_millisecond(millisecond).unwrap(), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), text);
    }
    let mut out = Vec::new();
    stamp.write(Timestamp::MIN, &mut out);
    stamp.write(Timestamp::MAX, &mut out);
}

proptest! {
    #[test]
    fn no_bytes_break_a_line(
        method in prop::collection::vec(any::<u8>(), 0..20),
        path in prop::collection::vec(any::<u8>(), 0..80),
        spoken in ".{0,20}",
        id in prop::collection::vec(prop::sample::select(b"\"\\\r\n\0\x1b\x7f\xc2\x85\xe2\x80\xa8az \xff".to_vec()), 0..20),
    ) {
        let attempt = Attempt { backend: &spoken, cause: Some(Cause::Reset), duration: Duration::MAX };
        let record = AccessRecord {
            method: &method,
            path: &path,
            query: &path,
            referer: &path,
            user_agent: &path,
            request_id: &id,
            route: Some(&spoken),
            pool: Some(&spoken),
            backend: Some(&spoken),
            listener: &spoken,
            attempts: &[attempt],
            ..small(b"")
        };
        let line = json_of(&record);
        prop_assert!(line.strip_suffix('\n').unwrap().bytes().all(|byte| matches!(byte, b' '..=b'~')));
        let value: Value = serde_json::from_str(&line).unwrap();
        prop_assert_eq!(&value["http.request.method"], &*String::from_utf8_lossy(&method));
        prop_assert_eq!(&value["url.path"], &*String::from_utf8_lossy(&path));
        if !id.is_empty() {
            prop_assert_eq!(&value["http.request.id"], &*String::from_utf8_lossy(&id));
        }
        prop_assert_eq!(&value["forecourt.route"], &spoken);
        prop_assert_eq!(&value["forecourt.attempts"][0]["backend"], &spoken);
        prop_assert_eq!(&value["forecourt.attempts"][0]["duration"], &json!(u64::MAX));

        for line in [text_of(&record), combined_of(&record)] {
            prop_assert!(line.strip_suffix('\n').unwrap().bytes().all(|byte| matches!(byte, b' '..=b'~')));
        }
    }
}
