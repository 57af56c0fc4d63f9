//! Golden configurations: what comes out of each file in `tests/golden`, written down beside it.
//!
//! `NAME.plan` is the plan with its warnings, `NAME.report` the report, and for `doctor-NAME.toml` what the doctor says. To write them anew after a change, and then
//! read what has changed: `FORECOURT_BLESS=1 cargo test --test golden`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs};

use forecourt::config::{Options, Secret, SelfSigned, load};
use forecourt::discovery::{Answer, Answers, LastGood, LookupError};
use forecourt::plan::Dns;
use forecourt::plan::advice::advise;
use forecourt::plan::names::{Found, Question};

#[test]
fn configurations_give_what_is_written_down() {
    let bless = env::var_os("FORECOURT_BLESS").is_some();
    let mut wrong = Vec::new();
    let mut files: Vec<PathBuf> = fs::read_dir(FOLDER)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| has_extension(path, "toml"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let (extension, text) = outcome(&file);
        let golden = file.with_extension(extension);
        if bless {
            fs::write(&golden, text).unwrap();
        } else if fs::read_to_string(&golden).ok().as_deref() != Some(&text) {
            wrong.push(format!(
                "{} is not what comes out now:\n{text}",
                golden.display()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

fn outcome(file: &Path) -> (&'static str, String) {
    match load(file, &options()) {
        Ok(loaded) if is_for_the_doctor(file) => {
            let advice = advise(&loaded.plan, NOW);
            let lines: Vec<_> = advice.iter().map(|advice| format!("{advice}\n")).collect();
            ("advice", lines.join("\n"))
        }
        Ok(loaded) => {
            let mut text = String::new();
            for warning in &loaded.warnings {
                writeln!(text, "{}\n", warning.render(false)).unwrap();
            }
            writeln!(text, "{:#?}", loaded.plan).unwrap();
            let files: Vec<_> = loaded
                .files
                .iter()
                .map(|file| file.display().to_string())
                .collect();
            writeln!(text, "files: {}", files.join(" ")).unwrap();
            ("plan", text)
        }
        Err(report) => ("report", format!("{report}\n")),
    }
}

fn options() -> Options {
    Options {
        cores: 2,
        random_secret: Some(Secret::from_bytes(&[7; 32])),
        self_signed: SelfSigned::default(),
        lookup: names_of_the_tests,
        lookup_deadline: Duration::from_secs(60),
        last_good: LastGood::default(),
    }
}

fn names_of_the_tests(questions: Vec<Question>, _: &Dns, _: Duration) -> Answers {
    let answers = questions.into_iter().map(|question| {
        let answer = address_of_the_tests(&question.to_string());
        (question, answer)
    });
    answers.collect()
}

fn address_of_the_tests(name: &str) -> Result<Answer, LookupError> {
    let found = |address: &str, weight, backup| Found {
        address: address.parse().unwrap(),
        weight,
        backup,
    };
    let found = match name {
        "one.test:80" => vec![found("10.0.0.1:80", None, false)],
        "two.test:80" => vec![
            found("10.0.0.3:80", None, false),
            found("10.0.0.2:80", None, false),
        ],
        "several.test:81" => vec![
            found("[2001:db8::1]:81", None, false),
            found("[2001:db8::2]:81", None, false),
        ],
        "srv:_http._tcp.shop.test" => vec![
            found("10.0.1.2:8080", Some(10), true),
            found("10.0.1.1:8080", Some(20), false),
        ],
        _ => return Err(LookupError::NoSuchName),
    };
    let ttl = Duration::from_secs(60);
    Ok(Answer { found, ttl })
}

fn is_for_the_doctor(file: &Path) -> bool {
    let name = file.file_name().unwrap().to_string_lossy();
    name.starts_with("doctor-")
}

/// Well before the certificate of the tests expires.
const NOW: i64 = 1_800_000_000;

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

const FOLDER: &str = "tests/golden";
