//! A client that keeps its connection, believes nothing and says which origin answered.

use std::fmt;
use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use super::wait::DEADLINE;
use super::wire::{Fields, Framing, Head, Wire, WireError};

/// Why there is no whole response.
pub(crate) use super::wire::WireError as ClientError;

/// A client of one address. Connects when it first sends, and again after a connection has ended.
#[derive(Debug)]
pub(crate) struct Client {
    address: SocketAddr,
    host: &'static str,
    source: Option<IpAddr>,
    patience: Duration,
    wire: Option<Wire>,
}

/// Whom a request is for.
#[derive(Clone, Debug)]
enum Host {
    OfClient,
    Given(String),
    Absent,
}

/// A request to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    method: String,
    target: String,
    host: Host,
    fields: Vec<(String, String)>,
    body: Payload,
}

#[derive(Clone, Debug)]
enum Payload {
    None,
    Length(Vec<u8>),
    Chunks(Vec<Vec<u8>>),
}

/// A response as it came.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: Head,
    pub(crate) framing: Framing,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Fields,
    /// The heads of 1xx responses that came before.
    pub(crate) interim: Vec<Head>,
    pub(crate) ending: Ending,
}

/// How a response ended.
#[derive(Debug)]
pub(crate) enum Ending {
    /// As its framing said.
    Whole,
    /// Before its framing said.
    Cut(ClientError),
}

impl Client {
    /// A client of this address.
    pub(crate) fn of(address: SocketAddr) -> Self {
        Self {
            address,
            host: "shop.example",
            source: None,
            patience: DEADLINE,
            wire: None,
        }
    }

    /// Whom it asks for if a request does not say.
    pub(crate) fn asking_for(mut self, host: &'static str) -> Self {
        self.host = host;
        self
    }

    /// Connects from this address of this machine: all of 127.0.0.0/8 are.
    pub(crate) fn coming_from(mut self, source: IpAddr) -> Self {
        self.source = Some(source);
        self
    }

    /// How long each read may take.
    pub(crate) fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Gets a path from the host `shop.example`; panics unless a whole response comes.
    #[track_caller]
    pub(crate) fn get(&mut self, target: &str) -> Response {
        self.send(&Request::get(target))
    }

    /// Sends a request and reads its response; panics unless a whole response comes.
    #[track_caller]
    pub(crate) fn send(&mut self, request: &Request) -> Response {
        let response = match self.try_send(request) {
            Ok(response) => response,
            Err(error) => panic!(
                "{} {} got no response: {error}",
                request.method, request.target
            ),
        };
        if let Ending::Cut(error) = &response.ending {
            panic!(
                "the response to {} {} was cut: {error}",
                request.method, request.target
            );
        }
        response
    }

    /// Sends a request and reads its response, which may be cut.
    pub(crate) fn try_send(&mut self, request: &Request) -> Result<Response, ClientError> {
        // A server may answer and close before it has read all: what it said counts, not that writing failed.
        let sent = self.send_raw(&request.to_bytes_for(self.host));
        match (self.read_response(&request.method), sent) {
            (Err(WireError::Closed | WireError::Reset), Err(error)) => Err(error),
            (response, _) => response,
        }
    }

    /// Sends bytes as they are.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        let mut stream = self.connect()?.stream();
        stream.write_all(bytes)?;
        Ok(())
    }

    /// Reads the response to a request of that method.
    pub(crate) fn read_response(&mut self, method: &str) -> Result<Response, ClientError> {
        let wire = self.wire.as_mut().ok_or(WireError::Closed);
        let response = wire.and_then(|wire| read_response(wire, method));
        let stays = response.as_ref().is_ok_and(Response::keeps_connection);
        if !stays {
            self.wire = None;
        }
        response
    }

    /// Whether the connection still stands as far as this side knows.
    pub(crate) fn is_connected(&self) -> bool {
        self.wire.is_some()
    }

    /// The address of this side; panics if there is no connection.
    pub(crate) fn local_address(&self) -> SocketAddr {
        let wire = self
            .wire
            .as_ref()
            .expect("a client that has sent something is connected");
        wire.stream()
            .local_addr()
            .expect("a connected socket has an address")
    }

    /// Bytes that came beyond the last response.
    pub(crate) fn ahead(&self) -> &[u8] {
        self.wire.as_ref().map_or(&[], Wire::ahead)
    }

    /// Reads until the other side closes, and gives what came before that.
    pub(crate) fn read_to_end(&mut self) -> Result<Vec<u8>, ClientError> {
        let body = self.connect()?.read_body(Framing::UntilClose);
        self.wire = None;
        body.fault.map_or(Ok(body.bytes), Err)
    }

    /// Says that nothing more will be sent, and goes on reading.
    pub(crate) fn finish_writing(&mut self) -> Result<(), ClientError> {
        Ok(self.connect()?.stream().shutdown(Shutdown::Write)?)
    }

    /// Closes the connection in an orderly way.
    pub(crate) fn close(&mut self) {
        self.wire = None;
    }

    /// Resets the connection.
    pub(crate) fn reset(&mut self) {
        if let Some(wire) = self.wire.take() {
            reset(wire.stream());
        }
    }

    /// The connection, made if there is none.
    pub(crate) fn connect(&mut self) -> Result<&mut Wire, ClientError> {
        if self.wire.is_none() {
            let stream = match self.source {
                None => TcpStream::connect_timeout(&self.address, self.patience)?,
                Some(source) => {
                    let domain = Domain::for_address(self.address);
                    let socket = Socket::new(domain, Type::STREAM, None)?;
                    socket.bind(&SocketAddr::from((source, 0)).into())?;
                    socket.connect_timeout(&self.address.into(), self.patience)?;
                    TcpStream::from(socket)
                }
            };
            stream.set_read_timeout(Some(self.patience))?;
            stream.set_write_timeout(Some(self.patience))?;
            stream.set_nodelay(true)?;
            self.wire = Some(Wire::new(stream));
        }
        Ok(self.wire.as_mut().expect("it was just put there"))
    }
}

impl Request {
    /// A request without a body to the host of its client, mostly `shop.example`.
    pub(crate) fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            host: Host::OfClient,
            fields: Vec::new(),
            body: Payload::None,
        }
    }

    /// A `GET`.
    pub(crate) fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A `POST` with this body.
    pub(crate) fn post(target: &str, body: &[u8]) -> Self {
        let mut request = Self::new("POST", target);
        request.body = Payload::Length(body.to_vec());
        request
    }

    /// A PUT of this body.
    pub(crate) fn put(target: &str, body: &[u8]) -> Self {
        let mut request = Self::new("PUT", target);
        request.body = Payload::Length(body.to_vec());
        request
    }

    /// Names another host.
    pub(crate) fn host(mut self, host: &str) -> Self {
        self.host = Host::Given(host.to_owned());
        self
    }

    /// Leaves the host out.
    pub(crate) fn without_host(mut self) -> Self {
        self.host = Host::Absent;
        self
    }

    /// Adds a field.
    pub(crate) fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Gives it a body of these chunks.
    pub(crate) fn chunks(mut self, chunks: &[&[u8]]) -> Self {
        self.body = Payload::Chunks(chunks.iter().map(|chunk| chunk.to_vec()).collect());
        self
    }

    /// The request as it goes over the wire.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.to_bytes_for("shop.example")
    }

    /// The same by a client that asks for this host.
    fn to_bytes_for(&self, host: &str) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        let host = match &self.host {
            Host::OfClient => Some(host),
            Host::Given(host) => Some(host.as_str()),
            Host::Absent => None,
        };
        let host = host.map(|host| ("host", host)).into_iter();
        let fields = self
            .fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in host.chain(fields) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut bytes = head.into_bytes();
        match &self.body {
            Payload::None => bytes.extend_from_slice(b"\r\n"),
            Payload::Length(body) => {
                bytes.extend_from_slice(
                    format!("content-length: {}\r\n\r\n", body.len()).as_bytes(),
                );
                bytes.extend_from_slice(body);
            }
            Payload::Chunks(chunks) => {
                bytes.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
                for chunk in chunks {
                    bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    bytes.extend_from_slice(chunk);
                    bytes.extend_from_slice(b"\r\n");
                }
                bytes.extend_from_slice(b"0\r\n\r\n");
            }
        }
        bytes
    }
}

impl Response {
    /// The name of the origin that answered; panics if none did.
    #[track_caller]
    pub(crate) fn origin(&self) -> &str {
        match self.field("x-origin") {
            Some(name) => name,
            None => panic!("no origin answered, but {self}"),
        }
    }

    /// The first field of that name.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.fields.first(name)
    }

    /// The cause, if forecourt itself made this response.
    pub(crate) fn cause(&self) -> Option<&str> {
        self.field("forecourt-error")
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether all of it came.
    pub(crate) fn is_whole(&self) -> bool {
        matches!(self.ending, Ending::Whole)
    }

    /// Whether the connection takes another request, as far as the response says.
    pub(crate) fn keeps_connection(&self) -> bool {
        let fields = &self.head.fields;
        let is_old = self.head.first_line.starts_with("HTTP/1.0");
        let stays = !fields.lists("connection", "close")
            && (!is_old || fields.lists("connection", "keep-alive"));
        // After an upgrade the bytes that follow are still this connection's.
        self.is_whole() && self.framing != Framing::UntilClose && (stays || self.status == 101)
    }
}

impl fmt::Display for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {:?} {:?}",
            self.head.first_line,
            self.head.fields.0,
            self.text()
        )
    }
}

/// Closes a connection so that the other side sees a reset, once no other handle of it is open.
pub(crate) fn reset(stream: &TcpStream) {
    let lingers = SockRef::from(stream).set_linger(Some(Duration::ZERO));
    lingers.expect("any socket can linger for no time");
}

/// Reads the response to a request of that method from any connection.
pub(crate) fn read_response<S: Read>(
    wire: &mut Wire<S>,
    method: &str,
) -> Result<Response, ClientError> {
    let mut interim = Vec::new();
    let (status, head) = loop {
        let head = wire.read_head()?;
        let status = status(&head.first_line)?;
        if !(100..200).contains(&status) || status == 101 {
            break (status, head);
        }
        interim.push(head);
    };
    let said = head.fields.framing()?;
    let has_none = method == "HEAD" || matches!(status, 101 | 204 | 304);
    let framing = match said {
        _ if has_none => Framing::None,
        // Without a word about it, the body of a response ends with the connection (RFC 9112 section 6.3).
        None => Framing::UntilClose,
        Some(said) => said,
    };
    let body = wire.read_body(framing);
    Ok(Response {
        status,
        head,
        framing,
        body: body.bytes,
        trailers: body.trailers,
        interim,
        ending: body.fault.map_or(Ending::Whole, Ending::Cut),
    })
}

fn status(line: &str) -> Result<u16, ClientError> {
    let odd = || WireError::Malformed(format!("status line {line:?}"));
    let rest = line
        .strip_prefix("HTTP/1.1 ")
        .or_else(|| line.strip_prefix("HTTP/1.0 "));
    let (status, _reason) = rest.and_then(|rest| rest.split_once(' ')).ok_or_else(odd)?;
    let is_status = status.len() == 3 && status.bytes().all(|byte| byte.is_ascii_digit());
    status.parse().ok().filter(|_| is_status).ok_or_else(odd)
}
