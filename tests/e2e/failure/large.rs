//! Large bodies, which go past the process: what holds for bodies that are read and written holds for them.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::thread;

use super::{Script, assert_codes, failures, front, once, write};
use crate::harness::{Balancer, Client, DEADLINE, Framing, Request, wait_until};

/// Around the sizes at which bodies go another way, and far beyond them.
const SIZES: [usize; 9] = [
    16 * 1024 - 1,
    16 * 1024 + 1,
    64 * 1024 - 1,
    64 * 1024,
    80 * 1024,
    128 * 1024 + 1,
    300_001,
    1024 * 1024,
    9_000_000,
];

fn scene(listener: &str) -> (Script, Balancer, Client) {
    let script = Script::new();
    let balancer = Balancer::start(&(front(listener) + &script.pool("")));
    let client = balancer.client("web");
    (script, balancer, client)
}

/// Bytes of which no two stretches are alike, other ones for each seed.
fn content(seed: u64, size: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| random.u8(..))
        .take(size)
        .collect()
}

/// Writes in pieces of all sizes, with a pause now and then.
fn drip(mut stream: &TcpStream, bytes: &[u8]) {
    let mut random = fastrand::Rng::with_seed(bytes.len() as u64);
    let mut rest = bytes;
    while !rest.is_empty() {
        let piece = random.usize(1..=200_000).min(rest.len());
        stream.write_all(&rest[..piece]).unwrap();
        rest = &rest[piece..];
        thread::yield_now();
    }
}

fn answer_head(length: usize) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n")
}

/// Asks for a large answer and has the backend begin it; gives the backend's connection.
fn begun(script: &Script, client: &mut Client, length: usize, said: &[u8]) -> TcpStream {
    client.send_raw(&Request::get("/").to_bytes()).unwrap();
    let (wire, _) = script.receive();
    write(&wire, &answer_head(length));
    let stream = wire.stream().try_clone().unwrap();
    (&stream).write_all(said).unwrap();
    stream
}

#[test]
fn answers_and_uploads_of_any_size_arrive_as_they_are_one_behind_the_other() {
    let (script, balancer, mut client) = scene("");
    let backend = thread::spawn(move || {
        let mut wire = script.accept();
        for (nth, size) in SIZES.into_iter().enumerate() {
            let head = wire.read_head().unwrap();
            assert_eq!(head.first_line, format!("POST /{nth} HTTP/1.1"));
            let up = super::read_whole_body(&mut wire, Framing::Length(size));
            assert!(up == content(nth as u64, size), "up {size}");
            write(&wire, &answer_head(size));
            drip(wire.stream(), &content(!(nth as u64), size));
        }
    });
    let stream = client.connect().unwrap().stream().try_clone().unwrap();
    let sending = thread::spawn(move || {
        let mut all = Vec::new();
        for (nth, size) in SIZES.into_iter().enumerate() {
            let head = format!("POST /{nth} HTTP/1.1\r\nhost: a\r\ncontent-length: {size}\r\n\r\n");
            all.extend_from_slice(head.as_bytes());
            all.extend_from_slice(&content(nth as u64, size));
        }
        drip(&stream, &all);
    });
    for (nth, size) in SIZES.into_iter().enumerate() {
        let wire = client.connect().unwrap();
        let head = wire.read_head().unwrap();
        assert_eq!(head.fields.framing().unwrap(), Some(Framing::Length(size)));
        let body = wire.read_body(Framing::Length(size));
        assert!(
            body.fault.is_none() && body.bytes == content(!(nth as u64), size),
            "down {size}"
        );
    }
    sending.join().unwrap();
    backend.join().unwrap();
    assert_codes(&balancer, &[("2xx", SIZES.len() as f64)]);
    for size in SIZES {
        let said = format!("\"http.response.body.bytes\":{size},");
        wait_until(DEADLINE, &said, || balancer.stdout().contains(&said));
    }
}

#[test]
fn a_backend_that_dies_within_a_body_is_seen_and_counted_to_the_byte() {
    let (script, balancer, mut client) = scene("");
    let said = content(1, 3_000_000);
    let backend = begun(&script, &mut client, 5_000_000, &said);
    backend.shutdown(Shutdown::Write).unwrap();
    let wire = client.connect().unwrap();
    wire.read_head().unwrap();
    let body = wire.read_body(Framing::Length(5_000_000));
    assert!(body.fault.is_some());
    assert!(body.bytes == said);
    assert_eq!(
        failures(&balancer, script.address(), 1),
        once("body-truncated")
    );
    wait_until(DEADLINE, "the log tells of it", || {
        balancer
            .stdout()
            .contains("\"http.response.body.bytes\":3000000,")
    });
}

#[test]
fn a_backend_that_says_more_than_it_announced_is_not_taken_at_its_word() {
    let (script, balancer, mut client) = scene("");
    let _backend = begun(&script, &mut client, 1_000_000, &content(1, 1_000_005));
    let wire = client.connect().unwrap();
    wire.read_head().unwrap();
    let body = wire.read_body(Framing::Length(1_000_000));
    assert!(body.fault.is_some() && body.bytes.len() < 1_000_000);
    assert_eq!(
        failures(&balancer, script.address(), 1),
        once("body-overrun")
    );
}

#[test]
fn what_a_client_leaves_behind_nobody_gets() {
    let (script, balancer, mut client) = scene("");
    for _ in 0..3 {
        client.close();
        let backend = begun(&script, &mut client, 50_000_000, &content(1, 1_000_000));
        let sending = thread::spawn(move || {
            let piece = [b'x'; 100_000];
            while (&backend).write_all(&piece).is_ok() {}
        });
        client.connect().unwrap().read_head().unwrap();
        client.reset();
        sending.join().unwrap();
    }
    assert_codes(&balancer, &[("aborted", 3.0)]);
    let said = content(2, 2_000_000);
    let _backend = begun(&script, &mut client, said.len(), &said);
    let response = client.read_response("GET").unwrap();
    assert!(response.body == said);
}

#[test]
fn silence_on_either_side_of_a_large_body_is_bounded() {
    let bounds = "timeouts = { body = \"300ms\" }\nlimits = { body_rate = \"100MiB/s\" }";
    let (script, balancer, mut client) = scene(bounds);
    // The backend stops.
    let backend = begun(&script, &mut client, 5_000_000, &content(1, 1_000_000));
    let wire = client.connect().unwrap();
    wire.read_head().unwrap();
    let body = wire.read_body(Framing::Length(5_000_000));
    assert!(body.fault.is_some());
    assert_eq!(body.bytes.len(), 1_000_000);
    drop(backend);
    assert_eq!(
        failures(&balancer, script.address(), 1),
        once("body-timeout")
    );
    // The client takes nothing.
    let mut lazy = balancer.client("web");
    let backend = begun(&script, &mut lazy, 500_000_000, b"");
    let piece = vec![b'x'; 1_000_000];
    while (&backend).write_all(&piece).is_ok() {}
    // The client sends no more.
    let mut silent = balancer.client("web");
    let head = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5000000\r\n\r\n";
    silent.send_raw(head).unwrap();
    silent.send_raw(&content(3, 1_000_000)).unwrap();
    let (mut wire, _) = script.receive();
    let body = wire.read_body(Framing::Length(5_000_000));
    assert!(body.bytes == content(3, 1_000_000));
    assert!(body.fault.is_some());
    let response = silent.read_response("POST").unwrap();
    // As it took the first million bytes fast enough, or just not.
    let causes = [Some("request-body-timeout"), Some("client-too-slow")];
    assert_eq!(response.status, 408);
    assert!(causes.contains(&response.cause()), "{:?}", response.cause());
}

#[test]
fn an_old_clients_body_lasts_until_the_backend_ends_it() {
    let (script, _balancer, mut client) = scene("");
    client
        .send_raw(b"GET / HTTP/1.0\r\nhost: a\r\n\r\n")
        .unwrap();
    let (wire, _) = script.receive();
    write(&wire, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n");
    let said = content(1, 4_000_000);
    let sending = thread::spawn(move || {
        drip(wire.stream(), &content(1, 4_000_000));
    });
    let wire = client.connect().unwrap();
    wire.read_head().unwrap();
    let body = wire.read_body(Framing::UntilClose);
    assert!(body.fault.is_none() && body.bytes == said);
    sending.join().unwrap();
}

/// More of them than a worker has pipes.
#[test]
fn clients_that_do_not_read_leave_nobody_without_an_answer() {
    let (script, balancer, _) = scene("");
    let said = content(1, 8_000_000);
    let mut held = Vec::new();
    for _ in 0..80 {
        let mut client = balancer.client("web");
        client.send_raw(&Request::get("/").to_bytes()).unwrap();
        let (wire, _) = script.receive();
        let said = said.clone();
        let sending = thread::spawn(move || {
            write(&wire, &answer_head(said.len()));
            wire.stream().write_all(&said).unwrap();
        });
        client.connect().unwrap().read_head().unwrap();
        held.push((client, sending));
    }
    for (mut client, sending) in held.into_iter().rev() {
        let wire = client.connect().unwrap();
        let body = wire.read_body(Framing::Length(said.len()));
        assert!(body.fault.is_none() && body.bytes == said);
        sending.join().unwrap();
    }
    assert_codes(&balancer, &[("2xx", 80.0)]);
}
