//! What the doctor sees in a running instance.

use std::time::{Duration, Instant};

use super::Steered;
use crate::harness::{DEADLINE, Origin, pool, program, wait_until};

#[test]
fn the_doctor_sees_what_a_running_instance_has_met() {
    let (a, b) = (Origin::named("a"), Origin::named("b"));
    let steered = Steered::before(&pool("shop", "round-robin", &[&a, &b]));
    let file = steered.balancer.config_file();
    let admin = format!("http://{}", steered.balancer.address("admin"));
    let doctor = |more: &[&str]| {
        let mut arguments = vec!["check", file.to_str().unwrap(), "--doctor"];
        arguments.extend(more);
        let output = program(&arguments);
        let said = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), said)
    };
    let (code, said) = doctor(&["--admin", &admin]);
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("pools.shop.health: nobody asks"), "{said}");
    assert!(
        !said.contains("had rested") && !said.contains("operator"),
        "{said}"
    );

    steered.steer("drain shop @", &b);
    // What is closed after less is not taken for the backend's habit.
    let rest = Duration::from_millis(60);
    let mut client = steered.balancer.client("web");
    wait_until(DEADLINE, "a closed connection that had rested", || {
        assert_eq!(client.get("/").status, 200);
        let began = Instant::now();
        wait_until(DEADLINE, "a rest", || began.elapsed() > rest);
        a.close_connections();
        assert_eq!(client.get("/").status, 200);
        let (code, said) = doctor(&["--admin", &admin]);
        assert_eq!(code, Some(5), "{said}");
        let drained = format!("{} is draining by an operator's word", b.address());
        assert!(said.contains(&drained), "{said}");
        said.contains(&format!(
            "{} has closed connections that had rested",
            a.address()
        ))
    });
    let (_, said) = doctor(&["--admin", &admin, "--json"]);
    let advice: serde_json::Value = serde_json::from_str(&said).unwrap();
    let of_rest = advice
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["severity"] == "advice" && one["path"] == "pools.shop.timeouts.idle");
    assert!(of_rest.is_some_and(|one| one["help"].is_string()), "{said}");

    let gone = doctor(&["--admin", "http://127.0.0.1:1"]);
    assert_eq!(gone.0, Some(3), "nobody there");
}
