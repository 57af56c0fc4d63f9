//! Backends that fail their checks are out until they are well again, and nobody else notices.
//!
//! Intervals are short, so that a test is; none asserts how long something takes. In reading order: [`rotation`] (out and
//! back), [`reloads`] (what a new configuration keeps), [`beginnings`] (what is assumed at first), [`checks`] (each kind of
//! check, and what it finds), [`panic`] (when too few are left), [`passive`] (what requests
//! find, without being asked).

mod beginnings;
mod checks;
mod panic;
mod passive;
mod reloads;
mod rotation;

use serde_json::Value;

use super::harness::{Balancer, DEADLINE, Origin, pool, wait_until};

/// The pool `shop` by round robin, checked at `/healthz` often, with these further lines under `health`.
fn checked(origins: &[&Origin], lines: &str) -> String {
    let pool = pool("shop", "round-robin", origins);
    format!(
        "{}{pool}\n[pools.shop.health]\npath = \"/healthz\"\n{FAST}{lines}\n",
        Balancer::front("shop")
    )
}

/// Often enough for a test.
const FAST: &str = "interval = \"100ms\"\nfast_interval = \"20ms\"\n";

/// The status of the backend at this address, from `/v1/pools`.
fn status(balancer: &Balancer, address: &str) -> Value {
    let pools: Value = serde_json::from_slice(&balancer.admin("/v1/pools").body).expect("JSON");
    let pools = pools.as_array().expect("a list").clone();
    let mut backends = pools
        .iter()
        .flat_map(|pool| pool["backends"].as_array().expect("a list"));
    let found = backends.find(|backend| backend["address"] == address);
    found.expect("the backend is known").clone()
}

/// Waits until a backend stands so.
#[track_caller]
fn wait_for_standing(balancer: &Balancer, origin: &Origin, standing: &str) {
    let address = origin.address().to_string();
    let what = format!("{} to be {standing}", origin.name());
    wait_until(DEADLINE, &what, || {
        status(balancer, &address)["standing"] == standing
    });
}

/// Waits until so many checks have come to an origin in all.
#[track_caller]
fn wait_for_checks(origin: &Origin, count: usize) {
    wait_until(DEADLINE, "checks", || checks(origin) >= count);
}

/// How many checks an origin has received.
fn checks(origin: &Origin) -> usize {
    let received = origin.received();
    received
        .iter()
        .filter(|request| request.target == "/healthz")
        .count()
}

/// How many requests of clients it has received.
fn visits(origin: &Origin) -> usize {
    origin.received().len() - checks(origin)
}

/// Who answers so many requests.
fn answers(balancer: &Balancer, count: usize) -> Vec<String> {
    let mut client = balancer.client("web");
    (0..count)
        .map(|_| client.get("/").origin().to_owned())
        .collect()
}

/// A metric of a backend.
fn metric(balancer: &Balancer, name: &str, origin: &Origin, labels: &str) -> f64 {
    let labels = format!("pool=\"shop\",backend=\"{}\"{labels}", origin.address());
    balancer.metric(&format!("{name}{{{labels}}}"))
}

/// The lines of the operator's log that say this.
fn lines(balancer: &Balancer, what: &str) -> Vec<String> {
    let log = balancer.stderr();
    log.lines()
        .filter(|line| line.contains(what))
        .map(str::to_owned)
        .collect()
}

const FAILS: &str = "a backend fails its health checks";
const IS_WELL: &str = "a backend is well by its health checks";
