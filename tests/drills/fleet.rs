//! Four backends, each a process that can be told to misbehave, killed and started again on its port.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use socket2::Socket;

use crate::Outcome;
use crate::backend::{Mode, bound};

/// How many there are.
pub(crate) const SIZE: usize = 4;

/// All of them.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) backends: Vec<Backend>,
}

impl Fleet {
    /// Starts them; their files go into the folder.
    pub(crate) fn start(folder: &Path) -> Outcome<Self> {
        let backends = (1..=SIZE).map(|number| Backend::start(&format!("b{number}"), folder));
        Ok(Self {
            backends: backends.collect::<Outcome<_>>()?,
        })
    }

    /// Tells all of them.
    pub(crate) fn tell(&mut self, mode: Mode) -> Outcome<()> {
        self.backends.iter_mut().try_for_each(|one| one.tell(mode))
    }

    /// How many POSTs have reached a backend, and how many of these more than once.
    pub(crate) fn orders(&self) -> Outcome<Orders> {
        let mut times: HashMap<String, u32> = HashMap::new();
        for backend in &self.backends {
            for order in std::fs::read_to_string(&backend.orders)?.lines() {
                *times.entry(order.to_owned()).or_default() += 1;
            }
        }
        Ok(Orders {
            twice: times.values().filter(|times| **times > 1).count(),
        })
    }
}

/// What became of the POSTs behind the proxy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Orders {
    /// Those that more than one attempt has brought to a backend.
    pub(crate) twice: usize,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Backend {
    name: String,
    pub(crate) address: SocketAddr,
    orders: PathBuf,
    /// Bound and never listening, so that nobody takes the port of one that has been killed.
    _holder: Socket,
    process: Option<Process>,
}

#[derive(Debug)]
struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Backend {
    fn start(name: &str, folder: &Path) -> Outcome<Self> {
        let holder = bound(0)?;
        let address = holder.local_addr()?.as_socket();
        let port = address.ok_or("a TCP socket has a port")?.port();
        let mut backend = Self {
            name: name.to_owned(),
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            orders: folder.join(format!("{name}.orders")),
            _holder: holder,
            process: None,
        };
        backend.restart()?;
        Ok(backend)
    }

    /// Starts it, again if it was killed, and waits until it listens.
    pub(crate) fn restart(&mut self) -> Outcome<()> {
        self.kill()?;
        let mut child = Command::new(std::env::current_exe()?)
            .args(["backend", &self.name, &self.address.port().to_string()])
            .arg(&self.orders)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().ok_or("it has a standard input")?;
        let output = child.stdout.take().ok_or("it has a standard output")?;
        let process = self.process.insert(Process {
            child,
            input,
            output: BufReader::new(output),
        });
        match process.line()?.as_str() {
            "ready" => Ok(()),
            other => Err(format!("the backend {} said {other:?}", self.name).into()),
        }
    }

    /// SIGKILL: no goodbye, and its sockets are closed by the kernel.
    pub(crate) fn kill(&mut self) -> Outcome<()> {
        if let Some(mut process) = self.process.take() {
            process.child.kill()?;
            process.child.wait()?;
        }
        Ok(())
    }

    /// Tells it how to behave from the next request on.
    pub(crate) fn tell(&mut self, mode: Mode) -> Outcome<()> {
        match self.ask(&mode.to_string())?.as_str() {
            "ok" => Ok(()),
            other => Err(format!("the backend {} said {other:?}", self.name).into()),
        }
    }

    /// Requests of clients, checks left out, since it was started.
    pub(crate) fn served(&mut self) -> Outcome<u64> {
        Ok(self.ask("count")?.parse()?)
    }

    fn ask(&mut self, line: &str) -> Outcome<String> {
        let process = self.process.as_mut().ok_or("it has been killed")?;
        writeln!(process.input, "{line}")?;
        process.line()
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        // It would end with its standard input as well.
        let _ = self.kill();
    }
}

impl Process {
    fn line(&mut self) -> Outcome<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }
}
