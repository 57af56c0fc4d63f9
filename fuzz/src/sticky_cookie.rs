//! The sticky cookie in hostile hands.
//!
//! The first line is a cookie's value, to be opened. The second says how a sealed value is changed: pairs of a
//! place and a byte. The others are `Cookie` fields.

use std::sync::OnceLock;
use std::time::Duration;

use forecourt::backend::BackendTag;
use forecourt::message::{Head, Name, Version, cookie};
use forecourt::strategy::ticket::{self, Ticket, TicketError};
use forecourt::strategy::{SameSite, StickyKey, StickySpec};

/// Judges a value, changes, and fields.
pub fn judge(bytes: &[u8]) {
    let (value, rest) = crate::cut_line(bytes);
    let (changes, fields) = crate::cut_line(rest);
    judge_value(value);
    judge_seal(changes);
    judge_fields(fields);
}

/// The keys are fixed and the seeds hold tickets sealed by them: what opens must be just what was sealed.
fn judge_value(value: &[u8]) {
    let Ok(ticket) = ticket::open(spec(), COOKIE, POOL, value, NOW) else {
        return;
    };
    let alone = StickySpec {
        keys: vec![spec().keys[ticket.key_index].clone()],
        ..spec().clone()
    };
    let mut sealed = Vec::new();
    if ticket.issued == ticket.seen {
        ticket::seal(&alone, COOKIE, POOL, ticket.tag, ticket.issued, &mut sealed);
    } else {
        let begun = Ticket {
            seen: ticket.issued,
            ..ticket
        };
        ticket::reseal(
            &alone,
            COOKIE,
            POOL,
            (&begun, ticket.tag),
            ticket.seen,
            &mut sealed,
        );
    }
    assert_eq!(sealed, value, "two texts for one ticket");
    assert!(ticket.seen >= ticket.issued);
}

fn judge_seal(changes: &[u8]) {
    let number = changes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
    let (tag, issued) = (BackendTag(number), NOW - number % 1000);
    let mut sealed = Vec::new();
    ticket::seal(spec(), COOKIE, POOL, tag, issued, &mut sealed);
    let open = |value: &[u8], now| ticket::open(spec(), COOKIE, POOL, value, now);
    let ticket = open(&sealed, NOW).expect("it was sealed just now");
    assert_eq!(
        (ticket.tag, ticket.issued, ticket.seen, ticket.key_index),
        (tag, issued, issued, 0)
    );
    assert!(cookie_octets(&sealed), "the value needs no quotes");
    assert_eq!(open(&sealed, NOW + 1_000_000), Err(TicketError::Expired));
    for (cookie, pool) in [
        ("other", POOL),
        (COOKIE, "other"),
        (POOL, COOKIE),
        ("fcs", "hop"),
    ] {
        let elsewhere = ticket::open(spec(), cookie, pool, &sealed, NOW);
        assert_eq!(elsewhere, Err(TicketError::Forged));
    }
    let mut resealed = Vec::new();
    ticket::reseal(spec(), COOKIE, POOL, (&ticket, tag), NOW, &mut resealed);
    let again = open(&resealed, NOW).expect("it was sealed just now");
    assert_eq!((again.tag, again.issued, again.seen), (tag, issued, NOW));
    for original in [sealed, resealed] {
        let mut changed = original.clone();
        for pair in changes.chunks_exact(2) {
            match usize::from(pair[0]) {
                place if place < changed.len() => changed[place] = pair[1],
                place if place % 2 == 0 => changed.push(pair[1]),
                _ => drop(changed.pop()),
            }
        }
        assert_eq!(
            open(&changed, NOW).is_ok(),
            changed == original,
            "{}",
            changed.escape_ascii()
        );
    }
}

fn judge_fields(fields: &[u8]) {
    let mut head = Head::new();
    head.set_request(b"GET", b"/", Version::Http11);
    head.push(b"Host", b"a");
    for field in fields.split(|byte| *byte == b'\n') {
        // What no parser lets through is not in a head.
        if !field
            .iter()
            .any(|byte| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f)
        {
            head.push(b"Cookie", field);
        }
    }
    head.push(b"X-Last", b"z");
    let before = pairs(&head);
    let fields_before = head.len();
    let (wanted, others): (Vec<_>, Vec<_>) = before.into_iter().partition(|pair| is_named(pair));
    let found = cookie::find(&head, COOKIE).map(<[u8]>::to_vec);
    let first = wanted.first().map(|pair| {
        let at = pair
            .iter()
            .position(|byte| *byte == b'=')
            .expect("it has a name");
        pair[at + 1..].trim_ascii_blank().to_vec()
    });
    assert_eq!(found, first);
    if let Some(value) = &found {
        judge_value(value);
    }
    cookie::remove(&mut head, COOKIE);
    assert_eq!(pairs(&head), others, "the others stay as they were");
    assert_eq!(cookie::find(&head, COOKIE), None);
    if wanted.is_empty() {
        assert_eq!(head.len(), fields_before);
    } else {
        assert_eq!(
            head.all(Name::Cookie).count(),
            usize::from(!others.is_empty())
        );
    }
    cookie::join(&mut head);
    assert_eq!(pairs(&head), others);
    assert_eq!(head.first_named(b"host"), Some(&b"a"[..]));
    assert_eq!(head.first_named(b"x-last"), Some(&b"z"[..]));
}

/// All that stands between semicolons, in order.
fn pairs(head: &Head) -> Vec<Vec<u8>> {
    let mut pairs = Vec::new();
    for field in head
        .fields()
        .filter(|field| field.name.eq_ignore_ascii_case(b"cookie"))
    {
        for pair in field.value.split(|byte| *byte == b';') {
            pairs.push(pair.trim_ascii_blank().to_vec());
        }
    }
    pairs.retain(|pair| !pair.is_empty());
    pairs
}

fn is_named(pair: &[u8]) -> bool {
    let name = pair.iter().position(|byte| *byte == b'=');
    name.is_some_and(|at| pair[..at].trim_ascii_blank() == COOKIE.as_bytes())
}

/// RFC 6265 section 4.1.1.
fn cookie_octets(value: &[u8]) -> bool {
    let odd = b"\",;\\";
    value
        .iter()
        .all(|byte| byte.is_ascii_graphic() && !odd.contains(byte))
}

trait TrimBlank {
    fn trim_ascii_blank(&self) -> &[u8];
}

impl TrimBlank for [u8] {
    /// Without the spaces and tabs around it.
    fn trim_ascii_blank(&self) -> &[u8] {
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let start = self
            .iter()
            .position(|byte| !blank(byte))
            .unwrap_or(self.len());
        let end = self
            .iter()
            .rposition(|byte| !blank(byte))
            .map_or(start, |at| at + 1);
        &self[start..end]
    }
}

fn spec() -> &'static StickySpec {
    static SPEC: OnceLock<StickySpec> = OnceLock::new();
    SPEC.get_or_init(|| StickySpec {
        cookie: Some(COOKIE.into()),
        keys: vec![
            StickyKey::new(b"the key that seals in the fuzzers").expect("it is long enough"),
            StickyKey::new(b"the key that sealed before that").expect("it is long enough"),
        ],
        same_site: SameSite::Auto,
        max_idle: Some(Duration::from_secs(100_000)),
        max_life: Some(Duration::from_secs(500_000)),
    })
}

const COOKIE: &str = "fc";
const POOL: &str = "shop";
/// The time at which everything is judged; the seeds are sealed before it.
const NOW: u64 = 1_750_000_000;
