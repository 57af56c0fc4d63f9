//! What each metric of cells and live state is about, and which lines a subject has in its family.

use std::ptr;

use super::{OfBackend, OfListener, OfPool, OfRoute, PIECE, Subjects};
use crate::backend::{Backend, CheckResult, Ejection, Standing};
use crate::strategy::Member;
use crate::telemetry::cells::Counter;
use crate::telemetry::names::{self, Metric};
use crate::telemetry::{
    Cause, CodeClass, Exposition, HedgeOutcome, PickReason, PoolCells, QueueOutcome, RetryOutcome,
    StickyOutcome, TlsResult,
};

/// What a family is about, and how one subject's lines are written.
enum Of {
    Listeners(fn(&OfListener, &'static Metric, &mut Exposition)),
    Routes(fn(&OfRoute, &'static Metric, &mut Exposition)),
    Pools(fn(&OfPool, &'static Metric, &mut Exposition)),
    Backends(fn(&Subject<'_>, &'static Metric, &mut Exposition)),
}

/// A backend with all that is known of it.
struct Subject<'a> {
    of: &'a OfBackend,
    pool: &'a OfPool,
    member: &'a Member,
    backend: &'a Backend,
}

impl Subjects {
    /// Writes a family's lines from those of the subject `from` on, until there is a piece of text; says with whom to go
    /// on, if there are more.
    pub(super) fn write(
        &self,
        metric: &'static Metric,
        from: usize,
        text: &mut Exposition,
    ) -> Option<usize> {
        let (_, of) = FAMILIES.iter().find(|family| ptr::eq(family.0, metric))?;
        match of {
            Of::Listeners(write) => rows(&self.listeners, from, text, |of, text| {
                write(of, metric, text);
            }),
            Of::Routes(write) => rows(&self.routes, from, text, |of, text| {
                write(of, metric, text);
            }),
            Of::Pools(write) => rows(&self.pools, from, text, |of, text| write(of, metric, text)),
            Of::Backends(write) => rows(&self.backends, from, text, |of, text| {
                let pool = &self.pools[of.pool];
                let member = pool.pool.members.get(of.slot);
                let backend = &*member.backend;
                write(
                    &Subject {
                        of,
                        pool,
                        member,
                        backend,
                    },
                    metric,
                    text,
                );
            }),
        }
    }
}

fn rows<Row>(
    all: &[Row],
    from: usize,
    text: &mut Exposition,
    write: impl Fn(&Row, &mut Exposition),
) -> Option<usize> {
    for (row, index) in all.iter().zip(0..).skip(from) {
        if text.len() >= PIECE {
            return Some(index);
        }
        write(row, text);
    }
    None
}

/// Counts of causes with the words for those of them that are exposed.
fn causes<'a>(
    exposed: impl Iterator<Item = &'a Cause>,
    counts: [u64; Cause::COUNT],
) -> impl Iterator<Item = (&'a str, u64)> {
    exposed.map(move |cause| (cause.as_str(), counts[cause.index()]))
}

/// Every metric of [`names::Home::Cells`], in the order of [`names::ALL`].
static FAMILIES: &[(&Metric, Of)] = &[
    (
        &names::ACCEPT_PAUSES,
        Of::Listeners(|of, metric, text| {
            text.counter(metric, &of.labels, of.meters.count(|cells| &cells.pauses));
        }),
    ),
    (
        &names::BACKEND_CONNECTIONS,
        Of::Backends(|of, metric, text| {
            let meters = of.backend.meters();
            let active = meters.level(|cells| &cells.connections_active);
            let idle = meters.level(|cells| &cells.connections_idle);
            let levels = [("active", active as f64), ("idle", idle as f64)];
            text.gauges(metric, &of.of.labels, levels);
        }),
    ),
    (
        &names::BACKEND_EJECTIONS,
        Of::Backends(|of, metric, text| {
            let counts = Ejection::ALL.map(|cause| of.backend.ejections(cause));
            text.counters(
                metric,
                &of.of.labels,
                Ejection::ALL.map(Ejection::as_str).into_iter().zip(counts),
            );
        }),
    ),
    (
        &names::BACKEND_FAILURES,
        Of::Backends(|of, metric, text| {
            let counts = of.backend.meters().counts(|cells| &cells.failures);
            text.counters(
                metric,
                &of.of.labels,
                causes(Cause::of_backend().iter(), counts),
            );
        }),
    ),
    (
        &names::BACKEND_IN_FLIGHT,
        Of::Backends(|of, metric, text| {
            text.gauge(metric, &of.of.labels, f64::from(of.backend.in_flight()));
        }),
    ),
    (
        &names::BACKEND_LIMIT,
        Of::Backends(|of, metric, text| {
            text.gauge(
                metric,
                &of.of.labels,
                f64::from(of.backend.most_in_flight()),
            );
        }),
    ),
    (
        &names::BACKEND_PICKS,
        Of::Backends(|of, metric, text| {
            let counts = of.backend.meters().counts(|cells| &cells.picks);
            text.counters(
                metric,
                &of.of.labels,
                PickReason::ALL
                    .map(PickReason::as_str)
                    .into_iter()
                    .zip(counts),
            );
        }),
    ),
    (
        &names::BACKEND_REQUEST_DURATION,
        Of::Backends(|of, metric, text| {
            let total = of.backend.meters().durations(|cells| &cells.duration);
            text.histogram(metric, &of.of.labels, &total);
        }),
    ),
    (
        &names::BACKEND_REQUESTS,
        Of::Backends(|of, metric, text| {
            let counts = of.backend.meters().counts(|cells| &cells.requests);
            text.counters(
                metric,
                &of.of.labels,
                CodeClass::ALL
                    .map(CodeClass::as_str)
                    .into_iter()
                    .zip(counts),
            );
        }),
    ),
    (
        &names::BACKEND_UP,
        Of::Backends(|of, metric, text| {
            let up = of.backend.standing() == Standing::Ready;
            text.gauge(metric, &of.of.labels, f64::from(u8::from(up)));
        }),
    ),
    (
        &names::BACKEND_WEIGHT,
        Of::Backends(|of, metric, text| {
            text.gauge(metric, &of.of.labels, f64::from(of.member.nominal));
        }),
    ),
    (
        &names::CONNECTIONS,
        Of::Listeners(|of, metric, text| {
            let open = of.meters.level(|cells| &cells.connections);
            text.gauge(metric, &of.labels, open as f64);
        }),
    ),
    (
        &names::HEALTH_CHECKS,
        Of::Backends(|of, metric, text| {
            // Of those that nobody checks there would be nothing but zeros.
            if of.pool.checked {
                let counts = CheckResult::ALL.map(|result| of.backend.checks(result));
                let counts = CheckResult::ALL
                    .map(CheckResult::as_str)
                    .into_iter()
                    .zip(counts);
                text.counters(metric, &of.of.labels, counts);
            }
        }),
    ),
    (
        &names::HEDGES,
        Of::Pools(|of, metric, text| {
            outcomes(
                of,
                metric,
                text,
                |cells| &cells.hedges,
                HedgeOutcome::ALL.map(HedgeOutcome::as_str),
            );
        }),
    ),
    (
        &names::POOL_PANIC,
        Of::Pools(|of, metric, text| {
            let in_panic = of.pool.members.are_in_panic();
            text.gauge(metric, &of.labels, f64::from(u8::from(in_panic)));
        }),
    ),
    (
        &names::POOL_QUEUED,
        Of::Pools(|of, metric, text| {
            text.gauge(metric, &of.labels, of.pool.door.waiting() as f64);
        }),
    ),
    (
        &names::QUEUE,
        Of::Pools(|of, metric, text| {
            outcomes(
                of,
                metric,
                text,
                |cells| &cells.queue,
                QueueOutcome::ALL.map(QueueOutcome::as_str),
            );
        }),
    ),
    (
        &names::REFUSED,
        Of::Listeners(|of, metric, text| {
            let counts = of.meters.counts(|cells| &cells.refused);
            let refusals = Cause::ALL.iter().filter(|cause| cause.is_refusal());
            text.counters(metric, &of.labels, causes(refusals, counts));
        }),
    ),
    (
        &names::REQUEST_DURATION,
        Of::Routes(|of, metric, text| {
            text.histogram(
                metric,
                &of.labels,
                &of.meters.durations(|cells| &cells.duration),
            );
        }),
    ),
    (
        &names::REQUESTS,
        Of::Routes(|of, metric, text| {
            let counts = of.meters.counts(|cells| &cells.requests);
            text.counters(
                metric,
                &of.labels,
                CodeClass::ALL
                    .map(CodeClass::as_str)
                    .into_iter()
                    .zip(counts),
            );
        }),
    ),
    (
        &names::RETRIES,
        Of::Pools(|of, metric, text| {
            outcomes(
                of,
                metric,
                text,
                |cells| &cells.retries,
                RetryOutcome::ALL.map(RetryOutcome::as_str),
            );
        }),
    ),
    (
        &names::STICKY,
        Of::Pools(|of, metric, text| {
            outcomes(
                of,
                metric,
                text,
                |cells| &cells.sticky,
                StickyOutcome::ALL.map(StickyOutcome::as_str),
            );
        }),
    ),
    (
        &names::TLS_CERTIFICATE_EXPIRY,
        Of::Listeners(|of, metric, text| {
            for (labels, end) in &of.expiries {
                text.gauge(metric, labels, *end as f64);
            }
        }),
    ),
    (
        &names::TLS_HANDSHAKES,
        Of::Listeners(|of, metric, text| {
            let counts = of.meters.counts(|cells| &cells.handshakes);
            text.counters(
                metric,
                &of.labels,
                TlsResult::ALL
                    .map(TlsResult::as_str)
                    .into_iter()
                    .zip(counts),
            );
        }),
    ),
];

fn outcomes<const N: usize>(
    of: &OfPool,
    metric: &'static Metric,
    text: &mut Exposition,
    cells: fn(&PoolCells) -> &[Counter; N],
    words: [&'static str; N],
) {
    let counts = of.pool.meters.counts(cells);
    text.counters(metric, &of.labels, words.into_iter().zip(counts));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::names::Home;

    #[test]
    fn every_metric_of_cells_has_its_lines() {
        let table = names::ALL
            .iter()
            .filter(|metric| metric.home == Home::Cells);
        let here: Vec<_> = FAMILIES.iter().map(|family| family.0.name).collect();
        assert_eq!(here, table.map(|metric| metric.name).collect::<Vec<_>>());
    }
}
