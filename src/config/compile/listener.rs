//! `[listeners.*]`.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::address::{self, Example};
use super::scope::{Given, Zero};
use super::{fields, page, tls};
use crate::config::outside::Outside;
use crate::config::problem::Finding;
use crate::config::raw::listener as raw;
use crate::plan::Listener;
use crate::plan::listener::{ListenAddress, ListenerLimits, ListenerTimeouts, ProxyProtocol};
use crate::route::PathPattern;
use crate::route::rules::{DotSegments, EncodedSlashes, Forward, PathRules, RepeatedSlashes};

/// Compiles a listener; nothing comes out if it has no usable address.
pub(super) fn listener(
    name: &str,
    given: &Given<'_, raw::Listener>,
    outside: &Outside,
) -> Option<Listener> {
    let Given { value, scope, .. } = given;
    let address = listen_address(name, given);
    let trusted_proxies = networks(given);
    let proxy_protocol = proxy_protocol(given, address.as_ref(), &trusted_proxies);
    let tls = scope
        .get("tls", &value.tls)
        .map(|given| tls::tls(&given, address.as_ref(), outside));
    let paths = path_rules(scope.get("paths", &value.paths));
    let timeouts = timeouts(scope.get("timeouts", &value.timeouts));
    let limits = limits(scope.get("limits", &value.limits));
    Some(Listener {
        name: Arc::from(name),
        address: address?,
        tls,
        trusted_proxies,
        http2: scope
            .get("http2", &value.http2)
            .map_or(raw::HTTP2, |written| *written.value),
        abort_on_close: scope
            .get("abort_on_close", &value.abort_on_close)
            .map_or(raw::ABORT_ON_CLOSE, |written| *written.value),
        proxy_protocol,
        paths,
        timeouts,
        limits,
        response_headers: fields::responses(
            scope,
            &value.response_headers,
            Some(&PathPattern::Any),
        ),
        error_pages: page::pages(scope, &value.error_pages, Some(&PathPattern::Any), outside),
    })
}

fn listen_address(name: &str, given: &Given<'_, raw::Listener>) -> Option<ListenAddress> {
    if given.value.address.is_none() {
        let finding = Finding::error(format!("the listener `{name}` has no address"));
        given.report(finding.help("add one, such as address = \"0.0.0.0:8080\""));
    }
    let written = given.scope.get("address", &given.value.address)?;
    match address::listen(written.value, given.scope.folder()) {
        Ok(address) => Some(address),
        Err(error) => {
            written.report(Finding::error(error.to_string()).help(error.help(Example::Listener)));
            None
        }
    }
}

fn networks(given: &Given<'_, raw::Listener>) -> Vec<IpNet> {
    let Some(list) = given
        .scope
        .get("trusted_proxies", &given.value.trusted_proxies)
    else {
        return Vec::new();
    };
    list.elements().iter().filter_map(network).collect()
}

/// A network, or one address, which is a network of one.
pub(super) fn network(written: &Given<'_, String>) -> Option<IpNet> {
    let text = written.value.as_str();
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(IpNet::from(address));
    }
    let Ok(network) = text.parse::<IpNet>() else {
        let finding = Finding::error(format!("{text:?} is not a network"));
        written.report(
            finding
                .help("a network is written as \"10.0.0.0/8\", \"2001:db8::/32\" or one address"),
        );
        return None;
    };
    if network != network.trunc() {
        // Taken as others take it, but not in silence: perhaps the one machine was meant.
        let finding = Finding::warning(format!(
            "{text:?} is read as the network {}",
            network.trunc()
        ));
        written.report(finding.help(format!("for the one machine write \"{}\"", network.addr())));
    }
    Some(network.trunc())
}

/// Whose PROXY headers are taken; a header that nobody may send is a mistake.
fn proxy_protocol(
    given: &Given<'_, raw::Listener>,
    address: Option<&ListenAddress>,
    trusted: &[IpNet],
) -> ProxyProtocol {
    let Given { value, scope, .. } = given;
    let words = ProxyProtocol::ALL.map(|word| (word.as_str(), word));
    let key = "proxy_protocol";
    let chosen = scope.word(key, &value.proxy_protocol, ProxyProtocol::Off, &words);
    let nobody = trusted.is_empty()
        && value.trusted_proxies.is_none()
        && matches!(address, Some(ListenAddress::Tcp(_)));
    if chosen != ProxyProtocol::Off
        && nobody
        && let Some(written) = scope.get(key, &value.proxy_protocol)
    {
        let finding = Finding::error("PROXY headers without anybody who may send them");
        written.report(finding.help(
            "name the balancers before this listener, such as trusted_proxies = [\"10.0.0.0/8\"]",
        ));
    }
    chosen
}

fn path_rules(given: Option<Given<'_, raw::Paths>>) -> PathRules {
    let defaults = PathRules::default();
    let Some(Given { value, scope, .. }) = given else {
        return defaults;
    };
    PathRules {
        dot_segments: scope.word(
            "dot_segments",
            &value.dot_segments,
            defaults.dot_segments,
            &DotSegments::WORDS,
        ),
        repeated_slashes: scope.word(
            "repeated_slashes",
            &value.repeated_slashes,
            defaults.repeated_slashes,
            &RepeatedSlashes::WORDS,
        ),
        encoded_slashes: scope.word(
            "encoded_slashes",
            &value.encoded_slashes,
            defaults.encoded_slashes,
            &EncodedSlashes::WORDS,
        ),
        forward: scope.word("forward", &value.forward, defaults.forward, &Forward::WORDS),
    }
}

fn timeouts(given: Option<Given<'_, raw::Timeouts>>) -> ListenerTimeouts {
    let Some(Given { value, scope, .. }) = given else {
        return ListenerTimeouts {
            header: raw::HEADER_TIMEOUT,
            idle: raw::IDLE_TIMEOUT,
            body: raw::BODY_TIMEOUT,
        };
    };
    ListenerTimeouts {
        header: scope.duration("header", &value.header, raw::HEADER_TIMEOUT, Zero::Refused),
        idle: scope.duration("idle", &value.idle, raw::IDLE_TIMEOUT, Zero::Refused),
        body: scope.duration("body", &value.body, raw::BODY_TIMEOUT, Zero::Refused),
    }
}

fn limits(given: Option<Given<'_, raw::Limits>>) -> ListenerLimits {
    let defaults = ListenerLimits {
        connections: raw::CONNECTIONS,
        connections_per_client: raw::CONNECTIONS_PER_CLIENT,
        requests: raw::REQUESTS,
        header_bytes: raw::HEADER_BYTES,
        headers: raw::HEADERS,
        body_bytes: raw::BODY_BYTES,
        body_rate: raw::BODY_RATE,
    };
    let Some(Given { value, scope, .. }) = given else {
        return defaults;
    };
    let header_bytes = raw::HEADER_BYTES_LEAST..=raw::HEADER_BYTES_MOST;
    ListenerLimits {
        connections: scope.integer(
            "connections",
            &value.connections,
            defaults.connections,
            0..=i64::from(u32::MAX),
        ),
        connections_per_client: scope.integer(
            "connections_per_client",
            &value.connections_per_client,
            defaults.connections_per_client,
            0..=i64::from(u32::MAX),
        ),
        requests: scope.integer(
            "requests",
            &value.requests,
            defaults.requests,
            0..=i64::from(u32::MAX),
        ),
        header_bytes: scope.size(
            "header_bytes",
            &value.header_bytes,
            defaults.header_bytes,
            header_bytes,
        ),
        headers: scope.integer(
            "headers",
            &value.headers,
            defaults.headers,
            1..=raw::HEADERS_MOST,
        ),
        body_bytes: scope.size(
            "body_bytes",
            &value.body_bytes,
            defaults.body_bytes,
            0..=u64::MAX,
        ),
        body_rate: scope.rate("body_rate", &value.body_rate, defaults.body_rate),
    }
}
