//! Certificates that clients show, and what backends are told of them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::AlertDescription;

use super::*;
use crate::harness::Request;

fn asking(folder: &Path, mode: &str, origin: &Origin) -> Balancer {
    let ca = folder.join("clients-ca.pem");
    let settings = format!(
        "client = {{ ca = \"{}\", mode = \"{mode}\" }}",
        ca.display()
    );
    Balancer::start(&configuration(folder, &["shop"], &settings, origin))
}

/// What clients send to be taken for somebody.
const LIES: &str = "Client-Cert: :bGllcw==:\r\nclient_cert: lies\r\nCLIENT-CERT-CHAIN: lies\r\nClient-Cert_Subject: CN=lies\r\nX-Client-Cert: lies\r\nx_client_certificate: lies\r\nX-Client-Cert-Verified: lies\r\n";

#[test]
fn modes_and_refusals() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::named("a");
    let authority = Authority::new("clients");
    authority
        .issue(&["shop.example"])
        .write(folder.path(), "shop");
    fs::write(folder.path().join("clients-ca.pem"), &authority.pem).unwrap();
    let good = authority.client("till 1, north", |params| {
        params
            .distinguished_name
            .push(DnType::OrganizationName, "Shop");
    });
    let untrusted = Authority::new("others").client("till", |_| {});
    let expired = authority.client("till", |params| {
        params.not_after = date_time_ymd(2020, 1, 1);
    });
    let for_servers = authority.client("till", |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    for (mode, without) in [("required", false), ("optional", true)] {
        let balancer = asking(folder.path(), mode, &origin);
        let address = balancer.address("secure");
        assert_eq!(Visitor::new().is_served(address, "shop.example"), without);
        wait_for_handshakes(
            &balancer,
            "certificate-missing",
            f64::from(u8::from(!without)),
        );
        for (made, result) in [
            (&untrusted, "certificate-untrusted"),
            (&expired, "certificate-expired"),
            (&for_servers, "certificate-invalid"),
        ] {
            assert!(
                !Visitor::showing(made).is_served(address, "shop.example"),
                "{result}"
            );
            wait_for_handshakes(&balancer, result, 1.0);
        }
        let mut visit = Visitor::showing(&good).visit(address, "shop.example");
        for _ in 0..2 {
            assert_eq!(visit.try_ask("shop.example", LIES).unwrap().status, 200);
            let brought = origin.last_received();
            let der = format!(":{}:", STANDARD.encode(&good.der));
            assert_eq!(brought.field("client-cert"), Some(&*der));
            let subject = brought.field("client-cert-subject").unwrap();
            assert!(
                subject.contains(r"CN=till 1\, north") && subject.contains("O=Shop"),
                "{subject}"
            );
            assert!(!format!("{brought:?}").contains("lies"), "{brought:?}");
        }
    }
}

/// On every listener, with and without TLS, of peers that are trusted and that are not.
#[test]
fn what_only_we_may_say_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::named("a");
    let authority = Authority::new("clients");
    authority
        .issue(&["shop.example"])
        .write(folder.path(), "shop");
    fs::write(folder.path().join("clients-ca.pem"), &authority.pem).unwrap();
    for trusted in ["", "trusted_proxies = [\"127.0.0.1\"]\n"] {
        let ca = folder.path().join("clients-ca.pem");
        let settings = format!(
            "client = {{ ca = \"{}\", mode = \"optional\" }}",
            ca.display()
        );
        let text = configuration(folder.path(), &["shop"], &settings, &origin)
            .replace("[listeners.web]\n", &format!("[listeners.web]\n{trusted}"))
            .replace(
                "[listeners.secure]\n",
                &format!("[listeners.secure]\n{trusted}"),
            );
        let balancer = Balancer::start(&text);
        let mut visit = Visitor::new().visit(balancer.address("secure"), "shop.example");
        assert_eq!(visit.try_ask("shop.example", LIES).unwrap().status, 200);
        let by_tls = origin.last_received();
        let mut request = Request::get("/");
        for line in LIES.lines() {
            let (name, value) = line.split_once(": ").unwrap();
            request = request.field(name, value);
        }
        assert_eq!(balancer.client("web").send(&request).status, 200);
        for brought in [by_tls, origin.last_received()] {
            let text = format!("{brought:?}").to_lowercase().replace('_', "-");
            assert!(
                !text.contains("client-cert") && !text.contains("lies"),
                "{text}"
            );
        }
    }
}

/// A client that sends its request at once is told why all the same, and not just reset.
#[test]
fn who_is_refused_is_told_why() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::named("a");
    let authority = Authority::new("clients");
    authority
        .issue(&["shop.example"])
        .write(folder.path(), "shop");
    fs::write(folder.path().join("clients-ca.pem"), &authority.pem).unwrap();
    let balancer = asking(folder.path(), "required", &origin);
    let address = balancer.address("secure");
    let untrusted = Authority::new("others").client("till", |_| {});
    for (visitor, alert) in [
        (Visitor::new(), AlertDescription::CertificateRequired),
        (Visitor::showing(&untrusted), AlertDescription::UnknownCA),
    ] {
        for _ in 0..20 {
            let mut visit = visitor.visit(address, "shop.example");
            let error = visit.try_ask("shop.example", "").unwrap_err();
            let inner = error.into_inner().expect("an alert");
            let told = inner.downcast_ref::<Error>().expect("of TLS");
            assert_eq!(*told, Error::AlertReceived(alert));
        }
    }
}
