//! The side of the old process: it starts the new one, and goes on if that comes to nothing.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::state::State;
use super::{Go, Offer, Ready, STDIN, VARIABLE};
use crate::app::reload::CLOSING;
use crate::app::worker::Command as Order;
use crate::app::{Running, notify};
use crate::config;
use crate::listener::FileOwner;
use crate::listener::handoff::{Label, Role, receive, send};

/// A new process that is starting.
#[derive(Debug)]
pub(in crate::app) struct Upgrade {
    child: Arc<Mutex<Child>>,
    talk: JoinHandle<Result<Successor, UpgradeError>>,
}

/// A new process that waits for its turn.
#[derive(Debug)]
pub(in crate::app) struct Successor {
    pid: u32,
    /// Whose sockets it has closed, for it does not listen there.
    pub(in crate::app) left: Vec<Role>,
    stream: UnixStream,
}

/// Why there is no new process.
#[derive(Debug, thiserror::Error)]
pub(in crate::app) enum UpgradeError {
    #[error("{0} cannot be started: {1}")]
    Spawn(String, io::Error),
    #[error("sockets cannot be handed over: {0}")]
    Sockets(io::Error),
    #[error("the new process ended ({0}) before it was ready{1}")]
    Ended(ExitStatus, Words),
    #[error("the new process was not ready within {DEADLINE:?} and was ended{0}")]
    Late(Words),
    #[error("the new process cannot be understood and was ended: {0}{1}")]
    Strange(io::Error, Words),
    #[error("the new process was gone when it was its turn: {0}")]
    Lost(io::Error),
    #[error("it broke off")]
    BrokeOff,
}

/// The last that a process said on its standard error.
#[derive(Clone, Debug, Default)]
pub(in crate::app) struct Words(Arc<Mutex<VecDeque<u8>>>);

impl Upgrade {
    /// Starts the program at this process's path and offers everything to it.
    pub(in crate::app) fn begin(
        running: &Running,
        options: &config::Options,
    ) -> Result<Self, UpgradeError> {
        let (offer, fds) = running.offer(options).map_err(UpgradeError::Sockets)?;
        let (ours, theirs) = UnixStream::pair().map_err(UpgradeError::Sockets)?;
        let mut child = spawn(theirs)?;
        let pid = child.id();
        let words = Words::default();
        let silent = match child.stderr.take() {
            Some(stderr) => hear(stderr, words.clone()),
            None => channel().1,
        };
        tracing::info!(pid, "an upgrade begins: the new process is starting");
        let child = Arc::new(Mutex::new(child));
        let spawned = Arc::clone(&child);
        let talk = tokio::task::spawn_blocking(move || {
            match talk(&ours, &offer, fds) {
                Ok(Ready { left }) => Ok(Successor {
                    pid,
                    left,
                    stream: ours,
                }),
                Err(error) => {
                    let error = post_mortem(error, &spawned, &silent, words);
                    // Not before it has ended: it would take the end of the stream for our crash, and serve.
                    drop(ours);
                    Err(error)
                }
            }
        });
        Ok(Self { child, talk })
    }

    /// Waits until the new process is ready, and tells it that it is its turn: from then on it accepts. Cancel-safe.
    pub(in crate::app) async fn result(&mut self) -> Result<Successor, UpgradeError> {
        let talked = (&mut self.talk).await;
        let successor = talked.unwrap_or(Err(UpgradeError::BrokeOff))?;
        if let Err(error) = send(&successor.stream, &Go {}, &[]) {
            self.abandon();
            return Err(UpgradeError::Lost(error));
        }
        tracing::info!(
            pid = successor.pid,
            "the new process is ready and takes over"
        );
        notify::replaced_by(successor.pid);
        Ok(successor)
    }

    /// Ends the new process.
    pub(in crate::app) fn abandon(&self) {
        let mut child = lock(&self.child);
        // It may have ended by itself.
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Successor {
    /// Passes on that the configuration is to be read again.
    pub(in crate::app) fn reload(&self) {
        let pid = i32::try_from(self.pid).ok();
        let pid = pid.and_then(rustix::process::Pid::from_raw);
        let passed =
            pid.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::HUP));
        match passed {
            Some(Ok(())) => tracing::info!(pid = self.pid, "SIGHUP is passed on"),
            // It has begun to serve and is gone already: whoever watches over it knows.
            Some(Err(_)) | None => tracing::warn!(pid = self.pid, "SIGHUP cannot be passed on"),
        }
    }
}

impl Running {
    fn offer(&self, options: &config::Options) -> io::Result<(Offer, Vec<OwnedFd>)> {
        let mut fds = vec![io::stderr().as_fd().try_clone_to_owned()?];
        let mut labels = Vec::new();
        for listened in &self.listening {
            let listener = &listened.post.listener;
            for socket in &listened.sockets {
                fds.push(socket.try_clone()?);
                labels.push(Label {
                    role: Role::Listener(listener.name.to_string()),
                    configured: listener.address.to_string(),
                    owns_file: listened.owner == FileOwner::Us,
                });
            }
        }
        if let (Some(admin), Some(plan)) = (&self.admin, &self.plan.admin) {
            fds.push(admin.socket().try_clone()?);
            labels.push(Label {
                role: Role::Admin,
                configured: plan.address.to_string(),
                owns_file: admin.owner() == FileOwner::Us,
            });
        }
        let offer = Offer {
            pid: std::process::id(),
            labels,
            state: State::of(&self.snapshots.load(), options.random_secret.as_ref())
                .with_ejections(&self.control.records(), Instant::now())
                .with_tickets(self.tls.ticket_keys()),
        };
        Ok((offer, fds))
    }

    /// Accepts no more where the successor does, and leaves it the admin API. `unwanted` are those whose sockets it has
    /// closed. Blocks until that is so.
    pub(in crate::app) fn hand_over(&mut self, unwanted: &[Role]) {
        let (closed, all_closed) = channel();
        let (left, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.listening)
            .into_iter()
            .partition(|listened| {
                let name = &*listened.post.listener.name;
                let is_it = |role: &Role| matches!(role, Role::Listener(role) if role == name);
                unwanted.iter().any(is_it)
            });
        // What it does not want ends with the drain, queue and all.
        self.listening = left;
        for listened in kept {
            self.tell_all(|| Order::Leave(listened.post.key, closed.clone()));
        }
        drop(closed);
        if let Some(admin) = self.admin.take() {
            if unwanted.contains(&Role::Admin) {
                admin.stop();
            } else {
                admin.leave();
            }
        }
        // It only matters to whoever counts processes at a socket.
        let _ = all_closed.recv_timeout(CLOSING);
    }
}

/// The program that stands at our path now, with our arguments. A path that led to us may lead elsewhere
/// today, which is meant; if it leads nowhere, the one that we were started from is tried.
fn spawn(stdin: UnixStream) -> Result<Child, UpgradeError> {
    let stdin = OwnedFd::from(stdin);
    let again = |error: io::Error| UpgradeError::Spawn("the program".to_owned(), error);
    let mut tried = Err(again(io::ErrorKind::NotFound.into()));
    for program in programs() {
        let stdin = stdin.try_clone().map_err(UpgradeError::Sockets)?;
        let mut command = Command::new(&program);
        command
            .args(std::env::args_os().skip(1))
            .env(VARIABLE, STDIN)
            .env_remove("LISTEN_FDS")
            .env_remove("LISTEN_PID")
            .env_remove("LISTEN_FDNAMES")
            .stdin(stdin)
            .stderr(Stdio::piped());
        match command.spawn() {
            Ok(child) => return Ok(child),
            Err(error) => {
                let is_missing = error.kind() == io::ErrorKind::NotFound;
                tried = Err(UpgradeError::Spawn(program.display().to_string(), error));
                if !is_missing {
                    break;
                }
            }
        }
    }
    tried
}

fn programs() -> impl Iterator<Item = PathBuf> {
    let called = std::env::args_os().next().map(PathBuf::from);
    let own = std::env::current_exe().ok().map(|path| {
        // What the kernel says of a file that another one has replaced.
        let text = path.to_string_lossy();
        let replaced = text.strip_suffix(" (deleted)").map(PathBuf::from);
        replaced.unwrap_or(path)
    });
    called.into_iter().chain(own)
}

fn talk(stream: &UnixStream, offer: &Offer, fds: Vec<OwnedFd>) -> io::Result<Ready> {
    stream.set_write_timeout(Some(DEADLINE))?;
    stream.set_read_timeout(Some(DEADLINE))?;
    send(stream, offer, &fds)?;
    drop(fds);
    receive(stream)
}

/// Ends what has failed and finds out why.
fn post_mortem(
    error: io::Error,
    child: &Mutex<Child>,
    silent: &Receiver<()>,
    words: Words,
) -> UpgradeError {
    let is_late = matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    );
    // Its end of the stream closes a moment before that of its standard error, and that one before it has
    // ended. Somebody whom it has started may hold the pipe open.
    let is_silent = !is_late && silent.recv_timeout(LAST_MOMENT).is_ok();
    let status = {
        let mut child = lock(child);
        // Whoever is ending already keeps the status that he ends with.
        let _ = child.kill();
        child.wait()
    };
    let is_by_itself = |status: &ExitStatus| is_silent || status.signal() != Some(KILL);
    match status {
        _ if is_late => UpgradeError::Late(words),
        Ok(status) if is_by_itself(&status) => UpgradeError::Ended(status, words),
        Ok(_) | Err(_) => UpgradeError::Strange(error, words),
    }
}

/// Passes on what the new process writes to its standard error, and remembers the end of it. The receiver is told
/// when it writes no more.
fn hear(mut stderr: ChildStderr, words: Words) -> Receiver<()> {
    let (silent, is_silent) = channel();
    thread::spawn(move || {
        let mut room = [0; 4096];
        while let Ok(count @ 1..) = stderr.read(&mut room) {
            let _ = io::stderr().write_all(&room[..count]);
            let mut last = words.0.lock().unwrap_or_else(PoisonError::into_inner);
            last.extend(&room[..count]);
            let excess = last.len().saturating_sub(LAST_WORDS);
            last.drain(..excess);
        }
        // Nobody asks if all has gone well.
        let _ = silent.send(());
    });
    is_silent
}

fn lock(child: &Mutex<Child>) -> MutexGuard<'_, Child> {
    child.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(last.make_contiguous());
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        let lines: Vec<_> = lines.into_iter().filter(|line| !line.is_empty()).collect();
        if lines.is_empty() {
            return f.write_str(", without a word");
        }
        // A line of the log is one line.
        write!(f, "; its last words: {}", lines.join(" / "))
    }
}

/// How long a new process may take until it could serve.
const DEADLINE: Duration = Duration::from_secs(30);

/// How long a process that has closed its end may take to be gone, and its words to come.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// The number of SIGKILL.
const KILL: i32 = rustix::process::Signal::KILL.as_raw();

/// Bytes of last words.
const LAST_WORDS: usize = 1000;
