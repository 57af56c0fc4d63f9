//! TLS towards backends: who they have to be, what is spoken, and what becomes of what fails.

mod origin;
mod protocols;
mod reloads;

use rcgen::date_time_ymd as on;
use std::net::TcpListener;

use super::*;
use crate::harness::{Ending, Request};
use origin::{Handshake, SecureOrigin, Wants};

/// A pool of these origins with these settings of TLS, behind one worker.
fn behind(origins: &[&SecureOrigin], protocol: &str, tls: &str) -> String {
    let backends = origins.iter().map(|origin| {
        let (address, id) = (origin.address(), origin.name());
        format!("{{ address = \"{address}\", id = \"{id}\" }}")
    });
    let backends: Vec<_> = backends.collect();
    format!(
        "[server]\nworkers = 1\n{}[pools.shop]\nprotocol = \"{protocol}\"\nbackends = [{}]\n[pools.shop.tls]\n{tls}\n",
        Balancer::front("shop"),
        backends.join(", ")
    )
}

/// Trusts the authority in this file; the certificate is to be good for `shop.test`.
fn trusting(folder: &Path) -> String {
    let folder = folder.display();
    format!("ca = \"{folder}/ca.pem\"\nserver_name = \"shop.test\"")
}

/// An authority whose certificate is in a folder.
fn authority(folder: &Path) -> Authority {
    let authority = Authority::new("internal");
    fs::write(folder.join("ca.pem"), &authority.pem).unwrap();
    authority
}

/// Asserts that nothing but 502 `tls-failed` comes, and that the log says why, once.
#[track_caller]
fn assert_fails(balancer: &Balancer, why: &str) {
    let mut client = balancer.client("web");
    for _ in 0..3 {
        let response = client.get("/");
        let answer = (response.status, response.cause());
        assert_eq!(answer, (502, Some("tls-failed")), "{why}");
    }
    let log = balancer.stderr();
    let told: Vec<_> = log
        .lines()
        .filter(|line| line.contains("no TLS with a backend"))
        .collect();
    assert!(told.len() == 1 && told[0].contains(why), "{why}:\n{log}");
    let labels = [("pool", "shop"), ("cause", "tls-failed")];
    let failures = Figures::of(balancer).sum("forecourt_backend_failures_total", &labels);
    assert_eq!(failures, 3.0);
}

#[test]
fn a_backend_of_the_right_authority_and_name_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let origin = SecureOrigin::plain("a", &authority(folder.path()).issue(&["shop.test"]));
    let balancer = Balancer::start(&behind(&[&origin], "http/1.1", &trusting(folder.path())));
    let mut client = balancer.client("web");
    for _ in 0..20 {
        assert_eq!(client.get("/").text(), "a");
    }
    // One connection for all of them.
    let handshake = Handshake {
        resumed: false,
        name: Some("shop.test".to_owned()),
        protocol: Some("http/1.1".to_owned()),
        client: false,
    };
    let seen = origin.seen();
    assert_eq!((seen.handshakes, seen.accepted), (vec![handshake], 1));
}

#[test]
fn the_name_is_that_of_the_address() {
    let folder = tempfile::tempdir().unwrap();
    let authority = authority(folder.path());
    let by_address = SecureOrigin::plain("a", &authority.issue(&["127.0.0.1"]));
    let by_name = SecureOrigin::plain("b", &authority.issue(&["localhost"]));
    let ca = format!("ca = \"{}/ca.pem\"", folder.path().display());
    let balancer = Balancer::start(&behind(&[&by_address], "http/1.1", &ca));
    assert_eq!(balancer.client("web").get("/").text(), "a");
    // No name is sent for an address (RFC 6066 section 3).
    assert_eq!(by_address.seen().handshakes[0].name, None);

    let port = by_name.address().port();
    let configuration = behind(&[&by_name], "http/1.1", &ca)
        .replace(&format!("127.0.0.1:{port}"), &format!("localhost:{port}"));
    let balancer = Balancer::start(&configuration);
    assert_eq!(balancer.client("web").get("/").text(), "b");
    let name = by_name.seen().handshakes[0].name.clone();
    assert_eq!(name.as_deref(), Some("localhost"));
}

#[test]
fn a_backend_that_is_not_who_it_should_be_is_not_asked() {
    let folder = tempfile::tempdir().unwrap();
    let authority = authority(folder.path());
    let stranger = Authority::new("stranger");
    let dated = |from, to| {
        authority.issue_by(&["shop.test"], KeyPair::generate().unwrap(), |params| {
            (params.not_before, params.not_after) = (on(from, 1, 1), on(to, 1, 1));
        })
    };
    for (made, why) in [
        (authority.issue(&["other.test"]), "for another name"),
        (stranger.issue(&["shop.test"]), "is not trusted"),
        (dated(2001, 2002), "has expired"),
        (dated(2101, 2102), "is not valid yet"),
        (authority.client("shop.test", |_| {}), "is not good"),
    ] {
        let origin = SecureOrigin::plain("a", &made);
        let settings = trusting(folder.path());
        let balancer = Balancer::start(&behind(&[&origin], "http/1.1", &settings));
        assert_fails(&balancer, why);
        assert!(origin.seen().requests.is_empty(), "{why}");

        // Whoever wants it so, has it so.
        let balancer = Balancer::start(&behind(&[&origin], "http/1.1", "verify = false"));
        assert_eq!(balancer.client("web").get("/").text(), "a", "{why}");
        let log = balancer.stderr();
        assert!(log.contains("backends are not verified"), "{log}");
    }
}

#[test]
fn a_backend_that_is_not_trusted_by_the_system_is_not_asked() {
    let folder = tempfile::tempdir().unwrap();
    let origin = SecureOrigin::plain("a", &authority(folder.path()).issue(&["shop.test"]));
    let settings = "server_name = \"shop.test\"";
    let balancer = Balancer::start(&behind(&[&origin], "http/1.1", settings));
    assert_fails(&balancer, "is not trusted");
}

#[test]
fn a_backend_without_tls_is_a_failure_and_one_that_is_silent_a_timeout() {
    let folder = tempfile::tempdir().unwrap();
    authority(folder.path());
    let plain = Origin::named("a");
    plain.behave(crate::harness::Behaviour::Garbage);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let over = |address: SocketAddr| {
        let origin = SecureOrigin::plain("a", &Authority::new("x").issue(&["x.test"]));
        behind(&[&origin], "http/1.1", &trusting(folder.path()))
            .replace(&origin.address().to_string(), &address.to_string())
    };
    let balancer = Balancer::start(&over(silent.local_addr().unwrap()));
    let response = balancer.client("web").get("/");
    let answer = (response.status, response.cause());
    assert_eq!(answer, (504, Some("connect-timeout")));
    // An origin of HTTP waits for the end of a head that never comes, or takes the handshake for none and ends.
    let balancer = Balancer::start(&over(plain.address()));
    assert!(balancer.client("web").get("/").status >= 502);
}

#[test]
fn a_client_certificate_is_shown_to_who_asks() {
    let folder = tempfile::tempdir().unwrap();
    let authority = authority(folder.path());
    let made = authority.issue(&["shop.test"]);
    authority
        .client("forecourt", |_| {})
        .write(folder.path(), "own");
    Authority::new("stranger")
        .client("forecourt", |_| {})
        .write(folder.path(), "foreign");
    let showing = |name: &str| {
        let (trusting, folder) = (trusting(folder.path()), folder.path().display());
        format!("{trusting}\ncertificate = \"{folder}/{name}.pem\"\nkey = \"{folder}/{name}.key\"")
    };
    for protocol in ["http/1.1", "h2"] {
        let strict = SecureOrigin::start("a", &made, &[protocol], Wants::Required(&authority));
        let balancer = Balancer::start(&behind(&[&strict], protocol, &showing("own")));
        assert_eq!(balancer.client("web").get("/").text(), "a");
        assert!(strict.seen().handshakes[0].client);
        // A certificate is of no concern to who does not ask.
        let easy = SecureOrigin::start("a", &made, &[protocol], Wants::Nothing);
        let balancer = Balancer::start(&behind(&[&easy], protocol, &showing("own")));
        assert_eq!(balancer.client("web").get("/").text(), "a");
        assert!(!easy.seen().handshakes[0].client);

        // In TLS 1.3 the refusal comes when the request has been written.
        let (none, foreign) = (trusting(folder.path()), showing("foreign"));
        for (settings, why) in [
            (none, "CertificateRequired"),
            (foreign, "the backend refused"),
        ] {
            let balancer = Balancer::start(&behind(&[&strict], protocol, &settings));
            assert_fails(&balancer, why);
        }
    }
}

#[test]
fn another_backend_is_asked_for_one_that_failed() {
    let folder = tempfile::tempdir().unwrap();
    let authority = authority(folder.path());
    let good = SecureOrigin::plain("good", &authority.issue(&["shop.test"]));
    let bad = SecureOrigin::plain("bad", &authority.issue(&["other.test"]));
    let strict = authority.issue(&["shop.test"]);
    let strict = SecureOrigin::start("strict", &strict, &[], Wants::Required(&authority));
    for other in [&bad, &strict] {
        let configuration = behind(&[other, &good], "http/1.1", &trusting(folder.path()));
        let balancer = Balancer::start(&configuration);
        let mut client = balancer.client("web");
        for _ in 0..6 {
            assert_eq!(client.get("/").text(), "good");
            let response = client.send(&Request::new("POST", "/"));
            assert_eq!(response.text(), "good");
        }
        let retries = Figures::of(&balancer).sum("forecourt_retries_total", &[("outcome", "ok")]);
        assert!(retries > 0.0, "{}", balancer.admin("/metrics").text());
    }
}

#[test]
fn an_end_without_farewell_is_a_cut_and_ours_says_farewell() {
    let folder = tempfile::tempdir().unwrap();
    let origin = SecureOrigin::plain("a", &authority(folder.path()).issue(&["shop.test"]));
    let settings = trusting(folder.path());
    let configuration =
        behind(&[&origin], "http/1.1", &settings) + "[pools.shop.timeouts]\nidle = \"0s\"\n";
    let balancer = Balancer::start(&configuration);
    let mut client = balancer.client("web");
    let whole = client.get("/whole");
    assert_eq!(whole.text(), "a");
    let cut = client.try_send(&Request::get("/cut")).unwrap();
    assert!(matches!(cut.ending, Ending::Cut(_)), "{cut:?}");
    assert_eq!(origin.seen().goodbyes, 0);
    assert_eq!(balancer.client("web").get("/").text(), "a");
    wait_until(DEADLINE, "a farewell", || origin.seen().goodbyes == 1);
}

#[test]
fn sessions_are_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let authority = authority(folder.path());
    let one = SecureOrigin::plain("one", &authority.issue(&["shop.test"]));
    let two = SecureOrigin::plain("two", &authority.issue(&["shop.test"]));
    let settings = trusting(folder.path());
    let configuration =
        behind(&[&one, &two], "http/1.1", &settings) + "[pools.shop.timeouts]\nidle = \"0s\"\n";
    let balancer = Balancer::start(&configuration);
    let mut client = balancer.client("web");
    // A reload that leaves TLS as it is changes nothing.
    for round in 1..=3 {
        for _ in 0..6 {
            assert_eq!(client.get("/").status, 200);
        }
        balancer.reload(&configuration);
        wait_until(DEADLINE, "the reload", || {
            balancer.stderr().matches("configuration applied").count() == round
        });
    }
    for origin in [&one, &two] {
        let handshakes = origin.seen().handshakes;
        let resumed: Vec<_> = handshakes.iter().map(|one| one.resumed).collect();
        assert!(resumed.len() == 9 && !resumed[0], "{resumed:?}");
        assert!(resumed[1..].iter().all(|resumed| *resumed), "{resumed:?}");
    }
}
