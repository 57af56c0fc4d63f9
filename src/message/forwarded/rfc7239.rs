//! The `Forwarded` field (RFC 7239): lists of elements, each of pairs, whose values may be quoted.

use std::fmt::Write as _;
use std::net::IpAddr;

use smallvec::SmallVec;

use super::{Teller, Text, joined, read_address};
use crate::message::grammar::{is_token, trim};
use crate::message::head::{Head, Name};

/// A value with its quotes taken off.
type Value = SmallVec<[u8; 64]>;

/// What each element says of its sender (`for`), the nearest proxy's last; an element without one gives an empty
/// text. `None` if there is no such field. A field that is malformed says nothing that can be read, and
/// nothing before it can either.
pub(super) fn senders(head: &Head) -> Option<SmallVec<[Value; 4]>> {
    head.first(Name::Forwarded)?;
    let mut senders = SmallVec::new();
    for element in head.all(Name::Forwarded).flat_map(|list| split(list, b',')) {
        match parameter(element, b"for") {
            Ok(sender) => senders.push(sender.unwrap_or_default()),
            Err(Malformed) => {
                senders.clear();
                senders.push(Value::new());
            }
        }
    }
    Some(senders)
}

/// Writes the addresses that the field tells of, as far as they are understood from its end, as a list of
/// `X-Forwarded-For` that can be appended to.
pub(super) fn translate(head: &Head, list: &mut Text) {
    let senders = senders(head).unwrap_or_default();
    let understood = senders.iter().rev().map_while(|node| read_address(node));
    let addresses: SmallVec<[IpAddr; 4]> = understood.collect();
    for address in addresses.iter().rev() {
        // Writing to memory does not fail.
        let _ = write!(list, "{address}, ");
    }
}

/// Whether the first element, which is of the proxy nearest to the client, says that it came by https.
pub(super) fn says_https(head: &Head) -> bool {
    let lists = head.all(Name::Forwarded);
    let first = lists.flat_map(|list| split(list, b',')).next();
    first
        .and_then(|element| parameter(element, b"proto").ok().flatten())
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"https"))
}

/// Appends our element; what several fields said becomes one.
pub(super) fn append(head: &mut Head, teller: &Teller<'_>) {
    let mut list = joined(head, Name::Forwarded);
    // Writing to memory does not fail.
    let _ = match teller.peer.map(|peer| peer.to_canonical()) {
        Some(IpAddr::V4(peer)) => write!(list, "for={peer}"),
        Some(IpAddr::V6(peer)) => write!(list, "for=\"[{peer}]\""),
        None => list.write_str("for=unknown"),
    };
    if is_token(teller.host) {
        list.0.extend_from_slice(b";host=");
        list.0.extend_from_slice(teller.host);
    } else if !teller.host.is_empty() {
        // A port's colon or an address's brackets; a host has neither quotes nor backslashes.
        list.0.extend_from_slice(b";host=\"");
        list.0.extend_from_slice(teller.host);
        list.0.push(b'"');
    }
    let _ = list.write_str(if teller.https {
        ";proto=https"
    } else {
        ";proto=http"
    });
    head.push(b"Forwarded", &list.0);
}

#[derive(Debug, PartialEq)]
struct Malformed;

/// The parts between separators that stand outside of quotes, without those that are empty.
fn split(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    let mut escaped = false;
    text.split(move |&byte| {
        if escaped {
            escaped = false;
        } else if quoted {
            escaped = byte == b'\\';
            quoted = byte != b'"';
        } else {
            quoted = byte == b'"';
            return byte == separator;
        }
        false
    })
    .map(trim)
    .filter(|part| !part.is_empty())
}

/// The value of a parameter of an element, if it has that one.
fn parameter(element: &[u8], wanted: &[u8]) -> Result<Option<Value>, Malformed> {
    let mut found = None;
    for pair in split(element, b';') {
        let equals = memchr::memchr(b'=', pair).ok_or(Malformed)?;
        let (name, value) = (&pair[..equals], &pair[equals + 1..]);
        if !is_token(name) {
            return Err(Malformed);
        }
        let value = unquoted(value)?;
        // Each parameter once (section 4).
        if name.eq_ignore_ascii_case(wanted) && found.replace(value).is_some() {
            return Err(Malformed);
        }
    }
    Ok(found)
}

/// A token, or what stands in a quoted string. Proxies write addresses with a colon without quotes as well, which the
/// grammar forbids and nobody can misread.
fn unquoted(value: &[u8]) -> Result<Value, Malformed> {
    let Some(inside) = value.strip_prefix(b"\"") else {
        let sound = |byte: &u8| byte.is_ascii_graphic() && !b"\"\\,;=".contains(byte);
        return if value.iter().all(sound) {
            Ok(Value::from_slice(value))
        } else {
            Err(Malformed)
        };
    };
    let mut text = Value::new();
    let mut bytes = inside.iter();
    loop {
        match bytes.next().ok_or(Malformed)? {
            b'"' => break,
            b'\\' => text.push(*bytes.next().ok_or(Malformed)?),
            byte => text.push(*byte),
        }
    }
    if bytes.len() == 0 {
        Ok(text)
    } else {
        Err(Malformed)
    }
}
