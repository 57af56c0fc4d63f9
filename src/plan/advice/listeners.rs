//! Towards clients.

use super::Notes;
use crate::plan::Listener;
use crate::plan::fields::FieldRules;
use crate::plan::listener::ListenAddress;
use crate::plan::tls::{Certificate, SELF_SIGNED};

pub(super) fn look(listener: &Listener, now: i64, notes: &mut Notes) {
    let at = |key: &str| format!("listeners.{}.{key}", listener.name);
    notes.note(
        listener.trusted_proxies.iter().any(|net| net.prefix_len() == 0),
        at("trusted_proxies"),
        "everybody is believed: any client can say that it has another address, in logs, limits, conditions and ip-hash alike",
        "name only the addresses of the proxies that stand before this one",
    );
    let public = is_public(&listener.address);
    if let Some(tls) = &listener.tls {
        for certificate in &tls.certificates {
            of_certificate(certificate, now, &at("tls.certificates"), notes);
        }
    } else {
        notes.note(
            sets_hsts(&listener.response_headers),
            at("response_headers"),
            "Strict-Transport-Security without TLS does nothing: browsers take it from an encrypted answer only",
            "set it on the listener that speaks TLS",
        );
    }
    notes.note(
        public && listener.limits.body_bytes == 0,
        at("limits.body_bytes"),
        "anybody may send a body of any length, and a backend that reads it all can be filled up",
        "set it to the largest upload that the shop takes",
    );
}

fn of_certificate(certificate: &Certificate, now: i64, path: &str, notes: &mut Notes) {
    let self_signed = certificate.path.as_os_str() == SELF_SIGNED;
    let days = certificate.not_after.saturating_sub(now) / DAY;
    notes.note(
        !self_signed && (0..EARLY).contains(&days),
        path,
        format!(
            "{} has {days} days left; what renews itself does it a month before",
            certificate.name()
        ),
        "renew it, and look why it was not; a new file is taken without a reload",
    );
}

/// Whether others than this machine can connect.
fn is_public(address: &ListenAddress) -> bool {
    match address {
        ListenAddress::Tcp(address) => !address.ip().is_loopback(),
        ListenAddress::Unix(_) => false,
    }
}

fn sets_hsts(rules: &FieldRules) -> bool {
    let mut written = rules.set.iter().chain(&rules.add);
    written.any(|rule| &*rule.name == "strict-transport-security")
}

/// Days before its end at which an automatic renewal has happened, or has failed.
const EARLY: i64 = 21;
const DAY: i64 = 24 * 60 * 60;
