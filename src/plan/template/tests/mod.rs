//! Templates: what is refused and where, what is filled in, and what nothing that is filled in can do.

mod properties;

use super::*;
use crate::plan::action::{Redirect, check_redirect, rest};
use crate::route::resolved;
use crate::route::rules::PathRules;

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
#[allow(clippy::too_many_lines, reason = "one table")]
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
            "/100%/%zz/%2{uri}?50%25",
            Place::RewritePath,
            any,
            &[
                "%: '%' cannot stand here",
                "%: '%' cannot stand here",
                "%: '%' cannot stand here",
            ],
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
#[allow(clippy::too_many_lines, reason = "one table")]
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
