//! `forecourt reload …`: has a running instance read its configuration again.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::governor::{AskError, At, OnTrial, converse};
use super::say;
use crate::admin::order::{Outcome, TrialStatus};

/// What is to be done.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Reload {
    #[command(flatten)]
    again: Again,
    #[command(subcommand)]
    word: Option<Word>,
}

/// Reads the file again.
#[derive(Debug, Args)]
struct Again {
    /// Say what would change, and how much traffic would move; change nothing.
    #[arg(long, conflicts_with = "confirm")]
    dry_run: bool,
    #[command(flatten)]
    trial: OnTrial,
    #[command(flatten)]
    at: At,
}

/// A word on the configuration that is on trial.
#[derive(Debug, Subcommand)]
enum Word {
    /// Keep the configuration that is on trial.
    Confirm(At),
    /// Go back at once to what served before the trial.
    Revert(At),
}

impl Reload {
    /// Does it, and says what changed.
    pub(super) fn execute(&self) -> ExitCode {
        match &self.word {
            None => converse(self.again.ask()),
            Some(Word::Confirm(at)) => converse(say_word(at, "confirm")),
            Some(Word::Revert(at)) => converse(say_word(at, "revert")),
        }
    }
}

impl Again {
    async fn ask(&self) -> Result<(), AskError> {
        let query = if self.dry_run {
            "?dry_run=true".to_owned()
        } else {
            self.trial.query()
        };
        let path = format!("/v1/reload{query}");
        let outcome: Outcome = self.at.post(&path, String::new()).await?;
        self.at.tell(&outcome);
        match outcome.trial.filter(|_| outcome.applied) {
            Some(trial) => self.trial.wait(&self.at, &trial).await,
            None => Ok(()),
        }
    }
}

async fn say_word(at: &At, word: &str) -> Result<(), AskError> {
    let path = format!("/v1/reload/{word}");
    let status: TrialStatus = at.post(&path, String::new()).await?;
    match serde_json::to_string(&status) {
        Ok(text) if at.json => say(&text),
        Ok(_) | Err(_) => {
            let why = status.last.map_or_else(String::new, |last| {
                format!(": generation {} {}", last.generation, last.why)
            });
            say(&format!("generation {} serves{why}", status.generation));
        }
    }
    Ok(())
}
