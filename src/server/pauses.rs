//! The silence of those who call by gRPC: between two messages a caller speaks when it has something to say.

use std::task::{Context, Poll};

use tokio::time::Instant;

use crate::message::body::Pause;
use crate::message::grpc::Messages;
use crate::worker::Timer;

/// Follows a call's messages, and bounds the waits between them.
#[derive(Debug)]
pub(super) struct Pauses {
    pause: Pause,
    messages: Messages,
    /// Whether a wait is under way.
    waiting: bool,
}

impl Pauses {
    /// For a body of which nothing has been used.
    pub(super) fn new(pause: Pause) -> Self {
        Self {
            pause,
            messages: Messages::default(),
            waiting: false,
        }
    }

    /// Another bound from now on.
    pub(super) fn change(&mut self, pause: Pause) {
        self.pause = pause;
        self.waiting = false;
    }

    /// Follows content that is used.
    pub(super) fn follow(&mut self, bytes: &[u8]) {
        self.messages.follow(bytes);
    }

    /// Something has come.
    pub(super) fn end_wait(&mut self) {
        self.waiting = false;
    }

    /// Nothing has come, and all that has come before has been used: ready when that has lasted too long. `None` if it is
    /// bounded as in any body.
    pub(super) fn poll_wait(&mut self, cx: &mut Context<'_>, timer: &Timer) -> Option<Poll<()>> {
        if !self.messages.is_between() {
            return None;
        }
        match self.pause {
            Pause::Never => None,
            Pause::WithAnswer => Some(Poll::Pending),
            Pause::For(most) => {
                if !std::mem::replace(&mut self.waiting, true) {
                    timer.set(Instant::now() + most);
                }
                Some(timer.poll_expired(cx))
            }
        }
    }
}
