//! The process: wires everything, decides nothing.
//!
//! *What enters*: a plan. *What leaves*: a running balancer ([`Running`]) that can be reloaded and
//! drained; `main` and the tests use it alike.
//!
//! Threads: one for each worker, with a runtime of its own; one for the admin API; one that writes the
//! access log; one that looks after health and names; one that exports traces (feature `otel`); and the caller's, which governs (signals, reloads). A worker, or the one that
//! looks after health, that ends unasked ends the process, loudly.
//!
//! What control, outliers, ramps and agenda decide depends on the time that they are given, so that the tests can play
//! days of it in a moment.
//!
//! In reading order: [`start`] (threads, sockets, the first generation), [`worker`] (what one worker runs),
//! [`entrance`] (from an accepted socket to a guest), [`control`] (standings that change between two configurations, with [`outliers`] and [`ramps`], take
//! effect; [`leaving`] sees off backends that are removed), `paces` (what follows from how long backends take), `budgets` (what retries may spend), `probes` and
//! [`agenda`] (checks of backends), `names` (addresses that come and go),
//! [`reload`] (the next generation), [`govern`] (who has it made, and when it is taken back) with `history` and `traffic`, [`watch`] (certificates that change), [`signals`] (what the operator's signals mean), [`upgrade`] (another program in place of this one), `notify` (what the
//! service manager is told), [`drain`] (the end).

pub mod agenda;
mod budgets;
pub mod control;
pub mod drain;
mod entrance;
pub mod govern;
mod history;
pub mod leaving;
mod names;
mod notify;
pub mod outliers;
mod paces;
mod probes;
pub mod ramps;
pub mod reload;
pub mod signals;
pub mod start;
mod traffic;
pub mod upgrade;
mod watch;
pub mod worker;

pub use reload::{Applied, ReloadError};
pub use start::{Forecourt, Running, StartError};
pub use upgrade::Beginning;
