//! Moves a body onto a stream: the same for an answer to a client and for an upload to a backend.
//!
//! Small pieces are gathered behind the head that waits in the output, so that a whole small message
//! leaves in one system call; large ones are written from where they were read.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::splice::{LEAST, Passage};
use super::{Output, Pipes, Stream};
use crate::h1::write;
use crate::message::body::{Body, BodyFailure, Length, Piece};

/// A body on its way onto a stream.
#[derive(Debug)]
pub struct Pump {
    coding: Coding,
    /// Bytes that the chunk under way still lacks.
    open_chunk: usize,
    phase: Phase,
    waits_for: Side,
    /// Of a body that is worth it.
    passage: Option<Passage>,
}

/// How a body is marked off on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// By chunks.
    Chunked,
    /// By its length, or there is none.
    Length,
    /// By the end of the connection.
    UntilClose,
}

/// The two ends of a pump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Where bytes go.
    Sink,
    /// Where bytes come from.
    Source,
}

/// Why a pump stopped before the end.
#[derive(Debug)]
pub enum PumpFailure {
    /// The stream took no more.
    Sink(io::Error),
    /// The body broke off.
    Source(BodyFailure),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Flowing,
    /// The last byte is queued.
    Ended,
    /// The last byte is out.
    Flushed,
}

impl Coding {
    /// How to send a body to a peer that understands chunks, or does not.
    pub fn choose(length: Length, understands_chunks: bool) -> Self {
        match length {
            Length::Absent { .. } | Length::Exact(_) => Self::Length,
            Length::Unknown if understands_chunks => Self::Chunked,
            Length::Unknown => Self::UntilClose,
        }
    }
}

impl Pump {
    /// A pump that has moved nothing yet.
    pub fn new(coding: Coding) -> Self {
        Self {
            coding,
            open_chunk: 0,
            phase: Phase::Flowing,
            waits_for: Side::Source,
            passage: None,
        }
    }

    /// Takes a body of this length past this process where it can, if it is large.
    pub fn splicing(mut self, length: Length, pipes: &Rc<Pipes>) -> Self {
        let is_large = match length {
            Length::Absent { .. } => false,
            Length::Exact(length) => length >= LEAST,
            Length::Unknown => self.coding == Coding::UntilClose,
        };
        self.passage = is_large.then(|| Passage::new(pipes));
        self
    }

    /// How it marks the body off.
    pub fn coding(&self) -> Coding {
        self.coding
    }

    /// Whether all of the body is out.
    pub fn is_done(&self) -> bool {
        self.phase == Phase::Flushed
    }

    /// Which side kept it waiting when it was last pending.
    pub fn waits_for(&self) -> Side {
        self.waits_for
    }

    /// Moves what can be moved, and adds the number of bytes of content to `moved`. Ready when all of the
    /// body is out. Cancel-safe.
    pub fn poll<B: Body + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut B,
        (stream, output): (&mut Stream, &mut Output),
        moved: &mut u64,
    ) -> Poll<Result<(), PumpFailure>> {
        while self.phase == Phase::Flowing {
            let way = (&mut *stream, &mut *output);
            if let Some(passage) = &mut self.passage
                && ready!(passage.poll(cx, body, way, moved, &mut self.waits_for))?
            {
                continue;
            }
            if output.len() >= GATHERED {
                ready!(self.poll_flush(cx, stream, output))?;
            }
            let used = match body.poll_piece(cx) {
                Poll::Ready(Ok(Some(Piece::Data(bytes)))) => {
                    ready!(self.poll_data(cx, bytes, stream, output))?
                }
                Poll::Ready(Ok(Some(Piece::Trailers(trailers)))) => {
                    self.finish(output, |out| write::last_chunk(Some(trailers), out));
                    break;
                }
                Poll::Ready(Ok(None)) => {
                    self.finish(output, |out| write::last_chunk(None, out));
                    break;
                }
                Poll::Ready(Err(failure)) => {
                    // What came before the failure is the peer's; the cut shows in what is missing.
                    let _ = output.poll_flush(stream, cx);
                    return Poll::Ready(Err(PumpFailure::Source(failure)));
                }
                Poll::Pending => {
                    ready!(self.poll_flush(cx, stream, output))?;
                    self.waits_for = Side::Source;
                    return Poll::Pending;
                }
            };
            body.consume(used);
            *moved += used as u64;
        }
        if self.phase == Phase::Ended {
            ready!(self.poll_flush(cx, stream, output))?;
            self.phase = Phase::Flushed;
        }
        Poll::Ready(Ok(()))
    }

    /// Queues or writes the front of `bytes`; gives how many of them were used.
    fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        stream: &mut Stream,
        output: &mut Output,
    ) -> Poll<Result<usize, PumpFailure>> {
        let chunked = self.coding == Coding::Chunked;
        if chunked && self.open_chunk == 0 {
            self.open_chunk = bytes.len();
            write::chunk_head(bytes.len(), output.append());
        }
        let most = if chunked {
            bytes.len().min(self.open_chunk)
        } else {
            bytes.len()
        };
        let used = if most <= SMALL_PIECE {
            output.append().extend_from_slice(&bytes[..most]);
            most
        } else {
            self.waits_for = Side::Sink;
            ready!(output.poll_write_with(stream, &bytes[..most], cx)).map_err(PumpFailure::Sink)?
        };
        if chunked {
            self.open_chunk -= used;
            if self.open_chunk == 0 {
                output.append().extend_from_slice(write::CHUNK_END);
            }
        }
        Poll::Ready(Ok(used))
    }

    fn finish(&mut self, output: &mut Output, last_chunk: impl FnOnce(&mut Vec<u8>)) {
        debug_assert_eq!(self.open_chunk, 0);
        if self.coding == Coding::Chunked {
            last_chunk(output.append());
        }
        self.phase = Phase::Ended;
    }

    fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        output: &mut Output,
    ) -> Poll<Result<(), PumpFailure>> {
        self.waits_for = Side::Sink;
        output.poll_flush(stream, cx).map_err(PumpFailure::Sink)
    }
}

/// A piece up to this size is copied behind the head rather than written by itself.
const SMALL_PIECE: usize = 4 * 1024;

/// Queued bytes beyond which they are written before more is read.
const GATHERED: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    use super::*;
    use crate::h1::{Decoded, Decoder};
    use crate::message::Head;
    use crate::message::framing::Framing;

    /// What a body does next.
    enum Step {
        Data(Vec<u8>),
        /// Nothing is there, once.
        Wait,
        Fail(BodyFailure),
        Trailers(Head),
    }

    struct Script(VecDeque<Step>);

    impl Body for Script {
        fn poll_piece(
            &mut self,
            cx: &mut Context<'_>,
        ) -> Poll<Result<Option<Piece<'_>>, BodyFailure>> {
            if let Some(Step::Wait) = self.0.front() {
                self.0.pop_front();
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            self.grow();
            Poll::Ready(match self.0.front() {
                Some(Step::Data(bytes)) => Ok(Some(Piece::Data(bytes))),
                Some(Step::Fail(failure)) => Err(*failure),
                Some(Step::Trailers(head)) => Ok(Some(Piece::Trailers(head))),
                Some(Step::Wait) | None => Ok(None),
            })
        }

        fn consume(&mut self, n: usize) {
            let Some(Step::Data(bytes)) = self.0.front_mut() else {
                panic!("only data is consumed");
            };
            bytes.drain(..n);
            if bytes.is_empty() {
                self.0.pop_front();
            }
        }

        fn length(&self) -> Length {
            Length::Unknown
        }
    }

    impl Script {
        /// As readers do: a piece that is asked for again may have more behind it by then.
        fn grow(&mut self) {
            if let (Some(Step::Data(_)), Some(Step::Data(_))) = (self.0.front(), self.0.get(1))
                && let Some(Step::Data(more)) = self.0.remove(1)
                && let Some(Step::Data(bytes)) = self.0.front_mut()
            {
                bytes.extend_from_slice(&more);
            }
        }
    }

    /// Pumps a script behind a head to a peer that reads so many bytes at a time; gives what the peer read, how
    /// many bytes of content the pump says it moved, and how it ended.
    async fn pumped(
        coding: Coding,
        steps: impl IntoIterator<Item = Step>,
        sip: usize,
    ) -> (Vec<u8>, u64, Result<(), PumpFailure>) {
        let (near, mut far) = UnixStream::pair().unwrap();
        let mut stream = Stream::Unix(near);
        let mut output = Output::default();
        output.append().extend_from_slice(b"head:");
        let mut script = Script(steps.into_iter().collect());
        let mut pump = Pump::new(coding);
        let mut moved = 0;
        let pumping = async {
            let ended =
                poll_fn(|cx| pump.poll(cx, &mut script, (&mut stream, &mut output), &mut moved))
                    .await;
            stream_end(stream).await;
            ended
        };
        let reading = async {
            let (mut all, mut room) = (Vec::new(), vec![0; sip]);
            loop {
                match far.read(&mut room).await.unwrap() {
                    0 => return all,
                    n => all.extend_from_slice(&room[..n]),
                }
            }
        };
        let (ended, all) = tokio::join!(pumping, reading);
        (all, moved, ended)
    }

    async fn stream_end(stream: Stream) {
        if let Stream::Unix(mut stream) = stream {
            stream.shutdown().await.unwrap();
        }
    }

    fn decoded(mut bytes: &[u8]) -> Option<Vec<u8>> {
        let mut decoder = Decoder::new(Framing::Chunked);
        let mut content = Vec::new();
        loop {
            let (skip, len) = match decoder.decode(bytes).unwrap() {
                Decoded::Data { skip, len } => (skip, len),
                Decoded::End { skip } => {
                    assert_eq!(skip, bytes.len(), "nothing follows the end");
                    return Some(content);
                }
                Decoded::More { .. } => return None,
            };
            content.extend_from_slice(&bytes[skip..skip + len]);
            decoder.consume(skip + len);
            bytes = &bytes[skip + len..];
        }
    }

    #[tokio::test]
    async fn a_body_in_any_pieces_to_any_reader_arrives_as_it_is() {
        let mut random = fastrand::Rng::with_seed(3);
        for round in 0..60 {
            let mut content = Vec::new();
            let mut steps = Vec::new();
            for _ in 0..random.usize(..30) {
                let length = match random.u8(..4) {
                    0 => random.usize(1..20),
                    1 => SMALL_PIECE + random.usize(..3) - 1,
                    _ => random.usize(1..150_000),
                };
                let piece: Vec<u8> = (0..length).map(|_| random.u8(..)).collect();
                content.extend_from_slice(&piece);
                steps.push(Step::Data(piece));
                if random.bool() {
                    steps.push(Step::Wait);
                }
            }
            let coding = [Coding::Chunked, Coding::Length, Coding::UntilClose][round % 3];
            let sip = random.usize(1..100_000).max(1000);
            let (all, moved, ended) = pumped(coding, steps, sip).await;
            assert!(ended.is_ok());
            assert_eq!(moved, content.len() as u64);
            let body = all.strip_prefix(b"head:").expect("the head goes first");
            if coding == Coding::Chunked {
                assert!(decoded(body).as_ref() == Some(&content), "round {round}");
            } else {
                assert!(body == content, "round {round}");
            }
        }
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_sent_so_far_and_has_no_end() {
        for failure in [BodyFailure::Cut, BodyFailure::Overrun] {
            let steps = [
                Step::Data(b"half".to_vec()),
                Step::Wait,
                Step::Data(b" of it".to_vec()),
                Step::Fail(failure),
            ];
            let (all, moved, ended) = pumped(Coding::Chunked, steps, 1000).await;
            assert!(matches!(ended, Err(PumpFailure::Source(found)) if found == failure));
            assert_eq!(moved, 10);
            assert_eq!(all, b"head:4\r\nhalf\r\n6\r\n of it\r\n");
            assert_eq!(decoded(&all[5..]), None);
        }
    }

    #[tokio::test]
    async fn trailers_go_behind_chunks_and_nowhere_else() {
        for (coding, whole) in [
            (
                Coding::Chunked,
                &b"head:1\r\nx\r\n0\r\nX-Sum: 1\r\n\r\n"[..],
            ),
            (Coding::UntilClose, b"head:x"),
        ] {
            let mut trailers = Head::new();
            trailers.push(b"X-Sum", b"1");
            let steps = [Step::Data(b"x".to_vec()), Step::Trailers(trailers)];
            let (all, _, ended) = pumped(coding, steps, 1000).await;
            assert!(ended.is_ok());
            assert_eq!(
                all.escape_ascii().to_string(),
                whole.escape_ascii().to_string()
            );
        }
    }

    #[tokio::test]
    async fn it_says_which_side_it_waits_for() {
        let (near, _far) = UnixStream::pair().unwrap();
        let (mut stream, mut output) = (Stream::Unix(near), Output::default());
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut pump = Pump::new(Coding::Length);
        let mut script = Script([Step::Data(b"x".to_vec()), Step::Wait].into());
        let way = (&mut stream, &mut output);
        assert!(pump.poll(&mut cx, &mut script, way, &mut 0).is_pending());
        assert_eq!(pump.waits_for(), Side::Source);
        assert!(output.is_empty(), "what there was has not waited for more");
        // Nobody reads: sooner or later it waits for the stream.
        script.0 = [Step::Data(vec![0; 16 * 1024 * 1024])].into();
        let way = (&mut stream, &mut output);
        assert!(pump.poll(&mut cx, &mut script, way, &mut 0).is_pending());
        assert_eq!(pump.waits_for(), Side::Sink);
        assert!(!pump.is_done());
    }
}
