//! The figures behind `/metrics`: workers' cells are summed when somebody asks.

use std::collections::BTreeMap;

use super::instance::Instance;
use crate::backend::{CheckResult, Ejection, Standing};
use crate::plan::{Listener, Pool};
use crate::snapshot::registry::UNROUTED;
use crate::strategy::Member;
use crate::telemetry::{Scrape, names};

pub(super) fn text(instance: &Instance) -> String {
    let snapshot = instance.snapshots.load();
    let mut scrape = Scrape::new();
    for (listener, meters) in snapshot
        .plan
        .listeners
        .iter()
        .zip(&*snapshot.listener_meters)
    {
        scrape.listener(&listener.name, &meters.total());
        expiries(listener, &mut scrape);
    }
    for (listener, route, meters) in snapshot.used_route_meters() {
        let route = route.map_or(UNROUTED, |route| &snapshot.plan.routes[route].name);
        scrape.route(
            &snapshot.plan.listeners[listener].name,
            route,
            &meters.total(),
        );
    }
    for (pool, plan) in snapshot.pools.iter().zip(&snapshot.plan.pools) {
        scrape.pool(&pool.name, &pool.meters.total());
        let in_panic = f64::from(u8::from(pool.members.are_in_panic()));
        scrape.gauge(&names::POOL_PANIC, &[&pool.name], in_panic);
        scrape.gauge(
            &names::POOL_QUEUED,
            &[&pool.name],
            pool.door.waiting() as f64,
        );
        for member in pool.members.all() {
            of_member(member, plan, &mut scrape);
        }
    }
    metrics::gauge!(names::CONFIG_GENERATIONS_ALIVE.name)
        .set(instance.registry.generations_alive() as f64);
    instance.facade.expose(&mut scrape);
    scrape.process();
    scrape.finish()
}

/// A backend as it is in a pool.
fn of_member(member: &Member, plan: &Pool, scrape: &mut Scrape) {
    let backend = &member.backend;
    let address = backend.address().to_string();
    let labels = [&*plan.name, &*address];
    scrape.backend(&plan.name, &address, &backend.meters().total());
    scrape.gauge(
        &names::BACKEND_IN_FLIGHT,
        &labels,
        f64::from(backend.in_flight()),
    );
    scrape.gauge(
        &names::BACKEND_LIMIT,
        &labels,
        f64::from(backend.most_in_flight()),
    );
    for cause in Ejection::ALL {
        let labels = [&*plan.name, &*address, cause.as_str()];
        scrape.counter(&names::BACKEND_EJECTIONS, &labels, backend.ejections(cause));
    }
    // Of those that nobody checks there would be nothing but zeros.
    for result in CheckResult::ALL.iter().filter(|_| plan.health.is_some()) {
        let labels = [&*plan.name, &*address, result.as_str()];
        scrape.counter(&names::HEALTH_CHECKS, &labels, backend.checks(*result));
    }
    scrape.gauge(&names::BACKEND_WEIGHT, &labels, f64::from(member.nominal));
    let up = backend.standing() == Standing::Ready;
    scrape.gauge(&names::BACKEND_UP, &labels, f64::from(u8::from(up)));
}

/// When a listener's certificates expire. Two of one name, such as ECDSA and RSA, are one series: the earlier
/// end is the one to act on.
fn expiries(listener: &Listener, scrape: &mut Scrape) {
    let mut earliest = BTreeMap::new();
    for certificate in listener.tls.iter().flat_map(|tls| &tls.certificates) {
        let end = certificate.not_after;
        earliest
            .entry(certificate.name())
            .and_modify(|other: &mut i64| *other = end.min(*other))
            .or_insert(end);
    }
    for (name, end) in earliest {
        let labels = [&*listener.name, &*name];
        scrape.gauge(&names::TLS_CERTIFICATE_EXPIRY, &labels, end as f64);
    }
}
