//! The sealed value of a sticky cookie: `v1.<key_id>.<tag>.<times>.<mac>`, parts in base64url without
//! padding.
//!
//! - `key_id`, 4 bytes: which key sealed it ([`StickyKey::id`]);
//! - `tag`, 8 bytes: which member ([`tag`]), telling an outsider neither address nor id;
//! - `times`, 5 bytes: when it was first given, in seconds since 1970, big-endian; 10 bytes when it was
//!   given anew later: the first time and that one;
//! - `mac`, 16 bytes: HMAC-SHA-256, cut to 128 bits, over the version, the cookie's name, the pool, the
//!   tag and the times, each with its length before it, so that no two lists of parts read alike.
//!
//! Name and pool are sealed in, so a cookie is good for nothing elsewhere. What comes from a client is
//! untrusted to the last byte: anything but a sealed ticket is an error that costs the client his
//! binding and nothing else. Pure: the time is an argument.

use std::time::Duration;

use aws_lc_rs::{constant_time, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use smallvec::SmallVec;

use super::{Member, Slot, StickyKey, StickySpec};
use crate::backend::BackendTag;

/// What a sealed cookie says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The member, as the key that sealed it calls him: [`super::Members::by_tag`] knows.
    pub tag: BackendTag,
    /// When the binding was made, in seconds since 1970.
    pub issued: u64,
    /// When it was last given to the client, in seconds since 1970; never before `issued`.
    pub seen: u64,
    /// Which of the keys sealed it; 0 is the one that seals now.
    pub key_index: usize,
}

/// Why a cookie's value is no ticket. None of these is the client's error to be told: he is bound anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// Sealed rightly, too long ago.
    #[error("the ticket has expired")]
    Expired,
    /// The seal is not that of the key it names: changed, or from another pool or cookie.
    #[error("the seal of the ticket is wrong")]
    Forged,
    /// Not of this form: another application's cookie of the same name, or cut off.
    #[error("the value is no ticket")]
    Malformed,
    /// Of a version or under a key that is not known here (any more): as good as no cookie.
    #[error("the ticket is of an unknown version or key")]
    Unknown,
}

/// What a key calls a member of a pool: the first 64 bits of an HMAC over both, so the same after a
/// restart and on every instance that has the key.
pub fn tag(key: &StickyKey, pool: &str, id: &str) -> BackendTag {
    let parts = [
        b"forecourt sticky tag".as_slice(),
        pool.as_bytes(),
        id.as_bytes(),
    ];
    BackendTag(u64::from_be_bytes(first_bytes(&authenticate(key, &parts))))
}

/// What all keys but the first call the members of a pool, for [`super::Members::with_former_tags`].
pub fn former_tags(spec: &StickySpec, pool: &str, members: &[Member]) -> Vec<(BackendTag, Slot)> {
    let former = spec.keys.iter().skip(1);
    former
        .flat_map(|key| {
            (0..)
                .zip(members)
                .map(|(at, member)| (tag(key, pool, &member.id), Slot(at)))
        })
        .collect()
}

/// Seals a new binding and appends the cookie's value to `out`. Nothing is written without a key.
pub fn seal(
    spec: &StickySpec,
    cookie_name: &str,
    pool: &str,
    tag: BackendTag,
    issued_unix_seconds: u64,
    out: &mut Vec<u8>,
) {
    let times = Times::new(issued_unix_seconds, issued_unix_seconds);
    write(spec, &Scope { cookie_name, pool }, tag, &times, out);
}

/// Seals a binding again: by the first key, with the time of its beginning and that of `now`. `tag` is what
/// the first key calls the member.
pub fn reseal(
    spec: &StickySpec,
    cookie_name: &str,
    pool: &str,
    (ticket, tag): (&Ticket, BackendTag),
    now: u64,
    out: &mut Vec<u8>,
) {
    let times = Times::new(ticket.issued, now.max(ticket.seen));
    write(spec, &Scope { cookie_name, pool }, tag, &times, out);
}

/// Whether a good ticket should be sealed again with this response: it was sealed by an earlier key, or
/// a quarter of the idle time has gone. Not with every response, for a `set-cookie` spoils caching;
/// so a binding ends between three quarters and the whole of `max_idle` after its last use.
pub fn is_due(spec: &StickySpec, ticket: &Ticket, now: u64) -> bool {
    let idle = now.saturating_sub(ticket.seen);
    ticket.key_index > 0
        || spec
            .max_idle
            .is_some_and(|bound| idle >= bound.as_secs() / 4)
}

/// Opens a cookie's value, which may be any bytes.
///
/// # Errors
/// Whatever it is, the request is to be treated as if it had no cookie; the error is for the metric.
pub fn open(
    spec: &StickySpec,
    cookie_name: &str,
    pool: &str,
    value: &[u8],
    now: u64,
) -> Result<Ticket, TicketError> {
    let parts = Parts::read(value)?;
    let scope = Scope { cookie_name, pool };
    let mut known = false;
    for (key_index, key) in spec
        .keys
        .iter()
        .enumerate()
        .filter(|(_, key)| key.id() == parts.key_id)
    {
        known = true;
        let mac = scope.mac(key, parts.tag, &parts.times);
        if constant_time::verify_slices_are_equal(&mac, &parts.mac).is_ok() {
            let (issued, seen) = parts.times.read();
            let ticket = Ticket {
                tag: parts.tag,
                issued,
                seen,
                key_index,
            };
            return in_time(spec, ticket, now);
        }
    }
    Err(if known {
        TicketError::Forged
    } else {
        TicketError::Unknown
    })
}

/// The ticket, unless it has expired by now. One from the future is from an instance whose clock is ahead: it counts as
/// new.
pub(super) fn in_time(spec: &StickySpec, ticket: Ticket, now: u64) -> Result<Ticket, TicketError> {
    let past = |bound: Option<Duration>, since| {
        bound.is_some_and(|bound| now.saturating_sub(since) > bound.as_secs())
    };
    if past(spec.max_life, ticket.issued) || past(spec.max_idle, ticket.seen) {
        Err(TicketError::Expired)
    } else {
        Ok(ticket)
    }
}

/// Where a ticket is good.
struct Scope<'a> {
    cookie_name: &'a str,
    pool: &'a str,
}

impl Scope<'_> {
    fn mac(&self, key: &StickyKey, tag: BackendTag, times: &Times) -> [u8; MAC_BYTES] {
        let sealed = authenticate(
            key,
            &[
                b"forecourt sticky ticket v1",
                self.cookie_name.as_bytes(),
                self.pool.as_bytes(),
                &tag.0.to_be_bytes(),
                times.as_bytes(),
            ],
        );
        first_bytes(&sealed)
    }
}

fn write(spec: &StickySpec, scope: &Scope<'_>, tag: BackendTag, times: &Times, out: &mut Vec<u8>) {
    let Some(key) = spec.keys.first() else {
        return;
    };
    out.extend_from_slice(VERSION);
    push_part(&key.id(), out);
    push_part(&tag.0.to_be_bytes(), out);
    push_part(times.as_bytes(), out);
    push_part(&scope.mac(key, tag, times), out);
}

/// Appends a dot and the bytes in base64url.
fn push_part(bytes: &[u8], out: &mut Vec<u8>) {
    let mut text = [0; LONGEST_PART];
    let length = BASE64
        .encode_slice(bytes, &mut text)
        .expect("no part is longer than the seal");
    out.push(b'.');
    out.extend_from_slice(&text[..length]);
}

/// A ticket in pieces, of the right form and not yet believed.
struct Parts {
    key_id: [u8; 4],
    tag: BackendTag,
    times: Times,
    mac: [u8; MAC_BYTES],
}

impl Parts {
    fn read(value: &[u8]) -> Result<Self, TicketError> {
        if value.len() > LONGEST {
            return Err(TicketError::Malformed);
        }
        let mut parts = value.split(|&byte| byte == b'.');
        let version = parts.next().unwrap_or_default();
        if version != VERSION {
            let is_version = version.split_first().is_some_and(|(letter, number)| {
                *letter == b'v' && !number.is_empty() && number.iter().all(u8::is_ascii_digit)
            });
            return Err(if is_version {
                TicketError::Unknown
            } else {
                TicketError::Malformed
            });
        }
        let mut next = || parts.next().ok_or(TicketError::Malformed);
        let read = Self {
            key_id: exactly(next()?)?,
            tag: BackendTag(u64::from_be_bytes(exactly(next()?)?)),
            times: Times::decode(next()?)?,
            mac: exactly(next()?)?,
        };
        match parts.next() {
            Some(_) => Err(TicketError::Malformed),
            None => Ok(read),
        }
    }
}

/// Decodes a part that must have exactly `N` bytes, strictly: one value has one text.
fn exactly<const N: usize>(text: &[u8]) -> Result<[u8; N], TicketError> {
    let mut decoded = [0; LONGEST_PART];
    let length = decode(text, &mut decoded)?;
    if length != N {
        return Err(TicketError::Malformed);
    }
    Ok(first_bytes(&decoded))
}

fn decode(text: &[u8], into: &mut [u8; LONGEST_PART]) -> Result<usize, TicketError> {
    BASE64
        .decode_slice(text, into)
        .map_err(|_| TicketError::Malformed)
}

/// One or two times of 40 bits each, as they are sealed.
struct Times {
    bytes: [u8; 2 * TIME_BYTES],
    length: usize,
}

impl Times {
    fn new(issued: u64, seen: u64) -> Self {
        let mut bytes = [0; 2 * TIME_BYTES];
        let (first, second) = bytes.split_at_mut(TIME_BYTES);
        first.copy_from_slice(&issued.min(LAST_TIME).to_be_bytes()[8 - TIME_BYTES..]);
        second.copy_from_slice(&seen.min(LAST_TIME).to_be_bytes()[8 - TIME_BYTES..]);
        let length = if issued == seen {
            TIME_BYTES
        } else {
            2 * TIME_BYTES
        };
        Self { bytes, length }
    }

    fn decode(text: &[u8]) -> Result<Self, TicketError> {
        let mut decoded = [0; LONGEST_PART];
        let length = decode(text, &mut decoded)?;
        if length != TIME_BYTES && length != 2 * TIME_BYTES {
            return Err(TicketError::Malformed);
        }
        Ok(Self {
            bytes: first_bytes(&decoded),
            length,
        })
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// The time of issue, and the last time it was given.
    fn read(&self) -> (u64, u64) {
        let time = |bytes: &[u8]| {
            bytes
                .iter()
                .fold(0, |time, &byte| time << 8 | u64::from(byte))
        };
        let issued = time(&self.bytes[..TIME_BYTES]);
        let seen = if self.length == TIME_BYTES {
            issued
        } else {
            time(&self.bytes[TIME_BYTES..])
        };
        (issued, seen.max(issued))
    }
}

/// HMAC-SHA-256 over parts, each with its length before it.
fn authenticate(key: &StickyKey, parts: &[&[u8]]) -> [u8; 32] {
    // Gathered: the library's way in is long, and the parts are short.
    let mut text = SmallVec::<[u8; 256]>::new();
    for part in parts {
        text.extend_from_slice(&(part.len() as u64).to_be_bytes());
        text.extend_from_slice(part);
    }
    first_bytes(hmac::sign(key.hmac(), &text).as_ref())
}

/// The first `N` bytes of at least as many; what is missing is 0.
fn first_bytes<const N: usize>(bytes: &[u8]) -> [u8; N] {
    debug_assert!(bytes.len() >= N);
    std::array::from_fn(|at| bytes.get(at).copied().unwrap_or(0))
}

const VERSION: &[u8] = b"v1";
const MAC_BYTES: usize = 16;
const TIME_BYTES: usize = 5;

/// 40 bits of seconds: some 35,000 years.
pub(super) const LAST_TIME: u64 = (1 << (8 * TIME_BYTES)) - 1;

/// The text of the longest part, the seal: 22 letters for 16 bytes; with room for the decoder's estimate.
const LONGEST_PART: usize = 24;

/// `v1`, four dots, and 6, 11, 14 and 22 letters.
pub(super) const LONGEST: usize = 2 + 4 + 6 + 11 + 14 + 22;
