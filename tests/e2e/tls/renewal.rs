//! Certificates that change while they are served.

use std::os::unix::fs::symlink;

use super::*;

/// Waits for a certificate to be shown; from then on it is the one that every worker shows.
#[track_caller]
fn wait_for(balancer: &Balancer, name: &str, made: &Made) {
    let address = balancer.address("secure");
    wait_until(DEADLINE, "the new certificate", || {
        Visitor::new().visit(address, name).shown() == made.der
    });
    for _ in 0..12 {
        assert!(Visitor::new().visit(address, name).shown() == made.der);
    }
}

fn renewals(balancer: &Balancer, result: &str) -> f64 {
    let labels = [("result", result)];
    Figures::of(balancer).sum("forecourt_tls_certificate_renewals_total", &labels)
}

#[test]
fn a_reload_shows_new_files_and_leaves_connections_alone() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::named("a");
    let authority = Authority::new("ca");
    let first = authority.issue(&["shop.example"]);
    first.write(folder.path(), "shop");
    let text = configuration(folder.path(), &["shop"], "watch = false", &origin);
    let balancer = Balancer::start(&text);
    wait_for(&balancer, "shop.example", &first);
    let mut held = Visitor::new().visit(balancer.address("secure"), "shop.example");
    let second = authority.issue(&["shop.example"]);
    second.write(folder.path(), "shop");
    balancer.reload(&text);
    wait_for(&balancer, "shop.example", &second);
    assert!(
        balancer.stderr().contains("renewed"),
        "{}",
        balancer.stderr()
    );
    assert_eq!(held.shown(), first.der);
    assert_eq!(held.ask("shop.example").status, 200);
    // A broken pair is refused with all else of its configuration.
    fs::write(
        folder.path().join("shop.key"),
        authority.issue(&["x"]).key.serialize_pem(),
    )
    .unwrap();
    balancer.reload(&text);
    wait_until(DEADLINE, "the refusal", || {
        balancer.metric("forecourt_config_reloads_total{result=\"refused\"}") == 1.0
    });
    wait_for(&balancer, "shop.example", &second);
    assert_eq!(renewals(&balancer, "ok"), 0.0);
}

#[test]
fn files_are_watched_however_they_change() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::named("a");
    let authority = Authority::new("ca");
    let issue = || authority.issue(&["shop.example"]);
    // As Kubernetes does it: a link to a folder that is another one after an update.
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("v1")).unwrap();
    issue().write(&at("v1"), "shop");
    symlink("v1", at("..data")).unwrap();
    for name in ["shop.pem", "shop.key"] {
        symlink(format!("..data/{name}"), at(name)).unwrap();
    }
    let balancer = Balancer::start(&configuration(folder.path(), &["shop"], "", &origin));
    let mut held = Visitor::new().visit(balancer.address("secure"), "shop.example");
    let linked = issue();
    fs::create_dir(at("v2")).unwrap();
    linked.write(&at("v2"), "shop");
    symlink("v2", at("..data.new")).unwrap();
    fs::rename(at("..data.new"), at("..data")).unwrap();
    wait_for(&balancer, "shop.example", &linked);
    // Renamed over, which also takes the links away.
    let renamed = issue();
    renamed.write(folder.path(), "shop");
    wait_for(&balancer, "shop.example", &renamed);
    // Written in place, and for a while by halves.
    let written = issue();
    fs::write(at("shop.pem"), &written.pem[..written.pem.len() / 2]).unwrap();
    wait_until(DEADLINE, "a refusal", || {
        renewals(&balancer, "refused") > 0.0
    });
    assert!(
        balancer.stderr().contains("the old one goes on"),
        "{}",
        balancer.stderr()
    );
    wait_for(&balancer, "shop.example", &renamed);
    let before = renewals(&balancer, "refused");
    fs::write(at("shop.pem"), &written.pem).unwrap();
    wait_until(DEADLINE, "the refusal of a pair that does not fit", || {
        renewals(&balancer, "refused") > before
    });
    wait_for(&balancer, "shop.example", &renamed);
    fs::write(at("shop.key"), written.key.serialize_pem()).unwrap();
    wait_for(&balancer, "shop.example", &written);
    assert_eq!(renewals(&balancer, "ok"), 3.0);
    assert_eq!(held.ask("shop.example").status, 200);
    // None of it was a reload.
    assert_eq!(
        balancer.metric("forecourt_config_reloads_total{result=\"ok\"}"),
        0.0
    );
}

#[test]
fn authorities_of_clients_are_watched_too() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::named("a");
    let [first, second] = ["first", "second"].map(Authority::new);
    first.issue(&["shop.example"]).write(folder.path(), "shop");
    let ca = folder.path().join("ca.pem");
    fs::write(&ca, &first.pem).unwrap();
    let settings = format!("client = {{ ca = \"{}\" }}", ca.display());
    let balancer = Balancer::start(&configuration(folder.path(), &["shop"], &settings, &origin));
    let address = balancer.address("secure");
    let till = Visitor::showing(&second.client("till", |_| {}));
    assert!(!till.is_served(address, "shop.example"));
    fs::write(&ca, first.pem + &second.pem).unwrap();
    wait_until(DEADLINE, "the second authority", || {
        till.is_served(address, "shop.example")
    });
}

#[test]
fn the_end_is_announced() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::named("a");
    let authority = Authority::new("ca");
    let ending = |year| {
        let key = KeyPair::generate().unwrap();
        authority.issue_by(&["shop.example"], key, |params| {
            params.not_after = date_time_ymd(year, 1, 2);
        })
    };
    ending(2020).write(folder.path(), "shop");
    ending(2095).write(folder.path(), "other");
    let names = ["shop", "other"];
    let balancer = Balancer::start(&configuration(folder.path(), &names, "", &origin));
    assert!(
        balancer
            .stderr()
            .contains("shop.pem expired at 2020-01-02T00:00:00Z")
    );
    let expiry = || {
        let labels = [("listener", "secure"), ("name", "shop.example")];
        let name = "forecourt_tls_certificate_expiry_timestamp_seconds";
        let text = balancer.admin("/metrics").text();
        assert_eq!(
            text.lines().filter(|line| line.starts_with(name)).count(),
            1
        );
        Figures::of(&balancer).sum(name, &labels)
    };
    // The earlier one of two of that name; and a shop with an expired one starts all the same.
    assert_eq!(expiry(), date_time_ymd(2020, 1, 2).unix_timestamp() as f64);
    assert!(Visitor::new().is_served(balancer.address("secure"), "shop.example"));
    ending(2090).write(folder.path(), "shop");
    wait_until(DEADLINE, "the new end", || {
        expiry() == date_time_ymd(2090, 1, 2).unix_timestamp() as f64
    });
}
