//! Differences of the process: `[server]`, `[admin]`, `[log]` and `[trace]`.

use std::path::Path;

use super::{Change, Lines, Subject, listener};
use crate::plan::export::{Endpoint, Export};
use crate::plan::process::{
    AccessFormat, AccessLog, AccessTarget, ClientIp, Level, Trace, TraceContext,
};
use crate::plan::{Admin, Dns, Log, Server};

pub(super) fn server(old: &Server, new: &Server, changes: &mut Vec<Change>) {
    let mut lines = Lines {
        subject: Subject::Server,
        changes,
    };
    if old.workers != new.workers {
        lines.say_restart(format!("workers {} -> {}", old.workers, new.workers));
    }
    lines.durations([
        ("shutdown.delay", old.shutdown.delay, new.shutdown.delay),
        (
            "shutdown.deadline",
            old.shutdown.deadline,
            new.shutdown.deadline,
        ),
        ("shutdown.spread", old.shutdown.spread, new.shutdown.spread),
    ]);
}

/// Whoever steers by the admin address would lose it in the middle of steering: it stays until the process ends, and so
/// does whether it speaks TLS. The token is another one at once, for a token that is changed may have been lost, and so are
/// certificates.
pub(super) fn admin(old: Option<&Admin>, new: Option<&Admin>, changes: &mut Vec<Change>) {
    let mut lines = Lines {
        subject: Subject::Admin,
        changes,
    };
    match (old, new) {
        (None, None) => {}
        (None, Some(new)) => lines.say_restart(format!("added on {}", new.address)),
        (Some(_), None) => lines.say_restart("removed"),
        (Some(old), Some(new)) => {
            if old.address != new.address {
                lines.say_restart(format!("address {} -> {}", old.address, new.address));
            }
            if old.token != new.token {
                lines.say("token_file: another token");
            }
            match (&old.tls, &new.tls) {
                (None, None) => {}
                (None, Some(_)) => lines.say_restart("tls added"),
                (Some(_), None) => lines.say_restart("tls removed"),
                (Some(old), Some(new)) => listener::tls_settings(old, new, &mut lines),
            }
        }
    }
}

pub(super) fn dns(old: &Dns, new: &Dns, changes: &mut Vec<Change>) {
    let mut lines = Lines {
        subject: Subject::Dns,
        changes,
    };
    let Dns {
        servers,
        timeout,
        min_ttl,
        max_ttl,
        max_addresses,
        required,
    } = old;
    lines.compare("servers", servers, &new.servers, |servers| {
        if servers.is_empty() {
            return "those of the system".to_owned();
        }
        let shown: Vec<String> = servers.iter().map(ToString::to_string).collect();
        shown.join(", ")
    });
    lines.durations([
        ("timeout", *timeout, new.timeout),
        ("min_ttl", *min_ttl, new.min_ttl),
        ("max_ttl", *max_ttl, new.max_ttl),
    ]);
    lines.compare(
        "max_addresses",
        max_addresses,
        &new.max_addresses,
        usize::to_string,
    );
    lines.compare("required", required, &new.required, bool::to_string);
}

pub(super) fn log(old: &Log, new: &Log, changes: &mut Vec<Change>) {
    let mut lines = Lines {
        subject: Subject::Log,
        changes,
    };
    lines.compare("level", &old.level, &new.level, |level| {
        level_text(*level).to_owned()
    });
    lines.compare("recent", &old.recent, &new.recent, usize::to_string);
    access(&old.access, &new.access, &mut lines);
}

fn access(old: &AccessLog, new: &AccessLog, lines: &mut Lines<'_>) {
    let AccessLog {
        target,
        format,
        sample,
        slow,
        client_ip,
        query,
        redact,
        referer,
        user_agent,
        decision,
    } = old;
    lines.compare("access.decision", decision, &new.decision, bool::to_string);
    lines.compare("access.path", target, &new.target, |target| match target {
        AccessTarget::File(path) => Path::display(path).to_string(),
        AccessTarget::Off => "off".to_owned(),
        AccessTarget::Stdout => "stdout".to_owned(),
    });
    lines.compare(
        "access.format",
        format,
        &new.format,
        |format| match format {
            AccessFormat::Combined => "combined".to_owned(),
            AccessFormat::Json => "json".to_owned(),
            AccessFormat::Text => "text".to_owned(),
        },
    );
    lines.compare("access.sample", sample, &new.sample, percent);
    lines.durations([("access.slow", *slow, new.slow)]);
    lines.compare("access.client_ip", client_ip, &new.client_ip, |how| {
        match how {
            ClientIp::Full => "full",
            ClientIp::Off => "off",
            ClientIp::Truncated => "truncated",
        }
        .to_owned()
    });
    lines.compare("access.query", query, &new.query, bool::to_string);
    lines.compare("access.redact", redact, &new.redact, |names| {
        if names.is_empty() {
            return "nothing".to_owned();
        }
        names.join(", ")
    });
    let headers = (*referer, *user_agent);
    let new_headers = (new.referer, new.user_agent);
    lines.compare("access.headers", &headers, &new_headers, |headers| {
        match headers {
            (false, false) => "none",
            (true, false) => "referer",
            (false, true) => "user-agent",
            (true, true) => "referer, user-agent",
        }
        .to_owned()
    });
}

pub(super) fn trace(old: &Trace, new: &Trace, changes: &mut Vec<Change>) {
    let mut lines = Lines {
        subject: Subject::Trace,
        changes,
    };
    let Trace {
        context,
        sample,
        export,
    } = old;
    export_of(export.as_deref(), new.export.as_deref(), &mut lines);
    lines.compare("context", context, &new.context, |context| {
        match context {
            TraceContext::Begin => "begin",
            TraceContext::Pass => "pass",
            TraceContext::Restart => "restart",
        }
        .to_owned()
    });
    lines.compare("sample", sample, &new.sample, percent);
}

fn export_of(old: Option<&Export>, new: Option<&Export>, lines: &mut Lines<'_>) {
    match (old, new) {
        (None, None) => {}
        (None, Some(new)) => lines.say(format!("export to {}", new.endpoint)),
        (Some(_), None) => lines.say("export no more"),
        (Some(old), Some(new)) => {
            let Export {
                endpoint,
                tls,
                headers,
                timeout,
                queue,
                service,
            } = old;
            lines.compare(
                "export.endpoint",
                endpoint,
                &new.endpoint,
                Endpoint::to_string,
            );
            if *tls != new.tls && endpoint.https == new.endpoint.https {
                lines.say("export: other authorities of the system");
            }
            if *headers != new.headers {
                lines.say("export.headers_file: other fields");
            }
            lines.durations([("export.timeout", *timeout, new.timeout)]);
            lines.compare("export.queue", queue, &new.queue, usize::to_string);
            lines.compare("export.service", service, &new.service, ToString::to_string);
        }
    }
}

fn percent(percent: &u8) -> String {
    format!("{percent}%")
}

const fn level_text(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
}
