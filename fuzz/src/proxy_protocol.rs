//! A PROXY header at the front of a connection, at once and in pieces, against a second reading of the specification.
//!
//! The first line says how the rest is cut, as in [`splitting`](crate::splitting).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use forecourt::listener::proxy_protocol::{HeaderScan, Step};

/// What a connection begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beginning {
    /// A header of so many bytes, which names this address.
    Header(usize, Option<IpAddr>),
    /// Something else.
    Other,
    /// What could become a header, and is not yet one.
    Open,
    /// What begins like a header and is none.
    Refused,
}

/// Judges a pattern of pieces and a stream.
pub fn judge(bytes: &[u8]) {
    let (pattern, stream) = crate::cut_line(bytes);
    let whole = read([stream]);
    assert_eq!(read(crate::splitting::cut(pattern, stream)), whole);
    assert_eq!(read(stream.chunks(1)), whole);
    assert_eq!(whole, second_reading(stream));
}

/// Looks at no more than is wanted and takes no more than is used, as the product does on a socket.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Beginning {
    let (mut scan, mut socket, mut taken) = (HeaderScan::default(), Vec::new(), 0);
    for piece in pieces {
        socket.extend_from_slice(piece);
        while taken < socket.len() {
            let wanted = scan.wanted();
            assert!(wanted > 0 && wanted <= MOST);
            let ahead = &socket[taken..socket.len().min(taken + wanted)];
            match scan.look(ahead) {
                Ok(Step::More(used)) => {
                    assert!((1..=ahead.len()).contains(&used));
                    taken += used;
                    assert_eq!(scan.taken(), &socket[..taken]);
                }
                Ok(Step::Whole(used, address)) => {
                    assert!((1..=ahead.len()).contains(&used) && taken + used <= MOST);
                    return Beginning::Header(taken + used, address);
                }
                Ok(Step::Absent) => {
                    assert!(taken < V2_SIGNATURE.len());
                    return Beginning::Other;
                }
                Err(_) => return Beginning::Refused,
            }
        }
    }
    Beginning::Open
}

fn second_reading(stream: &[u8]) -> Beginning {
    let common = |signature: &[u8]| {
        let n = signature.len().min(stream.len());
        signature[..n] == stream[..n]
    };
    if common(b"PROXY ") {
        if stream.len() < 6 {
            Beginning::Open
        } else {
            line(stream)
        }
    } else if common(V2_SIGNATURE) {
        if stream.len() < 16 {
            Beginning::Open
        } else {
            binary(stream)
        }
    } else {
        Beginning::Other
    }
}

/// Section 2.1: one line of at most 107 bytes.
fn line(stream: &[u8]) -> Beginning {
    let Some(end) = stream.iter().take(107).position(|byte| *byte == b'\n') else {
        return if stream.len() < 107 {
            Beginning::Open
        } else {
            Beginning::Refused
        };
    };
    let address = match std::str::from_utf8(&stream[..end]) {
        Ok(text) => address_in(text),
        // What stands behind UNKNOWN is to be ignored, whatever it is.
        Err(_) if stream.starts_with(b"PROXY UNKNOWN ") && stream[end - 1] == b'\r' => Some(None),
        Err(_) => None,
    };
    address.map_or(Beginning::Refused, |address| {
        Beginning::Header(end + 1, address)
    })
}

fn address_in(text: &str) -> Option<Option<IpAddr>> {
    let text = text.strip_suffix('\r')?;
    let words: Vec<&str> = text.split(' ').collect();
    if words.get(1) == Some(&"UNKNOWN") {
        return Some(None);
    }
    let [_, family, source, destination, from, to] = words[..] else {
        return None;
    };
    let port = |text: &str| {
        text.parse::<u16>()
            .is_ok_and(|port| port.to_string() == text)
    };
    if !port(from) || !port(to) {
        return None;
    }
    match family {
        "TCP4" => {
            let both: [Ipv4Addr; 2] = [source.parse().ok()?, destination.parse().ok()?];
            Some(Some(both[0].into()))
        }
        "TCP6" => {
            let both: [Ipv6Addr; 2] = [source.parse().ok()?, destination.parse().ok()?];
            Some(Some(both[0].into()))
        }
        _ => None,
    }
}

/// Section 2.2: a fixed part of 16 bytes, and as many as it says.
fn binary(stream: &[u8]) -> Beginning {
    let length = usize::from(stream[14]) << 8 | usize::from(stream[15]);
    if 16 + length > MOST {
        return Beginning::Refused;
    }
    let Some(rest) = stream.get(16..16 + length) else {
        return Beginning::Open;
    };
    let (command, family, transport) = (stream[12], stream[13] >> 4, stream[13] & 15);
    let needed = match family {
        0 => 0,
        1 => 12,
        2 => 36,
        3 => 216,
        _ => return Beginning::Refused,
    };
    if !matches!(command, 0x20 | 0x21) || transport > 2 || length < needed {
        return Beginning::Refused;
    }
    let address = match (command, family) {
        (0x21, 1) => Some(IpAddr::from([rest[0], rest[1], rest[2], rest[3]])),
        (0x21, 2) => rest[..16]
            .try_into()
            .ok()
            .map(|octets: [u8; 16]| octets.into()),
        _ => None,
    };
    Beginning::Header(16 + length, address)
}

const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// No header is longer.
const MOST: usize = 4096;
