//! The `Forwarded` field (RFC 7239): lists of elements, each of pairs, whose values may be quoted.

use std::fmt::Write as _;
use std::net::IpAddr;

use ipnet::IpNet;
use smallvec::SmallVec;

use super::{Teller, Text, is_trusted, joined, read_address};
use crate::message::grammar::{is_token, trim};
use crate::message::head::{Head, Name};

/// A value with its quotes taken off.
type Value = SmallVec<[u8; 64]>;

/// What an element says of whoever asked its writer.
#[derive(Debug, Default)]
pub(super) struct Hop {
    /// Its address or name (`for`); empty if nothing is said of it.
    pub(super) sender: Value,
    /// Whether it came by https (`proto`).
    https: bool,
}

/// What the elements say, the nearest proxy's last. `None` if there is no such field. An element that is malformed
/// says nothing that can be read, and nothing before it can either.
pub(super) fn hops(head: &Head) -> Option<SmallVec<[Hop; 4]>> {
    head.first(Name::Forwarded)?;
    let mut hops = SmallVec::<[Hop; 4]>::new();
    for list in head.all(Name::Forwarded) {
        if quotes_are_whole(list) {
            for element in split(list, b',') {
                match hop(element) {
                    Ok(hop) => hops.push(hop),
                    Err(Malformed) => start_anew(&mut hops),
                }
            }
        } else {
            // A quote that nobody closes is what a client sends who wants the proxy's element behind it to be taken
            // for text. So it is read from the end, as far as each piece is an element by itself.
            start_anew(&mut hops);
            let pieces = list.rsplit(|byte| *byte == b',').map(trim);
            let pieces = pieces.filter(|piece| !piece.is_empty());
            let start = hops.len();
            hops.extend(pieces.map_while(|piece| hop(piece).ok()));
            hops[start..].reverse();
        }
    }
    Some(hops)
}

fn start_anew(hops: &mut SmallVec<[Hop; 4]>) {
    hops.clear();
    hops.push(Hop::default());
}

fn hop(element: &[u8]) -> Result<Hop, Malformed> {
    let scheme = parameter(element, b"proto")?;
    Ok(Hop {
        sender: parameter(element, b"for")?.unwrap_or_default(),
        https: scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"https")),
    })
}

/// Writes the addresses that the field tells of, as far as they are understood from its end, as a list of
/// `X-Forwarded-For` that can be appended to.
pub(super) fn translate(head: &Head, list: &mut Text) {
    let hops = hops(head).unwrap_or_default();
    let understood = hops.iter().rev().map_while(|hop| read_address(&hop.sender));
    let addresses: SmallVec<[IpAddr; 4]> = understood.collect();
    for address in addresses.iter().rev() {
        // Writing to memory does not fail.
        let _ = write!(list, "{address}, ");
    }
}

/// Whether the client came by https, as the trusted proxy says that it asked: what stands before the element of that
/// one is the client's own.
pub(super) fn says_https(head: &Head, trusted: &[IpNet]) -> bool {
    let mut https = false;
    for hop in hops(head).unwrap_or_default().iter().rev() {
        https = hop.https;
        let sender = read_address(&hop.sender);
        if !sender.is_some_and(|sender| is_trusted(sender, trusted)) {
            break;
        }
    }
    https
}

/// Appends our element; what several fields said becomes one. A list with a quote that nobody closes goes: whoever reads
/// it by the letter would take our element for text.
pub(super) fn append(head: &mut Head, teller: &Teller<'_>) {
    head.remove_if(|field| field.known == Name::Forwarded && !quotes_are_whole(field.value));
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

/// Whether each quoted string of a list comes to its end.
fn quotes_are_whole(text: &[u8]) -> bool {
    let mut bytes = text.iter();
    let mut quoted = false;
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => quoted = !quoted,
            b'\\' if quoted => drop(bytes.next()),
            _ => {}
        }
    }
    !quoted
}

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
