//! One question, one answer: hickory's stub resolver, and what is made of its records.
//!
//! The hosts file goes before any server, for names as they are written; hickory would look there only for the first
//! name of the search list. Nothing is cached: who asks, asks because the time is over. What the system's files say is read
//! anew when they change, as a laptop's or a container's do.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::{Hosts, TokioResolver, system_conf};
use tokio::task::JoinSet;

use super::{Answer, LookupError};
use crate::plan::Dns;
use crate::plan::names::{Found, Question};

/// Asks. Clones are one resolver.
#[derive(Clone, Debug)]
pub struct Resolver {
    settings: Arc<Dns>,
    current: Arc<Mutex<Option<Current>>>,
}

/// What was made of the system's files as they were.
#[derive(Clone)]
struct Current {
    stamp: Stamp,
    inner: TokioResolver,
    hosts: Arc<Hosts>,
    /// What names are completed with, and how many dots make one be tried as it is first.
    search: Arc<[Name]>,
    dots: usize,
}

type Stamp = [Option<(SystemTime, u64)>; 2];

/// Addresses, and how long they are good.
type Addresses = (Vec<IpAddr>, Duration);

impl Resolver {
    /// A resolver by these settings. Reads nothing yet.
    #[must_use]
    pub fn new(settings: Dns) -> Self {
        Self {
            settings: Arc::new(settings),
            current: Arc::default(),
        }
    }

    /// The settings it asks by.
    #[must_use]
    pub fn settings(&self) -> &Dns {
        &self.settings
    }

    /// Asks one question, within the settings' timeout. Must run on a tokio runtime. Cancel-safe.
    ///
    /// # Errors
    /// When there is no answer with an address in it.
    pub async fn ask(&self, question: &Question) -> Result<Answer, LookupError> {
        let timeout = self.settings.timeout;
        match tokio::time::timeout(timeout, self.look_up(question)).await {
            Ok(answer) => answer,
            Err(_) => Err(LookupError::TooLate(timeout)),
        }
    }

    async fn look_up(&self, question: &Question) -> Result<Answer, LookupError> {
        let current = self.current()?;
        let (mut found, ttl) = match question {
            Question::Host { name, port } => {
                let (addresses, ttl) = self.addresses(&current, &parse(name)?).await?;
                let found = addresses.into_iter().map(|ip| Found {
                    address: SocketAddr::new(ip, *port),
                    weight: None,
                    backup: false,
                });
                (found.collect(), ttl)
            }
            Question::Service(name) => self.service(&current, &parse(name)?).await?,
        };
        found.retain(Found::is_somewhere);
        if found.is_empty() {
            return Err(LookupError::Nothing);
        }
        Ok(Answer { found, ttl })
    }

    /// The addresses of a host, of one family. If a name has both, IPv4 is taken: `localhost` has both nearly everywhere,
    /// while many servers bind to 127.0.0.1 only, and a machine with two addresses would count twice. IPv6 is asked for
    /// only if there certainly is no IPv4, so that a name server's bad moment does not change the family.
    async fn addresses(&self, current: &Current, name: &Name) -> Result<Addresses, LookupError> {
        for kind in [RecordType::A, RecordType::AAAA] {
            let query = Query::query(name.clone(), kind);
            if let Some(lookup) = current.hosts.lookup_static_host(&query) {
                let ips = lookup.answers().iter();
                let ips = ips.filter_map(|record| record.data.ip_addr());
                return Ok((ips.collect(), HOSTS_TTL));
            }
        }
        let mut worst = LookupError::NoSuchName;
        for name in current.candidates(name) {
            let found = match self.records(current, &name, RecordType::A).await {
                Err(LookupError::Nothing) => self.records(current, &name, RecordType::AAAA).await,
                other => other,
            };
            match found {
                Ok(found) => return Ok(found),
                Err(error) => worst = worst.worse(error),
            }
        }
        Err(worst)
    }

    async fn records(
        &self,
        current: &Current,
        name: &Name,
        kind: RecordType,
    ) -> Result<Addresses, LookupError> {
        let lookup = self.query(current, name, kind).await?;
        let (records, ttl) = chain(&lookup);
        let of_kind = records.iter().filter(|record| record.record_type() == kind);
        let ips: Vec<IpAddr> = of_kind.filter_map(|record| record.data.ip_addr()).collect();
        if ips.is_empty() {
            return Err(LookupError::Nothing);
        }
        Ok((ips, ttl))
    }

    /// The hosts of a service with their addresses. A host that certainly has none is passed over; one of which nobody knows
    /// makes the whole answer unknown, for otherwise a bad moment would take its backends out.
    async fn service(
        &self,
        current: &Current,
        name: &Name,
    ) -> Result<(Vec<Found>, Duration), LookupError> {
        let lookup = self.services(current, name).await?;
        let (records, mut ttl) = chain(&lookup);
        let mut services: Vec<&SRV> = records
            .iter()
            .filter_map(|record| match &record.data {
                RData::SRV(srv) if !srv.target.is_root() => Some(srv),
                _ => None,
            })
            .collect();
        services.sort_by_key(|srv| (srv.priority, srv.port, srv.target.clone()));
        services.truncate(self.settings.max_addresses);
        let first = services.first().map(|srv| srv.priority);
        let hosts = services.iter().map(|srv| srv.target.clone()).collect();
        let hosts = self.hosts(current, hosts).await;
        let mut found = Vec::new();
        for srv in services {
            let (addresses, theirs) = match hosts.get(&srv.target) {
                Some(Ok(found)) => found,
                Some(Err(LookupError::NoSuchName | LookupError::Nothing)) => continue,
                Some(Err(error)) => return Err(error.clone()),
                None => return Err(LookupError::Failed("a lookup broke off".to_owned())),
            };
            ttl = ttl.min(*theirs);
            found.extend(addresses.iter().map(|&ip| Found {
                address: SocketAddr::new(ip, srv.port),
                // RFC 2782: 0 is a share all the same, the least there is.
                weight: Some(u32::from(srv.weight).max(1)),
                backup: Some(srv.priority) != first,
            }));
        }
        Ok((found, ttl))
    }

    async fn services(&self, current: &Current, name: &Name) -> Result<Lookup, LookupError> {
        let mut worst = LookupError::NoSuchName;
        for name in current.candidates(name) {
            match self.query(current, &name, RecordType::SRV).await {
                Ok(lookup) => return Ok(lookup),
                Err(error) => worst = worst.worse(error),
            }
        }
        Err(worst)
    }

    /// The addresses of hosts, a few at once.
    async fn hosts(
        &self,
        current: &Current,
        mut hosts: BTreeSet<Name>,
    ) -> BTreeMap<Name, Result<Addresses, LookupError>> {
        let mut found = BTreeMap::new();
        let mut running = JoinSet::new();
        loop {
            while running.len() < HOSTS_AT_ONCE
                && let Some(host) = hosts.pop_first()
            {
                let (resolver, current) = (self.clone(), current.clone());
                running.spawn(async move {
                    let mut name = host.clone();
                    name.set_fqdn(true);
                    (host, resolver.addresses(&current, &name).await)
                });
            }
            match running.join_next().await {
                Some(Ok((host, addresses))) => found.insert(host, addresses),
                Some(Err(_)) => continue,
                None => return found,
            };
        }
    }

    async fn query(
        &self,
        current: &Current,
        name: &Name,
        kind: RecordType,
    ) -> Result<Lookup, LookupError> {
        let lookup = current.inner.lookup(name.clone(), kind).await;
        lookup.map_err(|error| self.error(&error))
    }

    fn error(&self, error: &NetError) -> LookupError {
        match error {
            NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
                ResponseCode::NXDomain => LookupError::NoSuchName,
                ResponseCode::NoError => LookupError::Nothing,
                code => LookupError::Failed(format!("the name server answers {code}")),
            },
            NetError::Dns(DnsError::ResponseCode(code)) => {
                LookupError::Failed(format!("the name server answers {code}"))
            }
            NetError::Timeout => LookupError::TooLate(self.settings.timeout),
            other => LookupError::Failed(other.to_string()),
        }
    }

    /// The resolver by the system's files as they are now.
    fn current(&self) -> Result<Current, LookupError> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = [RESOLV_CONF, HOSTS].map(|path| {
            let found = fs::metadata(path).ok()?;
            Some((found.modified().ok()?, found.len()))
        });
        if let Some(current) = current.as_ref().filter(|current| current.stamp == stamp) {
            // What is younger than a TTL is not asked for again, but for what several questions lead to.
            current.inner.clear_cache();
            return Ok(current.clone());
        }
        let made = self.make(stamp)?;
        Ok(current.insert(made).clone())
    }

    fn make(&self, stamp: Stamp) -> Result<Current, LookupError> {
        let (config, options) = self.system();
        let search: BTreeSet<&Name> = config.search().iter().collect();
        let domain = config.domain().filter(|domain| !search.contains(domain));
        let search = config.search().iter().chain(domain).cloned().collect();
        let dots = options.ndots;
        let provider = TokioRuntimeProvider::default();
        let mut builder = TokioResolver::builder_with_config(config, provider);
        *builder.options_mut() = options;
        let options = builder.options_mut();
        // A datagram may be lost: there is time for one more.
        options.timeout = self.settings.timeout / 2;
        options.attempts = 1;
        options.cache_size = 0;
        options.negative_max_ttl = Some(Duration::ZERO);
        options.preserve_intermediates = true;
        options.use_hosts_file = ResolveHosts::Never;
        options.edns0 = true;
        // More would be refused on one TCP connection, on which all long answers come.
        options.max_active_requests = REQUESTS_MOST;
        let failed = |error: NetError| LookupError::Failed(error.to_string());
        Ok(Current {
            stamp,
            inner: builder.build().map_err(failed)?,
            hosts: Arc::new(Hosts::from_system().unwrap_or_default()),
            search,
            dots,
        })
    }

    /// Whom to ask, and how names are completed. Without `/etc/resolv.conf`, or with none that names a server, it is the one
    /// of this machine, as the C library has it.
    fn system(&self) -> (ResolverConfig, ResolverOpts) {
        if self.settings.servers.is_empty() {
            let own = || {
                let server = server_at(SocketAddr::from(([127, 0, 0, 1], 53)));
                let config = ResolverConfig::from_name_servers(vec![server]);
                (config, ResolverOpts::default())
            };
            return system_conf::read_system_conf().unwrap_or_else(|_| own());
        }
        let servers = self.settings.servers.iter().copied().map(server_at);
        (
            ResolverConfig::from_name_servers(servers.collect()),
            ResolverOpts::default(),
        )
    }
}

impl Current {
    /// The names that a name may stand for, in the order in which they are tried (resolv.conf(5)). Not left to hickory, which
    /// asks all of them for one type before it asks any for another.
    fn candidates(&self, name: &Name) -> Vec<Name> {
        let mut whole = name.clone();
        whole.set_fqdn(true);
        if name.is_fqdn() {
            return vec![whole];
        }
        let search = self.search.iter();
        let completed = search.filter_map(|search| name.clone().append_domain(search).ok());
        let mut all: Vec<Name> = completed.collect();
        let has_dots = usize::from(name.num_labels()) > self.dots;
        all.insert(if has_dots { 0 } else { all.len() }, whole);
        for name in &mut all {
            name.set_fqdn(true);
        }
        all
    }
}

impl std::fmt::Debug for Current {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Current")
            .field("stamp", &self.stamp)
            .finish_non_exhaustive()
    }
}

fn server_at(address: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
    let connections = connections.map(|mut connection| {
        connection.port = address.port();
        connection
    });
    // What does not exist for one server may for another: who has several has them for different zones at times.
    NameServerConfig::new(address.ip(), true, connections.into())
}

fn parse(name: &str) -> Result<Name, LookupError> {
    Name::from_utf8(name).map_err(|error| LookupError::Failed(error.to_string()))
}

/// The records of an answer that are about the name that was asked for, by way of its aliases, and how long all of them
/// are good. A server may add what it likes; it is not believed.
fn chain(lookup: &Lookup) -> (Vec<&Record>, Duration) {
    let mut names = BTreeSet::from([lookup.query().name()]);
    let mut records = Vec::new();
    // Aliases may stand in any order.
    for _ in 0..ALIASES_MOST {
        let about = |record: &&Record| names.contains(&record.name);
        records = lookup.answers().iter().filter(about).collect();
        let targets: BTreeSet<&Name> = records
            .iter()
            .filter_map(|record| match &record.data {
                RData::CNAME(alias) => Some(&alias.0),
                _ => None,
            })
            .collect();
        let before = names.len();
        names.extend(targets);
        if names.len() == before {
            break;
        }
    }
    // Where an alias took a second query, hickory has the query of that one with the aliases of both.
    let aliases = lookup.answers().iter();
    let aliases = aliases.filter(|record| record.record_type() == RecordType::CNAME);
    let ttl = records.iter().copied().chain(aliases);
    let ttl = ttl.map(|record| record.ttl).min();
    (records, Duration::from_secs(u64::from(ttl.unwrap_or(0))))
}

const RESOLV_CONF: &str = "/etc/resolv.conf";
const HOSTS: &str = "/etc/hosts";

/// The file says nothing of it; to look at it again costs nothing.
const HOSTS_TTL: Duration = Duration::from_secs(5);

/// As many lookups as there are at once, of hosts of as many services.
const REQUESTS_MOST: usize = 1024;

/// Hosts of one service that are asked for at once.
const HOSTS_AT_ONCE: usize = 16;

/// Longer than hickory follows them.
const ALIASES_MOST: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_are_completed_as_the_system_says() {
        let current = Resolver::new(Dns::default()).make([None, None]).unwrap();
        let search = ["shop.svc.test", "test."].map(|name| parse(name).unwrap());
        let current = Current {
            search: search.into(),
            dots: 2,
            ..current
        };
        let candidates = |name: &str| {
            let all = current.candidates(&parse(name).unwrap());
            all.iter().map(Name::to_utf8).collect::<Vec<_>>()
        };
        assert_eq!(
            candidates("web"),
            ["web.shop.svc.test.", "web.test.", "web."]
        );
        assert_eq!(
            candidates("a.b.web"),
            ["a.b.web.", "a.b.web.shop.svc.test.", "a.b.web.test."]
        );
        assert_eq!(candidates("web."), ["web."]);
    }
}
