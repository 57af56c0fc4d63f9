//! Which route and pool take a request, and how backends and listeners are reached.
//!
//! `matching`: hosts, paths, listeners. `conditions`: methods, headers, query, cookies, clients. `paths`: how a
//! listener reads a path. `addresses`: IPv6, Unix sockets, names.

mod addresses;
mod conditions;
mod matching;
mod paths;

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::harness::{
    Balancer, Client, DEADLINE, Origin, Request, Response, Server, has_ipv6, pool, wait_until,
};

/// A balancer whose routes each lead to an origin of the route's name.
#[derive(Debug)]
pub(super) struct Site {
    balancer: Balancer,
    origins: Vec<Origin>,
}

impl Site {
    #[track_caller]
    pub(super) fn with(routes: &[(&str, &str)]) -> Self {
        Self::behind("", routes)
    }

    /// With more keys of the listener.
    #[track_caller]
    pub(super) fn behind(keys: &str, routes: &[(&str, &str)]) -> Self {
        let origins: Vec<_> = routes.iter().map(|(name, _)| Origin::named(name)).collect();
        let listeners = format!(
            "[admin]\naddress = \"127.0.0.1:0\"\n[listeners.web]\naddress = \"127.0.0.1:0\"\n{keys}\n"
        );
        let balancer = Balancer::start(&(listeners + &table(routes) + &pools(&origins)));
        Self { balancer, origins }
    }

    pub(super) fn client(&self) -> Client {
        self.balancer.client("web")
    }

    #[track_caller]
    pub(super) fn origin(&self, name: &str) -> &Origin {
        let found = self.origins.iter().find(|origin| origin.name() == name);
        found.expect("every route has an origin")
    }

    #[track_caller]
    pub(super) fn assert_takes(&self, request: &Request, route: &str, what: &str) {
        let response = self.client().send(request);
        assert_eq!(
            response.field("x-origin"),
            Some(route),
            "{what}: {response}"
        );
    }
}

/// Routes, each with its pool and the keys that say what it takes.
pub(super) fn table(routes: &[(&str, &str)]) -> String {
    let route = |(pool, keys): &(&str, &str)| format!("[[routes]]\npool = \"{pool}\"\n{keys}\n");
    routes.iter().map(route).collect()
}

/// A pool for each origin, of its name.
pub(super) fn pools(origins: &[Origin]) -> String {
    origins
        .iter()
        .map(|origin| pool(origin.name(), "round-robin", &[origin]))
        .collect()
}

/// The listener `web` there, and everything to one backend.
pub(super) fn one_pool(listen: &str, backend: &str) -> String {
    Balancer::front("shop").replace(
        "[listeners.web]\naddress = \"127.0.0.1:0\"\n",
        &format!("[listeners.web]\naddress = \"{listen}\"\n"),
    ) + &format!("[pools.shop]\nbackends = [{{ address = \"{backend}\" }}]\n")
}

/// Asks once by a Unix socket and gives the whole answer.
#[track_caller]
pub(super) fn ask_unix(path: &Path, target: &str) -> String {
    let mut stream = UnixStream::connect(path).expect("somebody listens");
    stream
        .set_read_timeout(Some(DEADLINE))
        .expect("a socket can wait");
    let request = Request::get(target).field("connection", "close").to_bytes();
    stream.write_all(&request).expect("the balancer reads");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .expect("an answer comes and ends");
    answer
}

/// The body says what and why, in its type, and nothing of what the client wrote.
#[track_caller]
pub(super) fn assert_body(method: &str, kind: &str, response: &Response) {
    let length: usize = response
        .field("content-length")
        .and_then(|length| length.parse().ok())
        .expect("its length is known");
    if method == "HEAD" {
        assert!(response.body.is_empty() && length > 0);
        return;
    }
    let text = response.text();
    assert_eq!(text.len(), length);
    let id = response
        .field("x-request-id")
        .expect("there is something to ask for");
    assert!(text.contains("no-route") && text.contains(id), "{text}");
    assert!(!text.contains("script"), "{text}");
    if kind == "application/problem+json" {
        let problem: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
        assert_eq!(problem["status"], 404);
        assert_eq!(problem["title"], "Not Found");
        assert_eq!(problem["code"], "no-route");
    }
    if kind.starts_with("text/html") {
        assert!(text.starts_with("<!doctype html>"), "{text}");
    }
}
