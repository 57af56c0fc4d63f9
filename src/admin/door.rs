//! How connections come in: over TLS if the configuration says so, few enough at once, each with a task of its own.
//!
//! Whoever reaches the address can connect and be silent. So a handshake and a head have a time to be complete in, and of
//! connections there is a number; when it is reached, the one that has stood longest goes of those whose neighbours
//! have the most. Thus one who holds all places loses them to others, and never the other way round.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use axum::response::IntoResponse;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{HttpService, Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, Id, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::guard::{Caller, Way};
use super::instance::Instance;
use super::problem::Problem;
use crate::listener::Socket;

/// Where connections come in.
pub(super) enum Door {
    Tcp(TcpListener, Way),
    Unix(UnixListener),
}

/// A connection that has come in.
enum Visitor {
    Tcp(TcpStream, SocketAddr, Way),
    Unix(UnixStream),
}

/// What every connection is served with.
#[derive(Clone)]
struct House {
    instance: Arc<Instance>,
    router: Router,
    ending: watch::Receiver<bool>,
}

impl Door {
    pub(super) fn new(socket: Socket, way: Way) -> io::Result<Self> {
        Ok(match socket {
            Socket::Tcp(socket) => Self::Tcp(TcpListener::from_std(socket)?, way),
            Socket::Unix(socket) => Self::Unix(UnixListener::from_std(socket)?),
        })
    }

    /// Serves until it is told to end, and then until the last answer under way.
    pub(super) async fn serve(
        self,
        instance: Arc<Instance>,
        router: Router,
        ending: watch::Receiver<bool>,
    ) {
        let house = House {
            instance,
            router,
            ending: ending.clone(),
        };
        let mut tasks = JoinSet::new();
        let mut places = Places::default();
        loop {
            let came = tokio::select! {
                () = ended(ending.clone()) => break,
                Some(left) = tasks.join_next_with_id() => {
                    places.leave(left.map_or_else(|error| error.id(), |(id, ())| id));
                    continue;
                }
                came = self.accept() => came,
            };
            match came {
                Ok(visitor) => {
                    let whence = visitor.whence();
                    places.make_room();
                    let task = tasks.spawn(house.clone().receive(visitor));
                    places.take(whence, task);
                }
                // Often there is no descriptor left: whoever waits in the queue waits a little longer.
                Err(error) => {
                    tracing::warn!(%error, "the admin API cannot accept a connection");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        drop(self);
        while tasks.join_next().await.is_some() {}
    }

    async fn accept(&self) -> io::Result<Visitor> {
        match self {
            Self::Tcp(socket, way) => {
                let (stream, peer) = socket.accept().await?;
                Ok(Visitor::Tcp(stream, peer, *way))
            }
            Self::Unix(socket) => socket
                .accept()
                .await
                .map(|(stream, _)| Visitor::Unix(stream)),
        }
    }
}

impl Visitor {
    /// Its neighbours: those whose address is the same, of IPv6 the first half of it.
    fn whence(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(_, peer, _) => Some(match peer.ip().to_canonical() {
                IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !0 << 64).into(),
                ip @ IpAddr::V4(_) => ip,
            }),
            Self::Unix(_) => None,
        }
    }
}

impl House {
    async fn receive(self, visitor: Visitor) {
        match visitor {
            Visitor::Unix(stream) => {
                let uid = stream.peer_cred().ok().map(|peer| peer.uid());
                self.serve(stream, Caller::Unix(uid)).await;
            }
            Visitor::Tcp(stream, peer, way) if !way.tls => {
                self.serve(stream, Caller::Tcp(peer, way)).await;
            }
            Visitor::Tcp(stream, peer, way) => {
                let Some(config) = self.instance.tls() else {
                    return;
                };
                let handshake = async {
                    if speaks_plainly(&stream).await? {
                        return Ok(Err(stream));
                    }
                    TlsAcceptor::from(config).accept(stream).await.map(Ok)
                };
                match tokio::time::timeout(HANDSHAKE, handshake).await {
                    Ok(Ok(Ok(stream))) => self.serve(stream, Caller::Tcp(peer, way)).await,
                    Ok(Ok(Err(plain))) => refuse(plain, self.ending).await,
                    // There is nobody to tell.
                    Ok(Err(_)) | Err(_) => {}
                }
            }
        }
    }

    async fn serve(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        caller: Caller,
    ) {
        let router = TowerToHyperService::new(self.router);
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(caller));
            router.call(request)
        });
        converse(stream, service, http1::Builder::new(), self.ending).await;
    }
}

/// Whether it begins as HTTP does, and not as TLS.
async fn speaks_plainly(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    let read = stream.peek(&mut first).await?;
    Ok(read == 1 && first[0].is_ascii_uppercase())
}

/// Tells whoever speaks HTTP where TLS is spoken.
async fn refuse(stream: TcpStream, ending: watch::Receiver<bool>) {
    let service = service_fn(async |_: Request<Incoming>| {
        let problem = Problem::bad("this address speaks TLS: ask it by https://");
        Ok::<_, Infallible>(problem.into_response())
    });
    let mut builder = http1::Builder::new();
    builder.keep_alive(false);
    converse(stream, service, builder, ending).await;
}

/// Answers one connection's requests, the last of them when all ends.
async fn converse<S>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    service: S,
    mut builder: http1::Builder,
    ending: watch::Receiver<bool>,
) where
    S: HttpService<Incoming, ResBody = Body, Error = Infallible>,
{
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    // What goes wrong with a connection is its client's affair.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = ended(ending) => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

/// When all is to end; also when whoever could say so is gone.
async fn ended(mut ending: watch::Receiver<bool>) {
    let _ = ending.wait_for(|ending| *ending).await;
}

/// The connections that there are, the oldest first.
#[derive(Debug, Default)]
struct Places(Vec<(Option<IpAddr>, AbortHandle)>);

impl Places {
    /// Ends a connection if there are as many as there may be.
    fn make_room(&mut self) {
        if self.0.len() < MOST {
            return;
        }
        let mut counts: HashMap<Option<IpAddr>, usize> = HashMap::new();
        for (whence, _) in &self.0 {
            *counts.entry(*whence).or_default() += 1;
        }
        let most = counts.values().max().copied();
        let oldest = self
            .0
            .iter()
            .position(|(whence, _)| counts.get(whence).copied() == most);
        if let Some(oldest) = oldest {
            self.0.remove(oldest).1.abort();
        }
    }

    fn take(&mut self, whence: Option<IpAddr>, task: AbortHandle) {
        self.0.push((whence, task));
    }

    fn leave(&mut self, id: Id) {
        self.0.retain(|(_, task)| task.id() != id);
    }
}

/// Connections at once: people, their pages, scripts and scrapers are few.
const MOST: usize = 128;

/// How long a handshake may take: as long as those of the listeners.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long the head of a request may take, and a connection be silent before it.
const HEAD: Duration = Duration::from_secs(60);

/// From one attempt to accept to the next where the first has failed.
const PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a place for each; says of whom places are left.
    async fn after(coming: impl IntoIterator<Item = [u8; 4]>) -> Vec<IpAddr> {
        let mut places = Places::default();
        let mut tasks = JoinSet::new();
        for ip in coming {
            places.make_room();
            places.take(Some(ip.into()), tasks.spawn(std::future::pending::<()>()));
        }
        places.0.iter().filter_map(|(whence, _)| *whence).collect()
    }

    #[tokio::test]
    async fn who_has_most_places_loses_them() {
        let (honest, other) = ([10, 0, 0, 1], [10, 0, 0, 2]);
        let flood = (0..10 * MOST).map(|_| [10, 9, 9, 9]);
        let left = after([honest, other].into_iter().chain(flood).chain([honest])).await;
        assert_eq!(left.len(), MOST);
        let of = |ip: [u8; 4]| {
            left.iter()
                .filter(|left| **left == IpAddr::from(ip))
                .count()
        };
        assert_eq!((of(honest), of(other)), (2, 1));
    }

    #[tokio::test]
    async fn whoever_has_left_makes_room() {
        let mut places = Places::default();
        let mut tasks = JoinSet::new();
        for _ in 0..MOST {
            places.take(None, tasks.spawn(std::future::pending::<()>()));
        }
        let left = places.0[3].1.id();
        places.leave(left);
        places.make_room();
        assert_eq!(places.0.len(), MOST - 1);
    }
}
