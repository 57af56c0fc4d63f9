//! A connected socket of any kind behind one type: TCP, Unix, or TLS over TCP.
//!
//! An enum in place of a trait object: the call is resolved by a branch that is always predicted, and
//! what differs between the kinds (looking for a peer that has gone) stays in one place.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, send, sendmsg};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsStream;

use super::buffer::Buffer;
use super::splice::{self, Pipe};

/// A connected socket.
#[derive(Debug)]
pub enum Stream {
    /// Plain TCP.
    Tcp(TcpStream),
    /// TLS over TCP, after the handshake. Boxed: it is twenty times the size of the others.
    Tls(Box<TlsStream<TcpStream>>),
    /// A Unix stream socket.
    Unix(UnixStream),
}

/// What is known of the peer without reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerState {
    /// It has sent bytes that nobody has read.
    BytesWaiting,
    /// It has ended its side of the connection (FIN); it may still read.
    HalfClosed,
    /// The connection is dead.
    Gone,
}

impl Stream {
    /// Reads once into the room of `buffer`; 0 bytes at the end of the stream. The caller has made room.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Buffer,
    ) -> Poll<io::Result<usize>> {
        debug_assert!(!buffer.room().is_empty());
        let n = if let Self::Tcp(stream) = self {
            ready!(poll_receive(stream, cx, buffer.room()))?
        } else {
            let mut into = ReadBuf::new(buffer.room());
            ready!(self.poll_read_into(cx, &mut into))?;
            into.filled().len()
        };
        buffer.filled(n);
        Poll::Ready(Ok(n))
    }

    /// Copies bytes that wait to be read and leaves them where they are; 0 bytes at the end of the stream. To be
    /// asked again only when some of them have been taken, or it is ready at once. Not for TLS, whose bytes
    /// mean nothing yet.
    pub fn poll_look(&self, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_readable(cx))?;
            let mut look = || match self {
                Self::Tcp(stream) => peek_into(stream, room),
                Self::Unix(stream) => peek_into(stream, room),
                Self::Tls(_) => Err(io::ErrorKind::Unsupported.into()),
            };
            let seen = match self {
                Self::Tcp(stream) => stream.try_io(Interest::READABLE, look),
                Self::Unix(stream) => stream.try_io(Interest::READABLE, look),
                Self::Tls(_) => look(),
            };
            match seen {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                seen => return Poll::Ready(seen),
            }
        }
    }

    /// Takes bytes that have been looked at, all of `room`. Not by polling: they are there, and a task that has used up
    /// its budget would be told that they are not.
    ///
    /// # Errors
    /// When they are not there.
    pub fn take_looked_at(&self, room: &mut [u8]) -> io::Result<()> {
        let wanted = room.len();
        let (taken, _) = match self {
            Self::Tcp(stream) => recv(stream, room, RecvFlags::empty())?,
            Self::Unix(stream) => recv(stream, room, RecvFlags::empty())?,
            Self::Tls(_) => return Err(io::ErrorKind::Unsupported.into()),
        };
        if taken == wanted {
            Ok(())
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }

    /// Reads once into room of somebody else; nothing at the end of the stream.
    pub fn poll_read_into(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, into),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_read(cx, into),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, into),
        }
    }

    /// Whether bytes can be moved between it and a pipe.
    pub fn can_splice(&self) -> bool {
        matches!(self, Self::Tcp(_))
    }

    /// Moves up to `most` bytes into an empty pipe; 0 at the end of the stream. Only for plain TCP.
    pub fn poll_fill(
        &self,
        cx: &mut Context<'_>,
        pipe: BorrowedFd<'_>,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        let Self::Tcp(stream) = self else {
            return Poll::Ready(Err(io::ErrorKind::Unsupported.into()));
        };
        loop {
            ready!(stream.poll_read_ready(cx))?;
            match stream.try_io(Interest::READABLE, || splice::fill(stream, pipe, most)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                filled => return Poll::Ready(filled),
            }
        }
    }

    /// Moves what is in a pipe, as far as one call takes it. Only for plain TCP.
    pub(super) fn poll_pour(
        &self,
        cx: &mut Context<'_>,
        pipe: &mut Pipe,
    ) -> Poll<io::Result<usize>> {
        let Self::Tcp(stream) = self else {
            return Poll::Ready(Err(io::ErrorKind::Unsupported.into()));
        };
        loop {
            ready!(stream.poll_write_ready(cx))?;
            match stream.try_io(Interest::WRITABLE, || pipe.pour(stream)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                poured => return Poll::Ready(poured),
            }
        }
    }

    /// Whether it is known at once that the peer has sent more. Not by polling, as with [`Stream::is_quiet`].
    pub fn has_more(&self) -> bool {
        self.look().is_ok_and(|seen| seen > 0)
    }

    /// Whether the handshake settled on HTTP/2 (RFC 7301).
    pub fn speaks_http2(&self) -> bool {
        match self {
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
            Self::Tcp(_) | Self::Unix(_) => false,
        }
    }

    /// Writes once.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => poll_send(stream, cx, bytes),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    /// Writes once from two pieces in one system call (one TLS record where it fits).
    pub fn poll_write_two(
        &mut self,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        let both = [IoSlice::new(first), IoSlice::new(second)];
        match self {
            Self::Tcp(stream) => poll_send_two(stream, cx, &both),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write_vectored(cx, &both),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, &both),
        }
    }

    /// Pushes out what a TLS session holds back; nothing to do for the others.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(_) | Self::Unix(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    /// Ends our side: no more bytes will be written.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    /// Makes the coming close a reset, for a peer that would take an end for the end of the message; or an
    /// end again.
    pub fn reset_on_close(&self, reset: bool) {
        let linger = reset.then_some(Duration::ZERO);
        // If it fails the connection is dead already.
        let _ = match self {
            Self::Tcp(stream) => SockRef::from(stream).set_linger(linger),
            Self::Tls(stream) => SockRef::from(stream.get_ref().0).set_linger(linger),
            Self::Unix(_) => Ok(()),
        };
    }

    /// Watches the peer without taking a byte: pending while it is silent, which costs no system call.
    pub fn poll_peer(&self, cx: &mut Context<'_>) -> Poll<PeerState> {
        loop {
            if ready!(self.poll_readable(cx)).is_err() {
                return Poll::Ready(PeerState::Gone);
            }
            match self.peek() {
                Ok(0) => return Poll::Ready(PeerState::HalfClosed),
                Ok(_) => return Poll::Ready(PeerState::BytesWaiting),
                // The readiness was stale: what was there has been read since. Asking again once it is
                // cleared registers the task to be woken.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.clear_readiness(),
                Err(_) => return Poll::Ready(PeerState::Gone),
            }
        }
    }

    /// Whether it is known at once that the peer is silent and there; costs no system call if it is. Not by
    /// polling: a task that has used up its budget is told that everything is pending.
    pub fn is_quiet(&mut self) -> bool {
        let is_silent = self
            .look()
            .is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        is_silent && !self.holds_bytes()
    }

    /// Whether nothing has come since a read was last pending, so that whoever waits for it is still to be woken and need not
    /// ask again. Says nothing behind a read that was pending only because its task had used up its budget. Costs no
    /// system call.
    pub fn is_silent(&self) -> bool {
        let known = match self {
            Self::Tcp(stream) => stream.try_io(Interest::READABLE, || Ok(())),
            Self::Tls(stream) => stream.get_ref().0.try_io(Interest::READABLE, || Ok(())),
            Self::Unix(stream) => stream.try_io(Interest::READABLE, || Ok(())),
        };
        known.is_err()
    }

    /// Whether a TLS session has bytes for us that are no longer in the socket, or will have none any more.
    fn holds_bytes(&mut self) -> bool {
        let Self::Tls(stream) = self else {
            return false;
        };
        let state = match &mut **stream {
            TlsStream::Client(stream) => stream.get_mut().1.process_new_packets(),
            TlsStream::Server(stream) => stream.get_mut().1.process_new_packets(),
        };
        !state.is_ok_and(|state| state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed())
    }

    /// Tells the peer of a TLS session that it ends here, if that goes out at once: without it an end could be a cut.
    pub fn say_goodbye(&mut self) {
        if let Self::Tls(stream) = self {
            let mut cx = Context::from_waker(Waker::noop());
            let _ = Pin::new(&mut **stream).poll_shutdown(&mut cx);
        }
    }

    /// Whether the connection has failed, whatever lies unread in it; one system call.
    pub fn has_failed(&self) -> bool {
        let failed = match self {
            Self::Tcp(stream) => stream.take_error(),
            Self::Tls(stream) => stream.get_ref().0.take_error(),
            Self::Unix(stream) => stream.take_error(),
        };
        !matches!(failed, Ok(None))
    }

    /// Whether the peer has ended its side, whatever lies unread before that; one system call.
    pub fn has_ended(&self) -> bool {
        let wanted = PollFlags::RDHUP;
        let polled = match self {
            Self::Tcp(stream) => PollFd::new(stream, wanted),
            Self::Tls(stream) => PollFd::new(stream.get_ref().0, wanted),
            Self::Unix(stream) => PollFd::new(stream, wanted),
        };
        let mut polled = [polled];
        let ready = poll(&mut polled, Some(&Timespec::default()));
        ready.is_ok_and(|ready| ready > 0)
    }

    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            Self::Tls(stream) => stream.get_ref().0.poll_read_ready(cx),
            Self::Unix(stream) => stream.poll_read_ready(cx),
        }
    }

    fn peek(&self) -> io::Result<usize> {
        let mut byte = [MaybeUninit::uninit(); 1];
        match self {
            Self::Tcp(stream) => SockRef::from(stream).peek(&mut byte),
            Self::Tls(stream) => SockRef::from(stream.get_ref().0).peek(&mut byte),
            Self::Unix(stream) => SockRef::from(stream).peek(&mut byte),
        }
    }

    /// Should a byte come in between, the look finds it and leaves the readiness as it is.
    fn clear_readiness(&self) {
        let _ = self.look();
    }

    /// Peeks if the runtime knows of something to be seen; if there is nothing, it knows afterwards.
    fn look(&self) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_io(Interest::READABLE, || self.peek()),
            Self::Tls(stream) => stream
                .get_ref()
                .0
                .try_io(Interest::READABLE, || self.peek()),
            Self::Unix(stream) => stream.try_io(Interest::READABLE, || self.peek()),
        }
    }
}

/// Reads once, as the runtime would, but not through the C library: there each such call is a point where its thread could
/// be cancelled, which ours never is, and seeing to that is a good part of its cost.
fn poll_receive(
    stream: &TcpStream,
    cx: &mut Context<'_>,
    room: &mut [u8],
) -> Poll<io::Result<usize>> {
    poll_moved(stream, cx, Interest::READABLE, room.len(), || {
        let (n, _) = recv(stream, &mut *room, RecvFlags::empty())?;
        Ok(n)
    })
}

/// Writes once, in the same way.
fn poll_send(stream: &TcpStream, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
    poll_moved(stream, cx, Interest::WRITABLE, bytes.len(), || {
        Ok(send(stream, bytes, SendFlags::NOSIGNAL)?)
    })
}

/// Writes once from two pieces, in the same way.
fn poll_send_two(
    stream: &TcpStream,
    cx: &mut Context<'_>,
    both: &[IoSlice<'_>; 2],
) -> Poll<io::Result<usize>> {
    let most = both[0].len() + both[1].len();
    poll_moved(stream, cx, Interest::WRITABLE, most, || {
        let mut nothing = SendAncillaryBuffer::default();
        Ok(sendmsg(stream, both, &mut nothing, SendFlags::NOSIGNAL)?)
    })
}

/// Has bytes moved once the socket is said to be ready, up to `most`; gives their number.
#[inline(always)]
fn poll_moved(
    stream: &TcpStream,
    cx: &mut Context<'_>,
    interest: Interest,
    most: usize,
    mut call: impl FnMut() -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        if interest.is_readable() {
            ready!(stream.poll_read_ready(cx))?;
        } else {
            ready!(stream.poll_write_ready(cx))?;
        }
        let mut moved = 0;
        let tried = stream.try_io(interest, || {
            moved = call()?;
            if 0 < moved && moved < most {
                // There is no more of it: the runtime is to know without asking the system once more.
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(())
        });
        match tried {
            Ok(()) => return Poll::Ready(Ok(moved)),
            Err(_) if moved > 0 => return Poll::Ready(Ok(moved)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
}

fn peek_into(socket: impl AsFd, room: &mut [u8]) -> io::Result<usize> {
    let (seen, _) = recv(socket, room, RecvFlags::PEEK)?;
    Ok(seen)
}

#[cfg(test)]
mod tests;
