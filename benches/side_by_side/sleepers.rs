//! Clients that keep their connections and seldom ask, as browsers between two pages.
//!
//! `sleepers ADDRESS COUNT`: each asks once when it comes, then every [`NAP`]. It says how many have come, and after each
//! line of input what has been answered since the line before, how many connections were closed between requests, and
//! what failed. Who was closed connects anew when it asks next.

use std::io::{self, BufRead as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::client::{Client, PATIENCE, kind};
use crate::epoll::{Poll, READ};

/// From one request of a sleeper to its next.
const NAP: Duration = Duration::from_secs(20);

/// The process.
pub(crate) fn run(arguments: &[String]) -> Outcome<()> {
    let [address, count] = arguments else {
        return Err("sleepers ADDRESS COUNT".into());
    };
    let mut sleepers = Sleepers::gather(address.parse()?, count.parse()?)?;
    println!("{} {}", sleepers.joined, sleepers.count - sleepers.joined);
    let (sender, asked) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            if line.is_err() || sender.send(()).is_err() {
                break;
            }
        }
        // The harness has ended.
        std::process::exit(0);
    });
    loop {
        sleepers.live(Duration::from_millis(20))?;
        if asked.try_recv().is_ok() {
            let told = std::mem::take(&mut sleepers.told);
            println!(
                "{} {} {} {}",
                told.answered, told.closed, told.failed, told.failure
            );
        }
    }
}

#[derive(Default)]
struct Told {
    answered: u64,
    closed: u64,
    failed: u64,
    failure: String,
}

struct Sleepers {
    address: SocketAddr,
    poll: Poll,
    /// None has been closed.
    beds: Vec<Option<Client>>,
    /// Who waits for an answer, since when.
    waits: Vec<Option<Instant>>,
    count: usize,
    joined: usize,
    /// Whose turn it is to ask, and when.
    turn: usize,
    next: Instant,
    told: Told,
}

impl Sleepers {
    fn gather(address: SocketAddr, count: usize) -> Outcome<Self> {
        let mut sleepers = Self {
            address,
            poll: Poll::new()?,
            beds: (0..count).map(|_| None).collect(),
            waits: vec![None; count],
            count,
            joined: 0,
            turn: 0,
            next: Instant::now(),
            told: Told::default(),
        };
        for token in 0..count {
            sleepers.ask(token)?;
            // A few at a time, for the queue of new connections is finite.
            if token % 64 == 63 || token + 1 == count {
                let deadline = Instant::now() + PATIENCE;
                while sleepers
                    .waits
                    .iter()
                    .skip(token / 64 * 64)
                    .any(Option::is_some)
                    && Instant::now() < deadline
                {
                    sleepers.hear(Duration::from_millis(10))?;
                }
            }
        }
        sleepers.joined = sleepers.beds.iter().flatten().count();
        sleepers.told = Told::default();
        sleepers.next = Instant::now();
        Ok(sleepers)
    }

    /// Asks who is due, and hears answers for so long.
    fn live(&mut self, time: Duration) -> Outcome<()> {
        let between = NAP / u32::try_from(self.count.max(1))?;
        let now = Instant::now();
        while self.next <= now && self.count > 0 {
            if self.waits[self.turn].is_some_and(|since| since.elapsed() > PATIENCE) {
                self.lose(self.turn, "no answer: timeout".to_owned());
            }
            if self.waits[self.turn].is_none() {
                self.ask(self.turn)?;
            }
            self.turn = (self.turn + 1) % self.count;
            self.next += between;
        }
        self.hear(time)
    }

    fn ask(&mut self, token: usize) -> Outcome<()> {
        if self.beds[token].is_none() {
            match Client::connect(self.address) {
                Ok(client) => {
                    self.poll.add(&client.stream, token, READ)?;
                    self.beds[token] = Some(client);
                }
                Err(error) => {
                    self.lose(token, kind("connect", &error));
                    return Ok(());
                }
            }
        }
        let Some(client) = &mut self.beds[token] else {
            return Ok(());
        };
        self.waits[token] = Some(Instant::now());
        if let Err(error) = client.ask() {
            self.lose(token, kind("request", &error));
        }
        Ok(())
    }

    fn hear(&mut self, time: Duration) -> Outcome<()> {
        let (mut happened, mut buffer) = (Vec::new(), [0; 4096]);
        self.poll.wait(&mut happened, Some(time))?;
        for (token, _) in happened {
            let Some(client) = &mut self.beds[token] else {
                continue;
            };
            match client.answer(&mut buffer) {
                Ok(None) => {}
                Ok(Some(answer)) => {
                    self.waits[token] = None;
                    match answer.failure {
                        None => self.told.answered += 1,
                        Some(kind) => self.lose(token, kind),
                    }
                    if answer.ends {
                        self.beds[token] = None;
                        self.told.closed += 1;
                    }
                }
                Err(_) if self.waits[token].is_none() => {
                    self.beds[token] = None;
                    self.told.closed += 1;
                }
                Err(error) => self.lose(token, kind("answer", &error)),
            }
        }
        Ok(())
    }

    fn lose(&mut self, token: usize, kind: String) {
        self.beds[token] = None;
        self.waits[token] = None;
        self.told.failed += 1;
        self.told.failure = kind;
    }
}
