//! Sessions in the memory of one backend: what is lost when a shopper is sent elsewhere.

use std::collections::{BTreeMap, HashMap};

use super::pages::PRODUCTS;

/// How many of each product are in a basket.
pub(super) type Basket = [u8; PRODUCTS.len()];

/// The name of a session, drawn by the backend and never taken from a client.
pub(super) type SessionId = u128;

/// The sessions of one backend, [`MOST_SESSIONS`] at most: the one that was not used for the longest time goes first.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    by_id: HashMap<SessionId, Session>,
    by_use: BTreeMap<u64, SessionId>,
    uses: u64,
}

#[derive(Clone, Copy, Debug)]
struct Session {
    basket: Basket,
    used: u64,
}

impl Sessions {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// The basket of a session, if the session is known here.
    pub(super) fn basket(&mut self, id: SessionId) -> Option<&mut Basket> {
        let session = self.by_id.get_mut(&id)?;
        self.by_use.remove(&session.used);
        self.uses += 1;
        session.used = self.uses;
        self.by_use.insert(session.used, id);
        Some(&mut session.basket)
    }

    /// Begins a session with an empty basket.
    pub(super) fn begin(&mut self, id: SessionId) {
        if self.by_id.len() >= MOST_SESSIONS
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.by_id.remove(&oldest);
        }
        self.uses += 1;
        let session = Session {
            basket: Basket::default(),
            used: self.uses,
        };
        if let Some(before) = self.by_id.insert(id, session) {
            self.by_use.remove(&before.used);
        }
        self.by_use.insert(session.used, id);
    }
}

/// Adds to a basket; what is beyond [`MOST_OF_ONE`] stays on the shelf.
pub(super) fn add(basket: &mut Basket, product: usize, quantity: u8) {
    basket[product] = basket[product].saturating_add(quantity).min(MOST_OF_ONE);
}

/// How many things are in a basket.
pub(super) fn items(basket: &Basket) -> u32 {
    basket.iter().copied().map(u32::from).sum()
}

/// Reads the session from a `Cookie` field.
pub(super) fn from_cookie(field: &str) -> Option<SessionId> {
    field.split(';').find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        let is_ours = name == COOKIE && value.len() == ID_DIGITS;
        is_ours.then(|| SessionId::from_str_radix(value, 16).ok())?
    })
}

/// Writes the `Set-Cookie` field of a session.
pub(super) fn to_cookie(id: SessionId) -> String {
    format!("{COOKIE}={id:032x}; Path=/; HttpOnly; SameSite=Lax")
}

/// The name of the cookie.
const COOKIE: &str = "shop-session";

/// 128 bits.
const ID_DIGITS: usize = 32;

/// A megabyte of memory at the most, whoever asks.
pub(super) const MOST_SESSIONS: usize = 4096;

/// Of one product in one basket.
pub(super) const MOST_OF_ONE: u8 = 99;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_session_that_was_not_used_for_longest_goes_first() {
        let mut sessions = Sessions::default();
        let most = MOST_SESSIONS as SessionId;
        (0..most).for_each(|id| sessions.begin(id));
        assert!(sessions.basket(0).is_some());
        sessions.begin(most);
        assert_eq!(sessions.len(), MOST_SESSIONS);
        assert!(sessions.basket(0).is_some() && sessions.basket(most).is_some());
        assert!(sessions.basket(1).is_none());
        sessions.begin(most);
        assert_eq!(sessions.len(), sessions.by_use.len());
    }

    #[test]
    fn a_basket_is_bounded() {
        let mut basket = Basket::default();
        for _ in 0..9 {
            add(&mut basket, 0, 98);
        }
        add(&mut basket, 1, 2);
        assert_eq!(items(&basket), u32::from(MOST_OF_ONE) + 2);
    }

    #[test]
    fn cookies_are_read_as_they_were_written() {
        let id = 0x00ff_u128;
        let written = to_cookie(id);
        let pair = written.split(';').next().unwrap();
        assert_eq!(from_cookie(pair), Some(id));
        assert_eq!(from_cookie(&format!("a=b; {pair}; c=d")), Some(id));
        for bad in [
            "",
            "shop-session",
            "shop-session=",
            "shop-session=ff",
            "shop-session=zz000000000000000000000000000000",
        ] {
            assert_eq!(from_cookie(bad), None, "{bad}");
        }
    }
}
