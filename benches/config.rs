//! What a start and a reload cost: from the file to the plan, and from the plan to the snapshot.
//!
//! Each case comes in two sizes, a tenth and the whole, so that whatever grows faster than the file is
//! seen: a whole should cost ten times a tenth. `problems` is a file in which every route is wrong, for whoever
//! generates configurations breaks all of it at once.

#[path = "parts/brief.rs"]
mod brief;
#[path = "parts/settings.rs"]
mod settings;

use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId};
use forecourt::config::{self, Options};
use forecourt::snapshot::{Registry, Snapshot};

use settings::{load, settings};

fn main() {
    let mut criterion = brief::criterion(Duration::from_millis(1_000));
    let mut group = criterion.benchmark_group("config");
    group.sample_size(10);
    let options = Options::new();
    let folder = tempfile::tempdir().expect("there is room for a file");
    let file = folder.path().join("shop.toml");
    for (name, size, text) in texts() {
        std::fs::write(&file, &text).expect("there is room for a file");
        group.bench_function(BenchmarkId::new(name, size), |bencher| {
            bencher.iter(|| config::load(&file, &options));
        });
    }
    for (name, size, text) in texts().into_iter().filter(|(name, ..)| *name != PROBLEMS) {
        let plan = Arc::new(load(&text).plan);
        let id = format!("{name}-assemble");
        group.bench_function(BenchmarkId::new(&id, size), |bencher| {
            bencher.iter_batched(
                || Arc::new(Registry::new(2, 7)),
                |registry| Snapshot::assemble(Arc::clone(&plan), &registry, 1),
                BatchSize::PerIteration,
            );
        });
        let registry = Arc::new(Registry::new(2, 7));
        let living = Snapshot::assemble(Arc::clone(&plan), &registry, 1);
        let id = format!("{name}-assemble-again");
        group.bench_function(BenchmarkId::new(&id, size), |bencher| {
            bencher.iter(|| Snapshot::assemble(Arc::clone(&plan), &registry, 2));
        });
        drop(living);
    }
    group.finish();
    criterion.final_summary();
}

fn texts() -> Vec<(&'static str, usize, String)> {
    let wrong = |routes| settings(10, 1, routes).replace("path_prefix", "path_prefx");
    vec![
        ("one-pool", 1_000, settings(1, 1_000, 1)),
        ("one-pool", 10_000, settings(1, 10_000, 1)),
        ("pools-of-10", 1_000, settings(100, 10, 100)),
        ("pools-of-10", 10_000, settings(1_000, 10, 1_000)),
        ("routes", 10_000, settings(10, 1, 10_000)),
        ("routes", 100_000, settings(10, 1, 100_000)),
        (PROBLEMS, 1_000, wrong(1_000)),
        (PROBLEMS, 10_000, wrong(10_000)),
    ]
}

const PROBLEMS: &str = "problems";
