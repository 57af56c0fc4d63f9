//! From an accepted socket to a guest: who it is, whether there is room for it, and a stream past its handshake.
//!
//! In this order, for each step needs the one before: the PROXY header, which says who the client is; its
//! place among its own connections; TLS. Who may not send a header is known without one and takes its place first, or
//! it could wait uncounted where headers are optional. All of it within the listener's `header` deadline, counted from
//! the start. Who comes no further is counted here, but for a client that can be told why: it is
//! let in to be answered, and counted with that.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::time::Instant;

use super::worker::{Counted, Parts, Post};
use crate::listener::clients::Place;
use crate::listener::proxy_protocol::{self, Opening, OpeningError};
use crate::listener::tls::Session;
use crate::message::forwarded;
use crate::plan::Listener;
use crate::plan::listener::ProxyProtocol;
use crate::server::Peer;
use crate::telemetry::{Cause, TlsResult};
use crate::worker::{Buffer, Phase, Stream, Timer};

/// A client that has been let in.
pub(super) struct Guest {
    pub(super) stream: Stream,
    /// What has been read of its first request.
    pub(super) early: Buffer,
    pub(super) peer: Peer,
    /// Its place among its client's connections, if these are limited.
    pub(super) place: Option<Place>,
    /// Why it is to be told to go, if it is.
    pub(super) unwelcome: Option<Cause>,
}

/// Whether nothing needs to be waited for before the first request: neither who it is nor how it is secured.
pub(super) fn is_open(listener: &Listener) -> bool {
    listener.proxy_protocol == ProxyProtocol::Off && listener.tls.is_none()
}

/// Lets a connection in at once, by an entrance that [`is_open`].
pub(super) fn walk_in(
    listener: &Listener,
    post: &Post,
    stream: Stream,
    address: Option<IpAddr>,
) -> Guest {
    let (place, unwelcome) = place(listener, post, address);
    Guest {
        stream,
        early: Buffer::default(),
        peer: Peer {
            address,
            listener: post.key,
            accepted_by: Arc::clone(&post.listener),
            tls: false,
            session: None,
        },
        place,
        unwelcome,
    }
}

/// Lets a connection in, or says nothing and closes it.
pub(super) async fn enter(
    (parts, post, listener): (&Parts, &Post, Arc<Listener>),
    (mut stream, mut address): (Stream, Option<IpAddr>),
    counted: &Counted,
) -> Option<Guest> {
    let timer = parts.worker.timer();
    timer.set(Instant::now() + listener.timeouts.header);
    let mut early = Buffer::default();
    let by_header = listener.proxy_protocol != ProxyProtocol::Off;
    let known = match listener.proxy_protocol {
        ProxyProtocol::Off => true,
        ProxyProtocol::Optional => !is_trusted(&listener, address),
        ProxyProtocol::Required => false,
    };
    let found = known.then(|| place(&listener, post, address));
    if by_header && !matches!(found, Some((_, Some(_)))) {
        // Boxed, as the handshake is: whoever needs neither has no use for the room.
        let introduction = introduced(parts, &listener, &mut stream, address, &timer);
        match Box::pin(introduction).await {
            Ok(Opening::Header(told)) => address = told.or(address),
            // No handshake begins with these bytes, and what follows them must not pass for the whole of one.
            Ok(Opening::Other(taken)) if listener.tls.is_some() && !taken.is_empty() => {
                counted.handshake(TlsResult::NotTls);
                return None;
            }
            Ok(Opening::Other(taken)) => keep(parts, &mut early, &taken),
            Err(cause) => {
                if let Some(cause) = cause {
                    counted.refused(cause);
                    tracing::debug!(listener = %listener.name, peer = ?address, %cause, "closed at the entrance");
                }
                return None;
            }
        }
    }
    let (place, unwelcome) = found.unwrap_or_else(|| place(&listener, post, address));
    if let (Some(cause), Some(_)) = (unwelcome, &listener.tls) {
        // A handshake is what such a client would have us pay for.
        counted.refused(cause);
        return None;
    }
    let entering = (stream, address, post, &listener);
    let (stream, tls, session) = secured(parts, entering, &timer, counted).await?;
    Some(Guest {
        stream,
        early,
        peer: Peer {
            address,
            listener: post.key,
            accepted_by: Arc::clone(&post.listener),
            tls,
            session,
        },
        place,
        unwelcome,
    })
}

/// The client's place among its own connections, if these are limited; or why it has none.
fn place(
    listener: &Listener,
    post: &Post,
    address: Option<IpAddr>,
) -> (Option<Place>, Option<Cause>) {
    match (listener.limits.connections_per_client, address) {
        (0, _) | (_, None) => (None, None),
        (most, Some(address)) => match post.clients.enter(address, most) {
            Some(place) => (Some(place), None),
            None => (None, Some(Cause::TooManyConnections)),
        },
    }
}

/// Whether a peer may say who its client is. Whoever reaches a Unix socket was let to it by the file's permissions.
fn is_trusted(listener: &Listener, address: Option<IpAddr>) -> bool {
    address.is_none_or(|address| forwarded::is_trusted(address, &listener.trusted_proxies))
}

/// Reads the PROXY header, and looks whether this peer may or must send one. Without a cause there is
/// nothing to be counted: nobody was refused, somebody has gone.
async fn introduced(
    parts: &Parts,
    listener: &Listener,
    stream: &mut Stream,
    address: Option<IpAddr>,
    timer: &Timer,
) -> Result<Opening, Option<Cause>> {
    let trusted = is_trusted(listener, address);
    let required = listener.proxy_protocol == ProxyProtocol::Required;
    if required && !trusted {
        return Err(Some(Cause::ProxyProtocol));
    }
    // Who need not introduce itself may also connect and wait, as browsers do.
    let may_wait = !required && listener.tls.is_none();
    if may_wait {
        timer.set(Instant::now() + listener.timeouts.idle);
    }
    let mut silent = true;
    let opening = proxy_protocol::read(stream, timer, |begun| {
        let first = begun && std::mem::replace(&mut silent, !begun);
        if !may_wait {
            return;
        }
        if first {
            timer.set(Instant::now() + listener.timeouts.header);
        } else if silent && parts.worker.phase() == Phase::Draining {
            let until = parts.worker.idle_grace_until();
            timer.set(until.unwrap_or_else(Instant::now));
        }
    })
    .await;
    match opening {
        Ok(Opening::Header(_)) if !trusted => Err(Some(Cause::ProxyProtocol)),
        Ok(Opening::Other(_)) if required => Err(Some(Cause::ProxyProtocol)),
        Ok(opening) => Ok(opening),
        Err(OpeningError::Header(_)) => Err(Some(Cause::ProxyProtocol)),
        Err(OpeningError::TimedOut) if silent && may_wait => Err(None),
        Err(OpeningError::TimedOut) => Err(Some(Cause::HeaderTimeout)),
        Err(OpeningError::Cut | OpeningError::Silent) => Err(None),
    }
}

/// What looked like the beginning of a PROXY header is that of a request.
fn keep(parts: &Parts, early: &mut Buffer, taken: &[u8]) {
    if !taken.is_empty() && early.make_room(parts.worker.buffers(), Buffer::SMALL, Buffer::SMALL) {
        early.room()[..taken.len()].copy_from_slice(taken);
        early.filled(taken.len());
    }
}

/// Does the TLS handshake if the listener has TLS; `None` when it fails. Tells whether it has, and what is
/// known of the session.
async fn secured(
    parts: &Parts,
    (stream, address, post, listener): (Stream, Option<IpAddr>, &Post, &Arc<Listener>),
    timer: &Timer,
    counted: &Counted,
) -> Option<(Stream, bool, Option<Rc<Session>>)> {
    let (stream, acceptor) = match (stream, &listener.tls) {
        (Stream::Tcp(stream), Some(_)) => (stream, parts.acceptor(post.key, listener)?),
        (stream, _) => return Some((stream, false, None)),
    };
    match Box::pin(acceptor.handshake(stream, timer)).await {
        Ok((stream, session)) => {
            counted.handshake(TlsResult::Ok);
            Some((stream, true, session))
        }
        Err(result) => {
            counted.handshake(result);
            tracing::debug!(listener = %listener.name, peer = ?address, %result, "no handshake");
            if result == TlsResult::TimedOut {
                counted.refused(Cause::HeaderTimeout);
            }
            None
        }
    }
}
