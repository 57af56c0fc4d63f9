//! Records become spans, by the semantic conventions of OpenTelemetry for HTTP.
//!
//! The span of a request is of kind SERVER, those of its attempts are its children, of kind CLIENT. What forecourt decided
//! stands beside what the conventions know, under `forecourt`, in the words of the access log.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;

use super::finished::{Attempt, Finished};
use crate::telemetry::Cause;

/// Which process it is that tells.
pub(super) struct Identity {
    instance: String,
    host: Option<String>,
}

impl Identity {
    /// That of this process, with a name of its own.
    pub(super) fn of_process() -> Self {
        // A UUID of version 4, as the conventions recommend.
        let bits = fastrand::u128(..) & !(0xf << 76 | 0b11 << 62) | 4 << 76 | 0b10 << 62;
        let digits = format!("{bits:032x}");
        let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| &digits[part]);
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname");
        Self {
            instance: parts.join("-"),
            host: host.ok().map(|host| host.trim().to_owned()),
        }
    }
}

/// A batch as it is sent. All of it goes to the same collector, in the name of the same service.
pub(super) fn request(batch: &[Finished], identity: &Identity) -> Vec<u8> {
    let service = batch.first().map_or("", |first| &first.export.service);
    let mut resource = Attributes::default();
    resource.text("service.name", service);
    resource.text("service.version", VERSION);
    resource.text("service.instance.id", &identity.instance);
    if let Some(host) = &identity.host {
        resource.text("host.name", host);
    }
    resource.number("process.pid", std::process::id().into());
    let scope = ScopeSpans {
        scope: Some(InstrumentationScope {
            name: "forecourt".to_owned(),
            version: VERSION.to_owned(),
            ..InstrumentationScope::default()
        }),
        spans: batch.iter().flat_map(spans).collect(),
        ..ScopeSpans::default()
    };
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: resource.0,
                ..Resource::default()
            }),
            scope_spans: vec![scope],
            ..ResourceSpans::default()
        }],
    };
    request.encode_to_vec()
}

/// The span of a request, and behind it those of its attempts.
fn spans(of: &Finished) -> Vec<Span> {
    let ended = u64::try_from(of.ended.as_nanosecond()).unwrap_or_default();
    let began = ended.saturating_sub(nanoseconds(of.total));
    let mut all = Vec::with_capacity(1 + of.attempts.len());
    all.push(Span {
        trace_id: of.trace.to_vec(),
        span_id: of.span.to_be_bytes().to_vec(),
        parent_span_id: of
            .parent
            .map_or_else(Vec::new, |parent| parent.to_be_bytes().to_vec()),
        flags: SAMPLED,
        name: match &of.route {
            Some(route) => format!("{} {route}", shown_method(&of.method)),
            None => shown_method(&of.method).to_owned(),
        },
        kind: SpanKind::Server.into(),
        start_time_unix_nano: began,
        end_time_unix_nano: ended,
        attributes: of_request(of),
        status: status_of_request(of),
        ..Span::default()
    });
    let attempts = of.attempts.iter().enumerate();
    all.extend(attempts.map(|(number, attempt)| {
        let start = began + nanoseconds(attempt.begun);
        Span {
            trace_id: of.trace.to_vec(),
            span_id: attempt.span.to_be_bytes().to_vec(),
            parent_span_id: of.span.to_be_bytes().to_vec(),
            flags: SAMPLED,
            name: shown_method(&of.method).to_owned(),
            kind: SpanKind::Client.into(),
            start_time_unix_nano: start,
            end_time_unix_nano: start + nanoseconds(attempt.took),
            attributes: of_attempt(number, attempt, of),
            status: status_of_attempt(attempt),
            ..Span::default()
        }
    }));
    all
}

fn of_request(of: &Finished) -> Vec<KeyValue> {
    let mut attributes = Attributes::default();
    attributes.method(&of.method);
    attributes.bytes("url.path", &of.path);
    attributes.bytes("url.query", &of.query);
    attributes.text("url.scheme", if of.secure { "https" } else { "http" });
    let (host, port) = host_and_port(&of.host);
    attributes.bytes("server.address", host);
    if let Some(port) = port {
        attributes.number("server.port", port.into());
    }
    if let Some(client) = of.client {
        attributes.text("client.address", &client.to_string());
    }
    let version = of.protocol.strip_prefix("HTTP/").unwrap_or_default();
    let version = version
        .strip_suffix(".0")
        .filter(|version| *version != "1")
        .unwrap_or(version);
    attributes.text("network.protocol.version", version);
    attributes.bytes("user_agent.original", &of.user_agent);
    if let Some(status) = of.status {
        attributes.number("http.response.status_code", status.into());
    }
    attributes.number(
        "http.response.body.size",
        of.body_bytes.try_into().unwrap_or(i64::MAX),
    );
    attributes.bytes("http.request.id", &of.request_id);
    match (of.cause, of.status) {
        (Some(cause), _) => attributes.text("error.type", cause.as_str()),
        (None, Some(status @ 500..)) => attributes.text("error.type", &status.to_string()),
        (None, _) => {}
    }
    attributes.text("http.route", of.route.as_deref().unwrap_or_default());
    attributes.text("forecourt.listener", &of.listener);
    attributes.text("forecourt.pool", of.pool.as_deref().unwrap_or_default());
    attributes.text("forecourt.strategy", of.strategy.unwrap_or_default());
    if let Some(sticky) = of.sticky {
        attributes.text("forecourt.sticky", sticky.as_str());
    }
    attributes.number(
        "forecourt.generation",
        of.generation.try_into().unwrap_or(i64::MAX),
    );
    if let Some(decision) = of.decision {
        if let Some(reason) = decision.reason {
            attributes.text("forecourt.decision.reason", reason.as_str());
        }
        for (key, count) in [
            ("forecourt.decision.eligible", decision.eligible),
            ("forecourt.decision.members", decision.members),
        ] {
            attributes.number(key, count.try_into().unwrap_or(i64::MAX));
        }
        attributes.add("forecourt.decision.panic", Value::BoolValue(decision.panic));
    }
    attributes.0
}

fn of_attempt(number: usize, attempt: &Attempt, of: &Finished) -> Vec<KeyValue> {
    let mut attributes = Attributes::default();
    attributes.method(&of.method);
    attributes.text("server.address", &attempt.host);
    if let Some(port) = attempt.port {
        attributes.number("server.port", port.into());
    }
    if let Some(status) = attempt.status {
        attributes.number("http.response.status_code", status.into());
    }
    if number > 0 {
        attributes.number(
            "http.request.resend_count",
            number.try_into().unwrap_or(i64::MAX),
        );
    }
    match (error_of(attempt), attempt.status) {
        (Some(cause), _) => attributes.text("error.type", cause.as_str()),
        (None, Some(status @ 400..)) => attributes.text("error.type", &status.to_string()),
        (None, _) => {}
    }
    attributes.text("forecourt.backend", &attempt.backend);
    attributes.text("forecourt.pool", of.pool.as_deref().unwrap_or_default());
    attributes.text("forecourt.reason", attempt.reason.as_str());
    attributes.text("forecourt.cause", attempt.cause.map_or("", Cause::as_str));
    attributes.0
}

/// What the client did wrong is no error of a server (conventions, "Status"), but a failure of ours or of a backend is one,
/// also behind a head that was good.
fn status_of_request(of: &Finished) -> Option<Status> {
    let is_error = of.status.is_some_and(|status| status >= 500);
    match of.cause {
        Some(cause) if is_error || cause.is_of_backend() => Some(error(cause.as_str())),
        // The status code says it all.
        _ => is_error.then(|| error("")),
    }
}

/// For a client 4xx are errors too.
fn status_of_attempt(attempt: &Attempt) -> Option<Status> {
    match (error_of(attempt), attempt.status) {
        (Some(cause), _) => Some(error(cause.as_str())),
        (None, Some(400..)) => Some(error("")),
        (None, _) => None,
    }
}

/// Why the attempt failed, unless it was given up and may well have done.
fn error_of(attempt: &Attempt) -> Option<Cause> {
    let given_up = |cause: &Cause| matches!(cause, Cause::Outrun | Cause::ClientAborted);
    attempt.cause.filter(|cause| !given_up(cause))
}

fn error(message: &str) -> Status {
    Status {
        message: message.to_owned(),
        code: StatusCode::Error.into(),
    }
}

/// Keys and values; what is empty is absent.
#[derive(Default)]
struct Attributes(Vec<KeyValue>);

impl Attributes {
    fn add(&mut self, key: &str, value: Value) {
        self.0.push(KeyValue {
            key: key.to_owned(),
            value: Some(AnyValue { value: Some(value) }),
            ..KeyValue::default()
        });
    }

    fn text(&mut self, key: &str, text: &str) {
        if !text.is_empty() {
            self.add(key, Value::StringValue(text.to_owned()));
        }
    }

    /// What may be no UTF-8 is made such.
    fn bytes(&mut self, key: &str, text: &[u8]) {
        self.text(key, &String::from_utf8_lossy(text));
    }

    fn number(&mut self, key: &str, number: i64) {
        self.add(key, Value::IntValue(number));
    }

    /// The method; one that nobody knows stands beside, for whoever counts by methods is to have few of them.
    fn method(&mut self, method: &[u8]) {
        let known = known_method(method);
        self.text("http.request.method", known.unwrap_or("_OTHER"));
        if known.is_none() {
            self.bytes("http.request.method_original", method);
        }
    }
}

fn known_method(method: &[u8]) -> Option<&'static str> {
    let known = METHODS.iter().find(|known| known.as_bytes() == method);
    known.copied()
}

/// The method in the name of a span.
fn shown_method(method: &[u8]) -> &'static str {
    known_method(method).unwrap_or("HTTP")
}

fn host_and_port(field: &[u8]) -> (&[u8], Option<u16>) {
    let colon = memchr::memrchr(b':', field);
    let split = colon.and_then(|colon| {
        let port = str::from_utf8(&field[colon + 1..]).ok()?.parse().ok()?;
        Some((&field[..colon], port))
    });
    let (host, port) = split.map_or((field, None), |(host, port)| (host, Some(port)));
    let bare = host
        .strip_prefix(b"[")
        .and_then(|host| host.strip_suffix(b"]"));
    (bare.unwrap_or(host), port)
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 2)
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The trace's flag (W3C Trace Context): who is not sampled has no span here.
const SAMPLED: u32 = 1;

/// Those of RFC 9110, and PATCH (conventions, `http.request.method`).
const METHODS: [&str; 9] = [
    "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE",
];
