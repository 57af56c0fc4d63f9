//! What it costs a request to see the configuration: the worker's own view, against the shared count.
//!
//! `view` writes to memory of its own thread only, so two threads should cost each what one costs.
//! `load_full` writes to one count for all threads, and `load` is between them.

#[path = "parts/brief.rs"]
mod brief;
#[path = "parts/settings.rs"]
mod settings;

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use criterion::BenchmarkId;
use forecourt::snapshot::{Registry, Snapshot, Snapshots};

fn main() {
    let plan = Arc::new(settings::load(&settings::settings(1, 3, 1)).plan);
    let assemble = || {
        let registry = Arc::new(Registry::new(2, 7));
        Snapshot::assemble(Arc::clone(&plan), &registry, 1)
    };
    let snapshots = Snapshots::new(assemble());
    let shared = ArcSwap::from_pointee(assemble());
    let mut criterion = brief::criterion(Duration::from_millis(500));
    let mut group = criterion.benchmark_group("snapshot");
    for threads in [1, 2] {
        group.bench_function(BenchmarkId::new("view", threads), |bencher| {
            bencher.iter_custom(|rounds| {
                on(threads, || {
                    let reader = snapshots.reader();
                    timed(rounds, || reader.view().generation)
                })
            });
        });
        group.bench_function(BenchmarkId::new("load", threads), |bencher| {
            bencher
                .iter_custom(|rounds| on(threads, || timed(rounds, || shared.load().generation)));
        });
        group.bench_function(BenchmarkId::new("load_full", threads), |bencher| {
            bencher.iter_custom(|rounds| {
                on(threads, || timed(rounds, || shared.load_full().generation))
            });
        });
    }
    group.finish();
    criterion.final_summary();
}

/// Runs the same on so many threads, which begin together; the time of the slowest.
fn on(threads: usize, work: impl Fn() -> Duration + Sync) -> Duration {
    let gate = Barrier::new(threads);
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    gate.wait();
                    work()
                })
            })
            .collect();
        running
            .into_iter()
            .map(|thread| thread.join().expect("measuring does not panic"))
            .max()
            .unwrap_or_default()
    })
}

fn timed<T>(rounds: u64, mut once: impl FnMut() -> T) -> Duration {
    let began = Instant::now();
    for _ in 0..rounds {
        black_box(once());
    }
    began.elapsed()
}
