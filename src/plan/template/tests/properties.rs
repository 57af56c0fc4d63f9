//! What no request can do, whatever it brings.

use proptest::prelude::*;
use proptest::sample::select;

use super::{prefix, regex};
use crate::plan::action::{Redirect, check_redirect, rest, rewritten};
use crate::plan::template::{Encoding, Place, Template, Values};
use crate::route::rules::PathRules;
use crate::route::{resolved, view};

/// What a browser takes for scheme and host: it drops tabs and line ends, and takes backslashes for slashes.
fn leads_to(location: &str) -> String {
    let seen = location.replace(['\t', '\r', '\n'], "").replace('\\', "/");
    let (scheme, rest) = match seen.split_once("://") {
        Some((scheme @ ("http" | "https"), rest)) => (scheme, rest),
        _ if seen.starts_with("//") => ("", &seen[2..]),
        _ if seen.starts_with('/') => return String::new(),
        _ => return format!("? {seen}"),
    };
    let rest = rest.trim_start_matches('/');
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    format!("{scheme}://{}", &rest[..end])
}

/// Any bytes, and those that mean something to some reader.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let pieces: Vec<&[u8]> = vec![
        b"/",
        b"//",
        b"\\",
        b"@evil.example",
        b".evil.example",
        b"?",
        b"#",
        b"%2F",
        b"%5c",
        b"%0d%0a",
        b"\r\n",
        b"\t",
        b"\0",
        b"..",
        b"/../",
        b"%2e%2e",
        b":80",
        b"a",
        b"<script>",
        b"\"",
        b"%",
        b"\xff",
        b"&",
        b" ",
    ];
    let piece = prop_oneof![
        select(pieces).prop_map(<[u8]>::to_vec),
        proptest::collection::vec(any::<u8>(), 0..4)
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

/// Templates of pieces, of which many are refused.
fn written() -> impl Strategy<Value = String> {
    let start = select(vec![
        "https://",
        "http://shop.example",
        "/",
        "/a",
        "https://{host}",
        "https://shop.example/",
        "{rest}",
        "/{1}",
        "",
    ]);
    let pieces = vec![
        "{host}",
        "{port}",
        "{path}",
        "{uri}",
        "{query}",
        "{rest}",
        "{1}",
        "{name}",
        "{method}",
        "{request_id}",
        "{client}",
        "/",
        "?",
        "#",
        "a",
        ".",
        ":",
        "@",
        "{{",
        "=",
    ];
    (start, proptest::collection::vec(select(pieces), 0..6))
        .prop_map(|(start, pieces)| format!("{start}{}", pieces.concat()))
}

fn hostile_values<'a>(
    path: &'a [u8],
    query: &'a [u8],
    captures: &'a [&'a [u8]],
    rest: &'a [u8],
    other: &'a [u8],
) -> Values<'a> {
    Values {
        host: b"asked.example",
        port: Some(80),
        scheme: "http",
        method: other,
        path,
        query,
        rest,
        captures,
        client: None,
        request_id: other,
        ..Values::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn no_request_changes_where_a_redirect_leads(to in written(), path in hostile(), query in hostile(), other in hostile()) {
        let path = [b"/", &path[..]].concat();
        for pattern in [prefix("/"), regex("^(?P<name>.)?(?s-u:.*)")] {
            let Ok(template) = Template::parse(&to, Place::Redirect, &pattern) else { continue };
            if check_redirect(&template).is_err() {
                continue;
            }
            let redirect = Redirect { status: 307, to: template };
            let locate = |values: &Values<'_>| {
                let mut location = Vec::new();
                redirect.location(values, &mut location).unwrap();
                String::from_utf8(location).unwrap()
            };
            let query = [b"?", &query[..]].concat();
            let captures = [&other[..], &other, &other];
            let hostile = locate(&hostile_values(&path, &query, &captures, &path, &other));
            let tame = locate(&hostile_values(b"/", b"", &[b"", b"", b""], b"", b""));
            prop_assert_eq!(leads_to(&hostile), leads_to(&tame), "{} {}", hostile, tame);
            prop_assert!(hostile.bytes().all(|byte| (b'!'..=b'~').contains(&byte)), "{}", hostile);
        }
    }

    #[test]
    fn nothing_that_is_filled_in_ends_a_line_or_a_tag(other in hostile()) {
        let template = Template::parse("[{route}{method}{1}]", Place::Page, &regex("(.*)")).unwrap();
        let route = String::from_utf8_lossy(&other).into_owned();
        let captures = [&other[..], &other];
        let values = Values { route: &route, ..hostile_values(b"/", b"", &captures, b"", &other) };
        for encoding in [Encoding::Url, Encoding::Field, Encoding::Html, Encoding::Json, Encoding::Text] {
            let mut out = Vec::new();
            template.render(&values, encoding, &mut out);
            prop_assert!(out.starts_with(b"[") && out.ends_with(b"]"));
            prop_assert!(!out.iter().any(u8::is_ascii_control), "{}", out.escape_ascii());
            let inside = &out[1..out.len() - 1];
            match encoding {
                Encoding::Html => prop_assert!(!inside.iter().any(|byte| b"<>\"'".contains(byte))),
                Encoding::Json => {
                    let quoted = format!("\"{}\"", std::str::from_utf8(inside).unwrap());
                    prop_assert!(serde_json::from_str::<String>(&quoted).is_ok(), "{}", quoted);
                }
                Encoding::Url | Encoding::Field | Encoding::Text => {}
            }
        }
    }

    #[test]
    fn a_rewritten_path_is_resolved_and_keeps_what_is_escaped(raw in hostile()) {
        let raw: Vec<u8> = [b"/api/", &raw[..]].concat();
        // What a request's target can be.
        let raw: Vec<u8> = raw.into_iter().filter(|byte| (b'!'..=b'~').contains(byte) && !b"?#".contains(byte)).collect();
        let rules = PathRules::default();
        let Ok(form) = resolved(&raw, rules) else { return Ok(()) };
        let pattern = prefix("/api");
        let mut room = view::Room::new();
        let seen = view::of(&raw, rules, &mut room).unwrap().to_vec();
        if !(seen == b"/api" || seen.starts_with(b"/api/")) {
            return Ok(());
        }
        let template = Template::parse("/v2{rest}", Place::RewritePath, &pattern).unwrap();
        let values = hostile_values(&form, b"?a=%3B;", &[], rest(&pattern, &form), b"");
        let mut out = Vec::new();
        rewritten(&template, &values, rules, &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        let path = out.strip_suffix("?a=%3B;").unwrap();
        prop_assert!(path == "/v2" || path.starts_with("/v2/"), "{}", path);
        prop_assert!(!path.contains("//") && !path.split('/').any(|name| name == "." || name == ".."), "{}", path);
        // As a backend sees it, it is what a route saw, below another prefix.
        let mut room = view::Room::new();
        let behind = view::of(path.as_bytes(), rules, &mut room).unwrap();
        prop_assert_eq!(&behind[3..], &seen[4..]);
        let raw = String::from_utf8(raw).unwrap();
        for reserved in [";", "=", ":", "@", "&", "+", "$", ",", "!", "*", "'", "(", ")"] {
            prop_assert!(path.matches(reserved).count() <= raw.matches(reserved).count(), "{}", path);
        }
    }

    #[test]
    fn what_a_regex_took_leads_nowhere_else(raw in hostile()) {
        let captures = [&raw[..], &raw];
        let template = Template::parse("/v2/{1}", Place::RewritePath, &regex("(.*)")).unwrap();
        let mut out = Vec::new();
        if rewritten(&template, &hostile_values(b"/", b"", &captures, b"", b""), PathRules::default(), &mut out).is_ok() {
            let out = String::from_utf8(out).unwrap();
            prop_assert!(out.starts_with("/v2/"), "{}", out);
            prop_assert!(!out.contains(['?', '#', ' ', '\\']), "{}", out);
            let form = resolved(out.as_bytes(), PathRules::default()).unwrap();
            prop_assert_eq!(out.as_bytes(), &*form);
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in ".{0,40}", names in proptest::collection::vec(select(vec!["{", "}", "{{", "host", "{1}", "{rest}", "\u{fc}"]), 0..8)) {
        let text = format!("{text}{}", names.concat());
        for place in [Place::Redirect, Place::RewritePath, Place::RewriteHost, Place::RequestField, Place::ResponseField, Place::Page] {
            match Template::parse(&text, place, &regex("(.)")) {
                Ok(template) => prop_assert_eq!(template.text(), &text),
                Err(errors) => {
                    prop_assert!(!errors.is_empty());
                    prop_assert!(errors.iter().all(|error| text.get(error.at.clone()).is_some_and(|part| !part.is_empty())));
                }
            }
        }
    }
}
