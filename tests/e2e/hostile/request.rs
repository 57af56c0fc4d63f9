//! A case of what clients send, and how it is judged.

use super::backend::{Body, Got};
use super::caller::{asks, ends, values_of, write};
use super::house::{House, Lane, Way, Writing};
use crate::harness::{Fields, Framing, Response, Wire, read_response};

/// Bytes of a client, and what has to become of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub(super) name: &'static str,
    /// The rule that judges it.
    pub(super) rfc: &'static str,
    sent: &'static [u8],
    steps: [Option<Step>; MOST_STEPS],
    /// Whether the client's connection takes another request afterwards.
    stays: bool,
    /// Whether the client says that this is all.
    finishes: bool,
    is_split: bool,
}

/// What becomes of one request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// The backend gets it, so, and its answer goes back.
    Passes(Seen),
    /// Forecourt answers this status. The backend gets not a byte.
    Refused(u16),
    /// Its body breaks behind a head that is sound. Forecourt answers this status; the backend may have got a
    /// beginning, and never the whole.
    Breaks(u16),
}

/// A request as the backend must get it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// The request line but for the version, which is HTTP/1.1.
    line: &'static str,
    /// Fields with the one value that they have, or `None` for those that may not be there; see [`values_of`].
    fields: &'static [(&'static str, Option<&'static str>)],
    body: &'static [u8],
    trailers: &'static [(&'static str, &'static str)],
}

const MOST_STEPS: usize = 4;

/// A request that is refused with this status, and the connection with it.
pub(super) const fn refused(
    name: &'static str,
    rfc: &'static str,
    status: u16,
    sent: &'static [u8],
) -> Case {
    case(name, rfc, sent, Step::Refused(status)).closed()
}

/// A request that forecourt answers itself, on a connection that stays.
pub(super) const fn answered(
    name: &'static str,
    rfc: &'static str,
    status: u16,
    sent: &'static [u8],
) -> Case {
    case(name, rfc, sent, Step::Refused(status))
}

/// A request whose body is malformed.
pub(super) const fn breaks(name: &'static str, rfc: &'static str, sent: &'static [u8]) -> Case {
    case(name, rfc, sent, Step::Breaks(400)).closed()
}

/// A request that the backend gets so, on a connection that stays.
pub(super) const fn passed(
    name: &'static str,
    rfc: &'static str,
    sent: &'static [u8],
    seen: Seen,
) -> Case {
    case(name, rfc, sent, Step::Passes(seen))
}

const fn case(name: &'static str, rfc: &'static str, sent: &'static [u8], first: Step) -> Case {
    Case {
        name,
        rfc,
        sent,
        steps: [Some(first), None, None, None],
        stays: true,
        finishes: false,
        is_split: false,
    }
}

/// A request without a body, with nothing to say of its fields.
pub(super) const fn seen(line: &'static str) -> Seen {
    Seen {
        line,
        fields: &[],
        body: b"",
        trailers: &[],
    }
}

impl Case {
    /// The connection ends behind the last answer.
    pub(super) const fn closed(mut self) -> Self {
        self.stays = false;
        self
    }

    /// The client ends its side behind the bytes.
    pub(super) const fn finishing(mut self) -> Self {
        self.finishes = true;
        self
    }

    /// Run in two pieces too, split at every place.
    pub(super) const fn split(mut self) -> Self {
        self.is_split = true;
        self
    }

    /// Another request follows in the bytes. One that is refused ends the connection.
    pub(super) const fn then(mut self, step: Step) -> Self {
        let mut at = 0;
        while self.steps[at].is_some() {
            at += 1;
        }
        self.stays = matches!(step, Step::Passes(_));
        self.steps[at] = Some(step);
        self
    }

    fn steps(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().flatten()
    }
}

impl Seen {
    /// With such fields: the one value, or `None` where the field must be gone.
    pub(super) const fn with(
        mut self,
        fields: &'static [(&'static str, Option<&'static str>)],
    ) -> Self {
        self.fields = fields;
        self
    }

    pub(super) const fn body(mut self, body: &'static [u8]) -> Self {
        self.body = body;
        self
    }

    pub(super) const fn trailers(
        mut self,
        trailers: &'static [(&'static str, &'static str)],
    ) -> Self {
        self.trailers = trailers;
        self
    }

    fn method(&self) -> &'static str {
        self.line.split(' ').next().unwrap_or_default()
    }

    fn target(&self) -> &'static str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }
}

/// Runs a table in all ways, and panics with what failed.
#[track_caller]
pub(super) fn run(cases: &[Case]) {
    let house = House::new();
    let failures = failures(&house, cases);
    house.judge(&failures);
}

/// Runs cases in all ways; gives what failed.
pub(super) fn failures(house: &House, cases: &[Case]) -> Vec<String> {
    let mut runs = Vec::new();
    for case in cases {
        runs.extend(Way::ALL.map(|way| (case, way)));
        for at in 1..if case.is_split { case.sent.len() } else { 0 } {
            let writing = Writing::SplitAt(at);
            runs.push((
                case,
                Way {
                    over_tls: false,
                    writing,
                },
            ));
            runs.push((
                case,
                Way {
                    over_tls: true,
                    writing,
                },
            ));
        }
    }
    house.run(runs.len(), |lane, number| {
        let (case, way) = runs[number];
        let mut answers = Vec::new();
        run_one(lane, case, way, &mut answers).map_err(|why| {
            format!(
                "{} ({}), {way:?}\n  sent: {}\n  got:  {}\n  seen: {:?}\n  {why}",
                case.name,
                case.rfc,
                case.sent.escape_ascii(),
                answers.join("\n        "),
                lane.backend.got(),
            )
        })
    })
}

fn run_one(lane: &Lane, case: &Case, way: Way, answers: &mut Vec<String>) -> Result<(), String> {
    lane.backend.begin(None);
    let mut wire = lane
        .call(way.over_tls)
        .map(Wire::new)
        .map_err(|error| error.to_string())?;
    write(&mut wire, case.sent, way.writing);
    if case.finishes {
        wire.stream_mut()
            .finish_writing()
            .map_err(|error| error.to_string())?;
    }
    for (number, step) in case.steps().enumerate() {
        let method = match step {
            Step::Passes(seen) => seen.method(),
            Step::Breaks(_) | Step::Refused(_) => "GET",
        };
        let response = read_response(&mut wire, method)
            .map_err(|error| format!("no answer {number}: {error}"))?;
        answers.push(response.to_string());
        let stays = case.stays || case.steps().nth(number + 1).is_some();
        check_answer(step, &response, case.sent)?;
        if response.keeps_connection() != stays {
            return Err(format!(
                "answer {number} is wrong about what becomes of the connection"
            ));
        }
    }
    if !case.stays {
        ends(&mut wire)?;
    } else if !case.finishes {
        asks(&mut wire, "/probe")?;
    }
    // Another client's, through the same connections to the backend.
    asks(
        &mut Wire::new(lane.call(false).map_err(|error| error.to_string())?),
        "/sentinel",
    )?;
    check_backend(case, way, &lane.backend.settle("/sentinel")?)
}

fn check_answer(step: &Step, response: &Response, sent: &[u8]) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("{what}: {response}"));
    if !response.is_whole() {
        return wrong("an answer that is not whole");
    }
    match step {
        Step::Breaks(status) | Step::Refused(status) => {
            if response.status != *status || response.cause().is_none() {
                return wrong(&format!("not forecourt's {status}"));
            }
            if !response.interim.is_empty() {
                return wrong("an interim response to what is refused");
            }
        }
        Step::Passes(seen) => {
            let body = if seen.method() == "HEAD" {
                ""
            } else {
                seen.target()
            };
            if response.status != 200
                || response.field("x-target") != Some(seen.target())
                || response.text() != body
            {
                return wrong(&format!("not the backend's answer to {}", seen.target()));
            }
            let asked = sent
                .to_ascii_lowercase()
                .windows(12)
                .any(|window| window == b"100-continue");
            if response.interim.len() > usize::from(asked) {
                return wrong("an interim response that nobody asked for");
            }
        }
    }
    Ok(())
}

/// Checks that the backend has seen what it must, in this order, and nothing else.
fn check_backend(case: &Case, way: Way, got: &[Got]) -> Result<(), String> {
    // What came before a break may have gone on; it must not look whole.
    let is_beginning = |got: &&Got| matches!(got.body, Body::Broken(_)) && got.head.is_some();
    let begun = got.iter().filter(is_beginning).count();
    let breaks = case.steps().filter(|step| matches!(step, Step::Breaks(_)));
    if begun > breaks.count() {
        return Err("the backend got a beginning of what it must not get".to_owned());
    }
    let mut got = got.iter().filter(|got| !is_beginning(got));
    for step in case.steps() {
        if let Step::Passes(seen) = step {
            check_seen(seen, way.over_tls, got.next())?;
        }
    }
    if case.stays && !case.finishes {
        check_seen(&seen("GET /probe"), way.over_tls, got.next())?;
    }
    check_seen(&seen("GET /sentinel"), false, got.next())?;
    match got.next() {
        None => Ok(()),
        Some(more) => Err(format!("the backend got more: {more:?}")),
    }
}

fn check_seen(seen: &Seen, over_tls: bool, got: Option<&Got>) -> Result<(), String> {
    let line = format!("{} HTTP/1.1", seen.line);
    let Some(Got {
        head: Some(head),
        body: Body::Whole(body, trailers),
        ..
    }) = got
    else {
        return Err(format!("the backend did not get {line:?} but {got:?}"));
    };
    if head.first_line != line {
        return Err(format!(
            "the backend got {:?}, not {line:?}",
            head.first_line
        ));
    }
    for (name, value) in seen.fields {
        let values = values_of(&head.fields, name);
        if values.as_slice() != value.as_slice() {
            return Err(format!("{line:?} has {name}: {values:?}, not {value:?}"));
        }
    }
    if body != seen.body {
        return Err(format!("the body of {line:?} is {}", body.escape_ascii()));
    }
    let trailers: Vec<_> = trailers
        .0
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    if trailers != seen.trailers {
        return Err(format!("the trailers of {line:?} are {trailers:?}"));
    }
    check_fields(&head.fields, seen, over_tls)
        .map_err(|what| format!("{line:?}: {what} {:?}", head.fields.0))
}

/// What holds for every request that a backend gets.
fn check_fields(fields: &Fields, seen: &Seen, over_tls: bool) -> Result<(), &'static str> {
    if fields.all("host").len() != 1 {
        return Err("not one host");
    }
    match fields.framing() {
        Ok(None) if seen.body.is_empty() => {}
        Ok(Some(Framing::Length(length))) if length == seen.body.len() => {}
        Ok(Some(Framing::Chunked)) => {}
        Ok(_) | Err(_) => return Err("not framed as its body is"),
    }
    for name in [
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "upgrade",
        "http2-settings",
    ] {
        if !fields.all(name).is_empty() {
            return Err("a field of the client's connection");
        }
    }
    if fields.lists("connection", "close") || fields.lists("connection", "upgrade") {
        return Err("an option of the client's connection");
    }
    if fields.all("x-forwarded-for") != ["127.0.0.1"] {
        return Err("not one x-forwarded-for of the client");
    }
    if fields.all("x-forwarded-proto") != [if over_tls { "https" } else { "http" }] {
        return Err("not one x-forwarded-proto");
    }
    if fields.all("x-request-id").len() != 1 {
        return Err("not one x-request-id");
    }
    Ok(())
}
