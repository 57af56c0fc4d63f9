//! A case of what backends answer, and how it is judged.

use super::backend::{Body, Got, Script, Then};
use super::caller::{asks, ends, values_of, write};
use super::house::{House, Lane, Way, Writing};
use crate::harness::{ClientError, Response, Wire, read_response};

/// Bytes of a backend, and what has to become of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reply {
    pub(super) name: &'static str,
    /// The rule that judges it.
    pub(super) rfc: &'static str,
    /// What the client asks with; the target is `/case`.
    asked: &'static [u8],
    answered: &'static [u8],
    is_early: bool,
    then: Then,
    shown: Shown,
    /// Whether the connection to the backend carries the next request.
    is_reused: bool,
    /// Whether the client's connection takes another request.
    stays: bool,
    /// Whether the client leaves when it has its answer, whatever it still owes.
    leaves: bool,
    is_split: bool,
}

/// What the client gets.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shown {
    /// A 502 of this cause, however the bytes come.
    Refused(&'static str),
    /// A 502 if the fault shows before the head is on its way, or else a response that is visibly incomplete.
    Broken,
    /// This response.
    Passed(Wanted),
    /// This response if it was whole before more came behind it. If more came with the last of its content, it is as
    /// [`Shown::Broken`]: which of the two is meant, nobody knows.
    Overrun(Wanted),
}

/// A response as the client must get it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    status: u16,
    /// Fields with the one value that they have, or `None` for those that may not be there; see [`values_of`].
    fields: &'static [(&'static str, Option<&'static str>)],
    body: &'static [u8],
    trailers: &'static [(&'static str, &'static str)],
    /// The first interim responses.
    interim: &'static [u16],
}

const GET: &[u8] = b"GET /case HTTP/1.1\r\nHost: shop.example\r\n\r\n";

/// A response that no client gets to see.
pub(super) const fn refused(
    name: &'static str,
    rfc: &'static str,
    answered: &'static [u8],
) -> Reply {
    reply(name, rfc, answered, Shown::Refused("protocol"), false)
}

/// A response that breaks within its body.
pub(super) const fn broken(
    name: &'static str,
    rfc: &'static str,
    answered: &'static [u8],
) -> Reply {
    reply(name, rfc, answered, Shown::Broken, false)
}

/// A response that the client gets so; the backend's connection is used again.
pub(super) const fn passed(
    name: &'static str,
    rfc: &'static str,
    answered: &'static [u8],
    wanted: Wanted,
) -> Reply {
    reply(name, rfc, answered, Shown::Passed(wanted), true)
}

/// A response with more behind it than belongs to it.
pub(super) const fn overrun(
    name: &'static str,
    rfc: &'static str,
    answered: &'static [u8],
    wanted: Wanted,
) -> Reply {
    reply(name, rfc, answered, Shown::Overrun(wanted), false)
}

const fn reply(
    name: &'static str,
    rfc: &'static str,
    answered: &'static [u8],
    shown: Shown,
    is_reused: bool,
) -> Reply {
    Reply {
        name,
        rfc,
        asked: GET,
        answered,
        is_early: false,
        then: Then::Keep,
        shown,
        is_reused,
        stays: true,
        leaves: false,
        is_split: false,
    }
}

/// A response of this status and body.
pub(super) const fn wanted(status: u16, body: &'static [u8]) -> Wanted {
    Wanted {
        status,
        fields: &[],
        body,
        trailers: &[],
        interim: &[],
    }
}

impl Reply {
    /// To these bytes of the client, which ask for `/case`.
    pub(super) const fn to(mut self, asked: &'static [u8]) -> Self {
        self.asked = asked;
        self
    }

    /// Answered as soon as the backend has the head.
    pub(super) const fn early(mut self) -> Self {
        self.is_early = true;
        self
    }

    /// The backend ends its side behind it.
    pub(super) const fn closing(mut self) -> Self {
        self.then = Then::Close;
        self.is_reused = false;
        self
    }

    /// The backend resets the connection behind it.
    pub(super) const fn resetting(mut self) -> Self {
        self.then = Then::Reset;
        self.is_reused = false;
        self
    }

    /// A 502 of another cause.
    pub(super) const fn cause(mut self, cause: &'static str) -> Self {
        self.shown = Shown::Refused(cause);
        self
    }

    /// The backend's connection is not used again.
    pub(super) const fn spent(mut self) -> Self {
        self.is_reused = false;
        self
    }

    /// The client's connection ends behind it.
    pub(super) const fn closed(mut self) -> Self {
        self.stays = false;
        self
    }

    /// The client leaves when it has its answer, in the middle of its request.
    pub(super) const fn leaving(mut self) -> Self {
        self.leaves = true;
        self
    }

    /// Run in two pieces too, split at every place.
    pub(super) const fn split(mut self) -> Self {
        self.is_split = true;
        self
    }

    fn method(&self) -> String {
        let method = self
            .asked
            .split(|byte| *byte == b' ')
            .next()
            .unwrap_or_default();
        String::from_utf8_lossy(method).into_owned()
    }
}

impl Wanted {
    pub(super) const fn with(
        mut self,
        fields: &'static [(&'static str, Option<&'static str>)],
    ) -> Self {
        self.fields = fields;
        self
    }

    pub(super) const fn trailers(
        mut self,
        trailers: &'static [(&'static str, &'static str)],
    ) -> Self {
        self.trailers = trailers;
        self
    }

    pub(super) const fn interim(mut self, interim: &'static [u16]) -> Self {
        self.interim = interim;
        self
    }
}

/// Runs a table in all ways, and panics with what failed.
#[track_caller]
pub(super) fn run(replies: &[Reply]) {
    let house = House::new();
    let failures = failures(&house, replies);
    house.judge(&failures);
}

/// Runs replies in all ways; gives what failed. The backend writes in the way's pieces, the client all at once.
pub(super) fn failures(house: &House, replies: &[Reply]) -> Vec<String> {
    let mut runs = Vec::new();
    for reply in replies {
        runs.extend(Way::ALL.map(|way| (reply, way)));
        for at in 1..if reply.is_split {
            reply.answered.len()
        } else {
            0
        } {
            let writing = Writing::SplitAt(at);
            runs.push((
                reply,
                Way {
                    over_tls: false,
                    writing,
                },
            ));
        }
    }
    house.run(runs.len(), |lane, number| {
        let (reply, way) = runs[number];
        let mut got = String::new();
        run_one(lane, reply, way, &mut got).map_err(|why| {
            format!(
                "{} ({}), {way:?}\n  answered: {}\n  got:      {got}\n  {why}",
                reply.name,
                reply.rfc,
                reply.answered.escape_ascii(),
            )
        })
    })
}

fn run_one(lane: &Lane, reply: &Reply, way: Way, got: &mut String) -> Result<(), String> {
    lane.backend.begin(Some(Script {
        bytes: reply.answered.to_vec(),
        writing: way.writing,
        is_early: reply.is_early,
        then: reply.then,
    }));
    let mut wire = lane
        .call(way.over_tls)
        .map(Wire::new)
        .map_err(|error| error.to_string())?;
    write(&mut wire, reply.asked, Writing::Whole);
    let response = read_response(&mut wire, &reply.method());
    *got = response
        .as_ref()
        .map_or_else(ToString::to_string, ToString::to_string);
    check_response(reply, way.writing, &response)?;
    // All of it has to be there before somebody else asks.
    lane.backend.wait_for_answer()?;
    match &response {
        Ok(response) if response.is_whole() && !reply.leaves => {
            if response.keeps_connection() != reply.stays {
                return Err("it is wrong about what becomes of the connection".to_owned());
            }
            if reply.stays {
                asks(&mut wire, "/probe")?
            } else {
                ends(&mut wire)?
            }
        }
        // What remains of a response that was cut is no place for another.
        Ok(_) | Err(_) => {}
    }
    drop(wire);
    // Another client's, who must get what is for him.
    asks(
        &mut Wire::new(lane.call(false).map_err(|error| error.to_string())?),
        "/sentinel",
    )?;
    check_backend(lane, reply)
}

fn check_response(
    reply: &Reply,
    writing: Writing,
    response: &Result<Response, ClientError>,
) -> Result<(), String> {
    match &reply.shown {
        Shown::Refused(cause) => match response {
            Ok(response)
                if response.status == 502
                    && response.is_whole()
                    && response.cause() == Some(cause) =>
            {
                Ok(())
            }
            _ => Err(format!("not a 502 of {cause}")),
        },
        Shown::Broken => check_broken(response),
        Shown::Passed(wanted) => check_passed(wanted, response),
        Shown::Overrun(wanted) => {
            let at_once = matches!(writing, Writing::Whole) && !wanted.body.is_empty();
            match check_broken(response) {
                Err(_) if !at_once => check_passed(wanted, response),
                judged => judged,
            }
        }
    }
}

fn check_broken(response: &Result<Response, ClientError>) -> Result<(), String> {
    match response {
        Ok(response) if response.cause().is_some() => {
            let is_said = response.status == 502 && response.is_whole();
            is_said.then_some(()).ok_or_else(|| "not a 502".to_owned())
        }
        Ok(response) if response.is_whole() => Err("a broken response looks whole".to_owned()),
        Ok(_) | Err(ClientError::Closed | ClientError::Reset) => Ok(()),
        Err(error) => Err(format!("no end to see: {error}")),
    }
}

fn check_passed(wanted: &Wanted, response: &Result<Response, ClientError>) -> Result<(), String> {
    let response = response
        .as_ref()
        .map_err(|error| format!("no response: {error}"))?;
    if response.cause().is_some() || !response.is_whole() || response.status != wanted.status {
        return Err(format!("not the backend's {}", wanted.status));
    }
    for (name, value) in wanted.fields {
        let values = values_of(&response.head.fields, name);
        if values.as_slice() != value.as_slice() {
            return Err(format!("{name}: {values:?}, not {value:?}"));
        }
    }
    if response.body != wanted.body {
        return Err("another body".to_owned());
    }
    let trailers = response.trailers.0.iter();
    let trailers: Vec<_> = trailers
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    if trailers != wanted.trailers {
        return Err(format!("the trailers {trailers:?}"));
    }
    let interim = response.interim.iter();
    let interim: Vec<_> = interim
        .map(|head| {
            head.first_line
                .split(' ')
                .nth(1)
                .unwrap_or_default()
                .to_owned()
        })
        .collect();
    let expected: Vec<_> = wanted.interim.iter().map(u16::to_string).collect();
    if !interim.starts_with(&expected) || expected.is_empty() && !interim.is_empty() {
        return Err(format!("the interim responses {interim:?}"));
    }
    Ok(())
}

/// Checks that the backend was asked once, and whether its connection was used again.
fn check_backend(lane: &Lane, reply: &Reply) -> Result<(), String> {
    let got = lane.backend.settle("/sentinel")?;
    let asked = |target: &str| {
        let line = format!(" {target} HTTP/1.1");
        let mut asked = got.iter().filter(|got| {
            got.head
                .as_ref()
                .is_some_and(|head| head.first_line.ends_with(&line))
        });
        match (asked.next(), asked.next()) {
            (Some(once), None) => Ok(once),
            _ => Err(format!("{target} did not come once: {got:?}")),
        }
    };
    let (case, sentinel) = (asked("/case")?, asked("/sentinel")?);
    let broken = got.iter().find(|got| {
        got.head.is_none()
            || matches!(got.body, Body::Broken(_)) && got.connection != case.connection
    });
    if let Some(broken) = broken {
        return Err(format!("the backend got what is no request: {broken:?}"));
    }
    let follows = |got: &Got| got.connection == case.connection && !std::ptr::eq(got, case);
    let is_reused = got.iter().any(follows);
    if is_reused == reply.is_reused {
        return Ok(());
    }
    let how = if is_reused { "" } else { " not" };
    Err(format!(
        "the backend's connection was{how} used again: {sentinel:?}"
    ))
}
