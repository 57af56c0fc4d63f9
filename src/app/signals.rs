//! What the operator's signals mean.

use std::path::{Path, PathBuf};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::MissedTickBehavior;

use super::Running;
use super::watch::{LOOK, Watch};
use crate::config;
use crate::config::problem::Severity;

/// The signals that are listened to.
#[derive(Debug)]
pub struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
    reopen: Signal,
}

impl Signals {
    /// Takes the signals over from their default meanings; to be called within a runtime, before serving.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            reopen: signal(SignalKind::user_defined1())?,
        })
    }

    /// Serves until SIGTERM or SIGINT, then drains. SIGHUP reloads `path`; those that come during a reload
    /// make one more. A second SIGTERM ends at once.
    pub async fn govern(mut self, mut running: Running, path: &Path, options: &config::Options) {
        let path = PathBuf::from(path);
        let mut watch = Watch::new();
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = self.hangup.recv() => {
                    let (path, options) = (path.clone(), options.clone());
                    running = aside(running, move |running| reload_from(running, &path, &options)).await;
                }
                _ = looks.tick() => {
                    for warning in watch.warnings(running.plan()) {
                        tracing::warn!("{warning}");
                    }
                    if watch.look(running.plan()) {
                        running = aside(running, Running::renew_certificates).await;
                    }
                }
                _ = self.reopen.recv() => running.reopen_logs(),
                () = ended(&mut self.terminate, &mut self.interrupt) => break,
            }
        }
        let shutdown = running.plan().server.shutdown;
        tracing::info!(delay = ?shutdown.delay, deadline = ?shutdown.deadline, "ending");
        running.announce_end();
        let delay = tokio::time::sleep(shutdown.delay);
        let mut delay = std::pin::pin!(delay);
        let hurried = loop {
            tokio::select! {
                () = &mut delay => break false,
                () = ended(&mut self.terminate, &mut self.interrupt) => break true,
                _ = self.reopen.recv() => running.reopen_logs(),
                _ = self.hangup.recv() => tracing::warn!("ending: the configuration is not read again"),
            }
        };
        let deadline = if hurried {
            std::time::Duration::ZERO
        } else {
            shutdown.deadline
        };
        let drained = running
            .drain(deadline, ended(&mut self.terminate, &mut self.interrupt))
            .await;
        if drained.cut > 0 {
            tracing::warn!(
                connections = drained.cut,
                "connections were cut at the deadline"
            );
        }
        tracing::info!("ended");
    }
}

async fn ended(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Changes what is running off the signals' runtime: names are resolved and files read, which blocks.
async fn aside(running: Running, change: impl FnOnce(&mut Running) + Send + 'static) -> Running {
    let task = tokio::task::spawn_blocking(move || {
        let mut running = running;
        change(&mut running);
        running
    });
    match task.await {
        Ok(running) => running,
        Err(error) => {
            tracing::error!(%error, "a reload broke off: the process ends");
            std::process::exit(70)
        }
    }
}

/// Loads a file and applies it; a bad one changes nothing.
pub fn reload_from(running: &mut Running, path: &Path, options: &config::Options) {
    match config::load(path, options) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                tracing::warn!("{warning}");
            }
            // What can go wrong has been logged and counted.
            let _ = running.reload(loaded.plan);
        }
        Err(report) => {
            // A line for each: a log is read by line.
            for problem in &report.problems {
                match problem.severity {
                    Severity::Error => tracing::error!("{problem}"),
                    Severity::Warning => tracing::warn!("{problem}"),
                }
            }
            let (file, errors) = (path.display(), report.errors());
            running.refuse_reload(&format!("{errors} problems, see `forecourt check {file}`"));
        }
    }
}
