//! The load generators: wrk, h2load and clients of our own, each on the CPU for loads.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::Outcome;
use crate::process::{LOAD_CPU, Running, on};

/// What one load has brought.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Harvest {
    pub(crate) requests: u64,
    /// Requests that were lost or answered by other than 2xx and 3xx.
    pub(crate) failed: u64,
    /// What has failed, in words; empty if nothing has.
    pub(crate) failures: String,
    pub(crate) seconds: f64,
    /// p50, p99, p99.9 and the longest, in microseconds.
    pub(crate) latency: Option<[f64; 4]>,
}

impl Harvest {
    pub(crate) fn rate(&self) -> f64 {
        self.requests as f64 / self.seconds.max(1e-9)
    }
}

/// What a load sends, and how.
#[derive(Clone, Debug)]
pub(crate) enum Load {
    Wrk {
        connections: u32,
        url: String,
        /// Beyond plain GET requests, Lua that says what to send.
        script: String,
    },
    H2load {
        url: String,
        arguments: Vec<String>,
    },
    /// A client of ours: its name and what it is told; see where `main` lists them.
    Ours {
        name: &'static str,
        arguments: Vec<String>,
    },
}

/// A load under way.
#[derive(Debug)]
pub(crate) struct Loading {
    running: Running,
    /// h2load's times of all requests.
    log: Option<PathBuf>,
    seconds: u32,
}

impl Load {
    /// Begins; files that it needs go into the folder.
    pub(crate) fn start(&self, folder: &Path, seconds: u32) -> Outcome<Loading> {
        let mut log = None;
        let mut command = match self {
            Self::Wrk {
                connections,
                url,
                script,
            } => {
                let file = folder.join("wrk.lua");
                fs::write(&file, format!("{script}\n{}", include_str!("conf/wrk.lua")))?;
                let mut command = on(&[LOAD_CPU], "wrk")?;
                command
                    .arg("-t1")
                    .arg(format!("-c{connections}"))
                    .arg(format!("-d{seconds}s"))
                    .args(["--timeout", "5s", "--latency", "-s"])
                    .arg(file)
                    .arg(url);
                command
            }
            Self::H2load { url, arguments } => {
                let file = folder.join("h2load.log");
                // h2load adds to the file.
                let _ = fs::remove_file(&file);
                let mut command = on(&[LOAD_CPU], "h2load")?;
                command
                    .args(["-t1", "-D", &seconds.to_string()])
                    .args(arguments)
                    .arg(format!("--log-file={}", file.display()))
                    .arg(url);
                log = Some(file);
                command
            }
            Self::Ours { name, arguments } => {
                let mut command: Command = on(&[LOAD_CPU], std::env::current_exe()?)?;
                command.arg(name).args(
                    arguments
                        .iter()
                        .map(|one| one.replace("@SECONDS@", &seconds.to_string())),
                );
                command
            }
        };
        Ok(Loading {
            running: Running::start_heard(&mut command)?,
            log,
            seconds,
        })
    }

    pub(crate) fn run(&self, folder: &Path, seconds: u32) -> Outcome<Harvest> {
        self.start(folder, seconds)?.finish()
    }
}

impl Loading {
    /// Waits for its end.
    pub(crate) fn finish(self) -> Outcome<Harvest> {
        let text = self.running.finish()?;
        let harvest = match &self.log {
            Some(log) => of_h2load(&text, log, self.seconds),
            None => of_line(&text),
        };
        harvest.ok_or_else(|| format!("the load generator said: {}", text.trim()).into())
    }
}

/// The line that the script for wrk and our clients end with, and the kinds of failure that ours tell.
fn of_line(text: &str) -> Option<Harvest> {
    let line = text.lines().find_map(|line| line.strip_prefix("SIDE "))?;
    let numbers: Vec<f64> = line
        .split_whitespace()
        .map(|number| number.parse().ok())
        .collect::<Option<_>>()?;
    let [requests, micros, ref errors @ .., p50, p99, p999, longest] = numbers[..] else {
        return None;
    };
    let names = ["connect", "read", "write", "status", "timeout"];
    let mut failures: Vec<String> = names
        .iter()
        .zip(errors)
        .filter(|(_, count)| **count > 0.0)
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    let mut failed = errors.iter().sum::<f64>() as u64;
    for told in text.lines().filter_map(|line| line.strip_prefix("FAILED ")) {
        let (count, kind) = told.split_once(' ')?;
        failed += count.parse::<u64>().ok()?;
        failures.push(format!("{kind} {count}"));
    }
    Some(Harvest {
        requests: requests as u64,
        failed,
        failures: failures.join(", "),
        seconds: micros / 1e6,
        latency: Some([p50, p99, p999, longest]),
    })
}

fn of_h2load(text: &str, log: &Path, seconds: u32) -> Option<Harvest> {
    let counts = text
        .lines()
        .find_map(|line| line.strip_prefix("requests: "))?;
    let count = |name: &str| -> Option<u64> {
        let part = counts.split(", ").find(|part| part.ends_with(name))?;
        part.split_whitespace().next()?.parse().ok()
    };
    let (succeeded, failed) = (count("succeeded")?, count("failed")?);
    Some(Harvest {
        requests: succeeded,
        failed,
        failures: if failed == 0 {
            String::new()
        } else {
            counts.to_owned()
        },
        seconds: f64::from(seconds),
        latency: percentiles(log),
    })
}

/// Of the third column: microseconds to the end of a response.
fn percentiles(log: &Path) -> Option<[f64; 4]> {
    let text = fs::read_to_string(log).ok()?;
    let mut times: Vec<u64> = text
        .lines()
        .filter_map(|line| line.split('\t').nth(2)?.parse().ok())
        .collect();
    times.sort_unstable();
    let last = times.len().checked_sub(1)?;
    Some([0.5, 0.99, 0.999, 1.0].map(|share| times[(last as f64 * share) as usize] as f64))
}
