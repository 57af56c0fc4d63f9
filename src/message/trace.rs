//! The trace that a request is part of (W3C Trace Context): `traceparent` names it, `tracestate` is what those who record
//! it tell one another.
//!
//! What goes on goes on as it came where we record no part of the trace: the sender of the request stays the parent of what
//! the backend records. Where we do record, the attempt is the parent ([`name_parent`]).

use super::grammar::trim;
use super::head::{Head, Name};

/// The name of a trace: 32 hexadecimal digits in lower case, not all of them 0.
pub type TraceId = [u8; 32];

/// More members than these nobody has to pass on (W3C Trace Context section 3.3.1.1).
const MOST_MEMBERS: usize = 32;

/// What a request says of the trace that it is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The trace.
    pub id: TraceId,
    /// The part of it that sent the request: 16 hexadecimal digits in lower case, not all of them 0.
    pub span: [u8; 16],
    /// The flags that it came with.
    pub flags: u8,
}

/// The flag of a trace that is recorded (W3C Trace Context section 3.2.2.5.1).
pub const SAMPLED: u8 = 0b01;

/// The flag of a trace whose name is random in its last 7 bytes (W3C Trace Context, level 2).
const RANDOM: u8 = 0b10;

/// The trace of a request; nothing if it has none, or one that cannot be read.
pub fn parent(head: &Head) -> Option<Parent> {
    let mut brought = head.all(Name::Traceparent);
    match (brought.next(), brought.next()) {
        (Some(parent), None) => parsed(parent),
        // Of two nobody knows which is meant.
        _ => None,
    }
}

/// Whether a trace is among `percent` of a hundred. By the name alone, so that whoever asks with the same share gets the
/// same answer, and with a larger one no fewer traces: its last 7 bytes are random (W3C Trace Context, level 2), and the
/// largest values of them are chosen, as OpenTelemetry has it.
pub fn is_chosen(id: &TraceId, percent: u8) -> bool {
    let random = id[32 - 14..].iter().fold(0_u64, |value, digit| {
        value << 4 | u64::from(hex_value(*digit))
    });
    let left_out = (1_u64 << 56) * u64::from(100_u8.saturating_sub(percent)) / 100;
    percent > 0 && random >= left_out
}

/// The value of a hexadecimal digit in lower case.
const fn hex_value(digit: u8) -> u8 {
    match digit {
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit & 0xf,
    }
}

/// The bytes of what is written in hexadecimal, in lower case.
pub fn unhex<const DIGITS: usize, const BYTES: usize>(text: &[u8; DIGITS]) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    for (byte, digits) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = hex_value(digits[0]) << 4 | hex_value(digits[1]);
    }
    bytes
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
    say(id, parent, u8::from(sampled), head);
}

/// Names another parent of what the backend records, in a trace that came with `flags` and is recorded here. A head from
/// which somebody has taken the trace gets none.
pub fn name_parent(id: &TraceId, parent: u64, flags: u8, head: &mut Head) {
    if head.remove(Name::Traceparent) {
        // What a later version may mean by others we do not know (section 3.2.2.5.3).
        say(id, parent, flags & RANDOM | SAMPLED, head);
    }
}

fn say(id: &TraceId, parent: u64, flags: u8, head: &mut Head) {
    let parent = parent.max(1); // 0 is the name of nobody
    let id = String::from_utf8_lossy(id);
    head.push(
        b"traceparent",
        format!("00-{id}-{parent:016x}-{flags:02x}").as_bytes(),
    );
}

/// `00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01`, or of a later version with more behind it.
fn parsed(parent: &[u8]) -> Option<Parent> {
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
    let hex = |digits: &[u8]| hex_value(digits[0]) << 4 | hex_value(digits[1]);
    let known = || {
        Some(Parent {
            id: id.try_into().ok()?,
            span: parent.try_into().ok()?,
            flags: hex(flags),
        })
    };
    good.then(known).flatten()
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
        let parent = super::parent(&with(&[("Traceparent", parent)]))?;
        Some(String::from_utf8(parent.id.to_vec()).unwrap())
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
        assert_eq!(parent(&twice), None);
        assert_eq!(parent(&with(&[])), None);
        let whole = parent(&with(&[("traceparent", PARENT)])).unwrap();
        assert_eq!((&whole.span, whole.flags), (b"b7ad6b7169203331", SAMPLED));
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
            let read = super::parent(&head).unwrap();
            assert_eq!(
                (&read.id[..], read.flags),
                (ID.as_bytes(), u8::from(sampled))
            );
        }
    }

    #[test]
    fn another_parent_takes_the_place_of_the_first_if_there_is_one() {
        let id = ID.as_bytes().try_into().unwrap();
        for (flags, said) in [(0x01, "01"), (0x03, "03"), (0xff, "03"), (0x00, "01")] {
            let mut head = with(&[("Traceparent", PARENT), ("accept", "*")]);
            name_parent(id, 0xabc, flags, &mut head);
            assert_eq!(
                head.first(Name::Traceparent).map(String::from_utf8_lossy),
                Some(format!("00-{ID}-0000000000000abc-{said}").into())
            );
            assert_eq!(head.count(Name::Traceparent), 1);
        }
        let mut bare = with(&[]);
        name_parent(id, 0xabc, 1, &mut bare);
        assert_eq!(bare.first(Name::Traceparent), None);
    }

    #[test]
    fn digits_are_bytes() {
        assert_eq!(
            unhex::<16, 8>(b"b7ad6b7169203331"),
            0xb7ad_6b71_6920_3331_u64.to_be_bytes()
        );
    }

    fn traces(count: u128) -> impl Iterator<Item = TraceId> {
        // Spread evenly over what is random.
        let step = 1_u128 << 56;
        (0..count).map(move |number| {
            let text = format!("{:032x}", (number << 64) + step * number / count);
            text.as_bytes().try_into().unwrap()
        })
    }

    #[test]
    fn as_many_traces_are_chosen_as_the_share_says() {
        for percent in 0..=100 {
            let chosen = traces(10_000).filter(|id| is_chosen(id, percent)).count();
            assert!(
                chosen.abs_diff(usize::from(percent) * 100) <= 1,
                "{percent}%: {chosen}"
            );
        }
        // What OpenTelemetry says of one in two: from 80000000000000 on.
        let half =
            |random: &str| is_chosen(format!("{random:0>32}").as_bytes().try_into().unwrap(), 50);
        assert!(half("80000000000000") && !half("7fffffffffffff"));
    }

    proptest! {
        #[test]
        fn no_field_panics(parent in prop::collection::vec(b' '..=b'\xff', 0..80), state in prop::collection::vec(b' '..=b'\xff', 0..80)) {
            let mut head = with(&[]);
            head.push(b"traceparent", &parent);
            head.push(b"tracestate", &state);
            let known = super::parent(&head);
            prop_assert_eq!(known.is_some(), parsed(&parent).is_some());
            keep_good_state(&mut head);
        }

        #[test]
        fn the_same_name_is_decided_on_in_the_same_way(id in any::<u128>(), before in any::<u64>(), percent in 0..=100_u8, more in 0..=100_u8) {
            let text = |id: u128| TraceId::try_from(format!("{id:032x}").as_bytes()).unwrap();
            let chosen = is_chosen(&text(id), percent);
            prop_assert_eq!(is_chosen(&text(id), percent), chosen);
            // Only the last 7 bytes count, which are random in the names of others too.
            let other = id & ((1 << 56) - 1) | u128::from(before) << 64;
            prop_assert_eq!(is_chosen(&text(other), percent), chosen);
            // Who asks for more gets these as well.
            prop_assert!(!chosen || is_chosen(&text(id), percent.max(more)));
            prop_assert!(is_chosen(&text(id), 100) && !is_chosen(&text(id), 0));
        }
    }
}
