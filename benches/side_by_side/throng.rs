//! Many clients that come at once, and say by kind what became of them.
//!
//! `throng ADDRESS COUNT ASKING SECONDS`: all connect at the same moment, and each asks once as soon as it can. After
//! that the first ASKING of them ask again and again for so many seconds, one request at a time, while the others stay.
//! With 0 seconds everybody asks once, which is a burst.

use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::client::{Client, PATIENCE, Tally, kind};
use crate::epoll::{Flags, Poll, READ, WRITE};

/// The process.
pub(crate) fn run(arguments: &[String]) -> Outcome<()> {
    let [address, count, asking, seconds] = arguments else {
        return Err("throng ADDRESS COUNT ASKING SECONDS".into());
    };
    let mut throng = Throng {
        address: address.parse()?,
        poll: Poll::new()?,
        people: Vec::new(),
        asking: asking.parse()?,
        open: 0,
        tally: Tally::default(),
    };
    let began = Instant::now();
    throng.come(count.parse()?)?;
    throng.serve(None, began + PATIENCE)?;
    let mut lasted = began.elapsed();
    let seconds: u64 = seconds.parse()?;
    if seconds > 0 {
        // How the arrival went is told by its failures; times are those of the rest.
        throng.tally.times.clear();
        let began = Instant::now();
        let end = began + Duration::from_secs(seconds);
        for token in 0..throng.people.len().min(throng.asking) {
            throng.ask(token, Some(end))?;
        }
        throng.serve(Some(end), end + PATIENCE)?;
        lasted = began.elapsed();
    }
    throng.tally.print(lasted);
    Ok(())
}

struct Person {
    client: Client,
    since: Instant,
    stands: Stands,
}

#[derive(Clone, Copy, PartialEq)]
enum Stands {
    Connecting,
    Waiting,
    Idle,
    Gone,
}

struct Throng {
    address: SocketAddr,
    poll: Poll,
    people: Vec<Person>,
    /// So many go on asking.
    asking: usize,
    /// Connections or requests whose end is not known yet.
    open: usize,
    tally: Tally,
}

impl Throng {
    fn come(&mut self, count: usize) -> Outcome<()> {
        for _ in 0..count {
            match Client::begin(self.address) {
                Ok(client) => {
                    self.poll.add(&client.stream, self.people.len(), WRITE)?;
                    self.people.push(Person {
                        client,
                        since: Instant::now(),
                        stands: Stands::Connecting,
                    });
                    self.open += 1;
                }
                Err(error) => self.tally.fail(kind("connect", &error)),
            }
        }
        Ok(())
    }

    /// Until everybody has been answered; those that ask go on until `end`, if there is one.
    fn serve(&mut self, end: Option<Instant>, deadline: Instant) -> Outcome<()> {
        let (mut happened, mut buffer) = (Vec::new(), vec![0; 16 * 1024]);
        while self.open > 0 && Instant::now() < deadline {
            self.poll
                .wait(&mut happened, Some(Duration::from_millis(100)))?;
            for (token, flags) in happened.drain(..) {
                self.happen(token, flags, &mut buffer, end)?;
            }
        }
        for person in &mut self.people {
            let kind = match person.stands {
                Stands::Connecting => "connect: timeout",
                Stands::Waiting => "no answer: timeout",
                Stands::Idle | Stands::Gone => continue,
            };
            self.tally.fail(kind);
            person.stands = Stands::Gone;
        }
        self.open = 0;
        Ok(())
    }

    fn happen(
        &mut self,
        token: usize,
        flags: Flags,
        buffer: &mut [u8],
        end: Option<Instant>,
    ) -> Outcome<()> {
        match self.people[token].stands {
            Stands::Connecting => {
                let error = self.people[token].client.stream.take_error()?;
                match error {
                    Some(error) => self.leave(token, Some(kind("connect", &error)))?,
                    None if flags.contains(Flags::OUT) => {
                        self.open -= 1;
                        self.poll
                            .set(&self.people[token].client.stream, token, READ)?;
                        self.people[token].stands = Stands::Idle;
                        self.ask(token, None)?;
                    }
                    None => {}
                }
            }
            Stands::Waiting => match self.people[token].client.answer(buffer) {
                Ok(None) => {}
                Ok(Some(answer)) => {
                    self.open -= 1;
                    let person = &mut self.people[token];
                    person.stands = Stands::Idle;
                    match answer.failure {
                        None => self.tally.times.push(person.since.elapsed().as_micros()),
                        Some(kind) => self.tally.fail(kind),
                    }
                    if answer.ends {
                        self.leave(token, None)?;
                    } else if end.is_some() && token < self.asking {
                        self.ask(token, end)?;
                    }
                }
                Err(error) => self.leave(token, Some(kind("answer", &error)))?,
            },
            // Who is closed while idle has lost nothing.
            Stands::Idle | Stands::Gone => self.leave(token, None)?,
        }
        Ok(())
    }

    fn ask(&mut self, token: usize, end: Option<Instant>) -> Outcome<()> {
        let person = &mut self.people[token];
        if person.stands != Stands::Idle || end.is_some_and(|end| Instant::now() >= end) {
            return Ok(());
        }
        person.since = Instant::now();
        match person.client.ask() {
            Ok(()) => {
                person.stands = Stands::Waiting;
                self.open += 1;
            }
            Err(error) => self.leave(token, Some(kind("request", &error)))?,
        }
        Ok(())
    }

    fn leave(&mut self, token: usize, failure: Option<String>) -> Outcome<()> {
        let person = &mut self.people[token];
        if matches!(person.stands, Stands::Connecting | Stands::Waiting) {
            self.open -= 1;
        }
        if person.stands != Stands::Gone {
            person.stands = Stands::Gone;
            self.poll.remove(&person.client.stream)?;
            // The descriptor stays, so that tokens do; the other side is told.
            let _ = person.client.stream.shutdown(Shutdown::Both);
        }
        if let Some(kind) = failure {
            self.tally.fail(kind);
        }
        Ok(())
    }
}
