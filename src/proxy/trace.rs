//! The trace that an exchange is part of: read, and begun where the operator wants that.

use super::exchange::Exchange;
use crate::message::trace::{self, SAMPLED, TraceId};
use crate::message::{Head, Name};
use crate::plan::process::{Trace as Rules, TraceContext};
use crate::worker::Worker;

/// The trace that an exchange is part of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trace {
    pub(super) id: TraceId,
    /// What it came with, or begins with.
    pub(super) flags: u8,
    /// Whether it begins here.
    pub(super) begins: bool,
}

impl Trace {
    /// Whether those who have a part in it are asked to record it.
    pub(super) const fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }
}

/// The trace of a request: the one it came with, or one that begins.
pub(super) fn of(head: &Head, rules: &Rules, worker: &Worker) -> Option<Trace> {
    let parent = match rules.context {
        TraceContext::Begin | TraceContext::Pass => trace::parent(head),
        TraceContext::Restart => None,
    };
    match (parent, rules.context) {
        (Some(parent), _) => Some(Trace {
            id: parent.id,
            flags: parent.flags,
            begins: false,
        }),
        (None, TraceContext::Pass) => None,
        (None, TraceContext::Begin | TraceContext::Restart) => {
            let id = super::exchange::draw_hex(worker);
            Some(Trace {
                id,
                flags: u8::from(trace::is_chosen(&id, rules.sample)),
                begins: true,
            })
        }
    }
}

/// Has the backend know of the trace. One that cannot be read is worth nothing to it either.
pub(super) fn shape(head: &mut Head, x: &Exchange) {
    match &x.trace {
        None if head.first(Name::Traceparent).is_some() => trace::remove(head),
        None => {}
        Some(trace) if trace.begins => {
            trace::remove(head);
            trace::begin(&trace.id, x.worker.draw(), trace.is_sampled(), head);
        }
        Some(_) => trace::keep_good_state(head),
    }
}
