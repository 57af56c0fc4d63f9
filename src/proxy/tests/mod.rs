//! The spine under paused time: what it promises whatever backends and clients do.
//!
//! [`house`] builds a proxy before pools of one listener and reads its figures; [`fake`] is a transport that does
//! what a script says. Then, by theme: [`retries`], [`records`], [`replies`], [`sticky`]; and [`wire`], which puts the real
//! transport and the real server around the spine, with a client and a backend of bytes at the two ends; [`closing`] does so for the end of a connection,
//! [`slow`] for those who keep it waiting.

mod closing;
mod fake;
mod house;
mod queue;
mod records;
mod replies;
mod retries;
mod slow;
mod sticky;
mod wire;
