//! Headers in any pieces, good and hostile, from memory and from sockets.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use proptest::prelude::*;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::time::Instant;

use super::*;
use crate::telemetry::WorkerId;
use crate::worker::Worker;

const V4: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.1 40000 80\r\n";
const V6: &[u8] = b"PROXY TCP6 2001:db8::1 2001:db8::2 40000 80\r\n";
const UNKNOWN: &[u8] = b"PROXY UNKNOWN\r\n";
const BEHIND: &[u8] = b"GET / HTTP/1.1\r\n\r\nPROXY and \r\n\r\n\0\r\nQUIT\n";

/// A header of version 2: command, family and protocol, what follows.
fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = v2::PROTOCOL_PREFIX.to_vec();
    bytes.extend([command, family]);
    bytes.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
    bytes.extend(rest);
    bytes
}

fn ipv4(more: &[u8]) -> Vec<u8> {
    let addresses = [192, 0, 2, 1, 198, 51, 100, 1, 0x9c, 0x40, 0, 80];
    binary(0x21, 0x11, &[&addresses[..], more].concat())
}

fn ipv6() -> Vec<u8> {
    let source: Ipv6Addr = "2001:db8::1".parse().unwrap();
    let addresses = [source.octets(), source.octets()].concat();
    binary(0x21, 0x21, &[&addresses[..], &[0, 1, 0, 80]].concat())
}

fn client(text: &str) -> Option<IpAddr> {
    Some(text.parse().unwrap())
}

fn good() -> Vec<(Vec<u8>, Option<IpAddr>)> {
    let tlv = [&[0x20, 0x01, 0x00][..], &[7; 256]].concat();
    vec![
        (V4.to_vec(), client("192.0.2.1")),
        (V6.to_vec(), client("2001:db8::1")),
        (UNKNOWN.to_vec(), None),
        (b"PROXY UNKNOWN a b c d e f g h\r\n".to_vec(), None),
        (
            format!("PROXY UNKNOWN {}\r\n", "f".repeat(91)).into_bytes(),
            None,
        ),
        (ipv4(&[]), client("192.0.2.1")),
        (ipv4(&tlv), client("192.0.2.1")),
        (ipv4(&vec![0; V2_MOST - 12]), client("192.0.2.1")),
        (ipv6(), client("2001:db8::1")),
        (binary(0x20, 0x00, &[]), None),
        (binary(0x20, 0x11, &[1; 12]), None),
        (binary(0x21, 0x00, b"whatever"), None),
        (binary(0x21, 0x31, &[b'/'; 216]), None),
    ]
}

/// Looks at `bytes` in pieces that end at these places; gives what came of it and how many bytes were taken.
fn scanned(
    bytes: &[u8],
    ends: impl IntoIterator<Item = usize>,
) -> (Result<Step, HeaderError>, usize) {
    let (mut scan, mut taken) = (HeaderScan::default(), 0);
    for end in ends {
        while taken < end {
            let seen = scan.wanted().min(end - taken);
            assert!(seen > 0);
            match scan.look(&bytes[taken..taken + seen]) {
                Ok(Step::More(used)) => {
                    assert!((1..=seen).contains(&used));
                    taken += used;
                }
                Ok(Step::Whole(used, address)) => {
                    assert!((1..=seen).contains(&used));
                    return (Ok(Step::Whole(used, address)), taken + used);
                }
                ended => return (ended, taken),
            }
            assert_eq!(scan.taken(), &bytes[..taken]);
        }
    }
    (Ok(Step::More(0)), taken)
}

fn assert_whole(found: (Result<Step, HeaderError>, usize), length: usize, client: Option<IpAddr>) {
    let (Ok(Step::Whole(_, address)), taken) = found else {
        panic!("{found:?}");
    };
    assert_eq!((address, taken), (client, length));
}

#[test]
fn good_headers_in_any_two_pieces_and_byte_by_byte() {
    for (header, client) in good() {
        let all = [&header[..], BEHIND].concat();
        for split in 0..all.len() {
            assert_whole(scanned(&all, [split, all.len()]), header.len(), client);
        }
        assert_whole(scanned(&all, 1..=all.len()), header.len(), client);
        for cut in 0..header.len() {
            assert_eq!(scanned(&header[..cut], [cut]), (Ok(Step::More(0)), cut));
        }
    }
}

#[test]
fn what_is_no_header_is_left_alone() {
    for bytes in [
        &b"GET / HTTP/1.1\r\n"[..],
        b"POST / HTTP/1.1\r\n",
        b"PROPFIND / HTTP/1.1\r\n",
        b"proxy TCP4 1.1.1.1 2.2.2.2 1 2\r\n",
        b"PROXYTCP4 1.1.1.1 2.2.2.2 1 2\r\n",
        b" PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n",
        b"\r\nGET / HTTP/1.1\r\n",
        b"\r\n\r\n\0\r\nQUIX\n",
        b"\x16\x03\x01\x02\x00",
        b"\0",
    ] {
        for split in 0..bytes.len() {
            let (step, taken) = scanned(bytes, [split, bytes.len()]);
            assert_eq!(step, Ok(Step::Absent), "{}", bytes.escape_ascii());
            assert!(taken < 12);
        }
        if bytes[0] == 0x16 {
            assert_eq!(scanned(bytes, [bytes.len()]).1, 0, "a handshake is whole");
        }
    }
}

#[test]
#[allow(clippy::too_many_lines, reason = "a list")]
fn hostile_headers_are_refused() {
    let long = |n| format!("PROXY UNKNOWN {}\r\n", "f".repeat(n)).into_bytes();
    let lines = [
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP4 \r\n",
        "PROXY TCP5 1.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY tcp4 1.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY UNKNOWNX\r\n",
        "PROXY  TCP4 1.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY TCP4  1.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY TCP4\t1.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\r\n",
        "PROXY TCP4 1.1.1.1\r2.2.2.2 1 2\r\n",
        "PROXY TCP4 1.1.1.256 2.2.2.2 1 2\r\n",
        "PROXY TCP4 1.1.1 2.2.2.2 1 2\r\n",
        "PROXY TCP4 01.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY TCP4 localhost 2.2.2.2 1 2\r\n",
        "PROXY TCP4 ::1 ::2 1 2\r\n",
        "PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY TCP6 fe80::1%eth0 ::2 1 2\r\n",
        "PROXY TCP6 [::1] ::2 1 2\r\n",
        "PROXY TCP6 :::1 ::2 1 2\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 65536 2\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 -1 2\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 0x2\r\n",
        "PROXY TCP4 1.1.1.1\0 2.2.2.2 1 2\r\n",
        "PROXY TCP4 \u{661}.1.1.1 2.2.2.2 1 2\r\n",
    ];
    let mut hostile: Vec<Vec<u8>> = lines.iter().map(|line| line.as_bytes().to_vec()).collect();
    hostile.extend([
        b"PROXY TCP4 \xff.1.1.1 2.2.2.2 1 2\r\n".to_vec(),
        long(92),
        long(5000),
        b"PROXY ".repeat(100),
        binary(0x11, 0x11, &[1; 12]),
        binary(0x31, 0x11, &[1; 12]),
        binary(0x22, 0x11, &[1; 12]),
        binary(0x2f, 0x11, &[1; 12]),
        binary(0x21, 0x41, &[1; 12]),
        binary(0x21, 0x13, &[1; 12]),
        binary(0x21, 0x11, &[1; 11]),
        binary(0x21, 0x21, &[1; 12]),
        binary(0x21, 0x31, &[1; 36]),
        binary(0x21, 0x11, &[]),
        binary(0x21, 0x11, &vec![0; V2_MOST + 1]),
        binary(0x20, 0x00, &vec![0; 65_535]),
    ]);
    assert!(hostile.len() >= 40);
    for header in hostile {
        let all = [&header[..], BEHIND].concat();
        for split in (0..all.len()).step_by(1 + all.len() / 200) {
            let (found, taken) = scanned(&all, [split, all.len()]);
            assert!(found.is_err(), "{}: {found:?}", header.escape_ascii());
            assert!(taken <= V2_FIXED + V2_MOST, "{taken}");
        }
    }
}

#[test]
fn what_announces_too_much_is_refused_before_any_of_it_is_read() {
    let header = binary(0x21, 0x11, &vec![0; V2_MOST + 1]);
    let (found, taken) = scanned(&header, 1..=header.len());
    assert_eq!((found, taken), (Err(HeaderError::TooLong), V2_FIXED - 1));
    let line = [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 10_000]].concat();
    let (found, taken) = scanned(&line, 1..=line.len());
    assert_eq!((found, taken), (Err(HeaderError::TooLong), V1_MOST - 1));
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_are_one_thing(
        start in 0_usize..16,
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        cuts in prop::collection::vec(0_usize..400, 0..10),
    ) {
        let starts = good();
        let start = starts.get(start).map_or(&b""[..], |(header, _)| &header[..header.len() / 2]);
        let all = [start, &bytes].concat();
        let mut ends: Vec<_> = cuts.into_iter().filter(|cut| *cut < all.len()).collect();
        ends.sort_unstable();
        ends.push(all.len());
        let ((pieces, taken), (whole, taken_whole)) = (scanned(&all, ends), scanned(&all, [all.len()]));
        match (pieces, whole) {
            (Ok(Step::Whole(_, one)), Ok(Step::Whole(_, other))) => {
                prop_assert_eq!((one, taken), (other, taken_whole));
            }
            (Ok(Step::Absent), Ok(Step::Absent)) => {}
            (one, other) => prop_assert_eq!(one, other),
        }
    }
}

/// A socket on which a client sends these pieces, one after the other as they are taken.
async fn read_from(
    pieces: &[&[u8]],
    ends: bool,
) -> (Result<Opening, OpeningError>, Stream, UnixStream) {
    let (near, mut far) = UnixStream::pair().unwrap();
    let mut stream = Stream::Unix(near);
    let worker = Worker::new(WorkerId(0), 1);
    let timer = worker.timer();
    timer.set(Instant::now() + Duration::from_secs(10));
    let wheel = tokio::task::LocalSet::new();
    wheel.spawn_local(std::rc::Rc::clone(worker.wheel()).run());
    let (opening, far) = wheel
        .run_until(async {
            let sending = async {
                for piece in pieces {
                    far.write_all(piece).await.unwrap();
                    tokio::task::yield_now().await;
                }
                if ends {
                    far.shutdown().await.unwrap();
                }
                far
            };
            tokio::join!(read(&mut stream, &timer, |_| {}), sending)
        })
        .await;
    (opening, stream, far)
}

async fn rest_of(stream: &mut Stream) -> Vec<u8> {
    let mut room = [0; 1000];
    let seen = poll_fn(|cx| stream.poll_look(cx, &mut room)).await.unwrap();
    room[..seen].to_vec()
}

#[tokio::test]
async fn not_a_byte_is_taken_beyond_the_header() {
    for (header, client) in good() {
        let all = [&header[..], BEHIND].concat();
        let bytes: Vec<&[u8]> = all.chunks(7).collect();
        for pieces in [vec![&all[..]], bytes] {
            let (opening, mut stream, far) = read_from(&pieces, false).await;
            assert_eq!(opening, Ok(Opening::Header(client)));
            drop(far);
            let rest = rest_of(&mut stream).await;
            assert_eq!(
                rest.escape_ascii().to_string(),
                BEHIND.escape_ascii().to_string()
            );
        }
    }
}

#[tokio::test]
async fn a_request_comes_through_whole() {
    for request in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"PROPFIND / HTTP/1.1\r\n\r\n",
        b"\r\n\r\nGET /",
    ] {
        for split in 1..request.len() {
            let pieces = [&request[..split], &request[split..]];
            let (opening, mut stream, _far) = read_from(&pieces, false).await;
            let Ok(Opening::Other(taken)) = opening else {
                panic!("{opening:?}");
            };
            let rest = rest_of(&mut stream).await;
            assert_eq!([&taken[..], &rest].concat(), request);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_slow_or_goes_is_told_apart() {
    let (opening, ..) = read_from(&[b"PROXY ", b"TCP4"], false).await;
    assert_eq!(opening, Err(OpeningError::TimedOut));
    let (opening, ..) = read_from(&[], false).await;
    assert_eq!(opening, Err(OpeningError::TimedOut));
    let (opening, ..) = read_from(&[b"PROXY TC"], true).await;
    assert_eq!(opening, Err(OpeningError::Cut));
    let (opening, ..) = read_from(&[], true).await;
    assert_eq!(opening, Err(OpeningError::Silent));
    let (opening, ..) = read_from(&[b"PROXY NO\r\n"], true).await;
    assert_eq!(opening, Err(OpeningError::Header(HeaderError::Malformed)));
}

#[tokio::test]
async fn addresses_in_ipv6_clothes_are_taken_for_what_they_are() {
    let line = b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n";
    let (opening, ..) = read_from(&[line], false).await;
    let address = IpAddr::from(Ipv4Addr::new(192, 0, 2, 1));
    assert_eq!(opening, Ok(Opening::Header(Some(address))));
}
