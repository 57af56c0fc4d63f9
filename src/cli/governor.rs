//! Asking whoever governs a running instance, by its admin API: requests, refusals, and waiting for a trial to end.

use std::io::{BufRead as _, IsTerminal as _};
use std::process::ExitCode;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::mpsc;

use super::backend::encoded;
use super::reach::{Reach, TokenError};
use super::{BAD_CONFIGURATION, NO_INSTANCE, complain, fail, say};
use crate::admin::client::{self, Answer, ClientError};
use crate::admin::order::{ChangeView, MovedView, Outcome, TrialEnd, TrialStatus, TrialView};

/// Which instance, and by what right.
#[derive(Debug, clap::Args)]
pub(super) struct At {
    #[command(flatten)]
    reach: Reach,
    /// Print the answer as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// Whether, and on which terms, a configuration is on trial.
#[derive(Debug, clap::Args)]
pub(super) struct OnTrial {
    /// Go back after this time unless it is confirmed, and at once if requests fail or slow down.
    #[arg(long, value_name = "TIME")]
    confirm: Option<String>,
    /// Go back at once if so many more of a hundred requests fail than before [default: 5%].
    #[arg(long, value_name = "SHARE", requires = "confirm")]
    errors: Option<String>,
    /// Go back at once if the slowest of a hundred requests takes longer [default: three times what it took, 250ms at least].
    #[arg(long, value_name = "TIME", requires = "confirm")]
    latency: Option<String>,
    /// Confirm at the end of the time, if nothing has spoken against it.
    #[arg(long, requires = "confirm")]
    yes: bool,
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// The configuration is bad: all problems, as people read them.
    #[error("{0}")]
    Bad(String),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("{0}")]
    Refused(String),
    #[error("generation {0} has been reverted: {1}")]
    Reverted(u64, String),
    #[error(transparent)]
    Token(#[from] TokenError),
}

impl AskError {
    /// Tells it, and says with what to exit.
    pub(super) fn tell(&self) -> ExitCode {
        match self {
            Self::Bad(problems) => {
                complain(problems);
                BAD_CONFIGURATION.into()
            }
            Self::Client(error) => {
                complain(&format!("error: {error}"));
                NO_INSTANCE.into()
            }
            Self::Refused(_) | Self::Reverted(..) | Self::Token(_) => fail(self),
        }
    }
}

/// Runs a conversation with an instance, and says with what to exit.
pub(super) fn converse(talk: impl Future<Output = Result<(), AskError>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => match runtime.block_on(talk) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => error.tell(),
        },
        Err(error) => fail(&error),
    }
}

impl At {
    /// Posts a text and reads the answer.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        text: String,
    ) -> Result<T, AskError> {
        let (address, token) = (self.reach.address(), self.reach.token()?);
        let answer = client::post(&address, path, token.as_deref(), text).await?;
        self.read(&answer)
    }

    /// Gets something that anybody may see, or the bearer of the token.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, AskError> {
        let (address, token) = (self.reach.address(), self.reach.token()?);
        let answer = client::get_as(&address, path, token.as_deref()).await?;
        self.read(&answer)
    }

    fn read<T: DeserializeOwned>(&self, answer: &Answer) -> Result<T, AskError> {
        let strange = |what: String| ClientError::Strange(self.reach.address().to_string(), what);
        if answer.status.is_success() {
            let read = serde_json::from_slice(&answer.body);
            return read.map_err(|error| strange(error.to_string()).into());
        }
        let problem: Option<Value> = serde_json::from_slice(&answer.body).ok();
        let detail = problem
            .as_ref()
            .and_then(|problem| Some((problem, problem["detail"].as_str()?)));
        let Some((problem, detail)) = detail else {
            return Err(strange(answer.status.to_string()).into());
        };
        Err(match problem["problems"].as_array() {
            Some(problems) => {
                let lines = problems.iter().map(problem_text);
                let lines: Vec<_> = lines.chain([format!("error: {detail}")]).collect();
                AskError::Bad(lines.join("\n"))
            }
            None => AskError::Refused(detail.to_owned()),
        })
    }

    /// Says what changed or would, as it was wished.
    pub(super) fn tell(&self, outcome: &Outcome) {
        if self.json {
            match serde_json::to_string(outcome) {
                Ok(text) => say(&text),
                Err(error) => complain(&format!("error: {error}")),
            }
            return;
        }
        for warning in &outcome.warnings {
            complain(&format!("warning: {warning}"));
        }
        say(outcome_text(outcome).trim_end());
    }
}

impl OnTrial {
    /// The query of a request, which begins with `?` or is empty.
    pub(super) fn query(&self) -> String {
        let all = [
            ("confirm", &self.confirm),
            ("errors", &self.errors),
            ("latency", &self.latency),
        ];
        let given = all
            .iter()
            .filter_map(|(name, value)| Some(format!("{name}={}", encoded(value.as_ref()?))));
        let given: Vec<_> = given.collect();
        if given.is_empty() {
            String::new()
        } else {
            format!("?{}", given.join("&"))
        }
    }

    /// Waits for the end of the trial that has begun, and shows how it goes.
    pub(super) async fn wait(&self, at: &At, begun: &TrialView) -> Result<(), AskError> {
        let on_terminal = std::io::stdin().is_terminal();
        if on_terminal && !self.yes {
            complain("press Enter to confirm, r and Enter to go back");
        } else if !self.yes {
            complain("`forecourt reload confirm` keeps it");
        }
        let mut lines = hear(on_terminal && !self.yes);
        let mut shown = u64::MAX;
        loop {
            let status: TrialStatus = at.get("/v1/reload").await?;
            let trial = status
                .trial
                .filter(|trial| trial.generation == begun.generation);
            let Some(trial) = trial else {
                return end_of(begun.generation, status.last);
            };
            let left = trial.seconds_left as u64;
            if shown != left {
                complain(&trial_text(&trial));
                shown = left;
            }
            // So that the last word does not come too late.
            if self.yes && trial.seconds_left <= (begun.seconds_left / 4.0).min(LAST_WORD) {
                let _: TrialStatus = at.post("/v1/reload/confirm", String::new()).await?;
                continue;
            }
            tokio::select! {
                Some(line) = lines.recv() => {
                    let path = match line.trim() {
                        "" | "y" | "yes" => "/v1/reload/confirm",
                        "r" => "/v1/reload/revert",
                        _ => continue,
                    };
                    let _: TrialStatus = at.post(path, String::new()).await?;
                }
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }
}

/// How the trial of a generation has ended.
fn end_of(generation: u64, last: Option<TrialEnd>) -> Result<(), AskError> {
    match last.filter(|last| last.generation == generation) {
        Some(last) if last.confirmed => {
            complain(&format!("generation {generation}: {}", last.why));
            Ok(())
        }
        Some(last) => Err(AskError::Reverted(generation, last.why)),
        None => Err(AskError::Refused(
            "the instance knows nothing of the trial any more".to_owned(),
        )),
    }
}

/// What is typed, line by line.
fn hear(wanted: bool) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(1);
    if wanted {
        // Ends with the process: nobody can be told to stop reading.
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines() {
                let heard = line.map(|line| sender.blocking_send(line).is_ok());
                if !heard.unwrap_or(false) {
                    return;
                }
            }
        });
    }
    receiver
}

/// A problem of a configuration in one or two lines, from its JSON.
fn problem_text(problem: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (severity, file) = (text(&problem["severity"]), text(&problem["file"]));
    let at = &problem["at"];
    let place = match (at["line"].as_u64(), at["column"].as_u64()) {
        (Some(line), Some(column)) => format!("{file}:{line}:{column}"),
        _ => file,
    };
    let help = problem["help"]
        .as_str()
        .map_or_else(String::new, |help| format!("\n  help: {help}"));
    format!("{place}: {severity}: {}{help}", text(&problem["what"]))
}

fn outcome_text(outcome: &Outcome) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    let count = outcome.changes.len();
    let _ = if outcome.applied {
        writeln!(out, "generation {}, {count} changes", outcome.generation)
    } else {
        writeln!(out, "{count} changes, none of them made")
    };
    for ChangeView {
        subject,
        what,
        needs_restart,
    } in &outcome.changes
    {
        let restart = if *needs_restart {
            " (needs a restart)"
        } else {
            ""
        };
        let _ = writeln!(out, "  {subject}: {what}{restart}");
    }
    let traffic = &outcome.traffic;
    let _ = writeln!(
        out,
        "traffic that moves: {:.1}% of {:.1} requests/s ({} in {:.0} s)",
        traffic.moved * 100.0,
        traffic.requests_per_second,
        traffic.requests,
        traffic.window_seconds
    );
    let moved = |out: &mut String, label: &str, moved: &MovedView| {
        let MovedView {
            name,
            requests,
            share,
            why,
        } = moved;
        let percent = share * 100.0;
        let _ = writeln!(out, "  {label} {name}: {percent:.1}% of {requests}: {why}");
    };
    for route in &traffic.routes {
        moved(&mut out, "route", route);
    }
    if !traffic.sessions.is_empty() {
        let _ = writeln!(
            out,
            "sessions that are bound anew, by requests with a cookie"
        );
    }
    for pool in &traffic.sessions {
        moved(&mut out, "pool", pool);
    }
    for unsure in &traffic.unsure {
        let _ = writeln!(out, "  {unsure}");
    }
    out
}

fn trial_text(trial: &TrialView) -> String {
    let time = |time: Option<u64>| time.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"));
    let (since, before) = (&trial.since, &trial.before);
    format!(
        "{:>3.0} s left  {} requests, {} failed (before: {} of {})  p99 {} (before: {})",
        trial.seconds_left,
        since.requests,
        since.errors,
        before.errors,
        before.requests,
        time(since.p99_milliseconds),
        time(before.p99_milliseconds),
    )
}

/// From one look to the next.
const LOOK: Duration = Duration::from_millis(200);

/// How long before the end of a trial `--yes` confirms it, in seconds.
const LAST_WORD: f64 = 2.0;
