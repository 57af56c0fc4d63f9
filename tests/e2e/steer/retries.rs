//! A request that fails where it is, while the operator changes where it may go.

use super::*;
use crate::failure::{Script, write};
use crate::harness::{DEADLINE, Wire, wait_for};
use crate::reload::reload;

/// A retry is picked for by what holds now, not by what held when the request came.
#[test]
fn a_retry_goes_neither_to_what_is_drained_nor_to_what_is_removed() {
    let scripts = [Script::new(), Script::new(), Script::new()];
    let pool = |without: Option<usize>| {
        let kept = (0..scripts.len()).filter(|at| Some(*at) != without);
        let kept = kept.map(|at| format!("{{ address = \"{}\" }}", scripts[at].address()));
        let kept: Vec<_> = kept.collect();
        format!(
            "[pools.shop]\noutlier.consecutive = 0\nbackends = [{}]\n",
            kept.join(", ")
        )
    };
    let accepted = || {
        let (at, stream) = wait_for(DEADLINE, "an attempt", || {
            let mut all = scripts.iter().map(Script::accepted).enumerate();
            all.find_map(|(at, stream)| Some((at, stream?)))
        });
        let mut wire = Wire::new(stream);
        wire.read_head().unwrap();
        (at, wire)
    };
    let steered = Steered::before(&pool(None));
    let steer = |words: &str, at: usize| {
        let output = steered.command_at(words, &scripts[at].address().to_string());
        assert!(output.status.success(), "{words}: {output:?}");
    };
    for way in ["drain", "maint", "removed"] {
        let mut client = steered.balancer.client("web");
        client.send_raw(&Request::get("/").to_bytes()).unwrap();
        let (first, failing) = accepted();
        // Whose turn it would be, and who is left.
        let [gone, left] = [1, 2].map(|step| (first + step) % scripts.len());
        match way {
            "removed" => reload(&steered.balancer, &steered.configuration(&pool(Some(gone)))),
            word => steer(&format!("{word} shop @"), gone),
        }
        drop(failing);
        let (second, answering) = accepted();
        assert_eq!(second, left, "{way}");
        write(
            &answering,
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        );
        assert_eq!(client.read_response("GET").unwrap().status, 200, "{way}");
        if way != "removed" {
            steer("ready shop @", gone);
        }
    }
}
