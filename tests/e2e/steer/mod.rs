//! Backends are steered while they serve, and nobody's request is lost by it.
//!
//! `words` (drain, maintenance, weights, and what outlives a reload), `callers` (who may steer), `retries` (where a request goes on), `doctor` (what is seen of it), `fleet` (all backends
//! restarted one by one).

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod callers;
mod doctor;
mod fleet;
mod retries;
mod words;

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use serde_json::Value;

use crate::harness::{Balancer, Origin, Request, Response, program};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Backends behind an instance that can be steered by the token. The folder of the token ends with the test.
#[derive(Debug)]
struct Steered {
    balancer: Balancer,
    folder: tempfile::TempDir,
}

impl Steered {
    fn before(pool: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(token_in(&folder), format!("{TOKEN}\n")).unwrap();
        let balancer = Balancer::start(&configuration(&folder, pool));
        Self { balancer, folder }
    }

    /// The configuration with these pools, to be loaded in place of the first.
    fn configuration(&self, pool: &str) -> String {
        configuration(&self.folder, pool)
    }

    /// `forecourt backend` with these words, the origin's address in the place of `@`.
    fn command(&self, words: &str, origin: &Origin) -> Output {
        self.command_at(words, &origin.address().to_string())
    }

    /// The same for any address.
    fn command_at(&self, words: &str, address: &str) -> Output {
        let admin = format!("http://{}", self.balancer.address("admin"));
        let token = token_in(&self.folder);
        let mut arguments = vec!["backend"];
        arguments.extend(words.split_whitespace().map(|word| match word {
            "@" => address,
            word => word,
        }));
        arguments.extend(["--admin", &admin, "--token-file", token.to_str().unwrap()]);
        program(&arguments)
    }

    /// The same, which must succeed; says what it printed.
    #[track_caller]
    fn steer(&self, words: &str, origin: &Origin) -> String {
        let output = self.command(words, origin);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{words}: {said}{errors}");
        assert!(errors.is_empty(), "{errors}");
        said
    }

    /// How a backend stands.
    #[track_caller]
    fn status(&self, origin: &Origin) -> Value {
        let answer = self.balancer.admin(&path(origin));
        assert_eq!(answer.status, 200, "{answer}");
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// Sends a wish with the token and these further fields.
    #[track_caller]
    fn put(&self, origin: &Origin, body: &str, fields: &[(&str, &str)]) -> Response {
        let mut request = Request::put(&path(origin), body.as_bytes()).without_host();
        for (name, value) in fields {
            request = request.field(name, value);
        }
        self.balancer.client("admin").send(&request)
    }
}

fn path(origin: &Origin) -> String {
    format!("/v1/pools/shop/backends/{}", origin.address())
}

fn token_in(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("admin.token")
}

fn configuration(folder: &tempfile::TempDir, pool: &str) -> String {
    let token = token_in(folder);
    let admin = format!("[admin]\ntoken_file = \"{}\"\n", token.display());
    Balancer::front("shop").replace("[admin]\n", &admin) + pool
}
