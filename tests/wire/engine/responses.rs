//! Responses: what a backend answers, and what of it reaches the client, then and later.

use super::backend::{SCRIPTED, Script, Then, known_content};
use super::house::{Client, House, Patience, Side, settle};
use super::readings::{self, Answer, shown};
use super::reference::{self, Next, Request, Response, options, values};
use super::requests::unmanaged;
use super::{cut, cut_line};
use crate::theirs::End;

/// A response on its way.
#[derive(Clone, Debug)]
pub struct Case {
    /// How it is cut, as a pattern.
    pub pattern: Vec<u8>,
    /// What the backend sends.
    pub stream: Vec<u8>,
    /// What it does then.
    pub then: u8,
    /// What was asked for: `g`et, `h`ead, `p`ost, a post that `e`xpects a 100, or one that is answered before it
    /// is all there: `l`ong or in chun`k`s.
    pub asked: u8,
    /// Whether the client speaks HTTP/1.0.
    pub old: bool,
}

/// Judges bytes whose first line is a pattern of pieces and whose second says what is asked and how the
/// backend ends: three letters.
pub fn judge(bytes: &[u8]) {
    let (pattern, rest) = cut_line(bytes);
    let (mode, stream) = cut_line(rest);
    let mode = |index: usize| mode.get(index).copied().unwrap_or_default();
    judge_case(&Case {
        pattern: pattern.to_vec(),
        stream: stream.to_vec(),
        then: mode(0),
        asked: mode(1),
        old: mode(2) == b'0',
    });
}

/// Judges one case.
pub fn judge_case(case: &Case) {
    let meant = Meant::by(case);
    let then = case.then();
    // Whoever stays silent within a response is waited for; only a deadline ends that.
    let patience = if then == Then::Silence && !meant.is_whole() {
        Patience::Hasty
    } else {
        Patience::Patient
    };
    let script = Script {
        pieces: cut(&case.pattern, &case.stream),
        then,
        early: case.is_early(),
    };
    let mut house = House::enter();
    let (seen, number) = house.run(patience, Some(script), async |side: Side, number| {
        (converse(&side, case).await, number)
    });
    drop(house);
    Verdict {
        case,
        meant,
        patience,
        seen,
        number,
    }
    .hold();
}

impl Case {
    fn then(&self) -> Then {
        match self.then {
            b'c' => Then::Close,
            b'r' => Then::Reset,
            b's' => Then::Silence,
            other => [Then::Close, Then::Reset, Then::Silence][usize::from(other) % 3],
        }
    }

    fn method(&self) -> &'static [u8] {
        match self.asked {
            b'h' => b"HEAD",
            b'p' | b'e' | b'l' | b'k' => b"POST",
            _ => b"GET",
        }
    }

    fn request(&self) -> Vec<u8> {
        let mut request = self.method().to_vec();
        request.push(b' ');
        request.extend_from_slice(SCRIPTED);
        request.extend_from_slice(if self.is_old() {
            b" HTTP/1.0\r\nConnection: keep-alive\r\n"
        } else {
            b" HTTP/1.1\r\n"
        });
        request.extend_from_slice(b"Host: a\r\n");
        match self.asked {
            b'p' => request.extend_from_slice(b"Content-Length: 4\r\n\r\nbody"),
            b'e' => {
                request.extend_from_slice(b"Content-Length: 4\r\nExpect: 100-continue\r\n\r\nbody")
            }
            b'l' => {
                let length = format!("Content-Length: {}\r\n\r\n", EVIL.len());
                request.extend_from_slice(length.as_bytes());
            }
            b'k' => {
                let size = format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n", EVIL.len());
                request.extend_from_slice(size.as_bytes());
            }
            _ => request.extend_from_slice(b"\r\n"),
        }
        request
    }

    /// HTTP/1.0 knows no chunks.
    fn is_old(&self) -> bool {
        self.old && self.asked != b'k'
    }

    fn is_early(&self) -> bool {
        matches!(self.asked, b'l' | b'k')
    }

    /// What the client sends of its request when it has seen the response.
    fn rest(&self) -> Vec<u8> {
        match self.asked {
            b'l' => EVIL.to_vec(),
            b'k' => [EVIL, b"\r\n0\r\n\r\n"].concat(),
            _ => Vec::new(),
        }
    }
}

/// What a backend meant by its bytes and its end.
#[derive(Debug)]
struct Meant {
    interim: Vec<u16>,
    response: Next<Response>,
    /// Whether something comes behind the response.
    more: bool,
}

impl Meant {
    fn by(case: &Case) -> Self {
        let ended = case.then() == Then::Close;
        let mut interim = Vec::new();
        let mut at = 0;
        loop {
            let rest = &case.stream[at..];
            let response = reference::response(rest, case.method(), ended, BACKEND_FIELDS);
            let length = match &response {
                Next::Whole(_, length) => *length,
                _ => rest.len(),
            };
            at += length;
            match response {
                Next::Whole(response, _) if response.status < 200 => interim.push(response.status),
                response => {
                    return Self {
                        interim,
                        response,
                        more: at < case.stream.len(),
                    };
                }
            }
        }
    }

    fn is_whole(&self) -> bool {
        matches!(self.response, Next::Whole(..))
    }
}

/// What came of an execution.
#[derive(Debug)]
struct Seen {
    /// On the connection on which the response was asked for.
    first: Vec<u8>,
    first_end: End,
    /// On the connection after that, if the first had ended.
    second: Option<(Vec<u8>, End)>,
    /// Which of the requests that the backend saw was that for what is known.
    next: Option<usize>,
    upstream: Vec<Vec<u8>>,
}

async fn converse(Side { address, desk }: &Side, case: &Case) -> Seen {
    let mut client = Client::connect(*address).await;
    client.send(&[case.request()]).await;
    client.read_response(case.method()).await;
    // All of it is there before the next request is: what comes later nobody could tell from its answer.
    while !desk.has_played() {
        tokio::task::yield_now().await;
    }
    let ask = &[NEXT.to_vec()];
    if case.is_early() {
        client.send(&[case.rest()]).await;
    }
    client.send(ask).await;
    client.finish().await;
    client.read_to_end().await;
    settle(desk).await;
    let mut second = None;
    if next_of(&desk.served()).is_none() {
        let mut other = Client::connect(*address).await;
        other.send(ask).await;
        other.finish().await;
        other.read_to_end().await;
        settle(desk).await;
        second = Some((other.received, other.end.unwrap_or(End::Fin)));
    }
    let next = next_of(&desk.served());
    Seen {
        first: client.received,
        first_end: client.end.unwrap_or(End::Fin),
        second,
        next,
        upstream: desk.received(),
    }
}

/// What was meant, and what was seen.
struct Verdict<'a> {
    case: &'a Case,
    meant: Meant,
    patience: Patience,
    seen: Seen,
    number: u64,
}

impl Verdict<'_> {
    fn hold(&self) {
        for bytes in &self.seen.upstream {
            readings::upstream(bytes);
        }
        let methods = [self.case.method().to_vec(), b"GET".to_vec()];
        let first = readings::downstream(&self.seen.first, &methods, self.seen.first_end);
        assert!(first.rest.is_empty(), "nobody asked\n{}", self.told());
        let mut answers = first.answers.iter();
        self.hold_first(answers.next());
        match &self.seen.second {
            None => self.hold_next(answers.next()),
            Some((bytes, end)) => {
                let refused = answers.next().and_then(|answer| answer.response.as_ref());
                let refused = refused.is_none_or(|response| is_own(response, b"GET"));
                assert!(refused, "who answered?\n{}", self.told());
                let second = readings::downstream(bytes, &[b"GET".to_vec()], *end);
                assert!(second.rest.is_empty(), "nobody asked\n{}", self.told());
                self.hold_next(second.answers.first());
            }
        }
    }

    /// The answer to what was scripted: what was meant, or an error, or something that shows as cut.
    fn hold_first(&self, answer: Option<&Answer>) {
        if let Some(answer) = answer {
            let mut meant = self.meant.interim.iter();
            let asked = |status: &u16| meant.any(|one| one == status);
            let leave =
                usize::from(self.case.asked == b'e' && answer.interim.first() == Some(&100));
            let mut interim = answer.interim.iter();
            let informed = interim.len() == 0 || {
                // The backend's own 100 goes before the script.
                interim.by_ref().skip(leave).all(asked)
            };
            assert!(informed, "{answer:?}\n{}", self.told());
            assert!(
                answer.interim.is_empty() || !self.case.is_old(),
                "{}",
                self.told()
            );
        }
        let response = answer.and_then(|answer| answer.response.as_ref());
        let Some(response) = response else {
            assert!(!self.must_arrive(), "lost\n{}", self.told());
            return;
        };
        if is_own(response, self.case.method()) {
            assert!(
                !self.must_arrive(),
                "refused: {response:?}\n{}",
                self.told()
            );
            return;
        }
        let Next::Whole(meant, _) = &self.meant.response else {
            panic!(
                "it looks complete and is not: {response:?}\n{}",
                self.told()
            );
        };
        assert_eq!(response.status, meant.status, "{}", self.told());
        assert_eq!(
            shown(&response.content),
            shown(&meant.content),
            "{}",
            self.told()
        );
        let named = options(&meant.fields);
        let mut got = unmanaged(&response.fields, &named);
        if values(&meant.fields, "date").next().is_none() {
            // A date that is missing is added (RFC 9110 section 6.6.1).
            got.retain(|(name, _)| name != b"date");
        }
        assert_eq!(got, unmanaged(&meant.fields, &named), "{}", self.told());
        let mut rest = meant.trailers.iter();
        assert!(
            response
                .trailers
                .iter()
                .all(|one| rest.any(|other| one == other))
        );
    }

    /// Whether there is no reason for anything but the whole response. A reset may overtake what went
    /// before it, and a POST is not sent again on a connection that the backend has just ended.
    fn must_arrive(&self) -> bool {
        self.meant.is_whole()
            && !self.meant.more
            && self.case.then() != Then::Reset
            && self.case.method() != b"POST"
    }

    /// The answer to what was asked then.
    fn hold_next(&self, answer: Option<&Answer>) {
        let response = answer.and_then(|answer| answer.response.as_ref());
        let own = response.is_none_or(|response| is_own(response, b"GET"));
        if own && self.patience == Patience::Hasty {
            return;
        }
        let content = known_content(self.number, self.seen.next.unwrap_or(usize::MAX));
        let Some(response) = response else {
            panic!("not answered\n{}", self.told());
        };
        let known = values(&response.fields, "x-wire").next() == Some(content.as_bytes())
            && response.content == content.as_bytes()
            && answer.is_some_and(|answer| answer.interim.is_empty());
        assert!(known, "another answer: {response:?}\n{}", self.told());
    }

    fn told(&self) -> String {
        let upstream: Vec<_> = self
            .seen
            .upstream
            .iter()
            .map(|bytes| shown(bytes))
            .collect();
        let second = self.seen.second.as_ref();
        format!(
            "--- {:?} of {:?} {}\n--- upstream\n{}\n--- answered, then {:?}\n{}\n--- next {:?}\n{}",
            self.case.then(),
            self.patience,
            shown(&self.case.request()),
            upstream.join("\n---\n"),
            self.seen.first_end,
            shown(&self.seen.first),
            second.map(|(_, end)| end),
            second.map(|(bytes, _)| shown(bytes)).unwrap_or_default()
        ) + &format!(
            "\n--- backend, cut by {}\n{}",
            shown(&self.case.pattern),
            shown(&self.case.stream)
        )
    }
}

/// Whether an answer is the balancer's own: it names the request's id, which no script knows.
fn is_own(response: &Response, method: &[u8]) -> bool {
    let field = |name| values(&response.fields, name).next();
    let (Some(_), Some(id)) = (field("forecourt-error"), field("x-request-id")) else {
        return false;
    };
    let drawn = id.len() == 32 && id.iter().all(u8::is_ascii_hexdigit);
    let names_it = response.content.windows(32).any(|window| window == id);
    response.status >= 400 && drawn && (names_it || method == b"HEAD")
}

/// Which of the requests that a backend saw is the last of those for what is known.
fn next_of(served: &[Request]) -> Option<usize> {
    served
        .iter()
        .rposition(|request| request.method == b"GET" && request.target == b"/next")
}

/// Content that looks like a request.
const EVIL: &[u8] = b"GET /evil HTTP/1.1\r\nHost: evil\r\n\r\n";

const NEXT: &[u8] = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n";

/// Fields that are taken from a backend.
const BACKEND_FIELDS: usize = 200;
