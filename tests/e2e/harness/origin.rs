//! A backend that answers its name, remembers what it was asked, and misbehaves when told to.
//!
//! One thread accepts, one serves each connection; dropping the origin ends them all. Its port is held by
//! a second socket that never listens, so that an origin that refuses keeps its address to itself.

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use super::client::reset;
use super::wait::{DEADLINE, wait_until};
use super::wire::{Body, Fields, Framing, Wire, WireError};

/// An HTTP/1.1 server on an address of the kernel's choosing.
#[derive(Debug)]
pub(crate) struct Origin {
    address: SocketAddr,
    /// Bound and never listening.
    _holder: Socket,
    shared: Arc<Shared>,
    listening: Option<(Arc<TcpListener>, JoinHandle<()>)>,
}

/// What an origin does with a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Behaviour {
    /// 200 with its name as body.
    #[default]
    Answer,
    /// Its name with another status.
    Status(u16),
    /// These bytes as they are; then the next request.
    Raw(Vec<u8>),
    /// Bytes that are no HTTP, then a close.
    Garbage,
    /// An orderly close in place of a response.
    Close,
    /// A reset in place of a response.
    Reset,
    /// No response, until the other side gives up.
    Hang,
    /// A body of known length that ends half-way with a close.
    CutBody,
    /// A chunked body that ends half-way with a close.
    CutChunks,
    /// A body of known length that ends half-way with a reset.
    ResetBody,
    /// More body than said, all in one write.
    LongerThanSaid,
    /// Less body than said, on a connection that stays open.
    ShorterThanSaid,
    /// The usual answer, this much later.
    Slow(Duration),
    /// The head at once, the body when the gate is opened.
    Gated,
}

/// A request as an origin received it.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) version: String,
    pub(crate) fields: Fields,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Fields,
    /// Which of the origin's connections brought it, counted from 1.
    pub(crate) connection: usize,
}

#[derive(Debug)]
struct Shared {
    name: String,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    behaviour: Behaviour,
    by_path: HashMap<String, Behaviour>,
    received: Vec<Received>,
    accepted: usize,
    open: HashMap<usize, TcpStream>,
    gate_is_open: bool,
    ended: bool,
}

/// What becomes of a connection after a response.
enum After {
    Keep,
    Close,
    Reset,
    /// Read on and answer nothing.
    Mute,
}

impl Origin {
    /// Starts an origin that answers this name.
    pub(crate) fn named(name: &str) -> Self {
        Self::at(name, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    /// Starts an origin that answers this name, at this address of loopback.
    pub(crate) fn at(name: &str, address: SocketAddr) -> Self {
        Self::try_at(name, address).expect("the kernel has a free port")
    }

    /// The same, unless the address is somebody's.
    pub(crate) fn try_at(name: &str, address: SocketAddr) -> io::Result<Self> {
        let holder = bound(address)?;
        let address = holder.local_addr().expect("a bound socket has an address");
        let address = address
            .as_socket()
            .expect("it was bound to an IPv4 address");
        let shared = Shared {
            name: name.to_owned(),
            state: Mutex::default(),
            changed: Condvar::new(),
        };
        let mut origin = Self {
            address,
            _holder: holder,
            shared: Arc::new(shared),
            listening: None,
        };
        origin.accept_again();
        Ok(origin)
    }

    /// The name it answers.
    pub(crate) fn name(&self) -> &str {
        &self.shared.name
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it does from now on with requests for which no path says otherwise.
    pub(crate) fn behave(&self, behaviour: Behaviour) {
        self.shared.lock().behaviour = behaviour;
    }

    /// What it does from now on with requests for this path.
    pub(crate) fn on(&self, path: &str, behaviour: Behaviour) {
        self.shared
            .lock()
            .by_path
            .insert(path.to_owned(), behaviour);
    }

    /// Lets go all bodies that wait, now and later.
    pub(crate) fn open_gate(&self) {
        self.shared.lock().gate_is_open = true;
        self.shared.changed.notify_all();
    }

    /// Stops listening, so that connecting is refused, and closes its connections.
    pub(crate) fn refuse(&mut self) {
        if let Some((listener, thread)) = self.listening.take() {
            // Wakes the thread out of its accept.
            let _ = SockRef::from(&*listener).shutdown(Shutdown::Both);
            drop(listener);
            thread.join().expect("accepting does not panic");
        }
        self.close_connections();
    }

    /// Listens again where it did before.
    pub(crate) fn accept_again(&mut self) {
        if self.listening.is_some() {
            return;
        }
        let socket = bound(self.address).expect("the holder keeps the port for us");
        socket.listen(1024).expect("a bound socket can listen");
        let listener = Arc::new(TcpListener::from(socket));
        let (shared, ours) = (Arc::clone(&self.shared), Arc::clone(&listener));
        let thread = thread::spawn(move || accept(&shared, &listener));
        self.listening = Some((ours, thread));
    }

    /// Closes the connections that are open now, whatever they are at.
    pub(crate) fn close_connections(&self) {
        for stream in self.shared.lock().open.values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// How many requests it received.
    pub(crate) fn requests(&self) -> usize {
        self.shared.lock().received.len()
    }

    /// How many connections it accepted, all in all.
    pub(crate) fn connections(&self) -> usize {
        self.shared.lock().accepted
    }

    /// How many connections are open now.
    pub(crate) fn open_connections(&self) -> usize {
        self.shared.lock().open.len()
    }

    /// Everything it received, in order.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared.lock().received.clone()
    }

    /// The last request it received; panics if there is none.
    #[track_caller]
    pub(crate) fn last_received(&self) -> Received {
        let last = self.shared.lock().received.last().cloned();
        last.expect("the origin has received something")
    }

    /// Forgets what it received.
    pub(crate) fn forget(&self) {
        self.shared.lock().received.clear();
    }

    /// Waits until it has received so many requests.
    #[track_caller]
    pub(crate) fn wait_for_requests(&self, count: usize) {
        let what = format!("{count} requests at origin {}", self.name());
        wait_until(DEADLINE, &what, || self.requests() >= count);
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_all();
        self.refuse();
    }
}

impl Received {
    /// The first field of that name.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.first(name)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("no thread panics with the state in hand")
    }

    fn wait_for_gate(&self) {
        let waits = |state: &mut State| !state.gate_is_open && !state.ended;
        drop(self.changed.wait_while(self.lock(), waits));
    }

    fn wait(&self, time: Duration) {
        drop(
            self.changed
                .wait_timeout_while(self.lock(), time, |state| !state.ended),
        );
    }

    fn behaviour(&self, target: &str) -> Behaviour {
        let path = target.split('?').next().unwrap_or_default();
        let state = self.lock();
        state.by_path.get(path).unwrap_or(&state.behaviour).clone()
    }
}

/// A socket bound to an address that its fellows here may be bound to as well.
fn bound(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn accept(shared: &Arc<Shared>, listener: &TcpListener) {
    while let Ok((stream, _)) = listener.accept() {
        let Ok(handle) = stream.try_clone() else {
            continue;
        };
        let number = {
            let mut state = shared.lock();
            state.accepted += 1;
            let number = state.accepted;
            state.open.insert(number, handle);
            number
        };
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            let mut wire = Wire::new(stream);
            let after = serve(&shared, &mut wire, number);
            if matches!(after, After::Reset) {
                reset(wire.stream());
            }
            // Both handles go, then the socket does; and only then is it no longer counted as open.
            let mut state = shared.lock();
            drop(wire);
            state.open.remove(&number);
        });
    }
}

/// Serves one connection until it ends; says how to end it.
fn serve(shared: &Shared, wire: &mut Wire, connection: usize) -> After {
    let _ = wire.stream().set_nodelay(true);
    loop {
        let Ok(request) = receive(wire, connection) else {
            return After::Close;
        };
        let behaviour = shared.behaviour(&request.target);
        let (method, closes) = (
            request.method.clone(),
            request.fields.lists("connection", "close"),
        );
        shared.lock().received.push(request);
        match respond(shared, wire.stream(), &method, &behaviour) {
            Ok(After::Keep) if !closes => {}
            Ok(After::Keep) | Err(_) => return After::Close,
            Ok(After::Mute) => {
                while wire.fill().is_ok() {}
                return After::Close;
            }
            Ok(after) => return after,
        }
    }
}

fn receive(wire: &mut Wire, connection: usize) -> Result<Received, WireError> {
    let head = wire.read_head()?;
    let framing = head.fields.framing()?.unwrap_or(Framing::None);
    if head.fields.lists("expect", "100-continue") {
        wire.stream().write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let Body {
        bytes,
        trailers,
        fault,
    } = wire.read_body(framing);
    if let Some(fault) = fault {
        return Err(fault);
    }
    let mut parts = head.first_line.splitn(3, ' ').map(str::to_owned);
    let mut part = || parts.next().unwrap_or_default();
    Ok(Received {
        method: part(),
        target: part(),
        version: part(),
        fields: head.fields,
        body: bytes,
        trailers,
        connection,
    })
}

fn respond(
    shared: &Shared,
    mut stream: &TcpStream,
    method: &str,
    behaviour: &Behaviour,
) -> io::Result<After> {
    let name = shared.name.as_str();
    let half = "x".repeat(500);
    let after = match behaviour {
        Behaviour::Answer => {
            stream.write_all(answer(name, method, 200).as_bytes())?;
            After::Keep
        }
        Behaviour::Status(status) => {
            stream.write_all(answer(name, method, *status).as_bytes())?;
            After::Keep
        }
        Behaviour::Slow(time) => {
            shared.wait(*time);
            stream.write_all(answer(name, method, 200).as_bytes())?;
            After::Keep
        }
        Behaviour::Gated => {
            stream.write_all(head(name, 200, name.len()).as_bytes())?;
            shared.wait_for_gate();
            stream.write_all(name.as_bytes())?;
            After::Keep
        }
        Behaviour::Raw(bytes) => {
            stream.write_all(bytes)?;
            After::Keep
        }
        Behaviour::Garbage => {
            stream.write_all(b"\x16\x03\x01 this is no HTTP\n\n")?;
            After::Close
        }
        Behaviour::Close => After::Close,
        Behaviour::Reset => After::Reset,
        Behaviour::Hang => After::Mute,
        Behaviour::CutBody | Behaviour::ShorterThanSaid | Behaviour::ResetBody => {
            stream.write_all((head(name, 200, 1000) + &half).as_bytes())?;
            match behaviour {
                Behaviour::ShorterThanSaid => After::Mute,
                Behaviour::ResetBody => After::Reset,
                _ => After::Close,
            }
        }
        Behaviour::CutChunks => {
            let head = format!(
                "HTTP/1.1 200 OK\r\nx-origin: {name}\r\ntransfer-encoding: chunked\r\n\r\n"
            );
            stream.write_all(format!("{head}1f4\r\n{half}\r\n1f4\r\nx").as_bytes())?;
            After::Close
        }
        Behaviour::LongerThanSaid => {
            stream.write_all((head(name, 200, 100) + &half).as_bytes())?;
            After::Keep
        }
    };
    Ok(after)
}

fn head(name: &str, status: u16, length: usize) -> String {
    format!("HTTP/1.1 {status} As-Told\r\nx-origin: {name}\r\ncontent-length: {length}\r\n\r\n")
}

fn answer(name: &str, method: &str, status: u16) -> String {
    match status {
        204 | 304 => format!("HTTP/1.1 {status} As-Told\r\nx-origin: {name}\r\n\r\n"),
        _ if method == "HEAD" => head(name, status, name.len()),
        _ => head(name, status, name.len()) + name,
    }
}
