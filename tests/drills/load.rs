//! Load by schedule: requests arrive when they are due, whether those before have been answered or not.
//!
//! A client that waits for each answer before it asks again would send little to a proxy that stands still, and not see
//! what that means for those who come meanwhile. Connections are kept and used in turn; one that its other end has closed is
//! not used again, and one request of ten comes on a connection of its own. Nothing is tried again. Times count from when a
//! request was due.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

use crate::Outcome;
use crate::tally::{End, Errand, Record, Tally};
use crate::wait::wait_until;

/// What is sent, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    /// Requests a second.
    pub(crate) rate: u32,
    /// So many at once, with pauses between that keep the rate; 1: evenly.
    pub(crate) burst: u32,
    /// Whether a part of the GETs asks for answers that come in two pieces.
    pub(crate) large: bool,
    /// Whether there are connections of one request.
    pub(crate) fresh: bool,
}

impl Schedule {
    pub(crate) fn evenly(rate: u32) -> Self {
        Self {
            rate,
            burst: 1,
            large: true,
            fresh: true,
        }
    }

    /// What the request of this number does: of twenty, two POSTs and one for a large answer, on the average.
    fn errand(&self, number: u64) -> Errand {
        match drawn(number) % 20 {
            0 | 1 => Errand::Checkout,
            2 if self.large => Errand::Large,
            _ => Errand::Browse,
        }
    }

    fn is_fresh(&self, number: u64) -> bool {
        self.fresh && drawn(!number).is_multiple_of(10)
    }

    /// When a request is due. Bursts are earlier or later by some hundredths, as nobody's clock keeps step with another's.
    fn due(&self, number: u64) -> Duration {
        let burst = number / u64::from(self.burst);
        let pause = f64::from(self.burst) / f64::from(self.rate);
        let sway = if self.burst > 1 {
            0.03 * ((burst * 7) % 11) as f64 / 10.0
        } else {
            0.0
        };
        Duration::from_secs_f64(pause * (burst as f64 + sway))
    }
}

/// A number that looks like chance and is the same in each run: with every tenth request a POST, a proxy that takes four backends
/// in turn would bring all POSTs to two of them.
fn drawn(number: u64) -> u64 {
    let mixed = (number ^ (number >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32
}

/// How long a client waits, longer than any of the proxies may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// A load under way.
#[derive(Debug)]
pub(crate) struct Load {
    shared: Arc<Shared>,
    thread: JoinHandle<io::Result<Tally>>,
}

#[derive(Debug)]
struct Shared {
    address: SocketAddr,
    schedule: Schedule,
    began: Instant,
    is_over: AtomicBool,
    offered: AtomicU64,
    idle: Mutex<VecDeque<TcpStream>>,
    records: Mutex<Vec<Record>>,
}

impl Load {
    pub(crate) fn start(address: SocketAddr, schedule: Schedule) -> Self {
        let shared = Arc::new(Shared {
            address,
            schedule,
            began: Instant::now(),
            is_over: AtomicBool::new(false),
            offered: AtomicU64::new(0),
            idle: Mutex::default(),
            records: Mutex::default(),
        });
        let ours = Arc::clone(&shared);
        let thread = thread::spawn(move || conduct(&ours));
        Self { shared, thread }
    }

    /// Time since its begin, as its records have it.
    pub(crate) fn now(&self) -> Duration {
        self.shared.began.elapsed()
    }

    /// Goes on for so long, by its own schedule.
    pub(crate) fn go_on(&self, time: Duration) {
        let more = (time.as_secs_f64() * f64::from(self.shared.schedule.rate)) as u64;
        let until = self.shared.offered.load(Ordering::Relaxed) + more.max(1);
        wait_until(time * 4 + PATIENCE, "the load to go on", || {
            self.shared.offered.load(Ordering::Relaxed) >= until
        });
    }

    /// Goes on until so many requests have been offered in all.
    pub(crate) fn go_on_to(&self, count: u64, patience: Duration) {
        wait_until(patience, "the load", || {
            self.shared.offered.load(Ordering::Relaxed) >= count
        });
    }

    /// Sends no more, waits for what is under way, and says what became of all.
    pub(crate) fn finish(self) -> Outcome<Tally> {
        self.shared.is_over.store(true, Ordering::Relaxed);
        let ended = self.thread.join().map_err(|_| "the load has panicked")?;
        Ok(ended?)
    }
}

fn conduct(shared: &Arc<Shared>) -> io::Result<Tally> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let ended = runtime.block_on(async {
        let mut under_way = JoinSet::new();
        for number in 0_u64.. {
            let due = shared.schedule.due(number);
            sleep_until((shared.began + due).into()).await;
            if shared.is_over.load(Ordering::Relaxed) {
                break;
            }
            shared.offered.fetch_add(1, Ordering::Relaxed);
            under_way.spawn(request(Arc::clone(shared), number, due));
            while under_way.try_join_next().is_some() {}
        }
        let ended = shared.began.elapsed();
        while under_way.join_next().await.is_some() {}
        ended
    });
    let records = std::mem::take(&mut *lock(&shared.records));
    Ok(Tally::new(records, ended))
}

async fn request(shared: Arc<Shared>, number: u64, due: Duration) {
    let errand = shared.schedule.errand(number);
    let end = timeout(PATIENCE, attempt(&shared, number, errand))
        .await
        .unwrap_or(End::TimedOut);
    lock(&shared.records).push(Record {
        errand,
        due,
        ended: shared.began.elapsed(),
        end,
    });
}

async fn attempt(shared: &Shared, number: u64, errand: Errand) -> End {
    let is_fresh = shared.schedule.is_fresh(number);
    let kept = if is_fresh { None } else { open(shared) };
    let mut stream = match kept {
        Some(stream) => stream,
        None => match TcpStream::connect(shared.address).await {
            Ok(stream) => {
                let _ = stream.set_nodelay(true);
                stream
            }
            Err(_) => return End::Refused,
        },
    };
    if stream
        .write_all(errand.head(number, is_fresh).as_bytes())
        .await
        .is_err()
    {
        return End::Closed;
    }
    let (end, is_kept) = read(&mut stream).await;
    if is_kept && !is_fresh {
        lock(&shared.idle).push_back(stream);
    }
    end
}

/// A connection that was kept and is still open.
fn open(shared: &Shared) -> Option<TcpStream> {
    loop {
        let stream = lock(&shared.idle).pop_front()?;
        let is_silent = stream.try_read(&mut [0; 1]);
        if is_silent.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
            return Some(stream);
        }
    }
}

/// Reads one answer; says whether the connection can be used again.
pub(crate) async fn read(stream: &mut TcpStream) -> (End, bool) {
    let mut input = Vec::with_capacity(1024);
    let head = loop {
        if let Some(at) = memchr::memmem::find(&input, b"\r\n\r\n") {
            break at + 4;
        }
        if !matches!(stream.read_buf(&mut input).await, Ok(1..)) {
            let end = if input.is_empty() {
                End::Closed
            } else {
                End::Cut
            };
            return (end, false);
        }
    };
    let answer = Answer::read(&String::from_utf8_lossy(&input[..head]));
    let Some(length) = answer.length else {
        return (End::Cut, false);
    };
    while input.len() < head + length {
        if !matches!(stream.read_buf(&mut input).await, Ok(1..)) {
            return (End::Cut, false);
        }
    }
    let end = match answer.status {
        200 => End::Answered,
        status => End::Status(status, answer.error),
    };
    (end, !answer.closes && input.len() == head + length)
}

/// What the head of an answer says, of what counts here.
struct Answer {
    status: u16,
    length: Option<usize>,
    closes: bool,
    error: Option<String>,
}

impl Answer {
    fn read(head: &str) -> Self {
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let mut answer = Self {
            status: status.and_then(|word| word.parse().ok()).unwrap_or(0),
            length: None,
            closes: false,
            error: None,
        };
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => answer.length = value.parse().ok(),
                "connection" => answer.closes = value.eq_ignore_ascii_case("close"),
                "forecourt-error" => answer.error = Some(value.to_owned()),
                _ => {}
            }
        }
        // HAProxy's own answers have no length, and end with the connection.
        if answer.length.is_none() && answer.status != 200 {
            answer.length = Some(0);
            answer.closes = true;
        }
        answer
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
