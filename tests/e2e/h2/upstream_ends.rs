//! How connections to backends of HTTP/2 end or shrink while they are used, and that no request is lost by it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::backend::{Backend, Line};
use super::frame::{self as f, data, goaway, head};
use super::raw::{Raw, get, request};
use super::upstream::{before, by_h1, by_h2, pool_of};
use crate::harness::{DEADLINE, Request, wait_until};

#[test]
fn a_reload_lets_streams_end_and_then_closes() {
    let (told, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (go, done) = (Arc::clone(&told), Arc::clone(&ended));
    let old = Backend::new(&[], move |line| {
        let (stream, _) = line.next()?;
        line.raw.send(&head(stream, 0, &[(":status", "200")]));
        line.raw.send(&data(stream, 0, b"first "));
        wait_until(DEADLINE, "the word", || go.load(Ordering::SeqCst) > 0);
        line.raw.send(&data(stream, f::END_STREAM, b"last"));
        let end = line.raw.end();
        done.fetch_add(1, Ordering::SeqCst);
        end
    });
    let new = Backend::new(&[], Line::serve);
    let balancer = before(&[old.address], "");
    let mut under_way = by_h2(&balancer);
    under_way.send(&head(1, f::END_STREAM, &get("/slow")));
    let begun = |raw: &Raw| {
        let stream = raw.streams.get(&1);
        stream.is_some_and(|stream| !stream.content.is_empty())
    };
    under_way.until(begun).unwrap();
    balancer.reload(&pool_of(&[new.address], ""));
    wait_until(DEADLINE, "the reload", || {
        // Whoever was asked before that waits for the old one, which does not answer: so these take no part in it.
        balancer.stderr().contains("generation=2") || new.connections() > 0
    });
    for stream in [3, 5, 7] {
        let answer = under_way.get(stream, "/").unwrap();
        assert_eq!(answer.text(), "ok", "{answer:?}");
    }
    assert_eq!((new.asked().len(), old.asked().len()), (3, 1));
    told.fetch_add(1, Ordering::SeqCst);
    let answer = under_way.answer(1).unwrap();
    assert!(answer.ended && answer.text() == "first last", "{answer:?}");
    wait_until(DEADLINE, "the end of the connection", || {
        ended.load(Ordering::SeqCst) == 1
    });
    assert_eq!((old.asked().len(), old.connections()), (1, 1));
}

/// Of two backends each says goodbye again and again, in the middle of many requests.
#[test]
fn goodbyes_under_load_lose_nothing() {
    const EACH: usize = 20;
    let script = |line: &mut Line| {
        let mut last = 0;
        for _ in 0..EACH {
            (last, _) = line.next_head()?;
            line.ok(last);
        }
        // What has come meanwhile is behind the last stream that was looked at.
        line.raw.send(&goaway(last, f::NO_ERROR));
        line.raw.end()
    };
    let backends = [Backend::new(&[], script), Backend::new(&[], script)];
    let balancer = before(&[backends[0].address, backends[1].address], "");
    thread::scope(|scope| {
        for number in 0..8 {
            let balancer = &balancer;
            scope.spawn(move || {
                let mut one = by_h1(balancer);
                let mut two = by_h2(balancer);
                for round in 0..50_u32 {
                    // What has no body can be sent again, whatever its method: it was refused.
                    let method = if round % 2 == 0 { "GET" } else { "POST" };
                    let stream = round * 2 + 1;
                    two.send(&head(stream, f::END_STREAM, &request(method, "/")));
                    let answer = one.try_send(&Request::get("/")).unwrap();
                    assert_eq!(answer.status, 200, "{number}, {round}: {answer}");
                    let answer = two.answer(stream).unwrap();
                    assert_eq!(answer.status(), Some(200), "{number}, {round}: {answer:?}");
                }
            });
        }
    });
    let connections = backends[0].connections() + backends[1].connections();
    assert!(connections >= 800 / EACH, "{connections}");
}

/// Requests behind a lowered limit go to other connections, and none is refused.
#[test]
fn a_limit_that_is_lowered_on_the_way_is_kept() {
    for most in [0, 1] {
        let elsewhere = Arc::new(AtomicUsize::new(0));
        let others = Arc::clone(&elsewhere);
        let backend = Backend::new(&[(f::MAX_CONCURRENT_STREAMS, 10)], move |line| {
            if line.number > 1 {
                loop {
                    let (stream, _) = line.next()?;
                    others.fetch_add(1, Ordering::SeqCst);
                    line.ok(stream);
                }
            }
            let (stream, _) = line.next()?;
            line.raw
                .send(&f::settings(&[(f::MAX_CONCURRENT_STREAMS, most)]));
            let acknowledged = |raw: &Raw| {
                let acks = raw.frames.iter();
                acks.filter(|frame| frame.kind == f::SETTINGS && frame.has(f::ACK))
                    .count()
                    == 2
            };
            line.raw.until(acknowledged)?;
            line.ok(stream);
            // With a limit of one this waits for the others: two here at once would never be answered.
            while let Ok((stream, _)) = line.next() {
                assert_eq!(most, 1, "a stream where there may be none");
                wait_until(DEADLINE, "the others", || {
                    others.load(Ordering::SeqCst) == 3
                });
                line.ok(stream);
            }
            Ok(())
        });
        let balancer = before(&[backend.address], "");
        let mut client = by_h2(&balancer);
        assert_eq!(client.get(1, "/").unwrap().text(), "ok");
        for stream in [3, 5, 7, 9] {
            client.send(&head(stream, f::END_STREAM, &get("/")));
        }
        for stream in [3, 5, 7, 9] {
            let answer = client.answer(stream).unwrap();
            assert_eq!(answer.text(), "ok", "{most}: {answer:?}");
        }
        let on_first = backend.asked().iter().filter(|(on, _)| *on == 1).count();
        assert_eq!(on_first, 1 + most as usize);
    }
}
