//! Hostile bytes: what must never get through, in either direction, and what looks odd and must.
//!
//! A case is bytes and what has to become of them: what its sender gets, and what the other side must have seen.
//! Each cites the rule that judges it. The tables are the tests' heart, one file a topic: [`requests`] hold what
//! clients send, [`responses`] what backends answer. Every case runs four times: over plain TCP and over TLS,
//! written whole and byte by byte; some also in two pieces, split at every place. After each, another client sends
//! a request through the same backend connections: if anything was left on one of them, it shows there.
//!
//! In reading order: [`house`] (one balancer, several lanes that cases run on at once), [`backend`] (answers
//! bytes as told and keeps what it got), [`caller`] (a client's connection), [`request`] and [`response`] (a case
//! of either direction, and how it is judged).
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod backend;
mod caller;
mod house;
mod request;
mod requests;
mod response;
mod responses;

use std::collections::HashSet;

/// Fewer of clients and of backends than that, and a table has been lost.
const LEAST: [usize; 2] = [500, 200];

/// Documents that a case may cite.
const CITED: [&str; 9] = [
    "RFC 1035 ",
    "RFC 3986 ",
    "RFC 6265 ",
    "RFC 7239 ",
    "RFC 8297 ",
    "RFC 8446 ",
    "RFC 9110 ",
    "RFC 9112 ",
    "RFC 9113 ",
];

#[test]
fn the_cases_are_many_and_each_has_a_name_and_a_rule() {
    let requests = requests::all();
    let responses = responses::all();
    let mut names = HashSet::new();
    for (name, rule) in requests
        .iter()
        .map(|case| (case.name, case.rfc))
        .chain(responses.iter().map(|case| (case.name, case.rfc)))
    {
        assert!(names.insert(name), "two cases are named {name:?}");
        let section = CITED
            .iter()
            .find_map(|document| rule.strip_prefix(document))
            .and_then(|rest| rest.strip_prefix('§'));
        let is_section = section.is_some_and(|section| {
            section.starts_with(|first: char| first.is_ascii_digit())
                && section
                    .bytes()
                    .all(|byte| byte.is_ascii_digit() || byte == b'.')
        });
        assert!(is_section, "{name}: {rule:?} is no citation");
    }
    let counts = [requests.len(), responses.len()];
    let enough = counts
        .iter()
        .zip(LEAST)
        .all(|(count, least)| *count >= least);
    assert!(enough, "only {counts:?} cases");
}
