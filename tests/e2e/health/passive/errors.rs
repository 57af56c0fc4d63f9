//! 5xx against the rest of the pool.

use super::super::super::harness::{Balancer, Behaviour, DEADLINE, Origin, wait_until};
use super::{EJECTED, ask, ejections, lines, standing, wait_for_picks_of, watched};

/// The same traffic first with a fault that all have, which is nobody's, and then with a fault of one.
#[test]
fn the_one_that_errs_is_ejected_and_a_fault_of_all_ejects_nobody() {
    let [a, b, c] = ["a", "b", "c"].map(Origin::named);
    let origins = [&a, &b, &c];
    for origin in origins {
        origin.behave(Behaviour::Status(500));
    }
    let balancer = Balancer::start(&watched(&origins, "interval = \"1s\""));
    let begun = std::time::Instant::now();
    // Long enough for whole intervals of it.
    while begun.elapsed() < std::time::Duration::from_millis(2500) {
        ask(&balancer, 50);
    }
    for origin in origins {
        assert_eq!(standing(&balancer, origin), "ready");
    }
    assert_eq!(lines(&balancer, EJECTED), Vec::<String>::new());
    a.behave(Behaviour::Answer);
    b.behave(Behaviour::Answer);
    wait_until(DEADLINE, "an ejection", || {
        ask(&balancer, 50);
        standing(&balancer, &c) == "ejected"
    });
    let said = lines(&balancer, EJECTED);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].contains("cause=\"errors\"") && said[0].contains("5xx"),
        "{said:?}"
    );
    assert_eq!(ejections(&balancer, &c, "errors"), 1.0);
    wait_for_picks_of(&balancer, &["a", "b"]);
}
