//! The sealed cookie: it opens for whom it was sealed, and nothing else does.

use std::time::Duration;

use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, prop_assume, proptest};

use super::ticket::{LAST_TIME, LONGEST, is_due, open, reseal, seal, tag};
use super::*;

fn spec(secrets: &[&str]) -> StickySpec {
    StickySpec {
        cookie: None,
        keys: secrets
            .iter()
            .map(|secret| StickyKey::new(secret.as_bytes()).unwrap())
            .collect(),
        same_site: SameSite::Auto,
        max_idle: None,
        max_life: None,
    }
}

fn sealed(spec: &StickySpec, tag: u64, issued: u64) -> Vec<u8> {
    let mut value = Vec::new();
    seal(spec, "fc", "shop", BackendTag(tag), issued, &mut value);
    value
}

const OLD: &str = "the secret of last year";
const NEW: &str = "the secret of this year";

#[test]
fn a_ticket_has_this_form_for_ever() {
    let spec = spec(&[OLD]);
    let value = String::from_utf8(sealed(&spec, 0x0123_4567_89ab_cdef, 1_800_000_000)).unwrap();
    assert_eq!(
        value,
        "v1.-5JwEg.ASNFZ4mrze8.AGtJ0gA._DwqS_NT4NUmXZfORFyzgA"
    );
    assert_eq!(
        tag(&spec.keys[0], "shop", "b2"),
        BackendTag(0x16a3_9e91_cd8a_2516)
    );
}

#[test]
fn rotation_accepts_earlier_keys_and_seals_by_the_first() {
    let (before, after) = (spec(&[OLD]), spec(&[NEW, OLD]));
    let ticket = open(&after, "fc", "shop", &sealed(&before, 7, 100), 100).unwrap();
    assert_eq!((ticket.tag, ticket.key_index), (BackendTag(7), 1));
    assert!(is_due(&after, &ticket, 100));
    let mut value = Vec::new();
    reseal(
        &after,
        "fc",
        "shop",
        (&ticket, BackendTag(8)),
        160,
        &mut value,
    );
    let again = open(&after, "fc", "shop", &value, 160).unwrap();
    let expected = Ticket {
        tag: BackendTag(8),
        issued: 100,
        seen: 160,
        key_index: 0,
    };
    assert_eq!(again, expected);
    assert!(!is_due(&after, &again, 1_000_000));
    assert_eq!(
        open(&before, "fc", "shop", &value, 160),
        Err(TicketError::Unknown)
    );
}

#[test]
fn a_ticket_is_good_for_its_cookie_and_pool_only() {
    let spec = spec(&[OLD]);
    let value = sealed(&spec, 7, 100);
    assert!(open(&spec, "fc", "shop", &value, 100).is_ok());
    assert_eq!(
        open(&spec, "fc", "blog", &value, 100),
        Err(TicketError::Forged)
    );
    assert_eq!(
        open(&spec, "__Host-fc", "shop", &value, 100),
        Err(TicketError::Forged)
    );
    assert_eq!(
        open(&spec, "fcs", "hop", &value, 100),
        Err(TicketError::Forged)
    );
}

#[test]
fn life_and_idleness_are_bounded_apart() {
    let mut spec = spec(&[OLD]);
    spec.max_idle = Some(Duration::from_secs(60));
    spec.max_life = Some(Duration::from_secs(100));
    let value = sealed(&spec, 7, 1_000);
    let at = |value: &[u8], now| open(&spec, "fc", "shop", value, now);
    assert!(at(&value, 1_060).is_ok() && at(&value, 900).is_ok());
    assert_eq!(at(&value, 1_061), Err(TicketError::Expired));
    let ticket = at(&value, 1_050).unwrap();
    assert!(is_due(&spec, &ticket, 1_050) && !is_due(&spec, &ticket, 1_010));
    let mut later = Vec::new();
    reseal(
        &spec,
        "fc",
        "shop",
        (&ticket, BackendTag(7)),
        1_050,
        &mut later,
    );
    assert!(at(&later, 1_100).is_ok());
    assert_eq!(at(&later, 1_101), Err(TicketError::Expired));
}

#[test]
fn other_cookies_are_told_from_other_versions() {
    let (spec, other) = (spec(&[OLD]), spec(&[NEW]));
    let error = |value: &[u8]| open(&spec, "fc", "shop", value, 0).unwrap_err();
    for value in [
        &b""[..],
        b"s1",
        b"v1",
        b"v1....",
        b"v",
        b"....",
        b"v1.a.b.c.d.e",
        &[0xff; 59],
        &[b'.'; 4096],
    ] {
        assert_eq!(error(value), TicketError::Malformed, "{value:?}");
    }
    assert_eq!(error(b"v2.anything"), TicketError::Unknown);
    assert_eq!(error(&sealed(&other, 7, 0)), TicketError::Unknown);
}

#[test]
fn tags_depend_on_key_pool_and_id() {
    let (old, new) = (&spec(&[OLD]).keys[0], &spec(&[NEW]).keys[0]);
    let tags = [
        tag(old, "shop", "b1"),
        tag(old, "shop", "b2"),
        tag(old, "sho", "pb1"),
        tag(new, "shop", "b1"),
    ];
    for (at, one) in tags.iter().enumerate() {
        assert!(tags[at + 1..].iter().all(|other| other != one));
    }
}

proptest! {
    #[test]
    fn what_is_sealed_opens(tag: u64, issued in 0..=LAST_TIME, pause in 0_u64..1 << 20) {
        let spec = spec(&[NEW, OLD]);
        let value = sealed(&spec, tag, issued);
        let ticket = open(&spec, "fc", "shop", &value, issued).unwrap();
        let expected = Ticket { tag: BackendTag(tag), issued, seen: issued, key_index: 0 };
        prop_assert_eq!(ticket, expected);
        let mut again = Vec::new();
        let now = (issued + pause).min(LAST_TIME);
        reseal(&spec, "fc", "shop", (&ticket, BackendTag(tag)), now, &mut again);
        prop_assert!(again.len() <= LONGEST);
        prop_assert_eq!(open(&spec, "fc", "shop", &again, now).unwrap().seen, now);
    }

    #[test]
    fn any_change_is_noticed(at in 0_usize..52, byte: u8, tag: u64) {
        let spec = spec(&[OLD]);
        let mut value = sealed(&spec, tag, 1_800_000_000);
        prop_assert_eq!(value.len(), 52);
        prop_assume!(value[at] != byte);
        value[at] = byte;
        prop_assert!(open(&spec, "fc", "shop", &value, 0).is_err());
    }

    #[test]
    fn hostile_bytes_are_errors(value in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(open(&spec(&[OLD]), "fc", "shop", &value, 0).is_err());
    }

    #[test]
    fn hostile_text_of_the_right_form_is_an_error(value in "v1(\\.[A-Za-z0-9_=-]{0,24}){3,5}") {
        prop_assert!(open(&spec(&[OLD]), "fc", "shop", value.as_bytes(), u64::MAX).is_err());
    }
}
