//! What one worker runs: its accept loops, its connections, its wheel, and commands from the control thread.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ahash::RandomState;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::entrance::{self, Guest};
use crate::backend;
use crate::listener::accept::{Detached, Door, Retirement};
use crate::listener::clients::Clients;
use crate::listener::tls::{Acceptor, TlsShared};
use crate::listener::{Accepted, Budget, Listening, Socket};
use crate::plan::Listener;
use crate::proxy::Proxy;
use crate::server::{ListenerKey, h1, h2};
use crate::snapshot::{Snapshots, View};
use crate::telemetry::{AccessLog, Cause, ListenerMeters, TlsResult, WorkerId};
use crate::upstream::{Upstream, turns_of};
use crate::worker::{Crew, Descriptors, Worker};

/// What a worker is made of.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) id: WorkerId,
    pub(super) seed: u64,
    pub(super) snapshots: Arc<Snapshots>,
    pub(super) log: AccessLog,
    #[cfg(feature = "otel")]
    pub(super) spans: crate::otel::Outlet,
    pub(super) budget: Arc<Budget>,
    pub(super) most_idle: usize,
    pub(super) descriptors: Arc<Descriptors>,
    pub(super) tls: TlsShared,
    /// The ways to all workers, this one included.
    pub(super) workers: Vec<mpsc::Sender<Command>>,
    pub(super) commands: mpsc::Receiver<Command>,
}

/// What the control thread, or another worker, asks of a worker.
#[derive(Debug)]
pub(super) enum Command {
    /// Listen on one more address.
    Listen(Post, Socket),
    /// Listen no more on this address; the sender is dropped when the socket is closed.
    Retire(ListenerKey, std::sync::mpsc::Sender<()>),
    /// Listen no more on this address, where another process now does; the sender as before.
    Leave(ListenerKey, std::sync::mpsc::Sender<()>),
    /// Serve a connection that another worker accepted.
    Serve(Post, Detached),
    /// There is a new generation.
    Refresh,
    /// Take no new connections, and close those there are behind their answers; idle ones after this.
    /// The sender is dropped when the listening sockets are closed.
    Drain(Instant, mpsc::Sender<()>),
    /// Tell so many of 255 WebSockets to go.
    CallOff(u8),
    /// End now.
    Stop,
}

/// An address that is listened on, as all workers know it.
#[derive(Clone, Debug)]
pub(super) struct Post {
    pub(super) key: ListenerKey,
    pub(super) listener: Arc<Listener>,
    pub(super) connections: Arc<AtomicUsize>,
    pub(super) clients: Arc<Clients>,
    pub(super) meters: Arc<ListenerMeters>,
}

/// Runs a worker until it is told to stop.
///
/// # Errors
/// When the runtime cannot be made.
pub(super) fn run(setup: Setup) -> std::io::Result<()> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let Setup { commands, .. } = &setup;
        debug_assert!(!commands.is_closed());
        Bench::new(setup).work().await;
    });
    Ok(())
}

type Data = Proxy<Upstream>;

/// The worker's place of work.
struct Bench {
    parts: Rc<Parts>,
    commands: mpsc::Receiver<Command>,
    listening: HashMap<ListenerKey, Vec<Loop>>,
}

/// An accept loop that runs.
struct Loop {
    retired: Rc<Retirement>,
    task: JoinHandle<()>,
}

/// What its tasks share.
pub(super) struct Parts {
    pub(super) worker: Rc<Worker>,
    pub(super) proxy: Rc<Data>,
    log: Rc<RefCell<AccessLog>>,
    budget: Arc<Budget>,
    tls: TlsShared,
    /// Who serves connections.
    crew: Rc<Crew<(Rc<Post>, Accepted)>>,
    acceptors: RefCell<HashMap<ListenerKey, Acceptor>>,
    /// How often backends have called tunnels off, as it was last seen: a change wakes those that are silent.
    called_off: Cell<u64>,
    /// What is listened on no more, as long as it may have connections.
    retired: RefCell<Vec<Post>>,
    workers: Vec<mpsc::Sender<Command>>,
}

impl Bench {
    fn new(setup: Setup) -> Self {
        let worker = Worker::new(setup.id, setup.seed);
        let pipes = worker.pipes();
        pipes.draw_on(&setup.descriptors, setup.workers.len());
        let log = Rc::new(RefCell::new(setup.log));
        let most = (setup.most_idle, turns_of(setup.workers.len()));
        let upstream = Upstream::new(Rc::clone(&worker), most, setup.descriptors);
        let proxy = Proxy::new(
            Rc::clone(&worker),
            setup.snapshots.reader(),
            upstream,
            Rc::clone(&log),
        );
        #[cfg(feature = "otel")]
        let proxy = proxy.with_spans(setup.spans);
        Self {
            parts: Rc::new(Parts {
                worker,
                proxy: Rc::new(proxy),
                log,
                budget: setup.budget,
                tls: setup.tls,
                crew: Rc::default(),
                acceptors: RefCell::default(),
                called_off: Cell::default(),
                retired: RefCell::default(),
                workers: setup.workers,
            }),
            commands: setup.commands,
            listening: HashMap::new(),
        }
    }

    async fn work(mut self) {
        tokio::task::spawn_local(Rc::clone(self.parts.worker.wheel()).run());
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut ticks = 0_u64;
        loop {
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(Command::Stop) | None => break,
                    Some(command) => self.obey(command),
                },
                _ = tick.tick() => {
                    ticks += 1;
                    self.parts.tidy(ticks);
                }
            }
        }
        self.parts.log.borrow_mut().flush();
    }

    fn obey(&mut self, command: Command) {
        let parts = &self.parts;
        match command {
            Command::Listen(post, socket) => self.listen(post, socket),
            Command::Retire(key, closed) => self.end_loops(key, Retirement::retire, closed),
            Command::Leave(key, closed) => self.end_loops(key, Retirement::leave, closed),
            Command::Serve(post, detached) => parts.serve_detached(&Rc::new(post), detached),
            Command::Refresh => parts.refresh(),
            Command::Drain(idle_until, closed) => {
                parts.worker.drain(idle_until);
                let loops = self.listening.drain().flat_map(|(_, loops)| loops);
                end(loops.collect(), Retirement::retire, closed);
            }
            Command::CallOff(share) => parts.worker.call_off(share),
            Command::Stop => {}
        }
    }

    fn end_loops<C: 'static>(&mut self, key: ListenerKey, how: fn(&Retirement), closed: C) {
        let loops = self.listening.remove(&key).unwrap_or_default();
        end(loops, how, closed);
    }

    fn listen(&mut self, post: Post, socket: Socket) {
        let parts = &self.parts;
        let listening = Listening::new(
            socket,
            parts.worker.id(),
            Arc::clone(&parts.budget),
            Arc::clone(&post.connections),
        );
        match listening {
            Ok(listening) => {
                let key = post.key;
                let retired = listening.retirement();
                let parts = Rc::clone(parts);
                let task = tokio::task::spawn_local(async move {
                    let door = FrontDoor {
                        parts: Rc::clone(&parts),
                        post: Rc::new(post.clone()),
                    };
                    listening.run(door).await;
                    parts.retired.borrow_mut().push(post);
                });
                let loops = self.listening.entry(key).or_default();
                loops.push(Loop { retired, task });
            }
            // The other workers' sockets take its share of connections only when this one is closed.
            Err(error) => {
                tracing::error!(listener = %post.listener.name, %error, "a worker cannot listen")
            }
        }
    }
}

/// Ends accept loops; `closed` is dropped when their sockets are closed.
fn end<C: 'static>(loops: Vec<Loop>, how: fn(&Retirement), closed: C) {
    loops.iter().for_each(|accepting| how(&accepting.retired));
    tokio::task::spawn_local(async move {
        for accepting in loops {
            // However it ended, its socket is closed.
            let _ = accepting.task.await;
        }
        drop(closed);
    });
}

struct FrontDoor {
    parts: Rc<Parts>,
    /// By a count that is the worker's own.
    post: Rc<Post>,
}

impl Door for FrontDoor {
    fn listener(&self) -> Arc<Listener> {
        self.parts
            .proxy
            .listener_now(self.post.key, &self.post.listener)
    }

    fn take(&self, accepted: Accepted) {
        let worker = accepted.permit.worker();
        if worker == self.parts.worker.id() {
            return self.parts.serve(&self.post, accepted);
        }
        let command = match accepted.detach() {
            Ok(detached) => Command::Serve(Post::clone(&self.post), detached),
            Err(error) => return tracing::warn!(%error, "a connection cannot be handed over"),
        };
        // A queue that is full is a worker that is not so idle after all.
        if let Err(error) = self.parts.workers[worker.0].try_send(command)
            && let Command::Serve(post, detached) = error.into_inner()
        {
            self.parts.serve_detached(&Rc::new(post), detached);
        }
    }

    fn paused(&self) {
        let worker = self.parts.worker.id();
        self.post.meters.at(worker).pauses.add(1);
    }

    fn make_room(&self) {
        self.parts.worker.pipes().make_room();
        self.parts.proxy.transport().store().evict_some();
    }
}

impl Parts {
    /// Serves a connection, in a task that has served others if there is one.
    fn serve(self: &Rc<Self>, post: &Rc<Post>, accepted: Accepted) {
        let parts = Rc::clone(self);
        let job = (Rc::clone(post), accepted);
        self.crew.give(job, |hand| async move {
            // In place, not in a function of its own: what one is called with lies in its future to the end.
            while let Some((post, accepted)) = hand.next().await {
                let Accepted {
                    stream,
                    peer,
                    permit,
                } = accepted;
                let counted = Counted::new(parts.worker.id(), Rc::clone(&post));
                let entered = {
                    let listener = parts.proxy.listener_now(post.key, &post.listener);
                    if entrance::is_open(&listener) {
                        Some(entrance::walk_in(&listener, &post, stream, peer))
                    } else {
                        // Boxed, or every connection would hold room for a handshake for its whole life.
                        let entering = (&*parts, &*post, listener);
                        Box::pin(entrance::enter(entering, (stream, peer), &counted)).await
                    }
                };
                drop(post);
                let Some(guest) = entered else {
                    continue;
                };
                let Guest {
                    stream,
                    early,
                    peer,
                    place,
                    unwelcome,
                } = guest;
                let (proxy, worker) = (Rc::clone(&parts.proxy), Rc::clone(&parts.worker));
                match unwelcome {
                    None if stream.speaks_http2() => {
                        let peer = Rc::new(peer);
                        Box::pin(h2::serve(stream, early, peer, proxy, worker)).await;
                    }
                    None => h1::serve(stream, early, peer, proxy, worker).await,
                    Some(cause) => {
                        Box::pin(h1::turn_away(stream, early, peer, cause, proxy, worker)).await;
                    }
                }
                drop((counted, place, permit));
            }
        });
    }

    fn serve_detached(self: &Rc<Self>, post: &Rc<Post>, detached: Detached) {
        match detached.attach() {
            Ok(accepted) => self.serve(post, accepted),
            Err(error) => tracing::warn!(%error, "an accepted connection cannot be served"),
        }
    }

    /// The acceptor of a listener's settings of now.
    pub(super) fn acceptor(&self, key: ListenerKey, listener: &Arc<Listener>) -> Option<Acceptor> {
        let mut acceptors = self.acceptors.borrow_mut();
        if let Some(acceptor) = acceptors.get_mut(&key)
            && acceptor.follow(listener)
        {
            return Some(acceptor.clone());
        }
        match self.tls.acceptor(listener) {
            Ok(acceptor) => {
                let acceptor = acceptor?;
                acceptors.insert(key, acceptor.clone());
                Some(acceptor)
            }
            Err(error) => {
                tracing::error!(listener = %listener.name, %error, "TLS settings are refused");
                None
            }
        }
    }

    /// Sees the newest generation, so that an idle worker holds no old one.
    fn refresh(&self) {
        self.proxy.view();
    }

    fn tidy(&self, ticks: u64) {
        self.log.borrow_mut().flush();
        self.worker.pipes().make_room();
        self.proxy.transport().store().make_room();
        self.wake_called_off();
        if ticks.is_multiple_of(TICKS_PER_SWEEP) {
            self.forget_retired();
            // Also lets go of members as they stood before: who is idle takes no requests that would.
            let view = self.proxy.view();
            let transport = self.proxy.transport();
            let (store, lines) = (transport.store(), transport.lines());
            if !store.is_empty() || !lines.is_empty() {
                let wanted = numbers(&view);
                store.sweep(|backend| wanted.contains(&backend.number()));
                lines.sweep(|backend| wanted.contains(&backend));
            }
        }
    }

    /// Wakes tunnels when a backend calls off more of its own: in silence they would not see it.
    fn wake_called_off(&self) {
        let calls = backend::calls();
        if self.called_off.replace(calls) != calls {
            self.worker.wheel().wake_all();
        }
    }

    /// Drops what is kept for listeners that are gone, with the last of their connections.
    fn forget_retired(&self) {
        self.retired.borrow_mut().retain(|post| {
            let is_over = post.connections.load(Ordering::Relaxed) == 0;
            if is_over {
                self.proxy.forget_listener(post.key);
                self.acceptors.borrow_mut().remove(&post.key);
            }
            !is_over
        });
    }
}

/// The numbers of all backends that a generation names.
fn numbers(view: &View) -> HashSet<u32, RandomState> {
    let members = view.pools.iter().flat_map(|pool| pool.members.all());
    members.map(|member| member.backend.number()).collect()
}

/// A connection in the listener's figures.
pub(super) struct Counted {
    post: Rc<Post>,
    worker: WorkerId,
}

impl Counted {
    fn new(worker: WorkerId, post: Rc<Post>) -> Self {
        post.meters.at(worker).connections.increment();
        Self { post, worker }
    }

    /// Notes what became of a handshake.
    pub(super) fn handshake(&self, result: TlsResult) {
        self.post.meters.at(self.worker).handshakes[result.index()].add(1);
    }

    /// Notes a connection that is closed without a word.
    pub(super) fn refused(&self, cause: Cause) {
        self.post.meters.at(self.worker).refused[cause.index()].add(1);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.post.meters.at(self.worker).connections.decrement();
    }
}

/// How often log lines are handed on and the store is looked after.
const TICK: Duration = Duration::from_millis(250);
const TICKS_PER_SWEEP: u64 = 4;
