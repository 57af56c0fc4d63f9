//! The balancer in a storm: its real rooms, virtual time, and one seed for all that happens.
//!
//! A run is a pool with settings by lot before backends that live, die, hang, flap and err; requests with priorities and
//! sessions; clients that go away; checks; words and weights of the operator; reloads; and time that passes in steps of odd
//! sizes ([`world`]). What runs is the product: the data path over a transport of ours ([`backends`]), the queue, the
//! budget, the strategies, verdicts, ejections, ramps and snapshots. Beside it goes a [`shadow`], which knows what was done
//! and works out by plain rules what has to follow; after each event and each step the two are held against each other.
//!
//! `cargo test --test simulation` plays some hundred seeds; `FORECOURT_SEEDS=10000` so many; `FORECOURT_SEED=17` plays one
//! and prints its steps. A seed that fails is told with the invariant and its last steps, and can be played again.

mod backends;
mod requests;
mod settings;
mod shadow;
mod tally;
mod world;

use std::cell::RefCell;
use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::available_parallelism;

use tokio::runtime::{Builder, LocalOptions};

use shadow::Broken;
use tally::Tally;
use world::World;

#[test]
#[allow(clippy::print_stdout, reason = "whoever plays a seed reads it")]
fn the_balancer_keeps_its_promises_in_every_storm() {
    let given = |name| {
        let value = env::var(name).ok()?;
        Some(
            value
                .parse::<u64>()
                .unwrap_or_else(|_| panic!("{name}={value} is no number")),
        )
    };
    if let Some(seed) = given("FORECOURT_SEED") {
        let run = play(seed, true);
        println!("{}", run.trace.join("\n"));
        assert!(run.broken.is_none(), "seed {seed}: {:?}", run.broken);
        return;
    }
    let seeds = given("FORECOURT_SEEDS").unwrap_or(SEEDS);
    let (tally, failed) = play_all(seeds);
    if let Some((seed, broken)) = failed {
        panic!("{}", report(seed, &broken));
    }
    let missing = tally.missing();
    assert!(
        missing.is_empty() || seeds < SEEDS,
        "{missing:?} never happened in {seeds} seeds: {tally:?}"
    );
    println!("{seeds} seeds: {tally:?}");
}

/// The same seed is the same run to the last step.
#[test]
fn a_seed_can_be_played_again() {
    for seed in [3, 1_000_003] {
        assert_eq!(
            play(seed, true).trace,
            play(seed, true).trace,
            "seed {seed}"
        );
    }
}

/// Plays all seeds from 0 on, on all cores, until one fails: of those that do, the lowest.
fn play_all(seeds: u64) -> (Tally, Option<(u64, Broken)>) {
    let next = AtomicU64::new(0);
    let all = Mutex::new((Tally::default(), None::<(u64, Broken)>));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= seeds {
                return;
            }
            let run = play(seed, false);
            let mut all = all.lock().expect("no run panics here");
            all.0.add(&run.tally);
            if let Some(broken) = run.broken {
                next.store(seeds, Relaxed);
                if all.1.as_ref().is_none_or(|(lowest, _)| seed < *lowest) {
                    all.1 = Some((seed, broken));
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    all.into_inner().expect("no run panics here")
}

/// What there is to say of a seed that failed.
fn report(seed: u64, broken: &Broken) -> String {
    let again = play(seed, true);
    let steps = &again.trace[again.trace.len().saturating_sub(LAST_STEPS)..];
    let Broken { invariant, what } = broken;
    format!(
        "seed {seed} breaks the invariant \"{invariant}\": {what}\nthe last of {} steps:\n{}\n\
         all of them: FORECOURT_SEED={seed} cargo test --test simulation -- --nocapture",
        again.trace.len(),
        steps.join("\n")
    )
}

struct Run {
    tally: Tally,
    broken: Option<Broken>,
    trace: Vec<String>,
}

fn play(seed: u64, traced: bool) -> Run {
    let mut builder = Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true);
    let runtime = runtime.build_local(LocalOptions::default());
    let runtime = runtime.expect("a runtime without sockets needs nothing");
    let (shadow, mut trace) = (RefCell::new(None), RefCell::default());
    let played = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            let mut world = World::new(seed, traced);
            *shadow.borrow_mut() = Some(Rc::clone(&world.shadow));
            world
                .play(if seed < SEEDS { STEPS } else { FEWER_STEPS })
                .await;
            *trace.borrow_mut() = world.shadow.borrow_mut().take_trace();
        });
    }));
    drop(runtime);
    let Some(shadow) = shadow.into_inner() else {
        panic!("seed {seed}: no world comes about");
    };
    let mut shadow = shadow.borrow_mut();
    if let Err(panic) = played {
        let text = panic.downcast_ref::<String>().cloned();
        shadow.hold("panic", false, || text.unwrap_or_default());
        trace = RefCell::new(shadow.take_trace());
    }
    Run {
        tally: shadow.tally,
        broken: shadow.broken.clone(),
        trace: trace.into_inner(),
    }
}

/// Seeds when nobody says how many.
const SEEDS: u64 = 300;

/// Things that happen in one run of these.
const STEPS: u32 = 60;

/// Things that happen in one run of all others: more settings in the same time find more than longer storms.
const FEWER_STEPS: u32 = 20;

/// Steps that are told of a seed that fails.
const LAST_STEPS: usize = 40;
