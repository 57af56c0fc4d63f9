//! From raw settings to the plan. Pure.
//!
//! *What enters*: the raw settings of all files, and what was read outside for them. *What leaves*: a [`Plan`] in which
//! names are indexes, units are applied and nothing is missing; and every problem, in the collector. Whoever reports an
//! error goes on with a default, so that one run finds all of them; a plan made along with errors is thrown away.
//!
//! In reading order: [`scope`] (taking values, reporting problems), [`units`], [`address`], then a file for each table:
//! [`process`] with [`export`], [`listener`] with [`tls`], [`route`] with [`conditions`], [`action`], [`template`], [`fields`] and
//! [`page`], [`pool`] with [`name`] and [`pool_tls`], [`sticky`], [`health`]; here what goes over all files: names and addresses that
//! must not be twice.
//!
//! Deliberately absent: files, clocks, the network (`outside` was there before).

mod action;
mod address;
mod conditions;
mod drain;
mod export;
mod fields;
pub(super) mod health;
mod limits;
mod listener;
mod name;
mod outlier;
mod page;
pub(super) mod pool;
mod pool_tls;
pub(super) mod process;
mod retry;
mod route;
mod scope;
pub(super) mod sticky;
mod template;
mod tls;
mod units;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::outside::Outside;
use super::problem::{Collector, Finding, Mark};
use super::raw::loose::{Field, Named, Shape};
use super::raw::{self, File};
use super::read::Read;
use crate::plan::listener::ListenAddress;
use crate::plan::{Admin, Dns, Listener, Plan, Pool};
use action::Pools;
use scope::{Given, Scope};

/// Compiles all files into one plan. Worth something only if the collector has no errors afterwards.
pub(super) fn compile(read: &Read, outside: &Outside, collector: &Collector) -> Plan {
    let roots: Vec<Root<'_>> = read
        .documents
        .iter()
        .map(|document| Root {
            raw: &document.raw,
            scope: Scope::root(collector, document),
        })
        .collect();
    refuse_includes_below(&roots);
    let listener_tables = named("listener", "listeners", &roots, |raw| &raw.listeners);
    let pool_tables = named("pool", "pools", &roots, |raw| &raw.pools);
    let listener_names = Names::new("listener", &listener_tables, read);
    let pool_names = Names::new("pool", &pool_tables, read);

    let admin_table = single("admin", &roots, |raw| &raw.admin);
    let admin = admin_table
        .as_ref()
        .and_then(|given| process::admin(given, outside));
    let listeners: Vec<Option<Listener>> = listener_tables
        .iter()
        .map(|(name, given)| listener::listener(name, given, outside))
        .collect();
    refuse_shared_addresses(
        &listener_tables,
        &listeners,
        admin_table.as_ref().zip(admin.as_ref()),
    );
    let pools: Vec<Pool> = pool_tables
        .iter()
        .map(|(name, given)| pool::pool(name, given, outside))
        .collect();
    let mut lead_to = Pools::new(&pool_names, &pools);
    let route_tables: Vec<_> = roots
        .iter()
        .filter_map(|root| root.scope.get("routes", &root.raw.routes))
        .flat_map(|list| list.elements())
        .collect();
    let routes = route::routes(&route_tables, &listener_names, &mut lead_to, outside);
    if read.broken == 0 {
        demand_the_needed(
            &roots,
            [listener_tables.len(), route_tables.len(), pool_tables.len()],
            route_tables.iter().all(answers_by_itself),
        );
        warn_of_unused(&pool_tables, lead_to.used());
    }
    Plan {
        server: process::server(
            single("server", &roots, |raw| &raw.server).as_ref(),
            outside.cores,
        ),
        admin,
        log: process::log(single("log", &roots, |raw| &raw.log).as_ref()),
        trace: process::trace(single("trace", &roots, |raw| &raw.trace).as_ref(), outside),
        dns: process::dns(single("dns", &roots, |raw| &raw.dns).as_ref()),
        listeners: listeners.into_iter().flatten().map(Arc::new).collect(),
        routes,
        pools,
    }
}

/// How names are asked for: needed before all else can be compiled. Its problems are reported then.
pub(super) fn dns(read: &Read, scratch: &Collector) -> Dns {
    let roots: Vec<Root<'_>> = read
        .documents
        .iter()
        .map(|document| Root {
            raw: &document.raw,
            scope: Scope::root(scratch, document),
        })
        .collect();
    process::dns(single("dns", &roots, |raw| &raw.dns).as_ref())
}

/// One file.
struct Root<'a> {
    raw: &'a File,
    scope: Scope<'a>,
}

/// Tables by name, in the order of the files.
type Tables<'a, T> = Vec<(&'a str, Given<'a, T>)>;

/// The names of one kind of thing, by which others refer to it.
struct Names<'a> {
    kind: &'static str,
    indexes: HashMap<&'a str, usize>,
    /// Whether a name that is not here exists nowhere: a file that could not be read may have had it.
    whole: bool,
}

impl<'a> Names<'a> {
    fn new<T>(kind: &'static str, tables: &Tables<'a, T>, read: &Read) -> Self {
        let indexes = tables
            .iter()
            .enumerate()
            .map(|(index, (name, _))| (*name, index))
            .collect();
        Self {
            kind,
            indexes,
            whole: read.broken == 0,
        }
    }

    /// The index of the thing that is named; a name that does not exist is reported.
    fn find(&self, written: &Given<'_, String>) -> Option<usize> {
        let index = self.indexes.get(written.value.as_str()).copied();
        if index.is_none() && self.whole {
            // The lowest name first, for the same message every time.
            let mut names: Vec<&str> = self.indexes.keys().copied().collect();
            names.sort_unstable();
            let finding = Finding::error(format!("there is no {} `{}`", self.kind, written.value));
            let listed = match names.len() {
                0 => finding,
                count if count <= NAMES_LISTED => {
                    finding.help(format!("there are: {}", names.join(", ")))
                }
                count => finding.help(format!("there are {count} others")),
            };
            written.report(listed.suggest(written.value, names));
        }
        index
    }
}

/// The tables below `key` in all files. A name that is there twice is reported, and the first one counts.
fn named<'a, T: Shape>(
    kind: &'static str,
    key: &str,
    roots: &[Root<'a>],
    field: impl Fn(&'a File) -> &'a Field<Named<T>>,
) -> Tables<'a, T> {
    let mut first: HashMap<&str, Mark<'a>> = HashMap::new();
    let mut tables = Vec::new();
    for root in roots {
        let Some(given) = root.scope.get(key, field(root.raw)) else {
            continue;
        };
        for (name, table) in given.entries() {
            if let Some(first) = first.get(name) {
                let finding =
                    Finding::error(format!("the {kind} `{name}` is defined a second time"));
                table.report(finding.also(first, "the first one"));
                continue;
            }
            if !is_good_name(name) {
                let finding = Finding::error(format!("{name:?} cannot be the name of a {kind}"));
                table.report(finding.help("letters, digits, `-`, `_` and `.` can: names stand in URLs, commands and labels"));
            }
            first.insert(name, table.mark());
            tables.push((name, table));
        }
    }
    tables
}

/// The table `key`, which one of the files may have.
fn single<'a, T: Shape>(
    key: &str,
    roots: &[Root<'a>],
    field: impl Fn(&'a File) -> &'a Field<T>,
) -> Option<Given<'a, T>> {
    let mut tables = roots
        .iter()
        .filter_map(|root| root.scope.get(key, field(root.raw)));
    let first = tables.next()?;
    for second in tables {
        let finding = Finding::error(format!("[{key}] is defined a second time"));
        second.report(finding.also(&first.mark(), "the first one"));
    }
    Some(first)
}

fn is_good_name(name: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !name.is_empty() && name.bytes().all(is_good)
}

/// Only the first file includes: whoever wants to know what is read looks in one place, and nothing goes in circles.
fn refuse_includes_below(roots: &[Root<'_>]) {
    for (index, root) in roots.iter().enumerate() {
        let Some(include) = root.scope.get("include", &root.raw.include) else {
            continue;
        };
        if index == 0 {
            // Read already; here the elements of a wrong type are reported.
            include.elements();
        } else {
            include.report(
                Finding::error("an included file cannot include others")
                    .help("move this to the first file"),
            );
        }
    }
}

/// Reports addresses that two listeners would fight for, the admin listener being one of them.
fn refuse_shared_addresses(
    tables: &Tables<'_, raw::listener::Listener>,
    listeners: &[Option<Listener>],
    admin: Option<(&Given<'_, raw::process::Admin>, &Admin)>,
) {
    let listeners = tables
        .iter()
        .zip(listeners)
        .filter_map(|((name, given), listener)| {
            // What did not compile has been reported; its place must not be asked for again.
            let address = &listener.as_ref()?.address;
            let place = given.scope.get("address", &given.value.address)?;
            Some((format!("the listener `{name}`"), place, address))
        });
    let admin = admin.and_then(|(given, admin)| {
        let place = given.scope.get("address", &given.value.address)?;
        Some(("the admin listener".to_owned(), place, &admin.address))
    });
    let all: Vec<_> = listeners.chain(admin).collect();
    for (index, (_, place, address)) in all.iter().enumerate() {
        let before = all[..index]
            .iter()
            .find(|(_, _, other)| collide(address, other));
        if let Some((name, first, other)) = before {
            let finding = Finding::error(format!("{address} is taken: {name} listens on {other}"));
            place.report(finding.also(&first.mark(), "the first one"));
        }
    }
}

/// Whether the kernel would refuse the second of these addresses. A wildcard has the port of every address of its
/// family: Linux lets both be bound if both sockets share their port, but then who gets a connection depends on
/// which one was named, and a second process looks the same as ours. IPv4 and IPv6 are apart: `[::]` means IPv6 only.
fn collide(one: &ListenAddress, other: &ListenAddress) -> bool {
    match (one, other) {
        (ListenAddress::Unix(one), ListenAddress::Unix(other)) => one == other,
        (ListenAddress::Tcp(one), ListenAddress::Tcp(other)) => collide_tcp(*one, *other),
        (ListenAddress::Tcp(_), ListenAddress::Unix(_))
        | (ListenAddress::Unix(_), ListenAddress::Tcp(_)) => false,
    }
}

fn collide_tcp(one: SocketAddr, other: SocketAddr) -> bool {
    let wildcard = one.ip().is_unspecified() || other.ip().is_unspecified();
    // Port 0 is another one every time.
    one.port() == other.port()
        && one.port() != 0
        && one.is_ipv4() == other.is_ipv4()
        && (wildcard || one.ip() == other.ip())
}

/// Whether a route needs no pool.
fn answers_by_itself(route: &Given<'_, raw::route::Route>) -> bool {
    let raw = route.value;
    raw.pool.is_none() && (raw.redirect.is_some() || raw.respond.is_some())
}

/// Nothing can be served without a listener, a route and, if not all routes answer by themselves, a pool.
fn demand_the_needed(roots: &[Root<'_>], counts: [usize; 3], all_by_themselves: bool) {
    let Some(root) = roots.first() else { return };
    let needed = [
        (
            "listener",
            root.raw.listeners.is_some(),
            "add [listeners.web] with address = \"0.0.0.0:8080\"",
        ),
        (
            "route",
            root.raw.routes.is_some(),
            "add [[routes]] with path_prefix = \"/\" and pool = \"NAME\"",
        ),
        (
            "pool",
            root.raw.pools.is_some() || (counts[1] > 0 && all_by_themselves),
            "add [pools.shop] with backends = [{ address = \"127.0.0.1:9001\" }]",
        ),
    ];
    for ((kind, written, help), count) in needed.into_iter().zip(counts) {
        // What is written and of a wrong type has its own problem.
        if count == 0 && !written {
            root.scope
                .report_file(Finding::error(format!("there is no {kind}")).help(help));
        }
    }
}

fn warn_of_unused(tables: &Tables<'_, raw::pool::Pool>, used: &[bool]) {
    for ((name, given), _) in tables.iter().zip(used).filter(|(_, used)| !**used) {
        let finding = Finding::warning(format!("no route leads to the pool `{name}`"));
        given.report(finding.help("it takes no requests"));
    }
}

/// Names in a message, beyond which nobody reads them.
const NAMES_LISTED: usize = 12;

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn addresses_that_collide() {
        let tcp = |text: &str| ListenAddress::Tcp(text.parse().unwrap());
        for (one, other, verdict) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("0.0.0.0:80", "127.0.0.1:81", false),
            ("0.0.0.0:80", "[::]:80", false),
            ("[::]:80", "[::1]:80", true),
            ("127.0.0.1:0", "127.0.0.1:0", false),
        ] {
            assert_eq!(collide(&tcp(one), &tcp(other)), verdict, "{one} {other}");
            assert_eq!(collide(&tcp(other), &tcp(one)), verdict, "{other} {one}");
        }
        let unix = |path: &str| ListenAddress::Unix(PathBuf::from(path));
        assert!(collide(&unix("/a"), &unix("/a")));
        assert!(!collide(&unix("/a"), &tcp("127.0.0.1:80")));
    }
}
