//! `Max-Forwards`: how far an OPTIONS or TRACE may go (RFC 9110 section 7.6.2).

use super::head::Head;
use super::method::Method;

/// What the field says to whoever is about to pass a request on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxForwards {
    /// Pass it on; if it was a number, it is one less now.
    Pass,
    /// Here it ends: it is ours to answer.
    Last,
    /// More than one field, or no number: nobody knows how far it may go.
    Malformed,
}

const NAME: &[u8] = b"max-forwards";

/// Counts one step of a request on its way. Other methods than OPTIONS and TRACE are not looked at.
pub fn step(head: &mut Head) -> MaxForwards {
    if !matches!(head.method(), Method::Options | Method::Trace) {
        return MaxForwards::Pass;
    }
    let mut fields = head
        .fields()
        .filter(|field| field.name.eq_ignore_ascii_case(NAME));
    let left = match (fields.next(), fields.next()) {
        (None, _) => return MaxForwards::Pass,
        (Some(only), None) => number(only.value),
        (Some(_), Some(_)) => None,
    };
    drop(fields);
    let Some(left) = left else {
        return MaxForwards::Malformed;
    };
    let Some(left) = left.checked_sub(1) else {
        return MaxForwards::Last;
    };
    head.remove_if(|field| field.name.eq_ignore_ascii_case(NAME));
    head.push(NAME, left.to_string().as_bytes());
    MaxForwards::Pass
}

/// Reads `1*DIGIT`. What is too large to count may go as far as we can count.
fn number(digits: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(digits).ok()?;
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::head::Version;

    #[test]
    fn each_hop_takes_one_off() {
        for (method, fields, says, left) in [
            ("OPTIONS", &["3"][..], MaxForwards::Pass, Some("2")),
            ("TRACE", &["1"], MaxForwards::Pass, Some("0")),
            ("OPTIONS", &["0"], MaxForwards::Last, Some("0")),
            ("OPTIONS", &["00"], MaxForwards::Last, Some("00")),
            ("OPTIONS", &[], MaxForwards::Pass, None),
            ("GET", &["0"], MaxForwards::Pass, Some("0")),
            ("OPTIONS", &["1", "1"], MaxForwards::Malformed, Some("1")),
            ("OPTIONS", &["-1"], MaxForwards::Malformed, Some("-1")),
            ("OPTIONS", &[""], MaxForwards::Malformed, Some("")),
            (
                "OPTIONS",
                &["99999999999999999999"],
                MaxForwards::Pass,
                Some("18446744073709551614"),
            ),
        ] {
            let mut head = Head::new();
            head.set_request(method.as_bytes(), b"/", Version::Http11);
            for value in fields {
                head.push(b"Max-Forwards", value.as_bytes());
            }
            assert_eq!(step(&mut head), says, "{method} {fields:?}");
            assert_eq!(
                head.first_named(NAME),
                left.map(str::as_bytes),
                "{fields:?}"
            );
        }
    }
}
