//! Templates: what is refused and where, what is filled in, and what nothing that is filled in can do.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::plan::action::{Redirect, check_redirect, rest, rewritten};
use crate::route::rules::PathRules;
use crate::route::{resolved, view};

fn parse(text: &str, place: Place) -> Result<Template, Vec<TemplateError>> {
    Template::parse(text, place, &PathPattern::Any)
}

fn prefix(text: &str) -> PathPattern {
    PathPattern::prefix(text).unwrap()
}

fn regex(text: &str) -> PathPattern {
    PathPattern::regex(text).unwrap()
}

/// What is wrong, each with the text that it points to.
fn errors(text: &str, place: Place, path: &PathPattern) -> Vec<String> {
    let errors = Template::parse(text, place, path).unwrap_err();
    errors
        .iter()
        .map(|error| format!("{}: {}", &text[error.at.clone()], error.what))
        .collect()
}

#[test]
fn every_problem_has_its_place() {
    let any = &PathPattern::Any;
    for (text, place, path, expected) in [
        (
            "/{hots}",
            Place::Redirect,
            any,
            &["{hots}: there is no value `{hots}`"][..],
        ),
        (
            "/a}{b",
            Place::Redirect,
            any,
            &["}: `}` closes nothing", "{: `{` is not closed"],
        ),
        (
            "/{{{x",
            Place::Redirect,
            any,
            &["{: '{' cannot stand here", "{: `{` is not closed"],
        ),
        (
            "/x{rest}{1}{backend}",
            Place::Redirect,
            any,
            &[
                "{rest}: `{rest}` cannot stand here: it is what follows a `path_prefix`, and there is none",
                "{1}: `{1}` cannot stand here: numbers are groups of a `path_regex`, and there is none",
                "{backend}: `{backend}` cannot stand here: no backend has been picked when it is filled in",
            ],
        ),
        (
            "{status}",
            Place::ResponseField,
            any,
            &["{status}: `{status}` cannot stand here: it belongs to error pages"],
        ),
        (
            "/a b\u{fc}\n",
            Place::RewritePath,
            any,
            &[
                " : ' ' cannot stand here",
                "\u{fc}: '\u{fc}' cannot stand here",
                "\n: '\\n' cannot stand here",
            ],
        ),
        (
            "/a#b",
            Place::RewritePath,
            any,
            &["#: '#' cannot stand here"],
        ),
        (
            "a\r\nb",
            Place::RequestField,
            any,
            &["\r: '\\r' cannot stand here", "\n: '\\n' cannot stand here"],
        ),
        (
            "a/b",
            Place::RewriteHost,
            any,
            &["/: '/' cannot stand here"],
        ),
        (
            "{2}{0}",
            Place::RequestField,
            &regex("(a)"),
            &[
                "{2}: the regex of this route has no group 2",
                "{0}: the regex of this route has no group 0",
            ],
        ),
        (
            "{host}",
            Place::RequestField,
            &regex("(?P<host>a)"),
            &["{host}: `{host}` is a group of the regex and a value as well"],
        ),
    ] {
        assert_eq!(errors(text, place, path), expected, "{text}");
    }
}

fn values<'a>() -> Values<'a> {
    Values {
        host: b"shop.example",
        port: Some(8080),
        scheme: "http",
        method: b"GET",
        path: b"/api/a;b%3Bc",
        query: b"?x=1&y=<",
        rest: b"/a;b%3Bc",
        captures: &[b"/p/\xc3\xa9 /%2F%", b"\xc3\xa9 /%2F%"],
        client: Some([192, 0, 2, 1].into()),
        request_id: b"id/1",
        listener: "web",
        route: "a\"<b>\r\n&'\\",
        backend: "127.0.0.1:9001",
        status: Some(503),
        reason: "Service Unavailable",
        code: "no-backend",
    }
}

fn filled(text: &str, place: Place, encoding: Encoding) -> String {
    let path = if text.contains("{rest}") {
        prefix("/api")
    } else {
        regex("/p/(.*)")
    };
    let template = Template::parse(text, place, &path).unwrap();
    let mut out = b"before ".to_vec();
    template.render(&values(), encoding, &mut out);
    let out = String::from_utf8(out).unwrap();
    out.strip_prefix("before ").unwrap().to_owned()
}

#[test]
fn values_are_filled_in_where_they_do_no_harm() {
    for (text, place, encoding, expected) in [
        (
            "https://{host}:{port}{uri}",
            Place::Redirect,
            Encoding::Url,
            "https://shop.example:8080/api/a;b%3Bc?x=1&y=%3C",
        ),
        ("/v2{rest}", Place::Redirect, Encoding::Url, "/v2/a;b%3Bc"),
        (
            "/v2{rest}?to={rest}{query}",
            Place::Redirect,
            Encoding::Url,
            "/v2/a;b%3Bc?to=/a%3Bb%253Bc&x=1&y=%3C",
        ),
        (
            "/login?next={uri}",
            Place::Redirect,
            Encoding::Url,
            "/login?next=/api/a%3Bb%253Bc%3Fx%3D1%26y%3D%3C",
        ),
        (
            "/q/{1}?{1}&{request_id}",
            Place::Redirect,
            Encoding::Url,
            "/q/%C3%A9%20/%2F%25?%C3%A9%20/%2F%25&id%2F1",
        ),
        (
            "/{{{method}}}",
            Place::RequestField,
            Encoding::Field,
            "/{GET}",
        ),
        (
            " {client}\t{route} ",
            Place::RequestField,
            Encoding::Field,
            "192.0.2.1\ta\"<b>&'\\",
        ),
        (
            "{backend}",
            Place::ResponseField,
            Encoding::Field,
            "127.0.0.1:9001",
        ),
        (
            "<b>{route}</b>",
            Place::Page,
            Encoding::Html,
            "<b>a&quot;&lt;b&gt;&amp;&#39;\\</b>",
        ),
        (
            "{\"a\":\"{route}\"}",
            Place::Page,
            Encoding::Json,
            "{\"a\":\"a\\\"<b>&'\\\\\"}",
        ),
        (
            "a{b:c} @m{d{e:f}}\n{status} {reason} {code} {{code}} { host } {{}}",
            Place::Page,
            Encoding::Text,
            "a{b:c} @m{d{e:f}}\n503 Service Unavailable no-backend {code} { host } {{}}",
        ),
    ] {
        assert_eq!(filled(text, place, encoding), expected, "{text}");
    }
}

#[test]
fn a_redirect_leads_where_it_says() {
    for (text, verdict) in [
        ("https://{host}{uri}", None),
        ("https://www.{host}:8443{path}", None),
        ("http://[2001:db8::1]:80/{1}", None),
        ("https://shop.example{query}", None),
        ("https://shop.example", None),
        ("/", None),
        ("/a{1}", None),
        ("/?to={uri}", None),
        ("shop.example/", Some("shop.example/")),
        ("HTTPS://shop.example/", Some("HTTPS://shop.example/")),
        ("{scheme}://shop.example/", Some("{scheme}://shop.example/")),
        ("//shop.example/", Some("//shop.example/")),
        ("/{1}", Some("/{1}")),
        ("{uri}", Some("{uri}")),
        ("https://shop.example{1}", Some("{1}")),
        ("https://{1}.shop.example/", Some("{1}")),
        ("https://shop.example{query}{1}", Some("{1}")),
        ("https://shop.example{query}.org", Some(".")),
        ("https://shop.example{query}:{port}", Some(":")),
        ("https://user@shop.example/", Some("@")),
        ("https://", Some("https://")),
        ("https:///a", Some("/")),
        ("https://{uri}", Some("{uri}")),
    ] {
        let template = Template::parse(text, Place::Redirect, &regex("(.*)")).unwrap();
        let found = check_redirect(&template).err().map(|(_, at)| &text[at]);
        assert_eq!(found, verdict, "{text}");
    }
    let nothing = Template::parse("", Place::Redirect, &PathPattern::Any).unwrap();
    assert!(check_redirect(&nothing).is_err());
}

#[test]
fn the_rest_is_by_segments() {
    for (pattern, path, expected) in [
        ("/", "/", "/"),
        ("/", "/a/b", "/a/b"),
        ("/api", "/api", ""),
        ("/api/", "/api/", "/"),
        ("/api", "/%61pi/x", "/x"),
        ("/a/b", "/x/../a//b/c%2Fd/", "/c%2Fd/"),
        ("/caf%C3%A9", "/caf%c3%a9/1", "/1"),
    ] {
        let form = resolved(path.as_bytes(), PathRules::default()).unwrap();
        assert_eq!(rest(&prefix(pattern), &form), expected.as_bytes(), "{path}");
    }
}

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

#[test]
fn a_redirect_without_a_host_to_go_to_is_none() {
    let to = parse("https://{host}{uri}", Place::Redirect).unwrap();
    let redirect = Redirect { status: 308, to };
    let values = Values {
        path: b"//evil.example/",
        ..Values::default()
    };
    assert_eq!(redirect.location(&values, &mut Vec::new()), None);
}
