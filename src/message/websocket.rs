//! Where the frames of a WebSocket begin (RFC 6455 section 5.2), and the frame that says goodbye.
//!
//! A tunnel passes bytes on and reads none of them. But to end it in an orderly way a frame of ours has to go
//! between two of theirs, so the heads of frames are followed, in one direction; what they carry is skipped.

/// Follows the frames of one direction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Frames {
    /// The head of the frame under way, as far as it has come.
    head: [u8; LONGEST_HEAD],
    filled: u8,
    /// Bytes of the payload that are still to come.
    payload: u64,
    closed: bool,
}

impl Frames {
    /// Follows bytes on their way.
    pub fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.payload > 0 {
                let n = self.payload.min(bytes.len() as u64);
                self.payload -= n;
                bytes = &bytes[n as usize..];
            } else {
                self.head[usize::from(self.filled)] = bytes[0];
                self.filled += 1;
                bytes = &bytes[1..];
                self.end_of_head();
            }
        }
    }

    /// Whether a frame may be put in here. Between the fragments of a message one of control may (section 5.4).
    pub fn is_between(&self) -> bool {
        self.payload == 0 && self.filled == 0
    }

    /// Whether a frame that closes has gone by: nothing may follow it (section 5.5.1).
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Bytes, up to `most`, after which the frame under way ends; 0 if that is not yet known, or none is under way.
    pub fn left(&self, most: usize) -> usize {
        usize::try_from(self.payload)
            .unwrap_or(usize::MAX)
            .min(most)
    }

    fn end_of_head(&mut self) {
        let filled = usize::from(self.filled);
        if filled < 2 {
            return;
        }
        let (masked, short) = (self.head[1] & 0x80 != 0, self.head[1] & 0x7f);
        let extended = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if filled < 2 + extended + if masked { 4 } else { 0 } {
            return;
        }
        let length = &self.head[2..2 + extended];
        self.payload = match extended {
            0 => u64::from(short),
            _ => length
                .iter()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        };
        self.closed |= self.head[0] & 0x0f == CLOSE;
        self.filled = 0;
    }
}

/// The frame by which a server says that it goes away (section 7.4.1, code 1001).
pub const GOING_AWAY: [u8; 4] = [0x80 | CLOSE, 2, 0x03, 0xe9];

/// The same from a client, whose frames are masked (section 5.3).
pub fn going_away_masked(mask: [u8; 4]) -> [u8; 8] {
    let [first, second, high, low] = GOING_AWAY;
    [
        first,
        0x80 | second,
        mask[0],
        mask[1],
        mask[2],
        mask[3],
        high ^ mask[0],
        low ^ mask[1],
    ]
}

const CLOSE: u8 = 0x8;

/// Two bytes, eight of an extended length, four of a mask.
const LONGEST_HEAD: usize = 14;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(opcode: u8, mask: bool, length: usize) -> Vec<u8> {
        let mut bytes = vec![0x80 | opcode];
        let bit = if mask { 0x80 } else { 0 };
        match length {
            0..=125 => bytes.push(bit | length as u8),
            126..=0xffff => {
                bytes.push(bit | 126);
                bytes.extend_from_slice(&(length as u16).to_be_bytes());
            }
            _ => {
                bytes.push(bit | 127);
                bytes.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        if mask {
            bytes.extend_from_slice(&[1, 2, 3, 4]);
        }
        bytes.resize(bytes.len() + length, 0x88);
        bytes
    }

    proptest! {
        /// However frames are cut into pieces, each end is seen and nothing else is taken for one.
        #[test]
        fn ends_are_seen_however_bytes_come(
            frames in prop::collection::vec((0_u8..=15, any::<bool>(), prop_oneof![0_usize..300, Just(70_000)]), 1..6),
            step in 1_usize..5000,
        ) {
            let mut seen = Frames::default();
            for (opcode, mask, length) in &frames {
                let bytes = frame(*opcode, *mask, *length);
                let mut gone = 0;
                for piece in bytes.chunks(step) {
                    prop_assert_eq!(seen.is_between(), gone == 0);
                    seen.follow(piece);
                    gone += piece.len();
                }
                prop_assert!(seen.is_between());
            }
            prop_assert_eq!(seen.is_closed(), frames.iter().any(|(opcode, ..)| *opcode == CLOSE));
        }

        /// A length that fits nowhere is waited for, and nothing overflows.
        #[test]
        fn any_bytes_are_followed(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut frames = Frames::default();
            frames.follow(&bytes);
            prop_assert!(frames.left(10) <= 10);
        }
    }

    #[test]
    fn goodbyes_are_frames() {
        for bytes in [&GOING_AWAY[..], &going_away_masked([9, 8, 7, 6])] {
            let mut frames = Frames::default();
            frames.follow(bytes);
            assert!(frames.is_between() && frames.is_closed());
        }
        let masked = going_away_masked([9, 8, 7, 6]);
        assert_eq!([masked[6] ^ 9, masked[7] ^ 8], [0x03, 0xe9]);
    }
}
