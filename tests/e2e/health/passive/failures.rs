//! Several failures in a row.

use super::super::super::harness::{Balancer, Behaviour, DEADLINE, Origin, Request, wait_until};
use super::super::super::reload::reload;
use super::{
    EJECTED, NO_MORE, answers, ask, ejections, lines, metric, standing, wait_for_picks_of,
    wait_for_standing, watched,
};

#[test]
fn five_in_a_row_eject_and_four_do_not() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let balancer = Balancer::start(&watched(&[&a, &b], ""));
    for _ in 0..3 {
        a.behave(Behaviour::Status(503));
        let before = a.requests();
        while a.requests() < before + 4 {
            ask(&balancer, 1);
        }
        a.behave(Behaviour::Answer);
        while a.requests() < before + 5 {
            ask(&balancer, 1);
        }
    }
    assert_eq!(standing(&balancer, &a), "ready");
    assert_eq!(metric(&balancer, "forecourt_backend_up", &a, ""), 1.0);
    assert_eq!(ejections(&balancer, &a, "failures"), 0.0);
    a.behave(Behaviour::Status(503));
    let before = a.requests();
    while a.requests() < before + 5 {
        ask(&balancer, 1);
    }
    wait_for_standing(&balancer, &a, "ejected");
    wait_for_picks_of(&balancer, &["b"]);
    let before = a.requests();
    assert_eq!(answers(&balancer, 20), vec!["b"; 20]);
    assert_eq!(a.requests(), before);
    assert_eq!(metric(&balancer, "forecourt_backend_up", &a, ""), 0.0);
    assert_eq!(ejections(&balancer, &a, "failures"), 1.0);
    let said = lines(&balancer, EJECTED);
    assert_eq!(said.len(), 1, "{said:?}");
    for part in [
        "pool=shop".to_owned(),
        format!("backend={}", a.address()),
        "from=ready to=ejected cause=\"failures\"".to_owned(),
        "seconds=30".to_owned(),
    ] {
        assert!(said[0].contains(&part), "{said:?} without {part}");
    }
}

/// Each kind of failure, as long as it is the backend's.
#[test]
fn failures_of_each_kind_count() {
    for behaviour in [
        Behaviour::Close,
        Behaviour::CutBody,
        Behaviour::Garbage,
        Behaviour::Reset,
        Behaviour::ResetBody,
        Behaviour::Status(502),
        Behaviour::Status(504),
    ] {
        let [a, b] = ["a", "b"].map(Origin::named);
        let balancer = Balancer::start(&watched(&[&a, &b], "success_rate = false"));
        a.behave(behaviour.clone());
        wait_until(DEADLINE, &format!("an ejection for {behaviour:?}"), || {
            let _ = balancer.client("web").try_send(&Request::get("/"));
            standing(&balancer, &a) == "ejected"
        });
        assert!(a.requests() >= 5, "{behaviour:?}: {}", a.requests());
        assert_eq!(standing(&balancer, &b), "ready");
    }
}

#[test]
fn a_backend_that_is_gone_is_asked_no_more_and_comes_back_after_its_time() {
    let [mut a, b] = ["a", "b"].map(Origin::named);
    let lines_of = "base_ejection = \"300ms\"";
    let balancer = Balancer::start(&watched(&[&a, &b], lines_of));
    a.refuse();
    wait_until(DEADLINE, "an ejection", || {
        // Each request is answered, by the other one.
        assert!(answers(&balancer, 4).iter().all(|name| name == "b"));
        !lines(&balancer, EJECTED).is_empty()
    });
    a.accept_again();
    wait_until(DEADLINE, "its return", || {
        answers(&balancer, 4).contains(&"a".to_owned())
    });
    let said = lines(&balancer, NO_MORE);
    assert!(said[0].contains("its time is over"), "{said:?}");
    wait_for_standing(&balancer, &a, "ready");
}

#[test]
fn the_last_that_is_well_is_never_ejected() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let balancer = Balancer::start(&watched(&[&a, &b], "max_ejected = \"100%\""));
    for origin in [&a, &b] {
        origin.behave(Behaviour::Status(503));
    }
    wait_until(DEADLINE, "an ejection", || {
        ask(&balancer, 1);
        !lines(&balancer, EJECTED).is_empty()
    });
    ask(&balancer, 40);
    let out = [&a, &b].map(|origin| standing(&balancer, origin));
    assert!(
        out.contains(&"ejected".to_owned()) && out.contains(&"ready".to_owned()),
        "{out:?}"
    );
    assert_eq!(lines(&balancer, EJECTED).len(), 1);
    // Alone in its pool it has nobody to take its place.
    let alone = Origin::named("alone");
    alone.behave(Behaviour::Status(503));
    let balancer = Balancer::start(&watched(&[&alone], ""));
    ask(&balancer, 20);
    assert_eq!(standing(&balancer, &alone), "ready");
}

#[test]
fn what_clients_break_off_counts_for_nobody() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let balancer = Balancer::start(&watched(&[&a, &b], ""));
    a.behave(Behaviour::Hang);
    b.behave(Behaviour::Hang);
    for count in 1..=20 {
        let mut client = balancer.client("web");
        client
            .send_raw(&Request::get("/").to_bytes())
            .expect("sent");
        wait_until(DEADLINE, "the request", || {
            a.requests() + b.requests() >= count
        });
        client.reset();
    }
    wait_until(DEADLINE, "their records", || {
        balancer.stdout().matches("\"client-aborted\"").count() == 20
    });
    for origin in [&a, &b] {
        assert_eq!(standing(&balancer, origin), "ready");
    }
    assert!(lines(&balancer, EJECTED).is_empty());
}

#[test]
fn a_reload_forgives_nothing_and_switching_it_off_does() {
    let [a, b, c] = ["a", "b", "c"].map(Origin::named);
    let balancer = Balancer::start(&watched(&[&a, &b], ""));
    a.behave(Behaviour::Status(502));
    wait_until(DEADLINE, "an ejection", || {
        ask(&balancer, 2);
        standing(&balancer, &a) == "ejected"
    });
    wait_for_picks_of(&balancer, &["b"]);
    a.behave(Behaviour::Answer);
    let before = a.requests();
    for changed in ["", "consecutive = 7\ninterval = \"5s\""] {
        reload(&balancer, &watched(&[&a, &b, &c], changed));
        assert!(!answers(&balancer, 20).contains(&"a".to_owned()));
        assert_eq!(standing(&balancer, &a), "ejected");
    }
    assert_eq!(a.requests(), before);
    let off = "consecutive = 0\nsuccess_rate = false";
    reload(&balancer, &watched(&[&a, &b, &c], off));
    wait_for_picks_of(&balancer, &["a", "b", "c"]);
    a.behave(Behaviour::Status(502));
    ask(&balancer, 40);
    assert_eq!(standing(&balancer, &a), "ready");
}

#[test]
fn checks_that_succeed_end_an_ejection() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let health = "[pools.shop.health]\npath = \"/healthz\"\ninterval = \"100ms\"";
    let balancer = Balancer::start(&(watched(&[&a, &b], "") + health));
    a.on("/", Behaviour::Status(503));
    wait_until(DEADLINE, "an ejection", || {
        ask(&balancer, 2);
        !lines(&balancer, EJECTED).is_empty()
    });
    a.on("/", Behaviour::Answer);
    wait_until(DEADLINE, "the end of it", || {
        let said = lines(&balancer, NO_MORE);
        said.iter()
            .any(|line| line.contains("its health checks succeed"))
    });
    wait_for_picks_of(&balancer, &["a", "b"]);
}
