//! What the operator wants checked, how often, and how many answers make a verdict.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

/// How the backends of a pool are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What is asked.
    pub check: Check,
    /// From one check to the next, give or take a tenth.
    pub interval: Duration,
    /// The same while a verdict is in the making: behind an outcome that speaks against the verdict that stands.
    pub fast_interval: Duration,
    /// How long a check may take in all, from the first packet to the last byte.
    pub timeout: Duration,
    /// Checks in a row that must succeed until a failing backend is well. Never 0.
    pub rise: u32,
    /// Checks in a row that must fail until a backend is failing. Never 0.
    pub fall: u32,
    /// What is assumed of a backend that nobody has asked yet.
    pub initial: Initial,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// A request of HTTP, in the version that the pool speaks.
    Http(HttpCheck),
    /// A connection, with a handshake of TLS if the pool speaks it.
    Tcp,
    /// `grpc.health.v1.Health/Check`: the service named, or with an empty name all of the server.
    Grpc {
        /// The service.
        service: Arc<str>,
        /// The authority; absent: the backend's address.
        host: Option<Arc<str>>,
    },
}

/// A request, and what is a good answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCheck {
    /// The target, beginning with a slash.
    pub path: Arc<str>,
    /// The `Host`; absent: the backend's address.
    pub host: Option<Arc<str>>,
    /// The method.
    pub method: CheckMethod,
    /// The statuses of a good answer.
    pub expected: Expected,
    /// What its body has to contain, if anything.
    pub body: Option<Arc<str>>,
}

/// A method without a body that changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CheckMethod {
    /// As clients ask.
    #[default]
    Get,
    /// The head alone.
    Head,
    /// What some servers answer without the application.
    Options,
}

/// Statuses that are good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected(Box<[RangeInclusive<u16>]>);

/// What is assumed of a backend that nobody has asked yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Initial {
    /// It is well: in rotation at once.
    #[default]
    Up,
    /// It is not: out until [`Policy::rise`] checks have succeeded.
    Down,
    /// It is well, but a process that starts does not call itself ready before the first verdict.
    Hold,
}

impl CheckMethod {
    /// The words in the configuration.
    pub const WORDS: [(&'static str, Self); 3] = [
        ("GET", Self::Get),
        ("HEAD", Self::Head),
        ("OPTIONS", Self::Options),
    ];

    /// As it is sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
        }
    }
}

impl Initial {
    /// The words in the configuration.
    pub const WORDS: [(&'static str, Self); 3] =
        [("up", Self::Up), ("down", Self::Down), ("hold", Self::Hold)];

    /// The word in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Hold => "hold",
        }
    }
}

impl Expected {
    /// These are good. Nothing is, if there are none.
    pub fn new(ranges: impl IntoIterator<Item = RangeInclusive<u16>>) -> Self {
        Self(ranges.into_iter().collect())
    }

    /// Reads `"200"` or `"200-299"`; nothing if it is neither, or no final status.
    pub fn range(text: &str) -> Option<RangeInclusive<u16>> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let [first, last] = [first, last].map(|status| {
            let digits = status.len() == 3 && status.bytes().all(|byte| byte.is_ascii_digit());
            status.parse::<u16>().ok().filter(|_| digits)
        });
        let range = first?..=last?;
        (*range.start() >= 200 && *range.end() <= 599 && !range.is_empty()).then_some(range)
    }

    /// Whether a status is good.
    pub fn has(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }
}

impl Default for Expected {
    /// 2xx: a redirect leads elsewhere, and says nothing of whoever sends it.
    fn default() -> Self {
        Self::new([200..=299])
    }
}

impl std::fmt::Display for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            let (first, last) = (range.start(), range.end());
            if first == last {
                write!(f, "{comma}{first}")?;
            } else {
                write!(f, "{comma}{first}-{last}")?;
            }
        }
        Ok(())
    }
}
