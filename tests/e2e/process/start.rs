//! What can be in the way of a start, and starting again after a sudden end.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

use rustix::process::Signal;

use super::text;
use crate::harness::{Balancer, Behaviour, Client, DEADLINE, Origin, Request, pool, wait_until};

/// Starts it in vain and gives exit code and log.
#[track_caller]
pub(super) fn in_vain(configuration: &str) -> (Option<i32>, String) {
    let mut balancer = Balancer::spawn(configuration);
    let status = balancer.wait_for_exit(DEADLINE);
    (status.code(), balancer.stderr())
}

#[test]
fn a_port_in_use_is_named() {
    let origin = Origin::named("a");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let shared = {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.set_reuse_port(true).unwrap();
        socket
            .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
            .unwrap();
        socket.listen(1).unwrap();
        TcpListener::from(socket)
    };
    let another = Balancer::in_front_of(&[&origin]);
    let usual = Balancer::front("shop") + &pool("shop", "round-robin", &[&origin]);
    for (table, address) in [
        ("[listeners.web]", taken.local_addr().unwrap()),
        ("[listeners.web]", shared.local_addr().unwrap()),
        ("[listeners.web]", another.address("web")),
        ("[admin]", taken.local_addr().unwrap()),
        ("[admin]", another.address("admin")),
    ] {
        let place = format!("{table}\naddress = \"127.0.0.1:0\"");
        let (code, log) =
            in_vain(&usual.replace(&place, &format!("{table}\naddress = \"{address}\"")));
        assert_eq!(code, Some(1), "{log}");
        assert!(
            log.contains(&address.to_string()) && log.contains("in use"),
            "{log}"
        );
        assert!(
            log.contains("error: ") && !log.contains("panicked"),
            "{log}"
        );
    }
    assert_eq!(
        another.client("web").get("/").origin(),
        "a",
        "the other one is as before"
    );
}

#[test]
fn an_address_that_is_not_here_is_named() {
    let origin = Origin::named("a");
    let usual = Balancer::front("shop") + &pool("shop", "round-robin", &[&origin]);
    // TEST-NET-1 (RFC 5737), and a folder that does not exist.
    for address in ["192.0.2.1:0", "unix:/nowhere/at/all/web.sock"] {
        let (code, log) = in_vain(&usual.replace(
            "[listeners.web]\naddress = \"127.0.0.1:0\"",
            &format!("[listeners.web]\naddress = \"{address}\""),
        ));
        assert_eq!(code, Some(1), "{log}");
        assert!(log.contains(address), "{log}");
    }
}

/// Runs a copy of the program as somebody without rights.
#[allow(
    clippy::print_stderr,
    reason = "a test that does not run has to say so"
)]
fn as_nobody(folder: &Path, arguments: &[&str]) -> Option<Output> {
    let mut command = Command::new(folder.join("forecourt"));
    // The build's folder may not be everybody's to look into.
    fs::copy(env!("CARGO_BIN_EXE_forecourt"), folder.join("forecourt")).unwrap();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    if rustix::process::geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    match command
        .args(arguments)
        .current_dir("/")
        .env("NO_COLOR", "1")
        .output()
    {
        Ok(output) => Some(output),
        Err(error) => {
            eprintln!("skipped: nothing can be run as nobody here: {error}");
            None
        }
    }
}

#[test]
#[allow(
    clippy::print_stderr,
    reason = "a test that does not run has to say so"
)]
fn what_is_not_permitted_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let closed = folder.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).unwrap();
    let first =
        fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
    let mut addresses = vec![format!("unix:{}", closed.join("web.sock").display())];
    if first.trim().parse::<u16>().is_ok_and(|first| first > 81) {
        addresses.push("127.0.0.1:81".to_owned());
    } else {
        eprintln!("skipped in part: every port is everybody's here");
    }
    let file = folder.path().join("forecourt.toml");
    for address in addresses {
        let configuration = format!(
            "[listeners.web]\naddress = \"{address}\"\n[[routes]]\npool = \"shop\"\n[pools.shop]\nbackends = [{{ address = \"127.0.0.1:1\" }}]\n"
        );
        fs::write(&file, configuration).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let Some(output) = as_nobody(folder.path(), &["run", "--config", file.to_str().unwrap()])
        else {
            return;
        };
        let log = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{log}");
        assert!(
            log.contains("no permission") && log.contains(&address),
            "{log}"
        );
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    if let Some(output) = as_nobody(folder.path(), &["run", "--config", file.to_str().unwrap()]) {
        let log = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{log}");
        assert!(
            log.contains("forecourt.toml") && log.to_lowercase().contains("permission"),
            "{log}"
        );
    }
}

/// Sends a request over a Unix socket and gives all that comes back.
fn over_unix(path: &Path, target: &str) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.write_all(
        format!("GET {target} HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n\r\n")
            .as_bytes(),
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn after_kill_9_it_starts_again_at_the_same_port_at_once() {
    let origin = Origin::named("a");
    origin.on("/hang", Behaviour::Hang);
    let usual = Balancer::front("shop") + &pool("shop", "round-robin", &[&origin]);
    let mut first = Balancer::start(&usual);
    let (web, admin) = (first.address("web"), first.address("admin"));
    let mut clients: Vec<Client> = (0..20).map(|_| first.client("web")).collect();
    for client in &mut clients {
        client.get("/");
    }
    clients[0]
        .send_raw(&Request::get("/hang").to_bytes())
        .unwrap();
    first.signal(Signal::KILL);
    assert_eq!(first.wait_for_exit(DEADLINE).code(), None);
    let fixed = usual
        .replace(
            "[listeners.web]\naddress = \"127.0.0.1:0\"",
            &format!("[listeners.web]\naddress = \"{web}\""),
        )
        .replace(
            "[admin]\naddress = \"127.0.0.1:0\"",
            &format!("[admin]\naddress = \"{admin}\""),
        );
    let second = Balancer::start(&fixed);
    assert_eq!(second.client("web").get("/").origin(), "a");
    assert!(clients[0].read_response("GET").is_err());
    assert_eq!(clients[0].get("/").origin(), "a");
}

#[test]
fn after_kill_9_it_starts_again_at_the_same_unix_socket_at_once() {
    let origin = Origin::named("a");
    let folder = tempfile::tempdir().unwrap();
    let (web, admin) = (
        folder.path().join("web.sock"),
        folder.path().join("admin.sock"),
    );
    let configuration = format!(
        "[admin]\naddress = \"unix:{}\"\n[listeners.web]\naddress = \"unix:{}\"\n[[routes]]\npool = \"shop\"\n{}",
        admin.display(),
        web.display(),
        pool("shop", "round-robin", &[&origin])
    );
    let serves = || {
        over_unix(&web, "/").is_ok_and(|answer| {
            answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\na")
        })
    };
    let mut first = Balancer::spawn(&configuration);
    wait_until(DEADLINE, "service on the socket", serves);
    let (code, log) = in_vain(&configuration);
    assert_eq!(code, Some(1), "{log}");
    assert!(
        log.contains("in use") && serves(),
        "a living socket is left alone: {log}"
    );

    first.signal(Signal::KILL);
    first.wait_for_exit(DEADLINE);
    assert!(web.exists() && admin.exists() && over_unix(&web, "/").is_err());
    let mut second = Balancer::spawn(&configuration);
    wait_until(DEADLINE, "service on the socket of a dead process", serves);
    assert!(
        over_unix(&admin, "/healthz")
            .unwrap()
            .starts_with("HTTP/1.1 200 ")
    );

    second.signal(Signal::TERM);
    assert_eq!(second.wait_for_exit(DEADLINE).code(), Some(0));
    assert!(
        !web.exists() && !admin.exists(),
        "an orderly end leaves nothing behind"
    );
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("precious");
    fs::write(&path, "precious").unwrap();
    for table in ["listeners.web", "admin"] {
        let other = if table == "admin" {
            "listeners.web"
        } else {
            "admin"
        };
        let (code, log) = in_vain(&format!(
            "[{table}]\naddress = \"unix:{}\"\n[{other}]\naddress = \"127.0.0.1:0\"\n[[routes]]\npool = \"shop\"\n\
             [pools.shop]\nbackends = [{{ address = \"127.0.0.1:1\" }}]\n",
            path.display()
        ));
        assert_eq!(code, Some(1), "{log}");
        assert!(log.contains("not a socket"), "{log}");
        assert!(!fs::symlink_metadata(&path).unwrap().file_type().is_socket());
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }
}
