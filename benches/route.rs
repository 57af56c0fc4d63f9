//! What finding a route costs: among 10, 1,000 and 100,000 of them, found and not found.
//!
//! Of ten routes six name a host, two a wildcard, one is a prefix under a shared host and one an exact path
//! there. The shared host has four regexes besides, at every size: the number of regexes of one host is the
//! only thing that a search may grow with.

#[path = "parts/brief.rs"]
mod brief;

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, BenchmarkId};
use fastrand::Rng;
use forecourt::route::{HostPattern, Matcher, PathPattern, RouteTable};

fn main() {
    let mut criterion = brief::criterion(Duration::from_millis(400));
    let mut group = criterion.benchmark_group("route");
    for size in [10, 1_000, 100_000] {
        let matchers = matchers(size);
        let table = RouteTable::build(matchers.iter().map(|matcher| (matcher, &[][..])));
        for case in CASES {
            find(&mut group, case, size, &table);
        }
    }
    group.finish();
    let mut group = criterion.benchmark_group("route-table");
    group.sample_size(10);
    for size in [1_000, 100_000] {
        let matchers = matchers(size);
        group.bench_function(BenchmarkId::new("build", size), |bencher| {
            bencher.iter_batched(
                || matchers.iter().map(|matcher| (matcher, &[][..])),
                RouteTable::build,
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
    criterion.final_summary();
}

/// One kind of request: how it is called, whether a route takes it, and how the `n`th looks.
struct Case {
    name: &'static str,
    found: bool,
    host: fn(usize) -> String,
    path: fn(usize) -> String,
}

/// Asks for requests of one kind, over all routes of that kind.
fn find(group: &mut BenchmarkGroup<'_, WallTime>, case: &Case, size: usize, table: &RouteTable) {
    let mut rng = Rng::with_seed(7);
    let requests: Vec<(String, String)> = (0..4_096)
        .map(|_| rng.usize(0..size / 10))
        .map(|n| ((case.host)(n), (case.path)(n)))
        .collect();
    for (host, path) in &requests {
        let found = table.find(host.as_bytes(), path.as_bytes(), 0);
        assert_eq!(found.is_some(), case.found, "{host}{path}");
    }
    let mut requests = requests.iter().cycle();
    group.bench_function(BenchmarkId::new(case.name, size), |bencher| {
        bencher.iter(|| {
            let (host, path) = requests.next()?;
            table.find(black_box(host.as_bytes()), black_box(path.as_bytes()), 0)
        });
    });
}

fn matchers(size: usize) -> Vec<Matcher> {
    let regexes = (0..4).map(|n| Matcher {
        hosts: vec![host("www.shop.example")],
        path: PathPattern::regex(&format!("^/article{n}/[0-9]+$")).expect("it is a regex"),
    });
    (0..size).map(matcher).chain(regexes).collect()
}

fn matcher(at: usize) -> Matcher {
    let n = at / 10;
    let (hosts, path) = match at % 10 {
        6 | 7 => (format!("*.w{}-{n}.example", at % 10), PathPattern::Any),
        8 => (
            "www.shop.example".to_owned(),
            PathPattern::prefix(&format!("/section/{n}")).expect("it is a prefix"),
        ),
        9 => (
            "www.shop.example".to_owned(),
            PathPattern::exact(&format!("/page/{n}.html")).expect("it is a path"),
        ),
        kind => (
            format!("h{kind}-{n}.shops.example"),
            PathPattern::prefix("/").expect("it is a prefix"),
        ),
    };
    Matcher {
        hosts: vec![host(&hosts)],
        path,
    }
}

fn host(text: &str) -> HostPattern {
    HostPattern::parse(text).expect("it is a host")
}

const CASES: &[Case] = &[
    Case {
        name: "host",
        found: true,
        host: |n| format!("h{}-{n}.shops.example", n % 6),
        path: |n| format!("/products/{n}?sorted"),
    },
    Case {
        name: "wildcard",
        found: true,
        host: |n| format!("www.tenant{n}.w6-{n}.example"),
        path: |n| format!("/products/{n}"),
    },
    Case {
        name: "exact-path",
        found: true,
        host: |_| "www.shop.example".to_owned(),
        path: |n| format!("/page/{n}.html"),
    },
    Case {
        name: "prefix",
        found: true,
        host: |_| "www.shop.example".to_owned(),
        path: |n| format!("/section/{n}/products/1"),
    },
    Case {
        name: "regex",
        found: true,
        host: |_| "www.shop.example".to_owned(),
        path: |n| format!("/article{}/{n}", n % 4),
    },
    Case {
        name: "unknown-path",
        found: false,
        host: |_| "www.shop.example".to_owned(),
        path: |n| format!("/sections/{n}/products/1"),
    },
    Case {
        name: "unknown-host",
        found: false,
        host: |n| format!("www.h{n}.nowhere.example"),
        path: |n| format!("/products/{n}"),
    },
];
