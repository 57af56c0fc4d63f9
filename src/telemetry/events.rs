//! The last events of the operator's log, kept for whoever looks: a ring that is read by number.
//!
//! A layer beside the one that writes lines ([`super::logging`]) keeps every event of level info and above, whatever the
//! level of the log, since the admin API tells of them even where nothing is written. There is no queue for each reader: a reader
//! remembers the number of the last event that it has, and asks the ring for what came after. So a slow one costs
//! nothing, loses the oldest, and can be told how many.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde::Serialize;
use serde_json::{Map, Value};
use tokio::sync::watch;
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// How many events are kept.
pub const KEPT: usize = 500;

/// Longer texts in an event are cut: one that a backend made must not fill the ring's memory.
const TEXT_MOST: usize = 2_048;

/// The ring. A clone is the same ring.
#[derive(Clone, Debug)]
pub struct Events(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Tells this process from others in [`Events::id`]: when it began, in microseconds since 1970.
    run: u128,
    ring: Mutex<Ring>,
    /// The number of the last event.
    news: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Ring {
    /// The number of the last event; the first has 1.
    last: u64,
    kept: VecDeque<Arc<Event>>,
}

/// An event of the operator's log.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// Its number in this process, from 1.
    #[serde(skip)]
    pub number: u64,
    /// When, by RFC 3339 in UTC.
    pub time: String,
    /// `error`, `warn` or `info`.
    pub level: &'static str,
    /// What happened.
    pub message: String,
    /// With what.
    pub fields: Map<String, Value>,
}

/// What has come since the last look.
#[derive(Clone, Debug, PartialEq)]
pub struct News {
    /// Events that came and are kept no more.
    pub lost: u64,
    /// The events, oldest first.
    pub events: Vec<Arc<Event>>,
}

/// One reader of the ring.
#[derive(Debug)]
pub struct Reader {
    events: Events,
    /// The number of the last event that it has.
    seen: u64,
    news: watch::Receiver<u64>,
}

impl Default for Events {
    fn default() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self(Arc::new(Shared {
            run: since.map_or(0, |since| since.as_micros()),
            ring: Mutex::default(),
            news: watch::Sender::new(0),
        }))
    }
}

impl Events {
    /// A reader of what comes after the event of this id. Without one, or with one of another process, what is kept
    /// comes first.
    pub fn reader(&self, after: Option<&str>) -> Reader {
        let ring = self.ring();
        let known = after.and_then(|id| self.number(id));
        let seen = match known.filter(|number| *number <= ring.last) {
            Some(number) => number,
            None => ring.first().saturating_sub(1),
        };
        drop(ring);
        Reader {
            events: self.clone(),
            seen,
            news: self.0.news.subscribe(),
        }
    }

    /// What a reader calls an event by, over processes.
    pub fn id(&self, event: &Event) -> String {
        format!("{:x}-{}", self.0.run, event.number)
    }

    fn number(&self, id: &str) -> Option<u64> {
        let (run, number) = id.split_once('-')?;
        let is_ours = u128::from_str_radix(run, 16) == Ok(self.0.run);
        number.parse().ok().filter(|_| is_ours)
    }

    fn keep(&self, mut event: Event) {
        let mut ring = self.ring();
        ring.last += 1;
        event.number = ring.last;
        let number = event.number;
        if ring.kept.len() == KEPT {
            ring.kept.pop_front();
        }
        ring.kept.push_back(Arc::new(event));
        drop(ring);
        self.0.news.send_if_modified(|last| {
            // Another thread may have been here first with a later one.
            let is_later = number > *last;
            *last = number.max(*last);
            is_later
        });
    }

    /// The messages that are kept, oldest first.
    #[cfg(test)]
    pub(super) fn messages(&self) -> Vec<String> {
        let ring = self.ring();
        ring.kept
            .iter()
            .map(|event| event.message.clone())
            .collect()
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.0.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    /// The number of the oldest event that is kept, or of the next one if there is none.
    fn first(&self) -> u64 {
        self.kept
            .front()
            .map_or(self.last + 1, |event| event.number)
    }
}

impl Reader {
    /// Waits until there is something new. Cancel-safe: what is not returned comes with the next call.
    pub async fn next(&mut self) -> News {
        loop {
            self.news.borrow_and_update();
            if let Some(news) = self.look() {
                return news;
            }
            if self.news.changed().await.is_err() {
                // The sender is in the ring, which this holds.
                std::future::pending::<()>().await;
            }
        }
    }

    fn look(&mut self) -> Option<News> {
        let ring = self.events.ring();
        if ring.last == self.seen {
            return None;
        }
        let first = ring.first();
        let lost = first.saturating_sub(self.seen + 1);
        let skipped = usize::try_from((self.seen + 1).saturating_sub(first)).unwrap_or(usize::MAX);
        let events = ring.kept.iter().skip(skipped).cloned().collect();
        self.seen = ring.last;
        Some(News { lost, events })
    }
}

impl<S: Subscriber> Layer<S> for Events {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut seen = Seen::default();
        event.record(&mut seen);
        self.keep(Event {
            number: 0,
            time: jiff::Timestamp::now().to_string(),
            level: match *event.metadata().level() {
                tracing::Level::ERROR => "error",
                tracing::Level::WARN => "warn",
                tracing::Level::INFO => "info",
                tracing::Level::DEBUG => "debug",
                tracing::Level::TRACE => "trace",
            },
            message: seen.message,
            fields: seen.fields,
        });
    }
}

/// What an event has.
#[derive(Default)]
struct Seen {
    message: String,
    fields: Map<String, Value>,
}

impl Seen {
    fn set(&mut self, field: &Field, value: Value) {
        match value {
            Value::String(text) if field.name() == "message" => self.message = text,
            value => {
                self.fields.insert(field.name().to_owned(), value);
            }
        }
    }
}

impl Visit for Seen {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, Value::from(cut(value)));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, Value::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, Value::from(value));
    }
}

/// The text, or its beginning.
fn cut(text: &str) -> String {
    if text.len() <= TEXT_MOST {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(TEXT_MOST)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt;

    fn say(events: &Events, count: u64) {
        let subscriber = tracing_subscriber::Registry::default().with(events.clone());
        crate::telemetry::logging::alone_with(subscriber, || {
            for number in 0..count {
                tracing::info!(number, "said");
            }
        });
    }

    fn numbers(news: &News) -> Vec<u64> {
        news.events.iter().map(|event| event.number).collect()
    }

    #[test]
    fn an_event_has_its_fields_by_type() {
        let events = Events::default();
        let subscriber = tracing_subscriber::Registry::default().with(events.clone());
        crate::telemetry::logging::alone_with(subscriber, || {
            let long = "ü".repeat(TEXT_MOST);
            tracing::warn!(pool = "shop", left = 3, ok = true, share = 0.5, cause = %"it broke", why = ?Some(1), long, "backend {}", "failing");
        });
        let news = events.reader(None).look().expect("there is one");
        let event = &*news.events[0];
        assert_eq!((event.level, &*event.message), ("warn", "backend failing"));
        let fields = &event.fields;
        assert_eq!(fields["pool"], "shop");
        assert_eq!(fields["left"], 3);
        assert_eq!(fields["ok"], true);
        assert_eq!(fields["share"], 0.5);
        assert_eq!(fields["cause"], "it broke");
        assert_eq!(fields["why"], "Some(1)");
        let long = fields["long"].as_str().expect("a text");
        assert!(long.len() <= TEXT_MOST + "…".len() && long.ends_with('…'));
        assert!(
            event.time.parse::<jiff::Timestamp>().is_ok(),
            "{}",
            event.time
        );
    }

    #[test]
    fn a_reader_has_each_once_and_a_slow_one_hears_what_it_lost() {
        let events = Events::default();
        say(&events, 2);
        let mut reader = events.reader(None);
        assert_eq!(numbers(&reader.look().expect("news")), [1, 2]);
        assert_eq!(reader.look(), None);
        say(&events, 1);
        assert_eq!(numbers(&reader.look().expect("news")), [3]);
        say(&events, KEPT as u64 + 7);
        let news = reader.look().expect("news");
        assert_eq!((news.lost, news.events.len()), (7, KEPT));
        assert_eq!(news.events.last().map(|event| event.number), Some(510));
        assert_eq!(reader.look(), None);
    }

    #[test]
    fn reading_goes_on_after_an_id_of_this_process_only() {
        let events = Events::default();
        say(&events, 5);
        let third = Arc::clone(&events.reader(None).look().expect("news").events[2]);
        let id = events.id(&third);
        let after = |id: &str| events.reader(Some(id)).look().map(|news| numbers(&news));
        assert_eq!(after(&id), Some(vec![4, 5]));
        let all = Some(vec![1, 2, 3, 4, 5]);
        for strange in ["", "3", "-3", "1-3", &format!("{id}9"), &format!("{id}x")] {
            assert_eq!(after(strange), all, "{strange}");
        }
        say(&events, KEPT as u64);
        let late = events.reader(Some(&id)).look().expect("news");
        assert_eq!(
            (late.lost, late.events.len()),
            (2, KEPT),
            "the ring has gone on"
        );
        assert_eq!(events.reader(None).look().map(|news| news.lost), Some(0));
    }

    #[tokio::test]
    async fn a_reader_waits_for_what_comes() {
        let events = Events::default();
        let mut reader = events.reader(None);
        let early = tokio::time::timeout(std::time::Duration::ZERO, reader.next()).await;
        assert!(early.is_err(), "nothing has come");
        let teller = events.clone();
        let thread = std::thread::spawn(move || say(&teller, 1));
        assert_eq!(numbers(&reader.next().await), [1]);
        assert!(thread.join().is_ok());
    }
}
