//! HTTP/2 on real sockets, frame by frame: what clients may do and what they may not, backends that speak it,
//! and floods.
//!
//! In reading order: [`frame`] (frames by our own hand), [`raw`] (an end of a connection that speaks them), [`case`] (frames
//! and what has to become of them) with the tables [`frames`], [`blocks`], [`heads`] and [`fields`];
//! [`honest`] clients; [`backend`], and what becomes of several kinds of them in [`upstream`] and, when their connections
//! end, [`upstream_ends`]; [`floods`].
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod backend;
mod blocks;
mod case;
mod fields;
mod floods;
mod frame;
mod frames;
mod heads;
mod honest;
mod raw;
mod upstream;
mod upstream_ends;

/// Fewer cases than that, and a table has been lost.
const LEAST: usize = 150;

#[test]
fn the_cases_are_many_and_each_has_a_name_and_a_rule() {
    let cases = [
        frames::cases(),
        blocks::cases(),
        heads::cases(),
        fields::cases(),
    ]
    .concat();
    case::check_names(&cases);
    assert!(cases.len() >= LEAST, "only {} cases", cases.len());
}
