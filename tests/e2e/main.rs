//! The real program on real sockets: origins behind, clients in front, one module for each thing promised.
//!
//! Every address is of the kernel's choosing, nothing is slept for, and nothing is tried twice: a test
//! that fails now and then has found something. Start with [`harness`].

mod actions;
mod admin;
mod changes;
mod dashboard;
mod demo;
mod descriptors;
mod drill;
mod events;
mod explain;
mod failure;
mod grpc;
mod h2;
mod harness;
mod health;
mod hostile;
mod limits;
mod metrics;
mod names;
mod openapi;
mod overload;
mod process;
mod reload;
mod retries;
mod routing;
mod shaping;
mod steer;
mod sticky;
mod strategies;
mod tls;
mod top;
mod tunnel;
mod upgrade;
mod websocket;
