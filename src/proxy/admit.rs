//! Is it a request that we take, for whom is it, and which route takes it.

use super::exchange::Exchange;
use super::{Failure, Incoming};
use crate::message::authority::{self, Authority};
use crate::message::max_forwards::{self, MaxForwards};
use crate::message::{Head, Method, forwarded, via};
use crate::plan::Route;
use crate::route::{Asked, RouteId, view};
use crate::snapshot::View;
use crate::telemetry::Cause;

/// What routing and affinity need of a request that we take.
#[derive(Debug)]
pub(super) struct Admitted {
    /// Host and path, as they are for routing.
    pub(super) authority: Authority,
    /// Whether the peer is believed about who it speaks for.
    pub(super) trusted: bool,
    /// Whether the client came by TLS, as far as is known.
    pub(super) https: bool,
    /// Whether it may go no further, so that it is ours to answer.
    pub(super) ends_here: bool,
}

/// Takes the request or refuses it. The target becomes origin-form.
pub(super) fn admit(request: &mut Incoming<'_>, x: &mut Exchange) -> Result<Admitted, Failure> {
    let Incoming { head, peer, .. } = request;
    // A proxy that tunnels anywhere serves attackers only. TRACE is up to the route.
    if head.method() == Method::Connect {
        return Err(Failure::before(Cause::MethodNotAllowed));
    }
    let mut authority =
        authority::request_authority(head).map_err(|_| Failure::before(Cause::BadRequest))?;
    authority.normalise(head, b"");
    let session = peer.session.as_ref();
    if session.is_some_and(|session| session.is_misdirected(authority.host())) {
        return Err(Failure::before(Cause::Misdirected));
    }
    let may_go = max_forwards::step(head);
    if may_go == MaxForwards::Malformed {
        return Err(Failure::before(Cause::BadRequest));
    }
    if via::is_loop(head) {
        return Err(Failure::before(Cause::LoopDetected));
    }
    let nets = &x.listener.trusted_proxies;
    // Whoever reaches a Unix socket was let to it by the file's permissions: a proxy on this machine.
    let trusted = peer
        .address
        .is_none_or(|address| forwarded::is_trusted(address, nets));
    x.client = match peer.address {
        Some(address) => Some(forwarded::client_address(head, address, nets)),
        None => forwarded::client_told(head, nets),
    };
    Ok(Admitted {
        authority,
        trusted,
        https: peer.tls || trusted && forwarded::says_https(head, nets),
        ends_here: may_go == MaxForwards::Last,
    })
}

/// Finds the route.
pub(super) fn route<'v>(
    head: &Head,
    admitted: &Admitted,
    generation: &'v View,
    x: &mut Exchange,
) -> Result<&'v Route, Failure> {
    // A connection of a listener that is gone is served to its end by the routes of every listener.
    let listener = x.listener_index.unwrap_or(usize::MAX);
    let mut room = view::Room::new();
    let path = view::of(admitted.authority.path(head), x.listener.paths, &mut room)
        .map_err(|_| Failure::before(Cause::AmbiguousPath))?;
    let found = generation.routes.find(&Asked {
        host: admitted.authority.host(),
        path,
        listener,
        head,
        client: x.client,
        trusted: admitted.trusted,
    });
    // An echo is for the backend to give; one that may go no further gets none.
    if head.method() == Method::Trace && (admitted.ends_here || !names_trace(generation, found)) {
        return Err(Failure::before(Cause::MethodNotAllowed));
    }
    let route = found.ok_or_else(|| Failure::before(Cause::NoRoute))?;
    let route = route.0 as usize;
    x.route = Some(route);
    Ok(&generation.plan.routes[route])
}

/// Whether the route that takes a TRACE names it: an echo of the fields that others have added is for those who
/// ask for it by name.
fn names_trace(generation: &View, found: Option<RouteId>) -> bool {
    let route = found.and_then(|route| generation.plan.routes.get(route.0 as usize));
    route.is_some_and(|route| route.matcher.names_method(b"TRACE"))
}
