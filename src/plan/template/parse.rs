//! From text to segments.

use std::ops::Range;

use super::{Place, Segment, Template, TemplateError, Variable, What};
use crate::route::PathPattern;

/// Reads a whole text, and finds all that is wrong with it.
pub(super) fn parse(
    text: &str,
    place: Place,
    path: &PathPattern,
) -> Result<Template, Vec<TemplateError>> {
    let mut parser = Parser {
        text,
        place,
        path,
        segments: Vec::new(),
        errors: Vec::new(),
    };
    parser.run();
    if !parser.errors.is_empty() {
        return Err(parser.errors);
    }
    Ok(Template {
        text: text.into(),
        segments: parser.segments.into_boxed_slice(),
    })
}

struct Parser<'t> {
    text: &'t str,
    place: Place,
    path: &'t PathPattern,
    segments: Vec<Segment>,
    errors: Vec<TemplateError>,
}

impl Parser<'_> {
    fn run(&mut self) {
        let mut at = 0;
        while let Some(found) = self.text[at..].find(['{', '}']) {
            let brace = at + found;
            self.literal(at..brace);
            at = match self.place {
                Place::Page => self.brace_of_page(brace),
                _ => self.brace(brace),
            };
        }
        self.literal(at..self.text.len());
    }

    /// Takes what a brace begins; gives where it ends.
    fn brace(&mut self, at: usize) -> usize {
        let rest = &self.text[at..];
        if rest.starts_with("{{") || rest.starts_with("}}") {
            self.literal(at..at + 1);
            return at + 2;
        }
        if rest.starts_with('}') {
            self.fail(at..at + 1, What::Closed);
            return at + 1;
        }
        match rest[1..].find(['{', '}']) {
            Some(length) if rest[1 + length..].starts_with('}') => {
                let end = at + length + 2;
                self.value(at..end);
                end
            }
            Some(_) | None => {
                self.fail(at..at + 1, What::Open);
                at + 1
            }
        }
    }

    /// In a page nothing but a name right between two braces is a value: style sheets and JSON stay as they are.
    fn brace_of_page(&mut self, at: usize) -> usize {
        let rest = &self.text[at..];
        let name = |text: &str| {
            let inside = text.strip_prefix('{')?;
            let is_other = |character: char| !character.is_ascii_alphanumeric() && character != '_';
            let length = inside.find(is_other)?;
            (length > 0 && inside[length..].starts_with('}')).then_some(length + 2)
        };
        if let Some(length) = rest.strip_prefix('{').and_then(name)
            && rest[1 + length..].starts_with('}')
        {
            self.literal(at + 1..at + 1 + length);
            return at + length + 2;
        }
        match name(rest) {
            Some(length) => {
                self.value(at..at + length);
                at + length
            }
            None => {
                self.literal(at..at + 1);
                at + 1
            }
        }
    }

    fn literal(&mut self, range: Range<usize>) {
        let text = &self.text[range.clone()];
        for (offset, character) in text.char_indices() {
            if !may_stand(self.place, character) || self.is_no_escape(&text[offset..]) {
                let at = range.start + offset;
                let what = What::Character(character, self.place);
                self.fail(at..at + character.len_utf8(), what);
            }
        }
        match self.segments.last_mut() {
            // Only what is next to each other, so that the place of each byte is known.
            Some(Segment::Text { text: before, at }) if *at + before.len() == range.start => {
                before.push_str(text);
            }
            _ if text.is_empty() => {}
            _ => self.segments.push(Segment::Text {
                text: text.to_owned(),
                at: range.start,
            }),
        }
    }

    /// Whether text begins with a percent sign that starts no escape: a URL has none, and a path with one is refused.
    fn is_no_escape(&self, text: &str) -> bool {
        let digits = text.strip_prefix('%').map(str::as_bytes);
        let is_escape = |digits: &[u8]| {
            let digits = digits.get(..2);
            digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        };
        matches!(self.place, Place::Redirect | Place::RewritePath)
            && digits.is_some_and(|digits| !is_escape(digits))
    }

    fn value(&mut self, at: Range<usize>) {
        match self.variable(&self.text[at.start + 1..at.end - 1]) {
            Ok(variable) => self.segments.push(Segment::Value { variable, at }),
            Err(what) => self.fail(at, what),
        }
    }

    fn variable(&self, name: &str) -> Result<Variable, What> {
        let regex = match self.path {
            PathPattern::Regex(regex) => Some(regex),
            _ => None,
        };
        let group = regex.and_then(|regex| regex.group(name));
        let known = Variable::NAMED.iter().find(|(known, _)| *known == name);
        if let Some((_, variable)) = known {
            if group.is_some() {
                return Err(What::TwoMeanings(name.to_owned()));
            }
            return match self.why_not(*variable) {
                Some(why) => Err(What::Misplaced {
                    name: name.to_owned(),
                    why,
                }),
                None => Ok(*variable),
            };
        }
        if let Some(group) = group {
            return Ok(Variable::Capture(group));
        }
        match (name.parse::<usize>(), regex) {
            (Ok(number), Some(regex)) if (1..=regex.groups()).contains(&number) => {
                Ok(Variable::Capture(number))
            }
            (Ok(number), Some(_)) => Err(What::NoGroup(number)),
            (Ok(_), None) => Err(What::Misplaced {
                name: name.to_owned(),
                why: "numbers are groups of a `path_regex`, and there is none",
            }),
            (Err(_), _) => Err(What::Unknown(name.to_owned())),
        }
    }

    /// Why a value is not known in this place.
    fn why_not(&self, variable: Variable) -> Option<&'static str> {
        match (variable, self.place) {
            (Variable::Rest, _) if !matches!(self.path, PathPattern::Prefix(_)) => {
                Some("it is what follows a `path_prefix`, and there is none")
            }
            (Variable::Backend, Place::RewriteHost | Place::ResponseField) => None,
            (Variable::Backend, _) => Some("no backend has been picked when it is filled in"),
            (Variable::Status | Variable::Reason | Variable::Code, Place::Page) => None,
            (Variable::Status | Variable::Reason | Variable::Code, _) => {
                Some("it belongs to error pages")
            }
            _ => None,
        }
    }

    fn fail(&mut self, at: Range<usize>, what: What) {
        self.errors.push(TemplateError { at, what });
    }
}

/// Whether a character of the operator's may stand in a place as it is.
fn may_stand(place: Place, character: char) -> bool {
    match place {
        Place::Page => true,
        Place::RequestField | Place::ResponseField => !character.is_control() || character == '\t',
        Place::RewriteHost => character.is_ascii_alphanumeric() || "-_.:[]".contains(character),
        Place::Redirect => is_of_a_url(character),
        // A fragment never goes to a server.
        Place::RewritePath => is_of_a_url(character) && character != '#',
    }
}

/// Characters of RFC 3986, and the percent sign; braces can only be meant as text here if they were doubled.
fn is_of_a_url(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-._~:/?#[]@!$&'()*+,;=%".contains(character)
}
