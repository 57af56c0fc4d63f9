//! How much at once: bounds that workers share.
//!
//! *What enters*: how much there is, and a share of it. *What leaves*: a permit that is given back by being dropped,
//! or a no.
//!
//! [`budget`] (retries of a pool, against storms of them).
//!
//! Deliberately absent: who asks and why, clocks, waiting.

pub mod budget;

pub use budget::{Budget, Permit};
