//! The tables, in Markdown.

use std::fmt::Write as _;
use std::path::Path;

use crate::Outcome;
use crate::measure::Sample;
use crate::plot::{Bar, Group};
use crate::proxy::{Contestant, Kind};
use crate::scenarios::{Scenario, Work};

/// All that a run has shown.
#[derive(Debug)]
pub(crate) struct Report<'run> {
    pub(crate) contestants: &'run [Contestant],
    pub(crate) scenarios: &'run [&'static Scenario],
    pub(crate) samples: &'run [Sample],
    /// What could not be measured.
    pub(crate) wrong: &'run [String],
}

/// Whether the peers write access logs.
#[derive(Clone, Copy, PartialEq)]
enum Peers {
    Quiet,
    Logging,
}

impl Peers {
    fn named(self, peer: &str) -> String {
        match self {
            Self::Quiet => peer.to_owned(),
            Self::Logging => format!("{peer}-log"),
        }
    }
}

impl Report<'_> {
    /// The whole report under a head that says when and where.
    pub(crate) fn markdown(&self, head: &str) -> String {
        let rounds = self
            .samples
            .iter()
            .map(|one| one.round + 1)
            .max()
            .unwrap_or(0);
        let mut text = format!(
            "# Side by side\n\n{head}  \nCommand: `cargo bench --bench side_by_side -- {}` ({rounds} rounds)\n\n",
            crate::arguments()
        );
        text.push_str(INTRODUCTION);
        if !self.wrong.is_empty() {
            let _ = writeln!(text, "\nNot measured: {}.", self.wrong.join("; "));
        }
        text.push_str("\n## CPU time for each request, in µs (relative to nginx)\n\n");
        text.push_str(&self.summaries());
        for scenario in self.scenarios {
            let _ = write!(
                text,
                "\n## {}: {}{}\n\n",
                scenario.name,
                scenario.about,
                match scenario.connections {
                    0 => String::new(),
                    1 => ", 1 connection".to_owned(),
                    many => format!(", {many} connections"),
                }
            );
            self.details(&mut text, scenario);
        }
        text
    }

    /// The tables of all scenarios: CPU time without logs and with them, latency at an even rate, and failures under change.
    fn summaries(&self) -> String {
        let mut text = String::new();
        self.summary(&mut text, Peers::Quiet);
        if self.contestants.iter().any(Contestant::is_logged_peer) {
            text.push_str("\nAll with their access logs on (relative to nginx with its log):\n\n");
            self.summary(&mut text, Peers::Logging);
        }
        self.lost(&mut text);
        self.even(&mut text);
        self.changes(&mut text);
        text
    }

    /// Where forecourt's access log was not written in full, for a log that is not written costs less.
    fn lost(&self, text: &mut String) {
        let mut words = Vec::new();
        for scenario in self.scenarios {
            let samples = || {
                self.samples
                    .iter()
                    .filter(|one| one.scenario == scenario.name)
            };
            let lost: u64 = samples().filter_map(|one| one.lost).sum();
            if lost > 0 {
                let requests: u64 = samples()
                    .filter(|one| one.lost.is_some())
                    .map(|one| one.harvest.requests)
                    .sum();
                words.push(format!("`{}` {lost} of {requests}", scenario.name));
            }
        }
        if words.is_empty() {
            text.push_str("\nNo line of forecourt's access log was lost.\n");
        } else {
            let _ = writeln!(
                text,
                "\nLines of forecourt's access log that were lost, the disk being too slow: {}.",
                words.join(", ")
            );
        }
    }

    /// Latency from when requests were due.
    fn even(&self, text: &mut String) {
        let Some(scenario) = self.scenarios.iter().find(|one| one.work == Work::Rate) else {
            return;
        };
        text.push_str(
            "\nLatency at 70 % of the own peak of `ka1k`, from when a request was due, in ms:\n\n",
        );
        text.push_str("| | asked for, requests/s | served | p50 | p99 | p99.9 | longest |\n|---|---:|---:|---:|---:|---:|---:|\n");
        for contestant in self.shown(Peers::Quiet) {
            let name = &contestant.name;
            let of = |value: &dyn Fn(&Sample) -> Option<f64>| self.median(name, scenario, value);
            let at = |at: usize| {
                figure(
                    of(&|one| one.harvest.latency.map(|latency| latency[at] / 1e3)),
                    2,
                )
            };
            let asked = of(&|one| one.asked);
            if asked.is_some() {
                let _ = writeln!(
                    text,
                    "| {name} | {} | {} | {} | {} | {} | {} |",
                    figure(asked, 0),
                    figure(of(&rate), 0),
                    at(0),
                    at(1),
                    at(2),
                    at(3)
                );
            }
        }
    }

    /// What failed in all rounds while configurations were reloaded each second.
    fn changes(&self, text: &mut String) {
        let scenarios: Vec<&&Scenario> = self.scenarios.iter().filter(|one| one.reloads).collect();
        if scenarios.is_empty() {
            return;
        }
        text.push_str("\nFailed requests, of so many, with a reload every second; those with a + beside thousands of clients that keep their connections\nand seldom ask:\n\n");
        let shown: Vec<&Contestant> = self
            .shown(Peers::Quiet)
            .into_iter()
            .filter(|one| {
                scenarios
                    .iter()
                    .any(|scenario| self.of(&one.name, scenario).next().is_some())
            })
            .collect();
        let names: Vec<&str> = shown.iter().map(|one| one.name.as_str()).collect();
        let _ = writeln!(text, "| | {} |", names.join(" | "));
        let _ = writeln!(text, "|---|{}", "---:|".repeat(names.len()));
        for scenario in scenarios {
            let cells: Vec<String> = names
                .iter()
                .map(|name| {
                    let requests: u64 = self
                        .of(name, scenario)
                        .map(|one| one.harvest.requests)
                        .sum();
                    let failed: u64 = self.of(name, scenario).map(|one| one.harvest.failed).sum();
                    if requests == 0 {
                        String::new()
                    } else {
                        format!("{failed} of {requests}")
                    }
                })
                .collect();
            let _ = writeln!(text, "| `{}` | {} |", scenario.name, cells.join(" | "));
        }
    }

    /// Replaces the tables between the marks in a file.
    pub(crate) fn put_into(&self, file: &Path) -> Outcome<()> {
        let text = std::fs::read_to_string(file)?;
        let (begin, end) = (
            "<!-- side-by-side-tables -->\n",
            "<!-- /side-by-side-tables -->",
        );
        let parts = text
            .split_once(begin)
            .and_then(|(before, rest)| Some((before, rest.split_once(end)?.1)));
        let Some((before, after)) = parts else {
            return Err(format!("{} has no place for the tables", file.display()).into());
        };
        let tables = self.summaries();
        std::fs::write(file, format!("{before}{begin}{tables}{end}{after}"))?;
        Ok(())
    }

    fn shown(&self, peers: Peers) -> Vec<&Contestant> {
        let with_log = |one: &&Contestant| {
            if one.is_forecourt() {
                one.log == crate::proxy::AccessLog::On
            } else {
                one.is_logged_peer()
            }
        };
        self.contestants
            .iter()
            .filter(|one| match peers {
                Peers::Quiet => !one.is_logged_peer(),
                Peers::Logging => with_log(one),
            })
            .collect()
    }

    fn summary(&self, text: &mut String, peers: Peers) {
        let shown = self.shown(peers);
        let names: Vec<&str> = shown.iter().map(|one| one.name.as_str()).collect();
        let _ = writeln!(text, "| | {} |", names.join(" | "));
        let _ = writeln!(text, "|---|{}", "---:|".repeat(names.len()));
        for scenario in self.scenarios {
            let is_logged = peers == Peers::Quiet || scenario.logged;
            if scenario.connections == 0 || !is_logged || !scenario.is_comparable() {
                continue;
            }
            let _ = write!(text, "| `{}` |", scenario.name);
            for name in &names {
                let cpu = self.median(name, scenario, &micros);
                let ratio = self.ratio(name, &peers.named("nginx"), scenario, &micros);
                let _ = match (cpu, ratio) {
                    (Some(cpu), Some(ratio)) => write!(text, " {cpu:.1} ({ratio:.2}) |"),
                    (Some(cpu), None) => write!(text, " {cpu:.1} |"),
                    _ => write!(text, " |"),
                };
            }
            text.push('\n');
        }
    }

    fn details(&self, text: &mut String, scenario: &Scenario) {
        text.push_str(
            "| | requests/s | to nginx | to HAProxy | CPU µs | of it user | to nginx | to HAProxy | p50 ms | p99 ms | p99.9 ms | system calls | resident MB | bytes/connection | closed | failed |\n",
        );
        let _ = writeln!(text, "|---|{}", "---:|".repeat(15));
        for contestant in self.contestants {
            let name = contestant.name.as_str();
            let of = |value: &dyn Fn(&Sample) -> Option<f64>| self.median(name, scenario, value);
            if of(&|_| Some(0.0)).is_none() {
                continue;
            }
            let peers = if contestant.is_logged_peer() {
                Peers::Logging
            } else {
                Peers::Quiet
            };
            let to = |peer: &str, value: &dyn Fn(&Sample) -> Option<f64>| {
                self.ratio(name, &peers.named(peer), scenario, value)
            };
            let latency =
                |at: usize| of(&|one| one.harvest.latency.map(|latency| latency[at] / 1e3));
            let cells = [
                figure(of(&rate), 0),
                figure(to("nginx", &rate), 2),
                figure(to("haproxy", &rate), 2),
                figure(of(&micros), 2),
                figure(of(&|one| micros(one).map(|_| one.cpu.user * 1e6)), 2),
                figure(to("nginx", &micros), 2),
                figure(to("haproxy", &micros), 2),
                figure(latency(0), 2),
                figure(latency(1), 2),
                figure(latency(2), 2),
                figure(of(&|one| one.calls), 2),
                figure(of(&|one| Some(one.resident / 1e6)), 1),
                figure(of(&|one| one.each), 0),
                figure(of(&|one| one.closed.map(|closed| closed as f64)), 0),
                self.failed(name, scenario),
            ];
            let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
        }
    }

    /// How many requests failed in all rounds, and what happened to them.
    fn failed(&self, name: &str, scenario: &Scenario) -> String {
        let samples: Vec<&Sample> = self.of(name, scenario).collect();
        let count: u64 = samples.iter().map(|one| one.harvest.failed).sum();
        match samples.iter().find(|one| !one.harvest.failures.is_empty()) {
            Some(one) => format!("{count} ({}, ..)", one.harvest.failures),
            None => count.to_string(),
        }
    }

    fn of(&self, name: &str, scenario: &Scenario) -> impl Iterator<Item = &Sample> {
        self.samples
            .iter()
            .filter(move |one| one.proxy == name && one.scenario == scenario.name)
    }

    fn median(
        &self,
        name: &str,
        scenario: &Scenario,
        value: &dyn Fn(&Sample) -> Option<f64>,
    ) -> Option<f64> {
        median(self.of(name, scenario).filter_map(value).collect())
    }

    /// The median of the ratios within rounds.
    fn ratio(
        &self,
        name: &str,
        base: &str,
        scenario: &Scenario,
        value: &dyn Fn(&Sample) -> Option<f64>,
    ) -> Option<f64> {
        median(self.ratios(name, base, scenario, value))
    }

    fn ratios(
        &self,
        name: &str,
        base: &str,
        scenario: &Scenario,
        value: &dyn Fn(&Sample) -> Option<f64>,
    ) -> Vec<f64> {
        self.of(name, scenario)
            .filter_map(|one| {
                let base = self
                    .of(base, scenario)
                    .find(|other| other.round == one.round)?;
                Some(value(one)? / value(base)?)
            })
            .collect()
    }

    /// What the picture shows: CPU time relative to nginx.
    pub(crate) fn bars(&self) -> Vec<Group> {
        let group = |scenario: &&Scenario| {
            let bars: Vec<Bar> = self
                .shown(Peers::Quiet)
                .into_iter()
                .filter(|one| one.kind != Kind::Nginx)
                .filter_map(|one| {
                    let ratios = self.ratios(&one.name, "nginx", scenario, &micros);
                    Bar::of(one.name.clone(), &ratios)
                })
                .collect();
            Group {
                name: scenario.name.to_owned(),
                bars,
            }
        };
        self.scenarios
            .iter()
            .filter(|one| one.is_comparable() && !one.sleepers)
            .map(group)
            .filter(|group| !group.bars.is_empty())
            .collect()
    }
}

fn rate(one: &Sample) -> Option<f64> {
    (one.harvest.requests > 0).then(|| one.harvest.rate())
}

fn micros(one: &Sample) -> Option<f64> {
    (one.harvest.requests > 0).then(|| one.cpu.sum() * 1e6)
}

/// The middle one.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    Some(if values.len().is_multiple_of(2) {
        f64::midpoint(values[middle - 1], upper)
    } else {
        upper
    })
}

/// A cell, empty if there is no figure.
pub(crate) fn figure(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(String::new, |value| format!("{value:.digits$}"))
}

const INTRODUCTION: &str = "\
Each proxy has one worker on CPU 0; load generator and backends have CPU 1. Four backends on connections that stay open,
X-Forwarded-For, no health checks. `forecourt` runs as it comes: access log (JSON, to a file), metrics and limits on;
`forecourt-nolog` lacks the access log; `forecourt-pgo`, where it takes part, is the same built by what a run has shown
(`benches/profile_guided`). nginx and HAProxy run without logs, and with `-log` in their names with them (nginx
to a file with a buffer of 64 KiB, HAProxy to a ring in memory that it sends to a socket on the other CPU). `relay` reads and writes and understands
nothing: the least that two TCP connections cost on this machine. In `browser` forecourt and HAProxy keep sessions by
cookie, and nginx does not. CPU time is that of all processes of a proxy; medians over the rounds; ratios are taken
within a round. Latency is that of full load, and includes the wait for CPU 1; in `rate70` a client sends at an even rate,
70 % of what the proxy served in `ka1k` in that round, and a request's time begins when it was due, sent or not. Those with a
+ run beside clients that keep their connections and ask every 20 s, 10,000 of them where 20,000 files may be open, and
with a reload every second; *closed* are their connections that a proxy ended between requests. CPU time includes their
requests and the reloads; what log, limits and sessions cost each is in [instructions.md](instructions.md). h2load opens no connection anew when a proxy has ended it, as nginx and HAProxy do on a reload: `h2+`
says what failed, and no costs are compared there.
";
