//! The messages of `grpc.health.v1.Health/Check`, which are too small to have a library read them.
//!
//! A message of gRPC is a byte (0: not compressed), its length in four bytes, and a message of Protocol Buffers. The
//! question has the service's name as field 1, the answer has a status as field 1.

/// The path of the call.
pub const PATH: &str = "/grpc.health.v1.Health/Check";

/// The question.
pub fn question(service: &str) -> Vec<u8> {
    let mut inner = Vec::new();
    if !service.is_empty() {
        inner.push(STRING_1);
        varint(service.len() as u64, &mut inner);
        inner.extend_from_slice(service.as_bytes());
    }
    let mut message = vec![0];
    // A name comes from the configuration: far below 4 GiB.
    message.extend_from_slice(&u32::try_from(inner.len()).unwrap_or(u32::MAX).to_be_bytes());
    message.extend_from_slice(&inner);
    message
}

/// Whether an answer, all of its content, says SERVING.
pub fn is_serving(content: &[u8]) -> bool {
    let Some((&[compressed, a, b, c, d], inner)) = content.split_first_chunk::<5>() else {
        return false;
    };
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    compressed == 0 && inner.len() == length && status(inner) == Some(SERVING)
}

/// The last field 1 of an answer; a field that is not there has the value 0. Nothing if it is no message.
fn status(mut inner: &[u8]) -> Option<u64> {
    let mut status = 0;
    while !inner.is_empty() {
        let (key, rest) = take_varint(inner)?;
        inner = match key & 7 {
            0 => {
                let (value, rest) = take_varint(rest)?;
                if key >> 3 == 1 {
                    status = value;
                }
                rest
            }
            1 => rest.get(8..)?,
            2 => {
                let (length, rest) = take_varint(rest)?;
                rest.get(usize::try_from(length).ok()?..)?
            }
            5 => rest.get(4..)?,
            _ => return None,
        };
    }
    Some(status)
}

fn take_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Field 1, of variable length.
const STRING_1: u8 = 0x0a;

const SERVING: u64 = 1;

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn questions_and_answers_are_those_of_the_protocol() {
        assert_eq!(question(""), [0, 0, 0, 0, 0]);
        assert_eq!(question("a.B"), b"\0\0\0\0\x05\x0a\x03a.B");
        assert_eq!(question(&"x".repeat(200))[5..8], [0x0a, 0xc8, 1]);
        assert!(is_serving(b"\0\0\0\0\x02\x08\x01"));
        // Fields that a later version may have are passed over.
        assert!(is_serving(b"\0\0\0\0\x05\x12\x01x\x08\x01"));
        for other in [
            &b"\0\0\0\0\x02\x08\x02"[..],
            b"\0\0\0\0\0",
            b"\x01\0\0\0\x02\x08\x01",
            b"\0\0\0\0\x03\x08\x01",
            b"\0\0\0\0\x02\x08\x01\0",
            b"",
        ] {
            assert!(!is_serving(other), "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut framed = vec![0, 0, 0, 0, bytes.len() as u8];
            framed.extend_from_slice(&bytes);
            let _ = (is_serving(&bytes), is_serving(&framed));
        }

        #[test]
        fn numbers_read_back(value: u64) {
            let mut bytes = Vec::new();
            varint(value, &mut bytes);
            prop_assert_eq!(take_varint(&bytes), Some((value, &[][..])));
        }
    }
}
