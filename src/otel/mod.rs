//! Spans of sampled traces, to a collector that speaks OTLP over HTTP (feature `otel`).
//!
//! *What enters*: what is known of an exchange that has ended, from the workers. *What leaves*: batches of spans, over a
//! connection of our own. A worker does no more than to put a record into a queue: if that is full the record is dropped and
//! counted. All else is done by a thread of its own, and whatever a collector does (it is dead, it hangs, it answers without
//! end) holds nobody up: each try has a deadline, each batch a few tries, and the end of the process a last moment.
//!
//! Each record says by which settings it is exported: those of the configuration that its request was served by. So a
//! reload needs no word here.
//!
//! In reading order: [`finished`] (the record), [`outlet`] (the queue), [`exporter`] (the thread: batches, tries, what is
//! said of failures), [`spans`](mod@spans) (records become spans), [`collector`] (a batch over HTTP).
//!
//! The messages are those of `opentelemetry-proto`. The SDK of OpenTelemetry is left out: its processor has clocks, threads
//! and queues of its own, and wants to begin and end spans itself, where here a record is complete when it comes.

mod collector;
mod exporter;
mod finished;
mod outlet;
mod spans;

pub use exporter::Exporter;
pub use finished::{Attempt, Finished};
pub use outlet::Outlet;
