//! The world: one seed decides all that happens, and time passes only when the world lets it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use fastrand::Rng;
use forecourt::app::agenda::{Agenda, Checking};
use forecourt::app::control::renew;
use forecourt::app::leaving::removed;
use forecourt::app::outliers::Outliers;
use forecourt::app::ramps::Ramps;
use forecourt::backend::{Backend, OperatorWord, SteeredWeight};
use forecourt::proxy::Proxy;
use forecourt::snapshot::{Pool, Registry, Snapshot, Snapshots};
use forecourt::telemetry::{AccessControl, AccessFormat, AccessTarget, Cause, WorkerId};
use forecourt::worker::Worker;
use tokio::task::{JoinHandle, yield_now};

use crate::backends::{Backends, Mood, port_of};
use crate::requests::{Door, Number, Wish, ask};
use crate::settings::{Port, Settings, choose};
use crate::shadow::{Shadow, Shared, now};

/// The product, with everything around it.
pub(crate) struct World {
    lots: Rng,
    pub(crate) shadow: Shared,
    registry: Arc<Registry>,
    snapshots: Arc<Snapshots>,
    door: Door,
    moods: Rc<RefCell<BTreeMap<Port, Mood>>>,
    agenda: Agenda,
    outliers: Outliers,
    ramps: Ramps,
    generation: u64,
    /// When changed standings take effect.
    renewal: Option<Instant>,
    /// Whether standings have changed since.
    is_stale: bool,
    changed: Arc<AtomicBool>,
    suspected: Arc<AtomicBool>,
    checks: Vec<(Instant, Port, Checking)>,
    tasks: BTreeMap<Number, JoinHandle<()>>,
    numbers: Number,
}

impl World {
    pub(crate) fn new(seed: u64, traced: bool) -> Self {
        let mut lots = Rng::with_seed(seed);
        let settings = Settings::draw(&mut lots);
        let shadow = Rc::new(RefCell::new(Shadow::new(settings.clone(), traced)));
        shadow.borrow_mut().tell(|| format!("{settings:?}"));
        let registry = Arc::new(Registry::new(1, seed));
        let plan = Arc::new(settings.plan());
        let first = Snapshot::assemble(Arc::clone(&plan), &registry, 1);
        let snapshots = Arc::new(Snapshots::new(first));
        let worker = Worker::new(WorkerId(0), lots.u64(..));
        tokio::task::spawn_local(Rc::clone(worker.wheel()).run());
        let moods = Rc::default();
        let backends = Backends::new(&shadow, lots.u64(..), &moods);
        let log = Rc::new(RefCell::new(LOG.worker()));
        let proxy = Proxy::new(worker, snapshots.reader(), backends, log);
        let [changed, suspected] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
        let (alarm, other) = (Arc::clone(&changed), Arc::clone(&suspected));
        snapshots.on_change(move || alarm.store(true, Relaxed));
        registry.on_suspicion(move || other.store(true, Relaxed));
        let mut world = Self {
            outliers: Outliers::new(&snapshots, &registry),
            agenda: Agenda::default(),
            ramps: Ramps::default(),
            door: Door {
                proxy: Rc::new(proxy),
                listener: Arc::clone(&plan.listeners[0]),
                shadow: Rc::clone(&shadow),
            },
            lots,
            shadow,
            registry,
            snapshots,
            moods,
            generation: 1,
            renewal: None,
            is_stale: false,
            changed,
            suspected,
            checks: Vec::new(),
            tasks: BTreeMap::new(),
            numbers: 0,
        };
        let pool = world.pool();
        world.shadow.borrow_mut().reloaded(settings, &pool);
        world.adopt();
        world.renew();
        world
    }

    fn pool(&self) -> Arc<Pool> {
        Arc::clone(&self.snapshots.load().pools[0])
    }

    fn is_broken(&self) -> bool {
        self.shadow.borrow().broken.is_some()
    }

    /// Lets so many things happen, and then everything end.
    pub(crate) async fn play(&mut self, steps: u32) {
        let busy = self.lots.u8(1..=30);
        for _ in 0..steps {
            self.step(busy);
            let pause = *choose(
                &mut self.lots,
                &[
                    0, 0, 1, 1, 3, 10, 10, 37, 100, 333, 1_000, 2_500, 7_000, 31_000,
                ],
            );
            self.pass(Duration::from_millis(pause)).await;
            if self.is_broken() {
                return;
            }
        }
        // Longer than the longest of all: five attempts that hang, and the wait for a place.
        self.pass(Duration::from_secs(60)).await;
        let mut shadow = self.shadow.borrow_mut();
        let left: Vec<_> = shadow.asked.keys().copied().collect();
        shadow.hold("ends once", left.is_empty(), || {
            format!("{left:?} have not ended")
        });
        let (requests, ended) = (shadow.tally.requests, shadow.tally.ended);
        shadow.hold("ends once", requests == ended, || {
            format!("{requests} began and {ended} ended")
        });
        let in_flight = shadow
            .backends
            .values()
            .filter_map(|facts| facts.real.upgrade());
        let in_flight: u32 = in_flight.map(|real| real.in_flight()).sum();
        shadow.hold("in flight", in_flight == 0, || {
            format!("{in_flight} are left")
        });
    }

    fn step(&mut self, busy: u8) {
        match self.lots.u8(..20) {
            0..=8 => {
                for _ in 0..self.lots.u8(1..=busy) {
                    self.arrive();
                }
            }
            9..=11 => self.change_mood(),
            12..=14 => self.say_a_word(),
            15 => self.steer_a_weight(),
            16..=17 => self.reload(),
            _ => self.leave(),
        }
    }

    fn arrive(&mut self) {
        let lots = &mut self.lots;
        self.numbers += 1;
        let client = match lots.u8(..4) {
            // One of those that come again, with a session.
            0 => lots.u32(1..=6),
            _ => lots.u32(100..),
        };
        let mut shadow = self.shadow.borrow_mut();
        let wish = Wish {
            number: self.numbers,
            client,
            priority: *choose(lots, &[0, 5, 5, 5, 9]),
            idempotent: lots.u8(..4) > 0,
            cookie: shadow.sessions.get(&client).cloned(),
            takes: Duration::from_millis(*choose(lots, &[0, 0, 0, 5, 50, 700])),
        };
        shadow.tell(|| format!("client {client} sends request {}", wish.number));
        drop(shadow);
        let task = tokio::task::spawn_local(ask(self.door.clone(), wish));
        self.tasks.insert(self.numbers, task);
    }

    /// A client goes away.
    fn leave(&mut self) {
        let all: Vec<Number> = self.tasks.keys().copied().collect();
        if all.is_empty() {
            return;
        }
        let number = *choose(&mut self.lots, &all);
        let mut shadow = self.shadow.borrow_mut();
        shadow.tell(|| format!("the client of request {number} goes away"));
        shadow.tally.left += 1;
        drop(shadow);
        self.tasks[&number].abort();
    }

    fn change_mood(&mut self) {
        let mood = Mood::draw(&mut self.lots);
        let mut moods = self.moods.borrow_mut();
        let shadow = &mut *self.shadow.borrow_mut();
        let ports: Vec<Port> = shadow.backends.keys().copied().collect();
        let port = *choose(&mut self.lots, &ports);
        if self.lots.u8(..12) == 0 {
            // The whole rack.
            moods.extend(ports.iter().map(|port| (*port, mood)));
            shadow.tell(|| format!("all are {mood:?}"));
        } else {
            moods.insert(port, mood);
            shadow.tell(|| format!("{port} is {mood:?}"));
        }
    }

    /// A backend of the configuration of now.
    fn one(&mut self) -> (Port, Arc<Backend>) {
        let pool = self.pool();
        let member = choose(&mut self.lots, pool.members.all());
        (port_of(&member.backend), Arc::clone(&member.backend))
    }

    fn say_a_word(&mut self) {
        let (port, backend) = self.one();
        let words = [
            OperatorWord::Ready,
            OperatorWord::Ready,
            OperatorWord::Draining,
            OperatorWord::Maintenance,
        ];
        let word = *choose(&mut self.lots, &words);
        backend.set_operator(word);
        let shadow = &mut *self.shadow.borrow_mut();
        shadow.tell(|| format!("the operator says {word:?} of {port}"));
        shadow.tally.words += 1;
        shadow.said(port, word);
        self.snapshots.standing_changed(&backend.key().pool);
    }

    fn steer_a_weight(&mut self) {
        let (port, backend) = self.one();
        let weight = self.lots.u32(0..4);
        let shadow = &mut *self.shadow.borrow_mut();
        let Some(facts) = shadow.backends.get_mut(&port) else {
            return;
        };
        let configured = facts.configured;
        facts.steered = (weight != configured).then_some((weight, configured));
        backend.steer_weight(
            facts
                .steered
                .map(|(weight, configured)| SteeredWeight { weight, configured }),
        );
        shadow.tell(|| format!("the operator gives {port} the weight {weight}"));
        shadow.tally.weights += 1;
        self.snapshots.standing_changed(&backend.key().pool);
    }

    fn reload(&mut self) {
        let mut settings = self.shadow.borrow().settings.clone();
        settings.vary(&mut self.lots);
        self.generation += 1;
        let plan = Arc::new(settings.plan());
        let (last, next) = self
            .snapshots
            .publish(|_| Snapshot::assemble(plan, &self.registry, self.generation));
        drop(removed(&last, &next));
        let mut shadow = self.shadow.borrow_mut();
        shadow.tell(|| format!("a reload: {settings:?}"));
        shadow.tally.reloads += 1;
        shadow.reloaded(settings, &next.pools[0]);
        drop((shadow, last, next));
        self.adopt();
        self.changed.store(true, Relaxed);
        self.registry.sweep();
    }

    fn adopt(&mut self) {
        let lots = &mut self.lots;
        self.outliers.adopt(now());
        self.agenda
            .adopt(&self.snapshots.load(), now(), || lots.u64(..));
    }

    /// Lets time pass, and has done at each moment what is due.
    async fn pass(&mut self, time: Duration) {
        let end = now() + time;
        loop {
            self.settle().await;
            while self.control() {
                self.settle().await;
            }
            self.check();
            if self.is_broken() || now() >= end {
                return;
            }
            let next = [
                self.renewal,
                self.agenda.next(),
                self.outliers.next(),
                self.checks.iter().map(|(at, ..)| *at).min(),
            ];
            let next = next.into_iter().flatten().min().unwrap_or(end).min(end);
            tokio::time::sleep_until(next.max(now()).into()).await;
        }
    }

    /// Waits until no task has anything left to do at this moment.
    async fn settle(&mut self) {
        let mut quiet = 0;
        let mut before = self.shadow.borrow().events();
        // Each of those that wait may let the next one by, and that is no event.
        let long = 2 + self.shadow.borrow().queue().len();
        while quiet < long {
            yield_now().await;
            let events = self.shadow.borrow().events();
            quiet = if events == before { quiet + 1 } else { 0 };
            before = events;
        }
        let over: Vec<Number> = self
            .tasks
            .iter()
            .filter(|(_, task)| task.is_finished())
            .map(|(number, _)| *number)
            .collect();
        for number in over {
            let Some(task) = self.tasks.remove(&number) else {
                continue;
            };
            if task.await.is_err_and(|error| error.is_panic()) {
                let mut shadow = self.shadow.borrow_mut();
                shadow.hold("panic", false, || format!("request {number} panicked"));
            }
        }
    }

    /// Does what is due of what the control thread does; whether anything was.
    fn control(&mut self) -> bool {
        let now = now();
        let mut did = false;
        while let Some(at) = self.checks.iter().position(|(at, ..)| *at <= now) {
            let (_, port, done) = self.checks.swap_remove(at);
            self.judge(port, &done);
            did = true;
        }
        while self.agenda.next().is_some_and(|at| at <= now) {
            self.begin_check(now);
            did = true;
        }
        let is_suspected = self.suspected.swap(false, Relaxed);
        if is_suspected || self.outliers.next().is_some_and(|at| at <= now) {
            self.outliers.look(now);
            self.shadow.borrow_mut().looked(is_suspected);
            self.hold_share();
            did = true;
        }
        if self.changed.swap(false, Relaxed) && !self.is_stale {
            self.is_stale = true;
            self.renewal = Some(now + Duration::from_millis(self.lots.u64(0..=10)));
        }
        self.renewal = self.renewal.or_else(|| self.ramps.next(now));
        if self.renewal.is_some_and(|at| at <= now) {
            self.renew();
            did = true;
        }
        did
    }

    fn begin_check(&mut self, now: Instant) {
        let Some((ticket, subject)) = self.agenda.begin_next() else {
            return;
        };
        let port = port_of(&subject.backend);
        let mood = *self.moods.borrow().get(&port).unwrap_or(&Mood::Well);
        let (result, took) = mood.check(&mut self.lots);
        let done = Checking {
            ticket,
            result,
            took,
        };
        self.checks.push((now + took, port, done));
    }

    fn judge(&mut self, port: Port, done: &Checking) {
        let next = (now(), self.lots.u64(..));
        if !self.agenda.judge(done, &self.snapshots, next) {
            return;
        }
        let mut shadow = self.shadow.borrow_mut();
        shadow.tally.checks += 1;
        shadow.tell(|| format!("a check of {port}: {:?}", done.result));
        if done.result != Err(Cause::DescriptorsExhausted) {
            shadow.checked(port, done.result.is_ok());
        }
    }

    /// Has changed standings take effect.
    fn renew(&mut self) {
        self.renewal = None;
        self.is_stale = false;
        self.changed.store(false, Relaxed);
        let before = self.snapshots.load();
        renew(&self.snapshots, &self.registry, &mut self.ramps, now());
        let mut shadow = self.shadow.borrow_mut();
        shadow.ramped();
        if !Arc::ptr_eq(&before, &self.snapshots.load()) {
            shadow.publish();
            let newest = Rc::clone(&shadow.newest);
            shadow.tell(|| format!("eligible: {:?}", newest.weights));
        }
    }

    /// Never more than the share are ejected by a look, and never the last.
    fn hold_share(&self) {
        let pool = self.pool();
        let all = pool.members.all().iter();
        let ejected = all.filter(|member| member.backend.ejection().is_some());
        let ejected: Vec<Port> = ejected.map(|member| port_of(&member.backend)).collect();
        let mut shadow = self.shadow.borrow_mut();
        let due = shadow.ejected();
        shadow.hold("ejection share", due == ejected, || {
            format!("{ejected:?} are ejected, not {due:?}")
        });
    }

    fn check(&mut self) {
        let pool = self.pool();
        let mut shadow = self.shadow.borrow_mut();
        if !self.is_stale {
            shadow.hold_standing(&pool);
        }
        shadow.hold_queue(!self.is_stale);
        let waiting = shadow.queue().len();
        let real = (pool.door.waiting(), pool.door.taken(), pool.budget.active());
        let due = (waiting, shadow.places_taken, shadow.permits());
        shadow.hold("queue", real.0 == due.0, || {
            format!("{} wait, not {}", real.0, due.0)
        });
        shadow.hold("in flight", real.1 == due.1, || {
            format!("{} places are taken, not {}", real.1, due.1)
        });
        shadow.hold("retry budget", real.2 == due.2, || {
            format!("{} retries are under way, not {}", real.2, due.2)
        });
    }
}

/// One for all: it is off.
static LOG: LazyLock<AccessControl> = LazyLock::new(|| {
    AccessControl::start(AccessTarget::Off, AccessFormat::Json).expect("nothing is opened")
});
