//! The character classes and lists of HTTP that several files need (RFC 9110 section 5.6).

/// Whether a byte may stand in a token: a method, a field name, a parameter's name.
pub fn is_token_byte(byte: u8) -> bool {
    TOKEN[byte as usize]
}

/// Whether `text` is a token; the empty text is none.
pub fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| is_token_byte(*byte))
}

/// Whether a request target is made of bytes that only one reading allows.
///
/// Refused are control characters, space, DEL, all that is not ASCII, and `#`: the first end the request
/// line or the line itself for some reader, bytes above 127 are taken in several encodings, and a
/// fragment is never sent, so one reader cuts it off where another routes by it. RFC 3986 forbids
/// ``"<>\^`{|}`` as well, but browsers following the WHATWG URL standard send most of them raw in
/// queries, no reader takes them for a delimiter, and refusing them would refuse shoppers.
pub fn is_target(target: &[u8]) -> bool {
    // No early exit, so that the compiler can look at many bytes at once.
    let bad = target.iter().fold(false, |bad, &byte| {
        bad | (byte <= b' ') | (byte >= 0x7f) | (byte == b'#')
    });
    !bad && !target.is_empty()
}

/// The text without the spaces and tabs around it.
pub fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// The elements of a comma-separated list; empty ones are skipped (RFC 9110 section 5.6.1). Only for lists
/// whose elements hold no quoted strings.
pub fn elements(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == b',')
        .map(trim)
        .filter(|element| !element.is_empty())
}

const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let marks = b"!#$%&'*+-.^_`|~";
    let mut mark = 0;
    while mark < marks.len() {
        table[marks[mark] as usize] = true;
        mark += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_told_from_delimiters() {
        assert!(is_token(b"X-Odd_Name!"));
        for text in [&b""[..], b"a b", b"a:", b"a(", b"\xe4", b"a\0"] {
            assert!(!is_token(text), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn targets_take_what_browsers_send_and_nothing_that_is_read_in_two_ways() {
        for target in [&b"/"[..], b"/a?q={\"a\":[1|2]}^`<>\\", b"*", b"/%20"] {
            assert!(is_target(target), "{}", target.escape_ascii());
        }
        for target in [
            &b""[..],
            b"/ ",
            b"/#a",
            b"/\x7f",
            b"/\xc3\xa4",
            b"/\t",
            b"/\0",
        ] {
            assert!(!is_target(target), "{}", target.escape_ascii());
        }
    }

    #[test]
    fn lists_skip_empty_elements() {
        let found: Vec<_> = elements(b" , a ,\tb,,c d ").collect();
        assert_eq!(found, [&b"a"[..], b"b", b"c d"]);
    }
}
