//! 421: a host that has another certificate on this listener.

use super::*;

#[test]
fn a_host_of_another_certificate_is_misdirected() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::named("a");
    let authority = Authority::new("ca");
    for (name, names) in [
        ("a", &["a.example", "both.example"][..]),
        ("b", &["b.example", "both.example"]),
        ("wild", &["*.wild.example"]),
    ] {
        authority.issue(names).write(folder.path(), name);
    }
    let names = ["a", "b", "wild"];
    let balancer = Balancer::start(&configuration(folder.path(), &names, "", &origin));
    let address = balancer.address("secure");
    for (asked, host, status) in [
        (Some("a.example"), "a.example", 200),
        (Some("a.example"), "A.Example.:443", 200),
        (Some("a.example"), "both.example", 200),
        (Some("a.example"), "b.example", 421),
        (Some("a.example"), "B.EXAMPLE.:443", 421),
        (Some("a.example"), "x.wild.example", 421),
        (Some("x.wild.example"), "y.wild.example", 200),
        (Some("x.wild.example"), "a.example", 421),
        (Some("a.example"), "unknown.example", 200),
        (Some("b.example"), "unknown.example", 200),
        (Some("b.example"), "127.0.0.1", 200),
        (Some("b.example"), "[::1]:8443", 200),
        (Some("unknown.example"), "a.example", 200),
        (Some("unknown.example"), "b.example", 421),
        (None, "b.example", 200),
    ] {
        let mut visit = Visitor::new().try_visit(address, asked).unwrap();
        let told = visit.ask(host);
        assert_eq!(told.status, status, "{asked:?} {host}");
        let cause = told
            .text
            .to_lowercase()
            .contains("forecourt-error: misdirected");
        assert_eq!(cause, status == 421, "{}", told.text);
        // The connection is good for what it was made for.
        if let Some(asked) = asked {
            assert_eq!(visit.ask(asked).status, 200, "{asked} behind {host}");
        }
    }
    let labels = [("listener", "secure"), ("cause", "misdirected")];
    let refused = Figures::of(&balancer).sum("forecourt_refused_total", &labels);
    assert_eq!(refused, 5.0);
}

#[test]
fn with_one_certificate_nothing_is() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::named("a");
    Authority::new("ca")
        .issue(&["a.example", "b.example"])
        .write(folder.path(), "a");
    let balancer = Balancer::start(&configuration(folder.path(), &["a"], "", &origin));
    let mut visit = Visitor::new().visit(balancer.address("secure"), "a.example");
    for host in ["a.example", "b.example", "c.example"] {
        assert_eq!(visit.ask(host).status, 200);
    }
}
