//! Servers that are not ours: nginx and Python's `http.server`, as child processes with folders of their own.
//!
//! What the balancer is worth shows in front of servers that were not written to go with it: nginx keeps
//! connections and closes them after a thousand requests, `http.server` speaks HTTP/1.0 and closes after each.
//! Each answers its name to `GET /` and writes an access log, so that its own count can be held against the clients'.
//!
//! Ports: Python lets the kernel choose and says which. nginx takes no port 0, so a socket that never listens
//! holds one for it, as for [`super::Origin`]. Each runs in one process, which ends with the test.

use std::fmt;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use super::wait::{DEADLINE, wait_for, wait_until};

/// Set to `required`, tests fail for want of a server that is not installed; else they say so and pass.
const REQUIRED: &str = "FORECOURT_TEST_SERVERS";

/// Whether a program is installed. A test that needs it and hears no ends at once, and passes.
#[track_caller]
pub(crate) fn is_installed(program: &str) -> bool {
    let search = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&search).any(|folder| folder.join(program).is_file());
    found || must_do_without(program)
}

/// Whether this machine has IPv6, as for [`is_installed`].
#[track_caller]
pub(crate) fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() || must_do_without("IPv6")
}

/// Says that something is missing; panics if nothing may be.
#[track_caller]
fn must_do_without(what: &str) -> bool {
    let required = std::env::var_os(REQUIRED).is_some_and(|value| value == "required");
    assert!(
        !required,
        "there is no {what} here, and {REQUIRED} says that it must be"
    );
    note(&format!("skipped what needs {what}, which is not here"));
    false
}

/// Whether long drills are asked for: `FORECOURT_DRILL=full`.
pub(crate) fn is_full_drill() -> bool {
    std::env::var_os("FORECOURT_DRILL").is_some_and(|value| value == "full")
}

#[allow(clippy::print_stderr, reason = "what was not tested has to be said")]
fn note(text: &str) {
    eprintln!("{text}");
}

/// Somebody else's server.
#[derive(Debug)]
pub(crate) struct Server {
    name: String,
    address: Place,
    log: PathBuf,
    child: Child,
    folder: TempDir,
    /// Bound and never listening.
    _holder: Option<Socket>,
}

/// Where a server listens, as a configuration writes it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// Two of each, named `nginx-1`, `nginx-2`, `python-1` and `python-2`; none if either is not installed.
#[track_caller]
pub(crate) fn two_of_each() -> Option<[Server; 4]> {
    Some([
        Server::nginx("nginx-1")?,
        Server::nginx("nginx-2")?,
        Server::python("python-1")?,
        Server::python("python-2")?,
    ])
}

impl Server {
    /// Starts an nginx that answers this name; none if it is not installed.
    #[track_caller]
    pub(crate) fn nginx(name: &str) -> Option<Self> {
        is_installed("nginx").then(|| {
            let (holder, address) = held_port();
            let folder = new_folder();
            let listen = format!("{address} reuseport");
            Self::start_nginx(name, folder, &listen, Place::Tcp(address), Some(holder))
        })
    }

    /// Starts an nginx that speaks TLS, and HTTP/2 where it is asked for; none if it is not installed.
    #[track_caller]
    pub(crate) fn nginx_with_tls(name: &str, certificate: &str, key: &str) -> Option<Self> {
        is_installed("nginx").then(|| {
            let (holder, address) = held_port();
            let folder = new_folder();
            for (file, text) in [("own.pem", certificate), ("own.key", key)] {
                fs::write(folder.path().join(file), text).expect("a new folder can be written to");
            }
            // Who asks without TLS whether it stands gets the usual answer (497 is nginx's own).
            let listen = format!(
                "{address} ssl http2 reuseport; error_page 497 = /; \
                 ssl_certificate own.pem; ssl_certificate_key own.key"
            );
            Self::start_nginx(name, folder, &listen, Place::Tcp(address), Some(holder))
        })
    }

    /// Starts an nginx on a Unix socket in its folder; none if it is not installed.
    #[track_caller]
    pub(crate) fn nginx_on_unix(name: &str) -> Option<Self> {
        is_installed("nginx").then(|| {
            let folder = new_folder();
            let path = folder.path().join("nginx.sock");
            let listen = format!("unix:{}", path.display());
            Self::start_nginx(name, folder, &listen, Place::Unix(path), None)
        })
    }

    /// Starts Python's server, which answers this name; none if it is not installed.
    #[track_caller]
    pub(crate) fn python(name: &str) -> Option<Self> {
        Self::python_on(name, IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    /// Starts Python's server on another address of this machine; none if it is not installed.
    #[track_caller]
    pub(crate) fn python_on(name: &str, ip: IpAddr) -> Option<Self> {
        is_installed("python3").then(|| Self::start_python(name, ip))
    }

    fn start_nginx(
        name: &str,
        folder: TempDir,
        listen: &str,
        address: Place,
        holder: Option<Socket>,
    ) -> Self {
        fs::write(folder.path().join("nginx.conf"), nginx_conf(name, listen))
            .expect("a new folder can be written to");
        let mut command = Command::new("nginx");
        command
            .args(["-e", "error.log", "-c", "nginx.conf", "-p"])
            .arg(folder.path());
        let mut server = Self {
            name: name.to_owned(),
            address,
            log: folder.path().join("access.log"),
            child: spawn(command, folder.path()),
            folder,
            _holder: holder,
        };
        server.wait_for_answer();
        server
    }

    fn start_python(name: &str, ip: IpAddr) -> Self {
        let folder = new_folder();
        let pages = folder.path().join("pages");
        fs::create_dir(&pages)
            .and_then(|()| fs::write(pages.join("index.html"), name))
            .expect("a new folder can be written to");
        let mut command = Command::new("python3");
        // Unbuffered, so that the port and the log are there when they are written.
        command
            .args(["-u", "-m", "http.server", "0", "--directory", "pages"])
            .args(["--bind", &ip.to_string()]);
        let mut child = spawn(command, folder.path());
        let stdout = folder.path().join("stdout");
        let port = wait_for(DEADLINE, "the port of http.server", || {
            let ended = child.try_wait().expect("a child can be waited for");
            assert!(ended.is_none(), "http.server ended: {ended:?}");
            port_in(&fs::read_to_string(&stdout).unwrap_or_default())
        });
        let mut server = Self {
            name: name.to_owned(),
            address: Place::Tcp(SocketAddr::from((ip, port))),
            log: folder.path().join("stderr"),
            child,
            folder,
            _holder: None,
        };
        server.wait_for_answer();
        server
    }

    /// The name it answers.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &Place {
        &self.address
    }

    /// Its port; panics if it listens on a Unix socket.
    #[track_caller]
    pub(crate) fn port(&self) -> u16 {
        match &self.address {
            Place::Tcp(address) => address.port(),
            Place::Unix(path) => panic!("{} has no port", path.display()),
        }
    }

    /// It as an entry of `backends`, known by its name.
    pub(crate) fn entry(&self) -> String {
        format!(
            "{{ address = \"{}\", id = \"{}\" }}",
            self.address, self.name
        )
    }

    /// How many requests its own access log has whose target has this word in it.
    pub(crate) fn logged(&self, word: &str) -> usize {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let whole = log.rfind('\n').map_or("", |end| &log[..end]);
        whole.lines().filter(|line| line.contains(word)).count()
    }

    /// Ends it: from then on connecting is refused, unless somebody else takes the port.
    pub(crate) fn stop(&mut self) {
        // Nothing to finish and nothing to save; and only this very child is meant.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits until it answers its name.
    #[track_caller]
    fn wait_for_answer(&mut self) {
        let what = format!("an answer of {}", self.name);
        wait_until(DEADLINE, &what, || {
            let ended = self.child.try_wait().expect("a child can be waited for");
            if let Some(status) = ended {
                let log = |name: &str| {
                    fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
                };
                panic!(
                    "{} ended with {status}:\n{}{}",
                    self.name,
                    log("stderr"),
                    log("error.log")
                );
            }
            self.ask().is_ok_and(|answer| answer.ends_with(&self.name))
        });
    }

    fn ask(&self) -> std::io::Result<String> {
        const QUESTION: &[u8] = b"GET / HTTP/1.0\r\n\r\n";
        let mut answer = String::new();
        match &self.address {
            Place::Tcp(address) => {
                let mut stream = TcpStream::connect_timeout(address, DEADLINE)?;
                stream.set_read_timeout(Some(DEADLINE))?;
                stream.write_all(QUESTION)?;
                stream.read_to_string(&mut answer)?;
            }
            Place::Unix(path) => {
                let mut stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(DEADLINE))?;
                stream.write_all(QUESTION)?;
                stream.read_to_string(&mut answer)?;
            }
        }
        Ok(answer)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

fn new_folder() -> TempDir {
    tempfile::tempdir().expect("there is room for a folder")
}

/// Starts a program in its folder, with its output in `stdout` and `stderr` there.
fn spawn(mut command: Command, folder: &Path) -> Child {
    let log = |name| File::create(folder.join(name)).expect("a new folder can be written to");
    command
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log("stdout"))
        .stderr(log("stderr"))
        .spawn()
        .expect("a program that is installed can be started")
}

/// A port that the kernel gives nobody else while the socket lives, and that a socket with SO_REUSEPORT can share.
fn held_port() -> (Socket, SocketAddr) {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let held = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.bind(&any.into())?;
        let address = socket.local_addr()?;
        std::io::Result::Ok((socket, address))
    };
    let (socket, address) = held().expect("the kernel has a free port");
    let address = address.as_socket().expect("it was bound to an IP address");
    (socket, address)
}

/// Reads `Serving HTTP on 127.0.0.1 port 43121 (http://127.0.0.1:43121/) ...`.
fn port_in(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once(" port ")?;
    let (port, _) = rest.split_once(' ')?;
    port.parse().ok()
}

/// One process, so that ending it ends all of it; every path below the test's own folder.
fn nginx_conf(name: &str, listen: &str) -> String {
    format!(
        "daemon off;\nmaster_process off;\npid nginx.pid;\nevents {{ worker_connections 512; }}\n\
         http {{\n\
           access_log access.log;\n\
           client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;\n\
           uwsgi_temp_path uwsgi; scgi_temp_path scgi;\n\
           default_type text/plain;\n\
           server {{ listen {listen}; location / {{ return 200 {name}; }} }}\n\
         }}\n"
    )
}
