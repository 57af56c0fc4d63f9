//! What a strategy does to the latency of a shop whose backends are not alike.
//!
//! Eight backends of two slots each, whose service takes 12 ms in the mean (exponentially distributed). Two
//! of them are three times slower, and one stands still for 200 ms every 3 s. Clients come as a Poisson
//! process at 60, 75 and 90 % of what all backends together can do, through the whole balancer on
//! loopback sockets. Latency counts from the intended arrival. Strategies see the same arrivals.
//!
//! Sleeps of the experiment itself are rounded up to the next millisecond, twice for each request: the
//! latencies are up to 2 ms too long, alike for all strategies.
//!
//! `cargo bench --bench latency` takes some two and a half minutes, prints Markdown tables and writes
//! `docs/latency.svg`; `-- --quick` takes a few seconds, shows only that it runs, and writes nothing.

#![allow(clippy::print_stdout, reason = "the tables are what it is run for")]

#[path = "parts/fleet.rs"]
mod fleet;
#[path = "parts/plot.rs"]
mod plot;
#[path = "parts/shoppers.rs"]
mod shoppers;

use std::fmt::Write as _;
use std::path::Path;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use forecourt::app::Forecourt;
use forecourt::config::{self, Options};
use forecourt::plan::Plan;
use forecourt::plan::listener::ListenAddress;
use forecourt::strategy::Spec;

use fleet::{Ability, Fleet};
use shoppers::Answers;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let given = |name: &str| arguments.iter().any(|argument| argument == name);
    // `cargo test --benches` does not say `--bench`.
    let quick = !given("--bench") || given("--quick") || given("--test");
    let (loads, length): (&[u32], _) = if quick {
        (&LOADS[1..2], Length::QUICK)
    } else {
        (&LOADS, Length::WHOLE)
    };
    let capacity: f64 = fleet_abilities().iter().map(|one| one.capacity()).sum();
    println!(
        "capacity: {capacity:.0} requests/s; p50 / p95 / p99 in ms from the intended arrival\n"
    );

    let equal = experiment(&Spec::NAMES, loads, Weights::Equal, length);
    println!("Equal weights:\n\n{}", table(&equal, loads));
    let by_weight: Vec<&str> = Spec::NAMES
        .into_iter()
        .filter(|name| *name != "round-robin")
        .collect();
    let most = &loads[loads.len() - 1..];
    let weighted = experiment(&by_weight, most, Weights::ByCapacity, length);
    println!(
        "Weights as the capacities, 3 and 1:\n\n{}",
        table(&weighted, most)
    );
    if !quick {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/latency.svg");
        plot::draw(&file, &lines(&equal)).expect("docs/latency.svg can be written");
    }
}

/// One strategy at one load.
struct Outcome {
    strategy: String,
    load: u32,
    answers: Answers,
    /// The highest use of a backend over that of all together; 1 if each has what it can do.
    imbalance: f64,
}

/// How long clients come.
#[derive(Clone, Copy)]
struct Length {
    warm_up: Duration,
    measured: Duration,
}

impl Length {
    const QUICK: Self = Self {
        warm_up: Duration::from_millis(100),
        measured: Duration::from_millis(300),
    };
    /// Two pauses are in it, as it takes two periods.
    const WHOLE: Self = Self {
        warm_up: Duration::from_millis(500),
        measured: Duration::from_secs(6),
    };
}

#[derive(Clone, Copy)]
enum Weights {
    ByCapacity,
    Equal,
}

/// Runs each strategy at each load, one after the other. What still waits for an overloaded backend when
/// the clients of one run have all come is waited for while the next run is under way.
fn experiment(
    strategies: &[&str],
    loads: &[u32],
    weights: Weights,
    length: Length,
) -> Vec<Outcome> {
    let mut running: Vec<JoinHandle<Outcome>> = Vec::new();
    for load in loads {
        for strategy in strategies {
            let (strategy, load) = ((*strategy).to_owned(), *load);
            let (sent, all_sent) = mpsc::channel::<()>();
            running.push(thread::spawn(move || {
                run(strategy, load, weights, length, || drop(sent))
            }));
            // Dropped, not sent: an error is what is waited for.
            let _ = all_sent.recv();
        }
    }
    running
        .into_iter()
        .map(|run| run.join().expect("a run that panics has said why"))
        .collect()
}

fn run(
    strategy: String,
    load: u32,
    weights: Weights,
    length: Length,
    sent: impl FnOnce(),
) -> Outcome {
    let abilities = fleet_abilities();
    let capacity: f64 = abilities.iter().map(|one| one.capacity()).sum();
    let per_second = capacity * f64::from(load) / 100.0;
    let arrivals = shoppers::arrivals(
        per_second,
        length.warm_up + length.measured,
        u64::from(load),
    );
    let fleet = Fleet::start(&abilities);
    let balancer = Forecourt::start(plan(&strategy, &fleet, &abilities, weights), None)
        .expect("loopback has a port for the balancer");
    let target = balancer
        .addresses()
        .find_map(|(_, address)| match address {
            ListenAddress::Tcp(address) => Some(*address),
            ListenAddress::Unix(_) => None,
        })
        .expect("the plan has one listener");
    let answers = shoppers::shop(target, &arrivals, length.warm_up, sent);
    let given = fleet.given();
    let all: u64 = given.iter().sum();
    let imbalance = given
        .iter()
        .zip(&abilities)
        .map(|(given, one)| *given as f64 / one.capacity() * capacity / all as f64)
        .fold(0.0, f64::max);
    Outcome {
        strategy,
        load,
        answers,
        imbalance,
    }
}

fn plan(strategy: &str, fleet: &Fleet, abilities: &[Ability], weights: Weights) -> Plan {
    let mut text = format!(
        "[server]\nworkers = 1\n[log.access]\npath = \"off\"\n\
         [listeners.web]\naddress = \"127.0.0.1:0\"\ntrusted_proxies = [\"127.0.0.0/8\"]\n\
         [[routes]]\npool = \"shop\"\n\
         [pools.shop]\nstrategy = \"{strategy}\"\ntimeouts = {{ response = \"5m\" }}\nbackends = [\n"
    );
    for (number, (address, ability)) in fleet.addresses.iter().zip(abilities).enumerate() {
        let weight = match weights {
            Weights::ByCapacity if ability.mean_service == SERVICE => SLOWNESS,
            Weights::ByCapacity | Weights::Equal => 1,
        };
        // With an id, or the kernel's choice of ports would decide who is whose by hash.
        let _ = writeln!(
            text,
            "  {{ address = \"{address}\", id = \"b{number}\", weight = {weight} }},"
        );
    }
    text.push_str("]\n");
    let folder = tempfile::tempdir().expect("there is room for a file");
    let file = folder.path().join("shop.toml");
    std::fs::write(&file, text).expect("there is room for a file");
    config::load(&file, &Options::new())
        .expect("the configuration is right")
        .plan
}

/// Five that are well, two that are slow, and one that pauses.
fn fleet_abilities() -> Vec<Ability> {
    let well = Ability {
        mean_service: SERVICE,
        pauses: false,
    };
    let slow = Ability {
        mean_service: SERVICE * SLOWNESS,
        ..well
    };
    let pausing = Ability {
        pauses: true,
        ..well
    };
    vec![well, slow, well, well, pausing, well, slow, well]
}

fn table(outcomes: &[Outcome], loads: &[u32]) -> String {
    let heads: Vec<String> = loads
        .iter()
        .map(|load| format!("at {load} % | imbalance"))
        .collect();
    let mut text = format!(
        "| strategy | {} | errors |\n|---|{}---:|\n",
        heads.join(" | "),
        "---:|---:|".repeat(loads.len())
    );
    for strategy in names(outcomes) {
        let mut errors = 0;
        let _ = write!(text, "| `{strategy}` |");
        for outcome in outcomes.iter().filter(|one| one.strategy == strategy) {
            let quantile = |part| outcome.answers.quantile(part);
            let _ = write!(
                text,
                " {:.0} / {:.0} / {:.0} | {:.2} |",
                quantile(0.5),
                quantile(0.95),
                quantile(0.99),
                outcome.imbalance
            );
            errors += outcome.answers.errors;
        }
        let _ = writeln!(text, " {errors} |");
    }
    text
}

fn lines(outcomes: &[Outcome]) -> Vec<plot::Line> {
    let line = |strategy: &'static str| {
        let points = outcomes
            .iter()
            .filter(|one| one.strategy == strategy)
            .map(|one| (f64::from(one.load), one.answers.quantile(0.99)));
        (strategy, points.collect())
    };
    Spec::NAMES.into_iter().map(line).collect()
}

/// The strategies that were tried, each once, in their order.
fn names(outcomes: &[Outcome]) -> Vec<&str> {
    let tried = |name: &&str| outcomes.iter().any(|one| one.strategy == **name);
    Spec::NAMES.into_iter().filter(tried).collect()
}

/// Per cent of the capacity.
const LOADS: [u32; 3] = [60, 75, 90];
/// Mean time that a backend which is well takes for a request.
const SERVICE: Duration = Duration::from_millis(12);
/// How many times as long the slow ones take.
const SLOWNESS: u32 = 3;
