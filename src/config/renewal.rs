//! Certificates read again while they are served, and nothing else of the configuration.

use std::path::Path;
use std::sync::Arc;

use super::certificate::{self, CertificateSource};
use super::outside::unix_seconds;
use crate::plan::Plan;
use crate::plan::tls::{Certificate, Tls};

/// What became of a look at the files of a plan's certificates.
#[derive(Clone, Debug)]
pub struct Renewal {
    /// The plan with what has changed, if anything has.
    pub plan: Option<Plan>,
    /// What cannot be used: what there was goes on.
    pub refused: Vec<String>,
    /// What can be used, and has something to be said about it.
    pub doubts: Vec<String>,
}

/// Reads the certificates and authorities of the listeners, the admin listener among them, that want to have their files watched. Blocks.
#[must_use]
pub fn renewal(plan: &Plan) -> Renewal {
    let mut renewal = Renewal {
        plan: None,
        refused: Vec::new(),
        doubts: Vec::new(),
    };
    let mut renewed = plan.clone();
    let mut any = false;
    for listener in &mut renewed.listeners {
        if let Some(tls) = renewed_tls(listener.tls.as_ref(), &mut renewal) {
            any = true;
            Arc::make_mut(listener).tls = Some(tls);
        }
    }
    if let Some(admin) = &mut renewed.admin
        && let Some(tls) = renewed_tls(admin.tls.as_ref(), &mut renewal)
    {
        any = true;
        admin.tls = Some(tls);
    }
    renewal.refused.dedup();
    renewal.doubts.dedup();
    renewal.plan = any.then_some(renewed);
    renewal
}

/// What has changed of it, if anything has.
fn renewed_tls(old: Option<&Tls>, renewal: &mut Renewal) -> Option<Tls> {
    let old = old.filter(|tls| tls.watch)?;
    let mut tls = old.clone();
    read_again(&mut tls, renewal);
    (tls != *old).then_some(tls)
}

fn read_again(tls: &mut Tls, renewal: &mut Renewal) {
    for certificate in &mut tls.certificates {
        let Some(key) = &certificate.key_path else {
            continue;
        };
        match read_pair(&certificate.path, key) {
            Ok((read, _)) if read == *certificate => {}
            Ok((read, doubts)) => {
                renewal.doubts.extend(doubts);
                *certificate = read;
            }
            Err(refused) => renewal.refused.extend(refused),
        }
    }
    if let Some(client) = &mut tls.client {
        match certificate::read_authorities(&client.path) {
            Ok(authorities) => client.authorities = authorities,
            Err(error) => renewal.refused.push(error.what),
        }
    }
}

fn read_pair(path: &Path, key: &Path) -> Result<(Certificate, Vec<String>), Vec<String>> {
    let source = CertificateSource {
        certificate: path.to_owned(),
        key: key.to_owned(),
    };
    let words = |errors: Vec<certificate::CertificateError>| {
        errors.into_iter().map(|error| error.what).collect()
    };
    match certificate::read(&source, unix_seconds()) {
        Ok(mut pair) => {
            pair.doubts.extend(pair.nameless);
            Ok((pair.certificate, words(pair.doubts)))
        }
        Err(errors) => Err(words(errors)),
    }
}
