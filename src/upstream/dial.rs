//! New connections, and what is taken in their place: one that comes free while they are waited for.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use super::store::{Store, stands};
use super::turns::{Got, Turn, Turns};
use super::{Attempt, Connection, Reuse, SendError, connect, tls, unsent};
use crate::backend::{Backend, Secure};
use crate::telemetry::Cause;
use crate::worker::{Descriptor, Descriptors, Stream, Timer, Worker};

/// Makes connections of one worker.
#[derive(Clone, Debug)]
pub(super) struct Dialler {
    pub(super) worker: Rc<Worker>,
    pub(super) store: Rc<Store>,
    pub(super) turns: Rc<Turns>,
    pub(super) descriptors: Arc<Descriptors>,
}

type Dialling = Pin<Box<dyn Future<Output = Result<Box<Connection>, Cause>>>>;

impl Dialler {
    /// A connection for one exchange at a time, which nobody has left idle: a new one when it is our turn to connect,
    /// or one that comes free before that; and how long that took. Cancel-safe.
    pub(super) async fn get(
        &self,
        attempt: &Attempt<'_>,
    ) -> Result<(Box<Connection>, Duration), SendError> {
        let begun = Instant::now();
        let deadline = begun + attempt.timeouts.connect;
        let answers = attempt.backend.meters().answers();
        let whose = (&**attempt.backend, attempt.secure);
        let ticket = self.turns.join(whose, attempt.reuse != Reuse::Never);
        let timer = self.worker.timer();
        timer.set(deadline);
        let mut dialling: Option<Dialling> = None;
        let got = poll_fn(|cx| {
            while let Poll::Ready(got) = ticket.poll(cx) {
                match got {
                    Got::Freed(mut connection) => {
                        connection.wake(Duration::ZERO);
                        // Its backend may have closed it in this moment: then the wait goes on, for a turn.
                        if stands(&mut connection) {
                            return Poll::Ready(Ok(connection));
                        }
                        self.turns.rejoin(&ticket);
                    }
                    Got::Turn(turn) => dialling = Some(self.begin(attempt, deadline, turn)),
                }
            }
            match dialling.as_mut() {
                Some(dialling) => dialling.as_mut().poll(cx),
                None => timer.poll_expired(cx).map(|()| Err(self.reason_of_wait())),
            }
        })
        .await;
        drop(ticket);
        match got {
            Ok(connection) => {
                if let (true, Some(dialling)) = (connection.reused, dialling) {
                    self.finish(dialling, attempt.timeouts.idle);
                }
                Ok((connection, begun.elapsed()))
            }
            Err(cause) => Err(SendError {
                lives: attempt.backend.meters().answers() != answers,
                ..unsent(cause)
            }),
        }
    }

    /// Why there was no turn in time: nobody else had one either, or there are no descriptors to connect with.
    fn reason_of_wait(&self) -> Cause {
        if self.descriptors.are_short() {
            Cause::DescriptorsExhausted
        } else {
            Cause::ConnectTimeout
        }
    }

    fn begin(&self, attempt: &Attempt<'_>, deadline: Instant, turn: Turn) -> Dialling {
        let dialler = self.clone();
        let (backend, secure) = (Arc::clone(attempt.backend), attempt.secure.cloned());
        Box::pin(async move {
            let timer = dialler.worker.timer();
            timer.set(deadline);
            let both = dialler
                .dial((&backend, secure.as_ref()), true, &timer)
                .await?;
            drop(turn);
            let whose = (backend, secure);
            Ok(Connection::new(both, whose, &dialler.worker, timer))
        })
    }

    /// Finishes what was begun, for the next one.
    fn finish(&self, dialling: Dialling, keep: Duration) {
        let store = Rc::clone(&self.store);
        tokio::task::spawn_local(async move {
            // That it failed concerns nobody: whoever has a request for this backend finds out.
            if let Ok(connection) = dialling.await {
                store.put(connection, keep);
            }
        });
    }

    /// Connects, with TLS if it is spoken.
    pub(super) async fn dial(
        &self,
        (backend, secure): (&Arc<Backend>, Option<&Arc<Secure>>),
        only_http1: bool,
        timer: &Timer,
    ) -> Result<(Stream, Descriptor), Cause> {
        let address = backend.address();
        let descriptor = self.descriptor(timer).await?;
        let stream = match connect::connect(address, timer).await {
            // The whole machine is short of them, or the limit has been lowered since.
            Err(Cause::DescriptorsExhausted) if self.store.evict_some() => {
                connect::connect(address, timer).await?
            }
            result => result?,
        };
        let stream = match (stream, secure) {
            (Stream::Tcp(stream), Some(secure)) => {
                // Boxed: it is not to make the futures of those without TLS larger.
                Box::pin(tls::handshake(stream, (backend, secure), only_http1, timer)).await?
            }
            (stream, _) => stream,
        };
        Ok((stream, descriptor))
    }

    /// A descriptor for one more connection: at once if there is one, or for idle connections that are
    /// given up; else the next one that somebody gives back in time.
    async fn descriptor(&self, timer: &Timer) -> Result<Descriptor, Cause> {
        loop {
            if let Some(descriptor) = self.descriptors.take() {
                return Ok(descriptor);
            }
            let pipes = self.store.worker().pipes();
            if !pipes.make_room() && !self.store.evict_some() {
                break;
            }
        }
        let mut waiting = pin!(self.descriptors.wait());
        poll_fn(|cx| match waiting.as_mut().poll(cx) {
            Poll::Ready(descriptor) => Poll::Ready(Ok(descriptor)),
            Poll::Pending => timer
                .poll_expired(cx)
                .map(|()| Err(Cause::DescriptorsExhausted)),
        })
        .await
    }
}
