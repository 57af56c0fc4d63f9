//! Sockets that the service manager has opened, and what it is told.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use super::*;

/// A shell that makes its standard input descriptor 3 and becomes the program, with the number that it then has: what
/// systemd does.
fn activated() -> Command {
    let mut command = Command::new("sh");
    let script = "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\"";
    command.args(["-c", script, "sh"]).arg(binary());
    command
}

/// Whoever came before the program was there is served by it; an upgrade hands the socket on.
#[test]
fn a_socket_of_the_service_manager_is_used() {
    let origin = Origin::named("a");
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let mut early = Client::of(address);
    early.send_raw(&Request::get("/").to_bytes()).unwrap();
    let configuration = format!(
        "[server]\nworkers = 2\n{}{}",
        Balancer::front("shop").replace(WEB, &WEB.replace("127.0.0.1:0", &address.to_string())),
        pool("shop", "round-robin", &[&origin])
    );
    let stdin = OwnedFd::from(socket);
    let mut balancer = Balancer::start_given(activated(), stdin, &configuration);
    assert_eq!(balancer.address("web"), address);
    assert_eq!(early.read_response("GET").unwrap().origin(), "a");
    let busy = Busy::at(address);
    busy.go_on(50);
    upgrade(&mut balancer);
    busy.go_on(50);
    assert_eq!(busy.failures(), [""; 0]);
    end(&balancer);
}

/// The service manager learns who serves: ready, another process, stopping.
#[test]
fn the_service_manager_is_told() {
    let origin = Origin::named("a");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let heard = |wanted: &str| {
        let mut said = String::new();
        while !said.lines().any(|line| line == wanted) {
            let mut room = [0; 512];
            let count = manager.recv(&mut room).unwrap_or_else(|error| {
                panic!("{error}: not {wanted} but {said}");
            });
            said = String::from_utf8_lossy(&room[..count]).into_owned();
        }
    };
    let mut command = super::super::harness::command();
    command.env("NOTIFY_SOCKET", &path);
    let configuration = Balancer::front("shop") + &pool("shop", "round-robin", &[&origin]);
    let mut balancer = Balancer::start_by(command, &configuration);
    heard("READY=1");
    balancer.signal(Signal::HUP);
    heard("RELOADING=1");
    heard("READY=1");
    upgrade(&mut balancer);
    let pid = serving(&balancer).expect("it has been replaced");
    heard(&format!("MAINPID={}", pid.as_raw_pid()));
    end(&balancer);
    heard("STOPPING=1");
}

const WEB: &str = "[listeners.web]\naddress = \"127.0.0.1:0\"";
