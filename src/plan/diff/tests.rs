//! Differences as the log of a reload shows them.

use std::path::PathBuf;

use super::*;
use crate::backend::Address;
use crate::health::outlier;
use crate::limit::adaptive::Bounds;
use crate::message::FieldCase;
use crate::message::forwarded::Words;
use crate::plan::action::{Host, Redirect};
use crate::plan::fields::{FieldRule, FieldRules};
use crate::plan::listener::{ListenAddress, ListenerLimits, ListenerTimeouts, ProxyProtocol};
use crate::plan::pages::{ErrorPage, ErrorPages};
use crate::plan::pool::{
    BackendPlan, Hedge, Limits, PoolTimeouts, Protocol, RequestStyle, Retry, RetryOn,
};
use crate::plan::process::{
    AccessFormat, AccessLog, AccessTarget, ClientIp, Level, Shutdown, Trace, TraceContext,
};
use crate::plan::template::{Encoding, Place, Template};
use crate::plan::{Action, Admin, AdminToken, Dns, Edits, Listener, Log, Pool, Route, Server};
use crate::route::{HostPattern, Matcher, PathPattern};
use crate::strategy::{PanicThreshold, SameSite, Spec, StickyKey, StickySpec};

pub(in crate::plan) fn plan() -> Plan {
    Plan {
        server: Server {
            workers: 2,
            shutdown: Shutdown {
                delay: Duration::ZERO,
                deadline: Duration::from_secs(30),
                spread: Duration::from_secs(5),
            },
        },
        admin: Some(Admin {
            address: listen("127.0.0.1:9900"),
            token: None,
            tls: None,
        }),
        log: Log {
            level: Level::Info,
            access: AccessLog {
                target: AccessTarget::Stdout,
                format: AccessFormat::Json,
                ..AccessLog::default()
            },
            recent: 1000,
        },
        trace: Trace::default(),
        dns: Dns::default(),
        listeners: vec![Arc::new(web("web", "0.0.0.0:80"))],
        routes: vec![to("all", "/", 0), to("pay", "/checkout", 0)],
        pools: vec![shop()],
    }
}

fn listen(text: &str) -> ListenAddress {
    ListenAddress::Tcp(text.parse().unwrap())
}

fn web(name: &str, address: &str) -> Listener {
    Listener {
        name: Arc::from(name),
        address: listen(address),
        tls: None,
        trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
        http2: true,
        abort_on_close: false,
        proxy_protocol: ProxyProtocol::Off,
        paths: Default::default(),
        timeouts: ListenerTimeouts {
            header: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            body: Duration::from_secs(30),
        },
        limits: ListenerLimits {
            connections: 0,
            connections_per_client: 0,
            requests: 0,
            header_bytes: 32_768,
            headers: 100,
            body_bytes: 0,
            body_rate: 500,
        },
        response_headers: FieldRules::default(),
        error_pages: ErrorPages::default(),
    }
}

pub(in crate::plan) fn to(name: &str, prefix: &str, pool: usize) -> Route {
    Route {
        name: Arc::from(name),
        matcher: Matcher {
            hosts: Vec::new(),
            path: PathPattern::Prefix(prefix.into()),
            conditions: None,
        },
        listeners: Vec::new(),
        action: Action::Pool(pool),
        edits: Edits::default(),
        upgrade: Vec::new(),
        idempotency_key: false,
        priority: 5,
    }
}

fn shop() -> Pool {
    Pool {
        name: Arc::from("shop"),
        strategy: Spec::RoundRobin,
        sticky: None,
        backends: vec![member(9001, 1), member(9002, 2)],
        names: Vec::new(),
        timeouts: PoolTimeouts {
            connect: Duration::from_secs(1),
            response: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            tunnel: Duration::from_secs(3600),
        },
        protocol: Protocol::Http1,
        tls: None,
        style: RequestStyle {
            case: FieldCase::Keep,
            forwarded: Words::XForwarded,
            via: true,
        },
        retry: Retry {
            attempts: 2,
            budget: 20,
            on: RetryOn::default(),
            per_try_timeout: None,
            deadline: None,
            replay_buffer: 0,
            hedge: Hedge::Off,
        },
        limits: Limits {
            in_flight: 0,
            queue: 100,
            queue_timeout: Duration::from_secs(1),
            adaptive: None,
        },
        health: None,
        panic_threshold: PanicThreshold(50),
        outlier: outlier::Policy::default(),
        slow_start: Duration::ZERO,
        drain: crate::plan::pool::Drain::default(),
    }
}

pub(in crate::plan) fn member(port: u16, weight: u32) -> BackendPlan {
    let address = Address::Tcp(([127, 0, 0, 1], port).into());
    BackendPlan {
        id: Arc::from(address.to_string()),
        address,
        weight,
        max_in_flight: 0,
        backup: false,
        server_name: None,
        name: None,
    }
}

pub(in crate::plan) fn sticky_by(secrets: &[&[u8]]) -> StickySpec {
    StickySpec {
        cookie: None,
        keys: secrets
            .iter()
            .map(|secret| StickyKey::new(secret).unwrap())
            .collect(),
        same_site: SameSite::Auto,
        max_idle: None,
        max_life: None,
    }
}

fn changed(change: impl FnOnce(&mut Plan)) -> Vec<String> {
    let mut new = plan();
    change(&mut new);
    diff(&plan(), &new)
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn equal_plans_do_not_differ() {
    assert!(changed(|_| {}).is_empty());
}

#[test]
fn backends_are_known_by_their_address() {
    let lines = changed(|plan| plan.pools[0].backends = vec![member(9003, 1), member(9002, 5)]);
    assert_eq!(
        lines,
        [
            "pool shop: backend 127.0.0.1:9003 added",
            "pool shop: weight of 127.0.0.1:9002 2 -> 5",
            "pool shop: backend 127.0.0.1:9001 removed",
        ]
    );
}

#[test]
fn settings_of_a_pool() {
    let lines = changed(|plan| {
        let pool = &mut plan.pools[0];
        pool.strategy = Spec::IpHash {
            ipv4_prefix: 24,
            ipv6_prefix: 64,
        };
        pool.sticky = Some(sticky_by(&[b"0123456789abcdef"]));
        pool.timeouts.connect = Duration::from_millis(250);
        pool.backends[0].id = Arc::from("b1");
        pool.backends[0].backup = true;
        pool.outlier.consecutive = 0;
        pool.outlier.max_ejected = 20;
        pool.slow_start = Duration::from_secs(30);
    });
    assert_eq!(
        lines,
        [
            "pool shop: strategy round-robin -> ip-hash (/24, /64)",
            "pool shop: backup of 127.0.0.1:9001 false -> true",
            "pool shop: id of 127.0.0.1:9001 127.0.0.1:9001 -> b1",
            "pool shop: sticky added",
            "pool shop: timeouts.connect 1s -> 250ms",
            "pool shop: outlier.consecutive 5 -> 0",
            "pool shop: outlier.max_ejected 50% -> 20%",
            "pool shop: slow_start 0s -> 30s",
        ]
    );
}

#[test]
fn secrets_are_compared_and_not_shown() {
    let mut old = plan();
    old.pools[0].sticky = Some(sticky_by(&[b"0123456789abcdef"]));
    let with = |secrets: &[&[u8]]| {
        let mut new = plan();
        new.pools[0].sticky = Some(sticky_by(secrets));
        diff(&old, &new)
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    let rotated = with(&[b"fedcba9876543210", b"0123456789abcdef"]);
    assert_eq!(
        rotated,
        ["pool shop: sticky.secret changed, sessions are kept"]
    );
    let replaced = with(&[b"fedcba9876543210"]);
    assert_eq!(
        replaced,
        ["pool shop: sticky.secret changed, sessions lose their backend"]
    );
}

#[test]
fn what_needs_a_restart_says_so() {
    let mut new = plan();
    new.server.workers = 4;
    new.admin = Some(Admin {
        address: ListenAddress::Unix(PathBuf::from("/run/a.sock")),
        token: Some(AdminToken::new(b"0123456789abcdef")),
        tls: None,
    });
    let changes = diff(&plan(), &new);
    // All but the token.
    let restarts: Vec<bool> = changes.iter().map(|change| change.needs_restart).collect();
    assert_eq!(restarts, [true, true, false]);
    let lines: Vec<_> = changes.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "server: workers 2 -> 4 (needs a restart)",
            "admin: address 127.0.0.1:9900 -> unix:/run/a.sock (needs a restart)",
            "admin: token_file: another token",
        ]
    );
    assert_eq!(
        changed(|plan| plan.admin = None),
        ["admin: removed (needs a restart)"]
    );
}

#[test]
fn listeners_and_logs() {
    let lines = changed(|plan| {
        plan.log.level = Level::Debug;
        plan.log.access = AccessLog {
            target: AccessTarget::File(PathBuf::from("access.log")),
            format: AccessFormat::Combined,
            sample: 10,
            slow: Duration::from_millis(500),
            client_ip: ClientIp::Truncated,
            query: true,
            redact: vec!["token".into(), "password".into()],
            referer: true,
            user_agent: true,
            decision: true,
        };
        plan.trace = Trace {
            context: TraceContext::Begin,
            sample: 1,
            export: None,
        };
        let web_listener = Arc::make_mut(&mut plan.listeners[0]);
        web_listener.trusted_proxies = vec!["192.0.2.0/24".parse().unwrap()];
        web_listener.timeouts.idle = Duration::from_secs(3600);
        plan.listeners
            .insert(0, Arc::new(web("other", "0.0.0.0:81")));
    });
    assert_eq!(
        lines,
        [
            "log: level info -> debug",
            "log: access.decision false -> true",
            "log: access.path stdout -> access.log",
            "log: access.format json -> combined",
            "log: access.sample 100% -> 10%",
            "log: access.slow 1s -> 500ms",
            "log: access.client_ip full -> truncated",
            "log: access.query false -> true",
            "log: access.redact nothing -> token, password",
            "log: access.headers none -> referer, user-agent",
            "trace: context pass -> begin",
            "trace: sample 100% -> 1%",
            "listener other: added on 0.0.0.0:81",
            "listener web: trusted proxy 192.0.2.0/24 added",
            "listener web: trusted proxy 10.0.0.0/8 removed",
            "listener web: timeouts.idle 1m -> 1h",
        ]
    );
}

#[test]
fn limits_of_a_listener() {
    let lines = changed(|plan| {
        let web = Arc::make_mut(&mut plan.listeners[0]);
        web.proxy_protocol = ProxyProtocol::Required;
        web.limits.connections_per_client = 50;
        web.limits.requests = 1000;
        web.limits.headers = 50;
        web.limits.body_rate = 0;
    });
    assert_eq!(
        lines,
        [
            "listener web: proxy_protocol off -> required",
            "listener web: limits.connections_per_client 0 -> 50",
            "listener web: limits.requests 0 -> 1000",
            "listener web: limits.headers 100 -> 50",
            "listener web: limits.body_rate 500 B/s -> 0 B/s",
        ]
    );
}

#[test]
fn routes_are_compared_by_names_not_by_indexes() {
    let lines = changed(|plan| {
        // The same pool and listener at another index are no change.
        plan.pools.insert(
            0,
            Pool {
                name: Arc::from("pay"),
                ..shop()
            },
        );
        plan.routes = vec![
            to("all", "/", 1),
            to("pay", "/pay", 0),
            to("new", "/new", 0),
        ];
        plan.routes[1].matcher.hosts = vec![HostPattern::Exact("shop.example".into())];
        plan.routes[1].listeners = vec![0];
    });
    assert_eq!(
        lines,
        [
            "route pay: hosts any -> shop.example",
            "route pay: path /checkout and below -> /pay and below",
            "route pay: listeners all -> web",
            "route pay: pool shop -> pay",
            "route new: added to pool pay",
            "pool pay: added with 2 backends",
        ]
    );
}

#[test]
fn the_order_of_routes_is_a_setting() {
    let lines = changed(|plan| plan.routes.reverse());
    assert_eq!(
        lines,
        ["routes: order changed: among equally specific routes the first one wins"]
    );
    let lines = changed(|plan| drop(plan.routes.remove(0)));
    assert_eq!(lines, ["route all: removed"]);
}

#[test]
fn what_becomes_of_requests_is_compared() {
    let template = |text: &str| Template::parse(text, Place::Page, &PathPattern::Any).unwrap();
    let rules = |value: &str| FieldRules {
        set: vec![FieldRule {
            name: "x-shop".into(),
            value: template(value),
        }],
        ..FieldRules::default()
    };
    let page = |text: &str| {
        ErrorPages::new(vec![ErrorPage {
            statuses: 502..=504,
            file: PathBuf::from("down.html"),
            content_type: "text/html",
            encoding: Encoding::Html,
            template: Arc::new(template(text)),
        }])
    };
    let lines = changed(|plan| {
        plan.routes[0].action = Action::Redirect(Redirect {
            status: 308,
            to: template("https://{host}{uri}"),
        });
        plan.routes[1].edits.rewrite.path = Some(template("/v2{path}"));
        plan.routes[1].edits.rewrite.host = Some(Host::Backend);
        plan.routes[1].edits.request_headers = rules("de");
        let listener = Arc::make_mut(&mut plan.listeners[0]);
        listener.response_headers.remove = vec!["server".into()];
        listener.error_pages = page("one");
    });
    assert_eq!(
        lines,
        [
            "listener web: response_headers: remove server added",
            "listener web: error page for 502-504 down.html added",
            "route all: pool shop -> redirect 308 https://{host}{uri}",
            "route pay: rewrite.path none -> /v2{path}",
            "route pay: rewrite.host none -> {backend}",
            "route pay: request_headers: set x-shop added",
        ]
    );
    let mut old = plan();
    old.routes[0].edits.error_pages = page("one");
    let mut new = plan();
    new.routes[0].edits.error_pages = page("two");
    let changes: Vec<_> = diff(&old, &new).iter().map(ToString::to_string).collect();
    assert_eq!(
        changes,
        ["route all: error page for 502-504 down.html changed"]
    );
}

#[test]
fn values_of_fields_are_compared_and_not_shown() {
    let rule = |name: &str, value: &str| FieldRule {
        name: name.into(),
        value: Template::parse(value, Place::RequestField, &PathPattern::Any).unwrap(),
    };
    let with = |set: Vec<FieldRule>, add: Vec<FieldRule>| {
        let mut plan = plan();
        let rules = FieldRules {
            set,
            add,
            ..FieldRules::default()
        };
        plan.routes[0].edits.request_headers = rules.clone();
        plan.routes[0].edits.response_headers = rules.clone();
        Arc::make_mut(&mut plan.listeners[0]).response_headers = rules;
        plan
    };
    let none = with(Vec::new(), Vec::new());
    let first = with(
        vec![rule("authorization", "Bearer hush-one")],
        vec![rule("x-key", "hush-two"), rule("x-key", "hush-three")],
    );
    let second = with(
        vec![rule("authorization", "Bearer hush-four")],
        vec![rule("x-key", "hush-two"), rule("x-key", "hush-five")],
    );
    let told = |old: &Plan, new: &Plan| -> Vec<String> {
        diff(old, new).iter().map(ToString::to_string).collect()
    };
    for (changes, word) in [
        (told(&none, &first), " added"),
        (told(&first, &second), ": another value"),
        (told(&second, &none), " removed"),
    ] {
        let expected = [
            "listener web: response_headers",
            "route all: request_headers",
            "route all: response_headers",
        ]
        .map(|place| {
            ["set authorization", "add x-key"].map(|change| format!("{place}: {change}{word}"))
        });
        assert_eq!(changes, expected.concat());
        assert!(!changes.join(" ").contains("hush"), "{changes:?}");
    }
    assert!(told(&first, &first).is_empty());
}

#[test]
fn what_is_sent_again_is_told() {
    let (mut old, mut new) = (shop(), shop());
    old.retry.on.stale = true;
    new.retry = Retry {
        attempts: 3,
        budget: 10,
        on: RetryOn {
            connect: true,
            stale: true,
            reset: false,
            statuses: vec![503..=503, 500..=599],
        },
        per_try_timeout: Some(Duration::from_millis(250)),
        deadline: Some(Duration::from_secs(2)),
        replay_buffer: 65_536,
        hedge: Hedge::Percentile95,
    };
    let mut changes = Vec::new();
    pool::pools(&[old], &[new], &mut changes);
    let told: Vec<String> = changes.iter().map(|change| change.what.clone()).collect();
    assert_eq!(
        told,
        [
            "retry.attempts 2 -> 3",
            "retry.budget 20% -> 10%",
            "retry.on [stale] -> [connect, stale, 503, 5xx]",
            "retry.per_try_timeout none -> 250ms",
            "retry.deadline none -> 2s",
            "retry.replay_buffer 0B -> 65536B",
            "retry.hedge off -> p95",
        ]
    );
}

#[test]
fn limits_are_compared_one_by_one() {
    let lines = changed(|plan| {
        plan.routes[0].priority = 9;
        let pool = &mut plan.pools[0];
        pool.limits = Limits {
            in_flight: 64,
            queue: 0,
            queue_timeout: Duration::from_millis(250),
            adaptive: Some(Bounds {
                floor: 8,
                most: 1000,
            }),
        };
        pool.backends[1].max_in_flight = 8;
    });
    let route = &plan().routes[0].name;
    assert_eq!(
        lines,
        [
            &format!("route {route}: priority 5 -> 9"),
            "pool shop: max_in_flight of 127.0.0.1:9002 0 -> 8",
            "pool shop: limits.in_flight 0 -> 64",
            "pool shop: limits.queue 100 -> 0",
            "pool shop: limits.queue_timeout 1s -> 250ms",
            "pool shop: limits.adaptive off -> from 8",
        ]
    );
}
