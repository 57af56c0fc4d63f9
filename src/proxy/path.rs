//! The path that the backend gets, where the listener wants it resolved.

use std::borrow::Cow;

use super::admit::Admitted;
use super::exchange::Exchange;
use crate::message::Head;
use crate::route::resolved;
use crate::route::rules::Forward;

/// Brings the path into resolved form under `forward = "normalised"`; the query stays as it is. What routes have
/// seen is not changed by that.
pub(super) fn normalise(head: &mut Head, admitted: &Admitted, x: &mut Exchange) {
    let rules = x.listener.paths;
    if rules.forward == Forward::Raw {
        return;
    }
    let range = admitted.authority.path_range();
    let target = head.target();
    let path = target.get(range.clone()).unwrap_or_default();
    // What is ambiguous has been refused before there was a route.
    let Ok(Cow::Owned(mut new)) = resolved(path, rules) else {
        return;
    };
    new.extend_from_slice(target.get(range.end..).unwrap_or_default());
    x.change_target(head, &new);
}
