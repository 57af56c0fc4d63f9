//! What end-to-end tests are written with.
//!
//! *What enters*: a configuration as TOML, and what backends shall do. *What leaves*: what clients, backends
//! and logs saw. A test reads as sentences:
//!
//! ```text
//! let origin = Origin::named("a");
//! let balancer = Balancer::in_front_of(&[&origin]);
//! let mut client = Client::of(balancer.address("web"));
//! assert_eq!(client.get("/").origin(), "a");
//! ```
//!
//! In reading order: [`balancer`] the program, [`origin`] a backend that can misbehave, [`servers`]
//! backends that are not ours, [`name_server`] what their names mean, [`client`] a strict client, [`wire`] HTTP/1.1 as both of them read it, [`load`]
//! many connections that are busy, with [`errand`] what they ask for, [`crowd`] many that are not, [`vitals`] what
//! the kernel says of the program, [`wait`] waiting with a deadline.
//!
//! Deliberately absent: the product's own parser (it would agree with itself), and retries.

#![allow(
    dead_code,
    unused_imports,
    reason = "a harness offers more than the tests of one day need"
)]

mod balancer;
mod client;
mod crowd;
mod errand;
mod load;
mod name_server;
mod origin;
mod servers;
mod vitals;
mod wait;
mod wire;

#[cfg(test)]
mod tests;

pub(crate) use balancer::{Balancer, binary, command, pool, program};
pub(crate) use client::{Client, ClientError, Ending, Request, Response, read_response, reset};
pub(crate) use crowd::Crowd;
pub(crate) use load::{Load, LoadOrigin, Tally, raise_limit};
pub(crate) use name_server::{Data, NameServer, Says};
pub(crate) use origin::{Behaviour, Origin, Received};
pub(crate) use servers::{Place, Server, has_ipv6, is_full_drill, is_installed, two_of_each};
pub(crate) use vitals::{A_WHILE, Vitals};
pub(crate) use wait::{DEADLINE, wait_for, wait_until};
pub(crate) use wire::{Fields, Framing, Head, Wire, WireError};
