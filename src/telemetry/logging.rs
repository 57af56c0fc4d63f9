//! The operator's log: what somebody should know or do, a line each, to stderr.
//!
//! Events are `tracing` events with fields. The level says who must act: error, the operator now;
//! warn, the operator soon; info, lifecycle; debug, one exchange; trace, bytes (absent from release
//! builds). An event is one line whatever its fields hold: control characters are escaped, so that
//! nobody who gets a string into the log can forge a line or drive the reader's terminal.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal};

use tracing::field::Field;
use tracing::level_filters::LevelFilter;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::{FilterExt as _, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{self, Writer};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer as _, Registry, reload};

use super::events::Events;

/// Severity of the operator's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the usual five")]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// When to colour the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colors {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Changes the log while it runs. Dropping it changes nothing.
#[derive(Clone, Debug)]
pub struct LogControl {
    filter: reload::Handle<LevelFilter, Registry>,
    events: Events,
}

/// The process has a log already, so this one was not installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a log is installed already")]
pub struct AlreadyInstalled;

/// Starts the log on stderr, for the whole process.
///
/// # Errors
/// If the process has one already.
pub fn install(level: Level, colors: Colors) -> Result<LogControl, AlreadyInstalled> {
    let (subscriber, control) = subscriber(level, colors, io::stderr);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| AlreadyInstalled)?;
    Ok(control)
}

impl LogControl {
    /// Writes from now on what is at least as severe as `level`.
    pub fn set_level(&self, level: Level) {
        // It fails only when the log is gone, and then there is nothing to change.
        let _ = self.filter.reload(LevelFilter::from(level));
    }

    /// The last events, those that the level keeps from being written among them.
    pub fn events(&self) -> &Events {
        &self.events
    }
}

impl From<Level> for LevelFilter {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::ERROR,
            Level::Warn => Self::WARN,
            Level::Info => Self::INFO,
            Level::Debug => Self::DEBUG,
            Level::Trace => Self::TRACE,
        }
    }
}

impl Colors {
    fn wanted(self) -> bool {
        match self {
            Self::Auto => {
                io::stderr().is_terminal()
                    && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            }
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// The filter of the lines is reloadable rather than an atomic of ours: `tracing` remembers at each call
/// site whether it is on, and the reload makes it ask again. So a switched-off event costs one load.
fn subscriber<W>(
    level: Level,
    colors: Colors,
    writer: W,
) -> (impl Subscriber + Send + Sync, LogControl)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::<_, Registry>::new(LevelFilter::from(level));
    let events = Events::default();
    let lines = tracing_subscriber::fmt::layer()
        .compact()
        .fmt_fields(format::debug_fn(write_field).delimited(" "))
        .with_ansi(colors.wanted())
        // Else an error on stderr would be reported on stderr, by a macro that panics.
        .log_internal_errors(false)
        .with_writer(writer)
        .with_filter(filter.and(filter_fn(is_for_operators)));
    // Above the lines, whose filter is of the bare registry.
    let ring = events
        .clone()
        .with_filter(LevelFilter::INFO.and(filter_fn(is_for_operators)));
    (
        Registry::default().with(lines).with(ring),
        LogControl {
            filter: handle,
            events,
        },
    )
}

/// The framing library warns of what any client can send at will, and the resolver has errors of what any name server can:
/// that would fill the log. What a lookup comes to is told by `app::names`.
fn is_for_operators(event: &Metadata<'_>) -> bool {
    let target = event.target();
    let is_error = *event.level() == tracing::Level::ERROR;
    !target.starts_with("hickory_") && (is_error || !target.starts_with("h2::"))
}

fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    if field.name() != "message" {
        if writer.has_ansi_escapes() {
            write!(writer, "\x1b[3m{field}\x1b[0m\x1b[2m=\x1b[0m")?;
        } else {
            write!(writer, "{field}=")?;
        }
    }
    write!(OneLine(writer), "{value:?}")
}

/// Passes text on with control characters escaped.
struct OneLine<'a, 'w>(&'a mut Writer<'w>);

impl fmt::Write for OneLine<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(is_unprintable) {
            let (clean, tail) = rest.split_at(at);
            self.0.write_str(clean)?;
            let mut chars = tail.chars();
            if let Some(control) = chars.next() {
                write!(self.0, "{}", control.escape_default())?;
            }
            rest = chars.as_str();
        }
        self.0.write_str(rest)
    }
}

/// Control characters, and the two line separators that are not among them.
fn is_unprintable(char: char) -> bool {
    char.is_control() || matches!(char, '\u{2028}' | '\u{2029}')
}

/// Does something with a log of its own, and no other test meanwhile: which events are of interest `tracing` works out for the
/// whole process, and with one log it asks only that of the thread which happens to ask.
#[cfg(test)]
pub(crate) fn alone_with<T>(log: impl Into<tracing::Dispatch>, deed: impl FnOnce() -> T) -> T {
    static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    // One that panicked has failed for itself.
    let _alone = ONE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    tracing::dispatcher::with_default(&log.into(), deed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Lines {
        fn take(&self) -> String {
            String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
        }
    }

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn log(level: Level, colors: Colors) -> (Lines, impl Subscriber + Send + Sync, LogControl) {
        let lines = Lines::default();
        let writer = lines.clone();
        let (subscriber, control) = subscriber(level, colors, move || writer.clone());
        (lines, subscriber, control)
    }

    #[test]
    fn an_event_is_a_line_with_its_fields() {
        let (lines, subscriber, _control) = log(Level::Info, Colors::Never);
        alone_with(subscriber, || {
            tracing::warn!(pool = "shop", backends = 3, reason = %"it broke", "backend failing");
        });
        let line = lines.take();
        assert!(line.contains(" WARN "), "{line}");
        assert!(
            line.ends_with("backend failing pool=\"shop\" backends=3 reason=it broke\n"),
            "{line}"
        );
    }

    #[test]
    fn the_level_changes_while_it_runs() {
        let (lines, subscriber, control) = log(Level::Warn, Colors::Never);
        alone_with(subscriber, || {
            let speak = || {
                tracing::info!("info");
                tracing::debug!("debug");
                lines.take().lines().count()
            };
            assert_eq!(speak(), 0);
            control.set_level(Level::Debug);
            assert_eq!(speak(), 2);
            control.set_level(Level::Info);
            assert_eq!(speak(), 1);
            control.set_level(Level::Error);
            assert_eq!(speak(), 0);
        });
    }

    /// What is written and what is kept have levels of their own, and what neither wants costs no call.
    #[test]
    fn what_is_not_written_is_kept_all_the_same() {
        let (lines, subscriber, control) = log(Level::Error, Colors::Never);
        alone_with(subscriber, || {
            tracing::info!("kept");
            tracing::debug!("not kept");
            tracing::warn!(target: "h2::codec", "of no interest");
            assert!(!tracing::enabled!(tracing::Level::DEBUG));
            control.set_level(Level::Debug);
            tracing::debug!("written");
        });
        assert!(lines.take().ends_with("written\n"));
        assert_eq!(control.events().messages(), ["kept"]);
    }

    #[test]
    fn nothing_in_a_field_can_forge_a_line() {
        let (lines, subscriber, _control) = log(Level::Info, Colors::Never);
        let hostile = "a\r\n2026 ERROR forged \x1b[31m\u{85}\u{2028}\u{7f}z";
        alone_with(subscriber, || {
            tracing::info!(plain = hostile, shown = %hostile, debugged = ?hostile, "said {hostile}");
        });
        let text = lines.take();
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        assert!(
            !text.trim_end_matches('\n').contains(is_unprintable),
            "{text:?}"
        );
    }

    #[test]
    fn colours_are_there_when_asked_for() {
        let (lines, subscriber, _control) = log(Level::Info, Colors::Always);
        alone_with(subscriber, || tracing::info!(a = 1, "x"));
        assert!(lines.take().contains("\x1b["));
    }
}
