//! Calls that go well, and what is passed on with them.

use super::*;

#[test]
fn a_call_has_its_answer_and_its_trailers() {
    let service = Service::start();
    let balancer = service.behind("", "");
    run(async {
        for caller in [Caller::to(&balancer).await, Caller::by_tls(&balancer).await] {
            let came = caller.call("Unary", b"hello").await;
            assert_eq!((came.http, came.status()), (200, "0"), "{came:?}");
            assert_eq!(came.content, message(b"hello"));
            assert_eq!(came.trailers["grpc-message"], "fine");
            assert_eq!(came.field("content-type"), Some("application/grpc"));
            assert_eq!(came.field("grpc-status"), None);
        }
    });
}

#[test]
fn what_a_caller_says_of_its_call_reaches_the_backend() {
    let service = Service::start();
    let balancer = service.behind("", "");
    run(async {
        let caller = Caller::to(&balancer).await;
        let mut call = caller
            .begin_with("Unary", |request| {
                request
                    .header("grpc-timeout", "1500m")
                    .header("grpc-encoding", "gzip")
                    .header("trace-bin", "AAEC")
            })
            .await;
        call.say(b"", true);
        assert_eq!(call.end().await.unwrap().status(), "0");
    });
    for (name, value) in [
        ("te", "trailers"),
        ("grpc-timeout", "1500m"),
        ("grpc-encoding", "gzip"),
        ("trace-bin", "AAEC"),
        ("content-type", "application/grpc"),
    ] {
        assert_eq!(service.seen(name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(service.seen("connection"), None);
}

#[test]
fn an_answer_of_a_head_alone_stays_one() {
    let service = Service::start();
    let balancer = service.behind("", "");
    run(async {
        let came = Caller::to(&balancer).await.call("Fails", b"x").await;
        assert!(came.ended_by_head, "{came:?}");
        assert_eq!((came.http, came.status()), (200, "5"));
        assert_eq!(came.field("grpc-message"), Some("no%20such%20thing"));
        assert_eq!(came.field("content-length"), None);
        assert_eq!(came.field("forecourt-error"), None);
    });
}

#[test]
fn a_message_of_several_mib_goes_there_and_back() {
    let service = Service::start();
    let balancer = service.behind("", "");
    let large: Vec<u8> = (0..8 << 20)
        .map(|n: u32| n.to_le_bytes()[n as usize % 3])
        .collect();
    run(async {
        for caller in [Caller::to(&balancer).await, Caller::by_tls(&balancer).await] {
            let came = caller.call("Unary", &large).await;
            assert_eq!(came.status(), "0");
            assert!(came.content == message(&large));
            let echoed = caller.call("Echo", &large).await;
            assert!(echoed.content == message(&large));
        }
    });
}

#[test]
fn a_caller_that_gives_up_ends_the_backends_work() {
    let service = Service::start();
    let balancer = service.behind("", "");
    run(async {
        let caller = Caller::to(&balancer).await;
        let mut before = caller.begin("Silent").await;
        before.say(b"x", true);
        wait(|| service.told.calls.load(Ordering::SeqCst) == 1).await;
        before.stream.send_reset(Reason::CANCEL);
        wait(|| service.told.cancelled.load(Ordering::SeqCst) == 1).await;

        let mut within = caller.begin("Echo").await;
        within.say(b"x", false);
        let mut content = (&mut within.response).await.unwrap().into_body();
        content.data().await.unwrap().unwrap();
        within.stream.send_reset(Reason::CANCEL);
        wait(|| service.told.cancelled.load(Ordering::SeqCst) == 2).await;
        // The connection is good for more.
        assert_eq!(caller.call("Unary", b"x").await.status(), "0");
    });
    assert_eq!(service.told.connections.load(Ordering::SeqCst), 1);
}

#[test]
fn a_verdict_before_the_end_of_the_request_comes_through() {
    let service = Service::start();
    let balancer = service.behind("", "");
    run(async {
        let caller = Caller::to(&balancer).await;
        let mut call = caller.begin("Early").await;
        call.say(b"there is more", false);
        assert_eq!(call.end().await.unwrap().status(), "9");
        assert_eq!(caller.call("Unary", b"x").await.status(), "0");
    });
}

#[test]
fn trailers_of_a_request_reach_the_backend() {
    let service = Service::start();
    let balancer = service.behind("", "");
    run(async {
        let mut call = Caller::to(&balancer).await.begin("Echo").await;
        call.say(b"x", false);
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "42".parse().unwrap());
        call.stream.send_trailers(trailers).unwrap();
        let came = call.end().await.unwrap();
        assert_eq!(came.trailers["x-sum"], "42");
        assert_eq!(came.status(), "0");
    });
}

pub(super) async fn wait(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
