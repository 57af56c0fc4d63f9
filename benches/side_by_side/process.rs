//! Processes that are pinned to CPUs, and that end when the harness does, however it ends.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fs, io};

use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::Outcome;
use crate::accounts;

/// The proxies' CPU, and that of load generators, backends and the harness itself.
pub(crate) const PROXY_CPU: usize = 0;
pub(crate) const LOAD_CPU: usize = 1;

/// A command that runs on these CPUs and is ended with the harness.
pub(crate) fn on(cpus: &[usize], program: impl AsRef<OsStr>) -> Outcome<Command> {
    let cpus: Vec<String> = cpus.iter().map(usize::to_string).collect();
    let mut command = Command::new(env::current_exe()?);
    command.arg("launch").arg(cpus.join(",")).arg(program);
    Ok(command)
}

/// `launch CPU,.. PROGRAM ARGUMENT..`: becomes the program, pinned, and told to end when its parent does.
pub(crate) fn launch(arguments: &[String]) -> Outcome<()> {
    let [cpus, program, arguments @ ..] = arguments else {
        return Err("launch CPU,.. PROGRAM ARGUMENT..".into());
    };
    let cpus: Vec<usize> = cpus.split(',').map(str::parse).collect::<Result<_, _>>()?;
    pin(&cpus)?;
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
    Err(Command::new(program).args(arguments).exec().into())
}

/// Pins the calling thread, and what it starts.
pub(crate) fn pin(cpus: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    for cpu in cpus {
        set.set(*cpu);
    }
    Ok(sched_setaffinity(None, &set)?)
}

/// The limit of open files, of this process and what it starts.
pub(crate) fn open_files() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(MOST_FILES)
}

/// Enough for everything here; more would only be more memory.
const MOST_FILES: u64 = 65_536;

/// Raises the limit of open files as far as it goes.
pub(crate) fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.maximum = limit.maximum.map(|most| most.max(MOST_FILES));
    limit.current = limit.maximum;
    if setrlimit(Resource::Nofile, limit).is_err() {
        limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        // If this fails too, what there is has to do.
        let _ = setrlimit(Resource::Nofile, limit);
    }
}

/// A process; dropping it ends it and all that it has started.
#[derive(Debug)]
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn start(command: &mut Command) -> io::Result<Self> {
        command.spawn().map(Self)
    }

    /// With its output kept for [`Self::finish`] and [`Self::line`].
    pub(crate) fn start_heard(command: &mut Command) -> io::Result<Self> {
        Self::start(command.stdout(Stdio::piped()).stderr(Stdio::null()))
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        tell(self.id(), signal);
    }

    /// The next line that it prints; none of what follows is read.
    pub(crate) fn line(&mut self) -> Outcome<String> {
        let output = self.0.stdout.as_mut().ok_or("it is not heard")?;
        let mut line = String::new();
        // Without a buffer nothing is lost to the next who reads, and lines are short.
        BufReader::with_capacity(1, output).read_line(&mut line)?;
        Ok(line)
    }

    /// Writes to its input.
    pub(crate) fn say(&mut self, words: &str) -> Outcome<()> {
        let input = self.0.stdin.as_mut().ok_or("it does not listen")?;
        input.write_all(words.as_bytes())?;
        Ok(())
    }

    /// What it has printed once it has ended by itself.
    pub(crate) fn finish(mut self) -> Outcome<String> {
        let mut text = String::new();
        if let Some(output) = &mut self.0.stdout {
            output.read_to_string(&mut text)?;
        }
        self.0.wait()?;
        Ok(text)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.has_ended() {
            return;
        }
        // All that it has started, for a master killed late leaves workers behind.
        let family = accounts::family(self.id());
        for signal in [Signal::TERM, Signal::KILL] {
            for id in &family {
                tell(*id, signal);
            }
            let deadline = Instant::now() + Duration::from_secs(3);
            while Instant::now() < deadline {
                if self.has_ended() {
                    return;
                }
                thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

fn tell(id: u32, signal: Signal) {
    let id = i32::try_from(id).ok().and_then(Pid::from_raw);
    if let Some(id) = id {
        // It may have ended before.
        let _ = kill_process(id, signal);
    }
}

/// Whether a program is installed.
pub(crate) fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin".into()])
        .any(|folder| fs::metadata(folder.join(program)).is_ok_and(|file| file.is_file()))
}
