//! The side of the new process: what it begins with, and when it is its turn.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::state::State;
use super::{Go, Offer, Ready, STDIN, VARIABLE};
use crate::discovery::LastGood;
use crate::listener::handoff::{Given, receive, receive_fds, send};

/// What a process begins with, beyond its configuration.
#[derive(Debug, Default)]
pub struct Beginning {
    /// Listening sockets that are open already.
    pub given: Given,
    /// What the process before knew.
    pub state: State,
    /// What names meant when the configuration was loaded, shared with whoever loads the next one.
    pub last_good: LastGood,
    pub(in crate::app) predecessor: Option<Predecessor>,
}

/// The process that hands over.
#[derive(Debug)]
pub(in crate::app) struct Predecessor {
    stream: UnixStream,
    /// The standard error that is meant to be ours: until we are ready it is a pipe to the old process.
    stderr: OwnedFd,
    pid: u32,
}

/// A process was to be taken over from, and that went wrong.
#[derive(Debug, thiserror::Error)]
#[error("{VARIABLE} is set, but standard input is no process that hands over ({0}): unset it")]
pub struct NoPredecessor(io::Error);

impl Beginning {
    /// What the environment says: a process to take over from, if there is one.
    ///
    /// # Errors
    /// When there should be one and it does not hand over.
    pub fn of_environment() -> Result<Self, NoPredecessor> {
        if std::env::var_os(VARIABLE).is_none_or(|value| value != STDIN) {
            return Ok(Self::default());
        }
        Self::of_stdin().map_err(NoPredecessor)
    }

    fn of_stdin() -> io::Result<Self> {
        let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        stream.set_read_timeout(Some(PATIENCE))?;
        let offer: Offer = receive(&stream)?;
        if offer.state.version > State::VERSION {
            // The operator goes back, and may have to know why something was forgotten.
            tracing::info!(
                theirs = offer.state.version,
                ours = State::VERSION,
                "the process before is a newer one: what only it knows is forgotten"
            );
        }
        let mut fds = receive_fds(&stream, offer.labels.len() + 1)?.into_iter();
        let stderr = fds.next().ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(Self {
            given: Given::by_process(offer.labels.into_iter().zip(fds))?,
            state: offer.state,
            last_good: LastGood::default(),
            predecessor: Some(Predecessor {
                stream,
                stderr,
                pid: offer.pid,
            }),
        })
    }

    /// Takes systemd's sockets, unless there is a process to take over from: what systemd gave to that
    /// one is among what it gives. To be called once the operator's log can be written to.
    #[must_use]
    pub fn with_sockets_of_system(mut self) -> Self {
        if self.predecessor.is_none() {
            self.given = Given::by_system();
        }
        self
    }
}

impl Predecessor {
    /// Says that we could serve, and waits for our turn. Sockets that are `given` still are closed before.
    ///
    /// # Errors
    /// When the old process has not said in time that it is our turn: then it goes on, and we must not.
    pub(in crate::app) fn relieve(self, given: Given) -> io::Result<()> {
        for (_, address) in given.left() {
            tracing::info!(%address, "not listening here any more");
        }
        let left = given.left().filter_map(|(role, _)| role.cloned());
        let ready = Ready {
            left: left.collect(),
        };
        drop(given);
        // Nothing may fail once it is our turn: then nobody else serves.
        let nothing = File::open("/dev/null")?;
        send(&self.stream, &ready, &[])?;
        match receive::<Go>(&self.stream) {
            Ok(Go {}) => {}
            // It would have killed us if it went on: it has crashed, and somebody has to serve.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                tracing::warn!("the process before has ended before it said that it is our turn");
            }
            Err(error) => return Err(error),
        }
        let moved = rustix::stdio::dup2_stderr(&self.stderr);
        if let Err(error) = moved.and_then(|()| rustix::stdio::dup2_stdin(nothing)) {
            tracing::warn!(%error, "standard error or input is not that of the process before");
        }
        tracing::info!(from = self.pid, "taking over");
        metrics::counter!("forecourt_upgrades_total", "result" => "ok").increment(1);
        Ok(())
    }
}

/// How long the old process may keep us waiting; longer than it waits for us.
const PATIENCE: Duration = Duration::from_secs(60);
