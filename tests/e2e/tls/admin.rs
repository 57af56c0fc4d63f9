//! TLS on the admin listener: who is answered by it, what the commands believe, and who may look from another machine.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Output;

use socket2::{Domain, SockAddr, Socket, Type};

use super::*;
use crate::harness::{Response, program};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const BEARER: &str = "authorization: Bearer 0123456789abcdef0123456789abcdef\r\n";
/// `prometheus` and the token.
const BASIC: &str =
    "authorization: Basic cHJvbWV0aGV1czowMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZg==\r\n";

/// A balancer whose admin listener shows a certificate for `localhost`.
struct Secured {
    balancer: Balancer,
    folder: tempfile::TempDir,
    authority: Authority,
    shown: Made,
    origin: Origin,
    text: String,
}

impl Secured {
    fn at(address: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("admin's");
        let shown = authority.issue(&["localhost"]);
        shown.write(folder.path(), "admin");
        fs::write(folder.path().join("token"), TOKEN).unwrap();
        fs::write(folder.path().join("ca.pem"), &authority.pem).unwrap();
        let origin = Origin::named("a");
        let at = folder.path().display();
        let admin = format!(
            "[admin]\naddress = \"{address}\"\ntoken_file = \"{at}/token\"\n\
             tls = {{ certificates = [{{ certificate = \"{at}/admin.pem\", key = \"{at}/admin.key\" }}], watch = false }}\n"
        );
        let text = Balancer::front("shop").replace("[admin]\naddress = \"127.0.0.1:0\"\n", &admin)
            + &pool("shop", "round-robin", &[&origin]);
        Self {
            balancer: Balancer::start(&text),
            folder,
            authority,
            shown,
            origin,
            text,
        }
    }

    fn address(&self) -> SocketAddr {
        let port = self.balancer.address("admin").port();
        (Ipv4Addr::LOCALHOST, port).into()
    }

    fn visit(&self) -> Visit {
        Visitor::new().visit(self.address(), "localhost")
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Runs a command that asks it, believing what a file says.
    fn command(&self, arguments: &[&str], ca: &str) -> Output {
        let admin = format!("https://localhost:{}", self.address().port());
        let (words, ca) = (["--admin", &admin, "--admin-ca"], self.file(ca));
        program(&[arguments, &words, &[&ca]].concat())
    }
}

/// One request and its whole answer.
#[track_caller]
fn ask(visit: &mut Visit, line: &str, fields: &str) -> Told {
    write!(
        visit.tls,
        "{line} HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n"
    )
    .unwrap();
    let mut text = Vec::new();
    let mut whole = None;
    while whole.is_none_or(|whole| text.len() < whole) && !ends_in_chunks(&text) {
        let mut piece = [0; 4096];
        let n = visit.tls.read(&mut piece).unwrap();
        assert!(n > 0, "closed after {}", String::from_utf8_lossy(&text));
        text.extend_from_slice(&piece[..n]);
        whole = whole.or_else(|| length(&text));
    }
    let text = String::from_utf8(text).unwrap();
    let status = text[9..12].parse().unwrap();
    Told { status, text }
}

/// Whether it is all of an answer whose length nobody knew when it began, as that of `/metrics`.
fn ends_in_chunks(text: &[u8]) -> bool {
    text.ends_with(b"\r\n0\r\n\r\n")
}

#[track_caller]
fn assert_failed(output: &Output, code: i32, part: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(part), "{said} without {part}");
}

#[track_caller]
fn assert_done(output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
}

#[test]
fn it_speaks_tls_and_says_so_to_who_does_not() {
    let secured = Secured::at("127.0.0.1:0");
    for version in [&TLS13, &TLS12] {
        let visitor = Visitor::speaking(&[version], &ALL_SCHEMES);
        let mut visit = visitor.visit(secured.address(), "localhost");
        assert_eq!(visit.tls.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
        // On loopback looking is free, over TLS too.
        for path in ["/healthz", "/v1/status", "/metrics", "/"] {
            assert_eq!(ask(&mut visit, &format!("GET {path}"), "").status, 200);
        }
        let told = ask(
            &mut visit,
            "POST /v1/reload?dry_run=true",
            "content-length: 0\r\n",
        );
        assert_eq!(told.status, 401, "{}", told.text);
    }
    let plain: Response = secured.balancer.client("admin").get("/v1/status");
    assert_eq!(plain.status, 400);
    assert!(plain.text().contains("https://"), "{plain}");

    assert_done(&secured.command(&["status"], "ca.pem"));
    fs::write(
        secured.folder.path().join("other.pem"),
        Authority::new("another's").pem,
    )
    .unwrap();
    let other = secured.command(&["status"], "other.pem");
    assert_failed(&other, 3, "--admin-ca does not vouch for it");
    assert_failed(&secured.command(&["status"], "gone.pem"), 3, "gone.pem");
    let port = secured.address().port();
    let by_system = program(&["status", "--admin", &format!("https://localhost:{port}")]);
    assert_failed(&by_system, 3, "cannot be trusted");
    let by_http = program(&["status", "--admin", &format!("http://localhost:{port}")]);
    assert_failed(&by_http, 3, "speaks TLS");
    // A certificate for another name.
    let other_name = program(&[
        "status",
        "--admin",
        &format!("https://127.0.0.1:{port}"),
        "--admin-ca",
        &secured.file("ca.pem"),
    ]);
    assert_failed(&other_name, 3, "localhost");
}

#[test]
fn certificates_change_by_reload_and_the_address_stays() {
    let secured = Secured::at("127.0.0.1:0");
    let mut held = secured.visit();
    assert_eq!(held.shown(), secured.shown.der);
    let second = secured.authority.issue(&["localhost"]);
    second.write(secured.folder.path(), "admin");
    secured.balancer.reload(&secured.text);
    wait_until(DEADLINE, "the new certificate", || {
        secured.visit().shown() == second.der
    });
    assert_eq!(ask(&mut held, "GET /v1/status", "").status, 200);
    // And by itself where files are watched.
    let watching = secured.text.replace("watch = false", "watch = true");
    secured.balancer.reload(&watching);
    // What is written while a configuration is read may not fit together.
    wait_until(DEADLINE, "the watch", || {
        secured
            .balancer
            .stderr()
            .contains("tls.watch false -> true")
    });
    let third = secured.authority.issue(&["localhost"]);
    third.write(secured.folder.path(), "admin");
    wait_until(DEADLINE, "the watched certificate", || {
        secured.visit().shown() == third.der
    });
    // To speak no TLS any more takes a restart.
    let plain = secured.text.lines().filter(|line| !line.starts_with("tls"));
    let plain: Vec<_> = plain.collect();
    secured.balancer.reload(&plain.join("\n"));
    wait_until(DEADLINE, "the word on the restart", || {
        secured
            .balancer
            .stderr()
            .contains("tls removed (needs a restart)")
    });
    assert_eq!(ask(&mut secured.visit(), "GET /v1/status", "").status, 200);
}

#[test]
fn from_other_machines_everything_takes_the_token() {
    let secured = Secured::at("0.0.0.0:0");
    let mut visit = secured.visit();
    for path in ["/healthz", "/readyz"] {
        assert_eq!(ask(&mut visit, &format!("GET {path}"), "").status, 200);
    }
    for path in [
        "/",
        "/dashboard.js",
        "/metrics",
        "/v1/status",
        "/v1/config",
        "/v1/requests",
        "/nothing",
    ] {
        let line = format!("GET {path}");
        let refused = ask(&mut visit, &line, "");
        assert_eq!(refused.status, 401, "{path}");
        for part in ["--token-file", "Bearer realm", "Basic realm"] {
            assert!(refused.text.contains(part), "{}", refused.text);
        }
        let wrong = BEARER.replace("cdef\r\n", "cdee\r\n");
        assert_eq!(ask(&mut visit, &line, &wrong).status, 401, "{path}");
        let expected = if path == "/nothing" { 404 } else { 200 };
        assert_eq!(ask(&mut visit, &line, BEARER).status, expected, "{path}");
        // What browsers send by themselves is good for looking, but not for what only those see who may steer.
        let by_password = ask(&mut visit, &line, BASIC).status;
        let expected = if path == "/v1/config" { 401 } else { expected };
        assert_eq!(by_password, expected, "{path}");
    }
    let steer = "POST /v1/reload?dry_run=true";
    let empty = "content-length: 0\r\n";
    for (fields, status) in [
        (String::new(), 401),
        (BASIC.to_owned(), 401),
        (BEARER.to_owned(), 200),
        (format!("{BEARER}origin: https://localhost\r\n"), 200),
        (format!("{BEARER}origin: http://localhost\r\n"), 403),
        (format!("{BEARER}origin: https://evil.example\r\n"), 403),
    ] {
        let told = ask(&mut visit, steer, &format!("{fields}{empty}"));
        assert_eq!(told.status, status, "{fields} {}", told.text);
    }

    let token = secured.file("token");
    assert_failed(&secured.command(&["status"], "ca.pem"), 3, "--token-file");
    let address = secured.origin.address().to_string();
    for words in [
        &["status"][..],
        &["config", "history"],
        &["reload", "--dry-run"],
        &["explain", "/"],
        &["backend", "drain", "shop", &address, "--wait"],
        &["backend", "ready", "shop", &address],
    ] {
        let arguments = [words, &["--token-file", &token]].concat();
        assert_done(&secured.command(&arguments, "ca.pem"));
    }
}

/// A connection from an address of this machine.
fn connection(source: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let source: SocketAddr = (IpAddr::from(source), 0).into();
    socket.bind(&SockAddr::from(source)).unwrap();
    socket.connect(&SockAddr::from(to)).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

#[test]
fn who_stalls_in_handshakes_keeps_nobody_out() {
    let secured = Secured::at("127.0.0.1:0");
    let mut held = secured.visit();
    assert_eq!(ask(&mut held, "GET /healthz", "").status, 200);
    let mut stalled = Vec::new();
    for round in 0..10 {
        for _ in 0..40 {
            let mut stream = connection([127, 0, 0, 9], secured.address());
            // The beginning of a handshake, and no more; the other half says nothing at all.
            if round % 2 == 0 {
                stream.write_all(&[0x16, 3, 1]).unwrap();
            }
            stalled.push(stream);
        }
        assert_eq!(ask(&mut secured.visit(), "GET /v1/status", "").status, 200);
    }
    // Places are taken from who has the most of them, the oldest first; whoever was there before them stays.
    let end = stalled[0].read(&mut [0]);
    assert!(end.as_ref().map_or(true, |read| *read == 0), "{end:?}");
    assert_eq!(ask(&mut held, "GET /v1/status", "").status, 200);
    // Who has a place loses it as well, when the time for a handshake is over.
    let end = stalled.last_mut().unwrap().read(&mut [0]);
    assert!(end.as_ref().is_ok_and(|read| *read == 0), "{end:?}");
}
