//! `[listeners.*.tls]`.

use super::scope::{Given, Scope};
use crate::config::certificate::{Blame, CertificateError, CertificateSource};
use crate::config::outside::Outside;
use crate::config::problem::Finding;
use crate::config::raw::listener as raw;
use crate::config::raw::loose::Field;
use crate::plan::listener::ListenAddress;
use crate::plan::tls::{Certificate, ClientCertificates, ClientMode, Tls, TlsVersion};

/// Compiles the TLS settings of a listener.
pub(super) fn tls(
    given: &Given<'_, raw::Tls>,
    address: Option<&ListenAddress>,
    outside: &Outside,
) -> Tls {
    if let Some(ListenAddress::Unix(_)) = address {
        let finding = Finding::error("TLS is not spoken on a Unix socket");
        given.report(finding.help("leave it out: the permissions of the file say who can connect"));
    }
    let Given { value, scope, .. } = given;
    let mut certificates = certificates(given, outside);
    certificates.extend(self_signed(given, outside));
    let watch = scope.get("watch", &value.watch);
    Tls {
        certificates,
        min_version: min_version(given),
        watch: watch.is_none_or(|watch| *watch.value),
        client: scope
            .get("client", &value.client)
            .and_then(|given| client(&given, outside)),
    }
}

/// The certificates that are read. A second one that nobody would ever get is told of.
fn certificates(given: &Given<'_, raw::Tls>, outside: &Outside) -> Vec<Certificate> {
    let list = given.scope.get("certificates", &given.value.certificates);
    let wrong = list.is_none() && given.value.certificates.is_some();
    let pairs = list.map(|list| list.elements()).unwrap_or_default();
    if pairs.is_empty() && !wrong && given.value.self_signed.is_none() {
        let finding = Finding::error("TLS without a certificate");
        given.report(finding.help(
            "add a table certificates with the keys `certificate` and `key`; for development, self_signed = [\"localhost\"]",
        ));
    }
    let mut read: Vec<Certificate> = Vec::new();
    for pair in &pairs {
        let Some(certificate) = certificate_of_listener(pair, outside) else {
            continue;
        };
        if let Some(first) = read.iter().find(|first| hides(first, &certificate)) {
            let (hidden, first) = (certificate.path.display(), first.path.display());
            let finding = Finding::warning(format!(
                "no client gets {hidden}: {first} before it has all its names"
            ));
            pair.report(finding.help(
                "two certificates of one name are of use if one is ECDSA and the other one RSA",
            ));
        }
        read.push(certificate);
    }
    read
}

/// Whether whoever could be shown the second certificate is shown the first.
fn hides(first: &Certificate, second: &Certificate) -> bool {
    let kind = |certificate: &Certificate| certificate.certified.key.algorithm();
    kind(first) == kind(second) && second.names.iter().all(|name| first.names.contains(name))
}

fn certificate_of_listener(
    given: &Given<'_, raw::Certificate>,
    outside: &Outside,
) -> Option<Certificate> {
    let Given { value, scope, .. } = given;
    for (key, absent) in [
        ("certificate", value.certificate.is_none()),
        ("key", value.key.is_none()),
    ] {
        if absent {
            given.report(
                Finding::error(format!("`{key}` is missing"))
                    .help(format!("add {key} = \"FILE\", a PEM file")),
            );
        }
    }
    pair(
        scope,
        (&value.certificate, &value.key),
        Names::Needed,
        outside,
    )
}

/// Whether a certificate is of use without a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    Needed,
    NotNeeded,
}

/// A certificate and its key by the keys `certificate` and `key` of a table; what is wrong with them is told.
pub(super) fn pair<'a>(
    scope: &Scope<'a>,
    (certificate, key): (&'a Field<String>, &'a Field<String>),
    names: Names,
    outside: &Outside,
) -> Option<Certificate> {
    let certificate = scope.get("certificate", certificate);
    let key = scope.get("key", key);
    let (certificate, key) = (certificate?, key?);
    let report = |error: &CertificateError, finding: Finding<'_>| {
        let finding = match &error.help {
            Some(help) => finding.help(help.as_str()),
            None => finding,
        };
        match error.blame {
            Blame::Certificate => certificate.report(finding),
            Blame::Key => key.report(finding),
        }
    };
    let source = CertificateSource {
        certificate: scope.folder().join(certificate.value),
        key: scope.folder().join(key.value),
    };
    match outside.certificates.get(&source)? {
        Ok(pair) => {
            let nameless = pair.nameless.iter().filter(|_| names == Names::Needed);
            for doubt in pair.doubts.iter().chain(nameless) {
                report(doubt, Finding::warning(doubt.what.as_str()));
            }
            Some(pair.certificate.clone())
        }
        Err(errors) => {
            for error in errors {
                report(error, Finding::error(error.what.as_str()));
            }
            None
        }
    }
}

/// The certificate that is made here, if one is asked for.
fn self_signed(given: &Given<'_, raw::Tls>, outside: &Outside) -> Option<Certificate> {
    let written = given.scope.get("self_signed", &given.value.self_signed)?;
    let elements = written.elements();
    if elements.len() < written.value.len() {
        return None;
    }
    if elements.is_empty() {
        let finding = Finding::error("a self-signed certificate without a name");
        written.report(finding.help("name what clients will ask for, such as [\"localhost\"]"));
        return None;
    }
    let names: Vec<String> = elements.iter().map(|name| name.value.clone()).collect();
    match outside.self_signed.get(&names)? {
        Ok(certificate) => {
            let finding = Finding::warning(
                "a self-signed certificate is for development: clients have no reason to believe it",
            );
            written.report(
                finding.help("for a shop, name certificate and key that an authority has signed"),
            );
            Some(certificate.clone())
        }
        Err(error) => {
            let finding = Finding::error(format!(
                "no certificate can be made of these names: {}",
                error.what
            ));
            written.report(finding.help("names are of ASCII letters, such as \"localhost\", \"*.shop.test\" or \"127.0.0.1\""));
            None
        }
    }
}

fn min_version(given: &Given<'_, raw::Tls>) -> TlsVersion {
    let Given { value, scope, .. } = given;
    let words = TlsVersion::ALL.map(|version| (version.as_str(), version));
    if let Some(written) = scope.get("min_version", &value.min_version)
        && matches!(written.value.as_str(), "1.0" | "1.1")
    {
        let finding = Finding::error(format!("TLS {} is not spoken", written.value));
        written
            .report(finding.help("it has been broken for years (RFC 8996); the lowest is \"1.2\""));
        return TlsVersion::default();
    }
    scope.word(
        "min_version",
        &value.min_version,
        TlsVersion::default(),
        &words,
    )
}

fn client(given: &Given<'_, raw::TlsClient>, outside: &Outside) -> Option<ClientCertificates> {
    let Given { value, scope, .. } = given;
    if value.ca.is_none() {
        let finding = Finding::error("`ca` is missing");
        given.report(
            finding
                .help("add ca = \"FILE\", a PEM file with the authorities that vouch for clients"),
        );
    }
    let modes = ClientMode::ALL.map(|mode| (mode.as_str(), mode));
    let mode = scope.word("mode", &value.mode, ClientMode::default(), &modes);
    let ca = scope.get("ca", &value.ca)?;
    let path = scope.folder().join(ca.value);
    match outside.authorities.get(&path)? {
        Ok(authorities) => Some(ClientCertificates {
            path,
            authorities: authorities.clone(),
            mode,
        }),
        Err(error) => {
            let finding = Finding::error(error.what.as_str());
            ca.report(match &error.help {
                Some(help) => finding.help(help.as_str()),
                None => finding,
            });
            None
        }
    }
}
