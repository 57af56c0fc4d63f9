//! What the admin API knows of the running process.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Instant, SystemTime};

use rustls::ServerConfig;
use tokio::sync::{mpsc, oneshot};

use super::events::Listening;
use super::order::{Done, Order, Refusal, Wish};
use super::stats::Looking;
use crate::plan::AdminToken;
use crate::snapshot::{Registry, Snapshots};
use crate::telemetry::{Events, Facade, Recent};

/// The running process, as far as it can be looked at.
#[derive(Debug)]
pub struct Instance {
    pub(super) snapshots: Arc<Snapshots>,
    pub(super) registry: Arc<Registry>,
    pub(super) facade: &'static Facade,
    /// Requests that are remembered.
    pub(super) recent: Arc<Recent>,
    pub(super) started: SystemTime,
    pub(super) begun: Instant,
    state: AtomicU8,
    /// Whether first verdicts on backends are waited for.
    held: Mutex<bool>,
    released: Condvar,
    addresses: RwLock<Vec<(String, String)>>,
    /// What whoever steers over TCP must show, and whoever looks from another machine; without it nobody can.
    token: RwLock<Option<AdminToken>>,
    /// What does handshakes for the API, if it speaks TLS.
    tls: RwLock<Option<Arc<ServerConfig>>>,
    /// The way to whoever governs; absent before there is somebody, and when there is nobody any more.
    governor: RwLock<Option<mpsc::Sender<Order>>>,
    pub(super) events: Events,
    pub(super) listening: Listening,
    pub(super) looking: Looking,
}

/// Where in its life the process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not serving yet.
    Starting,
    /// Serving.
    Serving,
    /// Ending: it serves what it has, and wants no more.
    Draining,
}

impl Instance {
    /// A process that is starting.
    pub fn new(
        snapshots: Arc<Snapshots>,
        registry: Arc<Registry>,
        (facade, recent): (&'static Facade, Arc<Recent>),
    ) -> Self {
        Self {
            snapshots,
            registry,
            facade,
            recent,
            started: SystemTime::now(),
            begun: Instant::now(),
            state: AtomicU8::new(State::Starting as u8),
            held: Mutex::new(false),
            released: Condvar::new(),
            addresses: RwLock::default(),
            token: RwLock::default(),
            tls: RwLock::default(),
            governor: RwLock::default(),
            events: Events::default(),
            listening: Listening::default(),
            looking: Looking::default(),
        }
    }

    /// The same, telling of what this log keeps.
    #[must_use]
    pub fn with_events(mut self, events: Events) -> Self {
        self.events = events;
        self
    }

    /// The same, to be steered by whoever shows this token.
    #[must_use]
    pub fn with_token(self, token: Option<AdminToken>) -> Self {
        self.set_token(token);
        self
    }

    /// Has the process be steered by whoever shows this token from now on. What another one has opened ends.
    pub fn set_token(&self, token: Option<AdminToken>) {
        let mut current = self.token.write().unwrap_or_else(PoisonError::into_inner);
        if *current == token {
            return;
        }
        *current = token;
        drop(current);
        // Not before: who listens must not come back by the token that was.
        self.listening.end_those_there();
    }

    /// What whoever steers over TCP must show.
    pub(super) fn token(&self) -> Option<AdminToken> {
        let token = self.token.read().unwrap_or_else(PoisonError::into_inner);
        token.clone()
    }

    /// Has this do the handshakes of the API from now on.
    pub fn set_tls(&self, tls: Option<Arc<ServerConfig>>) {
        *self.tls.write().unwrap_or_else(PoisonError::into_inner) = tls;
    }

    /// What does handshakes for the API, if it speaks TLS.
    pub(super) fn tls(&self) -> Option<Arc<ServerConfig>> {
        let tls = self.tls.read().unwrap_or_else(PoisonError::into_inner);
        tls.clone()
    }

    /// Takes the orders from now on, until what is returned is dropped.
    pub fn govern(&self) -> mpsc::Receiver<Order> {
        let (sender, receiver) = mpsc::channel(ORDERS);
        let mut governor = self
            .governor
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *governor = Some(sender);
        receiver
    }

    /// Has whoever governs do something; says why if nobody does now. Dropping it leaves the order standing.
    pub(super) async fn order(
        &self,
        who: String,
        wish: Wish,
    ) -> Result<Result<Done, Refusal>, String> {
        let governor = self.governor.read();
        let governor = governor.unwrap_or_else(PoisonError::into_inner).clone();
        let (answer, answered) = oneshot::channel();
        let Some(governor) = governor else {
            return Err(self.nobody_governs());
        };
        governor
            .try_send(Order { who, wish, answer })
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => {
                    "too many changes wait already: ask again in a moment".to_owned()
                }
                mpsc::error::TrySendError::Closed(_) => self.nobody_governs(),
            })?;
        answered.await.map_err(|_| self.nobody_governs())
    }

    fn nobody_governs(&self) -> String {
        let state = self.state().as_str();
        match self.state() {
            State::Draining => format!("the instance is {state}: its configuration stays as it is"),
            State::Starting => {
                format!("the instance is {state}: nothing can be changed yet, ask again in a moment")
            }
            State::Serving => "this process takes no changes of its configuration now: it has just begun, or is about to end, or is no `forecourt run`".to_owned(),
        }
    }

    /// Says that it serves.
    pub fn serving(&self) {
        self.state.store(State::Serving as u8, Ordering::Release);
    }

    /// Says that it is not ready before [`Instance::release`], even though it serves.
    pub fn hold(&self) {
        *self.held() = true;
    }

    /// Says that no first verdict on a backend is waited for any more.
    pub fn release(&self) {
        *self.held() = false;
        self.released.notify_all();
    }

    /// Blocks until no first verdict on a backend is waited for any more.
    pub fn wait_for_release(&self) {
        let released = self.released.wait_while(self.held(), |held| *held);
        drop(released.unwrap_or_else(PoisonError::into_inner));
    }

    fn held(&self) -> MutexGuard<'_, bool> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that it is ending.
    pub fn draining(&self) {
        self.state.store(State::Draining as u8, Ordering::Release);
    }

    /// Where in its life it is.
    pub fn state(&self) -> State {
        match self.state.load(Ordering::Acquire) {
            0 => State::Starting,
            1 if *self.held() => State::Starting,
            1 => State::Serving,
            _ => State::Draining,
        }
    }

    /// Names the addresses that are listened on: listener and address.
    pub fn set_addresses(&self, addresses: Vec<(String, String)>) {
        *self
            .addresses
            .write()
            .unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    pub(super) fn addresses(&self) -> Vec<(String, String)> {
        self.addresses
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl State {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Serving => "serving",
            Self::Starting => "starting",
        }
    }
}

/// Changes that may wait for one another.
const ORDERS: usize = 16;
