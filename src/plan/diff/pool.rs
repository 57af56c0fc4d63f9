//! Differences of pools and their backends.

use std::path::PathBuf;
use std::time::Duration;

use super::outlier::outlier;
use super::retry;
use super::{Change, Lines, Pair, Subject, duration_text, matched};
use crate::health::{Check, HttpCheck, Policy};
use crate::message::FieldCase;
use crate::message::forwarded::Words;
use crate::plan::Pool;
use crate::plan::pool::{BackendPlan, Drain, Limits, PoolTimeouts, PoolTls, RequestStyle};
use crate::strategy::{PanicThreshold, Spec, StickySpec};

pub(super) fn pools(old: &[Pool], new: &[Pool], changes: &mut Vec<Change>) {
    for (name, pair) in matched(old, new, |pool| &pool.name) {
        let mut lines = Lines {
            subject: Subject::Pool(name),
            changes,
        };
        match pair {
            Pair::Added(new) => lines.say(format!("added with {}", count_text(new.backends.len()))),
            Pair::Removed(old) => {
                lines.say(format!("removed with {}", count_text(old.backends.len())))
            }
            Pair::Both(old, new) => pool(old, new, &mut lines),
        }
    }
}

fn pool(old: &Pool, new: &Pool, lines: &mut Lines<'_>) {
    lines.compare("strategy", &old.strategy, &new.strategy, strategy_text);
    for (_, pair) in matched(&old.backends, &new.backends, |backend| &backend.address) {
        match pair {
            Pair::Added(new) => lines.say(format!("backend {} added", new.address)),
            Pair::Removed(old) => lines.say(format!("backend {} removed", old.address)),
            Pair::Both(old, new) => backend(old, new, lines),
        }
    }
    for (_, pair) in matched(&old.names, &new.names, |name| &name.question) {
        match pair {
            Pair::Added(new) => lines.say(format!("name {} added", new.question)),
            Pair::Removed(old) => lines.say(format!("name {} removed", old.question)),
            // What it makes of its addresses is said of these.
            Pair::Both(..) => {}
        }
    }
    sticky(old.sticky.as_ref(), new.sticky.as_ref(), lines);
    let (
        PoolTimeouts {
            connect,
            response,
            idle,
            tunnel,
        },
        after,
    ) = (old.timeouts, new.timeouts);
    lines.durations([
        ("timeouts.connect", connect, after.connect),
        ("timeouts.response", response, after.response),
        ("timeouts.idle", idle, after.idle),
        ("timeouts.tunnel", tunnel, after.tunnel),
    ]);
    lines.compare("protocol", &old.protocol, &new.protocol, |protocol| {
        protocol.as_str().to_owned()
    });
    tls(old.tls.as_deref(), new.tls.as_deref(), lines);
    style(old.style, new.style, lines);
    retry::retry(&old.retry, &new.retry, lines);
    limits(old.limits, new.limits, lines);
    health(old.health.as_deref(), new.health.as_deref(), lines);
    let share = |threshold: &PanicThreshold| format!("{}%", threshold.0);
    lines.compare(
        "panic_threshold",
        &old.panic_threshold,
        &new.panic_threshold,
        share,
    );
    outlier(&old.outlier, &new.outlier, lines);
    lines.durations([("slow_start", old.slow_start, new.slow_start)]);
    drain(old.drain, new.drain, lines);
}

fn drain(old: Drain, new: Drain, lines: &mut Lines<'_>) {
    let Drain {
        sessions,
        streams,
        spread,
    } = old;
    let time = |time: &Option<Duration>| time.map_or_else(|| "none".to_owned(), duration_text);
    lines.compare("drain.sessions", &sessions, &new.sessions, time);
    lines.durations([
        ("drain.streams", streams, new.streams),
        ("drain.spread", spread, new.spread),
    ]);
}

fn limits(old: Limits, new: Limits, lines: &mut Lines<'_>) {
    let Limits {
        in_flight,
        queue,
        queue_timeout,
        adaptive,
    } = old;
    lines.compare(
        "limits.in_flight",
        &in_flight,
        &new.in_flight,
        u32::to_string,
    );
    lines.compare("limits.queue", &queue, &new.queue, usize::to_string);
    lines.durations([("limits.queue_timeout", queue_timeout, new.queue_timeout)]);
    lines.compare("limits.adaptive", &adaptive, &new.adaptive, |bounds| {
        bounds.map_or_else(
            || "off".to_owned(),
            |bounds| format!("from {}", bounds.floor),
        )
    });
}

fn health(old: Option<&Policy>, new: Option<&Policy>, lines: &mut Lines<'_>) {
    let (old, new) = match (old, new) {
        (None, None) => return,
        (None, Some(new)) => return lines.say(format!("health added: {}", check_text(&new.check))),
        (Some(_), None) => return lines.say("health removed: all backends count as well"),
        (Some(old), Some(new)) => (old, new),
    };
    let Policy {
        check,
        interval,
        fast_interval,
        timeout,
        rise,
        fall,
        initial,
    } = old;
    lines.compare("health", check, &new.check, check_text);
    lines.durations([
        ("health.interval", *interval, new.interval),
        ("health.fast_interval", *fast_interval, new.fast_interval),
        ("health.timeout", *timeout, new.timeout),
    ]);
    lines.compare("health.rise", rise, &new.rise, u32::to_string);
    lines.compare("health.fall", fall, &new.fall, u32::to_string);
    lines.compare("health.initial", initial, &new.initial, |initial| {
        initial.as_str().to_owned()
    });
}

fn check_text(check: &Check) -> String {
    let http = match check {
        Check::Tcp => return "tcp".to_owned(),
        Check::Grpc { service, .. } if service.is_empty() => return "grpc".to_owned(),
        Check::Grpc { service, .. } => return format!("grpc {service}"),
        Check::Http(http) => http,
    };
    let HttpCheck {
        path,
        host,
        method,
        expected,
        body,
    } = http;
    let mut text = format!("{} {path}", method.as_str());
    let host = host.iter().map(|host| format!(" host {host}"));
    let body = body.iter().map(|body| format!(" with {body:?}"));
    text.extend(host);
    text.push_str(" for ");
    text.push_str(&expected.to_string());
    text.extend(body);
    text
}

fn style(old: RequestStyle, new: RequestStyle, lines: &mut Lines<'_>) {
    let RequestStyle {
        case,
        forwarded,
        via,
    } = old;
    lines.compare("header_case", &case, &new.case, |case| {
        let word = match case {
            FieldCase::Keep => "keep",
            FieldCase::Lower => "lower",
            FieldCase::Title => "title",
        };
        word.to_owned()
    });
    lines.compare("forwarded", &forwarded, &new.forwarded, |words| {
        let word = match words {
            Words::XForwarded => "x-forwarded",
            Words::Forwarded => "forwarded",
            Words::Both => "both",
        };
        word.to_owned()
    });
    lines.compare("via", &via, &new.via, bool::to_string);
}

fn backend(old: &BackendPlan, new: &BackendPlan, lines: &mut Lines<'_>) {
    let BackendPlan {
        address,
        id,
        weight,
        backup,
        server_name,
        max_in_flight,
        name: _,
    } = old;
    lines.compare(
        &format!("backup of {address}"),
        backup,
        &new.backup,
        bool::to_string,
    );
    lines.compare(
        &format!("weight of {address}"),
        weight,
        &new.weight,
        u32::to_string,
    );
    lines.compare(
        &format!("max_in_flight of {address}"),
        max_in_flight,
        &new.max_in_flight,
        u32::to_string,
    );
    lines.compare(&format!("id of {address}"), id, &new.id, |id| {
        id.to_string()
    });
    // Otherwise TLS came or went, which is said once.
    if let (Some(old), Some(new)) = (server_name, &new.server_name) {
        lines.compare(&format!("server name of {address}"), old, new, |name| {
            name.to_str().into_owned()
        });
    }
}

fn tls(old: Option<&PoolTls>, new: Option<&PoolTls>, lines: &mut Lines<'_>) {
    let (old, new) = match (old, new) {
        (None, None) => return,
        (None, Some(_)) => return lines.say("tls added"),
        (Some(_), None) => return lines.say("tls removed"),
        (Some(old), Some(new)) => (old, new),
    };
    let PoolTls {
        ca,
        roots,
        client,
        verify,
        config: _,
    } = old;
    let whose = |ca: &Option<PathBuf>| {
        ca.as_ref().map_or_else(
            || "that of the system".to_owned(),
            |path| path.display().to_string(),
        )
    };
    lines.compare("tls.verify", verify, &new.verify, bool::to_string);
    lines.compare("tls.ca", ca, &new.ca, whose);
    if *ca == new.ca && *verify == new.verify && roots.roots != new.roots.roots {
        lines.say(format!("authorities in {} changed", whose(ca)));
    }
    match (client, &new.client) {
        (None, Some(new)) => lines.say(format!("client certificate {} added", new.path.display())),
        (Some(old), None) => {
            lines.say(format!("client certificate {} removed", old.path.display()));
        }
        (Some(old), Some(new)) if old != new => {
            lines.say(format!("client certificate {} changed", new.path.display()));
        }
        (None, None) | (Some(_), Some(_)) => {}
    }
}

fn sticky(old: Option<&StickySpec>, new: Option<&StickySpec>, lines: &mut Lines<'_>) {
    let (old, new) = match (old, new) {
        (None, None) => return,
        (None, Some(_)) => return lines.say("sticky added"),
        (Some(_), None) => return lines.say("sticky removed"),
        (Some(old), Some(new)) => (old, new),
    };
    let StickySpec {
        cookie,
        keys,
        same_site,
        max_idle,
        max_life,
    } = old;
    lines.compare("sticky.cookie", cookie, &new.cookie, |name| {
        name.as_deref().unwrap_or("by default").to_owned()
    });
    if *keys != new.keys {
        // Which secret it is, is nobody's business; how many sessions keep their backend, is the operator's.
        let kept = keys.first().is_some_and(|key| new.keys.contains(key));
        lines.say(if kept {
            "sticky.secret changed, sessions are kept"
        } else {
            "sticky.secret changed, sessions lose their backend"
        });
    }
    lines.compare("sticky.same_site", same_site, &new.same_site, |word| {
        format!("{word:?}").to_lowercase()
    });
    lines.compare("sticky.max_idle", max_idle, &new.max_idle, |bound| {
        bound.map_or_else(|| "none".to_owned(), duration_text)
    });
    lines.compare("sticky.max_life", max_life, &new.max_life, |bound| {
        bound.map_or_else(|| "none".to_owned(), duration_text)
    });
}

fn strategy_text(spec: &Spec) -> String {
    match spec {
        Spec::IpHash {
            ipv4_prefix,
            ipv6_prefix,
        } => format!("ip-hash (/{ipv4_prefix}, /{ipv6_prefix})"),
        Spec::LeastConnections
        | Spec::Random
        | Spec::RoundRobin
        | Spec::TwoChoices
        | Spec::Weighted => spec.name().to_owned(),
    }
}

fn count_text(backends: usize) -> String {
    match backends {
        1 => "1 backend".to_owned(),
        many => format!("{many} backends"),
    }
}
