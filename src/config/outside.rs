//! The world outside the configuration: certificates, secrets and names, read before compilation, which is pure.
//!
//! Raw settings are looked through for what they need, leniently: whatever is wrong with them is for compilation to
//! say. What went wrong out there is kept with the answers and reported where it was asked for.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;

use super::Options;
use super::certificate::{self, CertificateError, CertificateSource, Pair};
use super::file::{self, FileError};
use super::problem::Source;
use super::raw::File;
use super::raw::loose::{Field, List, Loose, Named};
use super::raw::pool::{Secret as RawSecret, Tls as RawPoolTls};
use super::read::Document;
use super::secret::{self, Secret, SecretError, SecretSource};
use super::self_signed::Made;
use crate::discovery::{LookupError, book};
use crate::plan::Dns;
use crate::plan::names::{Found, Question};
use crate::plan::tls::Certificate;

/// What compilation may know of the world.
#[derive(Debug)]
pub(crate) struct Outside {
    pub(crate) certificates: HashMap<CertificateSource, Result<Pair, Vec<CertificateError>>>,
    /// Authorities that vouch for clients or backends, by their file.
    pub(crate) authorities:
        HashMap<PathBuf, Result<Vec<CertificateDer<'static>>, CertificateError>>,
    /// Those that the system trusts; absent if nobody asks for them.
    pub(crate) system_roots: Option<Result<Arc<RootCertStore>, String>>,
    /// Certificates made here, by their names.
    pub(crate) self_signed: HashMap<Vec<String>, Result<Certificate, Made>>,
    /// What names of backends have given: the last good answer if there is none now.
    pub(crate) names: HashMap<Question, Lookup>,
    pub(crate) dns: Dns,
    pub(crate) secrets: HashMap<SecretSource, Result<Secret, SecretError>>,
    /// Error pages.
    pub(crate) pages: HashMap<PathBuf, Result<Source, FileError>>,
    /// Bodies of fixed responses.
    pub(crate) bodies: HashMap<PathBuf, Result<Arc<[u8]>, FileError>>,
    /// Stands in for a sticky secret that is not given.
    pub(crate) random_secret: Option<Secret>,
    /// What `workers = 0` means.
    pub(crate) cores: usize,
}

impl Outside {
    /// Reads and asks whatever the documents name.
    pub(crate) fn look(documents: &[Document], dns: Dns, options: &Options) -> Self {
        let mut wanted = Wanted::default();
        let now = unix_seconds();
        for document in documents {
            wanted.add(&document.raw, document.folder());
        }
        Self {
            certificates: wanted
                .certificates
                .into_iter()
                .map(|source| (source.clone(), certificate::read(&source, now)))
                .collect(),
            authorities: wanted
                .authorities
                .into_iter()
                .map(|path| (path.clone(), certificate::read_authorities(&path)))
                .collect(),
            system_roots: wanted.system_roots.then(certificate::system_roots),
            self_signed: wanted
                .self_signed
                .into_iter()
                .map(|names| (names.clone(), options.self_signed.of(&names)))
                .collect(),
            names: look_up(wanted.names, &dns, options),
            dns,
            secrets: wanted
                .secrets
                .into_iter()
                .map(|source| (source.clone(), secret::read(&source)))
                .collect(),
            pages: by_path(wanted.pages, file::page),
            bodies: by_path(wanted.bodies, file::body),
            random_secret: options.random_secret.clone(),
            cores: options.cores,
        }
    }

    /// The files that were asked for, readable or not.
    pub(crate) fn files(&self) -> impl Iterator<Item = PathBuf> {
        let pairs = self
            .certificates
            .keys()
            .flat_map(|source| [source.certificate.clone(), source.key.clone()]);
        let secrets = self.secrets.keys().filter_map(|source| match source {
            SecretSource::Environment(_) => None,
            SecretSource::File(path) => Some(path.clone()),
        });
        let served = self.pages.keys().chain(self.bodies.keys()).cloned();
        let authorities = self.authorities.keys().cloned();
        let files: BTreeSet<PathBuf> = pairs
            .chain(authorities)
            .chain(secrets)
            .chain(served)
            .collect();
        files.into_iter()
    }
}

#[derive(Default)]
struct Wanted {
    certificates: Vec<CertificateSource>,
    authorities: BTreeSet<PathBuf>,
    system_roots: bool,
    self_signed: BTreeSet<Vec<String>>,
    names: BTreeSet<Question>,
    secrets: Vec<SecretSource>,
    pages: BTreeSet<PathBuf>,
    bodies: BTreeSet<PathBuf>,
}

impl Wanted {
    fn add(&mut self, raw: &File, folder: &Path) {
        self.add_served(raw, folder);
        let token = right(&raw.admin).and_then(|admin| right(&admin.token_file));
        self.secrets
            .extend(token.map(|file| SecretSource::File(folder.join(file))));
        if let Some(export) = right(&raw.trace).and_then(|trace| right(&trace.export)) {
            let file = right(&export.headers_file);
            self.secrets
                .extend(file.map(|file| SecretSource::File(folder.join(file))));
            self.system_roots |=
                right(&export.endpoint).is_some_and(|url| url.starts_with("https:"));
        }
        let of_admin = right(&raw.admin).and_then(|admin| right(&admin.tls));
        let of_listeners = tables(&raw.listeners).filter_map(|listener| right(&listener.tls));
        for tls in of_listeners.chain(of_admin) {
            for pair in elements(&tls.certificates) {
                if let (Some(certificate), Some(key)) = (right(&pair.certificate), right(&pair.key))
                {
                    self.certificates.push(CertificateSource {
                        certificate: folder.join(certificate),
                        key: folder.join(key),
                    });
                }
            }
            let names: Vec<String> = elements(&tls.self_signed).cloned().collect();
            if !names.is_empty() {
                self.self_signed.insert(names);
            }
            let ca = right(&tls.client).and_then(|client| right(&client.ca));
            self.authorities.extend(ca.map(|ca| folder.join(ca)));
        }
        for pool in tables(&raw.pools) {
            let addresses = elements(&pool.backends).filter_map(|backend| right(&backend.address));
            self.names
                .extend(addresses.filter_map(|address| question(address)));
            if let Some(tls) = right(&pool.tls) {
                self.add_pool_tls(tls, folder);
            }
            let Some(sticky) = right(&pool.sticky) else {
                continue;
            };
            let secrets = right(&sticky.secret)
                .into_iter()
                .chain(elements(&sticky.previous));
            self.secrets
                .extend(secrets.filter_map(|raw| secret_source(raw, folder)));
        }
    }
}

impl Wanted {
    fn add_pool_tls(&mut self, tls: &RawPoolTls, folder: &Path) {
        if let (Some(certificate), Some(key)) = (right(&tls.certificate), right(&tls.key)) {
            self.certificates.push(CertificateSource {
                certificate: folder.join(certificate),
                key: folder.join(key),
            });
        }
        let ca = right(&tls.ca).map(|ca| folder.join(ca));
        let verify = right(&tls.verify).is_none_or(|verify| *verify);
        self.system_roots |= verify && tls.ca.is_none();
        self.authorities.extend(ca);
    }

    fn add_served(&mut self, raw: &File, folder: &Path) {
        let of_listeners = tables(&raw.listeners).map(|listener| &listener.error_pages);
        let of_routes = elements(&raw.routes).map(|route| &route.error_pages);
        let pages = of_listeners.chain(of_routes).flat_map(tables);
        self.pages.extend(pages.map(|page| folder.join(page)));
        let responses = elements(&raw.routes).filter_map(|route| right(&route.respond));
        let bodies = responses.filter_map(|respond| right(&respond.file));
        self.bodies.extend(bodies.map(|file| folder.join(file)));
    }
}

fn by_path<T>(paths: BTreeSet<PathBuf>, read: impl Fn(&Path) -> T) -> HashMap<PathBuf, T> {
    let read = |path: PathBuf| {
        let found = read(&path);
        (path, found)
    };
    paths.into_iter().map(read).collect()
}

/// What a name has given.
#[derive(Debug)]
pub(crate) struct Lookup {
    /// What holds: the answer of now, or the last good one.
    pub(crate) found: Arc<[Found]>,
    /// Why there is no answer of now.
    pub(crate) error: Option<LookupError>,
}

fn look_up(names: BTreeSet<Question>, dns: &Dns, options: &Options) -> HashMap<Question, Lookup> {
    let answers = (options.lookup)(names.into_iter().collect(), dns, options.lookup_deadline);
    let named = answers.into_iter().map(|(question, answer)| {
        let before = options.last_good.get(&question).unwrap_or_default();
        let named = match answer {
            Ok(answer) if answer.found.is_empty() => Lookup {
                found: before,
                error: Some(LookupError::Nothing),
            },
            Ok(answer) => Lookup {
                found: book::settle(answer.found, &before, dns.max_addresses),
                error: None,
            },
            Err(error) => Lookup {
                found: before,
                error: Some(error),
            },
        };
        (question, named)
    });
    named.collect()
}

/// What is to be asked for a backend's address, if it is a name: `name:port` or `srv:name`. Compilation says what is wrong
/// with all others.
pub(crate) fn question(address: &str) -> Option<Question> {
    let service = address.strip_prefix("srv:");
    // There may well be a host that is called srv.
    let service = service.filter(|rest| !rest.bytes().all(|byte| byte.is_ascii_digit()));
    if let Some(name) = service {
        return is_host(name).then(|| Question::Service(name.to_ascii_lowercase().into()));
    }
    let (name, port) = address.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    (is_host(name) && name != "unix").then(|| Question::Host {
        name: name.to_ascii_lowercase().into(),
        port,
    })
}

/// Whether this can be the name of a host: labels of letters, digits, `-` and `_` (RFC 1035 section 2.3.4).
fn is_host(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(is_letter);
    let labels = name.strip_suffix('.').unwrap_or(name);
    // What consists of digits and dots is an address with a slip, such as 127.0.0.256. Systems resolve some of those,
    // to surprising addresses.
    labels.len() <= 253
        && labels.split('.').all(is_label)
        && labels.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// Now, as certificates count.
pub(crate) fn unix_seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

/// Where a secret is to be read from, if exactly one place is named.
pub(crate) fn secret_source(raw: &RawSecret, folder: &Path) -> Option<SecretSource> {
    match (right(&raw.file), right(&raw.env)) {
        (Some(file), None) => Some(SecretSource::File(folder.join(file))),
        (None, Some(name)) => Some(SecretSource::Environment(name.clone())),
        _ => None,
    }
}

fn right<T>(field: &Field<T>) -> Option<&T> {
    field.as_ref().and_then(|spanned| inner(spanned.get_ref()))
}

fn inner<T>(loose: &Loose<T>) -> Option<&T> {
    match loose {
        Loose::Right(value) => Some(value),
        Loose::Wrong(_) => None,
    }
}

fn tables<T>(field: &Field<Named<T>>) -> impl Iterator<Item = &T> {
    right(field)
        .into_iter()
        .flat_map(|named| &named.0)
        .filter_map(|(_, table)| inner(table.get_ref()))
}

fn elements<T>(field: &Field<List<T>>) -> impl Iterator<Item = &T> {
    right(field)
        .into_iter()
        .flat_map(|list| list.iter())
        .filter_map(|element| inner(element.get_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_addresses() {
        for name in [
            "localhost:80",
            "a-b.c_d.example:443",
            "1shop:80",
            "shop.:80",
            "srv:80",
            "srv:_http._tcp.shop",
        ] {
            let question = question(name).unwrap_or_else(|| panic!("{name}"));
            assert_eq!(question.to_string(), name);
        }
        let big = question("Shop.Example:80").unwrap();
        assert_eq!(big.to_string(), "shop.example:80");
        let long = format!("{}:80", "a".repeat(64));
        for other in [
            "127.0.0.1:80",
            "127.0.0.256:80",
            "[::1]:80",
            "unix:80",
            "shop",
            "shop:",
            "shop:0",
            "shop:99999",
            "http://shop:80",
            ":80",
            "sh op:80",
            "shop..test:80",
            ".shop:80",
            ".:80",
            "srv:",
            "srv:shop..test",
            &long,
        ] {
            assert_eq!(question(other), None, "{other}");
        }
    }
}
