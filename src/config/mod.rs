//! From file to plan. The only room that knows TOML.
//!
//! *What enters*: the path of a configuration file. *What leaves*: a [`Plan`] that is right, with
//! the warnings found on the way; or a [`Report`] with every problem of all files at once, each with its place, its
//! source line and, where there is one, a remedy.
//!
//! In reading order: [`problem`] (what is said and how it looks), `read` (files, includes, TOML, unknown keys), `raw`
//! (what the operator wrote), `outside` (certificates, secrets and names, read before compilation) with
//! `certificate` and `x509`, `self_signed`, `file` and [`secret`] (names are `discovery`'s), and `compile` (raw settings to plan; pure).
//! Beside the way: `renewal`, certificates alone, read again; [`schema`](mod@schema), what editors know of the raw settings.
//!
//! Deliberately absent: running state (a reload is `load` and then somebody else's work), and half a plan: whatever
//! is wrong, nothing of the configuration is used.

mod certificate;
mod compile;
mod file;
mod outside;
pub mod problem;
mod raw;
mod read;
mod renewal;
mod schema;
pub mod secret;
mod self_signed;
mod x509;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

pub(crate) use certificate::{CertificateError, read_authorities, system_roots};
pub(crate) use outside::question;
pub use problem::{Problem, Report, Severity};
pub use renewal::{Renewal, renewal};
pub use schema::schema;
pub use secret::Secret;
pub use self_signed::SelfSigned;

use crate::discovery::{self, LastGood, Lookup};
use crate::plan::Plan;
use outside::Outside;
use problem::Collector;

/// What loading needs to know of the process. Made once: a reload with other options would change more than its file.
#[derive(Clone, Debug)]
pub struct Options {
    /// What `workers = 0` means.
    pub cores: usize,
    /// Stands in for the secret of a sticky pool that has none; of the process, so that a reload does not change it.
    /// Absent if the system gives no random bytes: then such a pool is an error.
    pub random_secret: Option<Secret>,
    /// Certificates for development, of the process, so that a reload keeps them.
    pub self_signed: SelfSigned,
    /// How names of backends are asked for.
    pub lookup: Lookup,
    /// How long all names together may take.
    pub lookup_deadline: Duration,
    /// What names meant when they were last known; shared with whoever asks for them while serving.
    pub last_good: LastGood,
}

/// A configuration that can be used.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What the operator wants.
    pub plan: Plan,
    /// What is probably not meant.
    pub warnings: Vec<Problem>,
    /// Every file that was read: the configuration's own first, then certificates, keys and secrets.
    pub files: Vec<PathBuf>,
    /// The configuration as it was written: its files, in the order in which they were read.
    pub texts: Vec<Text>,
}

/// One file of a configuration. Secrets are in files of their own, which this is none of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// Its path, as it was named.
    pub path: PathBuf,
    /// All of it.
    pub text: String,
}

impl Options {
    /// The options of this process: its cores, a secret drawn now, names as name servers answer.
    #[must_use]
    pub fn new() -> Self {
        Self {
            cores: thread::available_parallelism().map_or(1, usize::from),
            random_secret: Secret::random(),
            self_signed: SelfSigned::default(),
            lookup: discovery::load::look_up,
            lookup_deadline: LOOKUP_DEADLINE,
            last_good: LastGood::default(),
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

/// Loads the configuration at `path` with everything that it names: included files, certificates, secrets, addresses.
///
/// Blocks for as long as that takes, names for [`Options::lookup_deadline`] at most.
///
/// # Errors
/// Every problem found, if one of them is an error.
pub fn load(path: &Path, options: &Options) -> Result<Loaded, Report> {
    let collector = Collector::default();
    let read = read::read(path, &collector);
    finish(read, collector, options)
}

/// The same for a configuration that is at hand as text; `path` is what problems call it, and what relative paths in it
/// start beside.
///
/// # Errors
/// Every problem found, if one of them is an error.
pub fn load_text(text: &str, path: &Path, options: &Options) -> Result<Loaded, Report> {
    let collector = Collector::default();
    let read = read::read_given(text, path, &collector);
    finish(read, collector, options)
}

fn finish(read: read::Read, collector: Collector, options: &Options) -> Result<Loaded, Report> {
    let dns = compile::dns(&read, &Collector::default());
    let outside = Outside::look(&read.documents, dns, options);
    let plan = compile::compile(&read, &outside, &collector);
    let problems = collector.into_problems();
    if problems
        .iter()
        .any(|problem| problem.severity == Severity::Error)
    {
        return Err(Report { problems });
    }
    let texts = read.documents.iter().map(|document| Text {
        path: document.source.path.clone(),
        text: document.source.text.clone(),
    });
    let texts = texts.collect();
    let mut seen = BTreeSet::new();
    let files = read
        .files
        .into_iter()
        .chain(outside.files())
        .filter(|file| seen.insert(file.clone()))
        .collect();
    Ok(Loaded {
        plan,
        warnings: problems,
        files,
        texts,
    })
}

/// A shop must start while a name server sleeps, or be told soon why it does not.
const LOOKUP_DEADLINE: Duration = Duration::from_secs(5);
