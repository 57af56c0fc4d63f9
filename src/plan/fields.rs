//! Rules for fields: what is removed, set and added, in this order.

use super::template::Template;

/// Changes to the fields of a message.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FieldRules {
    /// Names in lower case; all fields of each go.
    pub remove: Vec<Box<str>>,
    /// Take the place of all fields of their name.
    pub set: Vec<FieldRule>,
    /// Come besides those that are there.
    pub add: Vec<FieldRule>,
}

/// A field that is set or added.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldRule {
    /// In lower case.
    pub name: Box<str>,
    /// What it says.
    pub value: Template,
}

impl FieldRules {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    /// The values that are set and added.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        let rules = self.set.iter().chain(&self.add);
        rules.map(|rule| &rule.value)
    }

    /// Each change as `set NAME`, for messages, and what it says, to be compared and not shown: it may be a secret.
    pub fn lines(&self) -> impl Iterator<Item = (String, &str)> {
        let removed = self.remove.iter();
        let removed = removed.map(|name| (format!("remove {name}"), ""));
        let set = self.set.iter().map(|rule| ("set", rule));
        let written = set.chain(self.add.iter().map(|rule| ("add", rule)));
        let written =
            written.map(|(verb, rule)| (format!("{verb} {}", rule.name), rule.value.text()));
        removed.chain(written)
    }
}
