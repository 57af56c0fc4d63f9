//! Forecourt beside nginx and HAProxy, on one machine, in one run.
//!
//! `cargo bench --bench side_by_side` builds the release program, starts each proxy in turn with an equal set-up
//! (one worker, four backends on keep-alive connections, X-Forwarded-For), loads it, and prints tables of what a request
//! costs; `-- --help` has the options, `-- --write` puts the report into `docs/`. Missing programs are installed
//! from Debian if the user may do that.
//!
//! The method: the proxy has CPU 0, load generator and backends have CPU 1. What counts is the CPU time of a
//! proxy's processes for each request, as the kernel accounts for it: it says what a proxy can do on any number of CPUs, and
//! the load generator does not come into it. Rates are those of one CPU. Proxies take turns within each round, ratios are
//! taken within a round and their median is shown, so that a machine that gets slower over an hour does not favour one.
//! Each load waits until nobody else uses the CPUs and is repeated once if somebody did.
//!
//! Forecourt runs as it comes: access log, metrics and limits on; `forecourt-nolog` is the same without the access log. The
//! peers run without logs, which favours them; where it matters they take part again with logs. `relay` reads and writes and
//! understands nothing: the least that two TCP connections cost here.
//!
//! The program is its own backend, relay, crowd and clients: the first argument says which. All processes are
//! pinned and tied to the life of the harness by `launch`. What has been measured is in a file at once (`journal`), and the
//! report is made anew after each round.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the tables are what it is run for"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "it waits for other processes, and serves nobody meanwhile"
)]

mod accounts;
mod backend;
mod client;
mod crowd;
mod epoll;
mod journal;
mod load;
mod machine;
mod measure;
mod options;
mod pace;
mod plot;
mod process;
mod proxy;
mod relay;
mod report;
mod scale;
mod scenarios;
mod sleepers;
mod smoke;
mod throng;
mod websocket;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

use journal::Journal;
use measure::{Plan, Sample};
use options::{Candidate, Options};
use proxy::{AccessLog, Contestant, Kind, Site};
use scenarios::Scenario;

/// What can go wrong here ends the run, and says why.
pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let rest = arguments.get(1..).unwrap_or_default();
    let done = match arguments.first().map(String::as_str) {
        Some("launch") => process::launch(rest),
        Some("backend") => backend::run(rest),
        Some("relay") => relay::run(rest),
        Some("crowd") => crowd::run(rest),
        Some("talk") => websocket::run(rest),
        Some("pace") => pace::run(rest),
        Some("sleepers") => sleepers::run(rest),
        Some("throng") => throng::run(rest),
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

/// The harness itself.
fn conduct(options: &Options) -> Outcome<()> {
    if thread::available_parallelism()?.get() < 2 {
        return Err("two CPUs are needed: one for the proxy, one for the load".into());
    }
    // `cargo test` does not say `--bench`.
    if !options.bench {
        return smoke::run();
    }
    let scenarios = options.scenarios()?;
    machine::install_missing()?;
    let candidates = candidates(options)?;
    process::raise_open_files();
    process::pin(&[process::LOAD_CPU])?;
    let site = Site::open()?;
    end_on_signals(site.folder.path());
    if options.scale {
        return scale::run(options, &candidates, &site);
    }
    compare(options, &candidates, &scenarios, &site)
}

/// All contestants in all scenarios, round by round.
fn compare(
    options: &Options,
    candidates: &[Candidate],
    scenarios: &[&'static Scenario],
    site: &Site,
) -> Outcome<()> {
    let contestants = contestants(options, candidates);
    let title = format!("{} {}", arguments(), fingerprint(candidates)?);
    let mut journal = Journal::open(&journal::folder()?, &title, options.resume)?;
    let head = machine::describe(&versions(candidates));
    eprintln!(
        "about {} minutes on a quiet machine",
        estimate(options, &contestants, scenarios)
    );
    let began = Instant::now();
    let mut wrong = Vec::new();
    for round in 0..options.rounds() {
        let plan = Plan {
            round,
            seconds: options.seconds(),
            // A proxy needs a second descriptor for a client it serves, and some for itself.
            crowd: (process::open_files() * 11 / 20).min(if options.quick {
                1_000
            } else {
                10_000
            }),
            count_calls: round == 0 && !options.quick,
            wants_silence: !options.quick,
        };
        for contestant in &contestants {
            wrong.extend(measure::round(
                contestant,
                site,
                scenarios,
                plan,
                &mut journal,
            ));
        }
        let report = report::Report {
            contestants: &contestants,
            scenarios,
            samples: &journal.samples,
            wrong: &wrong,
        };
        publish(options, &report, &head)?;
    }
    eprintln!("it took {} minutes", began.elapsed().as_secs().div_ceil(60));
    println!(
        "{}",
        fs::read_to_string(journal::folder()?.join("report.md"))?
    );
    verdict(&contestants, scenarios, &journal.samples)
}

/// Puts what is known by now where it can be read.
fn publish(options: &Options, report: &report::Report<'_>, head: &str) -> Outcome<()> {
    let text = report.markdown(head);
    fs::write(journal::folder()?.join("report.md"), &text)?;
    if options.write {
        fs::write(docs("side-by-side.md"), text)?;
        plot::draw(
            &docs("side-by-side.svg"),
            "CPU time for each request, nginx = 1 (less is better); whiskers: all rounds",
            &report.bars(),
        )?;
        report.put_into(&Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"))?;
    }
    Ok(())
}

/// What the command line said, but for what changes no figure.
pub(crate) fn arguments() -> String {
    let words: Vec<String> = env::args()
        .skip(1)
        .filter(|word| word != "--bench" && word != "--resume")
        .collect();
    words.join(" ")
}

/// What tells the programs to measure from others.
fn fingerprint(candidates: &[Candidate]) -> Outcome<String> {
    let mut text = String::new();
    for candidate in candidates {
        let bytes = fs::read(&candidate.program)?;
        let print = xxhash_rust::xxh3::xxh3_64(&bytes);
        text.push_str(&format!("{}={print:016x} ", candidate.name));
    }
    Ok(text)
}

/// Minutes that all takes if nobody has to be waited for.
fn estimate(options: &Options, contestants: &[Contestant], scenarios: &[&Scenario]) -> u64 {
    let seconds = u64::from(options.seconds());
    let mut whole = 0;
    for contestant in contestants {
        // Starts, with and without sleepers.
        whole += 8 * options.rounds() as u64;
        for scenario in scenarios {
            if !contestant.takes_part(scenario) || !contestant.says_something_in(scenario) {
                continue;
            }
            let load = if scenario.reloads {
                seconds.max(2) + 1
            } else {
                seconds
            };
            // Waiting for silence, starting and ending the load; and counting system calls in the first round.
            whole += (load + 1) * options.rounds() as u64 + if scenario.reloads { 0 } else { 3 };
        }
    }
    whole.div_ceil(60)
}

/// Whether forecourt was measured everywhere and failed nowhere.
fn verdict(contestants: &[Contestant], scenarios: &[&Scenario], samples: &[Sample]) -> Outcome<()> {
    let mut wrong = Vec::new();
    for contestant in contestants.iter().filter(|one| one.is_forecourt()) {
        for scenario in scenarios {
            let mut of_both = samples
                .iter()
                .filter(|one| one.proxy == contestant.name && one.scenario == scenario.name)
                .peekable();
            if of_both.peek().is_none() && contestant.says_something_in(scenario) {
                wrong.push(format!(
                    "{} {}: not measured",
                    contestant.name, scenario.name
                ));
            }
            wrong.extend(of_both.filter(|one| one.harvest.failed > 0).map(|one| {
                format!(
                    "{} {}: {} failed ({})",
                    one.proxy, one.scenario, one.harvest.failed, one.harvest.failures
                )
            }));
        }
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(wrong.join("\n").into())
    }
}

/// The forecourts to measure: those named, or the release program of this tree, built.
fn candidates(options: &Options) -> Outcome<Vec<Candidate>> {
    if !options.forecourt.is_empty() {
        return Ok(options.forecourt.clone());
    }
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--release", "--locked", "--bin", "forecourt"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()?;
    if !built.success() {
        return Err("the release program could not be built".into());
    }
    let folder = env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target"),
        PathBuf::from,
    );
    Ok(vec![Candidate {
        name: "forecourt".to_owned(),
        program: folder.join("release/forecourt"),
    }])
}

fn contestants(options: &Options, candidates: &[Candidate]) -> Vec<Contestant> {
    let mut all = Vec::new();
    for candidate in candidates {
        let kind = Kind::Forecourt(candidate.program.clone());
        let name = &candidate.name;
        all.push(Contestant::new(name, kind.clone(), AccessLog::On));
        all.push(Contestant::new(
            format!("{name}-nolog"),
            kind,
            AccessLog::Off,
        ));
    }
    for (name, kind) in [("nginx", Kind::Nginx), ("haproxy", Kind::Haproxy)] {
        if process::is_installed(name) {
            all.push(Contestant::new(name, kind.clone(), AccessLog::Off));
            if !options.quick {
                all.push(Contestant::new(format!("{name}-log"), kind, AccessLog::On));
            }
        }
    }
    all.push(Contestant::new("relay", Kind::Relay, AccessLog::Off));
    all.retain(|one| options.wants(&one.name));
    all
}

fn versions(candidates: &[Candidate]) -> Vec<(String, String)> {
    candidates
        .iter()
        .map(|one| {
            let program = one.program.display().to_string();
            let version = machine::version(&program, "--version");
            (one.name.clone(), version.unwrap_or_default())
        })
        .collect()
}

/// A file of the repository's `docs`.
pub(crate) fn docs(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs")
        .join(name)
}

/// Removes the folder and ends the process on Ctrl-C; what the process has started ends with it.
fn end_on_signals(folder: &Path) {
    let folder = folder.to_owned();
    thread::spawn(move || {
        if let Err(error) = wait_for_signal() {
            eprintln!("signals are not heard: {error}");
            return;
        }
        // Proxies that are about to end may still write into it.
        for _ in 0..20 {
            if fs::remove_dir_all(&folder).is_ok() {
                break;
            }
            thread::sleep(Duration::from_millis(20));
        }
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
