//! What backends answer, one table a topic.

mod bodiless;
mod chunks;
mod endings;
mod fields;
mod interim;
mod lengths;
mod status_line;

use super::response::{Reply, failures, passed, refused, wanted};

/// Every case of a backend.
pub(super) fn all() -> Vec<Reply> {
    let computed = [fields::computed(), interim::computed()];
    let tables = [
        bodiless::CASES,
        chunks::CASES,
        endings::CASES,
        fields::CASES,
        interim::CASES,
        lengths::CASES,
        status_line::CASES,
    ];
    [tables.concat(), computed.concat()].concat()
}

/// What judges has to find what is wrong.
#[test]
fn a_wrong_verdict_is_found() {
    use super::response::{broken, overrun};
    let rule = "RFC 9112 §6";
    let sound = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: 1\r\n\r\nhi";
    let wrong = [
        refused("refused", rule, sound),
        broken("broken", rule, sound),
        overrun("overrun", rule, sound, wanted(200, b"hi")),
        passed("status", rule, sound, wanted(201, b"hi")),
        passed("body", rule, sound, wanted(200, b"ho")),
        passed(
            "field",
            rule,
            sound,
            wanted(200, b"hi").with(&[("x", None)]),
        ),
        passed(
            "trailer",
            rule,
            sound,
            wanted(200, b"hi").trailers(&[("a", "b")]),
        ),
        passed("interim", rule, sound, wanted(200, b"hi").interim(&[103])),
        passed("spent", rule, sound, wanted(200, b"hi")).spent(),
        passed("closed", rule, sound, wanted(200, b"hi")).closed(),
        passed(
            "sound",
            rule,
            b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
            wanted(200, b""),
        ),
    ];
    let house = super::house::House::new();
    for reply in wrong {
        assert_eq!(failures(&house, &[reply]).len(), 4, "{}", reply.name);
    }
    house.judge(&[]);
}
