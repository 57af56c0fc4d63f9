//! The proxies: how each is set up, started, reloaded and ended.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::Outcome;
use crate::process::{LOAD_CPU, PROXY_CPU, Running, on};
use crate::scenarios::{Scenario, Work};

/// One that takes part.
#[derive(Clone, Debug)]
pub(crate) struct Contestant {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) log: AccessLog,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Forecourt(PathBuf),
    Nginx,
    Haproxy,
    Relay,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AccessLog {
    On,
    Off,
}

impl Contestant {
    pub(crate) fn new(name: impl Into<String>, kind: Kind, log: AccessLog) -> Self {
        Self {
            name: name.into(),
            kind,
            log,
        }
    }

    pub(crate) fn is_forecourt(&self) -> bool {
        matches!(self.kind, Kind::Forecourt(_))
    }

    /// Whether it is a peer that takes part once more, with its log.
    pub(crate) fn is_logged_peer(&self) -> bool {
        !self.is_forecourt() && self.log == AccessLog::On
    }

    pub(crate) fn takes_part(&self, scenario: &Scenario) -> bool {
        match self.kind {
            Kind::Relay => scenario.relay,
            _ => scenario.logged || !self.is_logged_peer(),
        }
    }

    /// Without a log it differs from itself only where requests are logged, which costs nothing in these.
    pub(crate) fn says_something_in(&self, scenario: &Scenario) -> bool {
        let idles = matches!(scenario.work, Work::Idle | Work::IdleTls) || scenario.reloads;
        !(idles && self.is_forecourt() && self.log == AccessLog::Off)
    }
}

/// What all proxies of a run have in common.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) folder: TempDir,
    backend: Option<Running>,
    pub(crate) backends: Vec<u16>,
}

impl Site {
    /// Starts the backends.
    pub(crate) fn open() -> Outcome<Self> {
        let folder = tempfile::Builder::new().prefix("side-by-side-").tempdir()?;
        // nginx's worker is another user.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let (certificate, key) = (certified.cert.pem(), certified.signing_key.serialize_pem());
        fs::write(folder.path().join("cert.pem"), &certificate)?;
        fs::write(folder.path().join("key.pem"), &key)?;
        fs::write(folder.path().join("both.pem"), certificate + &key)?;
        fs::write(
            folder.path().join("secret"),
            "0123456789abcdef0123456789abcdef",
        )?;
        let mut site = Self {
            folder,
            backend: None,
            backends: Vec::new(),
        };
        site.start_backends()?;
        Ok(site)
    }

    fn start_backends(&mut self) -> Outcome<()> {
        self.backends = (0..4).map(|_| free_port()).collect::<Outcome<_>>()?;
        let mut command = on(&[LOAD_CPU], std::env::current_exe()?)?;
        command.arg("backend");
        command.args(self.backends.iter().map(u16::to_string));
        self.backend = Some(Running::start(&mut command)?);
        for port in &self.backends {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, *port));
            wait_until_served(address, Duration::from_secs(5))
                .map_err(|error| format!("the backends did not start: {error}"))?;
        }
        Ok(())
    }
}

/// A proxy that runs.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) running: Running,
    pub(crate) folder: TempDir,
    pub(crate) plain: SocketAddr,
    /// Where sessions are kept, by those that can.
    pub(crate) sessions: SocketAddr,
    pub(crate) secure: SocketAddr,
    kind: Kind,
}

impl Proxy {
    /// Starts it, and waits until it serves.
    pub(crate) fn start(contestant: &Contestant, site: &Site) -> Outcome<Self> {
        let settings = Settings::new(contestant, site)?;
        let configuration = match contestant.kind {
            Kind::Forecourt(_) => include_str!("conf/forecourt.toml"),
            Kind::Nginx => include_str!("conf/nginx.conf"),
            Kind::Haproxy => include_str!("conf/haproxy.cfg"),
            Kind::Relay => "",
        };
        fs::write(settings.file(), settings.fill(configuration))?;
        Self::run(contestant, settings, &site.backends, &[PROXY_CPU])
    }

    /// Starts a forecourt with a configuration of its own.
    pub(crate) fn start_with(
        contestant: &Contestant,
        site: &Site,
        configuration: &str,
        cpus: &[usize],
    ) -> Outcome<Self> {
        let settings = Settings::new(contestant, site)?;
        fs::write(settings.file(), settings.fill(configuration))?;
        Self::run(contestant, settings, &site.backends, cpus)
    }

    fn run(
        contestant: &Contestant,
        settings: Settings,
        backends: &[u16],
        cpus: &[usize],
    ) -> Outcome<Self> {
        let [plain, sessions, secure] = settings.addresses;
        let mut command = match &contestant.kind {
            Kind::Forecourt(program) => {
                let mut command = on(cpus, program)?;
                command.args(["run", "--config"]).arg(settings.file());
                command
            }
            Kind::Nginx => settings.nginx(&[PROXY_CPU])?,
            Kind::Haproxy => {
                let mut command = on(cpus, "haproxy")?;
                command.args(["-W", "-db", "-f"]).arg(settings.file());
                command
            }
            Kind::Relay => {
                let mut command = on(cpus, std::env::current_exe()?)?;
                command.args(["relay", &plain.port().to_string(), "64"]);
                command.args(backends.iter().map(u16::to_string));
                command
            }
        };
        let said = fs::File::create(settings.folder.path().join("said"))?;
        let running = Running::start(
            command
                .stdin(Stdio::null())
                .stdout(said.try_clone()?)
                .stderr(said),
        )?;
        let mut proxy = Self {
            running,
            plain,
            // A relay has one door.
            sessions: if contestant.kind == Kind::Relay {
                plain
            } else {
                sessions
            },
            secure,
            folder: settings.folder,
            kind: contestant.kind.clone(),
        };
        proxy
            .wait_until_it_serves()
            .map_err(|error| format!("{} did not start: {error}", contestant.name))?;
        Ok(proxy)
    }

    fn wait_until_it_serves(&mut self) -> Outcome<()> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let served = wait_until_served(self.plain, Duration::from_millis(300));
            if served.is_ok() {
                return Ok(());
            }
            if self.running.has_ended() || Instant::now() > deadline {
                return Err(self.said().into());
            }
        }
    }

    /// What it has printed.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("said")).unwrap_or_default()
    }

    /// How many lines of its access log a forecourt has given up; none if it writes no log.
    pub(crate) fn lost_lines(&self) -> Option<u64> {
        if !matches!(self.kind, Kind::Forecourt(_))
            || !self.folder.path().join("access.log").exists()
        {
            return None;
        }
        let mut stream = UnixStream::connect(self.folder.path().join("admin.sock")).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        write!(
            stream,
            "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        .ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        text.lines()
            .find_map(|line| line.strip_prefix("forecourt_log_dropped_total "))?
            .trim()
            .parse()
            .ok()
    }

    /// Lets it read its configuration again.
    pub(crate) fn reload(&self) -> Outcome<()> {
        match self.kind {
            Kind::Forecourt(_) => self.running.signal(Signal::HUP),
            Kind::Haproxy => self.running.signal(Signal::USR2),
            Kind::Nginx => {
                // What `nginx -s reload` does, with the same parsing by the master.
                self.running.signal(Signal::HUP);
            }
            Kind::Relay => return Err("a relay has nothing to reload".into()),
        }
        Ok(())
    }
}

/// One start's names and places.
struct Settings {
    folder: TempDir,
    /// Plain, sessions, TLS.
    addresses: [SocketAddr; 3],
    names: BTreeMap<&'static str, String>,
}

impl Settings {
    fn new(contestant: &Contestant, site: &Site) -> Outcome<Self> {
        let folder = tempfile::Builder::new()
            .prefix("proxy-")
            .tempdir_in(site.folder.path())?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        let mut addresses = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); 3];
        for address in &mut addresses {
            address.set_port(free_port()?);
        }
        let place = |folder: &Path, name: &str| folder.join(name).display().to_string();
        let mut names = BTreeMap::from([
            ("DIR", folder.path().display().to_string()),
            ("PORT", addresses[0].port().to_string()),
            ("SESSIONS_PORT", addresses[1].port().to_string()),
            ("TLS_PORT", addresses[2].port().to_string()),
            ("CERT", place(site.folder.path(), "cert.pem")),
            ("KEY", place(site.folder.path(), "key.pem")),
            ("PEM", place(site.folder.path(), "both.pem")),
            ("SECRET", place(site.folder.path(), "secret")),
            (
                "MAXCONN",
                (crate::process::open_files() * 55 / 100).to_string(),
            ),
        ]);
        for (name, port) in ["B1", "B2", "B3", "B4"].into_iter().zip(&site.backends) {
            names.insert(name, port.to_string());
        }
        let logs: [(&'static str, String); 5] = if contestant.log == AccessLog::On {
            let socket = folder.path().join("syslog");
            if contestant.kind == Kind::Haproxy {
                drain(&socket)?;
            }
            let ring = format!(
                "ring logs\n  format raw\n  maxlen 4096\n  size 4194304\n  timeout connect 5s\n  timeout server 60s\n  server reader unix@{} log-proto octet-count",
                socket.display()
            );
            let file = place(folder.path(), "access.log");
            [
                ("FORECOURT_LOG", file.clone()),
                ("NGINX_LOG", format!("{file} combined buffer=64k")),
                ("HAPROXY_LOG", "log ring@logs local0".to_owned()),
                ("HAPROXY_RING", ring),
                ("HAPROXY_HTTPLOG", "log global\n  option httplog".to_owned()),
            ]
        } else {
            [
                ("FORECOURT_LOG", "off".to_owned()),
                ("NGINX_LOG", "off".to_owned()),
                ("HAPROXY_LOG", String::new()),
                ("HAPROXY_RING", String::new()),
                ("HAPROXY_HTTPLOG", String::new()),
            ]
        };
        names.extend(logs);
        Ok(Self {
            folder,
            addresses,
            names,
        })
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("configuration")
    }

    fn fill(&self, template: &str) -> String {
        let mut text = template.to_owned();
        for (name, value) in &self.names {
            text = text.replace(&format!("@{name}@"), value);
        }
        text
    }

    fn nginx(&self, cpus: &[usize]) -> Outcome<Command> {
        let mut command = on(cpus, "nginx")?;
        command
            .arg("-p")
            .arg(self.folder.path())
            .arg("-c")
            .arg(self.file());
        Ok(command)
    }
}

/// Reads what comes on a log socket, as a syslog daemon would, until its folder is gone.
fn drain(path: &Path) -> Outcome<()> {
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o777))?;
    listener.set_nonblocking(true)?;
    let path = path.to_owned();
    thread::spawn(move || {
        while path.exists() {
            match listener.accept() {
                // A reload makes a new process, and a new stream beside the old one.
                Ok((mut stream, _)) => {
                    thread::spawn(move || io::copy(&mut stream, &mut io::sink()));
                }
                Err(_) => thread::sleep(Duration::from_millis(50)),
            }
        }
    });
    Ok(())
}

/// A port on which nobody listens, below those that clients get.
pub(crate) fn free_port() -> Outcome<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(18_000);
    loop {
        let port = NEXT.fetch_add(1, Ordering::Relaxed);
        if port >= 32_000 {
            NEXT.store(18_000, Ordering::Relaxed);
        }
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            return Ok(port);
        }
    }
}

/// Waits until a request is answered with 200.
fn wait_until_served(address: SocketAddr, patience: Duration) -> Outcome<()> {
    let deadline = Instant::now() + patience;
    loop {
        let answer = ask(address);
        match answer {
            Ok(answer) if answer.starts_with("HTTP/1.1 200 ") => return Ok(()),
            Ok(answer) if Instant::now() > deadline => {
                return Err(answer
                    .lines()
                    .next()
                    .unwrap_or("no answer")
                    .to_owned()
                    .into());
            }
            Err(error) if Instant::now() > deadline => return Err(error),
            _ => thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// The answer to a request for 1 KiB.
fn ask(address: SocketAddr) -> Outcome<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    write!(
        stream,
        "GET /1k HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// A session's cookie, as a browser would send it back.
pub(crate) fn session(address: SocketAddr) -> Option<String> {
    let answer = ask(address).ok()?;
    let (head, _) = answer.split_once("\r\n\r\n")?;
    let value = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("set-cookie").then_some(value)
    })?;
    Some(value.split(';').next()?.trim().to_owned())
}
