//! An end of a connection that speaks frames: a client by what it sends, a backend by what it answers.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::frame::{self as f, Blocks, Frame};
use crate::harness::DEADLINE;

/// What can be read and written: a socket, or TLS over one.
pub(super) trait Socket: Read + Write + Send {}

impl<T: Read + Write + Send> Socket for T {}

/// An end of a connection.
pub(super) struct Raw {
    socket: Box<dyn Socket>,
    ahead: Vec<u8>,
    blocks: Blocks,
    /// What has come, by stream.
    pub(super) streams: BTreeMap<u32, Stream>,
    /// The frames that have come, all of them.
    pub(super) frames: Vec<Frame>,
    /// The last stream and the code of each GOAWAY that has come.
    pub(super) goaways: Vec<(u32, u32)>,
    /// How the connection ended.
    pub(super) ended: Option<Result<(), String>>,
    /// Whether windows are opened by what comes.
    pub(super) opens_windows: bool,
    partial: Option<(u32, u8, Vec<u8>)>,
}

/// What has come on one stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Stream {
    /// The field sections: interim ones, the head, the trailers.
    pub(super) sections: Vec<Vec<(String, String)>>,
    pub(super) content: Vec<u8>,
    pub(super) ended: bool,
    pub(super) reset: Option<u32>,
}

impl Stream {
    pub(super) fn is_over(&self) -> bool {
        self.ended || self.reset.is_some()
    }

    /// The head that is not interim.
    pub(super) fn head(&self) -> &[(String, String)] {
        let is_final = |section: &&Vec<(String, String)>| {
            let status = section.iter().find(|(name, _)| name == ":status");
            status.is_some_and(|(_, status)| !status.starts_with('1'))
        };
        self.sections
            .iter()
            .find(is_final)
            .map_or(&[], |section| section)
    }

    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let field = self.head().iter().find(|(other, _)| other == name);
        field.map(|(_, value)| value.as_str())
    }

    pub(super) fn status(&self) -> Option<u16> {
        self.field(":status")?.parse().ok()
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.content).into_owned()
    }
}

impl Raw {
    pub(super) fn of(socket: impl Socket + 'static) -> Self {
        Self {
            socket: Box::new(socket),
            ahead: Vec::new(),
            blocks: Blocks::new(),
            streams: BTreeMap::new(),
            frames: Vec::new(),
            goaways: Vec::new(),
            ended: None,
            opens_windows: true,
            partial: None,
        }
    }

    /// A connection that has sent nothing.
    pub(super) fn connect(address: SocketAddr) -> Self {
        Self::of(tcp(address))
    }

    /// A TLS connection that has sent nothing, and what ALPN settled on.
    pub(super) fn connect_tls(
        address: SocketAddr,
        believed: &CertificateDer<'static>,
        alpn: &[&str],
    ) -> (Self, Option<String>) {
        let mut roots = RootCertStore::empty();
        roots.add(believed.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let name = ServerName::try_from("shop.example").unwrap();
        let mut session = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = tcp(address);
        while session.is_handshaking() {
            session.complete_io(&mut stream).unwrap();
        }
        let settled = session
            .alpn_protocol()
            .map(|name| String::from_utf8_lossy(name).into_owned());
        (Self::of(StreamOwned::new(session, stream)), settled)
    }

    /// A client that has sent its preface and empty settings, and has seen the server's.
    pub(super) fn client(address: SocketAddr) -> Self {
        Self::connect(address).greeted(&[])
    }

    /// Sends preface and settings, and waits for the server's settings.
    pub(super) fn greeted(mut self, settings: &[(u16, u32)]) -> Self {
        self.send(f::PREFACE);
        self.send(&f::settings(settings));
        self.until(|raw| raw.frames.iter().any(|frame| frame.kind == f::SETTINGS))
            .unwrap();
        self
    }

    /// Writes; whoever has had enough need not read it.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        let _ = self.try_send(bytes);
    }

    pub(super) fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes)?;
        self.socket.flush()
    }

    /// Reads frames until it is so. An error if the connection ends before, or nothing comes in time.
    pub(super) fn until(&mut self, is_so: impl Fn(&Self) -> bool) -> Result<(), String> {
        while !is_so(self) {
            if let Some(ended) = &self.ended {
                return Err(format!(
                    "ended ({ended:?}) with {:?} after {}",
                    self.goaways,
                    self.seen()
                ));
            }
            self.step()?;
        }
        Ok(())
    }

    /// Reads until the stream is over.
    pub(super) fn answer(&mut self, stream: u32) -> Result<Stream, String> {
        self.until(|raw| raw.streams.get(&stream).is_some_and(Stream::is_over))?;
        Ok(self.streams[&stream].clone())
    }

    /// Reads until the connection ends; an error unless it does in order.
    pub(super) fn end(&mut self) -> Result<(), String> {
        while self.ended.is_none() {
            self.step()?;
        }
        self.ended.clone().unwrap()
    }

    /// Sends content on a stream as the windows allow, and does not end it.
    pub(super) fn upload(&mut self, stream: u32, content: &[u8]) -> Result<(), String> {
        let mut sent = 0;
        while sent < content.len() {
            let used = sent as u64;
            let room = |raw: &Self| {
                let of = |on| raw.opened(on, f::WINDOW_UPDATE, |frame| u64::from(frame.number(0)));
                let first = raw.initial_window();
                (65_535 + of(0))
                    .min(first + of(stream))
                    .saturating_sub(used)
            };
            self.until(|raw| room(raw) > 0)?;
            let n = (room(self) as usize).min(16_384).min(content.len() - sent);
            self.send(&f::data(stream, 0, &content[sent..sent + n]));
            sent += n;
        }
        Ok(())
    }

    fn opened(&self, stream: u32, kind: u8, of: impl Fn(&Frame) -> u64) -> u64 {
        let frames = self
            .frames
            .iter()
            .filter(|frame| frame.stream == stream && frame.kind == kind);
        frames.map(of).sum()
    }

    /// The window that the other side gives to new streams.
    fn initial_window(&self) -> u64 {
        let settings = self.frames.iter().filter(|frame| frame.kind == f::SETTINGS);
        let values = settings.flat_map(|frame| frame.payload.chunks(6));
        let mut windows = values.filter(|value| value[..2] == f::INITIAL_WINDOW_SIZE.to_be_bytes());
        let window = windows
            .next_back()
            .map(|value| u32::from_be_bytes([value[2], value[3], value[4], value[5]]));
        window.map_or(65_535, u64::from)
    }

    /// Asks for a path and gives what comes.
    pub(super) fn get(&mut self, stream: u32, path: &str) -> Result<Stream, String> {
        self.send(&f::head(stream, f::END_STREAM, &get(path)));
        self.answer(stream)
    }

    /// What has been seen, for a failure's words.
    pub(super) fn seen(&self) -> String {
        let frames = self.frames.iter().rev().take(12).rev();
        let frames: Vec<_> = frames
            .map(|frame| {
                let payload = &frame.payload[..frame.payload.len().min(40)];
                format!(
                    "{}/{:#x} on {}: {}",
                    frame.kind,
                    frame.flags,
                    frame.stream,
                    payload.escape_ascii()
                )
            })
            .collect();
        format!("{frames:#?}, {:?}", self.streams)
    }

    fn step(&mut self) -> Result<(), String> {
        if let Some((frame, taken)) = Frame::first_of(&self.ahead) {
            self.ahead.drain(..taken);
            return self.take(frame);
        }
        let mut piece = [0; 64 * 1024];
        match self.socket.read(&mut piece) {
            Ok(0) => self.ended = Some(Ok(())),
            Ok(count) => self.ahead.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(format!("nothing came in time after {}", self.seen()));
            }
            Err(error) => self.ended = Some(Err(error.to_string())),
        }
        Ok(())
    }

    fn take(&mut self, frame: Frame) -> Result<(), String> {
        if let Some((stream, ..)) = self.partial
            && (frame.kind != f::CONTINUATION || frame.stream != stream)
        {
            return Err("a field block is interrupted".to_owned());
        }
        match frame.kind {
            f::SETTINGS if !frame.has(f::ACK) => self.send(&f::frame(f::SETTINGS, f::ACK, 0, b"")),
            f::PING if !frame.has(f::ACK) => {
                self.send(&f::frame(f::PING, f::ACK, 0, &frame.payload))
            }
            f::GOAWAY => self
                .goaways
                .push((frame.number(0) & 0x7fff_ffff, frame.number(4))),
            f::RST_STREAM => self.stream(frame.stream).reset = Some(frame.number(0)),
            f::DATA => {
                let stream = self.stream(frame.stream);
                stream.content.extend(&frame.payload);
                stream.ended |= frame.has(f::END_STREAM);
                let open = frame.payload.len() as u32;
                if self.opens_windows && open > 0 {
                    self.send(&f::window_update(0, open));
                    self.send(&f::window_update(frame.stream, open));
                }
            }
            f::HEADERS | f::CONTINUATION => {
                let (stream, flags, mut block) =
                    self.partial
                        .take()
                        .unwrap_or((frame.stream, frame.flags, Vec::new()));
                block.extend(&frame.payload);
                if frame.has(f::END_HEADERS) {
                    let section = self.blocks.read(&block)?;
                    let stream = self.stream(stream);
                    stream.sections.push(section);
                    stream.ended |= flags & f::END_STREAM != 0;
                } else {
                    self.partial = Some((stream, flags, block));
                }
            }
            _ => {}
        }
        self.frames.push(frame);
        Ok(())
    }

    fn stream(&mut self, number: u32) -> &mut Stream {
        self.streams.entry(number).or_default()
    }
}

fn tcp(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// The fields of a plain request.
pub(super) fn get(path: &str) -> [(&str, &str); 4] {
    request("GET", path)
}

pub(super) fn request<'a>(method: &'a str, path: &'a str) -> [(&'a str, &'a str); 4] {
    [
        (":method", method),
        (":scheme", "http"),
        (":authority", "shop.example"),
        (":path", path),
    ]
}
