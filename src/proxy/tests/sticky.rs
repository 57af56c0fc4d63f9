//! The binding of a session: whom it names, when it changes, and how it is counted.

use super::fake::{Act, FakeTransport, not_connected, stale, sticky_house};
use super::house::{House, Told, head};
use crate::message::Name;
use crate::strategy::{SameSite, StickyKey, StickySpec};
use crate::telemetry::{Cause, StickyOutcome};

fn house(script: impl IntoIterator<Item = Act>) -> House<FakeTransport> {
    sticky_house(3, Some(spec()), script)
}

fn spec() -> StickySpec {
    StickySpec {
        cookie: Some("fc".into()),
        keys: vec![StickyKey::new(&[7; 32]).unwrap()],
        same_site: SameSite::Auto,
        max_idle: None,
        max_life: None,
    }
}

/// The cookie that a response sets, as the client gives it back.
fn cookie(told: &Told) -> Option<&str> {
    let set = told.text(Name::SetCookie);
    set.split(';').next().filter(|cookie| !cookie.is_empty())
}

fn counted(house: &House<FakeTransport>) -> Vec<(StickyOutcome, u64)> {
    let counts = house.pool().sticky;
    let all = StickyOutcome::ALL.iter();
    all.map(|outcome| (*outcome, counts[outcome.index()]))
        .filter(|(_, count)| *count > 0)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_session_keeps_its_backend_and_the_backend_does_not_see_the_cookie() {
    let house = house([Act::Answer(200, b""); 6]);
    let first = house.ask(head("GET", &[]), None).await;
    let bound = cookie(&first).expect("a new session is bound").to_owned();
    assert!(bound.starts_with("fc=v1."), "{bound}");
    assert_eq!(first.text(Name::CacheControl), "private");
    for _ in 0..5 {
        let cookies = format!("a=1; {bound}; b=2");
        let next = house.ask(head("GET", &[("Cookie", &cookies)]), None).await;
        assert_eq!(
            cookie(&next),
            None,
            "a binding that stands is not set again"
        );
        assert_eq!(next.head.first(Name::CacheControl), None);
    }
    let asked = house.proxy.transport().asked();
    assert!(asked.iter().all(|to| to.backend == asked[0].backend));
    assert_eq!(asked[1].cookie.as_deref(), Some("a=1; b=2"));
    assert_eq!(
        counted(&house),
        [(StickyOutcome::New, 1), (StickyOutcome::Bound, 5)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_session_whose_backend_is_gone_is_bound_anew() {
    let refused = Act::Fail(not_connected(Cause::ConnectRefused));
    let house = house([
        Act::Answer(200, b""),
        refused,
        Act::Answer(200, b""),
        Act::Answer(200, b""),
    ]);
    let first = house.ask(head("GET", &[]), None).await;
    let bound = cookie(&first).unwrap().to_owned();
    let moved = house.ask(head("GET", &[("Cookie", &bound)]), None).await;
    let anew = cookie(&moved).expect("it is bound to another").to_owned();
    assert_ne!(anew, bound);
    house.ask(head("GET", &[("Cookie", &anew)]), None).await;
    let asked = house.proxy.transport().asked();
    let backends: Vec<u32> = asked.iter().map(|asked| asked.backend).collect();
    assert_eq!(backends[0], backends[1]);
    assert_ne!(backends[1], backends[2]);
    assert_eq!(backends[2], backends[3]);
    assert_eq!(
        counted(&house),
        [
            (StickyOutcome::New, 1),
            (StickyOutcome::Bound, 1),
            (StickyOutcome::Rebound, 1)
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_forged_cookie_is_counted_and_replaced() {
    let house = house([Act::Answer(200, b""); 3]);
    let first = house.ask(head("GET", &[]), None).await;
    let bound = cookie(&first).unwrap().to_owned();
    // The first character of the seal: in the last one not all bits count, and a text that no encoder writes
    // is malformed, not forged.
    let (front, seal) = bound.rsplit_once('.').unwrap();
    let other = if seal.starts_with('A') { 'B' } else { 'A' };
    let forged = format!("{front}.{other}{}", &seal[1..]);
    let second = house.ask(head("GET", &[("Cookie", &forged)]), None).await;
    assert!(cookie(&second).is_some());
    let third = house
        .ask(head("GET", &[("Cookie", "fc=nonsense")]), None)
        .await;
    assert!(cookie(&third).is_some());
    assert_eq!(
        counted(&house),
        [(StickyOutcome::New, 2), (StickyOutcome::Forged, 1)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_failure_binds_nobody() {
    let refused = Act::Fail(not_connected(Cause::ConnectRefused));
    let house = house([refused; 3]);
    let told = house.ask(head("GET", &[]), None).await;
    assert_eq!((told.status(), cookie(&told)), (502, None));
    assert!(counted(&house).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_session_does_not_move_for_a_stale_connection() {
    let good = Act::Answer(200, b"");
    let house = house([good, Act::Fail(stale()), good, Act::Fail(stale()), good]);
    let first = house.ask(head("GET", &[]), None).await;
    let bound = cookie(&first).expect("a new session is bound").to_owned();
    for _ in 0..2 {
        let next = house.ask(head("GET", &[("Cookie", &bound)]), None).await;
        assert_eq!((next.status(), cookie(&next)), (200, None));
    }
    let asked = house.proxy.transport().asked();
    assert!(asked.iter().all(|to| to.backend == asked[0].backend));
    let fresh: Vec<bool> = asked.iter().map(|to| to.fresh).collect();
    assert_eq!(fresh, [false, false, true, false, true]);
}
