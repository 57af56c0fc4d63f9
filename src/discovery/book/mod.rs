//! What is known of each name, and when it is asked again. Pure: time and chance are arguments.
//!
//! The last good answer stays until there is another good one: an error, silence, a name that does not exist and an answer
//! without addresses change nothing, for a name server that is wrong is far more frequent than a pool that wants nobody
//! any more. A good answer is good for its TTL, within bounds; after a failure the name is asked again after `min_ttl`, then
//! twice that and so on up to [`LONGEST_RETRY`]. A tenth of chance on top keeps names that were learnt together from being
//! asked together for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Answer, LookupError};
use crate::plan::Dns;
use crate::plan::names::{Found, Question};

#[cfg(test)]
mod tests;

/// The names of a configuration.
#[derive(Debug, Default)]
pub struct Book {
    pages: BTreeMap<Question, Page>,
    /// Those that nobody asks at the moment, soonest first.
    due: BTreeSet<(Instant, Question)>,
}

/// One name.
#[derive(Debug)]
struct Page {
    /// The last good answer; none if there never was one.
    found: Arc<[Found]>,
    /// Lookups in a row that gave nothing.
    failures: u32,
    /// When it is asked again; none while it is asked.
    due: Option<Instant>,
}

/// What an answer changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Noted {
    /// The answer that holds now, if it is another one.
    pub found: Option<Arc<[Found]>>,
    /// Addresses that were not there before.
    pub came: Vec<Found>,
    /// Addresses that are no longer there.
    pub gone: Vec<Found>,
    /// Addresses beyond the most that are taken.
    pub cut: usize,
    /// Lookups in a row that have given nothing, this one included.
    pub failures: u32,
    /// Lookups in a row that had given nothing before this one, which gave something.
    pub recovered: u32,
}

impl Book {
    /// Takes on the names of a configuration with what was found when it was loaded, and forgets all others; says which.
    /// All are asked soon: between the loading and now something may have changed.
    pub fn adopt(
        &mut self,
        names: impl IntoIterator<Item = (Question, Arc<[Found]>)>,
        now: Instant,
    ) -> Vec<Question> {
        let mut before = std::mem::take(&mut self.pages);
        self.due.clear();
        for (question, found) in names {
            let known = before.remove(&question);
            let page = Page {
                failures: known.as_ref().map_or(0, |known| known.failures),
                // An answer under way is as good as another question.
                due: known.is_none_or(|known| known.due.is_some()).then_some(now),
                found,
            };
            if let Some(due) = page.due {
                self.due.insert((due, question.clone()));
            }
            self.pages.insert(question, page);
        }
        before.into_keys().collect()
    }

    /// When the next name is to be asked.
    pub fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// A name that is to be asked now. It is not named again before its answer is noted.
    pub fn take_due(&mut self, now: Instant) -> Option<Question> {
        let (at, _) = self.due.first()?;
        if *at > now {
            return None;
        }
        let (_, question) = self.due.pop_first()?;
        if let Some(page) = self.pages.get_mut(&question) {
            page.due = None;
        }
        Some(question)
    }

    /// Takes an answer, or that there was none; `draw` is any number. Nothing if nobody wants to know any more.
    pub fn note(
        &mut self,
        question: &Question,
        answer: Result<Answer, LookupError>,
        settings: &Dns,
        (now, draw): (Instant, u64),
    ) -> Option<Noted> {
        let page = self.pages.get_mut(question)?;
        let (noted, wait) = match answer {
            Ok(answer) if !answer.found.is_empty() => {
                let wait = answer.ttl.clamp(settings.min_ttl, settings.max_ttl);
                (page.accept(answer.found, settings), wait)
            }
            Ok(_) | Err(_) => (page.fail(), retry_after(page.failures, settings)),
        };
        let due = now + wait + wait.mul_f64((draw % 1000) as f64 / 10_000.0);
        if let Some(before) = page.due.replace(due) {
            self.due.remove(&(before, question.clone()));
        }
        self.due.insert((due, question.clone()));
        Some(noted)
    }

    /// How many addresses a name has.
    pub fn count(&self, question: &Question) -> usize {
        self.pages.get(question).map_or(0, |page| page.found.len())
    }

    #[cfg(test)]
    fn check(&self) {
        for (question, page) in &self.pages {
            let listed = page.due.map(|due| (due, question.clone()));
            assert!(listed.is_none_or(|listed| self.due.contains(&listed)));
            assert!(
                page.found
                    .is_sorted_by(|one, two| one.address < two.address)
            );
        }
        let waiting = self.pages.values().filter(|page| page.due.is_some());
        assert_eq!(waiting.count(), self.due.len());
    }
}

impl Page {
    fn accept(&mut self, found: Vec<Found>, settings: &Dns) -> Noted {
        let all = found.len();
        let found = settle(found, &self.found, settings.max_addresses);
        let is_in = |all: &[Found], one: &Found| all.iter().any(|it| it.address == one.address);
        let came = found.iter().filter(|one| !is_in(&self.found, one));
        let gone = self.found.iter().filter(|one| !is_in(&found, one));
        let noted = Noted {
            came: came.copied().collect(),
            gone: gone.copied().collect(),
            cut: all.saturating_sub(settings.max_addresses),
            failures: 0,
            recovered: std::mem::take(&mut self.failures),
            found: (*found != *self.found).then(|| Arc::clone(&found)),
        };
        self.found = found;
        noted
    }

    fn fail(&mut self) -> Noted {
        self.failures = self.failures.saturating_add(1);
        Noted {
            failures: self.failures,
            ..Noted::default()
        }
    }
}

/// The same addresses in an order of their own, for servers rotate theirs: by address, each once, as the record that is
/// asked first has it. Of too many those stay that were there before, then the lowest.
pub fn settle(mut found: Vec<Found>, before: &[Found], most: usize) -> Arc<[Found]> {
    let was_there = |one: &Found| before.iter().any(|it| it.address == one.address);
    found.sort_by_key(|one| (one.address, one.backup, std::cmp::Reverse(one.weight)));
    found.dedup_by_key(|one| one.address);
    if found.len() > most {
        found.sort_by_key(|one| (!was_there(one), one.address));
        found.truncate(most);
        found.sort_by_key(|one| one.address);
    }
    found.into()
}

fn retry_after(failures: u32, settings: &Dns) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let wait = settings.min_ttl.saturating_mul(1 << doublings);
    let longest = LONGEST_RETRY.min(settings.max_ttl);
    wait.min(longest.max(settings.min_ttl))
}

/// A name server that is back is not left waiting for longer; one that is overloaded is asked seldom enough.
const LONGEST_RETRY: Duration = Duration::from_secs(30);
