//! `forecourt check`: every problem of a configuration at once; with `--doctor` also what is valid and will hurt.

mod measured;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;

use super::reach::By;
use super::status::{ask_alarms, ask_status, read_status};
use super::{ADVICE, BAD_CONFIGURATION, Color, fail, say};
use crate::admin::client::AdminAddress;
use crate::config::{self, Loaded, Report};
use crate::plan::Plan;
use crate::plan::advice::{Advice, advise};

/// What to check.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// The configuration.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print the problems as JSON; with `--doctor` the advice behind them, in the same list.
    #[arg(long)]
    json: bool,
    /// Say also what is valid and will hurt, and why.
    #[arg(long)]
    doctor: bool,
    /// Let the doctor look at a running instance too, at its admin API.
    #[arg(long, value_name = "URL", value_parser = AdminAddress::parse, requires = "doctor")]
    admin: Option<AdminAddress>,
    #[command(flatten)]
    by: By,
}

impl Check {
    pub(super) fn execute(self, color: Color) -> ExitCode {
        match config::load(&self.file, &config::Options::new()) {
            Ok(loaded) => self.good(&loaded, color),
            Err(report) => self.bad(&report, color),
        }
    }

    fn bad(&self, report: &Report, color: Color) -> ExitCode {
        say(&if self.json {
            report.json()
        } else {
            report.render(color.on_stdout())
        });
        BAD_CONFIGURATION.into()
    }

    fn good(&self, loaded: &Loaded, color: Color) -> ExitCode {
        let advice = match self.advice(&loaded.plan) {
            Ok(advice) => advice,
            Err(code) => return code,
        };
        if self.json {
            say(&json(loaded, &advice));
        } else {
            if !loaded.warnings.is_empty() {
                say(&config::problem::render(
                    &loaded.warnings,
                    color.on_stdout(),
                ));
            }
            for advice in &advice {
                say(&format!("advice: {advice}\n"));
            }
            say(&format!(
                "{}: {}",
                self.file.display(),
                summary(&loaded.plan)
            ));
        }
        if advice.is_empty() {
            ExitCode::SUCCESS
        } else {
            ADVICE.into()
        }
    }

    fn advice(&self, plan: &Plan) -> Result<Vec<Advice>, ExitCode> {
        if !self.doctor {
            return Ok(Vec::new());
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
        let mut advice = advise(plan, now);
        if let Some(admin) = &self.admin {
            let admin = &self.by.to(admin);
            let token = self.by.token().map_err(|error| fail(&error))?;
            let token = token.as_deref();
            let status = read_status(admin, &ask_status(admin, token)?)?;
            // What harms requests now comes before what may one day.
            let alarms = ask_alarms(admin, token);
            advice.splice(0..0, measured::of_alarms(&alarms));
            advice.extend(measured::advise(plan, &status));
        }
        Ok(advice)
    }
}

fn summary(plan: &Plan) -> String {
    let backends = plan.pools.iter().map(|pool| pool.backends.len()).sum();
    format!(
        "good ({}, {}, {}, {})",
        counted(plan.listeners.len(), "listener"),
        counted(plan.routes.len(), "route"),
        counted(plan.pools.len(), "pool"),
        counted(backends, "backend"),
    )
}

/// `1 route`, `2 routes`.
fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Warnings as they are without a doctor, then advice of the severity `advice`.
fn json(loaded: &Loaded, advice: &[Advice]) -> String {
    if advice.is_empty() {
        return config::problem::json(&loaded.warnings);
    }
    let advice = advice.iter().map(|advice| {
        serde_json::json!({
            "severity": "advice", "path": advice.path, "what": advice.what, "help": advice.remedy,
        })
    });
    let warnings = loaded
        .warnings
        .iter()
        .map(|warning| serde_json::json!(warning));
    let all: Vec<_> = warnings.chain(advice).collect();
    format!("{:#}", serde_json::Value::from(all))
}
