//! The host of a request, as it stands in `Host` or in a target.
//!
//! Routing, certificates and backends must all see the same host, so there is one reading and it is narrow.
//! A host is a name of letters, digits, `-`, `_` and `.`, an IPv4 address, or an IPv6 address in
//! brackets. RFC 3986 would allow more (`%41`, `a,b`, `a;b`); but a percent sign is decoded by one reader
//! and not by the next, a comma is where some join two `Host` fields, and no DNS name has either.

use std::fmt::Write as _;
use std::net::Ipv6Addr;

use smallvec::SmallVec;

use super::authority::AuthorityError;
use super::grammar::length_of;

/// A host in lower case, without port and without a dot at its end; most fit in place.
pub type Host = SmallVec<[u8; 64]>;

/// Reads `host [":" port]`; the host goes to `host`, which is empty before.
pub(super) fn read_host(text: &[u8], host: &mut Host) -> Result<Option<u16>, AuthorityError> {
    let rest = if let Some(inside) = text.strip_prefix(b"[") {
        read_ipv6(inside, host)?
    } else {
        let length = length_of(text, |byte| NAME[usize::from(byte)]);
        read_name(&text[..length], host).map_err(|error| userinfo_or(text, error))?;
        &text[length..]
    };
    match rest {
        b"" => Ok(None),
        [b':', port @ ..] => read_port(port).map_err(|error| userinfo_or(text, error)),
        _ => Err(userinfo_or(text, AuthorityError::Host)),
    }
}

/// Whether a text can be the value of a `Host` field, and names a host.
pub fn is_host(text: &[u8]) -> bool {
    read_host(text, &mut Host::new()).is_ok()
}

fn userinfo_or(text: &[u8], error: AuthorityError) -> AuthorityError {
    if text.contains(&b'@') {
        AuthorityError::Userinfo
    } else {
        error
    }
}

/// Reads a name whose bytes have been looked at.
fn read_name(name: &[u8], host: &mut Host) -> Result<(), AuthorityError> {
    let name = name.strip_suffix(b".").unwrap_or(name);
    if name.len() > LONGEST_NAME {
        return Err(AuthorityError::Host);
    }
    let mut rest = name;
    loop {
        let label = length_of(rest, |byte| byte != b'.');
        if label == 0 || label > LONGEST_LABEL {
            return Err(AuthorityError::Host);
        }
        match rest.get(label + 1..) {
            Some(behind) => rest = behind,
            None => break,
        }
    }
    host.extend_from_slice(name);
    host.make_ascii_lowercase();
    Ok(())
}

/// Reads what follows `[`; gives what follows `]`.
fn read_ipv6<'a>(inside: &'a [u8], host: &mut Host) -> Result<&'a [u8], AuthorityError> {
    let length = memchr::memchr(b']', inside).ok_or(AuthorityError::Host)?;
    let address: Ipv6Addr = std::str::from_utf8(&inside[..length])
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(AuthorityError::Host)?;
    // Written anew: an address has many spellings, and routes compare bytes.
    let mut text = String::new();
    write!(text, "[{address}]").map_err(|_| AuthorityError::Host)?;
    host.extend_from_slice(text.as_bytes());
    Ok(&inside[length + 1..])
}

/// An empty port is allowed by RFC 3986 and means none.
fn read_port(digits: &[u8]) -> Result<Option<u16>, AuthorityError> {
    if digits.len() > MOST_PORT_DIGITS {
        return Err(AuthorityError::Port);
    }
    let mut port: u32 = 0;
    for &byte in digits {
        if !byte.is_ascii_digit() {
            return Err(AuthorityError::Port);
        }
        port = port * 10 + u32::from(byte - b'0');
    }
    match u16::try_from(port) {
        Err(_) => Err(AuthorityError::Port),
        Ok(_) if digits.is_empty() => Ok(None),
        Ok(port) => Ok(Some(port)),
    }
}

/// The bytes of a name, its dots among them.
const NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] =
            matches!(byte as u8, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.');
        byte += 1;
    }
    table
};

/// What the DNS allows (RFC 1035 section 2.3.4), as written with dots.
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;
const MOST_PORT_DIGITS: usize = 5;
