//! A thin layer over epoll, level-triggered, for the backend, the relay and the WebSocket client: what
//! they do must cost next to nothing beside what the proxies do.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;

/// What a socket is watched for, or what has happened to it.
pub(crate) use rustix::event::epoll::EventFlags as Flags;

pub(crate) const READ: Flags = Flags::IN.union(Flags::RDHUP);
pub(crate) const WRITE: Flags = Flags::OUT;

/// Sockets that are watched, each under a token.
pub(crate) struct Poll {
    epoll: OwnedFd,
    events: Vec<Event>,
}

impl Poll {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(512),
        })
    }

    /// Watches a socket until it is closed.
    pub(crate) fn add(&self, socket: impl AsFd, token: usize, flags: EventFlags) -> io::Result<()> {
        Ok(epoll::add(
            &self.epoll,
            socket,
            EventData::new_u64(token as u64),
            flags,
        )?)
    }

    /// Watches a socket for something else.
    pub(crate) fn set(&self, socket: impl AsFd, token: usize, flags: EventFlags) -> io::Result<()> {
        Ok(epoll::modify(
            &self.epoll,
            socket,
            EventData::new_u64(token as u64),
            flags,
        )?)
    }

    /// Watches a socket no more, though it stays open.
    pub(crate) fn remove(&self, socket: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, socket)?)
    }

    /// Replaces what is in `happened` by what happens next, or by nothing when time is over.
    pub(crate) fn wait(
        &mut self,
        happened: &mut Vec<(usize, Flags)>,
        at_most: Option<Duration>,
    ) -> io::Result<()> {
        happened.clear();
        self.events.clear();
        let at_most = at_most.map(|time| Timespec {
            tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: time.subsec_nanos().into(),
        });
        match epoll::wait(
            &self.epoll,
            spare_capacity(&mut self.events),
            at_most.as_ref(),
        ) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        happened.extend(self.events.iter().map(|event| {
            let token = event.data.u64();
            (usize::try_from(token).unwrap_or(usize::MAX), event.flags)
        }));
        Ok(())
    }
}

/// A listening socket with a deep queue.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(address),
        socket2::Type::STREAM,
        None,
    )?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// The next connection that waits, if one does.
pub(crate) fn accept(listener: &TcpListener) -> Option<TcpStream> {
    let (stream, _) = listener.accept().ok()?;
    ready(&stream).ok()?;
    Some(stream)
}

/// Makes a stream one that never waits.
pub(crate) fn ready(stream: &TcpStream) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)
}
