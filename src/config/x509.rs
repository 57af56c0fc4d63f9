//! What a certificate says of itself: its names, its time, and who signed it.

use rustls_pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// What is taken from a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The DNS names among its SANs, in lower case. The CN is none: clients have not looked at it for years.
    pub(crate) names: Vec<Box<str>>,
    /// Seconds since 1970.
    pub(crate) not_before: i64,
    /// Seconds since 1970.
    pub(crate) not_after: i64,
}

/// Reads a certificate.
///
/// # Errors
/// In words, if it is none.
pub(crate) fn facts(der: &CertificateDer<'_>) -> Result<Facts, String> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
    let san = certificate.subject_alternative_name();
    let san = san.map_err(|error| error.to_string())?;
    let all = san
        .iter()
        .flat_map(|extension| &extension.value.general_names);
    let mut names = Vec::new();
    for name in all {
        if let GeneralName::DNSName(name) = name {
            let name: Box<str> = name.to_ascii_lowercase().trim_end_matches('.').into();
            if !name.is_empty() && !names.contains(&name) {
                names.push(name);
            }
        }
    }
    Ok(Facts {
        names,
        not_before: certificate.validity().not_before.timestamp(),
        not_after: certificate.validity().not_after.timestamp(),
    })
}

/// The first place, counted from 1, whose certificate was not signed by the one behind it, going by names.
pub(crate) fn break_in(chain: &[CertificateDer<'_>]) -> Option<usize> {
    let parsed: Vec<_> = chain
        .iter()
        .map_while(|der| X509Certificate::from_der(der).ok())
        .map(|(_, certificate)| certificate)
        .collect();
    let broken = parsed
        .windows(2)
        .position(|pair| pair[0].issuer().as_raw() != pair[1].subject().as_raw());
    broken.map(|at| at + 1)
}
