//! Listeners and backends on every kind of address.

use super::*;

/// A client by IPv6, and a server by IPv6 that is not ours.
#[test]
fn listeners_and_backends_can_have_ipv6_addresses() {
    if !has_ipv6() {
        return;
    }
    let v6 = IpAddr::V6(Ipv6Addr::LOCALHOST);
    let Some(server) = Server::python_on("six", v6) else {
        return;
    };
    let balancer = Balancer::start(&one_pool("[::1]:0", &server.address().to_string()));
    let address = balancer.address("web");
    assert!(address.is_ipv6());
    let response = Client::of(address).get("/?six");
    assert_eq!((response.status, response.text()), (200, "six".to_owned()));
    wait_until(DEADLINE, "the server's log", || server.logged("/?six") == 1);
    // The same port by IPv4 is another address, on which nobody listens.
    let v4 = SocketAddr::from(([127, 0, 0, 1], address.port()));
    assert!(Client::of(v4).connect().is_err());
}

/// What a backend is told of a client by IPv6.
#[test]
fn a_client_by_ipv6_is_forwarded_as_such() {
    if !has_ipv6() {
        return;
    }
    let origin = Origin::named("a");
    let balancer = Balancer::start(&one_pool("[::1]:0", &origin.address().to_string()));
    assert_eq!(balancer.client("web").get("/").origin(), "a");
    let received = origin.last_received();
    assert_eq!(received.field("x-forwarded-for"), Some("::1"));
}

/// A client by a Unix socket, and an nginx behind another. The file goes with the listener.
#[test]
fn listeners_and_backends_can_be_unix_sockets() {
    let Some(server) = Server::nginx_on_unix("nginx-unix") else {
        return;
    };
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let path = folder.path().join("web.sock");
    let listen = format!("unix:{}", path.display());
    let mut balancer = Balancer::spawn(&one_pool(&listen, &server.address().to_string()));
    balancer.wait_for_listener("admin");
    wait_until(DEADLINE, "the socket", || {
        UnixStream::connect(&path).is_ok()
    });
    for number in 0..10 {
        let answer = ask_unix(&path, &format!("/?unix-{number}"));
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.ends_with("\r\n\r\nnginx-unix"), "{answer}");
    }
    wait_until(DEADLINE, "the server's log", || {
        server.logged("/?unix-") == 10
    });
    balancer.signal(rustix::process::Signal::TERM);
    assert!(balancer.wait_for_exit(DEADLINE).success());
    assert!(!path.exists(), "the file of the socket stays behind");
}

/// A Unix socket that is not there is a backend that refuses.
#[test]
fn a_unix_socket_that_is_not_there_refuses() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let nowhere = format!("unix:{}", folder.path().join("no.sock").display());
    let balancer = Balancer::start(&one_pool("127.0.0.1:0", &nowhere));
    let response = balancer.client("web").get("/");
    assert_eq!(
        (response.status, response.cause()),
        (502, Some("connect-refused")),
        "{response}"
    );
}

/// A relative Unix socket is sought beside the configuration.
#[test]
fn relative_sockets_start_at_the_configuration() {
    let origin = Origin::named("a");
    let mut balancer = Balancer::spawn(&one_pool("unix:web.sock", &origin.address().to_string()));
    balancer.wait_for_listener("admin");
    let path = balancer.folder().join("web.sock");
    wait_until(DEADLINE, "the socket", || {
        UnixStream::connect(&path).is_ok()
    });
    assert!(ask_unix(&path, "/").ends_with("\r\n\r\na"));
}

/// A backend by name, before a server that is not ours.
#[test]
fn a_backend_can_have_a_name() {
    let Some(server) = Server::nginx("by-name") else {
        return;
    };
    let name = format!("localhost:{}", server.port());
    let balancer = Balancer::start(&one_pool("127.0.0.1:0", &name));
    assert_eq!(balancer.client("web").get("/").text(), "by-name");
}
