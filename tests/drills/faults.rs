//! Backends that fail, each in its way, while the others are well.

use std::time::Duration;

use crate::Outcome;
use crate::backend::{Mode, SERVICE};
use crate::drill::{CALM, Drill, Row, Scale, Scene};
use crate::fleet::SIZE;
use crate::load::Schedule;
use crate::proxy::{Kind, Setup};

pub(crate) const DRILLS: [Drill; 6] = [
    Drill {
        name: "kill-9",
        story: "One of four backends is killed (SIGKILL) under load, and started again later.",
        run: kill_9,
    },
    Drill {
        name: "hang",
        story: "One of four backends accepts and reads, and never answers, health checks neither; then it is well again.",
        run: |kind, scale| fault(kind, scale, Mode::Hang, Setup::default()).map(|row| vec![row]),
    },
    Drill {
        name: "resets",
        story: "One of four backends resets every other connection when it has read a request, and ends the others after twenty.",
        run: |kind, scale| fault(kind, scale, Mode::Reset, Setup::default()).map(|row| vec![row]),
    },
    Drill {
        name: "500s",
        story: "One of four backends answers 500 to everything but health checks.",
        run: |kind, scale| fault(kind, scale, Mode::Broken, Setup::default()).map(|row| vec![row]),
    },
    Drill {
        name: "slow",
        story: "One of four backends answers 300 ms later, within all timeouts.",
        run: |kind, scale| {
            fault(kind, scale, Mode::Slow(300), Setup::default()).map(|row| vec![row])
        },
    },
    Drill {
        name: "stale",
        story: "All backends close connections that have been idle for just as long as the pauses are between bursts of requests, so \
                that closing and sending meet all the time. To nginx each such connection is a failure of its backend, of which \
                three put it out (`max_fails`).",
        run: stale,
    },
];

/// The backend that fails.
const VICTIM: usize = 1;

/// Retries that were due and not made.
const DENIED: &str = "forecourt_retries_total{pool=\"shop\",outcome=\"budget\"}";

/// What a proxy may not know yet when it has just happened.
const SLACK: Duration = Duration::from_secs(1);

fn kill_9(kind: Kind, scale: Scale) -> Outcome<Vec<Row>> {
    let mut scene = Scene::open(kind, Mode::Normal, Setup::default())?;
    let load = scene.load(Schedule::evenly(scale.rate));
    load.go_on(CALM);
    let killed = load.now();
    scene.fleet.backends[VICTIM].kill()?;
    let out = scene.wait_until_it(false, VICTIM, &load);
    load.go_on(scale.fault);

    scene.fleet.backends[VICTIM].restart()?;
    let back = scene.wait_until_it(true, VICTIM, &load);
    let equal = f64::from(scale.rate) / SIZE as f64;
    let mut share = || -> Outcome<f64> {
        let before = scene.fleet.backends[VICTIM].served()?;
        load.go_on(CALM);
        let more = scene.fleet.backends[VICTIM].served()? - before;
        Ok(100.0 * more as f64 / equal)
    };
    let first = share()?;
    load.go_on(CALM * 3);
    let later = share()?;
    let tally = load.finish()?;

    let posts = tally.failed_posts();
    let on_the_wire = tally.posts_failed_between(killed, killed + SLACK);
    let cut = tally.cut_gets();
    Row::new(tally)
        .besides(format!("GETs cut within their answer: {cut}"))
        .besides(out.said("out"))
        .besides(back.said("in again"))
        .besides(format!("of an equal share, {first:.0} % in its first second and {later:.0} % four seconds later"))
        .none("no POST fails but those under way when it was killed", posts - on_the_wire)
        .promise("it is back", later > 0.0, format!("{later:.0} %"))
        .safe(&scene.fleet)
        .map(|row| vec![row])
}

fn fault(kind: Kind, scale: Scale, mode: Mode, setup: Setup) -> Outcome<Row> {
    let mut scene = Scene::open(kind, Mode::Normal, setup)?;
    let load = scene.load(Schedule::evenly(scale.rate));
    load.go_on(CALM);
    let began = load.now();
    scene.fleet.backends[VICTIM].tell(mode)?;
    // Of resets and slowness nobody is put out by rule.
    let is_put_out = match mode {
        Mode::Broken => kind != Kind::Nginx,
        mode => mode == Mode::Hang,
    };
    let out = is_put_out.then(|| scene.wait_until_it(false, VICTIM, &load));
    load.go_on(scale.fault);
    scene.fleet.backends[VICTIM].tell(Mode::Normal)?;
    let back = out.map(|_| scene.wait_until_it(true, VICTIM, &load));
    load.go_on(CALM);
    let tally = load.finish()?;
    let denied = match kind {
        Kind::Forecourt => scene.proxy.metric(DENIED)?,
        Kind::Nginx | Kind::Haproxy => 0.0,
    };

    let late = out.map(|out| {
        let last = out.ended() + SLACK;
        tally.failed_posts() - tally.posts_failed_between(began, last)
    });
    let mut row = Row::new(tally);
    row.besides.extend(out.map(|out| out.said("out")));
    row.besides.extend(back.map(|back| back.said("in again")));
    if denied > 0.0 {
        row = row.besides(format!("retries beyond the budget: {denied}"));
    }
    row = match (mode, late) {
        (Mode::Slow(_), _) => row.all_answered(),
        (Mode::Hang, Some(late)) => row.none("no POST fails once it is out", late).promise(
            "no retry is beyond the budget",
            denied == 0.0,
            denied.to_string(),
        ),
        _ => row,
    };
    row.safe(&scene.fleet)
}

fn stale(kind: Kind, scale: Scale) -> Outcome<Vec<Row>> {
    // Milliseconds between bursts, requests of each, and in all.
    let (pause, burst, count) = if scale.full {
        (1000, 500, 100_000)
    } else {
        (100, scale.rate.div_ceil(10), u64::from(scale.rate) * 4)
    };
    // What an answer leaves of the pause; by the sway of bursts they come just before that and just behind it.
    let idle = pause - u64::try_from(SERVICE.as_millis())? - 1;
    let scene = Scene::open(kind, Mode::Idle(idle), Setup::default())?;
    let rate = u32::try_from(u64::from(burst) * 1000 / pause)?;
    let load = scene.load(Schedule {
        rate,
        burst,
        large: false,
        fresh: false,
    });
    let patience = Duration::from_secs(count / u64::from(rate)) * 4 + CALM * 20;
    load.go_on_to(count, patience);
    let tally = load.finish()?;
    let posts = tally.failed_posts();
    Row::new(tally)
        .besides(format!("failed POSTs: {posts}"))
        .safe(&scene.fleet)
        .map(|row| vec![row])
}
