//! The trace that a request is part of (W3C Trace Context): `traceparent` names it, `tracestate` is what those who record
//! it tell one another.
//!
//! What goes on goes on as it came: we record no part of a trace, so the sender of the request stays the parent of what
//! the backend records.

use super::grammar::trim;
use super::head::{Head, Name};

/// The name of a trace: 32 hexadecimal digits in lower case, not all of them 0.
pub type TraceId = [u8; 32];

/// More members than these nobody has to pass on (W3C Trace Context section 3.3.1.1).
const MOST_MEMBERS: usize = 32;

/// The trace of a request; nothing if it has none, or one that cannot be read.
pub fn id(head: &Head) -> Option<TraceId> {
    let mut brought = head.all(Name::Traceparent);
    match (brought.next(), brought.next()) {
        (Some(parent), None) => parsed(parent),
        // Of two nobody knows which is meant.
        _ => None,
    }
}

/// Removes all that says of a trace.
pub fn remove(head: &mut Head) {
    head.remove(Name::Traceparent);
    head.remove_if(|field| field.name.eq_ignore_ascii_case(STATE));
}

/// Removes the state if it cannot be read: the trace goes on without it.
pub fn keep_good_state(head: &mut Head) {
    let is_bad = {
        let mut states = head
            .fields()
            .filter(|field| field.name.eq_ignore_ascii_case(STATE));
        let mut members = 0;
        // Several fields are one list.
        !states.all(|state| {
            state.value.split(|byte| *byte == b',').all(|member| {
                let member = trim(member);
                members += usize::from(!member.is_empty());
                (member.is_empty() || is_member(member)) && members <= MOST_MEMBERS
            })
        })
    };
    if is_bad {
        head.remove_if(|field| field.name.eq_ignore_ascii_case(STATE));
    }
}

/// Begins a trace: its name, who is the parent of what the backend records, and whether it is asked to record it.
pub fn begin(id: &TraceId, parent: u64, sampled: bool, head: &mut Head) {
    let parent = parent.max(1); // 0 is the name of nobody
    let id = String::from_utf8_lossy(id);
    let flags = u8::from(sampled);
    head.push(
        b"traceparent",
        format!("00-{id}-{parent:016x}-{flags:02x}").as_bytes(),
    );
}

/// `00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01`, or of a later version with more behind it.
fn parsed(parent: &[u8]) -> Option<TraceId> {
    let (known, behind) = parent.split_first_chunk::<55>()?;
    let (version, id, parent, flags) = (&known[..2], &known[3..35], &known[36..52], &known[53..]);
    let is_hex = |text: &[u8]| {
        text.iter()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_nobody = |text: &[u8]| text.iter().all(|byte| *byte == b'0');
    let separated = [known[2], known[35], known[52]] == [b'-'; 3];
    let whole = [version, id, parent, flags].into_iter().all(is_hex);
    let ends = match version {
        b"00" => behind.is_empty(),
        b"ff" => false,
        // What a later version adds stands behind a separator.
        _ => behind.first().is_none_or(|byte| *byte == b'-'),
    };
    let good = separated && whole && ends && !is_nobody(id) && !is_nobody(parent);
    id.try_into().ok().filter(|_| good)
}

/// `vendor=what it wants`, `tenant@vendor=..` (section 3.3.1.3).
fn is_member(member: &[u8]) -> bool {
    let Some(equals) = memchr::memchr(b'=', member) else {
        return false;
    };
    let (key, value) = (&member[..equals], &member[equals + 1..]);
    let is_key = |key: &[u8], most: usize| {
        key.len() <= most
            && key
                .first()
                .is_some_and(|first| first.is_ascii_lowercase() || first.is_ascii_digit())
            && key.iter().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/".contains(byte)
            })
    };
    let good_key = match memchr::memchr(b'@', key) {
        Some(at) => is_key(&key[..at], 241) && is_key(&key[at + 1..], 14),
        None => is_key(key, 256),
    };
    let good_value = (1..=256).contains(&value.len())
        && value
            .iter()
            .all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b',' | b'='));
    good_key && good_value
}

const STATE: &[u8] = b"tracestate";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::message::head::Version;

    const ID: &str = "0af7651916cd43dd8448eb211c80319c";
    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn with(fields: &[(&str, &str)]) -> Head {
        let mut head = Head::new();
        head.set_request(b"GET", b"/", Version::Http11);
        for (name, value) in fields {
            head.push(name.as_bytes(), value.as_bytes());
        }
        head
    }

    fn id_of(parent: &str) -> Option<String> {
        let id = id(&with(&[("Traceparent", parent)]))?;
        Some(String::from_utf8(id.to_vec()).unwrap())
    }

    #[test]
    fn a_trace_is_known_by_its_parent_or_not_at_all() {
        assert_eq!(id_of(PARENT).as_deref(), Some(ID));
        assert_eq!(
            id_of(&PARENT.replacen("00", "01", 1)).as_deref(),
            Some(ID),
            "later"
        );
        let longer = PARENT.replacen("00", "cc", 1) + "-what-comes";
        assert_eq!(id_of(&longer).as_deref(), Some(ID));
        for wrong in [
            "",
            "x",
            &PARENT.replacen("00", "ff", 1),
            &PARENT.to_uppercase(),
            &PARENT.replacen('-', "_", 1),
            &PARENT[..54],
            &format!("{PARENT}-00"),
            &format!("cc{}x", &PARENT[2..]),
            &PARENT.replace(ID, &"0".repeat(32)),
            &PARENT.replace("b7ad6b7169203331", &"0".repeat(16)),
            &PARENT.replace("-01", "-0g"),
            &format!("{PARENT},{PARENT}"),
        ] {
            assert_eq!(id_of(wrong), None, "{wrong}");
        }
        let twice = with(&[("traceparent", PARENT), ("traceparent", PARENT)]);
        assert_eq!(id(&twice), None);
        assert_eq!(id(&with(&[])), None);
    }

    #[test]
    fn a_state_stays_if_it_can_be_read() {
        let stays = |states: &[&str]| {
            let states: Vec<_> = states.iter().map(|state| ("TraceState", *state)).collect();
            let mut head = with(&states);
            keep_good_state(&mut head);
            let left = head.fields().count();
            assert!(left == states.len() || left == 0, "all or none");
            left > 0
        };
        let many = |count: usize| {
            let members: Vec<_> = (0..count).map(|number| format!("a{number}=1")).collect();
            members.join(",")
        };
        for good in [
            "",
            "a=1",
            "rojo=00f067aa0ba902b7 , congo=t61rcWkgMzE,",
            "0tenant@vendor=x y",
            &many(32),
        ] {
            assert!(stays(&[good]), "{good}");
        }
        assert!(stays(&["a=1", "b=2"]));
        for bad in [
            "a",
            "A=1",
            "=1",
            "a=",
            "a=b=c",
            "a@=1",
            "@b=1",
            "a b=1",
            &many(33),
        ] {
            assert!(!stays(&[bad]), "{bad}");
        }
        assert!(!stays(&["a=1", "b"]), "several fields are one list");
    }

    #[test]
    fn a_trace_that_begins_can_be_read() {
        for (parent, sampled, end) in [
            (0, false, "0000000000000001-00"),
            (u64::MAX, true, "ffffffffffffffff-01"),
        ] {
            let mut head = with(&[("traceparent", "x"), ("tracestate", "a=1"), ("accept", "*")]);
            remove(&mut head);
            begin(
                ID.as_bytes().try_into().unwrap(),
                parent,
                sampled,
                &mut head,
            );
            let fields: Vec<_> = head.fields().map(|field| field.value.to_vec()).collect();
            assert_eq!(
                fields,
                [b"*".to_vec(), format!("00-{ID}-{end}").into_bytes()]
            );
            assert_eq!(id(&head).as_ref().map(|id| &id[..]), Some(ID.as_bytes()));
        }
    }

    proptest! {
        #[test]
        fn no_field_panics(parent in prop::collection::vec(b' '..=b'\xff', 0..80), state in prop::collection::vec(b' '..=b'\xff', 0..80)) {
            let mut head = with(&[]);
            head.push(b"traceparent", &parent);
            head.push(b"tracestate", &state);
            let known = id(&head);
            prop_assert_eq!(known.is_some(), parsed(&parent).is_some());
            keep_good_state(&mut head);
        }
    }
}
