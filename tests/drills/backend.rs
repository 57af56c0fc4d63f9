//! A backend that misbehaves when told to: `drills backend NAME PORT ORDERS`, a process of its own, so that it can be killed.
//!
//! It is told by lines on its standard input, and ends with it: a [`Mode`], or `count`, which it answers with how many
//! requests it has had of clients. Each POST has a number, which is written to the file ORDERS before it is answered: what
//! a backend has taken is known when it has been killed, and what was sent twice too.
//!
//! `/healthz` is answered as the mode has it, `/large` in two pieces with a pause between them, `/ws` by a WebSocket.

use std::fs::File;
use std::io::{self, BufRead as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{fmt, thread};

use socket2::{Domain, SockRef, Socket, Type};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::Outcome;

/// What it does with requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Answers after some milliseconds.
    Normal,
    /// Reads and never answers, health checks neither.
    Hang,
    /// Resets every other connection when it has read a request; the others last for twenty requests.
    Reset,
    /// Answers 500, but health checks well: a bug in the application.
    Broken,
    /// Answers 503 to health checks, and well to all who ask all the same.
    Sick,
    /// Answers so many milliseconds later, health checks too.
    Slow(u64),
    /// Closes connections that have been idle for so many milliseconds.
    Idle(u64),
    /// Has so many places, and each request takes one for so many milliseconds.
    Narrow(u32, u64),
}

/// How long an answer takes: long enough that some are always under way.
pub(crate) const SERVICE: Duration = Duration::from_millis(20);

/// Between the two pieces of a large answer.
const PAUSE: Duration = Duration::from_millis(20);

/// Bytes of a large answer.
pub(crate) const LARGE: usize = 64 * 1024;

/// Places when there is no want of them.
const MANY: usize = 100_000;

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => write!(f, "normal"),
            Self::Hang => write!(f, "hang"),
            Self::Reset => write!(f, "reset"),
            Self::Broken => write!(f, "broken"),
            Self::Sick => write!(f, "sick"),
            Self::Slow(millis) => write!(f, "slow {millis}"),
            Self::Idle(millis) => write!(f, "idle {millis}"),
            Self::Narrow(places, millis) => write!(f, "narrow {places} {millis}"),
        }
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let name = words.next().unwrap_or_default();
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
        let wants = || format!("{text}: a number is missing");
        Ok(match name {
            "normal" => Self::Normal,
            "hang" => Self::Hang,
            "reset" => Self::Reset,
            "broken" => Self::Broken,
            "sick" => Self::Sick,
            "slow" => Self::Slow(number().ok_or_else(wants)?),
            "idle" => Self::Idle(number().ok_or_else(wants)?),
            "narrow" => {
                let places = number().and_then(|places| u32::try_from(places).ok());
                Self::Narrow(places.ok_or_else(wants)?, number().ok_or_else(wants)?)
            }
            _ => return Err(format!("there is no mode {text}")),
        })
    }
}

struct State {
    name: String,
    mode: Mutex<Mode>,
    places: Mutex<Arc<Semaphore>>,
    served: AtomicU64,
    orders: File,
}

impl State {
    fn mode(&self) -> Mode {
        *self.mode.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn_to(&self, mode: Mode) {
        let places = match mode {
            Mode::Narrow(places, _) => places as usize,
            _ => MANY,
        };
        *self.places.lock().unwrap_or_else(PoisonError::into_inner) =
            Arc::new(Semaphore::new(places));
        *self.mode.lock().unwrap_or_else(PoisonError::into_inner) = mode;
    }

    fn places(&self) -> Arc<Semaphore> {
        Arc::clone(&self.places.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The process.
pub(crate) fn run(arguments: &[String]) -> Outcome<()> {
    let [name, port, orders] = arguments else {
        return Err("backend NAME PORT ORDERS".into());
    };
    let state = Arc::new(State {
        name: name.clone(),
        mode: Mutex::new(Mode::Normal),
        places: Mutex::new(Arc::new(Semaphore::new(MANY))),
        served: AtomicU64::new(0),
        orders: File::options().append(true).create(true).open(orders)?,
    });
    let socket = bound(port.parse()?)?;
    socket.listen(4096)?;
    socket.set_nonblocking(true)?;
    let heard = Arc::clone(&state);
    thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            answer_to(&heard, line.trim());
        }
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(socket.into())?;
        println!("ready");
        for number in 0_u64.. {
            if let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&state);
                // Whatever ends a connection ends no other.
                tokio::spawn(async move { serve(stream, number, &state).await.ok() });
            }
        }
        Ok(())
    })
}

fn answer_to(state: &State, line: &str) {
    match line.parse() {
        Ok(mode) => {
            state.turn_to(mode);
            println!("ok");
        }
        Err(_) if line == "count" => println!("{}", state.served.load(Ordering::Relaxed)),
        Err(error) => println!("{error}"),
    }
}

/// A port that can be held while nobody listens: 0 for one of the kernel's choosing.
pub(crate) fn bound(port: u16) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    Ok(socket)
}

/// What the head of a request says, of what counts here.
struct Asked {
    target: String,
    order: Option<String>,
    body: usize,
}

impl Asked {
    fn read(head: &str) -> Self {
        let mut lines = head.lines();
        let first = lines.next().unwrap_or_default();
        let target = first.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut asked = Self {
            target,
            order: None,
            body: 0,
        };
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                asked.body = value.trim().parse().unwrap_or(0);
            } else if name.eq_ignore_ascii_case("x-order") {
                asked.order = Some(value.trim().to_owned());
            }
        }
        asked
    }
}

async fn serve(mut stream: TcpStream, number: u64, state: &State) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = Vec::new();
    for turn in 1_u64.. {
        let Some(asked) = receive(&mut stream, &mut input, state).await? else {
            return Ok(());
        };
        let mode = state.mode();
        let is_check = asked.target == "/healthz";
        if !is_check {
            state.served.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(order) = &asked.order {
            (&state.orders).write_all(format!("{order}\n").as_bytes())?;
        }
        if asked.target == "/ws" {
            return talk(stream).await;
        }
        let (status, ends) = match mode {
            Mode::Hang => return until_closed(stream).await,
            Mode::Reset if !is_check && number.is_multiple_of(2) => {
                SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
                return Ok(());
            }
            Mode::Reset => (200, turn >= 20),
            Mode::Broken if !is_check => (500, false),
            Mode::Sick if is_check => (503, false),
            _ => (200, false),
        };
        let places = state.places();
        let place = if is_check {
            None
        } else {
            places.acquire().await.ok()
        };
        sleep(match mode {
            Mode::Narrow(..) if is_check => Duration::ZERO,
            Mode::Slow(millis) | Mode::Narrow(_, millis) => Duration::from_millis(millis),
            _ => SERVICE,
        })
        .await;
        drop(place);
        respond(&mut stream, state, &asked, status, ends).await?;
        if ends {
            return Ok(());
        }
    }
    Ok(())
}

/// The next request and its body; none when the connection is over.
async fn receive(
    stream: &mut TcpStream,
    input: &mut Vec<u8>,
    state: &State,
) -> io::Result<Option<Asked>> {
    let end = loop {
        if let Some(at) = memchr::memmem::find(input, b"\r\n\r\n") {
            break at + 4;
        }
        let more = stream.read_buf(input);
        let count = match state.mode() {
            Mode::Idle(millis) => match timeout(Duration::from_millis(millis), more).await {
                Ok(count) => count?,
                Err(_) => 0,
            },
            _ => more.await?,
        };
        if count == 0 {
            return Ok(None);
        }
    };
    let asked = Asked::read(&String::from_utf8_lossy(&input[..end]));
    while input.len() < end + asked.body {
        if stream.read_buf(input).await? == 0 {
            return Ok(None);
        }
    }
    input.drain(..end + asked.body);
    Ok(Some(asked))
}

async fn respond(
    stream: &mut TcpStream,
    state: &State,
    asked: &Asked,
    status: u16,
    ends: bool,
) -> io::Result<()> {
    let is_large = asked.target == "/large" && status == 200;
    let length = if is_large { LARGE } else { 64 };
    let connection = if ends { "connection: close\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {status} As-Told\r\nx-backend: {}\r\n{connection}content-length: {length}\r\n\r\n",
        state.name
    );
    let body = "x".repeat(length);
    if is_large {
        let (first, second) = body.split_at(length / 2);
        stream.write_all((head + first).as_bytes()).await?;
        sleep(PAUSE).await;
        stream.write_all(second.as_bytes()).await
    } else {
        stream.write_all((head + &body).as_bytes()).await
    }
}

async fn until_closed(mut stream: TcpStream) -> io::Result<()> {
    let mut room = [0; 4096];
    while stream.read(&mut room).await? > 0 {}
    Ok(())
}

/// A WebSocket that says nothing by itself, and answers a close.
async fn talk(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(GRANT.as_bytes()).await?;
    let mut room = [0; 4096];
    loop {
        match stream.read(&mut room).await? {
            0 => return Ok(()),
            // The drill's clients send nothing but the answer to a close, so that what comes begins a frame.
            _ if room[0] & 0x0f == 8 => return stream.write_all(&[0x88, 0]).await,
            _ => {}
        }
    }
}

/// The answer to the key that all of the drill's clients send, that of RFC 6455.
const GRANT: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
