//! TLS towards clients: which certificate, which version, whose clients, and what happens when files change; and towards
//! backends ([`backends`]) and operators ([`admin`]).
//!
//! [`Authority`] signs what the tests need; [`Visitor`] is a client that says which certificate it got.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod admin;
mod backends;
mod choice;
mod clients;
mod http2;
mod idle;
mod misdirected;
mod renewal;
mod sessions;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    PKCS_RSA_SHA256, date_time_ymd,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
    SupportedProtocolVersion,
};

use crate::harness::{Balancer, DEADLINE, Origin, pool, wait_until};
use crate::metrics::Figures;

/// Whoever signs certificates.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key.
struct Made {
    der: CertificateDer<'static>,
    pem: String,
    key: KeyPair,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let own = params.self_signed(&key).unwrap();
        Self {
            pem: own.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    fn issue(&self, names: &[&str]) -> Made {
        self.issue_by(names, KeyPair::generate().unwrap(), |_| {})
    }

    fn issue_rsa(&self, names: &[&str]) -> Made {
        let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
        self.issue_by(names, key, |_| {})
    }

    /// A certificate for a client.
    fn client(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Made {
        self.issue_by(&[], KeyPair::generate().unwrap(), |params| {
            params.distinguished_name.push(DnType::CommonName, name);
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            change(params);
        })
    }

    fn issue_by(
        &self,
        names: &[&str],
        key: KeyPair,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Made {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let made = params.signed_by(&key, &self.issuer).unwrap();
        Made {
            der: made.der().clone(),
            pem: made.pem(),
            key,
        }
    }
}

impl Made {
    /// Writes `NAME.pem` and `NAME.key`, each in one step.
    fn write(&self, folder: &Path, name: &str) {
        for (end, text) in [("pem", self.pem.clone()), ("key", self.key.serialize_pem())] {
            let beside = folder.join(format!("{name}.{end}.new"));
            fs::write(&beside, text).unwrap();
            fs::rename(beside, folder.join(format!("{name}.{end}"))).unwrap();
        }
    }

    fn private(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key.serialize_der()).unwrap()
    }
}

/// The listener `secure` with the certificates of these names in a folder, and more of its settings.
fn configuration(folder: &Path, names: &[&str], more: &str, origin: &Origin) -> String {
    let folder = folder.display();
    let pairs: Vec<_> = names
        .iter()
        .map(|name| {
            format!("{{ certificate = \"{folder}/{name}.pem\", key = \"{folder}/{name}.key\" }}")
        })
        .collect();
    let pairs = if pairs.is_empty() {
        String::new()
    } else {
        format!("certificates = [{}]\n", pairs.join(", "))
    };
    format!(
        "[server]\nworkers = 2\n{}[listeners.secure]\naddress = \"127.0.0.1:0\"\n[listeners.secure.tls]\n{pairs}{more}\n{}",
        Balancer::front("shop"),
        pool("shop", "round-robin", &[origin]),
    )
}

/// How often a handshake ended so.
fn handshakes(balancer: &Balancer, result: &str) -> f64 {
    let labels = [("listener", "secure"), ("result", result)];
    Figures::of(balancer).sum("forecourt_tls_handshakes_total", &labels)
}

#[track_caller]
fn wait_for_handshakes(balancer: &Balancer, result: &str, count: f64) {
    wait_until(DEADLINE, &format!("{count} times {result}"), || {
        handshakes(balancer, result) == count
    });
}

/// A client that believes whatever it is shown, unless told otherwise.
#[derive(Clone)]
pub(crate) struct Visitor {
    pub(crate) config: Arc<ClientConfig>,
}

pub(crate) struct Visit {
    pub(crate) tls: StreamOwned<ClientConnection, TcpStream>,
}

/// An answer: its status and all of its text.
#[derive(Debug)]
struct Told {
    status: u16,
    text: String,
}

impl Visitor {
    pub(crate) fn new() -> Self {
        Self::speaking(&[&TLS13, &TLS12], &ALL_SCHEMES)
    }

    fn speaking(
        versions: &[&'static SupportedProtocolVersion],
        schemes: &[SignatureScheme],
    ) -> Self {
        Self::made_of(aws_lc_rs::default_provider(), versions, schemes, None)
    }

    fn showing(made: &Made) -> Self {
        let shown = (vec![made.der.clone()], made.private());
        let provider = aws_lc_rs::default_provider();
        Self::made_of(provider, &[&TLS13, &TLS12], &ALL_SCHEMES, Some(shown))
    }

    fn made_of(
        provider: CryptoProvider,
        versions: &[&'static SupportedProtocolVersion],
        schemes: &[SignatureScheme],
        shown: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    ) -> Self {
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(versions)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anything(schemes.to_vec())));
        let mut config = match shown {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self {
            config: Arc::new(config),
        }
    }

    /// Asks for a name, or for none, and does the handshake.
    fn try_visit(&self, address: SocketAddr, name: Option<&str>) -> std::io::Result<Visit> {
        let mut config = ClientConfig::clone(&self.config);
        config.enable_sni = name.is_some();
        let server = ServerName::try_from(name.unwrap_or("none.example").to_owned()).unwrap();
        let session = ClientConnection::new(Arc::new(config), server).unwrap();
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_nodelay(true)?;
        let mut tls = StreamOwned::new(session, stream);
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock)?;
        }
        Ok(Visit { tls })
    }

    #[track_caller]
    pub(crate) fn visit(&self, address: SocketAddr, name: &str) -> Visit {
        self.try_visit(address, Some(name)).unwrap()
    }

    /// Whether it is served; a client learns late in TLS 1.3 that its certificate is not good.
    fn is_served(&self, address: SocketAddr, name: &str) -> bool {
        let visit = self.try_visit(address, Some(name));
        visit
            .and_then(|mut visit| visit.try_ask(name, ""))
            .is_ok_and(|told| told.status == 200)
    }
}

impl Visit {
    /// The certificate that was shown.
    fn shown(&self) -> CertificateDer<'static> {
        self.tls.conn.peer_certificates().unwrap()[0].clone()
    }

    #[track_caller]
    fn ask(&mut self, host: &str) -> Told {
        self.try_ask(host, "").unwrap()
    }

    /// Sends a request with more fields and reads the answer.
    fn try_ask(&mut self, host: &str, fields: &str) -> std::io::Result<Told> {
        write!(self.tls, "GET / HTTP/1.1\r\nhost: {host}\r\n{fields}\r\n")?;
        let mut text = Vec::new();
        let mut whole = None;
        while whole.is_none_or(|whole| text.len() < whole) {
            let mut piece = [0; 2048];
            let n = self.tls.read(&mut piece)?;
            if n == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            text.extend_from_slice(&piece[..n]);
            whole = whole.or_else(|| length(&text));
        }
        let text = String::from_utf8(text).unwrap();
        let status = text.split(' ').nth(1).unwrap().parse().unwrap();
        Ok(Told { status, text })
    }
}

/// The length of head and body, once the head is there.
fn length(text: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(text).to_ascii_lowercase();
    let head = text.find("\r\n\r\n")? + 4;
    let body = text.split("content-length: ").nth(1)?;
    let body: usize = body.split("\r\n").next()?.parse().ok()?;
    Some(head + body)
}

/// Believes everything, and verifies signatures by these schemes only.
#[derive(Debug)]
struct Anything(Vec<SignatureScheme>);

impl ServerCertVerifier for Anything {
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
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = aws_lc_rs::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, &known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = aws_lc_rs::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, &known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}

const ECDSA: SignatureScheme = SignatureScheme::ECDSA_NISTP256_SHA256;
const RSA: SignatureScheme = SignatureScheme::RSA_PSS_SHA256;
const ALL_SCHEMES: [SignatureScheme; 2] = [RSA, ECDSA];
