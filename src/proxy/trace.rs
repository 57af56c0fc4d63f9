//! The trace that an exchange is part of: read, and begun where the operator wants that.

use super::exchange::Exchange;
use crate::message::trace::{self, TraceId};
use crate::message::{Head, Name};
use crate::plan::process::{Trace as Rules, TraceContext};
use crate::worker::Worker;

/// The trace that an exchange is part of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trace {
    pub(super) id: TraceId,
    /// Whether it begins here.
    begins: bool,
}

/// The trace of a request: the one it came with, or one that begins.
pub(super) fn of(head: &Head, rules: Rules, worker: &Worker) -> Option<Trace> {
    let id = match rules.context {
        TraceContext::Begin | TraceContext::Pass => trace::id(head),
        TraceContext::Restart => None,
    };
    match (id, rules.context) {
        (Some(id), _) => Some(Trace { id, begins: false }),
        (None, TraceContext::Pass) => None,
        (None, TraceContext::Begin | TraceContext::Restart) => Some(Trace {
            id: super::exchange::draw_hex(worker),
            begins: true,
        }),
    }
}

/// Has the backend know of the trace. One that cannot be read is worth nothing to it either.
pub(super) fn shape(head: &mut Head, x: &Exchange) {
    match &x.trace {
        None if head.first(Name::Traceparent).is_some() => trace::remove(head),
        None => {}
        Some(trace) if trace.begins => {
            let sample = u64::from(x.view.plan.trace.sample);
            trace::remove(head);
            trace::begin(
                &trace.id,
                x.worker.draw(),
                x.worker.draw() % 100 < sample,
                head,
            );
        }
        Some(_) => trace::keep_good_state(head),
    }
}
