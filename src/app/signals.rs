//! What the operator's signals mean.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::MissedTickBehavior;

use super::Running;
use super::notify;
use super::upgrade::successor::{Successor, Upgrade, UpgradeError};
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
    upgrade: Signal,
}

/// Why the process ends.
enum Why {
    /// Somebody wants it to.
    Told,
    /// Another one serves in its place.
    Replaced,
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
            upgrade: signal(SignalKind::user_defined2())?,
        })
    }

    /// Serves until SIGTERM or SIGINT, then drains. SIGHUP reloads `path`; those that come during a reload
    /// make one more. SIGUSR2 has the program at our path take over; when it has, this one drains. A second SIGTERM ends
    /// at once.
    pub async fn govern(mut self, running: Running, path: &Path, options: &config::Options) {
        notify::ready();
        let (running, why) = self.serve(running, path, options).await;
        let shutdown = running.plan().server.shutdown;
        let hurried = match why {
            Why::Told => {
                notify::stopping();
                tracing::info!(delay = ?shutdown.delay, deadline = ?shutdown.deadline, "ending");
                running.announce_end();
                self.delay(&running, shutdown.delay).await
            }
            // Who sends traffic need notice nothing.
            Why::Replaced => false,
        };
        let deadline = if hurried {
            Duration::ZERO
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
        tracing::info!(pid = std::process::id(), "ended");
    }

    async fn serve(
        &mut self,
        mut running: Running,
        path: &Path,
        options: &config::Options,
    ) -> (Running, Why) {
        let mut watch = Watch::new();
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut upgrade: Option<Upgrade> = None;
        loop {
            let starting = upgrade.is_some();
            tokio::select! {
                // While a new process starts nothing changes: its sockets are those of now.
                _ = self.hangup.recv(), if !starting => {
                    let (path, options) = (PathBuf::from(path), options.clone());
                    notify::reloading();
                    running = aside(running, move |running| reload_from(running, &path, &options)).await;
                    notify::ready();
                }
                _ = looks.tick(), if !starting => {
                    for warning in watch.warnings(running.plan()) {
                        tracing::warn!("{warning}");
                    }
                    if watch.look(running.plan()) {
                        running = aside(running, Running::renew_certificates).await;
                    }
                }
                _ = self.reopen.recv() => running.reopen_logs(),
                _ = self.upgrade.recv() => {
                    if starting {
                        tracing::warn!("an upgrade is under way already");
                        continue;
                    }
                    upgrade = Upgrade::begin(&running, options)
                        .map_err(|error| refuse_upgrade(&error))
                        .ok();
                }
                result = result_of(upgrade.as_mut()) => {
                    upgrade = None;
                    match result {
                        Ok(successor) => {
                            // What came while it started is for it: it may have read the file before.
                            if came(&mut self.hangup).await {
                                successor.reload();
                            }
                            running = aside(running, move |running| running.hand_over(&successor)).await;
                            return (running, Why::Replaced);
                        }
                        Err(error) => refuse_upgrade(&error),
                    }
                }
                () = ended(&mut self.terminate, &mut self.interrupt) => {
                    // Before it could believe that we have crashed, and serve.
                    if let Some(upgrade) = upgrade {
                        upgrade.abandon();
                    }
                    return (running, Why::Told);
                }
            }
        }
    }

    /// Serves on for a while; true if somebody is in a hurry.
    async fn delay(&mut self, running: &Running, delay: Duration) -> bool {
        let delay = tokio::time::sleep(delay);
        let mut delay = std::pin::pin!(delay);
        loop {
            tokio::select! {
                () = &mut delay => return false,
                () = ended(&mut self.terminate, &mut self.interrupt) => return true,
                _ = self.reopen.recv() => running.reopen_logs(),
                _ = self.hangup.recv() => tracing::warn!("ending: the configuration is not read again"),
                _ = self.upgrade.recv() => tracing::warn!("ending: no other program is started"),
            }
        }
    }
}

/// The result of an upgrade, if there is one under way. On success the new process accepts. Cancel-safe.
async fn result_of(upgrade: Option<&mut Upgrade>) -> Result<Successor, UpgradeError> {
    match upgrade {
        Some(upgrade) => upgrade.result().await,
        None => std::future::pending().await,
    }
}

/// Whether a signal has come and was not looked at yet.
async fn came(signal: &mut Signal) -> bool {
    tokio::select! {
        biased;
        _ = signal.recv() => true,
        () = std::future::ready(()) => false,
    }
}

fn refuse_upgrade(error: &UpgradeError) {
    tracing::error!("upgrade failed, nothing has changed: {error}");
    metrics::counter!("forecourt_upgrades_total", "result" => "failed").increment(1);
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
