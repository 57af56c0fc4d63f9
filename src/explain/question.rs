//! The request that somebody describes, and the listener that it would come by.

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::message::{Head, Name, Version, grammar};
use crate::plan::listener::ListenAddress;
use crate::plan::{Listener, Plan};

/// A request as somebody describes it: the body of `POST /v1/explain`.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// What is asked for: `http://shop.example/cart?page=2`, `shop.example/cart` or `/cart`.
    pub url: String,
    /// The method.
    #[serde(default = "get")]
    pub method: String,
    /// The address that the connection comes from.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub client: Option<IpAddr>,
    /// Fields, each as `NAME: VALUE`.
    #[serde(default)]
    pub headers: Vec<String>,
    /// The listener that it comes by.
    #[serde(default)]
    pub listener: Option<String>,
    /// Whether routes are shown whose host or path does not fit.
    #[serde(default)]
    pub all: bool,
}

fn get() -> String {
    "GET".to_owned()
}

/// A request as a client would send it.
#[derive(Debug)]
pub struct Question {
    pub(super) head: Head,
    /// Whether the URL says https; nothing if it has no scheme.
    pub(super) https: Option<bool>,
    /// The index of the listener, and why this one.
    pub(super) listener: usize,
    pub(super) chosen: Chosen,
    /// The peer's address; none on a Unix socket.
    pub(super) peer: Option<IpAddr>,
    pub(super) peer_assumed: bool,
    /// Whether every route is shown.
    pub(super) all: bool,
}

/// Why a listener was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Chosen {
    /// Whoever asks names it.
    Named,
    /// There is no other.
    Only,
    /// It alone has the URL's port and scheme.
    Fits,
    /// It is the first; none or several fit.
    First,
}

/// Why no request is described.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuestionError {
    /// No URL.
    #[error(
        "{0:?} is no URL: write http://HOST/PATH, HOST/PATH or /PATH, with anything but ASCII percent-encoded"
    )]
    Url(String),
    /// Neither http nor https.
    #[error("{0:?} has another scheme than http and https")]
    Scheme(String),
    /// No token.
    #[error("{0:?} is not a method")]
    Method(String),
    /// No name and value.
    #[error("{0:?} is not a field: write 'NAME: VALUE'")]
    Field(String),
    /// Nobody has that name; these are there.
    #[error("there is no listener {0:?}; there are: {1}")]
    Listener(String, String),
}

impl Question {
    /// Makes the request.
    ///
    /// # Errors
    /// What of the description is none of a request.
    pub fn ask(asked: &Asked, plan: &Plan) -> Result<Self, QuestionError> {
        let url = Url::read(&asked.url)?;
        if !grammar::is_token(asked.method.as_bytes()) {
            return Err(QuestionError::Method(asked.method.clone()));
        }
        let mut head = Head::new();
        let target = if asked.method == "CONNECT" {
            &url.authority
        } else {
            &url.target
        };
        head.set_request(asked.method.as_bytes(), target.as_bytes(), Version::Http11);
        let mut host = url.authority.as_str();
        for field in &asked.headers {
            let (name, value) = read_field(field)?;
            if Name::from_bytes(name.as_bytes()) == Name::Host {
                host = value;
            } else {
                head.push(name.as_bytes(), value.as_bytes());
            }
        }
        head.push(b"Host", host.as_bytes());
        let (listener, chosen) = choose(asked.listener.as_deref(), &url, plan)?;
        let has_addresses = plan
            .listeners
            .get(listener)
            .is_none_or(|listener| matches!(listener.address, ListenAddress::Tcp(_)));
        let peer = asked.client.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        Ok(Self {
            head,
            https: url.https,
            listener,
            chosen,
            peer: has_addresses.then_some(peer),
            peer_assumed: asked.client.is_none(),
            all: asked.all,
        })
    }
}

/// The parts of a URL as they go into a request.
#[derive(Debug)]
struct Url {
    /// Absent if none is written.
    https: Option<bool>,
    authority: String,
    target: String,
}

impl Url {
    fn read(text: &str) -> Result<Self, QuestionError> {
        // A fragment is not sent.
        let sent = text.split('#').next().unwrap_or_default();
        if sent.is_empty() || !sent.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(QuestionError::Url(text.to_owned()));
        }
        let (https, rest) = match sent.split_once("://") {
            Some((scheme, rest)) if !scheme.contains(['/', '?']) => {
                match scheme.to_ascii_lowercase().as_str() {
                    "http" => (Some(false), rest),
                    "https" => (Some(true), rest),
                    _ => return Err(QuestionError::Scheme(text.to_owned())),
                }
            }
            _ => (None, sent),
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let rooted = if target.starts_with('/') || authority.is_empty() && target == "*" {
            target.to_owned()
        } else {
            format!("/{target}")
        };
        let (authority, target) = match authority {
            "*" => ("", "*".to_owned()),
            _ => (authority, rooted),
        };
        Ok(Self {
            https,
            authority: authority.to_owned(),
            target,
        })
    }

    /// The port that is written, or the scheme's.
    fn port(&self) -> Option<u16> {
        let after_name = self.authority.rsplit(']').next().unwrap_or_default();
        let written = after_name
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse().ok());
        written.or(match self.https {
            Some(true) => Some(443),
            Some(false) => Some(80),
            None => None,
        })
    }

    fn fits(&self, listener: &Listener) -> bool {
        let ListenAddress::Tcp(address) = &listener.address else {
            return false;
        };
        let scheme = self
            .https
            .is_none_or(|https| https == listener.tls.is_some());
        scheme && self.port() == Some(address.port())
    }
}

fn choose(name: Option<&str>, url: &Url, plan: &Plan) -> Result<(usize, Chosen), QuestionError> {
    let listeners = || plan.listeners.iter().enumerate();
    if let Some(name) = name {
        let named = listeners().find(|(_, listener)| *listener.name == *name);
        let names = || {
            listeners()
                .map(|(_, listener)| &*listener.name)
                .collect::<Vec<_>>()
        };
        return named
            .map(|(index, _)| (index, Chosen::Named))
            .ok_or_else(|| QuestionError::Listener(name.to_owned(), names().join(", ")));
    }
    let mut fitting = listeners().filter(|(_, listener)| url.fits(listener));
    Ok(match (fitting.next(), fitting.next()) {
        _ if plan.listeners.len() == 1 => (0, Chosen::Only),
        (Some((index, _)), None) => (index, Chosen::Fits),
        _ => (0, Chosen::First),
    })
}

fn read_field(field: &str) -> Result<(&str, &str), QuestionError> {
    let bad = || QuestionError::Field(field.to_owned());
    let (name, value) = field.split_once(':').ok_or_else(bad)?;
    let value = value.trim_matches([' ', '\t']);
    let sound = grammar::is_token(name.as_bytes())
        && !value.contains(|character: char| character.is_ascii_control() && character != '\t');
    sound.then_some((name, value)).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart_as_clients_do() {
        for (text, authority, target, port) in [
            (
                "http://shop.example/a?b#c",
                "shop.example",
                "/a?b",
                Some(80),
            ),
            ("HTTPS://shop.example", "shop.example", "/", Some(443)),
            (
                "https://shop.example:8443?x=/",
                "shop.example:8443",
                "/?x=/",
                Some(8443),
            ),
            ("shop.example/a", "shop.example", "/a", None),
            ("http://[::1]:8080/", "[::1]:8080", "/", Some(8080)),
            ("http://[::1]/", "[::1]", "/", Some(80)),
            ("/a?u=http://b/", "", "/a?u=http://b/", None),
            ("*", "", "*", None),
        ] {
            let url = Url::read(text).unwrap();
            let parts = (&*url.authority, &*url.target, url.port());
            assert_eq!(parts, (authority, target, port), "{text}");
        }
        for text in ["", "#a", "ftp://a/", "http://a/b c", "/caf\u{e9}"] {
            assert!(Url::read(text).is_err(), "{text}");
        }
    }
}
