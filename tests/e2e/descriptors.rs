//! Descriptors are a budget: many connections and many backends are held, and at the limit clients wait.
//!
//! The full forms (`FORECOURT_DRILL=full`) are those that are promised: 15,000 client connections, and 5,000
//! backends, under a limit of 20,000 open files. By default everything is a tenth of it.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use super::harness::{
    A_WHILE, Balancer, Behaviour, Client, Crowd, DEADLINE, LoadOrigin, Origin, Request, Vitals,
    is_full_drill, pool, raise_limit, wait_until,
};

/// How large a test is: the limit of open files that the program gets is measured by it.
fn open_files() -> usize {
    if is_full_drill() { 20_000 } else { 2000 }
}

/// Three quarters of the limit are connections of clients; all stay and all are served, and served again.
#[test]
fn a_crowd_of_clients_is_held_and_served() {
    let limit = open_files();
    // This process holds the other end of each, and those of the origin.
    let ours = usize::try_from(raise_limit()).unwrap_or(usize::MAX);
    let clients = (limit * 3 / 4).min(ours.saturating_sub(1000));
    let origin = LoadOrigin::start();
    let balancer = Balancer::start_limited(&in_front_of(&[origin.address()]), limit);
    let mut crowd = Crowd::connect(balancer.address("web"), clients);
    let began = Instant::now();
    assert_eq!(crowd.ask_each(), [""; 0]);
    assert_eq!(open_connections(&balancer), clients);
    assert_eq!(crowd.ask_each(), [""; 0]);
    assert_eq!(crowd.disturbed(), 0);
    eprintln!(
        "{clients} clients under a limit of {limit} files (ours is {ours}), two requests on each in {:?}: {} files open, {} KiB resident",
        began.elapsed(),
        balancer.vitals().open_files(),
        balancer.vitals().resident() / 1024,
    );
    drop(crowd);
    wait_until(DEADLINE, "the connections' end", || {
        open_connections(&balancer) == 0
    });
    assert_eq!(balancer.admin("/healthz").status, 200);
}

/// Thousands of connections that wait for their next request cost next to nothing each.
#[test]
fn an_idle_connection_costs_little() {
    let ours = usize::try_from(raise_limit()).unwrap_or(usize::MAX);
    let wanted = if is_full_drill() { 10_000 } else { 3000 };
    let clients = wanted.min(ours.saturating_sub(1000));
    let origin = LoadOrigin::start();
    let balancer = Balancer::start(&in_front_of(&[origin.address()]));
    // What is there for the first of them is there for all.
    let mut first = Crowd::connect(balancer.address("web"), 200);
    assert_eq!(first.ask_each(), [""; 0]);
    let before = balancer.vitals().resident();
    let mut crowd = Crowd::connect(balancer.address("web"), clients);
    assert_eq!(crowd.ask_each(), [""; 0]);
    wait_until(DEADLINE, "idle connections", || {
        open_connections(&balancer) == clients + 200
    });
    let each = balancer.vitals().resident().saturating_sub(before) / clients as u64;
    eprintln!("{clients} idle connections: {each} bytes resident each");
    assert!(
        each <= 2048,
        "{each} bytes of memory for an idle connection"
    );
}

/// A quarter of the limit are backends; each gets its turn, exactly.
#[test]
fn thousands_of_backends_get_their_turns() {
    let limit = open_files();
    let count = limit / 4;
    let origin = LoadOrigin::everywhere();
    let port = origin.address().port();
    let addresses: Vec<SocketAddr> = (0..count)
        .map(|index| Ipv4Addr::new(127, 1, (index / 250) as u8, (index % 250 + 1) as u8))
        .map(|address| SocketAddr::from((address, port)))
        .collect();
    let balancer = Balancer::start_limited(&in_front_of(&addresses), limit);
    let mut crowd = Crowd::connect(balancer.address("web"), count / 10);
    let began = Instant::now();
    // Three turns of each.
    for _ in 0..30 {
        assert_eq!(crowd.ask_each(), [""; 0]);
    }
    let served: HashMap<SocketAddr, u64> = origin.served();
    let uneven: Vec<_> = addresses
        .iter()
        .filter(|address| served.get(address) != Some(&3))
        .collect();
    assert!(uneven.is_empty(), "{} backends are uneven", uneven.len());
    eprintln!(
        "{} requests by {count} backends under a limit of {limit} files in {:?}: {} files open, {} KiB resident",
        count * 3,
        began.elapsed(),
        balancer.vitals().open_files(),
        balancer.vitals().resident() / 1024,
    );
}

/// More clients than there are descriptors: those without one wait, at no cost, until others have gone.
#[test]
fn at_the_limit_clients_wait_for_their_turn() {
    let origin = LoadOrigin::start();
    let balancer = Balancer::start_limited(&in_front_of(&[origin.address()]), FEW);
    let clients = 3 * FEW;
    let mut waiting = Crowd::connect(balancer.address("web"), clients);
    waiting.ask();
    let mut served = 0;
    let mut rounds = 0;
    while waiting.len() > 0 {
        // Nobody else is served until somebody goes.
        let full = waiting.len() > FEW;
        wait_until(DEADLINE, "the next ones' turn", || {
            let held = open_connections(&balancer);
            if full { held >= FEW / 3 } else { held > 0 }
        });
        if rounds == 0 {
            let cpu = cpu_over_a_while(&balancer.vitals());
            assert!(cpu < A_WHILE / 4, "{cpu:?} of CPU time while waiting");
            assert_eq!(balancer.admin("/healthz").status, 200);
            assert!(waiting.len() > 0);
        }
        let mut answered = waiting.take_answered();
        let mut wrong = answered.statuses();
        wrong.retain(|status| status != "200");
        assert_eq!(wrong, [""; 0], "round {rounds}");
        served += answered.len();
        rounds += 1;
    }
    assert_eq!(served, clients);
    assert!(rounds > 1, "the limit was never reached");
    let pauses = balancer.metric("forecourt_accept_pauses_total{listener=\"web\"}");
    assert!(pauses > 0.0, "the operator sees that the limit was reached");
}

/// Requests that no descriptor is left for are refused in so many words; the admin API and a reload have theirs.
#[test]
fn requests_without_a_descriptor_are_refused_and_the_admin_api_answers() {
    let origin = Origin::named("a");
    origin.behave(Behaviour::Hang);
    let configuration = Balancer::front("shop") + &pool("shop", "round-robin", &[&origin]);
    let mut balancer = Balancer::start_limited(&configuration, FEW);
    let mut crowd = Crowd::connect(balancer.address("web"), 3 * FEW);
    crowd.ask();
    wait_until(DEADLINE, "the crowd at the limit", || {
        origin.open_connections() > 10 && open_connections(&balancer) >= FEW / 3
    });
    let cpu = cpu_over_a_while(&balancer.vitals());
    assert!(cpu < A_WHILE / 4, "{cpu:?} of CPU time while waiting");
    let held = balancer.vitals().open_files();
    assert!(held + RESERVE <= FEW, "{held} of {FEW} files are open");
    assert_eq!(balancer.admin("/readyz").status, 200);
    balancer.signal(rustix::process::Signal::HUP);
    wait_until(DEADLINE, "a reload at the limit", || {
        balancer.metric("forecourt_config_generation") == 2.0
    });
    wait_until(DEADLINE, "refusals", || crowd.disturbed() > 0);
    let mut refused = crowd.take_answered();
    let mut other = refused.statuses();
    other.retain(|status| status != "503 descriptors-exhausted");
    assert_eq!(other, [""; 0]);
    // Room again: whoever comes now is served. First the origin, for requests are in the queue.
    origin.behave(Behaviour::Answer);
    drop((refused, crowd));
    let mut client = Client::of(balancer.address("web"));
    wait_until(DEADLINE, "an answer", || {
        let response = client.try_send(&Request::get("/"));
        response.is_ok_and(|response| response.status == 200)
    });
    assert!(balancer.try_exit().is_none());
}

/// A limit that is soon reached.
const FEW: usize = 200;

/// What must be left of it for the admin API, logs and reloads.
const RESERVE: usize = 16;

/// CPU time that the program takes while this process does nothing for a while.
fn cpu_over_a_while(vitals: &Vitals) -> Duration {
    let (before, began) = (vitals.cpu(), Instant::now());
    wait_until(DEADLINE, "a while to pass", || began.elapsed() >= A_WHILE);
    vitals.cpu() - before
}

fn open_connections(balancer: &Balancer) -> usize {
    balancer.metric("forecourt_connections{listener=\"web\"}") as usize
}

/// Round robin before these addresses; nobody is idle for too long, and nothing is logged for each request.
fn in_front_of(addresses: &[SocketAddr]) -> String {
    let backends = addresses
        .iter()
        .map(|address| format!("{{ address = \"{address}\" }}"));
    let backends: Vec<_> = backends.collect();
    format!(
        "[admin]\naddress = \"127.0.0.1:0\"\n\
         [log.access]\npath = \"off\"\n\
         [listeners.web]\naddress = \"127.0.0.1:0\"\ntimeouts = {{ idle = \"1h\" }}\n\
         [[routes]]\npool = \"shop\"\n\
         [pools.shop]\nstrategy = \"round-robin\"\nbackends = [{}]\n",
        backends.join(",\n")
    )
}
