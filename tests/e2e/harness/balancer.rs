//! The program under test: started from a configuration, steered by signals, ended with the test.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::client::{Client, Response};
use super::origin::Origin;
use super::vitals::Vitals;
use super::wait::{DEADLINE, wait_for};

/// What the log says when a listener stands: `listening listener=NAME address=ADDRESS`.
const LISTENING: &str = "listening";

/// A running forecourt with a folder of its own.
#[derive(Debug)]
pub(crate) struct Balancer {
    child: Child,
    folder: TempDir,
    exited: Option<ExitStatus>,
}

/// Runs the program with these arguments until it ends, as a shell would.
pub(crate) fn program(arguments: &[&str]) -> Output {
    let output = command().args(arguments).stdin(Stdio::null()).output();
    output.expect("the program was built before its tests")
}

/// A pool of these origins, as TOML.
pub(crate) fn pool(name: &str, strategy: &str, origins: &[&Origin]) -> String {
    let backends = origins.iter().map(|origin| {
        let (address, id) = (origin.address(), origin.name());
        format!("{{ address = \"{address}\", id = \"{id}\" }}")
    });
    let backends: Vec<_> = backends.collect();
    let backends = backends.join(", ");
    format!("[pools.{name}]\nstrategy = \"{strategy}\"\nbackends = [{backends}]\n")
}

impl Balancer {
    /// Starts it before these origins: the listener `web`, the admin API, one route, the pool `shop` by round robin.
    #[track_caller]
    pub(crate) fn in_front_of(origins: &[&Origin]) -> Self {
        Self::start(&(Self::front("shop") + &pool("shop", "round-robin", origins)))
    }

    /// The listener `web`, the admin API and one route to the pool of that name, as TOML to add pools to.
    pub(crate) fn front(pool: &str) -> String {
        format!(
            "[admin]\naddress = \"127.0.0.1:0\"\n\n\
             [listeners.web]\naddress = \"127.0.0.1:0\"\n\n\
             [[routes]]\npath_prefix = \"/\"\npool = \"{pool}\"\n\n"
        )
    }

    /// Starts it with this configuration and waits until all its listeners stand.
    #[track_caller]
    pub(crate) fn start(configuration: &str) -> Self {
        Self::spawn(configuration).wait_for_listeners(configuration)
    }

    /// The same, with a limit of open files, soft and hard.
    #[track_caller]
    pub(crate) fn start_limited(configuration: &str, open_files: usize) -> Self {
        Self::spawn_by(limited(open_files), configuration).wait_for_listeners(configuration)
    }

    /// The same by this program, given as a path to be called by.
    #[track_caller]
    pub(crate) fn start_at(path: &Path, configuration: &str) -> Self {
        Self::start_by(with_environment(Command::new(path)), configuration)
    }

    /// The same by this command, to which arguments are added.
    #[track_caller]
    pub(crate) fn start_by(command: Command, configuration: &str) -> Self {
        Self::spawn_by(command, configuration).wait_for_listeners(configuration)
    }

    /// The same, with this as its standard input.
    #[track_caller]
    pub(crate) fn start_given(command: Command, stdin: OwnedFd, configuration: &str) -> Self {
        let command = with_environment(command);
        Self::spawn_given(command, stdin.into(), configuration).wait_for_listeners(configuration)
    }

    #[track_caller]
    fn wait_for_listeners(mut self, configuration: &str) -> Self {
        for name in listener_names(configuration) {
            self.wait_for_listener(&name);
        }
        self
    }

    /// Starts it with this configuration and waits for nothing.
    #[track_caller]
    pub(crate) fn spawn(configuration: &str) -> Self {
        Self::spawn_by(command(), configuration)
    }

    #[track_caller]
    fn spawn_by(command: Command, configuration: &str) -> Self {
        Self::spawn_given(command, Stdio::null(), configuration)
    }

    #[track_caller]
    fn spawn_given(mut command: Command, stdin: Stdio, configuration: &str) -> Self {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        fs::write(config_in(&folder), configuration).expect("a new folder can be written to");
        let log =
            |name| File::create(folder.path().join(name)).expect("a new folder can be written to");
        let child = command
            .arg("run")
            .arg("--config")
            .arg(config_in(&folder))
            // So that relative paths in a configuration stay within the test's folder, whoever resolves them.
            .current_dir(folder.path())
            .stdin(stdin)
            .stdout(log("stdout"))
            .stderr(log("stderr"))
            .spawn()
            .expect("the program was built before its tests");
        let exited = None;
        Self {
            child,
            folder,
            exited,
        }
    }

    /// The address of a listener that stands (`admin` for the admin API).
    #[track_caller]
    pub(crate) fn address(&self, listener: &str) -> SocketAddr {
        match self.addresses().get(listener) {
            Some(address) => *address,
            None => panic!("no listener {listener} in the log:\n{}", self.stderr()),
        }
    }

    /// Waits until a listener stands and gives its address; panics if the program ends before.
    #[track_caller]
    pub(crate) fn wait_for_listener(&mut self, listener: &str) -> SocketAddr {
        wait_for(DEADLINE, &format!("listener {listener}"), || {
            let address = self.addresses().get(listener).copied();
            if address.is_none()
                && let Some(status) = self.try_exit()
            {
                panic!(
                    "ended with {status} before listener {listener} stood:\n{}",
                    self.stderr()
                );
            }
            address
        })
    }

    /// A client of a listener.
    #[track_caller]
    pub(crate) fn client(&self, listener: &str) -> Client {
        let client = Client::of(self.address(listener));
        match listener {
            // It believes no other names.
            "admin" => client.asking_for("localhost"),
            _ => client,
        }
    }

    /// Gets a path from the admin API.
    #[track_caller]
    pub(crate) fn admin(&self, path: &str) -> Response {
        self.client("admin").get(path)
    }

    /// One number of the admin API's metrics, by its name with labels as `/metrics` writes them; 0 if it is not there.
    #[track_caller]
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.admin("/metrics").text();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| {
            value.trim().parse().expect("a metric's value is a number")
        })
    }

    /// The configuration's file.
    pub(crate) fn config_file(&self) -> PathBuf {
        config_in(&self.folder)
    }

    /// The folder of the configuration's file.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes another configuration, in one step for whoever reads it; nothing reloads it yet.
    pub(crate) fn rewrite(&self, configuration: &str) {
        let beside = self.folder.path().join("next.toml");
        fs::write(&beside, configuration).expect("the test's folder can be written to");
        fs::rename(beside, self.config_file()).expect("a file can be renamed within its folder");
    }

    /// Writes another configuration and asks for a reload by SIGHUP.
    pub(crate) fn reload(&self, configuration: &str) {
        self.rewrite(configuration);
        self.signal(Signal::HUP);
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal)
            .expect("a child that was not waited for is there");
    }

    /// The processes that have taken over from the first one, in turn.
    pub(crate) fn successors(&self) -> Vec<Pid> {
        self.pids_after("takes over pid=")
    }

    /// The processes that have been started to take over, whatever became of them.
    pub(crate) fn candidates(&self) -> Vec<Pid> {
        self.pids_after("an upgrade begins: the new process is starting pid=")
    }

    fn pids_after(&self, words: &str) -> Vec<Pid> {
        let log = self.stderr();
        let pids = log
            .lines()
            .filter_map(|line| Some(line.split_once(words)?.1.trim()));
        pids.filter_map(|pid| Pid::from_raw(pid.parse().ok()?))
            .collect()
    }

    /// Whether a process runs with this configuration. One that has ended and that nobody has asked for does not.
    pub(crate) fn runs(&self, pid: Pid) -> bool {
        let file = format!("/proc/{}/cmdline", pid.as_raw_pid());
        let arguments = fs::read(file).unwrap_or_default();
        let own = self.config_file();
        let own = own.as_os_str().as_encoded_bytes();
        arguments.windows(own.len()).any(|some| some == own)
    }

    /// What the kernel says of it.
    pub(crate) fn vitals(&self) -> Vitals {
        Vitals::of(self.child.id())
    }

    /// Whether it ended by itself, and how.
    pub(crate) fn try_exit(&mut self) -> Option<ExitStatus> {
        if self.exited.is_none() {
            self.exited = self.child.try_wait().expect("a child can be waited for");
        }
        self.exited
    }

    /// Waits until it ends by itself.
    #[track_caller]
    pub(crate) fn wait_for_exit(&mut self, deadline: Duration) -> ExitStatus {
        wait_for(deadline, "the end of the program", || self.try_exit())
    }

    /// What it wrote to standard error so far: the operator's log.
    pub(crate) fn stderr(&self) -> String {
        self.read("stderr")
    }

    /// What it wrote to standard output so far: the access log, unless configured otherwise.
    pub(crate) fn stdout(&self) -> String {
        self.read("stdout")
    }

    fn read(&self, name: &str) -> String {
        let bytes = fs::read(self.folder.path().join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn addresses(&self) -> HashMap<String, SocketAddr> {
        let log = self.stderr();
        // A line without its end is still being written.
        let whole = log.rfind('\n').map_or("", |end| &log[..end]);
        whole.lines().filter_map(listening).collect()
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        if self.exited.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        for pid in self.candidates() {
            if self.runs(pid) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        if thread::panicking() {
            show(&self.stderr());
        }
    }
}

#[allow(clippy::print_stderr, reason = "what a test that failed has to show")]
fn show(log: &str) {
    eprintln!("--- the program's log ---\n{log}--- end of it ---");
}

/// The program, to be given arguments.
pub(crate) fn command() -> Command {
    with_environment(Command::new(binary()))
}

/// The program under a limit of open files, which a shell sets before it becomes the program.
fn limited(open_files: usize) -> Command {
    let mut command = Command::new("sh");
    let script = "ulimit -n \"$1\" && shift && exec \"$@\"";
    command.args(["-c", script, "sh", &open_files.to_string()]);
    command.arg(binary());
    with_environment(command)
}

fn with_environment(mut command: Command) -> Command {
    // Settings of whoever runs the tests are no part of them.
    command.env_remove("RUST_LOG").env("NO_COLOR", "1");
    command
}

/// The program: another build than the one beside the tests if `FORECOURT_BINARY` names one.
pub(crate) fn binary() -> PathBuf {
    let other = std::env::var_os("FORECOURT_BINARY");
    other.map_or_else(|| env!("CARGO_BIN_EXE_forecourt").into(), PathBuf::from)
}

fn config_in(folder: &TempDir) -> PathBuf {
    folder.path().join(OsStr::new("forecourt.toml"))
}

/// The listeners that a configuration asks for, the admin API included.
fn listener_names(configuration: &str) -> Vec<String> {
    let table: toml::Table = configuration
        .parse()
        .expect("a test that starts has good TOML");
    let listeners = table.get("listeners").and_then(toml::Value::as_table);
    let mut names: Vec<_> = listeners
        .into_iter()
        .flat_map(toml::Table::keys)
        .cloned()
        .collect();
    if table.contains_key("admin") {
        names.push("admin".to_owned());
    }
    names
}

/// Reads a log line that says where a listener stands.
pub(super) fn listening(line: &str) -> Option<(String, SocketAddr)> {
    let mut words = line
        .split_whitespace()
        .skip_while(|word| *word != LISTENING)
        .skip(1);
    let mut value = |key: &str| {
        let value = words.next()?.strip_prefix(key)?.strip_prefix('=')?;
        Some(value.trim_matches('"').to_owned())
    };
    let name = value("listener")?;
    let address = value("address")?.parse().ok()?;
    Some((name, address))
}
