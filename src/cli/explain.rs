//! `forecourt explain URL`: which route and backend would take a request, and why not the others.
//!
//! What is said is worked out by [`explain`](crate::explain), of a file here or by a running instance there; this asks, and
//! [`text`] shows it as people read it.

mod text;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use super::reach::Reach;
use super::status::{ask_alarms, told};
use super::{BAD_CONFIGURATION, Color, NO_INSTANCE, ask, complain, say};
use crate::admin::client;
use crate::config;
use crate::explain::{Answer, Asked, Occasion, Question};
use crate::snapshot::{Registry, Snapshot};
use crate::worker::unix_seconds;

/// The request that is asked about.
#[derive(Debug, clap::Args)]
pub(super) struct Explain {
    /// What is asked for: `http://shop.example/cart?page=2`, `shop.example/cart` or `/cart`.
    #[arg(value_name = "URL")]
    url: String,
    /// The address that the connection comes from. X-Forwarded-For, given as a header, is believed if the listener
    /// trusts this address.
    #[arg(long, value_name = "IP")]
    client: Option<IpAddr>,
    /// A field of the request, such as 'Cookie: beta=yes'; may be given several times.
    #[arg(long = "header", value_name = "FIELD")]
    headers: Vec<String>,
    /// The method.
    #[arg(long, default_value = "GET")]
    method: String,
    /// The listener that the request comes by. Default: the one that has the URL's port and scheme, else the first.
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// Ask of this configuration, and of no running instance.
    #[arg(long, value_name = "FILE", conflicts_with = "admin")]
    config: Option<PathBuf>,
    #[command(flatten)]
    reach: Reach,
    /// Show every route, not only those whose host and path fit.
    #[arg(long)]
    all: bool,
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
}

impl Explain {
    /// Answers, and says by the exit code whether a route takes the request.
    pub(super) fn execute(self, color: Color) -> ExitCode {
        let asked = Asked {
            url: self.url,
            method: self.method,
            client: self.client,
            headers: self.headers,
            listener: self.listener,
            all: self.all,
        };
        let answer = match &self.config {
            Some(path) => by_file(path, &asked, color),
            None => by_instance(&self.reach, &asked),
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(code) => return code.into(),
        };
        if self.json {
            say(&serde_json::to_string_pretty(&answer).unwrap_or_default());
        } else {
            say(text::render(&answer, color.on_stdout()).trim_end());
            if self.config.is_none() {
                warn_of(&self.reach, &answer);
            }
        }
        if answer.is_taken() {
            ExitCode::SUCCESS
        } else {
            NOT_TAKEN.into()
        }
    }
}

/// Says what is wrong now in the pool that would take it: a backend may be picked and still be slow or failing.
fn warn_of(reach: &Reach, answer: &Answer) {
    let Some(taker) = &answer.taken_by else {
        return;
    };
    // Who has no token to show was told so where the answer was asked for.
    let token = reach.token().unwrap_or_default();
    let alarms = ask_alarms(&reach.address(), token.as_deref());
    let of_pool = alarms.iter().filter(|alarm| alarm.grave);
    let text = told(of_pool.filter(|alarm| alarm.pool.as_deref() == Some(&*taker.pool)));
    if !text.is_empty() {
        say(text.trim_end());
    }
}

/// What a file says; or the exit code, when the failure has been told.
fn by_file(path: &Path, asked: &Asked, color: Color) -> Result<Answer, u8> {
    let plan = match config::load(path, &config::Options::new()) {
        Ok(loaded) => loaded.plan,
        Err(report) => {
            complain(&report.render(color.on_stderr()));
            return Err(BAD_CONFIGURATION);
        }
    };
    let question = Question::ask(asked, &plan).map_err(|error| {
        complain(&format!("error: {error}"));
        BAD_CONFIGURATION
    })?;
    let snapshot = Snapshot::assemble(Arc::new(plan), &Arc::new(Registry::new(1, 0)), 1);
    Ok(Answer::to(
        question,
        &snapshot,
        Occasion::File,
        unix_seconds(),
    ))
}

/// What the instance says; or the exit code, when the failure has been told.
fn by_instance(reach: &Reach, asked: &Asked) -> Result<Answer, u8> {
    let wish = serde_json::to_string(asked).unwrap_or_default();
    let admin = &reach.address();
    let token = reach.token().map_err(|error| {
        complain(&format!("error: {error}"));
        BAD_CONFIGURATION
    })?;
    let answered = ask(client::post(admin, "/v1/explain", token.as_deref(), wish))?;
    if let Some(refused) = answered.refused() {
        complain(&format!("error: {refused}"));
        return Err(BAD_CONFIGURATION);
    }
    serde_json::from_slice(&answered.body).map_err(|error| {
        complain(&format!(
            "error: the answer of {admin} cannot be read: {error}"
        ));
        NO_INSTANCE
    })
}

/// No route takes the request, or it is refused before there is one.
const NOT_TAKEN: u8 = 1;
