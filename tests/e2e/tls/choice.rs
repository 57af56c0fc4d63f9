//! Which certificate, which version, which key exchange.

use std::process::Command;

use rustls::NamedGroup;
use rustls::crypto::aws_lc_rs;

use super::*;
use crate::harness::{Request, is_installed};

#[test]
fn a_client_gets_the_certificate_of_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::named("a");
    let authority = Authority::new("ca");
    let first = authority.issue(&["default.example"]);
    let wild = authority.issue(&["*.shop.example"]);
    let exact = authority.issue(&["a.shop.example", "Shop.Example"]);
    for (made, name) in [(&first, "first"), (&wild, "wild"), (&exact, "exact")] {
        made.write(folder.path(), name);
    }
    let names = ["first", "wild", "exact"];
    let balancer = Balancer::start(&configuration(folder.path(), &names, "", &origin));
    let address = balancer.address("secure");
    for version in [&TLS13, &TLS12] {
        let visitor = Visitor::speaking(&[version], &ALL_SCHEMES);
        for (asked, given) in [
            (Some("a.shop.example"), &exact),
            (Some("A.Shop.Example"), &exact),
            (Some("shop.example"), &exact),
            (Some("b.shop.example"), &wild),
            (Some("x.b.shop.example"), &first),
            (Some("unknown.example"), &first),
            (None, &first),
        ] {
            let mut visit = visitor.try_visit(address, asked).unwrap();
            assert_eq!(visit.shown(), given.der, "{asked:?}");
            let host = asked.unwrap_or("b.shop.example");
            assert_eq!(visit.ask(host).status, 200, "{asked:?}");
        }
    }
    assert_eq!(handshakes(&balancer, "ok"), 14.0);
}

#[test]
fn of_one_name_ecdsa_goes_to_who_can_and_rsa_to_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::named("a");
    let authority = Authority::new("ca");
    let rsa = authority.issue_rsa(&["shop.example"]);
    let ecdsa = authority.issue(&["shop.example"]);
    rsa.write(folder.path(), "rsa");
    ecdsa.write(folder.path(), "ecdsa");
    let balancer = Balancer::start(&configuration(
        folder.path(),
        &["rsa", "ecdsa"],
        "",
        &origin,
    ));
    let address = balancer.address("secure");
    for version in [&TLS13, &TLS12] {
        for (schemes, given) in [
            (&[RSA][..], &rsa),
            (&[ECDSA], &ecdsa),
            (&[RSA, ECDSA], &ecdsa),
        ] {
            let visitor = Visitor::speaking(&[version], schemes);
            for asked in [Some("shop.example"), Some("unknown.example"), None] {
                let visit = visitor.try_visit(address, asked).unwrap();
                assert_eq!(
                    visit.shown(),
                    given.der,
                    "{version:?} {schemes:?} {asked:?}"
                );
            }
        }
    }
    // Who can verify none of them is told so.
    let visitor = Visitor::speaking(&[&TLS13], &[SignatureScheme::ED25519]);
    assert!(visitor.try_visit(address, Some("shop.example")).is_err());
    wait_for_handshakes(&balancer, "nothing-in-common", 1.0);
}

#[test]
fn the_lowest_version_is_the_operators() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::named("a");
    Authority::new("ca")
        .issue(&["shop.example"])
        .write(folder.path(), "shop");
    let old = Visitor::speaking(&[&TLS12], &ALL_SCHEMES);
    for (settings, served) in [
        ("", true),
        ("min_version = \"1.2\"", true),
        ("min_version = \"1.3\"", false),
    ] {
        let balancer = Balancer::start(&configuration(folder.path(), &["shop"], settings, &origin));
        let address = balancer.address("secure");
        assert!(Visitor::new().is_served(address, "shop.example"));
        assert_eq!(old.is_served(address, "shop.example"), served, "{settings}");
        let refused = f64::from(u8::from(!served));
        wait_for_handshakes(&balancer, "protocol-version", refused);
        if is_installed("openssl") {
            for (option, expected) in [("-tls1_1", false), ("-tls1_2", served), ("-tls1_3", true)] {
                let connect = address.to_string();
                let ran = Command::new("openssl")
                    .args(["s_client", "-connect", &connect, option])
                    .args(["-cipher", "ALL:@SECLEVEL=0"])
                    .args(["-servername", "shop.example"])
                    .stdin(std::process::Stdio::null())
                    .output()
                    .unwrap();
                let said = String::from_utf8_lossy(&ran.stdout);
                let has_session = !said.contains("Cipher is (NONE)");
                assert_eq!(has_session, expected, "{settings} {option} {said}");
            }
        }
    }
}

#[test]
fn a_key_exchange_that_outlives_quantum_computers() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::named("a");
    Authority::new("ca")
        .issue(&["shop.example"])
        .write(folder.path(), "shop");
    let balancer = Balancer::start(&configuration(folder.path(), &["shop"], "", &origin));
    let address = balancer.address("secure");
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![aws_lc_rs::kx_group::X25519MLKEM768];
    let visitor = Visitor::made_of(provider, &[&TLS13], &ALL_SCHEMES, None);
    let mut visit = visitor.visit(address, "shop.example");
    assert_eq!(visit.ask("shop.example").status, 200);
    let group = visit.tls.conn.negotiated_key_exchange_group().unwrap();
    assert_eq!(group.name(), NamedGroup::X25519MLKEM768);
}

#[test]
fn what_is_no_handshake_is_counted_by_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::named("a");
    Authority::new("ca")
        .issue(&["shop.example"])
        .write(folder.path(), "shop");
    let balancer = Balancer::start(&configuration(folder.path(), &["shop"], "", &origin));
    let address = balancer.address("secure");
    assert!(
        balancer
            .client("secure")
            .try_send(&Request::get("/"))
            .is_err()
    );
    wait_for_handshakes(&balancer, "not-tls", 1.0);
    drop(TcpStream::connect(address).unwrap());
    wait_for_handshakes(&balancer, "client-gone", 1.0);
    let mut config = ClientConfig::clone(&Visitor::new().config);
    config.alpn_protocols = vec![b"spdy/3".to_vec()];
    let visitor = Visitor {
        config: Arc::new(config),
    };
    assert!(visitor.try_visit(address, Some("shop.example")).is_err());
    wait_for_handshakes(&balancer, "nothing-in-common", 1.0);
    assert_eq!(handshakes(&balancer, "ok"), 0.0);
}

#[test]
fn a_certificate_for_development_is_kept_as_long_as_its_names() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::named("a");
    let made_for = |names: &str| {
        let settings = format!("self_signed = [{names}]");
        configuration(folder.path(), &[], &settings, &origin)
    };
    let balancer = Balancer::start(&made_for("\"localhost\", \"*.shop.test\""));
    assert!(
        balancer.stderr().contains("for development"),
        "{}",
        balancer.stderr()
    );
    let address = balancer.address("secure");
    let mut visit = Visitor::new().visit(address, "localhost");
    let shown = visit.shown();
    for (nth, names, same) in [
        (2.0, "\"localhost\", \"*.shop.test\"", true),
        (3.0, "\"localhost\"", false),
        (4.0, "\"localhost\", \"*.shop.test\"", true),
    ] {
        balancer.reload(&made_for(names));
        wait_until(DEADLINE, "the reload", || {
            balancer.metric("forecourt_config_generation") == nth
        });
        let now = Visitor::new().visit(address, "localhost").shown();
        assert_eq!(now == shown, same, "{names}");
    }
    assert_eq!(visit.ask("localhost").status, 200);
}
