//! Sessions stay where they are, and move once when they must.

use super::*;

/// A shopper on each of four servers that are not ours, of whom one makes 1,000 requests (10,000 with
/// `FORECOURT_DRILL=full`): over a backend that joins by SIGHUP, one that leaves, and a restart with the same key.
/// Nobody goes astray, and the cookie of the first response is never set again.
#[test]
fn a_session_keeps_its_backend_over_reloads_and_a_restart() {
    let Some(servers) = two_of_each() else { return };
    let joining = Origin::named("joining");
    let keys = Keys::new();
    let with = |entries: &[String]| {
        "[server]\nworkers = 2\n".to_owned() + &shop(entries, &keys.secret("first"))
    };
    let mut entries: Vec<String> = servers.iter().map(Server::entry).collect();
    let balancer = Balancer::start(&with(&entries));
    let mut shoppers: Vec<_> = (0..4).map(|_| Shopper::at(&balancer)).collect();
    let homes: BTreeSet<_> = shoppers
        .iter()
        .map(|shopper| shopper.home.clone())
        .collect();
    assert_eq!(
        homes.len(),
        4,
        "round robin gives each a server of his own: {homes:?}"
    );
    // nginx first: `http.server` is slow, and the last of the list is to leave.
    shoppers.sort_by_key(|shopper| shopper.home.clone());
    let times = if is_full_drill() { 10 } else { 1 };
    let shop_on = |shoppers: &mut [Shopper]| {
        shoppers[0].stays(250 * times);
        shoppers.iter_mut().for_each(|shopper| shopper.stays(20));
    };
    shop_on(&mut shoppers);

    entries.insert(0, entry(&joining));
    reload(&balancer, &with(&entries), 2);
    shop_on(&mut shoppers);

    assert_eq!(entries.pop(), Some(servers[3].entry()));
    reload(&balancer, &with(&entries), 3);
    let moved = shoppers.pop().expect("there are four");
    assert_eq!(moved.home, servers[3].name());
    shop_on(&mut shoppers);

    drop(balancer);
    let balancer = Balancer::start(&with(&entries));
    shoppers
        .iter_mut()
        .for_each(|shopper| shopper.go_to(&balancer));
    shop_on(&mut shoppers);
    assert_eq!(outcomes(&balancer), only("bound", 250 * times + 60));
    assert_eq!(joining.requests(), 0);
}

/// The bound backend leaves by SIGHUP: one response moves the session and sets the cookie, and there it stays, also when
/// the old backend comes back.
#[test]
fn a_session_moves_once_when_its_backend_leaves() {
    let origins = three_origins();
    let keys = Keys::new();
    let entries = origins.each_ref().map(entry);
    let balancer = Balancer::start(&shop(&entries, &keys.secret("first")));
    let mut shopper = Shopper::at(&balancer);
    let left = shopper.home.clone();
    let stayed: Vec<_> = origins
        .iter()
        .filter(|origin| origin.name() != left)
        .map(entry)
        .collect();
    reload(&balancer, &shop(&stayed, &keys.secret("first")), 2);
    shopper.moves();
    assert_ne!(shopper.home, left);
    shopper.stays(20);
    reload(&balancer, &shop(&entries, &keys.secret("first")), 3);
    shopper.stays(20);
    let counted = BTreeMap::from([("new", 1), ("bound", 40), ("rebound", 1)]);
    assert_eq!(outcomes(&balancer), counted);
}

/// The bound backend refuses connections: the same request is answered by another, which keeps the session.
#[test]
fn a_session_moves_when_its_backend_is_down() {
    let mut origins = three_origins();
    let balancer = Balancer::start(&shop(&origins.each_ref().map(entry), ""));
    let mut shopper = Shopper::at(&balancer);
    let home = shopper.home.clone();
    let down = origins.iter_mut().find(|origin| origin.name() == home);
    let down = down.expect("one of them answered");
    down.refuse();
    shopper.moves();
    assert_ne!(shopper.home, home);
    down.accept_again();
    shopper.stays(20);
    assert_eq!(outcomes(&balancer)["rebound"], 1);
}

/// With weight 0 a backend keeps the sessions that it has and gets no new ones.
#[test]
fn a_backend_of_weight_nought_keeps_its_sessions() {
    let origins = three_origins();
    let keys = Keys::new();
    let mut entries = origins.each_ref().map(entry);
    let balancer = Balancer::start(&shop(&entries, &keys.secret("first")));
    let mut shopper = Shopper::at(&balancer);
    let index = origins
        .iter()
        .position(|origin| origin.name() == shopper.home);
    let index = index.expect("one of them answered");
    entries[index] = entries[index].replace(" }", ", weight = 0 }");
    reload(&balancer, &shop(&entries, &keys.secret("first")), 2);
    shopper.stays(20);
    for _ in 0..20 {
        assert_ne!(Shopper::at(&balancer).home, shopper.home);
    }
    shopper.stays(20);
}

/// Without a secret in a file, the random one outlives reloads; the operator is told what it does not outlive.
#[test]
fn the_random_secret_outlives_reloads() {
    let origins = three_origins();
    let entries = origins.each_ref().map(entry);
    let balancer = Balancer::start(&shop(&entries, ""));
    assert!(
        balancer.stderr().contains("no secret"),
        "{}",
        balancer.stderr()
    );
    let mut shopper = Shopper::at(&balancer);
    for generation in 2..5 {
        reload(&balancer, &shop(&entries, ""), generation);
        shopper.stays(5);
    }
}

/// A new key with the old one as `previous`: the session stays and its cookie is sealed anew, so that the old key can go;
/// without the old one the cookie is as good as none.
#[test]
fn keys_are_rotated_without_losing_a_session() {
    let origins = three_origins();
    let entries = origins.each_ref().map(entry);
    let keys = Keys::new();
    let balancer = Balancer::start(&shop(&entries, &keys.secret("first")));
    let mut shopper = Shopper::at(&balancer);
    let (home, old) = (shopper.home.clone(), shopper.cookie());
    let both = keys.secret("second") + &keys.previous("first");
    reload(&balancer, &shop(&entries, &both), 2);
    assert_eq!(shopper.ask("/").text(), home);
    assert_eq!(shopper.cookies_set, 2);
    assert_ne!(shopper.cookie(), old);
    shopper.stays(10);
    reload(&balancer, &shop(&entries, &keys.secret("second")), 3);
    shopper.stays(10);
    assert_eq!(
        outcomes(&balancer),
        BTreeMap::from([("new", 1), ("bound", 21)])
    );
    let mut late = Shopper::at(&balancer);
    late.jar.insert("fc".to_owned(), old);
    assert_eq!(late.ask("/").status, 200);
    assert_eq!(late.cookies_set, 2);
    assert_eq!(outcomes(&balancer)["new"], 3);
}

/// Stickiness wraps every strategy.
#[test]
fn sessions_stay_whatever_the_strategy() {
    let origins = three_origins();
    let entries = origins.each_ref().map(entry);
    for strategy in [
        "random",
        "weighted",
        "ip-hash",
        "least-connections",
        "two-choices",
    ] {
        let configuration = shop(&entries, "").replace("round-robin", strategy);
        let balancer = Balancer::start(&configuration);
        let mut shoppers = [(); 6].map(|()| Shopper::at(&balancer));
        for _ in 0..10 {
            shoppers.iter_mut().for_each(|shopper| shopper.stays(2));
        }
        assert_eq!(
            outcomes(&balancer),
            BTreeMap::from([("new", 6), ("bound", 120)])
        );
    }
}
