//! An open loop: requests go out when they are due, however long the answers before them take.
//!
//! `pace ADDRESS CONNECTIONS SECONDS RATE`: requests are due at even distances, and a time begins when its request was
//! due, not when it was sent. So a proxy that stands still for a moment is charged for all whom it let wait, as clients
//! would charge it (what is known as coordinated omission is not omitted). wrk has no rate, and h2load's is
//! kept by timers that are too coarse for it and measured from when a request was sent.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::client::{Client, PATIENCE, Tally, kind};
use crate::epoll::{Poll, READ};

/// The process.
pub(crate) fn run(arguments: &[String]) -> Outcome<()> {
    let [address, connections, seconds, rate] = arguments else {
        return Err("pace ADDRESS CONNECTIONS SECONDS RATE".into());
    };
    // The kernel may wake us some microseconds late otherwise, fifty of them.
    rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?;
    let mut pace = Pace::new(address.parse()?, connections.parse()?)?;
    let time = Duration::from_secs(seconds.parse()?);
    pace.keep(time, rate.parse()?)?.print(time);
    Ok(())
}

struct Pace {
    address: SocketAddr,
    poll: Poll,
    clients: Vec<Client>,
    /// When the request that a client waits for was due.
    due: Vec<Instant>,
    free: VecDeque<usize>,
    tally: Tally,
}

impl Pace {
    fn new(address: SocketAddr, connections: usize) -> Outcome<Self> {
        let poll = Poll::new()?;
        let mut clients = Vec::new();
        for token in 0..connections {
            let client = Client::connect(address)?;
            poll.add(&client.stream, token, READ)?;
            clients.push(client);
        }
        Ok(Self {
            address,
            poll,
            due: vec![Instant::now(); clients.len()],
            free: (0..clients.len()).collect(),
            clients,
            tally: Tally::default(),
        })
    }

    /// Keeps the rate for so long; what became of the requests.
    fn keep(&mut self, time: Duration, rate: f64) -> Outcome<Tally> {
        let all = (time.as_secs_f64() * rate) as u64;
        let began = Instant::now();
        let due = |request: u64| began + Duration::from_secs_f64(request as f64 / rate);
        let end = began + time;
        let (mut next, mut happened, mut buffer) = (0, Vec::new(), vec![0; 16 * 1024]);
        loop {
            let now = Instant::now();
            while next < all && due(next) <= now && now < end {
                let Some(token) = self.free.pop_front() else {
                    break;
                };
                self.ask(token, due(next))?;
                next += 1;
            }
            let has_ended = next == all || now >= end;
            if has_ended && self.free.len() == self.clients.len() || now > end + PATIENCE {
                break;
            }
            let patience = if has_ended || self.free.is_empty() {
                Duration::from_millis(50)
            } else {
                due(next).saturating_duration_since(Instant::now())
            };
            self.poll.wait(&mut happened, Some(patience))?;
            for (token, _) in happened.drain(..) {
                self.hear(token, &mut buffer)?;
            }
        }
        let silent = self.clients.len() - self.free.len();
        self.tally.fail_all("no answer: timeout", silent as u64);
        // Those that were due and found no connection free are missing in the rate, which tells of it.
        Ok(std::mem::take(&mut self.tally))
    }

    fn ask(&mut self, token: usize, due: Instant) -> Outcome<()> {
        self.due[token] = due;
        if let Err(error) = self.clients[token].ask() {
            self.lose(token, kind("request", &error))?;
        }
        Ok(())
    }

    fn hear(&mut self, token: usize, buffer: &mut [u8]) -> Outcome<()> {
        match self.clients[token].answer(buffer) {
            Ok(None) => {}
            Ok(Some(answer)) => {
                match answer.failure {
                    None => self.tally.times.push(self.due[token].elapsed().as_micros()),
                    Some(kind) => self.tally.fail(kind),
                }
                if answer.ends {
                    self.renew(token)?;
                }
                self.free.push_back(token);
            }
            Err(error) if self.free.contains(&token) => {
                // Closed between requests, which is nobody's failure.
                drop(error);
                self.renew(token)?;
            }
            Err(error) => self.lose(token, kind("answer", &error))?,
        }
        Ok(())
    }

    fn lose(&mut self, token: usize, kind: String) -> Outcome<()> {
        self.tally.fail(kind);
        self.renew(token)?;
        self.free.push_back(token);
        Ok(())
    }

    fn renew(&mut self, token: usize) -> Outcome<()> {
        let client = Client::connect(self.address)?;
        self.poll.add(&client.stream, token, READ)?;
        self.clients[token] = client;
        Ok(())
    }
}
