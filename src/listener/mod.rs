//! From a socket to a plain stream: where clients connect.
//!
//! *What enters*: addresses and TLS settings of the plan. *What leaves*: accepted connections, counted
//! against the process's budget, and streams past their handshake.
//!
//! In reading order: [`mod@bind`] (addresses become sockets, one for each worker), [`handoff`] (sockets that another process has
//! opened), [`budget`] (how many
//! connections the process can hold, and who holds fewest), [`accept`] (a worker's accept loop),
//! [`proxy_protocol`] (who the client is, if a balancer before this one says so), [`clients`] (how many
//! connections each client has), [`tls`] (handshakes), [`tickets`] (sessions that are resumed),
//! [`certificates`] (which one a client gets),
//! [`client_certificate`] (what a backend is told of the client's own). QUIC has its place here.
//!
//! Deliberately absent: HTTP, and what is done with a connection.

pub mod accept;
pub mod bind;
pub mod budget;
pub mod certificates;
pub mod client_certificate;
pub mod clients;
pub mod handoff;
pub mod proxy_protocol;
pub mod tickets;
pub mod tls;

pub use accept::{Accepted, Listening};
pub use bind::{BindError, Bound, FileOwner, Socket, bind};
pub use budget::{Budget, Permit};
