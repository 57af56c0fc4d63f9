//! The tables, in Markdown.

use std::fmt::Write as _;

use crate::measure::Sample;
use crate::plot::{Bar, Group};
use crate::proxy::{Contestant, Kind};
use crate::scenarios::Scenario;

/// All that a run has shown.
#[derive(Debug)]
pub(crate) struct Report<'run> {
    pub(crate) contestants: &'run [Contestant],
    pub(crate) scenarios: &'run [&'static Scenario],
    pub(crate) samples: &'run [Sample],
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
        let arguments: Vec<String> = std::env::args()
            .skip(1)
            .filter(|word| word != "--bench")
            .collect();
        let rounds = self
            .samples
            .iter()
            .map(|one| one.round + 1)
            .max()
            .unwrap_or(0);
        let mut text = format!(
            "# Side by side\n\n{head}  \nCommand: `cargo bench --bench side_by_side -- {}` ({rounds} rounds)\n\n",
            arguments.join(" ")
        );
        text.push_str(INTRODUCTION);
        text.push_str("\n## CPU time for each request, in µs (relative to nginx)\n\n");
        self.summary(&mut text, Peers::Quiet);
        if self.contestants.iter().any(Contestant::is_logged_peer) {
            text.push_str("\nAll with their access logs on (relative to nginx with its log):\n\n");
            self.summary(&mut text, Peers::Logging);
        }
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
            if scenario.connections == 0 || peers == Peers::Logging && !scenario.logged {
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
            "| | requests/s | to nginx | to HAProxy | CPU µs | of it user | to nginx | to HAProxy | p50 ms | p99 ms | p99.9 ms | system calls | resident MB | bytes/connection | failed |\n",
        );
        let _ = writeln!(text, "|---|{}", "---:|".repeat(14));
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
`forecourt-nolog` lacks the access log. nginx and HAProxy run without logs, and with `-log` in their names with them (nginx
to a file with a buffer of 64 KiB, HAProxy to a syslog socket that is read). `relay` reads and writes and understands
nothing: the least that two TCP connections cost on this machine. In `browser` forecourt and HAProxy keep sessions by
cookie, and nginx does not. CPU time is that of all processes of a proxy; medians over the rounds; ratios are taken
within a round. Latency is that of full load, except in `rate70`, and includes the wait for CPU 1.
";
