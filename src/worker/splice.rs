//! Large bodies past this process: from one TCP connection to another through a pipe, without a copy (splice(2)).
//!
//! To read a large body and write it again is to copy it twice, and that is most of what it costs. The kernel can hand
//! over the memory instead, from the one connection to a pipe and from there to the other. It does so for
//! bytes that nobody needs to look at: content counted by its length, or all that comes until a connection ends.
//!
//! A pipe is lent while bytes are in it, as buffers are. It is filled only when it is empty: only then does a
//! refusal to be filled say that the connection has nothing. There are so many and no more; where there is
//! none, bodies are copied as ever.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::io::retry_on_intr;
use rustix::pipe::{
    PipeFlags, SpliceFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with, splice,
};

use super::pump::{PumpFailure, Side};
use super::{Descriptor, Descriptors, Output, Stream};
use crate::message::body::{Body, BodyFailure};

/// The pipes of one worker.
#[derive(Debug, Default)]
pub struct Pipes {
    #[allow(clippy::vec_box, reason = "they are lent in their boxes")]
    spare: RefCell<Vec<Box<Pipe>>>,
    /// One more owner for each pipe that there is.
    count: Rc<()>,
    most: Cell<usize>,
    /// So many more bodies are copied before the system is asked for a pipe again.
    pause: Cell<u32>,
    /// Whether a pipe has been filled here: from then on an error is the connection's, whatever it says.
    proven: Cell<bool>,
    descriptors: RefCell<Option<Arc<Descriptors>>>,
}

/// A pipe. Dropping it closes it, with what is in it.
#[derive(Debug)]
pub(super) struct Pipe {
    mouth: OwnedFd,
    end: OwnedFd,
    holds: usize,
    _counted: Rc<()>,
    /// The last field: given back when the pipe is closed.
    _descriptors: [Descriptor; 2],
}

impl Pipes {
    /// Has pipes made from now on, out of `descriptors`, which so many workers share: of the budget an eighth at most for
    /// all of them. Without this there are none.
    pub fn draw_on(&self, descriptors: &Arc<Descriptors>, workers: usize) {
        self.most
            .set((descriptors.most() / 16 / workers.max(1)).min(MOST));
        *self.descriptors.borrow_mut() = Some(Arc::clone(descriptors));
    }

    /// An empty pipe, if there is one.
    fn lend(&self) -> Option<Box<Pipe>> {
        let spare = self.spare.borrow_mut().pop();
        spare.or_else(|| self.make())
    }

    /// Takes a pipe back. One that holds bytes is closed: they are of a body that has broken off.
    fn take_back(&self, pipe: Box<Pipe>) {
        let mut spare = self.spare.borrow_mut();
        let descriptors = self.descriptors.borrow();
        let is_affordable = descriptors.as_ref().is_some_and(|all| !all.are_short());
        if pipe.is_empty() && is_affordable && spare.len() < SPARE {
            spare.push(pipe);
        }
    }

    /// Closes spare pipes if descriptors are short: connections come first. Says whether there were any.
    pub fn make_room(&self) -> bool {
        let descriptors = self.descriptors.borrow();
        let are_short = descriptors.as_ref().is_some_and(|all| all.are_short());
        // Out of the cell before they are dropped: who waits for a descriptor is woken by that.
        let spare = if are_short {
            self.spare.take()
        } else {
            Vec::new()
        };
        !spare.is_empty()
    }

    /// There are no pipes any more: the system does not move bytes so.
    fn give_up(&self) {
        self.most.set(0);
        self.spare.borrow_mut().clear();
    }

    fn make(&self) -> Option<Box<Pipe>> {
        if Rc::strong_count(&self.count) > self.most.get() {
            return None;
        }
        if let Some(left) = self.pause.get().checked_sub(1) {
            self.pause.set(left);
            return None;
        }
        let descriptors = self.descriptors.borrow();
        let descriptors = descriptors.as_ref().filter(|all| !all.are_short())?;
        let counted = [descriptors.take()?, descriptors.take()?];
        let Some((end, mouth)) = large_pipe() else {
            self.pause.set(PAUSE);
            return None;
        };
        Some(Box::new(Pipe {
            mouth,
            end,
            holds: 0,
            _counted: Rc::clone(&self.count),
            _descriptors: counted,
        }))
    }
}

/// A pipe that holds enough, its reading end first. Beyond what a user's pipes may hold the system lets none grow, and
/// then makes such as are too small.
fn large_pipe() -> Option<(OwnedFd, OwnedFd)> {
    let (end, mouth) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
    let _ = fcntl_setpipe_size(&mouth, ROOM);
    let room = fcntl_getpipe_size(&mouth).ok()?;
    (room >= LEAST_ROOM).then_some((end, mouth))
}

impl Pipe {
    fn is_empty(&self) -> bool {
        self.holds == 0
    }

    /// Where bytes go in.
    fn mouth(&self) -> BorrowedFd<'_> {
        self.mouth.as_fd()
    }

    /// Says that so many have gone in.
    fn filled(&mut self, n: usize) {
        self.holds += n;
    }

    /// Moves what it holds to a socket, as far as that takes it now; gives how many bytes have gone.
    pub(super) fn pour(&mut self, socket: impl AsFd) -> io::Result<usize> {
        let n = carry(&self.end, socket, self.holds)?;
        self.holds -= n.min(self.holds);
        Ok(n)
    }
}

/// The way of one body through pipes.
#[derive(Debug)]
pub(super) struct Passage {
    pipes: Rc<Pipes>,
    /// A pipe with bytes in it, which go next.
    pipe: Option<Box<Pipe>>,
}

impl Passage {
    pub(super) fn new(pipes: &Rc<Pipes>) -> Self {
        Self {
            pipes: Rc::clone(pipes),
            pipe: None,
        }
    }

    /// Moves unseen bytes of the body, those in the pipe first, and adds their number to `moved`. False if there are
    /// none, or no pipe: then it is to be read. Says whom it waits for. Cancel-safe.
    pub(super) fn poll<B: Body + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut B,
        (stream, output): (&mut Stream, &mut Output),
        moved: &mut u64,
        waits_for: &mut Side,
    ) -> Poll<Result<bool, PumpFailure>> {
        if self.pipe.is_none() {
            if body.unseen() < LEAST || !stream.can_splice() {
                return Poll::Ready(Ok(false));
            }
            // The head, and what has been read of the body.
            *waits_for = Side::Sink;
            ready!(output.poll_flush(stream, cx)).map_err(PumpFailure::Sink)?;
            *waits_for = Side::Source;
            self.pipe = ready!(self.poll_fill(cx, body))?;
            if self.pipe.is_none() {
                return Poll::Ready(Ok(false));
            }
        }
        *waits_for = Side::Sink;
        while let Some(pipe) = &mut self.pipe {
            let n = ready!(stream.poll_pour(cx, pipe)).map_err(PumpFailure::Sink)?;
            if n == 0 {
                return Poll::Ready(Err(PumpFailure::Sink(io::ErrorKind::WriteZero.into())));
            }
            output.passed(n);
            *moved += n as u64;
            if let Some(empty) = self.pipe.take_if(|pipe| pipe.is_empty()) {
                self.pipes.take_back(empty);
            }
        }
        Poll::Ready(Ok(true))
    }

    /// A pipe with the next bytes of the body in it, if there are bytes for it and one to be had.
    fn poll_fill<B: Body + ?Sized>(
        &self,
        cx: &mut Context<'_>,
        body: &mut B,
    ) -> Poll<Result<Option<Box<Pipe>>, PumpFailure>> {
        let Some(mut pipe) = self.pipes.lend() else {
            return Poll::Ready(Ok(None));
        };
        match body.poll_splice(cx, pipe.mouth(), AT_ONCE) {
            Poll::Ready(Ok(Some(n))) if n > 0 => {
                pipe.filled(n);
                self.pipes.proven.set(true);
                Poll::Ready(Ok(Some(pipe)))
            }
            // The pipe may hold the last bytes of a body that goes on beyond its end: it is closed.
            Poll::Ready(Err(failure)) => Poll::Ready(Err(PumpFailure::Source(failure))),
            unfilled => {
                self.pipes.take_back(pipe);
                if let Poll::Ready(Ok(None)) = unfilled {
                    if self.pipes.proven.get() {
                        // The connection's own error, which it does not tell twice.
                        return Poll::Ready(Err(PumpFailure::Source(BodyFailure::Cut)));
                    }
                    self.pipes.give_up();
                }
                unfilled.map(|_| Ok(None))
            }
        }
    }
}

/// Moves up to `most` bytes from a socket into a pipe; 0 if there are none to move so, as at the end of the stream: who
/// reads is told why. An urgent byte, which HTTP has none of, may stop it for good; then a deadline ends the exchange.
pub(super) fn fill(socket: impl AsFd, pipe: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
    carry(socket, pipe, most)
}

fn carry(from: impl AsFd, to: impl AsFd, most: usize) -> io::Result<usize> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    Ok(retry_on_intr(|| {
        splice(from.as_fd(), None, to.as_fd(), None, most, flags)
    })?)
}

/// Whether an error says that the system does not move bytes so, and nothing about the connection.
pub fn is_unsupported(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied
    )
}

/// Bytes still to come of a body from which on a pipe is worth its calls to the system: with 16 KiB it costs as much as
/// reading and writing, with 64 KiB half of that.
pub(super) const LEAST: u64 = 32 * 1024;

/// Bytes that are moved at a time: as many as take the time of two reads and writes.
pub(super) const AT_ONCE: usize = 128 * 1024;

/// Pipes of a worker, at most: each client that does not take what is in one keeps it.
const MOST: usize = 64;

/// Bodies, or pieces of them, that are copied when the system has refused a pipe: to be refused costs more than to copy.
const PAUSE: u32 = 1_000;

/// Pipes kept when they are not needed.
const SPARE: usize = 8;

/// The room that is asked for, in bytes: 64 places, each for a page or for what came in one segment.
const ROOM: usize = 256 * 1024;

/// The least room that will do: what pipes have that the system does not keep small.
const LEAST_ROOM: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    fn pipes(descriptors: usize) -> (Pipes, Arc<Descriptors>) {
        let (pipes, descriptors) = (Pipes::default(), Descriptors::new(descriptors));
        pipes.draw_on(&descriptors, 1);
        (pipes, descriptors)
    }

    #[test]
    fn there_are_so_many_pipes_and_no_more() {
        assert!(Pipes::default().lend().is_none(), "there is no budget");
        let (pipes, _descriptors) = pipes(64);
        let mut lent: Vec<_> = std::iter::from_fn(|| pipes.lend()).collect();
        assert_eq!(lent.len(), 4);
        pipes.take_back(lent.pop().unwrap());
        assert!(pipes.lend().is_some());
        drop(lent.pop());
        assert!(pipes.lend().is_some(), "another in its place");
        pipes.give_up();
        drop(lent);
        assert!(pipes.lend().is_none());
    }

    #[test]
    fn connections_come_before_pipes() {
        let (pipes, descriptors) = pipes(64);
        let connections: Vec<_> = std::iter::from_fn(|| descriptors.take()).collect();
        assert!(pipes.lend().is_none());
        drop(connections);
        let pipe = pipes.lend().unwrap();
        let left: Vec<_> = std::iter::from_fn(|| descriptors.take()).collect();
        assert_eq!(left.len(), 62, "a pipe counts for two");
        pipes.take_back(pipe);
    }

    #[test]
    fn spare_pipes_go_when_descriptors_are_short() {
        let (pipes, descriptors) = pipes(64);
        let pipe = pipes.lend().unwrap();
        pipes.take_back(pipe);
        assert!(!pipes.make_room(), "there are enough");
        let connections: Vec<_> = std::iter::from_fn(|| descriptors.take()).collect();
        assert_eq!(connections.len(), 62);
        assert!(pipes.make_room());
        assert!(!pipes.make_room(), "there is none any more");
        assert!(descriptors.take().is_some() && descriptors.take().is_some());
    }

    #[test]
    fn workers_share_what_there_is_for_pipes() {
        let (of_one, descriptors) = (Pipes::default(), Descriptors::new(128));
        of_one.draw_on(&descriptors, 4);
        let lent: Vec<_> = std::iter::from_fn(|| of_one.lend()).collect();
        assert_eq!(lent.len(), 2);
    }

    #[test]
    fn a_pipe_with_bytes_in_it_is_not_lent_again() {
        let (pipes, _descriptors) = pipes(64);
        let (near, mut far) = UnixStream::pair().unwrap();
        let (sink, mut out) = UnixStream::pair().unwrap();
        far.write_all(b"broken off").unwrap();
        let mut pipe = pipes.lend().unwrap();
        pipe.filled(fill(&near, pipe.mouth(), 6).unwrap());
        assert!(!pipe.is_empty());
        pipes.take_back(pipe);
        assert!(pipes.spare.borrow().is_empty());
        let mut pipe = pipes.lend().unwrap();
        pipe.filled(fill(&near, pipe.mouth(), 100).unwrap());
        assert_eq!(pipe.pour(&sink).unwrap(), 4);
        assert!(pipe.is_empty());
        pipes.take_back(pipe);
        assert_eq!(pipes.spare.borrow().len(), 1);
        drop(sink);
        let mut arrived = Vec::new();
        out.read_to_end(&mut arrived).unwrap();
        assert_eq!(arrived, b" off");
    }
}
