//! The drill: reloads in a row under load, and nobody notices.

use std::time::Instant;

use super::harness::{
    Balancer, Client, Crowd, DEADLINE, Load, LoadOrigin, Tally, is_full_drill, wait_until,
};
use super::reload::{Reserved, generation, reload, reloads, shape};

/// How large a drill is.
struct Drill {
    reloads: u64,
    refusals: u64,
    connections: usize,
    idle: usize,
    warm_up: u64,
}

impl Drill {
    fn of_environment() -> Self {
        if is_full_drill() {
            Self {
                reloads: 200,
                refusals: 50,
                connections: 64,
                idle: 2000,
                warm_up: 20_000,
            }
        } else {
            Self {
                reloads: 40,
                refusals: 10,
                connections: 16,
                idle: 300,
                warm_up: 400,
            }
        }
    }
}

/// Reloads in a row under load: no request fails, no body is cut, no connection is closed, neither those that
/// are busy nor those that sit there, no memory is lost; then as many with a broken file, and nothing
/// changes.
///
/// `FORECOURT_DRILL=full` makes it 200 reloads, 50 broken files, 64 busy and 2,000 idle connections;
/// `FORECOURT_BINARY` names another build than the one beside the tests (an absolute path).
#[test]
fn reloads_under_load_lose_nothing() {
    let drill = Drill::of_environment();
    let origins = [
        LoadOrigin::start(),
        LoadOrigin::start(),
        LoadOrigin::start(),
    ];
    let extra = Reserved::port();
    let [one, two] = [first(&origins), second(&origins, &extra)];
    let mut balancer = Balancer::start(&one);
    let web = balancer.address("web");

    let load = Load::start(web, drill.connections);
    for configuration in [&two, &one].repeat(3) {
        reload(&balancer, configuration);
    }
    wait_until(DEADLINE * 3, "the load to warm up", || {
        load.requests() >= drill.warm_up
    });
    nothing_went_wrong(&load.stop(), drill.connections);
    let mut idle = Crowd::connect(web, drill.idle);
    assert_eq!(idle.ask_each(), [""; 0]);
    let before = balancer.vitals().resident();

    let load = Load::start(web, drill.connections);
    let begun = Instant::now();
    for round in 0..drill.reloads / 2 {
        let seen = load.requests();
        reload(&balancer, &two);
        let mut client = Client::of(extra.address());
        assert_eq!(client.get(SMALL).status, 200);
        reload(&balancer, &one);
        // Every other time the listener comes back before anybody has asked.
        if round % 2 == 0 {
            let last = client.get(SMALL);
            assert_eq!(last.field("connection"), Some("close"), "round {round}");
        }
        // It is a drill only if something is under way all the time.
        wait_until(DEADLINE, "the load", || load.requests() > seen);
    }
    let took = begun.elapsed();
    refuse(&balancer, &one, drill.refusals);
    let tally = load.stop();
    let generations = || balancer.metric("forecourt_config_generations_alive");
    wait_until(DEADLINE, "the old generations' end", || {
        generations() == 1.0
    });
    let after = balancer.vitals().resident();
    let (kept, grown) = (before / 1024, after.saturating_sub(before) / 1024);
    eprintln!(
        "{} reloads in {took:?} under load, {} refused: {tally}; {} of {} idle connections disturbed; {kept} KiB resident before, {grown} KiB more after",
        drill.reloads,
        drill.refusals,
        idle.disturbed(),
        idle.len(),
    );
    nothing_went_wrong(&tally, drill.connections);
    assert_eq!(idle.disturbed(), 0, "idle connections were disturbed");
    assert_eq!(idle.ask_each(), [""; 0]);
    assert!(grown <= MEMORY_KIB, "{grown} KiB more than {kept} KiB");
    assert!(balancer.try_exit().is_none());
}

/// What [`LoadOrigin`] answers with an empty body.
const SMALL: &str = "/1/0/length/none";

/// What a drill may leave behind: buffers that happened to be in use at once, not state of generations.
const MEMORY_KIB: u64 = 6 * 1024;

#[track_caller]
fn nothing_went_wrong(tally: &Tally, connections: usize) {
    assert!(tally.faults.is_empty(), "{tally}");
    assert_eq!(tally.connections, connections as u64, "{tally}");
}

/// Sends a broken file again and again, looking that nothing changes; `good` is what stays in force.
fn refuse(balancer: &Balancer, good: &str, times: u64) {
    let (generation, status) = (generation(balancer), shape(balancer));
    let misspelt = good.replace("strategy = ", "strategie = ");
    let half = &good[..good.len() / 2];
    let before = reloads(balancer, "refused");
    for round in 1..=times {
        balancer.reload(if round % 2 == 0 { half } else { &misspelt });
        wait_until(DEADLINE, "the refusal", || {
            reloads(balancer, "refused") == before + round
        });
    }
    assert_eq!(self::generation(balancer), generation);
    assert_eq!(shape(balancer), status);
    let log = balancer.stderr();
    assert!(log.contains("strategie"), "the log names what is wrong");
}

fn first(origins: &[LoadOrigin; 3]) -> String {
    let [a, b, _] = origins.each_ref().map(LoadOrigin::address);
    format!(
        "{LONG_IDLE}\
         [[routes]]\npath_prefix = \"/\"\npool = \"shop\"\n\
         [pools.shop]\nstrategy = \"round-robin\"\n\
         backends = [{{ address = \"{a}\" }}, {{ address = \"{b}\" }}]\n"
    )
}

/// Other backends, weights and strategies, one more pool and one more listener.
fn second(origins: &[LoadOrigin; 3], extra: &Reserved) -> String {
    let [a, b, c] = origins.each_ref().map(LoadOrigin::address);
    let extra = extra.address();
    format!(
        "{LONG_IDLE}\
         [listeners.extra]\naddress = \"{extra}\"\n\
         [[routes]]\npath_prefix = \"/\"\npool = \"shop\"\n\
         [[routes]]\npath_regex = \"^/[0-9]*[02468]/\"\npool = \"even\"\n\
         [pools.shop]\nstrategy = \"weighted\"\n\
         backends = [{{ address = \"{b}\", weight = 3 }}, {{ address = \"{c}\", weight = 2 }}]\n\
         [pools.even]\nstrategy = \"least-connections\"\n\
         backends = [{{ address = \"{a}\" }}, {{ address = \"{c}\" }}]\n"
    )
}

/// The idle timeout is not what the drill is about.
const LONG_IDLE: &str = "[admin]\naddress = \"127.0.0.1:0\"\n\
    [log.access]\npath = \"off\"\n\
    [listeners.web]\naddress = \"127.0.0.1:0\"\ntimeouts = { idle = \"1h\" }\n";
