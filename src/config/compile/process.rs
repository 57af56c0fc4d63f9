//! `[server]`, `[admin]`, `[log]`, `[trace]` and `[dns]`.

use std::net::{IpAddr, SocketAddr};

use super::address::{self, Example};
use super::export;
use super::scope::{Given, Scope, Zero};
use crate::config::outside::Outside;
use crate::config::problem::Finding;
use crate::config::raw::loose::List;
use crate::config::raw::process as raw;
use crate::config::secret::SecretSource;
use crate::plan::process::{
    AccessFormat, AccessLog, AccessTarget, ClientIp, Level, Shutdown, Trace, TraceContext,
};
use crate::plan::{Admin, AdminToken, Dns, Log, Server};

pub(super) fn server(given: Option<&Given<'_, raw::Server>>, cores: usize) -> Server {
    let Some(Given { value, scope, .. }) = given else {
        return Server {
            workers: cores.max(1),
            shutdown: shutdown(None),
        };
    };
    let workers = match scope.integer("workers", &value.workers, 0, 0..=raw::WORKERS_MOST) {
        0 => cores.max(1),
        workers => workers,
    };
    Server {
        workers,
        shutdown: shutdown(scope.get("shutdown", &value.shutdown)),
    }
}

fn shutdown(given: Option<Given<'_, raw::Shutdown>>) -> Shutdown {
    let Some(Given { value, scope, .. }) = given else {
        return Shutdown {
            delay: raw::SHUTDOWN_DELAY,
            deadline: raw::SHUTDOWN_DEADLINE,
            spread: raw::SHUTDOWN_SPREAD,
        };
    };
    Shutdown {
        delay: scope.duration("delay", &value.delay, raw::SHUTDOWN_DELAY, Zero::Allowed),
        deadline: scope.duration(
            "deadline",
            &value.deadline,
            raw::SHUTDOWN_DEADLINE,
            Zero::Allowed,
        ),
        spread: scope.duration("spread", &value.spread, raw::SHUTDOWN_SPREAD, Zero::Allowed),
    }
}

pub(super) fn admin(given: &Given<'_, raw::Admin>, outside: &Outside) -> Option<Admin> {
    let token = token(given, outside);
    let tls = given.scope.get("tls", &given.value.tls);
    let Some(written) = given.scope.get("address", &given.value.address) else {
        if given.value.address.is_none() {
            let finding = Finding::error("`admin` has no address");
            given.report(finding.help(
                "add address = \"127.0.0.1:9900\", or leave [admin] out to have no admin listener",
            ));
        }
        return None;
    };
    let address = match address::listen(written.value, given.scope.folder()) {
        Ok(address) => address,
        Err(error) => {
            written.report(Finding::error(error.to_string()).help(error.help(Example::Listener)));
            return None;
        }
    };
    let missing = match (given.value.token_file.is_none(), tls.is_none()) {
        _ if !address.is_reachable() => None,
        (true, true) => Some("neither `token_file` nor `tls`"),
        (true, false) => Some("no `token_file`"),
        (false, true) => Some("no `tls`"),
        (false, false) => None,
    };
    if let Some(missing) = missing {
        let finding = Finding::error(format!(
            "other machines can reach this admin address, and there is {missing}"
        ));
        written.report(finding.help(
            "give it token_file = \"FILE\" (openssl rand -hex 32 > FILE) and [[admin.tls.certificates]] with `certificate` and `key`; or use 127.0.0.1, [::1] or \"unix:/path\", and come in by SSH: ssh -L 9900:127.0.0.1:9900 HOST",
        ));
    }
    let tls = tls.map(|tls| super::tls::tls(&tls, Some(&address), outside));
    missing.is_none().then_some(Admin {
        address,
        token,
        tls,
    })
}

pub(super) fn dns(given: Option<&Given<'_, raw::Dns>>) -> Dns {
    let default = Dns::default();
    let Some(Given { value, scope, .. }) = given else {
        return default;
    };
    let min_ttl = scope.duration("min_ttl", &value.min_ttl, default.min_ttl, Zero::Refused);
    let max_ttl = scope.get("max_ttl", &value.max_ttl);
    let longest = scope.duration("max_ttl", &value.max_ttl, default.max_ttl, Zero::Refused);
    if let Some(written) = max_ttl
        && longest < min_ttl
    {
        written.report(Finding::error("`max_ttl` is shorter than `min_ttl`"));
    }
    let servers = scope.get("servers", &value.servers);
    let servers = servers.map_or_else(Vec::new, |list| {
        if list.value.is_empty() {
            let finding = Finding::error("there is no name server to ask");
            list.report(finding.help("leave `servers` out to ask those of /etc/resolv.conf"));
        }
        list.elements().iter().filter_map(name_server).collect()
    });
    Dns {
        servers,
        timeout: scope.duration("timeout", &value.timeout, default.timeout, Zero::Refused),
        min_ttl,
        max_ttl: longest.max(min_ttl),
        max_addresses: scope.integer(
            "max_addresses",
            &value.max_addresses,
            default.max_addresses,
            1..=raw::ADDRESSES_MOST,
        ),
        required: scope
            .get("required", &value.required)
            .map_or(default.required, |written| *written.value),
    }
}

/// `10.0.0.53`, or with another port than 53 `10.0.0.53:5353`.
fn name_server(given: &Given<'_, String>) -> Option<SocketAddr> {
    let text = given.value.as_str();
    let ip = text.trim_start_matches('[').trim_end_matches(']').parse();
    let address = text
        .parse()
        .or_else(|_| ip.map(|ip: IpAddr| SocketAddr::new(ip, 53)));
    match address {
        Ok(address) if !address.ip().is_unspecified() && address.port() != 0 => Some(address),
        _ => {
            let finding = Finding::error(format!("{text:?} is not the address of a name server"));
            given.report(finding.help(
                "such as \"10.0.0.53\" or \"[::1]:5353\": it is needed before names mean anything",
            ));
            None
        }
    }
}

fn token(given: &Given<'_, raw::Admin>, outside: &Outside) -> Option<AdminToken> {
    let file = given.scope.get("token_file", &given.value.token_file)?;
    let source = SecretSource::File(given.scope.folder().join(file.value));
    match outside.secrets.get(&source)? {
        Ok(secret) if is_token(secret.bytes()) => Some(AdminToken::new(secret.bytes())),
        Ok(_) => {
            let finding = Finding::error("a token consists of letters, digits and `-._~+/=` only");
            file.report(finding.help("make one with: openssl rand -hex 32"));
            None
        }
        Err(error) => {
            let finding = Finding::error(error.to_string());
            file.report(finding.help("make one with: openssl rand -hex 32"));
            None
        }
    }
}

/// What can stand behind `Bearer` (RFC 6750 section 2.1).
fn is_token(bytes: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
    bytes.iter().all(fits)
}

pub(super) fn log(given: Option<&Given<'_, raw::Log>>) -> Log {
    let Some(Given { value, scope, .. }) = given else {
        return Log {
            level: Level::Info,
            access: access(None),
            recent: raw::RECENT,
        };
    };
    Log {
        level: scope.word("level", &value.level, Level::Info, &LEVELS),
        access: access(scope.get("access", &value.access)),
        recent: scope.integer("recent", &value.recent, raw::RECENT, 0..=raw::RECENT_MOST),
    }
}

fn access(given: Option<Given<'_, raw::Access>>) -> AccessLog {
    let default = AccessLog::default();
    let Some(Given { value, scope, .. }) = given else {
        return default;
    };
    let format = scope.word("format", &value.format, default.format, &FORMATS);
    let query = scope.get("query", &value.query);
    let query = query.map_or(default.query, |query| *query.value);
    let headers = scope.get("headers", &value.headers).map_or_else(
        // The format has a place for both, and whoever reads it expects them.
        || [format == AccessFormat::Combined; 2],
        |list| headers(&list),
    );
    let redact = scope.get("redact", &value.redact);
    if let Some(list) = &redact
        && !query
    {
        let finding = Finding::warning("there is nothing to mask: queries are not logged");
        list.report(finding.help("`query = true` logs them, but for the values of these"));
    }
    AccessLog {
        target: scope
            .get("path", &value.path)
            .map_or(default.target, |path| target(&path, &scope)),
        format,
        sample: scope.percent("sample", &value.sample, default.sample),
        slow: scope.duration("slow", &value.slow, default.slow, Zero::Allowed),
        client_ip: scope.word(
            "client_ip",
            &value.client_ip,
            default.client_ip,
            &CLIENT_IPS,
        ),
        query,
        redact: redact.map_or(default.redact, |list| parameters(&list)),
        referer: headers[0],
        user_agent: headers[1],
        decision: scope
            .get("decision", &value.decision)
            .map_or(default.decision, |written| *written.value),
    }
}

/// Whether `Referer` and `User-Agent` are in a list of fields.
fn headers(list: &Given<'_, List<String>>) -> [bool; 2] {
    let mut wanted = [false; 2];
    for name in list.elements() {
        let known = HEADERS
            .iter()
            .position(|known| known.eq_ignore_ascii_case(name.value));
        match known {
            Some(known) => wanted[known] = true,
            None => {
                let what = format!("the access log has no place for the field {:?}", name.value);
                name.report(Finding::error(what).help("it has for \"referer\" and \"user-agent\""));
            }
        }
    }
    wanted
}

fn parameters(list: &Given<'_, List<String>>) -> Vec<Box<str>> {
    let named = list.elements().into_iter().filter_map(|name| {
        let is_plain = !name.value.is_empty() && !name.value.contains(['&', ';', '=', '[', ']']);
        if !is_plain {
            let finding = Finding::error(format!("{:?} is not the name of a parameter", name.value));
            name.report(finding.help(
                "as it is without escapes, such as \"token\"; \"password\" is also that of `user[password]`",
            ));
        }
        is_plain.then(|| Box::from(name.value.as_str()))
    });
    named.collect()
}

pub(super) fn trace(given: Option<&Given<'_, raw::Trace>>, outside: &Outside) -> Trace {
    let default = Trace::default();
    let Some(Given { value, scope, .. }) = given else {
        return default;
    };
    let export = scope.get("export", &value.export);
    // Whoever wants traces wants them of requests that come without one as well.
    let usual = match *value.export {
        Some(_) => TraceContext::Begin,
        None => default.context,
    };
    let context = scope.word("context", &value.context, usual, &CONTEXTS);
    if let Some(sample) = scope.get("sample", &value.sample)
        && context == TraceContext::Pass
    {
        let finding = Finding::warning("no trace begins here, so there is nothing to sample");
        sample.report(finding.help("`context = \"begin\"` begins one where there is none"));
    }
    Trace {
        context,
        sample: scope.percent("sample", &value.sample, default.sample),
        export: export.and_then(|given| export::export(&given, outside)),
    }
}

fn target(path: &Given<'_, String>, scope: &Scope<'_>) -> AccessTarget {
    match path.value.as_str() {
        "stdout" => AccessTarget::Stdout,
        "off" => AccessTarget::Off,
        "" => {
            path.report(Finding::error("the path is empty").help("\"stdout\", \"off\" or a file"));
            AccessTarget::Stdout
        }
        file => AccessTarget::File(scope.folder().join(file)),
    }
}

pub(in crate::config) const LEVELS: [(&str, Level); 5] = [
    ("error", Level::Error),
    ("warn", Level::Warn),
    ("info", Level::Info),
    ("debug", Level::Debug),
    ("trace", Level::Trace),
];

pub(in crate::config) const FORMATS: [(&str, AccessFormat); 3] = [
    ("json", AccessFormat::Json),
    ("combined", AccessFormat::Combined),
    ("text", AccessFormat::Text),
];

pub(in crate::config) const CLIENT_IPS: [(&str, ClientIp); 3] = [
    ("full", ClientIp::Full),
    ("truncated", ClientIp::Truncated),
    ("off", ClientIp::Off),
];

const HEADERS: [&str; 2] = ["referer", "user-agent"];

pub(in crate::config) const CONTEXTS: [(&str, TraceContext); 3] = [
    ("pass", TraceContext::Pass),
    ("begin", TraceContext::Begin),
    ("restart", TraceContext::Restart),
];
