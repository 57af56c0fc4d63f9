//! Three times what backends can take.

use std::time::Duration;

use crate::Outcome;
use crate::backend::Mode;
use crate::drill::{CALM, Drill, Row, Scale, Scene};
use crate::fleet::SIZE;
use crate::load::Schedule;
use crate::proxy::{Kind, Setup};
use crate::tally::Errand;

pub(crate) const DRILLS: [Drill; 1] = [Drill {
    name: "overload",
    story: "Each backend has five places, and each request takes one for 50 ms: 400 requests a second in all. First that is offered, \
            then three times as much. The proxies keep five requests at each backend; above that they queue for 500 ms at most, POSTs \
            first. nginx has no such queue in its free edition, and answers 502 at once.",
    run: overload,
}];

/// Places of a backend, and how long a request has one.
const PLACES: u32 = 5;
const SERVICE: Duration = Duration::from_millis(50);

/// The longest that the proxies let a request wait for a place.
const QUEUE: Duration = Duration::from_millis(500);

fn overload(kind: Kind, scale: Scale) -> Outcome<Vec<Row>> {
    let millis = u64::try_from(SERVICE.as_millis())?;
    let setup = Setup {
        places: Some(PLACES),
        ..Setup::default()
    };
    let scene = Scene::open(kind, Mode::Narrow(PLACES, millis), setup)?;
    let capacity = u32::try_from(u64::from(PLACES) * SIZE as u64 * 1000 / millis)?;
    let offer = |rate| {
        let load = scene.load(Schedule {
            large: false,
            ..Schedule::evenly(rate)
        });
        load.go_on(scale.fault + CALM);
        load.finish()
    };
    let calm = offer(capacity)?;
    let rush = offer(capacity * 3)?;

    let (peak, goodput) = (calm.goodput(), rush.goodput());
    let share = 100.0 * goodput / peak;
    let longest = rush.latency(0.99);
    let served = |errand| {
        let all = rush.count(|one| one.errand == errand).max(1);
        let answered = rush.count(|one| one.errand == errand && one.is_answered());
        100.0 * answered as f64 / all as f64
    };
    let (checkout, browsing) = (served(Errand::Checkout), served(Errand::Browse));
    // A busy machine takes from the one and not from the other.
    let least = if scale.full { 90.0 } else { 60.0 };
    let mut calm = Row::new(calm).besides(format!("{peak:.0} answered a second"));
    calm.when = "at capacity";
    let mut rush = Row::new(rush)
        .besides(format!(
            "{goodput:.0} answered a second, {share:.0} % of what was answered at capacity"
        ))
        .besides(format!(
            "answered: {checkout:.1} % of POSTs, {browsing:.1} % of GETs"
        ))
        .promise(
            "as much is answered as at capacity, less a tenth",
            share >= least,
            format!("{share:.0} %"),
        )
        .promise(
            "who is let in waits no longer than the queue's deadline",
            longest <= QUEUE + SERVICE + CALM,
            format!("p99 {} ms", longest.as_millis()),
        )
        .promise(
            "checkout is served before browsing",
            checkout >= if scale.full { 99.0 } else { 90.0 },
            format!("{checkout:.1} % and {browsing:.1} %"),
        );
    rush.when = "three times";
    Ok(vec![calm, rush])
}
