//! How what a request costs grows with backends, routes, connections and workers, and what becomes of more clients than
//! descriptors can serve.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;

use crate::Outcome;
use crate::accounts;
use crate::load::{Harvest, Load};
use crate::machine;
use crate::measure::Meter;
use crate::options::{Candidate, Options};
use crate::plot::{self, Bar, Group};
use crate::process::{self, LOAD_CPU, PROXY_CPU};
use crate::proxy::{AccessLog, Contestant, Kind, Proxy, Site};
use crate::report::{figure, median};

/// One size of everything.
#[derive(Clone, Copy, Debug)]
struct Size {
    strategy: &'static str,
    backends: u32,
    routes: u32,
    connections: u32,
    workers: u32,
}

/// What all others differ from in one thing.
const BASE: Size = Size {
    strategy: "round-robin",
    backends: 4,
    routes: 1,
    connections: 64,
    workers: 1,
};

/// Of one size, in all rounds.
struct Row {
    size: Size,
    cpu: Vec<f64>,
    relative: Vec<f64>,
    rate: Vec<f64>,
    p99: Vec<f64>,
    resident: Vec<f64>,
    failed: u64,
}

/// Measures all sizes and prints or writes the table.
pub(crate) fn run(options: &Options, candidates: &[Candidate], site: &Site) -> Outcome<()> {
    let Some(candidate) = candidates.first() else {
        return Err("there is no forecourt".into());
    };
    let contestant = Contestant::new(
        &candidate.name,
        Kind::Forecourt(candidate.program.clone()),
        AccessLog::On,
    );
    let mut rows: Vec<Row> = sizes(options.quick).into_iter().map(Row::new).collect();
    for _ in 0..options.rounds() {
        let mut base = None;
        for row in &mut rows {
            if !options.quick {
                machine::wait_for_silence();
            }
            let one = measure(&contestant, site, row.size, options.seconds())?;
            eprintln!("{:48} {:8.2} us", row.size.name(), one.cpu);
            row.add(&one, *base.get_or_insert(one.cpu));
        }
    }
    let version = machine::version(&candidate.program.display().to_string(), "--version");
    let head = machine::describe(&[(candidate.name.clone(), version.unwrap_or_default())]);
    let throngs = throngs(&contestant, site, options)?;
    let text = table(&head, &rows) + &throngs;
    println!("{text}");
    if options.write {
        fs::write(crate::docs("scale.md"), text)?;
        plot::draw(
            &crate::docs("scale.svg"),
            "CPU time for each request, 4 backends, 1 route, 64 connections and 1 worker = 1",
            &bars(&rows),
        )?;
    }
    let failed: u64 = rows.iter().map(|row| row.failed).sum();
    if failed > 0 {
        return Err(format!("{failed} requests failed").into());
    }
    Ok(())
}

fn sizes(quick: bool) -> Vec<Size> {
    let mut sizes = vec![BASE];
    let most = if quick { 100 } else { 10_000 };
    for strategy in [
        "round-robin",
        "weighted",
        "random",
        "two-choices",
        "least-connections",
        "ip-hash",
    ] {
        for backends in [100, 1_000, 10_000] {
            sizes.push(Size {
                strategy,
                backends: most.min(backends),
                ..BASE
            });
        }
    }
    sizes.dedup_by_key(|size| (size.strategy, size.backends));
    for routes in [10, if quick { 1_000 } else { 100_000 }] {
        sizes.push(Size { routes, ..BASE });
    }
    for connections in [1, 1_000, if quick { 1_500 } else { 15_000 }] {
        sizes.push(Size {
            connections,
            ..BASE
        });
    }
    sizes.push(Size { workers: 2, ..BASE });
    sizes
}

/// What one load has shown; CPU time of a request in microseconds.
struct Measured {
    cpu: f64,
    resident: f64,
    harvest: Harvest,
}

fn measure(contestant: &Contestant, site: &Site, size: Size, seconds: u32) -> Outcome<Measured> {
    let configuration = size.configuration(site.backends[0]);
    let cpus = [PROXY_CPU, LOAD_CPU];
    let cpus = if size.workers == 1 { &cpus[..1] } else { &cpus };
    let proxy = Proxy::start_with(contestant, site, &configuration, cpus)?;
    let (path, script) = size.request();
    let load = Load::Wrk {
        connections: size.connections,
        url: format!("http://{}{path}", proxy.plain),
        script,
    };
    // Every backend gets a connection, and every worker settles; a crowd of clients takes time to arrive.
    let arrival = size.connections / 1_500;
    let warm = load.run(proxy.folder.path(), 2 + arrival)?;
    let meter = Meter::start(&proxy);
    let mut harvest = load.run(proxy.folder.path(), seconds + arrival)?;
    if harvest.requests == 0 {
        return Err(format!("{}: no request was answered", size.name()).into());
    }
    let (cpu, _) = meter.stop(&proxy, harvest.requests);
    harvest.failed += warm.failed;
    if harvest.failed > 0 {
        eprintln!("{}: {} {}", size.name(), harvest.failures, warm.failures);
    }
    Ok(Measured {
        cpu: cpu.sum() * 1e6,
        resident: accounts::resident(proxy.running.id()) / 1e6,
        harvest,
    })
}

/// What a throng does, of how many.
struct Throng {
    about: &'static str,
    count: u64,
    asking: u64,
    seconds: u32,
}

/// What becomes of 15,000 clients, by kind, as Markdown; each time of a fresh process, so that its memory is theirs.
fn throngs(contestant: &Contestant, site: &Site, options: &Options) -> Outcome<String> {
    let count = if options.quick { 1_500 } else { 15_000 };
    let mut text = format!(
        "\n## {count} clients, {} open files\n\n{THRONGS}\n",
        process::open_files()
    );
    text.push_str("| | answered with 200 | p50 ms | p99 ms | failed | by kind | memory before MB | after MB | its operator reads |\n");
    let _ = writeln!(text, "|---|{}---|---:|---:|---|", "---:|".repeat(4));
    let seconds = options.seconds();
    for throng in [
        Throng {
            about: "all come at once, each asks once",
            count,
            asking: count,
            seconds: 0,
        },
        Throng {
            about: "all stay, 64 of them go on asking",
            count,
            asking: 64,
            seconds,
        },
        Throng {
            about: "all stay and go on asking",
            count,
            asking: count,
            seconds,
        },
    ] {
        let row = throng.row(contestant, site)?;
        eprintln!("{row}");
        let _ = writeln!(text, "{row}");
    }
    Ok(text)
}

impl Throng {
    fn row(&self, contestant: &Contestant, site: &Site) -> Outcome<String> {
        let configuration = BASE.configuration(site.backends[0]);
        let proxy = Proxy::start_with(contestant, site, &configuration, &[PROXY_CPU])?;
        let before = accounts::resident(proxy.running.id()) / 1e6;
        let load = Load::Ours {
            name: "throng",
            arguments: vec![
                proxy.plain.to_string(),
                self.count.to_string(),
                self.asking.to_string(),
                self.seconds.to_string(),
            ],
        };
        let harvest = load.run(proxy.folder.path(), self.seconds)?;
        let after = accounts::resident(proxy.running.id()) / 1e6;
        let at = |at: usize| figure(harvest.latency.map(|latency| latency[at] / 1e3), 1);
        Ok(format!(
            "| {} | {} | {} | {} | {} | {} | {before:.1} | {after:.1} | {} |",
            self.about,
            harvest.requests,
            at(0),
            at(1),
            harvest.failed,
            harvest.failures,
            logged(&proxy)
        ))
    }
}

/// Which causes a proxy's access log tells, and how often.
fn logged(proxy: &Proxy) -> String {
    let log = fs::read_to_string(proxy.folder.path().join("access.log")).unwrap_or_default();
    let mut causes: BTreeMap<String, u64> = BTreeMap::new();
    for line in log.lines() {
        let Ok(record) = serde_json::from_str::<serde_json::Value>(line) else {
            continue;
        };
        if let Some(cause) = record.get("forecourt.error").and_then(|one| one.as_str()) {
            *causes.entry(cause.to_owned()).or_default() += 1;
        }
    }
    let words: Vec<String> = causes
        .iter()
        .map(|(cause, count)| format!("{cause} {count}"))
        .collect();
    words.join(", ")
}

impl Size {
    fn name(&self) -> String {
        let Self {
            strategy,
            backends,
            routes,
            connections,
            workers,
        } = self;
        format!(
            "{strategy}, {backends} backends, {routes} routes, {connections} connections, {workers} workers"
        )
    }

    /// The name of the one thing that is not as in the base.
    fn difference(&self) -> String {
        if self.workers != BASE.workers {
            format!("{} workers", self.workers)
        } else if self.connections != BASE.connections {
            format!("{} clients", self.connections)
        } else if self.routes != BASE.routes {
            format!("{} routes", self.routes)
        } else {
            format!("{} {}", self.strategy, self.backends)
        }
    }

    /// Backends are addresses of 127.0.0.0/8 on one socket; of routes the last one is asked for.
    fn configuration(&self, port: u16) -> String {
        let mut text = format!(
            "[server]\nworkers = {}\n[admin]\naddress = \"unix:@DIR@/admin.sock\"\n[log.access]\npath = \"@FORECOURT_LOG@\"\n[listeners.plain]\naddress = \"127.0.0.1:@PORT@\"\n",
            self.workers
        );
        text.push_str("[[routes]]\npool = \"shop\"\n");
        for route in 1..self.routes {
            let _ = write!(
                text,
                "[[routes]]\nname = \"r{route}\"\nhosts = [\"h{}.example\"]\npath_prefix = \"/p{route}\"\npool = \"shop\"\n",
                route % 100
            );
        }
        let _ = write!(
            text,
            "[pools.shop]\nstrategy = \"{}\"\nbackends = [\n",
            self.strategy
        );
        for backend in 0..self.backends {
            let address = Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + backend);
            let weight = if self.strategy == "weighted" {
                1 + backend % 3
            } else {
                1
            };
            let _ = writeln!(
                text,
                "  {{ address = \"{address}:{port}\", weight = {weight} }},"
            );
        }
        text.push_str("]\n");
        text
    }

    /// The path, and the script that names the host.
    fn request(&self) -> (String, String) {
        if self.routes == 1 {
            return ("/1k".to_owned(), String::new());
        }
        let last = self.routes - 1;
        (
            format!("/p{last}/1k"),
            format!("wrk.headers['Host'] = 'h{}.example'", last % 100),
        )
    }
}

impl Row {
    fn new(size: Size) -> Self {
        Self {
            size,
            cpu: Vec::new(),
            relative: Vec::new(),
            rate: Vec::new(),
            p99: Vec::new(),
            resident: Vec::new(),
            failed: 0,
        }
    }

    fn add(&mut self, one: &Measured, base: f64) {
        self.cpu.push(one.cpu);
        self.relative.push(one.cpu / base);
        self.rate.push(one.harvest.rate());
        self.p99
            .extend(one.harvest.latency.map(|latency| latency[1] / 1e3));
        self.resident.push(one.resident);
        self.failed += one.harvest.failed;
    }
}

fn table(head: &str, rows: &[Row]) -> String {
    let mut text = format!("# What grows with size\n\n{head}\n\n{INTRODUCTION}\n");
    text.push_str("| strategy | backends | routes | connections | workers | CPU µs | to the first line | requests/s | p99 ms | resident MB | failed |\n");
    let _ = writeln!(text, "|---|{}", "---:|".repeat(10));
    for row in rows {
        let Size {
            strategy,
            backends,
            routes,
            connections,
            workers,
        } = row.size;
        let _ = writeln!(
            text,
            "| {strategy} | {backends} | {routes} | {connections} | {workers} | {} | {} | {} | {} | {} | {} |",
            figure(median(row.cpu.clone()), 2),
            figure(median(row.relative.clone()), 2),
            figure(median(row.rate.clone()), 0),
            figure(median(row.p99.clone()), 2),
            figure(median(row.resident.clone()), 1),
            row.failed
        );
    }
    text
}

fn bars(rows: &[Row]) -> Vec<Group> {
    rows.iter()
        .filter_map(|row| {
            let bar = Bar::of("forecourt".to_owned(), &row.relative)?;
            Some(Group {
                name: row.size.difference(),
                bars: vec![bar],
            })
        })
        .collect()
}

const THRONGS: &str = "\
All connect at the same moment, and each asks for 1 KiB as soon as its connection stands. *By kind*: `connect` is a connection
that did not come about, a number a status with the word of `forecourt-error`, `answer` how a connection ended before its answer
was whole, `timeout` five seconds. Times are those of requests answered with 200, in the burst from the request on. What fails
here does not make the command fail. One run each.
";

const INTRODUCTION: &str = "\
1 KiB answers on keep-alive connections, access log, metrics and limits on; one worker on CPU 0, two on both CPUs, which
they share with the load generator. Backends are addresses on one socket. At most a fifth of the limit of open files
are idle connections to backends: with more backends than that, round robin finds no idle connection at most of them, and
what a request costs there is a new connection to its backend.
";
