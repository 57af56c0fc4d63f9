//! forecourt: a layer-7 load balancer that changes its configuration and its fleet without losing a request.
//!
//! **Tenets, in order** (the earlier wins): correct on the wire, predictable under failure, fast, legible,
//! configurable.
//!
//! # The rooms
//!
//! A room imports only rooms of the levels below it, and of these only the ones that
//! `tests/architecture` names; the test holds the law.
//!
//! | Level | Room | What it is for |
//! |---|---|---|
//! | 0 | [`telemetry`] | names and numbers: metrics, access log, operator's log |
//! | 0 | [`message`] | rules of HTTP messages: the head that the whole house shares |
//! | 1 | [`h1`] | HTTP/1 on the wire: bytes to heads and bodies, and back |
//! | 1 | [`h2`] | HTTP/2 heads, from the framing library and back |
//! | 1 | [`backend`] | who answers: identity and live state |
//! | 1 | [`limit`] | how much at once: bounds that workers share |
//! | 2 | [`strategy`] | which one: pure choice, one strategy a file |
//! | 2 | [`health`] | is it well: pure verdicts from outcomes and time |
//! | 2 | [`route`] | where to: pure matching |
//! | 3 | [`plan`] | what the operator wants: validated, inert, comparable |
//! | 4 | [`discovery`] | who is there: what names of backends mean, now and later |
//! | 4 | [`config`] | from file to plan: the only room that knows TOML |
//! | 4 | [`snapshot`] | what workers act on, and what outlives it |
//! | 4 | `otel` | spans of sampled traces, to a collector; only with the feature of that name |
//! | 5 | [`worker`] | what one worker owns: buffers, deadlines, streams |
//! | 5 | [`listener`] | from socket to plain stream |
//! | 5 | [`server`] | from stream to requests |
//! | 5 | [`upstream`] | from attempt to response head |
//! | 6 | [`proxy`] | the data path |
//! | 7 | [`explain`] | why a request would go where it would |
//! | 7 | [`admin`] | look and steer |
//! | 8 | [`app`], [`cli`] | the process: wires everything, decides nothing |
//! | 8 | [`demo`] | a little shop behind it, to try it with nothing else installed |
//!
//! # The way of a request
//!
//! 1. **accept** (`listener::accept`): the worker's own socket; a place in the budget goes with the connection.
//! 2. **tls** (`listener::tls`): the handshake, if the listener has TLS.
//! 3. **http** (`server::h1`, `server::h2`): a whole head, its framing decided; refused here if it is ambiguous.
//! 4. **open** (`proxy::exchange`): the one view of the snapshot for the request's whole life.
//! 5. **admit** (`proxy::admit`): host, path, client address; methods that we do not take.
//! 6. **route** (`route::RouteTable`): which route, and with it which pool or which answer of the route's own.
//! 7. **affinity** (`proxy::affinity`): only what the strategy wants to know.
//! 8. **pick** (`snapshot::Pool::choose`): among the eligible; picking and claiming are one step.
//! 9. **shape** (`proxy::request`): the head that the backend sees.
//! 10. **upstream** (`upstream`): a connection, the request on it, the response's head.
//! 11. **retry** (`proxy::retry`): back to 8, if that is safe.
//! 12. **response** (`proxy::response`): the head that the client sees.
//! 13. **stream** (`server::delivery`, `worker::pump`): both directions at once; the request ends here.
//! 14. **record** (`proxy::record`): once, when the exchange is dropped.
//!
//! # Words
//!
//! *Listener*: an address on which clients connect. *Route*: a rule that leads to a pool. *Pool*: a named
//! group of backends with a strategy. *Backend*: one address in a pool. *Member*, *slot*: a backend as it
//! stands in one generation of a pool, and its index. *Attempt*: one try to have a request answered by
//! one backend. *Exchange*: one client request and everything done for it. *Worker*: one thread with its
//! own runtime, sockets and connections. *Plan*: what the operator wants. *Snapshot*: plan and live state,
//! immutable, numbered by *generation*. *Standing*: ready, failing, draining or in maintenance.
//! *Eligible*: the members that may be picked now. *Upstream*, *downstream*: towards the backends, towards
//! the clients.

pub mod admin;
pub mod app;
pub mod backend;
pub mod cli;
pub mod config;
pub mod demo;
pub mod discovery;
pub mod explain;
pub mod h1;
pub mod h2;
pub mod health;
pub mod limit;
pub mod listener;
pub mod message;
#[cfg(feature = "otel")]
pub mod otel;
pub mod plan;
pub mod proxy;
pub mod route;
pub mod server;
pub mod snapshot;
pub mod strategy;
pub mod telemetry;
pub mod upstream;
pub mod worker;
