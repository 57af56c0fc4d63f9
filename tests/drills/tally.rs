//! What became of each request of a load, and what that adds up to.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::backend::LARGE;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Errand {
    /// GET of a small answer.
    Browse,
    /// GET of an answer in two pieces.
    Large,
    /// POST with a body, which nobody may send twice.
    Checkout,
}

impl Errand {
    /// The request, whole.
    pub(crate) fn head(self, number: u64, closes: bool) -> String {
        let end = if closes { "connection: close\r\n" } else { "" };
        match self {
            Self::Browse => format!("GET /shop/{number} HTTP/1.1\r\nhost: shop.test\r\n{end}\r\n"),
            Self::Large => format!("GET /large HTTP/1.1\r\nhost: shop.test\r\n{end}\r\n"),
            Self::Checkout => format!(
                "POST /checkout HTTP/1.1\r\nhost: shop.test\r\n{end}x-order: {number}\r\ncontent-length: 16\r\n\r\nbasket=1&pay=yes"
            ),
        }
    }

    fn method(self) -> &'static str {
        match self {
            Self::Checkout => "POST",
            Self::Browse | Self::Large => "GET",
        }
    }
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    /// 200, whole.
    Answered,
    /// Another status, with the code of an error that forecourt made itself.
    Status(u16, Option<String>),
    /// No connection.
    Refused,
    /// The connection ended before the first byte of an answer.
    Closed,
    /// The connection ended within the answer.
    Cut,
    /// No answer for as long as a client waits.
    TimedOut,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered => write!(f, "answered"),
            Self::Status(status, None) => write!(f, "{status}"),
            Self::Status(status, Some(code)) => write!(f, "{status} {code}"),
            Self::Refused => write!(f, "refused"),
            Self::Closed => write!(f, "closed"),
            Self::Cut => write!(f, "cut"),
            Self::TimedOut => write!(f, "timed out"),
        }
    }
}

/// One request; times since the load's begin.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) errand: Errand,
    pub(crate) due: Duration,
    pub(crate) ended: Duration,
    pub(crate) end: End,
}

impl Record {
    pub(crate) fn is_answered(&self) -> bool {
        self.end == End::Answered
    }
}

/// All requests of a load.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    records: Vec<Record>,
    took: Duration,
}

impl Tally {
    pub(crate) fn new(records: Vec<Record>, took: Duration) -> Self {
        Self { records, took }
    }

    pub(crate) fn offered(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn answered(&self) -> usize {
        self.count(Record::is_answered)
    }

    pub(crate) fn count(&self, is_so: impl Fn(&Record) -> bool) -> usize {
        self.records.iter().filter(|one| is_so(one)).count()
    }

    /// What failed, without GETs whose answer had begun: those nobody can mend.
    pub(crate) fn failed_gets(&self) -> usize {
        self.count(|one| {
            one.errand != Errand::Checkout && !one.is_answered() && one.end != End::Cut
        })
    }

    pub(crate) fn failed_posts(&self) -> usize {
        self.count(|one| one.errand == Errand::Checkout && !one.is_answered())
    }

    pub(crate) fn cut_gets(&self) -> usize {
        self.count(|one| one.errand != Errand::Checkout && one.end == End::Cut)
    }

    pub(crate) fn refused(&self) -> usize {
        self.count(|one| one.end == End::Refused)
    }

    /// The failed POSTs that began in this span of the load.
    pub(crate) fn posts_failed_between(&self, from: Duration, to: Duration) -> usize {
        self.count(|one| {
            one.errand == Errand::Checkout
                && !one.is_answered()
                && one.ended >= from
                && one.due <= to
        })
    }

    /// What failed, by kind.
    pub(crate) fn failures(&self) -> String {
        let mut kinds: BTreeMap<String, u32> = BTreeMap::new();
        for one in self.records.iter().filter(|one| !one.is_answered()) {
            let kind = format!("{} {}", one.errand.method(), one.end);
            *kinds.entry(kind).or_default() += 1;
        }
        if kinds.is_empty() {
            return "0".to_owned();
        }
        let kinds = kinds.iter().map(|(kind, count)| format!("{count} {kind}"));
        kinds.collect::<Vec<_>>().join(", ")
    }

    /// The longest time without an answered request.
    pub(crate) fn longest_gap(&self) -> Duration {
        let mut times: Vec<Duration> = self
            .records
            .iter()
            .filter(|one| one.is_answered())
            .map(|one| one.ended)
            .collect();
        times.push(Duration::ZERO);
        times.push(self.took);
        times.sort_unstable();
        let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
        gaps.max().unwrap_or_default()
    }

    /// A quantile of the time from when requests were due until they were answered.
    pub(crate) fn latency(&self, share: f64) -> Duration {
        let mut times: Vec<Duration> = self
            .records
            .iter()
            .filter(|one| one.is_answered())
            .map(|one| one.ended.saturating_sub(one.due))
            .collect();
        times.sort_unstable();
        let last = times.len().saturating_sub(1);
        let at = (last as f64 * share) as usize;
        times.get(at).copied().unwrap_or_default()
    }

    /// Answered requests a second while it went on.
    pub(crate) fn goodput(&self) -> f64 {
        let answered = self.count(|one| one.is_answered() && one.ended <= self.took);
        answered as f64 / self.took.as_secs_f64().max(1e-3)
    }
}

// A cut in the body has to be possible: a large answer must not fit into one segment.
const _: () = assert!(LARGE > 2 * 16 * 1024);
