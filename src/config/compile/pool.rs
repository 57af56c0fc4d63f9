//! `[pools.*]`.

use std::collections::HashMap;
use std::sync::Arc;

use super::address::{self, BackendAddress, Example};
use super::drain;
use super::health;
use super::limits;
use super::name;
use super::outlier;
use super::pool_tls::{self, ServerNames};
use super::retry;
use super::scope::{Given, Zero, unknown_word};
use super::sticky::sticky;
use crate::backend::Address;
use crate::config::outside::Outside;
use crate::config::problem::{Finding, Mark};
use crate::config::raw::loose::List;
use crate::config::raw::pool as raw;
use crate::message::FieldCase;
use crate::message::forwarded::Words;
use crate::plan::Pool;
use crate::plan::names::{self, NamePlan, Question};
use crate::plan::pool::{BackendPlan, PoolTimeouts, RequestStyle};
use crate::strategy::{PanicThreshold, Spec};

/// Compiles a pool.
pub(super) fn pool(name: &str, given: &Given<'_, raw::Pool>, outside: &Outside) -> Pool {
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
    let (backends, names) = backends(name, given, defaults, outside);
    let bounds = limits::limits(limits.as_ref());
    limits::check(limits.as_ref(), bounds, &backends);
    Pool {
        name: Arc::from(name),
        strategy,
        backends,
        names,
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
        drain: drain::drain(scope.get("drain", &value.drain).as_ref()),
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
    let (case, forwarded) = (FieldCase::default(), Words::default());
    RequestStyle {
        case: scope.word("header_case", &value.header_case, case, &FIELD_CASES),
        forwarded: scope.word("forwarded", &value.forwarded, forwarded, &FORWARDED),
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

/// The backends of a pool, and those of its entries that are names.
fn backends<'a>(
    pool: &str,
    given: &Given<'a, raw::Pool>,
    defaults: Defaults,
    outside: &Outside,
) -> (Vec<BackendPlan>, Vec<NamePlan>) {
    let list = given.scope.get("backends", &given.value.backends);
    let Some(list) = list else {
        if given.value.backends.is_none() {
            let finding = Finding::error(format!("the pool `{pool}` has no backends"));
            given.report(finding.help("add backends = [{ address = \"127.0.0.1:9001\" }]"));
        }
        return Default::default();
    };
    if list.value.is_empty() {
        let finding = Finding::error(format!("the pool `{pool}` is empty"));
        list.report(
            finding.help("a pool has at least one backend: { address = \"127.0.0.1:9001\" }"),
        );
    }
    let mut gathered = Gathered {
        plans: Vec::new(),
        named: Vec::new(),
        addresses: HashMap::new(),
        ids: HashMap::new(),
        defaults,
    };
    for backend in list.elements() {
        gathered.add(&backend);
    }
    gathered.check(pool, &list);
    let named = name::find(gathered.named, &gathered.addresses, outside);
    (names::expand(&gathered.plans, &named), named)
}

/// The entries of a pool so far.
struct Gathered<'a> {
    plans: Vec<BackendPlan>,
    named: Vec<(NamePlan, Given<'a, String>)>,
    addresses: HashMap<Address, Mark<'a>>,
    ids: HashMap<Arc<str>, Mark<'a>>,
    defaults: Defaults,
}

impl<'a> Gathered<'a> {
    fn add(&mut self, given: &Given<'a, raw::Backend>) {
        let Given { value, scope, .. } = given;
        let common = Common {
            weight: scope.integer("weight", &value.weight, raw::WEIGHT, 0..=raw::WEIGHT_MOST),
            max_in_flight: self.defaults.in_flight_of(given),
            id: scope.get("id", &value.id).filter(is_good_id),
            backup: is_backup(given),
        };
        let Some(written) = scope.get("address", &value.address) else {
            if value.address.is_none() {
                let finding = Finding::error("the backend has no address");
                given.report(finding.help("add one, such as address = \"127.0.0.1:9001\""));
            }
            return;
        };
        match address(&written) {
            Some(BackendAddress::Known(address)) => self.add_own(address, common, &written),
            Some(BackendAddress::Name(question)) => {
                name::refuse_weight(&question, given);
                self.add_name(question, common, written);
            }
            None => {}
        }
    }

    fn add_own(&mut self, address: Address, common: Common<'a>, written: &Given<'a, String>) {
        if let Some(first) = self.addresses.get(&address) {
            report_twice(written, &address.to_string(), first);
            return;
        }
        self.addresses.insert(address.clone(), written.mark());
        let names = self.defaults.server_names.as_ref();
        let server_name = names.and_then(|names| pool_tls::server_name(names, written, &address));
        let id = self.take_id(common.id.as_ref().unwrap_or(written));
        self.plans.push(BackendPlan {
            address,
            server_name,
            id,
            name: None,
            weight: common.weight,
            max_in_flight: common.max_in_flight,
            backup: common.backup,
        });
    }

    fn add_name(&mut self, question: Question, common: Common<'a>, written: Given<'a, String>) {
        let mut named = self.named.iter();
        if let Some((_, first)) = named.find(|(plan, _)| plan.question == question) {
            report_twice(&written, &question.to_string(), &first.mark());
            return;
        }
        let names = self.defaults.server_names.as_ref();
        let server_name = names.and_then(|names| name::server_name(names, &question, &written));
        let plan = NamePlan {
            question,
            at: self.plans.len(),
            id: common.id.as_ref().map(|id| self.take_id(id)),
            server_name,
            weight: common.weight,
            max_in_flight: common.max_in_flight,
            backup: common.backup,
            found: Arc::default(),
        };
        self.named.push((plan, written));
    }

    /// What hash and cookie know an entry by; one that another has already is reported.
    fn take_id(&mut self, given: &Given<'a, String>) -> Arc<str> {
        let id: Arc<str> = Arc::from(given.value.as_str());
        if let Some(first) = self.ids.get(&id) {
            let finding = Finding::error(format!("two backends of this pool have the id `{id}`"));
            given.report(finding.also(first, "the first one"));
        }
        self.ids.insert(Arc::clone(&id), given.mark());
        id
    }

    /// What all entries together must not be.
    fn check(&self, pool: &str, list: &Given<'a, List<raw::Backend>>) {
        let count = self.plans.len() + self.named.len();
        // What did not compile is passed over.
        if count == 0 || count < list.value.len() {
            return;
        }
        let named = || self.named.iter().map(|(plan, _)| plan);
        let has_weight =
            self.plans.iter().any(|plan| plan.weight > 0) || named().any(|plan| plan.weight > 0);
        if !has_weight {
            let finding =
                Finding::error(format!("all backends of the pool `{pool}` have weight 0"));
            list.report(
                finding
                    .help("weight 0 keeps new requests away: leave at least one that takes them"),
            );
        }
        if self.plans.iter().all(|plan| plan.backup) && named().all(|plan| plan.backup) {
            let finding = Finding::error(format!("all backends of the pool `{pool}` are backups"));
            list.report(finding.help(
                "a backup is for when the others are not well: leave `backup` out of at least one",
            ));
        }
    }
}

/// What an entry says beside its address.
struct Common<'a> {
    weight: u32,
    max_in_flight: u32,
    id: Option<Given<'a, String>>,
    backup: bool,
}

/// Says that an address or a name stands in the pool already.
fn report_twice<'a>(written: &Given<'a, String>, what: &str, first: &Mark<'a>) {
    let finding = Finding::error(format!("the backend {what} stands in this pool twice"));
    let finding = finding.help("give one of them a higher weight instead");
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

fn address(written: &Given<'_, String>) -> Option<BackendAddress> {
    let address = address::backend(written.value, written.scope.folder());
    address
        .map_err(|error| {
            written.report(Finding::error(error.to_string()).help(error.help(Example::Backend)));
        })
        .ok()
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

/// The words of `header_case`.
pub(in crate::config) const FIELD_CASES: [(&str, FieldCase); 3] = [
    ("keep", FieldCase::Keep),
    ("lower", FieldCase::Lower),
    ("title", FieldCase::Title),
];

/// The words of `forwarded`.
pub(in crate::config) const FORWARDED: [(&str, Words); 3] = [
    ("x-forwarded", Words::XForwarded),
    ("forwarded", Words::Forwarded),
    ("both", Words::Both),
];
