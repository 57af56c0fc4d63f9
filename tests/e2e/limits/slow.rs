//! Clients that move a little, to hold what they have. Who is cut when is told under paused time, with the data path.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use super::{assert_refused, balancer, counts, front, refused};
use crate::harness::{Balancer, Behaviour, Client, DEADLINE, Origin, wait_until};
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

/// A connection of HTTP/2 that asks for `/large` and says that its windows are wide open.
fn asking_by_http2(balancer: &Balancer) -> TcpStream {
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        let length = payload.len() as u8;
        [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
    };
    let bytes = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        // SETTINGS_INITIAL_WINDOW_SIZE, and the window of the connection.
        frame(4, 0, 0, b"\x00\x04\x7f\xff\xff\xff"),
        frame(8, 0, 0, b"\x7f\x00\x00\x00"),
        frame(4, 1, 0, b""),
        // GET, http, the host and the path, with the head and the request at their ends.
        frame(1, 5, 1, b"\x82\x86\x41\x01a\x04\x06/large"),
    ];
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    // Little is in the system's hands, so that some of the answer is in the library's.
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&balancer.address("web").into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(&bytes.concat()).unwrap();
    stream
}

/// Bytes of content that come until the connection ends, and whether the last was said to be the last.
fn content_by_http2(mut stream: &TcpStream) -> (usize, bool) {
    let (mut content, mut ended) = (0, false);
    let mut head = [0; 9];
    while stream.read_exact(&mut head).is_ok() {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut payload = vec![0; length];
        if stream.read_exact(&mut payload).is_ok() && head[3] == 0 {
            content += length;
            ended |= head[4] & 1 == 1;
        }
    }
    (content, ended)
}

/// What the library of HTTP/2 holds of an answer when its connection is to end, its client still gets, be it slower
/// than the farewell.
#[test]
fn the_end_of_a_connection_cuts_no_answer_that_is_being_read() {
    let origin = Origin::named("a");
    let mut large = b"HTTP/1.1 200 OK\r\ncontent-length: 160000\r\n\r\n".to_vec();
    large.resize(large.len() + 160_000, b'x');
    origin.on("/large", Behaviour::Raw(large));
    let balancer = balancer("limits = { requests = 1 }", &origin);
    let slow = asking_by_http2(&balancer);
    wait_for_records(&balancer, 1);
    // Another one, whose farewell begins later and which says nothing: with its end that of the first has been due.
    let later = asking_by_http2(&balancer);
    assert_eq!(content_by_http2(&later), (160_000, true));
    assert_eq!(content_by_http2(&slow), (160_000, true));
}
