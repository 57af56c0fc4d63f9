//! New connections to backends.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;

use tokio::net::{TcpStream, UnixStream};

use crate::backend::Address;
use crate::telemetry::Cause;
use crate::worker::{Stream, Timer};

/// Connects, or says why not; [`Cause::ConnectTimeout`] when the timer fires first. Cancel-safe.
pub(super) async fn connect(address: &Address, timer: &Timer) -> Result<Stream, Cause> {
    let mut connecting = pin!(dial(address));
    poll_fn(|cx| match connecting.as_mut().poll(cx) {
        Poll::Ready(Ok(stream)) => Poll::Ready(Ok(stream)),
        Poll::Ready(Err(error)) => Poll::Ready(Err(cause_of(&error))),
        Poll::Pending => timer.poll_expired(cx).map(|()| Err(Cause::ConnectTimeout)),
    })
    .await
}

async fn dial(address: &Address) -> io::Result<Stream> {
    match address {
        Address::Tcp(address) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(Stream::Tcp(stream))
        }
        Address::Unix(path) => Ok(Stream::Unix(UnixStream::connect(path).await?)),
    }
}

fn cause_of(error: &io::Error) -> Cause {
    if is_descriptor_shortage(error) {
        return Cause::DescriptorsExhausted;
    }
    match error.kind() {
        // A Unix socket that is not there is refused as a port that nobody listens on.
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => Cause::ConnectRefused,
        io::ErrorKind::TimedOut => Cause::ConnectTimeout,
        _ => Cause::ConnectFailed,
    }
}

/// Whether the process or the machine has run out of descriptors (EMFILE, ENFILE).
pub fn is_descriptor_shortage(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE]
        .iter()
        .any(|errno| code == Some(errno.raw_os_error()))
}
