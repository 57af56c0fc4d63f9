//! The configurations that were applied lately, so that one of them can be applied again.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::SystemTime;

use aws_lc_rs::digest;

use crate::admin::order::Past;
use crate::config::Text;
use crate::plan::Plan;

/// The last [`KEPT`] configurations, the one that serves last.
#[derive(Debug)]
pub(super) struct History {
    entries: VecDeque<Arc<Entry>>,
}

/// One configuration that was applied.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) generation: u64,
    pub(super) plan: Arc<Plan>,
    pub(super) texts: Texts,
    at: SystemTime,
    who: String,
    changes: Vec<String>,
}

/// A configuration as it was written.
#[derive(Clone, Debug)]
pub(super) struct Texts {
    pub(super) files: Arc<[Text]>,
    digest: Arc<str>,
}

impl Texts {
    pub(super) fn new(files: Vec<Text>) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        for file in &files {
            // With its length, so that nothing that moves from one file to the next goes unseen.
            let path = file.path.as_os_str().as_encoded_bytes();
            for part in [path, file.text.as_bytes()] {
                context.update(&part.len().to_be_bytes());
                context.update(part);
            }
        }
        let hash = context.finish();
        let mut digest = String::new();
        for byte in &hash.as_ref()[..DIGEST_BYTES] {
            let _ = write!(digest, "{byte:02x}");
        }
        Self {
            files: files.into(),
            digest: digest.into(),
        }
    }
}

impl History {
    /// Begins with what serves.
    pub(super) fn new(generation: u64, plan: Arc<Plan>, texts: Texts) -> Self {
        let mut history = Self {
            entries: VecDeque::new(),
        };
        history.add(generation, plan, texts, ("start".to_owned(), Vec::new()));
        history
    }

    /// Remembers what serves now, on whose behalf and with which changes, in words.
    pub(super) fn add(
        &mut self,
        generation: u64,
        plan: Arc<Plan>,
        texts: Texts,
        (who, changes): (String, Vec<String>),
    ) {
        // The same text is kept once.
        let same = self.entries.iter();
        let same = same.map(|entry| &entry.texts);
        let texts = same
            .rev()
            .find(|other| other.digest == texts.digest)
            .cloned()
            .unwrap_or(texts);
        if self.entries.len() == KEPT {
            self.entries.pop_front();
        }
        self.entries.push_back(Arc::new(Entry {
            generation,
            plan,
            texts,
            at: SystemTime::now(),
            who,
            changes,
        }));
    }

    /// What serves now.
    pub(super) fn current(&self) -> Option<&Arc<Entry>> {
        self.entries.back()
    }

    /// The generation of this number, if it is remembered.
    pub(super) fn find(&self, generation: u64) -> Option<&Arc<Entry>> {
        let mut entries = self.entries.iter();
        entries.find(|entry| entry.generation == generation)
    }

    /// The first and last number that are remembered.
    pub(super) fn range(&self) -> (u64, u64) {
        let number = |entry: Option<&Arc<Entry>>| entry.map_or(0, |entry| entry.generation);
        (number(self.entries.front()), number(self.entries.back()))
    }

    /// As the admin API shows it, the latest first.
    pub(super) fn view(&self) -> Vec<Past> {
        let (_, current) = self.range();
        let entries = self.entries.iter().rev();
        entries
            .map(|entry| Past {
                generation: entry.generation,
                at: rfc3339(entry.at),
                who: entry.who.clone(),
                changes: entry.changes.len(),
                what: entry.changes.iter().take(TOLD).cloned().collect(),
                digest: entry.texts.digest.to_string(),
                current: entry.generation == current,
            })
            .collect()
    }
}

fn rfc3339(at: SystemTime) -> String {
    let timestamp = jiff::Timestamp::try_from(at);
    // A clock that is beyond the year 9999 is not worth a failure.
    timestamp.map_or_else(|_| "-".to_owned(), |at| format!("{at:.0}"))
}

/// Of one configuration's changes those that are told in words: who wants all asks for the difference.
const TOLD: usize = 8;

/// Enough for a bad night; each costs about as much memory as its configuration.
const KEPT: usize = 16;

/// Of a hash's 32: enough to tell texts apart.
const DIGEST_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{self, Options};

    fn texts(parts: &[(&str, &str)]) -> Texts {
        let files = parts.iter().map(|(path, text)| Text {
            path: path.into(),
            text: (*text).to_owned(),
        });
        Texts::new(files.collect())
    }

    #[test]
    fn the_last_ones_are_kept_and_found() {
        let text = "listeners.web.address = \"127.0.0.1:80\"\n[[routes]]\npool = \"p\"\n[pools.p]\nbackends = [{ address = \"127.0.0.1:1\" }]\n";
        let plan = config::load_text(text, Path::new("x.toml"), &Options::new());
        let plan = Arc::new(plan.unwrap().plan);
        let mut history = History::new(5, Arc::clone(&plan), texts(&[("a", "5")]));
        for generation in 6..40 {
            let texts = texts(&[("a", "the same")]);
            history.add(
                generation,
                Arc::clone(&plan),
                texts,
                ("x".to_owned(), vec!["pool shop: another weight".to_owned()]),
            );
        }
        assert_eq!(history.range(), (24, 39));
        assert!(history.find(23).is_none());
        assert_eq!(history.find(24).unwrap().generation, 24);
        assert_eq!(history.current().unwrap().generation, 39);
        let view = history.view();
        assert_eq!(view.len(), KEPT);
        assert!(view[0].current && !view[1].current);
        assert_eq!((view[0].at.len(), view[0].digest.len()), (20, 32));
        // Kept once.
        let [first, last] = [24, 39].map(|it| Arc::clone(&history.find(it).unwrap().texts.files));
        assert!(Arc::ptr_eq(&first, &last));
    }

    #[test]
    fn digests_tell_texts_apart() {
        let one = texts(&[("a", "bc")]);
        assert_eq!(one.digest, texts(&[("a", "bc")]).digest);
        for other in [
            texts(&[("ab", "c")]),
            texts(&[("a", "b"), ("c", "")]),
            texts(&[("a", "bd")]),
            texts(&[]),
        ] {
            assert_ne!(one.digest, other.digest);
        }
    }
}
