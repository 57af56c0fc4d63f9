//! `forecourt status`: what is wrong with a running instance, its pools and backends, as people read them.

use std::process::ExitCode;

use super::reach::Reach;
use super::top::words::{lasted, rate, time};
use super::{NO_INSTANCE, ask, ask_plainly, complain, fail, say};
use crate::admin::alarms::Alarm;
use crate::admin::client::{self, AdminAddress, Answer};
use crate::admin::stats::{BackendStats, Stats};
use crate::admin::status::{BackendStatus, CheckStatus, PoolStatus, Status};

pub(super) fn show(reach: &Reach, json: bool) -> ExitCode {
    let token = match reach.token() {
        Ok(token) => token,
        Err(error) => return fail(&error),
    };
    let (admin, token) = (&reach.address(), token.as_deref());
    if json {
        return match ask_status(admin, token) {
            Ok(document) => {
                say(String::from_utf8_lossy(&document).trim_end());
                ExitCode::SUCCESS
            }
            Err(code) => code,
        };
    }
    // What happens in the second after the question, beside what stands.
    let asked = ask(async {
        let [status, stats] =
            ["/v1/status", "/v1/stats"].map(|path| client::ask_as(admin, path, token));
        let (status, stats) = tokio::join!(status, stats);
        // Whoever is ending has no figures any more, and still a status.
        status.map(|status| (status, stats.ok()))
    });
    let (answer, stats) = match asked {
        Ok(asked) => asked,
        Err(code) => return code.into(),
    };
    let stats: Option<Stats> = stats.and_then(|stats| serde_json::from_slice(&stats.body).ok());
    match shown(admin, answer).and_then(|document| read_status(admin, &document)) {
        Ok(status) => {
            say(table(&status, stats.as_ref()).trim_end());
            ExitCode::SUCCESS
        }
        Err(code) => code,
    }
}

/// The status of a running instance, as it came; or the exit code, when the failure has been told.
pub(super) fn ask_status(admin: &AdminAddress, token: Option<&str>) -> Result<Vec<u8>, ExitCode> {
    let answer = ask(client::ask_as(admin, "/v1/status", token)).map_err(ExitCode::from)?;
    shown(admin, answer)
}

/// What was asked for, or the exit code when it is refused.
fn shown(admin: &AdminAddress, answer: Answer) -> Result<Vec<u8>, ExitCode> {
    match answer.refused() {
        None => Ok(answer.body),
        Some(refused) => {
            complain(&format!(
                "error: {admin} does not show its status: {refused}"
            ));
            Err(NO_INSTANCE.into())
        }
    }
}

/// What is wrong with a running instance by the second after the question; nothing if it has no figures.
pub(super) fn ask_alarms(admin: &AdminAddress, token: Option<&str>) -> Vec<Alarm> {
    let stats = ask_plainly(client::ask_as(admin, "/v1/stats", token));
    let stats = stats.ok().and_then(Result::ok);
    let stats: Option<Stats> = stats.and_then(|stats| serde_json::from_slice(&stats.body).ok());
    stats.map_or_else(Vec::new, |stats| stats.alarms)
}

/// Alarms, each with what can be done about it.
pub(super) fn told<'a>(alarms: impl IntoIterator<Item = &'a Alarm>) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    for alarm in alarms {
        let mark = if alarm.grave { "wrong" } else { "note" };
        let pool = alarm.pool.as_ref();
        let pool = pool.map_or_else(String::new, |pool| format!("{pool}: "));
        let _ = writeln!(
            out,
            "\n{mark}  {pool}{}\n  remedy  {}",
            alarm.what, alarm.remedy
        );
    }
    out
}

pub(super) fn read_status(admin: &AdminAddress, document: &[u8]) -> Result<Status, ExitCode> {
    serde_json::from_slice(document).map_err(|error| {
        complain(&format!(
            "error: the status of {admin} cannot be read: {error}"
        ));
        NO_INSTANCE.into()
    })
}

/// The status as people read it, with the figures of a second.
fn table(status: &Status, stats: Option<&Stats>) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    let _ = writeln!(
        out,
        "forecourt {}  {}  generation {}  up {} s  {} workers",
        status.version, status.state, status.generation, status.uptime_seconds, status.workers
    );
    for listener in &status.listeners {
        let _ = writeln!(
            out,
            "listener {}  {}  {} connections",
            listener.name, listener.address, listener.connections
        );
    }
    if let Some(stats) = stats {
        out.push_str(&now(stats));
    }
    for pool in &status.pools {
        let sticky = if pool.sticky { "  sticky" } else { "" };
        let panic = if pool.panic { "  panic" } else { "" };
        let _ = writeln!(
            out,
            "\npool {}  {}{sticky}{panic}",
            pool.name, pool.strategy
        );
        out.push_str(&limits_line(pool));
        let _ = writeln!(
            out,
            "  {:<28} {:>6} {:<12} {:>9} {:>12} {:>8} {:>9} {:>7} {:>5} {:>7} {:>7} {:>7}  last check",
            "backend",
            "weight",
            "standing",
            "in flight",
            "requests",
            "5xx",
            "failures",
            "active",
            "idle",
            "req/s",
            "p50 ms",
            "p99 ms"
        );
        for backend in &pool.backends {
            let found = stats.and_then(|stats| {
                let pool = stats.pools.iter().find(|one| one.name == pool.name)?;
                let mut backends = pool.backends.iter();
                backends.find(|one| one.status.address == backend.address)
            });
            out.push_str(&row(backend, found));
            out.push_str(&why(status, backend));
        }
    }
    out
}

/// What happens per second, and what is wrong with what can be done about it.
fn now(stats: &Stats) -> String {
    let times = &stats.times;
    let mut out = format!(
        "now  {} requests/s  {} errors/s  p50 {} ms  p99 {} ms\n",
        rate(stats.requests_per_second),
        rate(stats.errors_per_second),
        time(times.p50_milliseconds),
        time(times.p99_milliseconds)
    );
    out.push_str(&told(&stats.alarms));
    if stats.alarms.is_empty() {
        out.push_str("nothing is wrong: no backend is out, slow or failing\n");
    }
    out
}

/// Why a backend takes nothing new, and for how long.
fn why(status: &Status, backend: &BackendStatus) -> String {
    let now = status.started + status.uptime_seconds;
    let Some(why) = &backend.why else {
        return String::new();
    };
    let since = backend.since;
    let since = since.map_or_else(String::new, |since| {
        format!(" for {}", lasted(now.saturating_sub(since)))
    });
    let until = backend.ejected_until;
    let until = until.map_or_else(String::new, |until| {
        format!(
            "; tried again in {} s at the latest",
            until.saturating_sub(now)
        )
    });
    format!("    {}{since}: {why}{until}\n", backend.standing)
}

fn row(backend: &BackendStatus, now: Option<&BackendStats>) -> String {
    let check = backend.check.as_ref();
    let check = check.map_or_else(|| "-".to_owned(), check_text);
    let name = backend.name.as_ref();
    let mut name = name.map_or_else(String::new, |name| format!("  by {name}"));
    if backend.id != backend.address {
        name.push_str(&format!("  id {}", backend.id));
    }
    format!(
        "  {:<28} {:>6} {:<12} {:>9} {:>12} {:>8} {:>9} {:>7} {:>5} {:>7} {:>7} {:>7}  {check}{name}\n",
        backend.address,
        weight_text(backend),
        backend.standing,
        in_flight_text(backend),
        backend.requests,
        backend.errors,
        backend.failures,
        backend.connections_active,
        backend.connections_idle,
        now.map_or_else(|| "-".to_owned(), |now| rate(now.requests_per_second)),
        now.map_or_else(|| "-".to_owned(), |now| time(now.times.p50_milliseconds)),
        now.map_or_else(|| "-".to_owned(), |now| time(now.times.p99_milliseconds)),
    )
}

/// `3`, or `3/20` where no more than 20 may be in flight.
fn in_flight_text(backend: &BackendStatus) -> String {
    match backend.limit {
        0 => backend.in_flight.to_string(),
        limit => format!("{}/{limit}", backend.in_flight),
    }
}

/// A line of what of a pool's limits is used, and what was too much; empty if there are none.
fn limits_line(pool: &PoolStatus) -> String {
    let limits = &pool.limits;
    let bounded = pool.backends.iter().any(|backend| backend.limit > 0);
    if limits.in_flight_limit == 0 && !bounded {
        return String::new();
    }
    let most = match limits.in_flight_limit {
        0 => String::new(),
        most => format!(" of {most}"),
    };
    format!(
        "  {}{most} in flight, {} of {} queued; refused: {} queue full, {} timed out, {} shed\n",
        limits.in_flight,
        limits.queued,
        limits.queue_limit,
        limits.queue_full,
        limits.queue_timeout,
        limits.shed
    )
}

/// `1`, or `3 (1)` where 3 was set at run time and the configuration says 1.
fn weight_text(backend: &BackendStatus) -> String {
    let BackendStatus {
        weight,
        weight_configured,
        ..
    } = backend;
    if weight == weight_configured {
        weight.to_string()
    } else {
        format!("{weight} ({weight_configured})")
    }
}

/// A check in a few words: `ok x 12` or `connect-refused x 3`, with how often in a row.
fn check_text(check: &CheckStatus) -> String {
    let word = check.cause.as_deref().unwrap_or(&check.result);
    format!("{word} x {}", check.in_row)
}
