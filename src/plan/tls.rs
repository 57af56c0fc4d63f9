//! TLS towards clients: which certificates a listener shows, and which it wants to see.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use rustls::sign::CertifiedKey;
use rustls_pki_types::CertificateDer;

/// What a TLS listener shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Tls {
    /// Certificates; the first is the default. Never empty.
    pub certificates: Vec<Certificate>,
    /// The lowest version that is spoken.
    pub min_version: TlsVersion,
    /// Whether the files are looked at for change.
    pub watch: bool,
    /// Whose certificates clients may or must show, if any.
    pub client: Option<ClientCertificates>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// 1.2.
    #[default]
    V1_2,
    /// 1.3.
    V1_3,
}

/// What is asked of clients.
#[derive(Clone, PartialEq)]
pub struct ClientCertificates {
    /// The file of the authorities.
    pub path: PathBuf,
    /// The authorities that vouch for clients. Never empty.
    pub authorities: Vec<CertificateDer<'static>>,
    /// Whether a client may come without one.
    pub mode: ClientMode,
}

/// Whether a client may come without a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientMode {
    /// It may not.
    #[default]
    Required,
    /// It may; but one that it shows has to be good.
    Optional,
}

/// A certificate chain and its key, read and found to belong together.
#[derive(Clone)]
pub struct Certificate {
    /// The file it came from; [`SELF_SIGNED`] if it was made here.
    pub path: PathBuf,
    /// The file of its key; absent if it was made here.
    pub key_path: Option<PathBuf>,
    /// The names it is good for (the DNS names among its SANs), in lower case; wildcards as `*.shop.example`.
    pub names: Vec<Box<str>>,
    /// When it begins to be valid, in seconds since 1970.
    pub not_before: i64,
    /// When it ends to be valid, in seconds since 1970.
    pub not_after: i64,
    /// The chain, leaf first, and the key, ready to sign.
    pub certified: Arc<CertifiedKey>,
}

impl Tls {
    /// Whether `other` differs in its certificates at most.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        self.min_version == other.min_version && self.client == other.client
    }
}

impl TlsVersion {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::V1_2, Self::V1_3];

    /// The word in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1_2 => "1.2",
            Self::V1_3 => "1.3",
        }
    }
}

impl ClientMode {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Required, Self::Optional];

    /// The word in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Optional => "optional",
        }
    }
}

impl Certificate {
    /// What it is called in figures and messages: its first name, or the file if it has none.
    #[must_use]
    pub fn name(&self) -> String {
        self.names
            .first()
            .map_or_else(|| self.path.display().to_string(), |name| name.to_string())
    }

    /// What is to be said about its time at `now` (seconds since 1970), if anything is.
    #[must_use]
    pub fn time_warning(&self, now: i64) -> Option<String> {
        let when = |second| {
            Timestamp::from_second(second)
                .map_or_else(|_| "an odd time".to_owned(), |time| time.to_string())
        };
        let path = self.path.display();
        if now < self.not_before {
            return Some(format!(
                "{path} is not valid before {}",
                when(self.not_before)
            ));
        }
        let left = self.not_after.saturating_sub(now);
        if left <= 0 {
            return Some(format!("{path} expired at {}", when(self.not_after)));
        }
        (left < SOON * DAY).then(|| {
            let days = left / DAY;
            let unit = if days == 1 { "day" } else { "days" };
            format!(
                "{path} expires in {days} {unit}, at {}",
                when(self.not_after)
            )
        })
    }
}

/// What is called the path of a certificate that was made here.
pub const SELF_SIGNED: &str = "self_signed";

/// Days before its end from which on a certificate is warned of: those that renew themselves do it earlier.
const SOON: i64 = 14;
const DAY: i64 = 24 * 60 * 60;

/// Equal chains have one public key, and so one private key.
impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        let same_files = self.path == other.path && self.key_path == other.key_path;
        same_files && self.certified.cert == other.certified.cert
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("path", &self.path)
            .field("names", &self.names)
            .field("chain", &self.certified.cert.len())
            .field("key", &"redacted")
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ClientCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificates")
            .field("path", &self.path)
            .field("authorities", &self.authorities.len())
            .field("mode", &self.mode)
            .finish()
    }
}
