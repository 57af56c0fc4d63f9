//! Names and numbers: what forecourt says about itself.
//!
//! **What this room is for.** Three voices: metrics (how much of everything), the access log (each
//! exchange), the operator's log (what somebody should know or do). What is measured at which step:
//!
//! | Step of a request | Metrics | Access log |
//! |---|---|---|
//! | accept | `connections`, `accept_pauses_total` | `forecourt.listener`, `client.ip` |
//! | tls | `tls_handshakes_total`; files: `tls_certificate_expiry_timestamp_seconds`, `tls_certificate_renewals_total` | – |
//! | route | (chooses the cells of `requests_total`) | `forecourt.route` |
//! | affinity | `sticky_total` | `forecourt.sticky` |
//! | pick | `backend_picks_total`, `backend_in_flight` | `forecourt.pool`, `.strategy`, `.times.queue` |
//! | upstream | `backend_failures_total`, `backend_connections` | `forecourt.attempts`, `.times.connect`, `.times.first_byte` |
//! | retry | `retries_total` | `forecourt.attempts` |
//! | record | `requests_total`, `request_duration_seconds`, and the same of the backend | the line |
//!
//! **What enters**: counts into cells, records of exchanges, `tracing` events, `metrics` macros off
//! the request path. **What leaves**: the text of a scrape, lines in a file or on stdout, lines on stderr.
//!
//! **The files, in reading order**
//! - `words.rs`: the closed sets of label values
//! - `cause.rs`: every error code, with cause and remedy
//! - `names.rs`: every metric, in one table
//! - `cells.rs`: counter, gauge and histogram with one writer
//! - `meters.rs`: the bundles of cells for backend, route, listener and pool
//! - `facade.rs`: the recorder behind the `metrics` macros, for what is seldom
//! - `exposition.rs`: the text that Prometheus reads, line by line
//! - `access/`: the access log, from record to file
//! - `recent.rs`: the requests of late that are worth a look
//! - `logging.rs`: the operator's log
//! - `events.rs`: its last events, for the admin API
//!
//! **Deliberately absent**: labels from clients, histograms that keep samples, look-ups by name per
//! request, the access log in `tracing`, clocks (the time is an argument), a global of the data path.

pub mod access;
pub mod cause;
pub mod cells;
pub mod events;
pub mod exposition;
pub mod facade;
pub mod logging;
pub mod meters;
pub mod names;
pub mod recent;
pub mod words;

pub use access::{AccessControl, AccessFormat, AccessLog, AccessRecord, AccessTarget, ClientIp};
pub use cause::Cause;
pub use events::Events;
pub use exposition::Exposition;
pub use facade::Facade;
pub use logging::{Colors, Level, LogControl};
pub use meters::{
    BackendCells, BackendMeters, CodeClass, HedgeOutcome, ListenerCells, ListenerMeters,
    PickReason, PoolCells, PoolMeters, QueueOutcome, RetryOutcome, RouteCells, RouteMeters,
    StickyOutcome, TlsResult, WorkerId,
};
pub use recent::Recent;
pub use words::TraceLoss;
