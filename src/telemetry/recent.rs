//! The requests of late that are worth a look, in bounded memory: for `forecourt why` and `/v1/requests`.
//!
//! Remembered are those that failed, were slow, or took more than one attempt, and a sample of the others, each worker's
//! apart, so that a flood of one kind does not drive the other out. A worker writes where no other worker does, and takes
//! a lock only for a request that is remembered; whoever reads takes it for one worker after the other. What is remembered
//! is the line of the access log, whether that is on or not; the path and the method are there if it is, or if the reply was
//! our own.
//!
//! The memory is fixed: so many lines, none longer than [`LINE_MOST`].

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::access::{AccessRecord, Stamp};

/// What all workers remember.
pub struct Recent {
    workers: Box<[Mutex<Memory>]>,
    /// Requests of each worker.
    most: AtomicUsize,
}

/// One worker's part of it.
#[derive(Debug)]
pub struct Remembering {
    recent: Arc<Recent>,
    worker: usize,
    /// Requests until the next one of the sample.
    until_sample: u32,
    stamp: Stamp,
}

/// A request that is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// When it ended, in milliseconds since 1970.
    pub ended: i64,
    /// Whether it failed.
    pub failed: bool,
    /// The line of the access log, as JSON.
    pub line: Vec<u8>,
    id: Vec<u8>,
}

#[derive(Default)]
struct Memory {
    notable: VecDeque<Remembered>,
    sample: VecDeque<Remembered>,
}

impl Recent {
    /// Room for `most` requests, shared out among so many workers; none is remembered if it is 0.
    pub fn new(workers: usize, most: usize) -> Arc<Self> {
        let recent = Self {
            workers: (0..workers.max(1)).map(|_| Mutex::default()).collect(),
            most: AtomicUsize::new(0),
        };
        recent.set_most(most);
        Arc::new(recent)
    }

    /// Changes the room. What is beyond it goes when the next request comes.
    pub fn set_most(&self, most: usize) {
        self.most.store(most.div_ceil(self.workers.len()), Relaxed);
        if most == 0 {
            for memory in &self.workers {
                *lock(memory) = Memory::default();
            }
        }
    }

    /// The part of one worker.
    pub fn worker(self: &Arc<Self>, worker: usize) -> Remembering {
        Remembering {
            recent: Arc::clone(self),
            worker: worker % self.workers.len(),
            until_sample: 0,
            stamp: Stamp::default(),
        }
    }

    /// The last request of this id, if it is remembered. Ids that clients bring may come more than once.
    pub fn find(&self, id: &[u8]) -> Option<Remembered> {
        let found = self.workers.iter().filter_map(|memory| {
            let memory = lock(memory);
            let both = memory.notable.iter().chain(&memory.sample);
            let named = both.filter(|request| request.id == id);
            named.max_by_key(|request| request.ended).cloned()
        });
        found.max_by_key(|request| request.ended)
    }

    /// The last requests, at most so many, the latest first.
    pub fn last(&self, most: usize, only_failed: bool) -> Vec<Remembered> {
        let mut all = Vec::new();
        for memory in &self.workers {
            let memory = lock(memory);
            // In each of them the latest stand behind.
            for kind in [&memory.notable, &memory.sample] {
                let wanted = kind.iter().rev();
                let wanted = wanted.filter(|request| request.failed || !only_failed);
                all.extend(wanted.take(most).cloned());
            }
        }
        all.sort_by_key(|request| std::cmp::Reverse(request.ended));
        all.truncate(most);
        all
    }
}

impl Remembering {
    /// Whether a request is to be remembered; asked of each, once. `notable` if it failed or took several attempts.
    #[inline]
    pub fn wants(&mut self, notable: bool, took: Duration) -> bool {
        self.until_sample = self.until_sample.wrapping_sub(1);
        let sampled = self.until_sample > SAMPLE;
        if !(notable | sampled | (took >= SLOW)) {
            return false;
        }
        if sampled {
            self.until_sample = SAMPLE - 1;
        }
        self.recent.most.load(Relaxed) > 0
    }

    /// Remembers a request.
    #[cold]
    pub fn keep(&mut self, record: &AccessRecord<'_>, notable: bool) {
        let most = self.recent.most.load(Relaxed);
        let notable = notable || record.times.total >= SLOW;
        let mut memory = lock(&self.recent.workers[self.worker]);
        let ring = if notable {
            &mut memory.notable
        } else {
            &mut memory.sample
        };
        // Three of four places are for what is worth more than an example.
        let room = if notable { most - most / 4 } else { most / 4 };
        let room = room.max(1);
        let mut place = Remembered::default();
        while ring.len() >= room {
            // The memory of the one that goes is that of the one that comes.
            place = ring.pop_front().unwrap_or_default();
        }
        place.line.clear();
        place.id.clear();
        let short = AccessRecord {
            path: cut(record.path, PATH_MOST),
            method: cut(record.method, PATH_MOST),
            ..*record
        };
        short.write_json(&mut self.stamp, &mut place.line);
        if place.line.len() > LINE_MOST {
            place.line.clear();
            let bare = AccessRecord {
                attempts: &[],
                path: b"",
                ..short
            };
            bare.write_json(&mut self.stamp, &mut place.line);
        }
        place.ended = record.timestamp.as_millisecond();
        place.failed = record.error.is_some() || record.status.is_none_or(|status| status >= 500);
        place.id.extend_from_slice(record.request_id);
        ring.push_back(place);
    }
}

impl fmt::Debug for Recent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recent")
            .field("workers", &self.workers.len())
            .field("most", &self.most)
            .finish()
    }
}

fn cut(bytes: &[u8], most: usize) -> &[u8] {
    &bytes[..bytes.len().min(most)]
}

fn lock(memory: &Mutex<Memory>) -> MutexGuard<'_, Memory> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One of so many requests that are nothing special is an example of them.
const SAMPLE: u32 = 64;

/// What takes longer is worth a look.
pub const SLOW: Duration = Duration::from_secs(1);

/// Of a longer path the beginning will do.
const PATH_MOST: usize = 512;

/// A line that would be longer loses its attempts.
pub const LINE_MOST: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::telemetry::Cause;
    use crate::telemetry::access::{Attempt, Times};

    fn record<'a>(id: &'a [u8], at: i64, error: Option<Cause>) -> AccessRecord<'a> {
        AccessRecord {
            timestamp: Timestamp::from_millisecond(at).unwrap(),
            method: b"GET",
            path: b"/",
            query: b"",
            protocol: "HTTP/1.1",
            referer: b"",
            user_agent: b"",
            trace_id: b"",
            sampled: None,
            status: Some(200),
            body_bytes: 0,
            client: None,
            request_id: id,
            listener: "web",
            route: None,
            pool: None,
            backend: None,
            strategy: None,
            sticky: None,
            generation: 1,
            error,
            attempts: &[],
            times: Times::default(),
            decision: None,
        }
    }

    fn ids(found: &[Remembered]) -> Vec<String> {
        let ids = found.iter().map(|request| &request.id);
        ids.map(|id| String::from_utf8_lossy(id).into_owned())
            .collect()
    }

    #[test]
    fn failures_are_kept_of_the_others_a_sample() {
        let recent = Recent::new(1, 100);
        let mut worker = recent.worker(0);
        let usual = (0..640)
            .filter(|_| worker.wants(false, Duration::ZERO))
            .count();
        assert_eq!(usual, 10);
        assert!((0..10).all(|_| worker.wants(true, Duration::ZERO)));
        assert!((0..10).all(|_| worker.wants(false, SLOW)));
        recent.set_most(0);
        assert!(!worker.wants(true, Duration::ZERO));
    }

    #[test]
    fn neither_kind_drives_the_other_out_and_the_memory_is_bounded() {
        let recent = Recent::new(2, 16);
        let mut workers = [recent.worker(0), recent.worker(1)];
        for at in 0..1_000 {
            let id = format!("r{at}");
            let failed = at < 4;
            let cause = failed.then_some(Cause::Reset);
            workers[at as usize % 2].keep(&record(id.as_bytes(), at, cause), failed);
        }
        let all = recent.last(100, false);
        assert_eq!(ids(&all)[..4], ["r999", "r998", "r997", "r996"]);
        assert_eq!(ids(&all)[4..], ["r3", "r2", "r1", "r0"]);
        assert_eq!(ids(&recent.last(2, true)), ["r3", "r2"]);
        for at in 1_000..2_000 {
            let id = format!("r{at}");
            workers[0].keep(&record(id.as_bytes(), at, Some(Cause::Reset)), true);
        }
        assert_eq!(recent.last(100, true).len(), 6 + 2);
        assert!(recent.find(b"r999").is_some() && recent.find(b"r1000").is_none());
    }

    #[test]
    fn of_two_with_one_id_the_later_is_told_of() {
        let recent = Recent::new(2, 16);
        recent
            .worker(0)
            .keep(&record(b"same", 7, Some(Cause::Reset)), true);
        recent.worker(1).keep(&record(b"same", 5, None), false);
        assert_eq!(recent.find(b"same").unwrap().ended, 7);
    }

    #[test]
    fn a_line_is_cut_and_stays_a_line() {
        let recent = Recent::new(1, 16);
        let name = "n".repeat(500);
        let attempt = Attempt {
            backend: &name,
            cause: Some(Cause::Reset),
            duration: Duration::ZERO,
        };
        let attempts = [attempt; 40];
        let path = vec![b'x'; 100_000];
        let long = AccessRecord {
            path: &path,
            attempts: &attempts,
            ..record(b"long", 1, Some(Cause::Reset))
        };
        recent.worker(0).keep(&long, true);
        let line = recent.find(b"long").unwrap().line;
        assert!(line.len() <= LINE_MOST);
        let read: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(read["forecourt.error"], "reset");
    }
}
