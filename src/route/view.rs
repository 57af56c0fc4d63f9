//! A path as it is seen when it is compared: one spelling for each path.
//!
//! Whoever routes on the raw text lets `//admin`, `/x/../admin` and `/%61dmin` pass by a route for
//! `/admin`, while the backend resolves them to just that. So both sides of the comparison are brought
//! to one form, near to what backends make of a path:
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

/// Where a view is written if the path is not in its form already. Longer ones go to the heap.
pub(super) type Room = SmallVec<[u8; 256]>;

/// Gives the view of `raw`: nearly always `raw` itself, else written into `room`.
/// What does not start with a slash (`*`) is left as it is.
pub(super) fn of<'a>(raw: &'a [u8], room: &'a mut Room) -> &'a [u8] {
    match raw.first() {
        None => b"/",
        Some(b'/') if is_plain(raw) => raw,
        Some(b'/') => {
            resolve(&raw[1..], room);
            room
        }
        Some(_) => raw,
    }
}

/// Whether each `%` starts an escape.
pub(super) fn escapes_are_whole(path: &[u8]) -> bool {
    let starts = memchr::memchr_iter(b'%', path);
    starts.into_iter().all(|at| escape(&path[at..]).is_some())
}

/// Whether there is no `//`, `.` or `..` to resolve, written out or as escapes.
pub(super) fn is_resolved(path: &[u8]) -> bool {
    let mut room = Room::new();
    let segments = path.strip_prefix(b"/").unwrap_or(path);
    let count = segments.split(|byte| *byte == b'/').count();
    segments
        .split(|byte| *byte == b'/')
        .enumerate()
        .all(|(index, segment)| {
            room.clear();
            decode(segment, &mut room);
            match room.as_slice() {
                b"" => index + 1 == count,
                b"." | b".." => false,
                _ => true,
            }
        })
}

/// Whether nothing needs a second look. A name that starts with a dot does, and is rare.
fn is_plain(path: &[u8]) -> bool {
    let mut after_slash = false;
    for &byte in path {
        match byte {
            b'%' => return false,
            b'/' | b'.' if after_slash => return false,
            _ => after_slash = byte == b'/',
        }
    }
    true
}

fn resolve(segments: &[u8], room: &mut Room) {
    room.clear();
    let mut ends_in_slash = false;
    for segment in segments.split(|byte| *byte == b'/') {
        let parent = room.len();
        room.push(b'/');
        decode(segment, room);
        ends_in_slash = true;
        match &room[parent + 1..] {
            b"" | b"." => room.truncate(parent),
            b".." => {
                let grandparent = memchr::memrchr(b'/', &room[..parent]).unwrap_or(0);
                room.truncate(grandparent);
            }
            _ => ends_in_slash = false,
        }
    }
    if ends_in_slash {
        room.push(b'/');
    }
}

fn decode(segment: &[u8], room: &mut Room) {
    let mut rest = segment;
    while let Some((&byte, after)) = rest.split_first() {
        let (byte, after) = match byte {
            b'%' => escape(rest).map_or((b'%', after), |decoded| (decoded, &rest[3..])),
            _ => (byte, after),
        };
        match byte {
            b'%' => room.extend_from_slice(b"%25"),
            b'/' => room.extend_from_slice(b"%2F"),
            _ => room.push(byte),
        }
        rest = after;
    }
}

/// The byte that the escape at the start of `text` stands for.
fn escape(text: &[u8]) -> Option<u8> {
    let digit = |index: usize| {
        let digit = char::from(*text.get(index)?).to_digit(16)?;
        u8::try_from(digit).ok()
    };
    Some(digit(1)? << 4 | digit(2)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(raw: &str) -> String {
        let mut room = Room::new();
        String::from_utf8_lossy(of(raw.as_bytes(), &mut room)).into_owned()
    }

    #[test]
    fn one_spelling_for_each_path() {
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
            assert_eq!(seen(raw), view, "{raw}");
            assert_eq!(seen(view), view, "{raw} twice");
        }
    }
}
