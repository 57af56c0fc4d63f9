//! What goes over from one process to the next.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use super::*;

/// Upgrades in a row under load, on connections that are kept and on new ones: no request fails, no connection is refused,
/// whatever the number of workers. A backend that was down gets no request of a client, not even the first, and a session
/// keeps the backend that a key of the first process has sealed.
///
/// `FORECOURT_DRILL=full` makes it 20.
#[test]
fn upgrades_under_load_lose_nothing() {
    let origins = [Origin::named("a"), Origin::named("b")];
    let down = Origin::named("down");
    down.on("/healthz", Behaviour::Status(503));
    let configuration = |workers: usize| {
        let pool = pool("shop", "round-robin", &[&origins[0], &origins[1], &down]);
        format!(
            "[server]\nworkers = {workers}\n{}{pool}\n\
             [pools.shop.sticky]\n[pools.shop.health]\npath = \"/healthz\"\ninterval = \"1h\"\n\
             fast_interval = \"20ms\"\nrise = 1000\n",
            Balancer::front("shop")
        )
    };
    let mut balancer = Balancer::start(&configuration(2));
    wait_until(DEADLINE, "the fall of a backend", || {
        balancer
            .stderr()
            .contains("a backend fails its health checks")
    });
    let (web, admin) = (balancer.address("web"), balancer.address("admin"));
    let first = Client::of(web).get("/");
    let cookie = first.field("set-cookie").expect("a sticky cookie");
    let (cookie, _) = cookie.split_once(';').expect("attributes");
    let bound = Request::get("/").field("cookie", cookie);
    let visits = || {
        let received = down.received();
        let visits = received.iter().filter(|one| one.target != "/healthz");
        visits.count()
    };
    let before = visits();

    let busy = Busy::at(web);
    busy.go_on(100);
    let rounds = if is_full_drill() { 20 } else { 3 };
    for round in 1..=rounds {
        // More, fewer, and as many.
        balancer.rewrite(&configuration([3, 1, 2][round % 3]));
        upgrade(&mut balancer);
        busy.go_on(100);
        assert_eq!(
            (balancer.address("web"), balancer.address("admin")),
            (web, admin)
        );
        let status = status(&balancer);
        assert_eq!(status["generation"], round + 1, "{status}");
        assert_eq!(status["workers"], [3, 1, 2][round % 3]);
        let again = Client::of(web).send(&bound);
        assert_eq!(again.origin(), first.origin(), "round {round}");
        assert_eq!(again.field("set-cookie"), None, "round {round}");
        assert_eq!(
            balancer.metric("forecourt_upgrades_total{result=\"ok\"}"),
            1.0
        );
    }
    assert_eq!(busy.failures(), [""; 0]);
    assert_eq!(visits(), before, "requests for a backend that is down");
    let successors = balancer.successors();
    assert_eq!(successors.len(), rounds);
    let running = successors.iter().filter(|pid| balancer.runs(**pid));
    assert_eq!(running.count(), 1, "the old processes are gone");
    end(&balancer);
    assert!(std::net::TcpStream::connect(web).is_err());
}

/// A request that waits for its backend is answered by the process that has taken it, which ends behind it.
#[test]
fn what_is_under_way_ends_where_it_began() {
    let origin = Origin::named("a");
    origin.on("/slow", Behaviour::Gated);
    let mut balancer = Balancer::in_front_of(&[&origin]);
    let mut slow = balancer.client("web");
    slow.send_raw(&Request::get("/slow").to_bytes()).unwrap();
    origin.wait_for_requests(1);
    balancer.signal(Signal::USR2);
    wait_until(DEADLINE, "the upgrade", || serving(&balancer).is_some());
    assert_eq!(balancer.client("web").get("/").origin(), "a");
    assert!(balancer.try_exit().is_none(), "a request is under way");
    origin.open_gate();
    let answer = slow.read_response("GET").unwrap();
    assert!(answer.is_whole() && answer.origin() == "a", "{answer}");
    assert_eq!(balancer.wait_for_exit(DEADLINE).code(), Some(0));
}

/// Who wants a reload may know the old process only, which ends behind a request that is under way.
#[test]
fn a_reload_that_is_asked_of_the_old_process_is_done_by_the_new_one() {
    let origin = Origin::named("a");
    origin.on("/slow", Behaviour::Gated);
    let mut balancer = Balancer::in_front_of(&[&origin]);
    let mut slow = balancer.client("web");
    slow.send_raw(&Request::get("/slow").to_bytes()).unwrap();
    origin.wait_for_requests(1);
    balancer.signal(Signal::USR2);
    wait_until(DEADLINE, "the upgrade", || serving(&balancer).is_some());
    let reloads = "forecourt_config_reloads_total{result=\"ok\"}";
    for count in [1.0, 2.0] {
        balancer.signal(Signal::HUP);
        wait_until(DEADLINE, "the reload", || balancer.metric(reloads) == count);
    }
    assert!(balancer.try_exit().is_none(), "a request is under way");
    origin.open_gate();
    assert!(slow.read_response("GET").unwrap().is_whole());
    assert_eq!(balancer.wait_for_exit(DEADLINE).code(), Some(0));
    end(&balancer);
}

/// What requests have found of a backend, the next process need not find by failing some more.
#[test]
fn who_is_ejected_stays_so() {
    let (good, bad) = (Origin::named("good"), Origin::named("bad"));
    bad.behave(Behaviour::Status(503));
    let configuration = Balancer::front("shop")
        + &pool("shop", "round-robin", &[&good, &bad])
        + "[pools.shop.outlier]\nconsecutive = 3\nbase_ejection = \"1h\"\nmax_ejection = \"2h\"\n";
    let mut balancer = Balancer::start(&configuration);
    let standing = |balancer: &Balancer| {
        let pools = balancer.admin("/v1/pools/shop");
        let text = String::from_utf8_lossy(&pools.body).into_owned();
        text.contains("\"ejected\"")
    };
    let mut client = balancer.client("web");
    wait_until(DEADLINE, "the ejection", || {
        client.get("/");
        standing(&balancer)
    });
    for _ in 0..2 {
        bad.forget();
        upgrade(&mut balancer);
        assert!(standing(&balancer));
        let mut client = balancer.client("web");
        for _ in 0..8 {
            assert_eq!(client.get("/").origin(), "good");
        }
        assert_eq!(bad.requests(), 0);
    }
    end(&balancer);
}

/// A Unix socket's file stays when the old process ends, and goes with the last; a listener that the new
/// configuration lacks is listened on no more, and one that it adds is.
#[test]
fn unix_listeners_and_other_configurations() {
    let origin = Origin::named("a");
    let folder = tempfile::tempdir().unwrap();
    let (stays, goes) = (folder.path().join("stays"), folder.path().join("goes"));
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let front = Balancer::front("shop") + &pool("shop", "round-robin", &[&origin]);
    let listener =
        |name: &str, address: &str| format!("[listeners.{name}]\naddress = \"{address}\"\n");
    let stays_on = listener("stays", &format!("unix:{}", path(&stays)));
    let goes_from = listener("goes", &format!("unix:{}", path(&goes)));
    let before = format!("{front}{stays_on}{goes_from}");
    let mut balancer = Balancer::spawn(&before);
    balancer.wait_for_listener("web");
    wait_until(DEADLINE, "sockets", || stays.exists() && goes.exists());
    let ask = |at: &Path| -> std::io::Result<String> {
        let mut stream = UnixStream::connect(at)?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    assert!(ask(&stays).unwrap().starts_with("HTTP/1.1 200 "));
    assert!(ask(&goes).unwrap().starts_with("HTTP/1.1 200 "));
    balancer.rewrite(&format!(
        "{front}{stays_on}{}",
        listener("comes", "127.0.0.1:0")
    ));
    upgrade(&mut balancer);
    assert!(ask(&stays).unwrap().starts_with("HTTP/1.1 200 "));
    assert!(ask(&goes).is_err() && !goes.exists());
    assert_eq!(balancer.client("comes").get("/").origin(), "a");
    upgrade(&mut balancer);
    assert!(ask(&stays).unwrap().starts_with("HTTP/1.1 200 "));
    end(&balancer);
    assert!(!stays.exists());
}
