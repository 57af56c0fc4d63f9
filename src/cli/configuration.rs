//! `forecourt config …`: what a file would change, which configurations were applied, and back to one of them.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use super::governor::{AskError, At, OnTrial, converse};
use super::say;
use crate::admin::order::{Outcome, Past};

/// What is to be told or done.
#[derive(Debug, Subcommand)]
pub(super) enum Configuration {
    /// Say what a file would change if it stood in the place of the instance's own; change nothing.
    Diff {
        /// The file. What it names is looked for beside the instance's own, on the instance's machine.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        at: At,
    },
    /// Show which configurations were applied, when and on whose behalf; the latest first.
    History {
        #[command(flatten)]
        at: At,
    },
    /// Apply an earlier generation again, as a new one.
    Rollback {
        /// Its number.
        #[arg(value_name = "N")]
        generation: u64,
        #[command(flatten)]
        trial: OnTrial,
        #[command(flatten)]
        at: At,
    },
}

impl Configuration {
    /// Does it.
    pub(super) fn execute(&self) -> ExitCode {
        match self {
            Self::Diff { file, at } => converse(compare(file.clone(), at)),
            Self::History { at } => converse(history(at)),
            Self::Rollback {
                generation,
                trial,
                at,
            } => converse(roll_back(*generation, trial, at)),
        }
    }
}

async fn compare(file: PathBuf, at: &At) -> Result<(), AskError> {
    let text = std::fs::read_to_string(&file);
    let text = text.map_err(|error| {
        AskError::Bad(format!("error: {} cannot be read: {error}", file.display()))
    })?;
    let outcome: Outcome = at.post("/v1/config/diff", text).await?;
    at.tell(&outcome);
    Ok(())
}

async fn history(at: &At) -> Result<(), AskError> {
    let history: Vec<Past> = at.get("/v1/config/history").await?;
    if at.json {
        if let Ok(text) = serde_json::to_string(&history) {
            say(&text);
        }
        return Ok(());
    }
    let mut out = format!(
        "{:>10}  {:<20}  {:>7}  {:<32}  who\n",
        "generation", "at", "changes", "digest"
    );
    for past in &history {
        use std::fmt::Write as _;
        let serves = if past.current { "*" } else { " " };
        let _ = writeln!(
            out,
            "{:>9}{serves}  {:<20}  {:>7}  {:<32}  {}",
            past.generation, past.at, past.changes, past.digest, past.who
        );
    }
    say(out.trim_end());
    Ok(())
}

async fn roll_back(generation: u64, trial: &OnTrial, at: &At) -> Result<(), AskError> {
    let path = format!("/v1/config/rollback/{generation}{}", trial.query());
    let outcome: Outcome = at.post(&path, String::new()).await?;
    at.tell(&outcome);
    match &outcome.trial {
        Some(begun) => trial.wait(at, begun).await,
        None => Ok(()),
    }
}
