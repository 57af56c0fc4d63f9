//! An exchange over one HTTP/1 connection, up to the response's head.
//!
//! While it waits for the head it moves the request's body, so that an early response, a 100 and a slow
//! upload all work. A backend that stops reading is no failure by itself: its answer may be on the way.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use super::response::H1Body;
use super::upload::Uploading;
use super::{Attempt, Connection, SendError, Store, tls};
use crate::h1::{HeadScan, Limits, write};
use crate::message::body::{Body, BodyFailure, Length, RequestBody};
use crate::message::framing::{self, Framing};
use crate::message::{Head, Method, Name, hop_by_hop};
use crate::telemetry::Cause;
use crate::worker::Buffer;

/// Sends a request and waits for the response's head. Dropping the future closes the connection.
pub(super) async fn exchange<'c>(
    mut connection: Box<Connection>,
    store: &Rc<Store>,
    (attempt, begun): (&Attempt<'_>, Instant),
    head: &Head,
    body: RequestBody<'c>,
) -> Result<(Head, Box<H1Body<'c>>), (SendError, RequestBody<'c>)> {
    connection.output.prepare(store.worker().buffers());
    let timeouts = attempt.timeouts;
    let out = connection.output.append();
    write::request_head(head, body.length(), attempt.case, out);
    let mut sending = Sending {
        upload: Uploading::new(body, store.worker().pipes()),
        scan: HeadScan::default(),
        answer: store.worker().take_head(),
        method: head.method(),
        asked: head.first(Name::Upgrade).map(Into::into),
        timeout: timeouts.response,
        needs_leave: hop_by_hop::expects_continue(head),
        waited: false,
        heard: false,
    };
    connection.timer.set(begun + timeouts.response);
    let before = connection.output.written();
    let got = poll_fn(|cx| sending.poll(cx, &mut connection)).await;
    let Sending {
        upload,
        answer,
        heard,
        ..
    } = sending;
    match got {
        Ok((framing, length)) => {
            let keep = hop_by_hop::keep_alive(&answer) && framing != Framing::UntilClose;
            let keep = keep.then(|| kept_for(&answer, timeouts.idle));
            match H1Body::new(
                connection,
                Rc::clone(store),
                upload,
                (framing, length),
                keep,
            ) {
                Ok(mut body) => {
                    if answer.status() == 101 {
                        body.follow_frames();
                    }
                    Ok((answer, body))
                }
                Err((cause, upload)) => Err((broken(cause, false), upload.into_body())),
            }
        }
        Err(cause @ Cause::TlsFailed) => Err((refused(cause), upload.into_body())),
        Err(cause) => {
            let silent = !heard && matches!(cause, Cause::Closed | Cause::Reset);
            let stale = silent && connection.reused;
            if stale {
                store.note_end(&connection);
            }
            let error = SendError {
                // What the socket has not taken, nobody has seen.
                sent: !silent || connection.output.written() > before,
                ..broken(cause, stale)
            };
            Err((error, upload.into_body()))
        }
    }
}

/// How long a connection may be kept: less than its backend says that it keeps it (`Keep-Alive: timeout=5`).
fn kept_for(answer: &Head, most: Duration) -> Duration {
    let Some(value) = answer.first(Name::KeepAlive) else {
        return most;
    };
    let mut parameters = value.split(|byte| matches!(byte, b',' | b';'));
    let timeout = parameters.find_map(|parameter| {
        let mut parts = parameter.splitn(2, |byte| *byte == b'=');
        let name = parts.next()?.trim_ascii();
        let value = parts.next()?.trim_ascii();
        if !name.eq_ignore_ascii_case(b"timeout") {
            return None;
        }
        std::str::from_utf8(value).ok()?.parse::<u32>().ok()
    });
    timeout.map_or(most, |seconds| {
        // The answer was some time on its way, and the next request will be.
        let margin = match seconds {
            0 | 1 => Duration::from_millis(u64::from(seconds) * 500),
            _ => Duration::from_secs(u64::from(seconds) - 1),
        };
        margin.min(most)
    })
}

/// The handshake was not over after all: nobody has looked at the request.
fn refused(cause: Cause) -> SendError {
    SendError {
        cause,
        sent: false,
        stale: false,
        lives: false,
    }
}

fn broken(cause: Cause, stale: bool) -> SendError {
    SendError {
        cause,
        sent: true,
        stale,
        lives: false,
    }
}

struct Sending<'c> {
    upload: Uploading<'c>,
    scan: HeadScan,
    answer: Head,
    method: Method,
    /// The protocol that the request asks to change to.
    asked: Option<Box<[u8]>>,
    timeout: Duration,
    /// Whether the client sends its body only when the backend asks for it.
    needs_leave: bool,
    /// Whether the upload waited for the client when it was last looked at.
    waited: bool,
    /// Whether a byte has come from the backend.
    heard: bool,
}

impl Sending<'_> {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        connection: &mut Connection,
    ) -> Poll<Result<(Framing, Length), Cause>> {
        let mut moved = 0;
        if let Poll::Ready(Err(failure)) = self.upload.poll(cx, connection, &mut moved) {
            return Poll::Ready(Err(cause_of_upload(failure)));
        }
        let waits = self.upload.waits_for_client();
        if moved > 0 || (self.waited && !waits) {
            connection.timer.set(Instant::now() + self.timeout);
        }
        self.waited = waits;
        loop {
            if !connection.input.is_empty() {
                match self.understand(cx, connection) {
                    Ok(Some(framed)) => return Poll::Ready(Ok(framed)),
                    Ok(None) => {}
                    Err(cause) => return Poll::Ready(Err(cause)),
                }
            }
            match ready!(self.poll_read(cx, connection)) {
                Ok(()) => self.heard = true,
                Err(cause) => return Poll::Ready(Err(cause)),
            }
        }
    }

    /// Looks for a head in what has been read; interim ones go on to the client.
    fn understand(
        &mut self,
        cx: &mut Context<'_>,
        connection: &mut Connection,
    ) -> Result<Option<(Framing, Length)>, Cause> {
        loop {
            let bytes = connection.input.bytes();
            let read = self.scan.read_response(bytes, &LIMITS, &mut self.answer);
            let Some(length) = read.map_err(|_| Cause::Protocol)? else {
                return Ok(None);
            };
            connection.input.consume(length);
            self.scan.reset();
            match self.answer.status() {
                101 if self.is_asked_for() => {
                    framing::response_framing(&self.answer, self.method)
                        .map_err(|_| Cause::Protocol)?;
                    self.upload.open();
                    return Ok(Some((Framing::UntilClose, Length::Unknown)));
                }
                101 => return Err(Cause::Protocol),
                100..=199 => {
                    // It ends with its head: with a length or a coding, whether it does is anyone's guess.
                    framing::response_framing(&self.answer, self.method)
                        .map_err(|_| Cause::Protocol)?;
                    hop_by_hop::strip(&mut self.answer);
                    self.upload.body.inform(&self.answer, cx);
                    if connection.input.is_empty() {
                        return Ok(None);
                    }
                }
                _ => {
                    let framing = framing::response_framing(&self.answer, self.method)
                        .map_err(|_| Cause::Protocol)?;
                    return Ok(Some((framing, self.length(framing))));
                }
            }
        }
    }

    /// Whether a 101 changes to the protocol that was asked for (RFC 9110 section 7.8).
    fn is_asked_for(&self) -> bool {
        let (asked, given) = (self.asked.as_deref(), hop_by_hop::upgrade(&self.answer));
        matches!((asked, given), (Some(asked), Some(given)) if asked.eq_ignore_ascii_case(given))
    }

    fn length(&self, framing: Framing) -> Length {
        match framing {
            Framing::None => Length::Absent {
                announced: framing::announced_length(&self.answer),
            },
            Framing::Length(length) => Length::Exact(length),
            Framing::Chunked | Framing::UntilClose => Length::Unknown,
        }
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        connection: &mut Connection,
    ) -> Poll<Result<(), Cause>> {
        let buffers = connection.worker.buffers();
        if !connection
            .input
            .make_room(buffers, Buffer::LARGE, Buffer::LARGE)
        {
            return Poll::Ready(Err(Cause::Protocol));
        }
        match connection.stream.poll_read(cx, &mut connection.input) {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(if self.heard {
                Cause::Protocol
            } else {
                Cause::Closed
            })),
            Poll::Ready(Ok(_)) => Poll::Ready(Ok(())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(self.cause_of_read(connection, &error))),
            Poll::Pending => {
                if connection.input.is_empty() {
                    buffers.take_back(&mut connection.input);
                }
                if self.waits_for_client() {
                    // Its own deadline bounds that; the backend's begins anew with the next piece.
                    return Poll::Pending;
                }
                connection
                    .timer
                    .poll_expired(cx)
                    .map(|()| Err(Cause::ResponseTimeout))
            }
        }
    }

    fn cause_of_read(&self, connection: &Connection, error: &io::Error) -> Cause {
        if let (Some(secure), false) = (&connection.secure, self.heard || connection.reused)
            && let Some(reason) = tls::refusal(error)
        {
            tls::tell(&connection.backend, secure, &reason);
            return Cause::TlsFailed;
        }
        match error.kind() {
            io::ErrorKind::TimedOut => Cause::ResponseTimeout,
            // An end of the connection that TLS did not announce.
            io::ErrorKind::UnexpectedEof if !self.heard => Cause::Closed,
            _ => Cause::Reset,
        }
    }

    /// Whether the backend cannot answer yet because the client has not sent all of its request.
    fn waits_for_client(&self) -> bool {
        self.waited && (self.heard || !self.needs_leave)
    }
}

/// Why a request is not answered whose body failed on its way from the client.
pub(crate) fn cause_of_upload(failure: BodyFailure) -> Cause {
    match failure {
        BodyFailure::Cut | BodyFailure::Cancelled | BodyFailure::Exhausted => Cause::ClientAborted,
        BodyFailure::Malformed | BodyFailure::Overrun => Cause::BadRequest,
        BodyFailure::TimedOut => Cause::RequestBodyTimeout,
        BodyFailure::TooSlow => Cause::ClientTooSlow,
        BodyFailure::TooLarge => Cause::BodyTooLarge,
    }
}

/// What a backend's head may be: more generous than towards clients, for backends set many cookies.
pub(super) const LIMITS: Limits = Limits {
    head_bytes: 64 * 1024,
    fields: 200,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_says_how_long_it_keeps_a_connection() {
        let most = Duration::from_secs(60);
        for (value, kept) in [
            ("timeout=5", Duration::from_secs(4)),
            ("Timeout = 2, max=100", Duration::from_secs(1)),
            ("max=100, timeout=1", Duration::from_millis(500)),
            ("timeout=0", Duration::ZERO),
            ("timeout=61", most),
            ("timeout=3600", most),
            ("timeout=99999999999999999999", most),
            ("timeout=-1", most),
            ("timeout=abc", most),
            ("timeout", most),
            ("\u{ff}=;,=", most),
            ("", most),
        ] {
            let mut answer = Head::new();
            answer.push(b"Keep-Alive", value.as_bytes());
            assert_eq!(kept_for(&answer, most), kept, "{value}");
        }
        assert_eq!(kept_for(&Head::new(), most), most);
    }
}
