//! Bodies: each rule with the body that breaks it, every place to cut one, and the bounds.

use super::{BodyError, Decoded, Decoder, HeadError, Outcome, read_body};
use crate::h1::limits::CHUNK_LINE_BYTES;
use crate::message::framing::Framing;

fn chunked(bytes: &[u8]) -> Outcome {
    read_body(Framing::Chunked, [bytes], usize::MAX)
}

#[test]
fn malformed_chunks_are_refused() {
    for (bytes, error) in [
        (&b"\r\n"[..], BodyError::ChunkSize),
        (b"+3\r\nabc\r\n", BodyError::ChunkSize),
        (b"-1\r\n", BodyError::ChunkSize),
        (b"0x3\r\nabc\r\n", BodyError::ChunkSize),
        (b" 3\r\nabc\r\n", BodyError::ChunkSize),
        (b"3 \r\nabc\r\n", BodyError::ChunkSize),
        (b"3 ;a\r\nabc\r\n", BodyError::ChunkSize),
        (b"3\nabc\r\n", BodyError::ChunkSize),
        (b"3\rabc\r\n", BodyError::ChunkSize),
        (b"g\r\n", BodyError::ChunkSize),
        (b"8000000000000000\r\n", BodyError::ChunkSize),
        (b"10000000000000000\r\n", BodyError::ChunkSize),
        (b"00000000000000000\r\n", BodyError::ChunkSize),
        (b"3;\r\nabc\r\n", BodyError::Extension),
        (b"3;a\nabc\r\n", BodyError::Extension),
        (b"3;a\rb\r\nabc\r\n", BodyError::Extension),
        (b"3;a=\r\nabc\r\n", BodyError::Extension),
        (b"3;a=\"b\r\nabc\r\n", BodyError::Extension),
        (b"3;a=\"\0\"\r\nabc\r\n", BodyError::Extension),
        (b"3;a \r\nabc\r\n", BodyError::Extension),
        (b"3\r\nabcd\r\n", BodyError::ChunkEnd),
        (b"3\r\nabc\n", BodyError::ChunkEnd),
        (b"3\r\nabc0\r\n\r\n", BodyError::ChunkEnd),
        (b"3\r\nabc\r0\r\n\r\n", BodyError::ChunkEnd),
        (b"0\r\n\n", BodyError::Trailers(HeadError::BareLf)),
        (
            b"0\r\n folded\r\n\r\n",
            BodyError::Trailers(HeadError::StartLine),
        ),
        (
            b"0\r\nA : b\r\n\r\n",
            BodyError::Trailers(HeadError::FieldName),
        ),
        (
            b"0\r\nA: \0\r\n\r\n",
            BodyError::Trailers(HeadError::FieldValue),
        ),
        (b"0\r\nA: b\n\r\n", BodyError::Trailers(HeadError::BareLf)),
        (
            b"0\r\nA: b\rc\r\n\r\n",
            BodyError::Trailers(HeadError::FieldValue),
        ),
        (b"3\r\nab", BodyError::Truncated),
        (b"3\r\nabc\r\n0\r\n", BodyError::Truncated),
        (b"0\r\nA: b\r\n", BodyError::Truncated),
        (b"", BodyError::Truncated),
    ] {
        let outcome = chunked(bytes);
        assert_eq!(outcome.length, Err(error), "{}", bytes.escape_ascii());
        // Byte by byte is the same.
        assert_eq!(
            read_body(Framing::Chunked, bytes.chunks(1), 1),
            outcome,
            "{}",
            bytes.escape_ascii()
        );
    }
}

#[test]
fn a_body_is_the_same_wherever_it_is_cut() {
    let bytes = b"5\r\nhello\r\n00b;x=\"\\\"y\";z\r\n, wide worl\r\n0\r\nX-Sum: 1\r\nHost: evil\r\n\r\nGET /";
    let expected = Outcome {
        content: b"hello, wide worl".to_vec(),
        length: Ok(bytes.len() - b"GET /".len()),
        trailers: Some(vec![(b"X-Sum".to_vec(), b"1".to_vec())]),
    };
    for first in 0..bytes.len() {
        for second in first..bytes.len() {
            let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
            for bite in [1, 2, 7, usize::MAX] {
                assert_eq!(
                    read_body(Framing::Chunked, pieces, bite),
                    expected,
                    "{first} {second} {bite}"
                );
            }
        }
    }
}

#[test]
fn extensions_are_bounded_by_line_and_by_body() {
    let line = |length: usize| [b"1;", "a".repeat(length - 4).as_bytes(), b"\r\n"].concat();
    let longest = [line(CHUNK_LINE_BYTES), b"x\r\n0\r\n\r\n".to_vec()].concat();
    assert_eq!(chunked(&longest).length, Ok(longest.len()));
    let longer = [line(CHUNK_LINE_BYTES + 1), b"x\r\n0\r\n\r\n".to_vec()].concat();
    assert_eq!(chunked(&longer).length, Err(BodyError::ExtensionsTooLarge));
    let endless = "1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n".repeat(1000);
    assert_eq!(
        chunked(endless.as_bytes()).length,
        Err(BodyError::ExtensionsTooLarge)
    );
    // As many as there is content: signed uploads are so.
    let signed = format!(
        "400;chunk-signature={}\r\n{}\r\n",
        "f".repeat(64),
        "x".repeat(1024)
    )
    .repeat(1000)
        + "0\r\n\r\n";
    assert_eq!(chunked(signed.as_bytes()).length, Ok(signed.len()));
}

#[test]
fn trailers_are_bounded() {
    let many = |n: usize| format!("0\r\n{}\r\n", "a: b\r\n".repeat(n));
    assert_eq!(chunked(many(32).as_bytes()).length, Ok(many(32).len()));
    assert_eq!(
        chunked(many(33).as_bytes()).length,
        Err(BodyError::Trailers(HeadError::TooManyFields))
    );
    let large = format!("0\r\na: {}\r\nb: {0}\r\n\r\n", "x".repeat(8 * 1024));
    assert_eq!(
        chunked(large.as_bytes()).length,
        Err(BodyError::Trailers(HeadError::FirstLineTooLong))
    );
    let pieces = large.as_bytes().chunks(100);
    let error = Err(BodyError::Trailers(HeadError::FirstLineTooLong));
    assert_eq!(read_body(Framing::Chunked, pieces, 1).length, error);
}

#[test]
fn counted_bodies_end_at_their_count() {
    let outcome = read_body(Framing::Length(5), [&b"hel"[..], b"loGET /"], 2);
    assert_eq!(
        (outcome.content, outcome.length),
        (b"hello".to_vec(), Ok(5))
    );
    assert_eq!(
        read_body(Framing::Length(5), [&b"hell"[..]], 9).length,
        Err(BodyError::Truncated)
    );
    assert_eq!(read_body(Framing::None, [&b"GET /"[..]], 9).length, Ok(0));
    assert_eq!(
        read_body(Framing::Length(0), [&b"GET /"[..]], 9).length,
        Ok(0)
    );
    let mut decoder = Decoder::new(Framing::Length(u64::MAX));
    assert_eq!(decoder.decode(b"ab"), Ok(Decoded::Data { skip: 0, len: 2 }));
    decoder.consume(1);
    assert_eq!(decoder.remaining_length(), Some(u64::MAX - 1));
    assert!(!decoder.is_end());
}

#[test]
fn an_open_body_ends_with_the_connection() {
    let outcome = read_body(Framing::UntilClose, [&b"hel"[..], b"lo"], 2);
    assert_eq!(
        (outcome.content, outcome.length),
        (b"hello".to_vec(), Ok(5))
    );
    let mut decoder = Decoder::new(Framing::UntilClose);
    assert_eq!(decoder.remaining_length(), None);
    assert_eq!(decoder.at_eof(), Ok(()));
    assert_eq!(decoder.decode(b""), Ok(Decoded::End { skip: 0 }));
}

#[test]
fn framing_is_named_as_early_as_it_shows() {
    let mut decoder = Decoder::new(Framing::Chunked);
    assert_eq!(decoder.decode(b"5\r"), Ok(Decoded::More { skip: 0 }));
    assert_eq!(decoder.decode(b"5\r\n"), Ok(Decoded::More { skip: 3 }));
    assert_eq!(
        decoder.decode(b"5\r\nhe"),
        Ok(Decoded::Data { skip: 3, len: 2 })
    );
    decoder.consume(3);
    decoder.consume(2);
    assert_eq!(
        decoder.decode(b"llo\r"),
        Ok(Decoded::Data { skip: 0, len: 3 })
    );
    decoder.consume(3);
    assert_eq!(
        decoder.decode(b"\r\n0\r\n\r\n"),
        Ok(Decoded::End { skip: 7 })
    );
    assert!(!decoder.is_end());
    decoder.consume(7);
    assert!(decoder.is_end());
    assert!(decoder.trailers().is_none());
    assert_eq!(decoder.decode(b"GET"), Ok(Decoded::End { skip: 0 }));
}
