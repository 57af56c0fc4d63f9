//! Backends by name: entries of a pool whose addresses come and go.
//!
//! Whether a file is good must not depend on what a name server says at the moment. So a name that gives nothing, and one
//! that gives an address which stands in the pool already, are warnings; unless the pool would be left without any address,
//! which is more likely a slip than meant, and can be allowed ([`Dns::required`](crate::plan::Dns)).

use std::collections::HashMap;
use std::sync::Arc;

use rustls_pki_types::ServerName;

use super::pool_tls::{self, ServerNames};
use super::scope::Given;
use crate::backend::Address;
use crate::config::outside::Outside;
use crate::config::problem::{Finding, Mark};
use crate::config::raw::pool as raw;
use crate::plan::names::{NamePlan, Question};

/// Gives the names of a pool what they have found; `own` are the addresses that it has of its own.
pub(super) fn find(
    named: Vec<(NamePlan, Given<'_, String>)>,
    own: &HashMap<Address, Mark<'_>>,
    outside: &Outside,
) -> Vec<NamePlan> {
    let found = |plan: &NamePlan| outside.names.get(&plan.question);
    let mut all = named.iter().filter_map(|(plan, _)| found(plan));
    let is_empty = own.is_empty() && all.all(|named| named.found.is_empty());
    let mut plans = Vec::new();
    for (mut plan, written) in named {
        let named = found(&plan);
        plan.found = named
            .map(|named| Arc::clone(&named.found))
            .unwrap_or_default();
        if let Some(error) = named.and_then(|named| named.error.as_ref()) {
            let what = format!("{}: {error}", written.value);
            written.report(if !plan.found.is_empty() {
                let kept = "it keeps the addresses that it had, and is asked again";
                Finding::warning(what).help(kept)
            } else if is_empty && outside.dns.required {
                Finding::error(format!("{what}; the pool has no other address")).help(
                    "say `required = false` in [dns] to serve without it until the name has an address",
                )
            } else {
                Finding::warning(what)
                    .help("the pool goes without it until it has an address, and asks again")
            });
        }
        report_shared(&plan, &written, own);
        plans.push(plan);
    }
    plans
}

/// Says which addresses of a name stand in the pool by themselves: they count once, with the settings of those entries.
fn report_shared(plan: &NamePlan, written: &Given<'_, String>, own: &HashMap<Address, Mark<'_>>) {
    for found in plan.found.iter() {
        if let Some(first) = own.get(&Address::Tcp(found.address)) {
            let finding = Finding::warning(format!(
                "{} is {} at the moment, which stands in this pool already",
                written.value, found.address
            ));
            let finding = finding.help("it counts once, as it stands there");
            written.report(finding.also(first, "there"));
        }
    }
}

/// Says that the weight of a service is its record's.
pub(super) fn refuse_weight(question: &Question, given: &Given<'_, raw::Backend>) {
    if matches!(question, Question::Host { .. }) {
        return;
    }
    if let Some(weight) = given.scope.get("weight", &given.value.weight) {
        let finding = Finding::error("the weights of a service are those of its records (SRV)");
        weight.report(finding.help("leave `weight` out"));
    }
}

/// What the certificates of a name's backends have to be good for. Of a service it has to be said: the hosts in its records
/// are named by whoever answers, and a certificate for such a name proves nothing (RFC 6125 section 6.2.1).
pub(super) fn server_name(
    names: &ServerNames,
    question: &Question,
    written: &Given<'_, String>,
) -> Option<ServerName<'static>> {
    match (names, question) {
        (ServerNames::Given(name), _) => Some(name.clone()),
        (ServerNames::OfAddresses, Question::Host { name, .. }) => {
            pool_tls::name_of_host(name, written)
        }
        (ServerNames::OfAddresses, Question::Service(_)) => {
            let finding =
                Finding::error("the hosts of a service have to show a name that is known here");
            written.report(finding.help("say `server_name` in the `tls` of the pool"));
            None
        }
    }
}
