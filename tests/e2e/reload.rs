//! A change of configuration under load loses no request, and a bad one changes nothing.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;
use socket2::{Domain, Socket, Type};

use super::harness::{
    Balancer, Behaviour, Client, Crowd, DEADLINE, LoadOrigin, Origin, Request, pool, wait_until,
};

#[test]
fn a_request_in_flight_finishes_on_the_generation_it_began_with() {
    let [old, new] = ["old", "new"].map(Origin::named);
    old.behave(Behaviour::Gated);
    let balancer = Balancer::in_front_of(&[&old]);
    let mut client = balancer.client("web");
    client.send_raw(&Request::get("/").to_bytes()).unwrap();
    old.wait_for_requests(1);
    reload(&balancer, &shop(&[&new]));
    assert_eq!(balancer.metric("forecourt_config_generations_alive"), 2.0);
    old.open_gate();
    let response = client.read_response("GET").unwrap();
    assert!(response.is_whole());
    assert_eq!(response.text(), "old");
    // On the same connection, by the new generation.
    let here = client.local_address();
    assert_eq!(client.get("/").origin(), "new");
    assert_eq!(client.local_address(), here);
    wait_until(DEADLINE, "the old generation's end", || {
        balancer.metric("forecourt_config_generations_alive") == 1.0
    });
    wait_until(DEADLINE, "the log's lines", || {
        balancer.stdout().lines().count() == 2
    });
    let generations = balancer
        .stdout()
        .lines()
        .map(generation_of)
        .collect::<Vec<_>>();
    assert_eq!(generations, [1, 2]);
    // Connections to a backend that nobody names any more are closed.
    wait_until(DEADLINE, "the old backend's connections to close", || {
        old.open_connections() == 0
    });
}

fn generation_of(line: &str) -> u64 {
    let line: Value = serde_json::from_str(line).expect("a line of the access log is JSON");
    let generation = line["forecourt.generation"].as_u64();
    generation.expect("a line tells the generation")
}

#[test]
fn the_live_state_of_a_backend_survives() {
    let [a, b] = ["a", "b"].map(Origin::named);
    a.on("/gated", Behaviour::Gated);
    let balancer = Balancer::in_front_of(&[&a]);
    let mut client = balancer.client("web");
    (0..5).for_each(|_| assert_eq!(client.get("/").origin(), "a"));
    client.send_raw(&Request::get("/gated").to_bytes()).unwrap();
    a.wait_for_requests(6);
    let weighted = "weight = 3, address = ";
    let next = shop(&[&a, &b]).replacen("address = \"127.0.0.1:", "ADDRESS", 2);
    let next = next.replace("{ address = ", &format!("{{ {weighted}"));
    let next = next.replace("ADDRESS", "address = \"127.0.0.1:");
    reload(&balancer, &next);
    let backend = |field: &str| {
        let status = status(&balancer);
        let backends = status["pools"][0]["backends"].as_array().unwrap().clone();
        let address = a.address().to_string();
        let a = backends.iter().find(|it| it["address"] == address.as_str());
        a.unwrap()[field].clone()
    };
    assert_eq!(backend("weight"), 3);
    assert_eq!(backend("in_flight"), 1);
    let labels = format!("pool=\"shop\",backend=\"{}\"", a.address());
    let answered = format!("forecourt_backend_requests_total{{{labels},code=\"2xx\"}}");
    assert_eq!(balancer.metric(&answered), 5.0);
    let connections = a.connections();
    a.open_gate();
    assert_eq!(client.read_response("GET").unwrap().text(), "a");
    wait_until(DEADLINE, "the claim's end", || backend("in_flight") == 0);
    let routed = "forecourt_requests_total{listener=\"web\",route=\"/\",code=\"2xx\"}";
    wait_until(DEADLINE, "the records of all six", || {
        [&*answered, routed].map(|name| balancer.metric(name)) == [6.0; 2]
    });
    // And its idle connection is used again.
    while client.get("/").origin() != "a" {}
    assert_eq!(a.connections(), connections);
}

#[test]
fn a_renamed_listener_keeps_its_connections() {
    let origin = Origin::named("a");
    let port = Reserved::port();
    let named = |name: &str| {
        let listener = format!("[listeners.{name}]\naddress = \"{}\"\n", port.address());
        shop(&[&origin]).replace("[listeners.web]\naddress = \"127.0.0.1:0\"\n", &listener)
    };
    let balancer = Balancer::start(&named("web"));
    let mut client = balancer.client("web");
    client.get("/");
    let here = client.local_address();
    reload(&balancer, &named("front"));
    let response = client.get("/");
    assert_eq!(response.field("connection"), None);
    assert_eq!(client.local_address(), here);
    assert_eq!(Client::of(port.address()).get("/").origin(), "a");
    let under = |name: &str| {
        let labels = format!("listener=\"{name}\",route=\"/\",code=\"2xx\"");
        balancer.metric(&format!("forecourt_requests_total{{{labels}}}"))
    };
    // A request is recorded behind its answer.
    wait_until(DEADLINE, "both requests' records", || under("front") == 2.0);
    let status = status(&balancer);
    assert_eq!(status["listeners"][0]["name"], "front");
    // The connection that came under the old name is still counted.
    assert!(status["listeners"][0]["connections"].as_i64() >= Some(1));
}

#[test]
fn connections_of_a_removed_listener_end_behind_their_answer() {
    let origin = Origin::named("a");
    let port = Reserved::port();
    let without = shop(&[&origin]);
    let with = without.clone() + &format!("[listeners.extra]\naddress = \"{}\"\n", port.address());
    let balancer = Balancer::start(&with);
    let [mut idle, mut busy] = [(); 2].map(|()| Client::of(port.address()));
    idle.get("/");
    let upload = Request::post("/", b"0123456789").to_bytes();
    let (before, behind) = upload.split_at(upload.len() - 4);
    busy.get("/");
    busy.send_raw(before).unwrap();
    wait_until(DEADLINE, "the upload to begin", || {
        balancer.metric(&format!(
            "forecourt_backend_in_flight{{pool=\"shop\",backend=\"{}\"}}",
            origin.address()
        )) == 1.0
    });
    reload(&balancer, &without);
    busy.send_raw(behind).unwrap();
    for (client, method) in [(&mut busy, "POST"), (&mut idle, "GET")] {
        if method == "GET" {
            client.send_raw(&Request::get("/").to_bytes()).unwrap();
        }
        let response = client.connect().unwrap().read_head().unwrap();
        assert!(response.first_line.starts_with("HTTP/1.1 200 "));
        assert!(response.fields.lists("connection", "close"), "{method}");
        let rest = client.read_to_end().unwrap();
        assert_eq!(rest, b"a");
    }
    assert_eq!(origin.last_received().target, "/");
    let refused = TcpStream::connect(port.address()).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    // It comes back as if nothing had been.
    reload(&balancer, &with);
    assert_eq!(Client::of(port.address()).get("/").origin(), "a");
}

#[test]
fn connections_that_wait_for_a_listener_are_served_when_it_goes() {
    let origin = LoadOrigin::start();
    let port = Reserved::port();
    let without =
        "[server]\nworkers = 1\n".to_owned() + &Balancer::front("shop") + &backed_by(&origin);
    let extra = format!(
        "[listeners.extra]\naddress = \"{}\"\nlimits = {{ connections = 1 }}\n",
        port.address()
    );
    let balancer = Balancer::start(&(without.clone() + &extra));
    let mut first = Client::of(port.address());
    assert_eq!(first.get("/1/0/length/none").status, 200);
    let mut waiting = Crowd::connect(port.address(), 500);
    waiting.ask();
    assert_eq!(waiting.take_answered().len(), 0);
    reload(&balancer, &without);
    let mut lost = waiting.statuses();
    lost.retain(|status| status != "200");
    assert_eq!(lost, [""; 0]);
}

#[test]
fn a_taken_port_refuses_the_whole_reload() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let balancer = Balancer::in_front_of(&[&a]);
    let mut client = balancer.client("web");
    client.get("/");
    let port = Reserved::port();
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("more.sock");
    let next = shop(&[&b])
        + &format!(
            "[listeners.more]\naddress = \"unix:{}\"\n[listeners.taken]\naddress = \"{}\"\n",
            socket.display(),
            port.address()
        );
    let before = shape(&balancer);
    let refusals = |count: u64| {
        balancer.reload(&next);
        wait_until(DEADLINE, "the refusal", || {
            reloads(&balancer, "refused") == count
        });
        assert_eq!(generation(&balancer), 1);
        assert_eq!(shape(&balancer), before);
        assert!(!socket.exists(), "what was bound before is cleared away");
    };
    let listener = port.listen();
    refusals(1);
    drop(listener);
    // Another forecourt shares its port among its workers, and with nobody else.
    let address = format!("address = \"{}\"\n\n[[", port.address());
    let other = shop(&[&a]).replace("address = \"127.0.0.1:0\"\n\n[[", &address);
    let other = Balancer::start(&other);
    assert_eq!(other.address("web"), port.address());
    refusals(2);
    assert_eq!(client.get("/").origin(), "a");
    let log = balancer.stderr();
    let named = format!("listener taken: {} is in use", port.address());
    assert_eq!(log.matches(&named).count(), 2, "{log}");
    drop(other);
    balancer.signal(Signal::HUP);
    wait_until(DEADLINE, "the reload", || generation(&balancer) == 2);
    assert_eq!(client.get("/").origin(), "b");
    assert_eq!(Client::of(port.address()).get("/").origin(), "b");
}

#[test]
fn logs_follow_the_configuration() {
    let origin = Origin::named("a");
    let with = |level: &str, path: &str, format: &str| {
        format!(
            "[log]\nlevel = \"{level}\"\naccess = {{ path = \"{path}\", format = \"{format}\" }}\n"
        ) + &shop(&[&origin])
    };
    let balancer = Balancer::start(&with("info", "stdout", "json"));
    let mut client = balancer.client("web");
    let mut lines = |expected: [usize; 2]| {
        client.get("/");
        let file = || fs::read_to_string(balancer.folder().join("access.log")).unwrap_or_default();
        let count = || [balancer.stdout(), file()].map(|log| log.lines().count());
        wait_until(DEADLINE, &format!("log lines {expected:?}"), || {
            count() == expected
        });
        file()
    };
    lines([1, 0]);
    reload(&balancer, &with("info", "access.log", "text"));
    let text = lines([1, 1]);
    assert!(!text.starts_with('{'), "{text}");
    reload(&balancer, &with("info", "access.log", "json"));
    let text = lines([1, 2]);
    assert!(text.lines().nth(1).unwrap().starts_with('{'), "{text}");
    reload(&balancer, &with("info", "off", "json"));
    lines([1, 2]);
    reload(&balancer, &with("info", "stdout", "json"));
    lines([2, 2]);
    let applied = || balancer.stderr().matches("configuration applied").count();
    assert_eq!(applied(), 4);
    reload(&balancer, &with("error", "stdout", "json"));
    reload(&balancer, &with("error", "stdout", "text"));
    assert_eq!(applied(), 4, "{}", balancer.stderr());
    reload(&balancer, &with("info", "stdout", "text"));
    assert_eq!(applied(), 5);
    // A file that cannot be had refuses all of it.
    balancer.reload(&with("info", "no/such/folder/access.log", "json"));
    wait_until(DEADLINE, "the refusal", || {
        reloads(&balancer, "refused") == 1
    });
    lines([3, 2]);
    assert_eq!(generation(&balancer), 8);
}

#[test]
fn what_needs_a_restart_is_said() {
    let origin = Origin::named("a");
    let balancer = Balancer::start(&("[server]\nworkers = 1\n".to_owned() + &shop(&[&origin])));
    let port = Reserved::port();
    let next = shop(&[&origin]).replacen("127.0.0.1:0", &port.address().to_string(), 1);
    reload(&balancer, &("[server]\nworkers = 3\n".to_owned() + &next));
    let log = balancer.stderr();
    assert!(
        log.contains("server: workers 1 -> 3 (needs a restart)"),
        "{log}"
    );
    let admin = format!(
        "admin: address 127.0.0.1:0 -> {} (needs a restart)",
        port.address()
    );
    assert!(log.contains(&admin), "{log}");
    assert_eq!(status(&balancer)["workers"], 1);
    assert!(TcpStream::connect(port.address()).is_err());
    // Still said at the next reload: it is still so.
    reload(&balancer, &("[server]\nworkers = 3\n".to_owned() + &next));
    assert_eq!(balancer.stderr().matches("workers 1 -> 3").count(), 2);
}

#[test]
fn signals_during_a_reload_make_one_more() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let balancer = Balancer::in_front_of(&[&a]);
    let mut client = balancer.client("web");
    client.get("/");
    // Reading this secret lasts as long as the test likes.
    let pipe = balancer.folder().join("slow.key");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let mut slow = shop(&[&a]);
    slow.push_str("[pools.shop.sticky]\nsecret = { file = \"slow.key\" }\n");
    balancer.reload(&slow);
    let mut secret = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    for _ in 0..20 {
        balancer.signal(Signal::HUP);
    }
    balancer.rewrite(&shop(&[&b]));
    // A reload that lasts holds nobody up.
    assert_eq!(client.get("/").origin(), "a");
    assert_eq!(generation(&balancer), 1);
    secret.write_all(b"0123456789abcdef").unwrap();
    drop(secret);
    wait_until(DEADLINE, "both reloads", || reloads(&balancer, "ok") >= 2);
    assert_eq!(client.get("/").origin(), "b");
    // One more and no others: the next is the next.
    reload(&balancer, &shop(&[&a, &b]));
    assert_eq!(generation(&balancer), 4);
    assert_eq!(reloads(&balancer, "ok"), 3);
}

#[test]
fn settings_of_a_listener_count_from_the_next_request() {
    let origin = Origin::named("a");
    let balancer = Balancer::in_front_of(&[&origin]);
    let mut client = balancer.client("web");
    client.send(&Request::post("/", &[b'x'; 100]));
    let here = client.local_address();
    let limited = shop(&[&origin]).replace(
        "[[routes]]",
        "limits = { body_bytes = \"50B\" }\n[[routes]]",
    );
    reload(&balancer, &limited);
    client.get("/");
    assert_eq!(client.local_address(), here);
    reload(&balancer, &shop(&[&origin]));
    assert_eq!(client.send(&Request::post("/", &[b'x'; 100])).status, 200);
    reload(&balancer, &limited);
    let refused = client.send(&Request::post("/", &[b'x'; 100]));
    assert_eq!(refused.cause(), Some("body-too-large"), "{refused}");
}

#[test]
fn listeners_on_ports_of_the_kernels_choice_are_told_apart() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let two = |first: &Origin, second: &Origin| {
        let mut text = "[admin]\naddress = \"127.0.0.1:0\"\n".to_owned();
        for (name, origin) in [("left", first), ("right", second)] {
            let route = format!("[[routes]]\nlisteners = [\"{name}\"]\npool = \"{name}\"\n");
            let listener = format!("[listeners.{name}]\naddress = \"127.0.0.1:0\"\n");
            let _ = write!(
                text,
                "{listener}{route}{}",
                pool(name, "round-robin", &[origin])
            );
        }
        text
    };
    let balancer = Balancer::start(&two(&a, &b));
    let [mut left, mut right] = ["left", "right"].map(|name| balancer.client(name));
    assert_eq!(
        [left.get("/").origin(), right.get("/").origin()],
        ["a", "b"]
    );
    reload(&balancer, &two(&b, &a));
    assert_eq!(
        [left.get("/").origin(), right.get("/").origin()],
        ["b", "a"]
    );
    // A third one gets a port of its own.
    let third = "[listeners.third]\naddress = \"127.0.0.1:0\"\n\
                 [[routes]]\nlisteners = [\"third\"]\npool = \"left\"\n";
    reload(&balancer, &(two(&b, &a) + third));
    assert_eq!(balancer.client("third").get("/").origin(), "b");
    assert_eq!(
        [left.get("/").origin(), right.get("/").origin()],
        ["b", "a"]
    );
}

/// The usual front and the pool `shop` of these origins.
fn shop(origins: &[&Origin]) -> String {
    Balancer::front("shop") + &pool("shop", "round-robin", origins)
}

fn backed_by(origin: &LoadOrigin) -> String {
    let address = origin.address();
    format!("[pools.shop]\nbackends = [{{ address = \"{address}\" }}]\n")
}

/// Reloads and waits until it has happened; panics if it was not one generation more.
#[track_caller]
pub(crate) fn reload(balancer: &Balancer, configuration: &str) {
    let before = generation(balancer);
    balancer.reload(configuration);
    wait_until(DEADLINE, &format!("generation {}", before + 1), || {
        generation(balancer) != before
    });
    assert_eq!(generation(balancer), before + 1);
}

pub(crate) fn generation(balancer: &Balancer) -> u64 {
    balancer.metric("forecourt_config_generation") as u64
}

pub(crate) fn reloads(balancer: &Balancer, result: &str) -> u64 {
    let name = format!("forecourt_config_reloads_total{{result=\"{result}\"}}");
    balancer.metric(&name) as u64
}

fn status(balancer: &Balancer) -> Value {
    let text = balancer.admin("/v1/status").text();
    serde_json::from_str(&text).expect("the status is JSON")
}

/// What a refused reload must not change: listeners, pools and backends, without the figures.
pub(crate) fn shape(balancer: &Balancer) -> Vec<String> {
    let status = status(balancer);
    let words = |list: &Value, keys: &[&str]| -> Vec<String> {
        let items = list.as_array().expect("a list").iter();
        let words = items.map(|item| keys.iter().map(|key| item[key].to_string()).collect());
        words.collect()
    };
    let mut shape = words(&status["listeners"], &["name", "address"]);
    for pool in status["pools"].as_array().expect("a list") {
        shape.push(format!("{}{}", pool["name"], pool["strategy"]));
        shape.extend(words(
            &pool["backends"],
            &["address", "id", "weight", "standing"],
        ));
    }
    shape
}

/// A port of 127.0.0.1 that the kernel gives to nobody else, and on which somebody may listen.
pub(crate) struct Reserved {
    address: SocketAddr,
    /// Bound and never listening.
    _holder: Socket,
}

impl Reserved {
    pub(crate) fn port() -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let holder = shared(any).expect("the kernel has a free port");
        let address = holder.local_addr().expect("a bound socket has an address");
        Self {
            address: address.as_socket().expect("it is an IPv4 address"),
            _holder: holder,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Listens there.
    fn listen(&self) -> TcpListener {
        let socket = shared(self.address).expect("the holder shares its port");
        socket.listen(16).expect("a bound socket can listen");
        socket.into()
    }
}

/// A socket bound to an address that others may be bound to as well.
fn shared(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}
