//! What the command line asks for.

use std::path::PathBuf;

use clap::Parser;

use crate::proxy::Kind;

/// Failures, rehearsed on real processes under load that does not wait.
#[derive(Debug, Parser)]
#[command(
    name = "drills",
    after_help = "Examples:\n  cargo test --release --test drills\n  cargo test --release --test drills -- kill-9 hang --full --peers\n  cargo test --release --test drills -- --full --peers --write docs/drills.md\n\nExit codes: 0 all promises kept, 1 not"
)]
pub(crate) struct Options {
    /// Those with one of these words in their names. Default: all.
    #[arg(value_name = "DRILL")]
    pub(crate) words: Vec<String>,
    /// As long as it takes to believe it, in place of some seconds each.
    #[arg(long)]
    pub(crate) full: bool,
    /// nginx and HAProxy too, where they are installed.
    #[arg(long)]
    pub(crate) peers: bool,
    /// Requests a second. Default: 300, with --full 800.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(20..=50_000))]
    rate: Option<u32>,
    /// Seconds of a fault. Default: 2, with --full 15.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: Option<u64>,
    /// Write the report there too.
    #[arg(long, value_name = "FILE")]
    pub(crate) write: Option<PathBuf>,
    /// List what there is.
    #[arg(long)]
    pub(crate) list: bool,
    /// What cargo's own tests understand.
    #[arg(long, hide = true)]
    nocapture: bool,
    #[arg(long, hide = true)]
    exact: bool,
    #[arg(long, hide = true)]
    include_ignored: bool,
    #[arg(long, hide = true)]
    show_output: bool,
    #[arg(long, hide = true)]
    skip: Vec<String>,
    #[arg(long, hide = true)]
    test_threads: Option<u32>,
    #[arg(long, short, hide = true)]
    quiet: bool,
}

impl Options {
    pub(crate) fn rate(&self) -> u32 {
        self.rate.unwrap_or(if self.full { 800 } else { 300 })
    }

    pub(crate) fn seconds(&self) -> u64 {
        self.seconds.unwrap_or(if self.full { 15 } else { 2 })
    }

    /// Whether a drill of this name is asked for.
    pub(crate) fn wants(&self, name: &str) -> bool {
        let is_in = |words: &[String]| words.iter().any(|word| name.contains(word.as_str()));
        (self.words.is_empty() || is_in(&self.words)) && !is_in(&self.skip)
    }

    /// Who takes part.
    pub(crate) fn kinds(&self) -> Vec<Kind> {
        if self.peers {
            vec![Kind::Forecourt, Kind::Nginx, Kind::Haproxy]
        } else {
            vec![Kind::Forecourt]
        }
    }
}
