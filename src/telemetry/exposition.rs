//! The text that Prometheus reads, written line by line as figures are handed in.
//!
//! Whoever answers `/metrics` makes an [`Exposition`], hands in one family after another, and takes the text, all at
//! once or a piece at a time. A family's help and type are written when its first figure comes, so that what has no
//! figures is not there. With 10,000 backends these are half a million lines: [`Labels`] are rendered once for all
//! families of a backend, and a line is copied together without anything between it and the text.
//!
//! None of this knows what has been handed in before: families must come whole, and series once. A duplicate would
//! make Prometheus refuse the whole scrape.

use std::fmt::Write as _;
use std::ptr;

use prometheus::TextEncoder;
use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;

use super::cells::HistogramTotal;
use super::names::{Kind, Metric};

/// The content type of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Names and values of labels as they stand between the braces, `pool="shop",backend="127.0.0.1:9001"`. In their
/// order series can be sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Box<str>);

impl Labels {
    /// Renders them; of names without a value, and of values without a name, there is nothing.
    pub fn new(names: &[&str], values: &[&str]) -> Self {
        let mut text = String::new();
        for (name, value) in names.iter().zip(values) {
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(name);
            text.push_str("=\"");
            for char in value.chars() {
                match char {
                    '\\' => text.push_str("\\\\"),
                    '"' => text.push_str("\\\""),
                    '\n' => text.push_str("\\n"),
                    _ => text.push(char),
                }
            }
            text.push('"');
        }
        Self(text.into())
    }
}

/// A scrape in the making.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
    /// The family that is being written.
    family: Option<&'static Metric>,
}

impl Exposition {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes a counter's figure. `labels` are all that the metric has.
    pub fn counter(&mut self, metric: &'static Metric, labels: &Labels, count: u64) {
        self.begin(metric, Kind::Counter);
        self.series(metric.name, "", labels);
        self.integer(count);
    }

    /// Writes a counter's figures, one for each value of the metric's last label. `labels` are those before it; the
    /// values need no escapes.
    pub fn counters<'a>(
        &mut self,
        metric: &'static Metric,
        labels: &Labels,
        counts: impl IntoIterator<Item = (&'a str, u64)>,
    ) {
        self.begin(metric, Kind::Counter);
        for (value, count) in counts {
            self.series_of(metric, labels, value);
            self.integer(count);
        }
    }

    /// Writes a gauge's figure. `labels` are all that the metric has.
    pub fn gauge(&mut self, metric: &'static Metric, labels: &Labels, value: f64) {
        self.begin(metric, Kind::Gauge);
        self.series(metric.name, "", labels);
        self.number(value);
    }

    /// Writes a gauge's figures, one for each value of the metric's last label, as [`Exposition::counters`] does.
    pub fn gauges<'a>(
        &mut self,
        metric: &'static Metric,
        labels: &Labels,
        values: impl IntoIterator<Item = (&'a str, f64)>,
    ) {
        self.begin(metric, Kind::Gauge);
        for (last, value) in values {
            self.series_of(metric, labels, last);
            self.number(value);
        }
    }

    /// Writes a histogram's figures. `labels` are all that the metric has.
    pub fn histogram(&mut self, metric: &'static Metric, labels: &Labels, total: &HistogramTotal) {
        self.begin(metric, Kind::Histogram);
        let count = total.count();
        for (bound, below) in total.cumulative() {
            self.bucket(metric, labels);
            self.shortest(bound.as_secs_f64());
            self.text.push_str("\"} ");
            self.integer(below);
        }
        self.bucket(metric, labels);
        self.text.push_str("+Inf\"} ");
        self.integer(count);
        self.series(metric.name, "_sum", labels);
        self.number(total.sum().as_secs_f64());
        self.series(metric.name, "_count", labels);
        self.integer(count);
    }

    /// Writes the `process_*` metrics, read from `/proc` now.
    pub fn process(&mut self) {
        // A new collector each time: a kept one would count CPU time twice if two scrapes met.
        let mut families = ProcessCollector::for_self().collect();
        families.sort_by(|a, b| a.name().cmp(b.name()));
        TextEncoder::new()
            .encode_utf8(&families, &mut self.text)
            .expect("a family has a name and at least one sample, and a string takes all text");
        self.family = None;
    }

    /// How much text there is.
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Takes the text so far, and leaves room for as much. What comes next goes on where this ends.
    pub fn take(&mut self) -> String {
        let room = self.text.capacity();
        std::mem::replace(&mut self.text, String::with_capacity(room))
    }

    /// Writes help and type, if this is not the family that is being written.
    fn begin(&mut self, metric: &'static Metric, kind: Kind) {
        debug_assert_eq!(metric.kind, kind, "{}", metric.name);
        if self.family.is_some_and(|family| ptr::eq(family, metric)) {
            return;
        }
        self.family = Some(metric);
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let name = metric.name;
        for part in [
            "# HELP ",
            name,
            " ",
            metric.help,
            "\n# TYPE ",
            name,
            " ",
            kind,
            "\n",
        ] {
            self.text.push_str(part);
        }
    }

    /// Writes a line up to its value.
    fn series(&mut self, name: &str, suffix: &str, labels: &Labels) {
        self.text.push_str(name);
        self.text.push_str(suffix);
        if !labels.0.is_empty() {
            self.text.push('{');
            self.text.push_str(&labels.0);
            self.text.push('}');
        }
        self.text.push(' ');
    }

    /// The same, with one more label: the metric's last one.
    fn series_of(&mut self, metric: &Metric, labels: &Labels, value: &str) {
        self.text.push_str(metric.name);
        self.before_last(labels);
        self.text
            .push_str(metric.labels.last().copied().unwrap_or_default());
        self.text.push_str("=\"");
        self.text.push_str(value);
        self.text.push_str("\"} ");
    }

    /// Writes a bucket's line up to the value of its bound.
    fn bucket(&mut self, metric: &Metric, labels: &Labels) {
        self.text.push_str(metric.name);
        self.text.push_str("_bucket");
        self.before_last(labels);
        self.text.push_str("le=\"");
    }

    /// Writes labels that one more comes after.
    fn before_last(&mut self, labels: &Labels) {
        self.text.push('{');
        self.text.push_str(&labels.0);
        if !labels.0.is_empty() {
            self.text.push(',');
        }
    }

    fn integer(&mut self, value: u64) {
        self.text.push_str(itoa::Buffer::new().format(value));
        self.text.push('\n');
    }

    fn number(&mut self, value: f64) {
        self.shortest(value);
        self.text.push('\n');
    }

    /// Writes the shortest digits that mean just this number.
    fn shortest(&mut self, value: f64) {
        // Most are integers; below this all integers are what they seem.
        if value.fract() == 0.0 && value.abs() < 1e15 {
            self.text.push_str(itoa::Buffer::new().format(value as i64));
        } else if value.is_infinite() {
            self.text
                .push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
        } else {
            // A string takes all text.
            let _ = write!(self.text, "{value}");
        }
    }
}

#[cfg(test)]
mod tests;
