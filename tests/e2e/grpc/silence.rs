//! How long calls may be silent: judged over both directions, between messages, and only for what is a call.

use super::calls::wait;
use super::*;

#[test]
fn silence_is_bounded_as_in_a_tunnel() {
    let service = Service::start();
    let balancer = service.behind("", "[pools.calls.timeouts]\ntunnel = \"100ms\"");
    run(async {
        let mut call = Caller::to(&balancer).await.begin("Echo").await;
        let mut content = (&mut call.response).await.unwrap().into_body();
        let cut = content.data().await.unwrap().unwrap_err();
        assert!(cut.is_reset(), "{cut}");
        wait(|| service.told.cancelled.load(Ordering::SeqCst) == 1).await;
    });
}

/// Begins a call of which neither side says anything, and waits until it is cut, while another goes on.
async fn outlive_silence(caller: &Caller, mut goes_on: impl AsyncFnMut()) {
    let mut silent = caller.begin("Echo").await;
    let mut content = (&mut silent.response).await.unwrap().into_body();
    loop {
        tokio::select! {
            cut = content.data() => {
                assert!(cut.unwrap().unwrap_err().is_reset());
                return;
            }
            () = goes_on() => {}
        }
    }
}

async fn take(content: &mut RecvStream) {
    let piece = content.data().await.unwrap().unwrap();
    let _ = content.flow_control().release_capacity(piece.len());
}

/// Long enough that a busy machine is not taken for a silent one.
const TUNNEL: &str = "[pools.calls.timeouts]\ntunnel = \"1500ms\"";

#[test]
fn a_silent_caller_lives_as_long_as_its_backend_talks() {
    let service = Service::start();
    let balancer = service.behind("", TUNNEL);
    run(async {
        let caller = Caller::to(&balancer).await;
        let mut call = caller.begin("Ticks").await;
        call.say(b"go", false);
        let mut content = (&mut call.response).await.unwrap().into_body();
        // Twice, so that the time has passed since the first byte of this one too.
        for _ in 0..2 {
            outlive_silence(&caller, async || take(&mut content).await).await;
        }
        take(&mut content).await;
        call.stream.send_reset(Reason::CANCEL);
    });
}

#[test]
fn a_silent_backend_lives_as_long_as_its_caller_talks() {
    let service = Service::start();
    let balancer = service.behind("", TUNNEL);
    run(async {
        let caller = Caller::to(&balancer).await;
        let mut call = caller.begin("Sink").await;
        let mut content = (&mut call.response).await.unwrap().into_body();
        for _ in 0..2 {
            outlive_silence(&caller, async || {
                call.say(b"tick", false);
                tokio::time::sleep(TICK).await;
            })
            .await;
        }
        call.say(b"done", true);
        assert!(content.data().await.is_none());
        let trailers = content.trailers().await.unwrap().unwrap();
        assert_eq!(trailers["grpc-status"], "0");
    });
}

/// The first line of the access log.
fn record(balancer: &Balancer) -> String {
    crate::harness::wait_for(DEADLINE, "the record", || {
        balancer.stdout().lines().next().map(str::to_owned)
    })
}

const SHORT: &str = "[listeners.web.timeouts]\nbody = \"100ms\"";

/// Between two messages a caller thinks; within one it is a slow client as any.
#[test]
fn within_a_message_a_caller_has_the_time_of_bodies() {
    let service = Service::start();
    let balancer = service.behind(SHORT, "");
    run(async {
        for half in [&b"\0\0"[..], b"\0\0\0\0\x09half", b"\x02\0\0\0\0"] {
            let mut call = Caller::to(&balancer).await.begin("Echo").await;
            call.say(b"whole", false);
            call.stream
                .send_data(Bytes::from_static(half), false)
                .unwrap();
            let mut content = (&mut call.response).await.unwrap().into_body();
            let cut = read(&mut content).await.unwrap_err();
            assert!(cut.is_reset(), "{cut}");
        }
    });
    assert!(record(&balancer).contains("\"forecourt.error\":\"request-body-timeout\""));
}

/// What the caller calls itself is forged for nothing; what the backend answers is not.
#[test]
fn who_is_not_answered_as_a_caller_is_none() {
    let service = Service::start();
    let balancer = service.behind(SHORT, "");
    run(async {
        let mut call = Caller::to(&balancer).await.begin("Ticks?1").await;
        let mut content = (&mut call.response).await.unwrap().into_body();
        let cut = read(&mut content).await.unwrap_err();
        assert!(cut.is_reset(), "{cut}");
    });
    assert!(record(&balancer).contains("\"forecourt.error\":\"request-body-timeout\""));
}
