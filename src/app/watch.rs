//! Certificates that change while they are served: files are looked at, and what has changed is read.
//!
//! A look is a `stat` of each file and follows links, so it sees a file that is written, one that is renamed
//! over another, and a link that is turned to another folder, which is how Kubernetes does it. Files are read
//! when one look has seen a change and the next one none: a pair is written as two files, and between them
//! they do not fit. What does not fit even then is logged and counted, and the old ones go on.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use super::Running;
use crate::config;
use crate::plan::Plan;
use crate::worker::unix_seconds;

/// What is known of the files of certificates.
#[derive(Debug)]
pub(super) struct Watch {
    seen: BTreeMap<PathBuf, Option<Stamp>>,
    /// Whether the look before saw a change.
    changed: bool,
    /// When certificates are asked again whether they expire.
    next_round: Instant,
}

/// What is different when a file is another one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Watch {
    pub(super) fn new() -> Self {
        Self {
            seen: BTreeMap::new(),
            changed: false,
            next_round: Instant::now() + A_DAY,
        }
    }

    /// Looks; true if files are to be read now. The first look finds everything new, so that nothing is missed
    /// that changed after the configuration was read.
    pub(super) fn look(&mut self, plan: &Plan) -> bool {
        let now: BTreeMap<_, _> = files(plan)
            .map(|path| (path.to_owned(), stamp(path)))
            .collect();
        if now != self.seen {
            self.seen = now;
            self.changed = true;
            return false;
        }
        std::mem::take(&mut self.changed)
    }

    /// Has the next look find everything new.
    pub(super) fn forget(&mut self) {
        self.seen.clear();
    }

    /// Once a day: which certificates expire soon.
    pub(super) fn warnings(&mut self, plan: &Plan) -> Vec<String> {
        if Instant::now() < self.next_round {
            return Vec::new();
        }
        self.next_round = Instant::now() + A_DAY;
        let now = i64::try_from(unix_seconds()).unwrap_or(i64::MAX);
        let mut warnings: Vec<_> = plan
            .tls()
            .flat_map(|tls| &tls.certificates)
            .filter_map(|certificate| certificate.time_warning(now))
            .collect();
        warnings.dedup();
        warnings
    }
}

impl Running {
    /// Reads the certificates again and uses what has changed and is good.
    pub(super) fn renew_certificates(&mut self) {
        // Or names would mean again what they did when the configuration was loaded.
        self.see_names();
        let renewal = config::renewal(&self.plan);
        for refused in &renewal.refused {
            tracing::warn!("a certificate cannot be renewed, the old one goes on: {refused}");
            count("refused");
        }
        for doubt in &renewal.doubts {
            tracing::warn!("{doubt}");
        }
        let Some(plan) = renewal.plan else {
            return;
        };
        match self.apply(plan) {
            Ok(applied) => {
                for change in &applied.changes {
                    tracing::info!(generation = applied.generation, "{change}");
                }
                count("ok");
            }
            Err(error) => {
                tracing::error!(%error, "certificates cannot be renewed, the old ones go on");
                count("refused");
            }
        }
    }
}

fn count(result: &'static str) {
    metrics::counter!("forecourt_tls_certificate_renewals_total", "result" => result).increment(1);
}

fn files(plan: &Plan) -> impl Iterator<Item = &Path> {
    plan.tls().filter(|tls| tls.watch).flat_map(|tls| {
        let pairs = tls
            .certificates
            .iter()
            .filter_map(|certificate| Some([&*certificate.path, certificate.key_path.as_deref()?]));
        let authorities = tls.client.iter().map(|client| &*client.path);
        pairs.flatten().chain(authorities)
    })
}

fn stamp(path: &Path) -> Option<Stamp> {
    let found = fs::metadata(path).ok()?;
    Some(Stamp {
        device: found.dev(),
        inode: found.ino(),
        size: found.size(),
        modified: (found.mtime(), found.mtime_nsec()),
    })
}

/// How often files are looked at.
pub(super) const LOOK: Duration = Duration::from_secs(1);

const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::symlink;
    use std::sync::Arc;

    use super::*;

    /// A plan with a certificate in a folder, which expires in so many days.
    fn plan(folder: &Path, watch: bool, days: i64) -> Plan {
        let text = format!(
            "[listeners.a]\naddress = \"127.0.0.1:0\"\ntls = {{ self_signed = [\"localhost\"], watch = {watch} }}\n[[routes]]\npool = \"p\"\n[pools.p]\nbackends = [{{ address = \"127.0.0.1:9\" }}]\n"
        );
        let options = config::Options::new();
        let mut plan = config::load_text(&text, &folder.join("x.toml"), &options)
            .unwrap()
            .plan;
        let tls = Arc::make_mut(&mut plan.listeners[0]).tls.as_mut().unwrap();
        tls.certificates[0].path = folder.join("a.pem");
        tls.certificates[0].key_path = Some(folder.join("a.key"));
        tls.certificates[0].not_after = i64::try_from(unix_seconds()).unwrap() + days * 86_400 + 60;
        plan
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_is_due_once_nothing_moves_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let plan_of = |watch| plan(folder.path(), watch, 100);
        for name in ["a.pem", "a.key"] {
            fs::write(at(name), "1").unwrap();
        }
        let (watched, ignored) = (plan_of(true), plan_of(false));
        let mut watch = Watch::new();
        let mut looks = |plan: &Plan| [watch.look(plan), watch.look(plan), watch.look(plan)];
        assert_eq!(looks(&watched), [false, true, false], "at first all is new");
        fs::write(at("a.pem"), "22").unwrap();
        assert_eq!(looks(&watched), [false, true, false], "written");
        fs::write(at("b.pem"), "22").unwrap();
        fs::rename(at("b.pem"), at("a.pem")).unwrap();
        assert_eq!(looks(&watched), [false, true, false], "renamed over");
        fs::remove_file(at("a.key")).unwrap();
        assert_eq!(looks(&watched), [false, true, false], "gone");
        for name in ["one", "two"] {
            File::create(at(name)).unwrap();
        }
        symlink("one", at("a.key")).unwrap();
        assert_eq!(looks(&watched), [false, true, false], "a link");
        symlink("two", at("link")).unwrap();
        fs::rename(at("link"), at("a.key")).unwrap();
        assert_eq!(looks(&watched), [false, true, false], "another link");
        assert_eq!(looks(&watched), [false; 3]);
        // What is not to be watched is as if it had gone.
        assert_eq!(looks(&ignored), [false, true, false]);
        fs::write(at("a.pem"), "333").unwrap();
        assert_eq!(looks(&ignored), [false; 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_on_every_look_is_waited_out() {
        let folder = tempfile::tempdir().unwrap();
        let plan = plan(folder.path(), true, 100);
        let mut watch = Watch::new();
        for size in 0..5 {
            fs::write(folder.path().join("a.pem"), "x".repeat(size)).unwrap();
            assert!(!watch.look(&plan));
        }
        assert!(watch.look(&plan));
    }

    #[tokio::test(start_paused = true)]
    async fn what_expires_soon_is_said_once_a_day() {
        let folder = tempfile::tempdir().unwrap();
        let [soon, later] = [13, 14].map(|days| plan(folder.path(), true, days));
        let mut watch = Watch::new();
        assert!(watch.warnings(&soon).is_empty(), "said when it was loaded");
        for _ in 0..2 {
            tokio::time::advance(A_DAY).await;
            let said = watch.warnings(&soon);
            assert!(
                said.len() == 1 && said[0].contains("expires in 13 days"),
                "{said:?}"
            );
            assert!(watch.warnings(&soon).is_empty());
        }
        tokio::time::advance(A_DAY).await;
        assert!(watch.warnings(&later).is_empty());
    }
}
