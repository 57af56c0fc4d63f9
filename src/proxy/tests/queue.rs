//! What becomes of requests that find all backends full.

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::fake::{Act, house, not_connected};
use super::house::{QUEUE, head};
use crate::backend::OperatorWord;
use crate::telemetry::{Cause, QueueOutcome};

const OK: Act = Act::Answer(200, b"hello");

fn once(outcome: QueueOutcome) -> [u64; QueueOutcome::COUNT] {
    let mut counts = [0; QueueOutcome::COUNT];
    counts[outcome.index()] = 1;
    counts
}

fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test(start_paused = true)]
async fn a_full_backend_is_passed_over_also_when_it_is_its_turn() {
    let house = house(3, [OK; 6]);
    house.limit(0, 2, 0);
    let mut held = Vec::new();
    for _ in 0..6 {
        held.push(house.answer(head("GET", &[]), None).await);
    }
    let mut asked = [0; 3];
    for one in house.proxy.transport().asked() {
        asked[one.backend as usize] += 1;
    }
    assert_eq!(asked, [2; 3]);
    let told = house.ask(head("GET", &[]), None).await;
    assert_eq!((told.status(), told.error()), (503, Some("queue-full")));
    assert_eq!(told.head.first_named(b"retry-after"), Some(&b"1"[..]));
    assert_eq!(house.pool().queue, once(QueueOutcome::Full));
    drop(held);
    assert_eq!(house.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_has_the_place_that_becomes_free_and_the_log_says_how_long_it_took() {
    let house = house(2, [OK; 2]);
    house.limit(1, 0, 1);
    {
        let first = house.answer(head("GET", &[]), None).await;
        assert_eq!(house.door().taken(), 1);
        let mut second = pin!(house.answer(head("GET", &[]), None));
        assert!(poll(second.as_mut()).is_pending());
        assert_eq!(house.door().waiting(), 1);
        tokio::time::advance(QUEUE / 2).await;
        drop(first);
        let Poll::Ready(second) = poll(second.as_mut()) else {
            panic!("the place is free");
        };
        assert_eq!(second.head.status(), 200);
        assert_eq!(house.pool().queue, once(QueueOutcome::Admitted));
        drop(second);
    }
    assert_eq!((house.door().taken(), house.door().waiting()), (0, 0));
    assert_eq!(house.in_flight(), 0);
    let records = house.records();
    let waited = records[1]["forecourt.times.queue"].as_u64().unwrap();
    assert_eq!(u128::from(waited), (QUEUE / 2).as_nanos());
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_may_be_or_once_its_client_has_gone() {
    let house = house(1, [OK]);
    house.limit(0, 1, 1);
    let first = house.answer(head("GET", &[]), None).await;
    {
        let mut gone = pin!(house.answer(head("GET", &[]), None));
        assert!(poll(gone.as_mut()).is_pending());
    }
    assert_eq!(house.door().waiting(), 0);
    assert_eq!(house.pool().queue, once(QueueOutcome::Left));
    let wheel = Rc::clone(house.worker.wheel()).run();
    let told = tokio::select! {
        told = house.ask(head("GET", &[]), None) => told,
        () = wheel => unreachable!("it turns for ever"),
    };
    assert_eq!((told.status(), told.error()), (503, Some("queue-timeout")));
    assert_eq!(told.head.first_named(b"retry-after"), Some(&b"1"[..]));
    assert_eq!(house.pool().queue[QueueOutcome::Timeout.index()], 1);
    drop(first);
    assert_eq!((house.in_flight(), house.door().waiting()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_retry_waits_for_the_other_backend_and_gives_its_own_place_up() {
    let refused = Act::Fail(not_connected(Cause::ConnectRefused));
    let house = house(2, [OK, refused, OK]);
    house.limit(0, 1, 1);
    let first = house.answer(head("GET", &[]), None).await;
    let mut second = pin!(house.answer(head("POST", &[]), None));
    assert!(poll(second.as_mut()).is_pending());
    assert_eq!((house.in_flight(), house.door().waiting()), (1, 1));
    drop(first);
    let Poll::Ready(second) = poll(second.as_mut()) else {
        panic!("the place is free");
    };
    assert_eq!(second.head.status(), 200);
    drop(second);
    assert_eq!((house.in_flight(), house.door().waiting()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_is_not_sent_to_a_backend_that_was_taken_out_meanwhile() {
    for word in [OperatorWord::Draining, OperatorWord::Maintenance] {
        let house = house(2, [OK; 3]);
        house.limit(0, 1, 1);
        let first = house.answer(head("GET", &[]), None).await;
        let second = house.answer(head("GET", &[]), None).await;
        let asked = house.proxy.transport().asked();
        let [stays, leaves] = [asked[0].backend, asked[1].backend];
        let mut third = pin!(house.answer(head("GET", &[]), None));
        assert!(poll(third.as_mut()).is_pending());
        house.say(leaves, word);
        drop(second);
        assert!(poll(third.as_mut()).is_pending(), "its place is nobody's");
        drop(first);
        let Poll::Ready(third) = poll(third.as_mut()) else {
            panic!("the other place is free");
        };
        assert_eq!(third.head.status(), 200);
        assert_eq!(house.proxy.transport().asked()[2].backend, stays);
        drop(third);
        assert_eq!((house.in_flight(), house.door().waiting()), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_is_not_sent_to_a_backend_that_has_no_weight_any_more() {
    let house = house(2, [OK; 3]);
    house.limit(0, 1, 1);
    let first = house.answer(head("GET", &[]), None).await;
    let second = house.answer(head("GET", &[]), None).await;
    let asked = house.proxy.transport().asked();
    let [stays, leaves] = [asked[0].backend, asked[1].backend];
    let mut third = pin!(house.answer(head("GET", &[]), None));
    assert!(poll(third.as_mut()).is_pending());
    house.take_weight(leaves);
    drop(second);
    assert!(poll(third.as_mut()).is_pending(), "its place is nobody's");
    drop(first);
    let Poll::Ready(third) = poll(third.as_mut()) else {
        panic!("the other place is free");
    };
    assert_eq!(third.head.status(), 200);
    assert_eq!(house.proxy.transport().asked()[2].backend, stays);
}

#[tokio::test(start_paused = true)]
async fn a_retry_is_not_sent_to_a_backend_that_was_taken_out_meanwhile() {
    let refused = Act::Fail(not_connected(Cause::ConnectRefused));
    let house = house(2, [OK, refused]);
    house.limit(0, 1, 1);
    let first = house.answer(head("GET", &[]), None).await;
    let asked = house.proxy.transport().asked()[0].backend;
    let mut second = pin!(house.answer(head("GET", &[]), None));
    assert!(poll(second.as_mut()).is_pending());
    house.say(asked, OperatorWord::Maintenance);
    drop(first);
    let Poll::Ready(second) = poll(second.as_mut()) else {
        panic!("nobody is left to wait for");
    };
    assert_eq!(second.head.status(), 502);
    assert_eq!(house.proxy.transport().asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_last_place_of_a_large_pool_is_found() {
    let house = house(40, [OK; 43]);
    house.limit(0, 1, 0);
    let mut held = Vec::new();
    for _ in 0..40 {
        held.push(house.answer(head("GET", &[]), None).await);
    }
    let full = house.ask(head("GET", &[]), None).await;
    assert_eq!(full.error(), Some("queue-full"));
    for at in [0, 17, 38] {
        drop(held.remove(at));
        held.push(house.answer(head("GET", &[]), None).await);
        assert_eq!(house.in_flight(), 40);
    }
    let asked = house.proxy.transport().asked();
    let mut first: Vec<u32> = asked[..40].iter().map(|asked| asked.backend).collect();
    first.sort_unstable();
    assert_eq!(first, (0..40).collect::<Vec<u32>>());
}
