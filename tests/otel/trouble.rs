//! Collectors that are dead, hang or refuse harm nothing; reloads and the end.

use std::fs;

use rustix::process::Signal;

use crate::collector::{Answer, Collector};
use crate::harness::{Balancer, DEADLINE, Origin, command, wait_for, wait_until};
use crate::{configuration, exporting};

/// Requests whose spans were lost for this reason.
fn dropped(balancer: &Balancer, reason: &str) -> f64 {
    balancer.metric(&format!(
        "forecourt_traces_dropped_total{{reason=\"{reason}\"}}"
    ))
}

fn exported(balancer: &Balancer) -> f64 {
    balancer.metric("forecourt_traces_exported_total")
}

/// How often the log has these words.
fn said(balancer: &Balancer, words: &str) -> usize {
    balancer.stderr().matches(words).count()
}

const FAILS: &str = "traces cannot be exported:";
const AGAIN: &str = "traces are exported again";

#[test]
fn a_dead_collector_is_said_once_and_one_that_comes_back_is_used() {
    let (collector, origin) = (Collector::absent(), Origin::named("a"));
    let balancer = exporting(&collector, ["", "", ""], &[&origin]);
    let mut client = balancer.client("web");
    for round in 1..=2 {
        for _ in 0..10 {
            assert_eq!(client.get("/").status, 200);
        }
        wait_until(DEADLINE, "the loss", || {
            dropped(&balancer, "failed") >= f64::from(10 * round)
        });
    }
    assert_eq!(dropped(&balancer, "failed"), 20.0);
    assert_eq!(said(&balancer, FAILS), 1, "{}", balancer.stderr());
    assert!(balancer.stderr().contains("cause=no connection: "));
    let collector = Collector::at(collector.address());
    client.get("/back");
    let back = collector.wait_for_requests(1);
    assert_eq!(back[0].get("url.path"), "/back");
    wait_until(DEADLINE, "the word", || said(&balancer, AGAIN) == 1);
    assert!(balancer.stderr().contains("lost=20"));
    assert_eq!(exported(&balancer), 1.0);
}

#[test]
fn a_collector_that_hangs_holds_up_neither_requests_nor_the_end() {
    let (collector, origin) = (Collector::new(), Origin::named("a"));
    collector.answer(Answer::Hang);
    let export = "timeout = \"1h\"\nqueue = 4";
    let mut balancer = exporting(&collector, ["", export, ""], &[&origin]);
    let mut client = balancer.client("web");
    client.get("/");
    wait_until(DEADLINE, "a batch", || !collector.posts().is_empty());
    for _ in 0..50 {
        assert_eq!(client.get("/").status, 200);
    }
    wait_until(DEADLINE, "all but the queue are dropped", || {
        dropped(&balancer, "queue-full") == 46.0
    });
    client.close();
    balancer.signal(Signal::TERM);
    assert!(balancer.wait_for_exit(DEADLINE).success());
    assert!(
        balancer
            .stderr()
            .contains("the last traces could not be exported in time")
    );
    assert_eq!(collector.posts().len(), 1);
}

#[test]
fn the_end_sends_what_there_is() {
    let (collector, origin) = (Collector::new(), Origin::named("a"));
    let mut balancer = exporting(&collector, ["", "", ""], &[&origin]);
    let mut client = balancer.client("web");
    for _ in 0..700 {
        client.get("/");
    }
    client.close();
    balancer.signal(Signal::TERM);
    assert!(balancer.wait_for_exit(DEADLINE).success());
    assert_eq!(collector.wait_for_requests(700).len(), 700);
    assert!(
        collector
            .posts()
            .iter()
            .all(|post| post.spans.len() <= 2 * 512)
    );
    assert_eq!(collector.connections(), 1, "it is kept");
}

#[test]
fn a_batch_is_sent_again_a_few_times_where_that_may_help_and_nowhere_else() {
    for (answer, tries, reason) in [
        (
            Answer::Status("503 Service Unavailable\r\nretry-after: 0"),
            3,
            "failed",
        ),
        (
            Answer::Status("429 Too Many Requests\r\nretry-after: 0"),
            3,
            "failed",
        ),
        (Answer::Status("400 Bad Request"), 1, "refused"),
        (
            Answer::Status("500 Internal Server Error\r\nretry-after: 0"),
            1,
            "refused",
        ),
        (Answer::Status("302 Found\r\nlocation: /"), 1, "refused"),
        (Answer::Garbage, 3, "failed"),
    ] {
        let (collector, origin) = (Collector::new(), Origin::named("a"));
        collector.answer(answer.clone());
        let balancer = exporting(&collector, ["", "", ""], &[&origin]);
        balancer.client("web").get("/");
        wait_until(DEADLINE, "the loss", || dropped(&balancer, reason) == 1.0);
        let posts = collector.posts();
        assert_eq!(posts.len(), tries, "{answer:?}");
        let ids = |post: &crate::collector::Post| -> Vec<String> {
            post.spans.iter().map(|span| span.id.clone()).collect()
        };
        assert!(posts.iter().all(|post| ids(post) == ids(&posts[0])));
        assert_eq!(said(&balancer, FAILS), 1);
        // The next batch goes again.
        collector.answer(Answer::Take);
        balancer.client("web").get("/");
        wait_until(DEADLINE, "the word", || said(&balancer, AGAIN) == 1);
        assert_eq!(exported(&balancer), 1.0);
    }
}

#[test]
fn what_a_collector_answers_is_not_trusted() {
    let (collector, origin) = (Collector::new(), Origin::named("a"));
    let balancer = exporting(&collector, ["", "", ""], &[&origin]);
    let mut client = balancer.client("web");
    let mut taken = 0.0;
    // Taken is taken, whatever it has to say about it; a connection that is closed meanwhile is no failure.
    for answer in [Answer::Endless, Answer::TakeAndClose, Answer::Take] {
        collector.answer(answer.clone());
        client.get("/");
        taken += 1.0;
        wait_until(DEADLINE, &format!("{answer:?}"), || {
            exported(&balancer) == taken
        });
    }
    // More than there were cannot have been refused.
    collector.answer(Answer::Partly(i64::MAX));
    client.get("/");
    wait_until(DEADLINE, "the refusal", || {
        dropped(&balancer, "refused") == 1.0
    });
    assert_eq!(exported(&balancer), taken);
    assert_eq!(said(&balancer, FAILS), 0, "{}", balancer.stderr());
}

#[test]
fn a_batch_that_is_all_refused_is_no_word_of_better_times() {
    let (collector, origin) = (Collector::new(), Origin::named("a"));
    let balancer = exporting(&collector, ["", "", ""], &[&origin]);
    let mut client = balancer.client("web");
    for (answer, lost) in [
        (Answer::Status("400 Bad Request"), 1.0),
        // Of the request and of its attempt.
        (Answer::Partly(2), 2.0),
    ] {
        collector.answer(answer);
        client.get("/");
        wait_until(DEADLINE, "the loss", || {
            dropped(&balancer, "refused") == lost
        });
    }
    assert_eq!(exported(&balancer), 0.0);
    collector.answer(Answer::Take);
    client.get("/");
    wait_until(DEADLINE, "the word", || said(&balancer, AGAIN) > 0);
    let log = balancer.stderr();
    assert!(log.contains("lost=2"), "{log}");
    assert_eq!(said(&balancer, AGAIN), 1, "{log}");
}

#[test]
fn fields_for_the_collector_are_sent_and_never_shown() {
    let (collector, origin) = (Collector::new(), Origin::named("a"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("otlp");
    fs::write(&file, "Authorization: Bearer hush-hush\nx-tenant: shop\n").unwrap();
    let export = format!("headers_file = \"{}\"", file.display());
    let balancer = exporting(&collector, ["", &export, ""], &[&origin]);
    balancer.client("web").get("/");
    collector.wait_for_requests(1);
    let head = collector.posts()[0].head.clone();
    assert!(
        head.contains("\r\nauthorization: Bearer hush-hush\r\nx-tenant: shop\r\n"),
        "{head}"
    );
    for path in ["/v1/config", "/v1/requests", "/v1/events", "/metrics"] {
        let text = if path == "/v1/events" {
            String::new()
        } else {
            balancer.admin(path).text()
        };
        assert!(!text.contains("hush"), "{path}: {text}");
    }
    assert!(!balancer.stderr().contains("hush"));
}

#[test]
fn a_collector_with_tls_has_to_show_who_it_is() {
    let ((collector, certificate), origin) = (Collector::secure(), Origin::named("a"));
    let folder = tempfile::tempdir().unwrap();
    let trusted = folder.path().join("trusted.pem");
    fs::write(&trusted, certificate).unwrap();
    let secure = format!("https://localhost:{}", collector.address().port());
    let text = configuration(&collector, ["", "", ""], &[&origin]);
    let text = text.replace(&collector.endpoint(), &secure);
    let mut command = command();
    command
        .env("SSL_CERT_FILE", &trusted)
        .env_remove("SSL_CERT_DIR");
    let balancer = Balancer::start_by(command, &text);
    balancer.client("web").get("/");
    assert_eq!(collector.wait_for_requests(1).len(), 1);
    // By another name it is not the one that is trusted.
    let other = text.replace(&secure, &secure.replace("localhost", "127.0.0.1"));
    balancer.reload(&other);
    wait_until(DEADLINE, "the reload", || {
        balancer.metric("forecourt_config_generation") == 2.0
    });
    balancer.client("web").get("/");
    wait_until(DEADLINE, "the loss", || dropped(&balancer, "failed") == 1.0);
    assert!(
        balancer.stderr().contains("cause=no TLS: "),
        "{}",
        balancer.stderr()
    );
    assert_eq!(collector.posts().len(), 1);
}

#[test]
fn a_reload_switches_it_on_elsewhere_and_off() {
    let (here, there, origin) = (Collector::new(), Collector::new(), Origin::named("a"));
    let with = |collector: &Collector| configuration(collector, ["", "", ""], &[&origin]);
    let without = {
        let text = with(&here);
        let endpoint = format!("[trace.export]\nendpoint = \"{}\"\n", here.endpoint());
        assert!(text.contains(&endpoint));
        text.replace(&endpoint, "")
    };
    let balancer = Balancer::start(&without);
    let mut generation = 1.0;
    let mut reload = |text: &str| {
        balancer.reload(text);
        generation += 1.0;
        wait_until(DEADLINE, "the reload", || {
            balancer.metric("forecourt_config_generation") == generation
        });
    };
    // On one connection, as a client has it.
    let mut client = balancer.client("web");
    client.get("/before");
    assert_eq!(origin.last_received().field("traceparent"), None);
    reload(&with(&here));
    client.get("/here");
    // Without waiting: each request goes where its configuration says.
    reload(&with(&there));
    client.get("/there");
    reload(&without);
    client.get("/after");
    assert_eq!(origin.last_received().field("traceparent"), None);
    let paths = |collector: &Collector| {
        let spans = collector.wait_for_requests(1);
        let paths: Vec<_> = spans
            .iter()
            .map(|span| span.get("url.path").to_owned())
            .collect();
        (paths, spans[0].get("forecourt.generation").to_owned())
    };
    assert_eq!(paths(&here), (vec!["/here".to_owned()], "2".to_owned()));
    assert_eq!(paths(&there), (vec!["/there".to_owned()], "3".to_owned()));
    let log = wait_for(DEADLINE, "the log", || {
        let log = balancer.stderr();
        log.contains("trace: export no more").then_some(log)
    });
    let urls = [&here, &there].map(|collector| collector.endpoint() + "/v1/traces");
    assert!(
        log.contains(&format!("trace: export to {}", urls[0])),
        "{log}"
    );
    let elsewhere = format!("trace: export.endpoint {} -> {}", urls[0], urls[1]);
    assert!(log.contains(&elsewhere), "{log}");
    assert_eq!(exported(&balancer), 2.0);
}
