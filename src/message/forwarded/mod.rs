//! Who the client is, and telling the backend (`X-Forwarded-*`, RFC 7239).
//!
//! Everyone can write these fields, so they are believed of trusted proxies only. What anyone else sends
//! is dropped, all of it and in every spelling that an application server could take for it:
//! `X_Forwarded_For` and `X-Forwarded-For` are one variable in CGI, WSGI and their heirs.

mod rfc7239;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;
use smallvec::SmallVec;

use super::grammar::{elements, same_variable, starts_as_variable, trim};
use super::head::{FieldRef, Head, Name};

/// In which words the backend is told of the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Words {
    /// `X-Forwarded-For`, `-Proto` and `-Host`: what application servers look for.
    #[default]
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Forwarded,
    /// Both.
    Both,
}

/// What the backend is told of the client.
#[derive(Clone, Copy, Debug)]
pub struct Teller<'a> {
    /// The peer that we speak for; `None` on a Unix socket.
    pub peer: Option<IpAddr>,
    /// Whether the peer is believed about whom it speaks for.
    pub trusted: bool,
    /// Whether the client came by TLS, as far as is known.
    pub https: bool,
    /// The `Host` as the client wrote it, free of control characters as a parsed one is; empty for none.
    pub host: &'a [u8],
}

/// The client's address: the peer's, unless the peer is a trusted proxy. Then `X-Forwarded-For` is read from
/// its end, where the nearest proxy wrote, up to the first address that is not trusted. Whatever is
/// left of that was said by nobody whom we know; nothing is read beyond what is no address. `Forwarded` is
/// read in its place where there is no `X-Forwarded-For`.
///
/// IPv4 addresses in IPv6 clothes (`::ffff:192.0.2.1`) are taken for what they are.
pub fn client_address(head: &Head, peer: IpAddr, trusted: &[IpNet]) -> IpAddr {
    let client = peer.to_canonical();
    if is_trusted(client, trusted) {
        client_told(head, trusted).unwrap_or(client)
    } else {
        client
    }
}

/// The client's address as the fields tell it, for a peer that is believed and has none itself: a proxy on the other end
/// of a Unix socket. Otherwise as [`client_address`].
pub fn client_told(head: &Head, trusted: &[IpNet]) -> Option<IpAddr> {
    // One that is empty is none, as when we append to it.
    let fields = head.all(Name::XForwardedFor);
    let fields: SmallVec<[&[u8]; 4]> = fields.filter(|field| !field.is_empty()).collect();
    let told = fields
        .iter()
        .rev()
        .flat_map(|list| list.rsplit(|byte| *byte == b','))
        .map(trim)
        .filter(|element| !element.is_empty());
    if !fields.is_empty() {
        return walk(told.map(read_address), trusted);
    }
    let hops = rfc7239::hops(head)?;
    walk(
        hops.iter().rev().map(|hop| read_address(&hop.sender)),
        trusted,
    )
}

/// Goes back from proxy to proxy, as far as they are trusted and understood.
fn walk(told: impl Iterator<Item = Option<IpAddr>>, trusted: &[IpNet]) -> Option<IpAddr> {
    let mut client = None;
    for address in told.map_while(|address| address) {
        client = Some(address);
        if !is_trusted(address, trusted) {
            break;
        }
    }
    client
}

/// Whether a peer is believed.
pub fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    let address = address.to_canonical();
    trusted.iter().any(|net| net.contains(&address))
}

/// Whether `X-Forwarded-Proto`, or `Forwarded` where that is absent, says that the client came by https. Of
/// several words of the one the first counts, for proxies replace it; to the other proxies append, so the
/// element counts at which [`client_address`] ends. Only to be asked of a trusted peer.
pub fn says_https(head: &Head, trusted: &[IpNet]) -> bool {
    match head.all(Name::XForwardedProto).flat_map(elements).next() {
        Some(word) => word.eq_ignore_ascii_case(b"https"),
        None => rfc7239::says_https(head, trusted),
    }
}

/// Tells the backend of the client, in these words.
///
/// What says that a client has shown a certificate is dropped, whoever sends it: it is for who has verified one.
/// From a peer that is not trusted all fields of the kind are dropped first ([`tells_of_the_client`]). From a
/// trusted one they are kept: the peer is appended to `X-Forwarded-For`, `X-Forwarded-Proto` and `-Host` are
/// added where missing, and an element is appended to `Forwarded`; a field that is not among the words stays
/// as it came.
pub fn set_forwarded(head: &mut Head, words: Words, teller: &Teller<'_>) {
    if teller.trusted {
        // Whoever is believed about addresses need not know these fields, and let them through.
        head.remove_if(tells_of_a_certificate);
    } else {
        head.remove_if(tells_of_the_client);
    }
    if words != Words::Forwarded {
        set_x_forwarded(head, teller);
    }
    if words != Words::XForwarded {
        rfc7239::append(head, teller);
    }
}

fn set_x_forwarded(head: &mut Head, teller: &Teller<'_>) {
    if let Some(peer) = teller.peer {
        let mut list = joined(head, Name::XForwardedFor);
        if list.0.is_empty() && teller.trusted {
            // Or whoever reads this list would stop at the peer.
            rfc7239::translate(head, &mut list);
        }
        list.push_address(peer.to_canonical());
        head.push(b"X-Forwarded-For", &list.0);
    }
    if head.first(Name::XForwardedProto).is_none() {
        let scheme: &[u8] = if teller.https { b"https" } else { b"http" };
        head.push(b"X-Forwarded-Proto", scheme);
    }
    if head.first(Name::XForwardedHost).is_none() && !teller.host.is_empty() {
        head.push(b"X-Forwarded-Host", teller.host);
    }
}

/// Takes all fields of a name out of the head, as one list that can be appended to.
fn joined(head: &mut Head, name: Name) -> Text {
    let mut list = SmallVec::<[u8; 128]>::new();
    for earlier in head.all(name).filter(|earlier| !earlier.is_empty()) {
        list.extend_from_slice(earlier);
        list.extend_from_slice(b", ");
    }
    head.remove(name);
    Text(list)
}

/// Whether a field is one that proxies tell backends about the client with: `Forwarded`, `X-Forwarded-*`,
/// `X-Real-IP`, and those of client certificates; also with underscores or anything else in place of hyphens. And what would
/// stand for our own `X-Request-Id`.
pub fn tells_of_the_client(field: FieldRef<'_>) -> bool {
    let name = field.name;
    // Nearly all names are told apart by their first byte.
    match name.first() {
        Some(b'c' | b'C') => tells_of_a_certificate(field),
        Some(b'f' | b'F') => field.known == Name::Forwarded,
        Some(b'x' | b'X') => {
            tells_of_a_certificate(field)
                || starts_as_variable(name, b"x-forwarded-")
                || same_variable(name, b"x-real-ip")
                || (field.known != Name::XRequestId && same_variable(name, b"x-request-id"))
        }
        Some(_) | None => false,
    }
}

/// Whether a field is one that says which certificate a client has shown: `Client-Cert` (RFC 9440) and all that
/// begin so, also with `X-` before it.
fn tells_of_a_certificate(field: FieldRef<'_>) -> bool {
    match field.name.first() {
        Some(b'c' | b'C') => starts_as_variable(field.name, b"client-cert"),
        Some(b'x' | b'X') => starts_as_variable(field.name, b"x-client-cert"),
        Some(_) | None => false,
    }
}

/// Reads an address as proxies write it: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn read_address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let is_port =
        |port: &str| port.parse::<u16>().is_ok() && port.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(inside) = text.strip_prefix('[') {
        let (address, rest) = inside.split_once(']')?;
        let sound = rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port);
        let address: Ipv6Addr = address.parse().ok()?;
        return sound.then(|| IpAddr::from(address).to_canonical());
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    let (address, port) = text.split_once(':')?;
    is_port(port)
        .then(|| address.parse().ok())
        .flatten()
        .map(IpAddr::V4)
}

struct Text(SmallVec<[u8; 128]>);

impl Text {
    /// Appends an address: one of IPv4, as most are, without the machinery of formatting.
    fn push_address(&mut self, address: IpAddr) {
        let IpAddr::V4(v4) = address else {
            // Writing to memory does not fail.
            let _ = write!(self, "{address}");
            return;
        };
        let mut text = [b'.'; 16];
        let mut end = 0;
        for part in v4.octets() {
            // Each with a dot behind it, the last one too, which is left out.
            for (digit, least) in [(part / 100, 100), (part / 10 % 10, 10), (part % 10, 0)] {
                text[end] = b'0' + digit;
                end += usize::from(part >= least);
            }
            text[end] = b'.';
            end += 1;
        }
        self.0.extend_from_slice(&text[..end - 1]);
    }
}

impl std::fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}
