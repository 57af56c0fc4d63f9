//! Who the client is, whatever `X-Forwarded-For` says.
//!
//! The first line is the peer's address, the second the trusted networks, the others are fields.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use forecourt::h1::write;
use forecourt::message::FieldCase;
use forecourt::message::body::Length;
use forecourt::message::forwarded::{
    Teller, Words, client_address, is_trusted, says_https, set_forwarded,
};
use forecourt::message::{Head, Name};
use ipnet::IpNet;

use crate::ours;

/// Judges a peer, networks and fields.
pub fn judge(bytes: &[u8]) {
    let (peer, rest) = crate::cut_line(bytes);
    let (networks, lines) = crate::cut_line(rest);
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let peer: IpAddr = text(peer)
        .trim()
        .parse()
        .unwrap_or(Ipv4Addr::new(10, 0, 0, 1).into());
    let networks = text(networks);
    let mut trusted: Vec<IpNet> = networks
        .split(',')
        .filter_map(|network| network.trim().parse().ok())
        .collect();
    let mut message = b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec();
    for line in lines
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        message.extend_from_slice(line);
        message.extend_from_slice(b"\r\n");
    }
    message.extend_from_slice(b"\r\n");
    let Ok((head, length)) = ours::request(&message) else {
        return;
    };
    if length != message.len() {
        return;
    }
    judge_address(&head, peer, &trusted);
    // The next hop trusts us, too.
    trusted.push(IpNet::from(US));
    judge_telling(head, peer, &trusted);
}

fn judge_address(head: &Head, peer: IpAddr, trusted: &[IpNet]) {
    let client = client_address(head, peer, trusted);
    let canonical = peer.to_canonical();
    if !is_trusted(peer, trusted) {
        assert_eq!(client, canonical, "a stranger was believed");
    }
    if only_forwarded(head) {
        return;
    }
    assert_eq!(client, naive(head, peer, trusted));
    assert!(client == canonical || listed(head).contains(&Some(client)));
}

fn judge_telling(mut head: Head, peer: IpAddr, trusted: &[IpNet]) {
    let client = client_address(&head, peer, trusted);
    let believed = is_trusted(peer, trusted);
    let others = |head: &Head| {
        let mut fields = ours::fields(head);
        // What frames the body is the writer's own.
        fields.retain(|(name, _)| !tells(name) && !frames(name));
        fields
    };
    let others_before = others(&head);
    let https_before = says_https(&head, trusted);
    let told_before = head.first(Name::XForwardedProto).is_some();
    let teller = Teller {
        peer: Some(peer),
        trusted: believed,
        https: true,
        host: b"Shop.Example:80",
    };
    set_forwarded(&mut head, Words::XForwarded, &teller);
    let mut bytes = Vec::new();
    write::request_head(
        &head,
        Length::Absent { announced: None },
        FieldCase::Keep,
        &mut bytes,
    );
    let (read, length) = match ours::request(&bytes) {
        Ok(read) => read,
        // Fields that were added can be the ones too many.
        Err(error) => return assert!(ours::is_limit(error), "{error}"),
    };
    assert_eq!(length, bytes.len());
    assert_eq!(others(&read), others_before, "nothing else changes");
    let lists: Vec<&[u8]> = read.all(Name::XForwardedFor).collect();
    assert_eq!(lists.len(), 1);
    assert_eq!(listed(&read).last(), Some(&Some(peer.to_canonical())));
    assert_eq!(
        client_address(&read, US, trusted),
        client,
        "the next hop sees another client"
    );
    assert!(read.first(Name::XForwardedHost).is_some());
    if believed {
        assert_eq!(says_https(&read, trusted), https_before || !told_before);
    } else {
        assert_eq!(lists[0], peer.to_canonical().to_string().as_bytes());
        assert!(says_https(&read, trusted));
        assert_eq!(read.fields().filter(|field| tells(field.name)).count(), 3);
    }
}

/// Whether the client is told of by `Forwarded` alone, which the simple reading here does not know.
fn only_forwarded(head: &Head) -> bool {
    head.all(Name::XForwardedFor).all(<[u8]>::is_empty) && head.first(Name::Forwarded).is_some()
}

/// Whether an application could take the field for one that tells of the client.
pub(crate) fn tells(name: &[u8]) -> bool {
    let own = name.eq_ignore_ascii_case(b"x-request-id");
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    let name = name.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-");
    let begins = ["x-forwarded-", "client-cert", "x-client-cert"];
    begins.iter().any(|start| name.starts_with(start))
        || name == "x-real-ip"
        || name == "forwarded"
        || (name == "x-request-id" && !own)
}

fn frames(name: &[u8]) -> bool {
    let framing = [&b"content-length"[..], b"transfer-encoding"];
    framing.iter().any(|field| name.eq_ignore_ascii_case(field))
}

/// From the nearest back, as long as all are trusted.
fn naive(head: &Head, peer: IpAddr, trusted: &[IpNet]) -> IpAddr {
    let mut way: Vec<Option<IpAddr>> = listed(head);
    way.push(Some(peer.to_canonical()));
    let mut client = peer.to_canonical();
    while let Some(Some(address)) = way.pop() {
        client = address;
        if !trusted.iter().any(|network| network.contains(&client)) {
            break;
        }
    }
    client
}

/// What stands in the list, nothing for what is no address.
fn listed(head: &Head) -> Vec<Option<IpAddr>> {
    let mut all = Vec::new();
    for field in head
        .fields()
        .filter(|field| field.name.eq_ignore_ascii_case(b"x-forwarded-for"))
    {
        let Ok(text) = std::str::from_utf8(field.value) else {
            // Byte by byte: one odd element does not spoil the others.
            let elements = field.value.split(|byte| *byte == b',');
            let texts = elements.map(|element| std::str::from_utf8(element).unwrap_or("?"));
            all.extend(texts.filter(|text| !blank(text)).map(address));
            continue;
        };
        all.extend(text.split(',').filter(|text| !blank(text)).map(address));
    }
    all
}

fn blank(text: &str) -> bool {
    text.trim_matches([' ', '\t']).is_empty()
}

fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim_matches([' ', '\t']);
    let canonical = |address: IpAddr| address.to_canonical();
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(canonical(address));
    }
    if let Some(inside) = text.strip_prefix('[') {
        let end = inside.find(']')?;
        let address: Ipv6Addr = inside[..end].parse().ok()?;
        let behind = &inside[end + 1..];
        return (behind.is_empty() || is_port(behind.strip_prefix(':')?))
            .then(|| canonical(address.into()));
    }
    let (address, port) = text.split_once(':')?;
    let address: Ipv4Addr = address.parse().ok()?;
    is_port(port).then(|| address.into())
}

fn is_port(text: &str) -> bool {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits && text.parse::<u16>().is_ok()
}

const US: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 99));
