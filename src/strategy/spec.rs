//! What the operator may ask for: a strategy by name, and stickiness around it.
//!
//! These are settings: inert, comparable, checked by `config` and carried by the plan. The running things
//! are made from them by [`super::build`] and [`super::Sticky`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::{constant_time, hmac};

/// A strategy, as the configuration names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spec {
    /// One client, one member.
    IpHash {
        /// Leading bits of an IPv4 address that count, at most 32.
        ipv4_prefix: u8,
        /// Leading bits of an IPv6 address that count, at most 128.
        ipv6_prefix: u8,
    },
    /// The least loaded of all.
    LeastConnections,
    /// By lot, by weight.
    Random,
    /// In turn, by weight where weights differ. The default of a pool.
    RoundRobin,
    /// The less loaded of two lots.
    TwoChoices,
    /// In turn by weight: round robin under the name that people look for.
    Weighted,
}

impl Spec {
    /// The names of all strategies, in the order of the documentation.
    pub const NAMES: [&'static str; 6] = [
        "round-robin",
        "random",
        "weighted",
        "ip-hash",
        "least-connections",
        "two-choices",
    ];

    /// Prefix of IPv4 addresses when none is given: each address is a client.
    pub const DEFAULT_IPV4_PREFIX: u8 = 32;

    /// Prefix of IPv6 addresses when none is given: one household goes about within a /64.
    pub const DEFAULT_IPV6_PREFIX: u8 = 64;

    /// The strategy of that name with its defaults.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "ip-hash" => Self::IpHash {
                ipv4_prefix: Self::DEFAULT_IPV4_PREFIX,
                ipv6_prefix: Self::DEFAULT_IPV6_PREFIX,
            },
            "least-connections" => Self::LeastConnections,
            "random" => Self::Random,
            "round-robin" => Self::RoundRobin,
            "two-choices" => Self::TwoChoices,
            "weighted" => Self::Weighted,
            _ => return None,
        })
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &'static str {
        match self {
            Self::IpHash { .. } => "ip-hash",
            Self::LeastConnections => "least-connections",
            Self::Random => "random",
            Self::RoundRobin => "round-robin",
            Self::TwoChoices => "two-choices",
            Self::Weighted => "weighted",
        }
    }
}

/// Stickiness of a pool. The cookie is always `Path=/; HttpOnly`, and `Secure` on TLS.
#[derive(Clone, Debug, PartialEq)]
pub struct StickySpec {
    /// The name of the cookie as written; absent: see [`StickySpec::cookie_name`].
    pub cookie: Option<Arc<str>>,
    /// Never empty. The first seals, all open: a new key is put first, the old one goes when its cookies
    /// have gone.
    pub keys: Vec<StickyKey>,
    /// The attribute `SameSite`.
    pub same_site: SameSite,
    /// A cookie not used for so long binds no more; absent: no bound.
    pub max_idle: Option<Duration>,
    /// A cookie first given so long ago binds no more; absent: no bound.
    pub max_life: Option<Duration>,
}

impl StickySpec {
    /// The name of the cookie for a client that came by TLS or not. `__Host-` makes browsers insist on
    /// `Secure`, `Path=/` and no `Domain`, so no other host can plant it; they refuse it without TLS.
    pub fn cookie_name(&self, tls: bool) -> &str {
        match (&self.cookie, tls) {
            (Some(name), _) => name,
            (None, true) => "__Host-fc",
            (None, false) => "fc",
        }
    }
}

/// The attribute `SameSite` of the sticky cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SameSite {
    /// `None` on TLS, `Lax` without. A payment provider sends the shopper back by a cross-site POST, which
    /// carries no `Lax` cookie, and a routing cookie grants nothing that `Lax` would guard.
    #[default]
    Auto,
    /// Sent along when a link from another site is followed.
    Lax,
    /// Always sent; browsers take it with `Secure` only.
    None,
    /// Never sent from another site.
    Strict,
}

impl SameSite {
    /// The word for the attribute, for a client that came by TLS or not.
    pub fn attribute(self, tls: bool) -> &'static str {
        match (self, tls) {
            (Self::Auto, true) | (Self::None, _) => "None",
            (Self::Auto, false) | (Self::Lax, _) => "Lax",
            (Self::Strict, _) => "Strict",
        }
    }
}

/// A secret that seals sticky cookies. Instances that share it understand each other's cookies.
#[derive(Clone)]
pub struct StickyKey {
    hmac: hmac::Key,
    /// HMAC of a constant: tells keys apart without keeping the secret at hand.
    fingerprint: [u8; 32],
}

/// What is wrong with a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StickyKeyError {
    /// Shorter than [`StickyKey::MIN_SECRET_BYTES`].
    #[error("the secret has {0} bytes, and at least {min} are needed", min = StickyKey::MIN_SECRET_BYTES)]
    TooShort(usize),
}

impl StickyKey {
    /// The least that a secret must have: as much as the seal that it makes.
    pub const MIN_SECRET_BYTES: usize = 16;

    /// Takes a secret, as it is: `config` has read it and cut off a final line break.
    ///
    /// # Errors
    /// If the secret is too short to be one.
    pub fn new(secret: &[u8]) -> Result<Self, StickyKeyError> {
        if secret.len() < Self::MIN_SECRET_BYTES {
            return Err(StickyKeyError::TooShort(secret.len()));
        }
        let hmac = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(hmac::sign(&hmac, b"forecourt sticky key").as_ref());
        Ok(Self { hmac, fingerprint })
    }

    /// What a cookie names the key by. Public, and tells nothing of the secret.
    pub fn id(&self) -> [u8; 4] {
        let [a, b, c, d, ..] = self.fingerprint;
        [a, b, c, d]
    }

    pub(super) fn hmac(&self) -> &hmac::Key {
        &self.hmac
    }
}

impl PartialEq for StickyKey {
    fn eq(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(&self.fingerprint, &other.fingerprint).is_ok()
    }
}

impl Eq for StickyKey {}

impl fmt::Debug for StickyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StickyKey(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_specs() {
        for name in Spec::NAMES {
            assert_eq!(Spec::from_name(name).unwrap().name(), name);
        }
        assert_eq!(Spec::from_name("round_robin"), None);
    }

    #[test]
    fn keys_are_told_apart_and_never_shown() {
        let key = StickyKey::new(b"correct horse battery").unwrap();
        assert_eq!(key, StickyKey::new(b"correct horse battery").unwrap());
        assert_ne!(key, StickyKey::new(b"correct horse batterx").unwrap());
        assert_eq!(format!("{key:?}"), "StickyKey(redacted)");
        let error = StickyKey::new(b"short").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the secret has 5 bytes, and at least 16 are needed"
        );
    }

    #[test]
    fn names_and_attributes_follow_tls() {
        let mut spec = StickySpec {
            cookie: None,
            keys: Vec::new(),
            same_site: SameSite::Auto,
            max_idle: None,
            max_life: None,
        };
        assert_eq!(
            (spec.cookie_name(true), spec.cookie_name(false)),
            ("__Host-fc", "fc")
        );
        assert_eq!(
            (
                spec.same_site.attribute(true),
                spec.same_site.attribute(false)
            ),
            ("None", "Lax")
        );
        spec.cookie = Some("shop".into());
        assert_eq!(
            (spec.cookie_name(true), spec.cookie_name(false)),
            ("shop", "shop")
        );
    }
}
