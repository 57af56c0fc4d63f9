//! The law in tables: for each room the rooms it may import, which rooms are pure, and what a pure room may not say.

/// For a room that may import every other.
pub(crate) const ALL: &[&str] = &["*"];

/// Each room under `src` and the rooms it may import; itself goes without saying.
pub(crate) const IMPORTS: &[(&str, &[&str])] = &[
    ("telemetry", &[]),
    ("message", &[]),
    ("h1", &["message"]),
    ("h2", &["message"]),
    ("backend", &["telemetry"]),
    ("limit", &[]),
    ("health", &[]),
    ("strategy", &["backend"]),
    ("route", &["message"]),
    (
        "plan",
        &[
            "strategy",
            "route",
            "health",
            // For the bounds that a limit is found within.
            "limit",
            "backend",
            "message",
            "telemetry",
        ],
    ),
    ("discovery", &["plan"]),
    (
        "config",
        &[
            "discovery",
            "plan",
            "health",
            "limit",
            "strategy",
            "route",
            "backend",
            "message",
            "telemetry",
        ],
    ),
    (
        "snapshot",
        &[
            "plan",
            "backend",
            "limit",
            "strategy",
            "route",
            "health",
            "telemetry",
        ],
    ),
    ("otel", &["plan", "telemetry"]),
    ("worker", &["telemetry", "message", "h1", "h2"]),
    ("listener", &["plan", "snapshot", "telemetry", "worker"]),
    (
        "server",
        &[
            "plan",
            "message",
            "h1",
            "h2",
            "telemetry",
            "listener",
            "worker",
        ],
    ),
    (
        "upstream",
        &[
            "plan",
            "backend",
            "health",
            "message",
            "h1",
            "h2",
            "telemetry",
            "worker",
        ],
    ),
    (
        "proxy",
        &[
            "snapshot",
            "upstream",
            "server",
            "message",
            "plan",
            "backend",
            "limit",
            "strategy",
            "route",
            "telemetry",
            // The spans of an exchange are handed over like its line of the log.
            "otel",
            "worker",
        ],
    ),
    (
        "explain",
        &[
            "snapshot",
            // For the statuses of refusals.
            "proxy",
            "message",
            "plan",
            "backend",
            "strategy",
            "route",
            "telemetry",
        ],
    ),
    (
        "admin",
        &[
            "explain",
            "snapshot",
            "backend",
            // For the terms that a configuration is tried on.
            "health",
            "strategy",
            "listener",
            "config",
            "plan",
            "server",
            "message",
            "telemetry",
        ],
    ),
    ("app", ALL),
    ("demo", &["app", "config", "plan", "snapshot", "telemetry"]),
    ("cli", ALL),
];

/// Rooms, or folders of rooms, whose answers depend on their arguments alone. Test code is free.
pub(crate) const PURE: &[&str] = &[
    "message",
    "h1",
    "h2",
    "backend",
    "limit",
    "health",
    "strategy",
    "route",
    "plan",
    "config/compile",
    "discovery/book",
    "snapshot",
];

/// What a pure room may not say, as the tokens it is spelt with: no runtime, clock, randomness or file.
pub(crate) const PURITY: &[&[&str]] = &[
    &["async"],
    &["tokio"],
    &["fastrand"],
    &["Instant", "::", "now"],
    &["SystemTime", "::", "now"],
    &["std", "::", "fs"],
    // `File` alone is also a good name for a variant of a setting.
    &["File", "::", "open"],
    &["File", "::", "create"],
    &["File", "::", "options"],
    &["OpenOptions"],
];
