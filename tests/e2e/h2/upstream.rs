//! Backends that speak HTTP/2, and some that do it badly or not at all, before clients of either kind.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::backend::{Backend, Line};
use super::frame::{self as f, data, goaway, head, headers, reset};
use super::raw::{Raw, get, request};
use crate::harness::{Balancer, Client, DEADLINE, Origin, Request, wait_until};

pub(super) fn before(backends: &[SocketAddr], pool: &str) -> Balancer {
    Balancer::start(&pool_of(backends, pool))
}

pub(super) fn pool_of(backends: &[SocketAddr], pool: &str) -> String {
    let backends: Vec<_> = backends
        .iter()
        .map(|address| format!("{{ address = \"{address}\" }}"))
        .collect();
    format!(
        "[server]\nworkers = 1\n[admin]\naddress = \"127.0.0.1:0\"\n[listeners.web]\naddress = \"127.0.0.1:0\"\n\
         [[routes]]\npath_prefix = \"/\"\npool = \"shop\"\n[pools.shop]\nprotocol = \"h2c\"\nbackends = [{}]\n{pool}\n",
        backends.join(", ")
    )
}

pub(super) fn by_h1(balancer: &Balancer) -> Client {
    balancer.client("web")
}

pub(super) fn by_h2(balancer: &Balancer) -> Raw {
    Raw::client(balancer.address("web"))
}

/// What a client of each protocol gets for a path: status, cause, whether it is whole.
fn both(balancer: &Balancer, path: &str) -> [(u16, Option<String>, bool); 2] {
    let one = by_h1(balancer).try_send(&Request::get(path)).unwrap();
    let two = by_h2(balancer).get(1, path).unwrap();
    let cause = two.field("forecourt-error").map(str::to_owned);
    [
        (one.status, one.cause().map(str::to_owned), one.is_whole()),
        (two.status().unwrap_or_default(), cause, two.ended),
    ]
}

/// What is sent on a stream.
type Frames = fn(u32) -> Vec<u8>;

#[test]
fn requests_share_a_connection_from_clients_of_both_kinds() {
    let backend = Backend::new(&[], |line| {
        loop {
            let (stream, path) = line.next()?;
            if path != "/trailers" {
                line.ok(stream);
                continue;
            }
            let seen = &line.raw.streams[&stream];
            assert_eq!(seen.text(), "hello");
            assert_eq!(seen.sections[1], [("x-sum".to_owned(), "7".to_owned())]);
            for (name, value) in [
                (":method", "POST"),
                (":scheme", "http"),
                (":authority", "shop.example"),
            ] {
                assert!(
                    seen.sections[0].contains(&(name.to_owned(), value.to_owned())),
                    "{name}: {seen:?}"
                );
            }
            let names: Vec<_> = seen.sections[0]
                .iter()
                .map(|(name, _)| name.as_str())
                .collect();
            assert!(
                !names
                    .iter()
                    .any(|name| ["host", "connection", "transfer-encoding"].contains(name)),
                "{names:?}"
            );
            line.raw
                .send(&head(stream, 0, &[(":status", "103"), ("link", "</a>")]));
            line.raw.send(&head(stream, 0, &[(":status", "200")]));
            line.raw.send(&data(stream, 0, b"world"));
            line.raw
                .send(&head(stream, f::END_STREAM, &[("x-sum", "8")]));
        }
    });
    let balancer = before(&[backend.address], "");
    let mut one = by_h1(&balancer);
    one.send_raw(b"POST /trailers HTTP/1.1\r\nhost: shop.example\r\nte: trailers\r\nconnection: te\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 7\r\n\r\n").unwrap();
    let answer = one.read_response("POST").unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "world"));
    assert_eq!(answer.trailers.first("x-sum"), Some("8"));
    assert!(answer.interim[0].first_line.contains("103"));
    let mut two = by_h2(&balancer);
    two.send(&head(1, 0, &request("POST", "/trailers")));
    two.send(&data(1, 0, b"hello"));
    two.send(&head(1, f::END_STREAM, &[("x-sum", "7")]));
    let answer = two.answer(1).unwrap();
    assert_eq!(answer.text(), "world");
    assert_eq!(answer.sections.len(), 3, "{answer:?}");
    for stream in [3, 5, 7, 9] {
        two.send(&head(stream, f::END_STREAM, &get("/")));
    }
    for stream in [3, 5, 7, 9] {
        assert_eq!(two.answer(stream).unwrap().text(), "ok");
    }
    assert_eq!(one.get("/").text(), "ok");
    assert_eq!(backend.connections(), 1);
}

#[test]
fn a_backend_that_takes_few_at_once_gets_more_connections() {
    let backend = Backend::new(&[(f::MAX_CONCURRENT_STREAMS, 2)], |line| {
        if line.number == 1 {
            // Both at once, or neither.
            let first = line.next()?.0;
            let second = line.next()?.0;
            line.ok(first);
            line.ok(second);
        }
        line.serve()
    });
    let balancer = before(&[backend.address], "");
    let mut client = by_h2(&balancer);
    assert!(client.frames.len() < 9);
    for stream in [1, 3, 5, 7] {
        client.send(&head(stream, f::END_STREAM, &get("/")));
    }
    for stream in [1, 3, 5, 7] {
        assert_eq!(client.answer(stream).unwrap().text(), "ok");
    }
    assert!(backend.connections() >= 2);
    let asked = backend.asked();
    assert_eq!(asked.len(), 4);
}

#[test]
fn what_the_backend_has_not_looked_at_is_sent_again() {
    for (name, refusal) in [("refused", false), ("gone away", true)] {
        let backend = Backend::new(&[], move |line| {
            let (stream, _) = line.next_head()?;
            if line.number > 1 {
                line.raw.answer(stream)?;
                line.ok(stream);
                return line.serve();
            }
            if refusal {
                line.raw.send(&goaway(0, f::NO_ERROR));
                return line.raw.end();
            }
            line.raw.send(&reset(stream, f::REFUSED_STREAM));
            // Whatever else comes on this connection too.
            loop {
                let (stream, _) = line.next_head()?;
                line.ok(stream);
            }
        });
        let other = Backend::new(&[], Line::serve);
        let balancer = before(&[backend.address, other.address], "");
        let mut client = by_h2(&balancer);
        for stream in [1, 3, 5] {
            let answer = client.get(stream, "/").unwrap();
            assert_eq!(answer.status(), Some(200), "{name}: {answer:?}");
        }
        client.send(&head(7, f::END_STREAM, &request("POST", "/")));
        assert_eq!(client.answer(7).unwrap().status(), Some(200), "{name}");
    }
}

#[test]
fn a_post_that_may_have_been_acted_on_is_never_sent_twice() {
    // GOAWAY that covers the stream and then the end; a reset; the end alone.
    for how in 0..3 {
        let bad = move |line: &mut Line| {
            let (stream, _) = line.next()?;
            match how {
                0 => {
                    line.raw.send(&goaway(stream, f::NO_ERROR));
                    return Ok(());
                }
                1 => line.raw.send(&reset(stream, f::INTERNAL_ERROR)),
                _ => return Ok(()),
            }
            line.raw.end()
        };
        let (one, two) = (Backend::new(&[], bad), Backend::new(&[], bad));
        let balancer = before(&[one.address, two.address], "");
        let mut client = by_h2(&balancer);
        client.send(&head(1, 0, &request("POST", "/")));
        client.send(&data(1, f::END_STREAM, b"hello"));
        let answer = client.answer(1).unwrap();
        assert_eq!(answer.status(), Some(502), "{how}: {answer:?}");
        let cause = answer
            .field("forecourt-error")
            .unwrap_or_default()
            .to_owned();
        let expected = if how == 1 { "reset" } else { "closed" };
        assert!(cause == expected || cause == "reset", "{how}: {cause}");
        assert_eq!(one.asked().len() + two.asked().len(), 1, "{how}");
    }
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn malformed_responses_are_no_answers() {
    let cases: [(&str, Frames); 9] = [
        ("no status", |stream| {
            head(stream, f::END_STREAM, &[("x-a", "1")])
        }),
        ("two statuses", |stream| {
            head(
                stream,
                f::END_STREAM,
                &[(":status", "200"), (":status", "200")],
            )
        }),
        ("a status that is none", |stream| {
            head(stream, f::END_STREAM, &[(":status", "20")])
        }),
        ("101", |stream| {
            head(stream, f::END_STREAM, &[(":status", "101")])
        }),
        ("connection", |stream| {
            head(
                stream,
                f::END_STREAM,
                &[(":status", "200"), ("connection", "close")],
            )
        }),
        ("transfer-encoding", |stream| {
            head(
                stream,
                f::END_STREAM,
                &[(":status", "200"), ("transfer-encoding", "chunked")],
            )
        }),
        ("two lengths", |stream| {
            head(
                stream,
                0,
                &[
                    (":status", "200"),
                    ("content-length", "1"),
                    ("content-length", "2"),
                ],
            )
        }),
        ("a line end in a value", |stream| {
            headers(
                stream,
                f::END_STREAM,
                &[(b":status", b"200"), (b"x-a", b"1\r\nx-b: 2")],
            )
        }),
        ("DATA before the head", |stream| {
            data(stream, f::END_STREAM, b"x")
        }),
    ];
    for (name, response) in cases {
        let backend = Backend::new(&[], move |line| {
            loop {
                let (stream, _) = line.next()?;
                line.raw.send(&response(stream));
            }
        });
        let balancer = before(&[backend.address], "timeouts = { response = \"3s\" }");
        for (status, cause, whole) in both(&balancer, "/") {
            assert_eq!(
                (status, cause.as_deref(), whole),
                (502, Some("protocol"), true),
                "{name}"
            );
        }
    }
}

#[test]
fn a_body_that_is_cut_looks_cut_to_both() {
    let cases: [(&str, Frames); 3] = [
        ("reset", |stream| reset(stream, f::INTERNAL_ERROR)),
        ("less than said", |stream| {
            data(stream, f::END_STREAM, b"lo")
        }),
        ("more than said", |stream| {
            data(stream, f::END_STREAM, &[b'x'; 100])
        }),
    ];
    for (name, end) in cases {
        let backend = Backend::new(&[], move |line| {
            loop {
                let (stream, _) = line.next()?;
                line.raw.send(&head(
                    stream,
                    0,
                    &[(":status", "200"), ("content-length", "20")],
                ));
                line.raw.send(&data(stream, 0, b"hel"));
                line.raw.send(&end(stream));
            }
        });
        let balancer = before(&[backend.address], "");
        for (status, _, whole) in both(&balancer, "/") {
            assert!(status == 502 || !whole, "{name}: a whole {status}");
        }
    }
    let backend = Backend::new(&[], |line| {
        let (stream, _) = line.next()?;
        line.raw.send(&head(stream, 0, &[(":status", "200")]));
        line.raw.send(&data(stream, 0, b"hel"));
        Ok(())
    });
    let balancer = before(&[backend.address], "");
    for (status, _, whole) in both(&balancer, "/") {
        assert!(
            status == 502 || !whole,
            "the end of the connection: a whole {status}"
        );
    }
}

#[test]
fn a_code_that_means_the_same_to_the_client_is_passed_on() {
    for (said, told) in [
        (f::CANCEL, f::CANCEL),
        (f::ENHANCE_YOUR_CALM, f::ENHANCE_YOUR_CALM),
        (f::INTERNAL_ERROR, f::INTERNAL_ERROR),
        (f::PROTOCOL_ERROR, f::INTERNAL_ERROR),
        // The request has been seen, for an answer has begun.
        (f::REFUSED_STREAM, f::INTERNAL_ERROR),
    ] {
        let backend = Backend::new(&[], move |line| {
            loop {
                let (stream, _) = line.next()?;
                line.raw.send(&head(stream, 0, &[(":status", "200")]));
                line.raw.send(&data(stream, 0, b"hel"));
                // Only once the answer has begun: a reset overtakes what has not gone on.
                line.next()?;
                line.raw.send(&reset(stream, said));
            }
        });
        let balancer = before(&[backend.address], "");
        let mut raw = by_h2(&balancer);
        raw.send(&head(1, f::END_STREAM, &get("/cut")));
        raw.until(|raw| {
            raw.streams
                .get(&1)
                .is_some_and(|stream| stream.content == b"hel")
        })
        .unwrap();
        raw.send(&head(3, f::END_STREAM, &get("/then")));
        let answer = raw.answer(1).unwrap();
        assert_eq!((answer.ended, answer.reset), (false, Some(told)), "{said}");
    }
}

#[test]
fn a_client_that_does_not_read_stalls_its_own_stream_only() {
    const LENGTH: usize = 1_000_000;
    let backend = Backend::new(&[], |line| {
        loop {
            let (stream, path) = line.next()?;
            if path != "/big" {
                line.ok(stream);
                continue;
            }
            line.raw.send(&head(stream, 0, &[(":status", "200")]));
            line.raw.upload(stream, &vec![b'x'; 100_000])?;
            line.raw.send(&data(stream, f::END_STREAM, b""));
        }
    });
    let balancer = before(&[backend.address], "");
    let mut slow = Raw::connect(balancer.address("web")).greeted(&[(f::INITIAL_WINDOW_SIZE, 10)]);
    slow.opens_windows = false;
    slow.send(&head(1, f::END_STREAM, &get("/big")));
    slow.until(|raw| {
        raw.streams
            .get(&1)
            .is_some_and(|stream| stream.content.len() == 10)
    })
    .unwrap();
    for stream in [1, 3, 5] {
        let answer = by_h2(&balancer).get(stream, "/").unwrap();
        assert_eq!(answer.text(), "ok");
    }
    assert_eq!(by_h1(&balancer).get("/").text(), "ok");
    slow.send(&f::window_update(1, LENGTH as u32));
    slow.send(&f::window_update(0, LENGTH as u32));
    assert_eq!(slow.answer(1).unwrap().content.len(), 100_000);
    assert_eq!(backend.connections(), 1);
}

#[test]
fn backends_that_speak_something_else_are_told_apart_from_silence() {
    let origin = Origin::named("a");
    let balancer = before(
        &[origin.address()],
        "timeouts = { connect = \"2s\", response = \"2s\" }",
    );
    for (status, cause, _) in both(&balancer, "/") {
        assert_eq!(status, 502);
        let cause = cause.unwrap();
        assert!(
            ["protocol", "closed", "reset"].contains(&cause.as_str()),
            "{cause}"
        );
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(b"220 mail.example ESMTP\r\n");
            // Until the other side ends: an end of ours might be seen before what was said.
            while matches!(stream.read(&mut [0; 100]), Ok(1..)) {}
        }
    });
    let balancer = before(
        &[address],
        "timeouts = { connect = \"2s\", response = \"2s\" }",
    );
    for (status, cause, _) in both(&balancer, "/") {
        assert_eq!((status, cause.as_deref()), (502, Some("protocol")));
    }
}

#[test]
fn a_dead_backend_is_passed_over_and_idle_connections_are_closed() {
    let backend = Backend::new(&[], Line::serve);
    let mut dead = Origin::named("dead");
    dead.refuse();
    let balancer = before(
        &[dead.address(), backend.address],
        "timeouts = { idle = \"300ms\" }",
    );
    let mut client = by_h2(&balancer);
    for stream in [1, 3, 5, 7] {
        assert_eq!(client.get(stream, "/").unwrap().text(), "ok");
    }
    wait_until(DEADLINE, "the end of the idle connection", || {
        let text = balancer.admin("/metrics").text();
        let lines = text
            .lines()
            .filter(|line| line.starts_with("forecourt_backend_connections{"));
        lines.clone().count() > 0 && lines.into_iter().all(|line| line.ends_with(" 0"))
    });
    assert_eq!(client.get(9, "/").unwrap().text(), "ok");
}

#[test]
fn what_is_outrun_is_reset_and_its_connection_serves_on() {
    let resets = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&resets);
    let stuck = Backend::new(&[], move |line| {
        loop {
            let (stream, path) = line.next()?;
            if path == "/stuck" {
                line.raw.until(|raw| raw.streams[&stream].reset.is_some())?;
                counted.fetch_add(1, Ordering::SeqCst);
            } else {
                line.ok(stream);
            }
        }
    });
    let good = Backend::new(&[], |line| line.serve());
    let backends = [stuck.address, good.address];
    let balancer = before(&backends, "retry = { hedge = \"30ms\" }");
    let (mut one, mut two) = (by_h1(&balancer), by_h2(&balancer));
    for round in 0..4 {
        assert_eq!(one.get("/stuck").text(), "ok");
        let answer = two.get(2 * round + 1, "/stuck").unwrap();
        assert_eq!((answer.status(), answer.text()), (Some(200), "ok".into()));
    }
    let outrun = stuck.asked().len();
    assert!(outrun > 0);
    wait_until(DEADLINE, "each is reset", || {
        resets.load(Ordering::SeqCst) == outrun
    });
    for _ in 0..4 {
        assert_eq!(one.get("/").text(), "ok");
    }
    assert!(stuck.asked().len() > outrun);
    assert_eq!((stuck.connections(), good.connections()), (1, 1));
    let failures = balancer.metric(&format!(
        "forecourt_backend_failures_total{{pool=\"shop\",backend=\"{}\",cause=\"reset\"}}",
        stuck.address
    ));
    assert_eq!(failures, 0.0);
}
