//! Failures as gRPC has them: in the fields of a response without content, for its clients do not read statuses of HTTP.
//!
//! Codes are those of gRPC's "HTTP to gRPC Status Code Mapping" where that fits, and otherwise what the words of its
//! "Status codes and their use" say. Two departures matter. Time that ran out once a backend had the call is
//! DEADLINE_EXCEEDED in place of UNAVAILABLE: it may have been done, and clients that are set to repeat what was
//! unavailable would do it twice, to a backend that is too slow already. And limits are RESOURCE_EXHAUSTED, so that nobody
//! knocks on them at once again.
#![warn(clippy::wildcard_enum_match_arm)]

use super::exchange::Exchange;
use super::headers;
use super::values::Asked;
use crate::message::grpc::{self, Code};
use crate::message::head::{Head, Name, Version};
use crate::telemetry::Cause;

/// The head that tells a caller of the failure; nothing follows it ("Trailers-Only").
pub(super) fn reply(cause: Cause, asked: Asked<'_>, x: &mut Exchange) -> Head {
    let id = String::from_utf8_lossy(x.request_id(asked.0, false)).into_owned();
    let mut head = x.worker.take_head();
    head.set_response(200, b"OK", Version::Http11);
    head.push(b"date", &x.worker.date());
    headers::change_response(&mut head, asked, x);
    head.remove(Name::ContentType);
    head.remove(Name::XRequestId);
    let trace = match x.trace_id() {
        b"" => String::new(),
        trace => format!(", trace {}", String::from_utf8_lossy(trace)),
    };
    let message = format!("{cause}: {} (request {id}{trace})", cause.meaning());
    let code = (code(cause) as u8).to_string();
    head.push(b"content-type", grpc::CONTENT_TYPE);
    head.push(b"grpc-status", code.as_bytes());
    head.push(b"grpc-message", &grpc::encode_message(&message));
    head.push(b"x-request-id", id.as_bytes());
    head.push(b"forecourt-error", cause.as_str().as_bytes());
    head
}

/// The code that a cause becomes.
pub fn code(cause: Cause) -> Code {
    match cause {
        Cause::ClientAborted => Code::Cancelled,
        Cause::BodyTimeout
        | Cause::ClientTooSlow
        | Cause::HeaderTimeout
        | Cause::RequestBodyTimeout
        | Cause::ResponseTimeout => Code::DeadlineExceeded,
        Cause::BodyTooLarge
        | Cause::HeadTooLarge
        | Cause::QueueFull
        | Cause::QueueTimeout
        | Cause::Shed
        | Cause::TargetTooLong
        | Cause::TooManyConnections => Code::ResourceExhausted,
        // Asked again in the same way it will not be there either.
        Cause::MethodNotAllowed | Cause::Misdirected | Cause::NoRoute => Code::Unimplemented,
        Cause::AmbiguousPath
        | Cause::BadRequest
        | Cause::BodyOverrun
        | Cause::LoopDetected
        | Cause::Protocol
        | Cause::ProxyProtocol
        | Cause::VersionUnsupported => Code::Internal,
        Cause::BadBody
        | Cause::BadStatus
        | Cause::BodyTruncated
        | Cause::Closed
        | Cause::ConnectFailed
        | Cause::ConnectRefused
        | Cause::ConnectTimeout
        | Cause::DescriptorsExhausted
        | Cause::NoBackend
        | Cause::Outrun
        | Cause::Reset
        | Cause::TlsFailed => Code::Unavailable,
    }
}
