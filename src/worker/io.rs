//! A worker's stream as the framing library wants it: tokio's traits, and the bytes that were read already.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Buffer, Stream};

/// A stream in front of which some bytes are put back.
#[derive(Debug)]
pub struct Io {
    stream: Stream,
    /// What was read before it was known to be HTTP/2.
    front: Buffer,
    outflow: Rc<Outflow>,
    /// Bytes that have been read since others had their turn.
    in_a_row: usize,
}

/// How writing goes on, for those who cannot see it: what the library holds back of what it was handed.
#[derive(Debug, Default)]
pub struct Outflow {
    written: Cell<u64>,
    blocked: Cell<bool>,
}

impl Outflow {
    /// Bytes that the stream has taken, ever.
    pub fn written(&self) -> u64 {
        self.written.get()
    }

    /// Whether the stream took no more when it was last written to.
    pub fn is_blocked(&self) -> bool {
        self.blocked.get()
    }

    fn note(&self, wrote: &Poll<io::Result<usize>>) {
        self.blocked.set(wrote.is_pending());
        if let Poll::Ready(Ok(n)) = wrote {
            self.written.set(self.written.get() + *n as u64);
        }
    }
}

impl Io {
    /// A stream as it is.
    pub fn new(stream: Stream) -> Self {
        Self::behind(Buffer::default(), stream)
    }

    /// A stream of which these bytes have been read already.
    pub fn behind(front: Buffer, stream: Stream) -> Self {
        Self {
            stream,
            front,
            outflow: Rc::default(),
            in_a_row: 0,
        }
    }

    /// How writing goes on.
    pub fn outflow(&self) -> Rc<Outflow> {
        Rc::clone(&self.outflow)
    }

    /// The library reads on for as long as there is something, and each of thousands of small frames may have it do much:
    /// so it is told now and then that there is nothing, and the other tasks of the worker have their turn.
    fn poll_in_turn(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.in_a_row >= MOST_IN_A_ROW {
            self.in_a_row = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = into.filled().len();
        let polled = self.stream.poll_read_into(cx, into);
        if polled.is_pending() {
            self.in_a_row = 0;
        } else {
            self.in_a_row += into.filled().len() - before;
        }
        polled
    }
}

impl Drop for Io {
    /// The library drops a stream without a word when its handshake fails. TLS has a word for the end, which shows that
    /// nobody else cut the connection; it is said if it can be said at once.
    fn drop(&mut self) {
        let _ = self
            .stream
            .poll_shutdown(&mut Context::from_waker(Waker::noop()));
    }
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.front.is_empty() {
            return this.poll_in_turn(cx, into);
        }
        let n = this.front.bytes().len().min(into.remaining());
        into.put_slice(&this.front.bytes()[..n]);
        this.front.consume(n);
        if this.front.is_empty() {
            // Given back at once: it would be kept for as long as the connection.
            this.front = Buffer::default();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let wrote = this.stream.poll_write(cx, bytes);
        this.outflow.note(&wrote);
        wrote
    }

    /// The library writes a frame's head and its content in two pieces: in one record and one call, or each would be its own.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let stream = &mut this.stream;
        let wrote = match pieces {
            [first, second, ..] if !first.is_empty() => stream.poll_write_two(cx, first, second),
            _ => {
                let piece = pieces.iter().find(|piece| !piece.is_empty());
                stream.poll_write(cx, piece.map_or(&[], |piece| piece))
            }
        };
        this.outflow.note(&wrote);
        wrote
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = &mut self.get_mut().stream;
        ready!(stream.poll_flush(cx))?;
        stream.poll_shutdown(cx)
    }
}

/// A frame of the usual size, and a thousand of the smallest.
const MOST_IN_A_ROW: usize = 16 * 1024;
