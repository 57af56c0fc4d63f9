//! What the admin API tells and does, and listeners with TLS, which are looked at from outside as well.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use rustix::process::Signal;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};
use serde_json::Value;

use crate::harness::{
    Balancer, Behaviour, DEADLINE, Origin, Request, Response, pool, program, wait_until,
};
use crate::metrics::{Figures, wait_for_records};

#[track_caller]
fn problem(response: &Response, status: u16) -> Value {
    assert_eq!(
        (response.status, response.field("content-type")),
        (status, Some("application/problem+json")),
        "{response}"
    );
    let problem: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(problem["status"], status, "{problem}");
    for member in ["type", "title", "detail"] {
        assert!(
            problem[member]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{member} of {problem}"
        );
    }
    problem
}

#[test]
fn probes_and_metrics_answer() {
    let origin = Origin::named("a");
    let balancer = Balancer::in_front_of(&[&origin]);
    for (path, kind) in [
        ("/healthz", "text/plain"),
        ("/readyz", "text/plain"),
        ("/metrics", "text/plain; version=0.0.4"),
        ("/v1/status", "application/json"),
    ] {
        let response = balancer.admin(path);
        assert_eq!(response.status, 200, "{path}");
        assert!(
            response.field("content-type").unwrap().starts_with(kind),
            "{path}: {response}"
        );
        let head = balancer.client("admin").send(&Request::new("HEAD", path));
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
    }
    assert_eq!(
        origin.requests(),
        0,
        "the admin API is no way to the backends"
    );
}

#[test]
fn what_is_not_there_and_what_is_not_allowed_are_problems() {
    let origin = Origin::named("a");
    let balancer = Balancer::in_front_of(&[&origin]);
    let mut client = balancer.client("admin");
    for path in [
        "/nothing",
        "/v1",
        "/v1/status/",
        "/metrics/x",
        "/%2e%2e/etc/passwd",
    ] {
        problem(&client.get(path), 404);
    }
    for (method, path) in [
        ("POST", "/v1/status"),
        ("DELETE", "/metrics"),
        ("PUT", "/healthz"),
        ("BREW", "/readyz"),
    ] {
        let response = client.send(&Request::new(method, path));
        problem(&response, 405);
        assert!(
            response.head.fields.lists("allow", "GET"),
            "RFC 9110 section 15.5.6: {response}"
        );
    }
    assert!(client.is_connected());
    // And on the listeners none of it is there.
    assert_eq!(balancer.client("web").get("/metrics").origin(), "a");
}

#[test]
#[allow(clippy::too_many_lines, reason = "one scene, looked at from all sides")]
fn status_tells_what_runs_and_how_it_stands() {
    let (a, b) = (Origin::named("a"), Origin::named("b"));
    a.on("/gated", Behaviour::Gated);
    let configuration = Balancer::front("shop")
        + &format!(
            "[pools.shop]\nstrategy = \"weighted\"\nbackends = [{{ address = \"{}\", weight = 3, id = \"big\" }}]\n",
            a.address()
        )
        + &format!(
            "[pools.basket]\nbackends = [{{ address = \"{}\" }}]\nsticky = {{ cookie = \"b\" }}\n",
            b.address()
        )
        + "[[routes]]\npath_prefix = \"/basket\"\npool = \"basket\"\n";
    let balancer = Balancer::start(&configuration);
    let mut client = balancer.client("web");
    client.get("/");
    b.behave(Behaviour::Status(500));
    client.get("/basket");
    b.behave(Behaviour::Garbage);
    client.get("/basket");
    client.send_raw(&Request::get("/gated").to_bytes()).unwrap();
    a.wait_for_requests(2);
    wait_for_records(&balancer, 3);
    let status: Value = serde_json::from_slice(&balancer.admin("/v1/status").body).unwrap();
    assert_eq!(
        (&status["state"], &status["generation"], &status["version"]),
        (
            &Value::from("serving"),
            &Value::from(1),
            &Value::from(env!("CARGO_PKG_VERSION"))
        )
    );
    assert!(status["workers"].as_u64().unwrap() >= 1);
    let listener = &status["listeners"][0];
    assert_eq!(
        (&listener["name"], &listener["address"]),
        (
            &Value::from("web"),
            &Value::from(balancer.address("web").to_string())
        )
    );
    assert_eq!(listener["connections"], 1);
    let find = |name: &str| {
        let pools = status["pools"].as_array().unwrap();
        pools.iter().find(|pool| pool["name"] == name).unwrap()
    };
    let (shop, basket) = (find("shop"), find("basket"));
    assert_eq!(
        (&shop["strategy"], &shop["sticky"]),
        (&Value::from("weighted"), &Value::from(false))
    );
    assert_eq!(
        (&basket["strategy"], &basket["sticky"]),
        (&Value::from("round-robin"), &Value::from(true))
    );
    let of = |pool: &Value, field: &str| pool["backends"][0][field].clone();
    assert_eq!(
        (of(shop, "address"), of(shop, "id"), of(shop, "weight")),
        (a.address().to_string().into(), "big".into(), 3.into())
    );
    assert_eq!(
        (
            of(shop, "standing"),
            of(shop, "in_flight"),
            of(shop, "connections_active")
        ),
        ("ready".into(), 1.into(), 1.into())
    );
    assert_eq!(
        (
            of(shop, "requests"),
            of(shop, "errors"),
            of(shop, "failures")
        ),
        (1.into(), 0.into(), 0.into())
    );
    assert_eq!(
        (
            of(basket, "requests"),
            of(basket, "errors"),
            of(basket, "failures")
        ),
        (1.into(), 1.into(), 1.into())
    );
}

#[test]
fn a_unix_socket_is_its_owners_alone() {
    let origin = Origin::named("a");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let configuration = Balancer::front("shop").replace(
        "[admin]\naddress = \"127.0.0.1:0\"",
        &format!("[admin]\naddress = \"unix:{}\"", path.display()),
    ) + &pool("shop", "round-robin", &[&origin]);
    let mut balancer = Balancer::spawn(&configuration);
    balancer.wait_for_listener("web");
    assert_eq!(
        fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let mut stream = UnixStream::connect(&path).unwrap();
    stream
        .write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("serving\n"),
        "{answer}"
    );
    let output = program(&["status", "--admin", &format!("unix:{}", path.display())]);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stdout).contains(&origin.address().to_string()));
    balancer.signal(Signal::TERM);
    assert_eq!(balancer.wait_for_exit(DEADLINE).code(), Some(0));
    assert!(!path.exists());
}

#[test]
fn without_an_admin_table_there_is_no_admin_listener() {
    let origin = Origin::named("a");
    let configuration = Balancer::front("shop").replace("[admin]\naddress = \"127.0.0.1:0\"\n", "")
        + &pool("shop", "round-robin", &[&origin]);
    let balancer = Balancer::start(&configuration);
    assert!(
        !balancer.stderr().contains("listener=\"admin\""),
        "{}",
        balancer.stderr()
    );
    assert_eq!(balancer.client("web").get("/").origin(), "a");
}

/// A certificate for `shop.example` in a folder, and what a client needs to believe it.
pub(crate) fn certificate(folder: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["shop.example".to_owned()]).unwrap();
    fs::write(folder.join("shop.pem"), made.cert.pem()).unwrap();
    fs::write(folder.join("shop.key"), made.signing_key.serialize_pem()).unwrap();
    made.cert.der().clone()
}

fn secure(folder: &Path, origin: &Origin) -> String {
    format!(
        "{}[listeners.secure]\naddress = \"127.0.0.1:0\"\n[[listeners.secure.tls.certificates]]\ncertificate = \"{folder}/shop.pem\"\nkey = \"{folder}/shop.key\"\n{}",
        Balancer::front("shop"),
        pool("shop", "round-robin", &[origin]),
        folder = folder.display()
    )
}

pub(crate) type Tls = StreamOwned<ClientConnection, TcpStream>;

/// A client that believes this certificate.
fn connect(
    address: SocketAddr,
    name: &'static str,
    believed: &CertificateDer<'static>,
    version: &'static SupportedProtocolVersion,
) -> Tls {
    let stream = TcpStream::connect(address).unwrap();
    tls_over(stream, name, believed, version)
}

/// The same, over a connection that stands.
pub(crate) fn tls_over(
    stream: TcpStream,
    name: &'static str,
    believed: &CertificateDer<'static>,
    version: &'static SupportedProtocolVersion,
) -> Tls {
    let mut roots = RootCertStore::empty();
    roots.add(believed.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let session =
        ClientConnection::new(Arc::new(config), ServerName::try_from(name).unwrap()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    StreamOwned::new(session, stream)
}

/// Sends a request and reads until the answer ends with `end`.
pub(crate) fn exchange(tls: &mut Tls, target: &str, end: &str) -> std::io::Result<String> {
    tls.write_all(format!("GET {target} HTTP/1.1\r\nhost: shop.example\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    while !answer.ends_with(end.as_bytes()) {
        let mut piece = [0; 1024];
        let n = tls.read(&mut piece)?;
        assert!(n > 0, "closed after {}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&piece[..n]);
    }
    Ok(String::from_utf8(answer).unwrap())
}

#[test]
#[allow(clippy::too_many_lines, reason = "one scene, looked at from all sides")]
fn a_listener_with_a_certificate_serves_tls() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::named("a");
    let believed = certificate(folder.path());
    let balancer = Balancer::start(&secure(folder.path(), &origin));
    let address = balancer.address("secure");
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let mut tls = connect(address, "shop.example", &believed, version);
        for target in ["/1", "/2"] {
            let answer = exchange(&mut tls, target, "\r\n\r\na").unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        }
        assert_eq!(tls.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
        let received = origin.last_received();
        assert_eq!(
            (
                received.field("x-forwarded-proto"),
                received.field("x-forwarded-host")
            ),
            (Some("https"), Some("shop.example"))
        );
        assert_eq!(received.field("host"), Some("shop.example"));
    }
    balancer.client("web").get("/");
    assert_eq!(
        origin.last_received().field("x-forwarded-proto"),
        Some("http")
    );
    let figures = wait_for_records(&balancer, 5);
    let handshakes = |figures: &Figures, result| {
        figures.sum(
            "forecourt_tls_handshakes_total",
            &[("listener", "secure"), ("result", result)],
        )
    };
    assert_eq!(handshakes(&figures, "ok"), 2.0);
    assert_eq!(
        figures.sum("forecourt_requests_total", &[("listener", "secure")]),
        4.0
    );

    // Those that do not believe it, speak of something else, or go away at once.
    let other = certificate(tempfile::tempdir().unwrap().path());
    assert!(
        exchange(
            &mut connect(address, "shop.example", &other, &rustls::version::TLS13),
            "/",
            "a"
        )
        .is_err()
    );
    assert!(
        exchange(
            &mut connect(address, "b.example", &believed, &rustls::version::TLS13),
            "/",
            "a"
        )
        .is_err()
    );
    assert!(
        balancer
            .client("secure")
            .try_send(&Request::get("/"))
            .is_err()
    );
    drop(TcpStream::connect(address).unwrap());
    wait_until(DEADLINE, "four handshakes to be counted", || {
        let figures = Figures::of(&balancer);
        ["client-alert", "not-tls", "client-gone"].map(|why| handshakes(&figures, why))
            == [2.0, 1.0, 1.0]
    });
    let mut tls = connect(address, "shop.example", &believed, &rustls::version::TLS13);
    exchange(&mut tls, "/", "\r\n\r\na").unwrap();
    assert_eq!(origin.requests(), 6);
}

#[test]
fn a_cut_answer_shows_over_tls_too() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::named("a");
    let believed = certificate(folder.path());
    let balancer = Balancer::start(&secure(folder.path(), &origin));
    for behaviour in [Behaviour::CutBody, Behaviour::CutChunks] {
        origin.behave(behaviour.clone());
        let mut tls = connect(
            balancer.address("secure"),
            "shop.example",
            &believed,
            &rustls::version::TLS13,
        );
        tls.write_all(b"GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n")
            .unwrap();
        let mut answer = Vec::new();
        let end = tls.read_to_end(&mut answer);
        assert!(
            answer.starts_with(b"HTTP/1.1 200 ") && !answer.ends_with(b"0\r\n\r\n"),
            "{behaviour:?} {end:?}"
        );
    }
}

#[test]
fn a_certificate_that_is_not_there_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::named("a");
    certificate(folder.path());
    let other = tempfile::tempdir().unwrap();
    certificate(other.path());
    let configuration = secure(folder.path(), &origin);
    fs::copy(
        other.path().join("shop.key"),
        folder.path().join("shop.key"),
    )
    .unwrap();
    for what in ["another's key", "no key at all"] {
        let mut balancer = Balancer::spawn(&configuration);
        assert_eq!(balancer.wait_for_exit(DEADLINE).code(), Some(2), "{what}");
        assert!(balancer.stderr().contains("key"), "{}", balancer.stderr());
        fs::write(folder.path().join("shop.key"), "").unwrap();
    }
}
