//! Bodies: lent, not owned.
//!
//! A body is polled for a piece, the piece is used where it lies (in the worker's buffer), and what was
//! used is consumed. Nothing is copied to hand it over and nothing is allocated. The same three traits
//! serve both sides of the proxy: a request's body on its way up ([`Body`]), the interim responses
//! that may overtake it ([`Interim`]), and the answer on its way down ([`AnswerBody`]), which carries
//! the unfinished upload with it, so that both directions flow at once.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::head::Head;
use super::kept::{self, Kept};

/// A message body that can be read piece by piece.
pub trait Body {
    /// The next piece, or `None` at the end. Polling again without [`Body::consume`] gives the same
    /// bytes, and perhaps more behind them. A data piece is never empty. Cancel-safe.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Piece<'_>>, BodyFailure>>;

    /// Says that the first `n` bytes of the last data piece have been used.
    fn consume(&mut self, n: usize);

    /// How long it is in all, as far as that is known before it has been read.
    fn length(&self) -> Length;

    /// The connection becomes a tunnel (RFC 9110 section 7.8): from now on everything that comes is content, until the
    /// connection ends. For bodies of requests; to all others nothing happens.
    fn open(&mut self) {}

    /// Says how long whoever sends it may be silent between two messages of gRPC within it. For bodies of requests, and
    /// for those of answers, which carry the rest of their request; to all others nothing happens.
    fn may_pause(&mut self, _: Pause) {}

    /// How many bytes, still unread on its connection, are content beyond doubt and need be seen by nobody here, so that
    /// [`Body::poll_splice`] can move them; `u64::MAX` for all that comes until the connection ends.
    fn unseen(&self) -> u64 {
        0
    }

    /// Has up to `most` of its unseen bytes moved into an empty pipe, where they count as consumed; 0 if the next ones
    /// have to be read instead, which also tells whether there are any. `None` if the system moves none at all. Cancel-safe.
    fn poll_splice(
        &mut self,
        _: &mut Context<'_>,
        _pipe: BorrowedFd<'_>,
        _most: usize,
    ) -> Poll<Result<Option<usize>, BodyFailure>> {
        Poll::Ready(Ok(None))
    }
}

/// How long whoever sends a call of gRPC may be silent between two messages. Within a message it is as in any body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// As in any body: it is no such call.
    Never,
    /// So long, from the last byte on.
    For(Duration),
    /// As long as the other direction is not silent too: whoever delivers the answer bounds both together.
    WithAnswer,
}

/// A piece of a body.
#[derive(Clone, Copy, Debug)]
pub enum Piece<'a> {
    /// Bytes of the content.
    Data(&'a [u8]),
    /// Trailer fields; only the end can follow.
    Trailers(&'a Head),
}

/// How long a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// There is no body, and none can be (HEAD, 204, 304); a length may be announced all the same.
    Absent {
        /// What `Content-Length` says, if anything.
        announced: Option<u64>,
    },
    /// This many bytes.
    Exact(u64),
    /// Known at its end.
    Unknown,
}

/// Why a body ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyFailure {
    /// The peer vanished, or ended the connection within the body.
    #[error("the connection ended within the body")]
    Cut,
    /// The peer cancelled the stream (RFC 9113 section 7, CANCEL).
    #[error("the stream was cancelled within the body")]
    Cancelled,
    /// The peer ended the stream for what it costs (RFC 9113 section 7, ENHANCE_YOUR_CALM).
    #[error("the stream was ended within the body for what it costs")]
    Exhausted,
    /// The framing of the body is broken.
    #[error("the framing of the body is broken")]
    Malformed,
    /// More bytes came than the message said.
    #[error("more bytes came than the message said")]
    Overrun,
    /// It is longer than the listener allows.
    #[error("the body is longer than allowed")]
    TooLarge,
    /// No byte came in time.
    #[error("no byte of the body came in time")]
    TimedOut,
    /// Bytes came more slowly than they have to.
    #[error("the body came too slowly")]
    TooSlow,
}

/// Takes interim responses (1xx) to the client while its request is still on its way.
pub trait Interim {
    /// Queues the head and begins to write it. Heads that the client cannot take are dropped.
    fn inform(&self, head: &Head, cx: &mut Context<'_>);
}

/// The body of a request, as the proxy sees it: borrowed from the connection that reads it. The default
/// is a request without one.
#[derive(Default)]
pub struct RequestBody<'c> {
    source: Option<&'c mut (dyn Body + 'c)>,
    interim: Option<&'c (dyn Interim + 'c)>,
    touched: bool,
    broken: bool,
    pauses: bool,
    /// What has been read of it, while all of that is kept.
    kept: Option<Box<Kept>>,
}

impl<'c> RequestBody<'c> {
    /// A body read from `source`; `None` for a request without one.
    pub fn new(
        source: Option<&'c mut (dyn Body + 'c)>,
        interim: Option<&'c (dyn Interim + 'c)>,
    ) -> Self {
        Self {
            source,
            interim,
            touched: false,
            broken: false,
            pauses: false,
            kept: None,
        }
    }

    /// What is left of a body that was given up with an attempt: nobody can tell where on its connection it ends.
    pub fn lost() -> Self {
        Self {
            broken: true,
            ..Self::default()
        }
    }

    /// Keeps up to `most` bytes of it from now on, so that it can be sent again. To what is longer, or absent, nothing
    /// happens.
    pub fn keep(&mut self, most: usize) {
        let fits = match self.length() {
            Length::Absent { .. } | Length::Exact(0) => false,
            Length::Exact(length) => length <= most as u64,
            Length::Unknown => true,
        };
        if fits && !self.touched {
            self.kept = Some(Box::new(Kept::new(most)));
        }
    }

    /// Whether it can be sent again whatever becomes of it in the attempt that begins now, or is under way: there is
    /// nothing in it, or it is kept.
    pub fn can_return(&self) -> bool {
        let is_empty = || matches!(self.length(), Length::Absent { .. } | Length::Exact(0));
        self.kept.is_some() || (!self.touched && is_empty())
    }

    /// Returns to its beginning. False if that is gone, because a byte has been used that is not kept.
    pub fn rewind(&mut self) -> bool {
        if let Some(kept) = &mut self.kept {
            kept.rewind();
            self.touched = false;
        }
        !self.touched
    }

    /// Whether reading it has failed, so that what follows it on its connection cannot be found.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Passes an interim response on to the client.
    pub fn inform(&self, head: &Head, cx: &mut Context<'_>) {
        if let Some(interim) = self.interim {
            interim.inform(head, cx);
        }
    }
}

impl Body for RequestBody<'_> {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Piece<'_>>, BodyFailure>> {
        let Some(source) = &mut self.source else {
            return Poll::Ready(Ok(None));
        };
        if self.kept.is_some() {
            let polled = kept::poll_piece(&mut **source, &mut self.kept, cx);
            self.broken |= matches!(polled, Poll::Ready(Err(_)));
            return polled;
        }
        let polled = source.poll_piece(cx);
        self.broken |= matches!(polled, Poll::Ready(Err(_)));
        polled
    }

    fn consume(&mut self, n: usize) {
        if let Some(source) = &mut self.source {
            self.touched |= n > 0;
            match &mut self.kept {
                Some(kept) => kept.consume(n),
                None => source.consume(n),
            }
        }
    }

    fn length(&self) -> Length {
        self.source
            .as_ref()
            .map_or(Length::Absent { announced: None }, |source| source.length())
    }

    fn open(&mut self) {
        if let Some(source) = &mut self.source {
            source.open();
        }
    }

    fn may_pause(&mut self, pause: Pause) {
        // A body that never pauses need not hear of it with each answer.
        self.pauses |= matches!(pause, Pause::For(_));
        if self.pauses
            && let Some(source) = &mut self.source
        {
            source.may_pause(pause);
        }
    }

    fn unseen(&self) -> u64 {
        // What is in a pipe cannot be sent again: so the first piece is read, and with it goes the wish to.
        let is_bound = self.touched && self.kept.is_none();
        let source = self.source.as_ref().filter(|_| is_bound);
        source.map_or(0, |source| source.unseen())
    }

    fn poll_splice(
        &mut self,
        cx: &mut Context<'_>,
        pipe: BorrowedFd<'_>,
        most: usize,
    ) -> Poll<Result<Option<usize>, BodyFailure>> {
        let Some(source) = &mut self.source else {
            return Poll::Ready(Ok(None));
        };
        let polled = source.poll_splice(cx, pipe, most);
        self.broken |= matches!(polled, Poll::Ready(Err(_)));
        polled
    }
}

impl fmt::Debug for RequestBody<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody")
            .field("length", &self.length())
            .field("touched", &self.touched)
            .finish_non_exhaustive()
    }
}

/// The body of an answer, which carries what is left of the request's upload.
///
/// Whoever delivers it polls both directions until both have ended. Dropping it is cancelling: the
/// exchange is recorded as cut by the client unless [`AnswerBody::end`] has said otherwise.
pub trait AnswerBody: Body {
    /// Moves the upload on, and adds the number of bytes of content to `moved`. Ready when nothing more
    /// will be sent: all of it went out, or it failed, which the answer itself shows where it matters.
    /// While it waits for the client it bounds that itself.
    fn poll_upload(&mut self, cx: &mut Context<'_>, moved: &mut u64) -> Poll<Upload>;

    /// Whether the upload, pending, waits for bytes of the client and for nothing else; only of a tunnel.
    fn awaits_client(&self) -> bool {
        false
    }

    /// Whether nothing has come since the answer was last pending, so that it need not be polled again: whoever waits
    /// for it is still to be woken. Only of a tunnel, and by a task that had budget left.
    fn is_silent(&self) -> bool {
        false
    }

    /// Says that `n` bytes of the answer's content have been handed to the client's connection.
    fn delivered(&mut self, n: u64);

    /// How many of 255 tunnels to its backend are to end now; only of a tunnel.
    fn called_off(&self) -> u8 {
        0
    }

    /// Whether a frame of a WebSocket may be put behind what has been consumed; only of a tunnel that is one.
    fn is_between_frames(&self) -> bool {
        false
    }

    /// Says how the delivery ended, and when; the exchange is recorded with it.
    fn end(&mut self, how: Ending, now: Instant);
}

/// How an upload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upload {
    /// The whole request body was read from the client.
    Whole,
    /// Reading it from the client failed: the exchange is over.
    Failed(BodyFailure),
    /// The backend took only some of it; the client's connection cannot carry another request.
    Unfinished,
}

/// How the delivery of an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The client's connection broke, or the client reset the stream.
    ClientGone,
    /// The client took too few bytes for too long.
    ClientStalled,
    /// All of it went to the client.
    Delivered,
    /// The answer failed on its way from the backend.
    SourceFailed(BodyFailure),
    /// The rest of the request failed on its way from the client, so that its answer is cut too.
    UploadFailed(BodyFailure),
}
