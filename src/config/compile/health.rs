//! `[pools.*.health]`.

use std::sync::Arc;
use std::time::Duration;

use super::scope::{Given, Zero};
use crate::config::problem::Finding;
use crate::config::raw::pool as raw;
use crate::health::{Check, CheckMethod, Expected, HttpCheck, Initial, Policy};
use crate::message::grammar;
use crate::message::host::is_host;
use crate::plan::pool::Protocol;

/// Compiles how backends are checked, if they are.
pub(super) fn health(pool: &Given<'_, raw::Pool>) -> Option<Policy> {
    let given = pool.scope.get("health", &pool.value.health)?;
    let Given { value, scope, .. } = &given;
    let check = check(pool, &given);
    let interval = scope.duration(
        "interval",
        &value.interval,
        raw::CHECK_INTERVAL,
        Zero::Refused,
    );
    let in_row = 1..=raw::IN_ROW_MOST;
    Some(Policy {
        check,
        interval,
        fast_interval: fast_interval(&given, interval),
        timeout: timeout(&given, interval),
        rise: scope.integer("rise", &value.rise, raw::RISE, in_row.clone()),
        fall: scope.integer("fall", &value.fall, raw::FALL, in_row),
        initial: scope.word("initial", &value.initial, Initial::Up, &Initial::WORDS),
    })
}

fn timeout(given: &Given<'_, raw::Health>, interval: Duration) -> Duration {
    let Given { value, scope, .. } = given;
    let default = raw::CHECK_TIMEOUT.min(interval);
    let timeout = scope.duration("timeout", &value.timeout, default, Zero::Refused);
    if timeout > interval
        && let Some(written) = scope.get("timeout", &value.timeout)
    {
        let finding = Finding::error(format!(
            "a check may take {timeout:?}, longer than the {interval:?} from one to the next"
        ));
        written.report(finding.help("make `timeout` shorter, or `interval` longer"));
    }
    timeout
}

fn fast_interval(given: &Given<'_, raw::Health>, interval: Duration) -> Duration {
    let Given { value, scope, .. } = given;
    let default = interval / raw::CHECK_FAST_PART;
    let fast = scope.duration(
        "fast_interval",
        &value.fast_interval,
        default,
        Zero::Refused,
    );
    if fast > interval
        && let Some(written) = scope.get("fast_interval", &value.fast_interval)
    {
        let finding = Finding::error(format!(
            "`fast_interval` is {fast:?}, longer than `interval`, which is {interval:?}"
        ));
        written.report(finding.help("make it shorter, or leave it out: a quarter of `interval`"));
    }
    fast
}

/// The kinds of checks, and the keys that mean something with each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Kind {
    Grpc,
    Http,
    Tcp,
}

pub(in crate::config) const KINDS: [(&str, Kind); 3] = [
    ("http", Kind::Http),
    ("tcp", Kind::Tcp),
    ("grpc", Kind::Grpc),
];

fn check(pool: &Given<'_, raw::Pool>, given: &Given<'_, raw::Health>) -> Check {
    let Given { value, scope, .. } = given;
    let kind = scope.word("check", &value.check, Kind::Http, &KINDS);
    refuse_keys_of_others(given, kind);
    match kind {
        Kind::Http => Check::Http(http(given)),
        Kind::Tcp => Check::Tcp,
        Kind::Grpc => {
            if super::pool_tls::spoken(pool) == Protocol::Http1 {
                let finding =
                    Finding::error("a check of gRPC needs HTTP/2, and the pool speaks HTTP/1.1");
                given.report(finding.help(
                    "write protocol = \"h2c\" in the pool, or \"h2\" with `tls`; or check = \"tcp\" here",
                ));
            }
            let service = scope.get("service", &value.service);
            Check::Grpc {
                service: service.map_or("", |given| given.value.as_str()).into(),
                host: host(given),
            }
        }
    }
}

fn refuse_keys_of_others(given: &Given<'_, raw::Health>, kind: Kind) {
    let Given { value, scope, .. } = given;
    let texts = [
        ("path", &value.path, Kind::Http),
        ("host", &value.host, Kind::Http),
        ("method", &value.method, Kind::Http),
        ("body", &value.body, Kind::Http),
        ("service", &value.service, Kind::Grpc),
    ];
    let refused = |key: &str, of: Kind| {
        let word = KINDS.iter().find(|(_, kind)| *kind == of);
        let word = word.map_or("", |(word, _)| *word);
        Finding::error(format!(
            "`{key}` means something with check = \"{word}\" only"
        ))
        .help("leave it out, or change `check`")
    };
    for (key, field, of) in texts {
        // A host is sent with every request, the calls of gRPC included.
        let means = of == kind || (key == "host" && kind == Kind::Grpc);
        if let Some(written) = scope.get(key, field).filter(|_| !means) {
            written.report(refused(key, of));
        }
    }
    if let Some(written) = scope.get("expected", &value.expected)
        && kind != Kind::Http
    {
        written.report(refused("expected", Kind::Http));
    }
}

fn http(given: &Given<'_, raw::Health>) -> HttpCheck {
    let Given { value, scope, .. } = given;
    let method = scope.word(
        "method",
        &value.method,
        CheckMethod::Get,
        &CheckMethod::WORDS,
    );
    let body = scope.get("body", &value.body);
    if let Some(body) = &body {
        if body.value.is_empty() {
            let finding = Finding::error("every body contains an empty text");
            body.report(finding.help("write what it has to contain, or leave `body` out"));
        }
        if method == CheckMethod::Head {
            let finding = Finding::error("an answer to HEAD has no body");
            body.report(finding.help("leave `method` out, or `body`"));
        }
    }
    HttpCheck {
        path: path(given).unwrap_or_else(|| "/".into()),
        host: host(given),
        method,
        expected: expected(given),
        body: body.map(|body| body.value.as_str().into()),
    }
}

fn path(given: &Given<'_, raw::Health>) -> Option<Arc<str>> {
    let Given { value, scope, .. } = given;
    let Some(path) = scope.get("path", &value.path) else {
        if value.path.is_none() {
            let finding = Finding::error("what is asked for has no `path`");
            given.report(
                finding.help(
                    "add path = \"/healthz\", or check = \"tcp\" if a connection says enough",
                ),
            );
        }
        return None;
    };
    let good = path.value.starts_with('/')
        && !path.value.contains('#')
        && grammar::is_target(path.value.as_bytes());
    if !good {
        let finding = Finding::error(format!("{:?} is no path", path.value));
        path.report(
            finding.help("it begins with a slash, such as \"/healthz\"; spaces are written %20"),
        );
        return None;
    }
    Some(path.value.as_str().into())
}

fn host(given: &Given<'_, raw::Health>) -> Option<Arc<str>> {
    let host = given.scope.get("host", &given.value.host)?;
    if is_host(host.value.as_bytes()) {
        return Some(host.value.as_str().into());
    }
    let finding = Finding::error(format!("{:?} is no host", host.value));
    host.report(finding.help("a name or an address, with a port if need be: \"shop.example\""));
    None
}

fn expected(given: &Given<'_, raw::Health>) -> Expected {
    let Some(list) = given.scope.get("expected", &given.value.expected) else {
        return Expected::default();
    };
    if list.value.is_empty() {
        let finding = Finding::error("no status is expected, so that no check can succeed");
        list.report(finding.help("leave it out for 200 to 299"));
    }
    let ranges = list.elements().into_iter().filter_map(|written| {
        let range = Expected::range(written.value);
        if range.is_none() {
            let finding = Finding::error(format!("{:?} is no status", written.value));
            written.report(
                finding.help("write \"204\" or a range such as \"200-299\", from 200 to 599"),
            );
        }
        range
    });
    Expected::new(ranges)
}
