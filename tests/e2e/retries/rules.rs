//! What a pool may say: attempts, budget, statuses, deadlines, bodies that are kept.

use super::{asked, balancer};
use crate::failure::{Script, front, write};
use crate::harness::{Balancer, Behaviour, DEADLINE, Origin, Request, wait_for};
use crate::metrics::wait_for_records;

#[test]
fn a_status_can_be_a_failure() {
    let (busy, good) = (Origin::named("busy"), Origin::named("good"));
    busy.behave(Behaviour::Status(503));
    let balancer = balancer(&[&busy, &good], "on = [\"connect\", \"stale\", \"503\"]");
    let mut client = balancer.client("web");
    for _ in 0..10 {
        assert_eq!(client.get("/").origin(), "good");
    }
    assert!(asked(&busy, "GET") >= 4);
    assert_eq!(
        busy.connections(),
        1,
        "its answer is read, and it is used again"
    );
    let mut refused = 0;
    for _ in 0..4 {
        refused += usize::from(client.send(&Request::post("/", b"order")).status == 503);
    }
    assert_eq!((asked(&busy, "POST"), refused > 0), (refused, true));
    // When nobody does better, what the last one says is passed on.
    good.behave(Behaviour::Status(503));
    let response = client.get("/");
    assert_eq!((response.status, response.cause()), (503, None));
    assert!(["busy", "good"].contains(&response.text().as_str()));
}

#[test]
fn a_body_that_is_kept_is_sent_again_whole() {
    let (bad, good) = (Origin::named("bad"), Origin::named("good"));
    bad.behave(Behaviour::Reset);
    let balancer = balancer(&[&bad, &good], "replay_buffer = \"64KiB\"");
    let mut client = balancer.client("web");
    let small: Vec<u8> = (0..60_000_u32).map(|n| (n % 251) as u8).collect();
    for _ in 0..4 {
        let put = Request::new("PUT", "/").chunks(&[&small[..1000], &small[1000..]]);
        assert_eq!(client.send(&put).origin(), "good");
    }
    assert!(asked(&bad, "PUT") > 0);
    assert!(good.received().iter().all(|request| request.body == small));
    let large = vec![b'x'; 70_000];
    let put = Request::new("PUT", "/").chunks(&[&large]);
    let statuses: Vec<u16> = (0..4).map(|_| client.send(&put).status).collect();
    assert!(statuses.contains(&502), "{statuses:?}");
}

#[test]
fn a_try_has_a_time_of_its_own_and_all_of_them_have_one_together() {
    let (hangs, good) = (Origin::named("hangs"), Origin::named("good"));
    hangs.behave(Behaviour::Hang);
    let each = balancer(&[&hangs, &good], "per_try_timeout = \"150ms\"");
    let mut client = each.client("web");
    for _ in 0..4 {
        assert_eq!(client.get("/").origin(), "good");
    }
    assert!(hangs.requests() > 0);
    let order = Request::post("/", b"order");
    let statuses: Vec<u16> = (0..2).map(|_| client.send(&order).status).collect();
    assert!(statuses.contains(&504), "{statuses:?}");

    good.behave(Behaviour::Hang);
    hangs.forget();
    let together = balancer(
        &[&hangs, &good],
        "attempts = 15\nper_try_timeout = \"10m\"\ndeadline = \"300ms\"",
    );
    let mut client = together.client("web");
    for request in [Request::get("/"), order] {
        let response = client.send(&request);
        assert_eq!(
            (response.status, response.cause()),
            (504, Some("response-timeout"))
        );
    }
    wait_for_records(&together, 2);
}

/// Two backends, of which the first to be asked fails and the second hangs: three such retries are all that the budget
/// of so few requests allows at once.
#[test]
fn a_spent_budget_leaves_failures_as_they_are() {
    let scripts = [Script::new(), Script::new()];
    let backends = scripts
        .each_ref()
        .map(|script| format!("{{ address = \"{}\" }}", script.address()));
    let pool = format!("[pools.shop]\nbackends = [{}]\n", backends.join(", "));
    let balancer = Balancer::start(&(front("") + &pool));
    let accepted = || {
        let stream = wait_for(DEADLINE, "an attempt", || {
            scripts.iter().find_map(Script::accepted)
        });
        let mut wire = crate::harness::Wire::new(stream);
        wire.read_head().unwrap();
        wire
    };
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let mut client = balancer.client("web");
        client.send_raw(&Request::get("/").to_bytes()).unwrap();
        drop(accepted());
        waiting.push((client, accepted()));
    }
    let mut client = balancer.client("web");
    client.send_raw(&Request::get("/").to_bytes()).unwrap();
    drop(accepted());
    assert_eq!(client.read_response("GET").unwrap().status, 502);
    // One place is free again, and taken.
    let (mut answered, wire) = waiting.pop().unwrap();
    write(
        &wire,
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    );
    assert_eq!(answered.read_response("GET").unwrap().status, 200);
    client.send_raw(&Request::get("/").to_bytes()).unwrap();
    drop(accepted());
    let last = accepted();
    write(
        &last,
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    );
    assert_eq!(client.read_response("GET").unwrap().status, 200);
    for (_, wire) in &waiting {
        write(
            wire,
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        );
    }
    for (client, _) in &mut waiting {
        assert_eq!(client.read_response("GET").unwrap().status, 200);
    }
    let figures = wait_for_records(&balancer, 5);
    let retries = figures.by("forecourt_retries_total", "outcome", &[]);
    assert_eq!(
        (retries["budget"], retries["ok"]),
        (1.0, 4.0),
        "{retries:?}"
    );
}

#[test]
fn what_is_off_is_off() {
    let (bad, good) = (Origin::named("bad"), Origin::named("good"));
    for (rules, behaviour) in [
        ("on = []", Behaviour::Reset),
        ("attempts = 1", Behaviour::Reset),
        ("budget = \"0%\"", Behaviour::Close),
    ] {
        bad.behave(behaviour);
        let balancer = balancer(&[&bad, &good], rules);
        let mut client = balancer.client("web");
        let statuses: Vec<u16> = (0..4).map(|_| client.get("/").status).collect();
        assert!(statuses.contains(&502), "{rules}: {statuses:?}");
    }
}
