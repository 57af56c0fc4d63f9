//! Clients behind another balancer: who they are taken for, and who may say so.

use std::io::{Read, Write};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;

use serde_json::Value;

use super::{assert_refused, balancer, configuration, counts, refused};
use crate::harness::{Balancer, Client, DEADLINE, Origin, Request, pool, wait_for, wait_until};
use crate::metrics::{Figures, wait_for_records};

const TRUSTING: &str = "trusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]\n";

fn required() -> String {
    format!("{TRUSTING}proxy_protocol = \"required\"")
}

fn optional() -> String {
    format!("{TRUSTING}proxy_protocol = \"optional\"")
}

fn line(client: &str) -> Vec<u8> {
    let family = if client.contains(':') { "TCP6" } else { "TCP4" };
    format!("PROXY {family} {client} {client} 40000 80\r\n").into_bytes()
}

fn binary(client: &str) -> Vec<u8> {
    let octets = match client.parse().unwrap() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let family = if octets.len() == 4 { 0x11 } else { 0x21 };
    let addresses = [&octets[..], &octets, &[0x9c, 0x40, 0, 80]].concat();
    let length = addresses.len() as u8;
    [
        &b"\r\n\r\n\0\r\nQUIT\n\x21"[..],
        &[family, 0, length],
        &addresses,
    ]
    .concat()
}

/// A client whose connection has begun with a header.
fn introduced(balancer: &Balancer, header: &[u8]) -> Client {
    let mut client = balancer.client("web");
    client.send_raw(header).unwrap();
    client
}

fn log(balancer: &Balancer, count: usize) -> Vec<Value> {
    wait_for(DEADLINE, "the access log", || {
        let text = balancer.stdout();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let lines: Vec<_> = whole
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        (lines.len() >= count).then_some(lines)
    })
}

/// Whether the connection is closed without a word.
#[track_caller]
fn assert_closed(client: &mut Client) {
    match client.read_to_end() {
        Ok(said) => assert!(said.is_empty(), "{}", said.escape_ascii()),
        // Unread bytes make it a reset.
        Err(crate::harness::ClientError::Reset) => {}
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn the_clients_address_arrives_everywhere() {
    let origin = Origin::named("a");
    let balancer = balancer(&required(), &origin);
    let clients = ["192.0.2.1", "2001:db8::1", "10.1.1.1"];
    for (index, client) in clients.into_iter().enumerate() {
        for header in [line(client), binary(client)] {
            // Several requests of one connection are of one client.
            let mut sender = introduced(&balancer, &header);
            sender.get("/1");
            sender.get("/2");
            assert_eq!(
                origin.last_received().field("x-forwarded-for"),
                Some(client)
            );
        }
        let lines = log(&balancer, 4 * (index + 1));
        assert!(
            lines
                .iter()
                .rev()
                .take(4)
                .all(|line| line["client.ip"] == client),
            "{lines:?}"
        );
    }
    assert_eq!(refused(&balancer, 0), counts(&[]));
}

/// Whether `X-Forwarded-For` is believed is decided by the address that the header gives.
#[test]
fn the_walk_over_proxies_goes_on_from_the_header() {
    let origin = Origin::named("a");
    let balancer = balancer(&required(), &origin);
    let told = Request::get("/").field("x-forwarded-for", "198.51.100.7");
    introduced(&balancer, &line("192.0.2.1")).send(&told);
    assert_eq!(
        origin.last_received().field("x-forwarded-for"),
        Some("192.0.2.1")
    );
    introduced(&balancer, &line("10.2.2.2")).send(&told);
    assert_eq!(
        origin.last_received().field("x-forwarded-for"),
        Some("198.51.100.7, 10.2.2.2")
    );
    let mut clients: Vec<_> = log(&balancer, 2)
        .iter()
        .map(|line| line["client.ip"].as_str().unwrap().to_owned())
        .collect();
    clients.sort();
    assert_eq!(clients, ["192.0.2.1", "198.51.100.7"]);
}

#[test]
fn headers_that_name_nobody_leave_the_peers_address() {
    let origin = Origin::named("a");
    let balancer = balancer(&required(), &origin);
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";
    let unspecified = b"\r\n\r\n\0\r\nQUIT\n\x21\x00\x00\x02xx";
    let unix = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x31\x00\xd8"[..], &[b'/'; 216]].concat();
    for header in [&local[..], unspecified, &unix, b"PROXY UNKNOWN\r\n"] {
        introduced(&balancer, header).get("/");
        assert_eq!(
            origin.last_received().field("x-forwarded-for"),
            Some("127.0.0.1")
        );
    }
}

#[test]
fn the_address_decides_the_backend_and_the_limit() {
    let (a, b, c) = (Origin::named("a"), Origin::named("b"), Origin::named("c"));
    let listener = required() + "\nlimits = { connections_per_client = 1 }";
    let balancer =
        Balancer::start(&(super::front(&listener) + &pool("shop", "ip-hash", &[&a, &b, &c])));
    let mut seen = std::collections::BTreeSet::new();
    for host in 1..40 {
        let client = format!("192.0.2.{host}");
        let mut sender = introduced(&balancer, &binary(&client));
        let first = sender.get("/").origin().to_owned();
        let refused = introduced(&balancer, &line(&client))
            .read_response("GET")
            .unwrap();
        assert_refused(&refused, 429, "too-many-connections");
        sender.close();
        wait_until(DEADLINE, "the place", || {
            Figures::of(&balancer).sum("forecourt_connections", &[]) == 0.0
        });
        assert_eq!(
            introduced(&balancer, &line(&client)).get("/").origin(),
            first
        );
        seen.insert(first);
    }
    assert_eq!(seen.len(), 3, "one balancer, and yet many clients");
}

#[test]
fn strangers_may_not_say_who_they_are() {
    let origin = Origin::named("a");
    let stranger: IpAddr = "127.0.0.9".parse().unwrap();
    // Whoever has to introduce itself and may not gets nothing at all.
    let strict = balancer(&required(), &origin);
    for bytes in [
        &b""[..],
        b"GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        &line("192.0.2.1"),
    ] {
        let mut client = strict.client("web").coming_from(stranger);
        let _ = client.send_raw(bytes);
        assert_closed(&mut client);
    }
    assert_eq!(refused(&strict, 3), counts(&[("proxy-protocol", 3.0)]));
    // Who need not speaks for itself only.
    let lenient = balancer(&optional(), &origin);
    for header in [line("192.0.2.1"), binary("192.0.2.1")] {
        let mut client = lenient.client("web").coming_from(stranger);
        client.send_raw(&header).unwrap();
        assert_closed(&mut client);
    }
    lenient.client("web").coming_from(stranger).get("/");
    assert_eq!(
        origin.last_received().field("x-forwarded-for"),
        Some("127.0.0.9")
    );
    assert_eq!(refused(&lenient, 2), counts(&[("proxy-protocol", 2.0)]));
    assert_eq!(origin.requests(), 1);
}

#[test]
fn where_headers_are_off_they_are_no_requests() {
    let origin = Origin::named("a");
    let balancer = balancer(TRUSTING, &origin);
    for header in [line("192.0.2.1"), binary("192.0.2.1")] {
        let mut client = introduced(&balancer, &header);
        client.send_raw(&Request::get("/").to_bytes()).unwrap();
        assert_refused(&client.read_response("GET").unwrap(), 400, "bad-request");
    }
    assert_eq!(refused(&balancer, 2), counts(&[("bad-request", 2.0)]));
    assert_eq!(origin.requests(), 0);
}

#[test]
fn a_header_may_be_missing_where_it_is_optional_and_nowhere_else() {
    let origin = Origin::named("a");
    let lenient = balancer(&optional(), &origin);
    lenient.client("web").get("/");
    assert_eq!(
        origin.last_received().field("x-forwarded-for"),
        Some("127.0.0.1")
    );
    introduced(&lenient, &line("192.0.2.1")).get("/");
    assert_eq!(
        origin.last_received().field("x-forwarded-for"),
        Some("192.0.2.1")
    );
    // What begins alike is told apart, byte by byte.
    for request in [
        "PROPFIND / HTTP/1.1\r\nhost: a\r\n\r\n",
        "\r\nPOST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
    ] {
        let mut client = lenient.client("web");
        for byte in request.as_bytes() {
            client.send_raw(&[*byte]).unwrap();
        }
        assert_eq!(client.read_response("POST").unwrap().status, 200);
    }
    assert_eq!(refused(&lenient, 0), counts(&[]));
    let strict = balancer(&required(), &origin);
    let mut client = strict.client("web");
    client.send_raw(&Request::get("/").to_bytes()).unwrap();
    assert_closed(&mut client);
    assert_eq!(refused(&strict, 1), counts(&[("proxy-protocol", 1.0)]));
    // Probes that connect and go are no refusals.
    strict.client("web").connect().unwrap();
    assert_eq!(refused(&strict, 1), counts(&[("proxy-protocol", 1.0)]));
}

#[test]
fn a_header_in_any_two_pieces() {
    let origin = Origin::named("a");
    let balancer = balancer(&required(), &origin);
    let mut asked = 0;
    for header in [line("192.0.2.1"), binary("2001:db8::1")] {
        let all = [&header[..], &Request::get("/").to_bytes()].concat();
        for split in 1..=header.len() {
            let mut client = introduced(&balancer, &all[..split]);
            // Two segments, for the answer to a probe lies between them.
            if split % 8 == 0 {
                balancer.admin("/healthz");
            }
            client.send_raw(&all[split..]).unwrap();
            assert_eq!(client.read_response("GET").unwrap().status, 200);
            asked += 1;
        }
    }
    assert_eq!(origin.requests(), asked);
    wait_for_records(&balancer, asked);
}

#[test]
fn hostile_headers_are_closed_without_a_word() {
    let origin = Origin::named("a");
    let balancer = balancer(&required(), &origin);
    let long = [&b"PROXY UNKNOWN "[..], &[b'x'; 200]].concat();
    let large = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff"[..], &[0; 4096]].concat();
    let hostile: [&[u8]; 8] = [
        b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n",
        b"PROXY TCP4 1.1.1.1 2.2.2.2 99999 2\r\n",
        b"PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n",
        &long,
        &large,
        b"\r\n\r\n\0\r\nQUIT\n\x11\x11\x00\x0cxxxxxxxxxxxx",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x04xxxx",
        b"\x16\x03\x01\x02\x00",
    ];
    for header in hostile {
        let mut client = introduced(&balancer, header);
        let _ = client.send_raw(&Request::get("/").to_bytes());
        assert_closed(&mut client);
    }
    assert_eq!(refused(&balancer, 8), counts(&[("proxy-protocol", 8.0)]));
    assert_eq!(origin.requests(), 0);
}

#[test]
fn a_slow_header_is_cut() {
    let origin = Origin::named("a");
    for listener in [required(), optional()] {
        let balancer = balancer(
            &format!("{listener}\ntimeouts = {{ header = \"150ms\" }}"),
            &origin,
        );
        let mut client = introduced(&balancer, b"PROXY TCP4 ");
        assert_closed(&mut client);
        let mut client = introduced(&balancer, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0cxxx");
        assert_closed(&mut client);
        assert_eq!(refused(&balancer, 2), counts(&[("header-timeout", 2.0)]));
    }
}

/// Who need not introduce itself may connect and wait for as long as anybody.
#[test]
fn where_it_is_optional_a_silent_connection_is_an_idle_one() {
    let origin = Origin::named("a");
    let listener = optional() + "\ntimeouts = { header = \"100ms\", idle = \"600ms\" }";
    let balancer = balancer(&listener, &origin);
    assert_closed(&mut balancer.client("web"));
    assert_eq!(refused(&balancer, 0), counts(&[]));
}

/// Nobody waits uncounted for a header that it may not send.
#[test]
fn a_stranger_that_is_silent_has_its_place() {
    let origin = Origin::named("a");
    let listener = optional() + "\nlimits = { connections_per_client = 1 }";
    let balancer = balancer(&listener, &origin);
    let stranger: IpAddr = "127.0.0.9".parse().unwrap();
    let mut silent = balancer.client("web").coming_from(stranger);
    silent.connect().unwrap();
    wait_until(DEADLINE, "the connection", || {
        Figures::of(&balancer).sum("forecourt_connections", &[]) == 1.0
    });
    let mut second = balancer.client("web").coming_from(stranger);
    second.connect().unwrap();
    let refusal = second.read_response("GET").unwrap();
    assert_refused(&refusal, 429, "too-many-connections");
    assert_eq!(
        refused(&balancer, 1),
        counts(&[("too-many-connections", 1.0)])
    );
    assert_eq!(silent.get("/").status, 200);
}

#[test]
fn on_a_unix_socket_the_peer_is_trusted() {
    let origin = Origin::named("a");
    let mut text = configuration("proxy_protocol = \"optional\"", &origin);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web.sock");
    text = text.replace(
        "[listeners.web]\naddress = \"127.0.0.1:0\"",
        &format!("[listeners.web]\naddress = \"unix:{}\"", path.display()),
    );
    let balancer = Balancer::spawn(&text);
    let ask = |header: &[u8]| {
        let mut stream = wait_for(DEADLINE, "the socket", || UnixStream::connect(&path).ok());
        stream.write_all(header).unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    };
    ask(&line("192.0.2.1"));
    assert_eq!(
        origin.last_received().field("x-forwarded-for"),
        Some("192.0.2.1")
    );
    ask(&binary("2001:db8::1"));
    assert_eq!(
        origin.last_received().field("x-forwarded-for"),
        Some("2001:db8::1")
    );
    ask(b"");
    assert_eq!(origin.last_received().field("x-forwarded-for"), None);
    drop(balancer);
}
