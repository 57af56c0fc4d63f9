//! Responses by HTTP/2 (RFC 9113 section 8.3.2).

use http::response::Parts;
use http::{Response, StatusCode};

use super::{HeadError, adopt_fields, give_fields};
use crate::message::body::Length;
use crate::message::grpc;
use crate::message::head::{Head, Version};

/// Writes a backend's response into `head`. `most` is the limit of fields.
pub fn read(parts: &Parts, most: usize, head: &mut Head) -> Result<(), HeadError> {
    head.set_response(parts.status.as_u16(), b"", Version::Http2);
    adopt_fields(&parts.headers, most, head)
}

/// Makes a response for a client, final or interim. A body that is only announced (HEAD, 304) is announced here too.
pub fn write(head: &Head, length: Length) -> Response<()> {
    let mut response = Response::new(());
    // What a backend calls 600 and more is taken for the failure that it is.
    let status = StatusCode::from_u16(head.status()).unwrap_or(StatusCode::BAD_GATEWAY);
    *response.status_mut() = status;
    *response.version_mut() = http::Version::HTTP_2;
    let announced = match length {
        // The head of a call that ends with it is its trailer section too, where a length means nothing.
        Length::Exact(0) if grpc::is_trailers_only(head) => None,
        Length::Exact(length) => Some(length),
        Length::Absent { announced } => announced,
        Length::Unknown => None,
    };
    let may_have = status != StatusCode::NO_CONTENT && !status.is_informational();
    let announced = announced.filter(|_| may_have);
    give_fields(head, |_| true, announced, response.headers_mut());
    response
}

/// Makes the answer that opens a tunnel (RFC 8441 section 5) of the 101 that a backend gave.
pub fn open(head: &Head) -> Response<()> {
    let mut response = write(head, Length::Unknown);
    *response.status_mut() = StatusCode::OK;
    // It answers a key that was ours.
    response.headers_mut().remove("sec-websocket-accept");
    response
}
