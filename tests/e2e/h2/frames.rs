//! Frames: what each kind may be, and where it may stand (RFC 9113 sections 3 to 6).
#![allow(clippy::too_many_lines, reason = "tables")]

use super::case::{Case, Want, case, run, seen};
use super::frame::{self as f, data, frame, head, reset, settings, window_update};
use super::raw::{get, request};

#[test]
fn frames() {
    run(&cases());
}

pub(super) const PROTOCOL: Want = Want::GoAway(&[f::PROTOCOL_ERROR]);
/// The library has one code for most of what is wrong in a frame, where the RFC has several; the end is the same.
pub(super) const SIZE: Want = Want::GoAway(&[f::FRAME_SIZE_ERROR, f::PROTOCOL_ERROR]);
pub(super) const FLOW: Want = Want::GoAway(&[f::FLOW_CONTROL_ERROR, f::PROTOCOL_ERROR]);
const BEHIND: Want = Want::GoAwayBehind(&[f::STREAM_CLOSED, f::PROTOCOL_ERROR]);
const CLOSED: Want = Want::GoAway(&[f::STREAM_CLOSED, f::PROTOCOL_ERROR]);

pub(super) fn cases() -> Vec<Case> {
    [connection(), sizes(), streams(), settings_cases()].concat()
}

/// A GET on stream 1.
pub(super) fn asked() -> Vec<u8> {
    head(1, f::END_STREAM, &get("/case"))
}

/// The head of a POST on stream 1.
pub(super) fn posting() -> Vec<u8> {
    head(1, 0, &request("POST", "/case"))
}

fn connection() -> Vec<Case> {
    vec![
        case(
            "a preface that breaks off into something else",
            "RFC 9113 §3.4",
            &b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n\0\0\0\x04\0\0\0\0\0"[..],
            Want::Closed,
        )
        .ungreeted(),
        case(
            "a preface with a request in place of settings",
            "RFC 9113 §3.4",
            [f::PREFACE, &asked()].concat(),
            Want::Passes(seen("GET /case")),
        )
        .ungreeted(),
        case(
            "a preface with an acknowledgement behind it",
            "RFC 9113 §3.4",
            [f::PREFACE, &frame(f::SETTINGS, f::ACK, 0, b"")].concat(),
            PROTOCOL,
        )
        .ungreeted(),
        case(
            "GOAWAY on a stream",
            "RFC 9113 §6.8",
            frame(f::GOAWAY, 0, 1, &[0; 8]),
            PROTOCOL,
        ),
        case(
            "GOAWAY too short",
            "RFC 9113 §6.8",
            frame(f::GOAWAY, 0, 0, &[0; 7]),
            SIZE,
        ),
        case(
            "PING on a stream",
            "RFC 9113 §6.7",
            frame(f::PING, 0, 1, &[0; 8]),
            PROTOCOL,
        ),
        case(
            "PING too short",
            "RFC 9113 §6.7",
            frame(f::PING, 0, 0, &[0; 6]),
            SIZE,
        ),
        case(
            "PING too long",
            "RFC 9113 §6.7",
            frame(f::PING, 0, 0, &[0; 9]),
            SIZE,
        ),
        case(
            "PUSH_PROMISE of a client",
            "RFC 9113 §8.4",
            [
                posting(),
                frame(f::PUSH_PROMISE, f::END_HEADERS, 1, &[0, 0, 0, 2]),
            ]
            .concat(),
            PROTOCOL,
        ),
    ]
}

fn sizes() -> Vec<Case> {
    vec![
        case(
            "DATA over the limit",
            "RFC 9113 §4.2",
            [posting(), data(1, f::END_STREAM, &[b'x'; 16_385])].concat(),
            SIZE,
        ),
        case(
            "HEADERS over the limit",
            "RFC 9113 §4.2",
            frame(f::HEADERS, f::END_HEADERS, 1, &[0; 16_385]),
            SIZE,
        ),
        case(
            "unknown frame over the limit",
            "RFC 9113 §4.2",
            frame(0x42, 0, 0, &[0; 16_385]),
            SIZE,
        ),
        case(
            "PRIORITY too short",
            "RFC 9113 §6.3",
            frame(f::PRIORITY, 0, 1, &[0; 4]),
            SIZE,
        ),
        case(
            "RST_STREAM too short",
            "RFC 9113 §6.4",
            [posting(), frame(f::RST_STREAM, 0, 1, &[0; 3])].concat(),
            SIZE,
        ),
        case(
            "RST_STREAM too long",
            "RFC 9113 §6.4",
            [posting(), frame(f::RST_STREAM, 0, 1, &[0; 5])].concat(),
            SIZE,
        ),
        case(
            "WINDOW_UPDATE too short",
            "RFC 9113 §6.9",
            frame(f::WINDOW_UPDATE, 0, 0, &[0, 0, 1]),
            SIZE,
        ),
        case(
            "SETTINGS of no whole number",
            "RFC 9113 §6.5",
            frame(f::SETTINGS, 0, 0, &[0; 5]),
            SIZE,
        ),
        case(
            "acknowledgement with settings",
            "RFC 9113 §6.5",
            frame(f::SETTINGS, f::ACK, 0, &[0, 3, 0, 0, 0, 9]),
            SIZE,
        ),
    ]
}

fn streams() -> Vec<Case> {
    let even = head(2, f::END_STREAM, &get("/case"));
    let again = |stream| head(stream, f::END_STREAM, &get("/case"));
    vec![
        case(
            "DATA on the connection",
            "RFC 9113 §6.1",
            data(0, 0, b"x"),
            PROTOCOL,
        ),
        case(
            "DATA on an idle stream",
            "RFC 9113 §5.1",
            data(1, f::END_STREAM, b"x"),
            PROTOCOL,
        ),
        case(
            "HEADERS on the connection",
            "RFC 9113 §6.2",
            head(0, f::END_STREAM, &get("/case")),
            PROTOCOL,
        ),
        case(
            "a stream of an even number",
            "RFC 9113 §5.1.1",
            even,
            PROTOCOL,
        ),
        case(
            "PRIORITY on the connection",
            "RFC 9113 §6.3",
            frame(f::PRIORITY, 0, 0, &[0; 5]),
            PROTOCOL,
        ),
        case(
            "RST_STREAM on the connection",
            "RFC 9113 §6.4",
            reset(0, f::CANCEL),
            PROTOCOL,
        ),
        case(
            "RST_STREAM on an idle stream",
            "RFC 9113 §6.4",
            reset(1, f::CANCEL),
            PROTOCOL,
        ),
        case(
            "WINDOW_UPDATE on an idle stream",
            "RFC 9113 §5.1",
            window_update(1, 1),
            PROTOCOL,
        ),
        case(
            "CONTINUATION on the connection",
            "RFC 9113 §6.10",
            frame(f::CONTINUATION, f::END_HEADERS, 0, b""),
            PROTOCOL,
        ),
        case(
            "HEADERS in the middle of a body, with no end",
            "RFC 9113 §8.1",
            [posting(), data(1, 0, b"x"), head(1, 0, &[("x-late", "1")])].concat(),
            Want::Reset(&[f::PROTOCOL_ERROR]),
        ),
        case(
            "a stream below one that was opened",
            "RFC 9113 §5.1.1",
            [head(5, 0, &request("POST", "/hang")), again(3)].concat(),
            CLOSED,
        ),
        case(
            "DATA behind the end",
            "RFC 9113 §5.1",
            [
                posting(),
                data(1, f::END_STREAM, b""),
                data(1, f::END_STREAM, b"x"),
            ]
            .concat(),
            BEHIND,
        ),
        case(
            "HEADERS behind the end",
            "RFC 9113 §5.1",
            [posting(), data(1, f::END_STREAM, b""), again(1)].concat(),
            BEHIND,
        ),
    ]
}

fn settings_cases() -> Vec<Case> {
    vec![
        case(
            "SETTINGS on a stream",
            "RFC 9113 §6.5",
            frame(f::SETTINGS, 0, 1, b""),
            PROTOCOL,
        ),
        case(
            "push neither on nor off",
            "RFC 9113 §6.5.2",
            settings(&[(2, 2)]),
            PROTOCOL,
        ),
        case(
            "a window above 2^31-1",
            "RFC 9113 §6.5.2",
            settings(&[(f::INITIAL_WINDOW_SIZE, 1 << 31)]),
            FLOW,
        ),
        case(
            "frames smaller than may be",
            "RFC 9113 §6.5.2",
            settings(&[(f::MAX_FRAME_SIZE, 16_383)]),
            PROTOCOL,
        ),
        case(
            "frames larger than may be",
            "RFC 9113 §6.5.2",
            settings(&[(f::MAX_FRAME_SIZE, 1 << 24)]),
            PROTOCOL,
        ),
        case(
            "an acknowledgement of nothing",
            "RFC 9113 §6.5",
            [
                frame(f::SETTINGS, f::ACK, 0, b""),
                frame(f::SETTINGS, f::ACK, 0, b""),
            ]
            .concat(),
            Want::GoAway(&[f::PROTOCOL_ERROR]),
        ),
        case(
            "a setting that nobody knows",
            "RFC 9113 §6.5.2",
            settings(&[(0x7777, 1)]),
            Want::Ignored,
        ),
        case(
            "settings that change again and again",
            "RFC 9113 §6.5.3",
            [
                settings(&[(f::INITIAL_WINDOW_SIZE, 10)]),
                settings(&[(f::INITIAL_WINDOW_SIZE, 100_000)]),
                asked(),
            ]
            .concat(),
            Want::Passes(seen("GET /case")),
        ),
        case(
            "no table for fields",
            "RFC 7541 §4.2",
            [settings(&[(1, 0)]), asked()].concat(),
            Want::Passes(seen("GET /case")),
        ),
    ]
}
