//! `Via`: who has passed a message on (RFC 9110 section 7.6.3), and how often it was us.
//!
//! A proxy that is among its own backends asks itself for ever, each time over one more connection, until
//! nothing is left of the machine. `Via` is the one thing in a request that tells.

use super::grammar::elements;
use super::head::{Head, Name, Version};

/// The name that we give ourselves: a pseudonym, for the host is nobody's business.
const PSEUDONYM: &[u8] = b"forecourt";

/// How often a request may have passed a balancer of this kind: more than any chain of them is long.
const MOST_PASSES: usize = 10;

/// Notes that the message was received in this version and is passed on by us.
pub fn append(head: &mut Head) {
    let said: &[u8] = match head.version() {
        Version::Http10 => b"1.0 forecourt",
        Version::Http11 => b"1.1 forecourt",
        Version::Http2 => b"2.0 forecourt",
    };
    head.push(b"via", said);
}

/// Whether the request goes round in circles.
pub fn is_loop(head: &Head) -> bool {
    let ours = |hop: &&[u8]| {
        let mut words = hop.split(|byte| *byte == b' ').skip(1);
        words.find(|word| !word.is_empty()) == Some(PSEUDONYM)
    };
    let hops = head.all(Name::Via).flat_map(elements).filter(ours);
    hops.take(MOST_PASSES).count() == MOST_PASSES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_is_seen_and_a_chain_is_not() {
        let mut head = Head::new();
        for (version, said) in [
            (Version::Http10, "1.0 forecourt"),
            (Version::Http11, "1.1 forecourt"),
            (Version::Http2, "2.0 forecourt"),
        ] {
            head.set_request(b"GET", b"/", version);
            append(&mut head);
            assert_eq!(head.first(Name::Via), Some(said.as_bytes()));
        }
        head.push(
            b"Via",
            b"1.1 forecourt, 1.0 fred, HTTP/1.1  forecourt (x), 1.1 forecourt:80",
        );
        assert!(!is_loop(&head), "three of ours");
        for passes in 4..=MOST_PASSES {
            append(&mut head);
            assert_eq!(is_loop(&head), passes == MOST_PASSES, "{passes}");
        }
    }
}
