//! Failures, rehearsed: what clients see when backends die, hang or lie, and when operators change things, under load that
//! does not wait for answers.
//!
//! `cargo test --test drills` runs a short form of each drill and holds forecourt to what it promises;
//! `cargo test --release --test drills -- kill-9 hang --full --peers` runs some of them as long as it takes to believe them,
//! with nginx and HAProxy beside it where they are installed, and prints a table for each. `-- --help` has the options.
//!
//! In reading order: [`options`]; [`drill`] what a drill is, with [`faults`], [`changes`], [`overload`] and [`scrapes`], which are
//! all there are;
//! [`proxy`] who is put through them; [`backend`] and [`fleet`] what stands behind, [`load`] and [`sockets`] who comes,
//! [`tally`] what became of it, [`report`] the tables. Processes are started by the benchmark's own means, which tie them to
//! the life of this one.
//!
//! What is asserted is what was answered, never how long it took, but for bounds that are rules, with a second of slack.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the tables are what it is run for"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "the benchmark's part waits for other processes, and serves nobody meanwhile"
)]

mod backend;
mod changes;
mod drill;
mod faults;
mod fleet;
mod load;
mod options;
mod overload;
mod proxy;
mod report;
mod scrapes;
mod sockets;
mod tally;

#[allow(dead_code, reason = "the benchmark measures more than is asked here")]
#[path = "../../benches/side_by_side/accounts.rs"]
mod accounts;
#[allow(
    dead_code,
    reason = "the benchmark installs programs and waits for silence"
)]
#[path = "../../benches/side_by_side/machine.rs"]
mod machine;
#[allow(
    dead_code,
    reason = "the benchmark pins processes and reads what they say"
)]
#[path = "../../benches/side_by_side/process.rs"]
mod process;
#[allow(dead_code, reason = "the end-to-end tests look at CPU time too")]
#[path = "../e2e/harness/vitals.rs"]
mod vitals;
#[path = "../e2e/harness/wait.rs"]
mod wait;

use std::os::unix::fs::PermissionsExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

use clap::Parser as _;
use rustix::process::{Signal, getpid, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use drill::{Drill, Scale};
use options::Options;
use proxy::Kind;
use report::Run;

/// What can go wrong here ends a drill, and says why.
pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let rest = arguments.get(1..).unwrap_or_default();
    let done = match arguments.first().map(String::as_str) {
        Some("launch") => process::launch(rest),
        Some("backend") => backend::run(rest),
        _ => conduct(&Options::parse()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn conduct(options: &Options) -> Outcome<()> {
    let all = faults::DRILLS
        .iter()
        .chain(&changes::DRILLS)
        .chain(&overload::DRILLS)
        .chain(&scrapes::DRILLS);
    let asked: Vec<&Drill> = all.filter(|drill| options.wants(drill.name)).collect();
    if options.list || asked.is_empty() {
        asked
            .iter()
            .for_each(|drill| println!("{}: test", drill.name));
        return Ok(());
    }
    process::raise_open_files();
    // A program that was upgraded is nobody's child; so it becomes ours, and ends with us.
    rustix::process::set_child_subreaper(Some(getpid()))?;
    let site = tempfile::Builder::new().prefix("drills-").tempdir()?;
    // nginx's workers are another user.
    fs::set_permissions(site.path(), fs::Permissions::from_mode(0o755))?;
    tempfile::env::override_temp_dir(site.path()).map_err(|_| "the folder is set once")?;
    end_on_signals(site.path());
    let scale = Scale {
        full: options.full,
        rate: options.rate(),
        fault: Duration::from_secs(options.seconds()),
    };
    let mut text = report::head(options);
    println!("{text}");
    // What has not come is said in a line, whatever the environment wants of backtraces.
    std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
    let mut broken = Vec::new();
    for drill in asked {
        let began = Instant::now();
        let runs: Vec<Run> = options
            .kinds()
            .into_iter()
            .filter(|kind| kind.program().is_some())
            .map(|kind| (kind, run(drill, kind, scale)))
            .collect();
        let section = report::section(drill, &runs);
        println!("{section}\n({:.0} s)", began.elapsed().as_secs_f64());
        text.push_str(&section);
        broken.extend(report::broken(drill, &runs));
    }
    if let Some(file) = &options.write {
        fs::write(file, text)?;
    }
    if broken.is_empty() {
        Ok(())
    } else {
        Err(format!("not kept:\n{}", broken.join("\n")).into())
    }
}

/// On Ctrl-C, ends all that was started, removes the folder and ends the process.
fn end_on_signals(folder: &Path) {
    let folder = folder.to_owned();
    thread::spawn(move || {
        if let Err(error) = wait_for_signal() {
            eprintln!("signals are not heard: {error}");
            return;
        }
        let own = getpid();
        let started = accounts::family(own.as_raw_pid().unsigned_abs());
        for id in started.into_iter().filter_map(proxy::pid) {
            if id != own {
                let _ = kill_process(id, Signal::KILL);
            }
        }
        let _ = fs::remove_dir_all(&folder);
        std::process::exit(130);
    });
}

fn wait_for_signal() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Ok(())
    })
}

/// One drill with one proxy. What never comes ends it as an error.
fn run(drill: &Drill, kind: Kind, scale: Scale) -> Result<Vec<drill::Row>, String> {
    match catch_unwind(AssertUnwindSafe(|| (drill.run)(kind, scale))) {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let said = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(said.unwrap_or_else(|| "a panic".to_owned()))
        }
    }
}
