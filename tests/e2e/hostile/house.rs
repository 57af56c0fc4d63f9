//! One balancer for a table of cases, and lanes to run them on: each has listeners, a pool and a backend of its own.
//!
//! On a lane one case runs at a time, so that whatever its backend sees is that case's doing. The balancer
//! has one worker, so that the lanes share its buffers and its parser's memory.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;

use super::backend::Backend;
use super::caller::Caller;
use crate::harness::{Balancer, DEADLINE};

/// Cases that run at once.
const LANES: usize = 6;

/// The host that callers ask for, and the name in the certificate.
pub(super) const HOST: &str = "shop.example";

/// A balancer and its lanes.
pub(super) struct House {
    lanes: Vec<Lane>,
    balancer: Balancer,
    _certificate: TempDir,
}

/// A way through the balancer that one case at a time has to itself.
pub(super) struct Lane {
    pub(super) backend: Backend,
    plain: SocketAddr,
    secure: SocketAddr,
    tls: Arc<ClientConfig>,
}

/// How a case is run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) over_tls: bool,
    pub(super) writing: Writing,
}

/// In which pieces bytes are written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Writing {
    Whole,
    Bytes,
    /// In two pieces, the first of this many bytes.
    SplitAt(usize),
}

impl House {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let believed = certificate(folder.path());
        let backends: Vec<_> = (0..LANES).map(|_| Backend::new()).collect();
        let mut configuration =
            "[server]\nworkers = 1\n[log]\naccess = { path = \"off\" }\n".to_owned();
        for (number, backend) in backends.iter().enumerate() {
            configuration += &lane(number, backend.address(), folder.path());
        }
        let balancer = Balancer::start(&configuration);
        let tls = Arc::new(believing(believed));
        let lane = |(number, backend)| Lane {
            backend,
            plain: balancer.address(&format!("plain{number}")),
            secure: balancer.address(&format!("secure{number}")),
            tls: Arc::clone(&tls),
        };
        let lanes = backends.into_iter().enumerate().map(lane).collect();
        Self {
            lanes,
            balancer,
            _certificate: folder,
        }
    }

    /// Runs `run` for each of `0..count`, on as many lanes as there are; gives what failed, in order.
    pub(super) fn run(
        &self,
        count: usize,
        run: impl Fn(&Lane, usize) -> Result<(), String> + Sync,
    ) -> Vec<String> {
        let next = AtomicUsize::new(0);
        let failed = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for lane in &self.lanes {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= count {
                            return;
                        }
                        if let Err(failure) = run(lane, number) {
                            failed.lock().unwrap().push((number, failure));
                        }
                    }
                });
            }
        });
        let mut failed = failed.into_inner().unwrap();
        failed.sort();
        failed.into_iter().map(|(_, failure)| failure).collect()
    }

    /// Panics with all that failed.
    #[track_caller]
    pub(super) fn judge(self, failures: &[String]) {
        let log = self.balancer.stderr();
        assert!(!log.contains("panicked"), "the balancer panicked:\n{log}");
        assert!(
            failures.is_empty(),
            "{} failed:\n\n{}",
            failures.len(),
            failures.join("\n\n")
        );
    }
}

impl Lane {
    /// A new connection of a client.
    pub(super) fn call(&self, over_tls: bool) -> io::Result<Caller> {
        let address = if over_tls { self.secure } else { self.plain };
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        stream.set_nodelay(true)?;
        if !over_tls {
            return Ok(Caller::Plain(stream));
        }
        let name = ServerName::try_from(HOST).unwrap();
        let session =
            ClientConnection::new(Arc::clone(&self.tls), name).map_err(io::Error::other)?;
        Ok(Caller::Tls(Box::new(StreamOwned::new(session, stream))))
    }
}

impl Way {
    /// Every case is run in each of these.
    pub(super) const ALL: [Self; 4] = [
        Self {
            over_tls: false,
            writing: Writing::Whole,
        },
        Self {
            over_tls: false,
            writing: Writing::Bytes,
        },
        Self {
            over_tls: true,
            writing: Writing::Whole,
        },
        Self {
            over_tls: true,
            writing: Writing::Bytes,
        },
    ];
}

impl Writing {
    /// The bytes in these pieces.
    pub(super) fn pieces(self, bytes: &[u8]) -> Vec<&[u8]> {
        match self {
            // Long runs are for limits: a few bytes at a time tell as much there.
            Self::Bytes => bytes.chunks(1 + bytes.len() / 1024).collect(),
            Self::SplitAt(at) => {
                let (first, second) = bytes.split_at(at);
                vec![first, second]
            }
            Self::Whole => vec![bytes],
        }
    }
}

/// A certificate for [`HOST`] in a folder, and what a client needs to believe it.
fn certificate(folder: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed([HOST.to_owned()]).unwrap();
    fs::write(folder.join("shop.pem"), made.cert.pem()).unwrap();
    fs::write(folder.join("shop.key"), made.signing_key.serialize_pem()).unwrap();
    made.cert.der().clone()
}

fn believing(certificate: CertificateDer<'static>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

fn lane(number: usize, backend: SocketAddr, folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "[listeners.plain{number}]\naddress = \"127.0.0.1:0\"\nhttp2 = false\n\
         [listeners.secure{number}]\naddress = \"127.0.0.1:0\"\nhttp2 = false\n\
         [[listeners.secure{number}.tls.certificates]]\ncertificate = \"{folder}/shop.pem\"\nkey = \"{folder}/shop.key\"\n\
         [[routes]]\npath_prefix = \"/\"\nlisteners = [\"plain{number}\", \"secure{number}\"]\npool = \"lane{number}\"\n\
         [pools.lane{number}]\nbackends = [{{ address = \"{backend}\" }}]\n"
    )
}
