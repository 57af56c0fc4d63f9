//! The operator's pages for replies of our own: the route's before the listener's, the most specific status first,
//! and only in a type that the client takes.

use http::StatusCode;

use super::exchange::Exchange;
use super::values::{self, Asked, Wanted};
use crate::message::grammar::trim;
use crate::message::{Head, Name};
use crate::plan::pages::ErrorPage;
use crate::telemetry::Cause;

/// The page for a failure, filled in, with its type; none if there is none that the client takes.
pub(super) fn page(
    status: StatusCode,
    cause: Cause,
    asked: Asked<'_>,
    x: &Exchange,
) -> Option<(&'static str, Vec<u8>)> {
    let route = x
        .route
        .map(|route| &x.view.plan.routes[route].edits.error_pages);
    let mut pages = [route, Some(&x.listener.error_pages)]
        .into_iter()
        .flatten()
        .flat_map(|pages| pages.of(status.as_u16()));
    let page = pages.find(|page| is_accepted(asked.0, page.content_type))?;
    Some((page.content_type, filled(page, status, cause, asked, x)))
}

fn filled(
    page: &ErrorPage,
    status: StatusCode,
    cause: Cause,
    asked: Asked<'_>,
    x: &Exchange,
) -> Vec<u8> {
    let wanted = Wanted {
        captures: page.template.uses_captures(),
        failure: Some((status, cause)),
        ..Wanted::default()
    };
    let mut content = Vec::with_capacity(page.template.text().len() + 64);
    values::with(asked, wanted, x, |values| {
        page.template.render(values, page.encoding, &mut content);
    });
    content
}

/// Whether the client takes this type (RFC 9110 section 12.5.1): of the ranges that fit, the most specific one says.
/// Who says nothing takes everything.
fn is_accepted(asked: &Head, content_type: &str) -> bool {
    let offered = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .as_bytes();
    let main = offered
        .split(|byte| *byte == b'/')
        .next()
        .unwrap_or_default();
    let mut said_nothing = true;
    let mut verdict = (0, false);
    for range in asked
        .all(Name::Accept)
        .flat_map(|list| list.split(|byte| *byte == b','))
    {
        let mut parts = range.split(|byte| *byte == b';').map(trim);
        let name = parts.next().unwrap_or_default();
        if name.is_empty() {
            continue;
        }
        said_nothing = false;
        let fits = match name.strip_suffix(b"/*") {
            _ if name.eq_ignore_ascii_case(offered) => 3,
            Some(b"*") => 1,
            Some(any_of) if any_of.eq_ignore_ascii_case(main) => 2,
            Some(_) | None => continue,
        };
        if fits > verdict.0 {
            verdict = (fits, !parts.any(refuses));
        }
    }
    said_nothing || verdict.1
}

/// Whether a parameter is a weight of zero.
fn refuses(parameter: &[u8]) -> bool {
    let Some((b'q' | b'Q', value)) = parameter.split_first() else {
        return false;
    };
    let weight = trim(value).strip_prefix(b"=").map(trim);
    weight.is_some_and(|weight| weight.iter().all(|byte| matches!(byte, b'0' | b'.')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::head::Version;

    #[test]
    fn the_most_specific_range_says_whether_a_type_is_taken() {
        for (accept, verdict) in [
            (&[][..], true),
            (&[""], true),
            (&["*/*"], true),
            (&["text/*"], true),
            (&["Text/HTML"], true),
            (&["text/html;q=0.5, */*;q=0.1"], true),
            (&["application/json", "text/html"], true),
            (&["application/json"], false),
            (&["text/htmlx, xtext/*"], false),
            (&["text/html;q=0, */*"], false),
            (&["*/*, text/html ; Q = 0.000"], false),
            (&["text/*;q=0, */*"], false),
            (&["text/*;q=0, text/html"], true),
            (&["*/*;q=0"], false),
            (&["image/png, ,"], false),
        ] {
            let mut head = Head::new();
            head.set_request(b"GET", b"/", Version::Http11);
            for value in accept {
                head.push(b"accept", value.as_bytes());
            }
            let found = is_accepted(&head, "text/html; charset=utf-8");
            assert_eq!(found, verdict, "{accept:?}");
        }
    }
}
