//! Requests that change the configuration, or tell of its changes: what they say, and how they are answered.

use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Instance;
use super::guard::Who;
use super::order::{Done, Refusal, Wish};
use super::problem::Problem;
use crate::health::trial::Terms;

/// What a reload or a rollback is asked for with: the query of the request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Parameters {
    /// Whether only the difference is wanted; of a reload.
    #[serde(default)]
    dry_run: bool,
    /// How long it is on trial, such as `30s`. Goes back then unless it is confirmed, and at once if requests fail or slow down.
    confirm: Option<String>,
    /// By how many of a hundred requests failures may rise on trial, such as `5%`. Goes with `confirm`.
    errors: Option<String>,
    /// What 99 of 100 requests may take on trial, such as `800ms`. Goes with `confirm`.
    latency: Option<String>,
}

impl Parameters {
    /// What is wanted of a reload.
    pub(super) fn reload(&self) -> Result<Wish, Problem> {
        let terms = self.terms()?;
        match (self.dry_run, terms) {
            (true, None) => Ok(Wish::TryOut),
            (true, Some(_)) => Err(Problem::bad("dry_run changes nothing: drop `confirm`")),
            (false, terms) => Ok(Wish::Reload(terms)),
        }
    }

    /// What is wanted of a rollback.
    pub(super) fn rollback(&self, generation: &str) -> Result<Wish, Problem> {
        if self.dry_run {
            return Err(Problem::bad("a rollback knows no dry_run"));
        }
        let number = generation.parse();
        let number = number.map_err(|_| {
            Problem::not_found(format!(
                "{generation:?} is no number of a generation; see /v1/config/history"
            ))
        })?;
        Ok(Wish::Rollback(number, self.terms()?))
    }

    fn terms(&self) -> Result<Option<Terms>, Problem> {
        let Some(time) = &self.confirm else {
            if self.errors.is_some() || self.latency.is_some() {
                return Err(Problem::bad(
                    "`errors` and `latency` go with `confirm` only",
                ));
            }
            return Ok(None);
        };
        let mut terms = Terms::lasting(time_of("confirm", time, TRIAL_MOST)?);
        if let Some(text) = &self.errors {
            let percent = text.strip_suffix('%').unwrap_or(text).parse().ok();
            let percent = percent.filter(|percent| (1..=100).contains(percent));
            terms.errors = percent.ok_or_else(|| {
                Problem::bad(format!(
                    "errors {text:?} is no share such as \"5%\", from 1% to 100%"
                ))
            })?;
        }
        if let Some(text) = &self.latency {
            terms.latency = Some(time_of("latency", text, TRIAL_MOST)?);
        }
        Ok(Some(terms))
    }
}

fn time_of(name: &str, text: &str, most: Duration) -> Result<Duration, Problem> {
    let parsed: Option<jiff::SignedDuration> = text.parse().ok();
    let time = parsed.and_then(|time| Duration::try_from(time).ok());
    let fits = time.filter(|time| !time.is_zero() && *time <= most);
    fits.ok_or_else(|| {
        Problem::bad(format!(
            "{name} {text:?} is no time such as \"30s\", up to an hour"
        ))
    })
}

/// Has whoever governs do it, and answers with what was done.
pub(super) async fn order(instance: &Instance, who: &Who, wish: Wish) -> Response {
    order_of(instance, who.to_string(), wish).await
}

/// The same for wishes that change nothing, on nobody's behalf.
pub(super) async fn ask(instance: &Instance, wish: Wish) -> Response {
    order_of(instance, String::new(), wish).await
}

async fn order_of(instance: &Instance, who: String, wish: Wish) -> Response {
    match instance.order(who, wish).await {
        Ok(Ok(done)) => match done {
            Done::Configuration(configuration) => Json(configuration).into_response(),
            Done::History(history) => Json(history).into_response(),
            Done::Outcome(outcome) => Json(outcome).into_response(),
            Done::Trial(status) => Json(status).into_response(),
        },
        Ok(Err(refusal)) => refusal.into_problem().into_response(),
        Err(why) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, why).into_response(),
    }
}

impl Refusal {
    fn into_problem(self) -> Problem {
        match self {
            Self::Bad(problems) => Problem::of_configuration(problems),
            Self::Conflict(why) => Problem::new(StatusCode::CONFLICT, why),
            Self::Unknown(why) => Problem::not_found(why),
        }
    }
}

/// Whoever is away for longer does not look.
const TRIAL_MOST: Duration = Duration::from_secs(60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(query: &str) -> Parameters {
        let uri = format!("/?{query}").parse().unwrap();
        axum::extract::Query::try_from_uri(&uri).unwrap().0
    }

    fn status(wish: Result<Wish, Problem>) -> u16 {
        wish.unwrap_err().status().as_u16()
    }

    #[test]
    fn wishes_are_read_as_people_write_them() {
        assert_eq!(parameters("").reload().unwrap(), Wish::Reload(None));
        let tried = parameters("dry_run=true").reload();
        assert_eq!(tried.unwrap(), Wish::TryOut);
        let mut terms = Terms::lasting(Duration::from_secs(30));
        let trial = parameters("confirm=30s").reload().unwrap();
        assert_eq!(trial, Wish::Reload(Some(terms)));
        terms.errors = 2;
        terms.latency = Some(Duration::from_millis(800));
        let trial = parameters("confirm=30s&errors=2%25&latency=800ms").rollback("7");
        assert_eq!(trial.unwrap(), Wish::Rollback(7, Some(terms)));
    }

    #[test]
    fn wishes_that_mean_nothing_are_refused() {
        for bad in [
            "confirm=0s",
            "confirm=soon",
            "confirm=2h",
            "confirm=-5s",
            "errors=5%25",
            "latency=1s",
            "confirm=5s&errors=0",
            "confirm=5s&errors=101",
            "confirm=5s&errors=x",
            "confirm=5s&latency=0s",
            "dry_run=true&confirm=5s",
        ] {
            assert_eq!(status(parameters(bad).reload()), 400, "{bad}");
        }
        assert_eq!(status(parameters("").rollback("x")), 404);
        assert_eq!(status(parameters("dry_run=true").rollback("1")), 400);
    }
}
