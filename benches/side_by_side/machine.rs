//! What has to be installed, on what the figures were got, and how to wait for silence.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use crate::Outcome;
use crate::accounts;
use crate::process::{LOAD_CPU, PROXY_CPU, is_installed};

/// Program, and the package of Debian that has it.
const TOOLS: [(&str, &str); 4] = [
    ("nginx", "nginx"),
    ("haproxy", "haproxy"),
    ("wrk", "wrk"),
    ("h2load", "nghttp2-client"),
];

/// Installs what is missing, or says what to install.
pub(crate) fn install_missing() -> Outcome<()> {
    let missing: Vec<&str> = TOOLS
        .iter()
        .filter(|(program, _)| !is_installed(program))
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let words = if rustix::process::geteuid().is_root() {
        vec!["apt-get"]
    } else {
        vec!["sudo", "-n", "apt-get"]
    };
    eprintln!("installing {}", missing.join(" "));
    let succeeds = |arguments: &[&str]| {
        Command::new(words[0])
            .args(&words[1..])
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdout(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    let install = [&["install", "-y", "--no-install-recommends"][..], &missing].concat();
    let is_done = succeeds(&install) || (succeeds(&["update"]) && succeeds(&install));
    if !is_done {
        eprintln!(
            "could not install them; as root: apt-get install {}",
            missing.join(" ")
        );
    }
    for tool in ["wrk", "h2load"] {
        if !is_installed(tool) {
            return Err(
                format!("{tool} is missing, and nothing can be measured without it").into(),
            );
        }
    }
    Ok(())
}

/// Date, machine and versions, as Markdown.
pub(crate) fn describe(forecourts: &[(String, String)]) -> String {
    let mut lines = describe_machine().to_vec();
    let versions = [
        ("nginx", "-v"),
        ("haproxy", "-v"),
        ("wrk", "-v"),
        ("h2load", "--version"),
    ];
    let mut versions: Vec<String> = versions
        .iter()
        .filter_map(|(program, argument)| version(program, argument))
        .collect();
    versions.extend(
        forecourts
            .iter()
            .map(|(name, version)| format!("{name}: {version}")),
    );
    lines.push(format!("Versions: {}", versions.join("; ")));
    lines.join("  \n")
}

/// Date and machine, a line each.
pub(crate) fn describe_machine() -> [String; 2] {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let count = thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    [
        format!(
            "Date: {}",
            jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC")
        ),
        format!(
            "Machine: {model}, {} CPUs, Linux {}",
            count.max(cpus.matches("processor\t").count()),
            kernel.trim()
        ),
    ]
}

/// The first line that a program says about itself.
pub(crate) fn version(program: &str, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    let line = text.lines().next()?;
    let line = line.split(" - ").next().unwrap_or(line);
    Some(
        line.split(" Copyright")
            .next()
            .unwrap_or(line)
            .trim_start_matches("nginx version: ")
            .to_owned(),
    )
}

/// Waits, but not for ever, until nobody else uses the two CPUs.
pub(crate) fn wait_for_silence() {
    let deadline = Instant::now() + Duration::from_secs(6);
    let window = Duration::from_millis(250);
    while Instant::now() < deadline {
        let before = [PROXY_CPU, LOAD_CPU].map(accounts::busy);
        thread::sleep(window);
        let after = [PROXY_CPU, LOAD_CPU].map(accounts::busy);
        let is_silent = |at: usize| after[at] - before[at] <= 0.12 * window.as_secs_f64();
        if is_silent(0) && is_silent(1) {
            return;
        }
    }
}
