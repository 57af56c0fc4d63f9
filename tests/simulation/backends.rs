//! The backends, as far as the balancer sees them: a transport in which they live, die, hang, flap and err by lot.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use fastrand::Rng;
use forecourt::backend::{Address, Backend};
use forecourt::message::Head;
use forecourt::message::body::{
    AnswerBody, Body, BodyFailure, Ending, Length, Piece, RequestBody, Upload,
};
use forecourt::message::head::Version;
use forecourt::telemetry::Cause;
use forecourt::upstream::{Attempt, Recall, Response, Reuse, SendError, Sent, Transport};

use crate::requests::{Number, REQUEST_FIELD};
use crate::settings::{Port, choose};
use crate::shadow::{Over, Shared};

/// How a backend does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Well,
    /// Nobody listens.
    Dead,
    /// It takes requests and says nothing.
    Hanging,
    /// Each request goes another way.
    Flapping,
    /// It answers with this status, quickly; to checks as if it were well.
    Erring(u16),
    /// It breaks connections off.
    Breaking,
}

impl Mood {
    pub(crate) fn draw(lots: &mut Rng) -> Self {
        *choose(
            lots,
            &[
                Self::Well,
                Self::Well,
                Self::Well,
                Self::Well,
                Self::Dead,
                Self::Hanging,
                Self::Flapping,
                Self::Erring(500),
                Self::Erring(503),
                Self::Breaking,
            ],
        )
    }

    /// What a check finds, and after how long.
    pub(crate) fn check(self, lots: &mut Rng) -> (Result<(), Cause>, Duration) {
        let soon = Duration::from_millis(lots.u64(0..20));
        match self {
            Self::Well | Self::Erring(_) if lots.u8(..100) < 96 => (Ok(()), soon),
            Self::Flapping | Self::Breaking if lots.bool() => (Ok(()), soon),
            Self::Hanging => (Err(Cause::ResponseTimeout), Duration::from_millis(500)),
            _ if lots.u8(..50) == 0 => (Err(Cause::DescriptorsExhausted), soon),
            _ => (Err(Cause::ConnectRefused), soon),
        }
    }
}

/// What becomes of one attempt.
#[derive(Clone, Copy, Debug)]
enum Act {
    Answer(u16),
    /// An answer whose body breaks off.
    Cut,
    Refuse,
    Reset,
    /// A reused connection that ended.
    Stale,
    Hang,
}

/// All backends.
#[derive(Debug)]
pub(crate) struct Backends {
    shadow: Shared,
    lots: RefCell<Rng>,
    moods: Rc<RefCell<BTreeMap<Port, Mood>>>,
}

impl Backends {
    pub(crate) fn new(
        shadow: &Shared,
        seed: u64,
        moods: &Rc<RefCell<BTreeMap<Port, Mood>>>,
    ) -> Self {
        Self {
            shadow: Rc::clone(shadow),
            lots: RefCell::new(Rng::with_seed(seed)),
            moods: Rc::clone(moods),
        }
    }

    fn act(&self, port: Port, reuse: Reuse) -> (Act, Duration) {
        let mood = *self.moods.borrow().get(&port).unwrap_or(&Mood::Well);
        let mut lots = self.lots.borrow_mut();
        let soon = Duration::from_millis(*choose(&mut lots, &[0, 0, 1, 5, 20, 80]));
        let is_stale = reuse != Reuse::Never && lots.u8(..100) < 4;
        let act = match mood {
            Mood::Dead => Act::Refuse,
            Mood::Hanging => Act::Hang,
            _ if is_stale => Act::Stale,
            Mood::Well if lots.u8(..100) == 0 => Act::Cut,
            Mood::Well => Act::Answer(200),
            Mood::Erring(status) => Act::Answer(status),
            Mood::Breaking => *choose(&mut lots, &[Act::Reset, Act::Cut]),
            Mood::Flapping => *choose(
                &mut lots,
                &[Act::Answer(200), Act::Refuse, Act::Reset, Act::Answer(502)],
            ),
        };
        (act, soon)
    }
}

impl Transport for Backends {
    type Body<'c> = Content<'c>;

    async fn send<'c>(
        &self,
        attempt: Attempt<'_>,
        head: &Head,
        body: RequestBody<'c>,
    ) -> Sent<'c, Content<'c>> {
        let number = number_of(head);
        let port = port_of(attempt.backend);
        let is_anew = attempt.reuse == Reuse::Never;
        let claim = Claim::begin(&self.shadow, number, port, is_anew);
        let (act, soon) = self.act(port, attempt.reuse);
        if !soon.is_zero() {
            tokio::time::sleep(soon).await;
        }
        let failed = |over, cause, sent| {
            self.shadow.borrow_mut().attempt_over(number, over);
            let stale = over == Over::Stale;
            SendError {
                cause,
                sent,
                stale,
                lives: false,
            }
        };
        let (status, cut) = match act {
            Act::Answer(status) => (status, false),
            Act::Cut => (200, true),
            Act::Refuse => {
                claim.end();
                return Err((failed(Over::Refused, Cause::ConnectRefused, false), body));
            }
            Act::Reset => {
                claim.end();
                return Err((failed(Over::Reset, Cause::Reset, true), body));
            }
            Act::Stale => {
                claim.end();
                return Err((failed(Over::Stale, Cause::Closed, true), body));
            }
            Act::Hang => {
                tokio::time::sleep(attempt.timeouts.response).await;
                claim.end();
                let error = failed(Over::TimedOut, Cause::ResponseTimeout, true);
                return Err((error, body));
            }
        };
        self.shadow.borrow_mut().answered(number, status);
        let mut head = Head::new();
        head.set_response(status, b"", Version::Http11);
        Ok(Response {
            head,
            body: Content {
                upload: body,
                claim,
                cut,
            },
            connecting: Duration::ZERO,
        })
    }
}

/// The shadow of a claim: ends when the real one has to.
#[derive(Debug)]
struct Claim {
    shadow: Shared,
    number: Number,
    is_over: bool,
}

impl Claim {
    fn begin(shadow: &Shared, number: Number, port: Port, is_anew: bool) -> Self {
        shadow.borrow_mut().claimed(number, port, is_anew);
        Self {
            shadow: Rc::clone(shadow),
            number,
            is_over: false,
        }
    }

    fn end(mut self) {
        self.give_back();
    }

    fn give_back(&mut self) {
        if !std::mem::replace(&mut self.is_over, true) {
            self.shadow.borrow_mut().claim_over(self.number);
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// A body without bytes, which ends well or does not.
#[derive(Debug)]
pub(crate) struct Content<'c> {
    upload: RequestBody<'c>,
    claim: Claim,
    cut: bool,
}

impl<'c> Recall<'c> for Content<'c> {
    fn can_return(&self) -> bool {
        self.upload.can_return()
    }

    fn recall(self) -> RequestBody<'c> {
        let number = self.claim.number;
        self.claim.shadow.borrow_mut().discarded(number);
        self.upload
    }
}

impl Body for Content<'_> {
    fn poll_piece(&mut self, _: &mut Context<'_>) -> Poll<Result<Option<Piece<'_>>, BodyFailure>> {
        Poll::Ready(if self.cut {
            Err(BodyFailure::Cut)
        } else {
            Ok(None)
        })
    }

    fn consume(&mut self, _: usize) {}

    fn length(&self) -> Length {
        Length::Unknown
    }
}

impl AnswerBody for Content<'_> {
    fn poll_upload(&mut self, _: &mut Context<'_>, _: &mut u64) -> Poll<Upload> {
        Poll::Ready(Upload::Whole)
    }

    fn delivered(&mut self, _: u64) {}

    fn end(&mut self, _: Ending, _: Instant) {}
}

/// The port of a backend, by which the simulation knows it.
pub(crate) fn port_of(backend: &Backend) -> Port {
    match backend.address() {
        Address::Tcp(address) => address.port(),
        Address::Unix(_) => 0,
    }
}

fn number_of(head: &Head) -> Number {
    let text = head.first_named(REQUEST_FIELD).unwrap_or_default();
    let number = std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok());
    number.expect("each request of the simulation carries its number")
}
