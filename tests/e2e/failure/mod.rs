//! What clients get when backends misbehave, and what backends get when clients do.
//!
//! In reading order: [`backends`] (a client never takes a broken answer for a good one), [`retries`] (what
//! is tried again, and what never), [`clients`] (those that vanish, stall or send too much), [`abort`] (those that give up
//! by the end of their side), [`messages`] (what must arrive as it was sent: order, interim responses, trailers, old clients), [`large`] (bodies that go
//! past the process), [`catalogue`]
//! (every code is seen by some test).
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod abort;
mod backends;
mod catalogue;
mod clients;
mod large;
mod messages;
mod retries;

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use crate::harness::{Balancer, DEADLINE, Framing, Head, Wire, wait_for};
use crate::metrics::wait_for_records;

/// A backend that does nothing by itself: the test accepts, reads and writes in its place.
pub(crate) struct Script {
    listener: TcpListener,
}

impl Script {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self { listener }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// The pool `shop` of this backend alone; `more` are more lines of the table.
    fn pool(&self, more: &str) -> String {
        format!(
            "[pools.shop]\nbackends = [{{ address = \"{}\" }}]\n{more}\n",
            self.address()
        )
    }

    /// The next connection.
    #[track_caller]
    fn accept(&self) -> Wire {
        let stream = wait_for(DEADLINE, "a connection to the backend", || self.accepted());
        Wire::new(stream)
    }

    /// A connection, if there is one.
    pub(crate) fn accepted(&self) -> Option<TcpStream> {
        match self.listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).unwrap();
                stream.set_read_timeout(Some(DEADLINE)).unwrap();
                stream.set_nodelay(true).unwrap();
                Some(stream)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// The next connection and the head of its request.
    #[track_caller]
    fn receive(&self) -> (Wire, Head) {
        let mut wire = self.accept();
        let head = wire.read_head().unwrap();
        (wire, head)
    }
}

pub(crate) fn write(wire: &Wire, bytes: &str) {
    wire.stream().write_all(bytes.as_bytes()).unwrap();
}

/// Reads the body of a request, which must be whole.
#[track_caller]
fn read_whole_body(wire: &mut Wire, framing: Framing) -> Vec<u8> {
    let body = wire.read_body(framing);
    assert!(body.fault.is_none(), "{:?}", body.fault);
    body.bytes
}

/// One worker, so that whatever blocks it blocks everybody; the listener with these tables.
pub(crate) fn front(listener: &str) -> String {
    format!(
        "[server]\nworkers = 1\n[admin]\naddress = \"127.0.0.1:0\"\n[listeners.web]\naddress = \"127.0.0.1:0\"\n{listener}\n\
         [[routes]]\npath_prefix = \"/\"\npool = \"shop\"\n\n"
    )
}

/// Waits until so many requests are on record; then a backend's failures by cause, and none may be in flight.
#[track_caller]
fn failures(balancer: &Balancer, backend: SocketAddr, records: usize) -> BTreeMap<String, f64> {
    let figures = wait_for_records(balancer, records);
    assert_eq!(figures.sum("forecourt_backend_in_flight", &[]), 0.0);
    let backend = backend.to_string();
    figures.by(
        "forecourt_backend_failures_total",
        "cause",
        &[("backend", &backend)],
    )
}

fn once(cause: &str) -> BTreeMap<String, f64> {
    BTreeMap::from([(cause.to_owned(), 1.0)])
}

/// What the access log could not tell: that no code but this was counted.
#[track_caller]
fn assert_codes(balancer: &Balancer, expected: &[(&str, f64)]) {
    let total: f64 = expected.iter().map(|(_, count)| count).sum();
    let figures = wait_for_records(balancer, total as usize);
    let codes = figures.by("forecourt_requests_total", "code", &[]);
    let expected: BTreeMap<_, _> = expected
        .iter()
        .map(|(code, count)| ((*code).to_owned(), *count))
        .collect();
    assert_eq!(codes, expected);
}
