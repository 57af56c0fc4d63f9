//! What `cargo test` runs of this: the backends, the relay, the crowd and the WebSocket client, tried on each
//! other, for a measurement is worth no more than what measures. Neither a proxy nor a load generator is needed.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Stdio;
use std::time::Duration;

use crate::Outcome;
use crate::load::Load;
use crate::process::{LOAD_CPU, Running, on};
use crate::proxy::{AccessLog, Contestant, Kind, Proxy, Site};

/// Tries all of them; an error says what does not work.
pub(crate) fn run() -> Outcome<()> {
    let site = Site::open()?;
    let relay = Contestant::new("relay", Kind::Relay, AccessLog::Off);
    let relay = Proxy::start(&relay, &site)?;
    let backend = SocketAddr::from((Ipv4Addr::LOCALHOST, site.backends[0]));
    for address in [backend, relay.plain] {
        pipelined(address)?;
        uploaded(address)?;
        let talk = Load::WebSocket {
            connections: 4,
            address,
        };
        let harvest = talk.run(relay.folder.path(), 1)?;
        if harvest.requests == 0 || harvest.failed > 0 {
            return Err(format!("WebSocket: {harvest:?}").into());
        }
        let mut command = on(&[LOAD_CPU], std::env::current_exe()?)?;
        command.args(["crowd", &address.to_string(), "10"]);
        let line = Running::start_heard(command.stdin(Stdio::piped()))?.line()?;
        if line.trim() != "10 0" {
            return Err(format!("of a crowd of 10 came and did not come: {line}").into());
        }
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
