//! The command line: what each command does and which code it exits with.

mod backend;
mod check;
mod configuration;
mod explain;
mod governor;
mod manual;
mod reach;
mod reload;
mod status;
mod top;
mod why;

use std::io::{self, IsTerminal, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::admin::client::ClientError;
use crate::app::govern::Source;
use crate::app::signals::Signals;
use crate::app::{Beginning, Forecourt};
use crate::config;
use crate::demo::Demo;
use crate::telemetry::{Colors, logging};

/// A layer-7 load balancer that changes its configuration and its fleet without losing a request.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:\n  forecourt demo\n  forecourt check config/shop.toml && forecourt run --config config/shop.toml"
)]
pub struct Cli {
    /// When to colour what is printed.
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    color: Color,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until SIGTERM or SIGINT; SIGHUP reloads, SIGUSR1 reopens log files, SIGUSR2 replaces the program.
    #[command(
        after_help = "Example:\n  forecourt run --config config/shop.toml\n\nSignals:\n  TERM, INT  drain and end; a second one ends at once\n  HUP        read the configuration again\n  USR1       open the access log's file anew\n  USR2       start the program at this path, hand everything over to it, drain and end\n\nExit codes: 0 drained, 1 failed to start, 2 bad configuration"
    )]
    Run {
        /// The configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Load everything that `run` would load, and print every problem at once.
    #[command(
        after_help = "Examples:\n  forecourt check config/shop.toml\n  forecourt check config/shop.toml --doctor --admin http://127.0.0.1:9900\n\nExit codes: 0 good, 2 bad, 3 no instance answers the doctor, 5 good, and the doctor has advice"
    )]
    Check(check::Check),
    /// Try it with nothing else installed: a little shop on four backends, the balancer in front.
    #[command(
        after_help = "Example:\n  forecourt demo --for 5m\n\nExit codes: 0 ended, 1 failed to start"
    )]
    Demo(Demo),
    /// Say which route and backend would take a request, and why not the others.
    #[command(
        after_help = "Examples:\n  forecourt explain https://shop.example/cart --client 203.0.113.7\n  forecourt explain https://shop.example/cart --header 'Cookie: beta=yes' --config config/routing.toml\n\nExit codes: 0 a route takes it, 1 none would, 2 bad configuration or question, 3 no instance answers"
    )]
    Explain(explain::Explain),
    /// Tell the story of a request of late: route, tries, causes, times, and what can be done.
    #[command(
        after_help = "Example:\n  forecourt why 0f3a9c51d7b24e6680c1f2a3b4c5d6e7\n\nExit codes: 0, 3 no instance answers, 4 not remembered"
    )]
    Why(why::Why),
    /// Steer one backend of a running instance: drain it, take it out, let it back in, change its share.
    #[command(
        subcommand,
        after_help = "Example:\n  forecourt backend drain shop 10.0.0.11:8080 --wait --token-file /etc/forecourt/admin.token\n\nExit codes: 0 done, 1 refused or not empty in time, 3 no instance answers"
    )]
    Backend(backend::Steer),
    /// Have a running instance read its configuration again: try it out, apply it, or apply it on trial.
    #[command(
        after_help = "Examples:\n  forecourt reload --dry-run --token-file /etc/forecourt/admin.token\n  forecourt reload --confirm 30s --token-file /etc/forecourt/admin.token\n\nExit codes: 0 done and, after a trial, confirmed; 1 reverted, or not done as things stand; 2 the configuration is bad; 3 no instance answers"
    )]
    Reload(reload::Reload),
    /// Compare and look back: what a file would change, what was applied, and back to one of them.
    #[command(
        subcommand,
        after_help = "Examples:\n  forecourt config diff next.toml --token-file /etc/forecourt/admin.token\n  forecourt config history\n  forecourt config rollback 41 --token-file /etc/forecourt/admin.token\n\nExit codes: 0 done, 1 reverted or refused, 2 the configuration is bad, 3 no instance answers"
    )]
    Config(configuration::Configuration),
    /// Print completions of commands and options for a shell.
    #[command(
        after_help = "Example:\n  forecourt completions bash > /usr/share/bash-completion/completions/forecourt"
    )]
    Completions(manual::Completions),
    /// Print the man page, or write those of all commands.
    #[command(
        after_help = "Example:\n  forecourt man | man -l -\n  forecourt man --out /usr/local/share/man/man1"
    )]
    Man(manual::Man),
    /// Print the JSON schema of the configuration, for editors.
    #[command(
        after_help = "Example:\n  forecourt schema > forecourt.schema.json\n\nThe first line of a configuration then names it: #:schema ./forecourt.schema.json"
    )]
    Schema,
    /// Show the pools and backends of a running instance.
    #[command(
        after_help = "Example:\n  forecourt status --admin http://127.0.0.1:9900\n\nExit codes: 0, 3 no instance answers"
    )]
    Status {
        #[command(flatten)]
        reach: reach::Reach,
        /// Print it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Watch a running instance in the terminal: what is wrong, each backend by the second, and keys that steer.
    #[command(
        after_help = "Examples:\n  forecourt top --token-file /etc/forecourt/admin.token\n  forecourt top --once --width 80\n\nKeys: ? shows them. NO_COLOR is obeyed.\n\nExit codes: 0 left, 1 no terminal, 3 no instance answers at the start"
    )]
    Top(top::Top),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

impl Cli {
    /// Does what the command line says.
    pub fn execute(self) -> ExitCode {
        match self.command {
            Command::Run { config } => run(&config, self.color),
            Command::Check(check) => check.execute(self.color),
            Command::Demo(demo) => match demo.run(self.color.on_stdout(), self.color.of_log()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => fail(&error),
            },
            Command::Backend(steer) => steer.execute(),
            Command::Config(configuration) => configuration.execute(),
            Command::Reload(reload) => reload.execute(),
            Command::Completions(completions) => completions.execute(),
            Command::Man(man) => man.execute(),
            Command::Explain(explain) => explain.execute(self.color),
            Command::Why(why) => why.execute(),
            Command::Schema => {
                say(&format!("{:#}", config::schema()));
                ExitCode::SUCCESS
            }
            Command::Status { reach, json } => status::show(&reach, json),
            Command::Top(top) => top.execute(self.color),
        }
    }
}

fn run(path: &Path, color: Color) -> ExitCode {
    let beginning = match Beginning::of_environment() {
        Ok(beginning) => beginning,
        Err(error) => return fail(&error),
    };
    let mut options = config::Options::new();
    if let Some(secret) = beginning.state.sticky_secret() {
        options.random_secret = Some(secret);
    }
    options.last_good = beginning.state.last_good();
    let loaded = match config::load(path, &options) {
        Ok(loaded) => loaded,
        Err(report) => {
            complain(&report.render(color.on_stderr()));
            return BAD_CONFIGURATION.into();
        }
    };
    let log = match logging::install(loaded.plan.log.level, color.of_log()) {
        Ok(log) => log,
        Err(error) => return fail(&error),
    };
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    // Before anything is served: a signal that comes early must not have its default meaning.
    let signals = match runtime.block_on(async { Signals::new() }) {
        Ok(signals) => signals,
        Err(error) => return fail(&error),
    };
    let mut beginning = beginning.with_sockets_of_system();
    beginning.last_good = options.last_good.clone();
    match Forecourt::start_from(loaded.plan, Some(log), beginning) {
        Ok(running) => {
            let source = Source {
                path: path.to_owned(),
                options,
                texts: loaded.texts,
            };
            runtime.block_on(signals.govern(running, source));
        }
        Err(error) => return fail(&error),
    }
    ExitCode::SUCCESS
}

/// What is asked of a running instance; or the exit code, when the failure has been told.
fn ask<T>(asking: impl Future<Output = Result<T, ClientError>>) -> Result<T, u8> {
    let asked = ask_plainly(asking).map_err(|error| {
        complain(&format!("error: {error}"));
        1_u8
    })?;
    asked.map_err(|error| {
        complain(&format!("error: {error}"));
        NO_INSTANCE
    })
}

/// The same, with nothing told.
fn ask_plainly<T>(asking: impl Future<Output = T>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(asking))
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    complain(&format!("error: {error}"));
    ExitCode::FAILURE
}

/// The answer of a command. Whoever reads it may stop reading (`| head`): that is no failure.
fn say(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}

fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

impl Color {
    fn on_stdout(self) -> bool {
        self.wanted(io::stdout().is_terminal())
    }

    fn on_stderr(self) -> bool {
        self.wanted(io::stderr().is_terminal())
    }

    fn wanted(self, terminal: bool) -> bool {
        match self {
            Self::Always => true,
            Self::Auto => {
                terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            }
            Self::Never => false,
        }
    }

    fn of_log(self) -> Colors {
        match self {
            Self::Always => Colors::Always,
            Self::Auto => Colors::Auto,
            Self::Never => Colors::Never,
        }
    }
}

const BAD_CONFIGURATION: u8 = 2;
const NO_INSTANCE: u8 = 3;
const ADVICE: u8 = 5;
