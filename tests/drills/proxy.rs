//! The proxies: how each is set up, started, steered and ended, by its own means.
//!
//! Their settings are in `conf/`: as far as each of them can, the same checks, timeouts and attempts, and what is
//! safe is sent again. What one of them has no means for is an error that the table shows.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_getaffinity};
use socket2::Socket;
use tempfile::TempDir;

use crate::Outcome;
use crate::accounts::family;
use crate::backend::bound;
use crate::process::{Running, on};
use crate::vitals::Vitals;
use crate::wait::{DEADLINE, wait_until};

/// Who is put through the drills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Forecourt,
    Nginx,
    Haproxy,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Forecourt => "forecourt",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
        }
    }

    /// Its program; none if it is not installed. Forecourt is the one built beside this, unless `FORECOURT_BINARY` names another.
    pub(crate) fn program(self) -> Option<PathBuf> {
        if self == Self::Forecourt {
            let other = std::env::var_os("FORECOURT_BINARY");
            return Some(other.map_or_else(|| env!("CARGO_BIN_EXE_forecourt").into(), Into::into));
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .chain(["/usr/sbin".into()])
            .map(|folder| folder.join(self.name()))
            .find(|file| file.is_file())
    }

    fn configuration(self) -> &'static str {
        match self {
            Self::Forecourt => include_str!("conf/forecourt.toml"),
            Self::Nginx => include_str!("conf/nginx.conf"),
            Self::Haproxy => include_str!("conf/haproxy.cfg"),
        }
    }

    /// At each backend so many requests at once; those above wait half a second, where there is a queue.
    fn limits(self, places: u32) -> String {
        match self {
            Self::Forecourt => format!(
                "[pools.shop.limits]\nper_backend = {places}\nqueue = 200\nqueue_timeout = \"500ms\"\n"
            ),
            Self::Nginx => format!("max_conns={places}"),
            Self::Haproxy => format!("maxconn {places}"),
        }
    }
}

/// What only some drills want.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Setup {
    /// Places at each backend, where there is a limit.
    pub(crate) places: Option<u32>,
    /// Whether nginx goes into the background: only then does it replace its program.
    pub(crate) daemon: bool,
    /// How often forecourt checks a backend; each second if this says nothing.
    pub(crate) checks: Option<&'static str>,
    /// Whether forecourt writes no access log: more requests than a disk can take.
    pub(crate) silent: bool,
}

/// A proxy that runs.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) kind: Kind,
    pub(crate) address: SocketAddr,
    backends: Vec<SocketAddr>,
    limits: String,
    setup: Setup,
    /// The backend that nginx's file says is down.
    down: Option<usize>,
    generation: u64,
    running: Running,
    folder: TempDir,
    /// Bound and never listening, so that its port is nobody else's.
    _holder: Socket,
}

impl Proxy {
    /// Starts it before these backends and waits until it serves.
    pub(crate) fn start(kind: Kind, backends: &[SocketAddr], setup: Setup) -> Outcome<Self> {
        let program = kind.program().ok_or("it is not installed")?;
        let folder = tempfile::Builder::new().prefix("drill-").tempdir()?;
        // nginx's workers are another user.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        fs::write(folder.path().join("state"), "")?;
        let link = folder.path().join(kind.name());
        symlink(program, &link)?;
        let mut command = on(&own_cpus()?, &link)?;
        let file = folder.path().join("configuration");
        match kind {
            Kind::Forecourt => command.args(["run", "--config"]).arg(&file),
            Kind::Nginx => command.arg("-p").arg(folder.path()).arg("-c").arg(&file),
            Kind::Haproxy => command.args(["-W", "-db", "-f"]).arg(&file),
        };
        let said = fs::File::create(folder.path().join("said"))?;
        command
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said);
        let holder = bound(0)?;
        let address = holder.local_addr()?.as_socket();
        let address = address.ok_or("a TCP socket has an address")?;
        let limits = setup.places.map(|places| kind.limits(places));
        let limits = limits.unwrap_or_default();
        let text = Settings {
            kind,
            address,
            backends,
            limits: &limits,
            setup,
            down: None,
            generation: 1,
            folder: folder.path(),
        };
        fs::write(&file, text.fill())?;
        let running = Running::start(&mut command)?;
        let mut proxy = Self {
            kind,
            address,
            backends: backends.to_vec(),
            limits,
            setup,
            down: None,
            generation: 1,
            running,
            folder,
            _holder: holder,
        };
        wait_until(DEADLINE, &format!("{} to serve", kind.name()), || {
            // A daemon is another process than the one that was started.
            assert!(setup.daemon || !proxy.running.has_ended(), "it has ended");
            proxy.serves(1)
        });
        Ok(proxy)
    }

    /// What it has printed.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("said")).unwrap_or_default()
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("configuration")
    }

    /// Whether a new connection is served by the configuration of this number.
    fn serves(&self, generation: u64) -> bool {
        let wanted = format!("x-generation: {generation}\r\n");
        ask(self.address, "/").is_ok_and(|answer| answer.contains(&wanted))
    }

    /// Writes the next configuration, in one step for whoever reads it.
    fn rewrite(&mut self) -> Outcome<()> {
        self.generation += 1;
        let text = Settings {
            kind: self.kind,
            address: self.address,
            backends: &self.backends,
            limits: &self.limits,
            setup: self.setup,
            down: self.down,
            generation: self.generation,
            folder: self.folder.path(),
        };
        let beside = self.folder.path().join("next");
        fs::write(&beside, text.fill())?;
        fs::rename(beside, self.file())?;
        if self.kind == Kind::Haproxy {
            // Else a reload would take all backends for well.
            let state = self.haproxy("show servers state")?;
            fs::write(self.folder.path().join("state"), state)?;
        }
        Ok(())
    }

    /// Has it take another configuration, and waits until it serves by that.
    pub(crate) fn reload(&mut self) -> Outcome<()> {
        self.rewrite()?;
        self.signal(match self.kind {
            Kind::Forecourt | Kind::Nginx => Signal::HUP,
            Kind::Haproxy => Signal::USR2,
        })?;
        self.wait_for_generation();
        if self.kind == Kind::Haproxy {
            // While it hands over, its master takes no further signal.
            self.settle()?;
        }
        Ok(())
    }

    fn wait_for_generation(&self) {
        wait_until(DEADLINE, "the new configuration", || {
            self.serves(self.generation)
        });
    }

    /// The process that takes signals.
    fn main(&self) -> Outcome<Pid> {
        let number = match self.kind {
            Kind::Nginx => fs::read_to_string(self.folder.path().join("nginx.pid"))?
                .trim()
                .parse()?,
            Kind::Haproxy => self.running.id(),
            Kind::Forecourt => *self.processes().last().ok_or("it does not run")?,
        };
        pid(number).ok_or_else(|| "it has no number".into())
    }

    fn signal(&self, signal: Signal) -> Outcome<()> {
        Ok(kill_process(self.main()?, signal)?)
    }

    /// Its processes that name its folder, oldest first.
    fn processes(&self) -> Vec<u32> {
        let folder = self.folder.path().as_os_str().as_encoded_bytes();
        let names_it = |id: &u32| {
            let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            line.windows(folder.len()).any(|some| some == folder)
        };
        let mut found: Vec<u32> = family(std::process::id())
            .into_iter()
            .filter(names_it)
            .collect();
        found.sort_by_key(|id| started(*id));
        found
    }

    /// Resident memory in KiB and open files, of all its processes together.
    pub(crate) fn vitals(&self) -> (u64, usize) {
        let mut all: Vec<u32> = self.processes().into_iter().flat_map(family).collect();
        all.sort_unstable();
        all.dedup();
        let vitals = all.into_iter().map(Vitals::of);
        vitals.fold((0, 0), |(memory, files), one| {
            (memory + one.resident() / 1024, files + one.open_files())
        })
    }

    /// CPU time that its threads whose names begin so have had.
    pub(crate) fn cpu_of(&self, thread: &str) -> Duration {
        let tasks = self.processes().into_iter().flat_map(|id| {
            let tasks = fs::read_dir(format!("/proc/{id}/task"));
            tasks.into_iter().flatten().flatten()
        });
        let of_name = tasks.map(|task| task.path()).filter(|path| {
            fs::read_to_string(path.join("comm")).is_ok_and(|name| name.starts_with(thread))
        });
        let nanoseconds = of_name.filter_map(|path| {
            let times = fs::read_to_string(path.join("schedstat")).ok()?;
            times.split(' ').next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(nanoseconds.sum())
    }

    /// Waits until what an earlier program or configuration has left running is gone.
    pub(crate) fn settle(&self) -> Outcome<()> {
        let main = self.main()?;
        wait_until(DEADLINE * 2, "the old processes' end", || {
            match self.kind {
                Kind::Forecourt => self.processes().len() == 1,
                // The master and two workers; the master and one.
                Kind::Nginx => family(number(main)).len() == 3,
                Kind::Haproxy => family(number(main)).len() == 2,
            }
        });
        Ok(())
    }

    /// Puts another program in its place, here the same one, and waits until that serves alone.
    pub(crate) fn upgrade(&mut self) -> Outcome<()> {
        self.rewrite()?;
        match self.kind {
            Kind::Forecourt => {
                self.signal(Signal::USR2)?;
                self.wait_for_generation();
            }
            // Its master executes its program anew on each reload.
            Kind::Haproxy => {
                self.signal(Signal::USR2)?;
                self.wait_for_generation();
            }
            Kind::Nginx => {
                let old = self.main()?;
                self.signal(Signal::USR2)?;
                wait_until(DEADLINE, "the new master's workers", || {
                    self.main()
                        .is_ok_and(|new| new != old && family(number(new)).len() == 3)
                });
                kill_process(old, Signal::WINCH)?;
                self.wait_for_generation();
                kill_process(old, Signal::QUIT)?;
                wait_until(DEADLINE * 2, "the old master's end", || {
                    !self.processes().contains(&number(old))
                });
            }
        }
        self.settle()
    }

    /// The same with a program that cannot start: it goes on as it is.
    pub(crate) fn upgrade_to_nothing(&mut self) -> Outcome<()> {
        let link = self.folder.path().join(self.kind.name());
        let program = fs::read_link(&link)?;
        let broken = self.folder.path().join("broken");
        fs::write(&broken, "#!/bin/sh\necho cannot start >&2\nexit 7\n")?;
        fs::set_permissions(&broken, fs::Permissions::from_mode(0o755))?;
        turn(&link, &broken)?;
        let main = self.main()?;
        match self.kind {
            Kind::Forecourt => {
                let failed = "forecourt_upgrades_total{result=\"failed\"}";
                let before = self.metric(failed)?;
                self.signal(Signal::USR2)?;
                wait_until(DEADLINE, "the failure", || {
                    self.metric(failed).is_ok_and(|now| now > before)
                });
            }
            Kind::Nginx => {
                let old = self.folder.path().join("nginx.pid.oldbin");
                self.signal(Signal::USR2)?;
                let seen = || self.said().contains("cannot start");
                wait_until(DEADLINE, "the failure", || seen() && !old.exists());
            }
            Kind::Haproxy => {
                return Err("its master becomes the new program, and nothing would be left".into());
            }
        }
        turn(&link, &program)?;
        if self.main()? != main {
            return Err("another process serves".into());
        }
        Ok(())
    }

    /// Takes a backend out and waits until nothing is under way there.
    pub(crate) fn drain(&mut self, backend: usize) -> Outcome<()> {
        match self.kind {
            Kind::Forecourt => self.steer(&["drain"], backend, &["--deadline", "1s", "--wait"]),
            Kind::Nginx => {
                self.down = Some(backend);
                self.reload()?;
                self.settle()
            }
            Kind::Haproxy => {
                let server = format!("shop/b{}", backend + 1);
                self.haproxy(&format!("set server {server} state drain"))?;
                let is_empty = || self.haproxy_current(backend).is_ok_and(|now| now == 0);
                let patience = std::time::Instant::now() + Duration::from_secs(1);
                while !is_empty() && std::time::Instant::now() < patience {
                    std::thread::park_timeout(Duration::from_millis(20));
                }
                // What does not end by itself.
                self.haproxy(&format!("shutdown sessions server {server}"))?;
                wait_until(DEADLINE, "the backend to be empty", is_empty);
                Ok(())
            }
        }
    }

    /// Lets a backend in again.
    pub(crate) fn ready(&mut self, backend: usize) -> Outcome<()> {
        match self.kind {
            Kind::Forecourt => self.steer(&["ready"], backend, &[]),
            Kind::Nginx => {
                self.down = None;
                self.reload()
            }
            Kind::Haproxy => {
                self.haproxy(&format!("set server shop/b{} state ready", backend + 1))?;
                Ok(())
            }
        }
    }

    /// `forecourt backend` as an operator types it.
    fn steer(&self, before: &[&str], backend: usize, behind: &[&str]) -> Outcome<()> {
        let program = self.kind.program().ok_or("it is not installed")?;
        let output = Command::new(program)
            .arg("backend")
            .args(before)
            .args(["shop", &self.backends[backend].to_string()])
            .args(behind)
            .args(["--admin", &format!("unix:{}", self.admin().display())])
            .stdin(Stdio::null())
            .output()?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(format!("{before:?}: {said}").into())
    }

    fn admin(&self) -> PathBuf {
        self.folder.path().join("admin.sock")
    }

    /// The first of its backends.
    pub(crate) fn first(&self) -> SocketAddr {
        self.backends[0]
    }

    /// A whole answer of forecourt's admin API.
    pub(crate) fn look(&self, path: &str) -> Outcome<String> {
        Ok(String::from_utf8_lossy(&self.fetch(path)?).into_owned())
    }

    /// The same as it came.
    pub(crate) fn fetch(&self, path: &str) -> Outcome<Vec<u8>> {
        let stream = UnixStream::connect(self.admin())?;
        stream.set_read_timeout(Some(DEADLINE))?;
        fetch_on(stream, path)
    }

    /// One number of forecourt's metrics, by its name with labels; 0 if it is not there.
    pub(crate) fn metric(&self, name: &str) -> Outcome<f64> {
        let text = self.look("/metrics")?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.map_or(Ok(0.0), |value| value.trim().parse())?)
    }

    /// Whether a backend takes requests; none if this proxy does not say.
    pub(crate) fn takes(&self, backend: usize) -> Option<bool> {
        match self.kind {
            Kind::Forecourt => {
                let address = self.backends[backend];
                let path = format!("/v1/pools/shop/backends/{address}");
                let answer = self.look(&path).ok()?;
                let (_, body) = answer.split_once("\r\n\r\n")?;
                let status: serde_json::Value = serde_json::from_str(body).ok()?;
                Some(status.get("standing")?.as_str()? == "ready")
            }
            Kind::Haproxy => {
                let state = self.haproxy_field(backend, 17).ok()?;
                Some(state.starts_with("UP"))
            }
            Kind::Nginx => None,
        }
    }

    /// A command of HAProxy's runtime socket, and what it answers.
    fn haproxy(&self, command: &str) -> Outcome<String> {
        let mut stream = UnixStream::connect(self.folder.path().join("haproxy.sock"))?;
        stream.set_read_timeout(Some(DEADLINE))?;
        writeln!(stream, "{command}")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// A column of a server's line in HAProxy's `show stat`.
    fn haproxy_field(&self, backend: usize, column: usize) -> Outcome<String> {
        let stats = self.haproxy("show stat")?;
        let start = format!("shop,b{},", backend + 1);
        let line = stats.lines().find(|line| line.starts_with(&start));
        let field = line.and_then(|line| line.split(',').nth(column));
        Ok(field.ok_or("a line of this server")?.to_owned())
    }

    fn haproxy_current(&self, backend: usize) -> Outcome<u64> {
        Ok(self.haproxy_field(backend, 4)?.parse()?)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- {} said ---\n{}---", self.kind.name(), self.said());
        }
        // After an upgrade it is no longer the process that was started.
        let all: Vec<u32> = self.processes().into_iter().flat_map(family).collect();
        for id in all.into_iter().filter_map(pid) {
            let _ = kill_process(id, Signal::KILL);
        }
    }
}

/// What a configuration is filled in with.
struct Settings<'a> {
    kind: Kind,
    address: SocketAddr,
    backends: &'a [SocketAddr],
    limits: &'a str,
    setup: Setup,
    down: Option<usize>,
    generation: u64,
    folder: &'a Path,
}

impl Settings<'_> {
    fn fill(&self) -> String {
        let mut text = self
            .kind
            .configuration()
            .replace(
                "@LOG@",
                if self.setup.silent {
                    "off"
                } else {
                    "@DIR@/access.log"
                },
            )
            .replace("@DIR@", &self.folder.display().to_string())
            .replace("@PORT@", &self.address.port().to_string())
            .replace("@GENERATION@", &self.generation.to_string())
            .replace("@DAEMON@", if self.setup.daemon { "on" } else { "off" })
            .replace("@CHECKS@", self.setup.checks.unwrap_or("1s"))
            .replace("@LIMITS@", self.limits);
        if self.kind == Kind::Forecourt {
            let backends = self.backends.iter();
            let lines = backends.map(|address| format!("  {{ address = \"{address}\" }},"));
            return text.replace("@BACKENDS@", &lines.collect::<Vec<_>>().join("\n"));
        }
        for (at, address) in self.backends.iter().enumerate() {
            let down = if self.down == Some(at) { "down" } else { "" };
            text = text
                .replace(&format!("@B{}@", at + 1), &address.to_string())
                .replace(&format!("@DOWN{}@", at + 1), down);
        }
        text
    }
}

/// All CPUs that this process may use, for proxies have them all.
pub(crate) fn own_cpus() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    let all = 0..CpuSet::MAX_CPU;
    Ok(all.filter(|cpu| set.is_set(*cpu)).collect())
}

/// Leads a link elsewhere, in one step.
fn turn(link: &Path, program: &Path) -> Outcome<()> {
    let beside = link.with_extension("next");
    symlink(program, &beside)?;
    Ok(fs::rename(beside, link)?)
}

/// A whole answer on a connection of its own.
fn ask(address: SocketAddr, path: &str) -> Outcome<String> {
    let stream = TcpStream::connect_timeout(&address, DEADLINE)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    Ok(String::from_utf8_lossy(&fetch_on(stream, path)?).into_owned())
}

fn fetch_on(mut stream: impl io::Read + io::Write, path: &str) -> Outcome<Vec<u8>> {
    let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// A process by its number.
pub(crate) fn pid(number: u32) -> Option<Pid> {
    i32::try_from(number).ok().and_then(Pid::from_raw)
}

fn number(pid: Pid) -> u32 {
    pid.as_raw_pid().unsigned_abs()
}

/// When a process was started, in ticks since the machine was.
fn started(id: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let field = fields.split_whitespace().nth(19);
    field.and_then(|field| field.parse().ok()).unwrap_or(0)
}
