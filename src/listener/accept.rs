//! A worker's accept loop.
//!
//! When the process can hold no more connections it pauses: what waits in the kernel's queue is not lost,
//! and it never spins. When the listener goes, it takes what is queued and then closes.

use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Notify;

use super::{Budget, Permit, Socket};
use crate::plan::Listener;
use crate::telemetry::WorkerId;

/// One worker's part in listening on one address.
#[derive(Debug)]
pub struct Listening {
    socket: AsyncSocket,
    worker: WorkerId,
    budget: Arc<Budget>,
    connections: Arc<AtomicUsize>,
    retired: Rc<Notify>,
}

/// A connection that has been accepted and not yet been served; may be handed to another worker.
#[derive(Debug)]
pub struct Accepted {
    /// The socket, not registered with any runtime.
    pub stream: AcceptedStream,
    /// Where it comes from; `None` for a Unix socket.
    pub peer: Option<IpAddr>,
    /// Its place in the budget, in the name of the worker that is to serve it.
    pub permit: Permit,
}

/// An accepted socket.
#[derive(Debug)]
pub enum AcceptedStream {
    /// TCP.
    Tcp(std::net::TcpStream),
    /// Unix.
    Unix(std::os::unix::net::UnixStream),
}

/// What the loop asks of whoever runs it.
pub trait Door {
    /// The listener's settings now.
    fn listener(&self) -> Arc<Listener>;
    /// Takes a connection.
    fn take(&self, accepted: Accepted);
    /// Gives up descriptors, if that can be done.
    fn make_room(&self);
}

#[derive(Debug)]
enum AsyncSocket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listening {
    /// Registers a socket with this worker's runtime. `connections` counts those of all workers.
    ///
    /// # Errors
    /// When the runtime cannot take it (no descriptor left).
    pub fn new(
        socket: Socket,
        worker: WorkerId,
        budget: Arc<Budget>,
        connections: Arc<AtomicUsize>,
    ) -> io::Result<Self> {
        Ok(Self {
            socket: match socket {
                Socket::Tcp(socket) => AsyncSocket::Tcp(TcpListener::from_std(socket)?),
                Socket::Unix(socket) => AsyncSocket::Unix(UnixListener::from_std(socket)?),
            },
            worker,
            budget,
            connections,
            retired: Rc::new(Notify::new()),
        })
    }

    /// What ends the loop, after it has taken what is queued.
    pub fn retirement(&self) -> Rc<Notify> {
        Rc::clone(&self.retired)
    }

    /// Accepts until it is retired.
    pub async fn run(self, door: impl Door) {
        loop {
            while !self
                .budget
                .has_room(&self.connections, door.listener().limits.connections)
            {
                tokio::select! {
                    () = self.retired.notified() => return self.take_queued(&door),
                    () = tokio::time::sleep(PAUSE) => {}
                }
            }
            let accepted = tokio::select! {
                biased;
                accepted = poll_fn(|cx| self.poll_accept(cx)) => accepted,
                () = self.retired.notified() => return self.take_queued(&door),
            };
            match accepted {
                Ok(accepted) => door.take(accepted),
                Err(error) => self.after_error(&error, &door).await,
            }
        }
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        let (stream, peer) = match &self.socket {
            AsyncSocket::Tcp(socket) => match socket.poll_accept(cx) {
                Poll::Ready(Ok((stream, peer))) => {
                    (plain_tcp(stream)?, Some(peer.ip().to_canonical()))
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            },
            AsyncSocket::Unix(socket) => match socket.poll_accept(cx) {
                Poll::Ready(Ok((stream, _))) => (plain_unix(stream)?, None),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            },
        };
        let worker = self.budget.place(self.worker);
        Poll::Ready(Ok(Accepted {
            stream,
            peer,
            permit: self.budget.enter(worker, &self.connections),
        }))
    }

    /// The queue holds whole connections: closing the socket would reset them.
    fn take_queued(&self, door: &impl Door) {
        let mut cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(Ok(accepted)) = self.poll_accept(&mut cx) {
            door.take(accepted);
        }
    }

    async fn after_error(&self, error: &io::Error, door: &impl Door) {
        match error.kind() {
            // The client was gone before it was accepted.
            io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted => {}
            _ => {
                tracing::warn!(listener = %door.listener().name, %error, "accepting pauses");
                door.make_room();
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn plain_tcp(stream: TcpStream) -> io::Result<AcceptedStream> {
    stream.set_nodelay(true)?;
    stream.into_std().map(AcceptedStream::Tcp)
}

fn plain_unix(stream: UnixStream) -> io::Result<AcceptedStream> {
    stream.into_std().map(AcceptedStream::Unix)
}

/// How long accepting pauses when there is no room.
const PAUSE: Duration = Duration::from_millis(50);
