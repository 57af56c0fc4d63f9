//! The text is read back by a small reader of its own, which knows the format and not the writer.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::cells::Histogram;
use super::super::names;
use super::*;

/// What the reader understood: kind and help by family, value by series.
#[derive(Debug, Default)]
struct Read {
    families: Vec<(String, String, String)>,
    series: BTreeMap<String, f64>,
    labels: BTreeMap<String, BTreeMap<String, String>>,
}

fn read(text: &str) -> Read {
    let mut read = Read::default();
    let mut help = None;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            assert!(help.is_none(), "two helps in a row: {line}");
            help = Some(rest.split_once(' ').unwrap());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            let (helped, help) = help.take().expect("help comes before the type");
            assert_eq!(helped, name);
            read.families
                .push((name.to_owned(), kind.to_owned(), help.to_owned()));
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (family, kind, _) = read.families.last().expect("samples follow a type");
            let name = series.split('{').next().unwrap();
            let suffix = name
                .strip_prefix(family.as_str())
                .expect("samples stand with their family");
            match kind.as_str() {
                "histogram" => assert!(["_bucket", "_sum", "_count"].contains(&suffix), "{line}"),
                _ => assert_eq!(suffix, "", "{line}"),
            }
            let old = read
                .series
                .insert(series.to_owned(), value.parse().unwrap());
            assert!(old.is_none(), "twice: {series}");
            read.labels.insert(series.to_owned(), labels_of(series));
        }
    }
    assert!(help.is_none());
    read
}

fn labels_of(series: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    let Some((_, rest)) = series.split_once('{') else {
        return labels;
    };
    let mut rest = rest;
    while rest != "}" {
        let (name, quoted) = rest.trim_start_matches(',').split_once("=\"").unwrap();
        let mut value = String::new();
        let mut chars = quoted.char_indices();
        let end = loop {
            match chars.next().unwrap() {
                (at, '"') => break at,
                (_, '\\') => value.push(match chars.next().unwrap().1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, other) => value.push(other),
            }
        };
        assert!(
            labels.insert(name.to_owned(), value).is_none(),
            "a label twice: {series}"
        );
        rest = &quoted[end + 1..];
    }
    labels
}

/// Something of every metric, in the order of the table.
fn all_of_the_table() -> String {
    let mut text = Exposition::new();
    for metric in names::ALL {
        let values = ["b", "a\"b\\c\nd é{}=,", "c"];
        let labels = Labels::new(metric.labels, &values);
        match metric.kind {
            Kind::Counter => text.counter(metric, &labels, 12),
            Kind::Gauge => text.gauge(metric, &labels, 0.5),
            Kind::Histogram => text.histogram(metric, &labels, &HistogramTotal::default()),
        }
    }
    text.process();
    text.take()
}

#[test]
fn every_metric_of_the_table_is_there_with_its_labels() {
    let read = read(&all_of_the_table());
    for metric in names::ALL {
        let mut families = read.families.iter();
        let (_, kind, help) = families.find(|family| family.0 == metric.name).unwrap();
        assert_eq!(kind, &format!("{:?}", metric.kind).to_lowercase());
        assert_eq!(help, metric.help);
        let mut series = read.labels.iter();
        let (series, labels) = series
            .find(|(series, _)| series.starts_with(metric.name))
            .unwrap();
        let mut wanted: Vec<_> = metric.labels.to_vec();
        if metric.kind == Kind::Histogram && series.contains("_bucket") {
            wanted.push("le");
        }
        wanted.sort_unstable();
        assert_eq!(labels.keys().collect::<Vec<_>>(), wanted, "{series}");
    }
}

#[test]
fn families_are_sorted_helped_and_named_as_promtool_wants() {
    let read = read(&all_of_the_table());
    assert!(read.families.is_sorted_by(|a, b| a.0 < b.0));
    for (name, kind, help) in &read.families {
        assert!(!help.is_empty(), "{name}");
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
    }
    let families = read.families.iter();
    let process = families.filter(|family| family.0.starts_with("process_"));
    assert_eq!(process.count(), 7);
    assert!(read.series["process_resident_memory_bytes"] > 0.0);
}

#[test]
fn histograms_are_cumulative_and_closed() {
    let histogram = Histogram::default();
    for milliseconds in [3, 3, 700, 60_000] {
        histogram.observe(Duration::from_millis(milliseconds));
    }
    let mut text = Exposition::new();
    let both = Labels::new(&["pool", "backend"], &["shop", "127.0.0.1:9001"]);
    text.histogram(&names::BACKEND_REQUEST_DURATION, &both, &histogram.total());
    let read = read(&text.take());
    let of = |part: &str, le: &str| {
        let name = names::BACKEND_REQUEST_DURATION.name;
        read.series[&format!("{name}_{part}{{pool=\"shop\",backend=\"127.0.0.1:9001\"{le}}}")]
    };
    assert_eq!(of("bucket", ",le=\"0.0001\""), 0.0);
    assert_eq!(of("bucket", ",le=\"0.0025\""), 0.0);
    assert_eq!(of("bucket", ",le=\"0.005\""), 2.0);
    assert_eq!(of("bucket", ",le=\"1\""), 3.0);
    assert_eq!(of("bucket", ",le=\"30\""), 3.0);
    assert_eq!(of("bucket", ",le=\"+Inf\""), 4.0);
    assert_eq!((of("count", ""), of("sum", "")), (4.0, 60.706));
    assert_eq!(read.series.len(), Histogram::BUCKETS + 2);
}

#[test]
fn odd_names_in_the_configuration_survive() {
    let odd = "a\"b\\c\nd é{}=,";
    let mut text = Exposition::new();
    let labels = Labels::new(&["pool"], &[odd]);
    text.counters(&names::RETRIES, &labels, [("ok", 1), ("failed", 2)]);
    let read = read(&text.take());
    assert_eq!(read.labels.len(), 2);
    assert!(read.labels.values().all(|labels| labels["pool"] == odd));
}

#[test]
fn numbers_are_written_as_the_reader_of_go_takes_them() {
    for (value, written) in [
        (0.0, "0"),
        (-3.0, "-3"),
        (0.25, "0.25"),
        (1_795_000_000.5, "1795000000.5"),
        (9e15, "9000000000000000"),
        (f64::INFINITY, "+Inf"),
        (f64::NEG_INFINITY, "-Inf"),
        (f64::NAN, "NaN"),
    ] {
        let mut text = Exposition::new();
        text.gauge(&names::CONFIG_GENERATION, &Labels::default(), value);
        let text = text.take();
        let last = text.lines().last().unwrap();
        assert_eq!(last, format!("forecourt_config_generation {written}"));
    }
}

#[test]
fn the_text_is_as_the_format_says_and_goes_on_over_pieces() {
    let mut text = Exposition::new();
    let backend = |name| Labels::new(&["pool", "backend"], &["shop", name]);
    text.gauge(&names::BACKEND_UP, &backend("b1"), 1.0);
    let first = text.take();
    assert!(text.is_empty());
    text.gauge(&names::BACKEND_UP, &backend("b2"), 0.0);
    let pool = Labels::new(&["pool"], &["shop"]);
    text.counters(&names::STICKY, &pool, [("new", 12), ("kept", 3)]);
    assert_eq!(
        first + &text.take(),
        "# HELP forecourt_backend_up Whether the backend may be picked for new clients (1) or not (0).\n\
         # TYPE forecourt_backend_up gauge\n\
         forecourt_backend_up{pool=\"shop\",backend=\"b1\"} 1\n\
         forecourt_backend_up{pool=\"shop\",backend=\"b2\"} 0\n\
         # HELP forecourt_sticky_total Requests to a pool with stickiness, by what became of the cookie.\n\
         # TYPE forecourt_sticky_total counter\n\
         forecourt_sticky_total{pool=\"shop\",outcome=\"new\"} 12\n\
         forecourt_sticky_total{pool=\"shop\",outcome=\"kept\"} 3\n"
    );
}
