//! Requests: what a client sends, and what of it reaches the backend.

use super::backend::{Desk, known_content};
use super::house::{Client, House, Patience, Side, settle};
use super::readings::{self, shown};
use super::reference::{self, Fields, Next, Request, Response, keep_alive, options, values};
use super::{cut, cut_line};
use crate::theirs::End;

/// Judges bytes whose first line says how the rest is cut.
pub fn judge(bytes: &[u8]) {
    let (pattern, stream) = cut_line(bytes);
    judge_stream(pattern, stream);
}

/// Judges what a client sends in such pieces before it ends its side.
pub fn judge_stream(pattern: &[u8], stream: &[u8]) {
    let mut house = House::enter();
    let (seen, number) = house.run(Patience::Patient, None, async |side: Side, number| {
        (converse(&side, &cut(pattern, stream)).await, number)
    });
    drop(house);
    Verdict::new(stream, &seen, number).hold();
}

/// What came of an execution.
#[derive(Debug)]
struct Seen {
    downstream: Vec<u8>,
    end: End,
    served: Vec<Request>,
    upstream: Vec<Vec<u8>>,
    /// The answer to the probe that comes last.
    probe: Vec<u8>,
}

async fn converse(side: &Side, pieces: &[Vec<u8>]) -> Seen {
    let Side { address, desk } = side;
    let mut client = Client::connect(*address).await;
    client.send(pieces).await;
    client.finish().await;
    client.read_to_end().await;
    settle(desk).await;
    let served = desk.served();
    let probe = probe(side).await;
    Seen {
        downstream: client.received,
        end: client.end.unwrap_or(End::Fin),
        served,
        upstream: desk.received(),
        probe,
    }
}

/// Asks for what is known, on a connection of its own: it must find the way to the backend clean.
async fn probe(Side { address, desk }: &Side) -> Vec<u8> {
    let mut client = Client::connect(*address).await;
    client.send(&[PROBE.to_vec()]).await;
    client.finish().await;
    client.read_to_end().await;
    settle(desk as &Desk).await;
    client.received
}

/// The obvious reading of what was sent, and what was seen.
struct Verdict<'a> {
    sent: &'a [u8],
    seen: &'a Seen,
    number: u64,
    /// Requests that were answered by the backend so far.
    taken: usize,
}

impl<'a> Verdict<'a> {
    fn new(sent: &'a [u8], seen: &'a Seen, number: u64) -> Self {
        Self {
            sent,
            seen,
            number,
            taken: 0,
        }
    }

    fn hold(mut self) {
        let partial = self.hold_upstream();
        let (whole, last) = meant(self.sent);
        let mut methods: Vec<_> = whole
            .iter()
            .map(|(request, _)| request.method.clone())
            .collect();
        methods.push(self.method_of_the_last(&last));
        let answers = readings::downstream(&self.seen.downstream, &methods, self.seen.end);
        assert!(
            answers.rest.is_empty(),
            "nobody asked for this:\n{}\n{}",
            shown(&answers.rest),
            self.told()
        );
        let mut answers = answers.answers.into_iter();
        for (request, _) in &whole {
            let answer = answers.next().and_then(|answer| answer.response);
            let answer = answer.unwrap_or_else(|| {
                panic!("a request is not answered: {request:?}\n{}", self.told())
            });
            if !self.hold_answer(request, &answer) {
                assert!(
                    answers.next().is_none(),
                    "more behind the last\n{}",
                    self.told()
                );
                self.hold_end(partial, false);
                return;
            }
        }
        if let Some(answer) = answers.next() {
            assert!(last != Next::Nothing, "nobody asked\n{}", self.told());
            // The body of a request that is refused for its head may still be on its way, so the connection
            // may live on as far as the balancer knows.
            let headed = matches!(last, Next::Headed(_));
            // What ends here is answered without its body.
            let ends = matches!(&last, Next::Headed(request) if ends_here(request));
            if let Some(response) = answer.response {
                assert!(
                    ends || is_own(&response) && (headed || !keep_alive(&response.fields, 1)),
                    "what is not whole, or refused, has an answer: {response:?}\n{}",
                    self.told()
                );
            }
        }
        self.hold_end(partial, matches!(last, Next::Headed(_)));
    }

    /// All readers agree on what reached the backend, and it ends with the probe. Gives whether one request
    /// is not whole.
    fn hold_upstream(&self) -> bool {
        let mut partials = 0;
        let mut whole = 0;
        for bytes in &self.seen.upstream {
            let (requests, partial) = readings::upstream(bytes);
            whole += requests.len();
            partials += usize::from(partial);
        }
        assert_eq!(whole, self.seen.served.len() + 1, "{}", self.told());
        assert!(partials <= 1, "{}", self.told());
        let expected = known_content(self.number, self.seen.served.len());
        let probed = reference::response(&self.seen.probe, b"GET", false, usize::MAX);
        assert!(
            matches!(&probed, Next::Whole(response, length)
                if response.content == expected.as_bytes() && *length == self.seen.probe.len()),
            "the way to the backend is not clean: {}\n{}",
            shown(&self.seen.probe),
            self.told()
        );
        partials > 0
    }

    /// Looks at the answer to a whole request; gives whether the connection goes on.
    fn hold_answer(&mut self, request: &Request, answer: &Response) -> bool {
        if is_own(answer) {
            assert!(
                !must_go_on(request),
                "not taken without need: {request:?}\n{answer:?}\n{}",
                self.told()
            );
            return keep_alive(&answer.fields, 1);
        }
        if ends_here(request) {
            assert_eq!(answer.status, 200, "{}", self.told());
            assert_eq!(values(&answer.fields, "x-wire").next(), None);
            return keep_alive(&answer.fields, 1);
        }
        let seen = self.seen.served.get(self.taken);
        let seen = seen.unwrap_or_else(|| panic!("who answered?\n{}", self.told()));
        let content = known_content(self.number, self.taken);
        assert_eq!(
            values(&answer.fields, "x-wire").next(),
            Some(content.as_bytes())
        );
        if request.method != b"HEAD" {
            assert_eq!(answer.content, content.as_bytes());
        }
        self.taken += 1;
        compare(request, seen);
        let goes_on = keep_alive(&answer.fields, 1);
        assert_eq!(
            goes_on,
            keep_alive(&request.fields, request.minor),
            "{}",
            self.told()
        );
        goes_on
    }

    /// Nothing went upstream that was not answered, but for the beginning of a request that is not whole.
    fn hold_end(&self, partial: bool, may_be_partial: bool) {
        assert_eq!(self.taken, self.seen.served.len(), "{}", self.told());
        assert!(!partial || may_be_partial, "{}", self.told());
    }

    /// Of a request that was refused, only its answer tells as what it was taken.
    fn method_of_the_last(&self, last: &Next<Request>) -> Vec<u8> {
        match last {
            Next::Headed(request) => request.method.clone(),
            Next::Begun | Next::Refused if self.seen.downstream.ends_with(b"\r\n\r\n") => {
                b"HEAD".to_vec()
            }
            Next::Begun | Next::Refused | Next::Nothing | Next::Whole(..) => b"GET".to_vec(),
        }
    }

    fn told(&self) -> String {
        let upstream: Vec<_> = self
            .seen
            .upstream
            .iter()
            .map(|bytes| shown(bytes))
            .collect();
        format!(
            "--- sent\n{}\n--- upstream\n{}\n--- answered, then {:?}\n{}",
            shown(self.sent),
            upstream.join("\n---\n"),
            self.seen.end,
            shown(&self.seen.downstream)
        )
    }
}

/// The whole requests that were sent, up to one that ends the connection, and what comes behind them.
fn meant(mut stream: &[u8]) -> (Vec<(Request, usize)>, Next<Request>) {
    let mut whole = Vec::new();
    loop {
        match reference::request(stream, CLIENT_FIELDS) {
            Next::Whole(request, length) => {
                stream = &stream[length..];
                let last = !keep_alive(&request.fields, request.minor);
                whole.push((request, length));
                if last {
                    return (whole, Next::Nothing);
                }
            }
            last => return (whole, last),
        }
    }
}

/// Whether an answer is the balancer's.
fn is_own(response: &Response) -> bool {
    response.status >= 400 && values(&response.fields, "forecourt-error").next().is_some()
}

/// Whether the balancer answers a request as the last that it may come to (RFC 9110 section 7.6.2).
fn ends_here(request: &Request) -> bool {
    let mut left = values(&request.fields, "max-forwards");
    let zero = |digits: &[u8]| !digits.is_empty() && digits.iter().all(|digit| *digit == b'0');
    request.method == b"OPTIONS" && left.next().is_some_and(zero)
}

/// Whether there is no reason not to take a whole request: a plain target, a plain host, a method that
/// needs no say.
fn must_go_on(request: &Request) -> bool {
    let plain = |bytes: &[u8]| {
        let sound = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_/?=&".contains(byte);
        bytes.iter().all(sound)
    };
    let path = request.target.split(|byte| *byte == b'?').next();
    let plain_target = request.target.starts_with(b"/")
        && plain(&request.target)
        && !path.is_some_and(|path| path.windows(2).any(|pair| pair == b"//"));
    let host = values(&request.fields, "host").next();
    // A label of a name has 63 bytes at most.
    let plain_host =
        host.is_none_or(|host| host.len() < 64 && host.iter().all(u8::is_ascii_lowercase));
    let plain_method = [&b"GET"[..], b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH"];
    let passed_on = values(&request.fields, "via").next().is_some();
    plain_target && plain_host && plain_method.contains(&&*request.method) && !passed_on
}

/// Compares what was meant with what the backend got.
fn compare(meant: &Request, got: &Request) {
    assert_eq!(got.method, meant.method);
    assert_eq!(got.minor, 1);
    let (target, host) = origin_form(meant);
    assert_eq!(shown(&got.target), shown(&target));
    let hosts: Vec<_> = values(&got.fields, "host").collect();
    assert_eq!(hosts, [&host[..]], "the host of {meant:?}");
    assert_eq!(got.content, meant.content);
    let named = options(&meant.fields);
    assert_eq!(
        unmanaged(&got.fields, &named),
        unmanaged(&meant.fields, &named)
    );
    // What frames, routes or describes may not stand in trailers; the rest goes on.
    let kept = |fields: &Fields| -> Fields {
        let kept = fields.iter().filter(|(name, _)| !is_managed(name));
        kept.filter(|(name, _)| name.starts_with(b"x-") || name.starts_with(b"X-"))
            .cloned()
            .collect()
    };
    assert_eq!(kept(&got.trailers), kept(&meant.trailers));
    let mut rest = meant.trailers.iter();
    assert!(
        got.trailers
            .iter()
            .all(|trailer| rest.any(|one| one == trailer))
    );
}

/// Target and host as an origin server is told them (RFC 9112 section 3.2).
fn origin_form(request: &Request) -> (Vec<u8>, Vec<u8>) {
    let target = &request.target;
    let host = values(&request.fields, "host").next().unwrap_or_default();
    let start = target.windows(3).position(|window| window == b"://");
    let Some(start) = start.filter(|_| !target.starts_with(b"/")) else {
        return (target.clone(), host.to_vec());
    };
    let behind = &target[start + 3..];
    let end = behind
        .iter()
        .position(|byte| *byte == b'/' || *byte == b'?');
    let (authority, path) = behind.split_at(end.unwrap_or(behind.len()));
    let path = match path {
        [] if request.method == b"OPTIONS" => b"*".to_vec(),
        [] => b"/".to_vec(),
        [b'/', ..] => path.to_vec(),
        _ => [b"/", path].concat(),
    };
    (path, authority.to_vec())
}

/// The fields that are nobody's but the two ends', in lower case and order.
pub(crate) fn unmanaged(fields: &Fields, named: &[Vec<u8>]) -> Fields {
    fields
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
        .filter(|(name, _)| !is_managed(name) && !named.contains(name))
        .collect()
}

/// Whether proxies have a say in a field.
fn is_managed(name: &[u8]) -> bool {
    let name: Vec<u8> = name
        .iter()
        .map(|byte| match byte {
            b'_' => b'-',
            _ => byte.to_ascii_lowercase(),
        })
        .collect();
    let known: [&[u8]; 15] = [
        b"connection",
        b"content-length",
        b"expect",
        b"forwarded",
        b"host",
        b"keep-alive",
        b"max-forwards",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"via",
        b"x-real-ip",
        b"x-request-id",
        b"cookie",
    ];
    known.contains(&&*name) || name.starts_with(b"x-forwarded-") || name.starts_with(b"proxy-")
}

const PROBE: &[u8] = b"GET /probe HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n";

/// Fields that a listener takes.
const CLIENT_FIELDS: usize = 100;
