//! Load: connections that do one request after the other and look at every byte of every answer.
//!
//! [`LoadOrigin`] answers bodies whose content follows from the target, and checks those it is sent; [`Load`]
//! keeps so many connections busy from one thread until it is stopped, and tells of each request that went
//! wrong which one it was, how, and what became of its connection. Nothing is tried again.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use super::errand::{Errand, Talk, UPLOAD, compare, pattern, put_body};
use super::wait::DEADLINE;
use super::wire::{Framing, WireError};

/// An origin for load: any number of connections on one thread.
#[derive(Debug)]
pub(crate) struct LoadOrigin {
    address: SocketAddr,
    served: Arc<Mutex<HashMap<SocketAddr, u64>>>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl LoadOrigin {
    /// Starts one on 127.0.0.1.
    pub(crate) fn start() -> Self {
        Self::on(Ipv4Addr::LOCALHOST)
    }

    /// Starts one that answers at every address of this machine, 127.x.y.z included, on one port.
    pub(crate) fn everywhere() -> Self {
        Self::on(Ipv4Addr::UNSPECIFIED)
    }

    fn on(address: Ipv4Addr) -> Self {
        raise_limit();
        let (say, told) = mpsc::channel();
        let (end, ended) = oneshot::channel();
        let served = Arc::default();
        let counts = Arc::clone(&served);
        let thread = thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime can be made").block_on(async {
                let listener = TcpListener::bind((address, 0)).await;
                let listener = listener.expect("the kernel has a free port");
                let _ = say.send(listener.local_addr());
                tokio::select! {
                    () = accept(listener, counts) => {}
                    _ = ended => {}
                }
            });
        });
        let address = told.recv().expect("the origin's thread has begun");
        Self {
            address: address.expect("a bound socket has an address"),
            served,
            end: Some(end),
            thread: Some(thread),
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests it has answered, by the address at which they came.
    pub(crate) fn served(&self) -> HashMap<SocketAddr, u64> {
        self.served.lock().expect("counting does not panic").clone()
    }
}

impl Drop for LoadOrigin {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, served: Arc<Mutex<HashMap<SocketAddr, u64>>>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let served = Arc::clone(&served);
        tokio::spawn(async move {
            let here = stream.local_addr()?;
            let mut talk = Talk::new(stream)?;
            while let Ok(answer) = answer(&mut talk, here).await {
                *served
                    .lock()
                    .expect("counting does not panic")
                    .entry(here)
                    .or_insert(0) += 1;
                talk.stream.write_all(&answer).await?;
            }
            io::Result::Ok(())
        });
    }
}

/// Reads a request and gives the bytes of the answer to it.
async fn answer(talk: &mut Talk, here: SocketAddr) -> Result<Vec<u8>, WireError> {
    let (line, fields) = talk.read_head().await?;
    let framing = fields.framing()?.unwrap_or(Framing::None);
    let mut body = Vec::new();
    talk.read_body(framing, &mut body).await?;
    let target = line.split(' ').nth(1).unwrap_or_default();
    let mut wrong = "no errand".to_owned();
    if let Some(errand) = Errand::read(target) {
        let expected = pattern(errand.seed + UPLOAD, errand.up.unwrap_or(0));
        match compare(&body, expected) {
            Ok(()) => {
                let mut bytes = format!("HTTP/1.1 200 OK\r\nx-origin: {here}\r\n").into_bytes();
                let body = pattern(errand.seed, errand.down);
                put_body(&mut bytes, body, errand.down_chunked);
                return Ok(bytes);
            }
            Err(how) => wrong = how,
        }
    }
    let mut bytes = b"HTTP/1.1 500 Wrong\r\n".to_vec();
    put_body(
        &mut bytes,
        format!("the origin got {wrong}").as_bytes(),
        false,
    );
    Ok(bytes)
}

/// Connections that are kept busy.
#[derive(Debug)]
pub(crate) struct Load {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

/// What came of a load.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Requests that were answered whole and right.
    pub(crate) requests: u64,
    /// Bytes of bodies that were looked at, both ways.
    pub(crate) bytes: u64,
    /// Connections that were opened; more than was asked for only after faults.
    pub(crate) connections: u64,
    /// Everything that went wrong.
    pub(crate) faults: Vec<Fault>,
}

/// A request that went wrong.
#[derive(Debug)]
pub(crate) struct Fault {
    connection: usize,
    /// Counted from 1 on this connection's place, over reconnections.
    number: u64,
    request: String,
    what: String,
    fate: &'static str,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    requests: AtomicU64,
    bytes: AtomicU64,
    connections: AtomicU64,
    faults: Mutex<Vec<Fault>>,
}

impl Load {
    /// Keeps so many connections to `address` busy.
    pub(crate) fn start(address: SocketAddr, connections: usize) -> Self {
        raise_limit();
        let shared = Arc::<Shared>::default();
        let ours = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime can be made").block_on(async {
                let all: Vec<_> = (0..connections)
                    .map(|connection| tokio::spawn(keep_busy(address, connection, ours.clone())))
                    .collect();
                for task in all {
                    task.await.expect("a connection of the load does not panic");
                }
            });
        });
        Self { shared, thread }
    }

    /// Requests answered so far.
    pub(crate) fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// Lets each connection finish its request, and tells what happened.
    pub(crate) fn stop(self) -> Tally {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the load does not panic");
        let shared = &self.shared;
        let faults = std::mem::take(&mut *shared.faults.lock().expect("noting does not panic"));
        Tally {
            requests: shared.requests.load(Ordering::Relaxed),
            bytes: shared.bytes.load(Ordering::Relaxed),
            connections: shared.connections.load(Ordering::Relaxed),
            faults,
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} requests and {} MiB of bodies on {} connections, {} went wrong",
            self.requests,
            self.bytes / (1024 * 1024),
            self.connections,
            self.faults.len()
        )?;
        self.faults
            .iter()
            .take(20)
            .try_for_each(|fault| write!(f, "\n{fault}"))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            connection,
            number,
            request,
            what,
            fate,
        } = self;
        write!(
            f,
            "connection {connection}, request {number}, {request}: {what}; {fate}"
        )
    }
}

async fn keep_busy(address: SocketAddr, connection: usize, shared: Arc<Shared>) {
    let mut talk = None;
    let mut number = 0;
    while !shared.stop.load(Ordering::Relaxed) {
        let errand = Errand::of_load(connection, number);
        number += 1;
        let done = tokio::time::timeout(DEADLINE, run(address, &mut talk, &errand, &shared)).await;
        let (what, fate) = match done {
            Ok(Ok(())) => continue,
            Ok(Err(wrong)) => wrong,
            Err(_) => (
                "no whole answer in time".to_owned(),
                "the connection was not closed",
            ),
        };
        talk = None;
        let fault = Fault {
            connection,
            number,
            request: errand.to_string(),
            what,
            fate,
        };
        let mut faults = shared.faults.lock().expect("noting does not panic");
        faults.push(fault);
        // Whatever is wrong is not a matter of one request then.
        if faults.len() > 200 {
            return;
        }
    }
}

/// Does one request; says what went wrong with it and with its connection.
async fn run(
    address: SocketAddr,
    talk: &mut Option<Talk>,
    errand: &Errand,
    shared: &Shared,
) -> Result<(), (String, &'static str)> {
    if talk.is_none() {
        let refused = |error| (format!("connecting: {error}"), "there was no connection");
        let stream = TcpStream::connect(address).await.map_err(refused)?;
        *talk = Some(Talk::new(stream).map_err(refused)?);
        shared.connections.fetch_add(1, Ordering::Relaxed);
    }
    let talk = talk.as_mut().expect("it was just put there");
    // A server may answer and close before it has read all: its answer counts, if there is one.
    let sent = talk.stream.write_all(&errand.to_bytes()).await;
    let (status, fields) = match (talk.read_head().await, sent) {
        (Ok(head), _) => head,
        (Err(error), Ok(())) => return Err((format!("no head: {error}"), fate(&error))),
        (Err(error), Err(sending)) => {
            return Err((
                format!("sending: {sending}; no head: {error}"),
                fate(&error),
            ));
        }
    };
    let mut body = Vec::new();
    let framing = fields
        .framing()
        .map(|framing| framing.unwrap_or(Framing::UntilClose));
    let read = match framing {
        Ok(framing) => talk.read_body(framing, &mut body).await,
        Err(error) => Err(error),
    };
    if let Err(error) = read {
        let what = format!("{status:?} cut after {} bytes: {error}", body.len());
        return Err((what, fate(&error)));
    }
    let closes = fields.lists("connection", "close");
    let fate = if closes {
        "the connection ends behind the answer"
    } else {
        "the connection stands"
    };
    errand
        .verify(&status, &fields, &body)
        .map_err(|what| (what, fate))?;
    if closes {
        return Err(("answered, with connection: close".to_owned(), fate));
    }
    if !talk.ahead.is_empty() {
        let what = format!("{} bytes behind the answer", talk.ahead.len());
        return Err((what, fate));
    }
    shared.requests.fetch_add(1, Ordering::Relaxed);
    let bytes = errand.down + errand.up.unwrap_or(0);
    shared.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    Ok(())
}

fn fate(error: &WireError) -> &'static str {
    match error {
        WireError::Closed => "the connection was closed under it",
        WireError::Reset => "the connection was reset under it",
        WireError::TimedOut | WireError::Malformed(_) | WireError::Io(_) => {
            "the connection was not closed"
        }
    }
}

/// Lets this process have as many descriptors as it may.
pub(crate) fn raise_limit() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::{Behaviour, Origin, wait_until};
    use super::*;

    /// What the first request of a load on this behaviour is said to have met.
    fn fault_at(behaviour: Behaviour) -> String {
        let origin = Origin::named("a");
        origin.behave(behaviour);
        let load = Load::start(origin.address(), 1);
        let has_fault = || !load.shared.faults.lock().unwrap().is_empty();
        wait_until(DEADLINE, "a fault", has_fault);
        let tally = load.stop();
        assert_eq!(tally.requests, 0, "{tally}");
        tally.faults[0].to_string()
    }

    #[test]
    fn a_fault_says_which_request_failed_how_and_what_became_of_its_connection() {
        let first = "connection 0, request 1, GET /0/0/chunked/none: ";
        for (behaviour, expected) in [
            (
                Behaviour::Close,
                "no head: closed; the connection was closed under it",
            ),
            (
                Behaviour::Reset,
                "no head: reset; the connection was reset under it",
            ),
            (
                Behaviour::CutBody,
                "\"HTTP/1.1 200 As-Told\" cut after 500 bytes: closed; the connection was closed under it",
            ),
            (
                Behaviour::Answer,
                "a body of 1 bytes in place of 0, right up to byte 0; the connection stands",
            ),
            (
                Behaviour::Status(502),
                "\"HTTP/1.1 502 As-Told\", forecourt-error none, body \"a\"; the connection stands",
            ),
        ] {
            assert_eq!(fault_at(behaviour), format!("{first}{expected}"));
        }
    }

    #[test]
    fn what_a_load_origin_answers_is_right_and_what_it_gets_is_looked_at() {
        let origin = LoadOrigin::start();
        let load = Load::start(origin.address(), 3);
        wait_until(DEADLINE, "requests of all kinds", || load.requests() >= 200);
        let tally = load.stop();
        assert!(tally.faults.is_empty(), "{tally}");
        let served: u64 = origin.served().values().sum();
        assert_eq!((served, tally.connections), (tally.requests, 3));
        let wrong = super::super::Request::post("/7/5/length/3", b"abc");
        let answer = super::super::Client::of(origin.address()).send(&wrong);
        assert_eq!(answer.status, 500);
        assert!(answer.text().contains("right up to byte 0"), "{answer}");
    }
}
