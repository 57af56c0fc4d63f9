//! The text that Prometheus reads: figures gathered into families, families written in order.
//!
//! Whoever answers `/metrics` makes a [`Scrape`], adds what there is, and takes the text. Families
//! come out sorted, each with its help, series sorted by their labels and none twice: a duplicate
//! would make Prometheus refuse the whole scrape, so figures of the same name and labels are added up.

use std::collections::BTreeMap;

use prometheus::TextEncoder;
use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::proto;

use super::cause::Cause;
use super::cells::HistogramTotal;
use super::meters::{BackendTotal, ListenerTotal, PoolTotal, RouteTotal};
use super::names::{self, Kind, Metric};
use super::words::{
    CodeClass, HedgeOutcome, PickReason, QueueOutcome, RetryOutcome, StickyOutcome, TlsResult,
};

/// The content type of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// One scrape in the making.
#[derive(Debug, Default)]
pub struct Scrape {
    families: BTreeMap<&'static str, Family>,
    process: Vec<proto::MetricFamily>,
}

#[derive(Debug)]
struct Family {
    metric: &'static Metric,
    /// By label values.
    samples: BTreeMap<Box<[Box<str>]>, Sample>,
}

#[derive(Debug)]
enum Sample {
    Counter(u64),
    Gauge(f64),
    Histogram(HistogramTotal),
}

impl Scrape {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a counter's figure. `labels` are the values in the order of the metric's labels.
    pub fn counter(&mut self, metric: &'static Metric, labels: &[&str], value: u64) {
        debug_assert_eq!(metric.kind, Kind::Counter, "{}", metric.name);
        if let Sample::Counter(sum) = self.sample(metric, labels, Sample::Counter(0)) {
            *sum += value;
        }
    }

    /// Sets a gauge's figure; of two for the same labels the later one counts.
    pub fn gauge(&mut self, metric: &'static Metric, labels: &[&str], value: f64) {
        debug_assert_eq!(metric.kind, Kind::Gauge, "{}", metric.name);
        *self.sample(metric, labels, Sample::Gauge(0.0)) = Sample::Gauge(value);
    }

    /// Adds a histogram's figures.
    pub fn histogram(&mut self, metric: &'static Metric, labels: &[&str], total: &HistogramTotal) {
        debug_assert_eq!(metric.kind, Kind::Histogram, "{}", metric.name);
        let empty = Sample::Histogram(HistogramTotal::default());
        if let Sample::Histogram(sum) = self.sample(metric, labels, empty) {
            sum.merge(total);
        }
    }

    /// Adds what workers counted for a backend. In-flight, standing and weight are live state: [`Scrape::gauge`].
    pub fn backend(&mut self, pool: &str, backend: &str, total: &BackendTotal) {
        for (code, count) in CodeClass::ALL.iter().zip(total.requests) {
            self.counter(
                &names::BACKEND_REQUESTS,
                &[pool, backend, code.as_str()],
                count,
            );
        }
        for cause in Cause::of_backend() {
            let count = total.failures[cause.index()];
            self.counter(
                &names::BACKEND_FAILURES,
                &[pool, backend, cause.as_str()],
                count,
            );
        }
        for (reason, count) in PickReason::ALL.iter().zip(total.picks) {
            self.counter(
                &names::BACKEND_PICKS,
                &[pool, backend, reason.as_str()],
                count,
            );
        }
        self.histogram(
            &names::BACKEND_REQUEST_DURATION,
            &[pool, backend],
            &total.duration,
        );
        for (state, count) in [
            ("active", total.connections_active),
            ("idle", total.connections_idle),
        ] {
            self.gauge(
                &names::BACKEND_CONNECTIONS,
                &[pool, backend, state],
                count as f64,
            );
        }
    }

    /// Adds what workers counted for a route on a listener.
    pub fn route(&mut self, listener: &str, route: &str, total: &RouteTotal) {
        for (code, count) in CodeClass::ALL.iter().zip(total.requests) {
            self.counter(&names::REQUESTS, &[listener, route, code.as_str()], count);
        }
        self.histogram(
            &names::REQUEST_DURATION,
            &[listener, route],
            &total.duration,
        );
    }

    /// Adds what workers counted for a listener.
    pub fn listener(&mut self, listener: &str, total: &ListenerTotal) {
        self.gauge(&names::CONNECTIONS, &[listener], total.connections as f64);
        self.counter(&names::ACCEPT_PAUSES, &[listener], total.pauses);
        for (result, count) in TlsResult::ALL.iter().zip(total.handshakes) {
            self.counter(&names::TLS_HANDSHAKES, &[listener, result.as_str()], count);
        }
        for cause in Cause::ALL.iter().filter(|cause| cause.is_refusal()) {
            let count = total.refused[cause.index()];
            self.counter(&names::REFUSED, &[listener, cause.as_str()], count);
        }
    }

    /// Adds what workers counted for a pool.
    pub fn pool(&mut self, pool: &str, total: &PoolTotal) {
        for (outcome, count) in HedgeOutcome::ALL.iter().zip(total.hedges) {
            self.counter(&names::HEDGES, &[pool, outcome.as_str()], count);
        }
        for (outcome, count) in RetryOutcome::ALL.iter().zip(total.retries) {
            self.counter(&names::RETRIES, &[pool, outcome.as_str()], count);
        }
        for (outcome, count) in QueueOutcome::ALL.iter().zip(total.queue) {
            self.counter(&names::QUEUE, &[pool, outcome.as_str()], count);
        }
        for (outcome, count) in StickyOutcome::ALL.iter().zip(total.sticky) {
            self.counter(&names::STICKY, &[pool, outcome.as_str()], count);
        }
    }

    /// Adds the `process_*` metrics, read from `/proc` now.
    pub fn process(&mut self) {
        // A new collector each time: a kept one would count CPU time twice if two scrapes met.
        self.process = ProcessCollector::for_self().collect();
    }

    /// Writes the text.
    pub fn finish(self) -> String {
        let mut text = String::new();
        // Family by family, so that only one exists in the encoder's form at a time.
        for family in self.families.into_values() {
            encode(&family.into_proto(), &mut text);
        }
        let mut process = self.process;
        process.sort_by(|a, b| a.name().cmp(b.name()));
        for family in &process {
            encode(family, &mut text);
        }
        text
    }

    fn sample(&mut self, metric: &'static Metric, labels: &[&str], empty: Sample) -> &mut Sample {
        debug_assert_eq!(metric.labels.len(), labels.len(), "{}", metric.name);
        let family = self.families.entry(metric.name).or_insert_with(|| Family {
            metric,
            samples: BTreeMap::new(),
        });
        let labels = labels.iter().map(|label| Box::from(*label)).collect();
        family.samples.entry(labels).or_insert(empty)
    }
}

impl Family {
    fn into_proto(self) -> proto::MetricFamily {
        let mut family = proto::MetricFamily::default();
        family.set_name(self.metric.name.to_owned());
        family.set_help(self.metric.help.to_owned());
        family.set_field_type(match self.metric.kind {
            Kind::Counter => proto::MetricType::COUNTER,
            Kind::Gauge => proto::MetricType::GAUGE,
            Kind::Histogram => proto::MetricType::HISTOGRAM,
        });
        let names = self.metric.labels;
        let samples = self.samples.into_iter();
        family.set_metric(
            samples
                .map(|(labels, sample)| sample.into_proto(pairs(names, labels)))
                .collect(),
        );
        family
    }
}

impl Sample {
    fn into_proto(self, labels: Vec<proto::LabelPair>) -> proto::Metric {
        let mut metric = proto::Metric::from_label(labels);
        match self {
            Self::Counter(count) => {
                let mut counter = proto::Counter::default();
                counter.set_value(count as f64);
                metric.set_counter(counter);
            }
            Self::Gauge(value) => {
                let mut gauge = proto::Gauge::default();
                gauge.set_value(value);
                metric.set_gauge(gauge);
            }
            Self::Histogram(total) => metric.set_histogram(histogram(&total)),
        }
        metric
    }
}

fn histogram(total: &HistogramTotal) -> proto::Histogram {
    let mut histogram = proto::Histogram::default();
    let buckets = total.cumulative().map(|(bound, count)| {
        let mut bucket = proto::Bucket::default();
        bucket.set_upper_bound(bound.as_secs_f64());
        bucket.set_cumulative_count(count);
        bucket
    });
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(total.count());
    histogram.set_sample_sum(total.sum().as_secs_f64());
    histogram
}

fn pairs(names: &[&str], values: Box<[Box<str>]>) -> Vec<proto::LabelPair> {
    let pair = |(name, value): (&&str, Box<str>)| {
        let mut pair = proto::LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value(value.into());
        pair
    };
    names.iter().zip(values).map(pair).collect()
}

fn encode(family: &proto::MetricFamily, text: &mut String) {
    TextEncoder::new()
        .encode_utf8(std::slice::from_ref(family), text)
        .expect("a family has a name and at least one sample, and a string takes all text");
}

#[cfg(test)]
mod tests;
