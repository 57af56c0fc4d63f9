//! The tables.

use std::fmt::Write as _;

use crate::drill::{Drill, Row};
use crate::machine;
use crate::options::Options;
use crate::proxy::Kind;

/// What has come of one drill with one proxy, or why nothing has.
pub(crate) type Run = (Kind, Result<Vec<Row>, String>);

/// What the report opens with.
pub(crate) fn head(options: &Options) -> String {
    let mut lines = machine::describe_machine().to_vec();
    let versions = options.kinds().into_iter().map(|kind| {
        let argument = if kind == Kind::Forecourt {
            "--version"
        } else {
            "-v"
        };
        let version = kind
            .program()
            .and_then(|program| machine::version(&program.display().to_string(), argument));
        version.unwrap_or_else(|| format!("{}: not installed, skipped", kind.name()))
    });
    let versions: Vec<String> = versions.collect();
    lines.push(format!("Versions: {}", versions.join("; ")));
    let build = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    lines.push(format!(
        "Build: {build}; {}",
        if options.full { "full" } else { "short" }
    ));
    format!(
        "# Drills\n\n{}\n\n{STORY}\n\n{SETTINGS}\n",
        lines.join("  \n")
    )
}

const STORY: &str = "\
Real processes on one machine: a proxy, four backends, and clients that send by schedule, whether those before have been answered \
or not, on connections that are kept (one request of ten comes on its own). Of twenty requests two are POSTs and one is for a \
large answer in two pieces. A request failed if it was not answered with 200 and whole; nothing is tried again by clients. `gap` is the \
longest time without an answered request, p99 counts from when a request was due. Forecourt is held to its promises; the others are \
shown beside it. `cargo test --release --test drills -- --full --peers` prints this anew.";

const SETTINGS: &str = "\
Settings (`tests/drills/conf`), as far as each can: two workers or threads; health checks each second (each 200 ms in doubt), out after two that \
fail and in after two that succeed, slow start of 2 s (HAProxy, forecourt; nginx has neither in its free edition, and takes a backend out \
for 5 s after three failures); 1 s to connect and 1 s to an answer, up to three attempts, on another backend, also after 500 \
(forecourt: `retry.on`, `per_try_timeout`; nginx: `proxy_next_upstream`; HAProxy: `retry-on`, `redispatch`), POSTs never once they have been \
sent; connections to backends are kept. Forecourt's `retry.budget` is that of its default, 20 %; the others have none.";

/// One drill's part.
pub(crate) fn section(drill: &Drill, runs: &[Run]) -> String {
    let mut text = format!(
        "\n## {}\n\n{}\n\n| | offered | answered | failed | gap | p99 | besides |\n|---|---:|---:|---|---:|---:|---|\n",
        drill.name, drill.story
    );
    for (kind, run) in runs {
        match run {
            Ok(rows) => rows.iter().for_each(|row| text.push_str(&line(*kind, row))),
            Err(why) => {
                let why = why.lines().next().unwrap_or_default();
                let _ = writeln!(
                    text,
                    "| {} | | | | | | did not come to an end: {why} |",
                    kind.name()
                );
            }
        }
    }
    let promises = runs
        .iter()
        .filter(|(kind, _)| *kind == Kind::Forecourt)
        .filter_map(|(_, run)| run.as_ref().ok())
        .flatten()
        .flat_map(|row| &row.promises);
    for (at, promise) in promises.enumerate() {
        let start = if at == 0 {
            "\nForecourt's promises:\n\n"
        } else {
            ""
        };
        let word = if promise.is_kept { "kept" } else { "BROKEN" };
        let _ = writeln!(
            text,
            "{start}- {word}: {} ({})",
            promise.text, promise.found
        );
    }
    text
}

fn line(kind: Kind, row: &Row) -> String {
    let who = [kind.name(), row.when].join(" ");
    format!(
        "| {} | {} | {} | {} | {} ms | {} ms | {} |\n",
        who.trim(),
        row.tally.offered(),
        row.tally.answered(),
        row.tally.failures(),
        row.tally.longest_gap().as_millis(),
        row.tally.latency(0.99).as_millis(),
        row.besides.join("; ")
    )
}

/// What forecourt has not kept, a line each.
pub(crate) fn broken(drill: &Drill, runs: &[Run]) -> Vec<String> {
    let own = runs.iter().filter(|(kind, _)| *kind == Kind::Forecourt);
    own.flat_map(|(_, run)| match run {
        Err(why) => vec![format!("{}: {why}", drill.name)],
        Ok(rows) => rows
            .iter()
            .flat_map(|row| &row.promises)
            .filter(|promise| !promise.is_kept)
            .map(|promise| format!("{}: {} ({})", drill.name, promise.text, promise.found))
            .collect(),
    })
    .collect()
}
