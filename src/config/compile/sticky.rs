//! `[pools.*.sticky]`.

use std::sync::Arc;

use super::scope::{Given, Zero};
use crate::config::outside::{self, Outside};
use crate::config::problem::Finding;
use crate::config::raw::pool as raw;
use crate::config::secret::{SECRET_BYTES_LEAST, SecretError};
use crate::strategy::{SameSite, StickyKey, StickySpec};

pub(super) fn sticky(given: &Given<'_, raw::Sticky>, outside: &Outside) -> StickySpec {
    let Given { value, scope, .. } = given;
    let mut keys = Vec::new();
    match scope.get("secret", &value.secret) {
        Some(secret) => keys.extend(key(&secret, outside)),
        None if value.secret.is_some() => {}
        None => keys.extend(random_key(given, outside)),
    }
    if let Some(previous) = scope.get("previous", &value.previous) {
        keys.extend(
            previous
                .elements()
                .iter()
                .filter_map(|secret| key(secret, outside)),
        );
    }
    StickySpec {
        cookie: scope
            .get("cookie", &value.cookie)
            .filter(is_cookie_name)
            .map(|name| Arc::from(name.value.as_str())),
        keys,
        same_site: scope.word("same_site", &value.same_site, SameSite::Auto, &SAME_SITES),
        max_idle: scope.optional_duration("max_idle", &value.max_idle, Zero::Refused),
        max_life: scope.optional_duration("max_life", &value.max_life, Zero::Refused),
    }
}

/// The key that stands in for one that is not given.
fn random_key(given: &Given<'_, raw::Sticky>, outside: &Outside) -> Option<StickyKey> {
    let help = "add secret = { file = \"sticky.key\" }";
    let Some(secret) = &outside.random_secret else {
        let finding = Finding::error("no secret, and the system gives no random one");
        given.report(finding.help(help));
        return None;
    };
    let finding = Finding::warning("no secret: a random one is used until forecourt is restarted");
    given.report(finding.help(format!(
        "after a restart, and on every other instance, sessions lose their backend; {help}"
    )));
    sealing(given, secret.bytes())
}

fn key(given: &Given<'_, raw::Secret>, outside: &Outside) -> Option<StickyKey> {
    let Given { value, scope, .. } = given;
    let file = scope.get("file", &value.file);
    let env = scope.get("env", &value.env);
    let place = file.or(env);
    let Some(source) = outside::secret_source(value, scope.folder()) else {
        let wrong_type = place.is_none() && (value.file.is_some() || value.env.is_some());
        if !wrong_type {
            let finding = Finding::error("a secret has exactly one of `file` and `env`");
            given
                .report(finding.help(
                    "secret = { file = \"sticky.key\" } or secret = { env = \"FC_STICKY\" }",
                ));
        }
        return None;
    };
    match outside.secrets.get(&source)? {
        Ok(secret) => sealing(given, secret.bytes()),
        Err(error) => {
            let finding = Finding::error(error.to_string());
            let finding = match error {
                SecretError::TooShort(_) => finding.help(format!(
                    "make one with: openssl rand -hex {}",
                    SECRET_BYTES_LEAST * 2
                )),
                SecretError::NoVariable(_)
                | SecretError::Unreadable { .. }
                | SecretError::TooLong => finding,
            };
            place.as_ref()?.report(finding);
            None
        }
    }
}

/// Secrets were measured when they were read; should one be too short nevertheless, it is a problem like others.
fn sealing<T>(given: &Given<'_, T>, secret: &[u8]) -> Option<StickyKey> {
    StickyKey::new(secret)
        .map_err(|error| given.report(Finding::error(error.to_string())))
        .ok()
}

/// A cookie's name is a token (RFC 6265 section 4.1.1, RFC 9110 section 5.6.2).
fn is_cookie_name(name: &Given<'_, String>) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let good = !name.value.is_empty() && name.value.bytes().all(is_token);
    if !good {
        let finding = Finding::error(format!("{:?} cannot be the name of a cookie", name.value));
        name.report(finding.help("letters, digits, `-` and `_` can"));
    }
    good
}

/// What browsers know, and "auto": `None` where the client came by TLS, so that a payment provider's POST back finds
/// its session, and `Lax` where it did not, because browsers refuse `None` there.
pub(in crate::config) const SAME_SITES: [(&str, SameSite); 4] = [
    ("auto", SameSite::Auto),
    ("lax", SameSite::Lax),
    ("none", SameSite::None),
    ("strict", SameSite::Strict),
];
