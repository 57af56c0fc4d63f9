//! Floods, each beside a client that means well and whose answers keep coming; the program's memory stays bounded, and
//! whoever floods is cut off where the RFC lets one (RFC 9113 section 10.5).

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::frame::{self as f, data, frame, head, reset, settings, window_update};
use super::raw::{Raw, get, request};
use crate::harness::{Balancer, Behaviour, Client, DEADLINE, Origin, is_full_drill};

/// What a flood may cost beyond what the program has anyway.
const MOST_MEMORY: u64 = 64 * 1024 * 1024;

/// Connections that flood at once, and what each may send.
const ATTACKERS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(2);

/// What an honest client may wait beside a flood: a figure of the release build on a machine with nothing else to do, which
/// is what a full drill has; of other builds only that it is served at all.
fn longest_wait() -> Duration {
    if is_full_drill() {
        Duration::from_millis(500)
    } else {
        DEADLINE
    }
}

/// Whether the one who floods is cut off.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// By us, with or without a word.
    Cut,
    /// Perhaps, perhaps not: what it does is allowed, and costs it more than us.
    Any,
}

/// Floods until the connection is cut or time is up. `next` gives what to send for this round.
fn flood(name: &str, end: End, first: &[(u16, u32)], next: impl Fn(u32) -> Vec<u8> + Send + Sync) {
    let origin = Origin::named("a");
    origin.on("/hang", Behaviour::Hang);
    let big = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n{}",
        "x".repeat(1_000_000)
    );
    origin.on("/big", Behaviour::Raw(big.into_bytes()));
    let balancer = Balancer::start(&format!(
        "[server]\nworkers = 1\n[log]\naccess = {{ path = \"off\" }}\n[listeners.web]\naddress = \"127.0.0.1:0\"\n\
         [[routes]]\npath_prefix = \"/\"\npool = \"shop\"\n[pools.shop]\nbackends = [{{ address = \"{}\" }}]\n",
        origin.address()
    ));
    let address = balancer.address("web");
    Client::of(address).get("/");
    let before = balancer.vitals().resident();
    let over = AtomicBool::new(false);
    let over = &over;
    let (cut, worst, most) = thread::scope(|scope| {
        let attackers: Vec<_> = (0..ATTACKERS)
            .map(|_| scope.spawn(|| attack(address, first, &next)))
            .collect();
        let honest = scope.spawn(move || keep_asking(address, over));
        let mut most = 0;
        while attackers.iter().any(|attacker| !attacker.is_finished()) {
            most = most.max(balancer.vitals().resident());
            thread::park_timeout(Duration::from_millis(20));
        }
        over.store(true, Ordering::Relaxed);
        let cut = attackers
            .into_iter()
            .filter_map(|attacker| attacker.join().ok())
            .filter(|cut| *cut)
            .count();
        (
            cut,
            honest.join().expect("the honest client gets its answers"),
            most,
        )
    });
    let grown = most.saturating_sub(before);
    show(&format!(
        "{name}: {cut} of {ATTACKERS} cut, worst answer {worst:?}, memory +{} KiB",
        grown / 1024
    ));
    assert!(
        grown < MOST_MEMORY,
        "{name}: {} MiB more",
        grown / 1024 / 1024
    );
    assert!(worst < longest_wait(), "{name}: an answer took {worst:?}");
    if end == End::Cut {
        assert_eq!(cut, ATTACKERS, "{name}: not all were cut off");
    }
    let log = balancer.stderr();
    assert!(
        !log.contains("panicked") && log.len() < 10_000,
        "{name}: {log}"
    );
    // Nothing is left that hurts others.
    assert_eq!(Raw::client(address).get(1, "/").unwrap().text(), "a");
}

#[allow(
    clippy::print_stderr,
    reason = "figures that a reader of the test's output wants"
)]
fn show(text: &str) {
    eprintln!("{text}");
}

/// Whether it was cut off.
fn attack(
    address: SocketAddr,
    first: &[(u16, u32)],
    next: &(impl Fn(u32) -> Vec<u8> + Sync),
) -> bool {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut raw = Raw::of(stream).greeted(first);
    let begun = Instant::now();
    for round in 0.. {
        if begun.elapsed() > PATIENCE {
            return false;
        }
        if raw.try_send(&next(round)).is_err() {
            return true;
        }
    }
    false
}

/// Asks again and again, by HTTP/2 on one connection and by HTTP/1; gives the time of the slowest answer.
fn keep_asking(address: SocketAddr, over: &AtomicBool) -> Duration {
    let mut raw = Raw::client(address);
    let mut client = Client::of(address);
    let mut worst = Duration::ZERO;
    let mut stream = 1;
    while !over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        assert_eq!(raw.get(stream, "/").unwrap().text(), "a");
        worst = worst.max(begun.elapsed());
        raw.frames.clear();
        raw.streams.clear();
        let begun = Instant::now();
        assert_eq!(client.get("/").text(), "a");
        worst = worst.max(begun.elapsed());
        stream += 2;
    }
    worst
}

/// Streams of this round, so many a round.
fn streams(round: u32, each: u32) -> impl Iterator<Item = u32> {
    (0..each).map(move |number| 2 * (round * each + number) + 1)
}

#[test]
fn rapid_resets() {
    flood("rapid reset", End::Cut, &[], |round| {
        streams(round, 50)
            .flat_map(|stream| {
                [
                    head(stream, f::END_STREAM, &get("/hang")),
                    reset(stream, f::CANCEL),
                ]
                .concat()
            })
            .collect()
    });
}

#[test]
fn field_blocks_without_end() {
    flood("CONTINUATION", End::Cut, &[], |round| {
        let block = f::block(&[(b"x-a", &[b'x'; 1000])]);
        if round == 0 {
            frame(f::HEADERS, 0, 1, &block)
        } else {
            frame(f::CONTINUATION, 0, 1, &block)
        }
    });
    flood("empty CONTINUATION", End::Cut, &[], |round| {
        if round == 0 {
            frame(f::HEADERS, 0, 1, b"")
        } else {
            frame(f::CONTINUATION, 0, 1, b"").repeat(100)
        }
    });
}

#[test]
fn pings_and_settings_that_want_an_answer() {
    // Whoever does not read the answers cannot go on sending.
    flood("PING", End::Any, &[], |_| {
        frame(f::PING, 0, 0, &[7; 8]).repeat(100)
    });
    flood("SETTINGS", End::Any, &[], |round| {
        settings(&[(f::INITIAL_WINDOW_SIZE, round % 60_000)]).repeat(100)
    });
}

#[test]
fn resets_of_nothing() {
    flood("RST_STREAM of idle streams", End::Cut, &[], |round| {
        streams(round, 50)
            .flat_map(|stream| reset(stream, f::CANCEL))
            .collect()
    });
}

#[test]
fn frames_of_nothing() {
    flood("empty DATA", End::Cut, &[], |round| {
        if round == 0 {
            head(1, 0, &request("POST", "/"))
        } else {
            data(1, 0, b"").repeat(100)
        }
    });
    flood("empty HEADERS", End::Any, &[], |round| {
        streams(round, 50)
            .flat_map(|stream| frame(f::HEADERS, f::END_HEADERS, stream, b""))
            .collect()
    });
}

#[test]
fn field_sections_that_grow_when_they_are_read() {
    flood("header bomb", End::Any, &[], |round| {
        // A large field goes to the table, and each further request names it thousands of times.
        let mut block = f::block(&[
            (b":method", b"GET"),
            (b":scheme", b"http"),
            (b":authority", b"a"),
            (b":path", b"/"),
        ]);
        if round == 0 {
            block.push(0x40);
            block.extend(&f::block(&[(b"x-bomb", &[b'x'; 3900])])[1..]);
        }
        block.extend([0xbe; 4000]);
        frame(
            f::HEADERS,
            f::END_HEADERS | f::END_STREAM,
            2 * round + 1,
            &block,
        )
    });
}

#[test]
fn windows_that_stay_shut_or_drip() {
    flood(
        "zero windows",
        End::Any,
        &[(f::INITIAL_WINDOW_SIZE, 0)],
        |round| {
            if round < 128 {
                head(2 * round + 1, f::END_STREAM, &get("/big"))
            } else {
                thread::park_timeout(Duration::from_millis(20));
                frame(f::PING, 0, 0, &[0; 8])
            }
        },
    );
    flood(
        "dripping windows",
        End::Any,
        &[(f::INITIAL_WINDOW_SIZE, 1)],
        |round| {
            if round < 128 {
                head(2 * round + 1, f::END_STREAM, &get("/big"))
            } else {
                (0..128)
                    .flat_map(|number| window_update(2 * number + 1, 1))
                    .collect()
            }
        },
    );
}

#[test]
fn priorities_and_unknown_frames() {
    flood("priority churn", End::Any, &[], |round| {
        streams(round % 1000, 100)
            .flat_map(|stream| frame(f::PRIORITY, 0, stream, &[0, 0, 0, 99, 7]))
            .collect()
    });
}

#[test]
fn uploads_that_stop() {
    let shared = Arc::new([b'x'; 16_384]);
    flood(
        "uploads that stop",
        End::Any,
        &[],
        move |round| match round {
            0..100 => head(2 * round + 1, 0, &request("POST", "/hang")),
            // As much as the connection's window lets through.
            100..164 => data(2 * (round - 100) + 1, 0, &shared[..]),
            _ => {
                thread::park_timeout(Duration::from_millis(20));
                frame(f::PING, 0, 0, &[0; 8])
            }
        },
    );
}

/// Nobody cuts it at once, for it may be slow and honest; but what is held for it is bounded, all its streams together.
#[test]
fn a_reader_of_many_large_answers_who_does_not_read() {
    const STREAMS: u32 = 100;
    const OPEN: u32 = 0x7fff_ffff;
    let origin = Origin::named("a");
    let content = vec![b'x'; 4_000_000];
    let begin = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
        content.len()
    );
    let answer = [begin.into_bytes(), content].concat();
    origin.on("/big", Behaviour::Raw(answer));
    let balancer = Balancer::in_front_of(&[&origin]);
    let address = balancer.address("web");
    assert_eq!(Raw::client(address).get(1, "/").unwrap().text(), "a");
    let before = balancer.vitals().resident();
    let mut raw = Raw::connect(address).greeted(&[(f::INITIAL_WINDOW_SIZE, OPEN)]);
    raw.send(&window_update(0, OPEN - 65_535));
    for number in 0..STREAMS {
        raw.send(&head(2 * number + 1, f::END_STREAM, &get("/big")));
    }
    origin.wait_for_requests(1 + STREAMS as usize);
    // It has all that it takes once it has not grown for a while.
    let mut most = before;
    let mut since = Instant::now();
    while since.elapsed() < Duration::from_millis(500) {
        let now = balancer.vitals().resident();
        if now > most + 64 * 1024 {
            since = Instant::now();
        }
        most = most.max(now);
        thread::park_timeout(Duration::from_millis(20));
    }
    let grown = most - before;
    show(&format!(
        "{STREAMS} large answers that nobody reads: +{} KiB",
        grown / 1024
    ));
    assert!(grown < MOST_FOR_ONE, "{} KiB more", grown / 1024);
    assert_eq!(Raw::client(address).get(1, "/").unwrap().text(), "a");
    for number in 0..STREAMS {
        assert_eq!(raw.answer(2 * number + 1).unwrap().content.len(), 4_000_000);
    }
}

/// What one connection may cost: 32 KiB of each answer that wait in the library, as much again on their way from the backend,
/// and what a stream and its exchange are themselves.
const MOST_FOR_ONE: u64 = 16 * 1024 * 1024;
