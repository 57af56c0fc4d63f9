//! What is spoken: what the backend agrees to.

use super::*;
use crate::harness::Server;

/// How many requests came by each protocol.
fn spoken(origin: &SecureOrigin) -> (usize, usize) {
    let requests = origin.seen().requests;
    let count = |start: &str| requests.iter().filter(|one| one.starts_with(start)).count();
    (count("http/1.1 "), count("h2 https "))
}

#[test]
fn what_is_spoken_is_what_was_agreed() {
    let folder = tempfile::tempdir().unwrap();
    let made = authority(folder.path()).issue(&["shop.test"]);
    let settings = trusting(folder.path());
    for (protocol, alpn, by_h2) in [
        ("http/1.1", &["http/1.1"][..], false),
        ("http/1.1", &["h2", "http/1.1"], false),
        ("http/1.1", &[], false),
        ("h2", &["h2", "http/1.1"], true),
        ("auto", &["http/1.1"], false),
        ("auto", &["h2"], true),
        ("auto", &["http/1.1", "h2"], false),
        ("auto", &["h2", "http/1.1"], true),
        ("auto", &[], false),
    ] {
        let origin = SecureOrigin::start("a", &made, alpn, Wants::Nothing);
        let balancer = Balancer::start(&behind(&[&origin], protocol, &settings));
        let mut client = balancer.client("web");
        for _ in 0..10 {
            assert_eq!(client.get("/").text(), "a", "{protocol} {alpn:?}");
        }
        let expected = if by_h2 { (0, 10) } else { (10, 0) };
        assert_eq!(spoken(&origin), expected, "{protocol} {alpn:?}");
        assert_eq!(origin.seen().accepted, 1, "{protocol} {alpn:?}");
    }
}

#[test]
fn a_backend_that_does_not_speak_http2_is_a_failure_where_it_is_demanded() {
    let folder = tempfile::tempdir().unwrap();
    let made = authority(folder.path()).issue(&["shop.test"]);
    let settings = trusting(folder.path());
    for (alpn, why) in [
        (&[][..], "does not speak HTTP/2"),
        (&["http/1.1"], "NoApplicationProtocol"),
    ] {
        let origin = SecureOrigin::start("a", &made, alpn, Wants::Nothing);
        let balancer = Balancer::start(&behind(&[&origin], "h2", &settings));
        assert_fails(&balancer, why);
        assert!(origin.seen().requests.is_empty());
    }
}

#[test]
fn many_at_once_share_one_connection_from_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let made = authority(folder.path()).issue(&["shop.test"]);
    for protocol in ["h2", "auto"] {
        let origin = SecureOrigin::start("a", &made, &["h2"], Wants::Nothing);
        let settings = trusting(folder.path());
        let balancer = Balancer::start(&behind(&[&origin], protocol, &settings));
        let address = balancer.address("web");
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    let mut client = crate::harness::Client::of(address);
                    assert_eq!(client.get("/").text(), "a");
                });
            }
        });
        let seen = origin.seen();
        assert_eq!((seen.accepted, seen.requests.len()), (1, 16), "{protocol}");
    }
}

#[test]
fn nginx_agrees_to_both() {
    let folder = tempfile::tempdir().unwrap();
    let made = authority(folder.path()).issue(&["shop.test"]);
    for (protocol, by_h2) in [("http/1.1", false), ("h2", true), ("auto", true)] {
        let key = made.key.serialize_pem();
        let Some(nginx) = Server::nginx_with_tls("nginx", &made.pem, &key) else {
            return;
        };
        let configuration = behind(&[], protocol, &trusting(folder.path()))
            .replace("backends = []", &format!("backends = [{}]", nginx.entry()));
        let balancer = Balancer::start(&configuration);
        let mut client = balancer.client("web");
        for _ in 0..50 {
            assert_eq!(client.get("/spoken").text(), "nginx", "{protocol}");
        }
        let word = if by_h2 {
            "/spoken HTTP/2.0"
        } else {
            "/spoken HTTP/1.1"
        };
        wait_until(DEADLINE, "the log of nginx", || nginx.logged(word) == 50);
        // Tickets that come behind the handshake keep no connection from being used again.
        let lines = || -> Vec<String> {
            let log = balancer.stdout();
            let lines = log.lines().filter(|line| line.contains("/spoken"));
            lines.map(str::to_owned).collect()
        };
        wait_until(DEADLINE, "the access log", || lines().len() == 50);
        let reused = lines()
            .iter()
            .filter(|line| line.contains("\"forecourt.times.connect\":0,"))
            .count();
        assert_eq!(reused, 49, "{protocol}: {}", lines()[1]);
    }
}

/// What changes its protocol needs HTTP/1.1, whatever the others are carried by.
#[test]
fn a_tunnel_goes_by_http1_beside_http2() {
    let folder = tempfile::tempdir().unwrap();
    let made = authority(folder.path()).issue(&["shop.test"]);
    let origin = SecureOrigin::start("a", &made, &["h2", "http/1.1"], Wants::Nothing);
    let settings = trusting(folder.path());
    let balancer = Balancer::start(&behind(&[&origin], "auto", &settings));
    assert_eq!(balancer.client("web").get("/").text(), "a");
    let mut stream = TcpStream::connect(balancer.address("web")).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let head = "GET /echo HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut text = String::new();
    while !text.contains("\r\n\r\n") {
        let mut piece = [0; 1024];
        let n = stream.read(&mut piece).unwrap();
        assert!(n > 0, "{text}");
        text.push_str(std::str::from_utf8(&piece[..n]).unwrap());
    }
    assert!(text.starts_with("HTTP/1.1 101 "), "{text}");
    for word in [&b"one"[..], b"two"] {
        stream.write_all(word).unwrap();
        let mut heard = [0; 3];
        stream.read_exact(&mut heard).unwrap();
        assert_eq!(heard, word);
    }
    assert_eq!(balancer.client("web").get("/").text(), "a");
    assert_eq!(spoken(&origin), (1, 2));
    assert_eq!(origin.seen().accepted, 2);
}
