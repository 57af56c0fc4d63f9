//! Backends that refuse, reset, hang, close and lie: an error of ours or a cut that shows, never a wrong whole.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::{Script, failures, front, once, write};
use crate::harness::{
    Balancer, Behaviour, ClientError, DEADLINE, Ending, Origin, Request, Response, pool, wait_until,
};

const SHORT: &str = "[pools.shop.timeouts]\nresponse = \"150ms\"\nconnect = \"150ms\"\n";

/// The origin behind one worker; a pool of its own for the other clients.
struct Scene {
    balancer: Balancer,
    origin: Origin,
    _good: Origin,
}

impl Scene {
    fn with(behaviour: Behaviour) -> Self {
        let (origin, good) = (Origin::named("bad"), Origin::named("good"));
        origin.behave(behaviour);
        let configuration = front("timeouts = { body = \"150ms\" }")
            + "[[routes]]\npath = \"/good\"\npool = \"good\"\n"
            + &pool("shop", "round-robin", &[&origin])
            + SHORT
            + &pool("good", "round-robin", &[&good]);
        Self {
            balancer: Balancer::start(&configuration),
            origin,
            _good: good,
        }
    }

    /// Sends one request to the bad one, while and after which another client is served.
    #[track_caller]
    fn ask(&self, request: &[u8]) -> Result<Response, ClientError> {
        let (mut client, mut other) = (self.balancer.client("web"), self.balancer.client("web"));
        assert_eq!(other.get("/good").origin(), "good");
        client.send_raw(request).unwrap();
        assert_eq!(other.get("/good").origin(), "good");
        let response = client.read_response("GET");
        assert_eq!(other.get("/good").origin(), "good");
        response
    }

    /// Asserts that this cause and no other was counted, once, and that the program is as before.
    #[track_caller]
    fn assert_counted(&self, cause: &str) {
        assert_eq!(
            failures(&self.balancer, self.origin.address(), 4),
            once(cause)
        );
        self.origin.behave(Behaviour::Answer);
        let mut client = self.balancer.client("web");
        let response = client.get("/");
        assert_eq!((response.status, response.origin()), (200, "bad"));
        assert_eq!(
            failures(&self.balancer, self.origin.address(), 5),
            once(cause)
        );
    }
}

#[track_caller]
fn assert_refused(response: &Response, status: u16, cause: &str) {
    assert_eq!(
        (response.status, response.cause()),
        (status, Some(cause)),
        "{response}"
    );
    assert!(
        response.is_whole() && response.field("x-origin").is_none(),
        "{response}"
    );
    assert!(
        response
            .text()
            .contains(response.field("x-request-id").unwrap()),
        "{response}"
    );
}

/// Asserts that the answer to a client of either version is this error, counted once.
#[track_caller]
fn assert_fails(behaviour: Behaviour, status: u16, cause: &str) {
    for request in [
        &b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"[..],
        b"GET / HTTP/1.0\r\nhost: a\r\n\r\n",
    ] {
        let scene = Scene::with(behaviour.clone());
        assert_refused(&scene.ask(request).unwrap(), status, cause);
        scene.assert_counted(cause);
    }
}

/// Asserts that a client of either version sees that the answer was cut, and that the cause is counted once.
#[track_caller]
fn assert_cut(behaviour: Behaviour, cause: &str) {
    for request in [
        &b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"[..],
        b"GET / HTTP/1.0\r\nhost: a\r\n\r\n",
    ] {
        let scene = Scene::with(behaviour.clone());
        match scene.ask(request) {
            Ok(response) => {
                assert!(!response.is_whole(), "{response}");
                assert!(
                    response.status == 200 && response.body.iter().all(|byte| *byte == b'x'),
                    "{response}"
                );
            }
            // The reset that tells an old client may overtake what came before it.
            Err(error) => assert!(matches!(error, ClientError::Reset), "{error}"),
        }
        scene.assert_counted(cause);
    }
}

#[test]
fn refused() {
    let mut scene = Scene::with(Behaviour::Answer);
    scene.origin.refuse();
    let response = scene.ask(&Request::get("/").to_bytes()).unwrap();
    assert_refused(&response, 502, "connect-refused");
    scene.origin.accept_again();
    scene.assert_counted("connect-refused");
}

#[test]
fn reset_before_the_head() {
    assert_fails(Behaviour::Reset, 502, "reset");
}

#[test]
fn closed_before_the_head() {
    assert_fails(Behaviour::Close, 502, "closed");
}

#[test]
fn silent_for_too_long() {
    assert_fails(Behaviour::Hang, 504, "response-timeout");
}

#[test]
fn garbage() {
    assert_fails(Behaviour::Garbage, 502, "protocol");
}

#[test]
fn heads_that_can_be_read_in_two_ways() {
    for raw in [
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\ncontent-length: 0\n\n",
        "HTTP/1.1 200 OK\r\ncontent-length : 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 099 Odd\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    ] {
        let scene = Scene::with(Behaviour::Raw(raw.as_bytes().to_vec()));
        let response = scene.ask(&Request::get("/").to_bytes());
        let response = response.unwrap_or_else(|error| panic!("{error} for {raw:?}"));
        assert_eq!(
            (response.status, response.cause()),
            (502, Some("protocol")),
            "{raw:?} became {response}"
        );
        assert_eq!(
            failures(&scene.balancer, scene.origin.address(), 4),
            once("protocol")
        );
    }
}

#[test]
fn closed_within_the_head() {
    let script = Script::new();
    let balancer = Balancer::start(&(front("") + &script.pool("")));
    let mut client = balancer.client("web");
    client.send_raw(&Request::get("/").to_bytes()).unwrap();
    let (wire, _) = script.receive();
    write(&wire, "HTTP/1.1 200 OK\r\ncontent-le");
    drop(wire);
    assert_refused(&client.read_response("GET").unwrap(), 502, "protocol");
    assert_eq!(failures(&balancer, script.address(), 1), once("protocol"));
}

#[test]
fn closed_within_a_body() {
    assert_cut(Behaviour::CutBody, "body-truncated");
}

#[test]
fn closed_within_chunks() {
    assert_cut(Behaviour::CutChunks, "body-truncated");
}

#[test]
fn reset_within_a_body() {
    assert_cut(Behaviour::ResetBody, "body-truncated");
}

#[test]
fn silent_within_a_body() {
    assert_cut(Behaviour::ShorterThanSaid, "body-timeout");
}

#[test]
fn more_body_than_said() {
    assert_fails(Behaviour::LongerThanSaid, 502, "body-overrun");
}

#[test]
fn chunks_that_are_none() {
    for chunks in [
        "5\r\nxxxxxx\r\n0\r\n\r\n",
        "5\nxxxxx\r\n0\r\n\r\n",
        "+5\r\nxxxxx\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nx",
    ] {
        let raw = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}");
        let scene = Scene::with(Behaviour::Raw(raw.into_bytes()));
        if let Ok(response) = scene.ask(&Request::get("/").to_bytes()) {
            assert!(
                response.status == 502 || !response.is_whole(),
                "{chunks:?} became {response}"
            );
        }
        assert_eq!(
            failures(&scene.balancer, scene.origin.address(), 4),
            once("protocol"),
            "{chunks:?}"
        );
    }
}

/// What comes behind a whole response belongs to nobody, least of all to the next client.
#[test]
fn bytes_behind_a_response_are_nobodys() {
    let script = Script::new();
    let balancer = Balancer::start(&(front("") + &script.pool("")));
    let mut client = balancer.client("web");
    client.send_raw(&Request::get("/").to_bytes()).unwrap();
    let (first, _) = script.receive();
    write(&first, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirst");
    assert_eq!(client.read_response("GET").unwrap().text(), "first");
    let _ = failures(&balancer, script.address(), 1);
    write(
        &first,
        "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nsmuggled",
    );
    client.send_raw(&Request::get("/").to_bytes()).unwrap();
    // On a new connection; should the bytes come too late to be seen, this one fails, but lies never.
    let (second, _) = script.receive();
    write(
        &second,
        "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecond",
    );
    assert_eq!(client.read_response("GET").unwrap().text(), "second");
}

#[test]
fn a_body_that_ends_with_the_connection_arrives_whole_or_shows_its_cut() {
    let script = Script::new();
    let balancer = Balancer::start(&(front("") + &script.pool("")));
    for (round, version) in ["1.1", "1.0"].into_iter().enumerate() {
        for cut in [false, true] {
            let mut client = balancer.client("web");
            client
                .send_raw(format!("GET / HTTP/{version}\r\nhost: a\r\n\r\n").as_bytes())
                .unwrap();
            let (wire, _) = script.receive();
            write(&wire, "HTTP/1.1 200 OK\r\n\r\nall of it");
            if cut {
                socket2::SockRef::from(wire.stream())
                    .set_linger(Some(Duration::ZERO))
                    .unwrap();
            }
            drop(wire);
            match client.read_response("GET") {
                Ok(response) if cut => {
                    assert!(matches!(response.ending, Ending::Cut(_)), "{response}")
                }
                // A reset may overtake everything.
                Err(error) if cut => assert!(matches!(error, ClientError::Reset), "{error}"),
                Ok(response) => assert_eq!(
                    (response.is_whole(), response.text().as_str()),
                    (true, "all of it")
                ),
                Err(error) => panic!("{error}"),
            }
        }
        let counted = failures(&balancer, script.address(), 2 * (round + 1));
        // The reset may reach us before the head that was sent ahead of it.
        assert_eq!(
            counted.values().sum::<f64>(),
            (round + 1) as f64,
            "{counted:?}"
        );
    }
}

/// A listening socket whose queue is full: connecting to it takes for ever.
fn full() -> Option<(TcpListener, Vec<TcpStream>)> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    socket.bind(&any.into()).unwrap();
    socket.listen(0).unwrap();
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    for _ in 0..16 {
        match TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
            Ok(stream) => waiting.push(stream),
            Err(_) => return Some((listener, waiting)),
        }
    }
    None
}

#[test]
#[allow(
    clippy::print_stderr,
    reason = "a test that does not run has to say so"
)]
fn not_connected_in_time() {
    let Some((listener, _waiting)) = full() else {
        eprintln!("skipped: this kernel connects to sockets whose queue is full");
        return;
    };
    let address = listener.local_addr().unwrap();
    let balancer = Balancer::start(
        &(front("")
            + &format!("[pools.shop]\nbackends = [{{ address = \"{address}\" }}]\n{SHORT}")),
    );
    let response = balancer.client("web").get("/");
    assert_refused(&response, 504, "connect-timeout");
    assert_eq!(failures(&balancer, address, 1), once("connect-timeout"));
}

#[test]
fn a_unix_socket_that_is_not_there_or_is_dead_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let (missing, dead, good) = (
        folder.path().join("missing"),
        folder.path().join("dead"),
        folder.path().join("good"),
    );
    drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
    let listener = std::os::unix::net::UnixListener::bind(&good).unwrap();
    let mut configuration = front("");
    for (name, path) in [("shop", &missing), ("dead", &dead), ("good", &good)] {
        configuration += &format!(
            "[[routes]]\npath = \"/{name}\"\npool = \"{name}\"\n[pools.{name}]\nbackends = [{{ address = \"unix:{}\" }}]\n",
            path.display()
        );
    }
    let balancer = Balancer::start(&configuration);
    let mut client = balancer.client("web");
    for path in ["/shop", "/dead"] {
        assert_refused(&client.get(path), 502, "connect-refused");
    }
    client.send_raw(&Request::get("/good").to_bytes()).unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    std::io::Write::write_all(
        &mut stream,
        b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood",
    )
    .unwrap();
    assert_eq!(client.read_response("GET").unwrap().text(), "good");
}

#[test]
fn errors_come_in_the_type_that_the_client_accepts() {
    let mut scene = Scene::with(Behaviour::Answer);
    scene.origin.refuse();
    let mut client = scene.balancer.client("web");
    for (accept, kind, begin) in [
        ("text/html,*/*;q=0.8", "text/html", "<!doctype html>"),
        ("application/json", "application/problem+json", "{"),
        ("text/plain", "text/plain", "502 Bad Gateway"),
        ("image/png", "text/plain", "502 Bad Gateway"),
    ] {
        let response = client.send(&Request::get("/").field("accept", accept));
        assert_refused(&response, 502, "connect-refused");
        assert!(
            response.field("content-type").unwrap().starts_with(kind),
            "{response}"
        );
        assert!(response.text().starts_with(begin), "{response}");
    }
    let response = client.send(&Request::new("HEAD", "/"));
    assert_eq!(
        (response.status, response.cause(), response.body.len()),
        (502, Some("connect-refused"), 0)
    );
    assert!(client.is_connected());
    wait_until(DEADLINE, "the end of it all", || {
        scene
            .balancer
            .metric("forecourt_connections{listener=\"web\"}")
            == 1.0
    });
}
