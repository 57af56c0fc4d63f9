//! Windows, field blocks in pieces, padding and priorities, and frames that look odd and are sound (RFC 9113 sections 4
//! to 6, RFC 7541).
#![allow(clippy::too_many_lines, reason = "tables")]

use super::case::{Case, Want, case, run, seen};
use super::frame::{
    self as f, data, frame, frame_of_length, goaway, head, reset, settings, window_update,
};
use super::frames::{FLOW, PROTOCOL, SIZE, asked, posting};
use super::raw::get;

#[test]
fn blocks_and_windows() {
    run(&cases());
}

const COMPRESSION: Want = Want::GoAway(&[f::COMPRESSION_ERROR, f::PROTOCOL_ERROR]);

pub(super) fn cases() -> Vec<Case> {
    [windows(), blocks(), padding(), sound()].concat()
}

fn windows() -> Vec<Case> {
    vec![
        case(
            "WINDOW_UPDATE by nothing",
            "RFC 9113 §6.9",
            window_update(0, 0),
            PROTOCOL,
        ),
        case(
            "WINDOW_UPDATE of a stream by nothing",
            "RFC 9113 §6.9",
            [posting(), window_update(1, 0)].concat(),
            PROTOCOL,
        ),
        case(
            "the connection's window above 2^31-1",
            "RFC 9113 §6.9.1",
            [window_update(0, 0x7fff_ffff), window_update(0, 0x7fff_ffff)].concat(),
            FLOW,
        ),
        case(
            "a stream's window above 2^31-1",
            "RFC 9113 §6.9.1",
            [posting(), window_update(1, 0x7fff_ffff)].concat(),
            Want::Reset(&[f::FLOW_CONTROL_ERROR]),
        ),
        case(
            "a first window that makes another too large",
            "RFC 9113 §6.9.2",
            [
                posting(),
                window_update(1, 0x7000_0000),
                settings(&[(f::INITIAL_WINDOW_SIZE, 0x7fff_ffff)]),
            ]
            .concat(),
            FLOW,
        ),
        case(
            "WINDOW_UPDATE behind a reset",
            "RFC 9113 §5.1",
            [posting(), reset(1, f::CANCEL), window_update(1, 5)].concat(),
            Want::Ignored,
        ),
    ]
}

/// What CONTINUATION may do, and what a field block may be.
fn blocks() -> Vec<Case> {
    let block = f::block(&[
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":authority", b"shop.example"),
        (b":path", b"/case"),
    ]);
    let (first, second) = block.split_at(20);
    let begun = frame(f::HEADERS, f::END_STREAM, 1, first);
    let rest = |flags, stream| frame(f::CONTINUATION, flags, stream, second);
    vec![
        case(
            "a head in two frames",
            "RFC 9113 §6.10",
            [begun.clone(), rest(f::END_HEADERS, 1)].concat(),
            Want::Passes(seen("GET /case")),
        ),
        case(
            "a head in two frames and nothing",
            "RFC 9113 §6.10",
            [
                begun.clone(),
                rest(0, 1),
                frame(f::CONTINUATION, f::END_HEADERS, 1, b""),
            ]
            .concat(),
            Want::Passes(seen("GET /case")),
        ),
        case(
            "a head that is interrupted by DATA",
            "RFC 9113 §4.3",
            [begun.clone(), data(1, 0, b"x")].concat(),
            PROTOCOL,
        ),
        case(
            "a head that is interrupted by PING",
            "RFC 9113 §4.3",
            [begun.clone(), frame(f::PING, 0, 0, &[0; 8])].concat(),
            PROTOCOL,
        ),
        case(
            "a head that is interrupted by what nobody knows",
            "RFC 9113 §4.3",
            [begun.clone(), frame(0x42, 0, 0, b"")].concat(),
            PROTOCOL,
        ),
        case(
            "a head that goes on on another stream",
            "RFC 9113 §6.10",
            [begun, rest(f::END_HEADERS, 3)].concat(),
            PROTOCOL,
        ),
        case(
            "CONTINUATION behind a whole head",
            "RFC 9113 §6.10",
            [posting(), frame(f::CONTINUATION, f::END_HEADERS, 1, b"")].concat(),
            PROTOCOL,
        ),
        case(
            "an index beyond the table",
            "RFC 7541 §2.3.3",
            frame(
                f::HEADERS,
                f::END_HEADERS | f::END_STREAM,
                1,
                &[0xff, 0xff, 0x03],
            ),
            COMPRESSION,
        ),
        case(
            "index zero",
            "RFC 7541 §6.1",
            frame(f::HEADERS, f::END_HEADERS | f::END_STREAM, 1, &[0x80]),
            COMPRESSION,
        ),
        case(
            "a string longer than its block",
            "RFC 7541 §5.2",
            frame(
                f::HEADERS,
                f::END_HEADERS | f::END_STREAM,
                1,
                &[0, 0x20, b'x'],
            ),
            COMPRESSION,
        ),
        case(
            "a number without end",
            "RFC 7541 §5.1",
            frame(
                f::HEADERS,
                f::END_HEADERS | f::END_STREAM,
                1,
                &[0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            ),
            COMPRESSION,
        ),
        case(
            "a table above the limit",
            "RFC 7541 §6.3",
            frame(
                f::HEADERS,
                f::END_HEADERS | f::END_STREAM,
                1,
                &[0x3f, 0xff, 0xff, 0x7f],
            ),
            COMPRESSION,
        ),
        case(
            "a change of the table behind a field",
            "RFC 7541 §4.2",
            frame(
                f::HEADERS,
                f::END_HEADERS | f::END_STREAM,
                1,
                &[0x82, 0x20, 0x84, 0x86],
            ),
            COMPRESSION,
        ),
        case(
            "a code that ends in zeros",
            "RFC 7541 §5.2",
            frame(
                f::HEADERS,
                f::END_HEADERS | f::END_STREAM,
                1,
                &[0x82, 0x84, 0x86, 0x41, 0x81, 0x00],
            ),
            COMPRESSION,
        ),
    ]
}

fn padding() -> Vec<Case> {
    let block = f::block(&[
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":authority", b"shop.example"),
        (b":path", b"/case"),
    ]);
    let padded = [&[3_u8][..], &block, &[0; 3]].concat();
    let prioritised = [&[0, 0, 0, 0, 15][..], &block].concat();
    let of_itself = [&[0, 0, 0, 1, 15][..], &block].concat();
    let whole = f::END_HEADERS | f::END_STREAM;
    vec![
        case(
            "DATA with nothing but padding that is too long",
            "RFC 9113 §6.1",
            [posting(), data(1, f::PADDED, &[5, 0, 0])].concat(),
            PROTOCOL,
        ),
        case(
            "DATA with a flag for padding and nothing else",
            "RFC 9113 §6.1",
            [posting(), data(1, f::PADDED, &[])].concat(),
            Want::GoAway(&[f::PROTOCOL_ERROR, f::FRAME_SIZE_ERROR]),
        ),
        case(
            "HEADERS with padding that is too long",
            "RFC 9113 §6.2",
            frame(f::HEADERS, f::PADDED | whole, 1, &[200, 0x82]),
            PROTOCOL,
        ),
        case(
            "a padded head and padded content",
            "RFC 9113 §6.1",
            [
                frame(f::HEADERS, f::PADDED | f::END_HEADERS, 1, &padded),
                data(1, f::PADDED | f::END_STREAM, b"\x04hello\0\0\0\0"),
            ]
            .concat(),
            Want::Passes(seen("POST /case").body(b"hello")),
        ),
        case(
            "a head with a priority",
            "RFC 9113 §5.3.2",
            frame(f::HEADERS, f::WITH_PRIORITY | whole, 1, &prioritised),
            Want::Passes(seen("POST /case")),
        ),
        case(
            "a head that depends on itself",
            "RFC 9113 §5.3.1",
            frame(f::HEADERS, f::WITH_PRIORITY | whole, 1, &of_itself),
            Want::Reset(&[f::PROTOCOL_ERROR]),
        ),
        case(
            "PRIORITY that depends on itself",
            "RFC 9113 §5.3.1",
            [posting(), frame(f::PRIORITY, 0, 1, &[0, 0, 0, 1, 9])].concat(),
            Want::Reset(&[f::PROTOCOL_ERROR]),
        ),
        case(
            "a frame that is cut by the next",
            "RFC 9113 §4.1",
            [frame_of_length(20, f::PING, 0, 0, &[0; 8]), asked()].concat(),
            SIZE,
        ),
    ]
}

/// What looks odd and is none of our business.
fn sound() -> Vec<Case> {
    let posted = |parts: &[Vec<u8>]| [posting(), parts.concat()].concat();
    vec![
        case(
            "an unknown frame",
            "RFC 9113 §4.1",
            [
                frame(0x42, 0xff, 0, b"what"),
                frame(0x43, 0, 77, b"ever"),
                asked(),
            ]
            .concat(),
            Want::Passes(seen("GET /case")),
        ),
        case(
            "flags that nobody knows",
            "RFC 9113 §4.1",
            frame(
                f::HEADERS,
                f::END_HEADERS | f::END_STREAM | 0xd0,
                1,
                &f::block(&[
                    (b":method", b"GET"),
                    (b":scheme", b"http"),
                    (b":authority", b"shop.example"),
                    (b":path", b"/case"),
                ]),
            ),
            Want::Passes(seen("GET /case")),
        ),
        case(
            "a stream with the reserved bit",
            "RFC 9113 §4.1",
            head(0x8000_0001, f::END_STREAM, &get("/case")),
            Want::Passes(seen("GET /case")),
        ),
        case(
            "PRIORITY on idle streams",
            "RFC 9113 §5.3.2",
            [
                frame(f::PRIORITY, 0, 1, &[0, 0, 0, 7, 9]),
                frame(f::PRIORITY, 0, 9, &[0x80, 0, 0, 7, 9]),
                asked(),
            ]
            .concat(),
            Want::Passes(seen("GET /case")),
        ),
        case(
            "an acknowledgement of a PING never sent",
            "RFC 9113 §6.7",
            [frame(f::PING, f::ACK, 0, &[7; 8]), asked()].concat(),
            Want::Passes(seen("GET /case")),
        ),
        case(
            "empty DATA before the end",
            "RFC 9113 §6.1",
            posted(&[
                data(1, 0, b""),
                data(1, 0, b"he"),
                data(1, 0, b""),
                data(1, 0, b"llo"),
                data(1, f::END_STREAM, b""),
            ]),
            Want::Passes(seen("POST /case").body(b"hello")),
        ),
        case(
            "GOAWAY of a client that goes on",
            "RFC 9113 §6.8",
            [
                posting(),
                goaway(0, f::NO_ERROR),
                data(1, f::END_STREAM, b"hello"),
            ]
            .concat(),
            Want::LastAnswer(seen("POST /case").body(b"hello")),
        ),
        case(
            "a request that is taken back at once",
            "RFC 9113 §6.4",
            [posting(), reset(1, f::CANCEL)].concat(),
            Want::Ignored,
        ),
    ]
}
