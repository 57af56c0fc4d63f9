//! What a process knows and its successor must not forget.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ahash::RandomState;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::app::outliers::Records;
use crate::backend::steering::WEIGHT_MOST;
use crate::backend::{Backend, BackendKey, Ejection, Health, OperatorWord, SteeredWeight};
use crate::config::{Secret, question};
use crate::discovery::LastGood;
use crate::health::outlier::{Crowd, Record};
use crate::listener::tickets::TicketKey;
use crate::plan::names::Found;
use crate::plan::{Plan, Pool};
use crate::snapshot::{Registry, Snapshot};

/// Live state that goes from one process to the next.
///
/// The two may be of different versions: what is not known is passed over, what is missing is as at a start. A field keeps its
/// meaning for ever; [`State::VERSION`] is for the log, and for whoever has to tell apart one day what this cannot.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// [`State::VERSION`] of the process that has written it; 0 if that said none.
    pub version: u32,
    /// Number of the last configuration.
    pub generation: u64,
    /// The secret of sticky pools that have none of their own, in base64.
    sticky: Option<String>,
    backends: Vec<Known>,
    names: Vec<KnownName>,
    /// The keys that seal session tickets of TLS, the newest first.
    tickets: Vec<TicketKey>,
}

/// Backends that stand as they did.
#[derive(Debug, Default)]
pub(in crate::app) struct Recalled {
    /// They are forgotten again when nobody holds them, so they are to be held until a snapshot does.
    pub(in crate::app) backends: Vec<Arc<Backend>>,
    /// Their ejections that are not forgiven.
    pub(in crate::app) records: Records,
}

/// What a name of backends has given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct KnownName {
    /// As the configuration writes it.
    name: String,
    /// Addresses with the weights of their records, and whether others go before them.
    found: Vec<(SocketAddr, Option<u32>, bool)>,
}

/// What is known of a backend.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Known {
    pool: String,
    /// As the configuration writes it.
    address: String,
    health: String,
    operator: String,
    /// A weight set at run time, and what the configuration said then.
    weight: Option<(u32, u32)>,
    /// For what requests found it is ejected, and for how many milliseconds more.
    ejection: Option<(String, u64)>,
    /// Ejections that are not forgiven.
    ejections: u32,
}

impl State {
    /// The number of this form, one more with each that adds something.
    pub const VERSION: u32 = 2;

    /// What is known now.
    pub(in crate::app) fn of(snapshot: &Snapshot, secret: Option<&Secret>) -> Self {
        let members = snapshot.pools.iter().flat_map(|pool| pool.members.all());
        let mut seen: HashSet<&BackendKey, RandomState> = HashSet::default();
        let backends = members.map(|member| &member.backend);
        let backends = backends.filter(|backend| seen.insert(backend.key()));
        Self {
            version: Self::VERSION,
            generation: snapshot.generation,
            sticky: secret.map(|secret| STANDARD.encode(secret.bytes())),
            backends: backends.map(|backend| Known::of(backend)).collect(),
            names: snapshot.plan.pools.iter().flat_map(KnownName::of).collect(),
            tickets: Vec::new(),
        }
    }

    /// The same, with what is remembered of ejections.
    pub(in crate::app) fn with_ejections(mut self, records: &Records, now: Instant) -> Self {
        let told = records.iter().map(|(key, record)| {
            let left = record.until().map(|it| it.saturating_duration_since(now));
            let left = left.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
            let key = (key.pool.to_string(), key.address.to_string());
            (key, (record.times(), left))
        });
        let mut told: HashMap<(String, String), (u32, Option<u64>), RandomState> = told.collect();
        for known in &mut self.backends {
            let key = (known.pool.clone(), known.address.clone());
            let (times, left) = told.remove(&key).unwrap_or_default();
            known.ejections = times;
            // It may have been readmitted since, or be on its way out.
            let cause = known.ejection.take().map(|(cause, _)| cause);
            known.ejection = cause.zip(left);
        }
        self
    }

    /// The same, with the keys that seal session tickets.
    pub(in crate::app) fn with_tickets(self, tickets: Vec<TicketKey>) -> Self {
        Self { tickets, ..self }
    }

    /// The keys that seal session tickets of TLS, the newest first.
    #[must_use]
    pub fn ticket_keys(&self) -> &[TicketKey] {
        &self.tickets
    }

    /// The secret of sticky pools that have none of their own.
    #[must_use]
    pub fn sticky_secret(&self) -> Option<Secret> {
        let bytes = STANDARD.decode(self.sticky.as_deref()?).ok()?;
        Some(Secret::from_bytes(&bytes))
    }

    /// What names of backends meant, so that a process can begin while no name server answers.
    #[must_use]
    pub fn last_good(&self) -> LastGood {
        let last_good = LastGood::default();
        for known in &self.names {
            if let Some(question) = question(&known.name) {
                last_good.keep(&question, known.found());
            }
        }
        last_good
    }

    /// Has the backends of a plan stand as they did.
    #[must_use]
    pub(in crate::app) fn recall(&self, plan: &Plan, registry: &Registry) -> Recalled {
        let known = self.backends.iter().map(|known| {
            let key = (known.pool.as_str(), known.address.as_str());
            (key, known)
        });
        let known: HashMap<_, _, RandomState> = known.collect();
        let mut recalled = Recalled::default();
        let now = Instant::now();
        for pool in &plan.pools {
            let all = pool.backends.len();
            let mut crowd = Crowd {
                all,
                ejected: 0,
                ready: all,
            };
            for backend in &pool.backends {
                let address = backend.address.to_string();
                let Some(known) = known.get(&(&*pool.name, address.as_str())) else {
                    continue;
                };
                let (backend, _) = registry.adopt(BackendKey {
                    pool: Arc::clone(&pool.name),
                    address: backend.address.clone(),
                });
                backend.set_health(known.health());
                backend.set_operator(known.operator());
                backend.steer_weight(known.weight());
                let record = known.eject(&backend, pool, &mut crowd, now);
                if record.times() > 0 && pool.outlier.is_on() {
                    recalled.records.insert(backend.key().clone(), record);
                }
                recalled.backends.push(backend);
            }
        }
        recalled
    }
}

/// The secret stays out of it.
impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("generation", &self.generation)
            .field("backends", &self.backends)
            .finish_non_exhaustive()
    }
}

impl KnownName {
    fn of(pool: &Pool) -> impl Iterator<Item = Self> {
        let names = pool.names.iter().filter(|name| !name.found.is_empty());
        names.map(|name| Self {
            name: name.question.to_string(),
            found: name
                .found
                .iter()
                .map(|found| (found.address, found.weight, found.backup))
                .collect(),
        })
    }

    fn found(&self) -> Arc<[Found]> {
        let found = self.found.iter();
        let found = found.map(|&(address, weight, backup)| Found {
            address,
            weight,
            backup,
        });
        found.collect()
    }
}

impl Known {
    fn of(backend: &Backend) -> Self {
        let health = match backend.health() {
            Health::Failing => FAILING,
            Health::Unproven => UNPROVEN,
            Health::Well => WELL,
        };
        let operator = match backend.operator() {
            OperatorWord::Draining => DRAINING,
            OperatorWord::Maintenance => MAINTENANCE,
            OperatorWord::Ready => READY,
        };
        Self {
            pool: backend.key().pool.to_string(),
            address: backend.address().to_string(),
            health: health.to_owned(),
            operator: operator.to_owned(),
            weight: backend
                .steered_weight()
                .map(|steered| (steered.weight, steered.configured)),
            // For how long is added by whoever knows.
            ejection: backend.ejection().map(|it| (it.as_str().to_owned(), 0)),
            ejections: 0,
        }
    }

    /// Has it ejected as it was, if what is configured now allows that: whoever is ejected while nobody looks would be for
    /// ever, and the last one that is well must not be.
    fn eject(&self, backend: &Backend, pool: &Pool, crowd: &mut Crowd, now: Instant) -> Record {
        let ejection = self.ejection.as_ref().and_then(|(word, left)| {
            let cause = Ejection::ALL.into_iter().find(|it| it.as_str() == word)?;
            Some((cause, Duration::from_millis(*left)))
        });
        let may = pool.outlier.is_on() && crowd.may_lose_one(&pool.outlier);
        let ejection = ejection.filter(|_| may);
        if let Some((cause, _)) = ejection {
            backend.stay_ejected(cause);
            crowd.ejected += 1;
            crowd.ready -= 1;
        }
        let left = ejection.map(|(_, left)| left.min(pool.outlier.max_ejection));
        Record::resume(self.ejections.max(u32::from(left.is_some())), left, now)
    }

    /// A word that is not known here is no reason to keep a backend out.
    fn health(&self) -> Health {
        match self.health.as_str() {
            FAILING => Health::Failing,
            UNPROVEN => Health::Unproven,
            _ => Health::Well,
        }
    }

    fn operator(&self) -> OperatorWord {
        match self.operator.as_str() {
            DRAINING => OperatorWord::Draining,
            MAINTENANCE => OperatorWord::Maintenance,
            _ => OperatorWord::Ready,
        }
    }

    /// Whether the file says another weight by now is for the snapshot to see.
    fn weight(&self) -> Option<SteeredWeight> {
        let (weight, configured) = self.weight?;
        let weight = weight.min(WEIGHT_MOST);
        Some(SteeredWeight { weight, configured })
    }
}

const FAILING: &str = "failing";
const UNPROVEN: &str = "unproven";
const WELL: &str = "well";
const DRAINING: &str = "draining";
const MAINTENANCE: &str = "maintenance";
const READY: &str = "ready";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Options, load_text};
    use crate::health::outlier::Policy;
    use crate::plan::names::NamePlan;

    fn plan(text: &str) -> Arc<Plan> {
        let path = std::path::Path::new("test.toml");
        Arc::new(load_text(text, path, &Options::new()).unwrap().plan)
    }

    const SHOP: &str = "[listeners.web]\naddress = \"127.0.0.1:0\"\n\
        [[routes]]\npath_prefix = \"/\"\npool = \"shop\"\n\
        [pools.shop]\nhealth = { path = \"/\" }\n\
        backends = [{ address = \"127.0.0.1:1\" }, { address = \"127.0.0.1:2\" }, { address = \"127.0.0.1:3\" }]\n";

    #[test]
    fn standings_survive_and_what_is_unknown_is_passed_over() {
        let plan = plan(SHOP);
        let (old, new) = (Arc::new(Registry::new(1, 0)), Arc::new(Registry::new(2, 0)));
        let before = Snapshot::assemble(Arc::clone(&plan), &old, 7);
        let of = |snapshot: &Snapshot| -> Vec<_> {
            let members = snapshot.pools[0].members.all().iter();
            let backends = members.map(|member| &member.backend);
            let known = |one: &Arc<Backend>| (one.health(), one.operator(), one.steered_weight());
            backends.map(known).collect()
        };
        let members = before.pools[0].members.all();
        members[0].backend.set_health(Health::Failing);
        members[1].backend.set_operator(OperatorWord::Draining);
        members[2].backend.set_operator(OperatorWord::Maintenance);
        members[2].backend.steer_weight(Some(SteeredWeight {
            weight: 7,
            configured: 1,
        }));
        let secret = Secret::from_bytes(b"of more than sixteen bytes");
        let state = State::of(&before, Some(&secret));
        let mut text = serde_json::to_value(&state).unwrap();
        text["of another version"] = 1.into();
        text["backends"][0]["ejected"] = true.into();
        let read: State = serde_json::from_value(text).unwrap();
        assert_eq!(read, state);
        assert_eq!((read.generation, read.sticky_secret()), (7, Some(secret)));
        assert!(!format!("{read:?}").contains(&STANDARD.encode("of more")[..8]));
        let recalled = read.recall(&plan, &new);
        let after = Snapshot::assemble(plan, &new, 8);
        drop(recalled);
        assert_eq!(read.version, State::VERSION);
        assert_eq!(of(&after), of(&before));
        // They take effect at once, not only when health has its next say.
        let rebuilt = before.anew(&["shop".into()].into(), &old);
        let eligible = |snapshot: &Snapshot| snapshot.pools[0].members.eligible().to_vec();
        assert_eq!(eligible(&after), eligible(&rebuilt));
        assert_ne!(eligible(&after), eligible(&before));
    }

    /// Those of a pool of three of which the first two are out, as the next process takes them on by `plan`.
    fn ejected(next: &Plan) -> Vec<(Option<Ejection>, Option<Record>)> {
        let (old, new) = (Arc::new(Registry::new(1, 0)), Registry::new(1, 0));
        let before = Snapshot::assemble(plan(SHOP), &old, 1);
        let now = Instant::now();
        let policy = Policy::default();
        let mut records = Records::default();
        for (member, cause) in before.pools[0].members.all().iter().zip(Ejection::ALL) {
            let mut record = Record::default();
            record.eject(now, &policy);
            record.eject(now, &policy);
            member.backend.eject(cause);
            records.insert(member.backend.key().clone(), record);
        }
        let later = now + Duration::from_secs(20);
        let state = State::of(&before, None).with_ejections(&records, later);
        let text = serde_json::to_string(&state).unwrap();
        let state: State = serde_json::from_str(&text).unwrap();
        let recalled = state.recall(next, &new);
        let backends = recalled.backends.iter();
        let records = backends.map(|backend| {
            let record = recalled.records.get(backend.key()).copied();
            (backend.ejection(), record)
        });
        records.collect()
    }

    #[test]
    fn ejections_go_on_with_what_is_left_of_them_and_are_doubled_still() {
        let mut next = (*plan(SHOP)).clone();
        next.pools[0].outlier.max_ejected = 100;
        let before = Instant::now();
        let of = ejected(&next);
        let causes: Vec<_> = of.iter().map(|(cause, _)| *cause).collect();
        let [first, second] = Ejection::ALL.map(Some);
        assert_eq!(causes, [first, second, None]);
        for (_, record) in &of[..2] {
            let record = record.unwrap();
            // Twice 30 seconds, of which 20 are over.
            let left = record.until().unwrap() - before;
            let forty = Duration::from_secs(40);
            assert!(left >= forty && left < forty * 2, "{left:?}");
            assert_eq!(record.times(), 2);
        }
        assert_eq!(of[2].1, None);
    }

    #[test]
    fn nobody_is_ejected_whom_the_new_configuration_would_not_eject() {
        // Half of three at most.
        let of = ejected(&plan(SHOP));
        assert!(of[0].0.is_some() && of[1].0.is_none());
        let times: Vec<_> = of.iter().map(|(_, it)| it.map(|it| it.times())).collect();
        assert_eq!(times, [Some(2), Some(2), None]);
        let mut next = (*plan(SHOP)).clone();
        next.pools[0].outlier.max_ejected = 0;
        assert!(ejected(&next).iter().all(|it| *it == (None, None)));
        let mut alone = (*plan(SHOP)).clone();
        alone.pools[0].backends.truncate(1);
        assert_eq!(ejected(&alone)[0].0, None, "it is the last one");
    }

    #[test]
    fn what_names_meant_survives() {
        let mut plan = (*plan(SHOP)).clone();
        let found: Arc<[Found]> = [([10, 0, 0, 1], None, false), ([10, 0, 0, 2], Some(7), true)]
            .map(|(ip, weight, backup)| Found {
                address: (ip, 80).into(),
                weight,
                backup,
            })
            .into();
        let question = question("srv:_http._tcp.shop.test").unwrap();
        plan.pools[0].names.push(NamePlan {
            question: question.clone(),
            at: 0,
            id: None,
            server_name: None,
            weight: 1,
            max_in_flight: 0,
            backup: false,
            found: Arc::clone(&found),
        });
        let registry = Arc::new(Registry::new(1, 0));
        let snapshot = Snapshot::assemble(Arc::new(plan), &registry, 1);
        let text = serde_json::to_string(&State::of(&snapshot, None)).unwrap();
        let state: State = serde_json::from_str(&text).unwrap();
        assert_eq!(state.last_good().get(&question), Some(found));
    }

    #[test]
    fn of_an_older_version_that_says_nothing_all_is_as_at_a_start() {
        let state: State = serde_json::from_str("{}").unwrap();
        assert_eq!(state, State::default());
        assert!(state.sticky_secret().is_none());
        assert!(state.last_good().is_empty());
        let recalled = state.recall(&plan(SHOP), &Registry::new(1, 0));
        assert!(recalled.backends.is_empty() && recalled.records.is_empty());
        assert!(state.ticket_keys().is_empty());
    }
}
