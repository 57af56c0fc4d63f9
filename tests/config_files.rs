//! The configurations that come with forecourt load; broken ones are refused with everything that is wrong, in place.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use forecourt::config::{
    Loaded, Options, Problem, Report, Secret, SelfSigned, Severity, load, load_text,
};
use forecourt::discovery::{Answers, LastGood, LookupError};
use forecourt::plan::Dns;
use forecourt::plan::diff::diff;
use forecourt::plan::names::Question;
use proptest::prelude::{ProptestConfig, any, proptest};

// The files in config/.

#[test]
fn every_file_that_comes_along_loads() {
    let mut count = 0;
    for entry in fs::read_dir("config").unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            // What the others name.
            continue;
        }
        let loaded = load(&path, &options())
            .unwrap_or_else(|report| panic!("{}:\n{report}", path.display()));
        for warning in &loaded.warnings {
            // Secrets and certificates are files of the operator's, names are his too; nothing else may be left to say.
            let known = [
                "no secret",
                "a self-signed certificate",
                "shop.internal:",
                "srv:",
            ];
            let is_known = known.iter().any(|start| warning.what.starts_with(start));
            assert!(is_known, "{warning}");
        }
        count += 1;
    }
    assert!(count >= 9, "{count} files");
}

#[test]
fn each_strategy_has_a_file_of_its_name() {
    for name in forecourt::strategy::Spec::NAMES {
        let loaded = load(&PathBuf::from(format!("config/{name}.toml")), &options()).unwrap();
        assert_eq!(loaded.plan.pools[0].strategy.name(), name);
    }
    assert!(
        load(Path::new("config/sticky.toml"), &options())
            .unwrap()
            .plan
            .pools[0]
            .sticky
            .is_some()
    );
}

#[test]
fn a_text_loads_as_if_it_stood_in_its_file() {
    for name in ["shop", "everything-wrong", "broken/syntax"] {
        let path = PathBuf::from(format!("tests/golden/{name}.toml"));
        let text = fs::read_to_string(&path).unwrap();
        let by_file = load(&path, &options()).map(|loaded| (loaded.plan, loaded.files));
        let by_text = load_text(&text, &path, &options()).map(|loaded| (loaded.plan, loaded.files));
        assert_eq!(format!("{by_file:?}"), format!("{by_text:?}"));
    }
}

#[test]
fn the_shop_is_what_the_readme_says() {
    let plan = load(Path::new("config/shop.toml"), &options())
        .unwrap()
        .plan;
    assert_eq!(plan.listeners[0].address.to_string(), "127.0.0.1:8080");
    assert_eq!(plan.admin.unwrap().address.to_string(), "127.0.0.1:9900");
    let backends = plan
        .pools
        .iter()
        .flat_map(|pool| &pool.backends)
        .map(|backend| backend.address.to_string());
    let expected = [9001, 9002, 9003, 9004].map(|port| format!("127.0.0.1:{port}"));
    assert!(backends.eq(expected));
    assert_eq!(
        plan.pools
            .iter()
            .filter(|pool| pool.sticky.is_some())
            .count(),
        1
    );
}

#[test]
fn the_reference_says_the_defaults() {
    let reference = load(Path::new("config/reference.toml"), &options())
        .unwrap()
        .plan;
    let folder = Folder::new();
    let bare = folder.load(
        r#"
        admin.address = "127.0.0.1:9900"
        listeners.web.address = "127.0.0.1:8080"
        [[routes]]
        name = "checkout"
        hosts = ["shop.example", "*.shop.example"]
        path_prefix = "/checkout"
        listeners = ["web"]
        pool = "checkout"
        [[routes]]
        path_prefix = "/"
        pool = "shop"
        [pools.shop]
        backends = [{ address = "127.0.0.1:9001" }, { address = "127.0.0.1:9002" }]
        health.path = "/healthz"
        [pools.checkout]
        strategy = "ip-hash"
        backends = [{ address = "127.0.0.1:9003" }, { address = "127.0.0.1:9004" }]
        "#,
    );
    let changes: Vec<_> = diff(&reference, &bare.unwrap().plan)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert!(changes.is_empty(), "{changes:#?}");
}

// Ten ways to be wrong.

#[test]
fn an_unknown_key() {
    let problem = only("[pools.shop]\nstrategi = \"random\"");
    assert_at(&problem, 2, 1, "unknown key `strategi`");
    assert_eq!(problem.help.as_deref(), Some("did you mean `strategy`?"));
    assert_eq!(problem.path, "pools.shop.strategi");
}

#[test]
fn a_wrong_type_hides_nothing_else() {
    let problems =
        errors("[server]\nworkers = \"two\"\nshutdown = 3\n[log]\nlevel = 3\nacces = {}");
    assert_eq!(problems.len(), 4);
    assert_at(&problems[0], 2, 11, "expected an integer, found a string");
    assert_at(&problems[1], 3, 12, "expected a table, found an integer");
    assert_at(&problems[2], 5, 9, "expected a string, found an integer");
    assert_at(&problems[3], 6, 1, "unknown key `acces`");
}

#[cfg(not(feature = "otel"))]
#[test]
fn a_feature_that_was_not_built_in() {
    let problem = only("[trace.export]\nendpoint = \"http://127.0.0.1:4318\"");
    assert_at(&problem, 1, 1, "this forecourt was built without `otel`");
    assert!(problem.help.unwrap().contains("build with --features otel"));
}

#[test]
fn a_duplicate_pool() {
    let problem = only("[pools.shop]\n[pools.shop]");
    assert_at(&problem, 2, 8, "`shop` is defined a second time");
}

#[test]
fn a_duplicate_pool_in_another_file() {
    let folder = Folder::new();
    folder.write(
        "more.toml",
        "\n[pools.shop]\nbackends = [{ address = \"127.0.0.1:2\" }]\n",
    );
    let problems = folder.errors(&format!("include = [\"more.toml\"]\n{GOOD}"));
    assert_eq!(problems.len(), 1);
    assert_at(
        &problems[0],
        2,
        8,
        "the pool `shop` is defined a second time",
    );
    assert!(problems[0].file.ends_with("more.toml"));
    assert!(
        problems[0]
            .also
            .as_ref()
            .unwrap()
            .file
            .ends_with("forecourt.toml")
    );
}

#[test]
fn a_route_to_no_pool() {
    let problem = only("[[routes]]\npath = \"/a\"\npool = \"shpo\"");
    assert_at(&problem, 3, 8, "there is no pool `shpo`");
    assert_eq!(problem.help.as_deref(), Some("did you mean `shop`?"));
}

#[test]
fn a_route_on_no_listener() {
    let problem =
        only("[[routes]]\npath = \"/a\"\nlisteners = [\"web\", \"wbe\"]\npool = \"shop\"");
    assert_at(&problem, 3, 21, "there is no listener `wbe`");
}

#[test]
fn weight_0_everywhere() {
    let problem = only(
        "[pools.other]\nbackends = [\n { address = \"127.0.0.1:1\", weight = 0 },\n { address = \"127.0.0.1:2\", weight = 0 },\n]",
    );
    assert_at(
        &problem,
        2,
        12,
        "all backends of the pool `other` have weight 0",
    );
}

#[test]
fn a_bad_network() {
    let problem = only(
        "[listeners.other]\naddress = \"127.0.0.1:81\"\ntrusted_proxies = [\"10.0.0.0/8\", \"10.0.0.0/40\"]",
    );
    assert_at(&problem, 3, 34, "\"10.0.0.0/40\" is not a network");
    assert_eq!(problem.path, "listeners.other.trusted_proxies[1]");
}

#[test]
fn a_bad_duration() {
    let problem = only("[server.shutdown]\ndeadline = \"30 sec\"");
    assert_at(
        &problem,
        2,
        12,
        "\"30 sec\" has the unit \"sec\", which does not exist",
    );
    let problem = only("[server.shutdown]\ndeadline = 30");
    assert_at(&problem, 2, 12, "expected a duration, found an integer");
}

#[test]
fn a_missing_file() {
    let problem = only(
        "[pools.other]\nbackends = [{ address = \"127.0.0.1:1\" }]\nsticky.secret = { file = \"no.key\" }",
    );
    assert_eq!(
        problem.at.as_ref().map(|at| (at.line, at.column)),
        Some((3, 26))
    );
    assert!(problem.what.contains("no.key: No such file"), "{problem}");

    let report = load(Path::new("no/such/file.toml"), &options()).unwrap_err();
    assert_eq!(
        report.problems[0].to_string(),
        "no/such/file.toml: no such file"
    );
    assert!(
        report.to_string().contains("--> no/such/file.toml"),
        "{report}"
    );
}

#[test]
fn two_listeners_on_one_address() {
    let problem = only(
        "[listeners.b]\naddress = \"127.0.0.1:81\"\n[listeners.a]\naddress = \"127.0.0.1:81\"",
    );
    assert_at(
        &problem,
        4,
        11,
        "127.0.0.1:81 is taken: the listener `b` listens on 127.0.0.1:81",
    );
    assert_eq!(problem.also.as_ref().unwrap().at.line, 2);
    let problem = only("[admin]\naddress = \"127.0.0.1:80\"");
    assert_at(
        &problem,
        2,
        11,
        "127.0.0.1:80 is taken: the listener `web` listens on 127.0.0.1:80",
    );
}

#[test]
fn invalid_toml() {
    let problems = errors("[server\nworkers = 2\n[log]\nlevel = \"info");
    assert_at(
        &problems[0],
        1,
        8,
        "not valid TOML: unclosed table, expected `]`",
    );
    assert_eq!(problems[1].at.as_ref().map(|at| at.line), Some(4));
}

#[test]
fn bytes_that_are_no_text() {
    let folder = Folder::new();
    let path = folder.path("forecourt.toml");
    fs::write(&path, b"[server]\nworkers = 2 # caf\xe9\n").unwrap();
    let report = load(&path, &options()).unwrap_err();
    assert_at(&report.problems[0], 2, 18, "the file is not UTF-8");
}

fn with_listener(lines: &str) -> Result<Loaded, Report> {
    let text = GOOD.replacen(
        "[listeners.web]\n",
        &format!("[listeners.web]\n{lines}\n"),
        1,
    );
    Folder::new().load(&text)
}

#[test]
fn limits_of_clients_are_read_and_checked() {
    let loaded = with_listener(
        "limits = { connections_per_client = 20, requests = 100, body_rate = \"2KiB/s\" }\n\
         trusted_proxies = [\"10.0.0.0/8\"]\nproxy_protocol = \"required\"",
    );
    let web = &loaded.unwrap().plan.listeners[0];
    assert_eq!(web.limits.connections_per_client, 20);
    assert_eq!(web.limits.requests, 100);
    assert_eq!(web.limits.body_rate, 2048);
    assert_eq!(web.proxy_protocol.as_str(), "required");
    let defaults = &with_listener("").unwrap().plan.listeners[0].limits;
    assert_eq!(
        (
            defaults.connections_per_client,
            defaults.requests,
            defaults.body_rate
        ),
        (0, 0, 500)
    );
}

#[test]
fn limits_that_make_no_sense_are_refused() {
    for (lines, what) in [
        ("limits = { body_rate = \"500\" }", "\"500\" has no unit"),
        (
            "limits = { body_rate = \"500B\" }",
            "\"500B\" has the unit \"B\", which does not exist",
        ),
        (
            "limits = { body_rate = 500 }",
            "expected a rate, found an integer",
        ),
        (
            "limits = { requests = -1 }",
            "`requests` is -1 and must be from 0 to 4294967295",
        ),
        (
            "proxy_protocol = \"requird\"",
            "unknown proxy_protocol \"requird\"",
        ),
        (
            "proxy_protocol = \"optional\"",
            "PROXY headers without anybody who may send them",
        ),
    ] {
        let report = with_listener(lines).unwrap_err();
        let found: Vec<_> = report
            .problems
            .iter()
            .map(|problem| &problem.what)
            .collect();
        assert_eq!(found, [what], "{lines}");
    }
    let unix = GOOD.replacen("127.0.0.1:80", "unix:/tmp/never.sock", 1);
    assert!(unix.contains("unix:"), "{unix}");
    let unix = unix.replacen(
        "[listeners.web]\n",
        "[listeners.web]\nproxy_protocol = \"optional\"\n",
        1,
    );
    Folder::new().load(&unix).unwrap();
}

// All at once.

#[test]
fn many_problems_are_reported_together_each_once() {
    let report = load(Path::new("tests/golden/everything-wrong.toml"), &options()).unwrap_err();
    assert!(report.errors() > 60, "{}", report.errors());
    let places: HashSet<_> = report.problems.iter().map(ToString::to_string).collect();
    assert_eq!(places.len(), report.problems.len());
    let placed = report.problems.iter().all(|problem| problem.at.is_some());
    assert!(placed, "{report}");
}

#[test]
fn nothing_at_all_says_what_is_needed() {
    let report = Folder::new().load("").unwrap_err();
    let lines: Vec<_> = report
        .problems
        .iter()
        .map(|problem| problem.what.as_str())
        .collect();
    assert_eq!(
        lines,
        [
            "there is no listener",
            "there is no route",
            "there is no pool"
        ]
    );
}

#[test]
fn a_report_can_be_read_by_scripts() {
    let report = Folder::new()
        .load(&format!("workers = 1\n{GOOD}"))
        .unwrap_err();
    let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
    assert_eq!(json[0]["severity"], "error");
    assert_eq!(json[0]["at"]["line"], 1);
    assert_eq!(json[0]["at"]["column"], 1);
    assert_eq!(json[0]["at"]["source"], "workers = 1");
    assert_eq!(json[0]["path"], "workers");
    assert!(report.render(true).contains("\u{1b}["));
    assert!(!report.render(false).contains('\u{1b}'));
}

// What is read besides.

#[test]
fn a_certificate_and_its_key() {
    let folder = Folder::new();
    let made = rcgen::generate_simple_self_signed(["shop.example".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["shop.example".to_owned()]).unwrap();
    folder.write("shop.pem", &made.cert.pem());
    folder.write("shop.key", &made.signing_key.serialize_pem());
    folder.write("other.key", &other.signing_key.serialize_pem());
    let with_key = |key: &str| {
        folder.load(&format!(
            "{GOOD}\n[listeners.tls]\naddress = \"127.0.0.1:443\"\n[[listeners.tls.tls.certificates]]\ncertificate = \"shop.pem\"\nkey = \"{key}\"\n"
        ))
    };
    let loaded = with_key("shop.key").unwrap();
    assert_eq!(
        loaded.plan.listeners[1]
            .tls
            .as_ref()
            .unwrap()
            .certificates
            .len(),
        1
    );
    assert_eq!(
        loaded.files,
        ["forecourt.toml", "shop.key", "shop.pem"].map(|name| folder.path(name))
    );
    let report = with_key("other.key").unwrap_err();
    assert_eq!(report.problems.len(), 1);
    assert!(report.problems[0].what.contains("is not the key of"));
    assert_eq!(
        report.problems[0].path,
        "listeners.tls.tls.certificates[0].key"
    );
}

#[test]
fn a_secret_of_the_process_outlives_a_reload() {
    let folder = Folder::new();
    let text = GOOD.replace("[pools.shop]", "[pools.shop]\nsticky = {}");
    let first = folder.load(&text).unwrap();
    assert_eq!(first.warnings.len(), 1);
    assert!(diff(&first.plan, &folder.load(&text).unwrap().plan).is_empty());
    let other = Options {
        random_secret: Some(Secret::from_bytes(&[8; 32])),
        ..options()
    };
    let restarted = load(&folder.path("forecourt.toml"), &other).unwrap();
    assert_eq!(diff(&first.plan, &restarted.plan).len(), 1);
}

#[test]
fn a_name_of_this_machine() {
    let folder = Folder::new();
    let path = folder.write(
        "forecourt.toml",
        &GOOD.replace("127.0.0.1:9001", "localhost:9001"),
    );
    let loaded = load(&path, &Options::new()).unwrap();
    assert_eq!(
        loaded.plan.pools[0].backends[0].address.to_string(),
        "127.0.0.1:9001"
    );
    assert_eq!(&*loaded.plan.pools[0].backends[0].id, "127.0.0.1:9001");
    let name = loaded.plan.pools[0].backends[0].name.as_deref();
    assert_eq!(name, Some("localhost:9001"));
    assert!(loaded.plan.server.workers >= 1);
    assert!(loaded.warnings.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// Whatever a slip of the finger makes of a good file, it is read or refused, and nothing panics.
    #[test]
    fn no_slip_panics(at in any::<proptest::sample::Index>(), removed in 0_usize..12, added in "[ -~\\n\u{fc}]{0,6}") {
        let reference = fs::read_to_string("config/reference.toml").unwrap();
        // Commented keys are settings as well.
        let text = reference.replace("\n# [", "\n[").replace("# cookie", "cookie").replace("# max_", "max_");
        let characters: Vec<char> = text.chars().collect();
        let from = at.index(characters.len());
        let to = (from + removed).min(characters.len());
        let slipped: String = characters[..from].iter().copied().chain(added.chars()).chain(characters[to..].iter().copied()).collect();
        if let Err(report) = Folder::new().load(&slipped) {
            assert!(report.errors() > 0);
            assert!(!report.to_string().is_empty());
        }
    }
}

/// A folder with a configuration of its own.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn load(&self, text: &str) -> Result<Loaded, Report> {
        load(&self.write("forecourt.toml", text), &options())
    }

    fn errors(&self, text: &str) -> Vec<Problem> {
        let problems = self.load(text).unwrap_err().problems;
        problems
            .into_iter()
            .filter(|problem| problem.severity == Severity::Error)
            .collect()
    }
}

/// The errors of a good configuration with `text` before it.
fn errors(text: &str) -> Vec<Problem> {
    Folder::new().errors(&format!("{text}\n{}", rest(text)))
}

fn only(text: &str) -> Problem {
    let problems = errors(text);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    problems.into_iter().next().unwrap()
}

/// What is needed besides, without the pool if the text has it already.
fn rest(text: &str) -> String {
    if text.starts_with("[pools.shop]") {
        let (_, backends) = GOOD.split_once("[pools.shop]\n").unwrap();
        let (before, _) = GOOD.split_once("[pools.shop]").unwrap();
        format!("{backends}\n{before}")
    } else {
        GOOD.to_owned()
    }
}

fn assert_at(problem: &Problem, line: usize, column: usize, what: &str) {
    let at = problem.at.as_ref().unwrap();
    assert_eq!(
        (at.line, at.column, problem.what.as_str()),
        (line, column, what)
    );
}

fn options() -> Options {
    Options {
        cores: 2,
        random_secret: Some(Secret::from_bytes(&[7; 32])),
        self_signed: SelfSigned::default(),
        lookup: no_name,
        lookup_deadline: Duration::from_secs(60),
        last_good: LastGood::default(),
    }
}

fn no_name(questions: Vec<Question>, _: &Dns, _: Duration) -> Answers {
    let none = |question| (question, Err(LookupError::Nothing));
    questions.into_iter().map(none).collect()
}

const GOOD: &str = r#"
[listeners.web]
address = "127.0.0.1:80"
[[routes]]
pool = "shop"
[pools.shop]
backends = [{ address = "127.0.0.1:9001" }]
"#;
