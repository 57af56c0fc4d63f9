//! One client request and everything done for it, as far as it is known.
//!
//! It takes the one view of the snapshot for its whole life, so a reload in between changes nothing for
//! it, and it is dropped exactly once, when the answer's body is: the drop ends the claim and writes
//! the record, whatever way the exchange went.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;
use tokio::time::Instant;

use super::failure::cause_of_cut;
use super::trace::{self, Trace};
use super::{record, spans};
use crate::backend::{Backend, InFlight};
use crate::message::body::Ending;
use crate::message::head::Version;
use crate::message::{Head, Name, hop_by_hop};
use crate::plan::Listener;
use crate::plan::process::AccessLog as LogRules;
use crate::server::Peer;
use crate::snapshot::{Claimed, View};
use crate::strategy::Slot;
use crate::telemetry::access::redact;
use crate::telemetry::{AccessLog, Cause, PickReason, StickyOutcome};
use crate::worker::Worker;

/// One client request and everything done for it.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) view: View,
    pub(super) worker: Rc<Worker>,
    pub(super) log: Rc<RefCell<AccessLog>>,
    /// The listener that the request came by, and its index unless it has been removed.
    pub(super) listener: Rc<Listener>,
    pub(super) listener_index: Option<usize>,
    pub(super) received: Instant,
    pub(super) route: Option<usize>,
    pub(super) pool: Option<usize>,
    pub(super) client: Option<IpAddr>,
    /// The target as the client wrote it, if the head has another one by now.
    pub(super) target: Option<Box<[u8]>>,
    /// Whether the host depends on the backend that is picked.
    pub(super) host_by_backend: bool,
    /// What the log wants and the head will not keep; absent when nothing is logged.
    pub(super) story: Option<Story>,
    pub(super) trace: Option<Trace>,
    /// What is recorded of it for whoever collects traces.
    pub(super) recording: spans::Recording,
    pub(super) attempts: SmallVec<[Tried; 2]>,
    pub(super) sticky: Option<StickyOutcome>,
    /// Whether the client hears what was decided.
    pub(super) tells: bool,
    /// The claim on the backend that answers.
    pub(super) in_flight: Option<InFlight<Claimed>>,
    /// The status of the answer; 0 until there is one.
    pub(super) status: u16,
    pub(super) cause: Option<Cause>,
    pub(super) ending: Option<Ending>,
    /// When the delivery ended.
    pub(super) ended_at: Option<Instant>,
    pub(super) body_bytes: u64,
    pub(super) picked: Option<Duration>,
    pub(super) connecting: Option<Duration>,
    pub(super) first_byte: Option<Duration>,
    request_id: Option<RequestId>,
    expects_continue: bool,
}

/// What the log tells of a request: one behind the other, and in place unless it is long.
#[derive(Debug)]
pub(super) struct Story {
    text: SmallVec<[u8; 64]>,
    /// Where method, path, query and `Referer` end; behind them is `User-Agent`.
    ends: [u32; 4],
    version: Version,
}

/// The parts of a [`Story`]; what is not logged is empty.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told<'s> {
    pub(super) method: &'s [u8],
    pub(super) path: &'s [u8],
    pub(super) query: &'s [u8],
    pub(super) referer: &'s [u8],
    pub(super) user_agent: &'s [u8],
    pub(super) protocol: &'static str,
}

/// An attempt that was made.
#[derive(Debug)]
pub(super) struct Tried {
    pub(super) slot: Slot,
    /// Why it was this one.
    pub(super) reason: PickReason,
    pub(super) cause: Option<Cause>,
    pub(super) begun: Instant,
    /// Zero while it lasts.
    pub(super) took: Duration,
    #[cfg_attr(not(feature = "otel"), expect(dead_code, reason = "it says nothing"))]
    pub(super) span: spans::Span,
}

/// Names one exchange in the log, towards the backend and towards the client.
pub(super) type RequestId = SmallVec<[u8; 32]>;

impl Exchange {
    pub(super) fn open(
        view: View,
        worker: &Rc<Worker>,
        log: &Rc<RefCell<AccessLog>>,
        listener: Rc<Listener>,
        listener_index: Option<usize>,
        received: Instant,
    ) -> Box<Self> {
        // Boxed, for it is handed on from step to step; written where it stays.
        let room = Box::new_uninit();
        let x = Self {
            view,
            worker: Rc::clone(worker),
            log: Rc::clone(log),
            listener,
            listener_index,
            received,
            route: None,
            pool: None,
            client: None,
            target: None,
            host_by_backend: false,
            story: None,
            trace: None,
            recording: spans::Recording::default(),
            attempts: SmallVec::new(),
            sticky: None,
            tells: false,
            in_flight: None,
            status: 0,
            cause: None,
            ending: None,
            ended_at: None,
            body_bytes: 0,
            picked: None,
            connecting: None,
            first_byte: None,
            request_id: None,
            expects_continue: false,
        };
        Box::write(room, x)
    }

    /// Notes what the head says before it is rewritten.
    pub(super) fn begin(&mut self, head: &Head, peer: &Peer, outlet: &spans::Outlet) {
        self.client = peer.address;
        self.expects_continue = hop_by_hop::expects_continue(head);
        let plan = &self.view.plan;
        self.trace = trace::of(head, &plan.trace, &self.worker);
        let (trace, export) = (self.trace.as_ref(), plan.trace.export.as_ref());
        self.recording = spans::begin(head, trace, export, outlet, &self.worker);
        if self.log.borrow().is_on() || spans::is_recorded(self) {
            self.story = Some(Story::of(head, head.target(), &plan.log.access));
        }
    }

    /// Notes the same of a request that fails, for whoever asks about it, though nothing is logged.
    pub(super) fn note_story(&mut self, head: &Head) {
        let Self {
            story,
            target,
            view,
            ..
        } = self;
        story.get_or_insert_with(|| {
            let target = target.as_deref().unwrap_or_else(|| head.target());
            Story::of(head, target, &view.plan.log.access)
        });
    }

    /// Replaces the target of the request's head, and keeps the client's.
    pub(super) fn change_target(&mut self, head: &mut Head, new: &[u8]) {
        self.target.get_or_insert_with(|| head.target().into());
        head.set_target(new);
    }

    /// The request's id: the one it brought if its sender is trusted, else one of ours.
    pub(super) fn request_id(&mut self, head: &Head, trusted: bool) -> &RequestId {
        let Self {
            worker, request_id, ..
        } = self;
        request_id.get_or_insert_with(|| {
            let brought = head
                .first(Name::XRequestId)
                .filter(|id| trusted && is_request_id(id));
            brought.map_or_else(|| draw_id(worker), SmallVec::from_slice)
        })
    }

    /// The request's id if it has been asked for.
    pub(super) fn known_request_id(&self) -> Option<&[u8]> {
        self.request_id.as_deref()
    }

    /// The trace that it is part of, in hexadecimal; empty if there is none.
    pub(super) fn trace_id(&self) -> &[u8] {
        self.trace.as_ref().map_or(b"", |trace| &trace.id)
    }

    /// The backend of an attempt.
    pub(super) fn backend(&self, tried: &Tried) -> &Arc<Backend> {
        self.view.pools[self.pool.unwrap_or_default()].backend(tried.slot)
    }

    /// How long a tunnel to its backend may be silent, and any stream that lives of being silent.
    pub(super) fn tunnel_idle(&self) -> Duration {
        let pool = self.pool.map(|pool| &self.view.pools[pool]);
        pool.map_or(Duration::ZERO, |pool| pool.timeouts.tunnel)
    }

    /// Whether the client waits for a 100 before it sends its body.
    pub(super) fn expects_continue(&self) -> bool {
        self.expects_continue
    }

    /// Notes that there is an answer.
    pub(super) fn answered(&mut self, status: u16) {
        self.status = status;
        if status == 101 {
            self.count_tunnel(1);
        }
    }

    #[cold]
    fn count_tunnel(&self, by: i64) {
        if let Some(last) = self.attempts.last() {
            let cells = self.backend(last).meters().at(self.worker.id());
            cells.tunnels.add(by);
        }
    }

    /// Notes bytes of the answer's content handed to the client's connection.
    pub(super) fn delivered(&mut self, n: u64) {
        self.body_bytes += n;
    }

    /// Notes how the delivery ended.
    pub(super) fn end(&mut self, how: Ending, now: std::time::Instant) {
        self.ending = Some(how);
        self.ended_at = Some(Instant::from_std(now));
        if let Ending::SourceFailed(failure) = how {
            let cause = cause_of_cut(failure);
            self.cause = Some(cause);
            if let Some(last) = self.attempts.last_mut() {
                last.cause = Some(cause);
            }
        }
    }
}

impl Story {
    /// Of a request whose client wrote `target`.
    fn of(head: &Head, target: &[u8], rules: &LogRules) -> Self {
        let mut text: SmallVec<[u8; 64]> = SmallVec::from_slice(head.method_bytes());
        let method = text.len();
        text.extend_from_slice(path_of(target));
        let path = text.len();
        let (mut query, mut referer) = (path, path);
        if rules.query || rules.referer || rules.user_agent {
            (query, referer) = Self::tell_more((head, target), rules, &mut text);
        }
        Self {
            text,
            // A head is far smaller than 4 GiB.
            ends: [method, path, query, referer].map(|end| end as u32),
            version: head.version(),
        }
    }

    /// Appends what is logged only by request: query, `Referer`, `User-Agent`. Gives the ends of the first two.
    #[inline(never)]
    fn tell_more(
        (head, target): (&Head, &[u8]),
        rules: &LogRules,
        text: &mut SmallVec<[u8; 64]>,
    ) -> (usize, usize) {
        let masked = &rules.redact[..];
        if rules.query
            && let Some(mark) = memchr::memchr(b'?', target)
        {
            redact::query(&target[mark + 1..], masked, |part| {
                text.extend_from_slice(part);
            });
        }
        let query = text.len();
        if rules.referer
            && let Some(referer) = head.first_named(b"referer")
        {
            // It is the query of another request, mostly to the same site.
            let masked = rules.query.then_some(masked);
            redact::url(referer, masked, |part| text.extend_from_slice(part));
        }
        let referer = text.len();
        if rules.user_agent
            && let Some(agent) = head.first_named(b"user-agent")
        {
            text.extend_from_slice(agent);
        }
        (query, referer)
    }

    /// Its parts.
    pub(super) fn told(&self) -> Told<'_> {
        let [method, path, query, referer] = self.ends.map(|end| end as usize);
        let text = &self.text[..];
        Told {
            method: &text[..method],
            path: &text[method..path],
            query: &text[path..query],
            referer: &text[query..referer],
            user_agent: &text[referer..],
            protocol: match self.version {
                Version::Http10 => "HTTP/1.0",
                Version::Http11 => "HTTP/1.1",
                Version::Http2 => "HTTP/2.0",
            },
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        // First of all the claim: whoever sees the record must see the backend free.
        self.in_flight = None;
        if self.status == 101 {
            self.count_tunnel(-1);
        }
        record::write(self);
    }
}

/// The path of a target in whatever form; what has none stays as it is.
fn path_of(target: &[u8]) -> &[u8] {
    let end = memchr::memchr(b'?', target).unwrap_or(target.len());
    let target = &target[..end];
    if target.starts_with(b"/") {
        return target;
    }
    let Some(scheme) = memchr::memmem::find(target, b"://") else {
        return target;
    };
    let behind = &target[scheme + 3..];
    memchr::memchr(b'/', behind).map_or(b"/", |slash| &behind[slash..])
}

/// What may come from a trusted sender: enough for every usual form, harmless in a log.
fn is_request_id(id: &[u8]) -> bool {
    (1..=128).contains(&id.len())
        && id
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:+/=".contains(byte))
}

fn draw_id(worker: &Worker) -> RequestId {
    RequestId::from_buf(draw_hex(worker))
}

/// 128 random bits in hexadecimal; not all of them are 0.
pub(super) fn draw_hex(worker: &Worker) -> [u8; 32] {
    let bits = u128::from(worker.draw()) << 64 | u128::from(worker.draw());
    let mut text = [0; 32];
    for (digits, byte) in text.chunks_exact_mut(2).zip(bits.max(1).to_be_bytes()) {
        digits.copy_from_slice(&HEX[usize::from(byte)]);
    }
    text
}

/// Every byte in hexadecimal.
const HEX: [[u8; 2]; 256] = {
    let digits = b"0123456789abcdef";
    let mut table = [[0; 2]; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = [digits[byte >> 4], digits[byte & 0xf]];
        byte += 1;
    }
    table
};
