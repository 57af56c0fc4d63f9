//! The property of the HTTP/1 data path: what reaches backends and clients is whole and of one reading.
//!
//! [`engine`] says it and holds it; [`strategies`] makes messages that are mostly right.

#[allow(
    unreachable_pub,
    reason = "shared with the fuzzers, where it is public"
)]
mod engine;
#[path = "../../src/h1/tests/oracle.rs"]
mod oracle;
#[allow(
    dead_code,
    unreachable_pub,
    reason = "shared with the fuzzers, which need more of it"
)]
#[path = "../../fuzz/src/ours.rs"]
mod ours;
#[allow(
    dead_code,
    unreachable_pub,
    reason = "shared with the fuzzers, which need more of it"
)]
#[path = "../../fuzz/src/theirs.rs"]
mod theirs;

mod strategies;

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use engine::responses::Case;
use engine::{requests, responses};

/// A few seconds, always the same; `FORECOURT_DRILL=full` makes it long and random, as does
/// `PROPTEST_CASES`, which says how long.
fn config() -> ProptestConfig {
    let given = std::env::var_os("PROPTEST_CASES").is_some();
    let full = std::env::var_os("FORECOURT_DRILL").is_some_and(|value| value == "full");
    let mut config = ProptestConfig {
        failure_persistence: None,
        max_shrink_iters: 2000,
        // What hangs is not tried again and again.
        max_shrink_time: 20_000,
        ..ProptestConfig::default()
    };
    if !given {
        config.cases = if full { 100_000 } else { 600 };
    }
    if !given && !full {
        config.rng_seed = RngSeed::Fixed(1);
    }
    config
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_reaches_a_backend_is_what_was_asked((pattern, stream) in strategies::requests()) {
        requests::judge_stream(&pattern, &stream);
    }

    #[test]
    fn what_reaches_a_client_is_what_was_answered(case in strategies::responses()) {
        responses::judge_case(&case);
    }
}

#[test]
fn the_seeds_of_the_fuzzers_hold() {
    type Judge = fn(&[u8]);
    let judges: [(&str, Judge); 2] = [
        ("request_path", requests::judge),
        ("response_path", responses::judge),
    ];
    for (target, judge) in judges {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fuzz/corpus")
            .join(target);
        let seeds = fs::read_dir(folder).expect("there are seeds");
        let mut paths: Vec<_> = seeds
            .map(|seed| seed.expect("it can be read").path())
            .collect();
        paths.sort();
        assert!(paths.len() > 50);
        for path in paths {
            judge(&fs::read(&path).expect("it can be read"));
        }
    }
}

/// Only the end of the connection tells a client of HTTP/1.0 that it has the whole answer, and it may want
/// that before it sends the rest of its request.
#[test]
fn an_answer_until_the_end_ends_before_its_request() {
    for answer in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nall of it",
    ] {
        responses::judge_case(&Case {
            pattern: b"9".to_vec(),
            stream: answer.as_bytes().to_vec(),
            then: b'c',
            asked: b'l',
            old: true,
        });
    }
}

/// A client that is told of the end by the end of its connection must not take for whole what was cut for
/// its own sake, here because it does not send the rest of its request.
#[test]
fn an_answer_until_the_end_that_its_request_cuts_shows_as_cut() {
    responses::judge_case(&Case {
        pattern: b"9".to_vec(),
        stream: b"HTTP/1.1 200 OK\r\n\r\nsome of it".to_vec(),
        then: b's',
        asked: b'l',
        old: true,
    });
}
