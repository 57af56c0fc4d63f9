//! One scenario against one proxy: the load, and what the kernel says it has cost.

use std::io::Read as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::Outcome;
use crate::accounts::{self, CpuTime};
use crate::journal::Journal;
use crate::load::{Harvest, Load};
use crate::machine;
use crate::process::{LOAD_CPU, PROXY_CPU, Running, is_installed, on};
use crate::proxy::{Contestant, Proxy, Site};
use crate::scenarios::{Scenario, Work, asked_rate};

/// What one scenario has shown of one proxy in one round.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) proxy: String,
    pub(crate) scenario: String,
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
    /// Requests a second that were due, if the load has a rate.
    pub(crate) asked: Option<f64>,
    /// Connections of sleepers that were closed between requests.
    pub(crate) closed: Option<u64>,
    /// Lines of the access log that forecourt gave up meanwhile.
    pub(crate) lost: Option<u64>,
}

impl Sample {
    /// Whether less was served than was due: the figures are then those of another load.
    pub(crate) fn falls_short(&self) -> bool {
        self.asked
            .is_some_and(|asked| self.harvest.rate() < 0.97 * asked)
    }
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

/// One contestant's round: all scenarios in turn that the journal does not know yet, to the end even if one of them
/// cannot be measured; what went wrong.
pub(crate) fn round(
    contestant: &Contestant,
    site: &Site,
    scenarios: &[&'static Scenario],
    plan: Plan,
    journal: &mut Journal,
) -> Vec<String> {
    let due: Vec<&'static Scenario> = scenarios
        .iter()
        .copied()
        .filter(|one| contestant.takes_part(one) && contestant.says_something_in(one))
        .filter(|one| {
            journal
                .find(&contestant.name, one.name, plan.round)
                .is_none()
        })
        .collect();
    let mut wrong = Vec::new();
    let mut stage = None;
    for scenario in due {
        let measured = Measured {
            contestant,
            site,
            scenario,
            plan,
        };
        let peak = journal
            .find(&contestant.name, "ka1k", plan.round)
            .map(|sample| sample.harvest.rate());
        // Once more with a fresh process if anything at all went wrong.
        let result = measured.on(&mut stage, peak).or_else(|error| {
            eprintln!("{} {}: {error}; once more", contestant.name, scenario.name);
            stage = None;
            measured.on(&mut stage, peak)
        });
        match result.and_then(|sample| {
            report_progress(&sample);
            journal.add(sample)
        }) {
            Ok(()) => {}
            Err(error) => {
                stage = None;
                let error = format!(
                    "round {} {} {}: {error}",
                    plan.round + 1,
                    contestant.name,
                    scenario.name
                );
                eprintln!("{error}");
                wrong.push(error);
            }
        }
    }
    wrong
}

/// A proxy that runs, and who sleeps there.
struct Stage {
    sleepers: Option<Sleepers>,
    proxy: Proxy,
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
    /// On the stage that there is, or on one that fits.
    fn on(&self, stage: &mut Option<Stage>, peak: Option<f64>) -> Outcome<Sample> {
        // A fresh process keeps no memory of earlier loads, and has no sleepers that are not wanted.
        let fits = stage.as_ref().is_some_and(|stage| {
            !matches!(self.scenario.work, Work::Idle | Work::IdleTls)
                && stage.sleepers.is_some() == self.scenario.sleepers
        });
        if !fits {
            *stage = None;
            *stage = Some(self.prepare()?);
        }
        let stage = stage.as_mut().ok_or("there is no proxy")?;
        self.quietly(&stage.proxy, stage.sleepers.as_mut(), peak)
    }

    fn prepare(&self) -> Outcome<Stage> {
        let proxy = Proxy::start(self.contestant, self.site)?;
        // Caches, pools and the governor of clocks settle; where memory is measured, nothing is kept of it.
        if !matches!(self.scenario.work, Work::Idle | Work::IdleTls)
            && let Some(load) = Work::Get("/1k").load(&proxy, 64, None)
        {
            load.run(proxy.folder.path(), 1)?;
        }
        let sleepers = if self.scenario.sleepers {
            Some(Sleepers::come(&proxy, self.plan.crowd)?)
        } else {
            None
        };
        Ok(Stage { sleepers, proxy })
    }

    /// Once more if others were busy; failures of a run that is not kept are kept.
    fn quietly(
        &self,
        proxy: &Proxy,
        mut sleepers: Option<&mut Sleepers>,
        peak: Option<f64>,
    ) -> Outcome<Sample> {
        if !self.plan.wants_silence {
            return self.once(proxy, sleepers, peak);
        }
        machine::wait_for_silence();
        let mut sample = self.once(proxy, sleepers.as_deref_mut(), peak)?;
        if sample.foreign > MOST_FOREIGN || sample.falls_short() {
            machine::wait_for_silence();
            let mut again = self.once(proxy, sleepers, peak)?;
            let failed = sample.harvest.failed + again.harvest.failed;
            let is_better = if sample.falls_short() {
                again.harvest.requests > sample.harvest.requests
            } else {
                again.foreign < sample.foreign && !again.falls_short()
            };
            if is_better {
                if again.harvest.failures.is_empty() {
                    again.harvest.failures = std::mem::take(&mut sample.harvest.failures);
                }
                sample = again;
            }
            sample.harvest.failed = failed;
        }
        Ok(sample)
    }

    fn once(
        &self,
        proxy: &Proxy,
        mut sleepers: Option<&mut Sleepers>,
        peak: Option<f64>,
    ) -> Outcome<Sample> {
        let before = accounts::resident(proxy.running.id());
        let _crowd = self.crowd(proxy)?;
        let each = _crowd.as_ref().map(|crowd| {
            (accounts::resident(proxy.running.id()) - before) / crowd.joined.max(1) as f64
        });
        let work = self.scenario.work;
        let load = work.load(proxy, self.scenario.connections, peak);
        // What failed since the load before is told, too.
        let earlier = sleepers.as_deref_mut().map(Sleepers::tell).transpose()?;
        let lost_before = proxy.lost_lines();
        let meter = Meter::start(proxy);
        let mut harvest = match &load {
            Some(load) => self.harvest(proxy, load)?,
            None if work == Work::Rate => {
                return Err("it needs ka1k before it".into());
            }
            None => Harvest::default(),
        };
        if load.is_some() && harvest.requests == 0 {
            return Err(format!("no request was answered; {}", proxy.said()).into());
        }
        let told = sleepers.map(Sleepers::tell).transpose()?;
        let served = harvest.requests + told.as_ref().map_or(0, |told| told.answered);
        let (cpu, foreign) = meter.stop(proxy, served);
        for told in earlier.iter().chain(&told) {
            told.add_to(&mut harvest);
        }
        if let Some(crowd) = &_crowd
            && crowd.refused > 0
        {
            harvest.failed += crowd.refused;
            harvest.failures = format!("{} of the crowd", crowd.refused);
        }
        let calls = match &load {
            Some(load) if self.plan.count_calls && !self.scenario.reloads => calls(proxy, load)?,
            _ => None,
        };
        Ok(Sample {
            proxy: self.contestant.name.clone(),
            scenario: self.scenario.name.to_owned(),
            round: self.plan.round,
            harvest,
            cpu,
            foreign,
            resident: accounts::resident(proxy.running.id()),
            each,
            calls,
            asked: peak.map(asked_rate).filter(|_| work == Work::Rate),
            closed: told.map(|told| told.closed),
            lost: proxy
                .lost_lines()
                .zip(lost_before)
                .map(|(after, before)| after.saturating_sub(before)),
        })
    }

    /// The crowd of a scenario that has one.
    fn crowd(&self, proxy: &Proxy) -> Outcome<Option<Crowd>> {
        match self.scenario.work {
            Work::Idle => self.gather(proxy.plain, None).map(Some),
            Work::IdleTls => self.gather(proxy.secure, Some("cert.pem")).map(Some),
            _ => Ok(None),
        }
    }

    fn harvest(&self, proxy: &Proxy, load: &Load) -> Outcome<Harvest> {
        let seconds = self.plan.seconds;
        if !self.scenario.reloads {
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

/// Clients that seldom ask, until it is dropped.
struct Sleepers {
    running: Running,
    /// Who did not come, until it is told.
    refused: u64,
}

/// What has become of sleepers' requests and connections since they were asked last.
struct Told {
    answered: u64,
    closed: u64,
    failed: u64,
    failure: String,
}

impl Told {
    /// Their failures are those of the load beside them.
    fn add_to(&self, harvest: &mut Harvest) {
        if self.failed == 0 {
            return;
        }
        harvest.failed += self.failed;
        let words = format!("sleepers {}: {}", self.failed, self.failure);
        harvest.failures = if harvest.failures.is_empty() {
            words
        } else {
            format!("{}, {words}", harvest.failures)
        };
    }
}

impl Sleepers {
    fn come(proxy: &Proxy, count: u64) -> Outcome<Self> {
        let mut command = on(&[LOAD_CPU], std::env::current_exe()?)?;
        command.args(["sleepers", &proxy.plain.to_string(), &count.to_string()]);
        let mut running = Running::start_heard(command.stdin(Stdio::piped()))?;
        let line = running.line()?;
        let mut counts = line.split_whitespace().map(str::parse::<u64>);
        let (Some(Ok(joined)), Some(Ok(refused))) = (counts.next(), counts.next()) else {
            return Err("the sleepers did not come".into());
        };
        if joined == 0 {
            return Err(format!("none of {refused} sleepers was served; {}", proxy.said()).into());
        }
        Ok(Self { running, refused })
    }

    fn tell(&mut self) -> Outcome<Told> {
        self.running.say("\n")?;
        let line = self.running.line()?;
        let words: Vec<&str> = line.trim_end_matches('\n').splitn(4, ' ').collect();
        let [answered, closed, failed, failure] = words[..] else {
            return Err(format!("the sleepers said: {line}").into());
        };
        Ok(Told {
            answered: answered.parse()?,
            closed: closed.parse()?,
            failed: failed.parse::<u64>()? + std::mem::take(&mut self.refused),
            failure: failure.to_owned(),
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
