//! Which instance a command asks, and by what right.

use std::io;
use std::path::PathBuf;

use crate::admin::client::AdminAddress;

/// Where an instance is, who vouches for it, and what it is shown.
#[derive(Debug, clap::Args)]
pub(super) struct Reach {
    /// Where the instance's admin API is.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9900", value_parser = AdminAddress::parse)]
    admin: AdminAddress,
    #[command(flatten)]
    by: By,
}

/// By what right.
#[derive(Debug, clap::Args)]
pub(super) struct By {
    /// The PEM file of those who vouch for the certificate of https:// [default: whom the system trusts].
    #[arg(long, value_name = "FILE")]
    admin_ca: Option<PathBuf>,
    /// The file with the token of `[admin] token_file`. A Unix socket needs none.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Why there is no token to show.
#[derive(Debug, thiserror::Error)]
#[error("the token cannot be read: {}: {error}", file.display())]
pub(super) struct TokenError {
    file: PathBuf,
    error: io::Error,
}

impl Reach {
    /// Where the instance is.
    pub(super) fn address(&self) -> AdminAddress {
        self.by.to(&self.admin)
    }

    /// What it is shown.
    pub(super) fn token(&self) -> Result<Option<String>, TokenError> {
        self.by.token()
    }
}

impl By {
    /// An address, with those who vouch for it.
    pub(super) fn to(&self, admin: &AdminAddress) -> AdminAddress {
        admin.clone().trusting(self.admin_ca.clone())
    }

    /// What is shown there.
    pub(super) fn token(&self) -> Result<Option<String>, TokenError> {
        let Some(file) = &self.token_file else {
            return Ok(None);
        };
        match std::fs::read_to_string(file) {
            Ok(token) => Ok(Some(token.trim_end().to_owned())),
            Err(error) => Err(TokenError {
                file: file.clone(),
                error,
            }),
        }
    }
}
