//! Who is there: what the names of backends mean, now and later.
//!
//! *What enters*: questions of the configuration, answers of name servers. *What leaves*: addresses ([`Found`]), the last
//! good ones for as long as there are no better ones. Whatever comes from a name server is a stranger's word: it may be
//! nothing, nonsense or too much, and none of that ends anything.
//!
//! In reading order: here what an answer is and what is kept of it; [`book`] (what is known of each name, when it is asked
//! again; pure), [`resolver`] (one question, one answer, by hickory), [`load`] (all names of a file at once, for whoever can
//! wait).
//!
//! Deliberately absent: backends and pools (`plan::names` makes backends of addresses, `app::names` has them take effect),
//! the wire format and its parser (hickory's), other sources of membership.

pub mod book;
pub mod load;
pub mod resolver;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use book::Book;
pub use resolver::Resolver;

use crate::plan::Dns;
use crate::plan::names::{Found, Question};

/// A good answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What was found, in any order.
    pub found: Vec<Found>,
    /// How long the answer is good, by the word of who gave it.
    pub ttl: Duration,
}

/// Why a name has given no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// The resolver or a name server has a problem.
    #[error("the name does not resolve: {0}")]
    Failed(String),
    /// There is no such name.
    #[error("there is no such name")]
    NoSuchName,
    /// The name has no addresses that can be connected to.
    #[error("the name has no addresses")]
    Nothing,
    /// Nobody answered in time.
    #[error("the name was not resolved within {}", seconds(.0))]
    TooLate(Duration),
}

/// What each question gave.
pub type Answers = HashMap<Question, Result<Answer, LookupError>>;

/// How the names of a configuration are asked for while it is loaded, all within this time. Blocks.
pub type Lookup = fn(Vec<Question>, &Dns, Duration) -> Answers;

/// The last good answers of the process: a configuration that is loaded while no name server answers is none the worse.
#[derive(Clone, Debug, Default)]
pub struct LastGood(Arc<Mutex<HashMap<Question, Arc<[Found]>>>>);

impl LastGood {
    /// The last good answer to a question.
    #[must_use]
    pub fn get(&self, question: &Question) -> Option<Arc<[Found]>> {
        self.lock().get(question).cloned()
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Takes note of a good answer.
    pub fn keep(&self, question: &Question, found: Arc<[Found]>) {
        self.lock().insert(question.clone(), found);
    }

    /// Forgets a name that nobody asks for any more.
    pub fn forget(&self, question: &Question) {
        self.lock().remove(question);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Question, Arc<[Found]>>> {
        // Nothing can be half done under this lock, so a panic elsewhere does not matter.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LookupError {
    /// The words of the metric, that of success included.
    pub const RESULTS: [&'static str; 4] = ["ok", "empty", "failed", "timeout"];

    /// The word of the metric.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Failed(_) => "failed",
            Self::NoSuchName | Self::Nothing => "empty",
            Self::TooLate(_) => "timeout",
        }
    }
}

impl LookupError {
    /// Of two attempts at a name what is to be said: that nobody knows goes before that there is nothing.
    fn worse(self, other: Self) -> Self {
        match (&self, &other) {
            (Self::Failed(_) | Self::TooLate(_), _) => self,
            (Self::Nothing, Self::NoSuchName) => self,
            (Self::NoSuchName | Self::Nothing, _) => other,
        }
    }
}

fn seconds(duration: &Duration) -> String {
    match duration.as_secs_f64() {
        1.0 => "1 second".to_owned(),
        seconds => format!("{seconds} seconds"),
    }
}
