//! `forecourt why REQUEST-ID`: the story of a request of late, from a running instance.

use std::fmt::Write as _;
use std::process::ExitCode;

use axum::http::StatusCode;
use serde_json::{Map, Value};

use super::backend::encoded;
use super::reach::Reach;
use super::{NO_INSTANCE, ask, complain, fail, say};
use crate::admin::client;
use crate::admin::requests::Story;

/// The request that is asked about.
#[derive(Debug, clap::Args)]
pub(super) struct Why {
    /// Its id: in `x-request-id` and in the text of the reply, or in `http.request.id` of the access log.
    #[arg(value_name = "REQUEST-ID")]
    id: String,
    #[command(flatten)]
    reach: Reach,
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
}

impl Why {
    /// Tells it.
    pub(super) fn execute(&self) -> ExitCode {
        let path = format!("/v1/requests/{}", encoded(&self.id));
        let address = self.reach.address();
        let token = match self.reach.token() {
            Ok(token) => token,
            Err(error) => return fail(&error),
        };
        let answer = match ask(client::ask_as(&address, &path, token.as_deref())) {
            Ok(answer) => answer,
            Err(code) => return code.into(),
        };
        if let Some(refused) = answer.refused() {
            complain(&format!("error: {refused}"));
            let code = match answer.status {
                StatusCode::NOT_FOUND => NOT_REMEMBERED,
                _ => NO_INSTANCE,
            };
            return code.into();
        }
        if self.json {
            say(String::from_utf8_lossy(&answer.body).trim_end());
            return ExitCode::SUCCESS;
        }
        match serde_json::from_slice::<Story>(&answer.body) {
            Ok(story) => {
                say(tale(&story).trim_end());
                ExitCode::SUCCESS
            }
            Err(error) => {
                complain(&format!(
                    "error: the answer of {address} cannot be read: {error}"
                ));
                NO_INSTANCE.into()
            }
        }
    }
}

/// The story as people read it.
fn tale(story: &Story) -> String {
    let request = &story.request;
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = head(&mut out, request);
    let _ = way(&mut out, request);
    for (code, meaning) in &story.causes {
        let _ = writeln!(out, "\n{code}: {}", meaning.meaning);
        let _ = writeln!(out, "  remedy    {}", meaning.remedy);
    }
    out
}

fn head(out: &mut String, request: &Map<String, Value>) -> std::fmt::Result {
    let text = |key: &str| request.get(key).and_then(Value::as_str).unwrap_or("-");
    let status = request
        .get("http.response.status_code")
        .and_then(Value::as_u64);
    let status = status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
    let error = request.get("forecourt.error").and_then(Value::as_str);
    let error = error.map_or_else(String::new, |error| format!(" {error}"));
    let (method, path) = (text("http.request.method"), text("url.path"));
    let total = milliseconds(request.get("forecourt.times.total"));
    writeln!(
        out,
        "{} {} -> {status}{error}, in {total}",
        shown(method),
        shown(path)
    )?;
    writeln!(out, "  id        {}", shown(text("http.request.id")))?;
    writeln!(out, "  ended     {}", text("@timestamp"))?;
    writeln!(
        out,
        "  client    {}, by {}",
        text("client.ip"),
        text("forecourt.listener")
    )?;
    writeln!(out, "  route     {}", text("forecourt.route"))
}

fn way(out: &mut String, request: &Map<String, Value>) -> std::fmt::Result {
    let text = |key: &str| request.get(key).and_then(Value::as_str);
    if let Some(pool) = text("forecourt.pool") {
        let strategy = text("forecourt.strategy").unwrap_or("-");
        writeln!(out, "  pool      {pool}, {strategy}{}", standing(request))?;
    }
    if let Some(sticky) = text("forecourt.sticky") {
        writeln!(out, "  sticky    {sticky}")?;
    }
    let attempts = request.get("forecourt.attempts").and_then(Value::as_array);
    for (index, attempt) in attempts.into_iter().flatten().enumerate() {
        let label = if index == 0 { "tried" } else { "then" };
        let backend = attempt["backend"].as_str().unwrap_or("-");
        let end = attempt["cause"].as_str().unwrap_or("answered");
        let took = milliseconds(attempt.get("duration"));
        writeln!(out, "  {label:<9} {backend}: {end}, {took}")?;
    }
    let times = [
        ("to a place", "forecourt.times.queue"),
        ("to a connection", "forecourt.times.connect"),
        ("to the first byte", "forecourt.times.first_byte"),
    ];
    let times = times.iter().filter_map(|(name, key)| {
        let time = request.get(*key)?;
        Some(format!("{name} {}", milliseconds(Some(time))))
    });
    let times: Vec<_> = times.collect();
    if !times.is_empty() {
        writeln!(out, "  times     {}", times.join(", "))?;
    }
    if let Some(generation) = request.get("forecourt.generation").and_then(Value::as_u64) {
        writeln!(out, "  by        generation {generation}")?;
    }
    Ok(())
}

/// How many could be picked, and why it was this one.
fn standing(request: &Map<String, Value>) -> String {
    let Some(decision) = request.get("forecourt.decision") else {
        return String::new();
    };
    let number = |key: &str| decision[key].as_u64().unwrap_or_default();
    let reason = decision["reason"].as_str();
    let reason = reason.map_or_else(String::new, |reason| format!(", the last by {reason}"));
    let panic = if decision["panic"] == true {
        ", in a panic"
    } else {
        ""
    };
    format!(
        ", {} of {} backends could be picked{panic}{reason}",
        number("eligible"),
        number("members")
    )
}

fn milliseconds(time: Option<&Value>) -> String {
    let nanoseconds = time.and_then(Value::as_u64).unwrap_or_default();
    format!("{:.1} ms", nanoseconds as f64 / 1e6)
}

/// What a client can choose, without what would drive a terminal.
fn shown(text: &str) -> String {
    text.chars().flat_map(char::escape_debug).collect()
}

/// It is too long ago, or was never worth it.
const NOT_REMEMBERED: u8 = 4;
