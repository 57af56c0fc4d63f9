//! Secrets: read from a file or the environment, never from the configuration itself.

use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::strategy::StickyKey;

/// Bytes that must not be seen. Shows as `redacted`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<[u8]>);

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum SecretSource {
    /// A variable of the environment, of this name.
    Environment(String),
    /// The contents of this file.
    File(PathBuf),
}

/// Why there is no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SecretError {
    #[error("the environment has no variable `{0}`")]
    NoVariable(String),
    #[error("{}: {}", .path.display(), .reason)]
    Unreadable { path: PathBuf, reason: String },
    #[error("the secret has {0} bytes and needs at least {SECRET_BYTES_LEAST}")]
    TooShort(usize),
    #[error("the secret has more than {SECRET_BYTES_MOST} bytes: this is probably another file")]
    TooLong,
}

impl Secret {
    /// Draws a secret that lasts as long as the process; none if the operating system gives no random bytes.
    #[must_use]
    pub fn random() -> Option<Self> {
        let mut bytes = [0; 32];
        aws_lc_rs::rand::fill(&mut bytes).ok()?;
        Some(Self(Arc::from(bytes.as_slice())))
    }

    /// A secret that is known, for tests.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(Arc::from(bytes))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

/// Reads a secret, without one newline at its end: every editor and `echo` adds one.
pub(crate) fn read(source: &SecretSource) -> Result<Secret, SecretError> {
    let bytes = match source {
        SecretSource::Environment(name) => std::env::var_os(name)
            .ok_or_else(|| SecretError::NoVariable(name.clone()))?
            .into_encoded_bytes(),
        SecretSource::File(path) => read_file(path).map_err(|error| SecretError::Unreadable {
            path: path.clone(),
            reason: error.to_string(),
        })?,
    };
    check(&bytes)
}

/// Reads no more than is needed to see that it is too much: someone will name `/dev/urandom`.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?
        .take(SECRET_BYTES_MOST as u64 + 3)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn check(bytes: &[u8]) -> Result<Secret, SecretError> {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    match bytes.len() {
        length if length < SECRET_BYTES_LEAST => Err(SecretError::TooShort(length)),
        length if length > SECRET_BYTES_MOST => Err(SecretError::TooLong),
        _ => Ok(Secret::from_bytes(bytes)),
    }
}

/// What the seal of the sticky cookie asks for.
pub(crate) const SECRET_BYTES_LEAST: usize = StickyKey::MIN_SECRET_BYTES;
/// More adds nothing, and is a sign of a wrong file.
const SECRET_BYTES_MOST: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_newline_goes_and_the_rest_counts() {
        assert_eq!(
            check(b"0123456789abcdef\r\n").unwrap().bytes(),
            b"0123456789abcdef"
        );
        assert_eq!(
            check(b"0123456789abcdef\n\n").unwrap().bytes(),
            b"0123456789abcdef\n"
        );
        assert_eq!(check(b"0123456789abcde\n"), Err(SecretError::TooShort(15)));
        assert_eq!(check(&[7; 5000]), Err(SecretError::TooLong));
    }

    #[test]
    fn secrets_do_not_show() {
        assert_eq!(
            format!("{:?}", Secret::from_bytes(b"hush")),
            "Secret(redacted)"
        );
        assert_ne!(Secret::random().unwrap(), Secret::random().unwrap());
    }

    #[test]
    fn what_is_not_there_is_named() {
        let missing = SecretSource::Environment("FORECOURT_TEST_NOT_SET".to_owned());
        assert!(
            read(&missing)
                .unwrap_err()
                .to_string()
                .contains("FORECOURT_TEST_NOT_SET")
        );
        let missing = SecretSource::File(PathBuf::from("no/such.key"));
        assert!(
            read(&missing)
                .unwrap_err()
                .to_string()
                .starts_with("no/such.key: ")
        );
    }
}
