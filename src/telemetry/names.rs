//! Every metric that forecourt has: name, kind, labels, meaning. Nothing is exposed that is not here.
//!
//! Names are fixed: dashboards and alerts are written against them. Labels take their values from
//! the configuration and from the closed sets in `words.rs` and `cause.rs`, never from clients.

/// What kind of figure a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; starts at 0 with the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Durations in seconds, by the bounds of [`Histogram::BOUNDS`](super::cells::Histogram::BOUNDS).
    Histogram,
}

/// Where a metric's figure is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// In the workers' own cells or in live state; whoever scrapes reads it there.
    Cells,
    /// In the [`Facade`](super::facade::Facade).
    Facade,
}

/// One metric.
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    /// The full name.
    pub name: &'static str,
    /// What kind of figure it is.
    pub kind: Kind,
    /// Where the figure is kept.
    pub home: Home,
    /// Names of the labels, in the order in which values are given.
    pub labels: &'static [&'static str],
    /// What it means, in one sentence.
    pub help: &'static str,
}

impl Metric {
    const fn cells(
        name: &'static str,
        kind: Kind,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self {
            name,
            kind,
            home: Home::Cells,
            labels,
            help,
        }
    }

    const fn facade(
        name: &'static str,
        kind: Kind,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self {
            name,
            kind,
            home: Home::Facade,
            labels,
            help,
        }
    }

    /// The metric of that name.
    pub fn find(name: &str) -> Option<&'static Self> {
        ALL.binary_search_by(|metric| metric.name.cmp(name))
            .ok()
            .map(|index| ALL[index])
    }
}

macro_rules! metrics {
    ($($constant:ident = $home:ident($name:literal, $kind:ident, [$($label:literal),*], $help:literal);)+) => {
        $(
            #[doc = concat!("`", $name, "`: ", $help)]
            pub static $constant: Metric = Metric::$home($name, Kind::$kind, &[$($label),*], $help);
        )+

        /// All of them, sorted by name.
        pub static ALL: &[&Metric] = &[$(&$constant),+];
    };
}

metrics! {
    ACCEPT_PAUSES = cells("forecourt_accept_pauses_total", Counter, ["listener"],
        "How often a worker let new connections wait because a limit of connections or open files was reached.");
    BACKEND_CONNECTIONS = cells("forecourt_backend_connections", Gauge, ["pool", "backend", "state"],
        "Open connections to the backend, by state (active: with a request, idle: kept for the next).");
    BACKEND_EJECTIONS = cells("forecourt_backend_ejections_total", Counter, ["pool", "backend", "cause"],
        "How often the backend was ejected for what requests found, by cause.");
    BACKEND_FAILURES = cells("forecourt_backend_failures_total", Counter, ["pool", "backend", "cause"],
        "Attempts that failed, by cause; the words are those of the forecourt-error header.");
    BACKEND_IN_FLIGHT = cells("forecourt_backend_in_flight", Gauge, ["pool", "backend"],
        "Requests that the backend is working on.");
    BACKEND_LIMIT = cells("forecourt_backend_limit", Gauge, ["pool", "backend"],
        "The most requests that the backend may be working on, as it holds now; 0 for no limit.");
    BACKEND_PICKS = cells("forecourt_backend_picks_total", Counter, ["pool", "backend", "reason"],
        "How often the backend was picked, by reason.");
    BACKEND_REQUEST_DURATION = cells("forecourt_backend_request_duration_seconds", Histogram, ["pool", "backend"],
        "Time from the start of an attempt to the end of its response.");
    BACKEND_REQUESTS = cells("forecourt_backend_requests_total", Counter, ["pool", "backend", "code"],
        "Attempts that ended, by class of the status code.");
    BACKEND_UP = cells("forecourt_backend_up", Gauge, ["pool", "backend"],
        "Whether the backend may be picked for new clients (1) or not (0).");
    BACKEND_WEIGHT = cells("forecourt_backend_weight", Gauge, ["pool", "backend"],
        "Weight of the backend in its pool.");
    CONFIG_GENERATION = facade("forecourt_config_generation", Gauge, [],
        "Number of the configuration that serves, one more for each that was applied.");
    CONFIG_GENERATIONS_ALIVE = facade("forecourt_config_generations_alive", Gauge, [],
        "Configurations that some request still uses.");
    CONFIG_LAST_RELOAD_SUCCESS = facade("forecourt_config_last_reload_success_timestamp_seconds", Gauge, [],
        "When the configuration that serves was applied, in seconds since 1970.");
    CONFIG_RELOADS = facade("forecourt_config_reloads_total", Counter, ["result"],
        "Reloads, by result.");
    CONNECTIONS = cells("forecourt_connections", Gauge, ["listener"],
        "Open connections of clients.");
    DNS_ADDRESSES = facade("forecourt_dns_addresses", Gauge, ["name"],
        "Addresses that a name of backends has; 0 also when the configuration has the name no more.");
    DNS_LAST_ANSWER = facade("forecourt_dns_last_answer_timestamp_seconds", Gauge, ["name"],
        "When a name of backends was last answered with addresses, in seconds since 1970.");
    DNS_LOOKUPS = facade("forecourt_dns_lookups_total", Counter, ["name", "result"],
        "Lookups of a name of backends, by result: ok, empty, failed or timeout.");
    HEALTH_CHECKS = cells("forecourt_health_checks_total", Counter, ["pool", "backend", "result"],
        "Health checks of the backend that are over, by result: ok or failed.");
    HEDGES = cells("forecourt_hedges_total", Counter, ["pool", "outcome"],
        "Requests that were not answered when a second attempt (`retry.hedge`) was due, by what became of it.");
    LOG_DROPPED = facade("forecourt_log_dropped_total", Counter, [],
        "Lines of the access log that were lost because the target was too slow or failed.");
    LOG_WRITE_ERRORS = facade("forecourt_log_write_errors_total", Counter, [],
        "Writes to the target of the access log that failed.");
    POOL_PANIC = cells("forecourt_pool_panic", Gauge, ["pool"],
        "Whether so few backends of the pool are well that requests go to all of them (1) or not (0).");
    POOL_QUEUED = cells("forecourt_pool_queued", Gauge, ["pool"],
        "Requests that wait for a place because all backends of the pool are full.");
    QUEUE = cells("forecourt_queue_total", Counter, ["pool", "outcome"],
        "Requests that found all backends of the pool full, by what became of them.");
    REFUSED = cells("forecourt_refused_total", Counter, ["listener", "cause"],
        "Requests and connections that a limit or rule refused or cut for what the client did, by cause.");
    REQUEST_DURATION = cells("forecourt_request_duration_seconds", Histogram, ["listener", "route"],
        "Time from a request's head to the end of its response.");
    REQUESTS = cells("forecourt_requests_total", Counter, ["listener", "route", "code"],
        "Requests that ended, by class of the status code.");
    RETRIES = cells("forecourt_retries_total", Counter, ["pool", "outcome"],
        "Requests in which a retry was due, by what became of it.");
    STICKY = cells("forecourt_sticky_total", Counter, ["pool", "outcome"],
        "Requests to a pool with stickiness, by what became of the cookie.");
    TLS_CERTIFICATE_EXPIRY = cells("forecourt_tls_certificate_expiry_timestamp_seconds", Gauge, ["listener", "name"],
        "When a certificate that clients are shown expires, in seconds since 1970, by its first name; of several the earliest.");
    TLS_CERTIFICATE_RENEWALS = facade("forecourt_tls_certificate_renewals_total", Counter, ["result"],
        "Files of certificates found changed while serving, by what became of them (ok: in use, refused: the old ones go on).");
    TLS_HANDSHAKES = cells("forecourt_tls_handshakes_total", Counter, ["listener", "result"],
        "TLS handshakes with clients, by result.");
    TRACES_DROPPED = facade("forecourt_traces_dropped_total", Counter, ["reason"],
        "Requests whose spans were lost on the way to the collector (`trace.export`), by reason: queue-full, failed or refused. At most: of a batch that was refused in part only the spans are known.");
    TRACES_EXPORTED = facade("forecourt_traces_exported_total", Counter, [],
        "Requests whose spans a collector has taken (`trace.export`), at least.");
    UPGRADES = facade("forecourt_upgrades_total", Counter, ["result"],
        "Upgrades to another program, by result: ok in the process that took over, failed in the one that went on.");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_every_name_is_found() {
        assert!(ALL.is_sorted_by(|a, b| a.name < b.name));
        for metric in ALL {
            assert_eq!(Metric::find(metric.name), Some(*metric));
        }
        assert_eq!(Metric::find("forecourt_nothing"), None);
    }

    #[test]
    fn names_keep_the_rules_of_prometheus() {
        for metric in ALL {
            let name = metric.name;
            assert!(name.starts_with("forecourt_"), "{name}");
            assert!(
                name.bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
                "{name}"
            );
            assert_eq!(
                metric.kind == Kind::Counter,
                name.ends_with("_total"),
                "{name}"
            );
            if metric.kind == Kind::Histogram {
                assert!(
                    name.ends_with("_seconds"),
                    "{name}: durations are in seconds"
                );
            }
            for reserved in [
                "_count",
                "_sum",
                "_bucket",
                "_counter",
                "_gauge",
                "_histogram",
            ] {
                assert!(!name.ends_with(reserved), "{name}");
            }
            assert!(
                metric.help.ends_with('.') && !metric.help.contains('\n'),
                "{name}"
            );
            assert!(
                !metric.labels.contains(&"le") && !metric.labels.contains(&"quantile"),
                "{name}"
            );
        }
    }
}
