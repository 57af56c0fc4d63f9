//! Who the client is, and telling the backend (`X-Forwarded-*`, RFC 7239).
//!
//! Everyone can write these fields, so they are believed of trusted proxies only. What anyone else sends
//! is dropped, all of it and in every spelling that an application server could take for it:
//! `X_Forwarded_For` and `X-Forwarded-For` are one variable in CGI, WSGI and their heirs.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;
use smallvec::SmallVec;

use super::grammar::{elements, trim};
use super::head::{FieldRef, Head, Name};

/// The client's address: the peer's, unless the peer is a trusted proxy. Then `X-Forwarded-For` is read from
/// its end, where the nearest proxy wrote, up to the first address that is not trusted. Whatever is
/// left of that was said by nobody whom we know; nothing is read beyond what is no address.
///
/// IPv4 addresses in IPv6 clothes (`::ffff:192.0.2.1`) are taken for what they are.
pub fn client_address(head: &Head, peer: IpAddr, trusted: &[IpNet]) -> IpAddr {
    let mut client = peer.to_canonical();
    if !is_trusted(client, trusted) {
        return client;
    }
    let fields: SmallVec<[&[u8]; 4]> = head.all(Name::XForwardedFor).collect();
    let elements = fields
        .iter()
        .rev()
        .flat_map(|list| list.rsplit(|byte| *byte == b','));
    for element in elements.map(trim).filter(|element| !element.is_empty()) {
        let Some(address) = read_address(element) else {
            return client;
        };
        client = address;
        if !is_trusted(client, trusted) {
            return client;
        }
    }
    client
}

/// Whether a peer is believed.
pub fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    let address = address.to_canonical();
    trusted.iter().any(|net| net.contains(&address))
}

/// Whether `X-Forwarded-Proto` says that the client came by https; of several words the first counts, which
/// is of the proxy nearest to the client. Only to be asked of a trusted peer.
pub fn says_https(head: &Head) -> bool {
    let word = head.all(Name::XForwardedProto).flat_map(elements).next();
    word.is_some_and(|word| word.eq_ignore_ascii_case(b"https"))
}

/// Tells the backend of the client: `X-Forwarded-For`, `-Proto` and `-Host`.
///
/// From a peer that is not trusted all fields of the kind are dropped first ([`tells_of_the_client`]). From a
/// trusted one they are kept, `Forwarded` among them; the peer is appended to `X-Forwarded-For`, and the
/// other two are added where missing. `peer` is `None` on a Unix socket; `host` is the `Host` as the
/// client wrote it and must be free of control characters, as a parsed one is.
pub fn set_forwarded(
    head: &mut Head,
    peer: Option<IpAddr>,
    trusted: bool,
    https: bool,
    host: &[u8],
) {
    if !trusted {
        head.remove_if(tells_of_the_client);
    }
    if let Some(peer) = peer {
        let mut list = SmallVec::<[u8; 128]>::new();
        for earlier in head
            .all(Name::XForwardedFor)
            .filter(|earlier| !earlier.is_empty())
        {
            list.extend_from_slice(earlier);
            list.extend_from_slice(b", ");
        }
        head.remove(Name::XForwardedFor);
        let mut text = Text(list);
        // Writing to memory does not fail.
        let _ = write!(text, "{}", peer.to_canonical());
        head.push(b"X-Forwarded-For", &text.0);
    }
    if head.first(Name::XForwardedProto).is_none() {
        head.push(b"X-Forwarded-Proto", if https { b"https" } else { b"http" });
    }
    if head.first(Name::XForwardedHost).is_none() && !host.is_empty() {
        head.push(b"X-Forwarded-Host", host);
    }
}

/// Whether a field is one that proxies tell backends about the client with: `Forwarded`, `X-Forwarded-*`,
/// `X-Real-IP`; also with underscores in place of hyphens.
pub fn tells_of_the_client(field: FieldRef<'_>) -> bool {
    let name = field.name;
    // Nearly all names are told apart by their first byte.
    match name.first() {
        Some(b'f' | b'F') => field.known == Name::Forwarded,
        Some(b'x' | b'X') => {
            starts_loosely(name, b"x-forwarded-")
                || (name.len() == 9 && starts_loosely(name, b"x-real-ip"))
        }
        Some(_) | None => false,
    }
}

fn starts_loosely(name: &[u8], start: &[u8]) -> bool {
    let fold = |byte: u8| {
        if byte == b'_' {
            b'-'
        } else {
            byte.to_ascii_lowercase()
        }
    };
    name.len() >= start.len()
        && name
            .iter()
            .zip(start)
            .all(|(found, wanted)| fold(*found) == *wanted)
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

impl std::fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::head::Version;

    fn head(fields: &[(&str, &str)]) -> Head {
        let mut head = Head::new();
        head.set_request(b"GET", b"/", Version::Http11);
        fields
            .iter()
            .for_each(|(name, value)| head.push(name.as_bytes(), value.as_bytes()));
        head
    }

    fn text(head: &Head) -> Vec<(String, String)> {
        let string = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        head.fields()
            .map(|field| (string(field.name), string(field.value)))
            .collect()
    }

    fn client(peer: &str, fields: &[&str]) -> String {
        let trusted = [
            "10.0.0.0/8".parse().unwrap(),
            "2001:db8::/32".parse().unwrap(),
        ];
        let fields: Vec<_> = fields
            .iter()
            .map(|value| ("X-Forwarded-For", *value))
            .collect();
        client_address(&head(&fields), peer.parse().unwrap(), &trusted).to_string()
    }

    #[test]
    fn the_walk_ends_at_the_first_address_not_trusted() {
        assert_eq!(client("192.0.2.9", &["1.1.1.1"]), "192.0.2.9");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(
            client("10.0.0.1", &["6.6.6.6, 192.0.2.1, 10.0.0.2"]),
            "192.0.2.1"
        );
        assert_eq!(
            client("10.0.0.1", &["6.6.6.6", "192.0.2.1", "10.0.0.2"]),
            "192.0.2.1"
        );
        assert_eq!(client("10.0.0.1", &["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
        assert_eq!(client("::ffff:10.0.0.1", &["192.0.2.1:4711"]), "192.0.2.1");
        assert_eq!(
            client("2001:db8::1", &["[2001:4860::8]:80"]),
            "2001:4860::8"
        );
        assert_eq!(client("10.0.0.1", &["192.0.2.1,,"]), "192.0.2.1");
        assert_eq!(
            client("10.0.0.1", &["6.6.6.6, unknown, 10.0.0.2"]),
            "10.0.0.2"
        );
        assert_eq!(
            client("10.0.0.1", &["\"", "[::1", "1.2.3.4:+1"]),
            "10.0.0.1"
        );
    }

    #[test]
    fn the_first_word_tells_the_clients_scheme() {
        assert!(says_https(&head(&[(
            "X-Forwarded-Proto",
            " , HTTPS, http"
        )])));
        assert!(!says_https(&head(&[
            ("X-Forwarded-Proto", "http"),
            ("X-Forwarded-Proto", "https")
        ])));
        assert!(!says_https(&head(&[])));
    }

    #[test]
    fn strangers_are_not_believed_in_any_spelling() {
        let mut head = head(&[
            ("X-Forwarded-For", "6.6.6.6"),
            ("x_forwarded_for", "6.6.6.6"),
            ("X-Forwarded_Port", "1"),
            ("X-Forwarded-Prefix", "/"),
            ("X-Real-Ip", "6.6.6.6"),
            ("Forwarded", "for=6.6.6.6"),
            ("X-Forward", "stays"),
        ]);
        set_forwarded(
            &mut head,
            Some("192.0.2.1".parse().unwrap()),
            false,
            true,
            b"Shop.Example",
        );
        let expected = [
            ("X-Forward", "stays"),
            ("X-Forwarded-For", "192.0.2.1"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", "Shop.Example"),
        ];
        assert_eq!(
            text(&head),
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }

    #[test]
    fn trusted_proxies_are_added_to() {
        let mut head = head(&[
            ("X-Forwarded-For", "192.0.2.1"),
            ("X-Forwarded-For", "10.0.0.2"),
            ("X-Forwarded-Proto", "https"),
            ("Forwarded", "for=192.0.2.1"),
        ]);
        set_forwarded(
            &mut head,
            Some("10.0.0.1".parse().unwrap()),
            true,
            false,
            b"",
        );
        let expected = [
            ("X-Forwarded-Proto", "https"),
            ("Forwarded", "for=192.0.2.1"),
            ("X-Forwarded-For", "192.0.2.1, 10.0.0.2, 10.0.0.1"),
        ];
        assert_eq!(
            text(&head),
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }

    #[test]
    fn a_peer_without_an_address_adds_none() {
        let mut head = head(&[("X-Forwarded-For", "6.6.6.6")]);
        set_forwarded(&mut head, None, false, false, b"a");
        assert_eq!(head.first(Name::XForwardedFor), None);
        assert_eq!(head.first(Name::XForwardedHost), Some(&b"a"[..]));
    }
}
