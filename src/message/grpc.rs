//! gRPC over HTTP/2 (its protocol description, "gRPC over HTTP2"): telling its messages from others, and its way to
//! say how a call ended.
//!
//! gRPC-Web is another protocol, whose clients read HTTP statuses.

use super::head::{Head, Name};
use super::method::Method;

/// The type of its messages; behind it may follow `+` and a coding, or parameters.
pub const CONTENT_TYPE: &[u8] = b"application/grpc";

/// How a call ended, as far as a balancer has to say it (gRPC's "Status codes and their use").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The caller took it back.
    Cancelled = 1,
    /// Time ran out; it may have been done all the same.
    DeadlineExceeded = 4,
    /// A limit of the caller's is reached.
    ResourceExhausted = 8,
    /// There is no such service here.
    Unimplemented = 12,
    /// The rules of the protocol were broken.
    Internal = 13,
    /// It may go well another time.
    Unavailable = 14,
}

impl Code {
    /// Its name in gRPC's documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancelled => "CANCELLED",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::Unimplemented => "UNIMPLEMENTED",
            Self::Internal => "INTERNAL",
            Self::Unavailable => "UNAVAILABLE",
        }
    }
}

/// Follows the messages of one direction ("Length-Prefixed-Message"): a byte that says whether it is compressed, four of
/// its length, and the message. What they carry is skipped.
#[derive(Clone, Copy, Debug, Default)]
pub struct Messages {
    /// Bytes of the prefix under way that have come.
    prefix: u8,
    /// The length as far as it has come, then what is still to come of the message.
    left: u32,
    /// Whether something was no message, so that nothing behind it is known to be one.
    broken: bool,
}

impl Messages {
    /// Follows bytes on their way.
    pub fn follow(&mut self, mut bytes: &[u8]) {
        while let (Some((first, rest)), false) = (bytes.split_first(), self.broken) {
            match self.prefix {
                PREFIX => {
                    let n = bytes.len().min(self.left as usize);
                    bytes = &bytes[n..];
                    self.left -= n as u32;
                }
                0 => {
                    self.broken = *first > 1;
                    (self.prefix, bytes) = (1, rest);
                }
                _ => {
                    self.left = self.left << 8 | u32::from(*first);
                    (self.prefix, bytes) = (self.prefix + 1, rest);
                }
            }
            if self.prefix == PREFIX && self.left == 0 {
                self.prefix = 0;
            }
        }
    }

    /// Whether all that came was whole messages.
    pub fn is_between(&self) -> bool {
        self.prefix == 0 && !self.broken
    }
}

/// Bytes before each message.
const PREFIX: u8 = 5;

/// Whether a request is a call of gRPC.
pub fn is_call(head: &Head) -> bool {
    head.method() == Method::Post && head.first(Name::ContentType).is_some_and(is_type)
}

/// Whether a response says with its head how the call ended, so that nothing follows it.
pub fn is_trailers_only(head: &Head) -> bool {
    head.first(Name::ContentType).is_some_and(is_type)
        && head.fields().any(|field| field.name == b"grpc-status")
}

/// Whether a `Content-Type` is that of gRPC.
pub fn is_type(value: &[u8]) -> bool {
    let Some((kind, rest)) = value.split_at_checked(CONTENT_TYPE.len()) else {
        return false;
    };
    kind.eq_ignore_ascii_case(CONTENT_TYPE)
        && matches!(rest.trim_ascii_start().first(), None | Some(b'+' | b';'))
}

/// Writes a message as `grpc-message` has it: percent-encoded, but for printable ASCII.
pub fn encode_message(message: &str) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(message.len());
    for byte in message.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            encoded.push(byte);
        } else {
            encoded.push(b'%');
            encoded.extend([byte >> 4, byte & 0xf].map(|digit| HEX[usize::from(digit)]));
        }
    }
    encoded
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Between two messages it is where they meet and nowhere else, however bytes come; behind what is none, nowhere.
        #[test]
        fn messages_are_followed(
            lengths in prop::collection::vec((0_u8..=1, prop_oneof![0_u32..300, Just(70_000)]), 1..6),
            step in 1_usize..5000,
            flag in 2_u8..,
        ) {
            let mut seen = Messages::default();
            for (compressed, length) in lengths {
                let mut bytes = [&[compressed][..], &length.to_be_bytes()].concat();
                bytes.resize(bytes.len() + length as usize, 1);
                let mut gone = 0;
                for piece in bytes.chunks(step) {
                    prop_assert_eq!(seen.is_between(), gone == 0);
                    seen.follow(piece);
                    gone += piece.len();
                }
                prop_assert!(seen.is_between());
            }
            seen.follow(&[flag, 0, 0, 0, 0]);
            prop_assert!(!seen.is_between());
            seen.follow(&[0, 0, 0, 0, 0]);
            prop_assert!(!seen.is_between());
        }
    }
    use crate::message::head::Version;

    #[test]
    fn calls_are_told_by_method_and_type() {
        for (method, kind, is) in [
            ("POST", "application/grpc", true),
            ("POST", "application/grpc+proto", true),
            ("POST", "Application/GRPC+json", true),
            ("POST", "application/grpc;charset=utf-8", true),
            ("POST", "application/grpc ; a=b", true),
            ("POST", "application/grpc-web", false),
            ("POST", "application/grpc-web+proto", false),
            ("POST", "application/grpcx", false),
            ("POST", "application/grp", false),
            ("POST", "text/plain", false),
            ("GET", "application/grpc", false),
        ] {
            let mut head = Head::new();
            head.set_request(method.as_bytes(), b"/a.B/C", Version::Http2);
            assert!(!is_call(&head));
            head.push(b"content-type", kind.as_bytes());
            assert_eq!(is_call(&head), is, "{method} {kind}");
        }
    }

    #[test]
    fn messages_are_percent_encoded() {
        for (message, encoded) in [
            ("", ""),
            ("plain ~ text!", "plain ~ text!"),
            ("100 %", "100 %25"),
            ("a\r\nb\x7f", "a%0D%0Ab%7F"),
            ("gr\u{fc}n", "gr%C3%BCn"),
        ] {
            assert_eq!(encode_message(message), encoded.as_bytes());
        }
    }
}
