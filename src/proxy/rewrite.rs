//! Path and host that the backend sees, where they are others than the client's.
//!
//! The log and templates go on seeing the client's target, and `X-Forwarded-Host` has been set before.

use super::exchange::Exchange;
use super::values::{self, Asked, Wanted};
use super::{Failure, Incoming, headers};
use crate::backend::Address;
use crate::message::host::is_host;
use crate::message::{Head, Name};
use crate::plan::action::{Host, rewritten};
use crate::plan::template::{Encoding, Template};
use crate::plan::{Edits, Route};
use crate::telemetry::Cause;

/// Changes the request as its route says.
pub(super) fn apply(
    route: &Route,
    request: &mut Incoming<'_>,
    x: &mut Exchange,
) -> Result<(), Failure> {
    let Edits {
        rewrite,
        request_headers,
        ..
    } = &route.edits;
    headers::change_request(request_headers, request, x);
    if let Some(path) = &rewrite.path {
        let asked = (&request.head, request.admitted.as_ref());
        let target = target(path, asked, x)?;
        x.change_target(&mut request.head, &target);
    }
    match &rewrite.host {
        // Each attempt has another one.
        Some(Host::Backend) => x.host_by_backend = true,
        Some(Host::Template(template)) => {
            let host = host(template, (&request.head, request.admitted.as_ref()), x)?;
            set_host(&mut request.head, &host);
        }
        None => {}
    }
    Ok(())
}

fn target(path: &Template, asked: Asked<'_>, x: &Exchange) -> Result<Vec<u8>, Failure> {
    if asked.0.target() == b"*" {
        // It asks of the server as a whole.
        return Ok(b"*".to_vec());
    }
    let wanted = Wanted {
        captures: path.uses_captures(),
        resolved: true,
        ..Wanted::default()
    };
    let mut target = Vec::with_capacity(128);
    values::with(asked, wanted, x, |values| {
        rewritten(path, values, x.listener.paths, &mut target)
    })
    .map_err(|_| Failure::before(Cause::AmbiguousPath))?;
    Ok(target)
}

fn host(template: &Template, asked: Asked<'_>, x: &Exchange) -> Result<Vec<u8>, Failure> {
    let wanted = Wanted {
        captures: template.uses_captures(),
        ..Wanted::default()
    };
    let mut host = Vec::with_capacity(64);
    values::with(asked, wanted, x, |values| {
        // What is no part of a host is an escape then, and no host has one.
        template.render(values, Encoding::Url, &mut host);
    });
    // What a regex took of a path need not be one.
    if host.is_empty() || is_host(&host) {
        Ok(host)
    } else {
        Err(Failure::before(Cause::BadRequest))
    }
}

/// Makes the address of the backend the host.
pub(super) fn host_of(backend: &Address, head: &mut Head) {
    match backend {
        Address::Tcp(address) => set_host(head, address.to_string().as_bytes()),
        // A path is no host; this is what others say there.
        Address::Unix(_) => set_host(head, b"localhost"),
    }
}

fn set_host(head: &mut Head, host: &[u8]) {
    head.remove(Name::Host);
    head.push(b"Host", host);
}
