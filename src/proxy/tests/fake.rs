//! A transport that does what a script says, and remembers what it was asked.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{pending, poll_fn};
use std::net::Ipv4Addr;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::house::{House, retry};
use crate::backend::Address;
use crate::message::Head;
use crate::message::body::{
    AnswerBody, Body, BodyFailure, Ending, Length, Piece, RequestBody, Upload,
};
use crate::message::head::Version;
use crate::plan::pool::Retry;
use crate::strategy::StickySpec;
use crate::telemetry::Cause;
use crate::upstream::{Attempt, Recall, Response, Reuse, SendError, Sent, Transport};

/// What becomes of one attempt.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    /// A response with this status and body.
    Answer(u16, &'static [u8]),
    /// The same, after all of the request's body was read.
    Read(u16, &'static [u8]),
    /// A response whose body breaks off.
    Cut(&'static [u8], BodyFailure),
    /// It fails, with the body as it was.
    Fail(SendError),
    /// It fails after some of the body was sent.
    FailHalfway(SendError),
    /// It waits for ever.
    Hang,
}

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) backend: u32,
    pub(super) fresh: bool,
    pub(super) reuse: Reuse,
    pub(super) cookie: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct FakeTransport {
    script: RefCell<VecDeque<Act>>,
    asked: RefCell<Vec<Asked>>,
    uploads: RefCell<Vec<Vec<u8>>>,
}

#[derive(Debug)]
pub(super) struct FakeBody<'c> {
    upload: RequestBody<'c>,
    content: &'static [u8],
    length: u64,
    cut: Option<BodyFailure>,
}

/// A house with so many backends whose transport follows a script.
pub(super) fn house(backends: u8, script: impl IntoIterator<Item = Act>) -> House<FakeTransport> {
    sticky_house(backends, None, script)
}

/// The same with stickiness.
pub(super) fn sticky_house(
    backends: u8,
    sticky: Option<StickySpec>,
    script: impl IntoIterator<Item = Act>,
) -> House<FakeTransport> {
    any_house(backends, sticky, retry(), script)
}

/// The same with rules for what is sent again.
pub(super) fn retrying_house(
    backends: u8,
    retry: Retry,
    script: impl IntoIterator<Item = Act>,
) -> House<FakeTransport> {
    any_house(backends, None, retry, script)
}

fn any_house(
    backends: u8,
    sticky: Option<StickySpec>,
    retry: Retry,
    script: impl IntoIterator<Item = Act>,
) -> House<FakeTransport> {
    let addresses: Vec<_> = (1..=backends)
        .map(|n| Address::Tcp((Ipv4Addr::new(10, 0, 0, n), 80).into()))
        .collect();
    House::with_retry(&addresses, sticky, retry, |_| FakeTransport {
        script: RefCell::new(script.into_iter().collect()),
        asked: RefCell::default(),
        uploads: RefCell::default(),
    })
}

impl FakeTransport {
    /// The bodies that were read.
    pub(super) fn uploads(&self) -> Vec<Vec<u8>> {
        self.uploads.borrow().clone()
    }

    /// All that was asked, in order.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.borrow().clone()
    }
}

impl Transport for FakeTransport {
    type Body<'c> = FakeBody<'c>;

    async fn send<'c>(
        &self,
        attempt: Attempt<'_>,
        head: &Head,
        mut body: RequestBody<'c>,
    ) -> Sent<'c, FakeBody<'c>> {
        let cookie = head.first_named(b"cookie");
        self.asked.borrow_mut().push(Asked {
            backend: attempt.backend.number(),
            fresh: attempt.reuse == Reuse::Never,
            reuse: attempt.reuse,
            cookie: cookie.map(|cookie| String::from_utf8_lossy(cookie).into_owned()),
        });
        assert!(attempt.backend.in_flight() > 0, "an attempt is claimed");
        let act = self.script.borrow_mut().pop_front();
        let (status, content, cut) = match act.expect("no more attempts than the script has") {
            Act::Answer(status, content) => (status, content, None),
            Act::Read(status, content) => {
                let upload = read_all(&mut body).await;
                self.uploads.borrow_mut().push(upload);
                (status, content, None)
            }
            Act::Cut(content, failure) => (200, content, Some(failure)),
            Act::Fail(error) => return Err((error, body)),
            Act::FailHalfway(error) => {
                poll_fn(|cx| body.poll_piece(cx).map(|_| ())).await;
                body.consume(1);
                return Err((error, body));
            }
            Act::Hang => pending().await,
        };
        let mut head = Head::new();
        head.set_response(status, b"", Version::Http11);
        Ok(Response {
            head,
            body: FakeBody {
                upload: body,
                content,
                length: content.len() as u64,
                cut,
            },
            connecting: Duration::ZERO,
        })
    }
}

async fn read_all(body: &mut RequestBody<'_>) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let n = poll_fn(|cx| {
            body.poll_piece(cx).map(|piece| match piece.unwrap() {
                Some(Piece::Data(bytes)) => {
                    all.extend_from_slice(bytes);
                    bytes.len()
                }
                _ => 0,
            })
        });
        match n.await {
            0 => return all,
            n => body.consume(n),
        }
    }
}

impl<'c> Recall<'c> for FakeBody<'c> {
    fn can_return(&self) -> bool {
        self.upload.can_return()
    }

    fn recall(self) -> RequestBody<'c> {
        self.upload
    }
}

impl Body for FakeBody<'_> {
    fn poll_piece(&mut self, _: &mut Context<'_>) -> Poll<Result<Option<Piece<'_>>, BodyFailure>> {
        Poll::Ready(match (self.content, self.cut) {
            ([], Some(failure)) => Err(failure),
            ([], None) => Ok(None),
            (content, _) => Ok(Some(Piece::Data(content))),
        })
    }

    fn consume(&mut self, n: usize) {
        self.content = &self.content[n..];
    }

    fn length(&self) -> Length {
        Length::Exact(self.length)
    }
}

impl AnswerBody for FakeBody<'_> {
    fn poll_upload(&mut self, _: &mut Context<'_>, _: &mut u64) -> Poll<Upload> {
        Poll::Ready(Upload::Whole)
    }

    fn delivered(&mut self, _: u64) {}

    fn end(&mut self, _: Ending, _: Instant) {}
}

/// No connection came about.
pub(super) fn not_connected(cause: Cause) -> SendError {
    SendError {
        cause,
        sent: false,
        stale: false,
        lives: false,
    }
}

/// A new connection broke.
pub(super) fn broken(cause: Cause) -> SendError {
    SendError {
        cause,
        sent: true,
        stale: false,
        lives: false,
    }
}

/// A reused connection ended without a byte.
pub(super) fn stale() -> SendError {
    SendError {
        cause: Cause::Closed,
        sent: true,
        stale: true,
        lives: false,
    }
}
