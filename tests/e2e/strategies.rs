//! Which backend is picked, as seen from outside.
//!
//! In front of two nginx and two `http.server`, which are not ours and count for themselves, and of origins
//! where a backend has to be slow or silent. Long forms by `FORECOURT_DRILL=full`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::harness::{
    Balancer, Behaviour, Client, DEADLINE, Origin, Request, Server, is_full_drill, pool,
    two_of_each, wait_until,
};

/// Requests by the name that answered them.
type Counts = BTreeMap<String, usize>;

/// 16 clients that keep their connections, two workers, 2,000 requests, 10,000 with `FORECOURT_DRILL=full`: clients
/// and servers count the same, and no server has two more than another.
#[test]
fn round_robin_deals_evenly_to_servers_that_are_not_ours() {
    let Some(servers) = two_of_each() else { return };
    let balancer = two_workers(&pool_of("round-robin", &servers, &[1; 4]));
    let total = if is_full_drill() { 10_000 } else { 2_000 };
    let counts = crowd(balancer.address("web"), 16, total, "/?even");
    assert_even(&counts, total, 4);
    for server in &servers {
        let counted = counts[server.name()];
        let what = format!("{counted} requests in the log of {}", server.name());
        wait_until(DEADLINE, &what, || server.logged("/?even") >= counted);
        assert_eq!(server.logged("/?even"), counted, "{}", server.name());
    }
    assert_eq!(
        balancer.metric(r#"forecourt_retries_total{pool="shop",outcome="ok"}"#),
        0.0
    );
}

/// The same, 10,000 requests always, before origins.
#[test]
fn round_robin_is_exact_over_ten_thousand_requests_of_two_workers() {
    let origins = four_origins();
    let balancer = two_workers(&pool("shop", "round-robin", &origins.each_ref()));
    let counts = crowd(balancer.address("web"), 16, 10_000, "/");
    assert_even(&counts, 10_000, 4);
    for origin in &origins {
        assert_eq!(origin.requests(), counts[origin.name()]);
        let name = origin.address();
        let counted = format!(
            r#"forecourt_backend_requests_total{{pool="shop",backend="{name}",code="2xx"}}"#
        );
        // A client may have its answer before the worker has counted it.
        let expected = counts[origin.name()] as f64;
        wait_until(DEADLINE, &counted, || balancer.metric(&counted) >= expected);
        assert_eq!(balancer.metric(&counted), expected);
    }
}

/// Weights 5, 1, 1, 1, by both names of the strategy: ten periods are ten times the smooth one, from wherever it begins.
#[test]
fn weights_give_exact_smooth_cycles() {
    let Some(servers) = two_of_each() else { return };
    let weights = [5, 1, 1, 1];
    let period = smooth(&weights);
    assert_eq!(period, [0, 0, 1, 0, 2, 0, 3, 0]);
    let names: Vec<&str> = period.iter().map(|&at| servers[at].name()).collect();
    for strategy in ["weighted", "round-robin"] {
        let balancer =
            Balancer::start(&(Balancer::front("shop") + &pool_of(strategy, &servers, &weights)));
        let mut client = balancer.client("web");
        let seen: Vec<String> = (0..80).map(|_| ask(&mut client, "/")).collect();
        let fits = |from: usize| (0..80).all(|at| seen[at] == names[(from + at) % 8]);
        assert!((0..8).any(fits), "{strategy}: {seen:?} is not {names:?}");
    }
}

/// Equal weights before servers that are not ours, within the bound of [`assert_by_lot`]; and by lot it is, not in turn:
/// of 200 requests in a row, two that follow one another go to the same server.
#[test]
fn random_is_even_within_chance() {
    let Some(servers) = two_of_each() else { return };
    let balancer = two_workers(&pool_of("random", &servers, &[1; 4]));
    let total = if is_full_drill() { 10_000 } else { 2_000 };
    let counts = crowd(balancer.address("web"), 16, total, "/");
    let counts = servers.each_ref().map(|server| counts[server.name()]);
    assert_by_lot(counts, [0.25; 4]);
    let mut client = balancer.client("web");
    let row: Vec<String> = (0..200).map(|_| ask(&mut client, "/")).collect();
    assert!(row.windows(2).any(|pair| pair[0] == pair[1]), "{row:?}");
}

/// Weights 5, 1, 1, 1 before origins.
#[test]
fn random_follows_weights_within_chance() {
    let origins = four_origins();
    let weights = [5, 1, 1, 1];
    let entries = origins.iter().zip(weights).map(|(origin, weight)| {
        let (address, id) = (origin.address(), origin.name());
        format!("{{ address = \"{address}\", id = \"{id}\", weight = {weight} }}")
    });
    let balancer = two_workers(&pool_by("random", entries));
    let total = if is_full_drill() { 40_000 } else { 4_000 };
    crowd(balancer.address("web"), 16, total, "/");
    let counts = origins.each_ref().map(Origin::requests);
    assert_eq!(counts.iter().sum::<usize>(), total);
    assert_by_lot(counts, [5.0 / 8.0, 1.0 / 8.0, 1.0 / 8.0, 1.0 / 8.0]);
}

/// 120 clients by their own addresses and 600 by what a trusted proxy says. A backend leaves by SIGHUP: its clients
/// move, to each of the others, and nobody else does; it comes back, and so do they.
#[test]
fn ip_hash_moves_only_the_clients_of_the_backend_that_left() {
    let Some(servers) = two_of_each() else { return };
    let front = "[admin]\naddress = \"127.0.0.1:0\"\n\
                 [listeners.web]\naddress = \"127.0.0.1:0\"\n\
                 [listeners.inner]\naddress = \"127.0.0.2:0\"\ntrusted_proxies = [\"127.0.0.0/8\"]\n\
                 [[routes]]\npool = \"shop\"\n";
    let with = |servers: &[Server]| front.to_owned() + &pool_of("ip-hash", servers, &[1; 4]);
    let balancer = Balancer::start(&with(&servers));

    let before = placements(&balancer);
    let on = |name: &str| before.values().filter(|other| *other == name).count();
    for server in &servers {
        let (due, clients) = (before.len() / 4, on(server.name()));
        assert!(
            clients.abs_diff(due) < due / 3,
            "{clients} clients at {}",
            server.name()
        );
    }

    let (left, stayed) = servers.split_last().expect("there are four");
    balancer.reload(&with(stayed));
    wait_for_generation(&balancer, 2);
    let during = placements(&balancer);
    let mut heirs = BTreeSet::new();
    for (client, server) in &before {
        if server == left.name() {
            assert_ne!(&during[client], left.name(), "{client} is where nobody is");
            heirs.insert(&during[client]);
        } else {
            assert_eq!(&during[client], server, "{client} moved without need");
        }
    }
    assert_eq!(heirs.len(), 3, "those who moved all went to {heirs:?}");

    balancer.reload(&with(&servers));
    wait_for_generation(&balancer, 3);
    assert_eq!(placements(&balancer), before);
}

/// What X-Forwarded-For says is not believed of a stranger: his own address decides, whatever he writes.
#[test]
fn ip_hash_does_not_believe_strangers() {
    let origins = four_origins();
    let balancer =
        Balancer::start(&(Balancer::front("shop") + &pool("shop", "ip-hash", &origins.each_ref())));
    let mut client = balancer.client("web");
    for last in 0..100 {
        let claim = format!("198.51.100.{last}");
        client.send(&Request::get("/").field("x-forwarded-for", &claim));
    }
    let busy = origins
        .iter()
        .filter(|origin| origin.requests() > 0)
        .count();
    assert_eq!(busy, 1);
}

/// Addresses of one prefix go together, those of others apart.
#[test]
fn ip_hash_looks_at_the_prefix_only() {
    let origins = four_origins();
    let pools = pool("shop", "ip-hash", &origins.each_ref());
    let balancer = Balancer::start(
        &(Balancer::front("shop").replace(
            "[listeners.web]\n",
            "[listeners.web]\ntrusted_proxies = [\"127.0.0.1\"]\n",
        ) + &pools
            + "[pools.shop.hash]\nipv4_prefix = 24\nipv6_prefix = 56\n"),
    );
    let mut client = balancer.client("web");
    let mut at = |address: String| {
        let request = Request::get("/").field("x-forwarded-for", &address);
        client.send(&request).origin().to_owned()
    };
    let mut homes = BTreeSet::new();
    for net in 0..20 {
        let v4: BTreeSet<_> = [1, 77, 254]
            .map(|host| at(format!("198.51.{net}.{host}")))
            .into();
        let v6: BTreeSet<_> = ["00::1", "01::1", "ff:8::9"]
            .map(|end| at(format!("2001:db8:{net:x}:70{end}")))
            .into();
        assert_eq!((v4.len(), v6.len()), (1, 1), "net {net}: {v4:?} {v6:?}");
        homes.extend(v4);
        homes.extend(v6);
    }
    assert_eq!(homes.len(), 4);
}

/// As many requests at a time as there are clients; a backend ten times slower than the three others is due 1 of 31.
#[test]
fn least_connections_gives_a_slow_backend_its_due() {
    assert_slow_gets_its_due("least-connections");
}

/// The same by the better of two lots.
#[test]
fn two_choices_gives_a_slow_backend_its_due() {
    assert_slow_gets_its_due("two-choices");
}

/// One request at a time besides the one that a silent backend keeps: least-connections rotates among the idle ones,
/// two-choices takes any of them, and none goes where one already waits.
#[test]
fn nobody_waits_behind_a_silent_backend_while_others_are_idle() {
    for strategy in ["least-connections", "two-choices"] {
        let origins = four_origins();
        let [.., silent] = &origins;
        silent.behave(Behaviour::Hang);
        let balancer = two_workers(&pool("shop", strategy, &origins.each_ref()));
        let total = || origins.iter().map(Origin::requests).sum::<usize>();
        let mut waiting = balancer.client("web");
        // By lot each has one in four, so that 500 are enough by far.
        for _ in 0..500 {
            let sent = total();
            let request = Request::get("/").to_bytes();
            waiting.send_raw(&request).expect("the balancer reads");
            wait_until(DEADLINE, "a request at some origin", || total() > sent);
            if silent.requests() > 0 {
                break;
            }
            let response = waiting.read_response("GET");
            response.expect("another origin answers");
        }
        assert_eq!(silent.requests(), 1, "{strategy} never picks the last");
        origins.iter().for_each(Origin::forget);
        let mut client = balancer.client("web");
        for _ in 0..60 {
            client.get("/");
        }
        let counts = origins.each_ref().map(Origin::requests);
        assert_eq!((counts[3], total()), (0, 60), "{strategy}: {counts:?}");
        if strategy == "least-connections" {
            assert_eq!(counts, [20, 20, 20, 0]);
        } else {
            assert!(counts[..3].iter().all(|&count| count > 0), "{counts:?}");
        }
        let address = silent.address();
        let in_flight =
            format!(r#"forecourt_backend_in_flight{{pool="shop",backend="{address}"}}"#);
        assert_eq!(balancer.metric(&in_flight), 1.0);
    }
}

/// A weight of 0 takes no part, whatever the strategy.
#[test]
fn a_backend_of_weight_nought_gets_nothing() {
    for strategy in [
        "round-robin",
        "weighted",
        "random",
        "ip-hash",
        "least-connections",
        "two-choices",
    ] {
        let origins = [Origin::named("a"), Origin::named("b")];
        let [a, b] = origins.each_ref().map(Origin::address);
        let entries = [
            format!("{{ address = \"{a}\" }}"),
            format!("{{ address = \"{b}\", weight = 0 }}"),
        ];
        let balancer =
            Balancer::start(&(Balancer::front("shop") + &pool_by(strategy, entries.into_iter())));
        for last in 1..=20 {
            let source = IpAddr::from([127, 0, 0, last]);
            balancer.client("web").coming_from(source).get("/");
        }
        assert_eq!(
            origins.each_ref().map(Origin::requests),
            [20, 0],
            "{strategy}"
        );
    }
}

/// Each strategy changes into the next by SIGHUP, under load, and no request is lost.
#[test]
fn the_strategy_can_be_changed_under_load() {
    let origins = four_origins();
    let with = |strategy| {
        "[server]\nworkers = 2\n".to_owned()
            + &Balancer::front("shop")
            + &pool("shop", strategy, &origins.each_ref())
    };
    let balancer = Balancer::start(&with("round-robin"));
    let web = balancer.address("web");
    let counts = thread::scope(|scope| {
        let crowd = scope.spawn(|| crowd(web, 8, 3_000, "/"));
        let strategies = [
            "random",
            "weighted",
            "ip-hash",
            "least-connections",
            "two-choices",
        ];
        for (strategy, generation) in strategies.into_iter().cycle().zip(2..) {
            balancer.reload(&with(strategy));
            wait_for_generation(&balancer, generation);
            if crowd.is_finished() && generation > 5 {
                break;
            }
        }
        crowd.join().expect("every request is answered")
    });
    assert_eq!(counts.values().sum::<usize>(), 3_000);
}

fn four_origins() -> [Origin; 4] {
    ["a", "b", "c", "d"].map(Origin::named)
}

/// Starts two workers before these pools, of which `shop` gets everything.
#[track_caller]
fn two_workers(pools: &str) -> Balancer {
    Balancer::start(&("[server]\nworkers = 2\n".to_owned() + &Balancer::front("shop") + pools))
}

/// The pool `shop` of these servers. Connecting may take long: `http.server` has a queue of five, and what the kernel
/// drops there it sends again after a second.
fn pool_of(strategy: &str, servers: &[Server], weights: &[i64]) -> String {
    let entries = servers.iter().zip(weights).map(|(server, weight)| {
        let entry = server.entry();
        entry.replace(" }", &format!(", weight = {weight} }}"))
    });
    pool_by(strategy, entries) + "[pools.shop.timeouts]\nconnect = \"10s\"\n"
}

fn pool_by(strategy: &str, entries: impl Iterator<Item = String>) -> String {
    let entries: Vec<_> = entries.collect();
    let entries = entries.join(", ");
    format!("[pools.shop]\nstrategy = \"{strategy}\"\nbackends = [{entries}]\n")
}

/// Gets a target and gives the name in the body.
#[track_caller]
fn ask(client: &mut Client, target: &str) -> String {
    let response = client.get(target);
    assert_eq!(response.status, 200, "{response}");
    response.text()
}

/// So many clients, each on a connection of its own that it keeps, together send so many requests.
#[track_caller]
fn crowd(address: SocketAddr, clients: usize, total: usize, target: &str) -> Counts {
    let sent = AtomicUsize::new(0);
    let one = || {
        let mut client = Client::of(address);
        let mut connection = None;
        let mut counts = Counts::new();
        while sent.fetch_add(1, Ordering::Relaxed) < total {
            *counts.entry(ask(&mut client, target)).or_default() += 1;
            let now = client.local_address();
            assert_eq!(
                *connection.get_or_insert(now),
                now,
                "the connection was not kept"
            );
        }
        counts
    };
    let all = thread::scope(|scope| {
        let threads: Vec<_> = (0..clients).map(|_| scope.spawn(one)).collect();
        let counts = threads.into_iter().map(|thread| thread.join());
        counts.collect::<Result<Vec<_>, _>>()
    });
    let mut sum = Counts::new();
    for (name, count) in all.expect("no client fails").into_iter().flatten() {
        *sum.entry(name).or_default() += count;
    }
    sum
}

#[track_caller]
fn assert_even(counts: &Counts, total: usize, backends: usize) {
    assert_eq!(counts.values().sum::<usize>(), total);
    assert_eq!(counts.len(), backends, "{counts:?}");
    let exact = total / backends;
    let off = counts.values().map(|count| count.abs_diff(exact)).max();
    assert!(off <= Some(1), "{counts:?}");
}

/// Pearson's chi-square with three degrees of freedom. The bound of 0.1 % (16.27) would fail one run of a thousand
/// by chance alone, and in a suite that is run with each change that is every other week; so it holds for the
/// drill, which somebody watches, and one in a million (30.66) else.
#[track_caller]
fn assert_by_lot(counts: [usize; 4], shares: [f64; 4]) {
    let total = counts.iter().sum::<usize>() as f64;
    let parts = counts.iter().zip(shares).map(|(&count, share)| {
        let due = share * total;
        (count as f64 - due).powi(2) / due
    });
    let chi_square: f64 = parts.sum();
    let bound = if is_full_drill() { 16.27 } else { 30.66 };
    assert!(
        chi_square < bound,
        "{counts:?} has a chi-square of {chi_square:.2}"
    );
}

/// Smooth weighted round robin by its definition: each gains its weight, the richest has the turn and pays the sum.
fn smooth(weights: &[i64]) -> Vec<usize> {
    let total: i64 = weights.iter().sum();
    let mut credit = vec![0; weights.len()];
    let turn = |_| {
        credit
            .iter_mut()
            .zip(weights)
            .for_each(|(credit, weight)| *credit += weight);
        let most = *credit.iter().max().expect("there are weights");
        let first = credit.iter().position(|&credit| credit == most);
        let winner = first.expect("the most is among them");
        credit[winner] -= total;
        winner
    };
    (0..total).map(turn).collect()
}

/// Where clients go: of those in 127.0.0.0/24 once as themselves and once by a trusted proxy's word, which must agree;
/// and of those in 198.51.100.0/24 and 2001:db8::/32 by its word.
#[track_caller]
fn placements(balancer: &Balancer) -> BTreeMap<IpAddr, String> {
    let mut proxy = balancer.client("inner");
    let mut through = |client: IpAddr| {
        let request = Request::get("/").field("x-forwarded-for", &client.to_string());
        let response = proxy.send(&request);
        assert_eq!(response.status, 200, "{response}");
        response.text()
    };
    let mut at = BTreeMap::new();
    for last in 1..=120 {
        let client = IpAddr::V4(Ipv4Addr::new(127, 0, 0, last));
        let server = ask(&mut balancer.client("web").coming_from(client), "/");
        assert_eq!(
            through(client),
            server,
            "{client} goes elsewhere by a proxy"
        );
        at.insert(client, server);
    }
    for last in 0..=239 {
        let v4 = IpAddr::from([198, 51, 100, last]);
        let v6 = IpAddr::from([0x2001, 0xdb8, 0, u16::from(last), 0, 0, 0, 1]);
        at.extend([v4, v6].map(|client| (client, through(client))));
    }
    at
}

#[track_caller]
fn wait_for_generation(balancer: &Balancer, generation: u32) {
    wait_until(DEADLINE, &format!("generation {generation}"), || {
        balancer.metric("forecourt_config_generation") >= f64::from(generation)
    });
}

#[track_caller]
fn assert_slow_gets_its_due(strategy: &str) {
    let origins = four_origins();
    let [fast @ .., slow] = &origins;
    // Long beside what a busy machine adds to each of them.
    let usual = Duration::from_millis(20);
    fast.iter()
        .for_each(|origin| origin.behave(Behaviour::Slow(usual)));
    slow.behave(Behaviour::Slow(10 * usual));
    let balancer = two_workers(&pool("shop", strategy, &origins.each_ref()));
    let total = if is_full_drill() { 6_000 } else { 800 };
    crowd(balancer.address("web"), 16, total, "/");
    // 1 of 31, within a factor of four for what the machine adds and for chance; an even share is 1 of 4.
    let (due, got) = (total / 31, slow.requests());
    assert!(
        (due / 4..=due * 4).contains(&got),
        "{got} of {total} are far from {due}"
    );
    let counts = fast.iter().map(Origin::requests);
    assert!(
        counts.clone().all(|count| count > total / 5),
        "{:?}",
        counts.collect::<Vec<_>>()
    );
}
