//! Clients that move a little, to hold what they have. Who is cut when is told under paused time, with the data path.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use super::{assert_refused, balancer, counts, front, refused};
use crate::harness::{Balancer, Client, DEADLINE, Origin, wait_until};
use crate::metrics::{Figures, wait_for_records};

/// Sends a byte now and then until something comes back or the connection is no more.
fn trickle(client: &mut Client, byte: &[u8]) {
    let stream = client.connect().unwrap().stream().try_clone().unwrap();
    stream
        .set_read_timeout(Some(Duration::from_millis(10)))
        .unwrap();
    wait_until(DEADLINE, "the end of patience", || {
        let sent = (&stream).write_all(byte);
        sent.is_err() || stream.peek(&mut [0]).is_ok()
    });
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
}

#[test]
fn a_head_is_due_in_time_however_it_trickles() {
    let origin = Origin::named("a");
    let balancer = balancer("timeouts = { header = \"300ms\" }", &origin);
    for start in [
        "G",
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx: ",
    ] {
        let mut client = balancer.client("web");
        client.send_raw(start.as_bytes()).unwrap();
        trickle(&mut client, b"x");
        assert_refused(&client.read_response("GET").unwrap(), 408, "header-timeout");
    }
    assert_eq!(refused(&balancer, 3), counts(&[("header-timeout", 3.0)]));
    assert_eq!(origin.requests(), 0);
}

#[test]
fn an_upload_that_trickles_is_cut() {
    let origin = Origin::named("a");
    let balancer = balancer(
        "timeouts = { body = \"300ms\" }\nlimits = { body_rate = \"1MiB/s\" }",
        &origin,
    );
    for (head, piece) in [
        ("content-length: 1000000", "x"),
        ("transfer-encoding: chunked", "1\r\nx\r\n"),
    ] {
        let mut client = balancer.client("web");
        let request = format!("POST / HTTP/1.1\r\nhost: a\r\n{head}\r\n\r\n");
        client.send_raw(request.as_bytes()).unwrap();
        trickle(&mut client, piece.as_bytes());
        assert_refused(
            &client.read_response("POST").unwrap(),
            408,
            "client-too-slow",
        );
    }
    assert_eq!(refused(&balancer, 2), counts(&[("client-too-slow", 2.0)]));
    wait_until(DEADLINE, "the end of the backend's connections", || {
        origin.open_connections() == 0
    });
    assert_eq!(origin.requests(), 0);
}

/// A backend that sends as fast as it is taken, and for as long.
struct Spring {
    address: SocketAddr,
}

impl Spring {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                thread::spawn(move || {
                    let _ = stream.read(&mut [0; 1000]);
                    let _ =
                        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
                    let piece = [&b"10000\r\n"[..], &[b'x'; 0x10000], b"\r\n"].concat();
                    while stream.write_all(&piece).is_ok() {}
                });
            }
        });
        Self { address }
    }

    fn balancer(&self, listener: &str) -> Balancer {
        let pool = format!(
            "[pools.shop]\nbackends = [{{ address = \"{}\" }}]\n",
            self.address
        );
        Balancer::start(&(front(listener) + &pool))
    }
}

#[test]
fn a_reader_that_sips_is_cut_with_a_reset() {
    let spring = Spring::start();
    let balancer =
        spring.balancer("timeouts = { body = \"300ms\" }\nlimits = { body_rate = \"100MiB/s\" }");
    let mut stream = TcpStream::connect(balancer.address("web")).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .unwrap();
    let mut sip = [0; 16];
    wait_until(DEADLINE, "the end of patience", || {
        stream.read_exact(&mut sip).is_err()
            || Figures::of(&balancer).sum("forecourt_requests_total", &[]) > 0.0
    });
    let figures = wait_for_records(&balancer, 1);
    let codes = figures.by("forecourt_requests_total", "code", &[]);
    assert_eq!(codes, counts(&[("aborted", 1.0)]));
    // What the system held goes with the reset.
    let error = stream.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(refused(&balancer, 1), counts(&[("client-too-slow", 1.0)]));
    wait_until(DEADLINE, "the access log", || {
        balancer.stdout().contains("\"client-too-slow\"")
    });
}
