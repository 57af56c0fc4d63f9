//! `[pools.*.tls]`, and what `protocol` means with it and without.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::scope::Given;
use super::tls;
use crate::backend::Address;
use crate::config::outside::Outside;
use crate::config::problem::Finding;
use crate::config::raw::loose::Loose;
use crate::config::raw::pool as raw;
use crate::plan::pool::{PoolTls, Protocol};
use crate::plan::tls::Certificate;

/// What is spoken with the backends, checked against whether TLS is.
pub(super) fn protocol(given: &Given<'_, raw::Pool>) -> Protocol {
    let Given { value, scope, .. } = given;
    let words = Protocol::ALL.map(|protocol| (protocol.as_str(), protocol));
    let protocol = scope.word("protocol", &value.protocol, Protocol::default(), &words);
    let (what, help) = match (protocol, value.tls.is_some()) {
        (Protocol::H2c, true) => (
            "`h2c` is HTTP/2 without TLS, and this pool has TLS",
            "write protocol = \"h2\", or leave `tls` out",
        ),
        (Protocol::H2 | Protocol::Auto, false) => (
            "HTTP/2 is agreed on by TLS, and this pool has none",
            "add an empty table `tls` to the pool, or write protocol = \"h2c\" for HTTP/2 without TLS",
        ),
        _ => return protocol,
    };
    if let Some(written) = scope.get("protocol", &value.protocol) {
        written.report(Finding::error(what).help(help));
    }
    Protocol::default()
}

/// What is spoken, without a word on whether it fits.
pub(super) fn spoken(given: &Given<'_, raw::Pool>) -> Protocol {
    let written = given.value.protocol.as_ref();
    let word = written.and_then(|written| match written.get_ref() {
        Loose::Right(word) => Some(word.as_str()),
        Loose::Wrong(_) => None,
    });
    Protocol::ALL
        .into_iter()
        .find(|protocol| word == Some(protocol.as_str()))
        .unwrap_or_default()
}

/// Compiles the TLS settings of a pool; nothing comes out if something is wrong with them.
pub(super) fn tls(given: &Given<'_, raw::Tls>, outside: &Outside) -> Option<PoolTls> {
    let Given { value, scope, .. } = given;
    let verify = scope.get("verify", &value.verify);
    if let Some(written) = verify.as_ref().filter(|verify| !*verify.value) {
        let finding = Finding::warning(
            "backends are not verified: whoever stands between can read and change everything",
        );
        written
            .report(finding.help(
                "name the authority of their certificates, such as ca = \"internal-ca.pem\"",
            ));
    }
    let verify = verify.map_or(raw::VERIFY, |written| *written.value);
    let client = client(given, outside);
    let ca = scope.get("ca", &value.ca);
    let path = ca.as_ref().map(|ca| scope.folder().join(ca.value));
    let roots = match (&ca, verify) {
        (_, false) => Arc::new(RootCertStore::empty()),
        (Some(ca), true) => authorities(ca, outside)?,
        (None, true) if value.ca.is_some() => return None,
        (None, true) => system_roots(given, outside)?,
    };
    match config(&roots, client.as_ref(), verify) {
        Ok(config) => Some(PoolTls {
            ca: path,
            roots,
            client,
            verify,
            config: Arc::new(config),
        }),
        Err(error) => {
            given.report(Finding::error(error.to_string()));
            None
        }
    }
}

fn client(given: &Given<'_, raw::Tls>, outside: &Outside) -> Option<Certificate> {
    let Given { value, scope, .. } = given;
    let (there, absent) = match (value.certificate.as_ref(), value.key.as_ref()) {
        (Some(_), None) => ("certificate", "key"),
        (None, Some(_)) => ("key", "certificate"),
        _ => {
            let files = (&value.certificate, &value.key);
            return tls::pair(scope, files, tls::Names::NotNeeded, outside);
        }
    };
    let finding = Finding::error(format!("`{there}` without `{absent}`"));
    given.report(finding.help(format!(
        "add {absent} = \"FILE\", a PEM file, or leave both out"
    )));
    None
}

fn authorities(ca: &Given<'_, String>, outside: &Outside) -> Option<Arc<RootCertStore>> {
    let path = ca.scope.folder().join(ca.value);
    match outside.authorities.get(&path)? {
        Ok(certificates) => {
            let mut roots = RootCertStore::empty();
            // Each of them has been looked at when it was read.
            roots.add_parsable_certificates(certificates.iter().cloned());
            Some(Arc::new(roots))
        }
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

fn system_roots<T>(given: &Given<'_, T>, outside: &Outside) -> Option<Arc<RootCertStore>> {
    match outside.system_roots.as_ref()? {
        Ok(roots) => Some(Arc::clone(roots)),
        Err(why) => {
            let finding = Finding::error(format!("this system trusts no authority: {why}"));
            given.report(finding.help(
                "install the package `ca-certificates`, or name the authority, such as ca = \"internal-ca.pem\"",
            ));
            None
        }
    }
}

/// The settings with whoever the system trusts, and nobody else.
pub(super) fn of_system<T>(given: &Given<'_, T>, outside: &Outside) -> Option<PoolTls> {
    let roots = system_roots(given, outside)?;
    match config(&roots, None, true) {
        Ok(config) => Some(PoolTls {
            ca: None,
            roots,
            client: None,
            verify: true,
            config: Arc::new(config),
        }),
        Err(error) => {
            given.report(Finding::error(error.to_string()));
            None
        }
    }
}

fn config(
    roots: &Arc<RootCertStore>,
    client: Option<&Certificate>,
    verify: bool,
) -> Result<ClientConfig, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13, &TLS12])?;
    let builder = if verify {
        builder.with_root_certificates(Arc::clone(roots))
    } else {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
    };
    Ok(match client {
        None => builder.with_no_client_auth(),
        Some(client) => {
            let shown = SingleCertAndKey::from(Arc::clone(&client.certified));
            builder.with_client_cert_resolver(Arc::new(shown))
        }
    })
}

/// What the certificate of a backend has to be good for: what the operator says, or what stands in its address.
#[derive(Clone, Debug)]
pub(super) enum ServerNames {
    Given(ServerName<'static>),
    OfAddresses,
}

/// How the backends of a pool with TLS are called.
pub(super) fn server_names(given: &Given<'_, raw::Tls>) -> ServerNames {
    let Given { value, scope, .. } = given;
    let Some(written) = scope.get("server_name", &value.server_name) else {
        return ServerNames::OfAddresses;
    };
    if let Ok(name) = ServerName::try_from(written.value.clone()) {
        return ServerNames::Given(name);
    }
    let finding = Finding::error(format!("{:?} is not the name of a server", written.value));
    written.report(finding.help("such as \"orders.internal\" or \"10.0.0.1\", without a port"));
    ServerNames::OfAddresses
}

/// What the certificate of the backend at `address` has to be good for.
pub(super) fn server_name(
    names: &ServerNames,
    written: &Given<'_, String>,
    address: &Address,
) -> Option<ServerName<'static>> {
    let address = match address {
        Address::Tcp(address) => address,
        Address::Unix(_) => {
            let finding = Finding::error("TLS is not spoken on a Unix socket");
            written.report(finding.help(
                "put it into a pool without `tls`: the permissions of the file say who can connect",
            ));
            return None;
        }
    };
    if let ServerNames::Given(name) = names {
        return Some(name.clone());
    }
    Some(ServerName::from(address.ip()))
}

/// What the certificates of a host's backends have to be good for.
pub(super) fn name_of_host(host: &str, written: &Given<'_, String>) -> Option<ServerName<'static>> {
    // Certificates know of no dot at the end.
    let host = host.strip_suffix('.').unwrap_or(host);
    let name = ServerName::try_from(host.to_owned()).ok();
    if name.is_none() {
        let finding = Finding::error(format!("no certificate is good for {:?}", written.value));
        written.report(finding.help("say `server_name` in the `tls` of the pool"));
    }
    name
}

/// Takes any certificate, of whoever has its key.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
