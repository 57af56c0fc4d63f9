//! What `cargo test` runs of this: the backends, the relay, the crowd and our clients, tried on each other, for a measurement is worth no more than what measures. Neither a proxy nor a load generator is needed.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::time::Duration;

use crate::Outcome;
use crate::accounts::CpuTime;
use crate::journal::Journal;
use crate::load::{Harvest, Load};
use crate::measure::Sample;
use crate::process::{LOAD_CPU, Running, on};
use crate::proxy::{AccessLog, Contestant, Kind, Proxy, Site};

/// Tries all of them; an error says what does not work.
pub(crate) fn run() -> Outcome<()> {
    kept()?;
    let site = Site::open()?;
    let relay = Contestant::new("relay", Kind::Relay, AccessLog::Off);
    let relay = Proxy::start(&relay, &site)?;
    let backend = SocketAddr::from((Ipv4Addr::LOCALHOST, site.backends[0]));
    for address in [backend, relay.plain] {
        pipelined(address)?;
        uploaded(address)?;
        loads(address, &relay)?;
        let mut command = on(&[LOAD_CPU], std::env::current_exe()?)?;
        command.args(["crowd", &address.to_string(), "10"]);
        let line = Running::start_heard(command.stdin(Stdio::piped()))?.line()?;
        if line.trim() != "10 0" {
            return Err(format!("of a crowd of 10 came and did not come: {line}").into());
        }
    }
    Ok(())
}

/// What is measured is there again for a run of the same title, but for a line that was being written; for no other.
fn kept() -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let open = |title: &str, resume: bool| Journal::open(folder.path(), title, resume);
    if open("one", true).is_ok() {
        return Err("there was nothing to resume".into());
    }
    let mut journal = open("one", false)?;
    for round in 0..2 {
        journal.add(Sample {
            proxy: "relay".to_owned(),
            scenario: "ka1k".to_owned(),
            round,
            harvest: Harvest::default(),
            cpu: CpuTime::default(),
            foreign: 0.0,
            resident: 0.0,
            each: None,
            calls: None,
            asked: None,
            closed: None,
            lost: None,
        })?;
    }
    drop(journal);
    let file = folder.path().join("samples.jsonl");
    let text = fs::read_to_string(&file)?;
    fs::write(&file, &text[..text.len() - 10])?;
    let journal = open("one", true)?;
    let finds = [0, 1].map(|round| journal.find("relay", "ka1k", round).is_some());
    if finds != [true, false] {
        return Err(format!("of a whole sample and half of one were found: {finds:?}").into());
    }
    match open("two", true) {
        Ok(_) => Err("another run's samples were taken".into()),
        Err(_) => Ok(()),
    }
}

/// Our clients are served, by those that know them; nothing fails, and at a rate as many are served as were asked for.
fn loads(address: SocketAddr, relay: &Proxy) -> Outcome<()> {
    let place = address.to_string();
    let place = place.as_str();
    for (name, arguments, at_least) in [
        ("talk", &[place, "4", "@SECONDS@"][..], 1),
        ("pace", &[place, "4", "@SECONDS@", "200"], 200),
        ("throng", &[place, "40", "40", "0"], 40),
        ("throng", &[place, "40", "4", "@SECONDS@"], 1),
    ] {
        let load = Load::Ours {
            name,
            arguments: arguments.iter().copied().map(str::to_owned).collect(),
        };
        let harvest = load.run(relay.folder.path(), 1)?;
        if harvest.requests < at_least || harvest.failed > 0 {
            return Err(format!("{name}: {harvest:?}").into());
        }
    }
    let mut command = on(&[LOAD_CPU], std::env::current_exe()?)?;
    command.args(["sleepers", &address.to_string(), "10"]);
    let mut sleepers = Running::start_heard(command.stdin(Stdio::piped()))?;
    let line = sleepers.line()?;
    if line.trim() != "10 0" {
        return Err(format!("of 10 sleepers came and did not come: {line}").into());
    }
    sleepers.say("\n")?;
    let line = sleepers.line()?;
    if !line.trim_end().ends_with("0 0") {
        return Err(format!("sleepers answered, closed and failed: {line}").into());
    }
    kinds()
}

/// Who is refused is told so.
fn kinds() -> Outcome<()> {
    // Nobody listens where somebody has just stopped.
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let folder = tempfile::tempdir()?;
    let arguments = [&address.to_string(), "3", "3", "0"]
        .map(str::to_owned)
        .to_vec();
    let burst = Load::Ours {
        name: "throng",
        arguments,
    };
    let harvest = burst.run(folder.path(), 1)?;
    if harvest.failed != 3 || harvest.failures != "connect: refused 3" {
        return Err(format!("of three that were refused: {harvest:?}").into());
    }
    Ok(())
}

/// Requests at once are answered in turn, a large answer among them.
fn pipelined(address: SocketAddr) -> Outcome<()> {
    let paths = ["/1m", "/1k", "/1m", "/16k", "/other"];
    let sizes = [1 << 20, 1 << 10, 1 << 20, 1 << 14, 1 << 10];
    let requests = paths.map(|path| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
    let mut stream = connect(address)?;
    stream.write_all(requests.concat().as_bytes())?;
    for (path, size) in paths.iter().zip(sizes) {
        answered(&mut stream, size).map_err(|error| format!("{path}: {error}"))?;
    }
    Ok(())
}

/// A body is read, and the request after it is answered.
fn uploaded(address: SocketAddr) -> Outcome<()> {
    let mut stream = connect(address)?;
    for length in [0, 1, 200_000] {
        let head = format!("POST /1k HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes())?;
        stream.write_all(&vec![b'x'; length])?;
        answered(&mut stream, 1 << 10).map_err(|error| format!("a body of {length}: {error}"))?;
    }
    Ok(())
}

fn connect(address: SocketAddr) -> Outcome<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    Ok(stream)
}

fn answered(stream: &mut TcpStream, size: usize) -> Outcome<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head)?;
    if !head.starts_with("HTTP/1.1 200 ") || !head.contains(&format!("Content-Length: {size}\r\n"))
    {
        return Err(head.into());
    }
    let mut body = vec![0; size];
    stream.read_exact(&mut body)?;
    if body.iter().any(|byte| *byte != b'x') {
        return Err("the body is another's".into());
    }
    Ok(())
}
