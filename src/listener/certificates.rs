//! Which certificate a client gets: by the name it asks for and by what it can verify.
//!
//! Names are those of the certificates' SANs, never the CN. The exact name goes before the wildcard, which
//! stands for one label. Where several certificates have a name, that one is shown which the client can
//! verify, ECDSA and its like before RSA, for they sign faster. Who asks for a name that nobody has, or for
//! none, gets the first certificate.
//!
//! The choice ([`Names`]) is pure; [`Certificates`] is what rustls asks. Its content is replaced when
//! certificates are renewed, while the settings around it stay.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use ahash::RandomState;
use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{SignatureAlgorithm, SignatureScheme};
use smallvec::SmallVec;

use crate::plan::tls::Certificate;

/// Certificates by their indexes.
type Group = SmallVec<[usize; 2]>;

/// The names of a listener's certificates.
#[derive(Debug, Default)]
pub struct Names {
    exact: HashMap<Box<str>, Group, RandomState>,
    /// By what follows the star and its dot.
    wildcards: HashMap<Box<str>, Group, RandomState>,
    /// The first, and those that stand in for it with other keys.
    default: Group,
}

impl Names {
    /// The names of certificates, each with its own, in lower case.
    pub fn new(certificates: &[&[Box<str>]]) -> Self {
        let mut all = Self::default();
        for (index, names) in certificates.iter().enumerate() {
            for name in *names {
                let (table, key) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut all.wildcards, parent),
                    None => (&mut all.exact, &**name),
                };
                let group = table.entry(key.into()).or_default();
                if !group.contains(&index) {
                    group.push(index);
                }
            }
            let stands_in = certificates[0] == *names && !names.is_empty();
            if index == 0 || stands_in {
                all.default.push(index);
            }
        }
        all
    }

    /// The certificates that have the name itself, and those that have a wildcard for it.
    fn fitting(&self, name: &str) -> [&[usize]; 2] {
        let parent = name.split_once('.').filter(|(label, _)| !label.is_empty());
        let exact = self.exact.get(name);
        let wild = parent.and_then(|(_, parent)| self.wildcards.get(parent));
        [exact, wild].map(|group| group.map_or(&[][..], |group| group))
    }

    /// The certificate for who asks for `name`. `rank` says how welcome each is to the client: the lower the
    /// better, `None` if it is of no use. If none is of use the first that fits is given, for the handshake
    /// to fail with a reason.
    pub fn choose(&self, name: Option<&str>, rank: impl Fn(usize) -> Option<u8>) -> Option<usize> {
        let name = name.map(|name| name.strip_suffix('.').unwrap_or(name));
        let mut groups = name.map_or([&[][..]; 2], |name| self.fitting(name));
        if groups.iter().all(|group| group.is_empty()) {
            groups[0] = &self.default;
        }
        let best = |group: &&[usize]| {
            let useful = group
                .iter()
                .filter_map(|&index| Some((rank(index)?, index)));
            useful.min().map(|(_, index)| index)
        };
        let chosen = groups.iter().find_map(best);
        chosen.or_else(|| groups.concat().first().copied())
    }

    /// Whether a request for `host` belongs on another connection than one that asked for `name`: another
    /// certificate has this host, and none of those that the connection may have got.
    pub fn is_misdirected(&self, name: &str, host: &str) -> bool {
        if name == host {
            return false;
        }
        let wanted = self.fitting(host);
        if wanted.iter().all(|group| group.is_empty()) {
            return false;
        }
        let got = self.fitting(name);
        let got = got.into_iter().find(|group| !group.is_empty());
        let got = got.unwrap_or(&self.default);
        let has = |index: &usize| got.contains(index);
        !wanted.iter().any(|group| group.iter().any(has))
    }
}

/// What rustls asks for the certificate of each handshake.
pub struct Certificates {
    current: ArcSwap<Set>,
}

struct Set {
    keys: Vec<Arc<CertifiedKey>>,
    names: Arc<Names>,
}

impl Certificates {
    /// Certificates to choose from, the first being the default.
    pub fn new(certificates: &[Certificate]) -> Self {
        Self {
            current: ArcSwap::from_pointee(Set::new(certificates)),
        }
    }

    /// Others from now on; sessions that stand are not touched.
    pub fn replace(&self, certificates: &[Certificate]) {
        self.current.store(Arc::new(Set::new(certificates)));
    }

    /// The names, if there is more than one certificate to choose from.
    pub fn names(&self) -> Option<Arc<Names>> {
        let set = self.current.load();
        (set.keys.len() > 1).then(|| Arc::clone(&set.names))
    }
}

impl Set {
    fn new(certificates: &[Certificate]) -> Self {
        let names: Vec<&[Box<str>]> = certificates.iter().map(|one| &*one.names).collect();
        Self {
            names: Arc::new(Names::new(&names)),
            keys: certificates
                .iter()
                .map(|one| Arc::clone(&one.certified))
                .collect(),
        }
    }

    fn choose(&self, name: Option<&str>, offered: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let rank = |index: usize| {
            let key = &self.keys.get(index)?.key;
            key.choose_scheme(offered)?;
            Some(u8::from(key.algorithm() == SignatureAlgorithm::RSA))
        };
        let index = self.names.choose(name, rank)?;
        self.keys.get(index).cloned()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let set = self.current.load();
        set.choose(hello.server_name(), hello.signature_schemes())
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates")
            .field("names", &self.current.load().names)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(certificates: &[&[&str]]) -> Names {
        let owned: Vec<Vec<Box<str>>> = certificates
            .iter()
            .map(|names| names.iter().map(|&name| name.into()).collect())
            .collect();
        Names::new(&owned.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }

    #[test]
    fn exact_before_wildcard_before_the_first() {
        let names = names(&[
            &["default.example"],
            &["*.shop.example"],
            &["a.shop.example", "shop.example"],
        ]);
        for (asked, given) in [
            (Some("a.shop.example"), 2),
            (Some("a.shop.example."), 2),
            (Some("b.shop.example"), 1),
            (Some("shop.example"), 2),
            (Some("x.b.shop.example"), 0),
            (Some(".shop.example"), 0),
            (Some("other.example"), 0),
            (Some("*.shop.example"), 1),
            (None, 0),
        ] {
            assert_eq!(names.choose(asked, |_| Some(0)), Some(given), "{asked:?}");
        }
    }

    #[test]
    fn of_one_name_the_welcome_one_is_taken() {
        let names = names(&[&["a.example"], &["a.example"], &["*.example"]]);
        let asked = Some("a.example");
        assert_eq!(
            names.choose(asked, |index| Some(1 - index as u8 % 2)),
            Some(1)
        );
        assert_eq!(
            names.choose(asked, |index| (index == 0).then_some(1)),
            Some(0)
        );
        assert_eq!(
            names.choose(asked, |index| (index == 2).then_some(1)),
            Some(2)
        );
        assert_eq!(names.choose(asked, |_| None), Some(0));
        // The second stands in for the default too.
        assert_eq!(
            names.choose(None, |index| (index == 1).then_some(0)),
            Some(1)
        );
        assert_eq!(
            names.choose(None, |index| (index == 2).then_some(0)),
            Some(0)
        );
    }

    #[test]
    fn misdirected_is_what_another_certificate_has() {
        let names = names(&[
            &["a.example", "both.example"],
            &["b.example", "both.example"],
            &["*.wild.example"],
        ]);
        for (name, host, verdict) in [
            ("a.example", "a.example", false),
            ("a.example", "b.example", true),
            ("a.example", "both.example", false),
            ("both.example", "a.example", false),
            ("both.example", "b.example", false),
            ("a.example", "unknown.example", false),
            ("a.example", "192.0.2.1", false),
            ("a.example", "", false),
            ("a.example", "x.wild.example", true),
            ("x.wild.example", "y.wild.example", false),
            ("x.wild.example", "x.y.wild.example", false),
            // What nobody has was answered with the first.
            ("unknown.example", "a.example", false),
            ("unknown.example", "b.example", true),
        ] {
            assert_eq!(names.is_misdirected(name, host), verdict, "{name} {host}");
        }
    }

    /// The rules once more, one certificate after the other.
    fn fits(certificate: &[String], asked: &str) -> [bool; 2] {
        let exact = certificate.iter().any(|name| name == asked);
        let wild = certificate.iter().any(|name| {
            let parent = name.strip_prefix("*.");
            parent.is_some_and(|parent| {
                asked
                    .strip_suffix(parent)
                    .and_then(|label| label.strip_suffix('.'))
                    .is_some_and(|label| !label.is_empty() && !label.contains('.'))
            })
        });
        [exact, wild]
    }

    fn expected(certificates: &[Vec<String>], asked: &str, ranks: &[Option<u8>]) -> usize {
        let mut levels: Vec<Vec<usize>> = [0, 1]
            .map(|level| {
                (0..certificates.len())
                    .filter(|&index| fits(&certificates[index], asked)[level])
                    .collect()
            })
            .into();
        if levels.iter().all(Vec::is_empty) {
            let like_first = |&index: &usize| {
                index == 0
                    || (!certificates[0].is_empty() && certificates[index] == certificates[0])
            };
            levels[0] = (0..certificates.len()).filter(like_first).collect();
        }
        for level in &levels {
            let useful = level.iter().filter(|&&index| ranks[index].is_some());
            if let Some(best) = useful.min_by_key(|&&index| ranks[index]) {
                return *best;
            }
        }
        levels.concat()[0]
    }

    fn name() -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(vec!["a", "b", "*"]), 1..4)
            .prop_map(|labels| labels.join("."))
    }

    proptest! {
        #[test]
        fn the_choice_is_that_of_the_rules(
            certificates in prop::collection::vec((prop::collection::vec(name(), 0..3), prop::option::of(0_u8..2)), 1..6),
            asked in prop::collection::vec(prop::sample::select(vec!["a", "b"]), 1..4),
            host in prop::collection::vec(prop::sample::select(vec!["a", "b"]), 1..4),
        ) {
            let (asked, host) = (asked.join("."), host.join("."));
            let (certificates, ranks): (Vec<_>, Vec<_>) = certificates.into_iter().unzip();
            let texts: Vec<Vec<&str>> = certificates.iter().map(|all| all.iter().map(String::as_str).collect()).collect();
            let names = names(&texts.iter().map(Vec::as_slice).collect::<Vec<_>>());
            prop_assert_eq!(
                names.choose(Some(&asked), |index| ranks[index]),
                Some(expected(&certificates, &asked, &ranks))
            );
            // Nobody is sent away from a connection whose certificate has the host.
            let got = expected(&certificates, &asked, &vec![Some(0); certificates.len()]);
            let covers = |index: usize| fits(&certificates[index], &host).contains(&true);
            if covers(got) || !(0..certificates.len()).any(covers) {
                prop_assert!(!names.is_misdirected(&asked, &host));
            }
            if names.is_misdirected(&asked, &host) {
                prop_assert!(!covers(got));
            }
        }
    }
}
