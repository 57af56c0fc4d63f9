//! What holds for any bytes, one judge for each target of `cargo fuzz`.
//!
//! A judge reads the bytes with the product and a second time in another way, and panics where the two do
//! not agree. Of a second reader it holds: what it refuses, the product refuses; what both take, they
//! understand alike, to the same length. The product may be stricter than hyper, which repairs what can be
//! repaired; each place where it may be more lenient stands in the judge, with its reason.
//!
//! Two judges, of [`wire`], let the whole product handle the bytes between sockets of their own.
//!
//! In reading order: [`ours`] and [`theirs`], the product and hyper, each made to read from memory; `oracle`,
//! the second reader of `src/h1/tests`, shared as a file so that the product need not publish it; then the
//! judges; `wire`, shared with `tests/wire`, the engine of the whole path.

pub mod chunked_body;
pub mod configuration;
pub mod forwarded;
pub mod h2_head;
#[path = "../../src/h1/tests/oracle.rs"]
mod oracle;
pub mod ours;
pub mod proxy_protocol;
pub mod request_head;
pub mod response_head;
pub mod route_matching;
pub mod splitting;
pub mod sticky_cookie;
pub mod templates;
pub mod theirs;
pub mod websocket_frames;
#[path = "../../tests/wire/engine/mod.rs"]
pub mod wire;

/// The first line, without its end, and what is behind it. Inputs of several parts are lines, so that people
/// can write and read them.
fn cut_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, b""),
    }
}
