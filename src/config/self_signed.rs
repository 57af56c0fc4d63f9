//! Certificates for development, made here: nobody believes them, and nothing has to be installed for them.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::sign::CertifiedKey;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use time::{Duration, OffsetDateTime};

use super::x509;
use crate::plan::tls::{Certificate, SELF_SIGNED};

/// The certificates that this process has made, by their names: who has accepted one in a browser is asked once.
#[derive(Clone, Debug, Default)]
pub struct SelfSigned {
    made: Arc<Mutex<HashMap<Vec<String>, Certificate>>>,
}

/// Why there is no such certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) what: String,
}

impl SelfSigned {
    /// The certificate of these names, which may be addresses; made when it is first asked for.
    pub(crate) fn of(&self, names: &[String]) -> Result<Certificate, Made> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(certificate) = made.get(names) {
            return Ok(certificate.clone());
        }
        let certificate = make(names).map_err(|what| Made { what })?;
        made.insert(names.to_vec(), certificate.clone());
        Ok(certificate)
    }
}

fn make(names: &[String]) -> Result<Certificate, String> {
    let mut params = CertificateParams::new(names).map_err(|error| error.to_string())?;
    params
        .distinguished_name
        .push(DnType::CommonName, "forecourt, for development");
    let now = OffsetDateTime::now_utc();
    params.not_before = now - Duration::DAY;
    params.not_after = now + VALID;
    let key = KeyPair::generate().map_err(|error| error.to_string())?;
    let made = params
        .self_signed(&key)
        .map_err(|error| error.to_string())?;
    let der = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let certified = CertifiedKey::from_der(vec![made.der().clone()], der, &default_provider());
    let facts = x509::facts(made.der())?;
    Ok(Certificate {
        path: PathBuf::from(SELF_SIGNED),
        key_path: None,
        names: facts.names,
        not_before: facts.not_before,
        not_after: facts.not_after,
        certified: Arc::new(certified.map_err(|error| error.to_string())?),
    })
}

/// What browsers take at most; a process for development does not run that long.
const VALID: Duration = Duration::days(397);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_made_for_each_set_of_names() {
        let made = SelfSigned::default();
        let names = |names: &[&str]| {
            names
                .iter()
                .map(|&name| name.to_owned())
                .collect::<Vec<_>>()
        };
        let first = made
            .of(&names(&["localhost", "*.shop.test", "127.0.0.1"]))
            .unwrap();
        assert_eq!(*first.names, ["localhost".into(), "*.shop.test".into()]);
        let again = made.of(&names(&["localhost", "*.shop.test", "127.0.0.1"]));
        assert_eq!(again.unwrap(), first);
        assert_ne!(made.of(&names(&["localhost"])).unwrap(), first);
        assert!(made.of(&names(&["sch\u{f6}n.test"])).is_err());
    }
}
