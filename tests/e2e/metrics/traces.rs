//! The trace that a request is part of: passed on, begun, logged, and told in errors.

use serde_json::Value;

use crate::harness::{Balancer, DEADLINE, Origin, Request, pool, wait_for};

const ID: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[track_caller]
fn tracing(settings: &str, origin: &Origin) -> Balancer {
    Balancer::start(
        &(Balancer::front("shop") + settings + "\n" + &pool("shop", "round-robin", &[origin])),
    )
}

/// The trace of each line, when there are so many.
#[track_caller]
fn logged(count: usize, balancer: &Balancer) -> Vec<Option<String>> {
    wait_for(DEADLINE, "the access log", || {
        let text = balancer.stdout();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let ids: Vec<_> = whole
            .lines()
            .map(|line| {
                let line: Value = serde_json::from_str(line).unwrap();
                line.get("trace.id")
                    .map(|id| id.as_str().unwrap().to_owned())
            })
            .collect();
        (ids.len() >= count).then_some(ids)
    })
}

/// The parts of a parent that began here.
fn parts(parent: &str) -> (String, String) {
    let parts: Vec<_> = parent.split('-').collect();
    let [version, id, span, flags] = parts[..] else {
        panic!("{parent}");
    };
    assert_eq!((version, id.len(), span.len()), ("00", 32, 16), "{parent}");
    (id.to_owned(), flags.to_owned())
}

#[test]
fn a_trace_goes_on_as_it_came_unless_it_cannot_be_read() {
    let origin = Origin::named("a");
    let balancer = tracing("", &origin);
    let mut client = balancer.client("web");
    let state = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE";
    let mut seen = |parent: Option<&str>, state: &str| {
        let mut request = Request::get("/").field("tracestate", state);
        if let Some(parent) = parent {
            request = request.field("traceparent", parent);
        }
        client.send(&request);
        let received = origin.last_received();
        let field = |name| received.field(name).map(str::to_owned);
        (field("traceparent"), field("tracestate"))
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(seen(Some(PARENT), state), (some(PARENT), some(state)));
    assert_eq!(
        seen(Some(PARENT), "no state"),
        (some(PARENT), None),
        "the trace goes on without it"
    );
    assert_eq!(seen(Some("00-nothing-01"), state), (None, None));
    assert_eq!(
        seen(None, state).0,
        None,
        "none begins unless it is asked for"
    );
    assert_eq!(logged(4, &balancer), [some(ID), some(ID), None, None]);
}

#[test]
fn a_trace_begins_where_there_is_none() {
    let origin = Origin::named("a");
    for (sample, flags) in [("100%", "01"), ("0%", "00")] {
        let settings = format!("[trace]\ncontext = \"begin\"\nsample = \"{sample}\"\n");
        let balancer = tracing(&settings, &origin);
        let mut client = balancer.client("web");
        let mut begun = Vec::new();
        for request in [
            Request::get("/"),
            Request::get("/")
                .field("traceparent", &PARENT.to_uppercase())
                .field("tracestate", "a=1"),
        ] {
            client.send(&request);
            let received = origin.last_received();
            let (id, said) = parts(received.field("traceparent").unwrap());
            assert_eq!(said, flags);
            assert_eq!(
                received.field("tracestate"),
                None,
                "what belongs to no trace"
            );
            begun.push(Some(id));
        }
        assert_ne!(begun[0], begun[1]);
        client.send(&Request::get("/").field("traceparent", PARENT));
        assert_eq!(origin.last_received().field("traceparent"), Some(PARENT));
        begun.push(Some(ID.to_owned()));
        assert_eq!(logged(3, &balancer), begun);
    }
}

#[test]
fn a_trace_begins_anew_where_clients_are_not_believed() {
    let origin = Origin::named("a");
    let balancer = tracing("[trace]\ncontext = \"restart\"\n", &origin);
    let request = Request::get("/")
        .field("traceparent", PARENT)
        .field("tracestate", "a=1");
    balancer.client("web").send(&request);
    let received = origin.last_received();
    let (id, _) = parts(received.field("traceparent").unwrap());
    assert_ne!(id, ID);
    assert_eq!(received.field("tracestate"), None);
    assert_eq!(logged(1, &balancer), [Some(id)]);
}

#[test]
fn an_error_of_ours_says_the_trace() {
    let mut origin = Origin::named("a");
    origin.refuse();
    let balancer = tracing("", &origin);
    let mut client = balancer.client("web");
    let request = |accepted: &str| {
        Request::get("/")
            .field("traceparent", PARENT)
            .field("accept", accepted)
    };
    for accepted in ["text/html", "text/plain"] {
        let response = client.send(&request(accepted));
        assert_eq!(response.cause(), Some("connect-refused"));
        let text = response.text();
        assert!(text.contains(&format!(", trace {ID}")), "{text}");
    }
    let problem = client.send(&request("application/json")).text();
    let problem: Value = serde_json::from_str(&problem).unwrap();
    assert_eq!(problem["trace_id"], ID);
    let without = Request::get("/").field("accept", "application/json");
    let problem = client.send(&without).text();
    let problem: Value = serde_json::from_str(&problem).unwrap();
    assert!(problem.get("trace_id").is_none(), "{problem}");
    assert!(problem.get("request_id").is_some(), "{problem}");
}
