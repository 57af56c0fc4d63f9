//! What is decided before a TLS handshake: who the client is, and whether it has room; and when it is due.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::version::TLS13;

use super::{configuration, counts, refused};
use crate::admin::{Tls, certificate, exchange, tls_over};
use crate::harness::{Balancer, DEADLINE, Origin, wait_until};
use crate::metrics::Figures;

fn secure(folder: &Path, listener: &str, origin: &Origin) -> Balancer {
    let certificates = format!(
        "[[listeners.web.tls.certificates]]\ncertificate = \"{folder}/shop.pem\"\nkey = \"{folder}/shop.key\"",
        folder = folder.display()
    );
    Balancer::start(&configuration(
        &format!("{listener}\n{certificates}"),
        origin,
    ))
}

/// A session behind these bytes.
fn session(address: SocketAddr, header: &[u8], believed: &CertificateDer<'static>) -> Tls {
    let mut stream = TcpStream::connect(address).unwrap();
    for byte in header.chunks(5) {
        stream.write_all(byte).unwrap();
    }
    tls_over(stream, "shop.example", believed, &TLS13)
}

fn handshakes(balancer: &Balancer) -> [f64; 2] {
    let figures = Figures::of(balancer);
    ["ok", "timed-out"]
        .map(|result| figures.sum("forecourt_tls_handshakes_total", &[("result", result)]))
}

#[test]
fn a_proxy_header_goes_before_the_handshake() {
    let folder = tempfile::tempdir().unwrap();
    let believed = certificate(folder.path());
    let origin = Origin::named("a");
    for word in ["required", "optional"] {
        let listener = format!("trusted_proxies = [\"127.0.0.1\"]\nproxy_protocol = \"{word}\"");
        let balancer = secure(folder.path(), &listener, &origin);
        let address = balancer.address("web");
        let binary =
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x00\x01\x00\x02";
        for header in [&b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"[..], binary] {
            exchange(&mut session(address, header, &believed), "/", "a").unwrap();
            let brought = origin.last_received();
            assert_eq!(brought.field("x-forwarded-for"), Some("192.0.2.1"));
            assert_eq!(brought.field("x-forwarded-proto"), Some("https"));
        }
        let direct = exchange(&mut session(address, b"", &believed), "/", "a");
        if word == "optional" {
            direct.unwrap();
            assert_eq!(
                origin.last_received().field("x-forwarded-for"),
                Some("127.0.0.1")
            );
            assert_eq!(refused(&balancer, 0), counts(&[]));
        } else {
            assert!(direct.is_err());
            assert_eq!(refused(&balancer, 1), counts(&[("proxy-protocol", 1.0)]));
            assert_eq!(handshakes(&balancer), [2.0, 0.0]);
        }
    }
}

/// What stands in clear before a handshake must not become the beginning of what is said within it.
#[test]
fn nothing_in_clear_gets_into_a_session() {
    let folder = tempfile::tempdir().unwrap();
    let believed = certificate(folder.path());
    let origin = Origin::named("a");
    let listener = "trusted_proxies = [\"127.0.0.1\"]\nproxy_protocol = \"optional\"";
    let balancer = secure(folder.path(), listener, &origin);
    let address = balancer.address("web");
    // Empty lines before a request are skipped, so these would not be noticed.
    for bytes in [&b"\r\n\r\n"[..], b"PRO"] {
        assert!(exchange(&mut session(address, bytes, &believed), "/", "a").is_err());
    }
    wait_until(DEADLINE, "what was no handshake", || {
        let result = [("result", "not-tls")];
        Figures::of(&balancer).sum("forecourt_tls_handshakes_total", &result) == 2.0
    });
    assert_eq!(handshakes(&balancer)[0], 0.0);
    assert_eq!(origin.requests(), 0);
}

#[test]
fn a_client_with_too_many_connections_gets_no_handshake() {
    let folder = tempfile::tempdir().unwrap();
    let believed = certificate(folder.path());
    let origin = Origin::named("a");
    let balancer = secure(
        folder.path(),
        "limits = { connections_per_client = 1 }",
        &origin,
    );
    let address = balancer.address("web");
    let mut first = session(address, b"", &believed);
    exchange(&mut first, "/", "a").unwrap();
    assert!(exchange(&mut session(address, b"", &believed), "/", "a").is_err());
    assert_eq!(
        refused(&balancer, 1),
        counts(&[("too-many-connections", 1.0)])
    );
    assert_eq!(handshakes(&balancer), [1.0, 0.0]);
    exchange(&mut first, "/", "a").unwrap();
    drop(first);
    wait_until(DEADLINE, "the place", || {
        Figures::of(&balancer).sum("forecourt_connections", &[]) == 0.0
    });
    exchange(&mut session(address, b"", &believed), "/", "a").unwrap();
}

/// Silence, and a handshake that trickles, are cut at `header` from the start.
#[test]
fn a_handshake_is_due_in_time_however_it_trickles() {
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path());
    let origin = Origin::named("a");
    let balancer = secure(
        folder.path(),
        "timeouts = { header = \"300ms\", idle = \"1h\" }",
        &origin,
    );
    let address = balancer.address("web");
    let mut silent = TcpStream::connect(address).unwrap();
    silent.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut trickling = TcpStream::connect(address).unwrap();
    trickling
        .set_read_timeout(Some(Duration::from_millis(10)))
        .unwrap();
    // A record of a handshake of 16,000 bytes, which comes a byte at a time.
    trickling
        .write_all(b"\x16\x03\x01\x3e\x80\x01\x00\x3e\x7c")
        .unwrap();
    wait_until(DEADLINE, "the end of patience", || {
        let sent = trickling.write_all(b"\x03");
        let read = trickling.read(&mut [0; 100]);
        let waits = read.is_err_and(|error| {
            matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
        });
        sent.is_err() || !waits
    });
    assert!(matches!(silent.read(&mut [0; 100]), Ok(0)));
    assert_eq!(refused(&balancer, 2), counts(&[("header-timeout", 2.0)]));
    assert_eq!(handshakes(&balancer), [0.0, 2.0]);
}
