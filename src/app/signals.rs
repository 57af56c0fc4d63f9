//! What the operator's signals mean.

use std::convert::Infallible;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::MissedTickBehavior;

use super::Running;
use super::govern::{Governor, Source};
use super::notify;
use super::upgrade::successor::{Successor, Upgrade, UpgradeError};
use super::watch::LOOK;
use crate::admin::order::{Order, Refusal, Wish};

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
    Replaced(Successor),
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

    /// Serves until SIGTERM or SIGINT, then drains. SIGHUP reads the configuration's `source` again; those that come
    /// during a reload make one more; the admin API's orders are done in between. SIGUSR2 has the program at our path take
    /// over; when it has, this one drains, and passes SIGHUP on: who sends it may know our process and not the new one. A
    /// second SIGTERM ends at once.
    pub async fn govern(mut self, running: Running, source: Source) {
        notify::ready();
        let (running, why) = self.serve(running, source).await;
        let shutdown = running.plan().server.shutdown;
        let hurried = match &why {
            Why::Told => {
                notify::stopping();
                tracing::info!(delay = ?shutdown.delay, deadline = ?shutdown.deadline, "ending");
                running.announce_end();
                self.delay(&running, shutdown.delay).await
            }
            // Who sends traffic need notice nothing.
            Why::Replaced(_) => false,
        };
        let deadline = if hurried {
            Duration::ZERO
        } else {
            shutdown.deadline
        };
        let successor = match &why {
            Why::Told => None,
            Why::Replaced(successor) => Some(successor),
        };
        let hurry = ended(&mut self.terminate, &mut self.interrupt);
        let drained = tokio::select! {
            drained = running.drain(deadline, hurry) => drained,
            never = pass_on(&mut self.hangup, &mut self.upgrade, successor) => match never {},
        };
        if drained.cut > 0 {
            tracing::warn!(
                connections = drained.cut,
                "connections were cut at the deadline"
            );
        }
        tracing::info!(pid = std::process::id(), "ended");
    }

    async fn serve(&mut self, running: Running, source: Source) -> (Running, Why) {
        let mut orders = running.instance.govern();
        let mut governor = Governor::new(running, source);
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut upgrade: Option<Upgrade> = None;
        loop {
            let starting = upgrade.is_some();
            tokio::select! {
                // While a new process starts nothing changes: its sockets are those of now.
                _ = self.hangup.recv(), if !starting => {
                    notify::reloading();
                    governor = aside(governor, Governor::reload_by_signal).await;
                    notify::ready();
                }
                Some(order) = orders.recv() => {
                    if starting && order.wish.touches() {
                        refuse_while_upgrading(order);
                        continue;
                    }
                    governor = obey(governor, order).await;
                }
                _ = looks.tick(), if !starting => governor = look(governor).await,
                () = until(governor.trial_ends()) => governor = look(governor).await,
                _ = self.reopen.recv() => governor.running.reopen_logs(),
                _ = self.upgrade.recv() => {
                    if starting {
                        tracing::warn!("an upgrade is under way already");
                        continue;
                    }
                    upgrade = begin_upgrade(&governor);
                }
                result = result_of(upgrade.as_mut()) => {
                    upgrade = None;
                    match result {
                        Ok(successor) => {
                            // What came while it started is for it: it may have read the file before.
                            if came(&mut self.hangup).await {
                                successor.reload();
                            }
                            let left = successor.left.clone();
                            let running = governor.running;
                            let running = aside(running, move |running| running.hand_over(&left)).await;
                            return (running, Why::Replaced(successor));
                        }
                        Err(error) => refuse_upgrade(&error),
                    }
                }
                () = ended(&mut self.terminate, &mut self.interrupt) => {
                    // Before it could believe that we have crashed, and serve.
                    if let Some(upgrade) = upgrade {
                        upgrade.abandon();
                    }
                    if governor.is_on_trial() {
                        tracing::warn!("ending during a trial: the next start reads the file, confirmed or not");
                    }
                    return (governor.running, Why::Told);
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

/// Starts the program at our path, if there is nothing against it.
fn begin_upgrade(governor: &Governor) -> Option<Upgrade> {
    if governor.is_on_trial() {
        tracing::error!("no upgrade while a configuration is on trial: confirm or revert it first");
        metrics::counter!("forecourt_upgrades_total", "result" => "failed").increment(1);
        return None;
    }
    Upgrade::begin(&governor.running, governor.options())
        .map_err(|error| refuse_upgrade(&error))
        .ok()
}

/// The result of an upgrade, if there is one under way. On success the new process accepts. Cancel-safe.
async fn result_of(upgrade: Option<&mut Upgrade>) -> Result<Successor, UpgradeError> {
    match upgrade {
        Some(upgrade) => upgrade.result().await,
        None => std::future::pending().await,
    }
}

/// Has the process that serves now do what this one is asked for while it drains.
async fn pass_on(
    hangup: &mut Signal,
    upgrade: &mut Signal,
    successor: Option<&Successor>,
) -> Infallible {
    loop {
        tokio::select! {
            _ = hangup.recv() => match successor {
                Some(successor) => successor.reload(),
                None => tracing::warn!("ending: the configuration is not read again"),
            },
            _ = upgrade.recv() => tracing::warn!("ending: no other program is started"),
        }
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

/// Does what the admin API wants.
async fn obey(governor: Governor, order: Order) -> Governor {
    let changes = matches!(
        order.wish,
        Wish::Reload(_) | Wish::Revert | Wish::Rollback(..)
    );
    if changes {
        notify::reloading();
    }
    let governor = aside(governor, move |governor| governor.obey(order)).await;
    if changes {
        notify::ready();
    }
    governor
}

fn refuse_while_upgrading(order: Order) {
    let why = "an upgrade is under way: its sockets and its configuration are those of now; ask again when it is over";
    // Whoever asked may have gone.
    let _ = order.answer.send(Err(Refusal::Conflict(why.to_owned())));
}

/// What is due once a second: figures, a trial that may have to end, certificates that may have changed.
async fn look(mut governor: Governor) -> Governor {
    if let Some(revert) = governor.look() {
        notify::reloading();
        governor = aside(governor, revert).await;
        notify::ready();
    }
    for warning in governor.watch.warnings(governor.running.plan()) {
        tracing::warn!("{warning}");
    }
    // What changes during a trial is seen behind it.
    if !governor.is_on_trial() && governor.watch.look(governor.running.plan()) {
        governor = aside(governor, Governor::renew_certificates).await;
    }
    governor
}

/// Waits for a moment; for ever if there is none. Cancel-safe.
async fn until(moment: Option<std::time::Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

/// Changes what is running off the signals' runtime: names are resolved and files read, which blocks.
async fn aside<T: Send + 'static>(state: T, change: impl FnOnce(&mut T) + Send + 'static) -> T {
    let task = tokio::task::spawn_blocking(move || {
        let mut state = state;
        change(&mut state);
        state
    });
    match task.await {
        Ok(state) => state,
        Err(error) => {
            tracing::error!(%error, "a reload broke off: the process ends");
            std::process::exit(70)
        }
    }
}
