//! PROXY protocol, versions 1 and 2: a balancer before this one says in front of everything who the client is.
//!
//! Not a byte is taken beyond the header, for what follows is a TLS handshake or a request and belongs to somebody
//! else: bytes are looked at where they lie in the socket, and taken only as far as they belong to it. The
//! lines are understood by the `ppp` crate; when they are whole, and how much they may be, is decided here.
//!
//! In reading order: [`HeaderScan`] (whatever pieces it comes in), [`read`] (from a socket, until a deadline).

use std::future::poll_fn;
use std::net::IpAddr;
use std::task::{Poll, ready};

use ppp::{v1, v2};
use smallvec::SmallVec;

use crate::worker::{Stream, Timer};

/// A header in the making: what has been taken of it.
#[derive(Debug, Default)]
pub struct HeaderScan {
    taken: SmallVec<[u8; 128]>,
}

/// What became of the bytes that were looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// So many of them belong to the header, which goes on.
    More(usize),
    /// So many of them end it. The client's address, if the header names one.
    Whole(usize, Option<IpAddr>),
    /// This is no header, and none of them belongs to one. What was taken before is in [`HeaderScan::taken`].
    Absent,
}

/// Why what begins like a header is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// It is longer than a header may be.
    #[error("the PROXY header is too long")]
    TooLong,
    /// It cannot be understood.
    #[error("the PROXY header is malformed")]
    Malformed,
}

/// How a connection begins.
#[derive(Debug, PartialEq, Eq)]
pub enum Opening {
    /// With a header, and perhaps the address that it names.
    Header(Option<IpAddr>),
    /// With something else, of which these bytes have been taken. They are no beginning of a TLS handshake.
    Other(SmallVec<[u8; 128]>),
}

/// Why a connection is closed before anything else has been read from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpeningError {
    /// What begins like a header is none.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// It did not come in time.
    #[error("nothing whole came in time")]
    TimedOut,
    /// The peer ended the connection within the header.
    #[error("the connection ended within the PROXY header")]
    Cut,
    /// The peer ended the connection without a byte, as probes do.
    #[error("the connection ended before its first byte")]
    Silent,
}

impl HeaderScan {
    /// What has been taken.
    pub fn taken(&self) -> &[u8] {
        &self.taken
    }

    /// How many bytes it makes sense to look at now; never 0.
    pub fn wanted(&self) -> usize {
        match self.version() {
            Some(Version::Two) => self.rest_of_v2().unwrap_or(1),
            Some(Version::One) | None => V1_MOST - self.taken.len(),
        }
    }

    /// Looks at the bytes that come next, at most [`HeaderScan::wanted`] of them and at least one. Those that belong
    /// to the header count as taken.
    ///
    /// # Errors
    /// When what begins like a header is none. The connection is of no use then.
    pub fn look(&mut self, ahead: &[u8]) -> Result<Step, HeaderError> {
        match self.version() {
            Some(Version::One) => self.look_v1(ahead),
            Some(Version::Two) => self.look_v2(ahead),
            None => self.look_signature(ahead),
        }
    }

    /// The version, once the whole signature has been taken.
    fn version(&self) -> Option<Version> {
        if self.taken.starts_with(V1_SIGNATURE) {
            Some(Version::One)
        } else if self.taken.starts_with(v2::PROTOCOL_PREFIX) {
            Some(Version::Two)
        } else {
            None
        }
    }

    /// Takes what belongs to a signature. Version 1 may end in the same look, version 2 wants another one.
    fn look_signature(&mut self, ahead: &[u8]) -> Result<Step, HeaderError> {
        let before = self.taken.len();
        for signature in [V1_SIGNATURE, v2::PROTOCOL_PREFIX] {
            let Some(rest) = signature.strip_prefix(&self.taken[..]) else {
                continue;
            };
            let n = rest.len().min(ahead.len());
            if rest[..n] != ahead[..n] {
                continue;
            }
            self.taken.extend_from_slice(&ahead[..n]);
            if signature == V1_SIGNATURE && n < ahead.len() {
                return Ok(match self.look_v1(&ahead[n..])? {
                    Step::Whole(used, address) => Step::Whole(n + used, address),
                    Step::More(_) | Step::Absent => Step::More(self.taken.len() - before),
                });
            }
            return Ok(Step::More(n));
        }
        Ok(Step::Absent)
    }

    fn look_v1(&mut self, ahead: &[u8]) -> Result<Step, HeaderError> {
        let room = V1_MOST - self.taken.len();
        let end = memchr::memchr(b'\n', ahead).map(|at| at + 1);
        let used = end.unwrap_or(ahead.len());
        if used > room || (end.is_none() && used == room) {
            return Err(HeaderError::TooLong);
        }
        self.taken.extend_from_slice(&ahead[..used]);
        match end {
            Some(_) => Ok(Step::Whole(used, client_of_v1(&self.taken)?)),
            None => Ok(Step::More(used)),
        }
    }

    fn look_v2(&mut self, ahead: &[u8]) -> Result<Step, HeaderError> {
        let rest = self.rest_of_v2()?;
        let used = rest.min(ahead.len());
        self.taken.extend_from_slice(&ahead[..used]);
        // What announces too much is refused before any of that is read.
        if used < rest || self.rest_of_v2()? > 0 {
            return Ok(Step::More(used));
        }
        Ok(Step::Whole(used, client_of_v2(&self.taken)?))
    }

    /// How many bytes are missing: of the fixed part, or of the whole once that is there.
    fn rest_of_v2(&self) -> Result<usize, HeaderError> {
        let Some(fixed) = self.taken.get(..V2_FIXED) else {
            return Ok(V2_FIXED - self.taken.len());
        };
        let announced = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
        if announced > V2_MOST {
            return Err(HeaderError::TooLong);
        }
        Ok(V2_FIXED + announced - self.taken.len())
    }
}

enum Version {
    One,
    Two,
}

/// The source that a whole line of version 1 names; none for `UNKNOWN`.
fn client_of_v1(line: &[u8]) -> Result<Option<IpAddr>, HeaderError> {
    let Some(content) = line.strip_suffix(b"\r\n") else {
        return Err(HeaderError::Malformed);
    };
    // What stands behind it is to be ignored.
    if content == b"PROXY UNKNOWN" || content.starts_with(b"PROXY UNKNOWN ") {
        return Ok(None);
    }
    // Rust reads "+80" as a number; the protocol does not.
    if content.contains(&b'+') {
        return Err(HeaderError::Malformed);
    }
    match v1::Header::try_from(line).map(|header| header.addresses) {
        Ok(v1::Addresses::Tcp4(both)) => Ok(Some(both.source_address.into())),
        Ok(v1::Addresses::Tcp6(both)) => Ok(Some(both.source_address.into())),
        Ok(v1::Addresses::Unknown) => Ok(None),
        Err(_) => Err(HeaderError::Malformed),
    }
}

/// The source that a whole header of version 2 names; none for `LOCAL`, and for sources that are no IP addresses.
fn client_of_v2(bytes: &[u8]) -> Result<Option<IpAddr>, HeaderError> {
    let header = v2::Header::try_from(bytes).map_err(|_| HeaderError::Malformed)?;
    Ok(match (header.command, header.addresses) {
        (v2::Command::Local, _) => None,
        (v2::Command::Proxy, v2::Addresses::IPv4(both)) => Some(both.source_address.into()),
        (v2::Command::Proxy, v2::Addresses::IPv6(both)) => Some(both.source_address.into()),
        (v2::Command::Proxy, v2::Addresses::Unspecified | v2::Addresses::Unix(_)) => None,
    })
}

/// Reads the header at the front of a connection, if there is one, until the timer fires. `waiting` is
/// told whenever nothing more is there, with whether anything has been before.
///
/// # Errors
/// When the connection is to be closed.
pub async fn read(
    stream: &mut Stream,
    timer: &Timer,
    mut waiting: impl FnMut(bool),
) -> Result<Opening, OpeningError> {
    let mut scan = HeaderScan::default();
    let mut room = [0; LOOKED_AT];
    poll_fn(|cx| {
        loop {
            let wanted = scan.wanted().min(LOOKED_AT);
            let Poll::Ready(seen) = stream.poll_look(cx, &mut room[..wanted]) else {
                waiting(!scan.taken.is_empty());
                ready!(timer.poll_expired(cx));
                return Poll::Ready(Err(OpeningError::TimedOut));
            };
            let seen = match seen {
                Ok(0) | Err(_) if scan.taken.is_empty() => {
                    return Poll::Ready(Err(OpeningError::Silent));
                }
                Ok(0) | Err(_) => return Poll::Ready(Err(OpeningError::Cut)),
                Ok(seen) => seen,
            };
            let step = scan.look(&room[..seen])?;
            if let Step::More(used) | Step::Whole(used, _) = step
                && stream.take_looked_at(&mut room[..used]).is_err()
            {
                return Poll::Ready(Err(OpeningError::Cut));
            }
            match step {
                Step::More(_) => {}
                Step::Whole(_, address) => {
                    let address = address.map(|address| address.to_canonical());
                    return Poll::Ready(Ok(Opening::Header(address)));
                }
                Step::Absent => {
                    return Poll::Ready(Ok(Opening::Other(std::mem::take(&mut scan.taken))));
                }
            }
        }
    })
    .await
}

const V1_SIGNATURE: &[u8] = b"PROXY ";

/// The longest line of version 1, its end included.
const V1_MOST: usize = 107;

/// The part of version 2 that says how long the rest is, in its last two bytes.
const V2_FIXED: usize = 16;

/// What may follow the fixed part of version 2: addresses, and what a balancer has to say of its client's TLS.
const V2_MOST: usize = 4096 - V2_FIXED;

/// Bytes looked at in one call.
const LOOKED_AT: usize = 256;

#[cfg(test)]
mod tests;
