//! The text is read back by a small reader of its own, which knows the format and not the writer.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::meters::{BackendMeters, ListenerMeters, PoolMeters, RouteMeters, WorkerId};
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

fn full_scrape() -> Scrape {
    let backend = BackendMeters::new(2);
    for worker in [WorkerId(0), WorkerId(1)] {
        let cells = backend.at(worker);
        cells.requests[CodeClass::Success.index()].add(3);
        cells.failures[Cause::ConnectRefused.index()].add(1);
        cells.failures[Cause::NoRoute.index()].add(9);
        cells.duration.observe(Duration::from_millis(3));
        cells.connections_idle.add(2);
    }
    let mut scrape = Scrape::new();
    scrape.backend("shop", "127.0.0.1:9001", &backend.total());
    scrape.gauge(&names::BACKEND_IN_FLIGHT, &["shop", "127.0.0.1:9001"], 4.0);
    scrape.gauge(&names::BACKEND_LIMIT, &["shop", "127.0.0.1:9001"], 20.0);
    scrape.counter(
        &names::BACKEND_EJECTIONS,
        &["shop", "127.0.0.1:9001", "failures"],
        1,
    );
    scrape.counter(&names::HEALTH_CHECKS, &["shop", "127.0.0.1:9001", "ok"], 7);
    scrape.gauge(&names::BACKEND_UP, &["shop", "127.0.0.1:9001"], 1.0);
    scrape.gauge(&names::BACKEND_WEIGHT, &["shop", "127.0.0.1:9001"], 1.0);
    scrape.route("web", "*", &RouteMeters::new(1).total());
    scrape.listener("web", &ListenerMeters::new(1).total());
    scrape.gauge(
        &names::TLS_CERTIFICATE_EXPIRY,
        &["web", "shop.example"],
        2_000_000_000.0,
    );
    scrape.pool("shop", &PoolMeters::new(1).total());
    scrape.gauge(&names::POOL_PANIC, &["shop"], 0.0);
    scrape.gauge(&names::POOL_QUEUED, &["shop"], 0.0);
    let facade = super::super::facade::Facade::new();
    metrics::with_local_recorder(&facade, || {
        metrics::gauge!(names::CONFIG_GENERATION.name).set(1.0);
        metrics::gauge!(names::CONFIG_GENERATIONS_ALIVE.name).set(1.0);
        metrics::gauge!(names::CONFIG_LAST_RELOAD_SUCCESS.name).set(1_795_000_000.5);
        let name = "shop.internal:80";
        metrics::gauge!(names::DNS_ADDRESSES.name, "name" => name).set(1.0);
        metrics::gauge!(names::DNS_LAST_ANSWER.name, "name" => name).set(1_795_000_000.5);
        metrics::counter!(names::DNS_LOOKUPS.name, "name" => name, "result" => "ok").increment(1);
    });
    facade.expose(&mut scrape);
    scrape.process();
    scrape
}

#[test]
fn every_metric_of_the_table_is_there_with_its_labels() {
    let read = read(&full_scrape().finish());
    for metric in names::ALL {
        let (_, kind, help) = read
            .families
            .iter()
            .find(|family| family.0 == metric.name)
            .unwrap();
        assert_eq!(kind, &format!("{:?}", metric.kind).to_lowercase());
        assert_eq!(help, metric.help);
        let (series, labels) = read
            .labels
            .iter()
            .find(|(series, _)| series.starts_with(metric.name))
            .unwrap();
        let mut wanted: BTreeSet<_> = metric
            .labels
            .iter()
            .map(|label| (*label).to_owned())
            .collect();
        if metric.kind == Kind::Histogram && series.contains("_bucket") {
            wanted.insert("le".to_owned());
        }
        assert_eq!(
            labels.keys().cloned().collect::<BTreeSet<_>>(),
            wanted,
            "{series}"
        );
    }
}

#[test]
fn families_are_sorted_helped_and_named_as_promtool_wants() {
    let read = read(&full_scrape().finish());
    assert!(read.families.is_sorted_by(|a, b| a.0 < b.0));
    for (name, kind, help) in &read.families {
        assert!(!help.is_empty(), "{name}");
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
    }
    let process: Vec<_> = read
        .families
        .iter()
        .filter(|family| family.0.starts_with("process_"))
        .collect();
    assert_eq!(process.len(), 7);
    assert!(read.series["process_resident_memory_bytes"] > 0.0);
}

#[test]
fn workers_are_added_up_and_histograms_are_cumulative() {
    let read = read(&full_scrape().finish());
    let of = |series: &str| read.series[series];
    let both = "pool=\"shop\",backend=\"127.0.0.1:9001\"";
    assert_eq!(
        of(&format!(
            "forecourt_backend_requests_total{{{both},code=\"2xx\"}}"
        )),
        6.0
    );
    assert_eq!(
        of(&format!(
            "forecourt_backend_failures_total{{{both},cause=\"connect-refused\"}}"
        )),
        2.0
    );
    assert_eq!(
        of(&format!(
            "forecourt_backend_connections{{{both},state=\"idle\"}}"
        )),
        4.0
    );
    let duration = "forecourt_backend_request_duration_seconds";
    assert_eq!(
        of(&format!("{duration}_bucket{{{both},le=\"0.0025\"}}")),
        0.0
    );
    assert_eq!(
        of(&format!("{duration}_bucket{{{both},le=\"0.005\"}}")),
        2.0
    );
    assert_eq!(of(&format!("{duration}_bucket{{{both},le=\"+Inf\"}}")), 2.0);
    assert_eq!(of(&format!("{duration}_count{{{both}}}")), 2.0);
    assert_eq!(of(&format!("{duration}_sum{{{both}}}")), 0.006);
    assert!(
        !read
            .series
            .keys()
            .any(|series| series.contains("no-route") && series.contains("backend=")),
        "not a backend's failure"
    );
}

#[test]
fn figures_of_the_same_labels_are_added_up() {
    let mut scrape = Scrape::new();
    scrape.counter(&names::RETRIES, &["shop", "ok"], 1);
    scrape.counter(&names::RETRIES, &["shop", "ok"], 2);
    scrape.gauge(&names::CONNECTIONS, &["web"], 5.0);
    scrape.gauge(&names::CONNECTIONS, &["web"], 3.0);
    let read = read(&scrape.finish());
    assert_eq!(
        read.series["forecourt_retries_total{pool=\"shop\",outcome=\"ok\"}"],
        3.0
    );
    assert_eq!(read.series["forecourt_connections{listener=\"web\"}"], 3.0);
}

#[test]
fn odd_names_in_the_configuration_survive() {
    let odd = "a\"b\\c\nd é{}=,";
    let mut scrape = Scrape::new();
    scrape.counter(&names::RETRIES, &[odd, "ok"], 1);
    let read = read(&scrape.finish());
    assert_eq!(read.labels.values().next().unwrap()["pool"], odd);
}

#[test]
fn the_text_is_as_the_format_says() {
    let mut scrape = Scrape::new();
    scrape.counter(&names::STICKY, &["shop", "new"], 12);
    scrape.gauge(&names::BACKEND_UP, &["shop", "b2"], 0.0);
    assert_eq!(
        scrape.finish(),
        "# HELP forecourt_backend_up Whether the backend may be picked for new clients (1) or not (0).\n\
         # TYPE forecourt_backend_up gauge\n\
         forecourt_backend_up{pool=\"shop\",backend=\"b2\"} 0\n\
         # HELP forecourt_sticky_total Requests to a pool with stickiness, by what became of the cookie.\n\
         # TYPE forecourt_sticky_total counter\n\
         forecourt_sticky_total{pool=\"shop\",outcome=\"new\"} 12\n"
    );
}
