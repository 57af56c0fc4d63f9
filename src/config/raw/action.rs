//! What becomes of a request, as written in `[[routes]]` and `[listeners.*]`.

use schemars::JsonSchema;
use serde::Deserialize;
use toml::de::DeTable;

use super::loose::{Field, List, Named, right_mut, sub_table, tables};

/// Another place.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Redirect {
    /// Required: where, beginning with `https://`, `http://` or a slash; a template.
    pub(crate) to: Field<String>,
    /// 301, 302, 303, 307 or 308. Default: 307.
    pub(crate) status: Field<i64>,
}

/// An answer that is the same for everybody.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Respond {
    /// From 200 to 599, but no redirect. Default: 200.
    pub(crate) status: Field<i64>,
    /// The body; or `file`.
    pub(crate) body: Field<String>,
    /// The file of the body, of up to 1MiB.
    pub(crate) file: Field<String>,
    /// What the body is. Default: plain text, or by the extension of the file.
    pub(crate) content_type: Field<String>,
}

/// What the backend sees.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Rewrite {
    /// The path, a template.
    pub(crate) path: Field<String>,
    /// The host, a template.
    pub(crate) host: Field<String>,
}

/// Changes of fields: first `remove`, then `set`, then `add`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Fields {
    /// Fields that take the place of theirs, by name; values are templates.
    pub(crate) set: Field<Named<String>>,
    /// Fields that come besides, by name; values are templates.
    pub(crate) add: Field<Named<String>>,
    /// Names of fields that go.
    pub(crate) remove: Field<List<String>>,
}

/// Files by status.
pub(crate) type Pages = Named<String>;

tables!(Redirect, Respond, Rewrite, Fields);

impl Fields {
    /// Gives the names of fields their places.
    fn place(&mut self, table: &DeTable<'_>) {
        for (key, field) in [("set", &mut self.set), ("add", &mut self.add)] {
            place(field, table, key);
        }
    }
}

/// Gives the names in the table `key` their places.
pub(crate) fn place<T>(field: &mut Field<Named<T>>, table: &DeTable<'_>, key: &str) {
    if let (Some(named), Some(written)) = (right_mut(field), sub_table(table, key)) {
        named.place(written);
    }
}

/// The same for rules of fields.
pub(crate) fn place_fields(field: &mut Field<Fields>, table: &DeTable<'_>, key: &str) {
    if let (Some(rules), Some(written)) = (right_mut(field), sub_table(table, key)) {
        rules.place(written);
    }
}

/// 307: the method stays, and nobody remembers it longer than meant.
pub(crate) const REDIRECT_STATUS: u16 = 307;
/// The usual answer.
pub(crate) const RESPOND_STATUS: u16 = 200;
/// What `body` is if nothing is said.
pub(crate) const RESPOND_TYPE: &str = "text/plain; charset=utf-8";
/// Of one page or body: a page is some KiB, and what is larger belongs to a backend that can stream it.
pub(crate) const FILE_BYTES_MOST: u64 = 1024 * 1024;
