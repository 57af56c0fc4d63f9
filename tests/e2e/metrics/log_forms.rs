//! What of a request is logged, of which requests, and in which form.

use std::fs;

use serde_json::Value;

use crate::harness::{Balancer, Behaviour, DEADLINE, Origin, Request, pool, wait_for};

/// A balancer before `origin` with these settings of the access log, which goes to a file. One worker, for several would each
/// hand over their lines when they like.
#[track_caller]
fn logging(settings: &str, origin: &Origin) -> Balancer {
    Balancer::start(
        &(Balancer::front("shop")
            + &format!(
                "[server]\nworkers = 1\n\n[log.access]\npath = \"access.log\"\n{settings}\n\n"
            )
            + &pool("shop", "round-robin", &[origin])),
    )
}

/// Waits until the file has so many whole lines.
#[track_caller]
fn wait_for_lines(count: usize, balancer: &Balancer) -> Vec<String> {
    let file = balancer.folder().join("access.log");
    wait_for(DEADLINE, &format!("{count} lines"), || {
        let text = fs::read_to_string(&file).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let lines: Vec<_> = whole.lines().map(str::to_owned).collect();
        (lines.len() >= count).then_some(lines)
    })
}

fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

fn visit(target: &str) -> Request {
    Request::get(target)
        .field(
            "referer",
            "https://shop.example/list?q=shoes&token=s3cret#top",
        )
        .field("user-agent", "a \"browser\"")
}

#[test]
fn combined_lines_are_those_of_apache() {
    let origin = Origin::named("a");
    let balancer = logging("format = \"combined\"", &origin);
    let mut client = balancer.client("web");
    client.send(&visit("/p/1?token=s3cret"));
    client.send(&Request::get("/missing\"quote").field("host", "again"));
    let lines = wait_for_lines(2, &balancer);
    let pattern = regex::Regex::new(
        r#"^127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\] "GET /p/1 HTTP/1\.1" 200 1 "https://shop\.example/list" "a \\"browser\\""$"#,
    );
    assert!(pattern.unwrap().is_match(&lines[0]), "{}", lines[0]);
    // Two hosts: malformed, but its request line could be read.
    let end = r#"] "GET /missing\"quote HTTP/1.1" 400 "#;
    assert!(lines[1].contains(end), "{}", lines[1]);
    assert!(lines[1].ends_with(" \"-\" \"-\""), "{}", lines[1]);
}

#[test]
fn a_query_is_logged_only_if_asked_for_and_without_its_secrets() {
    let origin = Origin::named("a");
    let headers = "headers = [\"referer\", \"user-agent\"]";
    let balancer = logging(headers, &origin);
    balancer
        .client("web")
        .send(&visit("/p?q=shoes&token=s3cret"));
    let lines = wait_for_lines(1, &balancer);
    assert!(!lines[0].contains("s3cret"), "{}", lines[0]);
    let line = json(&lines[0]);
    assert_eq!(line["url.path"], "/p");
    assert!(line.get("url.query").is_none(), "{line}");
    assert_eq!(line["http.request.referrer"], "https://shop.example/list");
    assert_eq!(line["user_agent.original"], "a \"browser\"");

    let settings = format!("{headers}\nquery = true\nredact = [\"token\"]");
    let balancer = logging(&settings, &origin);
    balancer
        .client("web")
        .send(&visit("/p?q=shoes&%54oken=s3cret"));
    let lines = wait_for_lines(1, &balancer);
    assert!(!lines[0].contains("s3cret"), "{}", lines[0]);
    let line = json(&lines[0]);
    assert_eq!(line["url.query"], "q=shoes&%54oken=REDACTED");
    assert_eq!(
        line["http.request.referrer"],
        "https://shop.example/list?q=shoes&token=REDACTED"
    );
    let seen = origin.last_received();
    assert_eq!(
        seen.target, "/p?q=shoes&%54oken=s3cret",
        "the backend has all of it"
    );
}

#[test]
fn an_address_is_logged_as_far_as_the_operator_wants() {
    let origin = Origin::named("a");
    for (how, logged) in [
        ("full", Some("127.0.0.1")),
        ("truncated", Some("127.0.0.0")),
        ("off", None),
    ] {
        let balancer = logging(&format!("client_ip = \"{how}\""), &origin);
        balancer.client("web").get("/");
        let line = json(&wait_for_lines(1, &balancer)[0]);
        let address = line.get("client.ip").and_then(Value::as_str);
        assert_eq!(address, logged, "{line}");
        let forwarded = origin.last_received();
        assert_eq!(
            forwarded.field("x-forwarded-for"),
            Some("127.0.0.1"),
            "the backend is told all the same"
        );
    }
}

#[test]
fn with_a_sample_of_none_what_failed_is_logged_and_nothing_else() {
    let origin = Origin::named("a");
    origin.on("/broken", Behaviour::Status(503));
    origin.on("/reset", Behaviour::Garbage);
    let balancer = logging("sample = \"0%\"\nslow = \"1h\"", &origin);
    let mut client = balancer.client("web");
    for target in ["/fine", "/broken", "/fine", "/reset", "/fine"] {
        client.get(target);
    }
    client.send(&Request::get("/").host("a b"));
    let lines: Vec<_> = wait_for_lines(3, &balancer)
        .iter()
        .map(|line| json(line))
        .collect();
    let statuses: Vec<_> = lines
        .iter()
        .map(|line| line["http.response.status_code"].as_u64())
        .collect();
    assert_eq!(statuses, [Some(503), Some(502), Some(400)]);
    for line in lines {
        assert!(
            line.get("forecourt.sample_rate").is_none(),
            "counts for one: {line}"
        );
    }
}

#[test]
fn what_is_slow_is_logged_whatever_the_sample() {
    let origin = Origin::named("a");
    let balancer = logging("sample = \"0%\"\nslow = \"0s\"", &origin);
    balancer.client("web").get("/slow-by-definition");
    let line = json(&wait_for_lines(1, &balancer)[0]);
    assert_eq!(line["url.path"], "/slow-by-definition");
    assert!(line.get("forecourt.sample_rate").is_none(), "{line}");
}

/// Of a thousand about 500, by a margin that chance does not cross in the life of the universe.
#[test]
fn a_sampled_line_says_its_rate_so_that_sums_come_out_right() {
    let origin = Origin::named("a");
    let balancer = logging("sample = \"50%\"\nslow = \"1h\"", &origin);
    let mut client = balancer.client("web");
    for _ in 0..1000 {
        client.get("/");
    }
    // The last one is always there, and those before are in the file by then: one client, one worker's buffer.
    client.send(&Request::get("/").host("a b"));
    let lines = wait_for(DEADLINE, "the last line", || {
        let lines = wait_for_lines(1, &balancer);
        lines.last()?.contains("bad-request").then_some(lines)
    });
    let sampled = &lines[..lines.len() - 1];
    for line in sampled {
        assert_eq!(json(line)["forecourt.sample_rate"], 0.5);
    }
    assert!((300..700).contains(&sampled.len()), "{}", sampled.len());
}

#[test]
fn a_reload_changes_form_and_sample() {
    let origin = Origin::named("a");
    let with = |settings: &str| {
        Balancer::front("shop")
            + &format!("[log.access]\npath = \"access.log\"\n{settings}\n\n")
            + &pool("shop", "round-robin", &[&origin])
    };
    let balancer = Balancer::start(&with("sample = \"0%\"\nslow = \"1h\""));
    let mut client = balancer.client("web");
    client.get("/not-logged");
    balancer.reload(&with("format = \"combined\""));
    wait_for(DEADLINE, "the reload", || {
        let line = "access.format json -> combined";
        balancer.stderr().contains(line).then_some(())
    });
    let lines = wait_for(DEADLINE, "a line of the new form", || {
        client.get("/logged");
        let text = fs::read_to_string(balancer.folder().join("access.log")).ok()?;
        text.contains("\"GET /logged HTTP/1.1\" 200")
            .then_some(text)
    });
    assert!(!lines.contains("/not-logged"), "{lines}");
}
