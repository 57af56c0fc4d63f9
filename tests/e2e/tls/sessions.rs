//! Sessions that are taken up again.

use rustls::HandshakeKind;

use super::*;
use crate::upgrade::{end, upgrade};

fn kind(visit: &Visit) -> HandshakeKind {
    visit.tls.conn.handshake_kind().unwrap()
}

/// On two workers, so that a ticket of one is of use with the other; and behind a renewed certificate.
#[test]
fn a_ticket_is_good_with_every_worker() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::named("a");
    let authority = Authority::new("ca");
    authority
        .issue(&["shop.example"])
        .write(folder.path(), "shop");
    let text = configuration(folder.path(), &["shop"], "", &origin);
    let balancer = Balancer::start(&text);
    let address = balancer.address("secure");
    for version in [&TLS13, &TLS12] {
        let visitor = Visitor::speaking(&[version], &ALL_SCHEMES);
        let mut held = Vec::new();
        for nth in 0..16 {
            let mut visit = visitor.visit(address, "shop.example");
            assert_eq!(visit.ask("shop.example").status, 200);
            let expected = if nth == 0 {
                HandshakeKind::Full
            } else {
                HandshakeKind::Resumed
            };
            assert_eq!(kind(&visit), expected, "{version:?} {nth}");
            held.push(visit);
        }
    }
    let visitor = Visitor::new();
    visitor.visit(address, "shop.example").ask("shop.example");
    authority
        .issue(&["shop.example"])
        .write(folder.path(), "shop");
    balancer.reload(&text);
    wait_until(DEADLINE, "the reload", || {
        balancer.metric("forecourt_config_generation") >= 2.0
    });
    let mut visit = visitor.visit(address, "shop.example");
    assert_eq!(visit.ask("shop.example").status, 200);
    assert_eq!(kind(&visit), HandshakeKind::Resumed);
    // A ticket of one name is none for another.
    assert_eq!(
        kind(&visitor.visit(address, "other.example")),
        HandshakeKind::Full
    );
}

/// Else all clients would do whole handshakes at once with a process that has only just begun.
#[test]
fn a_ticket_is_good_with_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::named("a");
    let made = Authority::new("ca").issue(&["shop.example"]);
    made.write(folder.path(), "shop");
    let mut balancer = Balancer::start(&configuration(folder.path(), &["shop"], "", &origin));
    let visitors = [&TLS13, &TLS12].map(|version| Visitor::speaking(&[version], &ALL_SCHEMES));
    let ask = |balancer: &Balancer, visitor: &Visitor| {
        let mut visit = visitor.visit(balancer.address("secure"), "shop.example");
        assert_eq!(visit.ask("shop.example").status, 200);
        kind(&visit)
    };
    for visitor in &visitors {
        assert_eq!(ask(&balancer, visitor), HandshakeKind::Full);
    }
    for round in 0..2 {
        upgrade(&mut balancer);
        for visitor in &visitors {
            assert_eq!(ask(&balancer, visitor), HandshakeKind::Resumed, "{round}");
        }
    }
    end(&balancer);
}

#[test]
fn who_has_to_show_a_certificate_shows_it_every_time() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::named("a");
    let authority = Authority::new("ca");
    authority
        .issue(&["shop.example"])
        .write(folder.path(), "shop");
    fs::write(folder.path().join("ca.pem"), &authority.pem).unwrap();
    for mode in ["required", "optional"] {
        let ca = folder.path().join("ca.pem");
        let settings = format!(
            "client = {{ ca = \"{}\", mode = \"{mode}\" }}",
            ca.display()
        );
        let balancer =
            Balancer::start(&configuration(folder.path(), &["shop"], &settings, &origin));
        let visitor = Visitor::showing(&authority.client("till", |_| {}));
        for _ in 0..3 {
            let mut visit = visitor.visit(balancer.address("secure"), "shop.example");
            assert_eq!(visit.ask("shop.example").status, 200);
            assert_eq!(kind(&visit), HandshakeKind::Full);
        }
    }
}
