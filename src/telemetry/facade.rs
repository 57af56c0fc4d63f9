//! The recorder behind the `metrics` macros: for what is counted off the request path.
//!
//! Reloads, generations and the log's losses happen seldom and anywhere in the house; they are
//! counted with `metrics::counter!(names::CONFIG_RELOADS.name, "result" => "ok").increment(1)`.
//! Looking up a series takes a lock, which is why nothing per request comes this way. A series is
//! one atomic, shared by all who hold its handle. What is not in [`names`], is of
//! another kind or has its home in the cells is not recorded: a name that is not in the table does
//! not exist. Histograms are not kept here at all: ours have fixed bounds and live in cells, while
//! a recorder that keeps every sample grows until somebody scrapes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use metrics::{Key, KeyName, Metadata, Recorder, SharedString, Unit};

use super::exposition::{Exposition, Labels};
use super::names::{self, Home, Kind, Metric};
use super::words::{ReloadResult, TraceLoss};

/// Counters and gauges that are not per request.
#[derive(Debug)]
pub struct Facade {
    series: Mutex<BTreeMap<SeriesKey, Arc<AtomicU64>>>,
}

/// Name and label values, the latter in the order of the table.
type SeriesKey = (&'static str, Box<[String]>);

impl Facade {
    /// A recorder of its own, for tests (`metrics::with_local_recorder`). Its counters start at 0,
    /// so that the first increase is seen as one; a gauge is absent until it is set.
    pub fn new() -> Self {
        let facade = Self {
            series: Mutex::default(),
        };
        for metric in names::ALL
            .iter()
            .filter(|metric| metric.home == Home::Facade && metric.kind == Kind::Counter)
        {
            if metric.labels.is_empty() {
                facade.series(metric, Box::default());
            }
        }
        for result in ReloadResult::ALL {
            facade.series(&names::CONFIG_RELOADS, [result.as_str().to_owned()].into());
        }
        for result in [ReloadResult::Ok, ReloadResult::Refused] {
            let metric = &names::TLS_CERTIFICATE_RENEWALS;
            facade.series(metric, [result.as_str().to_owned()].into());
        }
        for reason in TraceLoss::ALL {
            facade.series(&names::TRACES_DROPPED, [reason.as_str().to_owned()].into());
        }
        for result in ["ok", "failed"] {
            facade.series(&names::UPGRADES, [result.to_owned()].into());
        }
        facade
    }

    /// Makes the process's recorder the one behind the macros, and returns it; later calls only
    /// return it. To be called before anything is counted: what came earlier is lost.
    pub fn install() -> &'static Self {
        static INSTALLED: OnceLock<Facade> = OnceLock::new();
        let facade = INSTALLED.get_or_init(Self::new);
        // Refused when it is installed already, which is what was asked for.
        let _ = metrics::set_global_recorder(facade);
        facade
    }

    /// Writes every series of a metric.
    pub fn expose(&self, metric: &'static Metric, text: &mut Exposition) {
        let series = self.lock();
        let of_metric = series.range((metric.name, Box::default())..);
        for ((_, labels), value) in of_metric.take_while(|((name, _), _)| *name == metric.name) {
            let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
            let labels = Labels::new(metric.labels, &labels);
            match metric.kind {
                Kind::Counter => text.counter(metric, &labels, value.load(Relaxed)),
                Kind::Gauge => text.gauge(metric, &labels, f64::from_bits(value.load(Relaxed))),
                Kind::Histogram => {}
            }
        }
    }

    /// Finds the cell of a key, if the table has it as a figure of this kind kept here.
    fn register(&self, key: &Key, kind: Kind) -> Option<Arc<AtomicU64>> {
        let metric = Metric::find(key.name())?;
        if metric.kind != kind || metric.home != Home::Facade {
            return None;
        }
        let value_of = |name: &&str| {
            let label = key.labels().find(|label| label.key() == *name);
            label.map_or_else(String::new, |label| label.value().to_owned())
        };
        Some(self.series(metric, metric.labels.iter().map(value_of).collect()))
    }

    fn series(&self, metric: &'static Metric, labels: Box<[String]>) -> Arc<AtomicU64> {
        Arc::clone(self.lock().entry((metric.name, labels)).or_default())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SeriesKey, Arc<AtomicU64>>> {
        // Nothing can be half done under this lock, so a panic elsewhere does not matter.
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Facade {
    fn default() -> Self {
        Self::new()
    }
}

/// Descriptions are in the table, so those given here are ignored.
impl Recorder for Facade {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> metrics::Counter {
        self.register(key, Kind::Counter)
            .map_or_else(metrics::Counter::noop, metrics::Counter::from_arc)
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> metrics::Gauge {
        self.register(key, Kind::Gauge)
            .map_or_else(metrics::Gauge::noop, metrics::Gauge::from_arc)
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> metrics::Histogram {
        metrics::Histogram::noop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(facade: &Facade) -> String {
        let mut text = Exposition::new();
        for metric in names::ALL {
            facade.expose(metric, &mut text);
        }
        text.take()
    }

    #[test]
    fn the_macros_reach_the_scrape() {
        let facade = Facade::new();
        metrics::with_local_recorder(&facade, || {
            metrics::counter!(names::CONFIG_RELOADS.name, "result" => "refused").increment(2);
            metrics::gauge!(names::CONFIG_GENERATION.name).set(7.0);
            metrics::counter!(names::LOG_DROPPED.name).absolute(5);
        });
        let text = text_of(&facade);
        for line in [
            "forecourt_config_reloads_total{result=\"ok\"} 0\n",
            "forecourt_config_reloads_total{result=\"refused\"} 2\n",
            "forecourt_config_generation 7\n",
            "forecourt_log_dropped_total 5\n",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(
            !text.contains("generations_alive"),
            "a gauge is absent until it is set"
        );
    }

    #[test]
    fn what_is_not_in_the_table_does_not_exist() {
        let facade = Facade::new();
        let before = text_of(&facade);
        metrics::with_local_recorder(&facade, || {
            metrics::counter!("forecourt_invented_total").increment(1);
            metrics::gauge!(names::CONFIG_RELOADS.name, "result" => "ok").set(1.0);
            metrics::counter!(names::REQUESTS.name).increment(1);
            metrics::histogram!(names::REQUEST_DURATION.name).record(1.0);
        });
        assert_eq!(text_of(&facade), before);
    }

    #[test]
    fn installing_twice_gives_the_same() {
        assert!(std::ptr::eq(Facade::install(), Facade::install()));
    }
}
