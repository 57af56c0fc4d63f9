//! `forecourt backend …`: steers one backend of a running instance, by its admin API.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Subcommand;
use serde_json::{Value, json};

use super::reach::{Reach, TokenError};
use super::{NO_INSTANCE, complain, fail, say};
use crate::admin::client::{self, Answer, ClientError};
use crate::admin::status::BackendStatus;

/// What is to be done with a backend.
#[derive(Debug, Subcommand)]
pub(super) enum Steer {
    /// Send it nothing new; sessions that a cookie binds to it stay.
    Drain(Emptying),
    /// Let it take what comes: undoes `drain` and `maint`.
    Ready(Target),
    /// Send it nothing, not even sessions that a cookie binds to it; what runs may end.
    Maint(Emptying),
    /// Give it another share of new requests, until the configuration says another one.
    Weight {
        #[command(flatten)]
        target: Target,
        /// The share; 0 for nothing new.
        #[arg(value_name = "N")]
        weight: u32,
    },
}

/// Which backend, and where.
#[derive(Debug, clap::Args)]
pub(super) struct Target {
    /// Its pool.
    #[arg(value_name = "POOL")]
    pool: String,
    /// Its address, as the configuration writes it.
    #[arg(value_name = "ADDRESS")]
    address: String,
    #[command(flatten)]
    reach: Reach,
    /// Print how it stands afterwards as JSON.
    #[arg(long)]
    json: bool,
}

/// A backend that is to be emptied.
#[derive(Debug, clap::Args)]
pub(super) struct Emptying {
    #[command(flatten)]
    target: Target,
    /// After so long no session comes either, and WebSockets are told to go (1001). Default: as `[pools.*.drain]` says.
    #[arg(long, value_name = "TIME")]
    deadline: Option<String>,
    /// Return only when no request and no WebSocket is left there.
    #[arg(long)]
    wait: bool,
    /// How long to wait.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = crate::demo::command::duration, requires = "wait")]
    timeout: Duration,
}

/// Why a backend was not steered.
#[derive(Debug, thiserror::Error)]
pub(super) enum SteerError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("{0}")]
    Refused(String),
    #[error("{left} still there after {after:?}; it stays {state}")]
    NotEmpty {
        left: String,
        after: Duration,
        state: String,
    },
    #[error("somebody else has set it {0} meanwhile")]
    Undone(String),
}

impl Steer {
    /// Does it, and says how the backend stands then.
    pub(super) fn execute(&self) -> ExitCode {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return fail(&error),
        };
        let (target, wish, wait) = self.wish();
        let steered = runtime.block_on(async {
            let status = target.put(&wish).await?;
            match wait {
                Some(timeout) => target.wait_until_empty(status, timeout).await,
                None => Ok(status),
            }
        });
        match steered {
            Ok(status) => {
                target.tell(&status);
                ExitCode::SUCCESS
            }
            Err(SteerError::Client(error)) => {
                complain(&format!("error: {error}"));
                NO_INSTANCE.into()
            }
            Err(error) => fail(&error),
        }
    }

    fn wish(&self) -> (&Target, Value, Option<Duration>) {
        match self {
            Self::Drain(emptying) => emptying.wish("draining"),
            Self::Maint(emptying) => emptying.wish("maintenance"),
            Self::Ready(target) => (target, json!({"state": "ready"}), None),
            Self::Weight { target, weight } => (target, json!({"weight": weight}), None),
        }
    }
}

impl Emptying {
    fn wish(&self, state: &str) -> (&Target, Value, Option<Duration>) {
        let wait = self.wait.then_some(self.timeout);
        let mut wish = json!({"state": state});
        if let Some(deadline) = &self.deadline {
            wish["deadline"] = json!(deadline);
        }
        (&self.target, wish, wait)
    }
}

impl Target {
    async fn put(&self, wish: &Value) -> Result<BackendStatus, SteerError> {
        let (address, token) = (self.reach.address(), self.reach.token()?);
        let wish = wish.to_string();
        let answer = client::put(&address, &self.path(), token.as_deref(), wish).await?;
        self.read(answer)
    }

    async fn look(&self) -> Result<BackendStatus, SteerError> {
        let (address, token) = (self.reach.address(), self.reach.token()?);
        let answer = client::ask_as(&address, &self.path(), token.as_deref()).await?;
        self.read(answer)
    }

    async fn wait_until_empty(
        &self,
        first: BackendStatus,
        timeout: Duration,
    ) -> Result<BackendStatus, SteerError> {
        let begun = Instant::now();
        let mut status = first;
        let wanted = status.state.clone();
        let mut shown = None;
        let mut seen_empty = false;
        // Seen twice: a worker may have chosen by what it knew a moment before, and not have begun yet.
        while status.in_flight > 0 || !seen_empty {
            seen_empty = status.in_flight == 0;
            // A drain becomes maintenance at its deadline.
            if status.state != wanted && status.state == "ready" {
                return Err(SteerError::Undone(status.state));
            }
            if begun.elapsed() >= timeout {
                return Err(SteerError::NotEmpty {
                    left: left(&status),
                    after: timeout,
                    state: status.state,
                });
            }
            if std::io::stderr().is_terminal() && shown != Some(status.in_flight) {
                complain(&left(&status));
                shown = Some(status.in_flight);
            }
            tokio::time::sleep(LOOK).await;
            status = self.look().await?;
        }
        Ok(status)
    }

    fn read(&self, answer: Answer) -> Result<BackendStatus, SteerError> {
        if answer.status.is_success() {
            let read = serde_json::from_slice(&answer.body);
            return read.map_err(|error| self.strange(error.to_string()));
        }
        let problem: Option<Value> = serde_json::from_slice(&answer.body).ok();
        let detail = problem
            .as_ref()
            .and_then(|problem| problem["detail"].as_str());
        match detail {
            Some(detail) => Err(SteerError::Refused(detail.to_owned())),
            None => Err(self.strange(answer.status.to_string())),
        }
    }

    fn strange(&self, what: String) -> SteerError {
        ClientError::Strange(self.reach.address().to_string(), what).into()
    }

    fn path(&self) -> String {
        path_of(&self.pool, &self.address)
    }

    fn tell(&self, status: &BackendStatus) {
        if self.json {
            match serde_json::to_string(status) {
                Ok(text) => say(&text),
                Err(error) => complain(&format!("error: {error}")),
            }
            return;
        }
        let weight = if status.weight == status.weight_configured {
            status.weight.to_string()
        } else {
            format!(
                "{} ({} configured)",
                status.weight, status.weight_configured
            )
        };
        say(&format!(
            "{} {}: {}, weight {weight}, {} in flight",
            self.pool, status.address, status.standing, status.in_flight
        ));
    }
}

/// The path of a backend in the admin API.
pub(super) fn path_of(pool: &str, address: &str) -> String {
    let (pool, address) = (encoded(pool), encoded(address));
    format!("/v1/pools/{pool}/backends/{address}")
}

/// What is left at a backend.
fn left(status: &BackendStatus) -> String {
    let requests = status.in_flight.saturating_sub(status.streams);
    format!("{requests} requests and {} WebSockets", status.streams)
}

/// A segment of a path (RFC 3986 section 3.3).
pub(super) fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// From one look to the next.
const LOOK: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_encoded() {
        assert_eq!(encoded("127.0.0.1:80"), "127.0.0.1:80");
        assert_eq!(encoded("[::1]:80"), "%5B::1%5D:80");
        assert_eq!(encoded("unix:/a b/ü?#%"), "unix:%2Fa%20b%2F%C3%BC%3F%23%25");
    }
}
