//! What of a query the log may hold, and what of an address.
//!
//! A masked parameter keeps its name, so that a reader sees that it was there. Readers of queries differ in what they
//! take for the same name and where they see a parameter begin, so all their ways are masked: any case, escaped bytes,
//! `user[password]`, and parameters behind a `;`. A masked value goes on to the next `&`, whatever is in it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What stands in place of a masked value.
const MASK: &[u8] = b"REDACTED";

/// How much of a client's address is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientIp {
    /// All of it.
    Full,
    /// Nothing.
    Off,
    /// Its network: the first 24 bits of IPv4, 48 of IPv6.
    Truncated,
}

impl ClientIp {
    /// What is logged of `address`.
    #[must_use]
    pub fn of(self, address: IpAddr) -> Option<IpAddr> {
        match self {
            Self::Full => Some(address),
            Self::Off => None,
            Self::Truncated => Some(match address.to_canonical() {
                IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & (u32::MAX << 8)).into(),
                IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 80)).into(),
            }),
        }
    }
}

/// Gives a query, without its `?`, to `put` piece by piece, with the values of these parameters masked.
pub fn query(query: &[u8], masked: &[Box<str>], mut put: impl FnMut(&[u8])) {
    let mut rest = query;
    while !rest.is_empty() {
        let end = memchr::memchr2(b'&', b';', rest).unwrap_or(rest.len());
        let equals = memchr::memchr(b'=', &rest[..end]);
        match equals {
            Some(equals) if is_masked(&rest[..equals], masked) => {
                put(&rest[..=equals]);
                put(MASK);
                let end = memchr::memchr(b'&', rest).unwrap_or(rest.len());
                rest = &rest[end..];
            }
            _ => {
                put(&rest[..end]);
                rest = &rest[end..];
            }
        }
        if let Some((separator, behind)) = rest.split_first() {
            put(&[*separator]);
            rest = behind;
        }
    }
}

/// Gives a URL to `put`, its query as [`query()`] does, or no query at all.
pub fn url(url: &[u8], masked: Option<&[Box<str>]>, mut put: impl FnMut(&[u8])) {
    // A fragment is never sent to anybody who behaves; it may hold tokens (OAuth's implicit grant).
    let end = memchr::memchr(b'#', url).unwrap_or(url.len());
    let url = &url[..end];
    let Some(mark) = memchr::memchr(b'?', url) else {
        return put(url);
    };
    put(&url[..mark]);
    if let Some(masked) = masked {
        put(b"?");
        query(&url[mark + 1..], masked, put);
    }
}

/// Whether a parameter's name, or a part of it in brackets, is one of these.
fn is_masked(name: &[u8], masked: &[Box<str>]) -> bool {
    if masked.is_empty() {
        return false;
    }
    let name = unescaped(name);
    let mut parts = name.split(|byte| matches!(byte, b'[' | b']'));
    parts.any(|part| {
        masked
            .iter()
            .any(|masked| part.eq_ignore_ascii_case(masked.as_bytes()))
    })
}

fn unescaped(name: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&byte, behind)) = rest.split_first() {
        let digit = |at: usize| (*behind.get(at)? as char).to_digit(16);
        match (byte, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                plain.push((high << 4 | low) as u8);
                rest = &behind[2..];
            }
            _ => {
                plain.push(byte);
                rest = behind;
            }
        }
    }
    plain
}
