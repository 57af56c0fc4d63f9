//! Tasks that are kept for the next job of their kind.
//!
//! A task is memory of some kilobytes, aligned so that the allocator has to cut it to fit, and its future is moved into it
//! several times. That is dear for a stream or a connection that lasts for one request. A [`Hand`] has that once: it rests
//! when its job is done, and is woken for the next.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};

/// All hands for one kind of job, on one worker.
pub struct Crew<J> {
    resting: RefCell<Vec<Rc<Place<J>>>>,
}

/// One task of a crew, as it sees itself.
pub struct Hand<J> {
    /// None while it works, which may be for long and with many others.
    place: Cell<Option<Rc<Place<J>>>>,
    crew: Rc<Crew<J>>,
}

/// Where a hand waits for its next job.
struct Place<J> {
    job: Cell<Option<J>>,
    waker: Cell<Option<Waker>>,
}

impl<J: 'static> Crew<J> {
    /// Has a job done by one who rests, or else by a new task that runs what `work` makes: it takes jobs from its hand
    /// until there is none.
    pub fn give<F>(self: &Rc<Self>, job: J, work: impl FnOnce(Hand<J>) -> F)
    where
        F: Future<Output = ()> + 'static,
    {
        let rested = self.resting.borrow_mut().pop();
        if let Some(place) = rested {
            place.job.set(Some(job));
            if let Some(waker) = place.waker.take() {
                waker.wake();
            }
            return;
        }
        let place = Place::new(Some(job));
        let hand = Hand {
            place: Cell::new(Some(place)),
            crew: Rc::clone(self),
        };
        tokio::task::spawn_local(work(hand));
    }
}

impl<J> Hand<J> {
    /// The next job, waited for; `None` if enough others wait already.
    pub async fn next(&self) -> Option<J> {
        poll_fn(|cx| {
            let Some(place) = self.place.take().or_else(|| self.rest()) else {
                return Poll::Ready(None);
            };
            if let Some(job) = place.job.take() {
                return Poll::Ready(Some(job));
            }
            place.waker.set(Some(cx.waker().clone()));
            self.place.set(Some(place));
            Poll::Pending
        })
        .await
    }

    fn rest(&self) -> Option<Rc<Place<J>>> {
        let mut resting = self.crew.resting.borrow_mut();
        (resting.len() < MOST_RESTING).then(|| {
            let place = Place::new(None);
            resting.push(Rc::clone(&place));
            place
        })
    }
}

impl<J> Place<J> {
    fn new(job: Option<J>) -> Rc<Self> {
        Rc::new(Self {
            job: Cell::new(job),
            waker: Cell::new(None),
        })
    }
}

impl<J> Default for Crew<J> {
    fn default() -> Self {
        Self {
            resting: RefCell::default(),
        }
    }
}

impl<J> fmt::Debug for Crew<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let resting = self.resting.borrow().len();
        f.debug_struct("Crew").field("resting", &resting).finish()
    }
}

impl<J> fmt::Debug for Hand<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hand").finish_non_exhaustive()
    }
}

/// Tasks of a kind that are kept: what was needed at once beyond this is given back to the system.
const MOST_RESTING: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    /// Does `jobs` jobs in turn; says which task did each.
    async fn who_does(jobs: usize, at_once: usize) -> Vec<usize> {
        let crew: Rc<Crew<usize>> = Rc::default();
        let (tasks, done) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(Vec::new())));
        for begun in (0..jobs).step_by(at_once) {
            for job in begun..begun + at_once {
                let (tasks, done) = (Rc::clone(&tasks), Rc::clone(&done));
                crew.give(job, |hand| async move {
                    let task = tasks.replace(tasks.get() + 1);
                    while hand.next().await.is_some() {
                        done.borrow_mut().push(task);
                    }
                });
            }
            while done.borrow().len() < begun + at_once {
                tokio::task::yield_now().await;
            }
        }
        assert!(crew.resting.borrow().len() <= MOST_RESTING);
        done.take()
    }

    fn on_a_worker(work: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build_local(tokio::runtime::LocalOptions::default())
            .unwrap();
        runtime.block_on(work);
    }

    #[test]
    fn who_rests_has_the_next_job() {
        on_a_worker(async { assert_eq!(who_does(3, 1).await, [0, 0, 0]) });
    }

    #[test]
    fn jobs_at_once_have_a_task_each() {
        on_a_worker(async {
            let mut first = who_does(10, 5).await;
            let second = first.split_off(5);
            assert_eq!(first, [0, 1, 2, 3, 4]);
            assert!(second.iter().all(|task| *task < 5), "{second:?}");
        });
    }

    #[test]
    fn no_more_rest_than_are_worth_their_memory() {
        on_a_worker(async {
            let at_once = MOST_RESTING + 10;
            let tasks = who_does(2 * at_once, at_once).await;
            assert_eq!(tasks.iter().max(), Some(&(at_once + 9)));
        });
    }
}
