//! Sampled traces, exported to a collector of our own on a real socket.
//!
//! In reading order: [`collector`] (takes OTLP over HTTP, and misbehaves when told to), [`spans`] (what arrives, and what
//! backends are told), [`trouble`] (collectors that are dead, hang, refuse; reloads; the end), [`settings`].
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod collector;
#[path = "../e2e/harness/mod.rs"]
mod harness;
mod settings;
mod spans;
mod trouble;

use collector::Collector;
use harness::{Balancer, Origin, pool};

/// One worker before these origins, by round robin, that exports to `collector` by these further settings: of `[trace]`,
/// then those of `[trace.export]`, then others.
fn configuration(
    collector: &Collector,
    [trace, export, others]: [&str; 3],
    origins: &[&Origin],
) -> String {
    let endpoint = collector.endpoint();
    let pool = pool("shop", "round-robin", origins);
    format!(
        "[server]\nworkers = 1\n\n[trace]\n{trace}\n\n[trace.export]\nendpoint = \"{endpoint}\"\n{export}\n\n{}{pool}\
         outlier.consecutive = 0\n{others}\n",
        Balancer::front("shop"),
    )
}

#[track_caller]
fn exporting(collector: &Collector, settings: [&str; 3], origins: &[&Origin]) -> Balancer {
    Balancer::start(&configuration(collector, settings, origins))
}
