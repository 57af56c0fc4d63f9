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
    let bad = target
        .iter()
        .fold(false, |bad, &byte| bad | !is_target_byte(byte));
    !bad && !target.is_empty()
}

/// Whether a byte may stand in a target, as [`is_target`] has it.
pub fn is_target_byte(byte: u8) -> bool {
    byte > b' ' && byte < 0x7f && byte != b'#'
}

/// Whether two names of fields are one to a program that gets fields as variables: there all that is neither letter nor
/// digit becomes an underscore, and case is lost (RFC 3875 section 4.1.18).
pub fn same_variable(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && starts_as_variable(one, other)
}

/// Whether a name begins as another one to such a program.
pub fn starts_as_variable(name: &[u8], start: &[u8]) -> bool {
    let fold = |byte: u8| match byte {
        _ if byte.is_ascii_alphanumeric() => byte.to_ascii_lowercase(),
        _ => b'_',
    };
    let mut both = name.iter().zip(start);
    name.len() >= start.len() && both.all(|(found, wanted)| fold(*found) == fold(*wanted))
}

/// Number of bytes at the front that each may be one of these. For names, which are short.
#[inline]
pub fn length_of(bytes: &[u8], is_one: impl Fn(u8) -> bool) -> usize {
    let mut at = 0;
    // By eights, so that the compiler writes out the steps of each.
    while let Some(eight) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        for (place, byte) in eight.iter().enumerate() {
            if !is_one(*byte) {
                return at + place;
            }
        }
        at += eight.len();
    }
    let rest = bytes.get(at..).unwrap_or_default();
    let end = rest.iter().position(|byte| !is_one(*byte));
    at + end.unwrap_or(rest.len())
}

/// Length of the text at the front that may stand in a field's value or in a reason phrase: all but control characters,
/// of which the tab may (RFC 9110 section 5.5).
pub fn text_length(bytes: &[u8]) -> usize {
    let mut at = 0;
    // Many bytes at once, while there is no control character among them; few values are long enough for that.
    if bytes.first_chunk::<16>().is_some_and(has_no_control) {
        at += 16;
        while let Some(block) = bytes.get(at..).and_then(<[u8]>::first_chunk::<32>)
            && has_no_control(block)
        {
            at += block.len();
        }
    }
    while let Some(eight) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        match first_control(u64::from_le_bytes(*eight)) {
            8 => at += 8,
            place if eight[place] == b'\t' => at += place + 1,
            place => return at + place,
        }
    }
    let rest = bytes.get(at..).unwrap_or_default();
    at + length_of(rest, |byte| !byte.is_ascii_control() || byte == b'\t')
}

/// No early exit, so that the compiler can look at all bytes at once.
fn has_no_control<const N: usize>(bytes: &[u8; N]) -> bool {
    let controls = bytes.iter().fold(0, |controls, byte| {
        controls | u8::from(*byte < b' ') | u8::from(*byte == 0x7f)
    });
    controls == 0
}

/// The place of the first control character among eight bytes, counted from the low end; 8 if there is none.
fn first_control(word: u64) -> usize {
    const EACH: u64 = u64::from_le_bytes([1; 8]);
    const TOP: u64 = EACH << 7;
    // A byte that borrows marks itself in its top bit; what it does to those above it comes too late to matter.
    let below_space = word.wrapping_sub(EACH * 0x20) & !word;
    let unlike_delete = word ^ (EACH * 0x7f);
    let is_delete = unlike_delete.wrapping_sub(EACH) & !unlike_delete;
    ((below_space | is_delete) & TOP).trailing_zeros() as usize / 8
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
    fn text_ends_at_the_first_control_character_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            let is_text = byte == b'\t' || !byte.is_ascii_control();
            for length in 0..20 {
                for place in 0..length {
                    let mut text = vec![b'a'; length];
                    text[place] = byte;
                    // One behind it changes nothing, nor do bytes that are nearly one.
                    text[length - 1] = if place + 1 == length { byte } else { 0 };
                    let end = if is_text && place + 1 < length {
                        length - 1
                    } else {
                        place
                    };
                    let end = end + usize::from(is_text && place + 1 == length);
                    assert_eq!(text_length(&text), end, "{byte} at {place} of {length}");
                }
            }
        }
        for pair in [[0x80, 0x7f], [0xff, 0x1f], [0xa0, 0x00], [0x20, 0x7f]] {
            let text = [[b'~'; 5].as_slice(), &pair, &[b'~'; 9]].concat();
            assert_eq!(text_length(&text), 6, "{pair:?}");
        }
    }

    #[test]
    fn lists_skip_empty_elements() {
        let found: Vec<_> = elements(b" , a ,\tb,,c d ").collect();
        assert_eq!(found, [&b"a"[..], b"b", b"c d"]);
    }
}
