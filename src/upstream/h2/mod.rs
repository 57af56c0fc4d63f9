//! An exchange over one stream of an HTTP/2 connection (RFC 9113), up to the response's head.
//!
//! In reading order: this file (the exchange), `shared` (connections that carry many at once), `response` (the
//! response's body).

mod response;
mod shared;

use std::future::Future as _;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ::h2::client::ResponseFuture;
use ::h2::{Reason, RecvStream};
use tokio::time::Instant;

pub use response::H2Body;
pub use shared::Lines;
pub(super) use shared::Shared;

use self::response::Uploading;
use self::shared::Place;
use super::h1::{LIMITS, cause_of_upload};
use super::{Attempt, SendError};
use crate::h2;
use crate::message::body::{Body as _, Length, RequestBody};
use crate::message::framing::{self, Framing};
use crate::message::{Head, Method, hop_by_hop};
use crate::telemetry::Cause;
use crate::worker::h2::Frames;
use crate::worker::{Timer, Worker};

/// What a failed exchange gives back.
type Failed<'c> = (SendError, RequestBody<'c>);

/// Sends a request and waits for the response's head. Dropping the future takes the request back.
pub(super) async fn exchange<'c>(
    shared: Rc<Shared>,
    (worker, attempt): (&Rc<Worker>, &Attempt<'_>),
    begun: Instant,
    head: &Head,
    body: RequestBody<'c>,
) -> Result<(Head, Box<H2Body<'c>>), Failed<'c>> {
    let timer = worker.timer();
    timer.set(begun + attempt.timeouts.response);
    let reused = shared.is_used();
    let place = Place::take(&shared);
    let length = body.length();
    let Some(request) = h2::request::write(head, length, shared.is_tls()) else {
        // It has been understood before, so this is the head of a client that only HTTP/1 can say.
        return Err((unsent(Cause::BadRequest), body));
    };
    let ends = Frames::is_nothing(length);
    let (response, stream) = match open(&shared, request, ends, &timer).await {
        Ok(both) => both,
        Err(cause) => {
            // It went away while it was unused: that says nothing against its backend.
            let stale = reused && cause == Cause::Closed;
            let error = SendError {
                stale,
                ..unsent(cause)
            };
            return Err((error, body));
        }
    };
    let mut sending = Sending {
        response,
        upload: Uploading::new(Frames::new(stream, length), body),
        timer,
        timeout: attempt.timeouts.response,
        needs_leave: hop_by_hop::expects_continue(head),
        waited: false,
        heard: false,
        worker,
        shared: Rc::clone(&shared),
    };
    let got = poll_fn(|cx| sending.poll(cx)).await;
    let Sending { upload, heard, .. } = sending;
    let understood = got.and_then(|response| understand(response, head.method(), worker));
    match understood {
        Ok((answer, content, length)) => Ok((
            answer,
            Box::new(H2Body::new(content, length, LIMITS.fields, upload, place)),
        )),
        Err(broken) => {
            // Silence may be that of a way that leads nowhere any more.
            if broken.left || broken.cause == Cause::ResponseTimeout {
                shared.give_up();
            }
            Err((broken.into_error(reused, heard), upload.into_body()))
        }
    }
}

fn unsent(cause: Cause) -> SendError {
    SendError {
        cause,
        sent: false,
        stale: false,
        lives: false,
    }
}

/// Opens a stream, once the backend takes one more.
async fn open(
    shared: &Shared,
    request: http::Request<()>,
    ends: bool,
    timer: &Timer,
) -> Result<(ResponseFuture, ::h2::SendStream<bytes::Bytes>), Cause> {
    let mut sender = shared.sender();
    poll_fn(|cx| match sender.poll_ready(cx) {
        Poll::Ready(ready) => Poll::Ready(ready.map_err(|error| shared.cause_of_end(&error))),
        Poll::Pending => timer.poll_expired(cx).map(|()| Err(Cause::ResponseTimeout)),
    })
    .await
    .inspect_err(|_| shared.give_up())?;
    sender.send_request(request, ends).map_err(|error| {
        shared.give_up();
        shared.cause_of_end(&error)
    })
}

/// Why there is no response, and whether the backend may have acted on the request.
struct Broken {
    cause: Cause,
    processed: bool,
    /// Whether the backend takes no more on this connection.
    left: bool,
}

impl Broken {
    /// What a retry must know of it, on a connection that was used before or not.
    fn into_error(self, reused: bool, heard: bool) -> SendError {
        let cause = match self.cause {
            Cause::TlsFailed if !reused && !heard => return unsent(Cause::TlsFailed),
            // What has carried a request before was not refused then.
            Cause::TlsFailed => Cause::Closed,
            cause => cause,
        };
        // A stream that its backend resets tells of the request, and not of a connection that has grown old.
        let ended = self.left || (self.processed && cause == Cause::Closed);
        SendError {
            cause,
            sent: self.processed,
            stale: reused && !heard && ended,
            lives: false,
        }
    }
}

impl From<::h2::Error> for Broken {
    /// A backend that refuses a stream, or goes away and names a last stream before it, has not looked at it (RFC 9113
    /// sections 6.8 and 8.7).
    fn from(error: ::h2::Error) -> Self {
        let left = error.is_go_away() && error.is_remote();
        let unseen = left || (error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM));
        let cause = if error.is_library() {
            Cause::Protocol
        } else if error.is_io() {
            Cause::Closed
        } else {
            Cause::Reset
        };
        Self {
            cause,
            processed: !unseen,
            left,
        }
    }
}

fn broken(cause: Cause) -> Broken {
    Broken {
        cause,
        processed: true,
        left: false,
    }
}

struct Sending<'c, 'w> {
    response: ResponseFuture,
    upload: Uploading<'c>,
    timer: Timer,
    timeout: Duration,
    /// Whether the client sends its body only when the backend asks for it.
    needs_leave: bool,
    /// Whether the upload waited for the client when it was last looked at.
    waited: bool,
    /// Whether anything has come from the backend.
    heard: bool,
    worker: &'w Worker,
    shared: Rc<Shared>,
}

impl Sending<'_, '_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<http::Response<RecvStream>, Broken>> {
        let mut moved = 0;
        if let Poll::Ready(Err(failure)) = self.upload.poll(cx, &mut moved) {
            return Poll::Ready(Err(broken(cause_of_upload(failure))));
        }
        let waits = self.upload.waits_for_client();
        if moved > 0 || (self.waited && !waits) {
            self.timer.set(Instant::now() + self.timeout);
        }
        self.waited = waits;
        while let Poll::Ready(Some(Ok(interim))) = self.response.poll_informational(cx) {
            self.heard = true;
            self.inform(cx, interim)?;
        }
        if let Poll::Ready(response) = Pin::new(&mut self.response).poll(cx) {
            return Poll::Ready(response.map_err(|error| {
                let refused = self.shared.cause_of_end(&error) == Cause::TlsFailed;
                let broken = Broken::from(error);
                Broken {
                    cause: if refused {
                        Cause::TlsFailed
                    } else {
                        broken.cause
                    },
                    ..broken
                }
            }));
        }
        if self.waited && (self.heard || !self.needs_leave) {
            // The client's own deadline bounds that; the backend's begins anew with the next piece.
            return Poll::Pending;
        }
        ready!(self.timer.poll_expired(cx));
        Poll::Ready(Err(broken(Cause::ResponseTimeout)))
    }

    fn inform(&mut self, cx: &mut Context<'_>, interim: http::Response<()>) -> Result<(), Broken> {
        let (parts, ()) = interim.into_parts();
        let mut head = self.worker.take_head();
        let read = h2::response::read(&parts, LIMITS.fields, &mut head);
        if read.is_err() || head.status() == 101 {
            // There is no change of protocol in HTTP/2 (RFC 9113 section 8.6).
            return Err(broken(Cause::Protocol));
        }
        hop_by_hop::strip(&mut head);
        self.upload.body.inform(&head, cx);
        self.worker.give_head(head);
        Ok(())
    }
}

/// Reads the head; says how long the body is.
fn understand(
    response: http::Response<RecvStream>,
    method: Method,
    worker: &Worker,
) -> Result<(Head, RecvStream, Length), Broken> {
    let (parts, content) = response.into_parts();
    let mut head = worker.take_head();
    h2::response::read(&parts, LIMITS.fields, &mut head).map_err(|_| broken(Cause::Protocol))?;
    let framing = framing::response_framing(&head, method).map_err(|_| broken(Cause::Protocol))?;
    let length = match framing {
        Framing::None => Length::Absent {
            announced: framing::announced_length(&head),
        },
        Framing::Length(length) => Length::Exact(length),
        Framing::Chunked | Framing::UntilClose if content.is_end_stream() => Length::Exact(0),
        Framing::Chunked | Framing::UntilClose => Length::Unknown,
    };
    Ok((head, content, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_connection_that_ended_was_an_old_one() {
        for (cause, left, processed, stale) in [
            (Cause::Closed, false, true, true),
            (Cause::Closed, true, false, true),
            (Cause::Reset, false, true, false),
            (Cause::ResponseTimeout, false, true, false),
        ] {
            let broken = || Broken {
                cause,
                processed,
                left,
            };
            assert_eq!(broken().into_error(true, false).stale, stale, "{cause}");
            assert!(!broken().into_error(false, false).stale, "it was new");
            assert!(!broken().into_error(true, true).stale, "it has answered");
        }
    }
}
