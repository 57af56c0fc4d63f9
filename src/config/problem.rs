//! Problems: what is wrong with a configuration, where, and what to write instead.
//!
//! A [`Problem`] carries its own source line, so that it can be shown, sent or kept long after the
//! files have changed. Compilation gathers problems in a [`Collector`], which everybody shares:
//! nothing stops at the first one. The [`Report`] is what is left when at least one of them is an error.

use std::cell::{OnceCell, RefCell};
use std::fmt;
use std::iter;
use std::ops::Range;
use std::path::{Path, PathBuf};

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde::Serialize;
use utoipa::ToSchema;

/// Why a configuration was refused: every problem of all its files, in the order of the files.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Errors, at least one, and the warnings found on the way.
    pub problems: Vec<Problem>,
}

/// Something wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ConfigurationProblem)]
pub struct Problem {
    /// Whether it keeps the configuration from being used.
    pub severity: Severity,
    /// The file that it is in, as it was named.
    #[schema(value_type = String)]
    pub file: PathBuf,
    /// Where in the file; absent when the file as a whole is meant.
    pub at: Option<Spot>,
    /// The setting, such as `pools.shop.backends[2].weight`; empty outside any setting.
    pub path: String,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub help: Option<String>,
    /// A second place that belongs to it, such as the first of two equal names.
    pub also: Option<Also>,
}

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// It works, but probably not as meant.
    Warning,
}

/// A place in a file, with the line as it stood there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Spot {
    /// Counted from 1.
    pub line: usize,
    /// Counted in characters from 1.
    pub column: usize,
    /// Characters that are meant, within the line.
    pub length: usize,
    /// The whole line, without its end.
    pub source: String,
}

/// A second place of a problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Also {
    /// The file that it is in.
    #[schema(value_type = String)]
    pub file: PathBuf,
    /// Where in the file.
    pub at: Spot,
    /// What is there.
    pub label: String,
}

/// Problems as people read them, one after the other; with ANSI colours if `color`.
#[must_use]
pub fn render(problems: &[Problem], color: bool) -> String {
    let rendered: Vec<_> = problems
        .iter()
        .map(|problem| problem.render(color))
        .collect();
    rendered.join("\n\n")
}

/// Problems as scripts read them: a JSON array, empty if there are none.
#[must_use]
pub fn json(problems: &[Problem]) -> String {
    // Only a path that is not UTF-8 can fail here.
    serde_json::to_string_pretty(problems).unwrap_or_else(|error| {
        serde_json::json!([{ "severity": "error", "what": error.to_string() }]).to_string()
    })
}

/// One file of the configuration, or a page that it names.
#[derive(Debug)]
pub(crate) struct Source {
    /// Position among the files; problems are shown in this order.
    pub(crate) index: usize,
    /// As it was named.
    pub(crate) path: PathBuf,
    /// All of it.
    pub(crate) text: String,
    /// Where each line starts; worked out for the first problem, so that ten thousand of them do not
    /// read the file ten thousand times.
    line_starts: OnceCell<Vec<usize>>,
}

/// A place to which a problem can point.
#[derive(Clone, Debug)]
pub(crate) struct Mark<'a> {
    pub(crate) source: &'a Source,
    pub(crate) span: Range<usize>,
}

/// A problem that has no place yet.
#[derive(Debug)]
pub(crate) struct Finding<'a> {
    severity: Severity,
    what: String,
    help: Option<String>,
    also: Option<(Mark<'a>, &'static str)>,
}

/// Where problems are gathered.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    found: RefCell<Vec<Placed>>,
}

/// A problem with what it is sorted by: file and offset.
#[derive(Debug)]
struct Placed {
    order: (usize, usize),
    problem: Problem,
}

impl Report {
    /// The report as people read it; with ANSI colours if `color`.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        render(&self.problems, color)
    }

    /// The report as scripts read it: a JSON array of problems.
    #[must_use]
    pub fn json(&self) -> String {
        json(&self.problems)
    }

    /// How many of the problems are errors.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.problems
            .iter()
            .filter(|problem| problem.severity == Severity::Error)
            .count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Report {}

impl Problem {
    /// The problem as people read it: place, source line, caret and help.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let renderer = if color {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        renderer.render(&[self.group()])
    }

    fn group(&self) -> Group<'_> {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let file = self.file.to_string_lossy();
        let title = level.primary_title(self.what.as_str());
        let mut group = match &self.at {
            Some(spot) => title.element(
                spot.snippet()
                    .path(file)
                    .annotation(AnnotationKind::Primary.span(spot.bytes())),
            ),
            None => title.element(Origin::path(file)),
        };
        if let Some(also) = &self.also {
            let annotation = AnnotationKind::Context
                .span(also.at.bytes())
                .label(also.label.as_str());
            let snippet = also.at.snippet().path(also.file.to_string_lossy());
            group = group.element(snippet.annotation(annotation));
        }
        match &self.help {
            Some(help) => group.element(Level::HELP.message(help.as_str())),
            None => group,
        }
    }
}

/// One line, as log and admin API want it.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(spot) = &self.at {
            write!(f, ":{}:{}", spot.line, spot.column)?;
        }
        write!(f, ": {}", self.what)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

impl Spot {
    fn snippet(&self) -> Snippet<'_, annotate_snippets::Annotation<'_>> {
        Snippet::source(self.source.as_str()).line_start(self.line)
    }

    /// The meant characters as bytes of the line.
    fn bytes(&self) -> Range<usize> {
        let offset = |characters: usize| {
            self.source
                .char_indices()
                .nth(characters)
                .map_or(self.source.len(), |(at, _)| at)
        };
        let first = self.column.saturating_sub(1);
        offset(first)..offset(first + self.length)
    }
}

impl Source {
    pub(crate) fn new(index: usize, path: PathBuf, text: String) -> Self {
        Self {
            index,
            path,
            text,
            line_starts: OnceCell::new(),
        }
    }

    /// The place of `span`, cut to the line that it begins in: a table's span may cover a page.
    fn spot(&self, span: &Range<usize>) -> Spot {
        let start = floor_boundary(&self.text, span.start);
        let end = floor_boundary(&self.text, span.end).max(start);
        let line_starts = self.line_starts.get_or_init(|| {
            let ends = self.text.match_indices('\n');
            iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect()
        });
        // The first line starts at 0, so at least one is counted.
        let line = line_starts.partition_point(|&line_start| line_start <= start);
        let line_start = line_starts[line - 1];
        let rest = &self.text[line_start..];
        let source = rest
            .split('\n')
            .next()
            .unwrap_or(rest)
            .trim_end_matches('\r');
        let marked_end = end.min(line_start + source.len()).max(start);
        Spot {
            line,
            column: self.text[line_start..start].chars().count() + 1,
            length: self.text[start..marked_end].chars().count().max(1),
            source: source.to_owned(),
        }
    }
}

impl<'a> Mark<'a> {
    pub(crate) const fn new(source: &'a Source, span: Range<usize>) -> Self {
        Self { source, span }
    }
}

impl<'a> Finding<'a> {
    pub(crate) fn error(what: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            what: what.into(),
            help: None,
            also: None,
        }
    }

    pub(crate) fn warning(what: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(what)
        }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds "did you mean", if there is something to mean.
    pub(crate) fn suggest<'c>(
        self,
        word: &str,
        candidates: impl IntoIterator<Item = &'c str>,
    ) -> Self {
        match closest(word, candidates) {
            Some(candidate) => self.help(format!("did you mean `{candidate}`?")),
            None => self,
        }
    }

    pub(crate) fn also(mut self, mark: &Mark<'a>, label: &'static str) -> Self {
        self.also = Some((mark.clone(), label));
        self
    }
}

impl Collector {
    /// Takes a finding about the place `mark`, which is the value of the setting `path`.
    pub(crate) fn report(&self, mark: &Mark<'_>, path: &str, finding: Finding<'_>) {
        let problem = Problem {
            severity: finding.severity,
            file: mark.source.path.clone(),
            at: Some(mark.source.spot(&mark.span)),
            path: path.to_owned(),
            what: finding.what,
            help: finding.help,
            also: finding.also.map(|(mark, label)| Also {
                file: mark.source.path.clone(),
                at: mark.source.spot(&mark.span),
                label: label.to_owned(),
            }),
        };
        self.push((mark.source.index, mark.span.start), problem);
    }

    /// Takes a finding about a file as a whole, which is the `index`th.
    pub(crate) fn report_file(&self, index: usize, file: &Path, finding: Finding<'_>) {
        let problem = Problem {
            severity: finding.severity,
            file: file.to_owned(),
            at: None,
            path: String::new(),
            what: finding.what,
            help: finding.help,
            also: None,
        };
        self.push((index, 0), problem);
    }

    /// All problems, in the order of files and lines.
    pub(crate) fn into_problems(self) -> Vec<Problem> {
        let mut found = self.found.into_inner();
        found.sort_by_key(|placed| placed.order);
        found.into_iter().map(|placed| placed.problem).collect()
    }

    fn push(&self, order: (usize, usize), problem: Problem) {
        self.found.borrow_mut().push(Placed { order, problem });
    }
}

/// The candidate that `word` was probably meant to be.
fn closest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    // One slip in three letters: enough for `strategi`, too little to turn `web` into `api`.
    let slips = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= slips)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn floor_boundary(text: &str, mut at: usize) -> usize {
    at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::new(0, PathBuf::from("shop.toml"), text.to_owned())
    }

    #[test]
    fn columns_count_characters() {
        let spot = source("a = 1\nb = \"ü\" # x\n").spot(&(10..14));
        assert_eq!((spot.line, spot.column, spot.length), (2, 5, 3));
        assert_eq!(spot.source, "b = \"ü\" # x");
        assert_eq!(spot.bytes(), 4..8);
    }

    #[test]
    fn a_span_of_many_lines_is_cut_to_its_first() {
        let spot = source("a = [\r\n 1,\r\n]\r\n").spot(&(4..13));
        assert_eq!((spot.line, spot.column, spot.length), (1, 5, 1));
        assert_eq!(spot.source, "a = [");
    }

    #[test]
    fn the_end_of_the_file_is_a_place() {
        let spot = source("a = ").spot(&(4..4));
        assert_eq!((spot.line, spot.column, spot.length), (1, 5, 1));
        let collector = Collector::default();
        let source = source("");
        collector.report(
            &Mark::new(&source, 0..0),
            "",
            Finding::error("nothing here"),
        );
        assert!(
            collector.into_problems()[0]
                .render(false)
                .contains("shop.toml:1:1")
        );
    }

    #[test]
    fn suggests_what_is_near_and_nothing_else() {
        let names = ["strategy", "sticky", "backends"];
        assert_eq!(closest("stratgey", names), Some("strategy"));
        assert_eq!(closest("backend", names), Some("backends"));
        assert_eq!(closest("colour", names), None);
    }
}
