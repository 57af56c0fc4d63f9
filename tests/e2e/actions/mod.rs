//! What becomes of a request once its route is known, besides being passed on.
//!
//! `answers`: redirects and fixed responses. `rewriting`: path and host that the backend sees. `fields`: fields of requests
//! and responses. `pages`: the operator's error pages.

mod answers;
mod fields;
mod pages;
mod rewriting;

use crate::harness::{Balancer, Client, Origin, Received, Request, pool};

/// A balancer with these routes, all of whose pools are one origin, called `shop`.
#[derive(Debug)]
struct Site {
    balancer: Balancer,
    origin: Origin,
}

impl Site {
    /// `listener` are keys of the listener `web`, `routes` whole tables.
    #[track_caller]
    fn with(listener: &str, routes: &str) -> Self {
        let origin = Origin::named("shop");
        let configuration = format!(
            "{}{routes}\n{}",
            front(listener),
            pool("shop", "round-robin", &[&origin])
        );
        let balancer = Balancer::start(&configuration);
        Self { balancer, origin }
    }

    fn client(&self) -> Client {
        self.balancer.client("web")
    }

    /// What the backend saw of a request.
    #[track_caller]
    fn seen(&self, request: &Request) -> Received {
        let response = self.client().send(request);
        assert_eq!(response.field("x-origin"), Some("shop"), "{response}");
        self.origin.last_received()
    }
}

/// The admin API and the listener `web` with these keys.
fn front(listener: &str) -> String {
    format!(
        "[admin]\naddress = \"127.0.0.1:0\"\n[listeners.web]\naddress = \"127.0.0.1:0\"\n{listener}\n"
    )
}

const TO_SHOP: &str = "[[routes]]\npath_prefix = \"/\"\npool = \"shop\"\n";
