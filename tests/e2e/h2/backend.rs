//! A backend that speaks HTTP/2 as a script says.

use std::collections::HashMap;
use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use super::frame::{self as f, Pairs, data, head};
use super::raw::Raw;
use crate::harness::DEADLINE;

/// A backend whose connections do as a script says.
pub(super) struct Backend {
    pub(super) address: SocketAddr,
    /// Requests that it has seen the heads of, in order: connection and path.
    asked: Arc<Mutex<Vec<(usize, String)>>>,
    connections: Arc<AtomicUsize>,
}

/// A connection of it.
pub(super) struct Line {
    pub(super) raw: Raw,
    pub(super) number: usize,
    asked: Arc<Mutex<Vec<(usize, String)>>>,
    known: HashMap<u32, String>,
}

impl Backend {
    /// `script` has each connection behind the greeting.
    pub(super) fn new(
        settings: &'static [(u16, u32)],
        script: impl Fn(&mut Line) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let backend = Self {
            address: listener.local_addr().unwrap(),
            asked: Arc::default(),
            connections: Arc::default(),
        };
        let (asked, connections, script) = (
            Arc::clone(&backend.asked),
            Arc::clone(&backend.connections),
            Arc::new(script),
        );
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let number = connections.fetch_add(1, Ordering::SeqCst) + 1;
                let (asked, script) = (Arc::clone(&asked), Arc::clone(&script));
                thread::spawn(move || {
                    if let Some(raw) = greet(stream, settings) {
                        let known = HashMap::new();
                        let _ = script(&mut Line {
                            raw,
                            number,
                            asked,
                            known,
                        });
                    }
                });
            }
        });
        backend
    }

    pub(super) fn asked(&self) -> Vec<(usize, String)> {
        self.asked.lock().unwrap().clone()
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn greet(mut stream: TcpStream, settings: &[(u16, u32)]) -> Option<Raw> {
    stream.set_read_timeout(Some(DEADLINE)).ok()?;
    stream.set_nodelay(true).ok()?;
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).ok()?;
    assert_eq!(preface, f::PREFACE);
    let mut raw = Raw::of(stream);
    raw.send(&f::settings(settings));
    Some(raw)
}

impl Line {
    /// Waits for the head of the next request: its stream and path.
    pub(super) fn next_head(&mut self) -> Result<(u32, String), String> {
        let known: Vec<_> = self.known.keys().copied().collect();
        self.raw.until(|raw| {
            raw.streams
                .iter()
                .any(|(stream, seen)| !known.contains(stream) && !seen.sections.is_empty())
        })?;
        let new = self
            .raw
            .streams
            .iter()
            .find(|(stream, seen)| !known.contains(stream) && !seen.sections.is_empty());
        let (stream, seen) = new.unwrap();
        let path = seen.sections[0].iter().find(|(name, _)| name == ":path");
        let path = path.map(|(_, path)| path.clone()).unwrap_or_default();
        let stream = *stream;
        self.known.insert(stream, path.clone());
        self.asked.lock().unwrap().push((self.number, path.clone()));
        Ok((stream, path))
    }

    /// Waits for the next request, whole or taken back.
    pub(super) fn next(&mut self) -> Result<(u32, String), String> {
        let (stream, path) = self.next_head()?;
        self.raw.answer(stream)?;
        Ok((stream, path))
    }

    pub(super) fn answer(&mut self, stream: u32, fields: Pairs<'_>, content: &[u8]) {
        self.raw.send(&head(stream, 0, fields));
        self.raw.send(&data(stream, f::END_STREAM, content));
    }

    pub(super) fn ok(&mut self, stream: u32) {
        let number = self.number.to_string();
        self.answer(
            stream,
            &[(":status", "200"), ("x-connection", &number)],
            b"ok",
        );
    }

    /// Answers all that come, until the connection ends.
    pub(super) fn serve(&mut self) -> Result<(), String> {
        loop {
            let (stream, _) = self.next()?;
            self.ok(stream);
        }
    }
}
