//! Sessions keep their backend.
//!
//! Over requests, reloads and restarts; and a cookie that is not ours costs its sender nothing but the binding.
//! Long forms by `FORECOURT_DRILL=full`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use tempfile::TempDir;

use crate::harness::{
    Balancer, Behaviour, Client, DEADLINE, Origin, Request, Response, Server, is_full_drill,
    two_of_each, wait_until,
};

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

/// Whatever stands in the cookie, the request is answered as if there had been none, a good cookie is set, and the
/// outcome is counted: forged where a seal is wrong, new where there is no seal to speak of.
#[test]
fn a_cookie_that_is_not_ours_costs_the_binding_and_nothing_else() {
    let origins = three_origins();
    let balancer = Balancer::start(&shop(&origins.each_ref().map(entry), ""));
    let good = Shopper::at(&balancer).cookie();
    let mut client = balancer.client("web");
    let mut try_it = |value: &str| {
        let response = client.send(&Request::get("/").field("cookie", &format!("fc={value}")));
        assert_eq!(response.status, 200, "{value:?} gives {response}");
        assert_eq!(
            response.head.fields.all("set-cookie").len(),
            1,
            "{value:?} gives {response}"
        );
    };
    let parts: Vec<&str> = good.split('.').collect();
    let [version, key, tag, times, seal] = parts[..] else {
        panic!("{good} has not five parts");
    };
    let forged = [
        [version, key, &changed(tag), times, seal].join("."),
        [version, key, tag, &changed(times), seal].join("."),
        [version, key, tag, times, &changed(seal)].join("."),
    ];
    forged.iter().for_each(|value| try_it(value));
    assert_eq!(
        outcomes(&balancer),
        BTreeMap::from([("new", 1), ("forged", 3)])
    );

    let long = "A".repeat(8_000);
    let garbage = [
        "",
        "x",
        "=",
        "\"\"",
        "v1",
        "v1....",
        "v1.....",
        "%00%0d%0a",
        "\u{e4}\u{f6}\u{fc}",
        "../../etc/passwd",
        "v1.AAAAAA.AAAAAAAAAAA.AAAAAAA.AAAAAAAAAAAAAAAAAAAAAA",
        &[version, &changed(key), tag, times, seal].join("."),
        &["v2", key, tag, times, seal].join("."),
        &["v1", key, tag, times].join("."),
        &[&good, "more"].join("."),
        &[&good, "="].concat(),
        &good[..good.len() - 1],
        &good.replace(seal, ""),
        &good.replace('.', ","),
        &long,
    ];
    garbage.iter().for_each(|value| try_it(value));
    let counted = BTreeMap::from([("new", 1 + garbage.len() as u64), ("forged", 3)]);
    assert_eq!(outcomes(&balancer), counted);
    let text = balancer.admin("/metrics").text();
    let mut failures = text.lines().filter(|line| line.contains(r#"code="5xx""#));
    assert!(failures.all(|line| line.ends_with(" 0")), "{text}");
}

/// A cookie is good for its pool only, and for its name only: carried over, its seal is wrong.
#[test]
fn a_cookie_is_good_for_its_pool_and_name_only() {
    let origins = three_origins();
    let keys = Keys::new();
    let entries = origins.each_ref().map(entry).join(", ");
    let pools = ["left", "right", "other"].map(|name| {
        let cookie = if name == "other" {
            "cookie = \"oc\"\n"
        } else {
            ""
        };
        format!(
            "[pools.{name}]\nbackends = [{entries}]\n[pools.{name}.sticky]\n{cookie}{}\
             [[routes]]\npath = \"/{name}\"\npool = \"{name}\"\n",
            keys.secret("first")
        )
    });
    let balancer = Balancer::start(&(Balancer::front("left") + &pools.concat()));
    let cookie = Shopper::at(&balancer).cookie();
    let mut client = balancer.client("web");
    for (target, name) in [("/right", "fc"), ("/other", "oc")] {
        let request = Request::get(target).field("cookie", &format!("{name}={cookie}"));
        assert!(
            client.send(&request).field("set-cookie").is_some(),
            "{target}"
        );
    }
    let request = Request::get("/left").field("cookie", &format!("fc={cookie}"));
    assert_eq!(client.send(&request).field("set-cookie"), None);
    for pool in ["right", "other"] {
        let name = format!(r#"forecourt_sticky_total{{pool="{pool}",outcome="forged"}}"#);
        assert_eq!(balancer.metric(&name), 1.0, "{pool}");
    }
}

/// Older than `max_life`, a cookie binds no more, and the next one does.
#[test]
fn a_cookie_that_is_too_old_binds_no_more() {
    let origins = three_origins();
    let entries = origins.each_ref().map(entry);
    let balancer = Balancer::start(&shop(&entries, "max_life = \"1s\"\n"));
    let cookie = Shopper::at(&balancer).cookie();
    let mut client = balancer.client("web");
    wait_until(DEADLINE, "the end of the cookie's life", || {
        let request = Request::get("/").field("cookie", &format!("fc={cookie}"));
        client.send(&request).field("set-cookie").is_some()
    });
    assert_eq!(outcomes(&balancer)["expired"], 1);
}

/// The backend sees every cookie but ours, in order, and no `Cookie` field where ours was the only one.
#[test]
fn the_backend_does_not_see_the_cookie() {
    let origins = three_origins();
    let balancer = Balancer::start(&shop(&origins.each_ref().map(entry), ""));
    let shopper = Shopper::at(&balancer);
    let cookie = format!("fc={}", shopper.cookie());
    let home = origins.iter().find(|origin| origin.name() == shopper.home);
    let home = home.expect("one of them answered");
    let mut client = balancer.client("web");
    let mut seen = |cookies: &[&str]| {
        let request = cookies.iter().fold(Request::get("/"), |request, cookies| {
            request.field("cookie", cookies)
        });
        assert_eq!(client.send(&request).text(), home.name());
        let received = home.last_received();
        received.fields.all("cookie").join(" | ")
    };
    assert_eq!(seen(&[&cookie]), "");
    assert_eq!(seen(&[&format!("a=1; {cookie}; b=\"2\"")]), "a=1; b=\"2\"");
    assert_eq!(
        seen(&["a=1", &cookie, "fcc=3; afc=4; FC=5"]),
        "a=1; fcc=3; afc=4; FC=5"
    );
    assert_eq!(seen(&[&format!("{cookie}; fc=second; a=1")]), "a=1");
}

/// Without TLS, with it, and as configured.
#[test]
fn the_cookie_has_the_attributes_that_are_promised() {
    let origin = Origin::named("a");
    let entries = [entry(&origin)];
    let attributes = |sticky: &str, proto: &str| {
        let configuration = shop(&entries, sticky).replace(
            "[listeners.web]\n",
            "[listeners.web]\ntrusted_proxies = [\"127.0.0.1\"]\n",
        );
        let balancer = Balancer::start(&configuration);
        let request = Request::get("/").field("x-forwarded-proto", proto);
        let response = balancer.client("web").send(&request);
        let cookie = response
            .field("set-cookie")
            .expect("the session is new")
            .to_owned();
        let (pair, attributes) = cookie.split_once("; ").expect("there are attributes");
        let (name, value) = pair.split_once('=').expect("a cookie has a value");
        assert!(value.starts_with("v1."), "{value}");
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        assert!(value.bytes().all(is_plain), "{value}");
        format!("{name}; {attributes}")
    };
    assert_eq!(attributes("", "http"), "fc; Path=/; HttpOnly; SameSite=Lax");
    assert_eq!(
        attributes("", "https"),
        "__Host-fc; Path=/; HttpOnly; SameSite=None; Secure"
    );
    assert_eq!(
        attributes("cookie = \"shop\"\nsame_site = \"strict\"\n", "http"),
        "shop; Path=/; HttpOnly; SameSite=Strict"
    );
    assert_eq!(
        attributes("cookie = \"shop\"\nsame_site = \"lax\"\n", "https"),
        "shop; Path=/; HttpOnly; SameSite=Lax; Secure"
    );
}

/// `X-Forwarded-Proto` of a stranger does not make the cookie one of TLS, which his browser would refuse.
#[test]
fn strangers_do_not_choose_the_cookies_name() {
    let origin = Origin::named("a");
    let balancer = Balancer::start(&shop(&[entry(&origin)], ""));
    let request = Request::get("/").field("x-forwarded-proto", "https");
    let response = balancer.client("web").send(&request);
    let cookie = response.field("set-cookie").expect("the session is new");
    assert!(cookie.starts_with("fc="), "{cookie}");
}

/// The response that sets the cookie is made private, unless it is so already; others are left as they are, and the
/// backend's own cookies always.
#[test]
fn a_response_with_the_cookie_is_private() {
    let origin = Origin::named("a");
    let answer = |fields: &str| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n{fields}\r\na");
        Behaviour::Raw(head.into_bytes())
    };
    origin.on("/public", answer("Cache-Control: public, max-age=60\r\n"));
    origin.on("/private", answer("Cache-Control: max-age=0, Private\r\n"));
    origin.on(
        "/never",
        answer("Cache-Control: no-store\r\nSet-Cookie: theirs=1; Path=/\r\n"),
    );
    let balancer = Balancer::start(&shop(&[entry(&origin)], ""));
    let control = |response: &Response| response.head.fields.all("cache-control").join(" | ");
    let first = |target| {
        let response = balancer.client("web").get(target);
        let cookies = response.head.fields.all("set-cookie");
        assert!(
            cookies.iter().any(|cookie| cookie.starts_with("fc=")),
            "{response}"
        );
        (control(&response), cookies.len())
    };
    assert_eq!(first("/"), ("private".to_owned(), 1));
    assert_eq!(
        first("/public"),
        ("public, max-age=60 | private".to_owned(), 1)
    );
    assert_eq!(first("/private"), ("max-age=0, Private".to_owned(), 1));
    assert_eq!(first("/never"), ("no-store".to_owned(), 2));

    let mut shopper = Shopper::at(&balancer);
    let mut next = |target| {
        let response = shopper.ask(target);
        (
            control(&response),
            response.head.fields.all("set-cookie").len(),
        )
    };
    assert_eq!(next("/"), (String::new(), 0));
    assert_eq!(next("/public"), ("public, max-age=60".to_owned(), 0));
    assert_eq!(next("/never"), ("no-store".to_owned(), 1));
}

/// Errors bind too where a backend made them, and not where forecourt did.
#[test]
fn only_a_backends_answer_binds() {
    let origin = Origin::named("a");
    origin.on("/gone", Behaviour::Status(404));
    origin.on("/broken", Behaviour::Garbage);
    let balancer = Balancer::start(&shop(&[entry(&origin)], ""));
    let mut client = balancer.client("web");
    assert!(client.get("/gone").field("set-cookie").is_some());
    let broken = client.get("/broken");
    assert_eq!((broken.status, broken.field("set-cookie")), (502, None));
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

/// A client with a cookie jar.
#[derive(Debug)]
struct Shopper {
    client: Client,
    jar: BTreeMap<String, String>,
    /// Who answered first, or after the last move.
    home: String,
    /// How often the sticky cookie was set.
    cookies_set: usize,
}

impl Shopper {
    /// Somebody new, after his first request.
    #[track_caller]
    fn at(balancer: &Balancer) -> Self {
        let mut shopper = Self {
            client: balancer.client("web"),
            jar: BTreeMap::new(),
            home: String::new(),
            cookies_set: 0,
        };
        let response = shopper.ask("/");
        assert_eq!(
            (response.status, shopper.cookies_set),
            (200, 1),
            "{response}"
        );
        shopper.home = response.text();
        shopper
    }

    /// Goes on shopping at another instance.
    fn go_to(&mut self, balancer: &Balancer) {
        self.client = balancer.client("web");
    }

    /// Sends what is in the jar and keeps what is set, as browsers do.
    #[track_caller]
    fn ask(&mut self, target: &str) -> Response {
        let cookies: Vec<_> = self
            .jar
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let mut request = Request::get(target);
        if !cookies.is_empty() {
            request = request.field("cookie", &cookies.join("; "));
        }
        let response = self.client.send(&request);
        for cookie in response.head.fields.all("set-cookie") {
            let pair = cookie.split(';').next().unwrap_or_default();
            let (name, value) = pair
                .split_once('=')
                .expect("a cookie has a name and a value");
            self.jar.insert(name.to_owned(), value.to_owned());
            self.cookies_set += usize::from(name == "fc");
        }
        response
    }

    /// Makes so many requests, which all go where the last one went and leave the cookie alone.
    #[track_caller]
    fn stays(&mut self, requests: usize) {
        let set = self.cookies_set;
        for number in 0..requests {
            let response = self.ask("/");
            assert_eq!(
                (response.status, &response.text()),
                (200, &self.home),
                "request {number}"
            );
        }
        assert_eq!(
            self.cookies_set, set,
            "the cookie was set again without need"
        );
    }

    /// Makes a request, which sets the cookie anew.
    #[track_caller]
    fn moves(&mut self) {
        let (set, old) = (self.cookies_set, self.cookie());
        let response = self.ask("/");
        assert_eq!(
            (response.status, self.cookies_set),
            (200, set + 1),
            "{response}"
        );
        assert_ne!(self.cookie(), old);
        self.home = response.text();
    }

    /// The value of the sticky cookie.
    #[track_caller]
    fn cookie(&self) -> String {
        self.jar.get("fc").expect("he is bound").clone()
    }
}

/// A folder of key files.
#[derive(Debug)]
struct Keys(TempDir);

impl Keys {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        for name in ["first", "second"] {
            fs::write(
                folder.path().join(name),
                format!("the {name} secret of all\n"),
            )
            .expect("a new folder can be written to");
        }
        Self(folder)
    }

    fn secret(&self, name: &str) -> String {
        format!(
            "secret = {{ file = \"{}\" }}\n",
            self.0.path().join(name).display()
        )
    }

    fn previous(&self, name: &str) -> String {
        format!(
            "previous = [{{ file = \"{}\" }}]\n",
            self.0.path().join(name).display()
        )
    }
}

fn three_origins() -> [Origin; 3] {
    ["a", "b", "c"].map(Origin::named)
}

/// An origin as an entry of `backends`, known by its name.
fn entry(origin: &Origin) -> String {
    format!(
        "{{ address = \"{}\", id = \"{}\" }}",
        origin.address(),
        origin.name()
    )
}

/// Everything to the sticky pool `shop`, by round robin.
fn shop(entries: &[String], sticky: &str) -> String {
    let entries = entries.join(", ");
    Balancer::front("shop")
        + &format!(
            "[pools.shop]\nstrategy = \"round-robin\"\nbackends = [{entries}]\n\
             [pools.shop.timeouts]\nconnect = \"10s\"\n[pools.shop.sticky]\n{sticky}"
        )
}

#[track_caller]
fn reload(balancer: &Balancer, configuration: &str, generation: u32) {
    balancer.reload(configuration);
    wait_until(DEADLINE, &format!("generation {generation}"), || {
        balancer.metric("forecourt_config_generation") >= f64::from(generation)
    });
}

/// What `forecourt_sticky_total` counts for `shop`, without what is 0.
#[track_caller]
fn outcomes(balancer: &Balancer) -> BTreeMap<&'static str, u64> {
    let count = |outcome| {
        let name = format!(r#"forecourt_sticky_total{{pool="shop",outcome="{outcome}"}}"#);
        (outcome, balancer.metric(&name) as u64)
    };
    let all = ["new", "bound", "rebound", "forged", "expired"].map(count);
    all.into_iter().filter(|(_, count)| *count > 0).collect()
}

fn only(outcome: &'static str, count: usize) -> BTreeMap<&'static str, u64> {
    BTreeMap::from([(outcome, count as u64)])
}

/// The text with its first letter changed into another that may stand there.
fn changed(part: &str) -> String {
    let first = if part.starts_with('A') { "B" } else { "A" };
    first.to_owned() + &part[1..]
}
