//! Metrics of very many backends, asked for every second while every worker has all that it can do.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::Outcome;
use crate::drill::{CALM, Drill, Row, Scale};
use crate::load::read;
use crate::proxy::{Kind, Proxy, Setup, own_cpus};
use crate::tally::{End, Errand, Record, Tally};
use crate::wait::{DEADLINE, wait_until};

pub(crate) const DRILLS: [Drill; 1] = [Drill {
    name: "scrapes",
    story: "10,000 backends (short: 500; addresses of one socket), each checked every ten seconds (short: every second); clients that ask \
            them as fast as they are answered; and others that ask without waiting for answers, which forecourt gives itself, so that no worker is \
            ever idle: first without anybody who scrapes, then with a scrape of `/metrics` every second. All the while somebody asks the admin API for `/healthz`, `/readyz` and one backend, ten times a second. Forecourt \
            alone: the others have no such metrics.",
    run: scrapes,
}];

/// Connections that are always waiting for an answer.
const CLIENTS: usize = 64;

/// Connections that keep workers busy, and how many requests each has under way.
const BUSY: usize = 16;
const AT_ONCE: usize = 64;

/// Of the admin API's small answers.
const ASKED: Duration = Duration::from_millis(100);

/// Of scrapes.
const SCRAPED: Duration = Duration::from_secs(1);

/// The admin API's deadline: what orchestrators give `/healthz` and `/readyz` unless told otherwise.
const AT_MOST: Duration = Duration::from_secs(1);

/// CPU time of one scrape of 10,000 backends: less than 1 % of a core at one every 15 seconds.
const CPU_AT_MOST: Duration = Duration::from_millis(150);

fn scrapes(kind: Kind, scale: Scale) -> Outcome<Vec<Row>> {
    if kind != Kind::Forecourt {
        return Err("it has no such metrics".into());
    }
    let (count, checks, seconds) = if scale.full {
        (10_000, "10s", 10.0)
    } else {
        (500, "1s", 1.0)
    };
    let setup = Setup {
        checks: Some(checks),
        silent: true,
        ..Setup::default()
    };
    let proxy = Proxy::start(kind, &origins(count)?, setup)?;
    wait_until(DEADLINE * 3, "the first checks", || {
        // More come at first than later on.
        checked(&proxy).is_ok_and(|(ok, _)| ok >= 3.0 * count as f64)
    });
    let calm = look_on(&proxy, scale.fault + CALM, None)?;
    let scraped = look_on(&proxy, scale.fault + CALM, Some(SCRAPED))?;

    let mut first = row(&calm);
    first.when = "without scrapes";
    let times = scraped.scrapes.len();
    // The small answers cost in either phase.
    let cpu = scraped.cpu.saturating_sub(calm.cpu) / u32::try_from(times.max(1))?;
    let besides = format!(
        "{times} scrapes of {count} backends, {:.1} MB each: {}, CPU {} each",
        (scraped.bytes / times.max(1)) as f64 / 1e6,
        told(&scraped.scrapes),
        millis(cpu)
    );
    let mut second = promised(row(&scraped).besides(besides), &calm, &scraped, scale.full);
    let (due, least) = (count as f64 / seconds, if scale.full { 0.9 } else { 0.6 });
    second = second.promise(
        "scrapes delay no health check: as many are done as are due, less a tenth, and none fails",
        scraped.failed == 0.0 && scraped.checks >= least * due,
        format!(
            "{:.0} a second with, {:.0} without, {due:.0} due; {} and {} failed",
            scraped.checks, calm.checks, scraped.failed, calm.failed
        ),
    );
    if scale.full {
        second = second.promise(
            "a scrape takes less than 150 ms of CPU, 1 % of a core at every 15 s",
            cpu < CPU_AT_MOST,
            millis(cpu),
        );
    }
    second.when = "scraped every second";
    Ok(vec![first, second])
}

fn row(seen: &Seen) -> Row {
    Row::new(seen.tally.clone())
        .besides(format!("{:.0} answered a second", seen.tally.goodput()))
        .besides(format!("admin API: {}", told(&seen.asked)))
        .besides(format!("{:.0} health checks a second", seen.checks))
        .besides(seen.load.clone())
}

/// What scrapes may do to all others: nothing that they would notice.
fn promised(row: Row, calm: &Seen, scraped: &Seen, full: bool) -> Row {
    // A few seconds on a busy machine say little.
    let slack = Duration::from_millis(if full { 20 } else { 1000 });
    let (before, after) = (calm.tally.latency(0.99), scraped.tally.latency(0.99));
    let slowest = scraped.asked.iter().max().copied().unwrap_or_default();
    row.all_answered()
        .promise(
            "the admin API answers within a second",
            slowest <= AT_MOST,
            format!("{} at most", millis(slowest)),
        )
        .promise(
            "scrapes delay no request by more than half of p99",
            after <= before + before / 2 + slack,
            format!("p99 {} with, {} without", millis(after), millis(before)),
        )
}

/// What was seen in some time.
struct Seen {
    tally: Tally,
    /// How long the admin API took for its small answers, and for scrapes.
    asked: Vec<Duration>,
    scrapes: Vec<Duration>,
    /// Bytes of all scrapes.
    bytes: usize,
    /// Health checks a second, and how many failed.
    checks: f64,
    failed: f64,
    /// CPU time of the admin API's thread.
    cpu: Duration,
    /// What the workers and the CPUs had to do, in words.
    load: String,
}

/// Has clients ask for so long, and looks at the admin API meanwhile.
fn look_on(proxy: &Proxy, time: Duration, scraped: Option<Duration>) -> Outcome<Seen> {
    let (ok, bad) = checked(proxy)?;
    let cpu = proxy.cpu_of("admin");
    let (worked, busy) = (proxy.cpu_of("worker"), busy());
    let began = Instant::now();
    let is_over = Arc::new(AtomicBool::new(false));
    let until = began + time;
    let backend = format!("/v1/pools/shop/backends/{}", proxy.first());
    let paths = ["/healthz", "/readyz", &backend];
    let (tally, asked, scrapes) = thread::scope(|scope| {
        let crowd = {
            let (address, is_over) = (proxy.address, Arc::clone(&is_over));
            scope.spawn(move || crowd(address, began, &is_over).map_err(|error| error.to_string()))
        };
        let asked = scope.spawn(move || every(ASKED, until, |turn| ask(proxy, paths[turn % 3])));
        let scrapes = scope.spawn(move || match scraped {
            Some(pause) => every(pause, until, |_| ask(proxy, "/metrics")),
            None => Ok(Vec::new()),
        });
        let (asked, scrapes) = (asked.join(), scrapes.join());
        is_over.store(true, Ordering::Relaxed);
        (crowd.join(), asked, scrapes)
    });
    let took = began.elapsed();
    let cpus = own_cpus()?.len() as f64;
    let idle = 1.0 - (self::busy() - busy) / took.as_secs_f64() / cpus;
    let worked = proxy
        .cpu_of("worker")
        .saturating_sub(worked)
        .div_duration_f64(took);
    let load = format!(
        "the workers had {:.0} % of a CPU, and {:.0} % of all CPUs was idle",
        100.0 * worked,
        100.0 * idle.max(0.0)
    );
    let panicked = |_| "somebody who looked on has panicked";
    let (asked, scrapes) = (asked.map_err(panicked)??, scrapes.map_err(panicked)??);
    let cpu = proxy.cpu_of("admin").saturating_sub(cpu);
    let (ok_now, bad_now) = checked(proxy)?;
    Ok(Seen {
        tally: tally.map_err(panicked)??,
        asked: asked.into_iter().map(|(time, _)| time).collect(),
        bytes: scrapes.iter().map(|(_, bytes)| bytes).sum(),
        scrapes: scrapes.into_iter().map(|(time, _)| time).collect(),
        checks: (ok_now - ok) / took.as_secs_f64(),
        failed: bad_now - bad,
        cpu,
        load,
    })
}

/// Seconds that the CPUs of this process have been busy.
fn busy() -> f64 {
    let cpus = own_cpus().unwrap_or_default();
    cpus.into_iter().map(crate::accounts::busy).sum()
}

/// Does it again and again until then, at even distances; one that takes longer delays the next.
fn every<T>(
    pause: Duration,
    until: Instant,
    mut look: impl FnMut(usize) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let mut seen = Vec::new();
    let mut due = Instant::now();
    while due < until {
        seen.push(look(seen.len())?);
        due += pause;
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok(seen)
}

/// Asks the admin API; says how long it took, and how long the answer is.
fn ask(proxy: &Proxy, path: &str) -> Result<(Duration, usize), String> {
    let began = Instant::now();
    // Not read as text: that would take more of the machine than the answer did.
    let answer = proxy.fetch(path).map_err(|error| error.to_string())?;
    if !answer.starts_with(b"HTTP/1.1 200 ") {
        let line = String::from_utf8_lossy(&answer[..answer.len().min(200)]);
        return Err(format!("{path}: {line:?}"));
    }
    Ok((began.elapsed(), answer.len()))
}

/// Health checks that succeeded and that failed, of all backends.
fn checked(proxy: &Proxy) -> Outcome<(f64, f64)> {
    let text = proxy.look("/metrics")?;
    let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
    let lines = text.lines();
    for line in lines.filter_map(|line| line.strip_prefix("forecourt_health_checks_total{")) {
        let (labels, value) = line.rsplit_once(' ').ok_or("a value")?;
        let (_, result) = labels.split_once("result=").ok_or("a result")?;
        *sums.entry(result).or_default() += value.trim().parse::<f64>()?;
    }
    let of = |result| sums.get(result).copied().unwrap_or(0.0);
    Ok((of("\"ok\"}"), of("\"failed\"}")))
}

/// So many addresses of one socket, on which a thread answers for as long as the process lives.
fn origins(count: usize) -> Outcome<Vec<SocketAddr>> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into())?;
    // A thread that has to wait for a CPU must not lose a SYN, which would come again after a second.
    socket.listen(4096)?;
    socket.set_nonblocking(true)?;
    let socket = std::net::TcpListener::from(socket);
    let port = socket.local_addr()?.port();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let serving = runtime.map(|runtime| runtime.block_on(accept(socket)));
        if let Err(error) | Ok(Err(error)) = serving {
            eprintln!("the backends have ended: {error}");
        }
    });
    let addresses = (1_u32..).filter(|number| !matches!(number % 256, 0 | 255));
    let loopback = u32::from(Ipv4Addr::new(127, 1, 0, 0));
    Ok(addresses
        .take(count)
        .map(|number| SocketAddr::from((Ipv4Addr::from(loopback + number), port)))
        .collect())
}

async fn accept(socket: std::net::TcpListener) -> io::Result<()> {
    let listener = TcpListener::from_std(socket)?;
    loop {
        if let Ok((mut stream, _)) = listener.accept().await {
            // Whatever ends a connection ends no other.
            tokio::spawn(async move { answer(&mut stream).await.ok() });
        }
    }
}

async fn answer(stream: &mut TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = Vec::with_capacity(1024);
    loop {
        while memchr::memmem::find(&input, b"\r\n\r\n").is_none() {
            if stream.read_buf(&mut input).await? == 0 {
                return Ok(());
            }
        }
        // A GET has no body, and the next comes behind the answer.
        input.clear();
        stream.write_all(ANSWER).await?;
    }
}

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Clients that ask again as soon as they are answered, until it is over.
fn crowd(address: SocketAddr, began: Instant, is_over: &Arc<AtomicBool>) -> io::Result<Tally> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let records = Arc::new(Mutex::new(Vec::new()));
    runtime.block_on(async {
        let mut clients = JoinSet::new();
        for _ in 0..BUSY {
            let is_over = Arc::clone(is_over);
            // It only keeps workers busy: what is promised is asked by the others.
            clients.spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    let _ = keep_busy(address, &is_over).await;
                }
            });
        }
        for number in 0..CLIENTS {
            let (is_over, records) = (Arc::clone(is_over), Arc::clone(&records));
            clients.spawn(async move {
                let seen = client(address, number as u64, began, &is_over).await;
                let mut records = records.lock().unwrap_or_else(PoisonError::into_inner);
                records.extend(seen);
            });
        }
        while clients.join_next().await.is_some() {}
    });
    let mut records = records.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Tally::new(std::mem::take(&mut *records), began.elapsed()))
}

async fn client(
    address: SocketAddr,
    number: u64,
    began: Instant,
    is_over: &AtomicBool,
) -> Vec<Record> {
    let head = Errand::Browse.head(number, false);
    let (mut records, mut kept) = (Vec::new(), None);
    while !is_over.load(Ordering::Relaxed) {
        let due = began.elapsed();
        let end = match exchange(&mut kept, address, &head).await {
            Ok(end) => end,
            Err(_) => End::Refused,
        };
        records.push(Record {
            errand: Errand::Browse,
            due,
            ended: began.elapsed(),
            end,
        });
    }
    records
}

/// Asks for what costs forecourt more than it costs to ask, many at once, until it is over.
async fn keep_busy(address: SocketAddr, is_over: &AtomicBool) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let requests = "GET /busy HTTP/1.1\r\nhost: shop.test\r\n\r\n".repeat(AT_ONCE);
    let mut input = Vec::with_capacity(64 * 1024);
    while !is_over.load(Ordering::Relaxed) {
        stream.write_all(requests.as_bytes()).await?;
        input.clear();
        while memchr::memmem::find_iter(&input, b"\r\n\r\n").count() < AT_ONCE {
            if stream.read_buf(&mut input).await? == 0 {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// One request, on the connection that was kept or on a new one.
async fn exchange(
    kept: &mut Option<TcpStream>,
    address: SocketAddr,
    head: &str,
) -> io::Result<End> {
    let mut stream = match kept.take() {
        Some(stream) => stream,
        None => TcpStream::connect(address).await?,
    };
    stream.write_all(head.as_bytes()).await?;
    let (end, is_kept) = read(&mut stream).await;
    *kept = is_kept.then_some(stream);
    Ok(end)
}

fn told(times: &[Duration]) -> String {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = |share: usize| {
        let index = sorted.len().saturating_sub(1) * share / 100;
        millis(sorted.get(index).copied().unwrap_or_default())
    };
    format!("p50 {}, p99 {}, at most {}", at(50), at(99), at(100))
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}
