//! The backends of the latency experiment: real sockets, and behind them queues that are worked out.
//!
//! When a request arrives it is known at once when its answer is due: a slot gets free, the service takes
//! so long, a pause comes between. So a backend sleeps and never computes, two cores are enough for all of it, and
//! its capacity is exact: a timer that fires late delays one answer and not all that follow.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// What one backend can do.
#[derive(Clone, Copy)]
pub(crate) struct Ability {
    /// Of an exponential distribution.
    pub(crate) mean_service: Duration,
    /// Whether it stands still for [`PAUSE`] in every [`PERIOD`].
    pub(crate) pauses: bool,
}

impl Ability {
    /// Requests a second.
    pub(crate) fn capacity(self) -> f64 {
        let awake = if self.pauses {
            1.0 - PAUSE.as_secs_f64() / PERIOD.as_secs_f64()
        } else {
            1.0
        };
        awake * SLOTS as f64 / self.mean_service.as_secs_f64()
    }
}

/// Backends that run, on a thread of their own, until this is dropped.
pub(crate) struct Fleet {
    pub(crate) addresses: Vec<SocketAddr>,
    queues: Vec<Arc<Mutex<Queue>>>,
    /// Dropped to end it.
    _end: oneshot::Sender<()>,
}

impl Fleet {
    /// Starts a backend for each ability.
    pub(crate) fn start(abilities: &[Ability]) -> Self {
        let began = Instant::now();
        let queues: Vec<_> = (0..)
            .zip(abilities)
            .map(|(seed, ability)| Arc::new(Mutex::new(Queue::new(*ability, began, seed))))
            .collect();
        let sockets: Vec<_> = queues
            .iter()
            .map(|_| std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has ports"))
            .collect();
        let addresses = sockets
            .iter()
            .map(|socket| socket.local_addr().expect("a bound socket has an address"))
            .collect();
        let (end, ended) = oneshot::channel::<()>();
        let pairs: Vec<_> = sockets.into_iter().zip(queues.clone()).collect();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("there is room for a runtime");
            runtime.block_on(async {
                for (socket, queue) in pairs {
                    tokio::spawn(accept(socket, queue));
                }
                let _ = ended.await;
            });
        });
        Self {
            addresses,
            queues,
            _end: end,
        }
    }

    /// How many requests each backend has been given.
    pub(crate) fn given(&self) -> Vec<u64> {
        self.queues
            .iter()
            .map(|queue| queue.lock().unwrap_or_else(PoisonError::into_inner).given)
            .collect()
    }
}

/// Slots of one backend, first come first served.
struct Queue {
    ability: Ability,
    began: Instant,
    free_at: [Instant; SLOTS],
    rng: Rng,
    given: u64,
}

impl Queue {
    fn new(ability: Ability, began: Instant, seed: u64) -> Self {
        Self {
            ability,
            began,
            free_at: [began; SLOTS],
            rng: Rng::with_seed(seed),
            given: 0,
        }
    }

    /// Takes a request in; says when its answer is due.
    fn enter(&mut self, now: Instant) -> Instant {
        self.given += 1;
        let service = exponential(&mut self.rng, self.ability.mean_service);
        let slot = if self.free_at[0] <= self.free_at[1] {
            0
        } else {
            1
        };
        let due = self.done(self.free_at[slot].max(now), service);
        self.free_at[slot] = due;
        due
    }

    /// When `work` is done that begins at `at`, if nothing is done in pauses.
    fn done(&self, at: Instant, work: Duration) -> Instant {
        if !self.ability.pauses {
            return at + work;
        }
        let (mut at, mut left) = (at - self.began, work);
        loop {
            let cycle = Duration::from_secs(at.as_secs() / PERIOD.as_secs() * PERIOD.as_secs());
            let pause = cycle + PERIOD - PAUSE;
            if at + left <= pause {
                return self.began + at + left;
            }
            left -= pause.saturating_sub(at);
            at = cycle + PERIOD;
        }
    }
}

/// A draw from the exponential distribution with this mean.
pub(crate) fn exponential(rng: &mut Rng, mean: Duration) -> Duration {
    mean.mul_f64(-(1.0 - rng.f64()).ln())
}

async fn accept(socket: std::net::TcpListener, queue: Arc<Mutex<Queue>>) {
    socket.set_nonblocking(true).expect("sockets can do so");
    let listener = TcpListener::from_std(socket).expect("the runtime takes sockets");
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        tokio::spawn(serve(stream, Arc::clone(&queue)));
    }
}

/// Answers requests without bodies until the connection ends.
async fn serve(mut stream: TcpStream, queue: Arc<Mutex<Queue>>) -> std::io::Result<()> {
    let mut head = Vec::with_capacity(1_024);
    loop {
        head.clear();
        while !head.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut head).await? == 0 {
                return Ok(());
            }
        }
        let due = queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .enter(Instant::now());
        tokio::time::sleep_until(due.into()).await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            .await?;
    }
}

/// Requests that a backend works on at once; more of them wait.
pub(crate) const SLOTS: usize = 2;
/// How long the backend that pauses stands still.
pub(crate) const PAUSE: Duration = Duration::from_millis(200);
/// How often it does; the pause is at the end of each period.
pub(crate) const PERIOD: Duration = Duration::from_secs(3);
