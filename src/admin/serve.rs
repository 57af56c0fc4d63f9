//! The admin API's address and its thread.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::{oneshot, watch};

use super::door::Door;
use super::guard::Way;
use super::{Instance, api, stats};
use crate::listener::bind::{bind_private, remove};
use crate::listener::handoff::{Given, Role};
use crate::listener::{Bound, FileOwner, Socket};
use crate::plan::Admin;
use crate::plan::listener::ListenAddress;

/// The running admin API.
#[derive(Debug)]
pub struct Running {
    address: ListenAddress,
    owner: FileOwner,
    socket: OwnedFd,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

/// Why the admin API did not start.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Its address cannot be had.
    #[error("{0} cannot be listened on: {1}; is another instance running?")]
    Bind(ListenAddress, io::Error),
    /// No thread, or no runtime for it.
    #[error("no thread for the admin API: {0}")]
    Thread(io::Error),
}

/// The admin API's address, bound; nothing is served yet.
#[derive(Debug)]
pub struct Entrance(Bound);

/// Binds the address, or takes the socket that is given.
///
/// # Errors
/// When the address cannot be had.
pub fn bind(plan: &Admin, given: &mut Given) -> Result<Entrance, AdminError> {
    if let Some(bound) = given.take(&Role::Admin, &plan.address) {
        return Ok(Entrance(bound));
    }
    let bound = match &plan.address {
        ListenAddress::Tcp(address) => alone(*address),
        ListenAddress::Unix(path) => bind_private(path)
            .map(|socket| (Socket::Unix(socket), plan.address.clone()))
            .map_err(io::Error::other),
    };
    let (socket, address) = bound.map_err(|error| AdminError::Bind(plan.address.clone(), error))?;
    Ok(Entrance(Bound {
        address,
        sockets: vec![socket],
        owner: FileOwner::Us,
    }))
}

fn alone(address: SocketAddr) -> io::Result<(Socket, ListenAddress)> {
    let socket = std::net::TcpListener::bind(address)?;
    socket.set_nonblocking(true)?;
    let bound = ListenAddress::Tcp(socket.local_addr()?);
    Ok((Socket::Tcp(socket), bound))
}

impl Entrance {
    /// Serves on a thread of its own.
    ///
    /// # Errors
    /// When the thread cannot be had.
    pub fn serve(mut self, instance: Arc<Instance>) -> Result<Running, AdminError> {
        self.0.complete(1);
        let Bound {
            address,
            mut sockets,
            owner,
        } = self.0;
        // The API has one thread: of several sockets none may be left without.
        let socket = sockets.swap_remove(0);
        let kept = socket.duplicate().map_err(AdminError::Thread)?;
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(AdminError::Thread)?;
        let context = runtime.enter();
        let way = Way {
            tls: instance.tls().is_some(),
            reachable: address.is_reachable(),
        };
        let door = Door::new(socket, way).map_err(AdminError::Thread)?;
        drop(context);
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("admin".to_owned())
            .spawn(move || runtime.block_on(serve(door, instance, stopped)));
        tracing::info!(listener = "admin", %address, "listening");
        Ok(Running {
            address,
            owner,
            socket: kept,
            stop,
            thread: thread.map_err(AdminError::Thread)?,
        })
    }
}

impl Running {
    /// Where it listens, with the port that the kernel chose.
    pub fn address(&self) -> &ListenAddress {
        &self.address
    }

    /// Its socket, for another process.
    pub fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Who removes the file of its Unix socket.
    pub fn owner(&self) -> FileOwner {
        self.owner
    }

    /// Leaves the address to another process, which has its socket. Requests under way are answered.
    pub fn leave(mut self) {
        self.owner = FileOwner::Another;
        self.stop();
    }

    /// Ends it: no new connections, and those there are within [`LAST_ANSWERS`].
    pub fn stop(self) {
        // It has ended by itself if it does not listen to this.
        let _ = self.stop.send(());
        let _ = self.thread.join();
        remove(&self.address, self.owner);
    }
}

/// Serves until it is told to stop, and for [`LAST_ANSWERS`] what is under way then.
async fn serve(door: Door, instance: Arc<Instance>, stopped: oneshot::Receiver<()>) {
    let router = api::router(Arc::clone(&instance));
    let (told, ending) = watch::channel(false);
    let serving = door.serve(Arc::clone(&instance), router, ending);
    let stopping = async {
        // Whoever could say so may be gone: that is a word too.
        let _ = stopped.await;
        told.send_replace(true);
        instance.listening.end();
        tokio::time::sleep(LAST_ANSWERS).await;
    };
    tokio::select! {
        () = serving => {}
        () = stopping => {}
        never = stats::sample(&instance) => match never {},
    }
}

/// How long answers under way may take when the API ends.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
