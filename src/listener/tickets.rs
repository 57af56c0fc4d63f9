//! The keys that seal session tickets, for the whole process and for the one after it.
//!
//! A ticket is the session itself, sealed by AES-256-GCM under a key that only we have: its name, a random nonce, and what is
//! sealed. rustls has a ticketer of its own, whose keys nobody can have; but a process that takes over without them has all
//! clients do whole handshakes at once, at the moment when it is new. So keys can be had here ([`Tickets::keys`]) and begun
//! with. A key seals for [`ROLL`] and opens for as long again, the lifetime that tickets are given: who has stolen one reads
//! half a day of what was sent by TLS 1.2, and no more.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::server::ProducesTickets;
use serde::{Deserialize, Serialize};

use crate::worker::unix_seconds;

/// Seals tickets and opens them.
pub struct Tickets {
    keys: ArcSwap<Keys>,
}

/// A key as it goes from one process to the next.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TicketKey {
    /// When it was made, in seconds of the wall clock.
    since: u64,
    /// Its name and the key itself, in base64.
    bytes: String,
}

struct Keys {
    now: Arc<Sealer>,
    before: Option<Arc<Sealer>>,
}

struct Sealer {
    since: u64,
    bytes: [u8; NAME + SECRET],
    key: RandomizedNonceKey,
}

impl Tickets {
    /// Begins with the keys of the process before, the newest first, as far as they are good still; else with a new one. None
    /// if there are no random bytes to be had.
    #[must_use]
    pub fn new(known: &[TicketKey]) -> Option<Self> {
        Self::at(unix_seconds(), known)
    }

    fn at(now: u64, known: &[TicketKey]) -> Option<Self> {
        let known = known.iter().filter_map(Sealer::of);
        let mut known = known.filter(|sealer| sealer.opens(now)).map(Arc::new);
        let keys = match known.next() {
            Some(newest) => Keys {
                now: newest,
                before: known.next(),
            },
            None => Keys {
                now: Arc::new(Sealer::random(now)?),
                before: None,
            },
        };
        Some(Self {
            keys: ArcSwap::from_pointee(keys),
        })
    }

    /// Its keys, the newest first.
    #[must_use]
    pub fn keys(&self) -> Vec<TicketKey> {
        let keys = self.keys.load();
        let all = [Some(&keys.now), keys.before.as_ref()];
        all.into_iter().flatten().map(|it| it.told()).collect()
    }

    fn seal(&self, now: u64, session: &[u8]) -> Option<Vec<u8>> {
        if self.keys.load().now.is_old(now) {
            // Of workers that come at once the last one finds that it is done.
            self.keys
                .rcu(|keys| keys.next(now).map_or_else(|| Arc::clone(keys), Arc::new));
        }
        self.keys.load().now.seal(session)
    }

    fn open(&self, now: u64, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, sealed) = ticket.split_at_checked(NAME)?;
        let keys = self.keys.load();
        let mut all = [Some(&keys.now), keys.before.as_ref()]
            .into_iter()
            .flatten();
        let sealer = all.find(|sealer| sealer.name() == name && sealer.opens(now))?;
        sealer.open(sealed)
    }
}

impl Keys {
    /// Those that come after them, if it is time.
    fn next(&self, now: u64) -> Option<Self> {
        if !self.now.is_old(now) {
            return None;
        }
        Some(Self {
            // Without random bytes the old one goes on.
            now: Arc::new(Sealer::random(now)?),
            before: Some(Arc::clone(&self.now)),
        })
    }
}

impl Sealer {
    fn random(now: u64) -> Option<Self> {
        let mut bytes = [0; NAME + SECRET];
        aws_lc_rs::rand::fill(&mut bytes).ok()?;
        Self::made_of(now, bytes)
    }

    fn made_of(since: u64, bytes: [u8; NAME + SECRET]) -> Option<Self> {
        let key = RandomizedNonceKey::new(&AES_256_GCM, &bytes[NAME..]).ok()?;
        Some(Self { since, bytes, key })
    }

    fn of(told: &TicketKey) -> Option<Self> {
        let bytes = STANDARD.decode(&told.bytes).ok()?;
        Self::made_of(told.since, bytes.try_into().ok()?)
    }

    fn told(&self) -> TicketKey {
        TicketKey {
            since: self.since,
            bytes: STANDARD.encode(self.bytes),
        }
    }

    fn name(&self) -> &[u8] {
        &self.bytes[..NAME]
    }

    /// Whether it should seal no more. A clock that was set back makes none older.
    fn is_old(&self, now: u64) -> bool {
        now.saturating_sub(self.since) >= ROLL
    }

    fn opens(&self, now: u64) -> bool {
        now.saturating_sub(self.since) < 2 * ROLL
    }

    fn seal(&self, session: &[u8]) -> Option<Vec<u8>> {
        let mut sealed = session.to_vec();
        let aad = Aad::from(self.name());
        let nonce = self.key.seal_in_place_append_tag(aad, &mut sealed).ok()?;
        Some([self.name(), nonce.as_ref(), &sealed].concat())
    }

    fn open(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut session = sealed.to_vec();
        let opened = self
            .key
            .open_in_place(nonce, Aad::from(self.name()), &mut session);
        opened.ok().map(|opened| opened.to_vec())
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        2 * ROLL as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(unix_seconds(), plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.open(unix_seconds(), cipher)
    }
}

/// The keys stay out of it.
impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets").finish_non_exhaustive()
    }
}

/// The key stays out of it.
impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKey")
            .field("since", &self.since)
            .finish_non_exhaustive()
    }
}

/// Seconds for which a key seals: six hours.
const ROLL: u64 = 6 * 60 * 60;

/// Bytes of a key's name, and of the key.
const NAME: usize = 16;
const SECRET: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: u64 = 1_800_000_000;

    #[test]
    fn a_key_seals_for_a_time_and_opens_for_twice_that() {
        let tickets = Tickets::at(NOON, &[]).unwrap();
        let first = tickets.seal(NOON, b"a session").unwrap();
        assert!(!first.windows(9).any(|piece| piece == b"a session"));
        let again = tickets.seal(NOON, b"a session").unwrap();
        assert_ne!(first, again, "one nonce twice");
        assert_eq!(tickets.keys().len(), 1);
        let later = NOON + ROLL;
        let second = tickets.seal(later, b"another").unwrap();
        assert_eq!(tickets.keys().len(), 2);
        assert_eq!(tickets.open(later, &first).unwrap(), b"a session");
        assert_eq!(tickets.open(later, &second).unwrap(), b"another");
        assert_eq!(tickets.open(NOON + 2 * ROLL, &first), None);
        assert_eq!(tickets.open(NOON + 2 * ROLL, &second).unwrap(), b"another");
        // A clock that is set back makes no key old.
        assert_eq!(tickets.open(NOON - ROLL, &first).unwrap(), b"a session");
    }

    #[test]
    fn what_is_no_ticket_or_was_changed_opens_to_nothing() {
        let tickets = Tickets::at(NOON, &[]).unwrap();
        let ticket = tickets.seal(NOON, b"a session").unwrap();
        for at in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at] ^= 1;
            assert_eq!(tickets.open(NOON, &changed), None, "byte {at}");
            assert_eq!(tickets.open(NOON, &ticket[..at]), None, "cut at {at}");
        }
        let other = Tickets::at(NOON, &[]).unwrap();
        assert_eq!(other.open(NOON, &ticket), None);
    }

    #[test]
    fn the_next_process_opens_what_this_one_has_sealed() {
        let tickets = Tickets::at(NOON, &[]).unwrap();
        let first = tickets.seal(NOON, b"first").unwrap();
        let second = tickets.seal(NOON + ROLL, b"second").unwrap();
        let text = serde_json::to_string(&tickets.keys()).unwrap();
        let keys: Vec<TicketKey> = serde_json::from_str(&text).unwrap();
        assert!(!format!("{keys:?}").contains(&keys[0].bytes[..8]));
        let next = Tickets::at(NOON + ROLL, &keys).unwrap();
        assert_eq!(next.open(NOON + ROLL, &first).unwrap(), b"first");
        assert_eq!(next.open(NOON + ROLL, &second).unwrap(), b"second");
        // What is no key, or an old one, is passed over.
        let strange = TicketKey {
            since: NOON,
            bytes: "AAAA".to_owned(),
        };
        let next = Tickets::at(NOON + 2 * ROLL, &[strange, keys[1].clone()]).unwrap();
        assert_eq!(next.keys().len(), 1);
        assert_eq!(next.open(NOON + 2 * ROLL, &second), None);
    }
}
