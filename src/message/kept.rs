//! The beginning of a request's body, kept so that it can be sent again.
//!
//! What is kept is copied as it is read, and used from the copy; when it becomes more than was allowed, the copy is let
//! go and the rest comes from the source as ever.

use std::task::{Context, Poll, ready};

use super::body::{Body, BodyFailure, Piece};
use super::head::Head;

/// All that has been read of a body.
#[derive(Debug)]
pub(super) struct Kept {
    bytes: Vec<u8>,
    trailers: Option<Head>,
    /// How many of the bytes have been used in this attempt.
    used: usize,
    /// Whether the trailers have been.
    trailers_used: bool,
    most: usize,
}

/// What the source had.
enum Read {
    Data,
    TooMuch,
    Trailers,
    End,
}

impl Kept {
    pub(super) fn new(most: usize) -> Self {
        Self {
            bytes: Vec::new(),
            trailers: None,
            used: 0,
            trailers_used: false,
            most,
        }
    }

    pub(super) fn rewind(&mut self) {
        self.used = 0;
        self.trailers_used = false;
    }

    pub(super) fn consume(&mut self, n: usize) {
        debug_assert!(n <= self.bytes.len() - self.used);
        self.used += n;
    }

    /// Copies what the source has next, and has the source go on.
    fn poll_read(
        &mut self,
        source: &mut (dyn Body + '_),
        cx: &mut Context<'_>,
    ) -> Poll<Result<Read, BodyFailure>> {
        let new = match ready!(source.poll_piece(cx)) {
            Ok(Some(Piece::Data(piece))) if self.bytes.len() + piece.len() > self.most => {
                return Poll::Ready(Ok(Read::TooMuch));
            }
            Ok(Some(Piece::Data(piece))) => {
                self.bytes.extend_from_slice(piece);
                piece.len()
            }
            Ok(Some(Piece::Trailers(trailers))) => {
                let mut copy = Head::new();
                for field in trailers.fields() {
                    copy.push(field.name, field.value);
                }
                self.trailers = Some(copy);
                return Poll::Ready(Ok(Read::Trailers));
            }
            Ok(None) => return Poll::Ready(Ok(Read::End)),
            Err(failure) => return Poll::Ready(Err(failure)),
        };
        source.consume(new);
        Poll::Ready(Ok(Read::Data))
    }
}

/// The next piece of a body of which `kept` has the beginning; lets it go if it becomes too much.
pub(super) fn poll_piece<'b>(
    source: &'b mut (dyn Body + '_),
    kept: &'b mut Option<Box<Kept>>,
    cx: &mut Context<'_>,
) -> Poll<Result<Option<Piece<'b>>, BodyFailure>> {
    let read = match kept {
        Some(kept) if kept.used < kept.bytes.len() => Read::Data,
        Some(kept) if kept.trailers.is_some() && kept.trailers_used => Read::End,
        Some(kept) if kept.trailers.is_some() => Read::Trailers,
        Some(kept) => ready!(kept.poll_read(source, cx))?,
        None => Read::TooMuch,
    };
    match (read, kept) {
        (Read::Data, Some(kept)) => Poll::Ready(Ok(Some(Piece::Data(&kept.bytes[kept.used..])))),
        (Read::Trailers, Some(kept)) => {
            kept.trailers_used = true;
            Poll::Ready(Ok(kept.trailers.as_ref().map(Piece::Trailers)))
        }
        (Read::End, _) => Poll::Ready(Ok(None)),
        (Read::TooMuch | Read::Data | Read::Trailers, kept) => {
            // The same bytes again, for they have not been consumed.
            *kept = None;
            source.poll_piece(cx)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use proptest::prelude::*;

    use super::super::body::{Length, RequestBody};
    use super::*;

    /// A body in pieces of some sizes, with a trailer perhaps.
    struct Pieces {
        pieces: Vec<Vec<u8>>,
        trailers: Option<Head>,
        trailers_given: bool,
    }

    impl Body for Pieces {
        fn poll_piece(
            &mut self,
            _: &mut Context<'_>,
        ) -> Poll<Result<Option<Piece<'_>>, BodyFailure>> {
            if let Some(piece) = self.pieces.first() {
                return Poll::Ready(Ok(Some(Piece::Data(piece))));
            }
            // As the reader of a connection does it: once.
            let first = !std::mem::replace(&mut self.trailers_given, true);
            let trailers = self.trailers.as_ref().filter(|_| first);
            Poll::Ready(Ok(trailers.map(Piece::Trailers)))
        }

        fn consume(&mut self, n: usize) {
            self.pieces[0].drain(..n);
            if self.pieces[0].is_empty() {
                self.pieces.remove(0);
            }
        }

        fn length(&self) -> Length {
            Length::Unknown
        }
    }

    /// Reads until the end, or until so many bytes have been used. Gives the bytes, and whether trailers came.
    fn read(body: &mut RequestBody<'_>, most: usize, step: usize) -> (Vec<u8>, bool) {
        let cx = &mut Context::from_waker(Waker::noop());
        let (mut all, mut trailers) = (Vec::new(), false);
        while all.len() < most {
            let n = match body.poll_piece(cx) {
                Poll::Ready(Ok(Some(Piece::Data(bytes)))) => {
                    assert!(!bytes.is_empty());
                    let n = bytes.len().min(step).min(most - all.len());
                    all.extend_from_slice(&bytes[..n]);
                    n
                }
                Poll::Ready(Ok(Some(Piece::Trailers(_)))) => {
                    trailers = true;
                    continue;
                }
                Poll::Ready(Ok(None)) => break,
                other => panic!("{other:?}"),
            };
            body.consume(n);
        }
        (all, trailers)
    }

    proptest! {
        /// What was kept comes again, byte for byte, however often; what is longer comes once, and is whole.
        #[test]
        fn what_is_kept_comes_again(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..8),
            (most, cut, step) in (0_usize..200, 0_usize..300, 1_usize..50),
            has_trailers in any::<bool>(),
        ) {
            let whole: Vec<u8> = pieces.concat();
            let mut source = Pieces {
                pieces,
                trailers: has_trailers.then(Head::new),
                trailers_given: false,
            };
            let mut body = RequestBody::new(Some(&mut source), None);
            body.keep(most);
            let (first, _) = read(&mut body, cut, step);
            prop_assert_eq!(&first[..], &whole[..cut.min(whole.len())]);
            let fits = whole.len() <= most;
            if body.rewind() {
                prop_assert!(first.is_empty() || first.len() <= most);
                let (again, trailers) = read(&mut body, usize::MAX, step);
                prop_assert_eq!(&again, &whole);
                prop_assert_eq!(trailers, has_trailers);
                prop_assert_eq!(body.rewind(), fits || whole.is_empty());
            } else {
                prop_assert!(!fits);
                let (rest, _) = read(&mut body, usize::MAX, step);
                prop_assert_eq!([first, rest].concat(), whole);
            }
        }
    }
}
