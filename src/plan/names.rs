//! Backends by name: what is asked, what was found, and how backends are made of it.
//!
//! A pool has entries with an address, which are backends as they stand, and entries with a name, which are as many
//! backends as the name has addresses. [`expand`] joins both, and is the only place where addresses become backends: when
//! the configuration is loaded, and whenever a name answers something else.
//!
//! *Identity.* A backend by name is known by its address: `ADDRESS`, or `ID@ADDRESS` if the entry has an id. So hash and
//! cookie find the same backend however many others come and go, after a restart and in every instance. That an id alone
//! would stand for whoever has the name at the moment was rejected: a second address would have to change the first one's.

use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::ServerName;

use super::pool::BackendPlan;
use crate::backend::Address;

/// How names are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// Whom to ask; if there is none, whom `/etc/resolv.conf` names.
    pub servers: Vec<SocketAddr>,
    /// How long one lookup may take, with all that it is made of.
    pub timeout: Duration,
    /// An answer is good for at least so long. Not longer than `max_ttl`.
    pub min_ttl: Duration,
    /// And at most for so long.
    pub max_ttl: Duration,
    /// Addresses of one name that become backends.
    pub max_addresses: usize,
    /// Whether a pool must have an address when the configuration is loaded.
    pub required: bool,
}

impl Default for Dns {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            // A server that has to ask others itself takes a second at times; what takes longer does not come any more.
            timeout: Duration::from_secs(2),
            // TTL 0 means that nobody should keep the answer: a question a second is as good, and no load for anybody.
            min_ttl: Duration::from_secs(1),
            // A TTL of a day is meant for mail servers: who moves a backend does not wait for it.
            max_ttl: Duration::from_secs(300),
            // More than anybody has behind one name, and a slip of a name server is no reason to open thousands of
            // connections.
            max_addresses: 256,
            // Whoever starts with a name that means nothing has made a slip; it should not cost the pool that serves.
            required: true,
        }
    }
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Question {
    /// The addresses of a host (A, AAAA), all of this port.
    Host {
        /// Its name, in lower case.
        name: Arc<str>,
        /// The port.
        port: u16,
    },
    /// The hosts and ports of a service (SRV, RFC 2782), in lower case.
    Service(Arc<str>),
}

/// One address that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it is.
    pub address: SocketAddr,
    /// Its share, if the record says one.
    pub weight: Option<u32>,
    /// Whether the record wants others to be asked first.
    pub backup: bool,
}

/// An entry of a pool that is a name.
#[derive(Clone, Debug, PartialEq)]
pub struct NamePlan {
    /// What is asked.
    pub question: Question,
    /// How many entries with an address stand before it.
    pub at: usize,
    /// The id that was given.
    pub id: Option<Arc<str>>,
    /// What the certificates of its backends have to be good for; absent without TLS.
    pub server_name: Option<ServerName<'static>>,
    /// The share of each of its backends, where the record says none.
    pub weight: u32,
    /// Requests in flight at each of its backends; 0 for as many as come.
    pub max_in_flight: u32,
    /// Whether its backends are asked only when no other is left.
    pub backup: bool,
    /// The last good answer, by address, each once; none if there never was one.
    pub found: Arc<[Found]>,
}

/// As the configuration writes it: `shop.internal:80`, `srv:_http._tcp.shop.internal`.
impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host { name, port } => write!(f, "{name}:{port}"),
            Self::Service(name) => write!(f, "srv:{name}"),
        }
    }
}

impl Found {
    /// Whether it can be connected to at all: a name that leads to no one machine leads nowhere.
    #[must_use]
    pub fn is_somewhere(&self) -> bool {
        let ip = self.address.ip();
        let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
        self.address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !broadcast
    }
}

impl NamePlan {
    fn backend(&self, found: &Found) -> BackendPlan {
        let address = found.address;
        let id = self.id.as_ref();
        BackendPlan {
            address: Address::Tcp(address),
            id: id
                .map_or_else(|| address.to_string(), |id| format!("{id}@{address}"))
                .into(),
            name: Some(self.question.to_string().into()),
            server_name: self.server_name.clone(),
            weight: found.weight.unwrap_or(self.weight),
            max_in_flight: self.max_in_flight,
            backup: self.backup || found.backup,
        }
    }
}

/// The backends of a pool: those with an address of their own among `backends`, and those that `names` have found, in
/// the order of the entries. An address stands once: one of its own goes before one by name, an earlier name before a later
/// one. So does an id.
#[must_use]
pub fn expand(backends: &[BackendPlan], names: &[NamePlan]) -> Vec<BackendPlan> {
    let own = || backends.iter().filter(|backend| backend.name.is_none());
    let mut addresses: HashSet<Address> = own().map(|backend| backend.address.clone()).collect();
    let mut ids: HashSet<Arc<str>> = own().map(|backend| Arc::clone(&backend.id)).collect();
    let mut own = own().cloned();
    let mut all = Vec::new();
    let mut taken = 0;
    for name in names {
        all.extend(own.by_ref().take(name.at.saturating_sub(taken)));
        taken = taken.max(name.at);
        for found in name.found.iter() {
            let mut backend = name.backend(found);
            if !addresses.insert(backend.address.clone()) {
                continue;
            }
            if !ids.insert(Arc::clone(&backend.id)) {
                // Somebody gave this id to another backend: a strange one, but his.
                backend.id = format!("{}#{}", name.question, found.address).into();
                ids.insert(Arc::clone(&backend.id));
            }
            all.push(backend);
        }
    }
    all.extend(own);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(port: u16, id: &str) -> BackendPlan {
        BackendPlan {
            address: Address::Tcp(([127, 0, 0, 1], port).into()),
            id: id.into(),
            name: None,
            server_name: None,
            weight: 1,
            max_in_flight: 0,
            backup: false,
        }
    }

    fn name(name: &str, at: usize, id: Option<&str>, ports: &[u16]) -> NamePlan {
        let found = ports.iter().map(|port| Found {
            address: ([127, 0, 0, 1], *port).into(),
            weight: None,
            backup: false,
        });
        NamePlan {
            question: Question::Service(name.into()),
            at,
            id: id.map(Arc::from),
            server_name: None,
            weight: 2,
            max_in_flight: 3,
            backup: false,
            found: found.collect(),
        }
    }

    fn ids(backends: &[BackendPlan]) -> Vec<&str> {
        backends.iter().map(|backend| &*backend.id).collect()
    }

    #[test]
    fn names_stand_where_their_entries_do_and_an_address_stands_once() {
        let fixed = [own(1, "a"), own(2, "b"), own(3, "c")];
        let names = [
            name("one", 1, None, &[4, 2]),
            name("two", 1, Some("x"), &[4, 5]),
            name("none", 3, None, &[]),
        ];
        let all = expand(&fixed, &names);
        assert_eq!(ids(&all), ["a", "127.0.0.1:4", "x@127.0.0.1:5", "b", "c"]);
        assert_eq!((all[1].weight, all[1].max_in_flight), (2, 3));
        assert_eq!(all[1].name.as_deref(), Some("srv:one"));
        // What was made of names before is made anew.
        assert_eq!(expand(&all, &names), all);
    }

    #[test]
    fn an_id_that_somebody_else_has_is_left_to_him() {
        let all = expand(&[own(1, "127.0.0.1:7")], &[name("one", 1, None, &[7])]);
        assert_eq!(ids(&all), ["127.0.0.1:7", "srv:one#127.0.0.1:7"]);
    }

    #[test]
    fn what_leads_nowhere_is_known() {
        let is_somewhere = |text: &str| {
            let address = text.parse().unwrap();
            Found {
                address,
                weight: None,
                backup: false,
            }
            .is_somewhere()
        };
        for text in ["127.0.0.1:80", "[::1]:80", "10.0.0.1:1"] {
            assert!(is_somewhere(text), "{text}");
        }
        for text in [
            "0.0.0.0:80",
            "[::]:80",
            "224.0.0.1:80",
            "[ff02::1]:80",
            "255.255.255.255:80",
            "10.0.0.1:0",
        ] {
            assert!(!is_somewhere(text), "{text}");
        }
    }
}
