//! Clients that vanish, stall or send too much: backends never take half a request for a whole one.

use std::io::Write;
use std::net::TcpStream;

use super::{Script, assert_codes, failures, front, once, read_whole_body, write};
use crate::harness::{
    Balancer, Behaviour, Client, DEADLINE, Framing, Origin, Request, Response, pool, wait_for,
    wait_until,
};
use crate::metrics::Figures;

fn balancer(listener: &str, origin: &Origin) -> Balancer {
    Balancer::start(&(front(listener) + &pool("shop", "round-robin", &[origin])))
}

/// Sends bytes and gives the answer, behind which the connection must be closed.
#[track_caller]
fn refusal(balancer: &Balancer, bytes: &[u8]) -> Response {
    let mut client = balancer.client("web");
    client.send_raw(bytes).unwrap();
    let response = client.read_response("GET").unwrap();
    assert!(
        response.field("connection") == Some("close") && !client.is_connected(),
        "{response}"
    );
    response
}

#[track_caller]
fn assert_refused(response: &Response, status: u16, cause: &str) {
    assert_eq!(
        (response.status, response.cause()),
        (status, Some(cause)),
        "{response}"
    );
}

#[test]
fn a_reset_within_the_answer_ends_the_exchange() {
    let origin = Origin::named("a");
    origin.behave(Behaviour::Gated);
    let balancer = balancer("", &origin);
    let mut client = balancer.client("web");
    client.send_raw(&Request::get("/").to_bytes()).unwrap();
    client.connect().unwrap().read_head().unwrap();
    client.reset();
    assert_codes(&balancer, &[("aborted", 1.0)]);
    assert_eq!(
        failures(&balancer, origin.address(), 1).len(),
        0,
        "no fault of the backend"
    );
    let figures = Figures::of(&balancer);
    assert_eq!(
        figures.sum("forecourt_backend_connections", &[]),
        0.0,
        "half a response leaves no connection to reuse"
    );
    assert_eq!(figures.sum("forecourt_connections", &[]), 0.0);
}

#[test]
fn a_reset_before_the_answer_ends_the_exchange() {
    let origin = Origin::named("a");
    origin.behave(Behaviour::Hang);
    let balancer = balancer("", &origin);
    let mut client = balancer.client("web");
    client.send_raw(&Request::get("/").to_bytes()).unwrap();
    origin.wait_for_requests(1);
    client.reset();
    assert_codes(&balancer, &[("aborted", 1.0)]);
    assert_eq!(failures(&balancer, origin.address(), 1).len(), 0);
    wait_until(DEADLINE, "the end of the backend's connection", || {
        origin.open_connections() == 0
    });
}

/// A client that has said more than it was asked for, or all that it has to say, and then goes: what is done for it ends
/// long before any deadline.
#[test]
fn a_reset_is_seen_behind_bytes_and_behind_a_half_close() {
    let script = Script::new();
    let balancer = Balancer::start(
        &(front("timeouts = { body = \"1h\" }") + &script.pool("timeouts = { response = \"1h\" }")),
    );
    let mut records = 0;
    for begun in [false, true] {
        for half_closed in [false, true] {
            let mut client = balancer.client("web");
            client.send_raw(&Request::get("/").to_bytes()).unwrap();
            if half_closed {
                client.finish_writing().unwrap();
            } else {
                client.send_raw(&Request::get("/next").to_bytes()).unwrap();
            }
            let (mut wire, _) = script.receive();
            if begun {
                write(&wire, "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
                client.connect().unwrap().read_head().unwrap();
            }
            client.reset();
            assert!(wire.fill().is_err(), "the backend's connection ends");
            records += 1;
            assert_codes(&balancer, &[("aborted", f64::from(records))]);
        }
    }
}

#[test]
fn an_upload_that_breaks_off_never_looks_whole() {
    for (head, begin) in [
        ("content-length: 100", "half"),
        ("transfer-encoding: chunked", "4\r\nhalf\r\n"),
    ] {
        for reset in [true, false] {
            let origin = Origin::named("a");
            let balancer = balancer("", &origin);
            let mut client = balancer.client("web");
            client
                .send_raw(format!("POST / HTTP/1.1\r\nhost: a\r\n{head}\r\n\r\n{begin}").as_bytes())
                .unwrap();
            wait_until(DEADLINE, "the request's way to the backend", || {
                origin.open_connections() == 1
            });
            if reset {
                client.reset();
            } else {
                client.close();
            }
            assert_codes(&balancer, &[("aborted", 1.0)]);
            assert_eq!(failures(&balancer, origin.address(), 1).len(), 0);
            wait_until(DEADLINE, "the end of the backend's connection", || {
                origin.open_connections() == 0
            });
            assert_eq!(origin.requests(), 0);
        }
    }
}

#[test]
fn a_client_that_ends_its_side_gets_its_answer() {
    let origin = Origin::named("a");
    origin.behave(Behaviour::Gated);
    let balancer = balancer("", &origin);
    let mut client = balancer.client("web");
    client
        .send_raw(&Request::post("/", b"all I have").to_bytes())
        .unwrap();
    client.finish_writing().unwrap();
    origin.wait_for_requests(1);
    origin.open_gate();
    let response = client.read_response("POST").unwrap();
    assert!(
        response.is_whole() && response.origin() == "a",
        "{response}"
    );
    assert!(client.read_to_end().unwrap().is_empty());
    assert_codes(&balancer, &[("2xx", 1.0)]);
}

#[test]
fn a_slow_head_is_answered_with_408() {
    let origin = Origin::named("a");
    let balancer = balancer("timeouts = { header = \"150ms\" }", &origin);
    assert_refused(
        &refusal(&balancer, b"GET / HTTP/1.1\r\nhost: a\r\nx-slow:"),
        408,
        "header-timeout",
    );
    // A byte now and then buys no time.
    let stream = TcpStream::connect(balancer.address("web")).unwrap();
    let mut client = Client::of(balancer.address("web"));
    client.send_raw(b"GET / HTTP/1.1\r\nx: ").unwrap();
    wait_until(DEADLINE, "the end of patience", || {
        (&stream).write_all(b"").unwrap();
        client.send_raw(b"x").is_err() || !client.connect().unwrap().ahead().is_empty() || {
            let wire = client.connect().unwrap();
            wire.stream()
                .set_read_timeout(Some(std::time::Duration::from_millis(10)))
                .unwrap();
            wire.fill().is_ok()
        }
    });
    assert_eq!(origin.requests(), 0);
}

/// A call of gRPC may be silent for long; a content type does not make one of a request by HTTP/1.
#[test]
fn a_content_type_buys_no_patience() {
    let origin = Origin::named("a");
    let balancer = balancer("timeouts = { body = \"150ms\" }", &origin);
    let slow = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc\r\ncontent-length: 9\r\n\r\nslow";
    let answer = refusal(&balancer, slow);
    assert_eq!(answer.cause(), Some("request-body-timeout"), "{answer}");
}

#[test]
fn a_silent_connection_is_closed_without_a_word() {
    let origin = Origin::named("a");
    let balancer = balancer("timeouts = { idle = \"150ms\" }", &origin);
    let mut client = balancer.client("web");
    client.connect().unwrap();
    assert!(client.read_to_end().unwrap().is_empty());
    client.get("/");
    assert!(client.read_to_end().unwrap().is_empty());
    assert_codes(&balancer, &[("2xx", 1.0)]);
}

#[test]
fn an_upload_that_stalls_is_answered_with_408() {
    let origin = Origin::named("a");
    let balancer = balancer("timeouts = { body = \"150ms\" }", &origin);
    for (head, begin) in [
        ("content-length: 100", "half"),
        ("transfer-encoding: chunked", "4\r\nhalf\r\n"),
    ] {
        let request = format!("POST / HTTP/1.1\r\nhost: a\r\n{head}\r\n\r\n{begin}");
        assert_refused(
            &refusal(&balancer, request.as_bytes()),
            408,
            "request-body-timeout",
        );
    }
    assert_codes(&balancer, &[("4xx", 2.0)]);
    assert_eq!(
        failures(&balancer, origin.address(), 2).len(),
        0,
        "no fault of the backend"
    );
    assert_eq!(origin.requests(), 0);
}

/// The deadline of the response begins with the whole request: a slow client is no slow backend.
#[test]
fn a_slow_upload_is_no_slow_backend() {
    let script = Script::new();
    let balancer =
        Balancer::start(&(front("") + &script.pool("timeouts = { response = \"200ms\" }")));
    let mut other = balancer.client("web");
    for (head, begin, end, framing) in [
        ("content-length: 10", "12345", "67890", Framing::Length(10)),
        (
            "transfer-encoding: chunked",
            "a\r\n1234567890\r\n",
            "0\r\n\r\n",
            Framing::Chunked,
        ),
    ] {
        let mut slow = balancer.client("web");
        slow.send_raw(
            format!("POST /slow HTTP/1.1\r\nhost: a\r\n{head}\r\n\r\n{begin}").as_bytes(),
        )
        .unwrap();
        let (mut wire, _) = script.receive();
        while wire.ahead().len() < 5 {
            wire.fill().unwrap();
        }
        // Two whole deadlines pass, as another client of the pool sees, which waits for its answer in vain.
        for _ in 0..2 {
            other.send_raw(&Request::get("/").to_bytes()).unwrap();
            let (_silent, _) = script.receive();
            assert_refused(
                &other.read_response("GET").unwrap(),
                504,
                "response-timeout",
            );
        }
        slow.send_raw(end.as_bytes()).unwrap();
        assert_eq!(read_whole_body(&mut wire, framing), b"1234567890");
        write(
            &wire,
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok",
        );
        let response = slow.read_response("POST").unwrap();
        assert_eq!(
            (response.status, response.text().as_str()),
            (200, "ok"),
            "{response}"
        );
    }
    assert_eq!(
        failures(&balancer, script.address(), 6)["response-timeout"],
        4.0
    );
}

/// A client that asked for leave to send waits for the backend, not the backend for it.
#[test]
fn a_backend_that_gives_no_leave_to_send_is_slow() {
    let script = Script::new();
    let balancer =
        Balancer::start(&(front("") + &script.pool("timeouts = { response = \"150ms\" }")));
    let head = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\nexpect: 100-continue\r\n\r\n";
    let mut client = balancer.client("web");
    client.send_raw(head).unwrap();
    let (_wire, _) = script.receive();
    assert_refused(
        &client.read_response("POST").unwrap(),
        504,
        "response-timeout",
    );
    assert_eq!(
        failures(&balancer, script.address(), 1),
        once("response-timeout")
    );
}

#[test]
fn a_body_over_the_limit_is_refused() {
    let origin = Origin::named("a");
    let balancer = balancer("limits = { body_bytes = \"1KiB\" }", &origin);
    let mut client = balancer.client("web");
    let exactly = vec![b'x'; 1024];
    assert_eq!(client.send(&Request::post("/", &exactly)).origin(), "a");
    assert_eq!(
        client
            .send(&Request::new("POST", "/").chunks(&[&exactly[..512], &exactly[..512]]))
            .origin(),
        "a"
    );
    assert_eq!(origin.requests(), 2);
    let announced = refusal(
        &balancer,
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1025\r\n\r\n",
    );
    assert_refused(&announced, 413, "body-too-large");
    let chunked =
        Request::new("POST", "/").chunks(&[&exactly[..1000], b"0123456789012345678901234"]);
    assert_refused(
        &refusal(&balancer, &chunked.to_bytes()),
        413,
        "body-too-large",
    );
    assert_codes(&balancer, &[("2xx", 2.0), ("4xx", 2.0)]);
    assert_eq!(failures(&balancer, origin.address(), 4).len(), 0);
    assert_eq!(origin.requests(), 2, "half a body is no request");
}

#[test]
fn a_head_over_the_limit_is_refused() {
    let origin = Origin::named("a");
    let balancer = balancer("limits = { header_bytes = \"1KiB\", headers = 5 }", &origin);
    let long = |n| "x".repeat(n);
    let bytes = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", long(1024));
    assert_refused(&refusal(&balancer, bytes.as_bytes()), 431, "head-too-large");
    let fields = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: 1\r\n".repeat(5));
    assert_refused(
        &refusal(&balancer, fields.as_bytes()),
        431,
        "head-too-large",
    );
    let target = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", long(1024));
    assert_refused(
        &refusal(&balancer, target.as_bytes()),
        414,
        "target-too-long",
    );
    let fits = format!(
        "GET /{} HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n",
        long(400),
        long(400)
    );
    let mut client = balancer.client("web");
    client.send_raw(fits.as_bytes()).unwrap();
    assert_eq!(client.read_response("GET").unwrap().origin(), "a");
    assert_eq!(origin.requests(), 1);
}

#[test]
fn what_can_be_read_in_two_ways_reaches_nobody() {
    let origin = Origin::named("a");
    let balancer = balancer("", &origin);
    let smuggled = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";
    let heads = [
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding : chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        "POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n",
        "POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +5\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\nx: a\r\n b\r\n\r\n",
        "POST / HTTP/1.1\nhost: a\n\n",
    ];
    for (index, head) in heads.into_iter().enumerate() {
        let response = refusal(&balancer, format!("{head}{smuggled}").as_bytes());
        assert_eq!(
            (response.status, response.cause()),
            (400, Some("bad-request")),
            "{head:?} became {response}"
        );
        assert_codes(&balancer, &[("4xx", (index + 1) as f64)]);
    }
    assert_eq!((origin.requests(), origin.connections()), (0, 0));
}

#[test]
fn chunks_that_are_none_reach_no_backend_as_a_whole() {
    let origin = Origin::named("a");
    let balancer = balancer("", &origin);
    for chunks in [
        "5\r\nxxxxxx\r\n0\r\n\r\n",
        "+5\r\nxxxxx\r\n0\r\n\r\n",
        "5\nxxxxx\r\n0\r\n\r\n",
        "0x5\r\nxxxxx\r\n0\r\n\r\n",
        "5;a=\nx\r\nxxxxx\r\n0\r\n\r\n",
    ] {
        let response = refusal(
            &balancer,
            format!("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{chunks}")
                .as_bytes(),
        );
        assert_refused(&response, 400, "bad-request");
    }
    assert_codes(&balancer, &[("4xx", 5.0)]);
    assert_eq!(failures(&balancer, origin.address(), 5).len(), 0);
    assert_eq!(origin.requests(), 0);
}

#[test]
fn methods_and_versions_that_are_not_served_are_refused() {
    let origin = Origin::named("a");
    let balancer = balancer("", &origin);
    let response = balancer
        .client("web")
        .send(&Request::new("CONNECT", "shop.example:443"));
    assert_eq!(
        (response.status, response.cause()),
        (405, Some("method-not-allowed")),
        "{response}"
    );
    assert!(response.field("allow").is_some());
    assert_refused(
        &refusal(&balancer, b"GET / HTTP/2.0\r\nhost: a\r\n\r\n"),
        505,
        "version-unsupported",
    );
    assert_refused(
        &refusal(&balancer, b"GET / HTTP/1.1\r\n\r\n"),
        400,
        "bad-request",
    );
    assert_eq!(origin.requests(), 0);
}

/// A client that reads nothing holds one backend connection and one buffer, and is cut in time.
#[test]
fn a_client_that_does_not_read_is_cut() {
    let script = Script::new();
    let balancer = Balancer::start(&(front("timeouts = { body = \"200ms\" }") + &script.pool("")));
    let mut client = balancer.client("web");
    client.send_raw(&Request::get("/").to_bytes()).unwrap();
    let (wire, _) = script.receive();
    wire.stream().set_write_timeout(Some(DEADLINE)).unwrap();
    write(
        &wire,
        "HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n",
    );
    let piece = [b'x'; 64 * 1024];
    let taken: usize = (0..16_000)
        .take_while(|_| wire.stream().write_all(&piece).is_ok())
        .count();
    assert!(
        taken < 15_000,
        "all of it was taken from the backend, though nobody read it"
    );
    assert_codes(&balancer, &[("aborted", 1.0)]);
    assert_eq!(
        failures(&balancer, script.address(), 1).len(),
        0,
        "no fault of the backend"
    );
}

/// A backend that has begun its answer when the rest of the request fails: what failed is what is logged.
#[test]
fn an_upload_that_fails_beside_its_answer_is_logged_with_its_cause() {
    fn listen(mut stream: TcpStream, _: String) {
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    }
    fn leave(stream: TcpStream, _: String) {
        drop(stream);
    }
    let begun = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf";
    let chunk = format!("7d0\r\n{}", "x".repeat(2000));
    type Then = fn(TcpStream, String);
    let cases: [(&str, Then, &[u8], bool); 5] = [
        ("bad-request", listen, b"zz\r\n", false),
        ("body-too-large", listen, chunk.as_bytes(), false),
        ("client-aborted", listen, b"4\r\nha", true),
        ("request-body-timeout", listen, b"", false),
        ("body-truncated", leave, b"4\r\nhalf\r\n", false),
    ];
    for (cause, then, rest, ends) in cases {
        let limits = "[listeners.web]\ntimeouts = { body = \"300ms\" }\nlimits = { body_bytes = \"1KiB\" }\naddress = \"127.0.0.1:0\"";
        let balancer = Balancer::start(&format!(
            "[admin]\naddress = \"127.0.0.1:0\"\n{limits}\n[[routes]]\npath_prefix = \"/\"\npool = \"shop\"\n\
             [pools.shop]\nbackends = [{{ address = \"{}\" }}]\n",
            crate::tunnel::backend(begun, then)
        ));
        let mut stream = TcpStream::connect(balancer.address("web")).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let head = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(head).unwrap();
        crate::tunnel::read_until(&mut stream, b"\r\n\r\nhalf");
        let _ = stream.write_all(rest);
        if ends {
            stream.shutdown(std::net::Shutdown::Write).unwrap();
        }
        let record = wait_for(DEADLINE, "the record", || {
            balancer.stdout().lines().next().map(str::to_owned)
        });
        let error = format!("\"forecourt.error\":\"{cause}\"");
        assert!(record.contains(&error), "{cause}: {record}");
        if ["bad-request", "body-too-large", "request-body-timeout"].contains(&cause) {
            let refused =
                Figures::of(&balancer).sum("forecourt_refused_total", &[("cause", cause)]);
            assert_eq!(refused, 1.0, "{cause}");
        }
    }
}
