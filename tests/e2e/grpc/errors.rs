//! Calls that fail: forecourt's own errors in gRPC's words, a backend's as they are.

use super::calls::wait;
use super::*;

/// The status and the cause of a call that forecourt answers itself.
fn own(came: &Came) -> (&str, &str) {
    assert_eq!(came.http, 200, "{came:?}");
    assert!(came.ended_by_head && came.content.is_empty(), "{came:?}");
    assert_eq!(came.field("content-type"), Some("application/grpc"));
    assert_eq!(came.field("content-length"), None);
    let cause = came.field("forecourt-error").unwrap();
    let message = came.field("grpc-message").unwrap();
    let id = came.field("x-request-id").unwrap();
    assert!(
        message.starts_with(cause) && message.contains(id),
        "{message}"
    );
    (came.status(), cause)
}

fn nobody() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

#[test]
fn no_backend_is_unavailable() {
    let balancer = Balancer::start(&configuration(&[nobody()], "", ""));
    run(async {
        for caller in [Caller::to(&balancer).await, Caller::by_tls(&balancer).await] {
            let came = caller.call("Unary", b"x").await;
            assert_eq!(own(&came), ("14", "connect-refused"));
        }
    });
    let log = crate::harness::wait_for(DEADLINE, "the record", || {
        let log = balancer.stdout();
        (log.lines().count() == 2).then_some(log)
    });
    // On the wire it was 200; what went wrong is its error.
    for line in log.lines() {
        assert!(line.contains("\"http.response.status_code\":200"), "{line}");
        assert!(
            line.contains("\"forecourt.error\":\"connect-refused\""),
            "{line}"
        );
    }
}

#[test]
fn no_route_is_unimplemented() {
    let service = Service::start();
    let balancer = service.behind("", "");
    run(async {
        let caller = Caller::to(&balancer).await;
        let mut call = caller
            .begin_with("x", |request| {
                request.uri("http://localhost/other.Service/Unary")
            })
            .await;
        call.say(b"x", true);
        assert_eq!(own(&call.end().await.unwrap()), ("12", "no-route"));
    });
}

#[test]
fn a_backend_that_says_nothing_runs_into_the_deadline() {
    let service = Service::start();
    let balancer = service.behind("", "[pools.calls.timeouts]\nresponse = \"100ms\"");
    run(async {
        let came = Caller::to(&balancer).await.call("Silent", b"x").await;
        assert_eq!(own(&came), ("4", "response-timeout"));
        wait(|| service.told.cancelled.load(Ordering::SeqCst) == 1).await;
    });
}

#[test]
fn too_much_is_resource_exhausted() {
    let service = Service::start();
    let limits = "[listeners.web.limits]\nbody_bytes = \"1KiB\"";
    let balancer = service.behind(limits, "");
    run(async {
        let came = Caller::to(&balancer).await.call("Unary", &[0; 4096]).await;
        assert_eq!(own(&came), ("8", "body-too-large"));
    });
}

#[test]
fn a_backend_that_dies_is_unavailable() {
    let service = Service::start();
    let balancer = service.behind("", "");
    run(async {
        let caller = Caller::to(&balancer).await;
        let came = caller.call("Dies", b"x").await;
        assert_eq!(own(&came), ("14", "reset"));
    });
}

#[test]
fn other_requests_keep_their_errors() {
    let balancer = Balancer::start(&configuration(&[nobody()], "", ""));
    run(async {
        for kind in [
            "application/grpc-web",
            "application/grpc-web+proto",
            "text/plain",
        ] {
            let caller = Caller::to(&balancer).await;
            let mut call = caller
                .begin_with("Unary", |request| {
                    let mut request = request;
                    request
                        .headers_mut()
                        .unwrap()
                        .insert("content-type", kind.parse().unwrap());
                    request
                })
                .await;
            call.say(b"x", true);
            let came = call.end().await.unwrap();
            assert_eq!(came.http, 502, "{kind}");
            assert_eq!(came.field("grpc-status"), None);
            assert!(!came.content.is_empty());
        }
    });
}

#[test]
fn by_http1_the_same_stands_in_the_head() {
    let balancer = Balancer::start(&configuration(&[nobody()], "", ""));
    let request = crate::harness::Request::post("/test.Service/Unary", b"\0\0\0\0\0");
    let answer = balancer
        .client("web")
        .send(&request.field("content-type", "application/grpc+proto"));
    assert_eq!(answer.field("grpc-status"), Some("14"));
    assert_eq!(answer.field("content-length"), Some("0"));
    assert_eq!(answer.cause(), Some("connect-refused"));
    assert_eq!(answer.text(), "");
}

/// An end without trailers would be taken for a bug of the backend's, or for an answer.
#[test]
fn a_cut_answer_is_a_reset_and_no_end() {
    let service = Service::start();
    let balancer = service.behind("", "");
    run(async {
        for caller in [Caller::to(&balancer).await, Caller::by_tls(&balancer).await] {
            let mut call = caller.begin("Cut").await;
            let mut content = (&mut call.response).await.unwrap().into_body();
            assert_eq!(content.data().await.unwrap().unwrap(), message(b"half"));
            call.say(b"now", true);
            let cut = content.data().await.unwrap().unwrap_err();
            assert!(cut.is_reset() && cut.is_remote(), "{cut}");
            assert_eq!(caller.call("Unary", b"x").await.status(), "0");
        }
    });
}
