//! What requests find takes a backend out, too. In reading order: [`failures`] (in a row), [`errors`] (5xx against the rest),
//! [`returns`] (slow start, and who steps in when nobody is left).

mod errors;
mod failures;
mod returns;

use super::super::harness::{Balancer, DEADLINE, Origin, pool, wait_until};
use super::{answers, lines, metric, status, wait_for_standing};

/// The pool `shop` by round robin, with these lines under `outlier`.
fn watched(origins: &[&Origin], lines: &str) -> String {
    let pool = pool("shop", "round-robin", origins);
    format!(
        "{}{pool}\n[pools.shop.outlier]\n{lines}\n",
        Balancer::front("shop")
    )
}

/// Asks so often; whatever is answered.
fn ask(balancer: &Balancer, count: usize) {
    let mut client = balancer.client("web");
    for _ in 0..count {
        let _ = client.get("/");
    }
}

/// Waits until nobody is picked but those.
#[track_caller]
fn wait_for_picks_of(balancer: &Balancer, names: &[&str]) {
    wait_until(DEADLINE, &format!("picks of {names:?} alone"), || {
        let answers = answers(balancer, 12);
        answers.iter().all(|name| names.contains(&name.as_str()))
            && names
                .iter()
                .all(|name| answers.contains(&(*name).to_owned()))
    });
}

fn standing(balancer: &Balancer, origin: &Origin) -> String {
    let status = status(balancer, &origin.address().to_string());
    status["standing"].as_str().expect("a word").to_owned()
}

fn ejections(balancer: &Balancer, origin: &Origin, cause: &str) -> f64 {
    let labels = format!(",cause=\"{cause}\"");
    metric(
        balancer,
        "forecourt_backend_ejections_total",
        origin,
        &labels,
    )
}

const EJECTED: &str = "a backend is ejected for what requests find";
const NO_MORE: &str = "a backend is ejected no more";
