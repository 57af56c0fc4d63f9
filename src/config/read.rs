//! Reading: files and what they include, TOML, and the keys that nobody knows.
//!
//! The parser's own errors end a file (what follows a syntax error is guesswork), never the other files.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

use super::problem::{Collector, Finding, Mark, Source};
use super::raw::loose::{Field, List, Loose};
use super::raw::{self, File};

/// A file, parsed.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) source: Source,
    pub(crate) raw: File,
}

/// All that was read.
#[derive(Debug, Default)]
pub(crate) struct Read {
    /// The files that could be parsed, the first one first.
    pub(crate) documents: Vec<Document>,
    /// All files, the broken ones too.
    pub(crate) files: Vec<PathBuf>,
    /// Files that were wanted and could not be parsed. While there are any, a name that is missing elsewhere may
    /// be in there, and nothing is said of it.
    pub(crate) broken: usize,
    seen: HashSet<PathBuf>,
}

impl Document {
    /// The folder that relative paths start from.
    pub(crate) fn folder(&self) -> &Path {
        folder_of(&self.source.path)
    }
}

/// Reads `path` and what it includes.
pub(crate) fn read(path: &Path, collector: &Collector) -> Read {
    let mut read = Read::default();
    read.file(path, collector);
    read.includes(collector);
    read
}

/// Takes `text` for what stands in `path`, and reads what it includes.
pub(crate) fn read_given(text: &str, path: &Path, collector: &Collector) -> Read {
    let mut read = Read::default();
    read.seen.insert(identity(path));
    read.text(path, |_| Some(text.to_owned()), collector);
    read.includes(collector);
    read
}

impl Read {
    fn includes(&mut self, collector: &Collector) {
        if let Some(first) = self.documents.first() {
            for path in included(first, collector) {
                self.file(&path, collector);
            }
        }
    }

    fn file(&mut self, path: &Path, collector: &Collector) {
        if !self.seen.insert(identity(path)) {
            return;
        }
        self.text(path, |index| read_text(path, index, collector), collector);
    }

    fn text(
        &mut self,
        path: &Path,
        text: impl FnOnce(usize) -> Option<String>,
        collector: &Collector,
    ) {
        let index = self.files.len();
        self.files.push(path.to_owned());
        let document = text(index)
            .map(|text| Source::new(index, path.to_owned(), text))
            .and_then(|source| parse(&source, collector).map(|raw| Document { source, raw }));
        match document {
            Some(document) => self.documents.push(document),
            None => self.broken += 1,
        }
    }
}

/// `include = ["*.toml"]` finds the file that it stands in, and two patterns may find the same file.
fn identity(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

fn read_text(path: &Path, index: usize, collector: &Collector) -> Option<String> {
    let unreadable = |error: io::Error| {
        let finding = match error.kind() {
            io::ErrorKind::NotFound => Finding::error("no such file"),
            io::ErrorKind::IsADirectory => Finding::error("this is a folder, not a file"),
            _ => Finding::error(format!("the file cannot be read: {error}")),
        };
        collector.report_file(index, path, finding);
    };
    let bytes = fs::read(path).map_err(unreadable).ok()?;
    match String::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            // Up to the first bad byte both texts are the same, so the offset holds.
            let source = Source::new(index, path.to_owned(), text);
            let finding = Finding::error("the file is not UTF-8").help("TOML is UTF-8: save it so");
            collector.report(&Mark::new(&source, at..at), "", finding);
            None
        }
    }
}

/// The files that `include` names, in its order, those of one pattern by name.
fn included(first: &Document, collector: &Collector) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for (index, pattern, span) in strings(&first.raw.include) {
        let mark = Mark::new(&first.source, span);
        let report = |finding| collector.report(&mark, &format!("include[{index}]"), finding);
        // The folder is no pattern, whatever characters its name has.
        let folder = glob::Pattern::escape(&first.folder().to_string_lossy());
        let full = Path::new(&folder).join(pattern);
        match glob::glob(&full.to_string_lossy()) {
            Ok(found) => {
                let found: Vec<_> = found
                    .filter_map(Result::ok)
                    .filter(|path| !path.is_dir())
                    .collect();
                let is_pattern = pattern.contains(['*', '?', '[']);
                match (found.is_empty(), is_pattern) {
                    (true, true) => {
                        report(Finding::warning(format!("no file matches {pattern:?}")))
                    }
                    (true, false) => report(Finding::error(format!("no file {pattern:?}"))),
                    (false, _) => paths.extend(found),
                }
            }
            Err(error) => report(Finding::error(format!(
                "{pattern:?} is not a pattern: {}",
                error.msg
            ))),
        }
    }
    paths
}

/// The strings of a list; compilation says what is wrong with the others.
fn strings(field: &Field<List<String>>) -> impl Iterator<Item = (usize, &str, Range<usize>)> {
    let list = field.as_ref().and_then(|field| match field.get_ref() {
        Loose::Right(list) => Some(list),
        Loose::Wrong(_) => None,
    });
    list.into_iter()
        .flat_map(|list| list.iter())
        .enumerate()
        .filter_map(|(index, element)| match element.get_ref() {
            Loose::Right(text) => Some((index, text.as_str(), element.span())),
            Loose::Wrong(_) => None,
        })
}

fn parse(source: &Source, collector: &Collector) -> Option<File> {
    let report =
        |span: Range<usize>, finding| collector.report(&Mark::new(source, span), "", finding);
    let (table, errors) = DeTable::parse_recoverable(&source.text);
    for error in &errors {
        let end = source.text.trim_end().len();
        let span = error.span().unwrap_or(end..end);
        report(
            span.clone(),
            syntax_finding(error.message(), source.text.get(span).unwrap_or_default()),
        );
    }
    if !errors.is_empty() {
        return None;
    }
    let mut ignored: Vec<Vec<Step>> = Vec::new();
    let deserializer = Deserializer::from(table.clone());
    let raw: Result<File, _> =
        serde_ignored::deserialize(deserializer, |path| ignored.push(steps(&path)));
    for path in &ignored {
        report_ignored(path, &table, source, collector);
    }
    match raw {
        Ok(mut raw) => {
            raw.place_names(table.get_ref());
            Some(raw)
        }
        // Lenient settings take everything but numbers that no type holds.
        Err(error) => {
            report(
                error.span().unwrap_or(0..0),
                Finding::error(error.message()),
            );
            None
        }
    }
}

fn syntax_finding(message: &str, text: &str) -> Finding<'static> {
    if message.starts_with("duplicate key") {
        return Finding::error(format!("`{text}` is defined a second time"))
            .help("each key and each table stands once: rename one, or merge the two");
    }
    Finding::error(format!("not valid TOML: {message}"))
}

/// One step of the way to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Index(usize),
    Key(String),
}

/// The path without the keys by which `toml` passes spans through serde.
fn steps(path: &serde_ignored::Path<'_>) -> Vec<Step> {
    use serde_ignored::Path as Ignored;
    match path {
        Ignored::Root => Vec::new(),
        Ignored::Seq { parent, index } => {
            let mut steps = steps(parent);
            steps.push(Step::Index(*index));
            steps
        }
        Ignored::Map { parent, key } => {
            let mut steps = steps(parent);
            if !key.starts_with(SPAN_KEYS) {
                steps.push(Step::Key(key.clone()));
            }
            steps
        }
        Ignored::Some { parent }
        | Ignored::NewtypeStruct { parent }
        | Ignored::NewtypeVariant { parent } => steps(parent),
    }
}

fn report_ignored(
    path: &[Step],
    table: &Spanned<DeTable<'_>>,
    source: &Source,
    collector: &Collector,
) {
    let Some((Step::Key(key), parents)) = path.split_last() else {
        return;
    };
    if key.starts_with(DATE_KEYS) {
        // A date where a table was expected: `toml` shows dates to serde as tables.
        let span = find(parents, table).unwrap_or(0..0);
        let finding = Finding::error("expected a table, found a date or time");
        collector.report(&Mark::new(source, span), &dotted(parents), finding);
        return;
    }
    let names: Vec<&str> = path
        .iter()
        .map(|step| match step {
            Step::Index(_) => "*",
            Step::Key(key) => key.as_str(),
        })
        .collect();
    let known = raw::known_keys(&names[..names.len() - 1]);
    let finding = Finding::error(format!("unknown key `{key}`"));
    let finding = finding.help(format!("known here: {}", known.join(", ")));
    let finding = finding.suggest(key, known.iter().copied());
    let span = find(path, table).unwrap_or(0..0);
    collector.report(&Mark::new(source, span), &dotted(path), finding);
}

/// The span of the key at the end of the path, or of the element.
fn find(path: &[Step], table: &Spanned<DeTable<'_>>) -> Option<Range<usize>> {
    let (first, rest) = path.split_first()?;
    let Step::Key(key) = first else { return None };
    let (found, mut value) = table.get_ref().get_key_value(key.as_str())?;
    let mut span = found.span();
    for step in rest {
        (span, value) = match (step, value.get_ref()) {
            (Step::Key(key), DeValue::Table(table)) => {
                let (found, value) = table.get_key_value(key.as_str())?;
                (found.span(), value)
            }
            (Step::Index(index), DeValue::Array(array)) => {
                let value = array.get(*index)?;
                (value.span(), value)
            }
            _ => return None,
        };
    }
    Some(span)
}

fn dotted(path: &[Step]) -> String {
    path.iter().fold(String::new(), |mut text, step| {
        match step {
            Step::Index(index) => text.push_str(&format!("[{index}]")),
            Step::Key(key) if text.is_empty() => text.push_str(key),
            Step::Key(key) => {
                text.push('.');
                text.push_str(key);
            }
        }
        text
    })
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or_else(|| Path::new(""))
}

/// How `toml` marks spans on their way through serde.
const SPAN_KEYS: &str = "$__serde_spanned_";
/// How `toml` marks dates on their way through serde.
const DATE_KEYS: &str = "$__toml_private_";

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (Option<File>, Vec<String>) {
        let source = Source::new(0, PathBuf::from("a.toml"), text.to_owned());
        let collector = Collector::default();
        let file = parse(&source, &collector);
        (
            file,
            collector
                .into_problems()
                .iter()
                .map(ToString::to_string)
                .collect(),
        )
    }

    #[test]
    fn unknown_keys_are_placed_at_any_depth() {
        let (file, problems) = parsed(
            "serve = 1\n[pools.a]\nstrategi = 1\nbackends = [{ address = \"x\" }, { weigth = 2 }]\n[[routes]]\nhost = []\n",
        );
        assert!(file.is_some());
        assert_eq!(
            problems,
            [
                "a.toml:1:1: unknown key `serve` (did you mean `server`?)",
                "a.toml:3:1: unknown key `strategi` (did you mean `strategy`?)",
                "a.toml:4:34: unknown key `weigth` (did you mean `weight`?)",
                "a.toml:6:1: unknown key `host` (did you mean `hosts`?)",
            ]
        );
    }

    #[test]
    fn broken_toml_gives_every_place() {
        let (file, problems) = parsed("[pools.a]\nx = \n[pools.b]\ny = 1\ny = 2\n");
        assert!(file.is_none());
        assert!(problems[0].starts_with("a.toml:2:"), "{problems:?}");
        assert!(
            problems[1].starts_with("a.toml:5:1: `y` is defined a second time"),
            "{problems:?}"
        );
    }

    #[test]
    fn numbers_and_dates_that_fit_nowhere() {
        let huge = "9".repeat(60);
        let (file, problems) = parsed(&format!("[pools.a]\nbackends = [{{ weight = {huge} }}]\n"));
        assert!(file.is_none());
        assert_eq!(problems, ["a.toml:2:24: integer number overflowed"]);
        let (_, problems) = parsed("server = 2020-01-01\n");
        assert_eq!(
            problems,
            ["a.toml:1:1: expected a table, found a date or time"]
        );
    }
}
