//! What operators do while clients are served: restarts one by one, reloads, another program.

use crate::Outcome;
use crate::backend::Mode;
use crate::drill::{CALM, Drill, Row, Scale, Scene};
use crate::fleet::SIZE;
use crate::load::Schedule;
use crate::proxy::{Kind, Setup};
use crate::sockets::Sockets;

pub(crate) const DRILLS: [Drill; 3] = [
    Drill {
        name: "restarts",
        story: "Backends are drained, killed, started again and let in, one by one (with --full all four, else two), while eight \
                WebSockets are open. nginx has no draining in its free edition: the backend is marked `down` and the file reloaded.",
        run: restarts,
    },
    Drill {
        name: "reloads",
        story: "Reloads in a row (with --full 1,000, else 100), each of which changes a field of all answers and is waited for. One \
                backend fails its health checks and answers all else: no request may come to it. nginx has no such checks in its \
                free edition; HAProxy's state of servers is saved before each reload.",
        run: reloads,
    },
    Drill {
        name: "upgrades",
        story: "The program is replaced by itself (with --full 20 times, else 3), on forecourt and nginx once by one that cannot \
                start. HAProxy's master executes its program at each reload. One backend fails its health checks, as above.",
        run: upgrades,
    },
];

fn restarts(kind: Kind, scale: Scale) -> Outcome<Vec<Row>> {
    let mut scene = Scene::open(kind, Mode::Normal, Setup::default())?;
    let load = scene.load(Schedule::evenly(scale.rate));
    let sockets = Sockets::open(scene.proxy.address, 8);
    load.go_on(CALM);
    let count = if scale.full { SIZE } else { 2 };
    for backend in 0..count {
        scene.proxy.drain(backend)?;
        scene.fleet.backends[backend].kill()?;
        scene.fleet.backends[backend].restart()?;
        scene.proxy.ready(backend)?;
        scene.wait_until_it(true, backend, &load);
        load.go_on(CALM);
    }
    let farewells = sockets.leave()?;
    let tally = load.finish()?;
    let untold = farewells.cut + farewells.told_otherwise;
    let row = Row::new(tally)
        .all_answered()
        .besides(format!(
            "WebSockets told 1001: {}, cut: {untold}",
            farewells.told
        ))
        .promise(
            "WebSockets are told 1001",
            farewells.told > 0 && untold == 0,
            format!("{} told, {untold} not", farewells.told),
        )
        .safe(&scene.fleet)?;
    Ok(vec![row])
}

/// The backend that fails its checks.
const SICK: usize = SIZE - 1;

fn reloads(kind: Kind, scale: Scale) -> Outcome<Vec<Row>> {
    let mut scene = Scene::open(kind, Mode::Normal, Setup::default())?;
    let load = scene.load(Schedule::evenly(scale.rate));
    scene.fleet.backends[SICK].tell(Mode::Sick)?;
    scene.wait_until_it(false, SICK, &load);
    // What the first few leave behind, all do.
    for _ in 0..10 {
        scene.proxy.reload()?;
    }
    scene.proxy.settle()?;
    load.go_on(CALM);
    let before = scene.proxy.vitals();
    let visits = scene.fleet.backends[SICK].served()?;
    let count = if scale.full { 1000 } else { 100 };
    for _ in 0..count {
        scene.proxy.reload()?;
    }
    let visits = scene.fleet.backends[SICK].served()? - visits;
    scene.proxy.settle()?;
    load.go_on(CALM);
    let after = scene.proxy.vitals();
    let tally = load.finish()?;
    let (memory, files) = (
        after.0.saturating_sub(before.0),
        after.1.saturating_sub(before.1),
    );
    let row = Row::new(tally)
        .all_answered()
        .besides(format!(
            "{count} reloads; {visits} requests for the sick one"
        ))
        .besides(format!(
            "memory {} KiB and {memory} KiB more, open files {} and {files} more",
            before.0, before.1
        ))
        .none(
            "a backend that is down gets no request",
            usize::try_from(visits)?,
        )
        .promise(
            "memory is level",
            memory <= MEMORY_KIB,
            format!("{memory} KiB more"),
        )
        .promise(
            "open files are level",
            files <= FILES,
            format!("{files} more"),
        )
        .safe(&scene.fleet)?;
    Ok(vec![row])
}

/// What reloads may leave: buffers that happened to be in use at once, not state of configurations.
const MEMORY_KIB: u64 = 6 * 1024;

/// The same of connections, which are more at some moments than at others; less than one for each reload.
const FILES: usize = 64;

fn upgrades(kind: Kind, scale: Scale) -> Outcome<Vec<Row>> {
    let setup = Setup {
        daemon: kind == Kind::Nginx,
        ..Setup::default()
    };
    let mut scene = Scene::open(kind, Mode::Normal, setup)?;
    let load = scene.load(Schedule::evenly(scale.rate));
    scene.fleet.backends[SICK].tell(Mode::Sick)?;
    scene.wait_until_it(false, SICK, &load);
    load.go_on(CALM);
    let visits = scene.fleet.backends[SICK].served()?;
    let count = if scale.full { 20 } else { 3 };
    let mut nothing = String::new();
    for round in 0..count {
        if round == count / 2 && kind != Kind::Haproxy {
            scene.proxy.upgrade_to_nothing()?;
            nothing = ", one to a program that cannot start".to_owned();
        }
        scene.proxy.upgrade()?;
    }
    load.go_on(CALM);
    let visits = scene.fleet.backends[SICK].served()? - visits;
    let tally = load.finish()?;
    let refused = tally.refused();
    let row = Row::new(tally)
        .all_answered()
        .none("no connection is refused", refused)
        .besides(format!(
            "{count} upgrades{nothing}; {visits} requests for the sick one"
        ))
        .none(
            "a backend that is down gets no request",
            usize::try_from(visits)?,
        )
        .safe(&scene.fleet)?;
    Ok(vec![row])
}
