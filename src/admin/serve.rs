//! The admin API's address and its thread.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use super::{Instance, api};
use crate::listener::bind::bind_private;
use crate::plan::Admin;
use crate::plan::listener::ListenAddress;

/// The running admin API.
#[derive(Debug)]
pub struct Running {
    address: ListenAddress,
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

/// Binds the address and serves on a thread of its own.
///
/// # Errors
/// When the address or the thread cannot be had.
pub fn start(plan: &Admin, instance: Arc<Instance>) -> Result<Running, AdminError> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(AdminError::Thread)?;
    let context = runtime.enter();
    let (door, address) =
        Door::bind(&plan.address).map_err(|error| AdminError::Bind(plan.address.clone(), error))?;
    drop(context);
    let (stop, stopped) = oneshot::channel();
    let thread = thread::Builder::new()
        .name("admin".to_owned())
        .spawn(move || {
            let served = runtime.block_on(door.serve(instance, stopped));
            if let Err(error) = served {
                tracing::error!(%error, "the admin API has ended");
            }
        });
    tracing::info!(listener = "admin", %address, "listening");
    Ok(Running {
        address,
        stop,
        thread: thread.map_err(AdminError::Thread)?,
    })
}

impl Running {
    /// Where it listens, with the port that the kernel chose.
    pub fn address(&self) -> &ListenAddress {
        &self.address
    }

    /// Ends it.
    pub fn stop(self) {
        // It has ended by itself if it does not listen to this.
        let _ = self.stop.send(());
        let _ = self.thread.join();
        if let ListenAddress::Unix(path) = &self.address {
            let _ = std::fs::remove_file(path);
        }
    }
}

enum Door {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Door {
    fn bind(address: &ListenAddress) -> io::Result<(Self, ListenAddress)> {
        match address {
            ListenAddress::Tcp(address) => {
                let socket = std::net::TcpListener::bind(address)?;
                socket.set_nonblocking(true)?;
                let bound = ListenAddress::Tcp(socket.local_addr()?);
                Ok((Self::Tcp(TcpListener::from_std(socket)?), bound))
            }
            ListenAddress::Unix(path) => {
                let socket = bind_private(path).map_err(io::Error::other)?;
                Ok((Self::Unix(UnixListener::from_std(socket)?), address.clone()))
            }
        }
    }

    async fn serve(
        self,
        instance: Arc<Instance>,
        stopped: oneshot::Receiver<()>,
    ) -> io::Result<()> {
        let router = api::router(instance);
        let serving = async {
            match self {
                Self::Tcp(socket) => axum::serve(socket, router).await,
                Self::Unix(socket) => axum::serve(socket, router).await,
            }
        };
        tokio::select! {
            served = serving => served,
            _ = stopped => Ok(()),
        }
    }
}
