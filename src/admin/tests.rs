//! The API on a real socket, before an instance that nobody governs yet, with as many backends as a test wants.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{Instance, Running, bind};
use crate::config::{self, Options};
use crate::listener::handoff::Given;
use crate::plan::listener::ListenAddress;
use crate::plan::{Admin, AdminToken};
use crate::snapshot::{Registry, Snapshot, Snapshots};
use crate::telemetry::{Facade, Recent};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// An instance that is starting, and its API.
struct Api {
    running: Running,
    instance: Arc<Instance>,
}

impl Api {
    fn before(backends: usize) -> Self {
        let addresses = (0..backends).map(|number| {
            let (high, low) = (number / 250, number % 250 + 1);
            format!(
                "{{ address = \"127.{}.{}.{low}:9001\" }},",
                high / 250,
                high % 250
            )
        });
        let text = format!(
            "listeners.web.address = \"127.0.0.1:0\"\nroutes = [{{ path_prefix = \"/\", pool = \"shop\" }}]\n[pools.shop]\nhealth.path = \"/\"\nbackends = [{}]\n",
            addresses.collect::<String>()
        );
        let loaded = config::load_text(&text, Path::new("x.toml"), &Options::new()).unwrap();
        let registry = Arc::new(Registry::new(2, 7));
        let first = Snapshot::assemble(Arc::new(loaded.plan), &registry, 1);
        let snapshots = Arc::new(Snapshots::new(first));
        let token = Some(AdminToken::new(TOKEN.as_bytes()));
        let told = (Facade::install(), Recent::new(2, 0));
        let instance = Instance::new(snapshots, registry, told).with_token(token.clone());
        let instance = Arc::new(instance);
        let address = ListenAddress::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)));
        let plan = Admin {
            address,
            token,
            tls: None,
        };
        let entrance = bind(&plan, &mut Given::default()).unwrap();
        let running = entrance.serve(Arc::clone(&instance)).unwrap();
        Self { running, instance }
    }

    /// Sends a request, and reads nothing yet.
    fn send(&self, request: &str) -> TcpStream {
        let ListenAddress::Tcp(address) = self.running.address() else {
            panic!("it listens on TCP");
        };
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let fields = format!(
            "host: localhost\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        );
        stream
            .write_all(format!("{request} HTTP/1.1\r\n{fields}").as_bytes())
            .unwrap();
        stream
    }

    /// Status and whole answer.
    fn ask(&self, request: &str) -> (u16, String) {
        whole(self.send(request))
    }
}

fn whole(mut stream: TcpStream) -> (u16, String) {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer)
}

const DEADLINE: Duration = Duration::from_secs(20);

/// Looking is possible from the first moment, changing is not, and whoever sends traffic is told to wait.
#[test]
fn an_instance_that_is_starting_says_so() {
    let api = Api::before(2);
    for request in [
        "GET /readyz",
        "POST /v1/reload",
        "POST /v1/reload/confirm",
        "POST /v1/reload/revert",
        "POST /v1/config/rollback/1",
        "GET /v1/reload",
        "GET /v1/config",
        "GET /v1/config/history",
    ] {
        let (status, answer) = api.ask(request);
        assert_eq!(status, 503, "{request}: {answer}");
        assert!(
            answer.contains("application/problem+json"),
            "{request}: {answer}"
        );
        assert!(
            answer.contains("the instance is starting"),
            "{request}: {answer}"
        );
    }
    for request in [
        "GET /healthz",
        "GET /metrics",
        "GET /v1/status",
        "GET /v1/pools",
    ] {
        let (status, answer) = api.ask(request);
        assert_eq!(status, 200, "{request}: {answer}");
    }
    assert!(
        api.ask("GET /v1/status")
            .1
            .contains("\"state\":\"starting\"")
    );
    api.instance.serving();
    assert_eq!(api.ask("GET /readyz").0, 200);
    // It serves, and yet nobody governs: another word, and the same status.
    let (status, answer) = api.ask("POST /v1/reload");
    assert_eq!(status, 503);
    assert!(
        answer.contains("takes no changes of its configuration now"),
        "{answer}"
    );
    api.running.stop();
}

/// Far more than fits between two sockets: whoever does not read holds up nobody, and has it whole in the end.
#[test]
fn a_scrape_that_nobody_reads_holds_up_nobody() {
    const BACKENDS: usize = 5_000;
    let api = Api::before(BACKENDS);
    let scrapes = [(); 3].map(|()| api.send("GET /metrics"));
    for _ in 0..10 {
        assert_eq!(api.ask("GET /healthz").0, 200);
    }
    for scrape in scrapes {
        let (status, answer) = whole(scrape);
        assert_eq!(status, 200);
        assert!(answer.ends_with("\r\n0\r\n\r\n"), "it is whole");
        let types = answer.lines().filter(|line| line.starts_with("# TYPE "));
        let mut types: Vec<_> = types.collect();
        types.sort_unstable();
        let count = types.len();
        types.dedup();
        assert_eq!(types.len(), count, "each family once");
        for (start, count) in [
            ("forecourt_backend_up{", BACKENDS),
            ("forecourt_health_checks_total{", 2 * BACKENDS),
            (
                "forecourt_backend_request_duration_seconds_count{",
                BACKENDS,
            ),
        ] {
            let lines = answer.lines().filter(|line| line.starts_with(start));
            assert_eq!(lines.count(), count, "{start}");
        }
    }
    api.running.stop();
}
