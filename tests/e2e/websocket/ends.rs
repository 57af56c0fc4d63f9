//! How a WebSocket ends: by either side, in order or not, or because the process does.

use rustix::process::Signal;

use super::*;
use crate::harness::reset;

#[test]
fn a_close_of_the_clients_is_answered_by_the_backend() {
    let backend = backend(GRANT, |mut stream, _| {
        let said = close(true, 1000, "done");
        assert_eq!(read_exactly(&mut stream, said.len()), said);
        stream.write_all(&close(false, 1000, "bye")).unwrap();
    });
    let balancer = in_front_of(backend, "", "");
    let (mut stream, _) = asked(&balancer, ASK);
    stream.write_all(&close(true, 1000, "done")).unwrap();
    let answer = close(false, 1000, "bye");
    assert_eq!(read_exactly(&mut stream, answer.len()), answer);
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    drop(stream);
    wait_until(DEADLINE, "the end", || is_free(&balancer));
}

#[test]
fn a_close_of_the_backends_is_answered_by_the_client() {
    let backend = backend(GRANT, |mut stream, _| {
        stream.write_all(&close(false, 4001, "enough")).unwrap();
        let answer = close(true, 4001, "");
        assert_eq!(read_exactly(&mut stream, answer.len()), answer);
        stream.write_all(b"seen").unwrap();
    });
    let balancer = in_front_of(backend, "", "");
    let (mut stream, _) = asked(&balancer, ASK);
    let said = close(false, 4001, "enough");
    assert_eq!(read_exactly(&mut stream, said.len()), said);
    stream.write_all(&close(true, 4001, "")).unwrap();
    assert_eq!(read_exactly(&mut stream, 4), b"seen");
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_client_that_has_said_all_still_hears_all() {
    let backend = backend(GRANT, |mut stream, _| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        assert_eq!(all, b"that is all");
        stream.write_all(&vec![7; 4 << 20]).unwrap();
    });
    let balancer = in_front_of(backend, "", "");
    let (mut stream, _) = asked(&balancer, ASK);
    stream.write_all(b"that is all").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    assert_eq!(all.len(), 4 << 20);
}

#[test]
fn a_reset_of_the_clients_ends_the_backends_side() {
    let backend = backend(GRANT, |mut stream, _| {
        stream.write_all(b"x").unwrap();
        // Whatever way it ends, it does.
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert!(rest.is_empty());
    });
    let balancer = in_front_of(backend, "", "");
    let (mut stream, _) = asked(&balancer, ASK);
    assert_eq!(read_exactly(&mut stream, 1), b"x");
    assert!(!is_free(&balancer));
    reset(&stream);
    drop(stream);
    wait_until(DEADLINE, "the end", || is_free(&balancer));
}

#[test]
fn a_reset_of_the_backends_ends_the_clients_side() {
    let backend = backend(GRANT, |mut stream, _| {
        read_exactly(&mut stream, 1);
        reset(&stream);
    });
    let balancer = in_front_of(backend, "", "");
    let (mut stream, _) = asked(&balancer, ASK);
    stream.write_all(b"x").unwrap();
    let ended = stream.read(&mut [0]);
    let kinds = |error: std::io::Error| error.kind() == std::io::ErrorKind::ConnectionReset;
    assert!(ended.map_or_else(kinds, |n| n == 0));
    drop(stream);
    wait_until(DEADLINE, "the end", || is_free(&balancer));
}

/// What is no WebSocket has no word for it, and ends all the same.
#[test]
fn silence_ends_other_protocols_without_a_word() {
    const OTHER: &str =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: tus/1.0\r\nConnection: Upgrade\r\n\r\n";
    let balancer = in_front_of(
        backend(OTHER, echo),
        "upgrade = [\"tus/1.0\"]",
        "[pools.shop.timeouts]\ntunnel = \"200ms\"\n",
    );
    let ask = ASK.replace("Upgrade: websocket", "Upgrade: tus/1.0");
    let (mut stream, head) = asked(&balancer, &ask);
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

/// All at once they would all come back at once. Two or three of a hundred are told at the beginning.
#[test]
fn a_drain_says_goodbye_to_some_after_the_others() {
    let balancer = in_front_of(
        backend(GRANT, echo),
        "",
        "[server.shutdown]\ndeadline = \"2h\"\nspread = \"1h\"\n",
    );
    let mut crowd: Vec<_> = (0..20).map(|_| asked(&balancer, ASK).0).collect();
    balancer.signal(Signal::TERM);
    wait_until(DEADLINE, "the drain", || {
        balancer.admin("/readyz").status == 503
            && TcpStream::connect(balancer.address("web")).is_err()
    });
    let frame = [0x82, 0x81, 0, 0, 0, 0, 7];
    let stayed = crowd.iter_mut().filter_map(|stream| {
        stream.write_all(&frame).ok()?;
        let mut answer = [0; 2];
        stream.read_exact(&mut answer).ok()?;
        (answer[0] == 0x82).then_some(())
    });
    assert!(stayed.count() >= 10);
}

#[test]
fn a_drain_says_goodbye_to_all() {
    let mut balancer = in_front_of(backend(GRANT, echo), "", "");
    let mut crowd: Vec<_> = (0..200).map(|_| asked(&balancer, ASK).0).collect();
    balancer.signal(Signal::TERM);
    for stream in &mut crowd {
        assert_eq!(read_exactly(stream, 4), [0x88, 2, 0x03, 0xe9]);
        stream.write_all(&close(true, 1001, "")).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }
    assert!(balancer.wait_for_exit(DEADLINE).success());
    let log = balancer.stdout();
    let ended = log.matches("\"http.response.status_code\":101").count();
    assert_eq!(ended, 200, "one record each");
}
