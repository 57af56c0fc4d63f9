//! Limits of a head: exactly there, and one beyond.

use super::kept;
use crate::hostile::request::{Case, passed, refused, run, seen};

#[test]
fn limits() {
    run(&computed());
}

/// The default of `header_bytes`.
const HEAD: usize = 32 * 1024;
/// The default of `headers`.
const FIELDS: usize = 100;

/// A head of exactly this length, filled up by a field.
fn with_field(length: usize) -> &'static [u8] {
    let (start, end) = ("GET /case HTTP/1.1\r\nHost: a\r\nX: ", "\r\n\r\n");
    kept(format!(
        "{start}{}{end}",
        "x".repeat(length - start.len() - end.len())
    ))
}

/// A head of exactly this length, filled up by its target, and that target's request line.
fn with_target(length: usize) -> (&'static [u8], &'static str) {
    let (start, end) = ("GET /case?", " HTTP/1.1\r\nHost: a\r\n\r\n");
    let filling = "x".repeat(length - start.len() - end.len());
    (
        kept(format!("{start}{filling}{end}")),
        format!("GET /case?{filling}").leak(),
    )
}

/// A head of so many fields, `Host` among them.
fn with_fields(count: usize) -> &'static [u8] {
    kept(format!(
        "GET /case HTTP/1.1\r\nHost: a\r\n{}\r\n",
        "x: y\r\n".repeat(count - 1)
    ))
}

pub(super) fn computed() -> Vec<Case> {
    [sizes(), targets(), counts(), endless()].concat()
}

fn sizes() -> Vec<Case> {
    vec![
        passed(
            "head at the limit",
            "RFC 9112 §5",
            with_field(HEAD),
            seen("GET /case"),
        ),
        refused(
            "head over the limit",
            "RFC 9110 §5.4",
            431,
            with_field(HEAD + 1),
        ),
        refused(
            "head far over the limit",
            "RFC 9110 §5.4",
            431,
            with_field(10 * HEAD),
        ),
    ]
}

fn targets() -> Vec<Case> {
    let (longest, line) = with_target(HEAD);
    let (too_long, _) = with_target(HEAD + 1);
    let (far_too_long, _) = with_target(HEAD + 100);
    vec![
        passed("target at the limit", "RFC 9112 §3", longest, seen(line)),
        refused("target that leaves no room", "RFC 9110 §5.4", 431, too_long),
        refused(
            "target over the limit",
            "RFC 9110 §15.5.15",
            414,
            far_too_long,
        ),
    ]
}

fn counts() -> Vec<Case> {
    let sound = seen("GET /case");
    vec![
        passed(
            "as many fields as are taken",
            "RFC 9110 §5.4",
            with_fields(FIELDS),
            sound,
        ),
        refused(
            "one field too many",
            "RFC 9110 §5.4",
            431,
            with_fields(FIELDS + 1),
        ),
        refused(
            "very many fields",
            "RFC 9110 §5.4",
            431,
            with_fields(20 * FIELDS),
        ),
    ]
}

fn endless() -> Vec<Case> {
    let of = |start: &str, filling: &str| {
        kept(format!(
            "{start}{}",
            filling.repeat(2 * HEAD / filling.len())
        ))
    };
    let (value, name) = (
        "GET /case HTTP/1.1\r\nHost: a\r\nX: ",
        "GET /case HTTP/1.1\r\nHost: a\r\n",
    );
    vec![
        refused(
            "target without an end",
            "RFC 9110 §15.5.15",
            414,
            of("GET /", "a"),
        ),
        refused("method without an end", "RFC 9112 §3", 414, of("", "A")),
        refused("value without an end", "RFC 9110 §5.4", 431, of(value, "a")),
        refused("name without an end", "RFC 9110 §5.4", 431, of(name, "a")),
        refused(
            "fields without an end",
            "RFC 9110 §5.4",
            431,
            of(name, "a: b\r\n"),
        ),
    ]
}
