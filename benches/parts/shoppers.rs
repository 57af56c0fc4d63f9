//! The clients of the latency experiment: they come when they come, however slow the shop is.
//!
//! An open loop: arrivals are drawn before, and each is timed from when it was meant to be. A client
//! that waited for an answer before it sent the next request would leave out just the requests that a
//! stall delays, and so hide it.

use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::Instant;

use super::fleet::exponential;

/// A request to come.
#[derive(Clone, Copy)]
pub(crate) struct Arrival {
    at: Duration,
    client: Ipv4Addr,
}

/// What came of all requests.
#[derive(Default)]
pub(crate) struct Answers {
    /// From the intended arrival to the end of the answer, in milliseconds, sorted.
    pub(crate) latencies: Vec<f64>,
    pub(crate) errors: usize,
}

impl Answers {
    /// The latency, in milliseconds, that this part of the requests does not exceed.
    pub(crate) fn quantile(&self, part: f64) -> f64 {
        let rank = (part * self.latencies.len() as f64).ceil() as usize;
        let at = rank.clamp(1, self.latencies.len().max(1)) - 1;
        self.latencies.get(at).copied().unwrap_or(f64::NAN)
    }
}

/// Draws the arrivals of a Poisson process from one of [`CLIENTS`] each. The same seed gives the same ones.
pub(crate) fn arrivals(per_second: f64, length: Duration, seed: u64) -> Vec<Arrival> {
    let mut rng = Rng::with_seed(seed);
    let gap = Duration::from_secs_f64(1.0 / per_second);
    let mut at = Duration::ZERO;
    let mut arrivals = Vec::new();
    loop {
        at += exponential(&mut rng, gap);
        if at >= length {
            return arrivals;
        }
        let client = Ipv4Addr::from_bits(0x0a00_0000 + rng.u32(0..CLIENTS));
        arrivals.push(Arrival { at, client });
    }
}

/// Sends all requests when they are due and waits for the answers; those that arrive within `warm_up` are
/// not counted. Calls `sent` after the last has been sent.
pub(crate) fn shop(
    target: SocketAddr,
    arrivals: &[Arrival],
    warm_up: Duration,
    sent: impl FnOnce(),
) -> Answers {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("there is room for a runtime");
    let mut answers = Answers::default();
    LocalSet::new().block_on(&runtime, async {
        let idle: Idle = Rc::default();
        let mut waiting = JoinSet::new();
        let began = Instant::now();
        for arrival in arrivals {
            let due = began + arrival.at;
            tokio::time::sleep_until(due).await;
            let exchange = exchange(target, arrival.client, Rc::clone(&idle));
            let counts = arrival.at >= warm_up;
            waiting.spawn_local(async move {
                let done = exchange.await;
                counts.then(|| done.map(|()| due.elapsed()))
            });
        }
        sent();
        while let Some(done) = waiting.join_next().await {
            match done.expect("no exchange panics") {
                Some(Ok(latency)) => answers.latencies.push(latency.as_secs_f64() * 1e3),
                Some(Err(_)) => answers.errors += 1,
                None => {}
            }
        }
    });
    answers.latencies.sort_unstable_by(f64::total_cmp);
    answers
}

/// Connections that wait for their next request.
type Idle = Rc<RefCell<Vec<TcpStream>>>;

/// Sends one request and reads its answer, on a connection that is free or on a new one.
async fn exchange(target: SocketAddr, client: Ipv4Addr, idle: Idle) -> io::Result<()> {
    let free = idle.borrow_mut().pop();
    let mut stream = match free {
        Some(stream) => stream,
        None => TcpStream::connect(target).await?,
    };
    stream.set_nodelay(true)?;
    let request =
        format!("GET / HTTP/1.1\r\nhost: shop.example\r\nx-forwarded-for: {client}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::with_capacity(512);
    while !answer.ends_with(b"\r\n\r\nok") {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // An answer that the balancer made itself has another body.
        if answer.len() >= 12 && !answer.starts_with(b"HTTP/1.1 200") {
            return Err(io::Error::other("not the answer of a backend"));
        }
    }
    idle.borrow_mut().push(stream);
    Ok(())
}

/// How many clients there are: enough that none of them matters, few enough that each comes again.
pub(crate) const CLIENTS: u32 = 1_000;
