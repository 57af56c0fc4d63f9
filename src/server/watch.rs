//! Whether the client is still there, while it is waited for nothing from it.
//!
//! As long as a client is silent, the runtime says when that changes. One that has sent more than was asked for, or has
//! ended its side, is no longer silent, and its bytes stay where they are: what becomes of it after that no
//! readiness tells. So it is looked at now and then, which costs nothing as long as all are silent. Nothing is read for
//! that: whether the end of a side stands behind bytes, the system says.

use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use crate::worker::stream::PeerState;
use crate::worker::{Stream, Timer, Worker};

/// Looks whether a client is still there.
#[derive(Debug)]
pub(super) struct Watch<'a> {
    worker: &'a Worker,
    /// Whether the end of its side counts as its going.
    end_is_gone: bool,
    /// When to look again at a client that is not silent; made when the first of them is seen.
    again: Option<Timer>,
}

impl<'a> Watch<'a> {
    /// `end_is_gone`: a client that ends its side gives up what it has asked for.
    pub(super) fn new(worker: &'a Worker, end_is_gone: bool) -> Self {
        Self {
            worker,
            end_is_gone,
            again: None,
        }
    }

    /// Ready when the client is gone. Bytes that wait are no sign of that, nor is the end of its side, unless it counts.
    pub(super) fn poll_gone(&mut self, stream: &Stream, cx: &mut Context<'_>) -> Poll<()> {
        match stream.poll_peer(cx) {
            Poll::Ready(PeerState::Gone) => return Poll::Ready(()),
            Poll::Ready(PeerState::HalfClosed) if self.end_is_gone => return Poll::Ready(()),
            Poll::Ready(PeerState::BytesWaiting | PeerState::HalfClosed) => {}
            Poll::Pending => return Poll::Pending,
        }
        let is_first = self.again.is_none();
        let again = self.again.get_or_insert_with(|| {
            let timer = self.worker.timer();
            timer.set(Instant::now() + PAUSE);
            timer
        });
        // What waits may be a farewell of TLS, with the end of its side right behind.
        if is_first && self.end_is_gone && stream.has_ended() {
            return Poll::Ready(());
        }
        if again.poll_expired(cx).is_ready() {
            if stream.has_failed() || (self.end_is_gone && stream.has_ended()) {
                return Poll::Ready(());
            }
            again.set(Instant::now() + PAUSE);
            // So that it wakes this task.
            let _ = again.poll_expired(cx);
        }
        Poll::Pending
    }
}

/// Soon enough to end work that nobody waits for, and rarely enough to cost nothing.
const PAUSE: Duration = Duration::from_millis(250);
