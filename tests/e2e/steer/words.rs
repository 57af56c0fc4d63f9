//! Drain, maintenance and weights, and what of them outlives a reload.

use std::io::{Read, Write};
use std::net::Shutdown;

use super::*;
use crate::harness::{Behaviour, DEADLINE, pool, wait_until};
use crate::reload::reload;
use crate::sticky::Shopper;
use crate::tunnel::{ASK, GRANT, asked, backend, echo, read_exactly};

/// Who answers so many requests of one client.
fn answers(steered: &Steered, count: usize) -> Vec<String> {
    let mut client = steered.balancer.client("web");
    (0..count)
        .map(|_| client.get("/").origin().to_owned())
        .collect()
}

fn count(answers: &[String], name: &str) -> usize {
    answers.iter().filter(|answer| *answer == name).count()
}

#[test]
fn a_drain_keeps_new_requests_away_and_ready_undoes_it() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let steered = Steered::before(&pool("shop", "round-robin", &[&a, &b]));
    assert_eq!(count(&answers(&steered, 10), "a"), 5);
    let said = steered.steer("drain shop @ --wait", &a);
    assert!(said.contains("draining, weight 1, 0 in flight"), "{said}");
    assert_eq!(answers(&steered, 10), vec!["b"; 10]);
    let status = steered.status(&a);
    assert_eq!(
        (&status["state"], &status["state_by"], &status["standing"]),
        (&"draining".into(), &"operator".into(), &"draining".into())
    );
    let said = steered.steer("ready shop @ --json", &a);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (&said["state"], &said["state_by"]),
        (&"ready".into(), &"configuration".into())
    );
    assert_eq!(count(&answers(&steered, 10), "a"), 5);
    let log = steered.balancer.stderr();
    let audits: Vec<_> = log
        .lines()
        .filter(|line| line.contains("backend steered"))
        .collect();
    assert_eq!(audits.len(), 2, "{log}");
    for part in [
        "who=token from 127.0.0.1:".to_owned(),
        "pool=shop".to_owned(),
        format!("backend=\"{}\"", a.address()),
        "from=\"ready weight 1\" to=\"draining weight 1\"".to_owned(),
    ] {
        assert!(audits[0].contains(&part), "{audits:?} without {part}");
    }
    assert!(!log.contains(TOKEN));
}

#[test]
fn sessions_stay_while_it_drains_and_move_when_it_is_taken_out() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let with_sessions = pool("shop", "round-robin", &[&a, &b]) + "[pools.shop.sticky]\n";
    let steered = Steered::before(&with_sessions);
    let mut shoppers: Vec<_> = (0..4).map(|_| Shopper::at(&steered.balancer)).collect();
    steered.steer("drain shop @", &a);
    for shopper in &mut shoppers {
        shopper.stays(2);
    }
    assert_eq!(Shopper::at(&steered.balancer).ask("/").text(), "b");
    steered.steer("maint shop @", &a);
    let before = a.requests();
    for shopper in &mut shoppers {
        assert_eq!(shopper.ask("/basket").text(), "b");
    }
    assert_eq!(a.requests(), before);
}

#[test]
fn maintenance_cuts_nobody_and_wait_ends_with_the_last_request() {
    let [a, b] = ["a", "b"].map(Origin::named);
    a.behave(Behaviour::Gated);
    let steered = Steered::before(&pool("shop", "round-robin", &[&a, &b]));
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let answers = [(); 2].map(|()| steered.balancer.client("web").get("/"));
            answers.map(|answer| (answer.status, answer.is_whole(), answer.text()))
        });
        a.wait_for_requests(1);
        let late = steered.command("maint shop @ --wait --timeout 200ms", &a);
        assert_eq!(late.status.code(), Some(1));
        let said = String::from_utf8_lossy(&late.stderr).into_owned();
        assert!(
            said.contains("1 requests and 0 WebSockets still there after")
                && said.contains("it stays maintenance"),
            "{said}"
        );
        let waiting = scope.spawn(|| steered.steer("maint shop @ --wait", &a));
        wait_until(DEADLINE, "the second word", || {
            steered.balancer.stderr().matches("backend steered").count() == 2
        });
        a.open_gate();
        let said = waiting.join().unwrap();
        assert!(
            said.contains("maintenance, weight 1, 0 in flight"),
            "{said}"
        );
        let answers = asking.join().unwrap();
        assert!(
            answers
                .iter()
                .all(|(status, whole, _)| *status == 200 && *whole)
        );
    });
}

#[test]
fn a_weight_moves_shares_until_the_file_says_another() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let plain = pool("shop", "round-robin", &[&a, &b]);
    let steered = Steered::before(&plain);
    let said = steered.steer("weight shop @ 3", &a);
    assert!(said.contains("weight 3 (1 configured)"), "{said}");
    assert_eq!(count(&answers(&steered, 40), "a"), 30);
    // A file that says the same as before says nothing new.
    reload(&steered.balancer, &(steered.configuration(&plain)));
    let status = steered.status(&a);
    assert_eq!(
        (&status["weight"], &status["weight_configured"]),
        (&3.into(), &1.into())
    );
    assert_eq!(count(&answers(&steered, 40), "a"), 30);
    let heavier = plain.replace("id = \"a\"", "id = \"a\", weight = 9");
    reload(&steered.balancer, &steered.configuration(&heavier));
    assert_eq!(steered.status(&a)["weight"], 9);
    assert_eq!(count(&answers(&steered, 40), "a"), 36);
    // And what was set before is forgotten, not asleep.
    reload(&steered.balancer, &steered.configuration(&plain));
    assert_eq!(steered.status(&a)["weight"], 1);
    steered.steer("weight shop @ 0", &a);
    assert_eq!(count(&answers(&steered, 10), "a"), 0);
    let said = steered.steer("weight shop @ 1", &a);
    assert!(said.contains("weight 1,"), "{said}");
    assert_eq!(count(&answers(&steered, 10), "a"), 5);
}

#[test]
fn words_outlive_reloads() {
    let [a, b, c] = ["a", "b", "c"].map(Origin::named);
    let steered = Steered::before(&pool("shop", "round-robin", &[&a, &b]));
    steered.steer("maint shop @", &a);
    steered.steer("weight shop @ 7", &a);
    let more = pool("shop", "round-robin", &[&c, &a, &b]);
    reload(&steered.balancer, &steered.configuration(&more));
    assert_eq!(steered.status(&a)["state"], "maintenance");
    let before = a.requests();
    assert_eq!(count(&answers(&steered, 20), "c"), 10);
    assert_eq!(a.requests(), before);
    let table = program(&[
        "status",
        "--admin",
        &steered.balancer.address("admin").to_string(),
    ]);
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(table.contains("7 (1) maintenance"), "{table}");
}

#[test]
fn what_is_not_there_is_answered_with_what_is() {
    let a = Origin::named("a");
    let steered = Steered::before(&pool("shop", "round-robin", &[&a]));
    for (words, part) in [
        ("drain shed @", "there is no pool \"shed\", but shop"),
        (
            "drain shop 127.0.0.1:1",
            "has no backend \"127.0.0.1:1\", but 127.0.0.1:",
        ),
        (
            "weight shop @ 70000",
            "the weight 70000 is not in 0 to 65535",
        ),
    ] {
        let output = steered.command(words, &a);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{words}: {said}");
        assert!(said.contains(part), "{said} without {part}");
    }
    let nobody = program(&[
        "backend",
        "drain",
        "shop",
        "127.0.0.1:1",
        "--admin",
        "127.0.0.1:1",
    ]);
    assert_eq!(nobody.status.code(), Some(3));
}

/// The README's lines do what it says, with the address of a backend that is there.
#[test]
fn the_readmes_commands_work() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let steered = Steered::before(&pool("shop", "round-robin", &[&a, &b]));
    let readme = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let lines: Vec<_> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("forecourt backend "))
        .collect();
    assert_eq!(lines.len(), 4, "{lines:?}");
    for line in lines {
        let words = line.strip_suffix("--token-file admin.token").unwrap();
        steered.steer(&words.replace("10.0.0.11:8080", "@"), &a);
    }
    assert_eq!(count(&answers(&steered, 40), "a"), 30);
}

/// By a reload, and by a drain without a deadline of its own, as `drain` of the pool has it.
#[test]
fn websockets_of_a_backend_that_is_removed_or_drained_are_told_to_go() {
    let [one, other] = [(); 2].map(|()| backend(GRANT, echo));
    let pool = |address| {
        format!(
            "[pools.shop]\nbackends = [{{ address = \"{address}\" }}]\n\
             [pools.shop.drain]\nstreams = \"0s\"\nspread = \"50ms\"\n"
        )
    };
    let steered = Steered::before(&pool(one));
    let mut crowd: Vec<_> = (0..20).map(|_| asked(&steered.balancer, ASK).0).collect();
    let status = |address| {
        let path = format!("/v1/pools/shop/backends/{address}");
        let answer = steered.balancer.admin(&path);
        serde_json::from_slice::<Value>(&answer.body).unwrap()
    };
    assert_eq!(status(one)["streams"], 20);
    reload(&steered.balancer, &steered.configuration(&pool(other)));
    let mut late = asked(&steered.balancer, ASK).0;
    let see_off = |stream: &mut std::net::TcpStream| {
        assert_eq!(read_exactly(stream, 4), [0x88, 2, 0x03, 0xe9]);
        stream
            .write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9])
            .unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    };
    crowd.iter_mut().for_each(see_off);
    wait_until(DEADLINE, "the log to say so", || {
        let log = steered.balancer.stderr();
        log.contains("a removed backend is seen off") && log.contains("is_empty=true")
    });
    // Nobody else was meant.
    assert_eq!(status(other)["streams"], 1);
    let drain = steered.command_at("drain shop @", &other.to_string());
    assert!(drain.status.success(), "{drain:?}");
    see_off(&mut late);
    wait_until(DEADLINE, "nothing is left", || {
        let status = status(other);
        status["in_flight"] == 0 && status["streams"] == 0
    });
}

/// At the deadline of a drain WebSockets are told to go, and new ones go elsewhere; nobody who answers is cut.
#[test]
fn websockets_are_told_to_go_at_the_deadline() {
    let [one, other] = [(); 2].map(|()| backend(GRANT, echo));
    let pool = format!(
        "[pools.shop]\nbackends = [{{ address = \"{one}\" }}, {{ address = \"{other}\" }}]\n\
         [pools.shop.drain]\nspread = \"500ms\"\n"
    );
    let steered = Steered::before(&pool);
    let one = one.to_string();
    let maint = steered.command_at("maint shop @", &other.to_string());
    assert!(maint.status.success(), "{maint:?}");
    let mut crowd: Vec<_> = (0..40).map(|_| asked(&steered.balancer, ASK).0).collect();
    let ready = steered.command_at("ready shop @", &other.to_string());
    assert!(ready.status.success(), "{ready:?}");
    let drain = steered.command_at("drain shop @ --deadline 50ms", &one);
    assert!(drain.status.success(), "{drain:?}");
    // Whoever comes now is at the other, and stays.
    let mut late = asked(&steered.balancer, ASK).0;
    std::thread::scope(|scope| {
        let waiting =
            scope.spawn(|| steered.command_at("maint shop @ --deadline 50ms --wait", &one));
        for stream in &mut crowd {
            assert_eq!(read_exactly(stream, 4), [0x88, 2, 0x03, 0xe9]);
            stream
                .write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9])
                .unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        }
        let waited = waiting.join().unwrap();
        assert!(waited.status.success(), "{waited:?}");
    });
    late.write_all(b"x").unwrap();
    assert_eq!(read_exactly(&mut late, 1), b"x");
    assert!(steered.balancer.stderr().contains("who=\"deadline\""));
}
