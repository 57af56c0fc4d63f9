//! Addresses become sockets.
//!
//! Each worker has a listening socket of its own on the same address (SO_REUSEPORT), so that no queue is
//! shared. But SO_REUSEPORT also lets a second process bind the port without an error and take half of the
//! connections; so an address is first tried once without it.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use socket2::{Domain, Protocol, SockRef, Type};

use crate::plan::listener::ListenAddress;

/// A bound address, with a socket for each worker.
#[derive(Debug)]
pub struct Bound {
    /// The address, with the port that the kernel chose if that was left to it.
    pub address: ListenAddress,
    /// One for each worker; of those that were given, as many as there were (see [`Bound::complete`]).
    pub sockets: Vec<Socket>,
    /// Who removes the file of a Unix socket.
    pub owner: FileOwner,
}

/// Whose the file of a Unix socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileOwner {
    /// Ours: it goes when it is listened on no more.
    Us,
    /// Another process's, such as systemd's, which wants to keep it.
    Another,
    /// That of the process that we replace; ours from [`Bound::complete`] on.
    Predecessor,
}

/// One worker's listening socket.
#[derive(Debug)]
pub enum Socket {
    /// IPv4 or IPv6.
    Tcp(TcpListener),
    /// Unix: the workers share one queue, for such sockets know no SO_REUSEPORT.
    Unix(UnixListener),
}

/// Why an address could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody listens there.
    #[error(
        "{0} is in use by another process: stop it, or choose another address (`ss -ltnp` shows who it is)"
    )]
    InUse(ListenAddress),
    /// The path of a Unix socket is a file of another kind.
    #[error("{0} exists and is not a socket: remove it, or choose another path")]
    NotASocket(ListenAddress),
    /// It is not allowed.
    #[error(
        "no permission to listen on {0}: ports below 1024 need CAP_NET_BIND_SERVICE, a Unix socket a directory that can be written"
    )]
    NotPermitted(ListenAddress),
    /// The address is not this machine's, or the directory of a Unix socket is missing.
    #[error("{0} is no address of this machine, or its directory does not exist")]
    NotThere(ListenAddress),
    /// Anything else.
    #[error("{0} cannot be listened on: {1}")]
    Other(ListenAddress, io::Error),
}

/// Binds `address` for so many workers, and listens.
///
/// # Errors
/// When the address is taken, also by another forecourt, or cannot be had.
pub fn bind(address: &ListenAddress, workers: usize) -> Result<Bound, BindError> {
    match address {
        ListenAddress::Tcp(tcp) => bind_tcp(*tcp, workers),
        ListenAddress::Unix(path) => bind_unix(path, workers),
    }
    .map_err(|error| explain(address, error))
}

impl Bound {
    /// Makes what was given ours: opens the sockets that are missing for so many workers. It cannot fail: where the
    /// address does not let itself be bound once more, workers share.
    pub fn complete(&mut self, workers: usize) {
        if self.owner == FileOwner::Predecessor {
            self.owner = FileOwner::Us;
        }
        while self.sockets.len() < workers {
            let Some(first) = self.sockets.first() else {
                return;
            };
            match first.another() {
                Ok(socket) => self.sockets.push(socket),
                // No descriptor is left: those there are serve the address.
                Err(error) => {
                    tracing::warn!(address = %self.address, %error, "not every worker listens");
                    return;
                }
            }
        }
    }
}

impl Socket {
    /// Another descriptor of the same socket.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn duplicate(&self) -> io::Result<OwnedFd> {
        match self {
            Self::Tcp(socket) => socket.as_fd().try_clone_to_owned(),
            Self::Unix(socket) => socket.as_fd().try_clone_to_owned(),
        }
    }

    /// A socket of its own at the same address, if the first one allows that; else the same once more.
    fn another(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(socket) => {
                let shared = SockRef::from(socket).reuse_port().unwrap_or_default();
                let own = shared.then(|| {
                    let own = tcp_socket(socket.local_addr()?, Sharing::AmongWorkers)?;
                    own.listen(BACKLOG)?;
                    Ok::<_, io::Error>(own)
                });
                match own {
                    Some(Ok(own)) => Ok(Self::Tcp(own.into())),
                    Some(Err(_)) | None => Ok(Self::Tcp(socket.try_clone()?)),
                }
            }
            Self::Unix(socket) => Ok(Self::Unix(socket.try_clone()?)),
        }
    }
}

/// Removes the file of a Unix socket that is no longer listened on.
pub fn remove(address: &ListenAddress, owner: FileOwner) {
    if let (ListenAddress::Unix(path), FileOwner::Us) = (address, owner) {
        // If somebody else was faster, all is well.
        let _ = std::fs::remove_file(path);
    }
}

fn bind_tcp(address: SocketAddr, workers: usize) -> io::Result<Bound> {
    if address.port() != 0 {
        drop(tcp_socket(address, Sharing::Alone)?);
    }
    let first = tcp_socket(address, Sharing::AmongWorkers)?;
    let address = first.local_addr()?.as_socket().unwrap_or(address);
    let mut sockets = vec![first];
    for _ in 1..workers {
        sockets.push(tcp_socket(address, Sharing::AmongWorkers)?);
    }
    for socket in &sockets {
        socket.listen(BACKLOG)?;
    }
    Ok(Bound {
        address: ListenAddress::Tcp(address),
        sockets: sockets
            .into_iter()
            .map(|socket| Socket::Tcp(socket.into()))
            .collect(),
        owner: FileOwner::Us,
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    Alone,
    AmongWorkers,
}

fn tcp_socket(address: SocketAddr, sharing: Sharing) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // Connections of an earlier process that linger in TIME_WAIT do not hold the port.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(sharing == Sharing::AmongWorkers)?;
    if address.is_ipv6() {
        // `[::]:80` beside `0.0.0.0:80` are two listeners, as they are two addresses.
        socket.set_only_v6(true)?;
    }
    admitted(&SockRef::from(&socket));
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Sets what connections inherit from their listening socket, so that a call for each of them is saved. What is written is
/// whole and need not wait for more. And without the bound on what is unsent the system takes megabytes for a client that
/// reads slowly, and says for minutes that nothing moves: whoever reads at a modest rate would look like one that does
/// not. A system that does not know these serves all the same.
pub(super) fn admitted(socket: &SockRef<'_>) {
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_tcp_notsent_lowat(UNSENT);
}

/// Bytes that the system holds unsent before it takes no more, but for the segment under way (up to 64 KiB): far more
/// than leaves the machine while we are woken, and what a slow client takes in the time that it has.
const UNSENT: u32 = 128 * 1024;

/// Binds a Unix socket that only this user can connect to.
///
/// # Errors
/// As of [`bind`].
pub fn bind_private(path: &Path) -> Result<UnixListener, BindError> {
    unix_socket(path, Some(Mode::RUSR | Mode::WUSR))
        .map_err(|error| explain(&ListenAddress::Unix(path.to_owned()), error))
}

fn bind_unix(path: &Path, workers: usize) -> io::Result<Bound> {
    let first = unix_socket(path, None)?;
    let mut sockets = Vec::with_capacity(workers);
    for _ in 1..workers {
        sockets.push(Socket::Unix(first.try_clone()?));
    }
    sockets.push(Socket::Unix(first));
    Ok(Bound {
        address: ListenAddress::Unix(PathBuf::from(path)),
        sockets,
        owner: FileOwner::Us,
    })
}

/// A listening socket at `path`, with these permissions or those that the umask leaves.
fn unix_socket(path: &Path, mode: Option<Mode>) -> io::Result<UnixListener> {
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    if let Some(mode) = mode {
        // Before it has a name: there is no moment at which somebody else could connect.
        rustix::fs::fchmod(&socket, mode)?;
    }
    let address = socket2::SockAddr::unix(path)?;
    match socket.bind(&address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            remove_if_dead(path)?;
            socket.bind(&address)?;
        }
        bound => bound?,
    }
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Removes the socket file of a process that is gone (a kill -9 leaves it); keeps any other.
fn remove_if_dead(path: &Path) -> io::Result<()> {
    if !std::fs::symlink_metadata(path)?.file_type().is_socket() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        Ok(_) | Err(_) => Err(io::ErrorKind::AddrInUse.into()),
    }
}

fn explain(address: &ListenAddress, error: io::Error) -> BindError {
    let address = address.clone();
    match error.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse(address),
        io::ErrorKind::AlreadyExists => BindError::NotASocket(address),
        io::ErrorKind::PermissionDenied => BindError::NotPermitted(address),
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::NotFound => BindError::NotThere(address),
        _ => BindError::Other(address, error),
    }
}

/// Connections that may wait to be accepted, for each worker: as many as the kernel lets, which is what
/// `net.core.somaxconn` says (4096 unless it was raised).
const BACKLOG: i32 = 65_535;

#[cfg(test)]
mod tests {
    use super::*;

    fn any() -> ListenAddress {
        ListenAddress::Tcp(([127, 0, 0, 1], 0).into())
    }

    #[test]
    fn given_sockets_are_completed_at_the_same_address() {
        for allows in [true, false] {
            let mut bound = bind(&any(), 1).unwrap();
            if !allows {
                let socket = TcpListener::bind("127.0.0.1:0").unwrap();
                bound.address = ListenAddress::Tcp(socket.local_addr().unwrap());
                bound.sockets = vec![Socket::Tcp(socket)];
            }
            bound.complete(3);
            assert_eq!(bound.sockets.len(), 3);
            for socket in &bound.sockets {
                let Socket::Tcp(socket) = socket else {
                    panic!("an address of TCP");
                };
                let address = ListenAddress::Tcp(socket.local_addr().unwrap());
                assert_eq!(address, bound.address);
            }
        }
    }

    #[test]
    fn workers_share_a_port_that_nobody_else_gets() {
        let bound = bind(&any(), 3).unwrap();
        assert_eq!(bound.sockets.len(), 3);
        assert!(matches!(bind(&bound.address, 1), Err(BindError::InUse(_))));
        let address = bound.address.clone();
        drop(bound);
        assert!(bind(&address, 2).is_ok());
    }

    #[test]
    fn connections_send_at_once_and_hold_little_unsent() {
        let bound = bind(&any(), 1).unwrap();
        let (Socket::Tcp(listener), ListenAddress::Tcp(address)) =
            (&bound.sockets[0], bound.address)
        else {
            panic!("an address of TCP");
        };
        listener.set_nonblocking(false).unwrap();
        let _client = std::net::TcpStream::connect(address).unwrap();
        let (stream, _) = listener.accept().unwrap();
        assert!(stream.nodelay().unwrap());
        let unsent = SockRef::from(&stream).tcp_notsent_lowat();
        assert_eq!(unsent.unwrap(), UNSENT);
    }

    #[test]
    fn a_dead_unix_socket_is_replaced_and_a_living_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let address = ListenAddress::Unix(folder.path().join("web.sock"));
        let bound = bind(&address, 2).unwrap();
        assert!(matches!(bind(&address, 1), Err(BindError::InUse(_))));
        drop(bound);
        assert!(bind(&address, 1).is_ok());
        let file = folder.path().join("file");
        std::fs::write(&file, "not a socket").unwrap();
        assert!(matches!(
            bind(&ListenAddress::Unix(file), 1),
            Err(BindError::NotASocket(_))
        ));
    }
}
