//! Never above the bound, in order, and nobody lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::task::Wake;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

/// A task's flag, or a parked thread.
struct Flag(AtomicBool, std::thread::Thread);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
        self.1.unpark();
    }
}

fn flag() -> (Arc<Flag>, Waker) {
    let flag = Arc::new(Flag(AtomicBool::new(false), std::thread::current()));
    (Arc::clone(&flag), Waker::from(flag))
}

fn door(places: u32, room: usize) -> Door {
    let door = Door::default();
    door.set(places, room);
    door
}

/// Waits on this thread; `None` when displaced, or when `patience` is over, which the flag tells apart.
fn wait(door: &Door, ticket: &mut Ticket<'_>, patience: Duration) -> Result<Place, bool> {
    let (flag, waker) = flag();
    let cx = Context::from_waker(&waker);
    let end = Instant::now() + patience;
    loop {
        match ticket.poll_turn(&cx, || door.enter().ok_or(Full::All)) {
            Poll::Ready(Some(place)) => return Ok(place),
            Poll::Ready(None) => return Err(true),
            Poll::Pending => {}
        }
        while !flag.0.swap(false, SeqCst) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(false);
            }
            std::thread::park_timeout(left);
        }
    }
}

#[test]
fn without_a_bound_everybody_is_in_and_nothing_is_counted() {
    let door = Door::default();
    let places: Vec<Place> = (0..1000).map(|_| door.enter().unwrap()).collect();
    assert_eq!(door.taken(), 0);
    // A bound that comes later counts from then on, and those from before give nothing back.
    door.set(1, 0);
    let counted = door.enter().unwrap();
    assert!(door.enter().is_none() && door.join(9).is_none());
    places.into_iter().for_each(|place| door.leave(place));
    assert_eq!(door.taken(), 1);
    door.leave(counted);
    assert_eq!(door.taken(), 0);
}

#[test]
fn whoever_can_go_passes_those_who_cannot_and_they_keep_their_places() {
    let door = door(1, 4);
    let held = door.enter().unwrap();
    let (flags, wakers): (Vec<_>, Vec<_>) = (0..4).map(|_| flag()).unzip();
    let mut tickets: Vec<_> = (0..4).map(|_| door.join(5).unwrap()).collect();
    let mut poll = |at: usize, attempt: Result<(), Full>| {
        flags[at].0.store(false, SeqCst);
        tickets[at].poll_turn(&Context::from_waker(&wakers[at]), || attempt)
    };
    let woken = || -> Vec<bool> {
        flags
            .iter()
            .map(|flag| flag.0.swap(false, SeqCst))
            .collect()
    };
    // Nobody's turn but the first one's.
    for at in 1..4 {
        assert!(poll(at, Ok(())).is_pending());
    }
    assert!(poll(0, Err(Full::Mine)).is_pending());
    assert_eq!(woken(), [false, true, false, false]);
    assert!(poll(1, Err(Full::Mine)).is_pending());
    assert_eq!(woken(), [false, false, true, false]);
    assert!(poll(2, Ok(())).is_ready());
    assert_eq!(woken(), [false, false, false, true]);
    // Where all is full nobody else need look.
    assert!(poll(3, Err(Full::All)).is_pending());
    assert_eq!(woken(), [false; 4]);
    // What becomes free is for the first of all again, though it let others by.
    door.leave(held);
    assert_eq!(woken(), [true, false, false, false]);
    assert!(poll(3, Ok(())).is_pending() && poll(1, Ok(())).is_pending());
    assert!(poll(0, Ok(())).is_ready());
    assert_eq!(woken(), [false, true, false, false]);
    let before = door.edition();
    assert_eq!(door.begin_edition(), before + 1);
    assert_eq!(woken(), [false, true, false, false]);
}

#[test]
fn a_raised_bound_wakes_whoever_waits() {
    let door = door(1, 4);
    let _first = door.enter().unwrap();
    let (flags, wakers): (Vec<_>, Vec<_>) = (0..2).map(|_| flag()).unzip();
    let mut tickets: Vec<_> = (0..2).map(|_| door.join(5).unwrap()).collect();
    for (ticket, waker) in tickets.iter_mut().zip(&wakers) {
        let turn = ticket.poll_turn(&Context::from_waker(waker), || {
            door.enter().ok_or(Full::All)
        });
        assert!(turn.is_pending());
    }
    assert_eq!(door.waiting(), 2);
    door.set(3, 4);
    for ((flag, waker), ticket) in flags.iter().zip(&wakers).zip(&mut tickets) {
        assert!(flag.0.load(SeqCst));
        let turn = ticket.poll_turn(&Context::from_waker(waker), || {
            door.enter().ok_or(Full::All)
        });
        assert!(matches!(turn, Poll::Ready(Some(_))));
    }
    assert_eq!((door.taken(), door.waiting()), (3, 0));
}

/// Requests on many threads that want to be in for a moment: the bound holds, and as long as none gives up all of
/// them come in, which they would not if a single wake-up were lost.
#[test]
fn threads_never_exceed_it_and_none_is_forgotten() {
    const THREADS: usize = 8;
    const TURNS: usize = 500;
    for places in [1, 3] {
        let (door, inside) = (door(places, THREADS), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (door, inside) = (&door, &inside);
                scope.spawn(move || {
                    for turn in 0..TURNS {
                        let passed = (door.waiting() == 0).then(|| door.enter()).flatten();
                        let place = passed.unwrap_or_else(|| {
                            let mut ticket = door.join(((thread + turn) % 10) as u8).unwrap();
                            let patience = Duration::from_secs(60);
                            wait(door, &mut ticket, patience).expect("no wake-up is lost")
                        });
                        assert!(inside.fetch_add(1, SeqCst) < places);
                        if turn % 7 == 0 {
                            std::thread::yield_now();
                        }
                        inside.fetch_sub(1, SeqCst);
                        door.leave(place);
                    }
                });
            }
        });
        assert_eq!((door.taken(), door.waiting()), (0, 0));
    }
}

/// The same with a short queue and no patience: every request ends in one of the four ways.
#[test]
fn threads_that_give_up_leave_nothing_behind() {
    let door = door(2, 3);
    let ends: [AtomicU32; 4] = Default::default();
    std::thread::scope(|scope| {
        for thread in 0..8_u8 {
            let (door, ends) = (&door, &ends);
            scope.spawn(move || {
                for turn in 0..400_u16 {
                    let end = match door.join(((u16::from(thread) + turn) % 10) as u8) {
                        None => 0,
                        Some(mut ticket) => {
                            let patience = Duration::from_micros(u64::from(turn % 5) * 50);
                            match wait(door, &mut ticket, patience) {
                                Ok(place) => {
                                    assert!(door.taken() <= 2);
                                    door.leave(place);
                                    1
                                }
                                Err(true) => 2,
                                Err(false) => 3,
                            }
                        }
                    };
                    ends[end].fetch_add(1, SeqCst);
                }
            });
        }
    });
    assert_eq!(
        ends.iter().map(|end| end.load(SeqCst)).sum::<u32>(),
        8 * 400
    );
    assert!(ends[1].load(SeqCst) > 0);
    assert_eq!((door.taken(), door.waiting()), (0, 0));
}

#[derive(Clone, Debug)]
enum Step {
    Come(u8),
    /// One that is in leaves, and whoever is woken tries.
    Leave,
    /// One that waits gives up.
    GiveUp(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..10_u8).prop_map(Step::Come),
        2 => Just(Step::Leave),
        1 => any::<usize>().prop_map(Step::GiveUp),
    ]
}

/// Whoever waits, by the number of its coming.
struct Waiting<'d> {
    number: usize,
    priority: u8,
    ticket: Ticket<'d>,
    flag: Arc<Flag>,
    waker: Waker,
}

/// Polls those that were woken, and says who came in and who was displaced.
fn settle<'d>(door: &'d Door, waiting: &mut Vec<Waiting<'d>>) -> (Vec<(usize, Place)>, Vec<usize>) {
    let (mut came_in, mut displaced) = (Vec::new(), Vec::new());
    while let Some(at) = waiting
        .iter()
        .position(|one| one.flag.0.swap(false, SeqCst))
    {
        let one = &mut waiting[at];
        let cx = Context::from_waker(&one.waker);
        match one.ticket.poll_turn(&cx, || door.enter().ok_or(Full::All)) {
            Poll::Ready(Some(place)) => came_in.push((waiting.remove(at).number, place)),
            Poll::Ready(None) => displaced.push(waiting.remove(at).number),
            Poll::Pending => {}
        }
    }
    (came_in, displaced)
}

proptest! {
    /// Against a list that is sorted anew at every step: who is served, who is displaced and who is turned away.
    #[test]
    fn it_is_a_queue_by_importance_and_then_by_coming(
        places in 1..4_u32, room in 0..5_usize, steps in prop::collection::vec(step(), 1..120),
    ) {
        let door = door(places, room);
        let mut inside: Vec<Place> = Vec::new();
        let mut waiting: Vec<Waiting<'_>> = Vec::new();
        // Importance and number, sorted by who is next.
        let mut model: Vec<(u8, usize)> = Vec::new();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Come(priority) => {
                    let free = (inside.len() as u32) < places && model.is_empty();
                    let passed = (door.waiting() == 0).then(|| door.enter()).flatten();
                    prop_assert_eq!(passed.is_some(), free);
                    if let Some(place) = passed {
                        inside.push(place);
                        continue;
                    }
                    let last = model.last().copied();
                    let displaces = model.len() >= room && last.is_some_and(|last| last.0 < priority);
                    let ticket = door.join(priority);
                    prop_assert_eq!(ticket.is_some(), model.len() < room || displaces);
                    let Some(ticket) = ticket else { continue };
                    if displaces {
                        model.pop();
                    }
                    model.push((priority, number));
                    model.sort_by_key(|&(priority, number)| (std::cmp::Reverse(priority), number));
                    let (flag, waker) = flag();
                    flag.0.store(true, SeqCst);
                    waiting.push(Waiting { number, priority, ticket, flag, waker });
                    let (came_in, displaced) = settle(&door, &mut waiting);
                    prop_assert!(came_in.is_empty());
                    let expected: Vec<usize> = last.filter(|_| displaces).map(|last| last.1).into_iter().collect();
                    prop_assert_eq!(displaced, expected);
                }
                Step::Leave => {
                    let Some(place) = inside.pop() else { continue };
                    door.leave(place);
                    let (came_in, displaced) = settle(&door, &mut waiting);
                    prop_assert!(displaced.is_empty());
                    let expected = (!model.is_empty()).then(|| model.remove(0).1);
                    let numbers: Vec<usize> = came_in.iter().map(|came| came.0).collect();
                    prop_assert_eq!(numbers, expected.into_iter().collect::<Vec<_>>());
                    inside.extend(came_in.into_iter().map(|came| came.1));
                }
                Step::GiveUp(which) => {
                    if waiting.is_empty() {
                        continue;
                    }
                    let one = waiting.remove(which % waiting.len());
                    model.retain(|&waits| waits != (one.priority, one.number));
                    drop(one.ticket);
                    let (came_in, displaced) = settle(&door, &mut waiting);
                    prop_assert!(came_in.is_empty() && displaced.is_empty());
                }
            }
            prop_assert_eq!(door.waiting(), model.len());
            prop_assert_eq!(door.taken() as usize, inside.len());
            prop_assert!(door.taken() <= places && door.waiting() <= room);
        }
    }
}
