//! Threads, sockets and the first generation.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use rustls::ServerConfig;
use tokio::sync::mpsc;

use super::control::{self, Control};
use super::outliers;
use super::upgrade::predecessor::{Beginning, Predecessor};
use super::upgrade::state::{Recalled, State};
use super::worker::{self, Command, Post, Setup};
use crate::admin::{self, AdminError, Instance};
use crate::discovery::LastGood;
use crate::health::Initial;
use crate::listener::bind::remove;
use crate::listener::budget::Shares;
use crate::listener::handoff::{Given, Role};
use crate::listener::tls::{TlsError, TlsShared, admin_config};
use crate::listener::{BindError, Bound, Budget, FileOwner};
use crate::plan::listener::ListenAddress;
use crate::plan::{self, Listener, Plan};
use crate::server::ListenerKey;
use crate::snapshot::{Registry, Snapshot, Snapshots};
use crate::telemetry::{AccessControl, Facade, LogControl, Recent, WorkerId};
use crate::worker::Descriptors;

/// The balancer as a library: [`Forecourt::start`].
#[derive(Debug)]
pub struct Forecourt;

/// A running balancer. Dropping it ends it at once; see [`Running::drain`] for the gentle way.
#[derive(Debug)]
pub struct Running {
    pub(super) plan: Arc<Plan>,
    pub(super) generation: u64,
    pub(super) registry: Arc<Registry>,
    pub(super) snapshots: Arc<Snapshots>,
    pub(super) listening: Vec<Listened>,
    pub(super) next_key: u32,
    pub(super) workers: Vec<mpsc::Sender<Command>>,
    pub(super) threads: Vec<JoinHandle<()>>,
    pub(super) budget: Arc<Budget>,
    pub(super) access: Option<AccessControl>,
    pub(super) recent: Arc<Recent>,
    pub(super) log: Option<LogControl>,
    #[cfg(feature = "otel")]
    pub(super) traces: Option<crate::otel::Exporter>,
    pub(super) instance: Arc<Instance>,
    /// How many workers have been told to end.
    pub(super) ending: Arc<AtomicUsize>,
    pub(super) admin: Option<admin::Running>,
    pub(super) control: Arc<Control>,
    pub(super) tls: TlsShared,
}

/// An address that is listened on.
#[derive(Debug)]
pub(super) struct Listened {
    pub(super) post: Post,
    /// As it is bound, with the port that the kernel chose.
    pub(super) bound: ListenAddress,
    /// Who removes the file of a Unix socket.
    pub(super) owner: FileOwner,
    /// The workers' sockets once more, for a process that takes over; to be dropped before the workers
    /// close theirs, or clients would go on queueing where nobody accepts.
    pub(super) sockets: Vec<OwnedFd>,
}

/// Why the balancer did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener's address cannot be had.
    #[error("listener {0}: {1}")]
    Bind(Arc<str>, BindError),
    /// The admin API's address cannot be had.
    #[error("admin: {0}")]
    Admin(#[from] AdminError),
    /// The access log cannot be written.
    #[error("access log: {0}")]
    AccessLog(std::io::Error),
    /// TLS cannot be had at all.
    #[error("tls: {0}")]
    Tls(#[from] TlsError),
    /// The system gives no more threads.
    #[error("thread: {0}")]
    Thread(std::io::Error),
    /// The process that was to be replaced has not let go.
    #[error("taking over: {0}")]
    Takeover(std::io::Error),
}

impl Forecourt {
    /// Starts a balancer: binds every address, or says which cannot be had, and then serves. `log` is the
    /// operator's log, whose level follows the configuration.
    ///
    /// # Errors
    /// When an address or a thread cannot be had; nothing is left running then.
    pub fn start(plan: Plan, log: Option<LogControl>) -> Result<Running, StartError> {
        Self::start_from(plan, log, Beginning::default())
    }

    /// The same with what is there already: sockets, and what a process before this one knew. If there is one to take
    /// over from, this blocks until it lets go.
    ///
    /// # Errors
    /// As of [`Forecourt::start`]; also when the process before does not let go.
    pub fn start_from(
        plan: Plan,
        log: Option<LogControl>,
        beginning: Beginning,
    ) -> Result<Running, StartError> {
        let Beginning {
            mut given,
            state,
            last_good,
            predecessor,
        } = beginning;
        let plan = Arc::new(plan);
        let count = plan.server.workers;
        // Each listening socket is held twice; one more runtime looks after health, one after traces.
        let fixed = count * (FILES_PER_WORKER + 2 * plan.listeners.len()) + FILES_BESIDE;
        let shares = Shares::claim(fixed);
        let descriptors = Descriptors::new(shares.connections);
        // Before anything is counted.
        let facade = Facade::install();
        let access = access_log(&plan.log.access)?;
        let tls = TlsShared::new(state.ticket_keys())?;
        let registry = Arc::new(Registry::new(count, fastrand::u64(..)));
        let (first, records) = first_of(&plan, &registry, &state);
        let snapshots = Arc::new(Snapshots::new(first));
        let bound = bind_all(&plan.listeners, count, &mut given)?;
        let recent = Recent::new(count, plan.log.recent);
        let told = (facade, Arc::clone(&recent));
        let instance = Instance::new(Arc::clone(&snapshots), Arc::clone(&registry), told);
        let instance = Arc::new(held(instance, &plan, log.as_ref())?);
        let admin = admin_of(&plan, &mut given)?;
        let (senders, receivers): (Vec<_>, Vec<_>) =
            (0..count).map(|_| mpsc::channel(COMMANDS)).unzip();
        let mut running = Running {
            generation: state.generation + 1,
            budget: Budget::new(shares.clients, count, Arc::clone(&descriptors)),
            listening: Vec::new(),
            next_key: 0,
            workers: senders,
            threads: Vec::new(),
            ending: Arc::default(),
            access: Some(access),
            recent,
            log,
            #[cfg(feature = "otel")]
            traces: Some(crate::otel::Exporter::start().map_err(StartError::Thread)?),
            instance,
            admin: None,
            plan,
            registry,
            snapshots,
            control: Arc::new(Control::knowing(records)),
            tls,
        };
        running.start_control(&descriptors, last_good)?;
        running.start_workers(receivers, (shares.idle / count, descriptors))?;
        // Whoever sees a listener sees the generation that it serves.
        running.note_generation();
        // Addresses are bound: whoever connects from now on is served, and nobody reads of a listener before that.
        running.instance.serving();
        let takes_over = predecessor.is_some();
        if let Some(predecessor) = predecessor {
            let relieved = running.relieve(predecessor, given);
            relieved.inspect_err(|_| unbind(&bound))?;
        }
        if let Some(admin) = admin {
            running.serve_admin(admin, takes_over)?;
        }
        running.listen(bound);
        Ok(running)
    }
}

/// The first generation of this process, in which backends stand as the process before knew them.
fn first_of(
    plan: &Arc<Plan>,
    registry: &Arc<Registry>,
    state: &State,
) -> (Snapshot, outliers::Records) {
    let Recalled { backends, records } = state.recall(plan, registry);
    let first = Snapshot::assemble(Arc::clone(plan), registry, state.generation + 1);
    drop(backends);
    (first, records)
}

fn admin_of(plan: &Plan, given: &mut Given) -> Result<Option<admin::Entrance>, AdminError> {
    let admin = plan.admin.as_ref();
    admin.map(|admin| admin::bind(admin, given)).transpose()
}

fn access_log(plan: &plan::process::AccessLog) -> Result<AccessControl, StartError> {
    AccessControl::start(plan.target.clone(), plan.format).map_err(StartError::AccessLog)
}

/// What does handshakes for the admin API, if it speaks TLS.
pub(super) fn admin_tls(plan: &Plan) -> Result<Option<Arc<ServerConfig>>, TlsError> {
    let tls = plan.admin.as_ref().and_then(|admin| admin.tls.as_ref());
    tls.map(admin_config).transpose()
}

/// The same, with token, certificates and what the log keeps; not ready before it knows its backends if a pool wants that.
fn held(instance: Instance, plan: &Plan, log: Option<&LogControl>) -> Result<Instance, TlsError> {
    let token = plan.admin.as_ref().and_then(|admin| admin.token.clone());
    let events = log.map(LogControl::events).cloned().unwrap_or_default();
    let instance = instance.with_token(token).with_events(events);
    instance.set_tls(admin_tls(plan)?);
    let holds = |pool: &plan::Pool| {
        let policy = pool.health.as_ref();
        policy.is_some_and(|policy| policy.initial == Initial::Hold)
    };
    if plan.pools.iter().any(holds) {
        instance.hold();
    }
    Ok(instance)
}

impl Running {
    /// The addresses that are listened on, by the listeners' names.
    pub fn addresses(&self) -> impl Iterator<Item = (&str, &ListenAddress)> {
        self.listening
            .iter()
            .map(|listened| (&*listened.post.listener.name, &listened.bound))
    }

    /// The admin API's address, if there is one.
    pub fn admin_address(&self) -> Option<&ListenAddress> {
        self.admin.as_ref().map(admin::Running::address)
    }

    /// The generation that serves, with the live figures of its backends and routes.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshots.load()
    }

    /// What is being done.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Opens the access log's file anew, after it has been moved away.
    pub fn reopen_logs(&self) {
        if let Some(Err(error)) = self.access.as_ref().map(AccessControl::reopen) {
            tracing::error!(%error, "the access log cannot be opened anew: lines go on to the old file");
        }
    }

    fn serve_admin(&mut self, admin: admin::Entrance, takes_over: bool) -> Result<(), StartError> {
        match admin.serve(Arc::clone(&self.instance)) {
            Ok(served) => self.admin = Some(served),
            // The process before serves no more: better without the admin API than not at all.
            Err(error) if takes_over => tracing::error!(%error, "the admin API is not served"),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Waits until backends are known, if a pool wants that, and then for the process before to let go.
    fn relieve(&self, predecessor: Predecessor, given: Given) -> Result<(), StartError> {
        // First verdicts come in any case; if they take too long, the process before ends the waiting.
        self.instance.wait_for_release();
        predecessor.relieve(given).map_err(StartError::Takeover)
    }

    fn start_control(
        &mut self,
        descriptors: &Arc<Descriptors>,
        last_good: LastGood,
    ) -> Result<(), StartError> {
        let thread = control::start(control::Setup {
            control: Arc::clone(&self.control),
            snapshots: Arc::clone(&self.snapshots),
            registry: Arc::clone(&self.registry),
            descriptors: Arc::clone(descriptors),
            instance: Arc::clone(&self.instance),
            last_good,
            ending: Arc::clone(&self.ending),
        });
        self.threads.push(thread.map_err(StartError::Thread)?);
        Ok(())
    }

    fn start_workers(
        &mut self,
        receivers: Vec<mpsc::Receiver<Command>>,
        (most_idle, descriptors): (usize, Arc<Descriptors>),
    ) -> Result<(), StartError> {
        for (index, commands) in receivers.into_iter().enumerate() {
            let Some(access) = &self.access else {
                break;
            };
            #[cfg(feature = "otel")]
            let Some(traces) = &self.traces else {
                break;
            };
            let setup = Setup {
                id: WorkerId(index),
                seed: fastrand::u64(..),
                snapshots: Arc::clone(&self.snapshots),
                log: access.worker().with_memory(self.recent.worker(index)),
                #[cfg(feature = "otel")]
                spans: traces.outlet(),
                budget: Arc::clone(&self.budget),
                most_idle,
                descriptors: Arc::clone(&descriptors),
                tls: self.tls.clone(),
                workers: self.workers.clone(),
                commands,
            };
            let ending = Arc::clone(&self.ending);
            let thread = thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || {
                    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                        worker::run(setup)
                    }));
                    if ending.load(Ordering::Acquire) == 0 {
                        // Half of the connections would hang from now on: better that whoever watches the
                        // process starts it anew.
                        tracing::error!(
                            worker = index,
                            ?ended,
                            "a worker ended unasked: the process ends"
                        );
                        std::process::exit(EXIT_WORKER_LOST);
                    }
                });
            self.threads.push(thread.map_err(StartError::Thread)?);
        }
        Ok(())
    }

    /// Gives bound addresses to the workers.
    pub(super) fn listen(&mut self, bound: Vec<(Arc<Listener>, Bound)>) {
        for (listener, mut bound) in bound {
            bound.complete(self.workers.len());
            let key = ListenerKey(self.next_key);
            self.next_key += 1;
            tracing::info!(listener = %listener.name, address = %bound.address, tls = listener.tls.is_some(), "listening");
            let post = Post {
                key,
                meters: self.registry.listener_meters(&listener),
                listener,
                connections: Arc::default(),
                clients: Arc::default(),
            };
            // One that cannot be had twice cannot be handed over, and is served all the same.
            let again = bound.sockets.iter();
            let again = again.filter_map(|socket| socket.duplicate().ok()).collect();
            // There may be more sockets than workers, if the process before had more: none may be left alone.
            for (worker, socket) in self.workers.iter().cycle().zip(bound.sockets) {
                // A worker whose queue is closed has ended, and the process with it.
                let _ = worker.blocking_send(Command::Listen(post.clone(), socket));
            }
            self.listening.push(Listened {
                post,
                bound: bound.address,
                owner: bound.owner,
                sockets: again,
            });
        }
        let names = self
            .addresses()
            .map(|(name, address)| (name.to_owned(), address.to_string()))
            .collect();
        self.instance.set_addresses(names);
    }

    /// Sends each worker its command.
    pub(super) fn tell_each(&self, commands: impl IntoIterator<Item = Command>) {
        for (worker, command) in self.workers.iter().zip(commands) {
            // A worker whose queue is closed has ended, and the process with it.
            let _ = worker.blocking_send(command);
        }
    }

    /// Sends all workers a command.
    pub(super) fn tell_all(&self, command: impl Fn() -> Command) {
        self.tell_each(self.workers.iter().map(|_| command()));
    }

    pub(super) fn note_generation(&self) {
        metrics::gauge!("forecourt_config_generation").set(self.generation as f64);
        metrics::gauge!("forecourt_config_last_reload_success_timestamp_seconds")
            .set(crate::worker::unix_seconds() as f64);
    }
}

/// Binds addresses, all or none.
pub(super) fn bind_all<'a>(
    listeners: impl IntoIterator<Item = &'a Arc<Listener>>,
    workers: usize,
    given: &mut Given,
) -> Result<Vec<(Arc<Listener>, Bound)>, StartError> {
    let mut all = Vec::new();
    for listener in listeners {
        let role = Role::Listener(listener.name.to_string());
        match given.take_or_bind(&role, &listener.address, workers) {
            Ok(bound) => all.push((Arc::clone(listener), bound)),
            Err(error) => {
                unbind(&all);
                return Err(StartError::Bind(Arc::clone(&listener.name), error));
            }
        }
    }
    Ok(all)
}

/// Clears away what was bound and will not be listened on.
pub(super) fn unbind(bound: &[(Arc<Listener>, Bound)]) {
    for (_, bound) in bound {
        remove(&bound.address, bound.owner);
    }
}

/// Commands that may wait for a worker: a burst of handed-over connections.
const COMMANDS: usize = 1024;

/// Descriptors of a worker's runtime.
const FILES_PER_WORKER: usize = 4;

/// Descriptors of the thread that exports traces, with its connection.
const FILES_FOR_TRACES: usize = if cfg!(feature = "otel") { 5 } else { 0 };

/// Descriptors of all that runs beside the workers.
const FILES_BESIDE: usize = FILES_PER_WORKER + FILES_FOR_TRACES;

/// The exit code of a process whose worker is gone: not one of those with a meaning.
pub(super) const EXIT_WORKER_LOST: i32 = 70;
