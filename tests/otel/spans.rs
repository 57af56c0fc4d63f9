//! What arrives at the collector, and what backends are told.

use std::collections::BTreeSet;

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use crate::collector::{Collector, Told};
use crate::exporting;
use crate::harness::{Behaviour, Origin, Received, Request};

const ID: &str = "0af7651916cd43dd8448eb211c80319c";
const SENDER: &str = "b7ad6b7169203331";

/// A parent with these flags.
fn parent(flags: &str) -> String {
    format!("00-{ID}-{SENDER}-{flags}")
}

/// Trace, parent and flags of what a backend was told.
fn told(received: &Received) -> [String; 3] {
    let field = received.field("traceparent").expect("a parent is named");
    let parts: Vec<_> = field.split('-').collect();
    let [version, trace, span, flags] = parts[..] else {
        panic!("{field}");
    };
    assert_eq!(version, "00");
    [trace, span, flags].map(str::to_owned)
}

/// The attempts at a request: its spans without the first one.
#[track_caller]
fn attempts(spans: &[Told]) -> &[Told] {
    let (request, attempts) = spans.split_first().unwrap();
    assert_eq!(request.kind, SpanKind::Server);
    for attempt in attempts {
        assert_eq!(attempt.kind, SpanKind::Client);
        assert_eq!(attempt.parent, request.id);
        assert!(attempt.start >= request.start && attempt.end <= request.end + 1_000_000);
    }
    let ids: BTreeSet<&str> = spans.iter().map(|span| &*span.id).collect();
    assert_eq!(ids.len(), spans.len(), "each has a name of its own");
    attempts
}

#[test]
#[allow(clippy::too_many_lines, reason = "one scene, looked at from all sides")]
fn a_request_is_a_span_and_its_attempt_the_parent_of_what_the_backend_records() {
    let (collector, origin) = (Collector::new(), Origin::named("a"));
    let settings = ["", "service = \"edge\"", ""];
    let balancer = exporting(&collector, settings, &[&origin]);
    let request = Request::get("/basket?token=1").host("shop.example:8080");
    assert_eq!(balancer.client("web").send(&request).status, 200);
    let [trace, span, flags] = told(&origin.last_received());
    assert_eq!(flags, "01");
    let spans = collector.wait_for_trace(&trace);
    let [attempt] = attempts(&spans) else {
        panic!("{spans:?}");
    };
    assert_eq!((&*attempt.id, &*spans[0].parent), (&*span, ""));
    assert_eq!((&*spans[0].name, &*attempt.name), ("GET /", "GET"));
    let port = origin.address().port().to_string();
    for (span, key, value) in [
        (&spans[0], "http.request.method", "GET"),
        (&spans[0], "url.path", "/basket"),
        (&spans[0], "url.query", ""),
        (&spans[0], "url.scheme", "http"),
        (&spans[0], "server.address", "shop.example"),
        (&spans[0], "server.port", "8080"),
        (&spans[0], "client.address", "127.0.0.1"),
        (&spans[0], "network.protocol.version", "1.1"),
        (&spans[0], "user_agent.original", ""),
        (&spans[0], "http.response.status_code", "200"),
        (&spans[0], "http.response.body.size", "1"),
        (&spans[0], "http.route", "/"),
        (&spans[0], "error.type", ""),
        (&spans[0], "forecourt.listener", "web"),
        (&spans[0], "forecourt.pool", "shop"),
        (&spans[0], "forecourt.strategy", "round-robin"),
        (&spans[0], "forecourt.generation", "1"),
        (&spans[0], "forecourt.decision.reason", "strategy"),
        (&spans[0], "forecourt.decision.eligible", "1"),
        (&spans[0], "forecourt.decision.members", "1"),
        (&spans[0], "forecourt.decision.panic", "false"),
        (attempt, "http.request.method", "GET"),
        (attempt, "server.address", "127.0.0.1"),
        (attempt, "server.port", &port),
        (attempt, "http.response.status_code", "200"),
        (attempt, "http.request.resend_count", ""),
        (attempt, "error.type", ""),
        (attempt, "forecourt.reason", "strategy"),
    ] {
        assert_eq!(span.get(key), value, "{key}");
    }
    assert!(!spans[0].is_error && !attempt.is_error);
    let received = origin.last_received();
    assert_eq!(
        spans[0].get("http.request.id"),
        received.field("x-request-id").unwrap()
    );
    let [post] = &collector.posts()[..] else {
        panic!("one batch");
    };
    assert!(
        post.head.starts_with("POST /v1/traces HTTP/1.1\r\n"),
        "{}",
        post.head
    );
    assert!(
        post.head
            .contains("content-type: application/x-protobuf\r\n")
    );
    assert_eq!(post.resource["service.name"], "edge");
    assert_eq!(post.resource["service.version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(post.resource["service.instance.id"].len(), 36);
}

#[test]
fn the_decision_of_who_began_the_trace_is_followed() {
    let (collector, origin) = (Collector::new(), Origin::named("a"));
    let balancer = exporting(&collector, ["sample = \"0%\"", "", ""], &[&origin]);
    let mut client = balancer.client("web");
    let mut seen = |parent: Option<&str>| {
        let mut request = Request::get("/").field("tracestate", "a=1");
        if let Some(parent) = parent {
            request = request.field("traceparent", parent);
        }
        client.send(&request);
        origin.last_received()
    };
    // Not sampled: told as it came, or begun as such.
    let unsampled = seen(Some(&parent("00")));
    assert_eq!(unsampled.field("traceparent"), Some(&*parent("00")));
    assert_eq!(told(&seen(None))[2], "00");
    let later = parent("03").replacen("00", "cc", 1) + "-more";
    for (came, flags) in [(parent("01"), "01"), (later, "03"), (parent("ff"), "03")] {
        let received = seen(Some(&came));
        let [trace, span, said] = told(&received);
        assert_eq!((&*trace, &*said), (ID, flags));
        assert_ne!(span, SENDER, "the attempt is the parent");
        assert_eq!(received.field("tracestate"), Some("a=1"));
        let known = received
            .fields
            .0
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("traceparent"));
        assert_eq!(known.count(), 1);
    }
    let requests = collector.wait_for_requests(3);
    assert_eq!(requests.len(), 3);
    let from_sender = |span: &Told| span.trace == ID && span.parent == SENDER;
    assert!(requests.iter().all(from_sender), "{requests:?}");
}

#[test]
fn with_restart_no_client_is_believed_and_with_pass_no_trace_begins() {
    let origin = Origin::named("a");
    for (context, begun, exported) in [("restart", 1, 0), ("pass", 0, 1)] {
        let collector = Collector::new();
        let settings = format!("context = \"{context}\"");
        let sample = if begun > 0 { "sample = \"0%\"" } else { "" };
        let trace = format!("{settings}\n{sample}");
        let mut balancer = exporting(&collector, [&trace, "", ""], &[&origin]);
        let mut client = balancer.client("web");
        client.send(&Request::get("/").field("traceparent", &parent("01")));
        assert_eq!(told(&origin.last_received())[0] == ID, exported > 0);
        client.send(&Request::get("/"));
        let field = origin
            .last_received()
            .field("traceparent")
            .map(str::to_owned);
        assert_eq!(field.is_some(), begun > 0);
        client.close();
        // The end sends all there is.
        balancer.signal(rustix::process::Signal::TERM);
        balancer.wait_for_exit(crate::harness::DEADLINE);
        let requests: Vec<_> = collector.spans();
        assert_eq!(requests.len(), 2 * exported, "{context}: {requests:?}");
    }
}

#[test]
fn those_are_exported_whose_backends_are_told_to_record() {
    let (collector, origin) = (Collector::new(), Origin::named("a"));
    let mut balancer = exporting(&collector, ["sample = \"50%\"", "", ""], &[&origin]);
    let mut client = balancer.client("web");
    for _ in 0..64 {
        client.get("/");
    }
    let received = origin.received();
    let sampled = received
        .iter()
        .map(told)
        .filter(|[_, _, flags]| flags == "01");
    let sampled: BTreeSet<(String, String)> =
        sampled.map(|[trace, span, _]| (trace, span)).collect();
    assert!(
        (1..64).contains(&sampled.len()),
        "one in 2^63 times it is not"
    );
    client.close();
    balancer.signal(rustix::process::Signal::TERM);
    balancer.wait_for_exit(crate::harness::DEADLINE);
    let spans = collector.spans().into_iter();
    let attempts = spans.filter(|span| span.kind == SpanKind::Client);
    let exported: BTreeSet<_> = attempts.map(|span| (span.trace, span.id)).collect();
    assert_eq!(exported, sampled);
}

#[test]
fn each_attempt_is_a_child_and_its_backend_is_told_of_it_alone() {
    let collector = Collector::new();
    let (bad, mut gone, good) = (
        Origin::named("bad"),
        Origin::named("gone"),
        Origin::named("good"),
    );
    bad.behave(Behaviour::Status(503));
    gone.refuse();
    let retry = "[pools.shop.retry]\non = [\"connect\", \"503\"]\nattempts = 3\n";
    let balancer = exporting(&collector, ["", "", retry], &[&bad, &gone, &good]);
    // In turn, from anywhere: the third one begins with the bad one.
    for _ in 0..3 {
        let response = balancer.client("web").get("/");
        assert_eq!((response.status, response.origin()), (200, "good"));
    }
    let [trace, ..] = told(&good.last_received());
    let spans = collector.wait_for_trace(&trace);
    let [first, second, third] = attempts(&spans) else {
        panic!("{spans:?}");
    };
    assert_eq!(
        told(&bad.last_received())[..2],
        [trace.clone(), first.id.clone()]
    );
    assert_eq!(told(&good.last_received())[..2], [trace, third.id.clone()]);
    let shown = |span: &Told| {
        let keys = [
            "http.response.status_code",
            "error.type",
            "forecourt.reason",
            "http.request.resend_count",
        ];
        keys.map(|key| span.get(key)).join(" ") + if span.is_error { " error" } else { "" }
    };
    assert_eq!(shown(first), "503 503 strategy  error");
    assert_eq!(shown(second), " connect-refused retry 1 error");
    assert_eq!(shown(third), "200  retry 2");
    assert!(
        !spans[0].is_error,
        "what counts is what the client was sent"
    );
    assert_eq!(spans[0].get("forecourt.decision.reason"), "retry");
    assert_eq!(second.get("server.port"), gone.address().port().to_string());
}

#[test]
fn a_hedge_is_a_child_beside_the_one_that_it_outran() {
    let collector = Collector::new();
    let (stuck, good) = (Origin::named("stuck"), Origin::named("good"));
    stuck.behave(Behaviour::Hang);
    let retry = "[pools.shop.retry]\nhedge = \"30ms\"\n";
    let balancer = exporting(&collector, ["", "", retry], &[&stuck, &good]);
    let mut client = balancer.client("web");
    // In turn: one of the two begins with the one that hangs.
    for _ in 0..2 {
        assert_eq!(client.get("/").origin(), "good");
    }
    let [trace, outrun, _] = told(&stuck.last_received());
    let spans = collector.wait_for_trace(&trace);
    let [first, second] = attempts(&spans) else {
        panic!("{spans:?}");
    };
    assert_eq!(first.id, outrun);
    assert_eq!(
        (first.get("forecourt.cause"), first.is_error),
        ("outrun", false)
    );
    assert_eq!(
        (second.get("forecourt.reason"), second.is_error),
        ("hedge", false)
    );
    assert_eq!(second.get("http.response.status_code"), "200");
    let of_good = good.received();
    assert!(
        of_good
            .iter()
            .map(told)
            .any(|[of, span, _]| of == trace && span == second.id)
    );
    assert!(!spans[0].is_error);
}

#[test]
fn errors_are_said_by_the_conventions() {
    let collector = Collector::new();
    let mut origin = Origin::named("a");
    origin.on("/missing", Behaviour::Status(404));
    origin.on("/broken", Behaviour::Status(500));
    origin.on("/cut", Behaviour::CutBody);
    let routes = "[[routes]]\nname = \"never\"\nhosts = [\"other.example\"]\npath_prefix = \"/\"\npool = \"shop\"\n";
    let balancer = exporting(&collector, ["", "", routes], &[&origin]);
    let mut client = balancer.client("web");
    for path in ["/missing", "/broken"] {
        client.get(path);
    }
    let _ = balancer.client("web").try_send(&Request::get("/cut"));
    client.send(&Request::new("BREW", "/pot"));
    origin.refuse();
    origin.close_connections();
    balancer.client("web").get("/gone");
    let requests = collector.wait_for_requests(5);
    let all = collector.spans();
    let shown = |path: &str| {
        let request = requests
            .iter()
            .find(|span| span.get("url.path") == path)
            .unwrap();
        let attempt = all.iter().find(|span| span.parent == request.id).unwrap();
        [request, attempt].map(|span| {
            let error = if span.is_error { "error" } else { "well" };
            format!("{error} {}", span.get("error.type"))
        })
    };
    assert_eq!(shown("/missing"), ["well ", "error 404"]);
    assert_eq!(shown("/broken"), ["error 500", "error 500"]);
    assert_eq!(
        shown("/cut"),
        ["error body-truncated", "error body-truncated"]
    );
    assert_eq!(
        shown("/gone"),
        ["error connect-refused", "error connect-refused"]
    );
    let strange = requests
        .iter()
        .find(|span| span.get("url.path") == "/pot")
        .unwrap();
    assert_eq!(strange.get("http.request.method"), "_OTHER");
    assert_eq!(strange.get("http.request.method_original"), "BREW");
    assert_eq!(strange.name, "HTTP /");
}

#[test]
fn spans_have_of_a_request_what_the_log_may_have() {
    let (collector, origin) = (Collector::new(), Origin::named("a"));
    for (log, wanted) in [
        ("path = \"off\"\nclient_ip = \"off\"", ["", "", ""]),
        (
            "client_ip = \"truncated\"\nquery = true\nredact = [\"token\"]\nheaders = [\"user-agent\"]",
            ["127.0.0.0", "a=b&token=REDACTED", "curl/8"],
        ),
    ] {
        let log = format!("[log.access]\n{log}\n");
        let balancer = exporting(&collector, ["", "", &log], &[&origin]);
        let request = Request::get("/x?a=b&token=hush").field("user-agent", "curl/8");
        let request = request
            .field("cookie", "hush=1")
            .field("authorization", "hush");
        balancer.client("web").send(&request);
        let spans = collector.wait_for_trace(&told(&origin.last_received())[0]);
        let keys = ["client.address", "url.query", "user_agent.original"];
        assert_eq!(keys.map(|key| spans[0].get(key)), wanted);
        assert_eq!(spans[0].get("url.path"), "/x");
        assert!(!format!("{spans:?}").contains("hush"), "{spans:?}");
    }
}

#[test]
fn a_route_that_hides_the_trace_hides_it_of_each_attempt() {
    let (collector, origin) = (Collector::new(), Origin::named("a"));
    let pool = crate::harness::pool("shop", "round-robin", &[&origin]);
    let endpoint = collector.endpoint();
    let balancer = crate::harness::Balancer::start(&format!(
        "[trace.export]\nendpoint = \"{endpoint}\"\n{}request_headers = {{ remove = [\"traceparent\"] }}\n{pool}",
        crate::harness::Balancer::front("shop")
    ));
    balancer.client("web").get("/");
    assert_eq!(origin.last_received().field("traceparent"), None);
    assert_eq!(collector.wait_for_requests(1).len(), 1);
}
