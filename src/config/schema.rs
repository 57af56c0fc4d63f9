//! The JSON schema of a configuration, for editors.
//!
//! *What enters*: the raw structs, whose keys are the schema's and whose doc comments describe them. *What leaves*: a
//! document of JSON Schema, draft 2020-12. It knows the types of values, units and words, and that other keys are errors;
//! what hangs together (a route's pool, a backend's address) only loading knows.

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform as _};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use super::raw::File;
use super::raw::loose::{Field, List, Named};
use super::raw::unit::{DurationText, PercentText, RateText, SizeText};

/// The schema of a configuration's file.
#[must_use]
pub fn schema() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<File>();
    RecursiveTransform(close).transform(&mut schema);
    schema.insert("title".to_owned(), "forecourt".into());
    schema.to_value()
}

/// Unknown keys are errors.
fn close(schema: &mut Schema) {
    if schema.get("properties").is_some() {
        schema.insert("additionalProperties".to_owned(), false.into());
    }
}

/// The words of a setting.
pub(super) fn words<T, const N: usize>(words: &[(&'static str, T); N]) -> [&'static str; N] {
    words.each_ref().map(|(word, _)| *word)
}

/// What `hedge` takes.
pub(super) const HEDGE: &str = r"^(off|p95|\s*[0-9]+\s*(ms|s|m|h|d)\s*)$";

/// Absent or of its type: TOML has no null.
impl<T: JsonSchema> JsonSchema for Field<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

impl<T: JsonSchema> JsonSchema for List<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("{}s", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "array", "items": generator.subschema_for::<T>() })
    }
}

impl<T: JsonSchema> JsonSchema for Named<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("{}ByName", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": generator.subschema_for::<T>() })
    }
}

macro_rules! patterns {
    ($($text:ty: $pattern:literal, $($example:literal),+;)+) => {
        $(impl JsonSchema for $text {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($text).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern, "examples": [$($example),+] })
            }
        })+
    };
}

// As `compile::units` reads them.
patterns! {
    DurationText: r"^\s*[0-9]+\s*(ms|s|m|h|d)\s*$", "250ms", "30s", "5m", "2h", "1d";
    PercentText: r"^\s*0*(100|[0-9]{1,2})\s*%\s*$", "20%";
    RateText: r"^\s*(0+|(0+|[0-9]+\s*(B|KiB|MiB|GiB))\s*/s)\s*$", "500B/s", "16KiB/s", "0";
    SizeText: r"^\s*(0+|[0-9]+\s*(B|KiB|MiB|GiB))\s*$", "512B", "16KiB", "8MiB", "1GiB", "0";
}
