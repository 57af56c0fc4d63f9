//! Clients that mean well, before backends that speak HTTP/1: bodies, trailers, interim answers, ends.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use rustix::process::Signal;

use super::frame::{self as f, data, head, reset, settings};
use super::raw::{Raw, get, request};
use crate::admin::certificate;
use crate::harness::{Balancer, Behaviour, DEADLINE, Origin, pool, wait_until};
use crate::metrics::Figures;

/// A backend that does as this says with each connection.
fn backend(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = std::sync::Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = std::sync::Arc::clone(&serve);
            thread::spawn(move || serve(stream));
        }
    });
    address
}

fn before(address: SocketAddr, listener: &str) -> Balancer {
    Balancer::start(&format!(
        "[server]\nworkers = 1\n[admin]\naddress = \"127.0.0.1:0\"\n[listeners.web]\naddress = \"127.0.0.1:0\"\n{listener}\n\
         [[routes]]\npath_prefix = \"/\"\npool = \"shop\"\n[pools.shop]\nbackends = [{{ address = \"{address}\" }}]\n"
    ))
}

fn client(balancer: &Balancer) -> Raw {
    Raw::client(balancer.address("web"))
}

fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n > 0) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

#[test]
fn answers_of_all_shapes() {
    let origin = Origin::named("a");
    let raw = |text: &str| Behaviour::Raw(text.as_bytes().to_vec());
    origin.on("/trailers", raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 7\r\n\r\n"));
    origin.on("/none", raw("HTTP/1.1 204 No Content\r\n\r\n"));
    origin.on(
        "/same",
        raw("HTTP/1.1 304 Not Modified\r\ncontent-length: 500\r\netag: \"x\"\r\n\r\n"),
    );
    origin.on("/early", raw("HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\n\r\nok"));
    origin.on(
        "/empty",
        raw("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    );
    let balancer = Balancer::in_front_of(&[&origin]);
    let mut raw = client(&balancer);

    let answer = raw.get(1, "/trailers").unwrap();
    assert_eq!(
        (answer.status(), answer.text().as_str()),
        (Some(200), "hello")
    );
    assert_eq!(answer.sections[1], [("x-sum".to_owned(), "7".to_owned())]);
    let answer = raw.get(3, "/none").unwrap();
    assert_eq!(
        (answer.status(), answer.field("content-length")),
        (Some(204), None)
    );
    let answer = raw.get(5, "/same").unwrap();
    assert_eq!(
        (answer.status(), answer.field("content-length")),
        (Some(304), Some("500"))
    );
    let answer = raw.get(7, "/early").unwrap();
    assert_eq!(
        answer.sections[0],
        [(":status", "103"), ("link", "</style.css>")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
    assert_eq!((answer.status(), answer.text().as_str()), (Some(200), "ok"));
    for name in ["connection", "x-hop", "keep-alive", "transfer-encoding"] {
        assert_eq!(answer.field(name), None, "{name}");
    }
    let answer = raw.get(9, "/empty").unwrap();
    assert_eq!(
        (answer.status(), answer.field("content-length")),
        (Some(200), Some("0"))
    );
    raw.send(&head(11, f::END_STREAM, &request("HEAD", "/")));
    let answer = raw.answer(11).unwrap();
    assert_eq!(
        (
            answer.status(),
            answer.field("content-length"),
            answer.content.len()
        ),
        (Some(200), Some("1"), 0)
    );
}

#[test]
fn a_client_that_asks_for_leave_gets_it_from_the_backend() {
    let origin = Origin::named("a");
    let balancer = Balancer::in_front_of(&[&origin]);
    let mut raw = client(&balancer);
    let mut fields = request("POST", "/").to_vec();
    fields.extend([("expect", "100-continue"), ("content-length", "5")]);
    raw.send(&head(1, 0, &fields));
    raw.until(|raw| {
        raw.streams
            .get(&1)
            .is_some_and(|stream| !stream.sections.is_empty())
    })
    .unwrap();
    assert_eq!(
        raw.streams[&1].sections[0],
        [(":status".to_owned(), "100".to_owned())]
    );
    raw.send(&data(1, f::END_STREAM, b"hello"));
    assert_eq!(raw.answer(1).unwrap().status(), Some(200));
    assert_eq!(origin.last_received().body, b"hello");
}

#[test]
fn an_answer_that_does_not_wait_for_its_request() {
    let address = backend(|mut stream| {
        read_head(&mut stream);
        let _ = stream.write_all(
            b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno",
        );
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let balancer = before(address, "timeouts = { body = \"1s\" }");
    let mut raw = client(&balancer);
    raw.send(&head(1, 0, &request("POST", "/")));
    raw.send(&data(1, 0, &[b'x'; 10_000]));
    // The end of the answer, and behind it that the rest is not wanted.
    raw.until(|raw| {
        raw.streams
            .get(&1)
            .is_some_and(|stream| stream.reset.is_some())
    })
    .unwrap();
    let answer = &raw.streams[&1];
    assert_eq!(
        (answer.status(), answer.text().as_str(), answer.ended),
        (Some(403), "no", true)
    );
    assert_eq!(answer.reset, Some(f::NO_ERROR));
    assert!(raw.goaways.is_empty());
}

#[test]
fn big_bodies_through_small_windows() {
    const LENGTH: usize = 300_000;
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {LENGTH}\r\n\r\n{}",
        "x".repeat(LENGTH)
    );
    let origin = Origin::named("a");
    origin.on("/big", Behaviour::Raw(answer.into_bytes()));
    let balancer = Balancer::in_front_of(&[&origin]);
    let mut raw = Raw::connect(balancer.address("web")).greeted(&[(f::INITIAL_WINDOW_SIZE, 1000)]);
    for stream in [1, 3, 5] {
        raw.send(&head(stream, f::END_STREAM, &get("/big")));
    }
    for stream in [1, 3, 5] {
        assert_eq!(raw.answer(stream).unwrap().content.len(), LENGTH);
    }
    // All of them moved on before any had ended.
    let place = |stream| {
        raw.frames
            .iter()
            .position(|frame| frame.kind == f::DATA && frame.stream == stream)
    };
    let first_end = raw
        .frames
        .iter()
        .position(|frame| frame.kind == f::DATA && frame.has(f::END_STREAM));
    assert!([1, 3, 5].map(place).iter().all(|begun| *begun < first_end));

    let content: Vec<u8> = (0..3_000_000_u32).map(|number| number as u8).collect();
    raw.send(&head(7, 0, &request("POST", "/")));
    raw.upload(7, &content).unwrap();
    raw.send(&head(7, f::END_STREAM, &[("x-sum", "7")]));
    assert_eq!(raw.answer(7).unwrap().status(), Some(200));
    assert!(origin.last_received().body == content, "another body");
    assert_eq!(origin.last_received().trailers.first("x-sum"), Some("7"));
}

#[test]
fn a_window_that_is_opened_by_settings() {
    let origin = Origin::named("a");
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n{}",
        "x".repeat(5000)
    );
    origin.on("/big", Behaviour::Raw(answer.into_bytes()));
    let balancer = Balancer::in_front_of(&[&origin]);
    let mut raw = Raw::connect(balancer.address("web")).greeted(&[(f::INITIAL_WINDOW_SIZE, 0)]);
    raw.opens_windows = false;
    raw.send(&head(1, f::END_STREAM, &get("/big")));
    raw.until(|raw| {
        raw.streams
            .get(&1)
            .is_some_and(|stream| !stream.sections.is_empty())
    })
    .unwrap();
    assert!(raw.streams[&1].content.is_empty());
    raw.send(&settings(&[(f::INITIAL_WINDOW_SIZE, 2000)]));
    raw.until(|raw| raw.streams[&1].content.len() == 2000)
        .unwrap();
    // Less than has been used: the window is below zero, and opens when it is above.
    raw.send(&settings(&[(f::INITIAL_WINDOW_SIZE, 1000)]));
    raw.send(&settings(&[(f::INITIAL_WINDOW_SIZE, 60_000)]));
    assert_eq!(raw.answer(1).unwrap().content.len(), 5000);
}

#[test]
fn many_requests_at_once_and_no_more_than_agreed() {
    let origin = Origin::named("a");
    origin.on("/gated", Behaviour::Gated);
    let balancer = Balancer::in_front_of(&[&origin]);
    let mut raw = client(&balancer);
    let most = raw
        .frames
        .iter()
        .find(|frame| frame.kind == f::SETTINGS)
        .unwrap();
    let most = most
        .payload
        .chunks(6)
        .find(|value| value[..2] == f::MAX_CONCURRENT_STREAMS.to_be_bytes());
    let most = most
        .map(|value| u32::from_be_bytes([value[2], value[3], value[4], value[5]]))
        .unwrap();
    assert!(most >= 100, "{most}");
    for number in 0..=most {
        raw.send(&head(2 * number + 1, f::END_STREAM, &get("/gated")));
    }
    let last = 2 * most + 1;
    // One too many: refused, so that the client knows that it may send it again.
    assert_eq!(raw.answer(last).unwrap().reset, Some(f::REFUSED_STREAM));
    origin.wait_for_requests(most as usize);
    origin.open_gate();
    for number in 0..most {
        assert_eq!(raw.answer(2 * number + 1).unwrap().text(), "a");
    }
    assert_eq!(origin.requests(), most as usize);
}

#[test]
fn a_request_that_is_taken_back_ends_at_the_backend() {
    let origin = Origin::named("a");
    origin.on("/hang", Behaviour::Hang);
    let balancer = Balancer::in_front_of(&[&origin]);
    let mut raw = client(&balancer);
    raw.send(&head(1, f::END_STREAM, &get("/hang")));
    raw.send(&head(3, f::END_STREAM, &get("/hang")));
    origin.wait_for_requests(2);
    raw.send(&reset(1, f::CANCEL));
    wait_until(DEADLINE, "the end of one request", || {
        origin.open_connections() == 1
    });
    assert_eq!(raw.get(5, "/").unwrap().text(), "a");
    // And all of them with the connection.
    drop(raw);
    wait_until(DEADLINE, "the end of the other", || {
        origin.open_connections() <= 1
    });
    wait_until(DEADLINE, "their records", || {
        balancer.stdout().matches("\"client-aborted\"").count() >= 2
    });
}

#[test]
fn a_drain_loses_nothing() {
    let origin = Origin::named("a");
    origin.on("/gated", Behaviour::Gated);
    let mut balancer = Balancer::in_front_of(&[&origin]);
    let mut raw = client(&balancer);
    raw.send(&head(1, f::END_STREAM, &get("/gated")));
    origin.wait_for_requests(1);
    balancer.signal(Signal::TERM);
    raw.until(|raw| !raw.goaways.is_empty()).unwrap();
    assert_eq!(raw.goaways[0].1, f::NO_ERROR);
    origin.open_gate();
    assert_eq!(raw.answer(1).unwrap().text(), "a");
    raw.end().unwrap();
    assert!(balancer.wait_for_exit(DEADLINE).success());
}

/// Each stream that the last goodbye counts is answered; those behind it were not looked at.
#[test]
fn a_drain_under_load_loses_no_stream() {
    let origin = Origin::named("a");
    let mut balancer = Balancer::in_front_of(&[&origin]);
    let clients: Vec<_> = (0..6)
        .map(|_| {
            let mut raw = client(&balancer);
            thread::spawn(move || {
                for stream in (1..).step_by(2) {
                    match raw.get(stream, "/") {
                        Ok(answer) if answer.status() == Some(200) && answer.ended => {}
                        Ok(answer) => return Err(format!("{answer:?}")),
                        Err(_) if raw.goaways.last().is_some_and(|(last, _)| *last < stream) => {
                            return Ok(());
                        }
                        Err(error) => return Err(error),
                    }
                }
                Ok(())
            })
        })
        .collect();
    origin.wait_for_requests(200);
    balancer.signal(Signal::TERM);
    let results = clients.into_iter().map(|client| client.join().unwrap());
    let failures: Vec<String> = results.filter_map(Result::err).collect();
    assert_eq!(failures, [""; 0]);
    assert!(balancer.wait_for_exit(DEADLINE).success());
}

/// A stream that the client opens before it knows is answered: only after a round trip it is told which one was the last
/// (RFC 9113 section 6.8).
#[test]
fn a_drain_says_goodbye_in_two_steps() {
    let origin = Origin::named("a");
    origin.on("/gated", Behaviour::Gated);
    let mut balancer = Balancer::in_front_of(&[&origin]);
    let mut raw = client(&balancer);
    raw.send(&head(1, f::END_STREAM, &get("/gated")));
    origin.wait_for_requests(1);
    balancer.signal(Signal::TERM);
    raw.until(|raw| !raw.goaways.is_empty()).unwrap();
    assert_eq!(raw.goaways, [(0x7fff_ffff, f::NO_ERROR)]);
    // The round trip is not over: its PING has not been looked at.
    raw.send(&head(3, f::END_STREAM, &get("/")));
    assert_eq!(raw.answer(3).unwrap().text(), "a");
    raw.until(|raw| raw.goaways.len() == 2).unwrap();
    assert_eq!(raw.goaways[1], (3, f::NO_ERROR));
    origin.open_gate();
    assert_eq!(raw.answer(1).unwrap().text(), "a");
    raw.end().unwrap();
    assert!(balancer.wait_for_exit(DEADLINE).success());
}

#[test]
fn a_reload_moves_new_requests_of_an_open_connection_and_lets_old_ones_end() {
    let origin = Origin::named("a");
    origin.on("/gated", Behaviour::Gated);
    let before = Balancer::front("shop") + &pool("shop", "round-robin", &[&origin]);
    let balancer = Balancer::start(&before);
    let mut raw = client(&balancer);
    raw.send(&head(1, f::END_STREAM, &get("/gated")));
    origin.wait_for_requests(1);
    let other = Origin::named("b");
    balancer.reload(&(Balancer::front("shop") + &pool("shop", "round-robin", &[&other])));
    let mut stream = 1;
    wait_until(DEADLINE, "the new backend", || {
        stream += 2;
        raw.get(stream, "/").unwrap().text() == "b"
    });
    origin.open_gate();
    assert_eq!(raw.answer(1).unwrap().text(), "a");
}

#[test]
fn idle_connections_and_those_with_enough_requests_are_told_and_closed() {
    let origin = Origin::named("a");
    let balancer = before(
        origin.address(),
        "timeouts = { idle = \"300ms\" }\nlimits = { requests = 3 }",
    );
    let mut raw = client(&balancer);
    assert_eq!(raw.get(1, "/").unwrap().text(), "a");
    raw.end().unwrap();
    assert_eq!(raw.goaways.last().unwrap().1, f::NO_ERROR);
    let mut raw = client(&balancer);
    for stream in [1, 3, 5] {
        raw.send(&head(stream, f::END_STREAM, &get("/")));
    }
    for stream in [1, 3, 5] {
        assert_eq!(raw.answer(stream).unwrap().text(), "a");
    }
    raw.end().unwrap();
    assert_eq!(raw.goaways.last().unwrap().1, f::NO_ERROR);
}

#[test]
fn a_listener_without_it_speaks_http_1() {
    let origin = Origin::named("a");
    let folder = tempfile::tempdir().unwrap();
    let believed = certificate(folder.path());
    let files = folder.path().display();
    let tls = format!(
        "http2 = false\n[[listeners.web.tls.certificates]]\ncertificate = \"{files}/shop.pem\"\nkey = \"{files}/shop.key\""
    );
    let balancer = before(origin.address(), &tls);
    let (_, settled) = Raw::connect_tls(balancer.address("web"), &believed, &["h2", "http/1.1"]);
    assert_eq!(settled.as_deref(), Some("http/1.1"));
    let balancer = before(origin.address(), "http2 = false");
    let mut stream = TcpStream::connect(balancer.address("web")).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(f::PREFACE).unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(
        answer.starts_with("HTTP/1.1 505 ") || answer.starts_with("HTTP/1.1 400 "),
        "{answer:?}"
    );
    assert_eq!(origin.requests(), 0);
}

/// A head of more bytes than the limit, in pieces that frames can hold.
fn ask_at_length(raw: &mut Raw, stream: u32) {
    let mut fields = get("/long").to_vec();
    let long = "x".repeat(20_000);
    fields.extend([("x-long", &*long), ("x-longer", &long[..15_000])]);
    let block = fields
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let block = f::block(&block.collect::<Vec<_>>());
    let mut pieces = block.chunks(16_000).peekable();
    let first = pieces.next().unwrap();
    raw.send(&f::frame(f::HEADERS, f::END_STREAM, stream, first));
    while let Some(piece) = pieces.next() {
        let last = if pieces.peek().is_none() {
            f::END_HEADERS
        } else {
            0
        };
        raw.send(&f::frame(f::CONTINUATION, last, stream, piece));
    }
}

#[test]
fn what_is_seen_of_it() {
    let origin = Origin::named("a");
    let balancer = before(origin.address(), "limits = { headers = 10 }");
    let mut raw = client(&balancer);
    assert_eq!(raw.get(1, "/seen?a=b").unwrap().status(), Some(200));
    let many: Vec<_> = (0..20).map(|number| (format!("x-{number}"), "1")).collect();
    let mut fields = get("/many").to_vec();
    fields.extend(many.iter().map(|(name, value)| (name.as_str(), *value)));
    raw.send(&head(3, f::END_STREAM, &fields));
    let answer = raw.answer(3).unwrap();
    assert_eq!(
        (answer.status(), answer.field("forecourt-error")),
        (Some(431), Some("head-too-large"))
    );
    wait_until(DEADLINE, "the count", || {
        let figures = Figures::of(&balancer);
        figures.sum(
            "forecourt_refused_total",
            &[("listener", "web"), ("cause", "head-too-large")],
        ) == 1.0
    });
    // More bytes than the limit, and then a connection that is misused.
    ask_at_length(&mut raw, 5);
    let answer = raw.answer(5).unwrap();
    assert_eq!(
        (answer.status(), answer.field("forecourt-error")),
        (Some(431), Some("head-too-large"))
    );
    raw.send(&f::window_update(0, 0));
    raw.end().unwrap();
    wait_until(DEADLINE, "the counts", || {
        let figures = Figures::of(&balancer);
        let of = |cause| {
            figures.sum(
                "forecourt_refused_total",
                &[("listener", "web"), ("cause", cause)],
            )
        };
        of("head-too-large") == 2.0 && of("bad-request") == 1.0
    });
    wait_until(DEADLINE, "the log", || {
        let log = balancer.stdout();
        log.contains("\"/seen\"") && log.contains("\"head-too-large\"")
    });
}

#[test]
fn whoever_keeps_us_waiting_is_cut_and_the_others_are_not() {
    let origin = Origin::named("a");
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: 9000\r\n\r\n{}",
        "x".repeat(9000)
    );
    origin.on("/big", Behaviour::Raw(answer.into_bytes()));
    let balancer = before(origin.address(), "timeouts = { body = \"400ms\" }");
    let mut raw = Raw::connect(balancer.address("web")).greeted(&[(f::INITIAL_WINDOW_SIZE, 100)]);
    raw.opens_windows = false;
    raw.send(&head(1, f::END_STREAM, &get("/big")));
    raw.send(&head(3, 0, &request("POST", "/stops")));
    raw.send(&data(3, 0, b"hello"));
    assert_eq!(raw.answer(1).unwrap().reset, Some(f::CANCEL));
    let answer = raw.answer(3).unwrap();
    assert_eq!(
        (answer.status(), answer.field("forecourt-error")),
        (Some(408), Some("request-body-timeout"))
    );
    assert_eq!(raw.get(5, "/").unwrap().text(), "a");
    wait_until(DEADLINE, "the records", || {
        let log = balancer.stdout();
        log.contains("\"client-too-slow\"") && log.contains("\"request-body-timeout\"")
    });
}

#[test]
fn a_body_that_is_cut_looks_cut() {
    let origin = Origin::named("a");
    for (path, behaviour) in [
        ("/cut", Behaviour::CutBody),
        ("/chunks", Behaviour::CutChunks),
        ("/reset", Behaviour::ResetBody),
    ] {
        origin.on(path, behaviour);
    }
    let balancer = Balancer::in_front_of(&[&origin]);
    let mut raw = client(&balancer);
    for (stream, path) in [(1, "/cut"), (3, "/chunks"), (5, "/reset")] {
        let answer = raw.get(stream, path).unwrap();
        assert!(
            !answer.ended && answer.reset == Some(f::INTERNAL_ERROR),
            "{path}: {answer:?}"
        );
    }
    assert_eq!(raw.get(7, "/").unwrap().text(), "a");
}

#[test]
fn content_behind_a_length_of_nothing_reaches_no_backend() {
    let origin = Origin::named("a");
    let balancer = Balancer::in_front_of(&[&origin]);
    let mut raw = client(&balancer);
    let mut fields = request("POST", "/").to_vec();
    fields.push(("content-length", "0"));
    // RFC 9113 section 8.1.1: at once, behind the answer's beginning, and with an end of its own.
    let smuggled = b"GET /smuggled HTTP/1.1\r\nhost: shop.example\r\n\r\n";
    raw.send(&[head(1, 0, &fields), data(1, f::END_STREAM, smuggled)].concat());
    assert_eq!(raw.answer(1).unwrap().reset, Some(f::PROTOCOL_ERROR));
    raw.send(
        &[
            head(3, 0, &fields),
            data(3, 0, smuggled),
            data(3, f::END_STREAM, b""),
        ]
        .concat(),
    );
    assert_eq!(raw.answer(3).unwrap().reset, Some(f::PROTOCOL_ERROR));
    assert_eq!(raw.get(5, "/honest").unwrap().text(), "a");
    let last = origin.last_received();
    assert!(last.body.is_empty(), "{last:?}");
    assert!(!balancer.stdout().contains("smuggled"));
    // An end without content is what the length says.
    raw.send(&[head(7, 0, &fields), data(7, f::END_STREAM, b"")].concat());
    assert_eq!(raw.answer(7).unwrap().status(), Some(200));
    assert!(origin.last_received().body.is_empty());
}

#[test]
fn interim_answers_without_end_are_left_out() {
    const MANY: usize = 5000;
    let address = backend(|mut stream| {
        read_head(&mut stream);
        let hints = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(MANY);
        let _ = stream.write_all(hints.as_bytes());
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    });
    let balancer = before(address, "");
    let mut raw = client(&balancer);
    let answer = raw.get(1, "/").unwrap();
    assert_eq!((answer.status(), answer.text().as_str()), (Some(200), "ok"));
    let interim = answer.sections.len() - 1;
    assert!((1..=100).contains(&interim), "{interim}");
}
