//! A scrape, read by the rules of the text format: what `promtool check metrics` would say, and more.

use std::collections::{BTreeMap, BTreeSet};

use crate::harness::{Balancer, DEADLINE, wait_for};

/// A scrape, read by the rules of the text format (version 0.0.4).
#[derive(Debug)]
pub(crate) struct Figures {
    samples: Vec<Sample>,
    types: BTreeMap<String, String>,
    helps: BTreeMap<String, String>,
}

/// A line of a scrape.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Figures {
    /// Scrapes a running balancer.
    #[track_caller]
    pub(crate) fn of(balancer: &Balancer) -> Self {
        let response = balancer.admin("/metrics");
        assert_eq!(response.status, 200);
        Self::read(&response.text()).unwrap_or_else(|problem| panic!("{problem}"))
    }

    /// The sum of what has this name and, among others, these labels.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.those(name, labels).map(|sample| sample.value).sum()
    }

    /// What is not 0 under this name and these labels, by the value of the label `by`.
    pub(crate) fn by(
        &self,
        name: &str,
        by: &str,
        labels: &[(&str, &str)],
    ) -> BTreeMap<String, f64> {
        let mut sums = BTreeMap::new();
        for sample in self
            .those(name, labels)
            .filter(|sample| sample.value != 0.0)
        {
            *sums.entry(sample.labels[by].clone()).or_default() += sample.value;
        }
        sums
    }

    /// The samples of this name that have, among others, these labels.
    pub(super) fn those(
        &self,
        name: &str,
        labels: &[(&str, &str)],
    ) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(move |sample| {
            let has = |(name, value): &(&str, &str)| {
                sample.labels.get(*name).map(String::as_str) == Some(*value)
            };
            sample.name == name && labels.iter().all(has)
        })
    }

    /// Reads a scrape, or says which rule it breaks: families whole and in one place, HELP and TYPE once and
    /// before the samples, names and labels well-formed, no sample twice, what `promtool` finds to say of
    /// names, histograms cumulative, closed by `+Inf` and all with the same buckets.
    fn read(text: &str) -> Result<Self, String> {
        let (mut samples, mut types, mut helps) =
            (Vec::<Sample>::new(), BTreeMap::new(), BTreeMap::new());
        let (mut family, mut ended, mut seen) = (String::new(), BTreeSet::new(), BTreeSet::new());
        let mut enter = |name: &str| {
            if family != name {
                ended.insert(std::mem::replace(&mut family, name.to_owned()));
            }
            (!ended.contains(name))
                .then_some(())
                .ok_or_else(|| format!("{name} is in two places"))
        };
        if !text.ends_with('\n') {
            return Err("the last line has no end".to_owned());
        }
        for line in text.lines() {
            let words: Vec<_> = line.splitn(4, ' ').collect();
            match words.as_slice() {
                ["#", "HELP", name, help] => {
                    enter(name)?;
                    once(&mut helps, name, help)?;
                }
                ["#", "TYPE", name, kind] => {
                    enter(name)?;
                    once(&mut types, name, kind)?;
                }
                _ => {
                    let sample = Sample::read(line).ok_or_else(|| format!("no sample: {line}"))?;
                    enter(family_of(&sample.name, &types))?;
                    if !seen.insert(format!("{}{:?}", sample.name, sample.labels)) {
                        return Err(format!("twice: {line}"));
                    }
                    samples.push(sample);
                }
            }
        }
        let figures = Self {
            samples,
            types,
            helps,
        };
        figures.check_names()?;
        figures.check_histograms()?;
        Ok(figures)
    }

    fn check_names(&self) -> Result<(), String> {
        for sample in &self.samples {
            let family = family_of(&sample.name, &self.types);
            let (kind, help) = (self.types.get(family), self.helps.get(family));
            let (Some(kind), Some(_)) = (kind, help) else {
                return Err(format!("{family} has no type or no help"));
            };
            let is_total = family.ends_with("_total");
            if (kind == "counter") != is_total {
                return Err(format!("{family} is a {kind}"));
            }
            let units = ["_milliseconds", "_ms", "_minutes", "_kilobytes", "_percent"];
            if units.iter().any(|unit| family.contains(unit)) {
                return Err(format!("{family} is not in a base unit"));
            }
            if sample.value.is_nan() || (kind != "gauge" && sample.value < 0.0) {
                return Err(format!("{family} is {}", sample.value));
            }
            let is_bucket = kind == "histogram" && sample.name.ends_with("_bucket");
            if sample.labels.contains_key("le") != is_bucket {
                return Err(format!("{} and the label le", sample.name));
            }
        }
        Ok(())
    }

    fn check_histograms(&self) -> Result<(), String> {
        let mut bounds = None;
        for family in self
            .types
            .iter()
            .filter(|(_, kind)| *kind == "histogram")
            .map(|(name, _)| name)
        {
            let mut series = BTreeMap::<_, Vec<(f64, f64)>>::new();
            for bucket in self.those(&format!("{family}_bucket"), &[]) {
                let mut labels = bucket.labels.clone();
                let bound = labels.remove("le").and_then(|bound| bound.parse().ok());
                let bound =
                    bound.ok_or_else(|| format!("{family} has a bucket without a bound"))?;
                series
                    .entry(labels)
                    .or_default()
                    .push((bound, bucket.value));
            }
            for (labels, buckets) in series {
                // What is to be added up over routes, backends and instances needs the same buckets.
                let own: Vec<f64> = buckets.iter().map(|bucket| bucket.0).collect();
                if *bounds.get_or_insert_with(|| own.clone()) != own {
                    return Err(format!("{family}{labels:?} has other buckets: {own:?}"));
                }
                let given: Vec<_> = labels
                    .iter()
                    .map(|(name, value)| (&**name, &**value))
                    .collect();
                let rises = buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1);
                let count = self.sum(&format!("{family}_count"), &given);
                let closed = buckets.last() == Some(&(f64::INFINITY, count));
                if !rises || !closed || self.those(&format!("{family}_sum"), &given).count() != 1 {
                    return Err(format!(
                        "{family}{labels:?} is no histogram: {buckets:?}, {count}"
                    ));
                }
            }
        }
        Ok(())
    }
}

impl Sample {
    /// Reads `name{label="value",...} number`.
    fn read(line: &str) -> Option<Self> {
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, read_labels(labels.strip_suffix('}')?)?),
            None => (series, BTreeMap::new()),
        };
        is_name(name).then_some(())?;
        let (name, value) = (name.to_owned(), value.parse().ok()?);
        Some(Self {
            name,
            labels,
            value,
        })
    }
}

/// Labels without their braces; a name twice is none.
fn read_labels(mut text: &str) -> Option<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    while !text.is_empty() {
        let (name, rest) = text.split_once("=\"")?;
        (is_name(name) && !name.contains(':') && !name.starts_with("__")).then_some(())?;
        let mut value = String::new();
        let mut chars = rest.char_indices();
        let end = loop {
            match chars.next()? {
                (at, '"') => break at,
                (_, '\\') => value.push(match chars.next()?.1 {
                    'n' => '\n',
                    escaped @ ('\\' | '"') => escaped,
                    _ => return None,
                }),
                (_, plain) => value.push(plain),
            }
        };
        labels
            .insert(name.to_owned(), value)
            .is_none()
            .then_some(())?;
        text = &rest[end + 1..];
        text = match text.strip_prefix(',') {
            Some(more) if !more.is_empty() => more,
            Some(_) => return None,
            None if text.is_empty() => text,
            None => return None,
        };
    }
    Some(labels)
}

fn is_name(name: &str) -> bool {
    let may_stand = |(at, char): (usize, char)| {
        char.is_ascii_alphabetic() || matches!(char, '_' | ':') || (at > 0 && char.is_ascii_digit())
    };
    !name.is_empty() && name.char_indices().all(may_stand)
}

/// The family of a sample: itself, or the histogram that it is a part of.
fn family_of<'a>(sample: &'a str, types: &BTreeMap<String, String>) -> &'a str {
    let parts = ["_bucket", "_sum", "_count"];
    let whole = parts.iter().find_map(|part| sample.strip_suffix(part));
    let is_histogram = |name: &&str| types.get(*name).is_some_and(|kind| kind == "histogram");
    whole.filter(is_histogram).unwrap_or(sample)
}

fn once(map: &mut BTreeMap<String, String>, name: &str, value: &str) -> Result<(), String> {
    let before = map.insert(name.to_owned(), value.to_owned());
    before.map_or(Ok(()), |_| Err(format!("{name} is described twice")))
}

/// Waits until so many requests are on record, for a record is written just after its answer has gone out.
#[track_caller]
pub(crate) fn wait_for_records(balancer: &Balancer, count: usize) -> Figures {
    wait_for(DEADLINE, &format!("{count} requests on record"), || {
        let figures = Figures::of(balancer);
        let total = figures.sum("forecourt_requests_total", &[]);
        assert!(
            total <= count as f64,
            "{total} requests were recorded, not {count}"
        );
        // Each line is of the moment when it was written: those before the count may be older than the last record.
        (total == count as f64).then(|| Figures::of(balancer))
    })
}

#[test]
fn the_reader_of_scrapes_finds_faults() {
    let good = "# HELP a_total A.\n# TYPE a_total counter\na_total{x=\"1\"} 1\na_total{x=\"2\\\"\\\\\"} 2\n";
    assert_eq!(Figures::read(good).unwrap().sum("a_total", &[]), 3.0);
    for bad in [
        "a_total 1\n",
        "# HELP a A.\n# TYPE a counter\na 1\n",
        "# HELP a_total A.\n# TYPE a_total gauge\na_total 1\n",
        "# HELP a_total A.\n# TYPE a_total counter\na_total 1\na_total 1\n",
        "# HELP a_total A.\n# TYPE a_total counter\na_total{x=1} 1\n",
        "# HELP a_total A.\n# TYPE a_total counter\na_total{x=\"1\",} 1\n",
        "# HELP a_total A.\n# TYPE a_total counter\na_total -1\n",
        "# HELP a_total A.\n# TYPE a_total counter\na_total 1",
        "# HELP h H.\n# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
        "# HELP h H.\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 1\nh_count 1\n",
        "# HELP a A.\n# TYPE a gauge\n# HELP b B.\n# TYPE b gauge\nb 1\na 1\n",
    ] {
        assert!(Figures::read(bad).is_err(), "{bad}");
    }
}
