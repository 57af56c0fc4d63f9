//! Each exchange is recorded once, whatever way it went, and holds no backend afterwards.

use std::time::Duration;

use super::fake::{Act, house, not_connected};
use super::house::{House, head};
use crate::message::body::{AnswerBody, BodyFailure, Ending};
use crate::telemetry::{Cause, CodeClass};
use crate::upstream::Transport;

/// Asserts that one exchange was counted, of this class, and that it is in the log once with this error.
fn assert_recorded<T: Transport>(house: House<T>, class: CodeClass, error: Option<&str>) {
    let mut once = [0; CodeClass::COUNT];
    once[class.index()] = 1;
    assert_eq!(house.route().requests, once);
    assert_eq!(house.route().duration.count(), 1);
    assert_eq!(house.in_flight(), 0);
    let records = house.records();
    assert_eq!(records.len(), 1, "{records:?}");
    let logged = records[0]
        .get("forecourt.error")
        .and_then(|error| error.as_str());
    assert_eq!(logged, error, "{records:?}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_delivered() {
    let house = house(1, [Act::Answer(404, b"none")]);
    house.ask(head("GET", &[]), None).await;
    assert_eq!(
        house.backends()[0].requests[CodeClass::ClientError.index()],
        1
    );
    assert_recorded(house, CodeClass::ClientError, None);
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_came_to_good() {
    let refused = Act::Fail(not_connected(Cause::ConnectRefused));
    let house = house(2, [refused, Act::Answer(200, b"")]);
    house.ask(head("GET", &[]), None).await;
    assert_recorded(house, CodeClass::Success, None);
}

#[tokio::test(start_paused = true)]
async fn a_reply_of_our_own() {
    let refused = Act::Fail(not_connected(Cause::ConnectRefused));
    let house = house(1, [refused]);
    house.ask(head("GET", &[]), None).await;
    assert_recorded(house, CodeClass::ServerError, Some("connect-refused"));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_breaks_off() {
    let house = house(1, [Act::Cut(b"half", BodyFailure::Cut)]);
    house.ask(head("GET", &[]), None).await;
    let total = &house.backends()[0];
    assert_eq!(total.failures[Cause::BodyTruncated.index()], 1);
    assert_recorded(house, CodeClass::Success, Some("body-truncated"));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_while_the_backend_thinks() {
    let house = house(1, [Act::Hang]);
    let asking = house.answer(head("GET", &[]), None);
    let waited = tokio::time::timeout(Duration::from_secs(1), asking).await;
    assert!(waited.is_err());
    let total = &house.backends()[0];
    assert_eq!(total.requests[CodeClass::Aborted.index()], 1);
    assert_recorded(house, CodeClass::Aborted, Some("client-aborted"));
}

#[tokio::test(start_paused = true)]
async fn a_future_that_is_never_polled_claims_and_records_nothing() {
    let house = house(1, []);
    drop(house.answer(head("GET", &[]), None));
    assert_eq!(house.in_flight(), 0);
    assert!(house.records().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_dropped() {
    let house = house(1, [Act::Answer(200, b"unread")]);
    let answer = house.answer(head("GET", &[]), None).await;
    assert_eq!(house.in_flight(), 1);
    assert_eq!(house.route().duration.count(), 0);
    drop(answer);
    assert_recorded(house, CodeClass::Aborted, Some("client-aborted"));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_the_client_does_not_take() {
    for (how, cause) in [
        (Ending::ClientGone, "client-aborted"),
        (Ending::ClientStalled, "client-too-slow"),
        (Ending::UploadFailed(BodyFailure::Cut), "client-aborted"),
        (Ending::UploadFailed(BodyFailure::Malformed), "bad-request"),
        (
            Ending::UploadFailed(BodyFailure::TooLarge),
            "body-too-large",
        ),
        (
            Ending::UploadFailed(BodyFailure::TooSlow),
            "client-too-slow",
        ),
        (
            Ending::UploadFailed(BodyFailure::TimedOut),
            "request-body-timeout",
        ),
    ] {
        let house = house(1, [Act::Answer(200, b"unread")]);
        let mut answer = house.answer(head("GET", &[]), None).await;
        answer.body.end(how, std::time::Instant::now());
        assert_eq!(house.in_flight(), 1, "the claim lasts as long as the body");
        drop(answer);
        assert_recorded(house, CodeClass::Aborted, Some(cause));
    }
}

#[tokio::test(start_paused = true)]
async fn many_at_once() {
    let house = house(3, vec![Act::Answer(200, b"x"); 50]);
    let mut answers = Vec::new();
    for _ in 0..50 {
        answers.push(house.answer(head("GET", &[]), None).await);
    }
    assert_eq!(house.in_flight(), 50);
    drop(answers);
    assert_eq!(house.in_flight(), 0);
    assert_eq!(house.route().requests[CodeClass::Aborted.index()], 50);
    assert_eq!(house.records().len(), 50);
}
