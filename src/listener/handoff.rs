//! Listening sockets that somebody else has opened: systemd before the start, or the process that this one replaces.
//!
//! Between two processes a message is its length, JSON and then file descriptors (SCM_RIGHTS) on a Unix stream. A
//! descriptor that is sent is the same socket in both: its queue is shared, and what is queued is lost only
//! when the last of them closes it.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use listenfd::ListenFd;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use socket2::{Domain, SockRef};

use super::Socket;
use super::bind::{BindError, Bound, FileOwner, admitted, bind};
use crate::plan::listener::ListenAddress;

/// Whose a listening socket is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The admin API's.
    Admin,
    /// The listener's of this name.
    Listener(String),
}

/// What a process tells of a socket that it hands over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// Whose it is.
    pub role: Role,
    /// The address as it is configured, where port 0 leaves the port to the system.
    pub configured: String,
    /// Whether the file of a Unix socket goes when it is listened on no more.
    #[serde(default)]
    pub owns_file: bool,
}

/// Listening sockets that are there already, to be taken by those who want their addresses.
#[derive(Debug, Default)]
pub struct Given {
    sockets: Vec<Open>,
}

#[derive(Debug)]
struct Open {
    /// Nobody's in particular if it is systemd's.
    role: Option<Role>,
    configured: String,
    bound: ListenAddress,
    owner: FileOwner,
    socket: Socket,
}

impl Given {
    /// The sockets of systemd's socket activation (`LISTEN_FDS`). What is no listening stream socket is passed over, with
    /// a warning.
    #[must_use]
    pub fn by_system() -> Self {
        let mut passed = ListenFd::from_env();
        let mut sockets = Vec::new();
        for index in 0..passed.len() {
            let found = match passed.take_tcp_listener(index) {
                Ok(found) => Ok(found.map(OwnedFd::from)),
                Err(_) => passed
                    .take_unix_listener(index)
                    .map(|found| found.map(OwnedFd::from)),
            };
            let open = found.and_then(|found| found.map(|fd| open(fd, None)).transpose());
            match open {
                Ok(open) => sockets.extend(open),
                Err(error) => {
                    tracing::warn!(index, %error, "a socket of LISTEN_FDS cannot be listened on");
                }
            }
        }
        Self { sockets }
    }

    /// The sockets that another process hands over, each with what it tells of it.
    ///
    /// # Errors
    /// When one is no listening stream socket.
    pub fn by_process(given: impl IntoIterator<Item = (Label, OwnedFd)>) -> io::Result<Self> {
        let sockets = given
            .into_iter()
            .map(|(label, fd)| open(fd, Some(label)))
            .collect::<io::Result<_>>()?;
        Ok(Self { sockets })
    }

    /// Takes the sockets of an address; none if nobody has opened it. A port that the system chose is
    /// only for whoever had it before.
    pub fn take(&mut self, role: &Role, address: &ListenAddress) -> Option<Bound> {
        let (mine, others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.sockets)
            .into_iter()
            .partition(|open| open.fits(role, address));
        self.sockets = others;
        let first = mine.first()?;
        Some(Bound {
            address: first.bound.clone(),
            owner: first.owner,
            sockets: mine.into_iter().map(|open| open.socket).collect(),
        })
    }

    /// Takes the sockets of an address, or binds it for so many workers.
    ///
    /// # Errors
    /// When nobody has opened the address and it cannot be had.
    pub fn take_or_bind(
        &mut self,
        role: &Role,
        address: &ListenAddress,
        workers: usize,
    ) -> Result<Bound, BindError> {
        match self.take(role, address) {
            Some(bound) => Ok(bound),
            None => bind(address, workers),
        }
    }

    /// Whose sockets nobody has taken, and their addresses.
    pub fn left(&self) -> impl Iterator<Item = (Option<&Role>, &ListenAddress)> {
        let sockets = self.sockets.iter();
        sockets.map(|open| (open.role.as_ref(), &open.bound))
    }
}

impl Open {
    fn fits(&self, role: &Role, address: &ListenAddress) -> bool {
        let is_told_apart = match address {
            ListenAddress::Tcp(address) => address.port() != 0,
            ListenAddress::Unix(_) => true,
        };
        let is_whose = self.role.as_ref() == Some(role);
        let is_of_a_kind = match &self.role {
            None => true,
            Some(own) => (*own == Role::Admin) == (*role == Role::Admin),
        };
        self.configured == address.to_string() && is_of_a_kind && (is_told_apart || is_whose)
    }
}

fn open(fd: OwnedFd, label: Option<Label>) -> io::Result<Open> {
    let socket = SockRef::from(&fd);
    if !socket.is_listener()? || socket.r#type()? != socket2::Type::STREAM {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is no listening stream socket",
        ));
    }
    socket.set_nonblocking(true)?;
    let local = socket.local_addr()?;
    let bound = match (local.as_socket(), local.as_pathname()) {
        (Some(address), _) => ListenAddress::Tcp(address),
        (None, Some(path)) => ListenAddress::Unix(PathBuf::from(path)),
        (None, None) => return Err(io::ErrorKind::AddrNotAvailable.into()),
    };
    admitted(&socket);
    let is_unix = socket.domain()? == Domain::UNIX;
    let (role, configured, owner) = match label {
        None => (None, bound.to_string(), FileOwner::Another),
        Some(label) => {
            let owner = if label.owns_file {
                FileOwner::Predecessor
            } else {
                FileOwner::Another
            };
            (Some(label.role), label.configured, owner)
        }
    };
    let socket = if is_unix {
        Socket::Unix(UnixListener::from(fd))
    } else {
        Socket::Tcp(fd.into())
    };
    Ok(Open {
        role,
        configured,
        bound,
        owner,
        socket,
    })
}

/// Sends a message with descriptors; how many, the message has to tell.
///
/// # Errors
/// When the other side is gone or does not read in time.
pub fn send(stream: &UnixStream, message: &impl Serialize, fds: &[OwnedFd]) -> io::Result<()> {
    let text = serde_json::to_vec(message)?;
    let length = u32::try_from(text.len()).map_err(io::Error::other)?;
    let mut stream_out = stream;
    stream_out.write_all(&length.to_be_bytes())?;
    stream_out.write_all(&text)?;
    for some in fds.chunks(FDS_AT_ONCE) {
        let borrowed: Vec<BorrowedFd<'_>> = some.iter().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); SPACE];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(&borrowed)) {
            return Err(io::Error::other("descriptors do not fit"));
        }
        let carrier = [IoSlice::new(b"+")];
        sendmsg(stream, &carrier, &mut control, SendFlags::NOSIGNAL)?;
    }
    Ok(())
}

/// Receives a message without its descriptors. One that is not whole is an error, also at the end of the stream.
///
/// # Errors
/// When the other side is gone, does not write in time, or says what nobody understands.
pub fn receive<T: DeserializeOwned>(stream: &UnixStream) -> io::Result<T> {
    let mut stream = stream;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > MOST_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a message that is too long",
        ));
    }
    // Not all at once: the length is only a claim.
    let mut text = Vec::new();
    stream.take(length.into()).read_to_end(&mut text)?;
    if text.len() < length as usize {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_slice(&text)?)
}

/// Receives so many descriptors.
///
/// # Errors
/// When the other side is gone, or sends fewer.
pub fn receive_fds(stream: &UnixStream, count: usize) -> io::Result<Vec<OwnedFd>> {
    let mut fds = Vec::new();
    while fds.len() < count {
        let mut carrier = [0; 1];
        let mut space = [MaybeUninit::uninit(); SPACE];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(
            stream,
            &mut [IoSliceMut::new(&mut carrier)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        )?;
        let before = fds.len();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(some) = message {
                fds.extend(some);
            }
        }
        if received.bytes == 0 || fds.len() == before {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(fds)
}

/// Descriptors in one message of the system, which takes 253 at most.
const FDS_AT_ONCE: usize = 64;
const SPACE: usize = rustix::cmsg_space!(ScmRights(64));

/// More than a hundred thousand backends are.
const MOST_BYTES: u32 = 64 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn any() -> ListenAddress {
        ListenAddress::Tcp(([127, 0, 0, 1], 0).into())
    }

    fn label(name: &str, configured: &ListenAddress) -> Label {
        Label {
            role: Role::Listener(name.to_owned()),
            configured: configured.to_string(),
            owns_file: true,
        }
    }

    fn fds(bound: Bound) -> Vec<OwnedFd> {
        let sockets = bound.sockets.into_iter();
        sockets.map(|socket| socket.duplicate().unwrap()).collect()
    }

    #[test]
    fn sockets_go_over_with_what_is_queued() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let bound = bind(&any(), 70).unwrap();
        let ListenAddress::Tcp(address) = bound.address else {
            panic!("an address of TCP")
        };
        let fds = fds(bound);
        let clients: Vec<_> = (0..8)
            .map(|_| std::net::TcpStream::connect(address).unwrap())
            .collect();
        send(&ours, &fds.len(), &fds).unwrap();
        drop(fds);
        let count: usize = receive(&theirs).unwrap();
        let fds = receive_fds(&theirs, count).unwrap();
        assert_eq!(fds.len(), 70, "more than go into one message");
        let labels = (0..70).map(|_| label("web", &any()));
        let mut given = Given::by_process(labels.zip(fds)).unwrap();
        assert!(given.take(&Role::Admin, &any()).is_none());
        let other = Role::Listener("other".to_owned());
        assert!(
            given.take(&other, &any()).is_none(),
            "a port that is not its own"
        );
        let bound = given
            .take(&Role::Listener("web".to_owned()), &any())
            .unwrap();
        assert_eq!(bound.address, ListenAddress::Tcp(address));
        assert_eq!(given.left().count(), 0);
        let accepted: usize = bound
            .sockets
            .iter()
            .map(|socket| {
                let Socket::Tcp(socket) = socket else {
                    return 0;
                };
                std::iter::from_fn(|| socket.accept().ok()).count()
            })
            .sum();
        assert_eq!(accepted, clients.len());
    }

    #[test]
    fn a_fixed_address_is_whosever_listener_wants_it() {
        let bound = bind(&any(), 1).unwrap();
        let address = bound.address.clone();
        let labels = [label("old name", &address)];
        let mut given = Given::by_process(labels.into_iter().zip(fds(bound))).unwrap();
        assert!(given.take(&Role::Admin, &address).is_none());
        let renamed = Role::Listener("new name".to_owned());
        assert!(given.take(&renamed, &address).is_some());
    }

    #[test]
    fn what_does_not_listen_is_refused() {
        let (one, _other) = UnixStream::pair().unwrap();
        assert!(Given::by_process([(label("web", &any()), one.into())]).is_err());
    }

    #[test]
    fn half_a_message_is_an_error_and_a_long_one_too() {
        for bytes in [
            &b"\0\0\0\x05[1"[..],
            b"\xff\xff\xff\xff[",
            b"\0\0",
            b"\0\0\0\x02[}",
        ] {
            let (ours, theirs) = UnixStream::pair().unwrap();
            (&ours).write_all(bytes).unwrap();
            drop(ours);
            assert!(receive::<Vec<u8>>(&theirs).is_err(), "{bytes:?}");
            assert!(receive_fds(&theirs, 1).is_err());
        }
    }
}
