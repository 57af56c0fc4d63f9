//! `[pools.*.outlier]`, and `slow_start`.

use std::time::Duration;

use super::scope::{Given, Zero};
use crate::config::problem::Finding;
use crate::config::raw::pool as raw;
use crate::health::outlier::Policy;
use crate::strategy::Spec;

/// Compiles when what requests find takes a backend out; the defaults if nothing is said of it.
pub(super) fn outlier(given: Option<Given<'_, raw::Outlier>>) -> Policy {
    let usual = Policy::default();
    let Some(Given { value, scope, .. }) = given else {
        return usual;
    };
    let policy = Policy {
        consecutive: scope.integer(
            "consecutive",
            &value.consecutive,
            usual.consecutive,
            0..=raw::IN_ROW_MOST,
        ),
        interval: scope.duration("interval", &value.interval, usual.interval, Zero::Refused),
        base_ejection: scope.duration(
            "base_ejection",
            &value.base_ejection,
            usual.base_ejection,
            Zero::Refused,
        ),
        max_ejection: scope.duration(
            "max_ejection",
            &value.max_ejection,
            usual.max_ejection,
            Zero::Refused,
        ),
        max_ejected: scope.percent("max_ejected", &value.max_ejected, usual.max_ejected),
        success_rate: scope
            .get("success_rate", &value.success_rate)
            .map_or(usual.success_rate, |written| *written.value),
    };
    if policy.max_ejection < policy.base_ejection {
        let (base, most) = (policy.base_ejection, policy.max_ejection);
        let finding = Finding::error(format!(
            "the first ejection takes {base:?}, longer than `max_ejection`, which is {most:?}"
        ));
        let written = scope
            .get("max_ejection", &value.max_ejection)
            .or_else(|| scope.get("base_ejection", &value.base_ejection));
        if let Some(written) = written {
            written.report(finding.help("make `base_ejection` shorter, or `max_ejection` longer"));
        }
    }
    policy
}

/// Compiles how long a backend that is back or new takes less than its share.
pub(super) fn slow_start(pool: &Given<'_, raw::Pool>, strategy: &Spec) -> Duration {
    let Given { value, scope, .. } = pool;
    let window = scope.duration(
        "slow_start",
        &value.slow_start,
        Duration::ZERO,
        Zero::Allowed,
    );
    if let (Spec::IpHash { .. }, Some(written)) = (
        strategy,
        value.slow_start.as_ref().filter(|_| !window.is_zero()),
    ) {
        let finding = Finding::error("`slow_start` means nothing with strategy = \"ip-hash\"");
        scope.report(
            &written.span(),
            finding.help(
                "leave it out: a client has its backend by its address, and would be moved twice",
            ),
        );
    }
    window
}
