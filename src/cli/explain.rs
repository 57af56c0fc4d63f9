//! `forecourt explain URL`: which route and backend would take a request, and why not the others.
//!
//! The request is made of the command line as a client would send it, and goes the way of the data path by the
//! same functions: whom it is for, who the client is, how the path is seen, who takes it, who answers it.
//!
//! [`question`] (the request and its listener), [`answer`] (what becomes of it), [`text`] (as people read it).

mod answer;
mod question;
mod text;

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use super::{BAD_CONFIGURATION, Color, complain, say};
use crate::config;
use answer::Answer;
use question::Question;

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
    /// The configuration.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Show every route, not only those whose host and path fit.
    #[arg(long)]
    all: bool,
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
}

impl Explain {
    /// Answers, and says by the exit code whether a route takes the request.
    pub(super) fn execute(&self, color: Color) -> ExitCode {
        let Some(path) = &self.config else {
            complain(
                "error: a running instance cannot be asked yet: name the file that it runs on with --config FILE",
            );
            return BAD_CONFIGURATION.into();
        };
        let plan = match config::load(path, &config::Options::new()) {
            Ok(loaded) => loaded.plan,
            Err(report) => {
                complain(&report.render(color.on_stderr()));
                return BAD_CONFIGURATION.into();
            }
        };
        let question = match Question::ask(self, &plan) {
            Ok(question) => question,
            Err(error) => {
                complain(&format!("error: {error}"));
                return BAD_CONFIGURATION.into();
            }
        };
        let answer = Answer::to(question, plan, self.all);
        if self.json {
            say(&serde_json::to_string_pretty(&answer).unwrap_or_default());
        } else {
            say(text::render(&answer, color.on_stdout()).trim_end());
        }
        if answer.is_taken() {
            ExitCode::SUCCESS
        } else {
            NOT_TAKEN.into()
        }
    }
}

/// No route takes the request, or it is refused before there is one.
const NOT_TAKEN: u8 = 1;
