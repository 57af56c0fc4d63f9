//! Frames of every kind pass as they are, both ways, and no faster than they are read.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;
use crate::harness::{Origin, pool};

#[test]
fn frames_of_all_lengths_pass_as_they_are() {
    let balancer = in_front_of(backend(GRANT, echo), "", "");
    let (mut stream, _) = asked(&balancer, ASK);
    for length in [0, 1, 125, 126, 127, 128, 0xfffe, 0xffff, 0x10000, 1 << 20] {
        for mask in [true, false] {
            let content: Vec<u8> = (0..length).map(|n: u32| n as u8).collect();
            let bytes = frame(0x82, mask, &content);
            // Nobody else reads while it is written.
            let mut writer = stream.try_clone().unwrap();
            let sent = bytes.clone();
            let writing = thread::spawn(move || writer.write_all(&sent).unwrap());
            assert!(
                read_exactly(&mut stream, bytes.len()) == bytes,
                "{length} {mask}"
            );
            writing.join().unwrap();
        }
    }
}

#[test]
fn fragments_with_a_ping_between_pass_as_they_are() {
    let balancer = in_front_of(backend(GRANT, echo), "", "");
    let (mut stream, _) = asked(&balancer, ASK);
    let message = [
        frame(0x01, true, b"in "),
        frame(0x89, true, b"there?"),
        frame(0x00, true, b"three "),
        frame(0x80, true, b"frames"),
    ];
    there_and_back(&mut stream, &message.concat());
}

/// Extensions give the reserved bits a meaning, and new opcodes may come: none of that is ours.
#[test]
fn bits_and_opcodes_of_extensions_pass_as_they_are() {
    let balancer = in_front_of(backend(GRANT, echo), "", "");
    let (mut stream, _) = asked(&balancer, ASK);
    for first in [0xc1, 0x41, 0xa2, 0x92, 0xf3, 0x83, 0x8b, 0x8f] {
        there_and_back(&mut stream, &frame(first, true, b"squeezed"));
    }
}

#[test]
fn a_frame_that_comes_byte_by_byte_goes_on_byte_by_byte() {
    let balancer = in_front_of(backend(GRANT, echo), "", "");
    let (mut stream, _) = asked(&balancer, ASK);
    stream.set_nodelay(true).unwrap();
    for byte in frame(0x81, true, b"slowly") {
        there_and_back(&mut stream, &[byte]);
    }
}

#[test]
fn a_ping_of_the_backends_has_the_clients_pong() {
    let backend = backend(GRANT, |mut stream, _| {
        stream.write_all(&frame(0x89, false, b"there?")).unwrap();
        let pong = frame(0x8a, true, b"there?");
        assert_eq!(read_exactly(&mut stream, pong.len()), pong);
        stream.write_all(&frame(0x81, false, b"good")).unwrap();
    });
    let balancer = in_front_of(backend, "", "");
    let (mut stream, _) = asked(&balancer, ASK);
    assert_eq!(read_exactly(&mut stream, 8), frame(0x89, false, b"there?"));
    stream.write_all(&frame(0x8a, true, b"there?")).unwrap();
    assert_eq!(read_exactly(&mut stream, 6), frame(0x81, false, b"good"));
}

/// A client that does not read holds its backend up, and costs no memory worth the name.
#[test]
fn a_client_that_does_not_read_holds_its_backend_up() {
    /// Backends that have been held up.
    static HELD: AtomicUsize = AtomicUsize::new(0);
    let backend = backend(GRANT, |mut stream, _| {
        // Far longer than it takes when somebody reads.
        let held = Some(Duration::from_millis(500));
        stream.set_write_timeout(held).unwrap();
        while stream.write_all(&[0; 1 << 16]).is_ok() {}
        HELD.fetch_add(1, Ordering::SeqCst);
        // It keeps its end, until the client is gone.
        let _ = stream.read(&mut [0]);
    });
    let balancer = in_front_of(backend, "", "");
    let before = balancer.vitals().resident();
    let crowd: Vec<_> = (0..8).map(|_| asked(&balancer, ASK).0).collect();
    wait_until(DEADLINE, "all of them held up", || {
        HELD.load(Ordering::SeqCst) == crowd.len()
    });
    let grown = balancer.vitals().resident().saturating_sub(before);
    assert!(grown < 8 << 20, "{grown} bytes for eight that do not read");
    drop(crowd);
    wait_until(DEADLINE, "the end", || is_free(&balancer));
}

#[test]
fn a_client_that_reads_at_last_gets_it_all() {
    let backend = backend(GRANT, |mut stream, _| {
        for n in 0..32 {
            stream.write_all(&vec![n; 1 << 20]).unwrap();
        }
    });
    let balancer = in_front_of(backend, "", "");
    let (mut stream, _) = asked(&balancer, ASK);
    for n in 0..32 {
        assert!(
            read_exactly(&mut stream, 1 << 20)
                .iter()
                .all(|byte| *byte == n)
        );
    }
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

/// A task that is told for want of budget that nothing has come is not woken by what comes.
#[test]
fn a_flood_one_way_does_not_drown_what_comes_the_other_way() {
    const WORDS: usize = 10;
    let backend = backend(GRANT, |mut stream, _| {
        let mut ear = stream.try_clone().unwrap();
        let flood = thread::spawn(move || while stream.write_all(&[7; 1 << 16]).is_ok() {});
        for _ in 0..WORDS {
            assert_eq!(read_exactly(&mut ear, 1), b"x");
        }
        ear.shutdown(Shutdown::Both).unwrap();
        flood.join().unwrap();
    });
    let balancer = in_front_of(backend, "", "");
    let (mut stream, _) = asked(&balancer, ASK);
    for _ in 0..WORDS {
        read_exactly(&mut stream, 1 << 20);
        stream.write_all(b"x").unwrap();
    }
    // Far more than flows before the last word is heard.
    let mut rest = (&mut stream).take(8 << 30);
    let flowed = std::io::copy(&mut rest, &mut std::io::sink()).unwrap_or_default();
    assert!(flowed < 8 << 30);
}

#[test]
fn a_side_is_heard_whoever_spoke_before() {
    let balancer = in_front_of(
        backend(GRANT, |mut stream, _| {
            // Each byte says how many answers it wants.
            stream.set_nodelay(true).unwrap();
            let mut wanted = [0];
            while stream.read_exact(&mut wanted).is_ok() {
                for _ in 0..wanted[0] {
                    stream.write_all(&frame(0x81, false, b"news")).unwrap();
                }
            }
        }),
        "",
        "",
    );
    let (mut stream, _) = asked(&balancer, ASK);
    let news = frame(0x81, false, b"news");
    for wanted in [1, 5, 0, 0, 3, 0, 7, 1, 1] {
        stream.write_all(&[wanted]).unwrap();
        for _ in 0..wanted {
            assert_eq!(read_exactly(&mut stream, news.len()), news);
        }
    }
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

/// A body has to move on; what goes through a tunnel may take its time.
#[test]
fn times_and_limits_of_bodies_do_not_cut_it() {
    let talks = backend(GRANT, echo);
    let origin = Origin::named("a");
    let balancer = Balancer::start(&format!(
        "{}[[routes]]\npath = \"/chat\"\npool = \"talks\"\n[listeners.web.timeouts]\nbody = \"100ms\"\n\
         [listeners.web.limits]\nbody_bytes = \"1KiB\"\n{}[pools.talks]\nbackends = [{{ address = \"{talks}\" }}]\n",
        Balancer::front("shop"),
        pool("shop", "round-robin", &[&origin]),
    ));
    let (mut stream, _) = asked(&balancer, ASK);
    // An upload that stands still is cut behind it, which tells that the time has passed.
    let dead = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nx";
    let (_, head) = asked(&balancer, dead);
    assert!(
        head.contains("forecourt-error: request-body-timeout"),
        "{head}"
    );
    there_and_back(&mut stream, &frame(0x82, true, &[7; 4096]));
}
