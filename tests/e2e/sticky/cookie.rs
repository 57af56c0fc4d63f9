//! The cookie: its form, its attributes, where it goes, and what any other value costs.

use super::*;

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
