//! Any file as a configuration: a plan, the same twice, or problems with places that are in the file.
//!
//! Nothing outside a folder of our own is touched: names are answered by a stub, and a file that names other
//! files by an absolute path or by `..` is left alone.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use forecourt::config::problem::{self, Spot};
use forecourt::config::{Loaded, Options, Problem, Secret, SelfSigned, Severity, load};
use forecourt::discovery::{Answer, Answers, LastGood, LookupError};
use forecourt::plan::Dns;
use forecourt::plan::diff::diff;
use forecourt::plan::names::{Found, Question};
use forecourt::route::RouteTable;

/// Judges a file.
pub fn judge(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(table) = text.parse::<toml::Table>()
        && leads_outside("", &toml::Value::Table(table))
    {
        return;
    }
    let path = folder().join("forecourt.toml");
    fs::write(&path, bytes).expect("the folder is ours");
    let text = String::from_utf8_lossy(bytes);
    // Of one process: certificates for development are made once.
    let options = options();
    match load(&path, &options) {
        Ok(loaded) => judge_plan(&loaded, &options, &path, &text),
        Err(report) => {
            assert!(report.errors() > 0, "refused without an error");
            judge_problems(&report.problems, &path, &text);
        }
    }
}

fn judge_plan(loaded: &Loaded, options: &Options, path: &Path, text: &str) {
    let errors = loaded
        .warnings
        .iter()
        .filter(|problem| problem.severity == Severity::Error);
    assert_eq!(errors.count(), 0);
    judge_problems(&loaded.warnings, path, text);
    let again = load(path, options).expect("it was good a moment ago");
    assert_eq!(again.plan, loaded.plan);
    assert_eq!(again.warnings, loaded.warnings);
    assert_eq!(again.files, loaded.files);
    assert!(diff(&loaded.plan, &again.plan).is_empty());
    let routes = &loaded.plan.routes;
    let table = RouteTable::build(
        routes
            .iter()
            .map(|route| (&route.matcher, &route.listeners[..])),
    );
    assert_eq!(table.len(), routes.len());
    for route in routes {
        assert!(
            route
                .listeners
                .iter()
                .all(|at| *at < loaded.plan.listeners.len())
        );
    }
}

fn judge_problems(problems: &[Problem], path: &Path, text: &str) {
    for problem in problems {
        // A file that includes the folder's own files finds those that came along.
        let places = problem.at.iter().map(|at| (&problem.file, at));
        let also = problem.also.iter().map(|also| (&also.file, &also.at));
        for (file, spot) in places.chain(also) {
            if file == path {
                judge_spot(spot, text);
            }
        }
        assert!(!problem.what.is_empty());
        assert!(!problem.to_string().contains('\n') || problem.to_string().contains("\\n"));
        let _ = problem.render(true);
    }
    let _ = problem::render(problems, false);
    let _ = problem::json(problems);
}

fn judge_spot(spot: &Spot, text: &str) {
    let line = spot.line.checked_sub(1).expect("lines count from 1");
    let line = text.split('\n').nth(line).expect("the line is in the file");
    assert_eq!(line.trim_end_matches('\r'), spot.source);
    let length = line.chars().count();
    assert!((1..=length + 1).contains(&spot.column), "{spot:?}");
    assert!(spot.length >= 1);
    // One beyond the end is where something is missing.
    assert!(spot.column + spot.length <= length + 2, "{spot:?}");
}

/// Whether a file is named that may be anywhere.
fn leads_outside(key: &str, value: &toml::Value) -> bool {
    match value {
        toml::Value::String(path) => {
            matches!(key, "include" | "certificate" | "key" | "file")
                && (path.starts_with('/') || path.contains(".."))
        }
        toml::Value::Array(values) => values.iter().any(|value| leads_outside(key, value)),
        toml::Value::Table(table) => table.iter().any(|(key, value)| leads_outside(key, value)),
        toml::Value::Integer(_)
        | toml::Value::Float(_)
        | toml::Value::Boolean(_)
        | toml::Value::Datetime(_) => false,
    }
}

/// The folder of this process, with a few files that a configuration can name.
fn folder() -> &'static PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = tempfile::Builder::new().prefix("forecourt-fuzz").tempdir();
        let folder = folder.expect("a folder for temporary files").keep();
        let write = |name: &str, text: &str| {
            fs::write(folder.join(name), text).expect("the folder is ours");
        };
        fs::create_dir_all(folder.join("conf.d")).expect("the folder is ours");
        write("secret", "a secret of enough bytes for a seal\n");
        write("short", "no\n");
        write(
            "conf.d/api.toml",
            "[pools.api]\nbackends = [{ address = \"127.0.0.1:9009\" }]\n",
        );
        write("conf.d/broken.txt", "[pools\n");
        folder
    })
}

fn options() -> Options {
    Options {
        cores: 2,
        random_secret: Some(Secret::from_bytes(&[7; 32])),
        self_signed: SelfSigned::default(),
        lookup,
        lookup_deadline: Duration::from_secs(60),
        last_good: LastGood::default(),
    }
}

/// Every second name has an address, every fourth has two.
fn lookup(questions: Vec<Question>, _: &Dns, _: Duration) -> Answers {
    let answers = questions.into_iter().map(|question| {
        let found = match question.to_string().len() % 4 {
            0 => Ok(vec![1, 2]),
            1 => Ok(vec![3]),
            2 => Ok(vec![]),
            _ => Err(LookupError::NoSuchName),
        };
        let found = found.map(|hosts| Answer {
            found: hosts.into_iter().map(host).collect(),
            ttl: Duration::ZERO,
        });
        (question, found)
    });
    answers.collect()
}

fn host(last: u8) -> Found {
    Found {
        address: SocketAddr::from(([192, 0, 2, last], 80)),
        weight: None,
        backup: false,
    }
}
