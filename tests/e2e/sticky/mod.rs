//! Sessions keep their backend.
//!
//! Over requests, reloads and restarts; and a cookie that is not ours costs its sender nothing but the binding.
//! Long forms by `FORECOURT_DRILL=full`.
//!
//! `sessions`: who is bound, and stays. `cookie`: what the cookie is, and what it costs to send another.

mod cookie;
mod sessions;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use tempfile::TempDir;

use crate::harness::{
    Balancer, Behaviour, Client, DEADLINE, Origin, Request, Response, Server, is_full_drill,
    two_of_each, wait_until,
};

/// A client with a cookie jar.
#[derive(Debug)]
pub(super) struct Shopper {
    client: Client,
    jar: BTreeMap<String, String>,
    /// Who answered first, or after the last move.
    home: String,
    /// How often the sticky cookie was set.
    cookies_set: usize,
}

impl Shopper {
    /// Somebody new, after his first request.
    #[track_caller]
    pub(super) fn at(balancer: &Balancer) -> Self {
        let mut shopper = Self {
            client: balancer.client("web"),
            jar: BTreeMap::new(),
            home: String::new(),
            cookies_set: 0,
        };
        let response = shopper.ask("/");
        assert_eq!(
            (response.status, shopper.cookies_set),
            (200, 1),
            "{response}"
        );
        shopper.home = response.text();
        shopper
    }

    /// Goes on shopping at another instance.
    pub(super) fn go_to(&mut self, balancer: &Balancer) {
        self.client = balancer.client("web");
    }

    /// Sends what is in the jar and keeps what is set, as browsers do.
    #[track_caller]
    pub(super) fn ask(&mut self, target: &str) -> Response {
        let cookies: Vec<_> = self
            .jar
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let mut request = Request::get(target);
        if !cookies.is_empty() {
            request = request.field("cookie", &cookies.join("; "));
        }
        let response = self.client.send(&request);
        for cookie in response.head.fields.all("set-cookie") {
            let pair = cookie.split(';').next().unwrap_or_default();
            let (name, value) = pair
                .split_once('=')
                .expect("a cookie has a name and a value");
            self.jar.insert(name.to_owned(), value.to_owned());
            self.cookies_set += usize::from(name == "fc");
        }
        response
    }

    /// Makes so many requests, which all go where the last one went and leave the cookie alone.
    #[track_caller]
    pub(super) fn stays(&mut self, requests: usize) {
        let set = self.cookies_set;
        for number in 0..requests {
            let response = self.ask("/");
            assert_eq!(
                (response.status, &response.text()),
                (200, &self.home),
                "request {number}"
            );
        }
        assert_eq!(
            self.cookies_set, set,
            "the cookie was set again without need"
        );
    }

    /// Makes a request, which sets the cookie anew.
    #[track_caller]
    pub(super) fn moves(&mut self) {
        let (set, old) = (self.cookies_set, self.cookie());
        let response = self.ask("/");
        assert_eq!(
            (response.status, self.cookies_set),
            (200, set + 1),
            "{response}"
        );
        assert_ne!(self.cookie(), old);
        self.home = response.text();
    }

    /// The value of the sticky cookie.
    #[track_caller]
    pub(super) fn cookie(&self) -> String {
        self.jar.get("fc").expect("he is bound").clone()
    }
}

/// A folder of key files.
#[derive(Debug)]
pub(super) struct Keys(pub(super) TempDir);

impl Keys {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        for name in ["first", "second"] {
            fs::write(
                folder.path().join(name),
                format!("the {name} secret of all\n"),
            )
            .expect("a new folder can be written to");
        }
        Self(folder)
    }

    pub(super) fn secret(&self, name: &str) -> String {
        format!(
            "secret = {{ file = \"{}\" }}\n",
            self.0.path().join(name).display()
        )
    }

    pub(super) fn previous(&self, name: &str) -> String {
        format!(
            "previous = [{{ file = \"{}\" }}]\n",
            self.0.path().join(name).display()
        )
    }
}

pub(super) fn three_origins() -> [Origin; 3] {
    ["a", "b", "c"].map(Origin::named)
}

/// An origin as an entry of `backends`, known by its name.
pub(super) fn entry(origin: &Origin) -> String {
    format!(
        "{{ address = \"{}\", id = \"{}\" }}",
        origin.address(),
        origin.name()
    )
}

/// Everything to the sticky pool `shop`, by round robin.
pub(super) fn shop(entries: &[String], sticky: &str) -> String {
    let entries = entries.join(", ");
    Balancer::front("shop")
        + &format!(
            "[pools.shop]\nstrategy = \"round-robin\"\nbackends = [{entries}]\n\
             [pools.shop.timeouts]\nconnect = \"10s\"\n[pools.shop.sticky]\n{sticky}"
        )
}

#[track_caller]
pub(super) fn reload(balancer: &Balancer, configuration: &str, generation: u32) {
    balancer.reload(configuration);
    wait_until(DEADLINE, &format!("generation {generation}"), || {
        balancer.metric("forecourt_config_generation") >= f64::from(generation)
    });
}

/// What `forecourt_sticky_total` counts for `shop`, without what is 0.
#[track_caller]
pub(super) fn outcomes(balancer: &Balancer) -> BTreeMap<&'static str, u64> {
    let count = |outcome| {
        let name = format!(r#"forecourt_sticky_total{{pool="shop",outcome="{outcome}"}}"#);
        (outcome, balancer.metric(&name) as u64)
    };
    let all = ["new", "bound", "rebound", "forged", "expired"].map(count);
    all.into_iter().filter(|(_, count)| *count > 0).collect()
}

pub(super) fn only(outcome: &'static str, count: usize) -> BTreeMap<&'static str, u64> {
    BTreeMap::from([(outcome, count as u64)])
}

/// The text with its first letter changed into another that may stand there.
pub(super) fn changed(part: &str) -> String {
    let first = if part.starts_with('A') { "B" } else { "A" };
    first.to_owned() + &part[1..]
}
