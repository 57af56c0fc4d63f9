//! What a client is told that gets no backend's answer.

use super::fake::{Act, house, not_connected};
use super::house::{Bytes, Told, head};
use crate::message::Name;
use crate::telemetry::Cause;

async fn refused(method: &str, accept: &[&str]) -> Told {
    let refused = Act::Fail(not_connected(Cause::ConnectRefused));
    let house = house(1, [refused]);
    let fields: Vec<_> = accept.iter().map(|accept| ("Accept", *accept)).collect();
    house.ask(head(method, &fields), None).await
}

#[tokio::test(start_paused = true)]
async fn it_is_in_the_type_that_the_client_accepts() {
    for (accept, kind) in [
        (&[][..], "text/plain; charset=utf-8"),
        (&["*/*"], "text/plain; charset=utf-8"),
        (&["image/png"], "text/plain; charset=utf-8"),
        (
            &["text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"],
            "text/html; charset=utf-8",
        ),
        (&["Text/HTML;q=1"], "text/html; charset=utf-8"),
        (&["application/json"], "application/problem+json"),
        (
            &["image/png", "application/problem+json"],
            "application/problem+json",
        ),
        (&["text/plain, text/html"], "text/plain; charset=utf-8"),
    ] {
        let told = refused("GET", accept).await;
        assert_eq!(told.text(Name::ContentType), kind, "{accept:?}");
        assert_eq!(
            (told.status(), told.error()),
            (502, Some("connect-refused"))
        );
        assert_eq!(told.text(Name::CacheControl), "no-store");
        let text = String::from_utf8(told.body.clone()).unwrap();
        let id = told.text(Name::XRequestId);
        assert_eq!(id.len(), 32);
        assert!(
            text.contains(id) && text.contains("connect-refused"),
            "{text}"
        );
        if kind.ends_with("json") {
            let problem: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(problem["status"], 502);
            assert_eq!(problem["code"], "connect-refused");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn to_head_it_has_no_body() {
    let told = refused("HEAD", &[]).await;
    assert_eq!((told.status(), told.body.len()), (502, 0));
}

#[tokio::test(start_paused = true)]
async fn tunnels_and_traces_are_not_served() {
    for method in ["CONNECT", "TRACE"] {
        let house = house(1, []);
        let told = house.ask(head(method, &[]), None).await;
        assert_eq!(
            (told.status(), told.error()),
            (405, Some("method-not-allowed"))
        );
        assert!(told.head.first_named(b"allow").is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_for_leave_to_send_is_closed_behind_it() {
    for (expects, last) in [(&[][..], false), (&[("Expect", "100-continue")], true)] {
        let refused = Act::Fail(not_connected(Cause::ConnectRefused));
        let house = house(1, [refused]);
        let told = house
            .ask(head("POST", expects), Some(&mut Bytes(b"body")))
            .await;
        assert_eq!(told.last, last);
    }
}
