//! A backend that counts who is in: one thread for each connection, a fixed time for each request.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

/// It ends with the process: its threads hold nothing but sockets.
pub(super) struct Counting {
    address: SocketAddr,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    inside: AtomicUsize,
    most: AtomicUsize,
    served: AtomicUsize,
}

impl Counting {
    pub(super) fn start(service: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let counts = Arc::new(Counts::default());
        let shared = Arc::clone(&counts);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counts = Arc::clone(&shared);
                thread::spawn(move || serve(stream, service, &counts));
            }
        });
        Self { address, counts }
    }

    /// One whose queue of connections has room for one or two, and that takes one off it after each `pause`.
    pub(super) fn slow_to_accept(between: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // Listening once more changes the length of the queue.
        rustix::net::listen(&listener, 1).unwrap();
        let address = listener.local_addr().unwrap();
        let counts = Arc::new(Counts::default());
        let shared = Arc::clone(&counts);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counts = Arc::clone(&shared);
                thread::spawn(move || serve(stream, Duration::ZERO, &counts));
                pause(between);
            }
        });
        Self { address, counts }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The most that were in at once.
    pub(super) fn most(&self) -> usize {
        self.counts.most.load(SeqCst)
    }

    pub(super) fn served(&self) -> usize {
        self.counts.served.load(SeqCst)
    }

    /// Forgets how many were in at once.
    pub(super) fn forget(&self) {
        self.counts.most.store(0, SeqCst);
    }
}

/// Requests without bodies, until the other side has had enough.
fn serve(mut stream: TcpStream, service: Duration, counts: &Counts) {
    let mut head = Vec::new();
    let mut byte = [0; 4096];
    loop {
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read(&mut byte) {
                Ok(0) | Err(_) => return,
                Ok(n) => head.extend_from_slice(&byte[..n]),
            }
        }
        head.clear();
        let inside = counts.inside.fetch_add(1, SeqCst) + 1;
        counts.most.fetch_max(inside, SeqCst);
        pause(service);
        counts.served.fetch_add(1, SeqCst);
        // Before the answer: once it is on its way the next request may come.
        counts.inside.fetch_sub(1, SeqCst);
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        if stream.write_all(answer).is_err() {
            return;
        }
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "a request takes its time here, and nothing is waited for"
)]
fn pause(service: Duration) {
    thread::sleep(service);
}
