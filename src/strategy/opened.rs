//! Tickets that have been opened: a browser shows the same one with every request of a page, and a seal costs more to
//! check than the rest of the cookie to find.
//!
//! Only what opened is remembered, by all of its bytes, and for one generation: keys may change with the next. What
//! a client can do to it is to have others' tickets checked again, and for that it needs good ones of its own.

use smallvec::SmallVec;

use super::StickySpec;
use super::ticket::{self, LONGEST, Ticket, TicketError};

/// The tickets that one worker has opened of late.
#[derive(Debug, Default)]
pub struct Opened {
    generation: u64,
    /// Each at the place that its seal says, which is as good as by lot; empty until there is one.
    places: Vec<Option<Kept>>,
}

/// For whom a cookie is opened.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The generation that all else is of.
    pub generation: u64,
    /// The pool's index in it.
    pub index: usize,
    /// The pool's name.
    pub pool: &'a str,
    /// How its cookies are sealed.
    pub spec: &'a StickySpec,
    /// The cookie's name.
    pub cookie_name: &'a str,
}

#[derive(Debug)]
struct Kept {
    index: usize,
    cookie_name: SmallVec<[u8; 16]>,
    value: SmallVec<[u8; LONGEST]>,
    ticket: Ticket,
}

impl Opened {
    /// Opens a cookie's value as [`ticket::open`] does, and remembers that it opened.
    ///
    /// # Errors
    /// As [`ticket::open`].
    pub fn open(
        &mut self,
        asked: Asked<'_>,
        value: &[u8],
        now: u64,
    ) -> Result<Ticket, TicketError> {
        if self.generation != asked.generation {
            self.generation = asked.generation;
            self.places.clear();
        }
        let place = place_of(value);
        if let Some(Some(kept)) = self.places.get(place)
            && kept.index == asked.index
            && kept.value[..] == *value
            && kept.cookie_name[..] == *asked.cookie_name.as_bytes()
        {
            return ticket::in_time(asked.spec, kept.ticket, now);
        }
        let Asked {
            pool,
            spec,
            cookie_name,
            ..
        } = asked;
        let ticket = ticket::open(spec, cookie_name, pool, value, now)?;
        if self.places.is_empty() {
            self.places.resize_with(PLACES, || None);
        }
        self.places[place] = Some(Kept {
            index: asked.index,
            cookie_name: SmallVec::from_slice(cookie_name.as_bytes()),
            value: SmallVec::from_slice(value),
            ticket,
        });
        Ok(ticket)
    }
}

/// By letters of the seal, each of six bits; the last one has fewer.
fn place_of(value: &[u8]) -> usize {
    match value {
        [.., high, low, _] => (usize::from(*high) << 6 ^ usize::from(*low)) % PLACES,
        _ => 0,
    }
}

/// Some 40 KiB for a worker whose pools are sticky: as many clients as are likely to be in the midst of a page.
const PLACES: usize = 256;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{SameSite, StickyKey};
    use super::*;
    use crate::backend::BackendTag;

    fn spec(secret: &[u8]) -> StickySpec {
        StickySpec {
            cookie: None,
            keys: vec![StickyKey::new(secret).unwrap()],
            same_site: SameSite::Auto,
            max_idle: None,
            max_life: Some(Duration::from_secs(60)),
        }
    }

    fn asked(spec: &StickySpec, generation: u64) -> Asked<'_> {
        Asked {
            generation,
            index: 1,
            pool: "shop",
            spec,
            cookie_name: "fc",
        }
    }

    fn sealed(spec: &StickySpec, tag: u64) -> Vec<u8> {
        let mut value = Vec::new();
        ticket::seal(spec, "fc", "shop", BackendTag(tag), 100, &mut value);
        value
    }

    #[test]
    fn what_is_remembered_is_what_would_be_found_anew() {
        let spec = spec(b"the secret of this year");
        let mut opened = Opened::default();
        // More than there are places for, each twice in a row and all of them twice.
        for tag in (0..3 * PLACES as u64).chain(0..3 * PLACES as u64) {
            let value = sealed(&spec, tag);
            for now in [100, 161, 160] {
                let expected = ticket::open(&spec, "fc", "shop", &value, now);
                assert_eq!(opened.open(asked(&spec, 1), &value, now), expected);
            }
            let mut forged = value.clone();
            forged[5] ^= 1;
            assert!(opened.open(asked(&spec, 1), &forged, 100).is_err());
        }
        assert_eq!(opened.places.len(), PLACES);
    }

    #[test]
    fn it_is_good_for_its_cookie_its_pool_and_its_generation_only() {
        let before = spec(b"the secret of last year");
        let after = spec(b"the secret of this year");
        let mut opened = Opened::default();
        let value = sealed(&before, 7);
        assert!(opened.open(asked(&before, 1), &value, 100).is_ok());
        let elsewhere = Asked {
            index: 2,
            pool: "blog",
            ..asked(&before, 1)
        };
        assert!(opened.open(elsewhere, &value, 100).is_err());
        let other_cookie = Asked {
            cookie_name: "__Host-fc",
            ..asked(&before, 1)
        };
        assert!(opened.open(other_cookie, &value, 100).is_err());
        assert!(opened.open(asked(&after, 2), &value, 100).is_err());
        assert!(opened.open(asked(&before, 3), &value, 100).is_ok());
        for odd in [&b""[..], b"a", b"v1", &value[..40]] {
            assert!(opened.open(asked(&before, 3), odd, 100).is_err());
        }
    }
}
