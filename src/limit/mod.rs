//! How much at once: bounds that workers share.
//!
//! *What enters*: how much there is, and a share of it; requests that want to be in. *What leaves*: a permit or a place
//! that is given back, a ticket for the queue, or a no.
//!
//! [`budget`] (retries of a pool, against storms of them), [`queue`] (requests of a pool, and who waits for a place),
//! [`adaptive`] (how much a backend can take, from how long it takes), [`delay`] (when a request is late).
//!
//! Deliberately absent: who asks and why, clocks (whoever waits has its own deadline), bounds of single backends, which
//! are with the number that they bound (`backend::live`).

pub mod adaptive;
pub mod budget;
pub mod delay;
pub mod queue;

pub use budget::{Budget, Permit, Window};
pub use delay::Delay;
pub use queue::{Door, Full, Place, Ticket};
