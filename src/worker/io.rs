//! A worker's stream as the framing library wants it: tokio's traits, and the bytes that were read already.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Buffer, Output, Stream, Worker};

/// A stream in front of which some bytes are put back, and whose writes are gathered.
#[derive(Debug)]
pub struct Io {
    /// What was read before it was known to be HTTP/2.
    front: Buffer,
    outflow: Rc<Outflow>,
    /// Bytes that have been read since others had their turn.
    in_a_row: usize,
}

/// The way out, for whoever polls the library: it writes, and would flush, frame by frame, each a record of TLS and a system
/// call. What it writes is gathered here until [`Outflow::flush`], which must follow each poll of the library.
#[derive(Debug)]
pub struct Outflow {
    wire: RefCell<Wire>,
    blocked: Cell<bool>,
    /// Whether the stream had nothing more to be read since this was last flushed. The library asks again for each stream
    /// that it opens; what comes meanwhile wakes the task.
    dry: Cell<bool>,
    /// Why the stream takes no more, for whoever reads next.
    failed: Cell<Option<io::ErrorKind>>,
    worker: Rc<Worker>,
}

#[derive(Debug)]
struct Wire {
    stream: Stream,
    output: Output,
}

impl Outflow {
    /// Bytes that the stream has taken, ever.
    pub fn written(&self) -> u64 {
        self.wire.borrow().output.written()
    }

    /// Whether the stream took no more when it was last written to.
    pub fn is_blocked(&self) -> bool {
        self.blocked.get()
    }

    /// Writes what has been gathered, as far as the stream takes it now; the task is woken to go on.
    ///
    /// # Errors
    /// When it takes no more. The library is to be polled once more: it learns of it when it has read what there is.
    pub fn flush(&self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.poll_flush(cx) {
            Poll::Ready(flushed) => flushed,
            Poll::Pending => Ok(()),
        }
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.dry.set(false);
        let Wire { stream, output } = &mut *self.wire.borrow_mut();
        let flushed = output.poll_flush(stream, cx);
        self.blocked.set(flushed.is_pending());
        let flushed = ready!(flushed);
        if let Err(error) = &flushed {
            self.failed.set(Some(error.kind()));
            output.reset();
        }
        output.release(self.worker.buffers());
        Poll::Ready(flushed)
    }

    /// Takes the pieces as far as there is room for them, and writes from there.
    fn poll_take(&self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let Wire { stream, output } = &mut *self.wire.borrow_mut();
        output.prepare(self.worker.buffers());
        let mut taken = 0;
        for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
            if output.len() + piece.len() <= MOST_GATHERED {
                output.append().extend_from_slice(piece);
                taken += piece.len();
                continue;
            }
            let wrote = output.poll_write_with(stream, piece, cx);
            self.blocked.set(wrote.is_pending());
            match wrote {
                Poll::Ready(Ok(n)) => taken += n,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if taken == 0 => return Poll::Pending,
                Poll::Pending => {}
            }
            // What is left of the pieces comes once more.
            break;
        }
        Poll::Ready(Ok(taken))
    }
}

impl Io {
    /// A stream as it is.
    pub fn new(stream: Stream, worker: &Rc<Worker>) -> Self {
        Self::behind(Buffer::default(), stream, worker)
    }

    /// A stream of which these bytes have been read already.
    pub fn behind(front: Buffer, stream: Stream, worker: &Rc<Worker>) -> Self {
        Self {
            front,
            outflow: Rc::new(Outflow {
                wire: RefCell::new(Wire {
                    stream,
                    output: Output::default(),
                }),
                blocked: Cell::new(false),
                dry: Cell::new(false),
                failed: Cell::new(None),
                worker: Rc::clone(worker),
            }),
            in_a_row: 0,
        }
    }

    /// The way out.
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
        if self.outflow.dry.get() {
            return Poll::Pending;
        }
        if self.in_a_row >= MOST_IN_A_ROW {
            self.in_a_row = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = into.filled().len();
        let stream = &mut self.outflow.wire.borrow_mut().stream;
        let polled = stream.poll_read_into(cx, into);
        if polled.is_pending() {
            self.in_a_row = 0;
            if let Some(kind) = self.outflow.failed.get() {
                return Poll::Ready(Err(kind.into()));
            }
            self.outflow.dry.set(true);
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
        let _ = Pin::new(self).poll_shutdown(&mut Context::from_waker(Waker::noop()));
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
        self.outflow.poll_take(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.outflow.poll_take(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Nothing yet: the library asks for this behind each frame.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.outflow.poll_flush(cx))?;
        self.outflow.wire.borrow_mut().stream.poll_shutdown(cx)
    }
}

/// A frame of the usual size, and a thousand of the smallest.
const MOST_IN_A_ROW: usize = 16 * 1024;

/// Bytes that are gathered: what two records of TLS carry, or the answers of a dozen streams and more.
const MOST_GATHERED: usize = 32 * 1024;

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncWriteExt;
    use tokio::net::UnixStream;

    use super::*;
    use crate::telemetry::WorkerId;

    fn connected() -> (Io, Rc<Outflow>, UnixStream) {
        let (near, far) = UnixStream::pair().unwrap();
        let io = Io::new(Stream::Unix(near), &Worker::new(WorkerId(0), 0));
        let outflow = io.outflow();
        (io, outflow, far)
    }

    /// All that has arrived.
    fn arrived(far: &UnixStream) -> usize {
        let mut bytes = vec![0; 4 * MOST_GATHERED];
        far.try_read(&mut bytes).unwrap_or(0)
    }

    #[tokio::test]
    async fn what_is_written_leaves_at_once_when_it_is_flushed() {
        let (mut io, outflow, far) = connected();
        far.writable().await.unwrap();
        for _ in 0..10 {
            let pieces = [IoSlice::new(b"head"), IoSlice::new(&[7; 1000])];
            let wrote = poll_fn(|cx| Pin::new(&mut io).poll_write_vectored(cx, &pieces)).await;
            assert_eq!(wrote.unwrap(), 1004);
            io.flush().await.unwrap();
        }
        assert_eq!((arrived(&far), outflow.written()), (0, 0));
        poll_fn(|cx| Poll::Ready(outflow.flush(cx))).await.unwrap();
        far.readable().await.unwrap();
        assert_eq!((arrived(&far), outflow.written()), (10_040, 10_040));
        let output = &mut outflow.wire.borrow_mut().output;
        assert_eq!(
            output.append().capacity(),
            0,
            "the memory is on loan no more"
        );
    }

    #[tokio::test]
    async fn only_so_much_is_gathered_and_all_of_it_arrives() {
        let (mut io, outflow, far) = connected();
        let said: Vec<u8> = (0..8_000_000_u32).map(|at| (at % 251) as u8).collect();
        let mut written = 0;
        while !outflow.is_blocked() {
            let pieces = [
                &said[written..written + 9],
                &said[written + 9..written + 10_000],
            ];
            let pieces = pieces.map(IoSlice::new);
            let wrote =
                poll_fn(|cx| Poll::Ready(Pin::new(&mut io).poll_write_vectored(cx, &pieces)));
            if let Poll::Ready(taken) = wrote.await {
                written += taken.unwrap();
            }
            assert!(outflow.wire.borrow().output.len() <= MOST_GATHERED);
        }
        let mut got = Vec::new();
        poll_fn(|cx| {
            while far.poll_read_ready(cx).is_ready() {
                let _ = far.try_read_buf(&mut got);
            }
            outflow.flush(cx).unwrap();
            if got.len() < written {
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
        assert!(got == said[..written]);
        assert!(!outflow.is_blocked());
    }

    #[tokio::test]
    async fn a_failure_to_flush_is_known_to_whoever_reads() {
        let (mut io, outflow, far) = connected();
        drop(far);
        io.write_all(b"late").await.unwrap();
        let flushed = poll_fn(|cx| Poll::Ready(outflow.flush(cx))).await;
        assert_eq!(flushed.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(outflow.failed.get(), Some(io::ErrorKind::BrokenPipe));
    }
}
