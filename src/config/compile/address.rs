//! Addresses, as listeners and backends write them.

use std::net::{Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::backend::Address;
use crate::config::outside::question;
use crate::plan::listener::ListenAddress;
use crate::plan::names::Question;

/// What stands as the address of a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BackendAddress {
    /// `name:port` or `srv:name`, whose addresses come and go.
    Name(Question),
    /// An address.
    Known(Address),
}

/// Why a text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AddressError {
    #[error("the address is empty")]
    Empty,
    #[error("the address is not one that can be connected to")]
    Nowhere,
    #[error("the address has a scheme or a path")]
    Url,
    #[error("the address has no port")]
    NoPort,
    #[error("the port is not a number from 1 to 65535")]
    Port,
    #[error("this is not the name of a service")]
    Service,
    #[error("the path of the socket is empty")]
    NoSocket,
    #[error(
        "the path of the socket is longer than {SOCKET_PATH_MOST} bytes, which no system takes"
    )]
    SocketTooLong,
    #[error("this is no address")]
    Other,
}

impl AddressError {
    /// What to write instead.
    pub(super) const fn help(self, example: Example) -> &'static str {
        match (self, example) {
            (Self::Nowhere, _) => {
                "0.0.0.0 and [::] are for listening: name the machine, such as 127.0.0.1"
            }
            (Self::Url, _) => "write host and port only, without `http://` and without a path",
            (Self::NoPort | Self::Port, Example::Backend) => {
                "add the port, such as \"127.0.0.1:8080\""
            }
            (Self::NoPort | Self::Port, Example::Listener) => {
                "add the port, such as \"0.0.0.0:8080\""
            }
            (Self::Service, _) => {
                "such as \"srv:_http._tcp.shop.internal\", without a port: it is in the record"
            }
            (Self::NoSocket | Self::SocketTooLong, _) => "such as \"unix:/run/shop.sock\"",
            (Self::Empty | Self::Other, Example::Backend) => {
                "an address is \"127.0.0.1:8080\", \"[::1]:8080\", \"name:8080\", \"srv:name\" or \"unix:/path\""
            }
            (Self::Empty | Self::Other, Example::Listener) => {
                "an address is \"127.0.0.1:8080\", \"[::1]:8080\" or \"unix:/path\"; 0.0.0.0 and [::] stand for all of the machine"
            }
        }
    }
}

/// Whose address it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Example {
    Backend,
    Listener,
}

/// Reads where a listener listens; relative sockets start at `folder`.
pub(super) fn listen(text: &str, folder: &Path) -> Result<ListenAddress, AddressError> {
    match text.strip_prefix("unix:") {
        Some(path) => socket(path, folder).map(ListenAddress::Unix),
        None => text
            .parse()
            .map(ListenAddress::Tcp)
            .map_err(|_| diagnose(text)),
    }
}

/// Reads where a backend is; relative sockets start at `folder`.
pub(super) fn backend(text: &str, folder: &Path) -> Result<BackendAddress, AddressError> {
    if let Some(path) = text.strip_prefix("unix:") {
        return socket(path, folder)
            .map(|path| BackendAddress::Known(Address::Unix(Arc::from(path))));
    }
    if let Some(question) = question(text) {
        return Ok(BackendAddress::Name(question));
    }
    if text.starts_with("srv:") {
        return Err(AddressError::Service);
    }
    let address: SocketAddr = text.parse().map_err(|_| diagnose(text))?;
    match (address.ip().is_unspecified(), address.port()) {
        (true, _) => Err(AddressError::Nowhere),
        (false, 0) => Err(AddressError::Port),
        (false, _) => Ok(BackendAddress::Known(Address::Tcp(address))),
    }
}

fn socket(path: &str, folder: &Path) -> Result<PathBuf, AddressError> {
    if path.is_empty() {
        return Err(AddressError::NoSocket);
    }
    let path = folder.join(path);
    if path.as_os_str().len() > SOCKET_PATH_MOST {
        return Err(AddressError::SocketTooLong);
    }
    Ok(path)
}

/// Why a text that is no address is none.
fn diagnose(text: &str) -> AddressError {
    if text.is_empty() {
        return AddressError::Empty;
    }
    if text.contains('/') {
        return AddressError::Url;
    }
    let is_bare_ipv6 = text.trim_matches(['[', ']']).parse::<Ipv6Addr>().is_ok();
    match text.rsplit_once(':') {
        None => AddressError::NoPort,
        Some(_) if is_bare_ipv6 => AddressError::NoPort,
        Some((_, port)) if !port.parse::<u16>().is_ok_and(|port| port != 0) => AddressError::Port,
        Some(_) => AddressError::Other,
    }
}

/// What `sockaddr_un` holds on Linux, without the zero at its end.
const SOCKET_PATH_MOST: usize = 107;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends() {
        let folder = Path::new("conf");
        let known = |text: &str| {
            backend(text, folder).map(|address| match address {
                BackendAddress::Known(address) => address.to_string(),
                BackendAddress::Name(question) => format!("{question:?}"),
            })
        };
        assert_eq!(known("127.0.0.1:80").as_deref(), Ok("127.0.0.1:80"));
        assert_eq!(known("[::1]:80").as_deref(), Ok("[::1]:80"));
        assert_eq!(
            known("Shop.internal:80").as_deref(),
            Ok("Host { name: \"shop.internal\", port: 80 }")
        );
        assert_eq!(
            known("srv:_http._tcp.shop").as_deref(),
            Ok("Service(\"_http._tcp.shop\")")
        );
        assert_eq!(known("unix:/run/a.sock").as_deref(), Ok("unix:/run/a.sock"));
        assert_eq!(known("unix:a.sock").as_deref(), Ok("unix:conf/a.sock"));
        for (text, error) in [
            ("", AddressError::Empty),
            ("http://a:80", AddressError::Url),
            ("127.0.0.1", AddressError::NoPort),
            ("::1", AddressError::NoPort),
            ("[::1]", AddressError::NoPort),
            ("shop", AddressError::NoPort),
            ("shop:", AddressError::Port),
            ("shop:0", AddressError::Port),
            ("127.0.0.1:0", AddressError::Port),
            ("127.0.0.1:70000", AddressError::Port),
            ("127.0.0.256:80", AddressError::Other),
            ("0.0.0.0:80", AddressError::Nowhere),
            ("[::]:80", AddressError::Nowhere),
            ("unix:", AddressError::NoSocket),
            ("srv:", AddressError::Service),
            ("srv:_http._tcp.shop:80", AddressError::Service),
        ] {
            assert_eq!(backend(text, folder), Err(error), "{text}");
        }
    }

    #[test]
    fn listeners() {
        let folder = Path::new("");
        assert_eq!(
            listen("0.0.0.0:0", folder).unwrap().to_string(),
            "0.0.0.0:0"
        );
        assert_eq!(
            listen("unix:/a", folder),
            Ok(ListenAddress::Unix(PathBuf::from("/a")))
        );
        assert_eq!(listen("localhost:80", folder), Err(AddressError::Other));
        assert_eq!(listen("8080", folder), Err(AddressError::NoPort));
        assert_eq!(
            listen(&format!("unix:/{}", "a".repeat(107)), folder),
            Err(AddressError::SocketTooLong)
        );
    }
}
