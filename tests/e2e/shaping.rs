//! What a backend sees of a request, and a client of a response, beyond what either wrote.

use rustix::process::Signal;

use super::harness::{Balancer, Behaviour, DEADLINE, Origin, Request, pool, wait_until};

const STANDARD: &str = "trusted_proxies = []";

/// A balancer whose pool has these keys, and whose listener those.
fn balancer(listener: &str, keys: &str, origin: &Origin) -> Balancer {
    let front = format!(
        "[listeners.web]\naddress = \"127.0.0.1:0\"\n{listener}\n\
         [[routes]]\npath_prefix = \"/\"\npool = \"shop\"\n"
    );
    Balancer::start(&(front + &pool("shop", "round-robin", &[origin]) + keys))
}

fn request(fields: &[(&str, &str)]) -> Request {
    let request = Request::get("/");
    fields
        .iter()
        .fold(request, |request, (name, value)| request.field(name, value))
}

#[test]
fn via_names_us_behind_those_before() {
    let origin = Origin::named("a");
    let by_default = balancer(STANDARD, "", &origin);
    by_default
        .client("web")
        .send(&request(&[("Via", "1.0 fred")]));
    let fields = origin.last_received().fields.0;
    let vias = fields
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("via"));
    let vias: Vec<_> = vias.map(|(_, value)| value.as_str()).collect();
    assert_eq!(vias, ["1.0 fred", "1.1 forecourt"]);
    let mut old = by_default.client("web");
    old.send_raw(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!(old.read_response("GET").unwrap().status, 200);
    assert_eq!(origin.last_received().field("via"), Some("1.0 forecourt"));
    let without = balancer(STANDARD, "via = false\n", &origin);
    without.client("web").get("/");
    assert_eq!(origin.last_received().field("via"), None);
}

/// A balancer that is its own backend: each round takes a connection, until it is noticed.
#[test]
fn a_loop_ends() {
    let origin = Origin::named("a");
    let balancer = balancer(STANDARD, "", &origin);
    let us = balancer.address("web");
    let itself = format!(
        "[listeners.web]\naddress = \"127.0.0.1:0\"\n[[routes]]\npath_prefix = \"/\"\npool = \"shop\"\n\
         [pools.shop]\nbackends = [{{ address = \"{us}\" }}]\n"
    );
    balancer.rewrite(&itself);
    balancer.signal(Signal::HUP);
    let mut client = balancer.client("web");
    wait_until(DEADLINE, "the reload", || client.get("/").status != 200);
    let response = client.get("/");
    assert_eq!(response.status, 508, "{response}");
    assert_eq!(response.cause(), Some("loop-detected"));
}

#[test]
fn trailers_are_asked_for_if_the_client_takes_them() {
    let origin = Origin::named("a");
    let balancer = balancer(STANDARD, "", &origin);
    let mut client = balancer.client("web");
    client.send(&request(&[
        ("TE", "gzip;q=0.5, trailers"),
        ("Connection", "TE"),
    ]));
    let seen = origin.last_received();
    assert_eq!(seen.field("te"), Some("trailers"));
    assert_eq!(seen.field("connection"), Some("te"));
    client.send(&request(&[("TE", "gzip"), ("Connection", "TE")]));
    let seen = origin.last_received();
    assert_eq!((seen.field("te"), seen.field("connection")), (None, None));
}

#[test]
fn names_of_fields_are_written_as_the_pool_wants_them() {
    let sent = [("x-SHOP-id", "1"), ("Content-Length", "0")];
    for (case, written, length) in [
        ("keep", "x-SHOP-id", "content-length"),
        ("lower", "x-shop-id", "content-length"),
        ("title", "X-Shop-Id", "Content-Length"),
    ] {
        let origin = Origin::named("a");
        let balancer = balancer(STANDARD, &format!("header_case = \"{case}\"\n"), &origin);
        balancer.client("web").send(&request(&sent));
        let fields = origin.last_received().fields.0;
        for wanted in [written, length] {
            let found = fields.iter().any(|(name, _)| name == wanted);
            assert!(found, "{case}: {fields:?}");
        }
    }
}

#[test]
fn the_client_is_told_of_in_the_words_of_the_pool() {
    for (words, forwarded, by_x) in [
        ("x-forwarded", None, Some("127.0.0.1")),
        (
            "forwarded",
            Some("for=127.0.0.1;host=shop.example;proto=http"),
            None,
        ),
        (
            "both",
            Some("for=127.0.0.1;host=shop.example;proto=http"),
            Some("127.0.0.1"),
        ),
    ] {
        let origin = Origin::named("a");
        let balancer = balancer(STANDARD, &format!("forwarded = \"{words}\"\n"), &origin);
        let claims = [("Forwarded", "for=6.6.6.6"), ("X-Forwarded-For", "6.6.6.6")];
        balancer.client("web").send(&request(&claims));
        let seen = origin.last_received();
        assert_eq!(seen.field("forwarded"), forwarded, "{words}");
        assert_eq!(seen.field("x-forwarded-for"), by_x, "{words}");
    }
}

/// A proxy before us that speaks RFC 7239 only.
#[test]
fn a_trusted_proxy_may_tell_by_forwarded() {
    let origin = Origin::named("a");
    let balancer = balancer("trusted_proxies = [\"127.0.0.0/8\"]", "", &origin);
    let told = [("Forwarded", "for=\"[2001:db8::1]:4711\";proto=https")];
    balancer.client("web").send(&request(&told));
    let seen = origin.last_received();
    assert_eq!(
        seen.field("x-forwarded-for"),
        Some("2001:db8::1, 127.0.0.1")
    );
    assert_eq!(seen.field("x-forwarded-proto"), Some("https"));
}

#[test]
fn a_response_has_a_date() {
    let origin = Origin::named("a");
    let raw = b"HTTP/1.1 200 OK\r\nDate: then\r\nContent-Length: 0\r\n\r\n";
    origin.on("/dated", Behaviour::Raw(raw.to_vec()));
    let balancer = balancer(STANDARD, "", &origin);
    let mut client = balancer.client("web");
    let dated = client.get("/dated");
    assert_eq!(dated.field("date"), Some("then"));
    let refused = client.send(&Request::new("TRACE", "/"));
    assert_eq!(refused.status, 405);
    for response in [client.get("/"), refused] {
        let date = response.field("date").expect("a date").to_owned();
        assert!(date.len() == 29 && date.ends_with(" GMT"), "{date}");
    }
}

#[test]
fn an_options_goes_as_far_as_it_may() {
    let origin = Origin::named("a");
    let balancer = balancer(STANDARD, "", &origin);
    let mut client = balancer.client("web");
    let response = client.send(&Request::new("OPTIONS", "/").field("Max-Forwards", "1"));
    assert_eq!(response.origin(), "a");
    assert_eq!(origin.last_received().field("max-forwards"), Some("0"));
    let response = client.send(&Request::new("OPTIONS", "/").field("Max-Forwards", "0"));
    assert_eq!(
        (response.status, response.body.len()),
        (200, 0),
        "{response}"
    );
    assert!(
        response
            .field("allow")
            .is_some_and(|allow| allow.contains("OPTIONS"))
    );
    assert_eq!((response.field("x-origin"), origin.requests()), (None, 1));
    let response = client.send(&Request::new("OPTIONS", "/").field("Max-Forwards", "one"));
    assert_eq!(
        (response.status, response.cause()),
        (400, Some("bad-request"))
    );
    // Of other methods it is not ours to count.
    client.send(&request(&[("Max-Forwards", "0")]));
    assert_eq!(origin.last_received().field("max-forwards"), Some("0"));
}

#[test]
fn an_asterisk_goes_where_every_path_goes() {
    let origin = Origin::named("a");
    let balancer = balancer(STANDARD, "", &origin);
    let mut client = balancer.client("web");
    for target in ["*", "http://shop.example"] {
        assert_eq!(client.send(&Request::new("OPTIONS", target)).origin(), "a");
        let seen = origin.last_received();
        assert_eq!(
            (seen.method.as_str(), seen.target.as_str()),
            ("OPTIONS", "*")
        );
    }
}
