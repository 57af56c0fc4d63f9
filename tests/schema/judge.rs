//! Judges values by JSON Schema (draft 2020-12), as far as our own documents use it: a word that it does not know ends the
//! test, so that nothing is passed over.

use regex::Regex;
use serde_json::Value;

/// What a schema has to say against a value, each with its place in it. `root` is where references lead.
pub(crate) fn faults(root: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    judge(root, schema, (value, ""), &mut faults);
    faults
}

fn judge(root: &Value, schema: &Value, (value, at): (&Value, &str), faults: &mut Vec<String>) {
    let Value::Object(rules) = schema else {
        assert!(schema.is_boolean(), "{schema} is no schema");
        if schema == false {
            faults.push(format!("{at}: nothing may be here"));
        }
        return;
    };
    for (word, rule) in rules {
        let is_good = match word.as_str() {
            "$ref" => {
                let pointer = rule.as_str().unwrap().strip_prefix('#').unwrap();
                let found = root.pointer(pointer);
                let found = found.unwrap_or_else(|| panic!("{rule} leads nowhere"));
                judge(root, found, (value, at), faults);
                true
            }
            "type" => match rule {
                Value::Array(kinds) => kinds.iter().any(|kind| is_of(kind, value)),
                kind => is_of(kind, value),
            },
            "enum" => rule.as_array().unwrap().contains(value),
            "pattern" => {
                let pattern = Regex::new(rule.as_str().unwrap()).unwrap();
                value.as_str().is_none_or(|text| pattern.is_match(text))
            }
            "minimum" => value
                .as_f64()
                .is_none_or(|number| number >= rule.as_f64().unwrap()),
            "maximum" => value
                .as_f64()
                .is_none_or(|number| number <= rule.as_f64().unwrap()),
            "required" => value.as_object().is_none_or(|members| {
                let mut keys = rule.as_array().unwrap().iter();
                keys.all(|key| members.contains_key(key.as_str().unwrap()))
            }),
            "oneOf" => fitting(root, rule, value) == 1,
            "anyOf" => fitting(root, rule, value) > 0,
            "allOf" => {
                for schema in rule.as_array().unwrap() {
                    judge(root, schema, (value, at), faults);
                }
                true
            }
            "items" | "properties" | "additionalProperties" | "propertyNames" => {
                judge_parts(root, (word, rules), (value, at), faults);
                true
            }
            "$schema" | "$defs" | "title" | "description" | "examples" | "example" | "format"
            | "default" => true,
            unknown => panic!("a schema says {unknown:?}, which nobody judges"),
        };
        if !is_good {
            faults.push(format!("{at}: {value} against {word} {rule}"));
        }
    }
}

/// What is said of the parts of an array or object.
fn judge_parts(
    root: &Value,
    (word, rules): (&str, &serde_json::Map<String, Value>),
    (value, at): (&Value, &str),
    faults: &mut Vec<String>,
) {
    let rule = &rules[word];
    if let (Value::Array(elements), "items") = (value, word) {
        for (index, element) in elements.iter().enumerate() {
            judge(root, rule, (element, &format!("{at}/{index}")), faults);
        }
    }
    let known = rules.get("properties");
    for (key, member) in value.as_object().into_iter().flatten() {
        let part = format!("{at}/{key}");
        let known = known.and_then(|known| known.get(key));
        match (word, known) {
            ("properties", Some(schema)) => judge(root, schema, (member, &part), faults),
            ("additionalProperties", None) if rule == false => {
                faults.push(format!("{at}: the key {key} is unknown"));
            }
            ("additionalProperties", None) => judge(root, rule, (member, &part), faults),
            ("propertyNames", _) => {
                judge(root, rule, (&Value::from(key.as_str()), &part), faults);
            }
            _ => {}
        }
    }
}

/// How many of several schemas have nothing against a value.
fn fitting(root: &Value, schemas: &Value, value: &Value) -> usize {
    let schemas = schemas.as_array().unwrap().iter();
    let fits = |schema: &&Value| faults(root, schema, value).is_empty();
    schemas.filter(fits).count()
}

fn is_of(kind: &Value, value: &Value) -> bool {
    match kind.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        unknown => panic!("there is no type {unknown:?}"),
    }
}
