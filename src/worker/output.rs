//! Bytes on their way out: heads and small pieces gathered, so that a message leaves in one system call.

use std::io;
use std::task::{Context, Poll, ready};

use super::buffer::Buffers;
use super::stream::Stream;

/// Bytes that wait to be written, and how many of them have been.
#[derive(Debug, Default)]
pub struct Output {
    bytes: Vec<u8>,
    sent: usize,
    written: u64,
}

impl Output {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.sent == self.bytes.len()
    }

    /// Number of bytes that wait.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Bytes that the stream has taken, ever.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Where to append what is to be written next.
    pub fn append(&mut self) -> &mut Vec<u8> {
        if self.is_empty() {
            self.reset();
        } else if self.sent >= self.len() {
            // For how long something waits is for the peer to say: what has gone is not kept all that time. Never more is
            // moved than has gone.
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
        &mut self.bytes
    }

    /// Drops what waits: for a connection that ends.
    pub fn reset(&mut self) {
        self.sent = 0;
        self.bytes.clear();
    }

    /// Borrows memory for what is to be written next, if it has none.
    pub fn prepare(&mut self, buffers: &Buffers) {
        if self.bytes.capacity() == 0 {
            self.bytes = buffers.lend_output();
        }
    }

    /// Gives the memory of an empty output back; an idle connection holds none.
    pub fn release(&mut self, buffers: &Buffers) {
        if self.is_empty() {
            buffers.take_back_output(std::mem::take(&mut self.bytes));
            self.sent = 0;
        }
    }

    /// Writes all that waits.
    pub fn poll_flush(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let n = ready!(stream.poll_write(cx, &self.bytes[self.sent..]))?;
            self.advance(n)?;
        }
        self.reset();
        stream.poll_flush(cx)
    }

    /// Writes what waits and then of `piece` as much as one call takes; gives the bytes of `piece` taken.
    pub fn poll_write_with(
        &mut self,
        stream: &mut Stream,
        piece: &[u8],
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        loop {
            if self.is_empty() {
                let n = ready!(stream.poll_write(cx, piece))?;
                return Poll::Ready(if n == 0 && !piece.is_empty() {
                    Err(io::ErrorKind::WriteZero.into())
                } else {
                    self.written += n as u64;
                    Ok(n)
                });
            }
            let waiting = self.len();
            let n = ready!(stream.poll_write_two(cx, &self.bytes[self.sent..], piece))?;
            self.advance(n.min(waiting))?;
            if n > waiting {
                self.written += (n - waiting) as u64;
                self.reset();
                return Poll::Ready(Ok(n - waiting));
            }
        }
    }

    /// Counts bytes that the stream has taken from elsewhere, when nothing waited here.
    pub(super) fn passed(&mut self, n: usize) {
        self.written += n as u64;
    }

    fn advance(&mut self, n: usize) -> io::Result<()> {
        if n == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.sent += n;
        self.written += n as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_gone_is_not_kept_while_something_waits() {
        let mut output = Output::default();
        let mut bytes = (0..=250).cycle();
        let mut expected = bytes.clone();
        output.append().extend(bytes.by_ref().take(WAITING));
        for taken in (1..=8 * 1024).rev().step_by(7) {
            let gone = &output.bytes[output.sent..][..taken];
            assert!(gone.iter().copied().eq(expected.by_ref().take(taken)));
            output.advance(taken).unwrap();
            output.append().extend(bytes.by_ref().take(taken));
            assert_eq!(output.len(), WAITING);
            assert!(output.bytes.len() <= 2 * WAITING + taken);
        }
        assert!(output.written() > 100 * WAITING as u64);
    }

    const WAITING: usize = 32 * 1024;
}
