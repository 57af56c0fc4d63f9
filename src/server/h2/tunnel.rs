//! A stream that has changed its protocol (RFC 8441): WebSockets of clients that speak HTTP/2 only.
//!
//! Towards the backend it is an upgrade of HTTP/1.1. The key that RFC 6455 wants there is ours, and so is looking at the
//! answer to it: a client of HTTP/2 sees neither.

use std::cell::RefCell;
use std::task::{Context, Poll};

use ::h2::Reason;
use ::h2::server::SendResponse;
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::request::Parts;
use tokio::time::Instant;

use super::delivery::Outcome;
use crate::h2;
use crate::message::Head;
use crate::message::body::{AnswerBody, BodyFailure, Ending, Length};
use crate::server::tunnel::{Bounds, ClientEnd, carry as carry_both};
use crate::server::{Answer, Terms};
use crate::worker::Worker;
use crate::worker::h2::Frames;
use crate::worker::pump::PumpFailure;

/// The key of a wish for a WebSocket.
pub(super) type Key = String;

/// Completes the head of a request for a tunnel with what HTTP/1 wants; gives the key, which is empty for other protocols.
pub(super) fn ask(parts: &Parts, head: &mut Head, worker: &Worker) -> Option<Key> {
    let protocol = h2::request::protocol(parts)?;
    if !protocol.eq_ignore_ascii_case("websocket") {
        return Some(Key::new());
    }
    head.remove_if(|field| field.name.eq_ignore_ascii_case(b"sec-websocket-key"));
    let drawn = [worker.draw(), worker.draw()]
        .map(u64::to_be_bytes)
        .concat();
    let key = STANDARD.encode(drawn);
    head.push(b"sec-websocket-key", key.as_bytes());
    Some(key)
}

/// Says that the stream is a tunnel from now on, and carries what follows.
pub(super) async fn carry<B: AnswerBody>(
    respond: &RefCell<SendResponse<Bytes>>,
    answer: Answer<B>,
    key: Option<Key>,
    (worker, terms): (&Worker, &Terms),
) -> Outcome {
    let Answer {
        head,
        mut body,
        tunnel,
        ..
    } = answer;
    let sound = key.is_some_and(|key| key.is_empty() || accepts(&head, &key));
    let (Some(tunnel), true) = (tunnel, sound) else {
        let failed = Ending::SourceFailed(BodyFailure::Malformed);
        body.end(failed, Instant::now().into_std());
        respond.borrow_mut().send_reset(Reason::INTERNAL_ERROR);
        return Outcome::Over;
    };
    let response = h2::response::open(&head);
    worker.give_head(head);
    let sent = respond.borrow_mut().send_response(response, false);
    let Ok(stream) = sent else {
        body.end(Ending::ClientGone, Instant::now().into_std());
        return Outcome::TakenBack;
    };
    let mut frames = Frames::new(stream, Length::Unknown);
    let timer = worker.timer();
    let bounds = Bounds {
        tunnel,
        timer: &timer,
        half: terms.listener.timeouts.body,
        worker,
    };
    match carry_both(Stream(&mut frames), body, bounds).await {
        Ending::Delivered => {
            // Behind a goodbye of ours the stream is still open.
            let _ = frames.end();
            Outcome::Over
        }
        Ending::ClientGone => {
            frames.reset(Reason::CANCEL);
            Outcome::TakenBack
        }
        Ending::ClientStalled | Ending::SourceFailed(_) | Ending::UploadFailed(_) => {
            frames.reset(Reason::INTERNAL_ERROR);
            Outcome::Over
        }
    }
}

/// Whether the backend has answered the key (RFC 6455 section 4.2.2).
fn accepts(head: &Head, key: &str) -> bool {
    let wanted = digest(&SHA1_FOR_LEGACY_USE_ONLY, [key, GUID].concat().as_bytes());
    let wanted = STANDARD.encode(wanted);
    head.first_named(b"sec-websocket-accept") == Some(wanted.as_bytes())
}

/// The client's end of a tunnel.
struct Stream<'a>(&'a mut Frames);

impl ClientEnd for Stream<'_> {
    fn poll_pump(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut impl AnswerBody,
        moved: &mut u64,
    ) -> Poll<Result<(), PumpFailure>> {
        self.0.poll(cx, body, moved)
    }

    fn is_clear(&self) -> bool {
        // What has been handed over is a whole piece, and behind it comes what is handed over next.
        true
    }

    fn say(&mut self, bytes: &'static [u8]) {
        // Should the window be shut, four bytes more wait for it.
        let _ = self.0.say(bytes);
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PumpFailure>> {
        match self.0.poll_reset(cx) {
            Poll::Ready(_) => {
                let gone = std::io::ErrorKind::ConnectionReset;
                Poll::Ready(Err(PumpFailure::Sink(gone.into())))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_shut(&mut self, _: &mut Context<'_>) -> Poll<()> {
        // The last frame has said so.
        Poll::Ready(())
    }
}

/// What a server puts behind the key (RFC 6455 section 1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
