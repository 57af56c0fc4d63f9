//! `forecourt explain` says what a running balancer does, and why.

use std::fmt::Write as _;

use serde_json::Value;

use super::text;
use crate::harness::{Balancer, Origin, Request, program};

const ROUTES: &str = r#"
[[routes]]
name = "shop"
pool = "shop"
[[routes]]
name = "canary"
path_prefix = "/"
headers = [{ name = "x-canary", value = "1" }]
pool = "canary"
[[routes]]
name = "office"
path_prefix = "/"
clients = ["10.0.0.0/8"]
methods = ["GET", "TRACE"]
pool = "office"
[[routes]]
name = "api"
hosts = ["*.shop.example"]
path_regex = "^/v[0-9]+/"
query = [{ name = "key" }]
pool = "canary"
"#;

/// A balancer with those routes, whose peers on this machine are trusted, and an origin for each pool.
struct Site {
    balancer: Balancer,
    file: String,
    _origins: Vec<Origin>,
    _folder: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let mut configuration =
            "[admin]\naddress = \"127.0.0.1:0\"\n[listeners.web]\naddress = \"127.0.0.1:0\"\n\
             trusted_proxies = [\"127.0.0.1\"]\npaths = { dot_segments = \"reject\" }\n"
                .to_owned();
        configuration.push_str(ROUTES);
        let named = |name: &str| [format!("{name}-1"), format!("{name}-2")];
        let mut origins = Vec::new();
        for (name, keys) in [
            ("shop", "strategy = \"ip-hash\""),
            (
                "canary",
                "strategy = \"random\"\nsticky = { secret = { file = \"SECRET\" } }",
            ),
            ("office", "strategy = \"ip-hash\""),
        ] {
            let _ = writeln!(configuration, "[pools.{name}]\n{keys}");
            for id in named(name) {
                let origin = Origin::named(&id);
                let _ = writeln!(
                    configuration,
                    "[[pools.{name}.backends]]\naddress = \"{}\"\nid = \"{id}\"",
                    origin.address()
                );
                origins.push(origin);
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let (secret, file) = (folder.path().join("key"), folder.path().join("site.toml"));
        std::fs::write(&secret, "a secret of the test").unwrap();
        let configuration = configuration.replace("SECRET", secret.to_str().unwrap());
        std::fs::write(&file, &configuration).unwrap();
        let balancer = Balancer::start(&configuration);
        Self {
            file: file.to_str().unwrap().to_owned(),
            balancer,
            _origins: origins,
            _folder: folder,
        }
    }

    /// What is said of a request, and the exit code.
    #[track_caller]
    fn explain(&self, arguments: &[&str]) -> (Option<i32>, Value) {
        let all = [&["explain", "--json", "--config", &self.file], arguments].concat();
        let output = program(&all);
        let said = serde_json::from_slice(&output.stdout);
        let said = said.unwrap_or_else(|_| panic!("{arguments:?}: {}", text(&output.stderr)));
        (output.status.code(), said)
    }
}

/// Winner and, where the strategy does not depend on the moment, backend are those of the data path.
#[test]
fn what_is_explained_is_what_happens() {
    let site = Site::new();
    let mut client = site.balancer.client("web");
    let bound = client.send(&Request::get("/").field("x-canary", "1"));
    let cookie = bound.field("set-cookie").unwrap();
    let cookie = cookie.split(';').next().unwrap();
    let mut seen = [0; 3];
    for host in ["shop.example", "a.shop.example", "a.b.shop.example:80"] {
        for path in [
            "/",
            "/v1/x?key",
            "/v1/x",
            "/%76%31/x?k=1&%6bey=2",
            "/v1?key",
        ] {
            for fields in [
                &[][..],
                &[("x-canary", "1")],
                &[("x-forwarded-for", "10.1.2.3")],
                &[("x-forwarded-for", "192.0.2.17"), ("cookie", cookie)],
                &[("x-canary", "1"), ("cookie", cookie)],
            ] {
                let url = format!("http://{host}{path}");
                let headers: Vec<String> =
                    fields.iter().map(|(n, v)| format!("{n}: {v}")).collect();
                let mut arguments = vec![url.as_str(), "--client", "127.0.0.1"];
                for header in &headers {
                    arguments.extend(["--header", header]);
                }
                let (code, said) = site.explain(&arguments);
                assert_eq!(code, Some(0), "{arguments:?}");
                let request = fields
                    .iter()
                    .fold(Request::get(path).host(host), |request, (name, value)| {
                        request.field(name, value)
                    });
                let origin = client.send(&request).origin().to_owned();
                let taker = &said["taken_by"];
                let pool = taker["pool"].as_str().unwrap();
                assert!(origin.starts_with(pool), "{arguments:?}: {origin} {said}");
                match (taker["backend"]["id"].as_str(), taker["by"].as_str()) {
                    (Some(id), by) => {
                        assert_eq!(id, origin, "{arguments:?}: {said}");
                        seen[usize::from(by == Some("sticky-cookie"))] += 1;
                    }
                    (None, _) => {
                        assert_eq!(taker["share"].as_array().unwrap().len(), 2);
                        seen[2] += 1;
                    }
                }
            }
        }
    }
    assert!(seen.iter().all(|count| *count > 3), "{seen:?}");
}

/// Why each of the others does not take it; refusals, and the exit codes.
#[test]
fn reasons_and_refusals_are_named() {
    let site = Site::new();
    let (code, said) = site.explain(&["http://shop.example/v1/x", "--client", "10.1.2.3"]);
    assert_eq!(code, Some(0));
    let lines: Vec<_> = said["routes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| {
            let word = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
            (word("route"), word("verdict"), word("reason"))
        })
        .collect();
    let line = |route: &str, verdict: &str, reason: &str| {
        (route.to_owned(), verdict.to_owned(), reason.to_owned())
    };
    assert_eq!(
        lines,
        [
            line("api", "misses", "host"),
            line("office", "takes", ""),
            line("canary", "misses", "header x-canary = \"1\""),
            line(
                "shop",
                "outranked",
                "a more specific kind of path comes first (exact, regex, prefix, any)"
            ),
        ]
    );
    for (arguments, status, code) in [
        (&["/a/../b"][..], 400, "ambiguous-path"),
        (&["/%00"], 400, "ambiguous-path"),
        (&["http://u@shop.example/"], 400, "bad-request"),
        (&["/", "--method", "CONNECT"], 405, "method-not-allowed"),
        (&["/", "--method", "TRACE"], 405, "method-not-allowed"),
    ] {
        let (exit, said) = site.explain(arguments);
        let refused = &said["refused"];
        assert_eq!(exit, Some(1), "{arguments:?}");
        assert_eq!(
            (refused["status"].as_u64(), refused["code"].as_str()),
            (Some(status), Some(code)),
            "{arguments:?}"
        );
    }
    let (exit, said) = site.explain(&["/", "--method", "TRACE", "--client", "10.0.0.1"]);
    assert_eq!(
        (exit, said["taken_by"]["route"].as_str()),
        (Some(0), Some("office"))
    );
}

/// Which listener is assumed, and that nobody is asked who cannot answer.
#[test]
#[allow(clippy::too_many_lines, reason = "one table of questions")]
fn assumptions_and_mistakes_are_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("listeners.toml");
    std::fs::write(
        &file,
        "[listeners.one]\naddress = \"127.0.0.1:8080\"\n[listeners.two]\naddress = \"127.0.0.1:8081\"\n\
         [listeners.local]\naddress = \"unix:web.sock\"\n\
         [[routes]]\nlisteners = [\"two\", \"local\"]\npool = \"shop\"\n\
         [pools.shop]\nbackends = [{ address = \"127.0.0.1:1\" }]\n",
    )
    .unwrap();
    let file = file.to_str().unwrap();
    for (arguments, exit, parts) in [
        (
            &["http://a:8081/"][..],
            0,
            &[
                "two (127.0.0.1:8081), assumed: it has the URL's port",
                "127.0.0.1, assumed",
            ][..],
        ),
        (
            &["http://a:8080/"],
            1,
            &[
                "one (127.0.0.1:8080), assumed: it has",
                "404 no-route",
                "no: listener",
            ],
        ),
        (
            &["http://a:8080/", "--method", "TRACE"],
            1,
            &["405 method-not-allowed: no route takes it"],
        ),
        (
            &["http://a/"],
            1,
            &[
                "one (127.0.0.1:8080), assumed: it is the first",
                "--listener",
            ],
        ),
        (
            &["https://a:8081/"],
            1,
            &["one (127.0.0.1:8080), assumed: it is the first"],
        ),
        (
            &["http://a/", "--listener", "two"],
            0,
            &["two (127.0.0.1:8081)\n", "weight   1  100.0 %"],
        ),
        (
            &["http://a/", "--listener", "local"],
            0,
            &["by a Unix socket"],
        ),
    ] {
        let output = program(&[&["explain", "--config", file], arguments].concat());
        let said = text(&output.stdout);
        assert_eq!(output.status.code(), Some(exit), "{arguments:?}\n{said}");
        for part in parts {
            assert!(said.contains(part), "{part} is not in\n{said}");
        }
        assert!(!said.contains('\u{1b}'), "no colours on a pipe");
    }
    let output = program(&["explain", "/", "--config", file, "--color", "always"]);
    assert!(text(&output.stdout).contains('\u{1b}'));
    for (arguments, part) in [
        (
            &["explain", "/", "--config", "/nowhere.toml"][..],
            "/nowhere.toml",
        ),
        (
            &["explain", "/", "--config", file, "--listener", "three"],
            "one, two, local",
        ),
        (
            &["explain", "/", "--config", file, "--header", "x"],
            "is not a field",
        ),
        (
            &["explain", "/", "--config", file, "--header", "x y: z"],
            "is not a field",
        ),
        (
            &["explain", "/", "--config", file, "--method", "G T"],
            "is not a method",
        ),
        (&["explain", "ftp://a/", "--config", file], "scheme"),
        (
            &["explain", "/caf\u{e9}", "--config", file],
            "percent-encoded",
        ),
        (
            &["explain", "/", "--config", file, "--client", "x"],
            "--client",
        ),
    ] {
        let output = program(arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}\n{said}");
        assert!(
            said.contains(part) && output.stdout.is_empty(),
            "{part} is not in\n{said}"
        );
    }
}

/// Of many routes those are shown whose host and path fit.
#[test]
fn of_thousands_the_near_ones_are_shown() {
    let mut configuration = String::from(
        "[listeners.web]\naddress = \"127.0.0.1:0\"\n[pools.shop]\nbackends = [{ address = \"127.0.0.1:1\" }]\n",
    );
    for n in 0..3_000 {
        let keys = match n % 3 {
            0 => format!("hosts = [\"h{n}.example\"]"),
            1 => format!("path = \"/p{n}\""),
            _ => format!(
                "path_prefix = \"/{}\"\nheaders = [{{ name = \"h{n}\" }}]",
                if n < 30 { "near" } else { "far" }
            ),
        };
        let _ = writeln!(
            configuration,
            "[[routes]]\nname = \"r{n}\"\npool = \"shop\"\n{keys}"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("many.toml");
    std::fs::write(&file, configuration).unwrap();
    let file = file.to_str().unwrap();
    let arguments = [
        "explain", "/near/x", "--config", file, "--header", "h29: 1", "--header", "h5: 1",
    ];
    let said = text(&program(&arguments).stdout);
    for part in [
        "r5 takes it",
        "no: header h2",
        "could: an equal route stands before it",
        "and 1990 of another path",
        "and 1000 of another host",
    ] {
        assert!(said.contains(part), "{part} is not in\n{said}");
    }
    assert!(said.lines().count() < 24, "{said}");
    let said = text(&program(&[&arguments[..], &["--all"]].concat()).stdout);
    assert!(said.lines().count() > 3_000);
}

/// Who asks for https where nobody speaks TLS is told that this is not what is answered.
#[test]
fn another_scheme_than_the_listeners_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("forecourt.toml");
    let listener = "[listeners.web]\naddress = \"127.0.0.1:0\"\n";
    let rest = "[[routes]]\nrespond = { body = \"ok\" }\n";
    let tls = "[listeners.web.tls]\nself_signed = [\"shop.example\"]\n";
    let explained = |url: &str| {
        let output = program(&["explain", url, "--config", file.to_str().unwrap()]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    std::fs::write(&file, format!("{listener}{rest}")).unwrap();
    let line = "  scheme    the listener has no TLS: ";
    let said = explained("https://shop.example/");
    assert!(said.contains(line), "{said}");
    for url in ["http://shop.example/", "shop.example/", "/"] {
        assert!(!explained(url).contains("  scheme "), "{url}");
    }
    std::fs::write(&file, format!("{listener}{tls}{rest}")).unwrap();
    assert!(!explained("https://shop.example/").contains("  scheme "));
    let said = explained("http://shop.example/");
    assert!(
        said.contains("  scheme    the listener has TLS: "),
        "{said}"
    );
}
