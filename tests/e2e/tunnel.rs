//! Connections that change their protocol: WebSockets and others, what is asked for and what is not.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use rustix::process::Signal;

use super::harness::{Balancer, Client, DEADLINE, Origin, Request, pool, wait_until};
use super::metrics::Figures;

pub(crate) const ASK: &str = "GET /chat HTTP/1.1\r\nHost: shop.example\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

pub(crate) const GRANT: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                     Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// A backend that reads a head, writes `answer`, and then is what `then` makes of the connection.
pub(crate) fn backend(answer: &'static str, then: fn(TcpStream, String)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("the sockets of a test work");
    let address = listener.local_addr().expect("the sockets of a test work");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            stream
                .set_read_timeout(Some(DEADLINE))
                .expect("the sockets of a test work");
            thread::spawn(move || {
                let head = read_until(&mut stream, b"\r\n\r\n");
                stream
                    .write_all(answer.as_bytes())
                    .expect("the sockets of a test work");
                then(
                    stream,
                    String::from_utf8(head).expect("the sockets of a test work"),
                );
            });
        }
    });
    address
}

pub(crate) fn echo(mut stream: TcpStream, _: String) {
    let mut piece = [0; 4096];
    while let Ok(n @ 1..) = stream.read(&mut piece) {
        if stream.write_all(&piece[..n]).is_err() {
            return;
        }
    }
}

/// Requests that the pool's backends have now.
pub(crate) fn in_flight(balancer: &Balancer) -> f64 {
    Figures::of(balancer).sum("forecourt_backend_in_flight", &[("pool", "shop")])
}

pub(crate) fn read_until(stream: &mut TcpStream, end: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    let mut byte = [0];
    while !all.ends_with(end) {
        assert_eq!(
            stream.read(&mut byte).expect("the sockets of a test work"),
            1,
            "ended behind {}",
            all.escape_ascii()
        );
        all.push(byte[0]);
    }
    all
}

pub(crate) fn read_exactly(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream
        .read_exact(&mut bytes)
        .expect("the sockets of a test work");
    bytes
}

pub(crate) fn in_front_of(backend: SocketAddr, route: &str, keys: &str) -> Balancer {
    Balancer::start(&format!(
        "[admin]\naddress = \"127.0.0.1:0\"\n[listeners.web]\naddress = \"127.0.0.1:0\"\n\
         [[routes]]\npath_prefix = \"/\"\npool = \"shop\"\n{route}\n\
         [pools.shop]\nbackends = [{{ address = \"{backend}\" }}]\n{keys}"
    ))
}

/// A connection on which `ask` has been sent, and the head that came back.
pub(crate) fn asked(balancer: &Balancer, ask: &str) -> (TcpStream, String) {
    let mut stream =
        TcpStream::connect(balancer.address("web")).expect("the sockets of a test work");
    stream
        .set_read_timeout(Some(DEADLINE))
        .expect("the sockets of a test work");
    stream
        .write_all(ask.as_bytes())
        .expect("the sockets of a test work");
    let head = read_until(&mut stream, b"\r\n\r\n");
    (
        stream,
        String::from_utf8(head)
            .expect("the sockets of a test work")
            .to_ascii_lowercase(),
    )
}

#[test]
fn bytes_go_both_ways_once_it_is_granted() {
    let backend = backend(GRANT, echo);
    let balancer = in_front_of(backend, "", "");
    let (mut stream, head) = asked(&balancer, ASK);
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    for field in [
        "\r\nupgrade: websocket\r\n",
        "\r\nconnection: upgrade\r\n",
        "\r\nsec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n",
    ] {
        assert_eq!(head.matches(field).count(), 1, "{field} in {head}");
    }
    for message in [
        &b"\x81\x05hello"[..],
        b"\0\xff\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        stream.write_all(message).unwrap();
        assert_eq!(read_exactly(&mut stream, message.len()), message);
    }
    // Much at once, while nobody reads.
    let much = vec![7; 8 << 20];
    let mut writer = stream.try_clone().unwrap();
    let sent = much.clone();
    let writing = thread::spawn(move || writer.write_all(&sent).unwrap());
    assert_eq!(read_exactly(&mut stream, much.len()), much);
    writing.join().unwrap();
    // The client's end is passed on, and the backend's comes back.
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    wait_until(DEADLINE, "the record", || {
        balancer
            .stdout()
            .contains("\"http.response.status_code\":101")
    });
    assert_eq!(in_flight(&balancer), 0.0);
}

#[test]
fn what_the_backend_sees_is_one_plain_wish() {
    let seen = |ask: &str, route: &str| {
        let origin = Origin::named("a");
        let balancer = in_front_of(origin.address(), route, "");
        let (_stream, _) = asked(&balancer, ask);
        let seen = origin.last_received();
        let field = |name| seen.field(name).map(str::to_owned);
        (field("connection"), field("upgrade"))
    };
    let wish = Some("upgrade".to_owned());
    assert_eq!(seen(ASK, ""), (wish.clone(), Some("websocket".to_owned())));
    assert_eq!(seen(ASK, "upgrade = []"), (None, None));
    let several = ASK.replace("Upgrade: websocket", "Upgrade: h2c, WebSocket");
    assert_eq!(
        seen(&several, ""),
        (wish.clone(), Some("WebSocket".to_owned()))
    );
    let other = ASK.replace("Upgrade: websocket", "Upgrade: tus/1.0");
    assert_eq!(seen(&other, ""), (None, None));
    assert_eq!(
        seen(&other, "upgrade = [\"tus/1.0\"]"),
        (wish, Some("tus/1.0".to_owned()))
    );
    for odd in [
        ASK.replace("GET", "POST"),
        ASK.replace("HTTP/1.1", "HTTP/1.0"),
        ASK.replace("Connection: keep-alive, Upgrade\r\n", ""),
        ASK.replace("\r\n\r\n", "\r\nContent-Length: 2\r\n\r\nhi"),
    ] {
        assert_eq!(seen(&odd, "").1, None, "{odd}");
    }
}

/// A backend that answers in its own way, or changes to what nobody asked for.
#[test]
fn an_answer_that_is_no_101_is_an_answer() {
    let origin = Origin::named("a");
    let balancer = in_front_of(origin.address(), "", "");
    let (mut stream, head) = asked(&balancer, ASK);
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    assert_eq!(read_exactly(&mut stream, 1), b"a");
    // The connection is one like any other.
    stream
        .write_all(b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    assert!(read_until(&mut stream, b"\r\n\r\na").starts_with(b"HTTP/1.1 200 "));

    for answer in [
        "HTTP/1.1 101 Other\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        "HTTP/1.1 101 Nothing\r\n\r\n",
        "HTTP/1.1 101 Length\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 3\r\n\r\nabc",
    ] {
        let balancer = in_front_of(backend(answer, echo), "", "");
        let (_, head) = asked(&balancer, ASK);
        assert!(head.starts_with("http/1.1 502 "), "{answer} gives {head}");
    }
    let balancer = in_front_of(backend(GRANT, echo), "upgrade = []", "");
    let (_, head) = asked(&balancer, ASK);
    assert!(head.starts_with("http/1.1 502 "), "unasked: {head}");
}

#[test]
fn an_end_on_either_side_is_passed_on() {
    let backend = backend(GRANT, |mut stream, _| {
        stream.write_all(b"bye").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        // What the client still says comes through.
        let rest = read_until(&mut stream, b"thanks");
        assert_eq!(rest, b"thanks");
    });
    let balancer = in_front_of(backend, "", "");
    let (mut stream, _) = asked(&balancer, ASK);
    assert_eq!(read_exactly(&mut stream, 3), b"bye");
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    stream.write_all(b"thanks").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    wait_until(DEADLINE, "the end", || in_flight(&balancer) == 0.0);
}

#[test]
fn silence_ends_it_with_a_goodbye() {
    let balancer = in_front_of(
        backend(GRANT, echo),
        "",
        "[pools.shop.timeouts]\ntunnel = \"300ms\"\n",
    );
    let (mut stream, _) = asked(&balancer, ASK);
    assert_eq!(read_exactly(&mut stream, 4), [0x88, 2, 0x03, 0xe9]);
    stream.write_all(&[0x88, 0x80, 1, 2, 3, 4]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

/// A drain says 1001 between two frames, never within one.
#[test]
fn a_drain_says_goodbye_between_frames() {
    let backend = backend(GRANT, |mut stream, _| {
        // A frame of ten bytes, of which five come now and five when the client has spoken.
        stream.write_all(b"\x82\x0ahello").unwrap();
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        stream.write_all(b"world").unwrap();
        // The client's answer to the goodbye is passed on.
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, [0x88, 0x80, 1, 2, 3, 4]);
    });
    let mut balancer = in_front_of(backend, "", "");
    let (mut stream, _) = asked(&balancer, ASK);
    assert_eq!(read_exactly(&mut stream, 7), b"\x82\x0ahello");
    balancer.signal(Signal::TERM);
    wait_until(DEADLINE, "the drain", || {
        Client::of(balancer.address("web")).connect().is_err()
    });
    stream.write_all(b"x").unwrap();
    assert_eq!(read_exactly(&mut stream, 9), b"world\x88\x02\x03\xe9");
    stream.write_all(&[0x88, 0x80, 1, 2, 3, 4]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    assert!(balancer.wait_for_exit(DEADLINE).success());
}

/// A reload changes nothing for what is under way.
#[test]
fn a_reload_leaves_it_alone() {
    let first = backend(GRANT, echo);
    let balancer = in_front_of(first, "", "");
    let (mut stream, _) = asked(&balancer, ASK);
    let origin = Origin::named("b");
    let front = "[admin]\naddress = \"127.0.0.1:0\"\n[listeners.web]\naddress = \"127.0.0.1:0\"\n\
                 [[routes]]\npath_prefix = \"/\"\npool = \"shop\"\n";
    balancer.reload(&(front.to_owned() + &pool("shop", "round-robin", &[&origin])));
    wait_until(DEADLINE, "the reload", || {
        let answer = balancer.client("web").try_send(&Request::get("/"));
        answer.is_ok_and(|answer| answer.field("x-origin") == Some("b"))
    });
    stream.write_all(b"still here").unwrap();
    assert_eq!(read_exactly(&mut stream, 10), b"still here");
}

/// A stream of HTTP/2 by prior knowledge, asked for as RFC 8441 has it: the status, and both ends of it.
async fn asked_by_h2(
    balancer: &Balancer,
) -> (u16, h2::SendStream<bytes::Bytes>, Option<h2::RecvStream>) {
    let stream = tokio::net::TcpStream::connect(balancer.address("web"))
        .await
        .expect("the listener stands");
    let (sender, connection) = h2::client::handshake(stream)
        .await
        .expect("it speaks HTTP/2");
    tokio::spawn(async move {
        let _ = connection.await;
    });
    let mut sender = sender.ready().await.expect("it takes requests");
    // The settings come with the first frames.
    while !sender.is_extended_connect_protocol_enabled() {
        tokio::task::yield_now().await;
    }
    let mut request = http::Request::builder()
        .method("CONNECT")
        .uri("http://shop.example/chat")
        .header("sec-websocket-version", "13")
        .body(())
        .expect("the request is sound");
    let protocol = h2::ext::Protocol::from_static("websocket");
    request.extensions_mut().insert(protocol);
    let (response, send) = sender
        .send_request(request, false)
        .expect("a stream can be opened");
    let response = tokio::time::timeout(DEADLINE, response)
        .await
        .expect("an answer comes in time");
    let Ok(response) = response else {
        return (0, send, None);
    };
    assert!(response.headers().get("sec-websocket-accept").is_none());
    assert!(response.headers().get("connection").is_none());
    let status = response.status().as_u16();
    (status, send, Some(response.into_body()))
}

async fn next(content: &mut h2::RecvStream) -> Option<bytes::Bytes> {
    loop {
        let piece = tokio::time::timeout(DEADLINE, content.data()).await;
        let piece = piece.expect("a piece comes in time")?;
        let piece = piece.expect("the stream stands");
        let _ = content.flow_control().release_capacity(piece.len());
        // The last frame has nothing in it.
        if !piece.is_empty() {
            return Some(piece);
        }
    }
}

/// Grants a WebSocket as a server does: by what follows from the key.
fn grant(mut stream: TcpStream, head: String) {
    use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
    use base64::Engine as _;

    let lower = head.to_ascii_lowercase();
    assert!(lower.starts_with("get /chat http/1.1\r\n"), "{head}");
    assert!(lower.contains("\r\nupgrade: websocket\r\n"), "{head}");
    let start = lower
        .find("\r\nsec-websocket-key: ")
        .expect("there is a key")
        + 21;
    let key = head[start..].split("\r\n").next().unwrap_or_default();
    let answer = digest(
        &SHA1_FOR_LEGACY_USE_ONLY,
        format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11").as_bytes(),
    );
    let answer = base64::engine::general_purpose::STANDARD.encode(answer);
    let head = GRANT.replace("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", &answer);
    let granted = stream.write_all(head.as_bytes());
    granted.expect("the balancer reads");
    echo(stream, String::new());
}

#[tokio::test]
async fn a_client_of_http2_has_its_websocket_too() {
    let mut balancer = in_front_of(backend("", grant), "", "");
    let (status, mut send, content) = asked_by_h2(&balancer).await;
    assert_eq!(status, 200);
    let mut content = content.unwrap();
    for message in ["\u{1}hello", "GET / HTTP/1.1\r\n\r\n"] {
        send.send_data(message.into(), false).unwrap();
        assert_eq!(
            next(&mut content).await.as_deref(),
            Some(message.as_bytes())
        );
    }
    // The client's end is passed on, and the backend's comes back.
    send.send_data(bytes::Bytes::new(), true).unwrap();
    assert_eq!(next(&mut content).await, None);

    let (_, mut send, content) = asked_by_h2(&balancer).await;
    let mut content = content.unwrap();
    send.send_data(bytes::Bytes::from_static(b"\x81\x01x"), false)
        .unwrap();
    assert_eq!(next(&mut content).await.as_deref(), Some(&b"\x81\x01x"[..]));
    balancer.signal(Signal::TERM);
    assert_eq!(
        next(&mut content).await.as_deref(),
        Some(&[0x88, 2, 0x03, 0xe9][..])
    );
    send.send_data(bytes::Bytes::from_static(&[0x88, 0x80, 1, 2, 3, 4]), true)
        .unwrap();
    assert!(
        tokio::task::spawn_blocking(move || balancer.wait_for_exit(DEADLINE).success())
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn a_websocket_of_http2_that_is_not_granted_is_none() {
    for (answer, status) in [
        // The right answer to another key.
        (GRANT, 0),
        ("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", 403),
        // To a client that asks by CONNECT each 2xx is a grant, and these are none.
        ("HTTP/1.1 200 Page\r\nContent-Length: 4\r\n\r\npage", 502),
        ("HTTP/1.1 204 Nothing\r\n\r\n", 502),
    ] {
        let balancer = in_front_of(backend(answer, echo), "", "");
        assert_eq!(asked_by_h2(&balancer).await.0, status, "{answer}");
    }
    let balancer = in_front_of(backend(GRANT, echo), "upgrade = []", "");
    assert_eq!(
        asked_by_h2(&balancer).await.0,
        502,
        "a 101 that nobody asked for"
    );
    // Where no upgrade is allowed a backend is asked for a page, and gives one.
    let origin = Origin::named("a");
    let balancer = in_front_of(origin.address(), "upgrade = []", "");
    assert_eq!(asked_by_h2(&balancer).await.0, 502);
    assert_eq!(origin.requests(), 1);
    let respond = "[[routes]]\npath = \"/chat\"\nrespond = { body = \"ok\" }";
    let balancer = in_front_of(origin.address(), respond, "");
    assert_eq!(asked_by_h2(&balancer).await.0, 405);
}

/// A refusal comes with its body, and the stream ends behind it.
#[tokio::test]
async fn a_refusal_by_http2_is_a_plain_answer() {
    for (answer, status) in [
        ("HTTP/1.1 404 None\r\nContent-Length: 4\r\n\r\nnone", 404),
        (
            "HTTP/1.1 426 Old\r\nSec-WebSocket-Version: 13\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nnone\r\n0\r\n\r\n",
            426,
        ),
    ] {
        let balancer = in_front_of(backend(answer, echo), "", "");
        let (seen, _send, content) = asked_by_h2(&balancer).await;
        assert_eq!(seen, status);
        let mut content = content.expect("there is an answer");
        assert_eq!(next(&mut content).await.as_deref(), Some(&b"none"[..]));
        assert_eq!(next(&mut content).await, None);
        wait_until(DEADLINE, "the end of the request", || {
            in_flight(&balancer) == 0.0
        });
    }
}
