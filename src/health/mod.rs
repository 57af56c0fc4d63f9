//! Is it well: pure verdicts from the outcomes of checks and from time.
//!
//! *What this room is for.* A backend is asked from time to time whether it is well. One answer is an anecdote: a
//! verdict needs several of a kind in a row, so that neither a lost packet nor a lucky moment moves traffic.
//!
//! *What enters*: a [`Policy`] (what is asked, how often, and how many answers make a verdict), outcomes, and the
//! time. *What leaves*: a change of verdict, told once; and when to ask again.
//!
//! In reading order: [`policy`] (what the operator wants checked), [`grpc`] (the messages of its health protocol), [`verdict`] (from outcomes to a verdict, and when
//! the next check is due), [`outlier`] (what requests find, without asking), [`slow_start`] (how much whoever is back takes),
//! [`trial`] (whether a configuration on trial may stay).
//!
//! Deliberately absent: sockets (`upstream::probe` asks), backends and pools (`app::probes` knows whose outcome it
//! is), clocks and random numbers (both are arguments), and what follows from a verdict (`strategy::Members`).

pub mod grpc;
pub mod outlier;
pub mod policy;
pub mod slow_start;
pub mod trial;
pub mod verdict;

#[cfg(test)]
mod tests;

pub use policy::{Check, CheckMethod, Expected, HttpCheck, Initial, Policy};
pub use verdict::{Change, Judgement, Outcome, Verdict};
