//! Certificates: read, parsed, and found to belong to their key, before any client has to find out.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::InconsistentKeys;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::plan::listener::Certificate;

/// Two files, as they stand in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CertificateSource {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// Why a pair of files cannot be used, and which of the two is to blame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CertificateError {
    pub(crate) blame: Blame,
    pub(crate) what: String,
    pub(crate) help: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blame {
    Certificate,
    Key,
}

/// Reads a pair. Problems of both files are given, for they have nothing to do with each other.
pub(crate) fn read(source: &CertificateSource) -> Result<Certificate, Vec<CertificateError>> {
    match (read_chain(&source.certificate), read_key(&source.key)) {
        (Ok(chain), Ok(key)) => pair(source, chain, key).map_err(|error| vec![error]),
        (chain, key) => Err(chain.err().into_iter().chain(key.err()).collect()),
    }
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let fail = |what: String, help| CertificateError {
        blame: Blame::Certificate,
        what,
        help,
    };
    let bytes =
        fs::read(path).map_err(|error| fail(format!("{}: {error}", path.display()), None))?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let chain = chain.map_err(|error| {
        fail(
            format!("{} is not valid PEM: {error}", path.display()),
            None,
        )
    })?;
    if chain.is_empty() {
        let help = "a PEM file with the chain: the listener's own certificate first, then those that signed it";
        return Err(fail(
            format!("{} has no certificate", path.display()),
            Some(help),
        ));
    }
    Ok(chain)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, CertificateError> {
    let fail = |what: String, help| CertificateError {
        blame: Blame::Key,
        what,
        help,
    };
    let bytes =
        fs::read(path).map_err(|error| fail(format!("{}: {error}", path.display()), None))?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
        pem::Error::NoItemsFound => fail(
            format!("{} has no private key", path.display()),
            Some("a PEM file with an unencrypted private key (PKCS #8, SEC1 or PKCS #1)"),
        ),
        other => fail(
            format!("{} is not valid PEM: {other}", path.display()),
            None,
        ),
    })
}

fn pair(
    source: &CertificateSource,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Certificate, CertificateError> {
    CertifiedKey::from_der(chain.clone(), key.clone_key(), &default_provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => CertificateError {
            blame: Blame::Key,
            what: format!("{} is not the key of {}", source.key.display(), source.certificate.display()),
            help: Some("the certificate was made for another key; the first certificate of the file is the one that counts"),
        },
        rustls::Error::InvalidCertificate(reason) => CertificateError {
            blame: Blame::Certificate,
            what: format!("{} has an invalid certificate: {reason:?}", source.certificate.display()),
            help: None,
        },
        other => CertificateError {
            blame: Blame::Key,
            what: format!("{} cannot be used as a private key: {other}", source.key.display()),
            help: None,
        },
    })?;
    Ok(Certificate {
        path: source.certificate.clone(),
        chain,
        key: Arc::new(key),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Files {
        folder: tempfile::TempDir,
    }

    impl Files {
        fn new() -> Self {
            Self {
                folder: tempfile::tempdir().unwrap(),
            }
        }

        fn write(&self, name: &str, text: &str) -> PathBuf {
            let path = self.folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        }
    }

    fn made() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["shop.example".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn a_pair_is_read() {
        let files = Files::new();
        let (certificate, key) = made();
        let source = CertificateSource {
            certificate: files.write("shop.pem", &certificate),
            key: files.write("shop.key", &key),
        };
        assert_eq!(read(&source).unwrap().chain.len(), 1);
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let files = Files::new();
        let source = CertificateSource {
            certificate: files.write("shop.pem", &made().0),
            key: files.write("shop.key", &made().1),
        };
        let errors = read(&source).unwrap_err();
        assert_eq!(errors.len(), 1);
        assert_eq!(errors[0].blame, Blame::Key);
        assert!(
            errors[0].what.contains("is not the key of"),
            "{}",
            errors[0].what
        );
    }

    #[test]
    fn both_files_are_looked_at() {
        let files = Files::new();
        let source = CertificateSource {
            certificate: files.write("shop.pem", "nothing here"),
            key: files.folder.path().join("missing.key"),
        };
        let errors = read(&source).unwrap_err();
        assert_eq!(errors[0].blame, Blame::Certificate);
        assert!(errors[0].what.ends_with("has no certificate"));
        assert_eq!(errors[1].blame, Blame::Key);

        let broken = "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n";
        let source = CertificateSource {
            certificate: files.write("broken.pem", broken),
            key: files.write("shop.key", &made().1),
        };
        assert_eq!(read(&source).unwrap_err()[0].blame, Blame::Certificate);
    }
}
