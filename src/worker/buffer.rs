//! Memory for bytes in flight: lent while bytes are there, so that an idle connection holds none.
//!
//! A connection takes a buffer just before it reads and gives it back when the read finds nothing. The
//! spare ones lie on a stack, so that the one used last, still warm in the cache, is used next.

use std::cell::RefCell;

/// The spare buffers of one worker.
#[derive(Debug, Default)]
pub struct Buffers {
    small: RefCell<Vec<Box<[u8]>>>,
    large: RefCell<Vec<Box<[u8]>>>,
    outputs: RefCell<Vec<Vec<u8>>>,
}

/// Bytes that have been read and not yet used, in memory that may be on loan from [`Buffers`].
#[derive(Debug, Default)]
pub struct Buffer {
    memory: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// Memory of an ordinary read from a client: a head, a form.
    pub const SMALL: usize = 16 * 1024;
    /// Memory of a read of a large body, and of every read from a backend.
    pub const LARGE: usize = 64 * 1024;

    /// The bytes that are there.
    pub fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.end]
    }

    /// Whether none is there.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Drops `n` bytes from the front.
    pub fn consume(&mut self, n: usize) {
        debug_assert!(n <= self.end - self.start);
        self.start = (self.start + n).min(self.end);
        if self.is_empty() {
            self.start = 0;
            self.end = 0;
        }
    }

    /// The room behind the bytes; empty if there is none (see [`Buffer::make_room`]).
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.memory[self.end..]
    }

    /// Says that `n` bytes of the room have been filled.
    pub fn filled(&mut self, n: usize) {
        debug_assert!(n <= self.memory.len() - self.end);
        self.end = (self.end + n).min(self.memory.len());
    }

    /// Sees to it that there is room behind the bytes: takes memory of at least `size`, moves the bytes to
    /// the front, or changes to larger memory, up to `most`. False when `most` bytes are there already.
    pub fn make_room(&mut self, buffers: &Buffers, size: usize, most: usize) -> bool {
        if self.is_empty() && self.memory.len() < size {
            buffers.take_back(self);
            self.memory = buffers.lend(size);
        }
        if self.end < self.memory.len() {
            return true;
        }
        if self.start > 0 {
            self.memory.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            return true;
        }
        if self.memory.len() >= most {
            return false;
        }
        let mut larger = buffers.lend((self.memory.len() * 4).max(size).min(most.max(Self::LARGE)));
        larger[..self.end].copy_from_slice(&self.memory[..self.end]);
        let end = self.end;
        buffers.take_back(self);
        self.memory = larger;
        self.end = end;
        true
    }
}

impl Buffers {
    /// Takes the memory of a buffer back and leaves the buffer empty.
    #[inline]
    pub fn take_back(&self, buffer: &mut Buffer) {
        if !buffer.memory.is_empty() {
            self.take_memory(buffer);
        }
    }

    fn take_memory(&self, buffer: &mut Buffer) {
        let memory = std::mem::take(&mut buffer.memory);
        buffer.start = 0;
        buffer.end = 0;
        let spare = match memory.len() {
            Buffer::SMALL => &self.small,
            Buffer::LARGE => &self.large,
            _ => return,
        };
        let mut spare = spare.borrow_mut();
        if spare.len() < SPARE {
            spare.push(memory);
        }
    }

    /// Lends memory for an [`Output`](super::Output).
    pub(super) fn lend_output(&self) -> Vec<u8> {
        let kept = self.outputs.borrow_mut().pop();
        kept.unwrap_or_else(|| Vec::with_capacity(OUTPUT_BYTES))
    }

    /// Takes the memory of an output back, unless it grew too large to be kept.
    pub(super) fn take_back_output(&self, mut bytes: Vec<u8>) {
        let mut outputs = self.outputs.borrow_mut();
        if (1..=MOST_OUTPUT_BYTES).contains(&bytes.capacity()) && outputs.len() < SPARE {
            bytes.clear();
            outputs.push(bytes);
        }
    }

    fn lend(&self, size: usize) -> Box<[u8]> {
        let (spare, size) = match size {
            0..=Buffer::SMALL => (&self.small, Buffer::SMALL),
            size if size <= Buffer::LARGE => (&self.large, Buffer::LARGE),
            // A head limit set above what any read needs; rare, so not kept.
            size => return vec![0; size].into_boxed_slice(),
        };
        let kept = spare.borrow_mut().pop();
        kept.unwrap_or_else(|| vec![0; size].into_boxed_slice())
    }
}

/// Spare buffers kept of each size: what a burst needed is given back to the system beyond this.
const SPARE: usize = 64;

/// Room for a head and a small body.
const OUTPUT_BYTES: usize = 4 * 1024;

/// An output that grew beyond this is not kept.
const MOST_OUTPUT_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn put(buffer: &mut Buffer, bytes: &[u8]) {
        buffer.room()[..bytes.len()].copy_from_slice(bytes);
        buffer.filled(bytes.len());
    }

    #[test]
    fn memory_is_lent_and_taken_back() {
        let buffers = Buffers::default();
        let mut buffer = Buffer::default();
        assert!(buffer.room().is_empty());
        assert!(buffer.make_room(&buffers, Buffer::SMALL, Buffer::SMALL));
        put(&mut buffer, b"hello");
        buffer.consume(2);
        assert_eq!(buffer.bytes(), b"llo");
        buffer.consume(3);
        assert!(buffer.is_empty());
        buffers.take_back(&mut buffer);
        assert!(buffer.room().is_empty());
        assert_eq!(buffers.small.borrow().len(), 1);
    }

    #[test]
    fn a_full_buffer_moves_its_bytes_then_grows_then_refuses() {
        let buffers = Buffers::default();
        let mut buffer = Buffer::default();
        assert!(buffer.make_room(&buffers, Buffer::SMALL, Buffer::LARGE));
        put(&mut buffer, &[7; Buffer::SMALL]);
        buffer.consume(1);
        assert!(buffer.make_room(&buffers, Buffer::SMALL, Buffer::LARGE));
        assert_eq!(buffer.room().len(), 1);
        put(&mut buffer, &[8]);
        assert!(buffer.make_room(&buffers, Buffer::SMALL, Buffer::LARGE));
        assert_eq!(buffer.bytes().len(), Buffer::SMALL);
        assert_eq!(buffer.bytes().last(), Some(&8));
        let room = buffer.room().len();
        buffer.filled(room);
        assert!(!buffer.make_room(&buffers, Buffer::SMALL, Buffer::LARGE));
    }
}
