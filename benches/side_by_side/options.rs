//! What the command line asks for.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Parser;

use crate::Outcome;
use crate::scenarios::{SCENARIOS, Scenario};

/// Forecourt beside nginx and HAProxy, on one machine, in one run.
#[derive(Debug, Parser)]
#[command(
    name = "side_by_side",
    after_help = "Examples:\n  cargo bench --bench side_by_side\n  cargo bench --bench side_by_side -- --write\n  cargo bench --bench side_by_side -- --forecourt before=/tmp/forecourt --forecourt after=target/release/forecourt --scenarios ka1k,h2\n  cargo bench --bench side_by_side -- --write --resume\n\nExit codes: 0 measured, 1 forecourt failed requests or something is missing"
)]
pub(crate) struct Options {
    /// One short round of few scenarios: shows that everything runs.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Write the report and its picture to docs/ and its tables to README.md, after each round.
    #[arg(long)]
    pub(crate) write: bool,
    /// Go on with a run of the same arguments that was cut short.
    #[arg(long)]
    pub(crate) resume: bool,
    /// How forecourt's costs grow with backends, routes, connections and workers, in place of the comparison.
    #[arg(long)]
    pub(crate) scale: bool,
    /// A program to measure, in place of target/release/forecourt; may be repeated.
    #[arg(long, value_name = "[NAME=]PATH")]
    pub(crate) forecourt: Vec<Candidate>,
    /// Only these scenarios.
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    pub(crate) scenarios: Vec<String>,
    /// Only these proxies: forecourt, forecourt-nolog, nginx, haproxy, nginx-log, haproxy-log, relay.
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Rounds; in each, every proxy runs every scenario. Default: 5.
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds of each load. Default: 3.
    #[arg(long)]
    seconds: Option<u32>,
    /// What cargo says to every benchmark.
    #[arg(long, hide = true)]
    pub(crate) bench: bool,
}

/// A forecourt to measure.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) name: String,
    pub(crate) program: PathBuf,
}

impl FromStr for Candidate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, program) = text.split_once('=').unwrap_or(("forecourt", text));
        let program = PathBuf::from(program)
            .canonicalize()
            .map_err(|error| format!("{program}: {error}"))?;
        Ok(Self {
            name: name.to_owned(),
            program,
        })
    }
}

impl Options {
    pub(crate) fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 1 } else { 5 })
    }

    /// Of each load.
    pub(crate) fn seconds(&self) -> u32 {
        self.seconds.unwrap_or(if self.quick { 1 } else { 3 })
    }

    fn names(&self, scenario: &str) -> bool {
        self.scenarios.iter().any(|name| name == scenario)
    }

    /// Whether a proxy of this name takes part.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|one| one == name)
    }

    /// The scenarios to run, in the order of the table of all.
    pub(crate) fn scenarios(&self) -> Outcome<Vec<&'static Scenario>> {
        if let Some(unknown) = self
            .scenarios
            .iter()
            .find(|name| SCENARIOS.iter().all(|one| one.name != name.as_str()))
        {
            let known: Vec<&str> = SCENARIOS.iter().map(|one| one.name).collect();
            return Err(format!(
                "there is no scenario {unknown}; there are {}",
                known.join(" ")
            )
            .into());
        }
        Ok(SCENARIOS
            .iter()
            .filter(|one| {
                if self.scenarios.is_empty() {
                    one.quick || !self.quick
                } else {
                    let is_needed = one.name == "ka1k" && self.names("rate70");
                    self.names(one.name) || is_needed
                }
            })
            .collect())
    }
}
