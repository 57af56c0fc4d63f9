//! A case of what a client sends in frames, and how it is judged.

use std::collections::HashSet;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use tempfile::TempDir;

use super::frame::{self as f};
use super::raw::{Raw, get};
use crate::admin::certificate;
use crate::harness::{Balancer, Origin, Received};

/// Frames of a client, and what has to become of them.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) name: &'static str,
    /// The rule that judges it.
    pub(super) rfc: &'static str,
    /// What is sent behind preface and settings, or in their place.
    sent: Vec<u8>,
    greets: bool,
    want: Want,
}

/// What has to become of it. What is about one stream is about stream 1, and the connection must serve on.
#[derive(Clone, Debug)]
pub(super) enum Want {
    /// The backend gets it, so, and its answer comes back.
    Passes(Seen),
    /// The same, but the connection need not serve on.
    LastAnswer(Seen),
    /// Forecourt answers this status; the backend gets nothing whole.
    Answered(u16),
    /// The same, though the request has not ended: the rest is refused behind the answer.
    AnsweredEarly(u16),
    /// The stream is reset, with one of these codes; the backend gets nothing whole.
    Reset(&'static [u32]),
    /// The connection ends behind a GOAWAY with one of these codes; the backend gets nothing whole.
    GoAway(&'static [u32]),
    /// The same, but what came before was sound, and the backend may have got it.
    GoAwayBehind(&'static [u32]),
    /// The connection ends, in order, and nothing has to be said.
    Closed,
    /// Nothing.
    Ignored,
}

/// A request as the backend must get it.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    line: &'static str,
    fields: Vec<(&'static str, Option<&'static str>)>,
    body: &'static [u8],
    trailers: Vec<(&'static str, &'static str)>,
}

pub(super) fn case(
    name: &'static str,
    rfc: &'static str,
    sent: impl Into<Vec<u8>>,
    want: Want,
) -> Case {
    Case {
        name,
        rfc,
        sent: sent.into(),
        greets: true,
        want,
    }
}

/// A request without a body, with nothing to say of its fields.
pub(super) fn seen(line: &'static str) -> Seen {
    Seen {
        line,
        ..Seen::default()
    }
}

impl Case {
    /// The bytes are all that is sent: neither preface nor settings before.
    pub(super) fn ungreeted(mut self) -> Self {
        self.greets = false;
        self
    }
}

impl Seen {
    pub(super) fn with(mut self, name: &'static str, value: Option<&'static str>) -> Self {
        self.fields.push((name, value));
        self
    }

    pub(super) fn body(mut self, body: &'static [u8]) -> Self {
        self.body = body;
        self
    }

    pub(super) fn trailer(mut self, name: &'static str, value: &'static str) -> Self {
        self.trailers.push((name, value));
        self
    }
}

struct House {
    balancer: Balancer,
    origin: Origin,
    believed: CertificateDer<'static>,
    _folder: TempDir,
}

/// How the bytes go out.
#[derive(Clone, Copy, Debug)]
enum Way {
    Whole,
    Bytes,
    Tls,
}

/// Runs a table in all ways, and panics with what failed.
#[track_caller]
pub(super) fn run(cases: &[Case]) {
    let house = House::new();
    let mut failed = Vec::new();
    for case in cases {
        for way in [Way::Whole, Way::Bytes, Way::Tls] {
            if let Err(why) = run_one(&house, case, way) {
                let Case {
                    name, rfc, sent, ..
                } = case;
                let sent = &sent[..sent.len().min(300)];
                failed.push(format!(
                    "{name} ({rfc}), {way:?}\n  sent: {}\n  {why}",
                    sent.escape_ascii()
                ));
            }
        }
    }
    let log = house.balancer.stderr();
    assert!(!log.contains("panicked"), "the balancer panicked:\n{log}");
    assert!(
        failed.is_empty(),
        "{} failed:\n\n{}",
        failed.len(),
        failed.join("\n\n")
    );
}

/// Checks that each case has a name of its own and a citation.
#[track_caller]
pub(super) fn check_names(cases: &[Case]) {
    let mut names = HashSet::new();
    for Case { name, rfc, .. } in cases {
        assert!(names.insert(name), "two cases are named {name:?}");
        let cited = rfc.starts_with("RFC 9113 §")
            || rfc.starts_with("RFC 7541 §")
            || rfc.starts_with("RFC 9110 §");
        assert!(cited, "{name}: {rfc:?} is no citation");
    }
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let believed = certificate(folder.path());
        let origin = Origin::named("a");
        let balancer = Balancer::start(&configuration(folder.path(), &origin));
        Self {
            balancer,
            origin,
            believed,
            _folder: folder,
        }
    }

    fn connect(&self, way: Way) -> Raw {
        match way {
            Way::Whole | Way::Bytes => Raw::connect(self.balancer.address("plain")),
            Way::Tls => {
                let address = self.balancer.address("secure");
                let (raw, settled) = Raw::connect_tls(address, &self.believed, &["h2", "http/1.1"]);
                assert_eq!(settled.as_deref(), Some("h2"));
                raw
            }
        }
    }
}

fn configuration(folder: &Path, origin: &Origin) -> String {
    let folder = folder.display();
    format!(
        "[server]\nworkers = 1\n[log]\naccess = {{ path = \"off\" }}\n\
         [listeners.plain]\naddress = \"127.0.0.1:0\"\nlimits = {{ header_bytes = \"8KiB\", headers = 50, body_bytes = \"1MiB\" }}\n\
         [listeners.secure]\naddress = \"127.0.0.1:0\"\nlimits = {{ header_bytes = \"8KiB\", headers = 50, body_bytes = \"1MiB\" }}\n\
         [[listeners.secure.tls.certificates]]\ncertificate = \"{folder}/shop.pem\"\nkey = \"{folder}/shop.key\"\n\
         [[routes]]\npath_prefix = \"/\"\npool = \"shop\"\n\
         [pools.shop]\nbackends = [{{ address = \"{}\" }}]\n",
        origin.address()
    )
}

fn run_one(house: &House, case: &Case, way: Way) -> Result<(), String> {
    house.origin.forget();
    let mut raw = house.connect(way);
    if case.greets {
        raw = raw.greeted(&[]);
    }
    match way {
        Way::Bytes => {
            for piece in case.sent.chunks(1 + case.sent.len() / 512) {
                raw.send(piece);
            }
        }
        Way::Whole | Way::Tls => raw.send(&case.sent),
    }
    judge(case, &mut raw, house).map_err(|why| format!("{why}\n  {}", raw.seen()))
}

#[allow(
    clippy::too_many_lines,
    reason = "one arm for each thing that can be wanted"
)]
fn judge(case: &Case, raw: &mut Raw, house: &House) -> Result<(), String> {
    match &case.want {
        Want::GoAway(codes) | Want::GoAwayBehind(codes) => {
            let ended = raw.end();
            let said = raw.goaways.last().map(|(_, code)| *code);
            if !said.is_some_and(|code| codes.contains(&code)) {
                return Err(format!("GOAWAY {said:?}, not of {codes:?}, and {ended:?}"));
            }
            ended?;
            match case.want {
                Want::GoAwayBehind(_) => Ok(()),
                _ => check_backend(house, None),
            }
        }
        Want::Closed => {
            raw.end()?;
            check_backend(house, None)
        }
        Want::Passes(seen) | Want::LastAnswer(seen) => {
            let answer = raw.answer(1)?;
            let is_head = seen.line.starts_with("HEAD ");
            if answer.status() != Some(200) || answer.text() != if is_head { "" } else { "a" } {
                return Err(format!("not the backend's answer: {answer:?}"));
            }
            check_backend(house, Some(seen))?;
            match case.want {
                Want::LastAnswer(_) => Ok(()),
                _ => probe(raw),
            }
        }
        Want::Answered(status) => {
            let answer = raw.answer(1)?;
            if answer.status() != Some(*status) || !answer.ended {
                return Err(format!("not forecourt's {status}: {answer:?}"));
            }
            check_backend(house, None)?;
            probe(raw)
        }
        Want::AnsweredEarly(status) => {
            raw.until(|raw| {
                raw.streams
                    .get(&1)
                    .is_some_and(|stream| stream.reset.is_some())
            })?;
            let answer = raw.answer(1)?;
            let left = answer.reset == Some(f::NO_ERROR) || answer.reset == Some(f::CANCEL);
            if answer.status() != Some(*status) || !answer.ended || !left {
                return Err(format!(
                    "not forecourt's {status}, then a reset: {answer:?}"
                ));
            }
            check_backend(house, None)?;
            probe(raw)
        }
        Want::Reset(codes) => {
            let answer = raw.answer(1)?;
            if !answer.reset.is_some_and(|code| codes.contains(&code)) {
                return Err(format!("no reset of {codes:?}: {answer:?}"));
            }
            check_backend(house, None)?;
            probe(raw)
        }
        Want::Ignored => {
            probe(raw)?;
            let unasked = raw.streams.keys().find(|stream| **stream != PROBE);
            unasked.map_or(Ok(()), |stream| Err(format!("something came on {stream}")))
        }
    }
}

/// A stream that no case uses.
const PROBE: u32 = 1001;

/// Checks that the connection still serves.
fn probe(raw: &mut Raw) -> Result<(), String> {
    raw.send(&f::head(PROBE, f::END_STREAM, &get("/probe")));
    let answer = raw.answer(PROBE)?;
    if answer.status() != Some(200) || !raw.goaways.is_empty() {
        return Err(format!(
            "the connection does not serve on: {answer:?}, {:?}",
            raw.goaways
        ));
    }
    Ok(())
}

/// Checks that the backend has seen this and nothing else; what was broken is never seen whole.
fn check_backend(house: &House, seen: Option<&Seen>) -> Result<(), String> {
    let got = house.origin.received();
    match (seen, got.as_slice()) {
        (None, []) => Ok(()),
        (Some(seen), [got]) => check_seen(seen, got),
        _ => Err(format!("the backend got {got:?}")),
    }
}

fn check_seen(seen: &Seen, got: &Received) -> Result<(), String> {
    let line = format!("{} {}", got.method, got.target);
    if line != seen.line || got.version != "HTTP/1.1" {
        return Err(format!("the backend got {line:?}, not {:?}", seen.line));
    }
    for (name, value) in &seen.fields {
        let values = got.fields.all(name);
        if values.as_slice() != value.as_slice() {
            return Err(format!("{name}: {values:?}, not {value:?}"));
        }
    }
    if got.body != seen.body {
        return Err(format!("the body is {}", got.body.escape_ascii()));
    }
    let trailers: Vec<_> = got
        .trailers
        .0
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    if trailers != seen.trailers {
        return Err(format!("the trailers are {trailers:?}"));
    }
    if got.fields.all("host").len() != 1 || got.fields.all("via") != ["2.0 forecourt"] {
        return Err(format!("host or via: {:?}", got.fields));
    }
    if got.fields.all("x-forwarded-for") != ["127.0.0.1"] {
        return Err("not one x-forwarded-for".to_owned());
    }
    Ok(())
}
