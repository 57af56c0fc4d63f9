//! Heads and chunks on their way out.
//!
//! The writer alone says how a message is framed: `Content-Length` and `Transfer-Encoding` of the head are
//! never written, those that follow from the body's [`Length`] are (see [`Framing::of`]).
//! All it writes is HTTP/1.1, which is also what an HTTP/1.0 client is told (RFC 9110 section 2.5).

use http::StatusCode;

use crate::message::FieldCase;
use crate::message::body::Length;
use crate::message::framing::Framing;
use crate::message::head::{FieldRef, Head, Lines, Name, Version};

/// What becomes of the client's connection after a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// It ends.
    Close,
    /// It takes another request.
    KeepAlive,
}

/// Ends the content of a chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// Appends a request's head, its field names in this case. `Connection` and `Upgrade` are written only as far
/// as they stand in `head`.
pub fn request_head(head: &Head, length: Length, case: FieldCase, out: &mut Vec<u8>) {
    out.extend_from_slice(head.method_bytes());
    out.push(b' ');
    out.extend_from_slice(head.target());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    fields(head, case, out);
    match length {
        // A length without its bytes would take the next request for them.
        Length::Absent { .. } => {}
        Length::Exact(_) | Length::Unknown => {
            let begins = out.len();
            let name = framing_field(Framing::of(length, Version::Http11), out);
            case.apply(&mut out[begins..begins + name]);
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the head of a final response, framed as [`Framing::of`] says for this length and client; a
/// response without a body announces its length if it has one to announce, but never in a 204, where
/// RFC 9110 section 8.6 forbids it.
///
/// A body that lasts until the end of the connection closes it, whatever `connection` says; `client` is told
/// `keep-alive` if its version is HTTP/1.0 and the connection stays.
pub fn response_head(
    head: &Head,
    length: Length,
    connection: Connection,
    client: Version,
    out: &mut Vec<u8>,
) {
    debug_assert!(
        head.status() >= 200,
        "interim responses have a writer of their own"
    );
    let framing = Framing::of(length, client);
    status_line(head, out);
    fields(head, FieldCase::Keep, out);
    if head.status() != 204 {
        framing_field(framing, out);
    }
    match connection {
        _ if framing == Framing::UntilClose => out.extend_from_slice(b"connection: close\r\n"),
        Connection::Close => out.extend_from_slice(b"connection: close\r\n"),
        Connection::KeepAlive if client < Version::Http11 => {
            out.extend_from_slice(b"connection: keep-alive\r\n")
        }
        Connection::KeepAlive => {}
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the head of a 1xx response; also of a 101, whose `Connection` and `Upgrade` have to stand in
/// `head`. Never for an HTTP/1.0 client (RFC 9110 section 15.2).
pub fn interim_head(head: &Head, out: &mut Vec<u8>) {
    debug_assert!(head.status() < 200);
    status_line(head, out);
    fields(head, FieldCase::Keep, out);
    out.extend_from_slice(b"\r\n");
}

/// Appends what goes before `len` bytes of a chunk, which [`CHUNK_END`] follows. `len` is not 0: a chunk of
/// no bytes is the end of the body.
pub fn chunk_head(len: usize, out: &mut Vec<u8>) {
    debug_assert!(len > 0);
    let mut shift = usize::BITS
        .saturating_sub(len.leading_zeros())
        .max(1)
        .div_ceil(4)
        * 4;
    while shift > 0 {
        shift -= 4;
        out.push(HEX[len >> shift & 0xf]);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the end of a chunked body.
pub fn last_chunk(trailers: Option<&Head>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    if let Some(trailers) = trailers {
        fields(trailers, FieldCase::Keep, out);
    }
    out.extend_from_slice(b"\r\n");
}

fn status_line(head: &Head, out: &mut Vec<u8>) {
    let status = head.status();
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
    out.push(b' ');
    if head.reason().is_empty() {
        // From HTTP/2, which has none.
        let reason = StatusCode::from_u16(status)
            .ok()
            .and_then(|status| status.canonical_reason());
        out.extend_from_slice(reason.unwrap_or_default().as_bytes());
    } else {
        out.extend_from_slice(head.reason());
    }
    out.extend_from_slice(b"\r\n");
}

fn fields(head: &Head, case: FieldCase, out: &mut Vec<u8>) {
    let is_wanted = |name| !matches!(name, Name::ContentLength | Name::TransferEncoding);
    if case != FieldCase::Keep {
        for one in head.fields().filter(|one| is_wanted(one.known)) {
            field(one, case, out);
        }
        return;
    }
    for lines in head.lines(is_wanted) {
        match lines {
            Lines::Whole(lines) => out.extend_from_slice(lines),
            Lines::Apart(one) => field(one, case, out),
        }
    }
}

fn field(field: FieldRef<'_>, case: FieldCase, out: &mut Vec<u8>) {
    debug_assert!(memchr::memchr3(b'\r', b'\n', 0, field.value).is_none());
    out.reserve(field.name.len() + field.value.len() + 4);
    let begins = out.len();
    out.extend_from_slice(field.name);
    case.apply(&mut out[begins..]);
    out.extend_from_slice(b": ");
    out.extend_from_slice(field.value);
    out.extend_from_slice(b"\r\n");
}

/// Gives the length of the field's name.
fn framing_field(framing: Framing, out: &mut Vec<u8>) -> usize {
    match framing {
        Framing::Chunked => {
            out.extend_from_slice(b"transfer-encoding: chunked\r\n");
            b"transfer-encoding".len()
        }
        Framing::Length(length) => {
            out.extend_from_slice(b"content-length: ");
            out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
            out.extend_from_slice(b"\r\n");
            b"content-length".len()
        }
        Framing::None | Framing::UntilClose => 0,
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_request_says_its_framing_once() {
        let mut head = Head::new();
        head.set_request(b"POST", b"/a?b", Version::Http10);
        head.push(b"Host", b"a");
        head.push(b"Content-Length", b"9");
        head.push(b"transfer-encoding", b"gzip");
        let text = written(|out| request_head(&head, Length::Exact(3), FieldCase::Keep, out));
        assert_eq!(
            text,
            "POST /a?b HTTP/1.1\r\nHost: a\r\ncontent-length: 3\r\n\r\n"
        );
        let text = written(|out| request_head(&head, Length::Unknown, FieldCase::Keep, out));
        assert_eq!(
            text,
            "POST /a?b HTTP/1.1\r\nHost: a\r\ntransfer-encoding: chunked\r\n\r\n"
        );
        let text = written(|out| {
            let length = Length::Absent { announced: Some(3) };
            request_head(&head, length, FieldCase::Keep, out);
        });
        assert_eq!(text, "POST /a?b HTTP/1.1\r\nHost: a\r\n\r\n");
        let text = written(|out| request_head(&head, Length::Unknown, FieldCase::Title, out));
        assert_eq!(
            text,
            "POST /a?b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
    }

    #[test]
    fn a_response_says_what_becomes_of_the_connection() {
        let mut head = Head::new();
        head.set_response(200, b"Fine", Version::Http11);
        let (keep, close) = (Connection::KeepAlive, Connection::Close);
        for (length, connection, client, fields) in [
            (
                Length::Exact(0),
                keep,
                Version::Http11,
                "content-length: 0\r\n",
            ),
            (
                Length::Exact(0),
                close,
                Version::Http11,
                "content-length: 0\r\nconnection: close\r\n",
            ),
            (
                Length::Exact(0),
                keep,
                Version::Http10,
                "content-length: 0\r\nconnection: keep-alive\r\n",
            ),
            (
                Length::Unknown,
                keep,
                Version::Http11,
                "transfer-encoding: chunked\r\n",
            ),
            (
                Length::Unknown,
                keep,
                Version::Http10,
                "connection: close\r\n",
            ),
            (
                Length::Absent { announced: None },
                keep,
                Version::Http11,
                "",
            ),
            (
                Length::Absent { announced: Some(7) },
                keep,
                Version::Http11,
                "content-length: 7\r\n",
            ),
        ] {
            let text = written(|out| response_head(&head, length, connection, client, out));
            assert_eq!(text, format!("HTTP/1.1 200 Fine\r\n{fields}\r\n"));
        }
    }

    #[test]
    fn a_missing_reason_is_filled_in() {
        let mut head = Head::new();
        head.set_response(404, b"", Version::Http2);
        let text = written(|out| {
            response_head(
                &head,
                Length::Exact(0),
                Connection::KeepAlive,
                Version::Http11,
                out,
            )
        });
        assert!(text.starts_with("HTTP/1.1 404 Not Found\r\n"), "{text}");
        head.set_response(799, b"", Version::Http2);
        let text = written(|out| {
            response_head(
                &head,
                Length::Exact(0),
                Connection::KeepAlive,
                Version::Http11,
                out,
            )
        });
        assert!(text.starts_with("HTTP/1.1 799 \r\n"), "{text}");
    }

    #[test]
    fn a_204_announces_nothing() {
        let mut head = Head::new();
        head.set_response(204, b"", Version::Http11);
        let length = Length::Absent { announced: Some(0) };
        let text = written(|out| {
            response_head(&head, length, Connection::KeepAlive, Version::Http11, out)
        });
        assert_eq!(text, "HTTP/1.1 204 No Content\r\n\r\n");
    }

    #[test]
    fn interim_heads_have_neither_framing_nor_connection() {
        let mut head = Head::new();
        head.set_response(103, b"", Version::Http11);
        head.push(b"link", b"</a.css>");
        head.push(b"content-length", b"1");
        assert_eq!(
            written(|out| interim_head(&head, out)),
            "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n"
        );
    }

    #[test]
    fn chunks_are_counted_in_hexadecimal() {
        for len in [1, 9, 15, 16, 255, 256, 0x1234_5678, usize::MAX] {
            assert_eq!(written(|out| chunk_head(len, out)), format!("{len:x}\r\n"));
        }
        let mut trailers = Head::new();
        trailers.push(b"X-Sum", b"1");
        assert_eq!(
            written(|out| last_chunk(Some(&trailers), out)),
            "0\r\nX-Sum: 1\r\n\r\n"
        );
        assert_eq!(written(|out| last_chunk(None, out)), "0\r\n\r\n");
    }
}
