//! The clients: each request is a task that asks, takes its answer in its time, or goes away.

use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use forecourt::message::body::{AnswerBody as _, Body as _, Ending, RequestBody};
use forecourt::message::head::Version;
use forecourt::message::{Head, Name};
use forecourt::plan::Listener;
use forecourt::proxy::Proxy;
use forecourt::server::{Handler as _, ListenerKey, Peer, Request};
use tokio::time::{Instant, sleep};

use crate::backends::Backends;
use crate::settings::Port;
use crate::shadow::{Ended, Shared};

/// Names a request.
pub(crate) type Number = u32;

/// The field that carries it to the backends.
pub(crate) const REQUEST_FIELD: &[u8] = b"x-request-number";

/// What a client wants.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) number: Number,
    pub(crate) client: u32,
    pub(crate) priority: u8,
    pub(crate) idempotent: bool,
    /// The cookie of its session, and whom it names.
    pub(crate) cookie: Option<(String, Port)>,
    /// How long it takes to take its answer.
    pub(crate) takes: Duration,
}

/// What a client comes by and speaks to.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub(crate) proxy: Rc<Proxy<Backends>>,
    pub(crate) listener: Arc<Listener>,
    pub(crate) shadow: Shared,
}

/// Asks, and takes the answer to its end.
pub(crate) async fn ask(door: Door, wish: Wish) {
    let shadow = door.shadow;
    let number = wish.number;
    // Declared first: what a client that goes away leaves is dropped before it is called ended.
    let mut ending = Guard(Rc::clone(&shadow), number, Ended::Left);
    shadow.borrow_mut().begun(&wish);
    let peer = Peer {
        address: Some(IpAddr::V4(Ipv4Addr::from_bits(wish.client))),
        listener: ListenerKey(0),
        accepted_by: door.listener,
        tls: false,
        session: None,
    };
    let request = Request {
        head: head(&wish),
        body: RequestBody::default(),
        peer: &peer,
        received: Instant::now(),
    };
    let mut handling = pin!(door.proxy.handle(request));
    let answer = poll_fn(|cx| {
        let polled = handling.as_mut().poll(cx);
        if polled.is_pending() {
            shadow.borrow_mut().pends(number);
        }
        polled
    })
    .await;
    let error = answer.head.first_named(b"forecourt-error");
    let error = error.map(|error| String::from_utf8_lossy(error).into_owned());
    let set = answer.head.first(Name::SetCookie);
    let set = set.map(|set| String::from_utf8_lossy(set).into_owned());
    let cookie = set.and_then(|set| Some(set.split_once(';')?.0.to_owned()));
    shadow
        .borrow_mut()
        .headed(number, answer.head.status(), error, cookie);
    let mut body = answer.body;
    if !wish.takes.is_zero() {
        sleep(wish.takes).await;
    }
    let end = poll_fn(|cx| {
        Poll::Ready(loop {
            let n = match body.poll_piece(cx) {
                Poll::Ready(Ok(Some(forecourt::message::body::Piece::Data(bytes)))) => bytes.len(),
                Poll::Ready(Ok(_)) | Poll::Pending => break Ending::Delivered,
                Poll::Ready(Err(failure)) => break Ending::SourceFailed(failure),
            };
            body.consume(n);
        })
    })
    .await;
    ending.2 = match end {
        Ending::Delivered => Ended::Whole,
        _ => Ended::Cut,
    };
    body.end(end, Instant::now().into_std());
    drop(body);
}

fn head(wish: &Wish) -> Head {
    let mut head = Head::new();
    let method: &[u8] = if wish.idempotent { b"GET" } else { b"POST" };
    let target = format!("/{}", wish.priority);
    head.set_request(method, target.as_bytes(), Version::Http11);
    head.push(b"Host", b"shop.example");
    head.push(REQUEST_FIELD, wish.number.to_string().as_bytes());
    if let Some((cookie, _)) = &wish.cookie {
        head.push(b"Cookie", cookie.as_bytes());
    }
    head
}

/// Says how a request ended, whatever way it went.
struct Guard(Shared, Number, Ended);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.borrow_mut().ended(self.1, self.2);
    }
}
