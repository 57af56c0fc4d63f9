//! A real balancer between a client and backends of ours, started once for all executions.
//!
//! The client and the backends share one thread, the balancer's worker has its own. Sockets are TCP:
//! a Unix socket knows no reset. The patient listener has deadlines that never pass, so that no verdict
//! depends on the machine; the hasty one has short ones, for backends that fall silent.

use std::io;
use std::net::SocketAddr;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use forecourt::app::{Forecourt, Running};
use forecourt::config::{self, Options};
use forecourt::plan::listener::ListenAddress;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::backend::{Desk, Script, pause};
use super::reference::{self, Next};
use crate::theirs::End;

/// The balancer, its backends, and the runtime of our side.
#[derive(Debug)]
pub(crate) struct House {
    runtime: Runtime,
    _balancer: Running,
    sides: [Side; 2],
    number: u64,
    /// Whether an execution did not come to its end.
    dirty: bool,
}

/// A listener of the balancer and the backend behind it.
#[derive(Clone, Debug)]
pub(crate) struct Side {
    pub(crate) address: SocketAddr,
    pub(crate) desk: Desk,
}

/// Which of the two listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// It waits for ever.
    Patient,
    /// It does not wait for backends.
    Hasty,
}

/// A client's connection.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    pub(crate) received: Vec<u8>,
    /// How it ended, once it has.
    pub(crate) end: Option<End>,
}

static HOUSE: LazyLock<Mutex<House>> = LazyLock::new(|| Mutex::new(House::build()));

impl House {
    /// The house, for one execution at a time.
    pub(crate) fn enter() -> MutexGuard<'static, Self> {
        HOUSE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one execution, whose number names it in the backends' answers.
    pub(crate) fn run<T>(
        &mut self,
        patience: Patience,
        script: Option<Script>,
        execution: impl AsyncFnOnce(Side, u64) -> T,
    ) -> T {
        let Self {
            runtime,
            sides,
            dirty,
            number,
            ..
        } = self;
        *number += 1;
        if std::mem::replace(dirty, true) {
            runtime.block_on(recover(sides));
        }
        let side = sides[patience as usize].clone();
        side.desk.begin(*number, script);
        let result = runtime.block_on(async {
            timeout(DEADLINE, execution(side, *number))
                .await
                .expect("it comes to an end by itself")
        });
        *dirty = false;
        result
    }

    fn build() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("there is a runtime");
        let (patient, hasty) = (Desk::default(), Desk::default());
        let backends = [&patient, &hasty].map(|desk| {
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await;
                let listener = listener.expect("there is a port");
                let address = listener.local_addr().expect("it is bound");
                tokio::spawn(desk.clone().serve(listener));
                address
            })
        });
        let folder = tempfile::tempdir().expect("there is room for a file");
        let file = folder.path().join("wire.toml");
        std::fs::write(&file, configuration(backends)).expect("there is room for a file");
        let plan = config::load(&file, &Options::new())
            .expect("the configuration is right")
            .plan;
        let balancer = Forecourt::start(plan, None).expect("there are ports");
        let address = |wanted: &str| {
            balancer
                .addresses()
                .find_map(|(name, address)| match address {
                    ListenAddress::Tcp(address) if name == wanted => Some(*address),
                    ListenAddress::Tcp(_) | ListenAddress::Unix(_) => None,
                })
                .expect("it listens")
        };
        let sides = [("patient", patient), ("hasty", hasty)].map(|(name, desk)| Side {
            address: address(name),
            desk,
        });
        Self {
            runtime,
            _balancer: balancer,
            sides,
            number: 0,
            dirty: false,
        }
    }
}

impl Client {
    /// A new connection.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("it accepts");
        let _ = stream.set_nodelay(true);
        Self {
            stream,
            received: Vec::new(),
            end: None,
        }
    }

    /// Sends pieces, as far as they are taken.
    pub(crate) async fn send(&mut self, pieces: &[Vec<u8>]) {
        for (index, piece) in pieces.iter().enumerate() {
            if index > 0 {
                pause().await;
            }
            if self.stream.write_all(piece).await.is_err() {
                return;
            }
        }
    }

    /// Ends its own side.
    pub(crate) async fn finish(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Reads until the connection ends.
    pub(crate) async fn read_to_end(&mut self) {
        while self.end.is_none() {
            self.read_some().await;
        }
    }

    /// Reads until there is a final response to one request, or the end. What would be complete only by
    /// the end of the connection is not enough.
    pub(crate) async fn read_response(&mut self, method: &[u8]) {
        while self.end.is_none() {
            let mut at = 0;
            loop {
                match reference::response(&self.received[at..], method, false, usize::MAX) {
                    Next::Whole(response, length) if response.status < 200 => at += length,
                    Next::Whole(..) => return,
                    Next::Nothing | Next::Begun | Next::Refused | Next::Headed(_) => break,
                }
            }
            self.read_some().await;
        }
    }

    async fn read_some(&mut self) {
        match self.stream.read_buf(&mut self.received).await {
            Ok(0) => self.end = Some(End::Fin),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                self.end = Some(End::Reset);
            }
            Err(error) => panic!("an unusual end: {error}"),
        }
    }
}

/// Waits until the backend has seen everything that was sent to it. What is not whole has to come with the
/// end of its connection.
pub(crate) async fn settle(desk: &Desk) {
    // What was written before the client saw the end of its connection is there by now; the turns are for
    // our own tasks to read it.
    for _ in 0..4 {
        tokio::task::yield_now().await;
    }
    let settled = async {
        while !desk.is_settled() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(DEADLINE, settled)
        .await
        .expect("a request that is not whole comes with the end of its connection");
}

/// Makes the house fit for use behind an execution that broke off.
async fn recover(sides: &[Side; 2]) {
    for Side { address, desk } in sides {
        desk.hang_up();
        desk.begin(0, None);
        // The balancer finds out which connections are gone when it looks for one.
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let mut client = Client::connect(*address).await;
            client
                .send(&[b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()])
                .await;
            client.finish().await;
            client.read_to_end().await;
        }
    }
}

fn configuration([patient, hasty]: [SocketAddr; 2]) -> String {
    format!(
        "[server]\nworkers = 1\n[log.access]\npath = \"off\"\n\
         [listeners.patient]\naddress = \"127.0.0.1:0\"\n\
         timeouts = {{ header = \"5m\", idle = \"5m\", body = \"5m\" }}\n\
         [listeners.hasty]\naddress = \"127.0.0.1:0\"\n\
         timeouts = {{ header = \"5m\", idle = \"5m\", body = \"5ms\" }}\n\
         [[routes]]\nlisteners = [\"patient\"]\npool = \"patient\"\n\
         [[routes]]\nlisteners = [\"hasty\"]\npool = \"hasty\"\n\
         [pools.patient]\nbackends = [{{ address = \"{patient}\" }}]\n\
         timeouts = {{ connect = \"1m\", response = \"5m\", idle = \"5m\" }}\n\
         [pools.hasty]\nbackends = [{{ address = \"{hasty}\" }}]\n\
         timeouts = {{ connect = \"1m\", response = \"5ms\", idle = \"5m\" }}\n"
    )
}

/// How long an execution may take: none needs a second, but the machine may be busy.
const DEADLINE: Duration = Duration::from_secs(8);
