//! A backend that answers bytes as it is told, and keeps what it got, whole or not.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

use socket2::SockRef;

use super::house::Writing;
use crate::harness::{DEADLINE, Fields, Framing, Head, Wire};

/// What it answers to requests for `/case`, in place of a sound 200 that names the target.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) bytes: Vec<u8>,
    pub(super) writing: Writing,
    /// Whether it answers when it has the head, rather than the whole request.
    pub(super) is_early: bool,
    pub(super) then: Then,
}

/// What it does with the connection behind a scripted answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Then {
    Close,
    Keep,
    Reset,
}

/// What came on one of its connections and began like a request.
#[derive(Clone, Debug)]
pub(super) struct Got {
    /// Which connection, counted from 1.
    pub(super) connection: usize,
    /// `None` if it was no head.
    pub(super) head: Option<Head>,
    pub(super) body: Body,
}

/// What is known of a body.
#[derive(Clone, Debug)]
pub(super) enum Body {
    Awaited,
    Broken(#[allow(dead_code, reason = "shown when a case fails")] String),
    Whole(Vec<u8>, Fields),
}

pub(super) struct Backend {
    address: SocketAddr,
    listener: Arc<TcpListener>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    script: Option<Script>,
    got: Vec<Got>,
    accepted: usize,
    /// Who was accepted.
    met: HashSet<SocketAddr>,
    /// The connections that stand, as far as this side knows.
    open: HashMap<usize, TcpStream>,
    /// How many scripted answers have been written to their end.
    answered: usize,
}

impl Backend {
    pub(super) fn new() -> Self {
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
        let shared = Arc::<Shared>::default();
        let (theirs, ours) = (Arc::clone(&listener), Arc::clone(&shared));
        let thread = thread::spawn(move || accept(&theirs, &ours));
        Self {
            address: listener.local_addr().unwrap(),
            listener,
            shared,
            thread: Some(thread),
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Forgets what it got; from now on it answers `/case` by this script.
    pub(super) fn begin(&self, script: Option<Script>) {
        let mut state = self.shared.lock();
        state.script = script;
        state.got.clear();
        state.answered = 0;
    }

    /// All that it got since it began, in the order in which it was seen.
    pub(super) fn got(&self) -> Vec<Got> {
        self.shared.lock().got.clone()
    }

    /// Waits until all that is on its way has been seen, and gives it. The request for `last` is known to be the
    /// last one: its connection, which is kept, must be the only one that is left.
    pub(super) fn settle(&self, last: &str) -> Result<Vec<Got>, String> {
        let got = self.got();
        let is_last = |got: &&Got| got.head.as_ref().is_some_and(|head| target(head) == last);
        let connection = got.iter().find(is_last).map_or(0, |got| got.connection);
        // Connections are accepted in order: when this one is, all before it have been.
        let stream = TcpStream::connect(self.address).map_err(|error| error.to_string())?;
        let from = stream.local_addr().map_err(|error| error.to_string())?;
        let is_met = |state: &State| state.met.contains(&from);
        drop(self.shared.wait("the backend accepts nothing", is_met)?);
        drop(stream);
        let what = format!("more than the connection of {last} is left");
        let state = self.shared.wait(&what, |state| {
            state.open.keys().all(|open| *open == connection)
        })?;
        Ok(state.got.clone())
    }

    /// Waits until the script has been carried out once.
    pub(super) fn wait_for_answer(&self) -> Result<(), String> {
        self.shared
            .wait("the backend was not asked", |state| state.answered > 0)
            .map(drop)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        // Wakes the thread out of its accept.
        let _ = SockRef::from(&*self.listener).shutdown(Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        for stream in self.shared.lock().open.values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.lock());
        self.changed.notify_all();
        changed
    }

    fn wait(
        &self,
        what: &str,
        is_so: impl Fn(&State) -> bool,
    ) -> Result<MutexGuard<'_, State>, String> {
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), DEADLINE, |state| !is_so(state));
        let (state, result) = waited.unwrap();
        if result.timed_out() {
            return Err(format!("{what}: it got {:?}", state.got));
        }
        Ok(state)
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((stream, from)) = listener.accept() {
        let (Ok(handle), Ok(())) = (stream.try_clone(), stream.set_nodelay(true)) else {
            continue;
        };
        let number = shared.change(|state| {
            state.accepted += 1;
            state.met.insert(from);
            state.open.insert(state.accepted, handle);
            state.accepted
        });
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            let mut wire = Wire::new(stream);
            serve(&shared, &mut wire, number);
            // Both handles go, then the socket does: in order, or as a reset.
            shared.change(|state| {
                drop(wire);
                state.open.remove(&number);
            });
        });
    }
}

/// Serves one connection until it ends, or until what comes is no request.
fn serve(shared: &Shared, wire: &mut Wire, connection: usize) {
    while !wire.ahead().is_empty() || wire.fill().is_ok() {
        let (head, framing) = match wire.read_head() {
            Ok(head) => {
                let framing = head.fields.framing();
                (Some(head), framing.map_err(|error| error.to_string()))
            }
            Err(error) => (None, Err(error.to_string())),
        };
        let target = head.as_ref().map_or("", target).to_owned();
        let is_head = head
            .as_ref()
            .is_some_and(|head| head.first_line.starts_with("HEAD "));
        let wants_leave = head
            .as_ref()
            .is_some_and(|head| head.fields.lists("expect", "100-continue"));
        let (at, script) = shared.change(|state| {
            let body = Body::Awaited;
            state.got.push(Got {
                connection,
                head,
                body,
            });
            let script = state.script.clone().filter(|_| target == "/case");
            (state.got.len() - 1, script)
        });
        if let Some(script) = script.as_ref().filter(|script| script.is_early)
            && answer(shared, wire, script).is_err()
        {
            return;
        }
        let body = match framing {
            Ok(framing) => {
                if wants_leave && script.is_none() {
                    let _ = wire.stream().write_all(b"HTTP/1.1 100 Continue\r\n\r\n");
                }
                let body = wire.read_body(framing.unwrap_or(Framing::None));
                match body.fault {
                    None => Body::Whole(body.bytes, body.trailers),
                    Some(fault) => Body::Broken(fault.to_string()),
                }
            }
            Err(fault) => Body::Broken(fault),
        };
        let is_whole = matches!(body, Body::Whole(..));
        shared.change(|state| {
            // It may have been forgotten meanwhile.
            if let Some(got) = state.got.get_mut(at) {
                got.body = body;
            }
        });
        let answered = match script {
            _ if !is_whole => return,
            None => usual(wire.stream(), &target, is_head),
            Some(script) if script.is_early => Ok(()),
            Some(script) => answer(shared, wire, &script),
        };
        if answered.is_err() {
            return;
        }
    }
}

/// Carries a script out; an error if the connection ends with it.
fn answer(shared: &Shared, wire: &Wire, script: &Script) -> io::Result<()> {
    let mut written = Ok(());
    for piece in script.writing.pieces(&script.bytes) {
        let mut stream = wire.stream();
        // The balancer may have had enough.
        written = written.and_then(|()| stream.write_all(piece));
    }
    match script.then {
        Then::Keep => {}
        Then::Close => wire.stream().shutdown(Shutdown::Write)?,
        Then::Reset => SockRef::from(wire.stream()).set_linger(Some(std::time::Duration::ZERO))?,
    }
    shared.change(|state| state.answered += 1);
    match script.then {
        Then::Reset => Err(io::ErrorKind::ConnectionReset.into()),
        Then::Close | Then::Keep => written,
    }
}

fn usual(mut stream: &TcpStream, target: &str, is_head: bool) -> io::Result<()> {
    let body = if is_head { "" } else { target };
    let length = target.len();
    let head =
        format!("HTTP/1.1 200 OK\r\nx-target: {target}\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(head.as_bytes())
}

fn target(head: &Head) -> &str {
    head.first_line.split(' ').nth(1).unwrap_or_default()
}
