//! The demo: the shop, its baskets with and without stickiness, backends that are stopped, and the lines that it tells
//! people to try.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::harness::{Client, DEADLINE, Request, Response, command, program, wait_for};

/// Every line is run in a shell as it is printed, in the order in which it is printed.
#[test]
fn the_lines_to_try_work_as_printed() {
    if Command::new("curl").arg("--version").output().is_err() {
        assert!(
            std::env::var_os("FORECOURT_TEST_SERVERS").is_none(),
            "curl is required"
        );
        return;
    }
    let demo = Demo::start(&[]);
    let welcome = demo.stdout();
    let lines: Vec<_> = welcome
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .filter(|line| line.contains("curl "))
        .collect();
    assert_eq!(lines.len(), 3 + NAMES.len(), "{welcome}");
    let all = NAMES.map(|name| demo.requests_of(name)).iter().sum::<u64>();
    assert_eq!(all, 0, "nothing is counted before anybody came");

    let answered = demo.shell(lines[0]);
    let counts: BTreeMap<_, u64> = answered
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let count = words.next()?.parse().ok()?;
            (words.next()? == "x-shop-backend:").then_some((words.next()?, count))
        })
        .collect();
    assert_eq!(counts.values().sum::<u64>(), 80, "{answered}");
    assert_eq!(counts.len(), NAMES.len(), "{answered}");

    let filled = demo.shell(lines[1]);
    assert!(
        filled.starts_with("served by ") && filled.ends_with(", 1 item in the basket\n"),
        "{filled:?}"
    );
    let looked = demo.shell(lines[2]);
    assert_eq!(looked, filled.repeat(8));

    let home = filled.split(['\u{20}', ',']).nth(2).unwrap_or_default();
    for (line, name) in lines[3..].iter().zip(NAMES) {
        let kept = usize::from(name == home);
        assert_eq!(
            demo.shell(line),
            format!("{name} is stopped; sessions that it has forgotten: {kept}\n")
        );
        assert_eq!(
            demo.shell(&line.replace("/stop", "/start")),
            format!("{name} serves\n")
        );
    }
    let looked = demo.shell(lines[2]);
    assert_eq!(looked.matches(", 0 items in the basket").count(), 8);
}

#[test]
fn with_stickiness_a_basket_survives_a_thousand_requests() {
    let demo = Demo::start(&[]);
    let mut shopper = (0..8)
        .map(|_| Shopper::with_basket(&demo))
        .find(|shopper| shopper.home == "blue")
        .expect("round robin comes to each of four");
    for number in 0..1_000 {
        let path = if number % 20 == 19 {
            "/products/1"
        } else {
            "/basket"
        };
        let (home, items) = shopper.sees(path);
        assert!(
            path != "/basket" || (home == shopper.home && items == 3),
            "request {number}: {home} sees {items} items"
        );
    }
    let (order, _) = shopper.send(&Request::post("/checkout", b""));
    assert!(order.text().contains("<b>blue-"), "{}", order.text());
    assert_eq!(shopper.sees("/basket").1, 0);
}

#[test]
fn without_stickiness_the_basket_is_lost() {
    let demo = Demo::start(&["--no-sticky"]);
    let mut shopper = Shopper::with_basket(&demo);
    let empty = (0..200).filter(|_| shopper.sees("/basket").1 == 0).count();
    // Round robin over four: one of them knows it.
    assert_eq!(empty, 150, "requests of 200 that saw an empty basket");
}

/// Of forty sessions those of the stopped backend start anew, the others notice nothing, and nobody sees an error.
#[test]
fn a_stopped_backend_loses_its_own_baskets_only() {
    let demo = Demo::start(&[]);
    let mut shoppers: Vec<_> = (0..40).map(|_| Shopper::with_basket(&demo)).collect();
    let on_blue = shoppers.iter().filter(|one| one.home == "blue").count();
    assert_eq!(on_blue, 10, "round robin");
    let said = demo.control("blue/stop");
    assert_eq!(
        (said.status, said.text().as_str()),
        (200, "blue is stopped; sessions that it has forgotten: 10\n")
    );
    for _ in 0..2 {
        for shopper in &mut shoppers {
            let (home, items) = shopper.sees("/basket");
            if shopper.home == "blue" {
                assert_eq!(items, 0);
                assert_ne!(home, "blue");
            } else {
                assert_eq!((home, items), (shopper.home.clone(), 3));
            }
        }
    }
    // A basket can be filled anew, and stays on the new backend when the old one is back.
    let moved = shoppers.iter_mut().find(|one| one.home == "blue");
    let moved = moved.expect("there were ten");
    moved.fill();
    assert_ne!(moved.home, "blue");
    assert_eq!(demo.control("blue/start").status, 200);
    assert_eq!(moved.sees("/basket"), (moved.home.clone(), 3));
    let mut pages = demo.shop();
    let served = (0..100).any(|_| pages.get("/").field("x-shop-backend") == Some("blue"));
    assert!(served, "blue is back");
    let summary = demo.end();
    assert!(summary.contains(" 0 errors (0.0 %)"), "{summary}");
}

#[test]
fn a_backend_that_is_made_slow_is_named() {
    let demo = Demo::start(&[]);
    assert_eq!(demo.control("coral/slow").status, 200);
    let began = Instant::now();
    let ends = AtomicBool::new(false);
    let alarmed = thread::scope(|scope| {
        for _ in 0..4 {
            let (mut client, ends) = (demo.shop(), &ends);
            scope.spawn(move || {
                // Without a cookie: all four are asked in turn.
                while !ends.load(Ordering::Relaxed) && began.elapsed() < DEADLINE {
                    client.send(&Request::post("/basket", b"product=4"));
                }
            });
        }
        let mut last = String::new();
        while !last.contains("coral") && began.elapsed() < DEADLINE {
            let stats = Client::of(demo.admin)
                .asking_for("localhost")
                .get("/v1/stats")
                .text();
            let stats: serde_json::Value = serde_json::from_str(&stats).expect("JSON");
            last = stats["alarms"].to_string();
        }
        ends.store(true, Ordering::Relaxed);
        last
    });
    assert!(
        alarmed.contains("is slow: half of its answers take "),
        "{alarmed}"
    );
    assert!(
        alarmed.contains("forecourt backend drain baskets "),
        "{alarmed}"
    );
    assert_eq!(demo.control("coral/fast").status, 200);
}

#[test]
fn the_control_takes_nothing_else() {
    let demo = Demo::start(&[]);
    assert_eq!(demo.control("mauve/stop").status, 404);
    assert_eq!(demo.control("blue/paint").status, 404);
    let looked = Client::of(demo.control).get("/backends/blue/stop");
    assert_eq!((looked.status, looked.field("allow")), (405, Some("POST")));
    assert_eq!(demo.control("blue/start").text(), "blue serves\n");
}

#[test]
fn it_ends_by_itself_with_a_summary() {
    let mut demo = Demo::start(&["--for", "2s"]);
    let mut shop = demo.shop();
    for _ in 0..20 {
        assert_eq!(shop.get("/products").status, 200);
    }
    assert_eq!(shop.get("/nowhere").status, 404);
    assert_eq!(shop.get("/healthz").text(), "ok\n");
    shop.close();
    assert_eq!(demo.wait_for_exit().code(), Some(0));
    demo.shows_summary(22);
    assert_eq!(demo.stderr(), "");
}

#[test]
fn a_signal_drains_it_and_shows_the_summary() {
    for signal in [Signal::INT, Signal::TERM] {
        let demo = Demo::start(&[]);
        let mut shop = demo.shop();
        assert_eq!(shop.get("/").status, 200);
        shop.close();
        let mut demo = demo;
        demo.signal(signal);
        assert_eq!(demo.wait_for_exit().code(), Some(0));
        demo.shows_summary(1);
    }
}

#[test]
fn a_port_in_use_is_said_clearly() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let port = address.port().to_string();
    for (arguments, place) in [
        (
            ["demo", "--admin-port", "0", "--port", &port],
            "listener web",
        ),
        (["demo", "--port", "0", "--admin-port", &port], "admin"),
    ] {
        let output = program(&arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.contains(place) && said.contains(&address.to_string()),
            "{said}"
        );
        assert!(output.stdout.is_empty());
    }
    for wrong in [["demo", "--for", "soon"], ["demo", "--port", "70000"]] {
        assert_eq!(program(&wrong).status.code(), Some(2));
    }
}

#[test]
fn its_configuration_is_good_for_run_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("demo.toml");
    for extra in [None, Some("--no-sticky")] {
        let mut arguments = vec!["demo", "--print-config"];
        arguments.extend(extra);
        let printed = program(&arguments);
        assert_eq!(printed.status.code(), Some(0));
        fs::write(&file, &printed.stdout).unwrap();
        let checked = program(&["check", file.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&checked.stdout).into_owned();
        assert_eq!(checked.status.code(), Some(0), "{said}");
        assert!(
            said.contains("1 listener, 3 routes, 2 pools, 8 backends"),
            "{said}"
        );
    }
}

/// The dashboard's link has what it takes to steer, and nobody else does.
#[test]
fn the_link_that_is_printed_steers() {
    let demo = Demo::start(&[]);
    let welcome = demo.stdout();
    let (_, token) = welcome.split_once("/#token=").expect("a link");
    let token = token.lines().next().unwrap_or_default();
    let status = Client::of(demo.admin)
        .asking_for("localhost")
        .get("/v1/status")
        .text();
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    let address = status["pools"][0]["backends"][0]["address"].as_str();
    let path = format!("/v1/pools/pages/backends/{}", address.expect("a text"));
    let wish = Request::put(&path, br#"{"state":"draining"}"#).host("localhost");
    assert_eq!(
        Client::of(demo.admin)
            .asking_for("localhost")
            .send(&wish)
            .status,
        401
    );
    let wish = wish.field("authorization", &format!("Bearer {token}"));
    assert_eq!(
        Client::of(demo.admin)
            .asking_for("localhost")
            .send(&wish)
            .status,
        200
    );
    let other = Demo::start(&[]).stdout();
    assert!(!other.contains(token), "each demo has its own");
}

/// The backends, in the order in which they are shown.
const NAMES: [&str; 4] = ["blue", "green", "amber", "coral"];

/// A running demo on ports that the kernel chose, its output on no terminal.
pub(crate) struct Demo {
    child: Child,
    folder: TempDir,
    exited: Option<ExitStatus>,
    shop: SocketAddr,
    admin: SocketAddr,
    control: SocketAddr,
}

impl Demo {
    #[track_caller]
    pub(crate) fn start(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let file =
            |name| File::create(folder.path().join(name)).expect("a new folder can be written to");
        let child = command()
            .args(["demo", "--port", "0", "--admin-port", "0"])
            .args(options)
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .expect("the program was built before its tests");
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut demo = Self {
            child,
            folder,
            exited: None,
            shop: nowhere,
            admin: nowhere,
            control: nowhere,
        };
        let welcome = wait_for(DEADLINE, "the demo's last line to try", || {
            let said = demo.stdout();
            said.contains("/backends/coral/stop\n").then_some(said)
        });
        let address = |before: &str| {
            let (_, rest) = welcome.split_once(before).expect(before);
            let end = rest.find('/').expect("a path follows");
            rest[..end].parse().expect("an address")
        };
        demo.shop = address("shop     http://");
        demo.admin = address("status   http://");
        demo.control = address("POST http://");
        demo
    }

    pub(crate) fn shop(&self) -> Client {
        Client::of(self.shop)
    }

    pub(crate) fn control(&self, what: &str) -> Response {
        let request = Request::post(&format!("/backends/{what}"), b"");
        Client::of(self.control).send(&request)
    }

    /// What the balancer's status says that a backend has answered, in all pools.
    fn requests_of(&self, name: &str) -> u64 {
        let status = Client::of(self.admin)
            .asking_for("localhost")
            .get("/v1/status")
            .text();
        let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
        let pools = status["pools"].as_array().expect("a list").iter();
        let backends = pools.flat_map(|pool| pool["backends"].as_array().expect("a list"));
        backends
            .filter(|backend| backend["id"] == name)
            .map(|backend| backend["requests"].as_u64().expect("a number"))
            .sum()
    }

    /// Runs a line in the demo's folder and gives what it prints.
    #[track_caller]
    fn shell(&self, line: &str) -> String {
        let output = Command::new("sh")
            .args(["-c", line])
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .expect("there is a shell");
        assert!(output.status.success(), "{line}");
        String::from_utf8(output.stdout).expect("text")
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal)
            .expect("a child that was not waited for is there");
    }

    /// Ends it by a signal and gives all that it has printed.
    fn end(mut self) -> String {
        self.signal(Signal::TERM);
        assert_eq!(self.wait_for_exit().code(), Some(0), "{}", self.stderr());
        self.stdout()
    }

    fn wait_for_exit(&mut self) -> ExitStatus {
        let status = wait_for(DEADLINE, "the end of the demo", || {
            self.child.try_wait().expect("a child can be waited for")
        });
        self.exited = Some(status);
        status
    }

    /// That the summary has so many requests, a line for each backend, and nothing that only a terminal understands.
    #[track_caller]
    fn shows_summary(&self, requests: u64) {
        let out = self.stdout();
        assert!(!out.contains('\x1b'), "{out:?}");
        let head = out
            .lines()
            .find(|line| line.contains("p50"))
            .unwrap_or_else(|| panic!("{out}"));
        assert!(
            head.starts_with(&format!("{requests} requests in ")),
            "{out}"
        );
        assert!(head.contains(" 0 errors (0.0 %), p50 "), "{out}");
        assert!(head.contains(" ms, p99 ") && head.ends_with(" ms"), "{out}");
        let mut sum = 0;
        for name in NAMES {
            let line = out
                .lines()
                .find(|line| line.starts_with(&format!("{name} ")) && line.ends_with("   serving"));
            let line = line.unwrap_or_else(|| panic!("no {name} in\n{out}"));
            let count = line
                .split_whitespace()
                .nth(1)
                .expect("a number of requests");
            sum += count.parse::<u64>().expect("a number");
        }
        assert_eq!(sum, requests, "{out}");
        let once = out.matches("failed attempts").count();
        assert_eq!(once, 1, "no progress where there is no terminal:\n{out}");
        assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");
    }

    pub(crate) fn stdout(&self) -> String {
        fs::read_to_string(self.folder.path().join("stdout")).expect("the file was made")
    }

    fn stderr(&self) -> String {
        fs::read_to_string(self.folder.path().join("stderr")).expect("the file was made")
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if self.exited.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Someone with a jar of cookies.
struct Shopper {
    client: Client,
    jar: BTreeMap<String, String>,
    home: String,
}

impl Shopper {
    /// A shopper who has put three things into the basket.
    #[track_caller]
    fn with_basket(demo: &Demo) -> Self {
        let mut shopper = Self {
            client: demo.shop(),
            jar: BTreeMap::new(),
            home: String::new(),
        };
        shopper.fill();
        shopper
    }

    #[track_caller]
    fn fill(&mut self) {
        let form = Request::post("/basket", b"product=4&quantity=3");
        let (response, items) = self.send(&form);
        assert_eq!((response.status, items), (200, 3));
        self.home = backend(&response);
    }

    /// Gets a page: who served it and how much is in the basket there.
    #[track_caller]
    fn sees(&mut self, path: &str) -> (String, u32) {
        let (response, items) = self.send(&Request::get(path));
        assert_eq!(response.status, 200, "{response}");
        (backend(&response), items)
    }

    #[track_caller]
    fn send(&mut self, request: &Request) -> (Response, u32) {
        let cookies: Vec<_> = self
            .jar
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let mut request = request.clone();
        if !cookies.is_empty() {
            request = request.field("cookie", &cookies.join("; "));
        }
        let response = self.client.send(&request);
        for field in response.head.fields.all("set-cookie") {
            let pair = field.split(';').next().unwrap_or_default();
            let (name, value) = pair.split_once('=').expect("a cookie has a value");
            self.jar.insert(name.to_owned(), value.to_owned());
        }
        let items = response.field("x-shop-items").map(str::parse);
        let items = items.unwrap_or_else(|| panic!("{response}"));
        (response, items.expect("a number of items"))
    }
}

#[track_caller]
fn backend(response: &Response) -> String {
    let name = response.field("x-shop-backend");
    name.unwrap_or_else(|| panic!("{response}")).to_owned()
}
