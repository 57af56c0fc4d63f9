//! What becomes of a request, as written in `[[routes]]` and `[listeners.*]`.

use serde::Deserialize;
use toml::de::DeTable;

use super::loose::{Field, List, Named, right_mut, sub_table, tables};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Redirect {
    pub(crate) to: Field<String>,
    pub(crate) status: Field<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Respond {
    pub(crate) status: Field<i64>,
    pub(crate) body: Field<String>,
    pub(crate) file: Field<String>,
    pub(crate) content_type: Field<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Rewrite {
    pub(crate) path: Field<String>,
    pub(crate) host: Field<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Fields {
    pub(crate) set: Field<Named<String>>,
    pub(crate) add: Field<Named<String>>,
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
