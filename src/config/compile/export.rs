//! `[trace.export]`: where sampled traces go.

use std::sync::Arc;

use super::pool_tls;
use super::scope::{Given, Zero};
use crate::config::outside::Outside;
use crate::config::problem::Finding;
use crate::config::raw::process as raw;
use crate::config::secret::SecretSource;
use crate::plan::export::{Endpoint, Export, ExportHeaders};

/// Compiles where traces go; nothing comes out if something is wrong with it, or if this program cannot send any.
pub(super) fn export(given: &Given<'_, raw::Export>, outside: &Outside) -> Option<Arc<Export>> {
    let Given { value, scope, .. } = given;
    if !cfg!(feature = "otel") {
        let finding = Finding::error("this forecourt was built without `otel`");
        given.report(finding.help(
            "build with --features otel, or leave [trace.export] out: no traces are exported then",
        ));
        return None;
    }
    let headers = headers(given, outside);
    let timeout = scope.duration(
        "timeout",
        &value.timeout,
        raw::EXPORT_TIMEOUT,
        Zero::Refused,
    );
    let queue = scope.integer(
        "queue",
        &value.queue,
        raw::EXPORT_QUEUE,
        1..=raw::EXPORT_QUEUE_MOST,
    );
    let service = scope.get("service", &value.service);
    if let Some(empty) = service.as_ref().filter(|service| service.value.is_empty()) {
        empty.report(Finding::error("the name of the service is empty"));
    }
    let service = service.map_or(raw::EXPORT_SERVICE, |service| service.value);
    let Some(written) = scope.get("endpoint", &value.endpoint) else {
        if value.endpoint.is_none() {
            let finding = Finding::error("`trace.export` has no endpoint");
            given.report(finding.help(HELP));
        }
        return None;
    };
    let endpoint = match Endpoint::parse(written.value) {
        Ok(endpoint) => endpoint,
        Err(why) => {
            let what = format!("{:?} is no collector: {why}", written.value);
            written.report(Finding::error(what).help(HELP));
            return None;
        }
    };
    let tls = if endpoint.https {
        Some(Arc::new(pool_tls::of_system(&written, outside)?))
    } else {
        None
    };
    Some(Arc::new(Export {
        endpoint,
        tls,
        headers: headers?,
        timeout,
        queue,
        service: service.into(),
    }))
}

/// What the file says; nothing if it cannot be read, no fields without a file.
fn headers(given: &Given<'_, raw::Export>, outside: &Outside) -> Option<ExportHeaders> {
    let Some(file) = given.scope.get("headers_file", &given.value.headers_file) else {
        return Some(ExportHeaders::default());
    };
    let source = SecretSource::File(given.scope.folder().join(file.value));
    let what = match outside.secrets.get(&source)? {
        Ok(secret) => match ExportHeaders::parse(secret.bytes()) {
            Ok(headers) => return Some(headers),
            // What stands there may be a secret.
            Err(line) => format!("line {line} of the file is no field that can be sent"),
        },
        Err(error) => error.to_string(),
    };
    file.report(Finding::error(what).help("it has lines such as `authorization: Bearer ...`"));
    None
}

const HELP: &str =
    "add endpoint = \"http://127.0.0.1:4318\", where a collector takes OTLP over HTTP";
