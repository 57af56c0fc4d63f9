//! Holds the house to its law: who may import whom, what pure rooms may not know, and that each file opens with its story.
//!
//! The walls between rooms are not crates but this test (see the map in `src/lib.rs`). It reads every
//! file under `src` as tokens, so that comments and texts say what they like, and resolves each path
//! that starts in `crate`, `super` or `self`. The checker is itself tried on planted breaches.
//!
//! Its own files: [`law`] the tables, [`tokens`] source to tokens, [`paths`] tokens to paths.

mod law;
mod paths;
mod tokens;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use law::{IMPORTS, PURE, PURITY};
use paths::Place;
use tokens::Token;

/// One thing that is against the law.
#[derive(Debug, PartialEq)]
struct Breach {
    file: String,
    line: usize,
    what: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

#[test]
fn the_house_keeps_its_law() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&src, &mut files);
    assert!(
        !files.is_empty(),
        "there is no source under {}",
        src.display()
    );
    let mut breaches = Vec::new();
    for path in files {
        let source = fs::read_to_string(&path).expect("a source file is readable UTF-8");
        let relative = path.strip_prefix(&src).expect("it was found under src");
        let name = relative.to_string_lossy().replace('\\', "/");
        breaches.extend(check(&name, &source));
    }
    let listed: Vec<_> = breaches.iter().map(Breach::to_string).collect();
    assert!(
        listed.is_empty(),
        "{} breaches:\n{}",
        listed.len(),
        listed.join("\n")
    );
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).expect("a source folder is readable");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("an entry is readable").path())
        .collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Checks one file; `name` is its path below `src`.
fn check(name: &str, source: &str) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let mut breach = |line, what| {
        let file = format!("src/{name}");
        breaches.push(Breach { file, line, what });
    };
    if !source.starts_with("//!") {
        breach(1, "the file does not open with `//!`, its story".to_owned());
    }
    let place = Place::of_file(name);
    let tokens = tokens::read(source);
    check_imports(&place, &tokens, &mut breach);
    if PURE
        .iter()
        .any(|room| name.starts_with(&format!("{room}/")))
        && !place.is_test()
    {
        check_purity(&tokens, &mut breach);
    }
    breaches
}

fn check_imports(place: &Place, tokens: &[Token<'_>], breach: &mut impl FnMut(usize, String)) {
    // `lib.rs` and `main.rs` are the door, not a room.
    let Some(room) = place.room() else { return };
    let Some((_, allowed)) = IMPORTS.iter().find(|(name, _)| *name == room) else {
        breach(
            1,
            format!(
                "the room `{room}` is not in the law: say in tests/architecture/law.rs what it may import"
            ),
        );
        return;
    };
    for path in paths::of_house(place, tokens) {
        let target = path.segments.first().map_or("", String::as_str);
        if target == room || allowed.contains(&target) || *allowed == law::ALL {
            continue;
        }
        let known = IMPORTS.iter().any(|(name, _)| *name == target);
        breach(
            path.line,
            match target {
                "" | "*" | "self" => format!("`{room}` imports the whole house: name the room"),
                _ if known => format!("`{room}` may not import `{target}`"),
                _ => format!(
                    "`{room}` takes `{target}` from the root of the house, where rooms have no business"
                ),
            },
        );
    }
}

fn check_purity(tokens: &[Token<'_>], breach: &mut impl FnMut(usize, String)) {
    let product = tokens::without_tests(tokens);
    let mut found: Vec<_> = PURITY
        .iter()
        .flat_map(|words| {
            product
                .iter()
                .enumerate()
                .map(move |(at, token)| (words, at, token.line))
        })
        .filter(|(words, at, _)| tokens::spell(&product[*at..], words))
        .map(|(words, _, line)| (line, words.concat()))
        .collect();
    for path in paths::imported(&product) {
        let fits = |words: &&&[&str]| {
            let names = words.iter().filter(|word| **word != "::");
            words.len() > 1 && names.eq(path.segments.iter().take(words.len().div_ceil(2)))
        };
        found.extend(
            PURITY
                .iter()
                .filter(fits)
                .map(|words| (path.line, words.concat())),
        );
    }
    found.sort();
    found.dedup();
    for (line, word) in found {
        breach(line, format!("`{word}` in a pure room"));
    }
}

mod self_test {
    use super::*;

    fn told(name: &str, source: &str) -> Vec<String> {
        let source = format!("//! Story.\n{source}");
        check(name, &source).iter().map(Breach::to_string).collect()
    }

    #[track_caller]
    fn caught(name: &str, source: &str, part: &str) {
        let told = told(name, source);
        assert!(
            told.len() == 1 && told[0].contains(part),
            "{source}\ngives {told:?}, not one with {part}"
        );
    }

    #[track_caller]
    fn passes(name: &str, source: &str) {
        assert_eq!(told(name, source), [""; 0], "{source}");
    }

    #[test]
    fn an_import_against_the_law_is_caught_in_every_form() {
        for source in [
            "use crate::backend::Backend;",
            "use crate::{backend::Backend, message};",
            "use crate::{message::{Head, method::Method}, backend};",
            "use super::super::backend::Backend;",
            "use super::{super::backend, path};",
            "pub(crate) use crate::backend as b;",
            "fn f(b: &crate::backend::Backend) {}",
            "fn f() { super::super::backend::f::<u8>() }",
            "mod inner { fn f() { super::super::super::backend::f() } }",
            "mod inner { use super::super::super::backend; }",
            "#[cfg(test)] mod tests { use crate::backend::Backend; }",
            "macro_rules! m { () => { $crate::backend::f() } }",
            "fn f(_: &'static str) -> char { crate::backend::f('\\''); 'a' }",
            "use crate::r#backend::Backend;",
            "use ::{crate::backend};",
        ] {
            caught("route/host.rs", source, "`route` may not import `backend`");
        }
        caught(
            "route/mod.rs",
            "use super::proxy::Proxy;",
            "`route` may not import `proxy`",
        );
        caught(
            "strategy/tests/mod.rs",
            "use crate::plan;",
            "`strategy` may not import `plan`",
        );
        caught("route/host.rs", "use crate::Backend;", "from the root");
        for source in [
            "use crate::*;",
            "use super::super::*;",
            "use crate as house;",
            "use crate::{self as house};",
        ] {
            caught("route/host.rs", source, "imports the whole house");
        }
    }

    #[test]
    fn the_line_is_told() {
        assert_eq!(
            told("message/head.rs", "\n\nuse crate::{\n    h1,\n};"),
            ["src/message/head.rs:5: `message` may not import `h1`"]
        );
    }

    #[test]
    fn what_the_law_allows_passes() {
        for source in [
            "use crate::message::Head;",
            "use crate::route::path;",
            "use super::{path::{self, PathPattern}, Matcher};",
            "use super::super::message::Head;",
            "mod inner { use super::super::path; }",
            "pub(crate) fn f() {}",
            "pub(in crate::route) fn f() {}",
            "// use crate::backend;\n/* crate::backend /* nested */ crate::backend */",
            "/// [`crate::backend`]\nfn f() -> &'static str { \"crate::backend\" }",
            "fn f() { r#\"crate::backend \" more\"#; b\"crate::backend\"; '\"'; }",
            "use self::path::PathPattern;",
            "use std::backend;",
        ] {
            passes("route/host.rs", source);
        }
        passes("app/start.rs", "use crate::{proxy, config, admin};");
        passes("cli.rs", "use crate::app;");
        passes("main.rs", "use forecourt::cli;");
        passes("lib.rs", "pub use crate::app::Forecourt;");
    }

    #[test]
    fn a_room_without_a_law_is_caught() {
        caught("shed/mod.rs", "", "`shed` is not in the law");
        caught("shed.rs", "", "`shed` is not in the law");
    }

    #[test]
    fn a_file_without_a_story_is_caught() {
        let breaches = check("message/head.rs", "use std::fmt;\n//! Late.");
        assert_eq!(breaches.len(), 1);
        assert!(breaches[0].what.contains("`//!`"));
    }

    #[test]
    fn impure_words_are_caught_in_pure_rooms_only() {
        for (source, word) in [
            ("async fn f() {}", "`async`"),
            ("use tokio::net::TcpStream;", "`tokio`"),
            ("fn f() { std::time::Instant::now(); }", "`Instant::now`"),
            ("fn f() { SystemTime :: now(); }", "`SystemTime::now`"),
            ("fn f() { let now = Instant::now; }", "`Instant::now`"),
            ("fn f() -> u64 { fastrand::u64(..) }", "`fastrand`"),
            ("use std::fs;", "`std::fs`"),
            ("use std::{fmt, fs::{self, read}};", "`std::fs`"),
            ("use std::{fmt,\n fs::File};", "`std::fs`"),
            ("fn f() { ::std::fs::read(\"x\"); }", "`std::fs`"),
            ("fn f() { File::open(\"x\"); }", "`File::open`"),
            (
                "#[cfg(test)]\nmod tests { fn f() {} }\nasync fn f() {}",
                "`async`",
            ),
            ("#[cfg(test)]\nuse std::fs;\nasync fn f() {}", "`async`"),
        ] {
            caught("config/compile/pool.rs", source, word);
            caught("h1/parse.rs", source, word);
            passes("upstream/connect.rs", source);
            passes("config/secret.rs", source);
            passes("strategy/tests/fairness.rs", source);
            passes("route/tests.rs", source);
        }
    }

    #[test]
    fn words_that_are_no_breach_pass_in_pure_rooms() {
        for source in [
            "enum AccessTarget { File(u8) } fn f() { AccessTarget::File(1); }",
            "// async tokio\nfn f() { \"tokio\"; }",
            "#[cfg(test)]\nmod tests { use std::fs; async fn f() { tokio::spawn(); } }",
            "#[cfg(test)]\n#[allow(dead_code)]\npub(crate) async fn f() { { fastrand::u8(..) } }",
            "use std::time::Instant; fn f(now: Instant) {}",
            "use std::{fmt, time::Duration};",
        ] {
            passes("plan/process.rs", source);
        }
    }
}
