//! What went wrong, and the only three questions that are asked of it.
//!
//! No wildcard arms here: a new cause must make the compiler visit each question.
#![warn(clippy::wildcard_enum_match_arm)]

use http::StatusCode;

use crate::message::body::BodyFailure;
use crate::telemetry::Cause;
use crate::upstream::SendError;

/// Why an exchange has no response from a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct Failure {
    /// What happened.
    pub cause: Cause,
    /// Whether a byte of the request may have reached a backend.
    pub sent: bool,
    /// Whether a reused connection ended without a byte of response.
    pub stale: bool,
    /// Whether the backend answered others while no connection came about.
    pub lives: bool,
}

/// Whose failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client's.
    Client,
    /// Ours: the configuration, or a limit of ours.
    Forecourt,
    /// The backend's.
    Upstream,
}

/// Whether the request may be sent once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// No backend has seen it.
    Always,
    /// It may have been acted on, and there is no answer: once more does no harm if it is idempotent.
    IfIdempotent,
    /// There is an answer, of whatever kind, or it is the client's or our own doing.
    Never,
}

impl Failure {
    /// A failure before anything was sent.
    pub fn before(cause: Cause) -> Self {
        Self {
            cause,
            sent: false,
            stale: false,
            lives: false,
        }
    }

    /// The status of the reply.
    pub fn status(&self) -> StatusCode {
        status(self.cause)
    }

    /// Whose failure it is.
    pub fn side(&self) -> Side {
        match self.cause {
            Cause::AmbiguousPath
            | Cause::BadRequest
            | Cause::BodyTooLarge
            | Cause::ClientAborted
            | Cause::ClientTooSlow
            | Cause::HeadTooLarge
            | Cause::HeaderTimeout
            | Cause::MethodNotAllowed
            | Cause::Misdirected
            | Cause::NoRoute
            | Cause::ProxyProtocol
            | Cause::RequestBodyTimeout
            | Cause::TargetTooLong
            | Cause::TooManyConnections
            | Cause::VersionUnsupported => Side::Client,
            Cause::DescriptorsExhausted
            | Cause::LoopDetected
            | Cause::NoBackend
            | Cause::Outrun
            | Cause::QueueFull
            | Cause::QueueTimeout
            | Cause::Shed => Side::Forecourt,
            Cause::BadBody
            | Cause::BadStatus
            | Cause::BodyOverrun
            | Cause::BodyTimeout
            | Cause::BodyTruncated
            | Cause::Closed
            | Cause::ConnectFailed
            | Cause::ConnectRefused
            | Cause::ConnectTimeout
            | Cause::Protocol
            | Cause::Reset
            | Cause::ResponseTimeout
            | Cause::TlsFailed => Side::Upstream,
        }
    }

    /// Whether the request may be sent once more. A new cause that says nothing of it is not sent again.
    pub fn replay(&self) -> Replay {
        let is_unanswered = matches!(
            self.cause,
            Cause::Closed | Cause::Reset | Cause::ResponseTimeout
        );
        match self.side() {
            Side::Client | Side::Forecourt => Replay::Never,
            Side::Upstream if !self.sent => Replay::Always,
            Side::Upstream if is_unanswered => Replay::IfIdempotent,
            Side::Upstream => Replay::Never,
        }
    }
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        Self {
            cause: error.cause,
            sent: error.sent,
            stale: error.stale,
            lives: error.lives,
        }
    }
}

/// The status of the reply to a cause.
pub fn status(cause: Cause) -> StatusCode {
    match cause {
        Cause::AmbiguousPath | Cause::BadRequest | Cause::ClientAborted | Cause::ProxyProtocol => {
            StatusCode::BAD_REQUEST
        }
        Cause::NoRoute => StatusCode::NOT_FOUND,
        Cause::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Cause::ClientTooSlow | Cause::HeaderTimeout | Cause::RequestBodyTimeout => {
            StatusCode::REQUEST_TIMEOUT
        }
        Cause::Misdirected => StatusCode::MISDIRECTED_REQUEST,
        Cause::TooManyConnections => StatusCode::TOO_MANY_REQUESTS,
        Cause::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Cause::TargetTooLong => StatusCode::URI_TOO_LONG,
        Cause::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        Cause::VersionUnsupported => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
        Cause::DescriptorsExhausted
        | Cause::NoBackend
        | Cause::Outrun
        | Cause::QueueFull
        | Cause::QueueTimeout
        | Cause::Shed => StatusCode::SERVICE_UNAVAILABLE,
        Cause::LoopDetected => StatusCode::LOOP_DETECTED,
        Cause::ConnectTimeout | Cause::ResponseTimeout | Cause::BodyTimeout => {
            StatusCode::GATEWAY_TIMEOUT
        }
        Cause::BadBody
        | Cause::BadStatus
        | Cause::BodyOverrun
        | Cause::BodyTruncated
        | Cause::Closed
        | Cause::ConnectFailed
        | Cause::ConnectRefused
        | Cause::Protocol
        | Cause::Reset
        | Cause::TlsFailed => StatusCode::BAD_GATEWAY,
    }
}

/// The cause that an answer cut on its way is recorded with.
pub(super) fn cause_of_cut(failure: BodyFailure) -> Cause {
    match failure {
        BodyFailure::Cut | BodyFailure::Cancelled | BodyFailure::Exhausted => Cause::BodyTruncated,
        BodyFailure::Malformed => Cause::Protocol,
        BodyFailure::Overrun | BodyFailure::TooLarge => Cause::BodyOverrun,
        // Backends have a time, and no rate.
        BodyFailure::TimedOut | BodyFailure::TooSlow => Cause::BodyTimeout,
    }
}
