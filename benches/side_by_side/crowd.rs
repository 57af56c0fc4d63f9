//! A crowd of clients that have asked once and then keep their connections.
//!
//! `crowd ADDRESS COUNT [CERTIFICATE]`, with TLS if there is a certificate to trust. It says how many have
//! been answered, and waits until its input ends.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::Outcome;

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// The process.
pub(crate) fn run(arguments: &[String]) -> Outcome<()> {
    let [address, count, certificate @ ..] = arguments else {
        return Err("crowd ADDRESS COUNT [CERTIFICATE]".into());
    };
    let address: SocketAddr = address.parse()?;
    let tls = certificate.first().map(|file| trust(file)).transpose()?;
    let mut crowd = Vec::new();
    let mut failed = 0;
    for _ in 0..count.parse()? {
        match join(address, tls.as_ref()) {
            Ok(client) => crowd.push(client),
            Err(_) => failed += 1,
        }
    }
    println!("{} {failed}", crowd.len());
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

fn trust(file: &str) -> Outcome<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(file)?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// A connection that has got one answer.
fn join(address: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> Outcome<Box<dyn Stream>> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut stream: Box<dyn Stream> = match tls {
        None => Box::new(stream),
        Some(config) => {
            let name = ServerName::try_from("localhost")?;
            let connection = ClientConnection::new(Arc::clone(config), name)?;
            Box::new(StreamOwned::new(connection, stream))
        }
    };
    write!(stream, "GET /1k HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    stream.flush()?;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Err(io::Error::from(ErrorKind::UnexpectedEof).into()),
            read => answer.extend_from_slice(&buffer[..read]),
        }
        let head = memchr::memmem::find(&answer, b"\r\n\r\n");
        if head.is_some_and(|head| answer.len() >= head + 4 + 1024) {
            break;
        }
    }
    if !answer.starts_with(b"HTTP/1.1 200 ") {
        return Err("it was refused".into());
    }
    Ok(stream)
}
