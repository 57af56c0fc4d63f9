//! What a backend is called: its address, its key, and the tag by which a sticky cookie names it.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

/// Where a backend is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// IPv4 or IPv6 with a port.
    Tcp(SocketAddr),
    /// A Unix stream socket at this path.
    Unix(Arc<Path>),
}

/// The identity of a backend: one address in one pool. Weight is not part of it, so that a change of
/// weight keeps health and what is in flight.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendKey {
    /// The name of the pool.
    pub pool: Arc<str>,
    /// The address.
    pub address: Address,
}

/// What a sticky cookie names: the first 64 bits of an HMAC over pool and id, so it is the same after a
/// restart and on every instance, and tells an outsider nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendTag(pub u64);

/// As the configuration writes it: `127.0.0.1:9001`, `[::1]:9001`, `unix:/run/shop.sock`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_as_the_configuration_writes_them() {
        let tcp = |text: &str| Address::Tcp(text.parse().unwrap()).to_string();
        assert_eq!(tcp("127.0.0.1:9001"), "127.0.0.1:9001");
        assert_eq!(tcp("[::1]:1"), "[::1]:1");
        let unix = Address::Unix(Path::new("/run/shop.sock").into());
        assert_eq!(
            format!("{unix} {unix:?}"),
            "unix:/run/shop.sock unix:/run/shop.sock"
        );
    }
}
