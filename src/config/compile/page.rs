//! `error_pages`: files by status.

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use super::scope::{Given, Scope};
use super::template::{finding, parse};
use crate::config::file::{self, FileError};
use crate::config::outside::Outside;
use crate::config::problem::Finding;
use crate::config::raw::action::Pages;
use crate::config::raw::loose::Field;
use crate::plan::pages::{ErrorPage, ErrorPages};
use crate::plan::template::{Encoding, Place};
use crate::route::PathPattern;

/// Compiles the pages of a route or a listener.
pub(super) fn pages<'a>(
    scope: &Scope<'a>,
    field: &'a Field<Pages>,
    path: Option<&PathPattern>,
    outside: &Outside,
) -> ErrorPages {
    let Some(table) = scope.get("error_pages", field) else {
        return ErrorPages::default();
    };
    let mut pages = Vec::new();
    for (statuses, file) in table.values() {
        let range = status_range(&statuses);
        let page = page(&file, path, outside);
        if let (Some(statuses), Some(page)) = (range, page) {
            pages.push(ErrorPage { statuses, ..page });
        }
    }
    ErrorPages::new(pages)
}

/// Reads `404`, `502-504` or `5xx`.
fn status_range(written: &Given<'_, String>) -> Option<RangeInclusive<u16>> {
    let text = written.value.as_str();
    let number = |text: &str| -> Option<u16> {
        let is_status = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
        is_status.then(|| text.parse().ok()).flatten()
    };
    let range = match (text, text.split_once('-')) {
        ("4xx", _) => Some(400..=499),
        ("5xx", _) => Some(500..=599),
        (_, Some((first, last))) => number(first)
            .zip(number(last))
            .map(|(first, last)| first..=last),
        (_, None) => number(text).map(|status| status..=status),
    };
    let good = range.filter(|range| {
        !range.is_empty() && (400..600).contains(range.start()) && (400..600).contains(range.end())
    });
    if good.is_none() {
        let finding = Finding::error(format!("{text:?} is no status of an error"));
        written.report(finding.help("write \"404\", \"502-504\", \"4xx\" or \"5xx\""));
    }
    good
}

fn page(
    written: &Given<'_, String>,
    path: Option<&PathPattern>,
    outside: &Outside,
) -> Option<ErrorPage> {
    let file = written.scope.folder().join(written.value);
    let source = match outside.pages.get(&file)? {
        Ok(source) => source,
        Err(error) => {
            report(written, error);
            return None;
        }
    };
    let content_type = file_type(written, &file);
    match parse(&source.text, Place::Page, path) {
        Ok(template) => Some(ErrorPage {
            statuses: 0..=0,
            content_type: content_type?,
            encoding: encoding(content_type?),
            template: Arc::new(template),
            file,
        }),
        Err(errors) => {
            for error in &errors {
                let finding = finding(error).also(&written.mark(), "named here");
                written.scope.report_in(source, &error.at, finding);
            }
            None
        }
    }
}

/// The type of a file, which its extension has to say.
pub(super) fn file_type(written: &Given<'_, String>, file: &Path) -> Option<&'static str> {
    let found = file::content_type(file);
    if found.is_none() {
        let extensions: Vec<&str> = file::TYPES
            .iter()
            .map(|(extension, _)| *extension)
            .collect();
        let finding = Finding::error(format!("the type of {:?} is not known", written.value));
        written.report(finding.help(format!(
            "it goes by the extension: {}",
            extensions.join(", ")
        )));
    }
    found
}

/// Says why a file cannot be served.
pub(super) fn report(written: &Given<'_, String>, error: &FileError) {
    let finding = Finding::error(error.to_string());
    written.report(match error.help() {
        Some(help) => finding.help(help),
        None => finding,
    });
}

/// How values are made harmless in a file of this type.
fn encoding(content_type: &str) -> Encoding {
    match content_type.split(';').next().unwrap_or_default() {
        "text/html" | "application/xml" | "application/xhtml+xml" | "image/svg+xml" => {
            Encoding::Html
        }
        "application/json" => Encoding::Json,
        _ => Encoding::Text,
    }
}
