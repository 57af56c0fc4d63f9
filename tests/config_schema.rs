//! `forecourt schema`: what loads is valid by it, what is of another type or unknown is not, and it has the keys of
//! `config/reference.toml`, no more and no less.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use forecourt::config::{Options, load_text, schema};
use serde_json::Value;

#[path = "schema/judge.rs"]
mod judge;

fn json(text: &str) -> Value {
    let table: toml::Table = text
        .parse()
        .unwrap_or_else(|error| panic!("{error}:\n{text}"));
    serde_json::to_value(table).unwrap()
}

/// What the schema has to say against a text.
fn faults(schema: &Value, text: &str) -> Vec<String> {
    judge::faults(schema, schema, &json(text))
}

#[test]
fn whatever_loads_is_valid() {
    let schema = schema();
    let mut count = 0;
    for folder in ["config", "tests/golden"] {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let is_toml = path.extension().is_some_and(|end| end == "toml");
            let comes_along = folder == "config";
            let loads = ["plan", "advice"].map(|end| path.with_extension(end).exists());
            if !is_toml || !(comes_along || loads.contains(&true)) {
                continue;
            }
            let faults = faults(&schema, &fs::read_to_string(&path).unwrap());
            assert!(faults.is_empty(), "{}: {faults:#?}", path.display());
            count += 1;
        }
    }
    assert!(count > 30, "{count} files");
}

// The reference.

/// The reference with everything that is commented out in place; what is there already comes behind, each in a text of
/// its own.
fn whole_reference() -> Vec<String> {
    let text = fs::read_to_string("config/reference.toml").unwrap();
    let (mut whole, mut others) = (String::new(), Vec::new());
    let mut keys = BTreeSet::new();
    let mut table = "";
    let mut within = false;
    for line in text.lines() {
        let bare = line.strip_prefix("# ").unwrap_or(line);
        let key = bare.split_once(" = ").map(|(key, _)| key);
        let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "_\"".contains(letter);
        let key = key.filter(|key| key.chars().all(is_letter));
        let is_table = bare.starts_with('[') && bare.ends_with(']') && !bare.contains(' ');
        if is_table && !within {
            table = bare;
            keys.clear();
        } else if let Some(key) = key.filter(|_| !within)
            && !keys.insert(key)
        {
            others.push(format!("{table}\n{bare}\n"));
            continue;
        } else if key.is_none() && !within {
            assert!(line.starts_with('#') || line.is_empty(), "{line}");
            continue;
        }
        whole.push_str(bare);
        whole.push('\n');
        within = (within || bare.ends_with('[')) && bare != "]";
    }
    others.insert(0, whole);
    others
}

/// The keys of each definition that a value has, and of the file itself.
fn keys_by_definition(
    root: &Value,
    (name, schema): (&str, &Value),
    value: &Value,
    seen: &mut BTreeMap<String, BTreeSet<String>>,
) {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap();
        return keys_by_definition(root, (name, &root["$defs"][name]), value, seen);
    }
    match value {
        Value::Array(elements) => {
            for element in elements {
                keys_by_definition(root, (name, &schema["items"]), element, seen);
            }
        }
        Value::Object(members) => {
            for (key, member) in members {
                let known = &schema["properties"][key];
                if known.is_null() {
                    let named = &schema["additionalProperties"];
                    keys_by_definition(root, (name, named), member, seen);
                } else {
                    seen.entry(name.to_owned()).or_default().insert(key.clone());
                    keys_by_definition(root, (name, known), member, seen);
                }
            }
        }
        _ => {}
    }
}

#[test]
fn its_keys_are_those_of_the_reference() {
    let schema = schema();
    let mut seen = BTreeMap::new();
    for text in whole_reference() {
        let faults = faults(&schema, &text);
        assert!(faults.is_empty(), "{faults:#?}\n{text}");
        keys_by_definition(&schema, ("file", &schema), &json(&text), &mut seen);
    }
    let definitions = schema["$defs"].as_object().unwrap();
    let definitions = definitions
        .iter()
        .map(|(name, schema)| (name.as_str(), schema));
    let mut count = 0;
    for (name, schema) in definitions.chain([("file", &schema)]) {
        let Some(properties) = schema["properties"].as_object() else {
            continue;
        };
        let of_reference = seen.remove(name).unwrap_or_default();
        for (key, property) in properties {
            assert!(
                of_reference.contains(key),
                "{key} of {name} is not in config/reference.toml"
            );
            let described = property["description"].as_str();
            assert!(
                described.is_some_and(|text| !text.is_empty()),
                "{name}.{key}"
            );
            count += 1;
        }
        assert_eq!(schema["additionalProperties"], false, "{name}");
    }
    assert!(count > 150, "{count} keys");
}

// What is wrong.

/// Lines that make a good file a wrong one, and a part of what stands in the place of the fault.
const WRONG: [(&str, &str); 40] = [
    // Unknown keys, at any depth.
    ("servers = 1", ""),
    ("[server]\nworker = 1", "/server"),
    ("[server.shutdown]\ndelays = \"1s\"", "/server/shutdown"),
    ("[admin]\naddress = \"127.0.0.1:9900\"\nport = 1", "/admin"),
    (
        "[admin]\naddress = \"127.0.0.1:9900\"\ntls = { certificate = \"a\" }",
        "/admin/tls",
    ),
    (
        "[listeners.b]\naddress = \"127.0.0.1:2\"\nport = 1",
        "/listeners/b",
    ),
    (
        "[listeners.b]\naddress = \"127.0.0.1:2\"\nlimits = { header = 1 }",
        "/listeners/b/limits",
    ),
    ("[[routes]]\npool = \"shop\"\nhost = []", "/routes/1"),
    (
        "[[routes]]\npool = \"shop\"\nheaders = [{ key = \"a\" }]",
        "/routes/1/headers/0",
    ),
    (
        "[pools.b]\nbackends = [{ address = \"127.0.0.1:2\", weigth = 2 }]",
        "/pools/b/backends/0",
    ),
    ("[pools.shop.sticky]\nsecrets = []", "/pools/shop/sticky"),
    (
        "[pools.shop.sticky]\nsecret = { path = \"a\" }",
        "/pools/shop/sticky/secret",
    ),
    // Other types.
    ("include = \"conf.d/*.toml\"", "/include"),
    ("server = 1", "/server"),
    ("[server]\nworkers = \"4\"", "/server/workers"),
    ("[server]\nworkers = 1.5", "/server/workers"),
    ("[log]\nlevel = 3", "/log/level"),
    ("[log]\naccess = \"stdout\"", "/log/access"),
    ("[log.access]\nquery = \"yes\"", "/log/access/query"),
    ("[log.access]\nredact = \"token\"", "/log/access/redact"),
    ("[listeners.b]\naddress = 8080", "/listeners/b/address"),
    (
        "[listeners.b]\naddress = \"127.0.0.1:2\"\ntrusted_proxies = [10]",
        "/listeners/b/trusted_proxies/0",
    ),
    ("[[routes]]\npool = [\"shop\"]", "/routes/1/pool"),
    (
        "[[routes]]\npool = \"shop\"\nresponse_headers = { set = { a = 1 } }",
        "/routes/1/response_headers/set/a",
    ),
    (
        "[pools.b]\nbackends = [\"127.0.0.1:2\"]",
        "/pools/b/backends/0",
    ),
    (
        "[pools.b]\nbackends = { address = \"127.0.0.1:2\" }",
        "/pools/b/backends",
    ),
    (
        "[pools.shop.retry]\nattempts = \"2\"",
        "/pools/shop/retry/attempts",
    ),
    // Units.
    (
        "[server.shutdown]\ndeadline = 30",
        "/server/shutdown/deadline",
    ),
    (
        "[server.shutdown]\ndeadline = \"30\"",
        "/server/shutdown/deadline",
    ),
    (
        "[server.shutdown]\ndeadline = \"1.5s\"",
        "/server/shutdown/deadline",
    ),
    (
        "[pools.shop.timeouts]\nconnect = \"1 second\"",
        "/pools/shop/timeouts/connect",
    ),
    (
        "[pools.shop.retry]\nbudget = \"0.2\"",
        "/pools/shop/retry/budget",
    ),
    (
        "[pools.shop.retry]\nbudget = \"120%\"",
        "/pools/shop/retry/budget",
    ),
    (
        "[pools.shop.retry]\nhedge = \"p99\"",
        "/pools/shop/retry/hedge",
    ),
    (
        "[listeners.b]\naddress = \"127.0.0.1:2\"\nlimits = { header_bytes = \"16KB\" }",
        "/listeners/b/limits/header_bytes",
    ),
    (
        "[listeners.b]\naddress = \"127.0.0.1:2\"\nlimits = { body_rate = \"500B\" }",
        "/listeners/b/limits/body_rate",
    ),
    // Words.
    ("[log]\nlevel = \"verbose\"", "/log/level"),
    (
        "[pools.b]\nstrategy = \"roundrobin\"\nbackends = [{ address = \"127.0.0.1:2\" }]",
        "/pools/b/strategy",
    ),
    (
        "[pools.b]\nprotocol = \"h3\"\nbackends = [{ address = \"127.0.0.1:2\" }]",
        "/pools/b/protocol",
    ),
    (
        "[pools.shop.health]\npath = \"/\"\ncheck = \"icmp\"",
        "/pools/shop/health/check",
    ),
];

const GOOD: &str = "[listeners.web]\naddress = \"127.0.0.1:1\"\n[[routes]]\npool = \"shop\"\n[pools.shop]\nbackends = [{ address = \"127.0.0.1:3\" }]\n";

#[test]
fn what_the_loader_refuses_for_type_or_key_the_schema_refuses_in_the_same_place() {
    let schema = schema();
    let load = |text: &str| load_text(text, Path::new("a.toml"), &Options::new());
    assert!(load(GOOD).is_ok());
    assert!(faults(&schema, GOOD).is_empty());
    for (lines, place) in WRONG {
        // Keys of the file itself stand before its tables; a table that is there already is written the long way.
        let text = if lines.starts_with('[') {
            format!("{GOOD}{lines}\n")
        } else {
            format!("{lines}\n{GOOD}")
        };
        assert!(load(&text).is_err(), "{text}");
        let faults = faults(&schema, &text);
        let found = faults
            .iter()
            .any(|fault| fault.starts_with(&format!("{place}:")));
        assert!(found, "{place}: {faults:#?}\n{text}");
    }
}

#[test]
fn the_command_prints_it() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_forecourt"))
        .arg("schema")
        .output()
        .unwrap();
    assert!(output.status.success());
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        printed["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    assert_eq!(printed, schema());
}
