//! Which one: the pure choice of a member of a pool.
//!
//! *What this room is for.* A [`Strategy`] picks one of the eligible members for one request. The
//! configuration names it by a closed [`Spec`]; [`build`] makes the running thing, with its tables, once
//! for each generation of the pool and off the path of requests.
//!
//! *What enters*: the [`Members`] of one generation and a [`PickContext`], which is all that a strategy
//! may know of a request. *What leaves*: a [`Slot`], or nothing when nobody is left.
//!
//! In reading order:
//! - [`members`]: the members of one generation, and who of them is eligible;
//! - [`tried`]: the members that earlier attempts have used up;
//! - [`spec`]: what the operator may ask for;
//! - [`placement`]: the hash that is the same on every machine;
//! - [`cursor`]: the one shared number that makes rotations exact over all workers;
//! - [`round_robin`], [`weighted`]: in turn, and in turn by weight;
//! - [`random`], [`two_choices`]: by lot, and the less loaded of two lots;
//! - [`least_connections`]: the least loaded of all;
//! - [`ip_hash`]: one client, one member, with as little movement as can be;
//! - [`sticky`], [`ticket`]: stickiness around any of them, and the sealed cookie that carries it;
//! - [`opened`]: cookies that need not be opened again;
//! - [`foresee`]: what would be picked, for whoever explains.
//!
//! Rules that hold for all of them, tested for all of them in `tests`: only eligible and untried members
//! are picked; a retry falls on the others by their weights, never all on a neighbour; equal weights
//! mean equal shares.
//!
//! Deliberately absent: clocks, generators of random numbers, locks and requests (a strategy may own
//! atomics and tables, no more), health (it decides who is eligible before a strategy sees anybody),
//! cookies' attributes and names (the data path writes them).

pub mod cursor;
pub mod foresee;
pub mod ip_hash;
pub mod least_connections;
pub mod members;
pub mod opened;
pub mod placement;
pub mod random;
pub mod round_robin;
pub mod spec;
pub mod sticky;
pub mod ticket;
pub mod tried;
pub mod two_choices;
pub mod weighted;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

pub use cursor::Cursor;
pub use foresee::Foresight;
pub use members::{Member, Members, PanicThreshold, Slot};
pub use opened::Opened;
pub use placement::AddressKey;
pub use spec::{SameSite, Spec, StickyKey, StickyKeyError, StickySpec};
pub use sticky::Sticky;
pub use ticket::{Ticket, TicketError};
pub use tried::Tried;

use crate::backend::BackendTag;
use ip_hash::IpHash;
use least_connections::LeastConnections;
use random::Random;
use round_robin::RoundRobin;
use two_choices::TwoChoices;
use weighted::Weighted;

/// A way to pick one member of a pool. Built for one [`Members`] and used with that one only.
pub trait Strategy: Send + Sync + fmt::Debug {
    /// The name in the configuration, the access log and `explain`.
    fn name(&self) -> &'static str;

    /// What the data path must work out before it asks; it is spared the rest.
    fn needs(&self) -> Needs;

    /// Picks an eligible member that has not been tried, or nothing if there is none. Allocates nothing.
    fn pick(&self, members: &Members, cx: &PickContext<'_>) -> Option<Slot>;

    /// What [`Strategy::pick`] would give now, without a trace: no turn is taken and no debt is paid. `turns` says how many
    /// turns of the pool's cursor are taken to be gone already; those that this looks at are added. May allocate.
    fn foresee(&self, members: &Members, cx: &PickContext<'_>, turns: &mut u64) -> Foresight;

    /// Takes note that a cookie sent a request to `slot` without asking. Strategies that look at load
    /// see it there; those that rotate let a turn of that member pass.
    fn charge(&self, members: &Members, slot: Slot) {
        let _ = (members, slot);
    }
}

/// What a strategy wants to know of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The client's address, cut to these prefixes and hashed ([`AddressKey::hash`]).
    pub affinity: Option<AddressKey>,
    /// A random number.
    pub entropy: bool,
}

/// A request, as a strategy may see it.
#[derive(Clone, Copy, Debug)]
pub struct PickContext<'a> {
    /// The hash of the client's address; absent when there is none (a Unix socket) or none was asked for.
    pub affinity: Option<u64>,
    /// The member that a valid sticky cookie names.
    pub pin: Option<BackendTag>,
    /// Members that earlier attempts of this request have used up.
    pub tried: &'a Tried,
    /// One draw from the worker's generator; anything when [`Needs::entropy`] is false.
    pub entropy: u64,
}

/// Makes the strategy of one generation of a pool. The cursor is the pool's own and outlives
/// generations, so that a rebuild does not start every rotation anew.
pub fn build(spec: &Spec, members: &Members, cursor: Arc<Cursor>) -> Arc<dyn Strategy> {
    match *spec {
        Spec::IpHash {
            ipv4_prefix,
            ipv6_prefix,
        } => Arc::new(IpHash::new(AddressKey {
            ipv4_prefix,
            ipv6_prefix,
        })),
        Spec::LeastConnections => Arc::new(LeastConnections::new(members, cursor)),
        Spec::Random => Arc::new(Random::new(members)),
        // With equal weights the smooth sequence is the members in order: no need to write it out.
        Spec::RoundRobin | Spec::Weighted if members.equal_weights() => {
            Arc::new(RoundRobin::new(spec.name(), cursor))
        }
        Spec::RoundRobin | Spec::Weighted => Arc::new(Weighted::new(spec.name(), members, cursor)),
        Spec::TwoChoices => Arc::new(TwoChoices::new(members)),
    }
}
