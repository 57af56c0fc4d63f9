//! What a pick costs: each strategy, with 3 to 3,000 backends, of which none, one or half are not ready.
//!
//! Who is not ready is out of the tables before the first pick, so the three columns of a size should be
//! alike. The row `(visit)` picks nothing: it follows a list of slots, drawn before, to their backends and
//! reads one number there, which a pick that looks at load or debt must do too. What grows in it is the
//! price of memory that is in no near cache, and not of the strategy. In a loop the processor fetches for
//! the next pick while it finishes the last; a worker that does other things in between waits once more.
//!
//! `least-connections` compares all loads. With 3,000 backends it takes three times as long when they are
//! three or four by lot as when all are the same; with 300 it makes little difference. Probably the processor
//! learns the order of a few hundred that do not change and not that of thousands; no counters were at
//! hand to show it. If so, pools of some hundred look cheaper here than where loads change.
//!
//! `cargo bench --bench strategy` prints a line for each case, and at the end the table of the medians.

#![allow(clippy::print_stdout, reason = "the table is what it is run for")]

#[path = "parts/brief.rs"]
mod brief;
#[path = "parts/table.rs"]
mod table;

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId};
use fastrand::Rng;
use forecourt::backend::{Address, Backend, BackendKey, BackendMeters, Health, InFlight};
use forecourt::strategy::{
    self, Cursor, Member, Members, PickContext, Slot, Spec, Tried, placement,
};

fn main() {
    let began = SystemTime::now();
    let mut criterion = brief::criterion(Duration::from_millis(250));
    let mut group = criterion.benchmark_group(GROUP);
    for size in SIZES {
        for out in outs(size) {
            let pool = Pool::new(size, out, |_| 1);
            let unequal = Pool::new(size, out, unequal_weight);
            for name in Spec::NAMES {
                let pool = if name == "weighted" { &unequal } else { &pool };
                pick(&mut group, name, pool);
            }
            visit(&mut group, &pool);
        }
    }
    group.finish();
    criterion.final_summary();
    let columns: Vec<(String, Vec<String>)> = SIZES
        .iter()
        .map(|size| {
            let cases = outs(*size).map(|out| column(*size, out));
            (size.to_string(), cases.to_vec())
        })
        .collect();
    let rows: Vec<&str> = Spec::NAMES.into_iter().chain([VISIT]).collect();
    println!("{}", table::table(GROUP, &rows, &columns, began));
}

/// Measures the picks of one strategy for requests of ever new clients.
fn pick(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, pool: &Pool) {
    let spec = Spec::from_name(name).expect("the name is from the list of names");
    let members = &pool.members;
    let strategy = strategy::build(&spec, members, Arc::new(Cursor::starting_at(1 << 40)));
    let tried = Tried::new();
    let mut rng = Rng::with_seed(SEED);
    group.bench_function(BenchmarkId::new(name, &pool.column), |bencher| {
        bencher.iter(|| {
            let cx = PickContext {
                affinity: Some(rng.u64(..)),
                pin: None,
                tried: &tried,
                entropy: rng.u64(..),
            };
            strategy.pick(members, black_box(&cx))
        });
    });
}

/// Measures the way to backends that are known already.
fn visit(group: &mut BenchmarkGroup<'_, WallTime>, pool: &Pool) {
    let members = &pool.members;
    let mut rng = Rng::with_seed(SEED);
    let lots: Vec<Slot> = (0..1 << 16)
        .filter_map(|_| rng.choice(members.eligible()).copied())
        .collect();
    let mut lots = lots.iter().cycle();
    group.bench_function(BenchmarkId::new(VISIT, &pool.column), |bencher| {
        bencher.iter(|| {
            lots.next()
                .map(|slot| members.get(*slot).backend.in_flight())
        });
    });
}

/// A pool in the middle of its work.
struct Pool {
    members: Members,
    column: String,
    /// Three or four requests on each backend: what a pool looks like whose load is well shared.
    _in_flight: Vec<InFlight>,
}

impl Pool {
    /// A pool of `size` backends, of which `out`, by lot, are failing.
    fn new(size: usize, out: usize, weight: impl Fn(&mut Rng) -> u32) -> Self {
        let mut rng = Rng::with_seed(SEED);
        let mut all: Vec<Member> = (0..size)
            .map(|at| member(at as u32, weight(&mut rng)))
            .collect();
        let mut order: Vec<usize> = (0..size).collect();
        rng.shuffle(&mut order);
        for at in order.into_iter().take(out) {
            all[at].backend.set_health(Health::Failing);
        }
        let mut in_flight = Vec::new();
        for member in &mut all {
            for _ in 0..rng.usize(3..=4) {
                in_flight.push(member.backend.begin());
            }
        }
        Self {
            members: Members::new(all),
            column: column(size, out),
            _in_flight: in_flight,
        }
    }
}

fn member(number: u32, weight: u32) -> Member {
    let address = Address::Tcp((Ipv4Addr::from_bits(0x0a00_0000 + number), 8080).into());
    let id: Arc<str> = address.to_string().into();
    let key = BackendKey {
        pool: "shop".into(),
        address,
    };
    Member {
        name: None,
        configured: weight,
        backend: Backend::new(key, number, Arc::new(BackendMeters::new(2))),
        placement: placement::hash_id(&id),
        id,
        weight,
        nominal: weight,
        backup: false,
        tag: None,
    }
}

/// A fleet bought over some years: machines of 2 to 64 cores, some of them shared with others.
fn unequal_weight(rng: &mut Rng) -> u32 {
    let cores = 1 << rng.u32(1..=6);
    cores * rng.u32(7..=10)
}

/// None, one, and half of the backends, rounded up.
fn outs(size: usize) -> [usize; 3] {
    [0, 1, size.div_ceil(2)]
}

fn column(size: usize, out: usize) -> String {
    format!("{size}-{out}")
}

const GROUP: &str = "pick";
const VISIT: &str = "(visit)";
const SIZES: [usize; 4] = [3, 30, 300, 3_000];
const SEED: u64 = 7;
