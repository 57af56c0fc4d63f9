//! The access log from record to file: what a line is, and what becomes of lines when things go wrong.

mod lines;
mod pipeline;
mod redaction;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use jiff::Timestamp;

use super::{AccessRecord, Stamp, Times};

/// A record with no more than every record has.
fn small(path: &[u8]) -> AccessRecord<'_> {
    AccessRecord {
        timestamp: Timestamp::from_millisecond(1_795_253_400_007).unwrap(),
        method: b"GET",
        path,
        query: b"",
        protocol: "HTTP/1.1",
        referer: b"",
        user_agent: b"",
        status: Some(200),
        body_bytes: 512,
        client: Some(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7))),
        request_id: b"",
        trace_id: b"",
        sampled: None,
        listener: "web",
        route: None,
        pool: None,
        backend: None,
        strategy: None,
        sticky: None,
        generation: 3,
        error: None,
        attempts: &[],
        times: Times {
            total: Duration::from_nanos(12_345_678),
            ..Times::default()
        },
        decision: None,
    }
}

fn json_of(record: &AccessRecord<'_>) -> String {
    let mut out = Vec::new();
    record.write_json(&mut Stamp::default(), &mut out);
    String::from_utf8(out).unwrap()
}
