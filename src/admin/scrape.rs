//! The figures behind `/metrics`: workers' cells are summed when somebody asks, a piece of the answer at a time.
//!
//! With 10,000 backends the answer has half a million lines. It is never whole in memory, and between two pieces all
//! others on this thread have their turn. Workers are not asked for anything: their cells are read. What the answer
//! is about is fixed when it begins; each figure is of the moment when its line is written.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use tokio::sync::mpsc;
use tokio::task::yield_now;
use tokio::time::timeout;

use super::instance::Instance;
use crate::plan::Listener;
use crate::snapshot::registry::UNROUTED;
use crate::snapshot::{Pool, Snapshot};
use crate::strategy::Slot;
use crate::telemetry::exposition::{CONTENT_TYPE, Labels};
use crate::telemetry::names::{self, Home};
use crate::telemetry::{Exposition, Facade, ListenerMeters, RouteMeters};

mod families;

/// Answers with what there is.
pub(super) fn answer(instance: &Instance) -> Response {
    let (pieces, body) = mpsc::channel(1);
    tokio::spawn(send(Scraping::of(instance), pieces));
    let fields = [(header::CONTENT_TYPE, CONTENT_TYPE)];
    (fields, Body::new(Pieces { body, whole: false })).into_response()
}

/// Until all is sent, or nobody reads any more.
async fn send(mut scraping: Scraping, pieces: mpsc::Sender<Option<Bytes>>) {
    let sending = async {
        while let Some(piece) = scraping.piece() {
            if pieces.send(Some(piece)).await.is_err() {
                return;
            }
            yield_now().await;
        }
        let _ = pieces.send(None).await;
    };
    // Without its end the answer is cut, which its reader can tell from a whole one.
    let _ = timeout(LONGEST, sending).await;
}

/// A scrape under way.
struct Scraping {
    subjects: Subjects,
    facade: &'static Facade,
    text: Exposition,
    /// The next family, by its index in the table of names; behind it are those of the process.
    family: usize,
    /// The next of the subjects that it is about.
    row: usize,
}

/// What families are about. Nothing that a generation would be kept alive by.
struct Subjects {
    listeners: Vec<OfListener>,
    routes: Vec<OfRoute>,
    pools: Vec<OfPool>,
    backends: Vec<OfBackend>,
}

struct OfListener {
    labels: Labels,
    meters: Arc<ListenerMeters>,
    /// When its certificates expire, by name.
    expiries: Vec<(Labels, i64)>,
}

struct OfRoute {
    labels: Labels,
    meters: Arc<RouteMeters>,
}

struct OfPool {
    labels: Labels,
    pool: Arc<Pool>,
    /// Whether somebody checks its backends.
    checked: bool,
}

/// A backend as it is in a pool.
struct OfBackend {
    labels: Labels,
    /// The index of its pool among [`Subjects::pools`].
    pool: usize,
    slot: Slot,
}

impl Scraping {
    fn of(instance: &Instance) -> Self {
        metrics::gauge!(names::CONFIG_GENERATIONS_ALIVE.name)
            .set(instance.registry.generations_alive() as f64);
        Self {
            subjects: Subjects::of(&instance.snapshots.load()),
            facade: instance.facade,
            text: Exposition::new(),
            family: 0,
            row: 0,
        }
    }

    /// The next piece of the text; nothing when there is no more.
    fn piece(&mut self) -> Option<Bytes> {
        while let Some(metric) = names::ALL.get(self.family) {
            let left = match metric.home {
                Home::Cells => self.subjects.write(metric, self.row, &mut self.text),
                Home::Facade => {
                    self.facade.expose(metric, &mut self.text);
                    None
                }
            };
            (self.family, self.row) = match left {
                Some(row) => (self.family, row),
                None => (self.family + 1, 0),
            };
            if self.text.len() >= PIECE {
                return Some(self.text.take().into());
            }
        }
        if self.family == names::ALL.len() {
            self.family += 1;
            self.text.process();
            return Some(self.text.take().into());
        }
        None
    }
}

impl Subjects {
    fn of(snapshot: &Snapshot) -> Self {
        let plan = &snapshot.plan;
        let pools = snapshot.pools.iter().zip(&plan.pools);
        let pools: Vec<OfPool> = pools
            .map(|(pool, plan)| OfPool {
                labels: Labels::new(&["pool"], &[&pool.name]),
                pool: Arc::clone(pool),
                checked: plan.health.is_some(),
            })
            .collect();
        let listeners = plan.listeners.iter().zip(&*snapshot.listener_meters);
        Self {
            listeners: listeners
                .map(|(plan, meters)| OfListener::of(plan, meters))
                .collect(),
            routes: routes(snapshot),
            backends: backends(&pools),
            pools,
        }
    }
}

impl OfListener {
    fn of(plan: &Listener, meters: &Arc<ListenerMeters>) -> Self {
        // Two of one name, such as ECDSA and RSA, are one series: the earlier end is the one to act on.
        let mut earliest = BTreeMap::new();
        for certificate in plan.tls.iter().flat_map(|tls| &tls.certificates) {
            let end = certificate.not_after;
            earliest
                .entry(certificate.name())
                .and_modify(|other: &mut i64| *other = end.min(*other))
                .or_insert(end);
        }
        let expiries = earliest.into_iter().map(|(name, end)| {
            let names = names::TLS_CERTIFICATE_EXPIRY.labels;
            (Labels::new(names, &[&plan.name, &name]), end)
        });
        Self {
            labels: Labels::new(&["listener"], &[&plan.name]),
            meters: Arc::clone(meters),
            expiries: expiries.collect(),
        }
    }
}

/// Those that have been used.
fn routes(snapshot: &Snapshot) -> Vec<OfRoute> {
    let plan = &snapshot.plan;
    let used = snapshot.used_route_meters();
    let mut routes: Vec<_> = used
        .map(|(listener, route, meters)| {
            let listener = &plan.listeners[listener].name;
            let route = route.map_or(UNROUTED, |route| &plan.routes[route].name);
            OfRoute {
                labels: Labels::new(&["listener", "route"], &[listener, route]),
                meters: Arc::clone(meters),
            }
        })
        .collect();
    routes.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
    // Who has the same name counts in the same cells.
    routes.dedup_by(|a, b| a.labels == b.labels);
    routes
}

fn backends(pools: &[OfPool]) -> Vec<OfBackend> {
    let of_pool = |(index, of): (usize, &OfPool)| {
        let members = of.pool.members.all().iter().zip(0..);
        let backends = members.map(move |(member, slot)| {
            let address = member.backend.address().to_string();
            OfBackend {
                labels: Labels::new(&["pool", "backend"], &[&of.pool.name, &address]),
                pool: index,
                slot: Slot(slot),
            }
        });
        backends.collect::<Vec<_>>()
    };
    let mut backends: Vec<_> = pools.iter().enumerate().flat_map(of_pool).collect();
    backends.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
    // Two of an address are one backend.
    backends.dedup_by(|a, b| a.labels == b.labels);
    backends
}

/// The reading end of an answer.
struct Pieces {
    body: mpsc::Receiver<Option<Bytes>>,
    /// Whether its end has come.
    whole: bool,
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.whole {
            return Poll::Ready(None);
        }
        Poll::Ready(match ready!(self.body.poll_recv(cx)) {
            Some(Some(piece)) => Some(Ok(Frame::data(piece))),
            Some(None) => {
                self.whole = true;
                None
            }
            // An end by itself would look like the end of the text.
            None => Some(Err(io::ErrorKind::TimedOut.into())),
        })
    }
}

/// So much is written at a time: about a thousand lines.
const PIECE: usize = 64 * 1024;

/// Longer than any scraper waits (Prometheus: 10 seconds, unless told otherwise).
const LONGEST: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use hyper::body::Body as _;

    use super::*;

    /// Whoever reads must be able to tell a part from the whole.
    #[test]
    fn an_answer_without_its_end_is_an_error() {
        for (end, is_whole) in [(Some(None), true), (None, false)] {
            let (pieces, body) = mpsc::channel(2);
            let mut body = Pieces { body, whole: false };
            let mut next = || {
                let mut cx = Context::from_waker(Waker::noop());
                Pin::new(&mut body).poll_frame(&mut cx)
            };
            assert!(next().is_pending());
            pieces.try_send(Some(Bytes::from_static(b"a"))).unwrap();
            assert!(matches!(next(), Poll::Ready(Some(Ok(_)))));
            if let Some(end) = end {
                pieces.try_send(end).unwrap();
            }
            drop(pieces);
            match next() {
                Poll::Ready(None) => assert!(is_whole),
                Poll::Ready(Some(Err(_))) => assert!(!is_whole),
                other => panic!("{other:?}"),
            }
        }
    }
}
