//! Programs that come to nothing: the old one goes on, and says why.

use super::super::harness::Response;
use super::*;

/// Upgrades, and waits until that has failed once more.
#[track_caller]
fn fail(balancer: &Balancer) {
    let before = failed_upgrades(balancer);
    balancer.signal(Signal::USR2);
    wait_until(DEADLINE, "the failure", || {
        failed_upgrades(balancer) == before + 1.0
    });
}

#[test]
fn a_program_that_cannot_start_changes_nothing() {
    let origin = Origin::named("a");
    let good = Balancer::front("shop") + &pool("shop", "round-robin", &[&origin]);
    let program = Turnable::to_the_program();
    let mut balancer = Balancer::start_at(&program.path(), &good);
    let busy = Busy::at(balancer.address("web"));
    busy.go_on(50);

    program.turn_to_script("echo its last sigh >&2; exit 7");
    fail(&balancer);
    let log = balancer.stderr();
    let line = log.lines().find(|line| line.contains("upgrade failed"));
    let line = line.expect("a line that says so");
    assert!(
        line.contains("exit status: 7") && line.contains("its last sigh"),
        "{line}"
    );

    // One that ends its standard input and stays.
    program.turn_to_script("exec sleep 1000 <&-");
    fail(&balancer);
    program.turn_to(Path::new("/etc/hostname"));
    fail(&balancer);
    assert_eq!(
        balancer.candidates().len(),
        2,
        "the last is no program at all"
    );

    program.turn_to(&binary());
    balancer.rewrite(&good.replace("strategy", "strategie"));
    fail(&balancer);
    let log = balancer.stderr();
    let line = log.lines().rfind(|line| line.contains("upgrade failed"));
    assert!(line.unwrap().contains("exit status: 2"), "{log}");
    assert!(line.unwrap().contains("strategie"), "{log}");

    assert!(serving(&balancer).is_none() && balancer.try_exit().is_none());
    busy.go_on(50);
    balancer.rewrite(&good);
    upgrade(&mut balancer);
    busy.go_on(50);
    assert_eq!(busy.failures(), [""; 0]);
    end(&balancer);
}

/// Killed at any moment before it is its turn, a new process has taken nothing along.
#[test]
fn a_new_process_that_is_killed_changes_nothing() {
    let origin = Origin::named("a");
    // It is not ready before it knows its backend, whose check waits.
    let configuration = |path: &str| {
        let pool = pool("shop", "round-robin", &[&origin]);
        format!(
            "{}{pool}\n[pools.shop.health]\npath = \"{path}\"\ninitial = \"hold\"\ntimeout = \"1h\"\ninterval = \"1h\"\nfast_interval = \"20ms\"\n",
            Balancer::front("shop")
        )
    };
    origin.on("/never", Behaviour::Hang);
    let mut balancer = Balancer::start(&configuration("/healthz"));
    let is_ready = |balancer: &Balancer| balancer.admin("/readyz").status == 200;
    wait_until(DEADLINE, "the backend to be known", || is_ready(&balancer));
    let busy = Busy::at(balancer.address("web"));
    balancer.rewrite(&configuration("/never"));
    balancer.signal(Signal::USR2);
    let asked = |target: &str| {
        let received = origin.received();
        received.iter().any(|request| request.target == target)
    };
    wait_until(DEADLINE, "the new process to have all but begun", || {
        asked("/never")
    });
    busy.go_on(50);
    let child = wait_for(DEADLINE, "its number", || balancer.candidates().pop());
    kill_process(child, Signal::KILL).unwrap();
    wait_until(DEADLINE, "the failure", || {
        failed_upgrades(&balancer) == 1.0
    });
    assert!(
        balancer.stderr().contains("signal: 9"),
        "{}",
        balancer.stderr()
    );
    busy.go_on(50);
    assert_eq!(status(&balancer)["state"], "serving");

    // And one that is starting when its elder is told to end goes with it.
    balancer.signal(Signal::USR2);
    let second = wait_for(DEADLINE, "its number", || {
        balancer.candidates().into_iter().nth(1)
    });
    assert_eq!(busy.failures(), [""; 0]);
    balancer.signal(Signal::TERM);
    assert_eq!(balancer.wait_for_exit(DEADLINE).code(), Some(0));
    wait_until(DEADLINE, "its end", || !balancer.runs(second));
    assert!(serving(&balancer).is_none());
}

/// Begins an upgrade to a process that does not begin before there is the file that is returned.
#[track_caller]
fn begin(balancer: &Balancer, program: &Turnable) -> PathBuf {
    let gate = balancer.folder().join("gate");
    program.turn_to_script(&format!(
        "while [ ! -e {} ]; do sleep 0.02; done\nexec {} \"$@\"",
        gate.display(),
        binary().display()
    ));
    balancer.signal(Signal::USR2);
    wait_until(DEADLINE, "the new process to be starting", || {
        !balancer.candidates().is_empty()
    });
    gate
}

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Asks the admin API as whoever has the token.
fn ask(balancer: &Balancer, method: &str, path: &str) -> Response {
    let request = Request::new(method, path).host("localhost");
    let request = request.field("authorization", &format!("Bearer {TOKEN}"));
    balancer.client("admin").send(&request)
}

/// The new process has the sockets and the configuration of when it was started: changes would be lost.
#[test]
fn changes_are_refused_meanwhile_and_what_changes_nothing_is_answered() {
    let origin = Origin::named("a");
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, format!("{TOKEN}\n")).unwrap();
    let admin = format!("[admin]\ntoken_file = \"{}\"\n", token.display());
    let good = Balancer::front("shop").replace("[admin]\n", &admin)
        + &pool("shop", "round-robin", &[&origin]);
    let program = Turnable::to_the_program();
    let mut balancer = Balancer::start_at(&program.path(), &good);
    // It listens a moment before there is somebody who governs.
    wait_until(DEADLINE, "somebody who governs", || {
        ask(&balancer, "GET", "/v1/reload").status == 200
    });
    let gate = begin(&balancer, &program);
    for path in [
        "/v1/reload",
        "/v1/reload?confirm=30s",
        "/v1/reload?dry_run=true",
        "/v1/config/rollback/1",
    ] {
        let answer = ask(&balancer, "POST", path);
        assert_eq!(answer.status, 409, "{path}: {answer}");
        let problem: Value = serde_json::from_slice(&answer.body).unwrap();
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.contains("an upgrade is under way"),
            "{path}: {detail}"
        );
    }
    for path in [
        "/v1/reload",
        "/v1/config",
        "/v1/config/history",
        "/v1/status",
        "/readyz",
    ] {
        let answer = ask(&balancer, "GET", path);
        assert_eq!(answer.status, 200, "{path}: {answer}");
    }
    std::fs::write(&gate, "").unwrap();
    assert_eq!(balancer.wait_for_exit(DEADLINE).code(), Some(0));
    wait_until(DEADLINE, "the new one to take changes", || {
        ask(&balancer, "POST", "/v1/reload").status == 200
    });
    end(&balancer);
}

/// Whoever says so while the new process starts has it said to that one.
#[test]
fn a_reload_that_is_asked_for_meanwhile_is_not_lost() {
    let origin = Origin::named("a");
    let good = Balancer::front("shop") + &pool("shop", "round-robin", &[&origin]);
    let program = Turnable::to_the_program();
    let mut balancer = Balancer::start_at(&program.path(), &good);
    let gate = begin(&balancer, &program);
    balancer.signal(Signal::HUP);
    std::fs::write(&gate, "").expect("the folder can be written to");
    assert_eq!(balancer.wait_for_exit(DEADLINE).code(), Some(0));
    let reloads = "forecourt_config_reloads_total{result=\"ok\"}";
    wait_until(DEADLINE, "the reload", || balancer.metric(reloads) == 1.0);
    end(&balancer);
}

/// The variable of an upgrade in an environment that is none.
#[test]
fn a_process_that_was_left_alone_says_so() {
    let output = super::super::harness::command()
        .args(["run", "--config", "/nowhere"])
        .env("FORECOURT_HANDOFF", "stdin")
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        text.contains("FORECOURT_HANDOFF") && text.contains("unset it"),
        "{text}"
    );
}
