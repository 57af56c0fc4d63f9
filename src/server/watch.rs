//! Whether the client is still there, while it is waited for nothing from it.
//!
//! As long as a client is silent, the runtime says when that changes. One that has sent more than was asked for, or has
//! ended its side, is no longer silent, and its bytes stay where they are: what becomes of it after that no
//! readiness tells. So it is looked at now and then, which costs nothing as long as all are silent.

use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use crate::worker::stream::PeerState;
use crate::worker::{Stream, Timer, Worker};

/// Looks whether a client is still there.
#[derive(Debug)]
pub(super) struct Watch<'a> {
    worker: &'a Worker,
    /// When to look again at a client that is not silent; made when the first of them is seen.
    again: Option<Timer>,
}

impl<'a> Watch<'a> {
    pub(super) fn new(worker: &'a Worker) -> Self {
        Self {
            worker,
            again: None,
        }
    }

    /// Ready when the client is gone. The end of its side is no sign of that, nor are bytes that wait.
    pub(super) fn poll_gone(&mut self, stream: &Stream, cx: &mut Context<'_>) -> Poll<()> {
        match stream.poll_peer(cx) {
            Poll::Ready(PeerState::Gone) => return Poll::Ready(()),
            Poll::Ready(PeerState::BytesWaiting | PeerState::HalfClosed) => {}
            Poll::Pending => return Poll::Pending,
        }
        let again = self.again.get_or_insert_with(|| {
            let timer = self.worker.timer();
            timer.set(Instant::now() + PAUSE);
            timer
        });
        if again.poll_expired(cx).is_ready() {
            if stream.has_failed() {
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
