//! Configurations are changed by the admin API and the commands: tried out, put on trial, taken back, looked up.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::fs;
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{
    Balancer, Behaviour, Client, DEADLINE, Origin, Request, Response, command, pool, program,
    wait_until,
};
use crate::metrics::wait_for_records;
use crate::reload::{generation, reload, reloads, shape};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const OTHER: &str = "fedcba9876543210fedcba9876543210";

/// An instance whose configuration may be changed by whoever has the token.
#[derive(Debug)]
struct Governed {
    balancer: Balancer,
    folder: tempfile::TempDir,
}

impl Governed {
    fn before(origins: &[&Origin]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("admin.token");
        fs::write(&token, format!("{TOKEN}\n")).unwrap();
        let balancer = Balancer::start(&configuration(&token, origins));
        // It listens a moment before there is somebody who governs.
        wait_until(DEADLINE, "somebody who governs", || {
            balancer.admin("/v1/reload").status == 200
        });
        Self { balancer, folder }
    }

    fn token_file(&self) -> PathBuf {
        self.folder.path().join("admin.token")
    }

    /// The configuration with these origins in its pool.
    fn configuration(&self, origins: &[&Origin]) -> String {
        configuration(&self.token_file(), origins)
    }

    /// Writes the configuration with these origins; nothing reloads it yet.
    fn rewrite(&self, origins: &[&Origin]) {
        self.balancer.rewrite(&self.configuration(origins));
    }

    /// Posts a text as the bearer of this token.
    fn post_as(&self, token: &str, path: &str, text: &str) -> Response {
        let request = Request::post(path, text.as_bytes()).host("localhost");
        let request = request.field("authorization", &format!("Bearer {token}"));
        self.balancer.client("admin").send(&request)
    }

    /// The same with the right token and nothing to say, which must succeed.
    #[track_caller]
    fn post(&self, path: &str) -> Value {
        let answer = self.post_as(TOKEN, path, "");
        assert_eq!(answer.status, 200, "{path}: {answer}");
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// The same, which must be refused so.
    #[track_caller]
    fn refused(&self, path: &str, status: u16, part: &str) {
        is_problem(&self.post_as(TOKEN, path, ""), status, part);
    }

    #[track_caller]
    fn get(&self, path: &str) -> Value {
        let request = Request::get(path).host("localhost");
        let request = request.field("authorization", &format!("Bearer {TOKEN}"));
        let answer = self.balancer.client("admin").send(&request);
        assert_eq!(answer.status, 200, "{path}: {answer}");
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// A command with these words, and where the instance is.
    fn command(&self, words: &str) -> Output {
        let admin = format!("http://{}", self.balancer.address("admin"));
        let token = self.token_file();
        let mut arguments: Vec<_> = words.split_whitespace().collect();
        arguments.extend(["--admin", &admin, "--token-file", token.to_str().unwrap()]);
        program(&arguments)
    }

    /// The same, which must end so; says what it printed on stdout and stderr.
    #[track_caller]
    fn says(&self, words: &str, code: i32) -> (String, String) {
        let output = self.command(words);
        let [out, err] = [&output.stdout, &output.stderr]
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        assert_eq!(output.status.code(), Some(code), "{words}: {out}{err}");
        (out, err)
    }

    /// The generations that are remembered, the latest first.
    fn generations(&self) -> Vec<u64> {
        let history = self.get("/v1/config/history");
        let entries = history.as_array().unwrap().iter();
        let numbers = entries.map(|entry| entry["generation"].as_u64().unwrap());
        numbers.collect()
    }

    #[track_caller]
    fn wait_for_generation(&self, number: u64) {
        wait_until(DEADLINE, &format!("generation {number}"), || {
            generation(&self.balancer) == number
        });
    }
}

fn configuration(token: &std::path::Path, origins: &[&Origin]) -> String {
    let admin = format!("[admin]\ntoken_file = \"{}\"\n", token.display());
    Balancer::front("shop").replace("[admin]\n", &admin) + &pool("shop", "round-robin", origins)
}

#[track_caller]
fn is_problem(answer: &Response, status: u16, part: &str) -> Value {
    assert_eq!(
        (answer.status, answer.field("content-type")),
        (status, Some("application/problem+json")),
        "{answer}"
    );
    let problem: Value = serde_json::from_slice(&answer.body).unwrap();
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(part), "{detail} without {part}");
    problem
}

#[test]
fn a_reload_is_applied_and_says_what_it_changed() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let governed = Governed::before(&[&a]);
    let mut client = governed.balancer.client("web");
    assert_eq!(client.get("/").origin(), "a");
    let here = client.local_address();
    governed.rewrite(&[&b]);
    let outcome = governed.post("/v1/reload");
    assert_eq!(
        (
            &outcome["generation"],
            &outcome["applied"],
            &outcome["trial"]
        ),
        (&2.into(), &true.into(), &Value::Null)
    );
    let changes = outcome["changes"].to_string();
    for part in [
        format!("backend {} added", b.address()),
        format!("backend {} removed", a.address()),
        "pool shop".to_owned(),
    ] {
        assert!(changes.contains(&part), "{changes} without {part}");
    }
    assert_eq!(client.get("/").origin(), "b");
    assert_eq!(client.local_address(), here);
    assert_eq!(reloads(&governed.balancer, "ok"), 1);
    let history = governed.get("/v1/config/history");
    assert!(
        history[0]["who"]
            .as_str()
            .unwrap()
            .starts_with("token from 127.0.0.1:")
    );
    assert_eq!(history[0]["current"], true);
    assert_eq!(history[1]["who"], "start");
}

#[test]
fn a_bad_file_is_refused_with_all_its_problems() {
    let a = Origin::named("a");
    let governed = Governed::before(&[&a]);
    let before = shape(&governed.balancer);
    let bad = governed.configuration(&[&a]) + "colour = 1\nprotocol = \"smoke\"\n";
    governed.balancer.rewrite(&bad);
    for path in [
        "/v1/reload",
        "/v1/reload?dry_run=true",
        "/v1/reload?confirm=1h",
    ] {
        let answer = governed.post_as(TOKEN, path, "");
        let problem = is_problem(&answer, 422, "2 problems, nothing has changed");
        let problems = problem["problems"].as_array().unwrap();
        assert_eq!(problems.len(), 2, "{problem}");
        for one in problems {
            assert!(one["what"].as_str().is_some_and(|what| !what.is_empty()));
            assert!(one["at"]["line"].as_u64() > Some(1), "{one}");
        }
    }
    let (_, errors) = governed.says("reload", 2);
    assert!(
        errors.contains("forecourt.toml:") && errors.contains("colour"),
        "{errors}"
    );
    assert_eq!(generation(&governed.balancer), 1);
    assert_eq!(shape(&governed.balancer), before);
    // Trying out refuses nothing that was to be applied.
    assert_eq!(reloads(&governed.balancer, "refused"), 3);
}

#[test]
fn trying_out_says_what_would_move_and_changes_nothing() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let governed = Governed::before(&[&a, &b]);
    let mut client = governed.balancer.client("web");
    (0..10).for_each(|_| drop(client.get("/")));
    wait_for_records(&governed.balancer, 10);
    let before = shape(&governed.balancer);
    let address = Origin::named("c").address();
    let more = format!("[listeners.more]\naddress = \"{address}\"\n");
    let next = governed.configuration(&[&a]) + &more;
    governed.balancer.rewrite(&next);
    let outcome = governed.post("/v1/reload?dry_run=true");
    assert_eq!(
        (&outcome["applied"], &outcome["generation"]),
        (&false.into(), &1.into())
    );
    let traffic = &outcome["traffic"];
    assert_eq!(
        (&traffic["requests"], &traffic["moved"]),
        (&10.into(), &0.5.into()),
        "{outcome}"
    );
    assert_eq!(traffic["routes"][0]["name"], "/");
    assert!(
        outcome["changes"].to_string().contains("listener more"),
        "{outcome}"
    );
    let (said, _) = governed.says("reload --dry-run", 0);
    assert!(
        said.contains("none of them made") && said.contains("50.0%"),
        "{said}"
    );
    // A file that lies elsewhere is compared alike.
    let file = governed.folder.path().join("next.toml");
    fs::write(&file, &next).unwrap();
    let (said, _) = governed.says(&format!("config diff {}", file.display()), 0);
    assert!(
        said.contains("listener more") && said.contains("50.0%"),
        "{said}"
    );
    assert!(TcpStream::connect(address).is_err());
    assert_eq!(shape(&governed.balancer), before);
    assert_eq!(generation(&governed.balancer), 1);
    assert_eq!(governed.generations(), [1]);
    assert_eq!(client.get("/").status, 200);
}

#[test]
fn trying_out_finds_an_address_that_is_taken() {
    let [a, taken] = ["a", "taken"].map(Origin::named);
    let governed = Governed::before(&[&a]);
    let more = format!("[listeners.more]\naddress = \"{}\"\n", taken.address());
    governed
        .balancer
        .rewrite(&(governed.configuration(&[&a]) + &more));
    governed.refused("/v1/reload?dry_run=true", 409, "listener more");
    governed.refused("/v1/reload?confirm=1h", 409, "is in use");
    assert_eq!(governed.get("/v1/reload")["trial"], Value::Null);
    assert_eq!(generation(&governed.balancer), 1);
}

#[test]
fn sessions_that_would_lose_their_backend_are_counted() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let governed = Governed::before(&[&a, &b]);
    let sticky = |origins: &[&Origin]| governed.configuration(origins) + "[pools.shop.sticky]\n";
    reload(&governed.balancer, &sticky(&[&a, &b]));
    for _ in 0..4 {
        let mut client = governed.balancer.client("web");
        let given = client.get("/");
        let cookie = given.field("set-cookie").unwrap();
        let (pair, _) = cookie.split_once(';').unwrap();
        client.send(&Request::get("/").field("cookie", pair));
    }
    governed.balancer.rewrite(&sticky(&[&a]));
    let outcome = governed.post("/v1/reload?dry_run=true");
    let sessions = &outcome["traffic"]["sessions"][0];
    assert_eq!(
        (&sessions["name"], &sessions["requests"], &sessions["share"]),
        (&"shop".into(), &4.into(), &0.5.into()),
        "{outcome}"
    );
    assert_eq!(sessions["why"], "backend b is removed");
}

#[test]
fn what_is_confirmed_stays() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let governed = Governed::before(&[&a]);
    governed.refused("/v1/reload/confirm", 409, "no configuration is on trial");
    governed.rewrite(&[&b]);
    let trial = &governed.post("/v1/reload?confirm=1h&errors=7%25&latency=3s")["trial"];
    assert_eq!(
        (
            &trial["generation"],
            &trial["errors_percent"],
            &trial["latency_milliseconds"]
        ),
        (&2.into(), &7.into(), &3000.into())
    );
    assert_eq!(governed.get("/v1/reload")["trial"]["generation"], 2);
    let (said, _) = governed.says("reload confirm", 0);
    assert!(
        said.contains("generation 2 serves: generation 2 confirmed by token from"),
        "{said}"
    );
    let status = governed.get("/v1/reload");
    assert_eq!(
        (&status["trial"], &status["last"]["confirmed"]),
        (&Value::Null, &true.into())
    );
    governed.refused("/v1/reload/revert", 409, "no configuration is on trial");
    assert_eq!(governed.balancer.client("web").get("/").origin(), "b");
    assert_eq!(governed.generations(), [2, 1]);
}

#[test]
fn what_nobody_confirms_goes() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let governed = Governed::before(&[&a]);
    let mut client = governed.balancer.client("web");
    client.get("/");
    let here = client.local_address();
    governed.rewrite(&[&b]);
    let (_, errors) = governed.says("reload --confirm 300ms", 1);
    assert!(
        errors.contains("generation 2 has been reverted: nobody confirmed it within 300ms"),
        "{errors}"
    );
    assert_eq!(generation(&governed.balancer), 3);
    assert_eq!(client.get("/").origin(), "a");
    assert_eq!(client.local_address(), here);
    assert_eq!(
        ["ok", "reverted"].map(|result| reloads(&governed.balancer, result)),
        [1, 1]
    );
    let log = governed.balancer.stderr();
    assert!(
        log.contains("configuration reverted: nobody confirmed it"),
        "{log}"
    );
    governed.refused("/v1/reload/confirm", 409, "generation 2 has been reverted");
    assert_eq!(governed.generations(), [3, 2, 1]);
}

#[test]
fn traffic_that_fails_takes_a_trial_back_by_itself() {
    let [a, mut dead] = ["a", "dead"].map(Origin::named);
    dead.refuse();
    let governed = Governed::before(&[&a]);
    let mut client = governed.balancer.client("web");
    (0..30).for_each(|_| assert_eq!(client.get("/").status, 200));
    governed.rewrite(&[&dead]);
    // Nobody waits for an hour here: only the guard can take it back.
    governed.post("/v1/reload?confirm=1h");
    assert_eq!(client.get("/").status, 502);
    wait_until(DEADLINE, "the revert", || {
        (0..10).for_each(|_| drop(client.get("/")));
        generation(&governed.balancer) == 3
    });
    assert_eq!(client.get("/").origin(), "a");
    let last = &governed.get("/v1/reload")["last"];
    assert_eq!(
        (&last["generation"], &last["confirmed"]),
        (&2.into(), &false.into())
    );
    let why = last["why"].as_str().unwrap();
    assert!(why.contains("requests failed since"), "{why}");
    assert_eq!(reloads(&governed.balancer, "reverted"), 1);
    let log = governed.balancer.stderr();
    let loud = |line: &&str| line.contains("ERROR") && line.contains("configuration reverted");
    assert_eq!(log.lines().filter(loud).count(), 1, "{log}");
}

/// Asks all the time, many at once, until something is so; all must be answered.
#[track_caller]
fn under_load(governed: &Governed, what: &str, is_so: impl Fn() -> bool) {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                let mut client = governed.balancer.client("web");
                while !is_over.load(Ordering::Relaxed) {
                    assert_eq!(client.get("/").status, 200);
                }
            });
        }
        let came = catch_unwind(AssertUnwindSafe(|| wait_until(DEADLINE * 2, what, is_so)));
        is_over.store(true, Ordering::Relaxed);
        came.unwrap_or_else(|panic| resume_unwind(panic));
    });
}

/// Nothing fails, and all takes far longer than before, or than the terms allow.
#[test]
fn traffic_that_slows_down_takes_a_trial_back_by_itself() {
    for (terms, known) in [("", 300), ("&latency=100ms", 0)] {
        let [quick, slow] = ["quick", "slow"].map(Origin::named);
        slow.behave(Behaviour::Slow(Duration::from_millis(600)));
        let governed = Governed::before(&[&quick]);
        let mut client = governed.balancer.client("web");
        (0..known).for_each(|_| assert_eq!(client.get("/").status, 200));
        wait_for_records(&governed.balancer, known);
        governed.rewrite(&[&slow]);
        // Nobody waits for an hour here: only the guard can take it back.
        governed.post(&format!("/v1/reload?confirm=1h{terms}"));
        assert_eq!(client.get("/").origin(), "slow");
        under_load(&governed, "the revert", || {
            generation(&governed.balancer) == 3
        });
        assert_eq!(client.get("/").origin(), "quick");
        let last = &governed.get("/v1/reload")["last"];
        assert_eq!(
            (&last["generation"], &last["confirmed"]),
            (&2.into(), &false.into())
        );
        let why = last["why"].as_str().unwrap();
        assert!(why.contains("the slowest of 100 requests takes"), "{why}");
        let bound = if terms.is_empty() {
            " ms is the bound"
        } else {
            "100 ms is the bound"
        };
        assert!(why.contains(bound), "{why}");
        assert_eq!(reloads(&governed.balancer, "reverted"), 1);
    }
}

/// What was slow before may stay so: the bound grows with it.
#[test]
fn traffic_that_was_slow_before_leaves_a_trial_alone() {
    let [slow, next] = ["slow", "next"].map(Origin::named);
    for origin in [&slow, &next] {
        origin.behave(Behaviour::Slow(Duration::from_millis(400)));
    }
    let governed = Governed::before(&[&slow]);
    under_load(&governed, "slow requests", || slow.requests() >= 200);
    governed.rewrite(&[&next]);
    governed.post("/v1/reload?confirm=1h");
    let looks = || governed.get("/v1/reload")["trial"]["since"]["requests"].clone();
    under_load(&governed, "as many on trial", || {
        looks().as_u64().is_some_and(|requests| requests >= 200)
    });
    assert_eq!(generation(&governed.balancer), 2);
    governed.post("/v1/reload/confirm");
}

#[test]
fn requests_that_no_route_takes_any_more_are_failures_too() {
    let a = Origin::named("a");
    let governed = Governed::before(&[&a]);
    let mut client = governed.balancer.client("web");
    client.get("/");
    let next = governed.configuration(&[&a]);
    let next = next.replace("path_prefix = \"/\"", "path_prefix = \"/elsewhere\"");
    governed.balancer.rewrite(&next);
    governed.post("/v1/reload?confirm=1h");
    wait_until(DEADLINE, "the revert", || {
        (0..10).for_each(|_| drop(client.get("/")));
        generation(&governed.balancer) == 3
    });
    assert_eq!(client.get("/").origin(), "a");
}

#[test]
fn nothing_else_changes_during_a_trial() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let governed = Governed::before(&[&a]);
    governed.rewrite(&[&b]);
    governed.post("/v1/reload?confirm=1h");
    for path in [
        "/v1/reload",
        "/v1/reload?confirm=1h",
        "/v1/config/rollback/1",
    ] {
        governed.refused(path, 409, "generation 2 is on trial");
    }
    governed.balancer.signal(Signal::HUP);
    wait_until(DEADLINE, "the refusal of the signal", || {
        reloads(&governed.balancer, "refused") == 4
    });
    governed.balancer.signal(Signal::USR2);
    wait_until(DEADLINE, "the refusal of the upgrade", || {
        governed
            .balancer
            .stderr()
            .contains("no upgrade while a configuration is on trial")
    });
    assert_eq!(generation(&governed.balancer), 2);
    // Looking is free.
    assert_eq!(
        governed.post("/v1/reload?dry_run=true")["changes"],
        Value::Array(Vec::new())
    );
    governed.says("reload revert", 0);
    assert_eq!(generation(&governed.balancer), 3);
    assert_eq!(governed.balancer.client("web").get("/").origin(), "a");
    // And then everything is as ever.
    governed.post("/v1/reload");
    assert_eq!(governed.balancer.client("web").get("/").origin(), "b");
}

#[test]
fn a_listener_that_a_trial_took_away_comes_back_with_the_revert() {
    let a = Origin::named("a");
    let governed = Governed::before(&[&a]);
    let held = Origin::named("port");
    let address = held.address();
    drop(held);
    let more = format!("[listeners.more]\naddress = \"{address}\"\n");
    reload(&governed.balancer, &(governed.configuration(&[&a]) + &more));
    assert_eq!(Client::of(address).get("/").origin(), "a");
    governed.rewrite(&[&a]);
    governed.post("/v1/reload?confirm=1h");
    assert!(TcpStream::connect(address).is_err());
    governed.post("/v1/reload/revert");
    assert_eq!(Client::of(address).get("/").origin(), "a");
}

#[test]
fn an_earlier_generation_is_applied_again() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let governed = Governed::before(&[&a]);
    reload(&governed.balancer, &governed.configuration(&[&b]));
    let mut client = governed.balancer.client("web");
    assert_eq!(client.get("/").origin(), "b");
    let (said, _) = governed.says("config rollback 1", 0);
    assert!(said.contains("generation 3, 2 changes"), "{said}");
    assert_eq!(client.get("/").origin(), "a");
    let history = governed.get("/v1/config/history");
    let digests: Vec<_> = (0..3)
        .map(|index| history[index]["digest"].clone())
        .collect();
    assert_eq!(digests[0], digests[2]);
    assert_ne!(digests[0], digests[1]);
    assert_eq!(history[1]["who"], "SIGHUP");
    assert!(
        history[0]["who"]
            .as_str()
            .unwrap()
            .starts_with("rollback to 1 by token")
    );
    let (table, _) = governed.says("config history", 0);
    assert_eq!(table.lines().count(), 4, "{table}");
    governed.refused("/v1/config/rollback/77", 404, "1 to 3 are");
    governed.refused("/v1/config/rollback/x", 404, "no number of a generation");
    // On trial as well.
    governed.post("/v1/config/rollback/2?confirm=300ms");
    governed.wait_for_generation(5);
    assert_eq!(client.get("/").origin(), "a");
}

#[test]
fn nobody_changes_anything_without_the_token() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let governed = Governed::before(&[&a]);
    governed.rewrite(&[&b]);
    let mut admin = governed.balancer.client("admin");
    let bearer = format!("Bearer {TOKEN}");
    for (method, path) in [
        ("POST", "/v1/reload"),
        ("POST", "/v1/reload?dry_run=true"),
        ("POST", "/v1/reload?confirm=1s&nonsense=1"),
        ("POST", "/v1/reload/confirm"),
        ("POST", "/v1/reload/revert"),
        ("POST", "/v1/config/rollback/1"),
        ("POST", "/v1/config/diff"),
        ("GET", "/v1/config"),
    ] {
        let request = || Request::new(method, path);
        let none = admin.send(&request().host("localhost"));
        is_problem(&none, 401, "--token-file");
        let wrong = format!("Bearer {OTHER}");
        let wrong = request().host("localhost").field("authorization", &wrong);
        is_problem(&admin.send(&wrong), 401, "--token-file");
        let right = || request().field("authorization", &bearer);
        is_problem(&admin.send(&right().host("shop.example")), 403, "Host");
        let page = right()
            .host("localhost")
            .field("origin", "http://evil.example");
        is_problem(&admin.send(&page), 403, "Origin");
    }
    // How things stand is no secret, but from a page whose own name leads here.
    assert_eq!(admin.get("/v1/reload").status, 200);
    let page = |path| Request::get(path).host("evil.example:9900");
    is_problem(&admin.send(&page("/v1/reload")), 403, "Host");
    assert_eq!(admin.send(&page("/healthz")).status, 200);
    assert_eq!(admin.get("/v1/config/history").status, 200);
    assert_eq!(generation(&governed.balancer), 1);
    let output = program(&["reload", "--admin", "127.0.0.1:1"]);
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn the_token_is_read_again_and_an_old_one_never_comes_back() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let governed = Governed::before(&[&a]);
    fs::write(governed.token_file(), OTHER).unwrap();
    governed.rewrite(&[&b]);
    let outcome = governed.post("/v1/reload");
    assert!(
        outcome["changes"]
            .to_string()
            .contains("token_file: another token"),
        "{outcome}"
    );
    is_problem(
        &governed.post_as(TOKEN, "/v1/reload", ""),
        401,
        "--token-file",
    );
    let back = governed.post_as(OTHER, "/v1/config/rollback/1", "");
    assert_eq!(back.status, 200, "{back}");
    assert_eq!(governed.balancer.client("web").get("/").origin(), "a");
    is_problem(
        &governed.post_as(TOKEN, "/v1/reload", ""),
        401,
        "--token-file",
    );
    assert_eq!(governed.post_as(OTHER, "/v1/reload", "").status, 200);
    let log = governed.balancer.stderr();
    assert!(!log.contains(TOKEN) && !log.contains(OTHER), "{log}");
}

#[test]
fn the_configuration_is_shown_as_it_was_written() {
    let a = Origin::named("a");
    let governed = Governed::before(&[&a]);
    let shown = governed.get("/v1/config");
    assert_eq!(shown["generation"], 1);
    assert_eq!(shown["files"][0]["text"], governed.configuration(&[&a]));
    assert!(!shown.to_string().contains(TOKEN));
}

#[test]
fn a_text_that_is_compared_shows_no_line_of_another_file() {
    let a = Origin::named("a");
    let governed = Governed::before(&[&a]);
    let private = governed.folder.path().join("private");
    fs::write(&private, "very private = = words\n").unwrap();
    let text = format!("include = [\"{}\"]\nnonsense = 1\n", private.display());
    let answer = governed.post_as(TOKEN, "/v1/config/diff", &text);
    let problem = is_problem(&answer, 422, "problems");
    let problem = problem.to_string();
    // Its own lines are shown all the same.
    assert!(problem.contains("nonsense = 1"), "{problem}");
    assert!(
        problem.contains("private") && !problem.contains("words"),
        "{problem}"
    );
}

#[test]
fn wishes_that_cannot_be_read_change_nothing() {
    let a = Origin::named("a");
    let governed = Governed::before(&[&a]);
    for (query, part) in [
        ("confirm=soon", "no time such as"),
        ("dryrun=true", "unknown field `dryrun`"),
        ("confirm=30s&errors=none", "no share such as"),
        ("errors=5%25", "go with `confirm` only"),
        ("dry_run=maybe", "dry_run"),
    ] {
        governed.refused(&format!("/v1/reload?{query}"), 400, part);
    }
    assert_eq!(generation(&governed.balancer), 1);
}

#[test]
fn an_instance_that_ends_keeps_its_configuration() {
    let a = Origin::named("a");
    let governed = Governed::before(&[&a]);
    let ending = governed.configuration(&[&a])
        + "[server]\nshutdown = { delay = \"1h\", deadline = \"1s\" }\n";
    reload(&governed.balancer, &ending);
    governed.balancer.signal(Signal::TERM);
    wait_until(DEADLINE, "the end to be announced", || {
        governed.balancer.admin("/readyz").status == 503
    });
    governed.refused("/v1/reload", 503, "draining");
    let (_, errors) = governed.says("reload", 1);
    assert!(errors.contains("draining"), "{errors}");
}

#[test]
fn yes_confirms_at_the_end_what_held() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let governed = Governed::before(&[&a]);
    governed.rewrite(&[&b]);
    let (said, errors) = governed.says("reload --confirm 2s --yes", 0);
    assert!(said.contains("generation 2, 2 changes"), "{said}");
    assert!(errors.contains("s left"), "{errors}");
    assert!(
        errors.contains("generation 2: confirmed by token"),
        "{errors}"
    );
    assert_eq!(governed.balancer.client("web").get("/").origin(), "b");
    assert_eq!(generation(&governed.balancer), 2);
}

/// The README's lines do what it says, one after the other.
#[test]
fn the_readmes_commands_work() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let governed = Governed::before(&[&a]);
    let readme = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let words = ["forecourt reload", "forecourt config"];
    let lines = readme
        .lines()
        .filter(|line| words.iter().any(|word| line.starts_with(word)));
    let lines: Vec<_> = lines.collect();
    assert_eq!(lines.len(), 5, "{lines:?}");
    governed.rewrite(&[&b]);
    fs::copy(
        governed.balancer.config_file(),
        governed.folder.path().join("next.toml"),
    )
    .unwrap();
    for line in lines {
        let admin = governed.balancer.address("admin").to_string();
        let ran = command()
            .args(line.split_whitespace().skip(1).map(|word| match word {
                "30s" => "2s",
                word => word,
            }))
            .args(["--admin", &admin])
            .current_dir(governed.folder.path())
            .output()
            .unwrap();
        assert!(ran.status.success(), "{line}: {ran:?}");
    }
    assert_eq!(governed.generations(), [3, 2, 1]);
    assert_eq!(governed.balancer.client("web").get("/").origin(), "a");
}
