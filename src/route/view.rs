//! A path as it is seen when it is compared: one spelling for each path.
//!
//! Whoever routes on the raw text lets `//admin`, `/x/../admin` and `/%61dmin` pass by a route for
//! `/admin`, while the backend resolves them to just that. So both sides of the comparison are brought
//! to one form, near to what backends make of a path. Unless the listener's [`PathRules`] say otherwise:
//!
//! - escapes are decoded, but for `%2F` and `%25`, which stay (in upper case): a slash that is data does
//!   not end a segment, and the result cannot be decoded once more into something else. A `%` that
//!   starts no escape is taken for `%25`;
//! - runs of slashes become one;
//! - then `.` and `..` are resolved (RFC 3986 section 5.2.4), never above the root;
//! - an empty path is `/` (RFC 9110 section 4.2.3).
//!
//! A slash at the end stays: `/a` and `/a/` are two paths. Bringing to the form twice changes nothing.

use smallvec::SmallVec;

use super::rules::{Ambiguous, DotSegments, EncodedSlashes, PathRules, RepeatedSlashes};
use crate::message::grammar::length_of;

/// Where a view is written if the path is not in its form already. Longer ones go to the heap.
pub type Room = SmallVec<[u8; 256]>;

/// Gives the view of `raw`, a path without its query: nearly always `raw` itself, else written into `room`.
/// What does not start with a slash (`*`) is left as it is.
///
/// # Errors
/// If the path can be read in more than one way and the rules refuse that; `%00` is always refused.
pub fn of<'a>(raw: &'a [u8], rules: PathRules, room: &'a mut Room) -> Result<&'a [u8], Ambiguous> {
    match raw.first() {
        None => Ok(b"/"),
        Some(b'/') if is_plain(raw, rules) => Ok(raw),
        Some(b'/') => {
            resolve(raw, rules, Decoded::All, room)?;
            Ok(room)
        }
        Some(_) => Ok(raw),
    }
}

/// The view of a path of the configuration, which is checked and free of doubts.
pub(super) fn of_pattern<'a>(written: &'a str, room: &'a mut Room) -> &'a [u8] {
    let raw = written.as_bytes();
    of(raw, PathRules::default(), room).unwrap_or(raw)
}

/// Which escapes are written out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decoded {
    /// All but `%2F` and `%25`: for comparing.
    All,
    /// Those of unreserved characters, of which no reader minds whether they are escaped (RFC 3986
    /// section 2.3): for sending.
    Unreserved,
}

/// Whether each `%` starts an escape.
pub(super) fn escapes_are_whole(path: &[u8]) -> bool {
    let starts = memchr::memchr_iter(b'%', path);
    starts
        .into_iter()
        .all(|at| escape(&path[at + 1..]).is_some())
}

/// Whether there is no `//`, `.` or `..` to resolve, written out or as escapes.
pub(super) fn is_resolved(path: &[u8]) -> bool {
    let strict = PathRules {
        dot_segments: DotSegments::Reject,
        repeated_slashes: RepeatedSlashes::Reject,
        ..PathRules::default()
    };
    let doubt = resolve(path, strict, Decoded::All, &mut Room::new());
    !matches!(doubt, Err(Ambiguous::DotSegment | Ambiguous::RepeatedSlash))
}

/// Whether nothing needs a second look. A name that starts with a dot does, and is rare.
pub(super) fn is_plain(path: &[u8], rules: PathRules) -> bool {
    let mut rest = path;
    loop {
        let segment = length_of(rest, |byte| !matches!(byte, b'/' | b'%'));
        match &rest[segment..] {
            [] => break,
            [b'%', ..] | [_, b'/' | b'.', ..] => return false,
            [_, behind @ ..] => rest = behind,
        }
    }
    rules.encoded_slashes != EncodedSlashes::Reject || memchr::memchr(b'\\', path).is_none()
}

/// Writes a path that starts with a slash into `room`, segment by segment.
pub(super) fn resolve(
    path: &[u8],
    rules: PathRules,
    decoded: Decoded,
    room: &mut Room,
) -> Result<(), Ambiguous> {
    room.clear();
    room.push(b'/');
    let mut segment = 1;
    let mut rest = path.strip_prefix(b"/").unwrap_or(path);
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'/' => segment = end(room, segment, rules, false)?,
            b'\\' if rules.encoded_slashes == EncodedSlashes::Reject => {
                return Err(Ambiguous::EncodedSlash);
            }
            b'%' => match escape(after) {
                None if rules.refuses() => return Err(Ambiguous::Percent),
                None => room.extend_from_slice(b"%25"),
                Some(byte) => {
                    rest = &after[2..];
                    match (byte, rules.encoded_slashes) {
                        (0, _) => return Err(Ambiguous::Nul),
                        (b'/' | b'\\', EncodedSlashes::Reject) => {
                            return Err(Ambiguous::EncodedSlash);
                        }
                        (b'/', EncodedSlashes::Decode) => {
                            segment = end(room, segment, rules, false)?
                        }
                        _ => put(byte, decoded, room),
                    }
                }
            },
            _ => room.push(byte),
        }
    }
    end(room, segment, rules, true).map(drop)
}

/// Ends the segment that began at `start`, with a slash unless it is the last; gives the start of the next.
fn end(room: &mut Room, start: usize, rules: PathRules, last: bool) -> Result<usize, Ambiguous> {
    let start = match (&room[start..], rules.dot_segments) {
        (b"." | b"..", DotSegments::Reject) => return Err(Ambiguous::DotSegment),
        (b".", DotSegments::Resolve) => {
            room.truncate(start);
            return Ok(start);
        }
        (b"..", DotSegments::Resolve) => {
            // Without the slash before the segment: what stands behind the one before that is its parent.
            let parent = memchr::memrchr(b'/', &room[..start - 1]).map_or(1, |slash| slash + 1);
            room.truncate(parent);
            return Ok(parent);
        }
        (b"", _) if !last => match rules.repeated_slashes {
            RepeatedSlashes::Merge => return Ok(start),
            RepeatedSlashes::Reject => return Err(Ambiguous::RepeatedSlash),
            RepeatedSlashes::Keep => start,
        },
        _ => start,
    };
    if last {
        return Ok(start);
    }
    room.push(b'/');
    Ok(room.len())
}

/// Writes the byte that an escape stands for, as an escape or as itself.
fn put(byte: u8, decoded: Decoded, room: &mut Room) {
    let plain = match decoded {
        Decoded::All => !matches!(byte, b'%' | b'/'),
        Decoded::Unreserved => is_unreserved(byte),
    };
    if plain {
        room.push(byte);
    } else {
        let digit = |half: u8| HEX[usize::from(half)];
        room.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 0xf)]);
    }
}

/// Whether a character means the same escaped and not (RFC 3986 section 2.3).
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// The byte that the two digits at the start of `text` stand for.
pub(super) fn escape(text: &[u8]) -> Option<u8> {
    let digit = |index: usize| {
        let digit = char::from(*text.get(index)?).to_digit(16)?;
        u8::try_from(digit).ok()
    };
    Some(digit(0)? << 4 | digit(1)?)
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(raw: &str, rules: PathRules) -> String {
        let mut room = Room::new();
        match of(raw.as_bytes(), rules, &mut room) {
            Ok(view) => String::from_utf8_lossy(view).into_owned(),
            Err(doubt) => format!("{doubt:?}"),
        }
    }

    #[test]
    fn one_spelling_for_each_path() {
        let rules = PathRules::default();
        for (raw, view) in [
            ("", "/"),
            ("/", "/"),
            ("*", "*"),
            ("/a/b", "/a/b"),
            ("/a/", "/a/"),
            ("//admin", "/admin"),
            ("/a//b///", "/a/b/"),
            ("/%61dmin", "/admin"),
            ("/x/../admin", "/admin"),
            ("/x/%2E%2e/admin", "/admin"),
            ("/a//../b", "/b"),
            ("/../../a", "/a"),
            ("/a/..", "/"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"),
            ("/.", "/"),
            ("/.well-known/x", "/.well-known/x"),
            ("/...", "/..."),
            ("/a%2fb", "/a%2Fb"),
            ("/..%2fadmin", "/..%2Fadmin"),
            ("/%252e%252e/a", "/%252e%252e/a"),
            ("/100%/%zz/%4", "/100%25/%25zz/%254"),
            ("/%%341", "/%2541"),
            ("/caf%C3%A9", "/caf\u{e9}"),
        ] {
            assert_eq!(seen(raw, rules), view, "{raw}");
            assert_eq!(seen(view, rules), view, "{raw} twice");
        }
        assert_eq!(seen("/a%00b", rules), "Nul");
    }

    #[test]
    fn each_switch_does_what_it_says() {
        let default = PathRules::default();
        let dots = |dot_segments| PathRules {
            dot_segments,
            ..default
        };
        let slashes = |repeated_slashes| PathRules {
            repeated_slashes,
            ..default
        };
        let encoded = |encoded_slashes| PathRules {
            encoded_slashes,
            ..default
        };
        for (raw, rules, view) in [
            ("/a/../b/%2e", dots(DotSegments::Keep), "/a/../b/."),
            ("/a/../b", dots(DotSegments::Reject), "DotSegment"),
            ("/a/%2E%2e", dots(DotSegments::Reject), "DotSegment"),
            ("/a/.%2e/", dots(DotSegments::Reject), "DotSegment"),
            ("/a/...//b", dots(DotSegments::Reject), "/a/.../b"),
            ("/a%", dots(DotSegments::Reject), "Percent"),
            ("//a///", slashes(RepeatedSlashes::Keep), "//a///"),
            ("/a//../b", slashes(RepeatedSlashes::Keep), "/a/b"),
            ("/..//a", slashes(RepeatedSlashes::Keep), "//a"),
            ("/a//b", slashes(RepeatedSlashes::Reject), "RepeatedSlash"),
            ("/a//", slashes(RepeatedSlashes::Reject), "RepeatedSlash"),
            ("/a/", slashes(RepeatedSlashes::Reject), "/a/"),
            ("/%zz", slashes(RepeatedSlashes::Reject), "Percent"),
            ("/a%2fb%2F", encoded(EncodedSlashes::Decode), "/a/b/"),
            ("/a%2f..%2Fb", encoded(EncodedSlashes::Decode), "/b"),
            ("/a%252fb", encoded(EncodedSlashes::Decode), "/a%252fb"),
            ("/a%2fb", encoded(EncodedSlashes::Reject), "EncodedSlash"),
            ("/a%5cb", encoded(EncodedSlashes::Reject), "EncodedSlash"),
            ("/a\\b", encoded(EncodedSlashes::Reject), "EncodedSlash"),
            ("/a\\b%5C", encoded(EncodedSlashes::Keep), "/a\\b\\"),
        ] {
            assert_eq!(seen(raw, rules), view, "{raw} {rules:?}");
        }
    }
}
