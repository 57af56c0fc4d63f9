//! The demo's own address, by which backends are stopped and started: `POST /backends/NAME/stop` and `…/start`,
//! and made slow and fast again: `…/slow` and `…/fast`.
//!
//! It is no part of the balancer, which must find out by itself that a backend is gone or slow.

use std::net::SocketAddr;
use std::sync::Arc;

use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::backends::{Fleet, accept, listen, serve};
use super::shop::Answer;

/// Listens on a port that the kernel chooses; to be called within a runtime.
pub(super) fn open() -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Serves until it is dropped.
pub(super) async fn run(listener: TcpListener, fleet: Arc<Fleet>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            stream = accept(Some(&listener)), if connections.len() < MOST_CONNECTIONS => {
                let fleet = Arc::clone(&fleet);
                connections.spawn(serve(stream, move |request| {
                    let fleet = Arc::clone(&fleet);
                    async move { answer(&fleet, &request).await }
                }));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn answer<B>(fleet: &Fleet, request: &Request<B>) -> Answer {
    let named = request.uri().path().strip_prefix("/backends/");
    let found = named
        .and_then(|named| named.split_once('/'))
        .and_then(|(name, verb)| Some((fleet.named(name)?, verb)))
        .filter(|(_, verb)| matches!(*verb, "stop" | "start" | "slow" | "fast"));
    let Some((backend, verb)) = found else {
        return say(
            StatusCode::NOT_FOUND,
            "expected POST /backends/NAME/stop, …/start, …/slow or …/fast".to_owned(),
        );
    };
    let name = backend.name;
    if request.method() != Method::POST {
        let mut refused = say(StatusCode::METHOD_NOT_ALLOWED, "this takes POST".to_owned());
        let allow = HeaderValue::from_static("POST");
        refused.headers_mut().insert(ALLOW, allow);
        return refused;
    }
    if verb == "stop" {
        let forgotten = backend.stop().await;
        let said = format!("{name} is stopped; sessions that it has forgotten: {forgotten}");
        return say(StatusCode::OK, said);
    }
    if matches!(verb, "slow" | "fast") {
        backend.slow(verb == "slow");
        return say(StatusCode::OK, format!("{name} is {verb} now"));
    }
    match backend.bring_back().await {
        Ok(()) => say(StatusCode::OK, format!("{name} serves")),
        Err(error) => say(
            StatusCode::CONFLICT,
            format!("{name} cannot be started: {error}"),
        ),
    }
}

fn say(status: StatusCode, text: String) -> Answer {
    let mut answer = Response::new(Full::from(text + "\n"));
    *answer.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

/// At once; people type one at a time.
const MOST_CONNECTIONS: usize = 64;
