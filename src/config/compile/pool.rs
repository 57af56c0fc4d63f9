//! `[pools.*]`.

use std::collections::HashMap;
use std::sync::Arc;

use super::address::{self, BackendAddress, Example};
use super::health;
use super::limits;
use super::outlier;
use super::pool_tls::{self, ServerNames};
use super::retry;
use super::scope::{Given, Zero, unknown_word};
use super::sticky::sticky;
use crate::backend::Address;
use crate::config::outside::Outside;
use crate::config::problem::{Finding, Mark};
use crate::config::raw::pool as raw;
use crate::message::FieldCase;
use crate::message::forwarded::Words;
use crate::plan::Pool;
use crate::plan::pool::{BackendPlan, PoolTimeouts, RequestStyle};
use crate::strategy::{PanicThreshold, Spec};

/// Compiles a pool. `names` gets the places of names that were resolved.
pub(super) fn pool<'a>(
    name: &str,
    given: &Given<'a, raw::Pool>,
    outside: &Outside,
    names: &mut Vec<Given<'a, String>>,
) -> Pool {
    let Given { value, scope, .. } = given;
    let tls = scope.get("tls", &value.tls);
    let strategy = strategy(given);
    let slow_start = outlier::slow_start(given, &strategy);
    let server_names = tls.as_ref().map(pool_tls::server_names);
    let limits = scope.get("limits", &value.limits);
    let defaults = Defaults {
        server_names,
        max_in_flight: limits::per_backend(limits.as_ref()),
    };
    let backends = backends(name, given, defaults, outside, names);
    let bounds = limits::limits(limits.as_ref());
    limits::check(limits.as_ref(), bounds, &backends);
    Pool {
        name: Arc::from(name),
        strategy,
        backends,
        limits: bounds,
        sticky: scope
            .get("sticky", &value.sticky)
            .map(|written| sticky(&written, outside)),
        timeouts: timeouts(scope.get("timeouts", &value.timeouts)),
        protocol: pool_tls::protocol(given),
        tls: tls
            .and_then(|tls| pool_tls::tls(&tls, outside))
            .map(Arc::new),
        style: style(given),
        retry: retry::retry(scope.get("retry", &value.retry)),
        health: health::health(given).map(Arc::new),
        panic_threshold: PanicThreshold(scope.percent(
            "panic_threshold",
            &value.panic_threshold,
            raw::PANIC_THRESHOLD,
        )),
        outlier: outlier::outlier(scope.get("outlier", &value.outlier)),
        slow_start,
    }
}

/// What the pool says for each of its backends.
struct Defaults {
    /// How they are called in their certificates, if they have to show any.
    server_names: Option<ServerNames>,
    max_in_flight: u32,
}

impl Defaults {
    fn in_flight_of(&self, given: &Given<'_, raw::Backend>) -> u32 {
        let (key, written) = ("max_in_flight", &given.value.max_in_flight);
        let most = 0..=raw::IN_FLIGHT_MOST;
        given.scope.integer(key, written, self.max_in_flight, most)
    }
}

fn style(given: &Given<'_, raw::Pool>) -> RequestStyle {
    let Given { value, scope, .. } = given;
    let cases = [
        ("keep", FieldCase::Keep),
        ("lower", FieldCase::Lower),
        ("title", FieldCase::Title),
    ];
    let words = [
        ("x-forwarded", Words::XForwarded),
        ("forwarded", Words::Forwarded),
        ("both", Words::Both),
    ];
    let (case, forwarded) = (FieldCase::default(), Words::default());
    RequestStyle {
        case: scope.word("header_case", &value.header_case, case, &cases),
        forwarded: scope.word("forwarded", &value.forwarded, forwarded, &words),
        via: scope
            .get("via", &value.via)
            .map_or(raw::VIA, |written| *written.value),
    }
}

fn strategy(given: &Given<'_, raw::Pool>) -> Spec {
    let Given { value, scope, .. } = given;
    let written = scope.get("strategy", &value.strategy);
    let name = written
        .as_ref()
        .map_or(raw::STRATEGY, |written| written.value.as_str());
    let hash = hash(given, name);
    match (Spec::from_name(name), written) {
        (Some(Spec::IpHash { .. }), _) => Spec::IpHash {
            ipv4_prefix: hash.0,
            ipv6_prefix: hash.1,
        },
        (Some(spec), _) => spec,
        (None, Some(written)) => {
            written.report(unknown_word("strategy", name, Spec::NAMES.into_iter()));
            Spec::RoundRobin
        }
        (None, None) => Spec::RoundRobin,
    }
}

fn hash(given: &Given<'_, raw::Pool>, strategy: &str) -> (u8, u8) {
    let Some(hash) = given.scope.get("hash", &given.value.hash) else {
        return (Spec::DEFAULT_IPV4_PREFIX, Spec::DEFAULT_IPV6_PREFIX);
    };
    if strategy != "ip-hash" {
        let finding = Finding::error("`hash` means something with strategy = \"ip-hash\" only");
        hash.report(finding.help("leave it out, or change the strategy"));
    }
    let Given { value, scope, .. } = &hash;
    (
        scope.integer(
            "ipv4_prefix",
            &value.ipv4_prefix,
            Spec::DEFAULT_IPV4_PREFIX,
            1..=32,
        ),
        scope.integer(
            "ipv6_prefix",
            &value.ipv6_prefix,
            Spec::DEFAULT_IPV6_PREFIX,
            1..=128,
        ),
    )
}

fn backends<'a>(
    pool: &str,
    given: &Given<'a, raw::Pool>,
    defaults: Defaults,
    outside: &Outside,
    names: &mut Vec<Given<'a, String>>,
) -> Vec<BackendPlan> {
    let list = given.scope.get("backends", &given.value.backends);
    let Some(list) = list else {
        if given.value.backends.is_none() {
            let finding = Finding::error(format!("the pool `{pool}` has no backends"));
            given.report(finding.help("add backends = [{ address = \"127.0.0.1:9001\" }]"));
        }
        return Vec::new();
    };
    if list.value.is_empty() {
        let finding = Finding::error(format!("the pool `{pool}` is empty"));
        list.report(
            finding.help("a pool has at least one backend: { address = \"127.0.0.1:9001\" }"),
        );
    }
    let mut gathered = Gathered {
        plans: Vec::new(),
        addresses: HashMap::new(),
        ids: HashMap::new(),
        defaults,
    };
    for backend in list.elements() {
        gathered.add(&backend, outside, names);
    }
    let plans = gathered.plans;
    if !plans.is_empty()
        && plans.len() >= list.value.len()
        && plans.iter().all(|plan| plan.weight == 0)
    {
        let finding = Finding::error(format!("all backends of the pool `{pool}` have weight 0"));
        list.report(
            finding.help("weight 0 keeps new requests away: leave at least one that takes them"),
        );
    }
    if !plans.is_empty() && plans.len() >= list.value.len() && plans.iter().all(|plan| plan.backup)
    {
        let finding = Finding::error(format!("all backends of the pool `{pool}` are backups"));
        list.report(finding.help(
            "a backup is for when the others are not well: leave `backup` out of at least one",
        ));
    }
    plans
}

/// The backends of a pool so far.
struct Gathered<'a> {
    plans: Vec<BackendPlan>,
    addresses: HashMap<Address, Mark<'a>>,
    ids: HashMap<Arc<str>, Mark<'a>>,
    defaults: Defaults,
}

impl<'a> Gathered<'a> {
    fn add(
        &mut self,
        given: &Given<'a, raw::Backend>,
        outside: &Outside,
        names: &mut Vec<Given<'a, String>>,
    ) {
        let Given { value, scope, .. } = given;
        let weight = scope.integer("weight", &value.weight, raw::WEIGHT, 0..=raw::WEIGHT_MOST);
        let max_in_flight = self.defaults.in_flight_of(given);
        let id = scope.get("id", &value.id).filter(is_good_id);
        let backup = is_backup(given);
        let Some(written) = scope.get("address", &value.address) else {
            if value.address.is_none() {
                let finding = Finding::error("the backend has no address");
                given.report(finding.help("add one, such as address = \"127.0.0.1:9001\""));
            }
            return;
        };
        let addresses = addresses(&written, outside, names);
        let several = addresses.len() > 1;
        for address in addresses {
            if let Some(first) = self.addresses.get(&address) {
                report_twice(&written, &address, first);
                continue;
            }
            // What hash and cookie know it by. A name with several addresses needs an id for each of them.
            let id_text = match (&id, several) {
                (Some(id), false) => id.value.clone(),
                (Some(id), true) => format!("{}@{address}", id.value),
                (None, false) => written.value.clone(),
                (None, true) => address.to_string(),
            };
            let id_text: Arc<str> = Arc::from(id_text);
            let mark = id.as_ref().map_or_else(|| written.mark(), Given::mark);
            if let Some(first) = self.ids.get(&id_text) {
                let finding =
                    Finding::error(format!("two backends of this pool have the id `{id_text}`"));
                id.as_ref()
                    .unwrap_or(&written)
                    .report(finding.also(first, "the first one"));
            }
            self.ids.insert(Arc::clone(&id_text), mark);
            self.addresses.insert(address.clone(), written.mark());
            let server_name = self.defaults.server_names.as_ref();
            let server_name =
                server_name.and_then(|names| pool_tls::server_name(names, &written, &address));
            self.plans.push(BackendPlan {
                address,
                server_name,
                id: id_text,
                weight,
                max_in_flight,
                backup,
            });
        }
    }
}

/// Says that an address stands in the pool already.
fn report_twice<'a>(written: &Given<'a, String>, address: &Address, first: &Mark<'a>) {
    let what = match address.to_string() {
        same if same == *written.value => format!("the backend {same} stands in this pool twice"),
        other => format!(
            "{} is {other}, which stands in this pool already",
            written.value
        ),
    };
    let finding = Finding::error(what).help("give one of them a higher weight instead");
    written.report(finding.also(first, "the first one"));
}

fn is_backup(given: &Given<'_, raw::Backend>) -> bool {
    let written = given.scope.get("backup", &given.value.backup);
    written.is_some_and(|written| *written.value)
}

fn is_good_id(id: &Given<'_, String>) -> bool {
    let good = !id.value.is_empty() && !id.value.chars().any(char::is_control);
    if !good {
        id.report(Finding::error(
            "an id has at least one character, and no control characters",
        ));
    }
    good
}

/// The address, or the several ones of a name; none if there is a problem with it.
fn addresses<'a>(
    written: &Given<'a, String>,
    outside: &Outside,
    names: &mut Vec<Given<'a, String>>,
) -> Vec<Address> {
    match address::backend(written.value, written.scope.folder()) {
        Ok(BackendAddress::Known(address)) => vec![address],
        Ok(BackendAddress::Name) => {
            names.push(written.clone());
            match outside.names.get(written.value) {
                Some(Ok(addresses)) => addresses.iter().copied().map(Address::Tcp).collect(),
                Some(Err(error)) => {
                    written.report(Finding::error(format!("{}: {error}", written.value)));
                    Vec::new()
                }
                None => Vec::new(),
            }
        }
        Err(error) => {
            written.report(Finding::error(error.to_string()).help(error.help(Example::Backend)));
            Vec::new()
        }
    }
}

fn timeouts(given: Option<Given<'_, raw::Timeouts>>) -> PoolTimeouts {
    let Some(Given { value, scope, .. }) = given else {
        return PoolTimeouts {
            connect: raw::CONNECT_TIMEOUT,
            response: raw::RESPONSE_TIMEOUT,
            idle: raw::IDLE_TIMEOUT,
            tunnel: raw::TUNNEL_TIMEOUT,
        };
    };
    PoolTimeouts {
        connect: scope.duration(
            "connect",
            &value.connect,
            raw::CONNECT_TIMEOUT,
            Zero::Refused,
        ),
        response: scope.duration(
            "response",
            &value.response,
            raw::RESPONSE_TIMEOUT,
            Zero::Refused,
        ),
        // Zero means that no connection is kept.
        idle: scope.duration("idle", &value.idle, raw::IDLE_TIMEOUT, Zero::Allowed),
        tunnel: scope.duration("tunnel", &value.tunnel, raw::TUNNEL_TIMEOUT, Zero::Refused),
    }
}
