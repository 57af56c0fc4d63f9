//! Backends by name: addresses come and go while requests are served, and a name server may do what it likes.

use std::net::{IpAddr, SocketAddr};

use serde_json::Value;

use super::harness::{
    Balancer, Behaviour, DEADLINE, Data, Load, LoadOrigin, NameServer, Origin, Request, Says,
    command, program, wait_for, wait_until,
};

/// A name server to ask, often.
fn dns(server: &NameServer) -> String {
    let address = server.address();
    format!("[dns]\nservers = [\"{address}\"]\nmin_ttl = \"20ms\"\ntimeout = \"500ms\"\n\n")
}

/// A pool `shop` of these entries behind the listener `web`, with a name server to ask.
fn shop(server: &NameServer, entries: &[String], more: &str) -> String {
    let entries = entries.join(", ");
    Balancer::front("shop")
        + &dns(server)
        + &format!("[pools.shop]\n{more}\nbackends = [{entries}]\n")
}

fn entry(address: &str) -> String {
    format!("{{ address = \"{address}\" }}")
}

/// Origins at 127.0.0.1, 127.0.0.2 and so on, all of one port, called by their addresses.
fn origins(count: u8) -> (Vec<Origin>, u16) {
    // A port that is free at one address may be a connection's at another.
    wait_for(DEADLINE, "a port that is free at all addresses", || {
        let first = Origin::named("127.0.0.1");
        let port = first.address().port();
        let more = (2..=count).map(|last| {
            let ip = IpAddr::from([127, 0, 0, last]);
            Origin::try_at(&ip.to_string(), SocketAddr::new(ip, port)).ok()
        });
        let all: Option<Vec<_>> = [Some(first)].into_iter().chain(more).collect();
        all.map(|all| (all, port))
    })
}

/// The backends as the status has them.
fn backends(balancer: &Balancer) -> Vec<Value> {
    let status = balancer.admin("/v1/status").text();
    let status: Value = serde_json::from_str(&status).expect("the status is JSON");
    let backends = status["pools"][0]["backends"].as_array();
    backends.expect("a pool has backends").clone()
}

fn texts(balancer: &Balancer, field: &str) -> Vec<String> {
    let text = |backend: &Value| backend[field].as_str().unwrap_or("-").to_owned();
    backends(balancer).iter().map(text).collect()
}

#[track_caller]
fn wait_for_addresses(balancer: &Balancer, port: u16, ips: &[&str]) {
    let wanted: Vec<String> = ips.iter().map(|ip| format!("{ip}:{port}")).collect();
    wait_until(DEADLINE, &format!("the addresses {wanted:?}"), || {
        texts(balancer, "address") == wanted
    });
}

#[track_caller]
fn wait_for_log(balancer: &Balancer, words: &str) {
    wait_until(DEADLINE, words, || balancer.stderr().contains(words));
}

#[test]
fn an_address_that_comes_is_used_and_one_that_goes_is_not() {
    let (origins, port) = origins(2);
    let server = NameServer::start();
    server.say_addresses("shop.test", &["127.0.0.1"]);
    let name = format!("shop.test:{port}");
    let balancer = Balancer::start(&shop(&server, &[entry(&name)], ""));
    let mut client = balancer.client("web");
    assert_eq!(client.get("/").origin(), "127.0.0.1");
    assert_eq!(texts(&balancer, "name"), [name.as_str()]);

    server.say_addresses("shop.test", &["127.0.0.2", "127.0.0.1"]);
    wait_for_addresses(&balancer, port, &["127.0.0.1", "127.0.0.2"]);
    let mut seen = [client.get("/").text(), client.get("/").text()];
    seen.sort();
    assert_eq!(seen, ["127.0.0.1", "127.0.0.2"]);

    // In flight at the one that goes: it ends there.
    origins[0].on("/gated", Behaviour::Gated);
    let mut waiting: Vec<_> = (0..2).map(|_| balancer.client("web")).collect();
    let before = origins[0].requests();
    for client in &mut waiting {
        client.send_raw(&Request::get("/gated").to_bytes()).unwrap();
    }
    origins[0].wait_for_requests(before + 1);
    server.say_addresses("shop.test", &["127.0.0.2"]);
    wait_for_addresses(&balancer, port, &["127.0.0.2"]);
    let gone = origins[0].requests();
    (0..8).for_each(|_| assert_eq!(client.get("/").origin(), "127.0.0.2"));
    assert_eq!(origins[0].requests(), gone, "it gets nothing new");
    origins[0].open_gate();
    for client in &mut waiting {
        assert!(client.read_response("GET").unwrap().is_whole());
    }
    // Kept connections to it are closed.
    wait_until(DEADLINE, "its connections to close", || {
        origins[0].open_connections() == 0
    });
    let log = balancer.stderr();
    for line in [
        format!("discovery: an address has come name={name} backend=127.0.0.2:{port}"),
        format!(
            "discovery: an address has gone, and gets no new requests name={name} backend=127.0.0.1:{port}"
        ),
    ] {
        assert!(log.contains(&line), "{line}");
    }
    assert_eq!(balancer.metric("forecourt_config_generation"), 1.0);
    let metric = |name: &str| balancer.metric(name);
    assert_eq!(
        metric(&format!("forecourt_dns_addresses{{name=\"{name}\"}}")),
        1.0
    );
    let answered = format!("forecourt_dns_last_answer_timestamp_seconds{{name=\"{name}\"}}");
    assert!(metric(&answered) > 1.7e9);
}

/// Whatever a name server says that is no good answer, the last one stays; and each trouble is told once at both ends.
#[test]
fn no_answer_takes_the_backends_away() {
    let (_origins, port) = origins(2);
    let name = format!("shop.test:{port}");
    let broken = |bytes: &[u8]| Says::Bytes(bytes.to_vec());
    // What is made of nonsense is the library's: an error, or nothing in time.
    let nonsense = &["failed", "timeout"][..];
    let troubles = [
        (&["empty"][..], Says::Code(3)),
        (&["empty"], Says::Code(0)),
        (&["failed"], Says::Code(2)),
        (&["timeout"], Says::Silence),
        // Leads nowhere.
        (
            &["empty"],
            Says::Records(0, vec![Data::Address([0, 0, 0, 0].into())]),
        ),
        // Names that lead to themselves, counts without records, half a head, nothing.
        (
            nonsense,
            broken(&[0x81, 0x80, 0, 1, 255, 255, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1]),
        ),
        (nonsense, broken(&[0x81, 0x80, 0, 0, 0, 9, 0, 0, 0, 0])),
        (nonsense, broken(&[0x81])),
        (nonsense, broken(&[])),
        (nonsense, broken(&[0xff; 400])),
        (
            &["empty", "failed"],
            Says::Records(0, vec![Data::Alias("shop.test")]),
        ),
    ];
    let server = NameServer::start();
    server.say_addresses("shop.test", &["127.0.0.1"]);
    let balancer = Balancer::start(&shop(&server, &[entry(&name)], ""));
    let mut client = balancer.client("web");
    let metric = |result: &&str| {
        let labels = format!("{{name=\"{name}\",result=\"{result}\"}}");
        balancer.metric(&format!("forecourt_dns_lookups_total{labels}"))
    };
    for (index, (results, says)) in troubles.into_iter().enumerate() {
        let told = |words: &str| balancer.stderr().matches(words).count();
        let counted = || results.iter().map(metric).sum::<f64>();
        let before = counted();
        server.say("shop.test", says.clone());
        wait_until(DEADLINE, &format!("trouble {index}, {says:?}"), || {
            told("discovery: a lookup gives nothing, what was known last stays") == index + 1
        });
        assert!(
            counted() > before,
            "trouble {index} is {results:?}: {says:?}"
        );
        assert_eq!(client.get("/").origin(), "127.0.0.1");
        assert_eq!(backends(&balancer).len(), 1);
        server.say_addresses("shop.test", &["127.0.0.1"]);
        wait_until(DEADLINE, "the end of the trouble", || {
            told("discovery: the name resolves again") == index + 1
        });
    }
}

#[test]
fn aliases_are_followed_and_long_answers_come_by_tcp() {
    let (_origins, port) = origins(3);
    let server = NameServer::start();
    server.say(
        "shop.test",
        Says::Records(0, vec![Data::Alias("real.test")]),
    );
    let addresses = |last: &[u8]| {
        let of = |last: &u8| Data::Address([127, 0, 0, *last].into());
        last.iter().map(of).collect::<Vec<_>>()
    };
    server.say("real.test", Says::Truncated(0, addresses(&[1, 2, 3])));
    let name = format!("shop.test:{port}");
    let balancer = Balancer::start(&shop(&server, &[entry(&name)], ""));
    wait_for_addresses(&balancer, port, &["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
    server.say("real.test", Says::Truncated(0, addresses(&[2])));
    wait_for_addresses(&balancer, port, &["127.0.0.2"]);
    assert_eq!(balancer.client("web").get("/").origin(), "127.0.0.2");
}

#[test]
fn a_service_has_weights_and_its_lowest_priority_goes_first() {
    let [a, b, c] = ["a", "b", "c"].map(Origin::named);
    let port = |origin: &Origin| origin.address().port();
    let server = NameServer::start();
    let services = |records: Vec<Data>| Says::Records(0, records);
    server.say_addresses("one.test", &["127.0.0.1"]);
    server.say(
        "_http._tcp.shop.test",
        services(vec![
            Data::Service(20, 5, port(&c), "one.test"),
            Data::Service(10, 3, port(&a), "one.test"),
            Data::Service(10, 1, port(&b), "one.test"),
            // Nobody has such an address: passed over.
            Data::Service(10, 1, 1, "gone.test"),
        ]),
    );
    let service = entry("srv:_http._tcp.shop.test");
    let balancer = Balancer::start(&shop(&server, &[service], "strategy = \"weighted\""));
    let mut client = balancer.client("web");
    (0..8).for_each(|_| assert!(client.get("/").is_whole()));
    assert_eq!([&a, &b, &c].map(Origin::requests), [6, 2, 0]);
    // With none of the first priority left the second one serves.
    server.say(
        "_http._tcp.shop.test",
        services(vec![Data::Service(20, 0, port(&c), "one.test")]),
    );
    wait_for_addresses(&balancer, port(&c), &["127.0.0.1"]);
    assert_eq!(client.get("/").origin(), "c");
    // A host of which nothing is known makes the answer unknown: nothing changes.
    server.say("lost.test", Says::Code(2));
    server.say(
        "_http._tcp.shop.test",
        services(vec![
            Data::Service(10, 1, port(&a), "one.test"),
            Data::Service(10, 1, port(&b), "lost.test"),
        ]),
    );
    wait_for_log(&balancer, "a lookup gives nothing");
    assert_eq!(client.get("/").origin(), "c");
}

#[test]
fn who_stays_keeps_its_cookie_and_its_counts() {
    let (_origins, port) = origins(3);
    let server = NameServer::start();
    server.say_addresses("shop.test", &["127.0.0.1", "127.0.0.2"]);
    let named = format!("{{ address = \"shop.test:{port}\", id = \"web\" }}");
    let sticky = "sticky = { cookie = \"fc\" }";
    let balancer = Balancer::start(&shop(&server, &[named], sticky));
    let first = balancer.client("web").get("/");
    let cookie = first.field("set-cookie").expect("a session begins");
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let bound = first.text();
    let others: Vec<&str> = ["127.0.0.1", "127.0.0.2"]
        .into_iter()
        .filter(|ip| *ip != bound)
        .collect();
    let mut served = 1;
    for others in [vec!["127.0.0.3"], vec![], vec![others[0], "127.0.0.3"]] {
        let mut ips = [&others[..], &[&*bound]].concat();
        server.say_addresses("shop.test", &ips);
        ips.sort_unstable();
        wait_for_addresses(&balancer, port, &ips);
        let mut client = balancer.client("web");
        for _ in 0..4 {
            let request = Request::get("/").field("cookie", &cookie);
            assert_eq!(client.send(&request).text(), bound);
        }
        // With the same id it has its counts, which are complete a moment after the answers are.
        let id = format!("web@{bound}:{port}");
        served += 4;
        wait_until(DEADLINE, &format!("{served} requests of {id}"), || {
            let all = backends(&balancer);
            let kept = all.iter().find(|backend| backend["id"] == id);
            kept.is_some_and(|backend| backend["requests"] == served)
        });
    }
}

/// As many as may be come and go while requests are served, and none of them fails.
#[test]
fn no_request_fails_while_addresses_come_and_go() {
    let origin = LoadOrigin::everywhere();
    let port = origin.address().port();
    let server = NameServer::start();
    server.say_addresses("shop.test", &["127.0.0.1", "127.0.0.2"]);
    let config = shop(
        &server,
        &[entry(&format!("shop.test:{port}"))],
        "strategy = \"least-connections\"",
    );
    let balancer = Balancer::start(&config);
    let load = Load::start(balancer.address("web"), 16);
    let sets: [&[&str]; 5] = [
        &["127.0.0.3"],
        &["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"],
        &["127.0.0.4"],
        &["127.0.0.1", "127.0.0.5"],
        &["127.0.0.2"],
    ];
    for set in sets.iter().cycle().take(20) {
        server.say_addresses("shop.test", set);
        wait_for_addresses(&balancer, port, set);
        let before = load.requests();
        wait_until(DEADLINE, "requests", || load.requests() > before + 50);
    }
    server.say("shop.test", Says::Code(2));
    wait_for_log(&balancer, "a lookup gives nothing");
    let tally = load.stop();
    assert!(tally.faults.is_empty(), "{:?}", tally.faults);
    assert!(
        origin.served().len() >= 5,
        "all were asked: {:?}",
        origin.served()
    );
    assert_eq!(balancer.metric("forecourt_config_generation"), 1.0);
}

#[test]
fn a_reload_while_no_name_server_answers_keeps_what_is_known() {
    let (_origins, port) = origins(2);
    let server = NameServer::start();
    server.say_addresses("shop.test", &["127.0.0.1"]);
    let name = entry(&format!("shop.test:{port}"));
    let config = shop(&server, &[name], "");
    let balancer = Balancer::start(&config);
    server.say_addresses("shop.test", &["127.0.0.2"]);
    wait_for_addresses(&balancer, port, &["127.0.0.2"]);
    server.say("shop.test", Says::Silence);
    balancer.reload(&config.replace("[dns]", "[log]\nlevel = \"debug\"\n[dns]"));
    wait_for_log(&balancer, "configuration applied generation=2");
    let log = balancer.stderr();
    assert!(
        log.contains("it keeps the addresses that it had")
            || log.contains("was not resolved within")
    );
    assert!(
        log.contains("configuration applied generation=2 changes=1"),
        "only the level"
    );
    assert_eq!(balancer.client("web").get("/").origin(), "127.0.0.2");
    server.say_addresses("shop.test", &["127.0.0.1"]);
    wait_for_addresses(&balancer, port, &["127.0.0.1"]);
}

#[test]
fn a_start_does_without_a_name_if_others_have_addresses_or_it_may() {
    let (_origins, port) = origins(2);
    let server = NameServer::start();
    let known = entry(&format!("127.0.0.1:{port}"));
    let unknown = entry(&format!("later.test:{port}"));
    // Others have addresses.
    let two = shop(&server, &[known, unknown.clone()], "");
    let balancer = Balancer::start(&two);
    assert!(balancer.stderr().contains("there is no such name"));
    assert_eq!(balancer.client("web").get("/").origin(), "127.0.0.1");
    // Nobody has: an error, in words of check and of run.
    let alone = shop(&server, &[unknown], "");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("forecourt.toml");
    std::fs::write(&path, &alone).unwrap();
    let path = path.to_str().unwrap();
    for arguments in [&["check", path][..], &["run", "--config", path]] {
        let output = program(arguments);
        assert_eq!(output.status.code(), Some(2));
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        assert!(
            text.contains("there is no such name; the pool has no other address"),
            "{text}"
        );
        assert!(text.contains("required = false"), "{text}");
    }
    // It may: 503 until the name has an address.
    let allowed = alone.replace("[dns]\n", "[dns]\nrequired = false\n");
    let balancer = Balancer::start_by(command(), &allowed);
    let mut client = balancer.client("web");
    let response = client.get("/");
    assert_eq!(
        (response.status, response.cause()),
        (503, Some("no-backend"))
    );
    server.say_addresses("later.test", &["127.0.0.2"]);
    wait_for_addresses(&balancer, port, &["127.0.0.2"]);
    assert_eq!(client.get("/").origin(), "127.0.0.2");
}

/// With TTL 0 a name is asked again after `min_ttl`, not at once; and of too many addresses as many are taken as may be.
#[test]
fn neither_questions_nor_addresses_are_without_bounds() {
    let (_origins, port) = origins(1);
    let server = NameServer::start();
    let many: Vec<Data> = (1..=40)
        .map(|last| Data::Address([127, 0, 1, last].into()))
        .collect();
    let all = [vec![Data::Address([127, 0, 0, 1].into())], many].concat();
    server.say("shop.test", Says::Records(0, all));
    let name = entry(&format!("shop.test:{port}"));
    let config = shop(&server, &[name], "").replace(
        "min_ttl = \"20ms\"",
        "min_ttl = \"1h\"\nmax_ttl = \"1h\"\nmax_addresses = 1",
    );
    let balancer = Balancer::start(&config);
    wait_for_addresses(&balancer, port, &["127.0.0.1"]);
    assert_eq!(balancer.client("web").get("/").origin(), "127.0.0.1");
    // Once when it was loaded, and once to see whether anything has changed since.
    wait_until(DEADLINE, "the second lookup", || {
        server.count("shop.test") == 2
    });
    (0..50).for_each(|_| assert_eq!(balancer.client("web").get("/").status, 200));
    assert_eq!(server.count("shop.test"), 2);
}
