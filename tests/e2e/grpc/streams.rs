//! Streams: both ways, of many small messages, silent for long, many at once, and over a backend's goodbye.

use super::calls::wait;
use super::*;

#[test]
fn both_ways_message_by_message() {
    let service = Service::start();
    let balancer = service.behind("", "");
    run(async {
        for caller in [Caller::to(&balancer).await, Caller::by_tls(&balancer).await] {
            let mut call = caller.begin("Echo").await;
            let mut content = (&mut call.response).await.unwrap().into_body();
            for n in 0..500_u32 {
                call.say(&n.to_be_bytes(), n == 499);
                // Each comes back before the next is sent.
                let mut back = Vec::new();
                while back.len() < 9 {
                    let piece = content.data().await.unwrap().unwrap();
                    content
                        .flow_control()
                        .release_capacity(piece.len())
                        .unwrap();
                    back.extend_from_slice(&piece);
                }
                assert_eq!(back, message(&n.to_be_bytes()));
            }
            assert!(content.data().await.is_none());
            assert_eq!(
                content.trailers().await.unwrap().unwrap()["grpc-status"],
                "0"
            );
        }
    });
}

/// The library ends connections on which too many small frames wait.
#[test]
fn many_small_messages_for_slow_readers_and_quick_ones() {
    let service = Service::start();
    let balancer = service.behind("", "");
    run(async {
        let caller = Caller::to(&balancer).await;
        let mut slow = Vec::new();
        for _ in 0..8 {
            let mut call = caller.begin("Many?20000").await;
            call.say(b"", true);
            slow.push((&mut call.response).await.unwrap().into_body());
        }
        // Nobody reads these; meanwhile others are served on the same connections.
        for _ in 0..20 {
            let came = caller.call("Many?1000", b"").await;
            assert_eq!((came.content.len(), came.status()), (1000 * 13, "0"));
        }
        for mut content in slow {
            let all = read(&mut content).await.unwrap();
            assert_eq!(all.len(), 20_000 * 13);
            assert_eq!(
                content.trailers().await.unwrap().unwrap()["grpc-status"],
                "0"
            );
        }
    });
    assert_eq!(service.told.connections.load(Ordering::SeqCst), 1);
}

#[test]
fn many_small_messages_of_a_caller() {
    let service = Service::start();
    let balancer = service.behind("", "");
    run(async {
        let mut call = Caller::to(&balancer).await.begin("Unary").await;
        for n in 0..50_000_u32 {
            call.say(&n.to_be_bytes(), n == 49_999);
        }
        let came = call.end().await.unwrap();
        assert_eq!((came.content.len(), came.status()), (50_000 * 9, "0"));
    });
}

#[test]
fn a_thousand_streams_at_once() {
    let service = Service::start();
    let balancer = service.behind("", "");
    run(async {
        let mut open = Vec::new();
        for _ in 0..10 {
            let caller = Caller::to(&balancer).await;
            for _ in 0..100 {
                let mut call = caller.begin("Echo").await;
                call.say(b"hello", false);
                open.push(call);
            }
        }
        wait(|| service.told.calls.load(Ordering::SeqCst) == 1000).await;
        for mut call in open {
            call.say(b"bye", true);
            let came = call.end().await.unwrap();
            assert_eq!(came.content, [message(b"hello"), message(b"bye")].concat());
            assert_eq!(came.status(), "0");
        }
    });
    // Few connections for many calls.
    assert!(service.told.connections.load(Ordering::SeqCst) <= 16);
}

/// A stream on which nobody speaks lives far longer than a body may stand still.
#[test]
fn a_silent_stream_outlives_the_time_of_bodies() {
    let service = Service::start();
    let listener = "[listeners.web.timeouts]\nbody = \"100ms\"";
    let balancer = service.behind(listener, "");
    run(async {
        let caller = Caller::to(&balancer).await;
        let mut call = caller.begin("Echo").await;
        let mut content = (&mut call.response).await.unwrap().into_body();
        // An upload that is no call is cut behind it, which tells that the time has passed.
        let dead = caller.begin_with("Unary", |request| {
            let mut request = request;
            request
                .headers_mut()
                .unwrap()
                .insert("content-type", "a/b".parse().unwrap());
            request
        });
        let cut = dead.await.end().await;
        assert_eq!(
            cut.unwrap().field("forecourt-error"),
            Some("request-body-timeout")
        );
        call.say(b"still here", true);
        assert_eq!(
            content.data().await.unwrap().unwrap(),
            message(b"still here")
        );
    });
}

/// Those under way end on the old connection, those that come go to a new one, and none is lost.
#[test]
fn a_backends_goodbye_loses_nothing() {
    let service = Service::start();
    let balancer = service.behind("", "");
    run(async {
        let caller = Caller::to(&balancer).await;
        for round in 1..=10 {
            let mut under_way = caller.begin("Echo").await;
            let mut content = (&mut under_way.response).await.unwrap().into_body();
            service.told.leave.notify_waiters();
            for _ in 0..50 {
                let came = caller.call("Unary", b"x").await;
                assert_eq!(came.status(), "0", "round {round}: {came:?}");
            }
            under_way.say(b"last words", true);
            assert_eq!(read(&mut content).await.unwrap(), message(b"last words"));
        }
    });
    assert!(service.told.connections.load(Ordering::SeqCst) > 1);
}

/// What a backend refuses it has not looked at, so another is asked, and one only.
#[test]
fn a_refused_stream_is_tried_once_more_elsewhere() {
    let services = [Service::start(), Service::start()];
    let addresses = [services[0].address, services[1].address];
    let balancer = Balancer::start(&configuration(&addresses, "", ""));
    run(async {
        let caller = Caller::to(&balancer).await;
        let mut call = caller.begin("Refused").await;
        call.stream.send_data(Bytes::new(), true).unwrap();
        let came = call.end().await.unwrap();
        assert_eq!(came.status(), "14");
        assert_eq!(came.field("forecourt-error"), Some("reset"));
    });
    for service in &services {
        assert_eq!(service.told.calls.load(Ordering::SeqCst), 1);
    }
}

#[test]
fn a_drain_lets_streams_end() {
    let service = Service::start();
    let mut balancer = service.behind("", "");
    run(async {
        let caller = Caller::to(&balancer).await;
        let mut call = caller.begin("Echo").await;
        let mut content = (&mut call.response).await.unwrap().into_body();
        balancer.signal(rustix::process::Signal::TERM);
        let address = balancer.address("web");
        wait(|| std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err())
            .await;
        call.say(b"last", true);
        assert_eq!(read(&mut content).await.unwrap(), message(b"last"));
        assert_eq!(
            content.trailers().await.unwrap().unwrap()["grpc-status"],
            "0"
        );
    });
    assert!(balancer.wait_for_exit(DEADLINE).success());
}
