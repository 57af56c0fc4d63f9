//! What finding a route costs: among 10, 1,000 and 100,000 of them, found and not found.
//!
//! Of ten routes six name a host, two a wildcard, one is a prefix under a shared host and one an exact path
//! there. The shared host has four regexes besides, at every size. In the second table each of those routes has
//! two more for the same place, which ask for a header and for a parameter of the query: `conditions` meets them,
//! `conditions-unmet` falls back to the plain route. What a search may grow with is the number of regexes of one
//! host, and of routes with conditions at one place; neither grows here.

#[path = "parts/brief.rs"]
mod brief;

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, BenchmarkId};
use fastrand::Rng;
use forecourt::message::{Head, Version};
use forecourt::route::view::{self, Room};
use forecourt::route::{
    Asked, Condition, Conditions, HostPattern, Matcher, PathPattern, PathRules, RouteTable, Wanted,
};

fn main() {
    let mut criterion = brief::criterion(Duration::from_millis(400));
    let mut group = criterion.benchmark_group("route");
    for size in [10, 1_000, 100_000] {
        let matchers = matchers(size);
        let table = RouteTable::build(matchers.iter().map(|matcher| (matcher, &[][..])));
        for case in CASES {
            find(&mut group, case, size, &table);
        }
        let matchers = conditional(size);
        let table = RouteTable::build(matchers.iter().map(|matcher| (matcher, &[][..])));
        for case in CONDITIONAL_CASES {
            find(&mut group, case, size, &table);
        }
    }
    group.finish();
    let mut group = criterion.benchmark_group("route-table");
    group.sample_size(10);
    for size in [1_000, 10_000, 100_000] {
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

/// Asks for requests of one kind, over all routes of that kind, as the data path does: the path is brought to its
/// view each time.
fn find(group: &mut BenchmarkGroup<'_, WallTime>, case: &Case, size: usize, table: &RouteTable) {
    let mut rng = Rng::with_seed(7);
    let requests: Vec<(String, String, Head)> = (0..4_096)
        .map(|_| rng.usize(0..size / 10))
        .map(|n| ((case.host)(n), (case.path)(n), head(case, n)))
        .collect();
    let found = |(host, path, head): &(String, String, Head)| {
        let mut room = Room::new();
        let path = black_box(path.as_bytes());
        let path = view::of(path, PathRules::default(), &mut room).ok()?;
        table.find(&Asked {
            host: black_box(host.as_bytes()),
            path,
            listener: 0,
            head,
            client: None,
            trusted: false,
        })
    };
    for request in &requests {
        assert_eq!(
            found(request).is_some(),
            case.found,
            "{}{}",
            request.0,
            request.1
        );
    }
    let mut requests = requests.iter().cycle();
    group.bench_function(BenchmarkId::new(case.name, size), |bencher| {
        bencher.iter(|| found(requests.next()?));
    });
}

/// What a browser sends, and what the conditions ask for.
fn head(case: &Case, n: usize) -> Head {
    let mut head = Head::new();
    let target = format!("{}?page=2&sort=price", (case.path)(n));
    head.set_request(b"GET", target.as_bytes(), Version::Http11);
    for (name, value) in FIELDS {
        head.push(name.as_bytes(), value.as_bytes());
    }
    if case.name == "conditions" {
        head.push(b"X-Canary", b"1");
    }
    head
}

/// The same routes, each with two for the same place that ask for more.
fn conditional(size: usize) -> Vec<Matcher> {
    let asking = |matcher: &Matcher, conditions: Conditions| Matcher {
        conditions: conditions.canonical(),
        ..matcher.clone()
    };
    let condition = |name: &str, value: &str| Condition {
        name: name.into(),
        wanted: Wanted::Value(value.into()),
    };
    let by_header = Conditions {
        headers: vec![condition("x-canary", "1")],
        ..Conditions::default()
    };
    let by_query = Conditions {
        methods: vec!["GET".into()],
        query: vec![condition("page", "9")],
        ..Conditions::default()
    };
    matchers(size)
        .iter()
        .flat_map(|plain| {
            let one = asking(plain, by_header.clone());
            [plain.clone(), one, asking(plain, by_query.clone())]
        })
        .collect()
}

fn matchers(size: usize) -> Vec<Matcher> {
    let regexes = (0..4).map(|n| Matcher {
        hosts: vec![host("www.shop.example")],
        path: PathPattern::regex(&format!("^/article{n}/[0-9]+$")).expect("it is a regex"),
        conditions: None,
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
        conditions: None,
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
        path: |n| format!("/products/{n}"),
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

const CONDITIONAL_CASES: &[Case] = &[
    Case {
        name: "conditions",
        found: true,
        host: |n| format!("h{}-{n}.shops.example", n % 6),
        path: |n| format!("/products/{n}"),
    },
    Case {
        name: "conditions-unmet",
        found: true,
        host: |n| format!("h{}-{n}.shops.example", n % 6),
        path: |n| format!("/products/{n}"),
    },
    Case {
        name: "conditions-wildcard",
        found: true,
        host: |n| format!("www.tenant{n}.w6-{n}.example"),
        path: |n| format!("/products/{n}"),
    },
];

const FIELDS: &[(&str, &str)] = &[
    ("Host", "www.shop.example"),
    (
        "User-Agent",
        "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0",
    ),
    (
        "Accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    ),
    ("Accept-Language", "de,en-US;q=0.7,en;q=0.3"),
    ("Accept-Encoding", "gzip, deflate, br"),
    (
        "Cookie",
        "session=0123456789abcdef0123456789abcdef; consent=yes",
    ),
    ("Sec-Fetch-Site", "same-origin"),
    ("Sec-Fetch-Mode", "navigate"),
];
