//! Backends that close connections between two requests, as application servers do after a second or five.

use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::failure::front;
use crate::harness::{Balancer, Wire};

/// A backend that closes a connection after it has been idle for so long. Its threads end with their connections.
fn impatient(idle: Duration) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let closed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&closed);
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let count = Arc::clone(&count);
            thread::spawn(move || serve(stream, idle, &count));
        }
    });
    (address, closed)
}

fn serve(stream: TcpStream, idle: Duration, closed: &AtomicUsize) {
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(idle)).unwrap();
    let waiting = stream.try_clone().unwrap();
    let mut wire = Wire::new(stream);
    loop {
        match waiting.peek(&mut [0]) {
            Ok(1..) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                closed.fetch_add(1, Ordering::Relaxed);
                return;
            }
            Ok(0) | Err(_) => return,
        }
        if wire.read_head().is_err()
            || wire
                .stream()
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .is_err()
        {
            return;
        }
    }
}

/// Clients pause for about as long as the backend has patience, so that closing and sending meet again and again.
#[test]
#[allow(clippy::disallowed_methods, reason = "the pauses are the load")]
fn backends_that_close_idle_connections_cost_no_request() {
    let limits = [100, 130, 170, 220].map(Duration::from_millis);
    let backends = limits.map(impatient);
    let listed = backends
        .each_ref()
        .map(|(address, _)| format!("{{ address = \"{address}\" }}"));
    let pool = format!("[pools.shop]\nbackends = [{}]\n", listed.join(", "));
    let balancer = Balancer::start(&(front("") + &pool));
    let failed: Vec<String> = thread::scope(|scope| {
        let clients: Vec<_> = (0..40_u64)
            .map(|number| {
                let mut client = balancer.client("web");
                scope.spawn(move || {
                    let mut failed = Vec::new();
                    for round in 0..50 {
                        let response = client.get("/");
                        if response.status != 200 {
                            failed.push(response.to_string());
                        }
                        let pause = 60 + (number * 37 + round * 53) % 180;
                        thread::sleep(Duration::from_millis(pause));
                    }
                    failed
                })
            })
            .collect();
        clients
            .into_iter()
            .flat_map(|client| client.join().unwrap())
            .collect()
    });
    assert!(failed.is_empty(), "{failed:?}");
    let closed = backends.map(|(_, closed)| closed.load(Ordering::Relaxed));
    assert!(closed.iter().sum::<usize>() > 0, "{closed:?}");
}
