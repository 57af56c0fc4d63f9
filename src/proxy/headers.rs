//! Fields that the operator removes, sets and adds.
//!
//! Values are filled in before anything changes, so a rule sees the message as it came; then all fields of the names
//! to be removed go, those to be set take the place of theirs, and the others are added. No control byte is filled in,
//! so that no value ends its field. Where there are no rules, nothing is done.

use smallvec::SmallVec;

use super::exchange::Exchange;
use super::values::{self, Asked, Wanted};
use super::{Incoming, admit::Admitted};
use crate::message::Head;
use crate::message::grammar::same_variable;
use crate::plan::fields::FieldRules;
use crate::plan::template::{Encoding, Template, Values, Variable};

/// Changes what the backend sees of a request.
pub(super) fn change_request(rules: &FieldRules, request: &mut Incoming<'_>, x: &Exchange) {
    if rules.is_empty() {
        return;
    }
    let asked: (&Head, Option<&Admitted>) = (&request.head, request.admitted.as_ref());
    let filled = values::with(asked, wanted(rules), x, |values| Filled::by(rules, values));
    // To many applications these names are one, and who takes a field from clients means it so.
    filled.apply(rules, &mut request.head, same_variable);
}

/// Changes what the client sees of a response, of a backend or of our own: by the listener's rules, then by the route's.
pub(super) fn change_response(head: &mut Head, asked: Asked<'_>, x: &Exchange) {
    if !x.listener.response_headers.is_empty() {
        respond_by(&x.listener.response_headers, head, asked, x);
    }
    if let Some(route) = x.route {
        let rules = &x.view.plan.routes[route].edits.response_headers;
        if !rules.is_empty() {
            respond_by(rules, head, asked, x);
        }
    }
}

fn respond_by(rules: &FieldRules, head: &mut Head, asked: Asked<'_>, x: &Exchange) {
    let names_backend = rules.templates().any(|value| value.uses(Variable::Backend));
    let backend = x.attempts.last().filter(|_| names_backend);
    let backend = backend.map(|tried| x.backend(tried).address().to_string());
    let wanted = Wanted {
        backend: backend.as_deref().unwrap_or_default(),
        ..wanted(rules)
    };
    let filled = values::with(asked, wanted, x, |values| Filled::by(rules, values));
    filled.apply(rules, head, <[u8]>::eq_ignore_ascii_case);
}

fn wanted(rules: &FieldRules) -> Wanted<'static> {
    Wanted {
        captures: rules.templates().any(Template::uses_captures),
        ..Wanted::default()
    }
}

/// Values, filled in, one behind the other.
struct Filled {
    bytes: Vec<u8>,
    ends: SmallVec<[usize; 8]>,
}

impl Filled {
    fn by(rules: &FieldRules, values: &Values<'_>) -> Self {
        let mut filled = Self {
            bytes: Vec::with_capacity(128),
            ends: SmallVec::new(),
        };
        for value in rules.templates() {
            value.render(values, Encoding::Field, &mut filled.bytes);
            filled.ends.push(filled.bytes.len());
        }
        filled
    }

    /// Changes `head`, whose names are told apart by `is_same`.
    fn apply(&self, rules: &FieldRules, head: &mut Head, is_same: fn(&[u8], &[u8]) -> bool) {
        let set = rules.set.iter().map(|rule| &rule.name);
        let gone: SmallVec<[&str; 8]> =
            rules.remove.iter().chain(set).map(|name| &**name).collect();
        if !gone.is_empty() {
            head.remove_if(|field| gone.iter().any(|name| is_same(name.as_bytes(), field.name)));
        }
        let mut start = 0;
        for (rule, &end) in rules.set.iter().chain(&rules.add).zip(&self.ends) {
            head.push(rule.name.as_bytes(), &self.bytes[start..end]);
            start = end;
        }
    }
}
