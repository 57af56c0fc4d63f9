//! What is sent again, where, and how often.

use super::fake::{Act, broken, house, not_connected, stale};
use super::house::{Bytes, head};
use crate::telemetry::{Cause, RetryOutcome};

fn retries(outcome: RetryOutcome) -> [u64; RetryOutcome::COUNT] {
    let mut retries = [0; RetryOutcome::COUNT];
    retries[outcome.index()] = 1;
    retries
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_does_not_come_about_is_tried_elsewhere_whatever_the_method() {
    for method in ["GET", "POST"] {
        let refused = Act::Fail(not_connected(Cause::ConnectRefused));
        let house = house(3, [refused, Act::Answer(200, b"hello")]);
        let told = house
            .ask(head(method, &[]), Some(&mut Bytes(b"body")))
            .await;
        assert_eq!((told.status(), &told.body[..]), (200, &b"hello"[..]));
        let asked = house.proxy.transport().asked();
        assert_eq!(asked.len(), 2);
        assert_ne!(asked[0].backend, asked[1].backend);
        assert!(!asked[1].fresh);
        assert_eq!(house.pool().retries, retries(RetryOutcome::Ok));
        let failed: Vec<u64> = house
            .backends()
            .iter()
            .map(|total| total.failures[Cause::ConnectRefused.index()])
            .collect();
        assert_eq!(failed.iter().sum::<u64>(), 1);
        assert_eq!(failed[asked[0].backend as usize], 1);
        assert_eq!(house.in_flight(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn two_attempts_are_all() {
    let refused = Act::Fail(not_connected(Cause::ConnectRefused));
    let house = house(3, [refused, refused, refused]);
    let told = house.ask(head("GET", &[]), None).await;
    assert_eq!(
        (told.status(), told.error()),
        (502, Some("connect-refused"))
    );
    assert_eq!(house.proxy.transport().asked().len(), 2);
    assert_eq!(house.pool().retries, retries(RetryOutcome::Failed));
    assert_eq!(house.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_last_real_failure_is_told() {
    let timeout = Act::Fail(not_connected(Cause::ConnectTimeout));
    let alone = house(1, [timeout]);
    let told = alone.ask(head("GET", &[]), None).await;
    assert_eq!(
        (told.status(), told.error()),
        (504, Some("connect-timeout"))
    );
    assert_eq!(alone.pool().retries, retries(RetryOutcome::NoneLeft));
    let two = house(2, [timeout, Act::Fail(broken(Cause::Reset))]);
    let told = two.ask(head("GET", &[]), None).await;
    assert_eq!((told.status(), told.error()), (502, Some("reset")));
    assert_eq!(two.pool().retries, retries(RetryOutcome::Failed));
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_twice_once_it_was_sent() {
    for cause in [
        Cause::Closed,
        Cause::Reset,
        Cause::Protocol,
        Cause::ResponseTimeout,
    ] {
        let house = house(2, [Act::Fail(broken(cause))]);
        let told = house.ask(head("GET", &[]), None).await;
        assert_eq!(told.error(), Some(cause.as_str()));
        assert_eq!(house.proxy.transport().asked().len(), 1);
        assert_eq!(house.pool().retries, [0; RetryOutcome::COUNT]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_of_which_some_was_sent_goes_nowhere_else() {
    let house = house(2, [Act::FailHalfway(stale())]);
    let told = house.ask(head("PUT", &[]), Some(&mut Bytes(b"body"))).await;
    assert_eq!((told.status(), told.error()), (502, Some("closed")));
    assert_eq!(house.proxy.transport().asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stale_connection_is_made_good_once_and_on_a_fresh_one() {
    for (method, again) in [
        ("GET", true),
        ("HEAD", true),
        ("OPTIONS", true),
        ("PUT", true),
        ("DELETE", true),
        ("POST", false),
        ("PATCH", false),
        ("PROPFIND", false),
    ] {
        let house = house(1, [Act::Fail(stale()), Act::Answer(200, b"")]);
        let told = house.ask(head(method, &[]), None).await;
        let asked = house.proxy.transport().asked();
        if again {
            assert_eq!(told.status(), 200, "{method}");
            let fresh: Vec<bool> = asked.iter().map(|asked| asked.fresh).collect();
            assert_eq!(fresh, [false, true], "{method}");
        } else {
            assert_eq!(
                (told.status(), told.error()),
                (502, Some("closed")),
                "{method}"
            );
            assert_eq!(asked.len(), 1, "{method}");
        }
    }
    let twice = house(1, [Act::Fail(stale()), Act::Fail(stale())]);
    let told = twice.ask(head("GET", &[]), None).await;
    assert_eq!((told.status(), told.error()), (502, Some("closed")));
    assert_eq!(twice.proxy.transport().asked().len(), 2);
    assert_eq!(twice.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_the_client_did_is_nobodys_failure_and_not_sent_again() {
    for cause in [
        Cause::ClientAborted,
        Cause::BadRequest,
        Cause::RequestBodyTimeout,
    ] {
        let house = house(2, [Act::Fail(broken(cause))]);
        let told = house.ask(head("GET", &[]), None).await;
        assert_eq!(told.error(), Some(cause.as_str()));
        assert_eq!(house.proxy.transport().asked().len(), 1);
        let failures: u64 = house
            .backends()
            .iter()
            .flat_map(|total| {
                Cause::of_backend()
                    .iter()
                    .map(|cause| total.failures[cause.index()])
            })
            .sum();
        assert_eq!(failures, 0);
    }
}
