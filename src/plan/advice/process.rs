//! The process as a whole.

use super::Notes;
use crate::plan::Plan;
use crate::plan::listener::ListenAddress;
use crate::telemetry::AccessTarget;

pub(super) fn look(plan: &Plan, notes: &mut Notes) {
    match &plan.admin {
        None => notes.note(
            true,
            "admin",
            "without an admin listener nobody can see how backends stand, and no monitoring can ask whether this instance is ready",
            "add `[admin]` with `address = \"127.0.0.1:9900\"`; it is not reachable from outside",
        ),
        Some(admin) => notes.note(
            admin.token.is_none() && matches!(admin.address, ListenAddress::Tcp(_)),
            "admin.token_file",
            "without a token no backend can be drained by hand: the commands `backend drain`, `maint` and `weight` are refused",
            "openssl rand -hex 32 > admin.token, and `token_file = \"admin.token\"`; or let the address be a Unix socket",
        ),
    }
    notes.note(
        matches!(plan.log.access.target, AccessTarget::Off),
        "log.access.path",
        "without an access log there is nothing to read after a bad night; it is written beside the requests' way and never holds one up",
        "let it be a file; what it costs is in docs/side-by-side.md",
    );
    let access = &plan.log.access;
    notes.note(
        access.query && access.redact.is_empty(),
        "log.access.redact",
        "queries are logged with all that is in them: tokens, addresses, what people have looked for",
        "name the parameters whose values are nobody's business, such as `redact = [\"token\", \"password\"]`",
    );
    let behind_another = plan
        .listeners
        .iter()
        .any(|listener| !listener.trusted_proxies.is_empty());
    notes.note(
        behind_another && plan.server.shutdown.delay.is_zero(),
        "server.shutdown.delay",
        "this instance stands behind another balancer, and ends at SIGTERM before that one has noticed: what it still sends is refused",
        "let `delay` be two or three of its check intervals; all that time requests are served while `/readyz` says 503",
    );
}
