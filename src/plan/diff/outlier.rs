//! Differences of when what requests find takes a backend out.

use super::Lines;
use crate::health::outlier::Policy;

pub(super) fn outlier(old: &Policy, new: &Policy, lines: &mut Lines<'_>) {
    let Policy {
        consecutive,
        interval,
        base_ejection,
        max_ejection,
        max_ejected,
        success_rate,
    } = old;
    lines.compare(
        "outlier.consecutive",
        consecutive,
        &new.consecutive,
        u32::to_string,
    );
    lines.durations([
        ("outlier.interval", *interval, new.interval),
        ("outlier.base_ejection", *base_ejection, new.base_ejection),
        ("outlier.max_ejection", *max_ejection, new.max_ejection),
    ]);
    lines.compare(
        "outlier.max_ejected",
        max_ejected,
        &new.max_ejected,
        |percent| format!("{percent}%"),
    );
    lines.compare(
        "outlier.success_rate",
        success_rate,
        &new.success_rate,
        bool::to_string,
    );
}
