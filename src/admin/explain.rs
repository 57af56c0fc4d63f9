//! `POST /v1/explain`: what would become of a request now. It changes nothing, so whoever may look may ask.

use super::Instance;
use super::problem::Problem;
use crate::explain::{Answer, Asked, Occasion, Question};

/// Answers what the body of a request asks.
pub(super) fn explain(instance: &Instance, body: &[u8]) -> Result<Answer, Problem> {
    let asked: Asked = serde_json::from_slice(body).map_err(|error| {
        Problem::bad(format!(
            "{error}; expected {{\"url\": \"http://HOST/PATH\"}}, and as you like \"method\", \"client\" (an IP address), \"headers\" ([\"NAME: VALUE\"]), \"listener\" and \"all\""
        ))
    })?;
    let snapshot = instance.snapshots.load();
    let question =
        Question::ask(&asked, &snapshot.plan).map_err(|error| Problem::bad(error.to_string()))?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.map_or(0, |since| since.as_secs());
    Ok(Answer::to(question, &snapshot, Occasion::Running, now))
}
