//! How a WebSocket begins, and what happens when it does not.

use super::*;
use crate::harness::{Origin, pool};
use crate::tls::Visitor;

/// A backend that tells the head it has got, and ends.
fn told(mut stream: TcpStream, head: String) {
    stream.write_all(head.as_bytes()).unwrap();
}

fn rest(stream: &mut TcpStream) -> String {
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    rest.to_ascii_lowercase()
}

#[test]
fn what_is_offered_and_what_is_chosen_is_passed_on() {
    const CHOICE: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat.v2\r\n\
        Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n\r\n";
    let balancer = in_front_of(backend(CHOICE, told), "", "");
    let offers = "origin: https://shop.example\r\nsec-websocket-protocol: chat.v2, chat.v1\r\n\
                  sec-websocket-extensions: permessage-deflate; client_max_window_bits, x-other\r\n";
    let ask = ASK.replace("\r\n\r\n", &format!("\r\n{offers}\r\n"));
    let (mut stream, head) = asked(&balancer, &ask);
    for chosen in [
        "sec-websocket-protocol: chat.v2\r\n",
        "sec-websocket-extensions: permessage-deflate; server_no_context_takeover\r\n",
    ] {
        assert!(head.contains(chosen), "{head}");
    }
    let seen = rest(&mut stream);
    for line in offers.lines() {
        assert!(seen.contains(line), "no {line} in {seen}");
    }
    for line in [
        "sec-websocket-version: 13\r\n",
        "sec-websocket-key: dghlihnhbxbszsbub25jzq==\r\n",
    ] {
        assert_eq!(seen.matches(line).count(), 1, "{line} in {seen}");
    }
}

#[test]
fn a_refusal_is_passed_on_with_its_body() {
    for (refusal, field) in [
        (
            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"chat\"\r\nContent-Length: 3\r\n\r\nwho",
            "www-authenticate: basic realm=\"chat\"",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 3\r\n\r\nwho",
            "content-type: text/html",
        ),
        (
            "HTTP/1.1 404 Not Found\r\nX-Why: nowhere\r\nContent-Length: 3\r\n\r\nwho",
            "x-why: nowhere",
        ),
        (
            "HTTP/1.1 403 Forbidden\r\nX-Why: banned\r\nContent-Length: 3\r\n\r\nwho",
            "x-why: banned",
        ),
        (
            "HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\nContent-Length: 3\r\n\r\nwho",
            "sec-websocket-version: 13",
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: https://other.example/chat\r\nContent-Length: 3\r\n\r\nwho",
            "location: https://other.example/chat",
        ),
    ] {
        let balancer = in_front_of(backend(refusal, |_, _| {}), "", "");
        let (mut stream, head) = asked(&balancer, ASK);
        assert_eq!(head.split(' ').nth(1), refusal.split(' ').nth(1), "{head}");
        assert!(head.contains(field), "no {field} in {head}");
        assert_eq!(read_exactly(&mut stream, 3), b"who");
        // It is a connection like any other.
        stream.write_all(ASK.as_bytes()).unwrap();
        read_until(&mut stream, b"\r\n\r\nwho");
    }
}

#[test]
fn a_route_that_redirects_does_so_for_upgrades_too() {
    let balancer = in_front_of(
        backend(GRANT, echo),
        "[[routes]]\npath = \"/chat\"\nredirect = { to = \"https://{host}{uri}\" }",
        "",
    );
    let (_, head) = asked(&balancer, ASK);
    assert!(head.starts_with("http/1.1 307 "), "{head}");
    assert!(
        head.contains("location: https://shop.example/chat\r\n"),
        "{head}"
    );
}

#[test]
fn a_backend_that_is_down_is_an_error_like_any_other() {
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let balancer = in_front_of(nobody, "", "");
    let (_, head) = asked(&balancer, ASK);
    assert!(head.starts_with("http/1.1 502 "), "{head}");
    assert!(
        head.contains("forecourt-error: connect-refused\r\n"),
        "{head}"
    );
    assert!(!head.contains("upgrade: "), "{head}");
}

#[test]
fn the_sticky_cookie_comes_with_the_grant_and_keeps_its_backend() {
    let named = |name: &'static str| match name {
        "a" => backend(GRANT, |mut stream, _| stream.write_all(b"a").unwrap()),
        _ => backend(GRANT, |mut stream, _| stream.write_all(b"b").unwrap()),
    };
    let (first, second) = (named("a"), named("b"));
    let both = format!(
        "[pools.shop]\nbackends = [{{ address = \"{first}\" }}, {{ address = \"{second}\" }}]\n\
         [pools.shop.sticky]\ncookie = \"fc\"\n"
    );
    let balancer = Balancer::start(&(Balancer::front("shop") + &both));
    let (mut stream, head) = asked(&balancer, ASK);
    let home = read_exactly(&mut stream, 1);
    let cookie = head.split("set-cookie: ").nth(1).unwrap();
    // As it was written: the head that came back is in lower case, and the cookie is not.
    assert!(cookie.starts_with("fc=v1."), "{head}");
    let mut again = TcpStream::connect(balancer.address("web")).unwrap();
    again.set_read_timeout(Some(DEADLINE)).unwrap();
    again.write_all(ASK.as_bytes()).unwrap();
    let head = String::from_utf8(read_until(&mut again, b"\r\n\r\n")).unwrap();
    let at = head.to_ascii_lowercase().find("set-cookie: ").unwrap() + "set-cookie: ".len();
    let cookie = head[at..].split(';').next().unwrap().to_owned();
    let theirs = read_exactly(&mut again, 1);
    assert_ne!(theirs, home, "round robin");
    for _ in 0..4 {
        let ask = ASK.replace("\r\n\r\n", &format!("\r\nCookie: {cookie}\r\n\r\n"));
        let (mut stream, head) = asked(&balancer, &ask);
        assert!(!head.contains("set-cookie"), "{head}");
        assert_eq!(read_exactly(&mut stream, 1), theirs);
    }
}

#[test]
fn rules_for_fields_hold_for_asking_and_for_granting() {
    let rules = "request_headers = { set = { x-shop = \"de\" }, remove = [\"x-debug\"] }\n\
                 response_headers = { set = { x-served = \"here\" }, remove = [\"x-secret\"] }";
    const GRANT_AND_MORE: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        X-Secret: 1\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    let balancer = in_front_of(backend(GRANT_AND_MORE, told), rules, "");
    let ask = ASK.replace("\r\n\r\n", "\r\nX-Debug: 1\r\n\r\n");
    let (mut stream, head) = asked(&balancer, &ask);
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert!(
        head.contains("x-served: here\r\n") && !head.contains("x-secret"),
        "{head}"
    );
    let seen = rest(&mut stream);
    assert!(
        seen.contains("x-shop: de\r\n") && !seen.contains("x-debug"),
        "{seen}"
    );
    assert!(seen.contains("x-forwarded-for: 127.0.0.1\r\n"), "{seen}");
}

#[test]
fn by_tls_it_is_the_same() {
    let balancer = in_front_of(
        backend(GRANT, echo),
        "[listeners.secure]\naddress = \"127.0.0.1:0\"\n[listeners.secure.tls]\nself_signed = [\"shop.example\"]",
        "",
    );
    let mut tls = Visitor::new()
        .visit(balancer.address("secure"), "shop.example")
        .tls;
    tls.write_all(ASK.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        tls.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    for length in [1, 126, 70_000] {
        let bytes = frame(0x82, true, &vec![7; length]);
        tls.write_all(&bytes).unwrap();
        let mut back = vec![0; bytes.len()];
        tls.read_exact(&mut back).unwrap();
        assert!(back == bytes, "{length}");
    }
    tls.conn.send_close_notify();
    tls.flush().unwrap();
    assert_eq!(tls.read(&mut [0]).unwrap(), 0);
}

#[test]
fn it_may_be_asked_for_behind_another_request() {
    let origin = Origin::named("a");
    let talks = backend(GRANT, echo);
    let route = "[[routes]]\npath = \"/chat\"\npool = \"talks\"\n";
    let balancer = Balancer::start(&format!(
        "{}{route}{}[pools.talks]\nbackends = [{{ address = \"{talks}\" }}]\n",
        Balancer::front("shop"),
        pool("shop", "round-robin", &[&origin]),
    ));
    let both = format!("GET /page HTTP/1.1\r\nHost: a\r\n\r\n{ASK}{}", "\u{1}\u{1}");
    let (mut stream, head) = asked(&balancer, &both);
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    assert_eq!(read_exactly(&mut stream, 1), b"a");
    let head = read_until(&mut stream, b"\r\n\r\n");
    assert!(
        head.starts_with(b"HTTP/1.1 101 "),
        "{}",
        head.escape_ascii()
    );
    assert_eq!(read_exactly(&mut stream, 2), b"\x01\x01");
    there_and_back(&mut stream, &frame(0x81, true, b"hello"));
}

/// A client that cannot wait sends its first frame before it has been granted anything.
#[test]
fn bytes_before_the_grant_come_behind_it() {
    let balancer = in_front_of(backend(GRANT, echo), "", "");
    let early = frame(0x82, true, &[7; 20_000]);
    let mut stream = TcpStream::connect(balancer.address("web")).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
        .write_all(&[ASK.as_bytes(), &early].concat())
        .unwrap();
    let head = read_until(&mut stream, b"\r\n\r\n");
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    assert!(read_exactly(&mut stream, early.len()) == early);
}

#[test]
fn frames_in_one_piece_with_the_grant_are_not_lost() {
    const GRANT_AND_MORE: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\u{1}\u{5}hello";
    let balancer = in_front_of(backend(GRANT_AND_MORE, echo), "", "");
    let (mut stream, _) = asked(&balancer, ASK);
    assert_eq!(read_exactly(&mut stream, 7), b"\x01\x05hello");
    there_and_back(&mut stream, b"\x81\x80\0\0\0\0");
}
