//! A backend that notes every byte, answers each whole request in a known way, and one kind of request as a
//! script says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::readings;
use super::reference::{self, Next, Request};

/// What a backend has seen, and what it is to do. Shared by its connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Desk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    stations: BTreeMap<u64, Station>,
    /// Connections so far.
    accepted: u64,
    /// Whole requests in the order in which they were answered.
    served: Vec<Request>,
    script: Option<Script>,
    /// Scripts that are being played.
    playing: usize,
    /// Names the execution in all answers.
    number: u64,
}

/// A connection.
#[derive(Debug, Default)]
struct Station {
    bytes: Vec<u8>,
    /// Bytes of whole requests.
    understood: usize,
    /// Whether leave has been given for the body of the request that is not whole.
    informed: bool,
    /// Whether that request has had its answer.
    answered: bool,
    ended: bool,
    task: Option<JoinHandle<()>>,
}

/// What is answered to requests for [`SCRIPTED`].
#[derive(Clone, Debug)]
pub(crate) struct Script {
    /// What to send, piece by piece.
    pub(crate) pieces: Vec<Vec<u8>>,
    /// And then.
    pub(crate) then: Then,
    /// Whether it begins when the head of the request has come.
    pub(crate) early: bool,
}

/// What a backend does behind its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// Ends the connection.
    Close,
    /// Resets it.
    Reset,
    /// Goes on as if nothing was.
    Silence,
}

enum Step {
    Again,
    Answer(Vec<u8>),
    Hang,
    Play(Script),
    Wait,
}

/// The path that the script is for.
pub(crate) const SCRIPTED: &[u8] = b"/scripted";

impl Desk {
    /// Accepts connections for ever.
    pub(crate) async fn serve(self, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            let id = {
                let mut state = self.state();
                state.accepted += 1;
                let id = state.accepted;
                state.stations.insert(id, Station::default());
                id
            };
            let desk = self.clone();
            let task = tokio::spawn(async move {
                desk.attend(stream, id).await;
                desk.state().station(id).ended = true;
            });
            self.state().station(id).task = Some(task);
        }
    }

    /// Begins an execution: what was seen is forgotten.
    pub(crate) fn begin(&self, number: u64, script: Option<Script>) {
        let mut state = self.state();
        state.number = number;
        state.script = script;
        state.served.clear();
        state.stations.retain(|_, station| !station.ended);
        for station in state.stations.values_mut() {
            station.bytes.clear();
            station.understood = 0;
            station.informed = false;
            station.answered = false;
        }
    }

    /// Gives up all connections.
    pub(crate) fn hang_up(&self) {
        let mut state = self.state();
        state.playing = 0;
        for station in state.stations.values_mut() {
            station.ended = true;
            if let Some(task) = station.task.take() {
                task.abort();
            }
        }
    }

    /// Whether no script is under way, and what came is whole on every connection that still stands.
    pub(crate) fn is_settled(&self) -> bool {
        let state = self.state();
        let whole = |station: &Station| station.ended || station.understood == station.bytes.len();
        state.playing == 0 && state.stations.values().all(whole)
    }

    /// Whether no script is under way.
    pub(crate) fn has_played(&self) -> bool {
        self.state().playing == 0
    }

    /// Whole requests in the order in which they were answered.
    pub(crate) fn served(&self) -> Vec<Request> {
        self.state().served.clone()
    }

    /// What came on each connection on which anything came.
    pub(crate) fn received(&self) -> Vec<Vec<u8>> {
        let state = self.state();
        let spoken = state.stations.values().map(|station| station.bytes.clone());
        spoken.filter(|bytes| !bytes.is_empty()).collect()
    }

    async fn attend(&self, mut stream: TcpStream, id: u64) {
        let mut room = vec![0; 64 * 1024];
        let _ = stream.set_nodelay(true);
        loop {
            match stream.read(&mut room).await {
                Ok(n) if n > 0 => self.state().station(id).bytes.extend_from_slice(&room[..n]),
                Ok(_) | Err(_) => return,
            }
            loop {
                let step = self.state().step(id);
                match step {
                    Step::Again => {}
                    Step::Answer(bytes) => {
                        if stream.write_all(&bytes).await.is_err() {
                            return;
                        }
                    }
                    Step::Hang => return,
                    Step::Play(script) => {
                        let then = script.then;
                        play(&mut stream, script).await;
                        if then == Then::Close {
                            let _ = stream.shutdown().await;
                        }
                        // Only now: whoever waits for the script waits for its end too.
                        self.state().has_played();
                        match then {
                            Then::Close => return,
                            Then::Reset => {
                                let now = Some(Duration::ZERO);
                                let _ = SockRef::from(&stream).set_linger(now);
                                return;
                            }
                            Then::Silence => {}
                        }
                    }
                    Step::Wait => break,
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn station(&mut self, id: u64) -> &mut Station {
        self.stations.entry(id).or_default()
    }

    fn has_played(&mut self) {
        self.playing = self.playing.saturating_sub(1);
    }

    /// What to do about what came on a connection.
    fn step(&mut self, id: u64) -> Step {
        let station = self.stations.entry(id).or_default();
        match reference::request(
            &station.bytes[station.understood..],
            readings::LIMITS.fields,
        ) {
            Next::Nothing | Next::Begun => Step::Wait,
            Next::Refused => Step::Hang,
            Next::Headed(_) if station.answered => Step::Wait,
            Next::Headed(request) => {
                let early = self.script.as_ref().filter(|script| script.early);
                if let Some(script) = early.filter(|_| request.target == SCRIPTED) {
                    station.answered = true;
                    self.playing += 1;
                    return Step::Play(script.clone());
                }
                let asks = reference::values(&request.fields, "expect")
                    .next()
                    .is_some();
                if !asks || std::mem::replace(&mut station.informed, true) {
                    return Step::Wait;
                }
                Step::Answer(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec())
            }
            Next::Whole(request, length) => {
                station.understood += length;
                station.informed = false;
                let answered = std::mem::take(&mut station.answered);
                let scripted = request.target == SCRIPTED;
                self.served.push(request);
                match &self.script {
                    _ if answered => Step::Again,
                    Some(script) if scripted => {
                        self.playing += 1;
                        Step::Play(script.clone())
                    }
                    Some(_) | None => Step::Answer(self.known_answer()),
                }
            }
        }
    }

    /// The answer to the request that was served last.
    fn known_answer(&self) -> Vec<u8> {
        let index = self.served.len() - 1;
        let content = known_content(self.number, index);
        let mut answer = format!(
            "HTTP/1.1 200 OK\r\nx-wire: {content}\r\ncontent-length: {}\r\n\r\n",
            content.len()
        );
        if self.served[index].method != b"HEAD" {
            answer.push_str(&content);
        }
        answer.into_bytes()
    }
}

/// What is answered to the request of this index in an execution; no other answer is the same.
pub(crate) fn known_content(number: u64, index: usize) -> String {
    format!("answer-{index}-of-{number}")
}

async fn play(stream: &mut TcpStream, script: Script) {
    for (index, piece) in script.pieces.iter().enumerate() {
        if index > 0 {
            pause().await;
        }
        if stream.write_all(piece).await.is_err() {
            return;
        }
    }
}

/// Lets the other side see what was sent before more is. What it holds against is no matter of time: pieces
/// that come together all the same are another case of the same property.
pub(crate) async fn pause() {
    let begun = Instant::now();
    while begun.elapsed() < PAUSE {
        tokio::task::yield_now().await;
    }
}

/// Enough for a worker to wake and read.
const PAUSE: Duration = Duration::from_micros(60);
