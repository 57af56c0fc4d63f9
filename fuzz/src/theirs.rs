//! hyper, reading from memory: its server reads requests, its client reads responses. No runtime: whoever
//! never waits for anything can be polled by hand.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};

/// A request as hyper's server read it.
#[derive(Debug)]
pub struct SeenRequest {
    /// The method.
    pub method: Method,
    /// The target.
    pub target: Uri,
    /// The version.
    pub version: Version,
    /// The fields; those of one name are in order.
    pub fields: HeaderMap,
    /// The content, if it was sound and whole.
    pub content: Option<Vec<u8>>,
    /// The trailers behind it.
    pub trailers: HeaderMap,
}

/// How a connection ends behind its last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By the end of the stream.
    Fin,
    /// By a reset.
    Reset,
}

/// A response as hyper's client read it.
#[derive(Debug)]
pub struct SeenResponse {
    /// The status code.
    pub status: StatusCode,
    /// The version.
    pub version: Version,
    /// The fields; those of one name are in order.
    pub fields: HeaderMap,
    /// The content, if it was sound and whole.
    pub content: Option<Vec<u8>>,
    /// The trailers behind it.
    pub trailers: HeaderMap,
}

/// The requests that a client sent which sends these bytes and no more.
pub fn requests(bytes: Vec<u8>) -> Vec<SeenRequest> {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let service = service_fn(|request: Request<Incoming>| {
        let seen = Rc::clone(&seen);
        async move {
            let (head, body) = request.into_parts();
            let (content, trailers) = whole(body).await;
            seen.borrow_mut().push(SeenRequest {
                method: head.method,
                target: head.uri,
                version: head.version,
                fields: head.headers,
                content,
                trailers,
            });
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    server.header_read_timeout(None).half_close(true);
    // What reaches a backend has the fields that a proxy adds too.
    server.max_headers(MOST_FIELDS);
    let wire = Wire::new(vec![bytes]);
    drive(server.serve_connection(wire, service));
    seen.take()
}

/// The responses to one request of this method for each of `parts`; a part comes when its request has gone.
pub fn responses(method: &Method, parts: Vec<Vec<u8>>) -> Vec<SeenResponse> {
    let methods = vec![method.clone(); parts.len()];
    responses_to(&methods, parts, End::Fin)
}

/// The responses to requests of these methods. Each has its part, which comes when its request has gone;
/// behind the last one the connection ends so.
pub fn responses_to(methods: &[Method], parts: Vec<Vec<u8>>, end: End) -> Vec<SeenResponse> {
    let mut seen = Vec::new();
    let exchange = async {
        let wire = Wire {
            gated: true,
            end,
            ..Wire::new(parts)
        };
        let mut client = hyper::client::conn::http1::Builder::new();
        client.max_headers(MOST_FIELDS);
        let Ok((mut sender, connection)) = client.handshake(wire).await else {
            return;
        };
        let mut connection = pin!(connection);
        let mut ended = false;
        let mut asking = pin!(async {
            for method in methods {
                let request = Request::builder().method(method).header("host", "a");
                let request = request.body(Empty::<Bytes>::new()).expect("it is sound");
                if sender.ready().await.is_err() {
                    return;
                }
                let Ok(response) = sender.send_request(request).await else {
                    return;
                };
                let (head, body) = response.into_parts();
                let (content, trailers) = whole(body).await;
                seen.push(SeenResponse {
                    status: head.status,
                    version: head.version,
                    fields: head.headers,
                    content,
                    trailers,
                });
            }
        });
        poll_fn(|cx| {
            ended = ended || connection.as_mut().poll(cx).is_ready();
            asking.as_mut().poll(cx)
        })
        .await;
    };
    drive(exchange);
    seen
}

/// Reads a body to its end; gives its content, if it was sound and whole, and its trailers.
async fn whole(body: Incoming) -> (Option<Vec<u8>>, HeaderMap) {
    let Ok(body) = body.collect().await else {
        return (None, HeaderMap::new());
    };
    let trailers = body.trailers().cloned().unwrap_or_default();
    (Some(body.to_bytes().to_vec()), trailers)
}

/// Polls a future that waits for nothing but itself.
fn drive(future: impl Future) {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..MOST_POLLS {
        if future.as_mut().poll(&mut cx).is_ready() {
            return;
        }
    }
}

/// What comes in, part by part, and then the end; what goes out is looked at for ends of heads only.
struct Wire {
    parts: std::vec::IntoIter<Vec<u8>>,
    part: Vec<u8>,
    at: usize,
    written: Vec<u8>,
    /// Whether a part waits for a request, and how many have come and gone.
    gated: bool,
    begun: usize,
    end: End,
}

impl Wire {
    fn new(parts: Vec<Vec<u8>>) -> Self {
        Self {
            parts: parts.into_iter(),
            part: Vec::new(),
            at: 0,
            written: Vec::new(),
            gated: false,
            begun: 0,
            end: End::Fin,
        }
    }

    fn asked(&self) -> usize {
        let ends = self.written.windows(4);
        ends.filter(|window| window == b"\r\n\r\n").count()
    }
}

impl Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut room: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.at == self.part.len() {
            let last = self.parts.len() == 0;
            if self.gated && !last && self.asked() <= self.begun {
                return Poll::Pending;
            }
            if let Some(part) = self.parts.next() {
                self.begun += 1;
                (self.part, self.at) = (part, 0);
            } else if self.end == End::Reset {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
        }
        let length = room.remaining().min(self.part.len() - self.at);
        room.put_slice(&self.part[self.at..self.at + length]);
        self.at += length;
        Poll::Ready(Ok(()))
    }
}

impl Write for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.gated {
            self.written.extend_from_slice(bytes);
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Far more than any message needs; a future that is not ready by then waits for what will not come.
const MOST_POLLS: usize = 1000;

/// Fields of a head, more than the product takes from clients or backends.
const MOST_FIELDS: usize = 300;
