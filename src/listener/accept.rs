//! A worker's accept loop.
//!
//! When the process can hold no more connections it pauses: what waits in the kernel's queue is not lost,
//! and it never spins. When the listener goes, it takes what is queued and then closes.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::{SockFilter, SockRef};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Budget, Permit, Socket};
use crate::plan::Listener;
use crate::telemetry::WorkerId;
use crate::worker::Stream;

/// One worker's part in listening on one address.
#[derive(Debug)]
pub struct Listening {
    socket: AsyncSocket,
    worker: WorkerId,
    budget: Arc<Budget>,
    connections: Arc<AtomicUsize>,
    retired: Rc<Retirement>,
    /// When the operator was last told that accepting pauses.
    told: Cell<Option<Instant>>,
}

/// What ends an accept loop.
#[derive(Debug, Default)]
pub struct Retirement {
    asked: Notify,
    left: Cell<bool>,
}

impl Retirement {
    /// The loop takes what is queued, closes the socket and ends.
    pub fn retire(&self) {
        self.asked.notify_one();
    }

    /// The loop ends at once: another process has the same socket, and serves what is queued.
    pub fn leave(&self) {
        self.left.set(true);
        self.asked.notify_one();
    }
}

/// A connection that has been accepted and not yet been served.
#[derive(Debug)]
pub struct Accepted {
    /// The socket, registered with this worker's runtime.
    pub stream: Stream,
    /// Where it comes from; `None` for a Unix socket.
    pub peer: Option<IpAddr>,
    /// Its place in the budget, in the name of the worker that is to serve it.
    pub permit: Permit,
}

/// An accepted connection on its way to another worker.
#[derive(Debug)]
pub struct Detached {
    stream: DetachedStream,
    peer: Option<IpAddr>,
    permit: Permit,
}

#[derive(Debug)]
enum DetachedStream {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

/// What the loop asks of whoever runs it.
pub trait Door {
    /// The listener's settings now.
    fn listener(&self) -> Arc<Listener>;
    /// Takes a connection.
    fn take(&self, accepted: Accepted);
    /// Notes that new connections have to wait.
    fn paused(&self);
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
            retired: Rc::default(),
            told: Cell::new(None),
        })
    }

    /// What ends the loop.
    pub fn retirement(&self) -> Rc<Retirement> {
        Rc::clone(&self.retired)
    }

    /// Accepts until it is retired.
    pub async fn run(self, door: impl Door) {
        while !self.retired.left.get() {
            if !self.has_room(&door) {
                self.note_pause(&door, "a limit of connections or open files is reached");
                tokio::select! {
                    () = self.retired.asked.notified() => return self.close(&door).await,
                    () = self.room(&door) => {}
                }
            }
            let accepted = tokio::select! {
                biased;
                accepted = poll_fn(|cx| self.poll_accept(cx)) => accepted,
                () = self.retired.asked.notified() => return self.close(&door).await,
            };
            match accepted {
                Ok(accepted) => door.take(accepted),
                Err(error) => self.after_error(&error, &door).await,
            }
        }
    }

    /// Waits until there is room.
    async fn room(&self, door: &impl Door) {
        while !self.has_room(door) {
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn has_room(&self, door: &impl Door) -> bool {
        let most = door.listener().limits.connections;
        self.budget.has_room(&self.connections, most)
    }

    /// Counts each pause, and tells the operator of the first in a while: at the limit there is one for
    /// each connection that ends.
    fn note_pause(&self, door: &impl Door, why: &str) {
        door.paused();
        let now = Instant::now();
        if self.told.get().is_none_or(|told| now >= told + TOLD_AGAIN) {
            self.told.set(Some(now));
            let connections = self.budget.total();
            tracing::warn!(listener = %door.listener().name, connections, "accepting pauses: {why}");
        }
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        let (stream, peer) = match &self.socket {
            AsyncSocket::Tcp(socket) => {
                let (stream, peer) = ready!(socket.poll_accept(cx))?;
                of_tcp(stream, peer)
            }
            AsyncSocket::Unix(socket) => {
                let (stream, _) = ready!(socket.poll_accept(cx))?;
                (Stream::Unix(stream), None)
            }
        };
        Poll::Ready(Ok(self.admit(stream, peer)))
    }

    fn admit(&self, stream: Stream, peer: Option<IpAddr>) -> Accepted {
        let worker = self.budget.place(self.worker);
        Accepted {
            stream,
            peer,
            permit: self.budget.enter(worker, &self.connections),
        }
    }

    /// Takes what there is, lets the handshakes under way come to their end, and takes these.
    async fn close(&self, door: &impl Door) {
        if self.retired.left.get() {
            return;
        }
        let no_more = self.socket.take_no_more();
        self.take_queued(door);
        if no_more {
            tokio::time::sleep(HANDSHAKE).await;
            self.take_queued(door);
        }
    }

    /// The queue holds whole connections: closing the socket would reset them. The system is asked, not
    /// the runtime, which may not know of the last ones yet and hands out only so many at a time.
    fn take_queued(&self, door: &impl Door) {
        loop {
            match self.socket.accept_now() {
                Ok((stream, peer)) => door.take(self.admit(stream, peer)),
                Err(error) if is_of_client(&error) => {}
                // The queue is empty, or no descriptor is left to take more with.
                Err(_) => return,
            }
        }
    }

    async fn after_error(&self, error: &io::Error, door: &impl Door) {
        if is_of_client(error) {
            return;
        }
        self.note_pause(door, &error.to_string());
        door.make_room();
        tokio::time::sleep(PAUSE).await;
    }
}

impl Accepted {
    /// Takes it off this worker's runtime, for another worker's.
    ///
    /// # Errors
    /// When the runtime will not let it go; the connection is lost then.
    pub fn detach(self) -> io::Result<Detached> {
        let Self {
            stream,
            peer,
            permit,
        } = self;
        let stream = match stream {
            Stream::Tcp(stream) => DetachedStream::Tcp(stream.into_std()?),
            Stream::Unix(stream) => DetachedStream::Unix(stream.into_std()?),
            Stream::Tls(_) => return Err(io::ErrorKind::Unsupported.into()),
        };
        Ok(Detached {
            stream,
            peer,
            permit,
        })
    }
}

impl Detached {
    /// Registers it with the runtime of the worker that is to serve it.
    ///
    /// # Errors
    /// When the runtime cannot take it.
    pub fn attach(self) -> io::Result<Accepted> {
        let Self {
            stream,
            peer,
            permit,
        } = self;
        let stream = match stream {
            DetachedStream::Tcp(stream) => Stream::Tcp(TcpStream::from_std(stream)?),
            DetachedStream::Unix(stream) => Stream::Unix(UnixStream::from_std(stream)?),
        };
        Ok(Accepted {
            stream,
            peer,
            permit,
        })
    }
}

impl AsyncSocket {
    /// Has the system drop what asks for a new connection from now on: else one may come to stand between
    /// the last look into the queue and the close, which would reset it. Its client asks again a second
    /// later, and finds whoever listens then. True if that is so.
    fn take_no_more(&self) -> bool {
        match self {
            Self::Tcp(socket) => SockRef::from(socket).attach_filter(&NO_SYN).is_ok(),
            Self::Unix(_) => false,
        }
    }

    /// Takes a connection off the queue without asking the runtime whether there is one.
    fn accept_now(&self) -> io::Result<(Stream, Option<IpAddr>)> {
        match self {
            Self::Tcp(socket) => {
                let (stream, peer) = SockRef::from(socket).accept()?;
                stream.set_nonblocking(true)?;
                let peer = peer.as_socket().ok_or(io::ErrorKind::ConnectionAborted)?;
                Ok(of_tcp(TcpStream::from_std(stream.into())?, peer))
            }
            Self::Unix(socket) => {
                let (stream, _) = SockRef::from(socket).accept()?;
                stream.set_nonblocking(true)?;
                Ok((Stream::Unix(UnixStream::from_std(stream.into())?), None))
            }
        }
    }
}

fn of_tcp(stream: TcpStream, peer: SocketAddr) -> (Stream, Option<IpAddr>) {
    (Stream::Tcp(stream), Some(peer.ip().to_canonical()))
}

/// Whether the client was gone before it was accepted.
fn is_of_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// A packet filter: of the flags of TCP, in byte 13, SYN without ACK; such a packet is dropped, any other
/// kept whole. Sockets that inherit it are none the worse for it.
const NO_SYN: [SockFilter; 5] = [
    SockFilter::new(0x30, 0, 0, 13),       // ldb [13]
    SockFilter::new(0x54, 0, 0, 0x12),     // and #SYN|ACK
    SockFilter::new(0x15, 0, 1, 0x02),     // jeq #SYN, next, else one further
    SockFilter::new(0x06, 0, 0, 0),        // ret #0
    SockFilter::new(0x06, 0, 0, u32::MAX), // ret all
];

/// How long a handshake may still take when a listener goes: a round trip to most clients.
const HANDSHAKE: Duration = Duration::from_millis(100);

/// How long the operator is not told again that accepting pauses.
const TOLD_AGAIN: Duration = Duration::from_secs(60);

/// How long accepting pauses when there is no room.
const PAUSE: Duration = Duration::from_millis(50);
