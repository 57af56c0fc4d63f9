//! A chunked body, read three times: by the product, whole and in pieces, by the obvious reader, by hyper.

use forecourt::h1::{BodyError, HeadError};
use forecourt::message::framing::Framing;

use crate::{oracle, ours, theirs};

/// Judges what stands behind the head of a request.
pub fn judge(bytes: &[u8]) {
    let body = ours::body(Framing::Chunked, [bytes], usize::MAX);
    for (piece, bite) in [(1, 1), (7, 3)] {
        let cut = ours::body(Framing::Chunked, bytes.chunks(piece), bite);
        assert_eq!(cut.length, body.length, "in pieces of {piece}");
        assert_eq!(cut.trailers, body.trailers, "in pieces of {piece}");
        // What had come of a broken one depends on how it came.
        if body.length.is_ok() {
            assert_eq!(cut.content, body.content, "in pieces of {piece}");
        }
    }
    let obvious = oracle::chunked(bytes);
    let length = match body.length {
        Ok(length) => length,
        Err(error) => {
            assert!(
                obvious.is_none() || is_limit(error),
                "refused without need: {error}"
            );
            return;
        }
    };
    let obvious = obvious.expect("the obvious reader refuses this body");
    assert_eq!(length, obvious.length);
    assert_eq!(body.content, obvious.content);
    assert!(body.trailers.map_or(0, |trailers| trailers.len()) <= obvious.trailers.len());

    let stream = [HEAD, &bytes[..length], NEXT].concat();
    let seen = theirs::requests(stream);
    assert_eq!(seen.len(), 2, "hyper sees another end: {seen:?}");
    assert_eq!(seen[0].content.as_ref(), Some(&body.content));
    assert_eq!(seen[1].target, "/next");
}

/// Whether it is about how much there is; the obvious reader knows no limits but those of a line.
fn is_limit(error: BodyError) -> bool {
    match error {
        BodyError::ExtensionsTooLarge => true,
        BodyError::Trailers(HeadError::FirstLineTooLong | HeadError::HeadTooLarge) => true,
        BodyError::ChunkEnd
        | BodyError::ChunkSize
        | BodyError::Extension
        | BodyError::Trailers(_)
        | BodyError::Truncated => false,
    }
}

const HEAD: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
const NEXT: &[u8] = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n";
