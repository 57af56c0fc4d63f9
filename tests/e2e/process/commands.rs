//! What the commands say, and with which code they end.

use std::fs;
use std::net::TcpListener;

use serde_json::Value;

use super::start::in_vain;
use super::text;
use crate::harness::{Balancer, Behaviour, DEADLINE, Origin, program, wait_until};
use crate::metrics::Figures;

/// Two mistakes: a strategy and a key.
const BAD: &str = "[listeners.web]\naddress = \"127.0.0.1:0\"\n[[routes]]\npool = \"shop\"\n\
                   [pools.shop]\nstrategy = \"round-robbin\"\nbackends = [{ adress = \"127.0.0.1:1\" }]\n";

const GOOD: &str = "[listeners.web]\naddress = \"127.0.0.1:0\"\n[[routes]]\npool = \"shop\"\n\
                    [pools.shop]\nbackends = [{ address = \"127.0.0.1:1\" }]\n";

#[test]
fn a_bad_configuration_does_not_start() {
    let (code, log) = in_vain(BAD);
    assert_eq!(code, Some(2), "{log}");
    for part in [
        "forecourt.toml:6:",
        "round-robbin",
        "round-robin",
        "forecourt.toml:7:",
        "adress",
    ] {
        assert!(log.contains(part), "{part} is not in\n{log}");
    }
    assert!(!log.contains("listening"), "{log}");
    let missing = program(&["run", "--config", "/nowhere/forecourt.toml"]);
    let log = text(&missing.stderr);
    assert_eq!(missing.status.code(), Some(2), "{log}");
    assert!(
        log.contains("/nowhere/forecourt.toml") && missing.stdout.is_empty(),
        "{log}"
    );
}

/// Routes that answer by themselves need nobody behind them; one that does not still does.
#[test]
fn a_pool_is_needed_only_by_a_route_that_leads_to_one() {
    let alone = "[admin]\naddress = \"127.0.0.1:0\"\n[listeners.web]\naddress = \"127.0.0.1:0\"\n\
                 [[routes]]\npath = \"/ok\"\nrespond = { body = \"fine\" }\n\
                 [[routes]]\npath_prefix = \"/\"\nredirect = { to = \"https://{host}{uri}\" }\n";
    let balancer = Balancer::start(alone);
    let file = balancer.config_file();
    let output = program(&["check", file.to_str().unwrap()]);
    let said = text(&output.stdout);
    assert!(
        said.contains("good (1 listener, 2 routes, 0 pools, 0 backends)"),
        "{said}"
    );
    let mut client = balancer.client("web");
    assert_eq!(client.get("/ok").text(), "fine");
    assert_eq!(client.get("/other").status, 307);
    assert_eq!(balancer.admin("/healthz").status, 200);
    // A pool may come later, and go again.
    let origin = Origin::named("a");
    let route = "[[routes]]\npath = \"/shop\"\npool = \"shop\"\n";
    let with_pool = format!(
        "{alone}{route}{}",
        crate::harness::pool("shop", "random", &[&origin])
    );
    for (configuration, status) in [(with_pool.as_str(), 200), (alone, 307)] {
        balancer.reload(configuration);
        wait_until(DEADLINE, "the reload", || {
            client.get("/shop").status == status
        });
    }
    for routes in [route, ""] {
        let head = "[listeners.web]\naddress = \"127.0.0.1:0\"\n";
        let (code, log) = in_vain(&format!("{head}{routes}"));
        assert!(code == Some(2) && log.contains("there is no pool"), "{log}");
    }
    let text_for_table = format!(
        "{alone}{}",
        "[[routes]]\npath = \"/x\"\nredirect = \"https://shop.example\"\n"
    );
    let (code, log) = in_vain(&text_for_table);
    assert_eq!(code, Some(2));
    assert!(
        log.contains("such as redirect = { to = \"https://{host}{uri}\" }"),
        "{log}"
    );
}

#[test]
fn check_says_all_that_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str, content: &str| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (good, bad) = (path("good.toml", GOOD), path("bad.toml", BAD));
    let output = program(&["check", &good]);
    assert_eq!(output.status.code(), Some(0));
    let counted = "good (1 listener, 1 route, 1 pool, 1 backend)";
    assert!(text(&output.stdout).contains(counted) && output.stderr.is_empty());
    let output = program(&["check", "--json", &good]);
    let problems: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (output.status.code(), problems),
        (Some(0), Value::Array(Vec::new()))
    );

    let output = program(&["check", &good, "--doctor"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert!(
        said.contains("advice: pools.shop.backends: only one") && said.contains(counted),
        "{said}"
    );

    let output = program(&["check", &bad]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for part in [
        ":6:",
        "strategy = \"round-robbin\"",
        "^^^",
        "help",
        ":7:",
        "adress",
    ] {
        assert!(said.contains(part), "{part} is not in\n{said}");
    }
    assert!(!said.contains('\u{1b}'), "no colours on a pipe");
    let output = program(&["check", "--json", &bad]);
    let problems: Value = serde_json::from_slice(&output.stdout).unwrap();
    let problems = problems.as_array().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let lines: Vec<_> = problems
        .iter()
        .map(|problem| problem["at"]["line"].as_u64())
        .collect();
    assert!(
        lines.contains(&Some(6)) && lines.contains(&Some(7)),
        "{problems:?}"
    );
    let output = program(&["check", "/nowhere.toml"]);
    assert_eq!(output.status.code(), Some(2));
    let output = program(&["check", "--json", "/nowhere.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        serde_json::from_slice::<Value>(&output.stdout).is_ok_and(|problems| problems.is_array())
    );
}

#[test]
fn the_command_line_explains_itself() {
    for (arguments, part) in [
        (&["--help"][..], "forecourt check config/shop.toml"),
        (&["--help"], "  forecourt demo\n"),
        (&["demo", "--help"], "forecourt demo --for 5m"),
        (&["run", "--help"], "forecourt run --config"),
        (&["check", "--help"], "forecourt check "),
        (&["status", "--help"], "forecourt status"),
        (&["--version"], env!("CARGO_PKG_VERSION")),
    ] {
        let output = program(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(text(&output.stdout).contains(part), "{arguments:?}");
    }
    for arguments in [
        &[][..],
        &["fly"],
        &["run"],
        &["status", "--admin", "nonsense"],
    ] {
        let output = program(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(
            !output.stderr.is_empty() && output.stdout.is_empty(),
            "{arguments:?}"
        );
    }
}

#[test]
fn status_shows_the_pools_of_a_running_instance() {
    let (a, b) = (Origin::named("a"), Origin::named("b"));
    let balancer = Balancer::in_front_of(&[&a, &b]);
    let mut client = balancer.client("web");
    for _ in 0..4 {
        client.get("/");
    }
    wait_until(DEADLINE, "four records", || {
        Figures::of(&balancer).sum("forecourt_requests_total", &[]) == 4.0
    });
    let admin = format!("http://{}", balancer.address("admin"));
    let output = program(&["status", "--admin", &admin]);
    let table = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{table}");
    for part in [
        "serving",
        "generation 1",
        "listener web",
        "1 connections",
        "pool shop  round-robin",
        "nothing is wrong: no backend is out, slow or failing",
    ] {
        assert!(table.contains(part), "{part} is not in\n{table}");
    }
    for origin in [&a, &b] {
        let address = origin.address().to_string();
        let line = table.lines().find(|line| line.contains(&address));
        let words: Vec<_> = line
            .unwrap_or_else(|| panic!("{table}"))
            .split_whitespace()
            .collect();
        // Weight, standing, in flight, requests, 5xx, failures, active, idle.
        assert_eq!(words[1..6], ["1", "ready", "0", "2", "0"], "{table}");
    }
    let output = program(&["status", "--json", "--admin", &admin]);
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (output.status.code(), &status["state"]),
        (Some(0), &Value::from("serving"))
    );
}

#[test]
fn status_says_that_nobody_answers() {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let stranger = Origin::named("stranger");
    stranger.on("/v1/status", Behaviour::Status(404));
    let garbage = Origin::named("garbage");
    garbage.behave(Behaviour::Garbage);
    let misled = Origin::named("misled");
    for address in [
        free,
        stranger.address(),
        garbage.address(),
        misled.address(),
    ] {
        let output = program(&["status", "--admin", &address.to_string()]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(
            said.contains(&address.to_string()) && output.stdout.is_empty(),
            "{said}"
        );
    }
    let output = program(&["status", "--admin", "unix:/nowhere.sock"]);
    assert_eq!(output.status.code(), Some(3));
}

/// What a package ships beside the program names every command.
#[test]
fn completions_and_man_pages_are_made_of_the_command_line() {
    let help = text(&program(&["--help"]).stdout);
    let commands = help.split("Commands:").nth(1).unwrap();
    let commands: Vec<_> = commands
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .take_while(|word| !word.starts_with('-'))
        .filter(|word| *word != "help")
        .collect();
    assert!(
        commands.contains(&"run") && commands.contains(&"man"),
        "{help}"
    );
    for shell in ["bash", "zsh", "fish"] {
        let output = program(&["completions", shell]);
        let script = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0));
        for command in &commands {
            assert!(script.contains(command), "{command} for {shell}");
        }
    }
    let page = text(&program(&["man"]).stdout);
    assert!(page.contains(".TH forecourt 1"), "{page}");
    let folder = tempfile::tempdir().unwrap();
    let output = program(&["man", "--out", folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0));
    for command in &commands {
        let page = folder.path().join(format!("forecourt-{command}.1"));
        assert!(page.exists(), "{}", page.display());
    }
    let nowhere = program(&["man", "--out", "/nowhere/at/all"]);
    assert_eq!(nowhere.status.code(), Some(1));
}
