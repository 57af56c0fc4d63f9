//! A place in the settings: where values are taken from lenient raw settings, and problems are reported from.

use std::ops::{Deref, Range, RangeInclusive};
use std::path::Path;
use std::time::Duration;

use toml::Spanned;

use super::units;
use crate::config::problem::{Collector, Finding, Mark, Source};
use crate::config::raw::loose::{Field, Found, List, Loose, Named, Shape};
use crate::config::raw::unit::{PercentText, RateText, SizeText};
use crate::config::read::Document;

/// A table of one file, with its name in the settings.
#[derive(Clone, Debug)]
pub(super) struct Scope<'a> {
    collector: &'a Collector,
    document: &'a Document,
    path: String,
}

/// A value of the right type, with its place.
#[derive(Clone, Debug)]
pub(super) struct Given<'a, T> {
    pub(super) value: &'a T,
    pub(super) span: Range<usize>,
    /// The scope whose path is this value.
    pub(super) scope: Scope<'a>,
}

/// A kind of string, as messages speak of it.
struct Quantity {
    name: &'static str,
    help: &'static str,
}

/// Whether a duration of zero means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Zero {
    Allowed,
    Refused,
}

impl<'a> Scope<'a> {
    pub(super) const fn root(collector: &'a Collector, document: &'a Document) -> Self {
        Self {
            collector,
            document,
            path: String::new(),
        }
    }

    pub(super) fn folder(&self) -> &'a Path {
        self.document.folder()
    }

    pub(super) fn mark(&self, span: &Range<usize>) -> Mark<'a> {
        Mark::new(&self.document.source, span.clone())
    }

    /// Reports a finding about this scope's own value.
    pub(super) fn report(&self, span: &Range<usize>, finding: Finding<'a>) {
        self.collector.report(&self.mark(span), &self.path, finding);
    }

    /// Reports a finding about a place that is not in the configuration's files, but in one that this scope's value
    /// names.
    pub(super) fn report_in(&self, source: &Source, span: &Range<usize>, finding: Finding<'_>) {
        let mark = Mark::new(source, span.clone());
        self.collector.report(&mark, &self.path, finding);
    }

    /// Reports a finding about the file.
    pub(super) fn report_file(&self, finding: Finding<'a>) {
        let source = &self.document.source;
        self.collector
            .report_file(source.index, &source.path, finding);
    }

    /// The value of a key, if it is there and of the right type; a wrong type is reported.
    pub(super) fn get<T: Shape>(&self, key: &str, field: &'a Field<T>) -> Option<Given<'a, T>> {
        let spanned = field.as_ref()?;
        self.at_key(key).right(spanned.get_ref(), spanned.span())
    }

    /// A whole number within a range, or the default.
    pub(super) fn integer<N>(
        &self,
        key: &str,
        field: &'a Field<i64>,
        default: N,
        range: RangeInclusive<i64>,
    ) -> N
    where
        N: TryFrom<i64>,
    {
        let Some(given) = self.get(key, field) else {
            return default;
        };
        match N::try_from(*given.value) {
            Ok(value) if range.contains(given.value) => value,
            _ => {
                let (least, most) = range.into_inner();
                given.report(Finding::error(format!(
                    "`{key}` is {} and must be from {least} to {most}",
                    given.value
                )));
                default
            }
        }
    }

    /// A duration, or the default.
    pub(super) fn duration<T: Deref<Target = str>>(
        &self,
        key: &str,
        field: &'a Field<T>,
        default: Duration,
        zero: Zero,
    ) -> Duration {
        self.optional_duration(key, field, zero).unwrap_or(default)
    }

    /// A duration, if there is one.
    pub(super) fn optional_duration<T: Deref<Target = str>>(
        &self,
        key: &str,
        field: &'a Field<T>,
        zero: Zero,
    ) -> Option<Duration> {
        let given = self.quantity(key, field, &DURATION)?;
        match units::duration(given.value) {
            Ok(Duration::ZERO) if zero == Zero::Refused => {
                let finding =
                    Finding::error(format!("`{key}` of zero would end everything at once"));
                given.report(finding.help(
                    "for a wait that never ends in practice, write a long one, such as \"1d\"",
                ));
                None
            }
            Ok(duration) => Some(duration),
            Err(error) => {
                given.report(Finding::error(error.to_string()).help(DURATION.help));
                None
            }
        }
    }

    /// A number of bytes within a range, or the default.
    pub(super) fn size<N>(
        &self,
        key: &str,
        field: &'a Field<SizeText>,
        default: N,
        range: RangeInclusive<u64>,
    ) -> N
    where
        N: TryFrom<u64>,
    {
        let Some(given) = self.quantity(key, field, &SIZE) else {
            return default;
        };
        let bytes = match units::size(given.value) {
            Ok(bytes) => bytes,
            Err(error) => {
                given.report(Finding::error(error.to_string()).help(SIZE.help));
                return default;
            }
        };
        match N::try_from(bytes) {
            Ok(value) if range.contains(&bytes) => value,
            _ => {
                let (least, most) = range.into_inner();
                let what = format!("`{key}` is {bytes} bytes and must be from {least} to {most}");
                given.report(Finding::error(what));
                default
            }
        }
    }

    /// Bytes a second, or the default.
    pub(super) fn rate(&self, key: &str, field: &'a Field<RateText>, default: u64) -> u64 {
        let Some(given) = self.quantity(key, field, &RATE) else {
            return default;
        };
        units::rate(given.value).unwrap_or_else(|error| {
            given.report(Finding::error(error.to_string()).help(RATE.help));
            default
        })
    }

    /// A share in per cent, or the default.
    pub(super) fn percent(&self, key: &str, field: &'a Field<PercentText>, default: u8) -> u8 {
        let Some(given) = self.quantity(key, field, &PERCENT) else {
            return default;
        };
        units::percent(given.value).unwrap_or_else(|error| {
            given.report(Finding::error(error.to_string()).help(PERCENT.help));
            default
        })
    }

    /// One of several words, or the default.
    pub(super) fn word<T: Copy>(
        &self,
        key: &str,
        field: &'a Field<String>,
        default: T,
        words: &[(&str, T)],
    ) -> T {
        let Some(given) = self.get(key, field) else {
            return default;
        };
        if let Some((_, value)) = words.iter().find(|(word, _)| word == given.value) {
            return *value;
        }
        given.report(unknown_word(
            key,
            given.value,
            words.iter().map(|(word, _)| *word),
        ));
        default
    }

    /// A string with a number and a unit; what is none gets the help of that unit, not that of strings.
    fn quantity<T: Deref<Target = str>>(
        &self,
        key: &str,
        field: &'a Field<T>,
        quantity: &Quantity,
    ) -> Option<Given<'a, T>> {
        let spanned = field.as_ref()?;
        let scope = self.at_key(key);
        match spanned.get_ref() {
            Loose::Right(value) => Some(Given {
                value,
                span: spanned.span(),
                scope,
            }),
            Loose::Wrong(found) => {
                let finding = Finding::error(format!("expected {}, found {found}", quantity.name));
                scope.report(&spanned.span(), finding.help(quantity.help));
                None
            }
        }
    }

    fn at_key(&self, key: &str) -> Self {
        let dot = if self.path.is_empty() { "" } else { "." };
        Self {
            path: format!("{}{dot}{key}", self.path),
            ..*self
        }
    }

    fn at_index(&self, index: usize) -> Self {
        Self {
            path: format!("{}[{index}]", self.path),
            ..*self
        }
    }

    fn right<T: Shape>(self, loose: &'a Loose<T>, span: Range<usize>) -> Option<Given<'a, T>> {
        match loose {
            Loose::Right(value) => Some(Given {
                value,
                span,
                scope: self,
            }),
            Loose::Wrong(found) => {
                let finding = match (T::KIND, found) {
                    (Found::Integer, Found::Integer) => Finding::error("the number is too large"),
                    (expected, found) => {
                        Finding::error(format!("expected {expected}, found {found}"))
                    }
                };
                self.report(
                    &span,
                    match (T::KIND, found) {
                        (Found::String, Found::Integer | Found::Float | Found::Boolean) => {
                            finding.help("put it in quotes")
                        }
                        (Found::Integer | Found::Boolean, Found::String) => {
                            finding.help("leave the quotes out")
                        }
                        (Found::Array, Found::String | Found::Table) => {
                            finding.help("put it in brackets: [ .. ]")
                        }
                        (Found::Table, Found::String) => match table_like(&self.path) {
                            Some(example) => finding.help(format!("such as {example}")),
                            None => finding,
                        },
                        _ => finding,
                    },
                );
                None
            }
        }
    }
}

/// How a table is written that is easily taken for a text.
fn table_like(path: &str) -> Option<&'static str> {
    match path.rsplit('.').next()? {
        "redirect" => Some("redirect = { to = \"https://{host}{uri}\" }"),
        "respond" => Some("respond = { status = 200, body = \"ok\" }"),
        "rewrite" => Some("rewrite = { path = \"/new{rest}\" }"),
        "sticky" => Some("sticky = { cookie = \"forecourt\" }"),
        _ => None,
    }
}

impl<'a, T> Given<'a, T> {
    /// Reports a finding about this value.
    pub(super) fn report(&self, finding: Finding<'a>) {
        self.scope.report(&self.span, finding);
    }

    pub(super) fn mark(&self) -> Mark<'a> {
        self.scope.mark(&self.span)
    }
}

impl<'a> Given<'a, String> {
    /// Reports a finding about some bytes of this string; about all of it if it is not written as it reads.
    pub(super) fn report_at(&self, part: &Range<usize>, finding: Finding<'a>) {
        let text = &self.scope.document.source.text;
        // Behind the opening quote, unless there are escapes or three quotes.
        let start = self.span.start + 1;
        let verbatim = text.get(start..start + self.value.len()) == Some(self.value.as_str());
        if verbatim && self.span.len() == self.value.len() + 2 {
            let span = start + part.start..start + part.end;
            self.scope.report(&span, finding);
        } else {
            self.report(finding);
        }
    }
}

impl<'a, T: Shape> Given<'a, List<T>> {
    /// The elements of the right type; the others are reported.
    pub(super) fn elements(&self) -> Vec<Given<'a, T>> {
        let element = |(index, element): (usize, &'a Spanned<Loose<T>>)| {
            self.scope
                .at_index(index)
                .right(element.get_ref(), element.span())
        };
        self.value.iter().enumerate().filter_map(element).collect()
    }
}

impl<'a, T: Shape> Given<'a, Named<T>> {
    /// The values by name, in the order of the file, each with the place of its name; what is of a wrong type is
    /// reported.
    pub(super) fn values(&self) -> Vec<(Given<'a, String>, Given<'a, T>)> {
        let entry = |(name, value): &'a (Spanned<String>, Spanned<Loose<T>>)| {
            let scope = self.scope.at_key(name.get_ref());
            let given = scope.clone().right(value.get_ref(), value.span())?;
            let name = Given {
                value: name.get_ref(),
                span: name.span(),
                scope,
            };
            Some((name, given))
        };
        self.value.0.iter().filter_map(entry).collect()
    }

    /// The tables by name, in the order of the file; what is no table is reported. The place of each is its name.
    pub(super) fn entries(&self) -> Vec<(&'a str, Given<'a, T>)> {
        let entry = |(name, table): &'a (Spanned<String>, Spanned<Loose<T>>)| {
            let name_text = name.get_ref().as_str();
            let scope = self.scope.at_key(name_text);
            let given = scope.right(table.get_ref(), table.span())?;
            Some((
                name_text,
                Given {
                    span: name.span(),
                    ..given
                },
            ))
        };
        self.value.0.iter().filter_map(entry).collect()
    }
}

/// What to say of a word that is none of those known.
pub(super) fn unknown_word<'a, 'w>(
    key: &str,
    word: &str,
    words: impl Iterator<Item = &'w str> + Clone,
) -> Finding<'a> {
    let listed = words.clone().collect::<Vec<_>>().join(", ");
    let finding = Finding::error(format!("unknown {key} {word:?}"));
    finding
        .help(format!("it is one of: {listed}"))
        .suggest(word, words)
}

const DURATION: Quantity = Quantity {
    name: "a duration",
    help: "a duration is a whole number and a unit, in quotes: \"250ms\", \"30s\", \"5m\", \"2h\" or \"1d\"",
};

const PERCENT: Quantity = Quantity {
    name: "a share",
    help: "a share is a whole number from 0 to 100 and a percent sign, in quotes: \"50%\"",
};

const SIZE: Quantity = Quantity {
    name: "a size",
    help: "a size is a whole number and a unit, in quotes: \"512B\", \"16KiB\", \"8MiB\" or \"1GiB\"",
};

const RATE: Quantity = Quantity {
    name: "a rate",
    help: "a rate is a whole number, a unit and \"/s\", in quotes: \"500B/s\" or \"16KiB/s\"; \"0\" for none",
};
