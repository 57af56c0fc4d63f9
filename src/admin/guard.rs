//! Who may steer: whoever shows the token, or has come by the Unix socket; and no web page in anybody's browser.
//!
//! A port on loopback can be reached by every program of the machine, and by every page that its users look at. A page
//! cannot leave `Origin` out, and one that has its own name resolve to 127.0.0.1 cannot but send that name as
//! `Host`: both are looked at before the token is.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::extract::connect_info::Connected;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, header};
use axum::serve::IncomingStream;
use tokio::net::{TcpListener, UnixListener};

use super::problem::Problem;
use crate::plan::AdminToken;

/// Where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// Over TCP, from this address.
    Tcp(SocketAddr),
    /// By the Unix socket, from a process of this user.
    Unix(Option<u32>),
}

/// Who may steer, and by what right, for the audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Who(Caller);

impl Connected<IncomingStream<'_, TcpListener>> for Caller {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Self::Tcp(*stream.remote_addr())
    }
}

impl Connected<IncomingStream<'_, UnixListener>> for Caller {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Self::Unix(stream.io().peer_cred().ok().map(|peer| peer.uid()))
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Caller::Tcp(peer) => write!(f, "token from {peer}"),
            Caller::Unix(Some(uid)) => write!(f, "unix uid {uid}"),
            Caller::Unix(None) => f.write_str("unix"),
        }
    }
}

/// Lets a request steer, or says why not.
pub(super) fn admit(
    token: Option<&AdminToken>,
    caller: Caller,
    headers: &HeaderMap,
) -> Result<Who, Problem> {
    let host = headers.get(header::HOST).map(|host| host.as_bytes());
    if let Some(origin) = headers.get(header::ORIGIN) {
        let own = host.is_some_and(|host| origin.as_bytes() == [b"http://", host].concat());
        if !own {
            return Err(Problem::forbidden(
                "a web page of another origin steers nothing here: its Origin is not this address",
            ));
        }
    }
    match caller {
        Caller::Unix(_) => Ok(Who(caller)),
        Caller::Tcp(_) if !host.is_some_and(is_loopback) => Err(Problem::forbidden(
            "the Host of a request that steers is localhost or an address of loopback, for others may be a trick of a web page's",
        )),
        Caller::Tcp(_) => match token {
            None => Err(Problem::forbidden(
                "this instance can be looked at here, not steered: give [admin] a token_file, and reload it, or address = \"unix:/path\", and restart it",
            )),
            Some(token) if shows(headers, token) => Ok(Who(caller)),
            Some(_) => Err(Problem::new(
                StatusCode::UNAUTHORIZED,
                "steering needs the token in [admin] token_file: --token-file FILE, or the field Authorization: Bearer TOKEN",
            )),
        },
    }
}

fn shows(headers: &HeaderMap, token: &AdminToken) -> bool {
    let mut fields = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else {
        return false;
    };
    let field = field.as_bytes();
    let Some((scheme, shown)) = field.split_at_checked(BEARER.len()) else {
        return false;
    };
    scheme.eq_ignore_ascii_case(BEARER) && verify_slices_are_equal(shown, token.bytes()).is_ok()
}

/// Whether a `Host` can only mean this machine.
fn is_loopback(host: &[u8]) -> bool {
    let Ok(authority) = Authority::try_from(host) else {
        return false;
    };
    if authority.as_str().contains('@') {
        return false;
    }
    let name = authority.host();
    let bare = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or(name);
    let address = bare.parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost")
        || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

const BEARER: &[u8] = b"bearer ";

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let fields = fields.iter().map(|(name, value)| {
            let name = header::HeaderName::from_static(name);
            (name, header::HeaderValue::from_static(value))
        });
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name, value);
        }
        headers
    }

    fn over_tcp(fields: &[(&'static str, &'static str)]) -> Result<Who, u16> {
        let token = AdminToken::new(b"0123456789abcdef");
        let caller = Caller::Tcp(([127, 0, 0, 1], 5000).into());
        let admitted = admit(Some(&token), caller, &headers(fields));
        admitted.map_err(|problem| problem.status().as_u16())
    }

    const RIGHT: (&str, &str) = ("authorization", "Bearer 0123456789abcdef");

    #[test]
    fn the_token_and_only_the_token_opens() {
        let host = ("host", "127.0.0.1:9900");
        assert!(over_tcp(&[host, RIGHT]).is_ok());
        assert!(over_tcp(&[host, ("authorization", "bearer 0123456789abcdef")]).is_ok());
        assert_eq!(over_tcp(&[host]), Err(401));
        assert_eq!(over_tcp(&[host, RIGHT, RIGHT]), Err(401));
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer 0123456789abcdeg",
            "Bearer 0123456789abcde",
            "Bearer 0123456789abcdef0",
            "Bearer  0123456789abcdef",
            "Basic 0123456789abcdef",
            "0123456789abcdef",
        ] {
            let field = ("authorization", wrong);
            assert_eq!(over_tcp(&[host, field]), Err(401), "{wrong:?}");
        }
    }

    #[test]
    fn hosts_that_may_be_tricks_are_refused() {
        for host in ["localhost", "LocalHost:1", "127.8.8.8:80", "[::1]:9900"] {
            assert!(over_tcp(&[("host", host), RIGHT]).is_ok(), "{host}");
        }
        for host in [
            "shop.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "127.0.0.1@evil.example",
            "",
        ] {
            assert_eq!(over_tcp(&[("host", host), RIGHT]), Err(403), "{host}");
        }
        assert_eq!(over_tcp(&[RIGHT]), Err(403));
    }

    #[test]
    fn pages_of_other_origins_are_refused() {
        let host = ("host", "localhost:9900");
        assert!(over_tcp(&[host, RIGHT, ("origin", "http://localhost:9900")]).is_ok());
        for origin in [
            "http://evil.example",
            "null",
            "http://localhost",
            "https://localhost:9900",
        ] {
            let fields = [host, RIGHT, ("origin", origin)];
            assert_eq!(over_tcp(&fields), Err(403), "{origin}");
            let by_unix = admit(None, Caller::Unix(Some(0)), &headers(&fields));
            assert!(by_unix.is_err(), "{origin}");
        }
        assert!(admit(None, Caller::Unix(None), &headers(&[])).is_ok());
    }

    #[test]
    fn without_a_token_the_remedy_is_named() {
        let caller = Caller::Tcp(([127, 0, 0, 1], 5000).into());
        let refused = admit(None, caller, &headers(&[("host", "localhost"), RIGHT]));
        assert!(format!("{refused:?}").contains("token_file"));
    }
}
