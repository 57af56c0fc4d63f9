//! Error pages: what a client sees in place of our own words, by status.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

use super::template::{Encoding, Template};

/// Pages by status, the most specific first. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ErrorPages(Option<Arc<[ErrorPage]>>);

/// A page for some statuses.
#[derive(Clone, PartialEq)]
pub struct ErrorPage {
    /// For these.
    pub statuses: RangeInclusive<u16>,
    /// The file that it was read from.
    pub file: PathBuf,
    /// By the file's extension.
    pub content_type: &'static str,
    /// How values are filled in, by the file's extension.
    pub encoding: Encoding,
    /// The page.
    pub template: Arc<Template>,
}

impl ErrorPages {
    /// Puts the most specific first: one status before some, few before many, else as they come.
    #[must_use]
    pub fn new(mut pages: Vec<ErrorPage>) -> Self {
        pages.sort_by_key(|page| page.statuses.end() - page.statuses.start());
        Self((!pages.is_empty()).then(|| pages.into()))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[ErrorPage] {
        self.0.as_deref().unwrap_or_default()
    }

    /// Those for a status, the most specific first.
    pub fn of(&self, status: u16) -> impl Iterator<Item = &ErrorPage> {
        let pages = self.all().iter();
        pages.filter(move |page| page.statuses.contains(&status))
    }
}

impl fmt::Debug for ErrorPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErrorPage")
            .field("statuses", &self.statuses)
            .field("file", &self.file)
            .field("content_type", &self.content_type)
            .field("bytes", &self.template.text().len())
            .finish()
    }
}
