//! Differences of listeners.

use std::sync::Arc;

use super::{Change, Lines, Pair, Subject, action, matched, set};
use crate::plan::Listener;
use crate::plan::listener::{ListenAddress, ListenerLimits, ListenerTimeouts, ProxyProtocol};
use crate::plan::tls::{ClientCertificates, Tls, TlsVersion};
use crate::route::PathRules;

pub(super) fn listeners(old: &[Arc<Listener>], new: &[Arc<Listener>], changes: &mut Vec<Change>) {
    for (name, pair) in matched(old, new, |listener| &listener.name) {
        let mut lines = Lines {
            subject: Subject::Listener(name),
            changes,
        };
        match pair {
            Pair::Added(new) => lines.say(format!("added on {}", new.address)),
            Pair::Removed(old) => lines.say(format!("removed from {}", old.address)),
            Pair::Both(old, new) => listener(old, new, &mut lines),
        }
    }
}

fn listener(old: &Listener, new: &Listener, lines: &mut Lines<'_>) {
    lines.compare(
        "address",
        &old.address,
        &new.address,
        ListenAddress::to_string,
    );
    tls(old.tls.as_ref(), new.tls.as_ref(), lines);
    set(
        "trusted proxy",
        &old.trusted_proxies,
        &new.trusted_proxies,
        lines,
    );
    lines.compare("http2", &old.http2, &new.http2, bool::to_string);
    lines.compare(
        "abort_on_close",
        &old.abort_on_close,
        &new.abort_on_close,
        bool::to_string,
    );
    lines.compare(
        "proxy_protocol",
        &old.proxy_protocol,
        &new.proxy_protocol,
        |word: &ProxyProtocol| word.as_str().to_owned(),
    );
    paths(old.paths, new.paths, lines);
    let (ListenerTimeouts { header, idle, body }, after) = (old.timeouts, new.timeouts);
    lines.durations([
        ("timeouts.header", header, after.header),
        ("timeouts.idle", idle, after.idle),
        ("timeouts.body", body, after.body),
    ]);
    limits(old.limits, new.limits, lines);
    let rules = (&old.response_headers, &new.response_headers);
    action::fields("response_headers", rules, lines);
    action::pages(&old.error_pages, &new.error_pages, lines);
}

fn limits(old: ListenerLimits, new: ListenerLimits, lines: &mut Lines<'_>) {
    let ListenerLimits {
        connections,
        connections_per_client,
        requests,
        header_bytes,
        headers,
        body_bytes,
        body_rate,
    } = old;
    for (name, before, after) in [
        ("connections", connections as u64, new.connections as u64),
        (
            "connections_per_client",
            connections_per_client as u64,
            new.connections_per_client as u64,
        ),
        ("requests", requests.into(), new.requests.into()),
        ("header_bytes", header_bytes as u64, new.header_bytes as u64),
        ("headers", headers as u64, new.headers as u64),
        ("body_bytes", body_bytes, new.body_bytes),
    ] {
        lines.compare(&format!("limits.{name}"), &before, &after, u64::to_string);
    }
    lines.compare("limits.body_rate", &body_rate, &new.body_rate, |rate| {
        format!("{rate} B/s")
    });
}

fn paths(old: PathRules, after: PathRules, lines: &mut Lines<'_>) {
    let PathRules {
        dot_segments,
        repeated_slashes,
        encoded_slashes,
        forward,
    } = old;
    for (label, old, new) in [
        (
            "paths.dot_segments",
            dot_segments.as_str(),
            after.dot_segments.as_str(),
        ),
        (
            "paths.repeated_slashes",
            repeated_slashes.as_str(),
            after.repeated_slashes.as_str(),
        ),
        (
            "paths.encoded_slashes",
            encoded_slashes.as_str(),
            after.encoded_slashes.as_str(),
        ),
        ("paths.forward", forward.as_str(), after.forward.as_str()),
    ] {
        lines.compare(label, &old, &new, |word| (*word).to_owned());
    }
}

fn tls(old: Option<&Tls>, new: Option<&Tls>, lines: &mut Lines<'_>) {
    match (old, new) {
        (None, None) => {}
        (None, Some(_)) => lines.say("tls added"),
        (Some(_), None) => lines.say("tls removed"),
        (Some(old), Some(new)) => tls_settings(old, new, lines),
    }
}

pub(super) fn tls_settings(old: &Tls, new: &Tls, lines: &mut Lines<'_>) {
    certificates(old, new, lines);
    lines.compare(
        "tls.min_version",
        &old.min_version,
        &new.min_version,
        |version: &TlsVersion| version.as_str().to_owned(),
    );
    lines.compare("tls.watch", &old.watch, &new.watch, bool::to_string);
    match (&old.client, &new.client) {
        (None, Some(new)) => lines.say(format!("client certificates {}", mode(new))),
        (Some(_), None) => lines.say("client certificates no longer asked for"),
        (Some(old), Some(new)) if old != new => {
            lines.compare("tls.client.mode", &mode(old), &mode(new), String::clone);
            if old.authorities != new.authorities {
                lines.say(format!(
                    "authorities of clients in {} changed",
                    new.path.display()
                ));
            }
        }
        _ => {}
    }
}

fn mode(client: &ClientCertificates) -> String {
    client.mode.as_str().to_owned()
}

fn certificates(old: &Tls, new: &Tls, lines: &mut Lines<'_>) {
    for certificate in &new.certificates {
        match old
            .certificates
            .iter()
            .find(|other| other.path == certificate.path)
        {
            None => lines.say(format!("certificate {} added", certificate.path.display())),
            Some(other) if other != certificate => lines.say(format!(
                "certificate {} renewed",
                certificate.path.display()
            )),
            Some(_) => {}
        }
    }
    for certificate in &old.certificates {
        if !new
            .certificates
            .iter()
            .any(|other| other.path == certificate.path)
        {
            lines.say(format!(
                "certificate {} removed",
                certificate.path.display()
            ));
        }
    }
}
