//! `/v1/events`: the operator's log and the figures of each second, as server-sent events (HTML, section 9.2).
//!
//! Each stream has a task that writes and a body that is read; between them a short queue, so that one who does not
//! read holds a few pieces and no more. What the ring has lost meanwhile is told, and of figures only the last
//! count.

use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

use super::instance::Instance;
use super::problem::Problem;
use super::stats::{self, Stats};
use crate::telemetry::Events;
use crate::telemetry::events::{News, Reader};

/// Places of those who listen, and the word that ends all streams.
#[derive(Debug)]
pub(super) struct Listening {
    places: Arc<Semaphore>,
    /// Another one in its place ends the streams that wait for this one's word.
    ended: Mutex<watch::Sender<bool>>,
}

impl Default for Listening {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(MOST)),
            ended: Mutex::new(watch::Sender::new(false)),
        }
    }
}

impl Listening {
    /// Ends all streams: who listens comes back by itself, to whoever serves then.
    pub(super) fn end(&self) {
        self.ended().send_replace(true);
    }

    /// Ends the streams that there are: who listens comes back by itself, and is asked by what right.
    pub(super) fn end_those_there(&self) {
        let mut ended = self.ended();
        let is_over = *ended.borrow();
        *ended = watch::Sender::new(is_over);
    }

    fn ended(&self) -> MutexGuard<'_, watch::Sender<bool>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers with a stream: of the log, and with `?stats=true` of figures.
pub(super) fn stream(instance: &Instance, uri: &Uri, headers: &HeaderMap) -> Response {
    let wants_stats = match uri.query() {
        None | Some("" | "stats=false") => false,
        Some("stats=true") => true,
        Some(_) => {
            return Problem::bad("the only parameter is `stats`, `true` or `false`")
                .into_response();
        }
    };
    let Ok(place) = Arc::clone(&instance.listening.places).try_acquire_owned() else {
        let detail = format!("{MOST} listen already, and no more may: close another page");
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).into_response();
    };
    let after = headers.get("last-event-id");
    let after = after.and_then(|id| id.to_str().ok());
    let (pieces, body) = mpsc::channel(PIECES);
    let writer = Writer {
        events: instance.events.clone(),
        log: instance.events.reader(after),
        stats: wants_stats.then(|| instance.looking.look()),
        ended: instance.listening.ended().subscribe(),
        pieces,
        _place: place,
    };
    tokio::spawn(writer.run());
    let fields = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (fields, Body::new(Pieces(body))).into_response()
}

/// Writes one stream.
struct Writer {
    events: Events,
    log: Reader,
    stats: Option<watch::Receiver<Option<Arc<Stats>>>>,
    ended: watch::Receiver<bool>,
    pieces: mpsc::Sender<Bytes>,
    _place: OwnedSemaphorePermit,
}

impl Writer {
    /// Until nobody reads any more, or all streams end.
    async fn run(mut self) {
        let mut beats = interval(HEARTBEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut piece = format!("retry: {RETRY_MILLISECONDS}\n\n");
        loop {
            let sent = tokio::select! {
                sent = self.pieces.send(Bytes::from(piece)) => sent,
                () = end(&mut self.ended) => return,
            };
            if sent.is_err() {
                return;
            }
            piece = tokio::select! {
                () = self.pieces.closed() => return,
                () = end(&mut self.ended) => return,
                news = self.log.next() => log_text(&self.events, &news),
                Some(stats) = next_stats(&mut self.stats) => stats_text(&stats),
                _ = beats.tick() => ": still here\n\n".to_owned(),
            };
        }
    }
}

/// Until all streams end, or those that there were when this one began.
async fn end(ended: &mut watch::Receiver<bool>) {
    // An error says that the sender is gone, which is an end too: another one has taken its place.
    let _ = ended.wait_for(|ended| *ended).await;
}

/// Never, for one who wants none.
async fn next_stats(seen: &mut Option<watch::Receiver<Option<Arc<Stats>>>>) -> Option<Arc<Stats>> {
    match seen {
        Some(seen) => stats::next(seen).await,
        None => std::future::pending().await,
    }
}

fn log_text(events: &Events, news: &News) -> String {
    let mut text = String::new();
    if news.lost > 0 {
        let _ = write!(text, "event: lost\ndata: {{\"events\":{}}}\n\n", news.lost);
    }
    for event in &news.events {
        // JSON has no line end of its own, whatever a text in it holds.
        let data = serde_json::to_string(&**event).unwrap_or_default();
        let _ = write!(
            text,
            "id: {}\nevent: log\ndata: {data}\n\n",
            events.id(event)
        );
    }
    text
}

fn stats_text(stats: &Stats) -> String {
    let data = serde_json::to_string(stats).unwrap_or_default();
    format!("event: stats\ndata: {data}\n\n")
}

/// The reading end of a stream.
struct Pieces(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let piece = self.0.poll_recv(cx);
        piece.map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

/// How many may listen at once. Each costs a task and a connection; people and their scripts are few.
const MOST: usize = 32;

/// Pieces between writer and reader of a stream.
const PIECES: usize = 4;

/// How long a browser waits before it comes back.
const RETRY_MILLISECONDS: u32 = 1_000;

/// So often a silent stream shows that it lives, and finds out that its reader does not.
const HEARTBEAT: Duration = Duration::from_secs(10);
