//! What the demo prints: the welcome with lines to try, the live table, the summary. All within 80 columns.
//!
//! On a terminal the table is drawn anew in its place by three control sequences; elsewhere there is no live table.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::backends::{Backend, Fleet};
use super::figures::{Figures, mean, quantile};
use crate::telemetry::cells::HistogramTotal;
use crate::telemetry::meters::Histogram;

/// Where to find what. Without `Debug`, for the token.
pub(super) struct Addresses {
    pub(super) shop: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) control: SocketAddr,
    /// What the dashboard steers with.
    pub(super) token: String,
}

/// Standard output.
#[derive(Debug)]
pub(super) struct Screen {
    colored: bool,
    live: bool,
    /// Lines of the table that stands on the terminal.
    drawn: usize,
    last: Option<(Instant, u64)>,
}

impl Screen {
    pub(super) fn new(colored: bool, live: bool) -> Self {
        Self {
            colored,
            live,
            drawn: 0,
            last: None,
        }
    }

    /// Whether the table is to be refreshed.
    pub(super) fn is_live(&self) -> bool {
        self.live
    }

    /// Says where everything is and what to try.
    pub(super) fn welcome(&self, fleet: &Fleet, addresses: &Addresses, sticky: bool) {
        let Addresses {
            shop,
            admin,
            control,
            token,
        } = addresses;
        let slow: Vec<_> = fleet.backends.iter().filter_map(slowness).collect();
        let slow = slow.join(" and ");
        let kept = if sticky {
            "Fill a basket and look at it: it stays, for the session keeps its backend."
        } else {
            "Fill a basket and look at it: without stickiness it is seldom there."
        };
        let bold = |text: &str| self.painted(BOLD, text);
        let mut out = String::new();
        let _ = writeln!(
            out,
            "{}: a shop on four backends, the balancer in front\n\n  \
             shop     http://{shop}/\n  look     http://{admin}/#token={token}\n  top      forecourt top --admin http://{admin}\n  status   http://{admin}/v1/status\n  metrics  http://{admin}/metrics\n",
            bold(&format!("forecourt {} demo", env!("CARGO_PKG_VERSION")))
        );
        let _ = writeln!(
            out,
            "{}\n  seq 80 | xargs -P8 -I@ curl -sI {shop} | grep shop-b | sort | uniq -c\n",
            bold(&format!(
                "1. See who answers: {slow} are slow and get fewer."
            ))
        );
        let _ = writeln!(
            out,
            "{}\n  \
             curl -sb jar -c jar -d product=2 http://{shop}/basket | grep served\n  \
             curl -sb jar -c jar 'http://{shop}/basket?[1-8]' | grep served\n",
            bold(&format!("2. {kept}"))
        );
        let _ = writeln!(
            out,
            "{}",
            bold(
                "3. Stop a backend and look again; `start` instead of `stop` brings it back.\n   `slow` makes it slow, `fast` ends that: dashboard and `forecourt top` tell."
            )
        );
        for backend in &fleet.backends {
            let name = backend.name;
            let _ = writeln!(out, "  curl -X POST http://{control}/backends/{name}/stop");
        }
        print(&out);
    }

    /// Draws the table in the place of the one before.
    pub(super) fn refresh(&mut self, figures: &Figures) {
        let now = Instant::now();
        let rate = self.last.map_or(0.0, |(before, requests)| {
            let passed = now.duration_since(before).as_secs_f64().max(0.001);
            figures.requests.saturating_sub(requests) as f64 / passed
        });
        self.last = Some((now, figures.requests));
        let head = format!(
            "{} requests, {rate:.0}/s, {} errors",
            figures.requests, figures.errors
        );
        let table = format!("\n{head}\n\n{}", self.table(figures));
        let mut out = self.back();
        for line in table.lines() {
            let _ = writeln!(out, "{line}{TO_END_OF_LINE}");
        }
        self.drawn = table.lines().count();
        print(&out);
    }

    /// Prints the last table, in the place of the live one if there is one.
    pub(super) fn summary(&mut self, figures: &Figures, lasted: Duration) {
        let mut out = self.back();
        if !out.is_empty() {
            out.push_str(TO_END_OF_SCREEN);
        }
        let share = percent(figures.errors, figures.requests);
        let _ = write!(
            out,
            "\n{} requests in {:.1} s, {} errors ({share}), p50 {}, p99 {}\n\n{}",
            figures.requests,
            lasted.as_secs_f64(),
            figures.errors,
            quantile_text(&figures.times, 0.50),
            quantile_text(&figures.times, 0.99),
            self.table(figures)
        );
        self.drawn = 0;
        print(&out);
    }

    fn table(&self, figures: &Figures) -> String {
        let head = format!(
            "{:<9} {:>10} {:>8} {:>10} {:>9} {:>16}   state",
            "backend", "requests", "share", "in flight", "mean ms", "failed attempts",
        );
        let mut out = self.painted(BOLD, &head) + "\n";
        let answered = figures.answered();
        for backend in &figures.backends {
            let state = if backend.serving {
                self.painted(GREEN, "serving")
            } else {
                self.painted(RED, "stopped")
            };
            let _ = writeln!(
                out,
                "{:<9} {:>10} {:>8} {:>10} {:>9} {:>16}   {state}",
                backend.name,
                backend.requests,
                percent(backend.requests, answered),
                backend.in_flight,
                mean(&backend.times).map_or_else(|| "-".to_owned(), milliseconds),
                backend.failures,
            );
        }
        out
    }

    /// To the first line of the table that stands there.
    fn back(&self) -> String {
        match self.drawn {
            0 => String::new(),
            lines => format!("\x1b[{lines}A\r"),
        }
    }

    fn painted(&self, code: &str, text: &str) -> String {
        if self.colored {
            format!("{code}{text}{PLAIN}")
        } else {
            text.to_owned()
        }
    }
}

fn slowness(backend: &Backend) -> Option<String> {
    let wait = backend.delay;
    (!wait.is_zero()).then(|| format!("{} ({} ms)", backend.name, wait.as_millis()))
}

fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    format!("{:.1} %", part as f64 * 100.0 / whole as f64)
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1_000.0)
}

fn quantile_text(times: &HistogramTotal, share: f64) -> String {
    match quantile(times, share) {
        Some(time) => format!("{} ms", milliseconds(time)),
        None if times.count() == 0 => "-".to_owned(),
        None => {
            let last = Histogram::BOUNDS[Histogram::BOUNDS.len() - 1];
            format!("over {} s", last.as_secs())
        }
    }
}

/// Whoever reads it may stop reading: that is no failure.
fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

const BOLD: &str = "\x1b[1m";
const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";
const TO_END_OF_LINE: &str = "\x1b[K";
const TO_END_OF_SCREEN: &str = "\x1b[J";
