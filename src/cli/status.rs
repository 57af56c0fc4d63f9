//! `forecourt status`: the pools and backends of a running instance, as people read them.

use std::process::ExitCode;

use super::reach::Reach;
use super::{NO_INSTANCE, ask, complain, fail, say};
use crate::admin::client::{self, AdminAddress};
use crate::admin::status::{BackendStatus, CheckStatus, PoolStatus, Status};

pub(super) fn show(reach: &Reach, json: bool) -> ExitCode {
    let token = match reach.token() {
        Ok(token) => token,
        Err(error) => return fail(&error),
    };
    let admin = &reach.address();
    let document = match ask_status(admin, token.as_deref()) {
        Ok(document) => document,
        Err(code) => return code,
    };
    if json {
        say(String::from_utf8_lossy(&document).trim_end());
        return ExitCode::SUCCESS;
    }
    match read_status(admin, &document) {
        Ok(status) => {
            say(table(&status).trim_end());
            ExitCode::SUCCESS
        }
        Err(code) => code,
    }
}

/// The status of a running instance, as it came; or the exit code, when the failure has been told.
pub(super) fn ask_status(admin: &AdminAddress, token: Option<&str>) -> Result<Vec<u8>, ExitCode> {
    let answer = ask(client::ask_as(admin, "/v1/status", token)).map_err(ExitCode::from)?;
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

pub(super) fn read_status(admin: &AdminAddress, document: &[u8]) -> Result<Status, ExitCode> {
    serde_json::from_slice(document).map_err(|error| {
        complain(&format!(
            "error: the status of {admin} cannot be read: {error}"
        ));
        NO_INSTANCE.into()
    })
}

/// The status as people read it.
fn table(status: &Status) -> String {
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
            "  {:<28} {:>6} {:<12} {:>9} {:>12} {:>8} {:>9} {:>7} {:>5}  last check",
            "backend",
            "weight",
            "standing",
            "in flight",
            "requests",
            "5xx",
            "failures",
            "active",
            "idle"
        );
        for backend in &pool.backends {
            out.push_str(&row(backend));
        }
    }
    out
}

fn row(backend: &BackendStatus) -> String {
    let check = backend.check.as_ref();
    let check = check.map_or_else(|| "-".to_owned(), check_text);
    let name = backend.name.as_ref();
    let name = name.map_or_else(String::new, |name| format!("  by {name}"));
    format!(
        "  {:<28} {:>6} {:<12} {:>9} {:>12} {:>8} {:>9} {:>7} {:>5}  {check}{name}\n",
        backend.address,
        weight_text(backend),
        backend.standing,
        in_flight_text(backend),
        backend.requests,
        backend.errors,
        backend.failures,
        backend.connections_active,
        backend.connections_idle,
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
