//! Who may look and steer: whoever shows the token, or has come by the Unix socket; and no web page in anybody's browser.
//!
//! A port on loopback can be reached by every program of the machine, and by every page that its users look at. A page
//! cannot leave `Origin` out, and one that has its own name resolve to 127.0.0.1 cannot but send that name as
//! `Host`: both are looked at before the token is. Looking is free there, but not for such a page.
//!
//! At an address that other machines can reach, looking takes the token as well, but for the two questions of probes. A
//! browser that opens the dashboard has no way to send `Bearer`; it may show the token as a password (RFC 7617), and look
//! only: what browsers send by themselves must not steer.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::instance::Instance;
use super::problem::Problem;
use crate::plan::AdminToken;

/// Where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// Over TCP, from this address.
    Tcp(SocketAddr, Way),
    /// By the Unix socket, from a process of this user.
    Unix(Option<u32>),
}

/// What is known of the address that a request has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Way {
    /// It speaks TLS.
    pub(super) tls: bool,
    /// Other machines can come by it.
    pub(super) reachable: bool,
}

/// Who may steer, and by what right, for the audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Who(Caller);

impl Caller {
    fn way(self) -> Way {
        match self {
            Self::Tcp(_, way) => way,
            Self::Unix(_) => Way::default(),
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Caller::Tcp(peer, _) => write!(f, "token from {peer}"),
            Caller::Unix(Some(uid)) => write!(f, "unix uid {uid}"),
            Caller::Unix(None) => f.write_str("unix"),
        }
    }
}

/// Lets requests in that may look, and tells all others why they may not.
pub(super) async fn watch(
    State(instance): State<Arc<Instance>>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    request: Request,
    next: Next,
) -> Response {
    let (method, path) = (request.method(), request.uri().path());
    if !FREE.contains(&path) && may_be_a_trick(caller, request.headers()) {
        return Problem::forbidden(
            "the Host of a request to this port is localhost or an address of loopback, for others may be a trick of a web page's",
        )
        .into_response();
    }
    let token = instance.token();
    if may_look(token.as_ref(), caller, (method, path), request.headers()) {
        return next.run(request).await;
    }
    let only_looks = is_harmless(method);
    let detail = "at an address that other machines can reach, all but /healthz and /readyz takes the token in [admin] token_file: --token-file FILE, or the field Authorization: Bearer TOKEN";
    let mut response = Problem::new(StatusCode::UNAUTHORIZED, detail).into_response();
    if only_looks {
        let basic = HeaderValue::from_static("Basic realm=\"forecourt\", charset=\"UTF-8\"");
        response
            .headers_mut()
            .append(header::WWW_AUTHENTICATE, basic);
    }
    response
}

/// Whether a request to a port of loopback asks for another host, as those of a page do whose own name leads here.
fn may_be_a_trick(caller: Caller, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST);
    let names_another = host.is_some_and(|host| !is_loopback(host.as_bytes()));
    matches!(caller, Caller::Tcp(_, way) if !way.reachable) && names_another
}

fn may_look(
    token: Option<&AdminToken>,
    caller: Caller,
    (method, path): (&Method, &str),
    headers: &HeaderMap,
) -> bool {
    if !caller.way().reachable || FREE.contains(&path) {
        return true;
    }
    token.is_some_and(|token| {
        shows(headers, token) || (is_harmless(method) && shows_as_password(headers, token))
    })
}

fn is_harmless(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// Lets a request steer, or says why not.
pub(super) fn admit(
    token: Option<&AdminToken>,
    caller: Caller,
    headers: &HeaderMap,
) -> Result<Who, Problem> {
    let host = headers.get(header::HOST).map(|host| host.as_bytes());
    if let Some(origin) = headers.get(header::ORIGIN) {
        let scheme: &[u8] = match caller.way().tls {
            true => b"https://",
            false => b"http://",
        };
        let own = host.is_some_and(|host| origin.as_bytes() == [scheme, host].concat());
        if !own {
            return Err(Problem::forbidden(
                "a web page of another origin steers nothing here: its Origin is not this address",
            ));
        }
    }
    match caller {
        Caller::Unix(_) => Ok(Who(caller)),
        Caller::Tcp(_, way) if !way.reachable && !host.is_some_and(is_loopback) => {
            Err(Problem::forbidden(
                "the Host of a request that steers is localhost or an address of loopback, for others may be a trick of a web page's",
            ))
        }
        Caller::Tcp(..) => match token {
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
    credentials(headers, BEARER).is_some_and(|shown| is_token(shown, token))
}

/// As the password of anybody.
fn shows_as_password(headers: &HeaderMap, token: &AdminToken) -> bool {
    let shown = credentials(headers, BASIC).and_then(|shown| STANDARD.decode(shown).ok());
    shown.is_some_and(|shown| {
        let mut parts = shown.splitn(2, |byte| *byte == b':');
        let password = parts.nth(1);
        password.is_some_and(|password| is_token(password, token))
    })
}

/// What follows this scheme, if there is one field with it.
fn credentials<'h>(headers: &'h HeaderMap, scheme: &[u8]) -> Option<&'h [u8]> {
    let mut fields = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else {
        return None;
    };
    let (found, shown) = field.as_bytes().split_at_checked(scheme.len())?;
    found.eq_ignore_ascii_case(scheme).then_some(shown)
}

fn is_token(shown: &[u8], token: &AdminToken) -> bool {
    verify_slices_are_equal(shown, token.bytes()).is_ok()
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
const BASIC: &[u8] = b"basic ";

/// What probes ask, which carry no token.
const FREE: [&str; 2] = ["/healthz", "/readyz"];

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let fields = fields.iter().map(|(name, value)| {
            let name = header::HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        });
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name, value);
        }
        headers
    }

    fn over_tcp(fields: &[(&'static str, &'static str)]) -> Result<Who, u16> {
        let token = AdminToken::new(b"0123456789abcdef");
        let caller = Caller::Tcp(([127, 0, 0, 1], 5000).into(), Way::default());
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
            assert!(!may_be_a_trick(LOOPBACK, &headers(&[("host", host)])));
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
            let named = headers(&[("host", host)]);
            assert!(may_be_a_trick(LOOPBACK, &named), "{host}");
            assert!(!may_be_a_trick(AWAY, &named) && !may_be_a_trick(Caller::Unix(None), &named));
        }
        assert_eq!(over_tcp(&[RIGHT]), Err(403));
        // No browser leaves it out.
        assert!(!may_be_a_trick(LOOPBACK, &headers(&[])));
    }

    const LOOPBACK: Caller = Caller::Tcp(
        SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5000),
        Way {
            tls: false,
            reachable: false,
        },
    );

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

    const AWAY: Caller = Caller::Tcp(
        SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7)), 5000),
        Way {
            tls: true,
            reachable: true,
        },
    );

    #[test]
    fn by_a_reachable_address_everything_takes_the_token() {
        let token = AdminToken::new(b"0123456789abcdef");
        let may = |caller, method: &Method, path, fields: &[_]| {
            may_look(Some(&token), caller, (method, path), &headers(fields))
        };
        let near = Caller::Tcp(([127, 0, 0, 1], 5000).into(), Way::default());
        // x:0123456789abcdef, and with another end.
        let basic = ("authorization", "Basic eDowMTIzNDU2Nzg5YWJjZGVm");
        let wrong = ("authorization", "Basic eDowMTIzNDU2Nzg5YWJjZGVn");
        for path in ["/", "/metrics", "/v1/status", "/nothing", "/healthz/"] {
            assert!(may(near, &Method::GET, path, &[]), "{path}");
            assert!(!may(AWAY, &Method::GET, path, &[]), "{path}");
            assert!(!may(AWAY, &Method::GET, path, &[wrong]), "{path}");
            assert!(may(AWAY, &Method::GET, path, &[RIGHT]), "{path}");
            assert!(may(AWAY, &Method::GET, path, &[basic]), "{path}");
            assert!(may(AWAY, &Method::POST, path, &[RIGHT]), "{path}");
            assert!(!may(AWAY, &Method::POST, path, &[basic]), "{path}");
            let none = may_look(None, AWAY, (&Method::GET, path), &headers(&[RIGHT]));
            assert!(!none, "{path}");
        }
        for path in FREE {
            assert!(may(AWAY, &Method::GET, path, &[]), "{path}");
        }
    }

    #[test]
    fn by_a_reachable_address_hosts_are_any_and_origins_are_https() {
        let token = AdminToken::new(b"0123456789abcdef");
        let steers = |fields: &[_]| admit(Some(&token), AWAY, &headers(fields)).is_ok();
        let host = ("host", "lb.example:9900");
        assert!(steers(&[host, RIGHT]));
        assert!(!steers(&[host]));
        let own = ("origin", "https://lb.example:9900");
        assert!(steers(&[host, RIGHT, own]));
        for other in ["http://lb.example:9900", "https://evil.example", "null"] {
            assert!(!steers(&[host, RIGHT, ("origin", other)]), "{other}");
        }
        let password = ("authorization", "Basic eDowMTIzNDU2Nzg5YWJjZGVm");
        assert!(
            !steers(&[host, password]),
            "what browsers send by themselves"
        );
    }

    #[test]
    fn without_a_token_the_remedy_is_named() {
        let caller = Caller::Tcp(([127, 0, 0, 1], 5000).into(), Way::default());
        let refused = admit(None, caller, &headers(&[("host", "localhost"), RIGHT]));
        assert!(format!("{refused:?}").contains("token_file"));
    }
}
