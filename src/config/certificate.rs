//! Certificates: read, parsed, and found to belong to their key, before any client has to find out.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::x509;
use crate::plan::tls::Certificate;

/// Two files, as they stand in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CertificateSource {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// A pair that can be used, and what is to be said about it all the same.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) certificate: Certificate,
    pub(crate) doubts: Vec<CertificateError>,
    /// That it has no name, which a certificate of a server needs, and that of a client does not.
    pub(crate) nameless: Option<CertificateError>,
}

/// Why a pair of files cannot be used, or should not, and which of the two is to blame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CertificateError {
    pub(crate) blame: Blame,
    pub(crate) what: String,
    pub(crate) help: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blame {
    Certificate,
    Key,
}

impl CertificateError {
    fn of_certificate(what: String, help: Option<&str>) -> Self {
        Self {
            blame: Blame::Certificate,
            what,
            help: help.map(str::to_owned),
        }
    }

    fn of_key(what: String, help: Option<&str>) -> Self {
        Self {
            blame: Blame::Key,
            what,
            help: help.map(str::to_owned),
        }
    }
}

/// Reads a pair at `now` (seconds since 1970). Problems of both files are given, for they have nothing to do with
/// each other.
pub(crate) fn read(source: &CertificateSource, now: i64) -> Result<Pair, Vec<CertificateError>> {
    let chain = read_chain(
        &source.certificate,
        "a PEM file with the chain: the listener's own certificate first, then those that signed it",
    );
    match (chain, read_key(&source.key)) {
        (Ok(chain), Ok(key)) => pair(source, chain, &key, now).map_err(|error| vec![error]),
        (chain, key) => Err(chain.err().into_iter().chain(key.err()).collect()),
    }
}

/// Reads the authorities that vouch for clients, or for backends.
pub(crate) fn read_authorities(
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let authorities = read_chain(path, "a PEM file with the certificates of the authorities")?;
    let refused = |error: &dyn std::error::Error| {
        let what = format!("{} cannot vouch for others: {error}", path.display());
        CertificateError::of_certificate(what, None)
    };
    let mut roots = RootCertStore::empty();
    for authority in &authorities {
        roots
            .add(authority.clone())
            .map_err(|error| refused(&error))?;
    }
    let provider = Arc::new(default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
    verifier.map_err(|error: VerifierBuilderError| refused(&error))?;
    Ok(authorities)
}

/// Those that the system trusts, or why there are none.
pub(crate) fn system_roots() -> Result<Arc<RootCertStore>, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // A system has a hundred of them; what one of them lacks is not for us to judge.
    roots.add_parsable_certificates(found.certs);
    // In an order of their own: two looks at the same system are to be the same.
    roots.roots.sort_by(|one, other| {
        (&*one.subject, &*one.subject_public_key_info)
            .cmp(&(&*other.subject, &*other.subject_public_key_info))
    });
    if roots.is_empty() {
        let why = found.errors.first().map(ToString::to_string);
        return Err(why.unwrap_or_else(|| "it has none".to_owned()));
    }
    Ok(Arc::new(roots))
}

fn read_chain(path: &Path, wanted: &str) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let fail = CertificateError::of_certificate;
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
        let what = format!("{} has no certificate", path.display());
        return Err(fail(what, Some(wanted)));
    }
    Ok(chain)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, CertificateError> {
    let fail = CertificateError::of_key;
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
    key: &PrivateKeyDer<'static>,
    now: i64,
) -> Result<Pair, CertificateError> {
    let invalid = |reason: &dyn std::fmt::Display| {
        let what = format!(
            "{} has an invalid certificate: {reason}",
            source.certificate.display()
        );
        CertificateError::of_certificate(what, None)
    };
    let certified = certified(&chain, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            mismatch(source, &chain, key)
        }
        rustls::Error::InvalidCertificate(reason) => invalid(&reason),
        other => CertificateError::of_key(
            format!(
                "{} cannot be used as a private key: {other}",
                source.key.display()
            ),
            None,
        ),
    })?;
    let facts = x509::facts(&chain[0]).map_err(|reason| invalid(&reason))?;
    let certificate = Certificate {
        path: source.certificate.clone(),
        key_path: Some(source.key.clone()),
        names: facts.names,
        not_before: facts.not_before,
        not_after: facts.not_after,
        certified: Arc::new(certified),
    };
    Ok(Pair {
        doubts: doubts(&certificate, now),
        nameless: nameless(&certificate),
        certificate,
    })
}

fn certified(
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
) -> Result<CertifiedKey, rustls::Error> {
    CertifiedKey::from_der(chain.to_vec(), key.clone_key(), &default_provider())
}

/// A key that is not that of the first certificate; perhaps it is that of another one.
fn mismatch(
    source: &CertificateSource,
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
) -> CertificateError {
    let own = (1..chain.len()).find(|&at| certified(&chain[at..=at], key).is_ok());
    let (certificate, key) = (source.certificate.display(), source.key.display());
    match own {
        Some(at) => CertificateError::of_certificate(
            format!(
                "{certificate} is in the wrong order: its certificate number {} is that of {key}",
                at + 1
            ),
            Some("put it first, behind it the one that signed it, and so on"),
        ),
        None => CertificateError::of_key(
            format!("{key} is not the key of {certificate}"),
            Some(
                "the certificate was made for another key; the first certificate of the file is the one that counts",
            ),
        ),
    }
}

/// What a shop can start with, and should not go on with.
fn doubts(certificate: &Certificate, now: i64) -> Vec<CertificateError> {
    let path = certificate.path.display();
    let mut doubts = Vec::new();
    if let Some(what) = certificate.time_warning(now) {
        let help = "renew it: new files are taken without a restart";
        doubts.push(CertificateError::of_certificate(what, Some(help)));
    }
    if let Some(place) = x509::break_in(&certificate.certified.cert) {
        let what = format!(
            "the chain in {path} is broken: certificate {place} was not signed by certificate {}",
            place + 1
        );
        let help =
            "each is followed by the one that signed it, up to the root, which may be left out";
        doubts.push(CertificateError::of_certificate(what, Some(help)));
    }
    doubts
}

fn nameless(certificate: &Certificate) -> Option<CertificateError> {
    certificate.names.is_empty().then(|| {
        let path = certificate.path.display();
        let what = format!("{path} is good for no name: it has no DNS name among its SANs");
        let help =
            "clients do not look at the CN any more; ask for a certificate with subjectAltName";
        CertificateError::of_certificate(what, Some(help))
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
        assert_eq!(
            read(&source, 1 << 31)
                .unwrap()
                .certificate
                .certified
                .cert
                .len(),
            1
        );
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let files = Files::new();
        let source = CertificateSource {
            certificate: files.write("shop.pem", &made().0),
            key: files.write("shop.key", &made().1),
        };
        let errors = read(&source, 0).unwrap_err();
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
        let errors = read(&source, 0).unwrap_err();
        assert_eq!(errors[0].blame, Blame::Certificate);
        assert!(errors[0].what.ends_with("has no certificate"));
        assert_eq!(errors[1].blame, Blame::Key);

        let broken = "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n";
        let source = CertificateSource {
            certificate: files.write("broken.pem", broken),
            key: files.write("shop.key", &made().1),
        };
        assert_eq!(read(&source, 0).unwrap_err()[0].blame, Blame::Certificate);
    }
}
