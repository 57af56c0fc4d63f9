//! Every example of the README is run, and its reference is that of the code.
//!
//! Shell blocks are run line by line in one shell, with ports that the kernel chose in place of the usual
//! ones; TOML blocks go through `forecourt check`. `FORECOURT_BLESS=1` rewrites the reference.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use forecourt::telemetry::{Cause, names};

#[test]
fn the_reference_is_that_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = readme();
    let expected = with_section(
        &with_section(&text, "errors", &errors()),
        "metrics",
        &metrics(),
    );
    if std::env::var_os("FORECOURT_BLESS").is_some() {
        std::fs::write(&path, &expected).expect("write the README");
    } else {
        assert!(
            text == expected,
            "the README's reference is out of date: FORECOURT_BLESS=1 cargo test --test readme"
        );
    }
}

#[test]
fn configurations_are_good() {
    let examples = blocks("toml");
    assert!(examples.len() >= 2, "the README shows configurations");
    let folder = tempfile::tempdir().expect("a folder");
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/errors");
    std::os::unix::fs::symlink(pages, folder.path().join("errors")).expect("a link");
    for (number, example) in examples.iter().enumerate() {
        let file = folder.path().join(format!("{number}.toml"));
        std::fs::write(&file, example).expect("write the example");
        let checked = Command::new(env!("CARGO_BIN_EXE_forecourt"))
            .arg("check")
            .arg(&file)
            .env("FC_STICKY", "a secret of the test, long enough")
            .output()
            .expect("run forecourt");
        // What takes a feature is refused without it, and says so.
        if example.contains("[trace.export]") && !cfg!(feature = "otel") {
            let said = shown(&checked);
            assert!(
                !checked.status.success() && said.contains("--features otel"),
                "{said}"
            );
            continue;
        }
        assert!(checked.status.success(), "{example}\n{}", shown(&checked));
    }
}

/// The first command is the demo, which the README says ends by itself when told to.
#[test]
fn the_demo_starts_and_ends() {
    let blocks = blocks("sh");
    let first = blocks[0].trim().strip_prefix("cargo run --release -- ");
    let arguments = first.expect("the first command").split(' ');
    let ran = Command::new(env!("CARGO_BIN_EXE_forecourt"))
        .args(arguments)
        .args(["--for", "1s", "--port", "0", "--admin-port", "0"])
        .stdin(Stdio::null())
        .output()
        .expect("run forecourt");
    assert!(ran.status.success(), "{}", shown(&ran));
    let out = String::from_utf8_lossy(&ran.stdout);
    assert!(out.contains("a shop on four backends"), "{out}");
}

/// The first thing that a run says on `NOTIFY_SOCKET`.
fn said_to_the_manager(configuration: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notify");
    let manager = std::os::unix::net::UnixDatagram::bind(&path).expect("a socket");
    let text = std::fs::read_to_string(configuration).expect("the configuration");
    let file = folder.path().join("forecourt.toml");
    let any_port = ["127.0.0.1:8080", "127.0.0.1:9900"];
    let text = any_port
        .iter()
        .fold(text, |text, address| text.replace(address, "127.0.0.1:0"));
    std::fs::write(&file, text).expect("a file");
    let mut child = Command::new(env!("CARGO_BIN_EXE_forecourt"))
        .args(["run", "--config"])
        .arg(&file)
        .env("NOTIFY_SOCKET", &path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("run forecourt");
    let patience = std::time::Duration::from_secs(30);
    manager.set_read_timeout(Some(patience)).expect("a timeout");
    let mut room = [0; 256];
    let said = manager.recv(&mut room);
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    let count = said.expect("a word within half a minute");
    String::from_utf8_lossy(&room[..count]).into_owned()
}

/// The unit runs the program as the program wants to be run.
#[test]
fn the_systemd_unit_speaks_the_programs_language() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/forecourt.service");
    let unit = std::fs::read_to_string(unit).expect("the unit");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/shop.toml");
    let file = file.to_str().expect("a path in UTF-8");
    for (key, command) in [("ExecStartPre", "check"), ("ExecReload", "check")] {
        let line = unit.lines().find(|line| line.starts_with(key)).expect(key);
        let words: Vec<&str> = line.split(' ').skip(1).collect();
        assert_eq!(words[0], command, "{line}");
        let ran = Command::new(env!("CARGO_BIN_EXE_forecourt"))
            .args(&words[..words.len() - 1])
            .arg(file)
            .output()
            .expect("run forecourt");
        assert!(ran.status.success(), "{line}\n{}", shown(&ran));
    }
    assert!(unit.contains("\nExecStart=/usr/local/bin/forecourt run --config /etc/forecourt/"));
    assert!(unit.contains("\nExecReload=/bin/kill -HUP $MAINPID\n"));
    // It would be killed as one that never started, or whose main process has gone, if it did not say so.
    assert!(unit.contains("\nType=notify\n") && unit.contains("\nNotifyAccess=all\n"));
    assert_eq!(said_to_the_manager(file), "READY=1\n");
}

#[test]
#[allow(clippy::too_many_lines, reason = "one script and what it prints")]
fn commands_work_as_written() {
    if Command::new("python3")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_err()
    {
        assert!(
            std::env::var_os("FORECOURT_TEST_SERVERS").is_none(),
            "python3 is required"
        );
        eprintln!("left out: the README's commands need python3");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let ports = free_ports(6);
    let usual = [9001, 9002, 9003, 9004, 8080, 9900];
    let replaced = |text: &str| {
        usual
            .iter()
            .zip(&ports)
            .fold(text.to_owned(), |text, (usual, port)| {
                text.replace(&usual.to_string(), &port.to_string())
            })
    };
    let config =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/shop.toml"))
            .expect("config/shop.toml");
    std::fs::create_dir(folder.path().join("config")).expect("a folder");
    std::fs::write(folder.path().join("config/shop.toml"), replaced(&config))
        .expect("write the configuration");
    for path in ["config/routing.toml", "deploy"] {
        let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        std::os::unix::fs::symlink(ours, folder.path().join(path)).expect("a link");
    }
    let script = script(&ports[..5], &replaced(&blocks("sh")[1..].join("\n")));
    let ran = Command::new("sh")
        .arg("-c")
        .arg(&script)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()
        .expect("run a shell");
    assert!(ran.status.success(), "{script}\n{}", shown(&ran));
    let out = String::from_utf8_lossy(&ran.stdout);
    for expected in [
        "HTTP/1.1 200 OK",
        "set-cookie: fc=v1.",
        "pool checkout",
        "forecourt_config_generation 1",
        ": good (1 listener",
        "reads takes it, for the pool readers",
        "office takes it, for the pool admin",
        "ExecStart=",
    ] {
        assert!(out.contains(expected), "no {expected:?} in\n{out}");
    }
    let log = String::from_utf8_lossy(&ran.stderr);
    assert!(
        log.contains("configuration applied"),
        "the reload was not logged:\n{log}"
    );
}

/// The README's lines, each failing the script, with the program in place of cargo and of the name, and
/// with what they start ended behind them.
fn script(ports: &[u16], lines: &str) -> String {
    let program = env!("CARGO_BIN_EXE_forecourt");
    let lines = lines
        .replace("cargo run --release -- ", "forecourt ")
        .replace("$(pgrep -n -f '^[^ ]*forecourt run ')", "$balancer")
        .replace("curl ", "curl -sS --max-time 10 ")
        .replace(
            "\nforecourt status",
            &format!("\nforecourt status --admin 127.0.0.1:{}", admin_port(lines)),
        );
    let mut script = format!(
        "set -e\nforecourt() {{ exec_or_run \"$@\"; }}\nexec_or_run() {{ {program} \"$@\"; }}\nstarted=\n"
    );
    script.push_str("trap 'kill $started 2>/dev/null || true; wait' EXIT\n");
    for line in lines.lines() {
        if let Some(started) = line.strip_prefix("for port") {
            let _ = writeln!(
                script,
                "for port{}",
                started.replace("& done", "& started=\"$started $!\"; done")
            );
        } else if line.starts_with("forecourt run") {
            let _ = writeln!(
                script,
                "{program} {} balancer=$!; started=\"$started $balancer\"",
                line.trim_start_matches("forecourt ")
            );
            for port in ports {
                let _ = writeln!(
                    script,
                    "{}",
                    until(&format!("curl -s -o /dev/null http://127.0.0.1:{port}/"))
                );
            }
        } else {
            let _ = writeln!(script, "{line}");
        }
    }
    let reloads = format!(
        "curl -s http://127.0.0.1:{}/metrics | grep -q 'reloads_total.*ok.* 1$'",
        admin_port(&lines)
    );
    let _ = writeln!(script, "{}", until(&reloads));
    script
}

/// Waits for a command to succeed, with a deadline.
fn until(command: &str) -> String {
    format!("tries=0; until {command}; do tries=$((tries+1)); [ $tries -lt 200 ]; sleep 0.05; done")
}

fn admin_port(lines: &str) -> String {
    let metrics = lines
        .lines()
        .find(|line| line.ends_with("/metrics"))
        .expect("the README reads the metrics");
    let port = metrics
        .rsplit_once(':')
        .and_then(|(_, rest)| rest.split('/').next());
    port.expect("a port").to_owned()
}

fn free_ports(count: usize) -> Vec<u16> {
    let held: Vec<_> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0").expect("a port"))
        .collect();
    held.iter()
        .map(|socket| socket.local_addr().expect("an address").port())
        .collect()
}

fn blocks(kind: &str) -> Vec<String> {
    let text = readme();
    let mut found = Vec::new();
    let mut parts = text.split("```");
    while let (Some(_), Some(block)) = (parts.next(), parts.next()) {
        if let Some(content) = block.strip_prefix(&format!("{kind}\n")) {
            found.push(content.to_owned());
        }
    }
    found
}

fn errors() -> String {
    let mut table =
        String::from("| Code | Status | gRPC | Cause | Remedy |\n|---|---|---|---|---|\n");
    for cause in Cause::ALL {
        let status = forecourt::proxy::status(cause).as_u16();
        let code = forecourt::proxy::grpc_code(cause);
        let _ = writeln!(
            table,
            "| `{cause}` | {status} | {} {} | {} | {} |",
            code as u8,
            code.as_str(),
            cause.meaning(),
            cause.remedy()
        );
    }
    table
}

fn metrics() -> String {
    let mut table = String::from("| Name | Labels | Meaning |\n|---|---|---|\n");
    for metric in names::ALL {
        let _ = writeln!(
            table,
            "| `{}` | {} | {} |",
            metric.name,
            metric.labels.join(", "),
            metric.help
        );
    }
    table
}

fn with_section(text: &str, name: &str, content: &str) -> String {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let start = text.find(&begin).expect("the section begins") + begin.len();
    let stop = text.find(&end).expect("the section ends");
    format!("{}{content}{}", &text[..start], &text[stop..])
}

fn readme() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"))
        .expect("README.md")
}

fn shown(output: &Output) -> String {
    format!(
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
