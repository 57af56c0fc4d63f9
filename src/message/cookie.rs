//! Finding one cookie among those of a request, and removing it (RFC 6265 section 4.2).
//!
//! Values are given as they stand; quotes are part of them. Names are compared byte by byte, and the first
//! of several wins, which is the one with the longest path.

use std::ops::Range;

use super::grammar::trim;
use super::head::{Head, Name};

/// The value of the first cookie of this name.
pub fn find<'a>(head: &'a Head, name: &str) -> Option<&'a [u8]> {
    find_in(head, name.as_bytes())
}

/// Removes every cookie of this name. Where it is one cookie in one field, the rest of that stays as it is; else the
/// rest of all goes into one `Cookie` field at the end of the head. If there was none, nothing changes.
pub fn remove(head: &mut Head, name: &str) {
    let name = name.as_bytes();
    let is_left = if head.all(Name::Cookie).nth(1).is_some() {
        find_in(head, name).is_some()
    } else {
        cut_first(head, name)
    };
    if is_left {
        rewrite(head, |pair| value_of(pair, name).is_none());
    }
}

/// Cuts the first cookie of this name out of the one field, and says whether there is another one behind it.
fn cut_first(head: &mut Head, name: &[u8]) -> bool {
    let field = head.first(Name::Cookie);
    let Some(place) = field.and_then(|field| place_of(field, name)) else {
        return false;
    };
    let start = place.start;
    head.cut(Name::Cookie, place);
    let field = head.first(Name::Cookie).unwrap_or_default();
    if pairs(field).next().is_none() {
        head.remove(Name::Cookie);
        return false;
    }
    // What was behind it begins where it was.
    field
        .get(start..)
        .is_some_and(|behind| pair_of(behind, name).is_some())
}

/// Makes one `Cookie` field of several, as HTTP/1 demands of what HTTP/2 split (RFC 9113 section 8.2.3).
pub fn join(head: &mut Head) {
    if head.all(Name::Cookie).nth(1).is_some() {
        rewrite(head, |_| true);
    }
}

fn rewrite(head: &mut Head, wanted: impl Fn(&[u8]) -> bool) {
    let most = head.all(Name::Cookie).map(|field| field.len() + 2).sum();
    let mut kept = Vec::with_capacity(most);
    for pair in head
        .all(Name::Cookie)
        .flat_map(pairs)
        .filter(|pair| wanted(pair))
    {
        if !kept.is_empty() {
            kept.extend_from_slice(b"; ");
        }
        kept.extend_from_slice(pair);
    }
    head.remove(Name::Cookie);
    if !kept.is_empty() {
        head.push(b"Cookie", &kept);
    }
}

fn find_in<'a>(head: &'a Head, name: &[u8]) -> Option<&'a [u8]> {
    head.all(Name::Cookie).find_map(|field| {
        let place = pair_of(field, name)?;
        value_of(&field[place], name)
    })
}

/// Where the first cookie of this name stands in a field, with one of the semicolons around it.
fn place_of(field: &[u8], name: &[u8]) -> Option<Range<usize>> {
    let Range { start, end } = pair_of(field, name)?;
    Some(if end == field.len() {
        start.saturating_sub(1)..end
    } else if start > 0 {
        start..end + 1
    } else {
        // The next one moves to the front, without the space before it.
        let rest = &field[end + 1..];
        start..field.len() - rest.trim_ascii_start().len()
    })
}

/// Where the first cookie of this name stands in a field, between its semicolons. The name is looked for, many bytes at
/// once, and not one cookie after the other: cookies are the longest of all fields.
fn pair_of(field: &[u8], name: &[u8]) -> Option<Range<usize>> {
    memchr::memmem::find_iter(field, name).find_map(|at| {
        let start = at - spaces_before(&field[..at]);
        let begins = start == 0 || field[start - 1] == b';';
        let length = memchr::memchr(b';', &field[at..]);
        let end = length.map_or(field.len(), |length| at + length);
        (begins && value_of(&field[start..end], name).is_some()).then_some(start..end)
    })
}

fn spaces_before(text: &[u8]) -> usize {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    text.iter().rev().take_while(|byte| is_space(byte)).count()
}

fn pairs(field: &[u8]) -> impl Iterator<Item = &[u8]> {
    parts(field)
        .map(|part| trim(&field[part]))
        .filter(|pair| !pair.is_empty())
}

/// What stands between semicolons. They are looked for many bytes at once: cookies are the longest of all fields.
fn parts(field: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    memchr::memchr_iter(b';', field)
        .chain([field.len()])
        .map(move |end| std::mem::replace(&mut start, end + 1)..end)
}

/// The value of a pair, if that is its name; there may be space around it.
fn value_of<'a>(mut pair: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    while let [b' ' | b'\t', rest @ ..] = pair {
        pair = rest;
    }
    let rest = pair.strip_prefix(name)?;
    // Space around `=` is not allowed, but browsers' own parsers take it.
    trim(rest).strip_prefix(b"=").map(trim)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::head::Version;

    fn head(cookies: &[&str]) -> Head {
        let mut head = Head::new();
        head.set_request(b"GET", b"/", Version::Http11);
        cookies
            .iter()
            .for_each(|value| head.push(b"Cookie", value.as_bytes()));
        head
    }

    #[test]
    fn the_first_of_exactly_this_name_is_found() {
        let head = head(&["afc=0; fca=0; fc; FC=0", "x=fc=0;fc=1=1; fc=2"]);
        assert_eq!(find(&head, "fc"), Some(&b"1=1"[..]));
        assert_eq!(find(&head, "none"), None);
        assert_eq!(find(&head, "x"), Some(&b"fc=0"[..]));
    }

    #[test]
    fn removing_keeps_the_others_in_order() {
        let mut several = head(&["a=1; fc=x;b=\"2;", "fc=y", "c=3"]);
        remove(&mut several, "fc");
        assert_eq!(
            several.all(Name::Cookie).collect::<Vec<_>>(),
            [b"a=1; b=\"2; c=3"]
        );
        let mut only = head(&["fc=x"]);
        remove(&mut only, "fc");
        assert_eq!(only.first(Name::Cookie), None);
        for (field, left) in [
            ("fc=x; a=1;b=2", Some("a=1;b=2")),
            ("a=1; fc=x; b=2", Some("a=1; b=2")),
            ("a=1; fc=x", Some("a=1")),
            ("a=1;fc = x ;fc=y; b=2;fc=", Some("a=1; b=2")),
            ("fc=x;", None),
            ("; fc=x ;;", None),
            ("fca=1; FC=x", Some("fca=1; FC=x")),
            ("", Some("")),
        ] {
            let mut one = head(&[field]);
            remove(&mut one, "fc");
            assert_eq!(one.first(Name::Cookie), left.map(str::as_bytes), "{field}");
        }
        let mut other = head(&["a=1;  b=2", "c=3"]);
        remove(&mut other, "fc");
        assert_eq!(other.all(Name::Cookie).count(), 2);
        join(&mut other);
        assert_eq!(other.first(Name::Cookie), Some(&b"a=1; b=2; c=3"[..]));
    }
}
