//! Listeners: an address on which clients connect, with its limits and deadlines.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::tls::Tls;

use super::fields::FieldRules;
use super::pages::ErrorPages;
use crate::route::PathRules;

/// An address on which clients connect.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// The name in the configuration; a label in metrics and log.
    pub name: Arc<str>,
    /// Where it listens.
    pub address: ListenAddress,
    /// TLS, if the listener has it.
    pub tls: Option<Tls>,
    /// Peers whose `X-Forwarded-*` and PROXY headers are believed; nobody by default.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether HTTP/2 is spoken with those who ask for it.
    pub http2: bool,
    /// Whether a client that ends its side of an HTTP/1 connection gives up the request under way.
    pub abort_on_close: bool,
    /// Whether a PROXY header tells who the client is.
    pub proxy_protocol: ProxyProtocol,
    /// How paths are seen when they are matched, and what is forwarded.
    pub paths: PathRules,
    /// Deadlines towards clients.
    pub timeouts: ListenerTimeouts,
    /// Limits towards clients.
    pub limits: ListenerLimits,
    /// Fields of all responses that go out by it.
    pub response_headers: FieldRules,
    /// Pages for replies of our own that go out by it.
    pub error_pages: ErrorPages,
}

impl Listener {
    /// Whether the sockets of `other`, of this generation or an earlier one, are its own. The address says so, and a
    /// listener that is renamed keeps its connections; but the ports that the kernel chooses are all written 0, so of
    /// these the name has to be the same too.
    #[must_use]
    pub fn shares_sockets(&self, other: &Self) -> bool {
        let told_apart = match &self.address {
            ListenAddress::Tcp(address) => address.port() != 0,
            ListenAddress::Unix(_) => true,
        };
        self.address == other.address && (told_apart || self.name == other.name)
    }

    /// A name for its sockets: the same for all listeners that share them, and for no other.
    #[must_use]
    pub fn socket_name(&self) -> String {
        match &self.address {
            ListenAddress::Tcp(address) if address.port() == 0 => {
                format!("{}@{address}", self.name)
            }
            address => address.to_string(),
        }
    }
}

/// An address that can be listened on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// IPv4 or IPv6; port 0 lets the kernel choose.
    Tcp(SocketAddr),
    /// A Unix stream socket at this path.
    Unix(PathBuf),
}

/// Whether connections begin with a PROXY header, which only trusted peers may send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// None does.
    #[default]
    Off,
    /// Those of trusted peers may.
    Optional,
    /// Each has to.
    Required,
}

impl ProxyProtocol {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Off, Self::Optional, Self::Required];

    /// The word in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Optional => "optional",
            Self::Required => "required",
        }
    }
}

/// Deadlines towards clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerTimeouts {
    /// Until a head is complete; also for the TLS handshake and the PROXY header.
    pub header: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// How long a body may keep us waiting, either way; see [`ListenerLimits::body_rate`].
    pub body: Duration,
}

/// Limits towards clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerLimits {
    /// Connections at once; 0 for what the process's limit of open files leaves.
    pub connections: usize,
    /// Connections of one client at once, by its address (IPv6: by its /64); 0 for no limit.
    pub connections_per_client: usize,
    /// Requests of one connection; 0 for no limit.
    pub requests: u32,
    /// Bytes of a request's head, first line included.
    pub header_bytes: usize,
    /// Fields of a request's head.
    pub headers: usize,
    /// Bytes of a request's body; 0 for no limit.
    pub body_bytes: u64,
    /// Bytes a second that a body has to move at least while the client keeps us waiting; 0 for any.
    pub body_rate: u64,
}

impl ListenAddress {
    /// Whether other machines can come by it, as far as an address can say.
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        matches!(self, Self::Tcp(address) if !address.ip().is_loopback())
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", Path::display(path)),
        }
    }
}
