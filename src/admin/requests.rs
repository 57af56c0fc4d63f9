//! `/v1/requests`: what is remembered of requests of late, with cause and remedy of what went wrong.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::Instance;
use super::problem::Problem;
use crate::telemetry::Cause;
use crate::telemetry::recent::Remembered;

/// What is wanted of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    errors: bool,
    limit: usize,
}

/// One request.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct Story {
    /// The line of the access log.
    #[schema(value_type = Object)]
    pub request: Map<String, Value>,
    /// What the codes in it mean.
    pub causes: BTreeMap<String, Meaning>,
}

/// The last requests.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct Stories {
    /// Lines of the access log, the latest first.
    #[schema(value_type = Vec<Object>)]
    pub requests: Vec<Map<String, Value>>,
    /// What the codes in them mean.
    pub causes: BTreeMap<String, Meaning>,
}

/// What a code means.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub struct Meaning {
    /// What happened.
    pub meaning: String,
    /// What can be done about it.
    pub remedy: String,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            errors: false,
            limit: USUAL,
        }
    }
}

impl Wanted {
    /// Reads a query: `errors=true&limit=20`, either, or neither.
    pub(super) fn read(query: &str) -> Result<Self, Problem> {
        let mut wanted = Self::default();
        for part in query.split('&').filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some(("errors", "true")) => wanted.errors = true,
                Some(("errors", "false")) => wanted.errors = false,
                Some(("limit", number)) if number.parse::<u32>().is_ok() => {
                    wanted.limit = number.parse().unwrap_or(USUAL);
                }
                _ => {
                    return Err(Problem::bad(format!(
                        "{part:?} is not understood: write errors=true, and limit=20 or another number"
                    )));
                }
            }
        }
        Ok(wanted)
    }
}

/// The story of one request.
pub(super) fn story(instance: &Instance, id: &str) -> Result<Story, Problem> {
    let found = instance.recent.find(id.as_bytes());
    let found = found.ok_or_else(|| {
        Problem::not_found(format!(
            "no request {id:?} is remembered: it is too long ago, never came, or was one of many without failure (`recent` under [log] says how many are)"
        ))
    })?;
    let mut causes = BTreeMap::new();
    let request = read(&found, &mut causes);
    Ok(Story { request, causes })
}

/// The last requests.
pub(super) fn stories(instance: &Instance, wanted: Wanted) -> Stories {
    let last = instance.recent.last(wanted.limit.min(MOST), wanted.errors);
    let mut causes = BTreeMap::new();
    let requests = last.iter().map(|request| read(request, &mut causes));
    Stories {
        requests: requests.collect(),
        causes,
    }
}

/// Reads a line, and adds the codes in it to those that are told of.
fn read(request: &Remembered, causes: &mut BTreeMap<String, Meaning>) -> Map<String, Value> {
    let line: Map<String, Value> = serde_json::from_slice(&request.line).unwrap_or_default();
    let of_all = line.get("forecourt.error");
    let attempts = line.get("forecourt.attempts").and_then(Value::as_array);
    let of_each = attempts.into_iter().flatten();
    let codes = of_all
        .into_iter()
        .chain(of_each.filter_map(|attempt| attempt.get("cause")));
    for code in codes.filter_map(Value::as_str) {
        let cause = Cause::ALL.iter().find(|cause| cause.as_str() == code);
        if let Some(cause) = cause {
            causes.entry(code.to_owned()).or_insert_with(|| Meaning {
                meaning: cause.meaning().to_owned(),
                remedy: cause.remedy().to_owned(),
            });
        }
    }
    line
}

/// Requests of the list unless somebody wants more or fewer.
const USUAL: usize = 100;
/// Nobody reads more at once.
const MOST: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read_or_refused() {
        for (query, errors, limit) in [
            ("", false, USUAL),
            ("errors=true", true, USUAL),
            ("errors=false&limit=3", false, 3),
            ("limit=0&errors=true", true, 0),
        ] {
            assert_eq!(Wanted::read(query), Ok(Wanted { errors, limit }), "{query}");
        }
        for query in [
            "error=true",
            "errors",
            "limit=x",
            "limit=-1",
            "limit=99999999999",
        ] {
            assert!(Wanted::read(query).is_err(), "{query}");
        }
    }
}
