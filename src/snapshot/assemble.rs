//! Plan and live state become a snapshot.
//!
//! A plan that exists is right, so this cannot fail. It runs on the control thread, off the path; what a
//! request needs is worked out here once: eligible members, tables of the strategies, meters.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::pool::Pool;
use super::registry::{Registry, RouteMeterTable};
use super::secure::Settings;
use super::{Alive, Snapshot};
use crate::backend::{Backend, BackendKey, Health, Secure};
use crate::health::Initial;
use crate::plan::names::{Found, Question};
use crate::plan::pool::{Hedge, PoolTimeouts, PoolTls};
use crate::plan::{self, Plan};
use crate::route::RouteTable;
use crate::strategy::{self, Member, Members, Sticky, Strategy, placement};

impl Snapshot {
    /// Joins a plan with the live state of whatever it names that lives already.
    pub fn assemble(plan: Arc<Plan>, registry: &Arc<Registry>, generation: u64) -> Self {
        let routes = RouteTable::build(
            plan.routes
                .iter()
                .map(|route| (&route.matcher, &route.listeners[..])),
        );
        let listener_names: Vec<_> = plan
            .listeners
            .iter()
            .map(|listener| Arc::clone(&listener.name))
            .collect();
        let route_names = plan
            .routes
            .iter()
            .map(|route| Arc::clone(&route.name))
            .collect();
        Self {
            generation,
            routes: Arc::new(routes),
            pools: plan
                .pools
                .iter()
                .map(|pool| Arc::new(assemble_pool(pool, registry)))
                .collect(),
            listener_meters: plan
                .listeners
                .iter()
                .map(|listener| registry.listener_meters(listener))
                .collect(),
            route_meters: Arc::new(RouteMeterTable::new(registry, listener_names, route_names)),
            plan,
            _alive: Arc::new(Alive::new(&registry.alive)),
        }
    }

    /// The same configuration after names have given these addresses. Of the pools whose backends are the same ones nothing
    /// changes.
    #[must_use]
    pub fn with_found(
        &self,
        found: &BTreeMap<Question, Arc<[Found]>>,
        registry: &Arc<Registry>,
    ) -> Self {
        let mut plan = (*self.plan).clone();
        let pools = self.pools.iter().zip(&mut plan.pools);
        let pools = pools.map(|(pool, plan)| {
            if plan.take_found(|question| found.get(question).cloned()) {
                Arc::new(assemble_pool(plan, registry))
            } else {
                Arc::clone(pool)
            }
        });
        Self {
            pools: pools.collect(),
            plan: Arc::new(plan),
            ..self.anew(&BTreeSet::new(), registry)
        }
    }

    /// The same configuration, with the members of these pools as they stand now. All else is shared.
    #[must_use]
    pub fn anew(&self, changed: &BTreeSet<Arc<str>>, registry: &Registry) -> Self {
        let pools = self.pools.iter().zip(&self.plan.pools);
        let pools = pools.map(|(pool, plan)| {
            if changed.contains(&pool.name) {
                Arc::new(pool_anew(pool, plan, registry))
            } else {
                Arc::clone(pool)
            }
        });
        Self {
            generation: self.generation,
            plan: Arc::clone(&self.plan),
            routes: Arc::clone(&self.routes),
            pools: pools.collect(),
            listener_meters: Arc::clone(&self.listener_meters),
            route_meters: Arc::clone(&self.route_meters),
            _alive: Arc::clone(&self._alive),
        }
    }
}

fn pool_anew(pool: &Pool, plan: &plan::Pool, registry: &Registry) -> Pool {
    let members = pool.members.anew();
    note_weights(&members);
    Pool {
        name: Arc::clone(&pool.name),
        strategy: strategy_of(plan, &members, registry),
        members,
        sticky: pool.sticky.clone(),
        timeouts: pool.timeouts,
        protocol: pool.protocol,
        tls: pool.tls.clone(),
        style: pool.style,
        retry: pool.retry.clone(),
        delay: Arc::clone(&pool.delay),
        times_heads: pool.times_heads,
        budget: Arc::clone(&pool.budget),
        limits: pool.limits,
        drain: pool.drain,
        edition: pool.door.begin_edition(),
        door: Arc::clone(&pool.door),
        consecutive: pool.consecutive,
        suspects: Arc::clone(&pool.suspects),
        meters: Arc::clone(&pool.meters),
    }
}

/// Has those that wait or are sent again pass over whoever has the weight 0 by now.
fn note_weights(members: &Members) {
    for member in members.all() {
        member.backend.set_weightless(member.nominal == 0);
    }
}

fn strategy_of(plan: &plan::Pool, members: &Members, registry: &Registry) -> Arc<dyn Strategy> {
    let plain = strategy::build(&plan.strategy, members, registry.cursor(&plan.name));
    if plan.sticky.is_some() {
        Arc::new(Sticky::new(plain))
    } else {
        plain
    }
}

/// The backend of that name, with the health that the pool's plan gives it.
fn adopt(key: BackendKey, plan: &plan::Pool, registry: &Registry) -> Arc<Backend> {
    let (backend, is_new) = registry.adopt(key);
    backend.set_removed(false);
    match &plan.health {
        // Whoever is checked no more is as well as whoever never was.
        None if backend.health() != Health::Well => {
            backend.set_health(Health::Well);
            backend.note_check(None);
        }
        Some(policy) if is_new && policy.initial == Initial::Down => {
            backend.set_health(Health::Unproven);
        }
        None | Some(_) => {}
    }
    backend
}

/// The members of a pool as they stand now, with the weights that hold.
fn members_of(plan: &plan::Pool, registry: &Registry) -> Members {
    let signer = plan.sticky.as_ref().and_then(|sticky| sticky.keys.first());
    let members = plan.backends.iter().map(|backend| {
        let key = BackendKey {
            pool: Arc::clone(&plan.name),
            address: backend.address.clone(),
        };
        let adopted = adopt(key, plan, registry);
        // A file that says another weight than when one was set at run time has the last word, for good.
        if adopted
            .steered_weight()
            .is_some_and(|steered| steered.configured != backend.weight)
        {
            adopted.steer_weight(None);
        }
        Member {
            // Worked out by `Members`, of the nominal one.
            weight: 0,
            nominal: adopted.weight_over(backend.weight),
            backend: adopted,
            id: Arc::clone(&backend.id),
            name: backend.name.clone(),
            backup: backend.backup,
            configured: backend.weight,
            placement: placement::hash_id(&backend.id),
            tag: signer.map(|key| strategy::ticket::tag(key, &plan.name, &backend.id)),
        }
    });
    let members: Vec<Member> = members.collect();
    let former = plan
        .sticky
        .as_ref()
        .map(|spec| strategy::ticket::former_tags(spec, &plan.name, &members));
    Members::with_threshold(members, plan.panic_threshold)
        .with_former_tags(former.unwrap_or_default())
}

fn assemble_pool(plan: &plan::Pool, registry: &Registry) -> Pool {
    let members = members_of(plan, registry);
    // Bounds are of now, whatever generation a request is of; set last, for whoever waits is woken by it.
    for (member, backend) in members.all().iter().zip(&plan.backends) {
        let (now, cap) = (member.backend.most_in_flight(), backend.max_in_flight);
        // What has been found so far stays.
        let most = plan
            .limits
            .adaptive
            .map_or(cap, |bounds| bounds.nearest(now, cap));
        member.backend.set_most_in_flight(most);
    }
    note_weights(&members);
    let door = registry.door(&plan.name);
    door.set(plan.limits.in_flight, plan.limits.queue);
    Pool {
        name: Arc::clone(&plan.name),
        strategy: strategy_of(plan, &members, registry),
        members,
        sticky: plan.sticky.clone(),
        timeouts: PoolTimeouts {
            response: plan
                .retry
                .per_try_timeout
                .map_or(plan.timeouts.response, |most| {
                    most.min(plan.timeouts.response)
                }),
            ..plan.timeouts
        },
        protocol: plan.protocol,
        tls: plan.tls.as_ref().map(|tls| secure(plan, tls, registry)),
        style: plan.style,
        retry: plan.retry.clone(),
        delay: registry.delay(&plan.name),
        times_heads: plan.retry.hedge == Hedge::Percentile95 || plan.limits.adaptive.is_some(),
        budget: registry.budget(&plan.name),
        limits: plan.limits,
        drain: plan.drain,
        edition: door.begin_edition(),
        door,
        consecutive: plan.outlier.consecutive,
        suspects: Arc::clone(&registry.suspects),
        meters: registry.pool_meters(&plan.name),
    }
}

/// TLS with each backend of a pool.
fn secure(plan: &plan::Pool, tls: &Arc<PoolTls>, registry: &Registry) -> Arc<[Arc<Secure>]> {
    // A plan with TLS has a name for each of them.
    let names = plan.backends.iter().filter_map(|backend| {
        let key = BackendKey {
            pool: Arc::clone(&plan.name),
            address: backend.address.clone(),
        };
        Some(registry.secure(
            key,
            Settings::new(tls, plan.protocol, backend.server_name.clone()?),
        ))
    });
    names.collect()
}
