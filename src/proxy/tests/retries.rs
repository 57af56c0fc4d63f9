//! What is sent again, where, and how often.

use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::fake::{Act, broken, house, not_connected, retrying_house, stale};
use super::house::{Bytes, head, retry};
use crate::plan::pool::{Retry, RetryOn};
use crate::telemetry::{Cause, RetryOutcome};
use crate::upstream::{Reuse, SendError};

fn stale_act() -> Act {
    Act::Fail(stale())
}

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
async fn as_long_as_nobody_has_seen_it_five_are_asked_whatever_the_attempts_and_the_budget() {
    let refused = Act::Fail(not_connected(Cause::ConnectRefused));
    let rules = Retry {
        attempts: 1,
        budget: 0,
        ..retry()
    };
    let house = retrying_house(8, rules.clone(), [refused; 5]);
    let told = house
        .ask(head("POST", &[]), Some(&mut Bytes(b"order")))
        .await;
    assert_eq!(
        (told.status(), told.error()),
        (502, Some("connect-refused"))
    );
    let asked = house.proxy.transport().asked();
    let different: HashSet<u32> = asked.iter().map(|asked| asked.backend).collect();
    assert_eq!((asked.len(), different.len()), (5, 5));
    assert_eq!(house.pool().retries, retries(RetryOutcome::Failed));
    assert_eq!(house.in_flight(), 0);
    // Each once, if there are fewer; and four of five may be dead.
    let few = retrying_house(3, rules.clone(), [refused; 3]);
    few.ask(head("GET", &[]), None).await;
    assert_eq!(few.proxy.transport().asked().len(), 3);
    let acts = [refused, refused, refused, refused, Act::Answer(200, b"")];
    let most = retrying_house(5, rules, acts);
    assert_eq!(most.ask(head("GET", &[]), None).await.status(), 200);
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
async fn no_connection_while_others_are_answered_says_nothing_against_a_backend() {
    let dead = not_connected(Cause::ConnectTimeout);
    for (lives, in_row) in [(true, 0), (false, 1)] {
        let house = house(1, [Act::Fail(SendError { lives, ..dead })]);
        assert_eq!(house.ask(head("GET", &[]), None).await.status(), 504);
        assert_eq!(house.failures_in_row(), [in_row]);
        let failures = &house.backends()[0].failures;
        assert_eq!(failures[Cause::ConnectTimeout.index()], 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_acted_on_or_was_answered_goes_nowhere_else() {
    for (method, cause) in [
        ("POST", Cause::Closed),
        ("POST", Cause::Reset),
        ("PATCH", Cause::Reset),
        ("GET", Cause::Protocol),
        ("GET", Cause::BodyOverrun),
        ("GET", Cause::ResponseTimeout),
    ] {
        let house = house(2, [Act::Fail(broken(cause))]);
        let told = house.ask(head(method, &[]), None).await;
        assert_eq!(told.error(), Some(cause.as_str()));
        assert_eq!(house.proxy.transport().asked().len(), 1);
        assert_eq!(house.pool().retries, [0; RetryOutcome::COUNT]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_idempotent_goes_elsewhere_when_its_connection_ends() {
    let reset = Act::Fail(broken(Cause::Reset));
    let house = house(3, [reset, Act::Answer(200, b"")]);
    assert_eq!(house.ask(head("GET", &[]), None).await.status(), 200);
    let asked = house.proxy.transport().asked();
    assert_ne!(asked[0].backend, asked[1].backend);
    assert_eq!(house.pool().retries, retries(RetryOutcome::Ok));
    // So often as there are attempts.
    for attempts in 1..4 {
        let rules = Retry {
            attempts,
            ..retry()
        };
        let house = retrying_house(8, rules, [reset; 4]);
        let told = house.ask(head("GET", &[]), None).await;
        assert_eq!(told.error(), Some("reset"));
        let asked = house.proxy.transport().asked();
        assert_eq!(asked.len(), attempts as usize);
    }
    let on = RetryOn {
        reset: false,
        ..retry().on
    };
    let house = retrying_house(3, Retry { on, ..retry() }, [reset]);
    assert_eq!(house.ask(head("GET", &[]), None).await.status(), 502);
}

#[tokio::test(start_paused = true)]
async fn a_spent_budget_leaves_the_first_failure() {
    let reset = Act::Fail(broken(Cause::Reset));
    let refused = Act::Fail(not_connected(Cause::ConnectRefused));
    let good = Act::Answer(200, b"");
    let house = house(3, [reset, refused, good, stale_act(), good, reset, good]);
    let budget = house.budget();
    let held: Vec<_> = (0..3).map(|_| budget.permit(20, 0).unwrap()).collect();
    let told = house.ask(head("GET", &[]), None).await;
    assert_eq!((told.status(), told.error()), (502, Some("reset")));
    assert_eq!(house.pool().retries, retries(RetryOutcome::Budget));
    // What nobody has seen, and what was closed before, does not need it.
    assert_eq!(house.ask(head("POST", &[]), None).await.status(), 200);
    assert_eq!(house.ask(head("GET", &[]), None).await.status(), 200);
    assert_eq!(budget.active(), 3);
    drop(held);
    assert_eq!(house.ask(head("GET", &[]), None).await.status(), 200);
    assert_eq!(budget.active(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_order_with_a_key_is_as_good_as_idempotent() {
    for (key, again) in [(Some("k-1"), true), (Some(""), false), (None, false)] {
        for act in [stale_act(), Act::Fail(broken(Cause::Reset))] {
            let house = house(2, [act, Act::Answer(201, b"")]);
            let fields: Vec<_> = key
                .map(|key| ("Idempotency-Key", key))
                .into_iter()
                .collect();
            let told = house.ask(head("POST", &fields), None).await;
            assert_eq!(told.status(), if again { 201 } else { 502 }, "{key:?}");
            let reuse = house.proxy.transport().asked()[0].reuse;
            assert_eq!(reuse, if again { Reuse::Any } else { Reuse::Recent });
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_status_is_a_failure_if_the_pool_says_so() {
    let rules = Retry {
        on: RetryOn {
            statuses: vec![503..=503],
            ..retry().on
        },
        ..retry()
    };
    let busy = Act::Answer(503, b"busy");
    let acts = [busy, Act::Answer(200, b"")];
    let house = retrying_house(2, rules.clone(), acts);
    assert_eq!(house.ask(head("GET", &[]), None).await.status(), 200);
    let asked = house.proxy.transport().asked();
    assert_ne!(asked[0].backend, asked[1].backend);
    assert_eq!(house.pool().retries, retries(RetryOutcome::Ok));
    let requests: Vec<u64> = house
        .backends()
        .iter()
        .map(|total| total.requests.iter().sum())
        .collect();
    assert_eq!(requests, [1, 1]);
    assert_eq!(house.in_flight(), 0);
    // What nobody does better is passed on as it is; and so is what is no failure, or an order's.
    for (method, acts, status, outcome) in [
        ("GET", vec![busy, busy], 503, Some(RetryOutcome::Failed)),
        ("GET", vec![Act::Answer(500, b"")], 500, None),
        ("POST", vec![busy], 503, None),
    ] {
        let house = retrying_house(2, rules.clone(), acts);
        let told = house.ask(head(method, &[]), None).await;
        assert_eq!((told.status(), told.error()), (status, None));
        let counted = outcome.map_or([0; RetryOutcome::COUNT], retries);
        assert_eq!(house.pool().retries, counted, "{method} {status}");
    }
    let alone = retrying_house(1, rules, [busy]);
    let told = alone.ask(head("GET", &[]), None).await;
    assert_eq!((told.status(), &told.body[..]), (503, &b"busy"[..]));
    assert_eq!(alone.pool().retries, retries(RetryOutcome::NoneLeft));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_was_kept_goes_again_whole() {
    let rules = |replay_buffer| Retry {
        on: RetryOn {
            statuses: vec![500..=599],
            ..retry().on
        },
        replay_buffer,
        ..retry()
    };
    for first in [
        Act::FailHalfway(broken(Cause::Reset)),
        Act::FailHalfway(stale()),
        Act::Read(503, b""),
    ] {
        let house = retrying_house(2, rules(4), [first, Act::Read(200, b"")]);
        let told = house.ask(head("PUT", &[]), Some(&mut Bytes(b"body"))).await;
        assert_eq!(told.status(), 200, "{first:?}");
        let uploads = house.proxy.transport().uploads();
        assert!(
            uploads.iter().all(|upload| upload == b"body"),
            "{uploads:?}"
        );
        // An order is none the better for it.
        let order = retrying_house(2, rules(4), [first]);
        let told = order
            .ask(head("POST", &[]), Some(&mut Bytes(b"body")))
            .await;
        assert!(told.status() > 500);
        // Nor what is longer.
        let long = retrying_house(2, rules(3), [first]);
        let told = long.ask(head("PUT", &[]), Some(&mut Bytes(b"body"))).await;
        assert!(told.status() > 500);
    }
}

#[tokio::test(start_paused = true)]
async fn what_ran_out_of_its_try_is_tried_elsewhere() {
    let slow = Act::Fail(broken(Cause::ResponseTimeout));
    let rules = Retry {
        per_try_timeout: Some(Duration::from_millis(100)),
        ..retry()
    };
    let house = retrying_house(2, rules.clone(), [slow, Act::Answer(200, b"")]);
    assert_eq!(house.ask(head("GET", &[]), None).await.status(), 200);
    let order = retrying_house(2, rules, [slow]);
    assert_eq!(order.ask(head("POST", &[]), None).await.status(), 504);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_all_attempts_together() {
    let rules = Retry {
        deadline: Some(Duration::from_secs(2)),
        ..retry()
    };
    let house = retrying_house(3, rules, [Act::Hang]);
    let wheel = Rc::clone(house.worker.wheel()).run();
    let mut body = Bytes(b"order");
    let asking = house.answer(head("POST", &[]), Some(&mut body));
    let begun = Instant::now();
    let answer = tokio::select! {
        answer = asking => answer,
        () = wheel => unreachable!(),
    };
    let took = begun.elapsed();
    assert_eq!(answer.head.status(), 504);
    assert_eq!(
        answer.head.first_named(b"forecourt-error"),
        Some(&b"response-timeout"[..])
    );
    assert!(answer.last, "nobody knows how much of the body is left");
    assert!(
        took >= Duration::from_secs(2) && took < Duration::from_secs(3),
        "{took:?}"
    );
    assert_eq!(house.proxy.transport().asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_sent_again_gets_a_connection_used_just_now() {
    for (method, body, reuse) in [
        ("GET", None, Reuse::Any),
        ("DELETE", None, Reuse::Any),
        ("PUT", Some(b"body"), Reuse::Recent),
        ("POST", None, Reuse::Recent),
    ] {
        let house = house(1, [Act::Answer(200, b"")]);
        let mut body = body.map(|body| Bytes(body));
        house.ask(head(method, &[]), body.as_mut()).await;
        assert_eq!(house.proxy.transport().asked()[0].reuse, reuse, "{method}");
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
