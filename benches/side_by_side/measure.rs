//! One scenario against one proxy: the load, and what the kernel says it has cost.

use std::io::Read as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::accounts::{self, CpuTime};
use crate::load::{Harvest, Load};
use crate::machine;
use crate::process::{LOAD_CPU, PROXY_CPU, Running, is_installed, on};
use crate::proxy::{Contestant, Proxy, Site};
use crate::scenarios::{Scenario, Work};

/// What one scenario has shown of one proxy in one round.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) proxy: String,
    pub(crate) scenario: &'static str,
    pub(crate) round: usize,
    pub(crate) harvest: Harvest,
    /// Of the proxy, each request's share, in seconds.
    pub(crate) cpu: CpuTime,
    /// The share of the proxy's CPU that went to others.
    pub(crate) foreign: f64,
    /// Bytes.
    pub(crate) resident: f64,
    /// Bytes for each idle connection.
    pub(crate) each: Option<f64>,
    /// System calls for each request.
    pub(crate) calls: Option<f64>,
}

/// How to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) round: usize,
    pub(crate) seconds: u32,
    /// How many connections the idle scenario holds open.
    pub(crate) crowd: u64,
    pub(crate) count_calls: bool,
    /// Whether to wait for silence; who only wants to know that all runs takes the machine as it is.
    pub(crate) wants_silence: bool,
}

/// One contestant's round: all scenarios in turn.
pub(crate) fn round(
    contestant: &Contestant,
    site: &Site,
    scenarios: &[&'static Scenario],
    plan: Plan,
) -> Outcome<Vec<Sample>> {
    let mut samples: Vec<Sample> = Vec::new();
    let mut proxy = Proxy::start(contestant, site)?;
    // Caches, pools and the governor of clocks settle.
    if let Some(load) = Work::Get("/1k").load(&proxy, 64, None) {
        load.run(proxy.folder.path(), 1)?;
    }
    for scenario in scenarios {
        if !contestant.takes_part(scenario) || !contestant.says_something_in(scenario) {
            continue;
        }
        if matches!(scenario.work, Work::Idle | Work::IdleTls) {
            // A fresh process, which keeps no memory of earlier loads.
            drop(proxy);
            proxy = Proxy::start(contestant, site)?;
        }
        let peak = samples
            .iter()
            .find(|sample| sample.scenario == "ka1k")
            .map(|sample| sample.harvest.rate());
        let measured = Measured {
            contestant,
            site,
            scenario,
            plan,
        };
        match measured.quietly(&proxy, peak) {
            Ok(sample) => {
                report_progress(&sample);
                samples.push(sample);
            }
            Err(error) => eprintln!("{} {}: {error}", contestant.name, scenario.name),
        }
    }
    Ok(samples)
}

fn report_progress(sample: &Sample) {
    let each = sample.each.map(|each| format!("  {each:.0} bytes each"));
    eprintln!(
        "round {} {:16} {:8} {:9.0}/s {:8.2} us{}{}",
        sample.round + 1,
        sample.proxy,
        sample.scenario,
        sample.harvest.rate(),
        sample.cpu.sum() * 1e6,
        each.unwrap_or_default(),
        if sample.harvest.failed > 0 {
            format!(
                "  FAILED {} ({})",
                sample.harvest.failed, sample.harvest.failures
            )
        } else {
            String::new()
        }
    );
}

/// More of the proxy's CPU than this went to others: the figure is not the proxy's alone.
const MOST_FOREIGN: f64 = 0.08;

struct Measured<'run> {
    contestant: &'run Contestant,
    site: &'run Site,
    scenario: &'static Scenario,
    plan: Plan,
}

impl Measured<'_> {
    /// Once more if others were busy; failures of a run that is not kept are kept.
    fn quietly(&self, proxy: &Proxy, peak: Option<f64>) -> Outcome<Sample> {
        if !self.plan.wants_silence {
            return self.once(proxy, peak);
        }
        machine::wait_for_silence();
        let mut sample = self.once(proxy, peak)?;
        if sample.foreign > MOST_FOREIGN {
            machine::wait_for_silence();
            let mut again = self.once(proxy, peak)?;
            let failed = sample.harvest.failed + again.harvest.failed;
            if again.foreign < sample.foreign {
                if again.harvest.failures.is_empty() {
                    again.harvest.failures = std::mem::take(&mut sample.harvest.failures);
                }
                sample = again;
            }
            sample.harvest.failed = failed;
        }
        Ok(sample)
    }

    fn once(&self, proxy: &Proxy, peak: Option<f64>) -> Outcome<Sample> {
        let before = accounts::resident(proxy.running.id());
        let _crowd = match self.scenario.work {
            Work::Idle => Some(self.gather(proxy.plain, None)?),
            Work::IdleTls => Some(self.gather(proxy.secure, Some("cert.pem"))?),
            _ => None,
        };
        let each = _crowd.as_ref().map(|crowd| {
            (accounts::resident(proxy.running.id()) - before) / crowd.joined.max(1) as f64
        });
        let load = self
            .scenario
            .work
            .load(proxy, self.scenario.connections, peak);
        let meter = Meter::start(proxy);
        let mut harvest = match &load {
            Some(load) => self.harvest(proxy, load)?,
            None if self.scenario.work == Work::Rate => {
                return Err("it needs ka1k before it".into());
            }
            None => Harvest::default(),
        };
        if load.is_some() && harvest.requests == 0 {
            return Err(format!("no request was answered; {}", proxy.said()).into());
        }
        let (cpu, foreign) = meter.stop(proxy, harvest.requests);
        if let Some(crowd) = &_crowd
            && crowd.refused > 0
        {
            harvest.failed += crowd.refused;
            harvest.failures = format!("{} of the crowd", crowd.refused);
        }
        let calls = match &load {
            Some(load) if self.plan.count_calls && self.scenario.work != Work::Reload => {
                calls(proxy, load)?
            }
            _ => None,
        };
        Ok(Sample {
            proxy: self.contestant.name.clone(),
            scenario: self.scenario.name,
            round: self.plan.round,
            harvest,
            cpu,
            foreign,
            resident: accounts::resident(proxy.running.id()),
            each,
            calls,
        })
    }

    fn harvest(&self, proxy: &Proxy, load: &Load) -> Outcome<Harvest> {
        let seconds = self.plan.seconds;
        if self.scenario.work != Work::Reload {
            return load.run(proxy.folder.path(), seconds);
        }
        let seconds = seconds.max(2) + 1;
        let loading = load.start(proxy.folder.path(), seconds)?;
        for _ in 1..seconds {
            thread::sleep(Duration::from_secs(1));
            proxy.reload()?;
        }
        loading.finish()
    }

    fn gather(&self, address: SocketAddr, certificate: Option<&str>) -> Outcome<Crowd> {
        let count = match certificate {
            // Handshakes take the crowd longer than the proxy.
            Some(_) => self.plan.crowd.min(2_000),
            None => self.plan.crowd,
        };
        let mut command = on(&[LOAD_CPU], std::env::current_exe()?)?;
        command.args(["crowd", &address.to_string(), &count.to_string()]);
        if let Some(file) = certificate {
            command.arg(self.site.folder.path().join(file));
        }
        let mut running = Running::start_heard(command.stdin(Stdio::piped()))?;
        let line = running.line()?;
        let mut counts = line.split_whitespace().map(str::parse);
        let (Some(Ok(joined)), Some(Ok(refused))) = (counts.next(), counts.next()) else {
            return Err("the crowd did not come".into());
        };
        // What the proxy does once more after the last answer, such as freeing buffers.
        thread::sleep(Duration::from_millis(300));
        Ok(Crowd {
            _running: running,
            joined,
            refused,
        })
    }
}

/// Idle connections, until it is dropped.
struct Crowd {
    _running: Running,
    joined: u64,
    refused: u64,
}

/// Counts a proxy's CPU time, and that of others on its CPU.
pub(crate) struct Meter {
    began: Instant,
    cpu: CpuTime,
    busy: f64,
}

impl Meter {
    pub(crate) fn start(proxy: &Proxy) -> Self {
        Self {
            began: Instant::now(),
            cpu: CpuTime::of(proxy.running.id()),
            busy: accounts::busy(PROXY_CPU),
        }
    }

    /// CPU time for each request, and the share of the time that went to others.
    pub(crate) fn stop(self, proxy: &Proxy, requests: u64) -> (CpuTime, f64) {
        let cpu = CpuTime::of(proxy.running.id()).since(self.cpu);
        let busy = accounts::busy(PROXY_CPU) - self.busy;
        let foreign = ((busy - cpu.sum()) / self.began.elapsed().as_secs_f64()).max(0.0);
        let requests = requests.max(1) as f64;
        let each = CpuTime {
            user: cpu.user / requests,
            system: cpu.system / requests,
        };
        (each, foreign)
    }
}

/// System calls for each request, counted by perf in the middle of another load, if perf can.
fn calls(proxy: &Proxy, load: &Load) -> Outcome<Option<f64>> {
    if !is_installed("perf") {
        return Ok(None);
    }
    let loading = load.start(proxy.folder.path(), 2)?;
    thread::sleep(Duration::from_millis(400));
    let processes: Vec<String> = accounts::family(proxy.running.id())
        .iter()
        .map(u32::to_string)
        .collect();
    let mut perf = Command::new("perf")
        .args(["stat", "-x,", "-e", "raw_syscalls:sys_enter", "-p"])
        .arg(processes.join(","))
        .args(["sleep", "1"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut text = String::new();
    if let Some(output) = &mut perf.stderr {
        output.read_to_string(&mut text)?;
    }
    perf.wait()?;
    let harvest = loading.finish()?;
    let count = text
        .lines()
        .find_map(|line| line.split(',').next()?.parse::<f64>().ok());
    Ok(count.map(|count| count / harvest.rate()))
}
