//! The wheel beside a paused clock: never early, at most a tick late, whatever is done to its timers.

use std::future::{Future, poll_fn};

use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::{advance, sleep};

use super::*;

/// What the runtime's own timer, which counts milliseconds, may add.
const GRAIN: Duration = Duration::from_millis(1);

/// Runs a test beside a turning wheel. The clock is not at a whole tick of it.
async fn beside_a_wheel<F: Future<Output = ()>>(test: impl FnOnce(Rc<Wheel>) -> F) {
    advance(Duration::from_micros(1_234_567)).await;
    let wheel = Wheel::new();
    let local = LocalSet::new();
    local.spawn_local(Rc::clone(&wheel).run());
    local.run_until(test(wheel)).await;
}

/// Waits for a timer in a task of its own, as connections do; gives when it fired.
fn firing(timer: &Rc<Timer>) -> JoinHandle<Instant> {
    let timer = Rc::clone(timer);
    spawn_local(async move {
        poll_fn(|cx| timer.poll_expired(cx)).await;
        Instant::now()
    })
}

#[track_caller]
fn assert_in_time(fired: Instant, deadline: Instant) {
    assert!(fired >= deadline, "early by {:?}", deadline - fired);
    let late = fired - deadline;
    assert!(late <= TICK + GRAIN, "late by {late:?}");
}

fn is_expired(timer: &Timer) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    timer.poll_expired(&mut cx).is_ready()
}

#[tokio::test(start_paused = true)]
async fn a_deadline_fires_not_early_and_at_most_a_tick_late() {
    beside_a_wheel(async |wheel| {
        for micros in [
            0, 1, 999, 99_999, 100_000, 100_001, 100_900, 150_000, 1_000_500, 9_999_999,
        ] {
            // Each begins at another place within a tick, with the wheel at rest or turning.
            sleep(Duration::from_micros(33_333 + micros / 7)).await;
            let timer = Rc::new(Timer::new(&wheel));
            let deadline = Instant::now() + Duration::from_micros(micros);
            timer.set(deadline);
            assert_in_time(firing(&timer).await.unwrap(), deadline);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_part_of_a_millisecond_counts() {
    let wheel = Wheel::new();
    let timer = Timer::new(&wheel);
    timer.set(wheel.start + TICK + Duration::from_micros(900));
    wheel.turn(wheel.start + TICK);
    assert!(!is_expired(&timer), "early");
    wheel.turn(wheel.start + TICK * 2);
    assert!(is_expired(&timer));
}

#[tokio::test(start_paused = true)]
async fn far_deadlines_take_more_than_a_turn() {
    beside_a_wheel(async |wheel| {
        let turn = TICK * BUCKETS as u32;
        for far in [turn - TICK, turn, turn + TICK, turn * 3, turn * 20] {
            let timer = Rc::new(Timer::new(&wheel));
            let deadline = Instant::now() + far;
            timer.set(deadline);
            assert_in_time(firing(&timer).await.unwrap(), deadline);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_deadline_can_be_moved_either_way() {
    beside_a_wheel(async |wheel| {
        let seconds = Duration::from_secs;
        for (first, then) in [(5, 60), (60, 5), (5, 500), (500, 5), (7, 7)] {
            let timer = Rc::new(Timer::new(&wheel));
            let begun = Instant::now();
            timer.set(begun + seconds(first));
            let fired = firing(&timer);
            sleep(seconds(2)).await;
            timer.set(begun + seconds(then));
            assert_in_time(fired.await.unwrap(), begun + seconds(then));
        }
        // As requests do it: each pushes the deadline on, long before it is due.
        let timer = Rc::new(Timer::new(&wheel));
        let fired = firing(&timer);
        for _ in 0..1_000 {
            timer.set(Instant::now() + seconds(3));
            sleep(seconds(1)).await;
        }
        assert!(!fired.is_finished());
        let deadline = Instant::now() + seconds(2);
        assert_in_time(fired.await.unwrap(), deadline);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_cleared_deadline_does_not_fire_and_can_be_set_again() {
    beside_a_wheel(async |wheel| {
        let timer = Rc::new(Timer::new(&wheel));
        timer.set(Instant::now() + Duration::from_secs(1));
        timer.clear();
        let fired = firing(&timer);
        sleep(Duration::from_secs(300)).await;
        assert!(!fired.is_finished());
        let deadline = Instant::now() + Duration::from_secs(1);
        timer.set(deadline);
        assert_in_time(fired.await.unwrap(), deadline);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_expired_timer_stays_so_until_it_is_set_anew() {
    beside_a_wheel(async |wheel| {
        let timer = Rc::new(Timer::new(&wheel));
        assert!(!is_expired(&timer));
        timer.set(Instant::now());
        firing(&timer).await.unwrap();
        sleep(Duration::from_secs(10)).await;
        assert!(is_expired(&timer));
        timer.set(Instant::now() + Duration::from_secs(1));
        assert!(!is_expired(&timer));
        timer.set(Instant::now());
        timer.clear();
        assert!(!is_expired(&timer));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_wheel_at_rest_knows_the_time_again() {
    beside_a_wheel(async |wheel| {
        for rest in [Duration::from_millis(50), Duration::from_secs(100_000)] {
            sleep(rest).await;
            assert_eq!(wheel.waiting.get(), 0, "it does not turn for nothing");
            let timer = Rc::new(Timer::new(&wheel));
            let deadline = Instant::now() + Duration::from_millis(250);
            timer.set(deadline);
            assert!(!is_expired(&timer));
            assert_in_time(firing(&timer).await.unwrap(), deadline);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_stall_of_the_worker_loses_no_deadline() {
    beside_a_wheel(async |wheel| {
        let turn = TICK * BUCKETS as u32;
        let timers: Vec<_> = (1..=40)
            .map(|n| {
                let timer = Rc::new(Timer::new(&wheel));
                timer.set(Instant::now() + turn * n / 10);
                firing(&timer)
            })
            .collect();
        tokio::task::yield_now().await;
        // One jump over more than a whole turn.
        advance(turn * 2 + TICK / 3).await;
        let begun = Instant::now();
        let mut fired = 0;
        for timer in timers {
            fired += u32::from(timer.await.unwrap() <= begun + TICK + GRAIN);
        }
        assert_eq!(fired, 20);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_timer_that_took_the_place_of_another_is_not_taken_for_it() {
    beside_a_wheel(async |wheel| {
        let begun = Instant::now();
        let first = Timer::new(&wheel);
        first.set(begun + Duration::from_secs(1));
        let key = first.key;
        drop(first);
        let second = Rc::new(Timer::new(&wheel));
        assert_eq!(second.key, key);
        second.set(begun + Duration::from_secs(5));
        let fired = firing(&second);
        assert_in_time(fired.await.unwrap(), begun + Duration::from_secs(5));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn timers_that_come_and_go_leave_one_reference_behind() {
    beside_a_wheel(async |wheel| {
        for _ in 0..1_000 {
            let timer = Timer::new(&wheel);
            timer.set(Instant::now() + Duration::from_secs(10));
            timer.set(Instant::now() + Duration::from_secs(60));
            assert_eq!(wheel.waiting.get(), 1);
        }
        assert_eq!(wheel.entries.borrow().len(), 1);
        sleep(Duration::from_secs(11)).await;
        assert_eq!(wheel.waiting.get(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn waking_all_expires_nobody() {
    beside_a_wheel(async |wheel| {
        let timer = Rc::new(Timer::new(&wheel));
        let deadline = Instant::now() + Duration::from_secs(9);
        timer.set(deadline);
        let fired = firing(&timer);
        tokio::task::yield_now().await;
        assert!(wheel.entries.borrow()[timer.key].waker.is_some());
        wheel.wake_all();
        assert!(wheel.entries.borrow()[timer.key].waker.is_none());
        assert_in_time(fired.await.unwrap(), deadline);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn many_timers_set_moved_cleared_and_dropped_at_random() {
    beside_a_wheel(async |wheel| {
        let mut random = fastrand::Rng::with_seed(11);
        let begun = Instant::now();
        let mut waiting = Vec::new();
        let mut cleared = Vec::new();
        for _ in 0..3_000 {
            let timer = Rc::new(Timer::new(&wheel));
            let mut deadline = begun + Duration::from_micros(random.u64(1..300_000_000));
            timer.set(deadline);
            let fired = firing(&timer);
            for _ in 0..random.usize(..3) {
                deadline = begun + Duration::from_micros(random.u64(1..300_000_000));
                timer.set(deadline);
            }
            match random.u8(..10) {
                0 => {
                    // The next one has its place, and may be due sooner or later.
                    let gone = Timer::new(&wheel);
                    gone.set(begun + Duration::from_micros(random.u64(1..300_000_000)));
                }
                1 => {
                    timer.clear();
                    cleared.push(fired);
                    continue;
                }
                _ => {}
            }
            waiting.push((fired, deadline));
        }
        for (fired, deadline) in waiting {
            assert_in_time(fired.await.unwrap(), deadline);
        }
        sleep(Duration::from_secs(300)).await;
        assert!(cleared.iter().all(|fired| !fired.is_finished()));
        assert_eq!(wheel.waiting.get(), 0);
    })
    .await;
}
