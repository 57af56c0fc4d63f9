//! What a process knows and its successor must not forget.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;

use ahash::RandomState;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::backend::steering::WEIGHT_MOST;
use crate::backend::{Backend, BackendKey, Health, OperatorWord, SteeredWeight};
use crate::config::{Secret, question};
use crate::discovery::LastGood;
use crate::plan::names::Found;
use crate::plan::{Plan, Pool};
use crate::snapshot::{Registry, Snapshot};

/// Live state that goes from one process to the next.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// Number of the last configuration.
    pub generation: u64,
    /// The secret of sticky pools that have none of their own, in base64.
    sticky: Option<String>,
    backends: Vec<Known>,
    names: Vec<KnownName>,
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
}

impl State {
    /// What is known now.
    pub(in crate::app) fn of(snapshot: &Snapshot, secret: Option<&Secret>) -> Self {
        let members = snapshot.pools.iter().flat_map(|pool| pool.members.all());
        let mut seen: HashSet<&BackendKey, RandomState> = HashSet::default();
        let backends = members.map(|member| &member.backend);
        let backends = backends.filter(|backend| seen.insert(backend.key()));
        Self {
            generation: snapshot.generation,
            sticky: secret.map(|secret| STANDARD.encode(secret.bytes())),
            backends: backends.map(|backend| Known::of(backend)).collect(),
            names: snapshot.plan.pools.iter().flat_map(KnownName::of).collect(),
        }
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

    /// Has the backends of a plan stand as they did. They are forgotten again when nobody holds what is returned, so it is to
    /// be held until a snapshot of the plan does.
    #[must_use]
    pub(in crate::app) fn recall(&self, plan: &Plan, registry: &Registry) -> Vec<Arc<Backend>> {
        let known = self.backends.iter().map(|known| {
            let key = (known.pool.as_str(), known.address.as_str());
            (key, known)
        });
        let known: std::collections::HashMap<_, _, RandomState> = known.collect();
        let mut recalled = Vec::new();
        for pool in &plan.pools {
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
                recalled.push(backend);
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
        }
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
        assert_eq!(of(&after), of(&before));
        // They take effect at once, not only when health has its next say.
        let rebuilt = before.anew(&["shop".into()].into(), &old);
        let eligible = |snapshot: &Snapshot| snapshot.pools[0].members.eligible().to_vec();
        assert_eq!(eligible(&after), eligible(&rebuilt));
        assert_ne!(eligible(&after), eligible(&before));
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
        assert!(state.recall(&plan(SHOP), &Registry::new(1, 0)).is_empty());
    }
}
