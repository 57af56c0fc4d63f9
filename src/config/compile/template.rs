//! Templates, wherever they stand: each problem at its place in the text.

use super::scope::Given;
use crate::config::problem::Finding;
use crate::plan::template::{Place, Template, TemplateError, Variable, What};
use crate::route::PathPattern;

/// Reads a template of the configuration; what is wrong with it is reported. `path` is the path of its route, any path
/// outside routes, and absent if it is wrong itself.
pub(super) fn template(
    written: &Given<'_, String>,
    place: Place,
    path: Option<&PathPattern>,
) -> Option<Template> {
    parse(written.value, place, path)
        .map_err(|errors| {
            for error in &errors {
                written.report_at(&error.at, finding(error));
            }
        })
        .ok()
}

/// Reads a template. Where the path is not known, nothing is said of what may be one of its groups.
pub(super) fn parse(
    text: &str,
    place: Place,
    path: Option<&PathPattern>,
) -> Result<Template, Vec<TemplateError>> {
    let read = Template::parse(text, place, path.unwrap_or(&PathPattern::Any));
    read.map_err(|mut errors| {
        if path.is_none() {
            errors.retain(|error| {
                matches!(error.what, What::Open | What::Closed | What::Character(..))
            });
        }
        errors
    })
}

/// What to say of an error in a template.
pub(super) fn finding<'a>(error: &TemplateError) -> Finding<'a> {
    let finding = Finding::error(error.what.to_string());
    let finding = match error.what.help() {
        Some(help) => finding.help(help),
        None => finding,
    };
    match &error.what {
        What::Unknown(name) => finding.suggest(name, Variable::NAMED.map(|(known, _)| known)),
        _ => finding,
    }
}
