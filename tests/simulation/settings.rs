//! What the operator wants: settings by lot, reloads by lot, and the plan that they make.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use fastrand::Rng;
use forecourt::backend::Address;
use forecourt::config::{self, Options};
use forecourt::health::{Initial, Policy, outlier};
use forecourt::plan::Plan;
use forecourt::plan::pool::{BackendPlan, Limits};
use forecourt::strategy::{PanicThreshold, SameSite, Spec, StickyKey, StickySpec};

/// A backend is known by its port.
pub(crate) type Port = u16;

/// All that the pool is told, as far as the simulation varies it.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) strategy: Spec,
    pub(crate) sticky: bool,
    pub(crate) backends: Vec<Wanted>,
    /// Requests in flight in the whole pool; 0 for as many as come.
    pub(crate) places: u32,
    /// Requests that wait.
    pub(crate) room: usize,
    /// How long they do.
    pub(crate) patience: Duration,
    pub(crate) panic_threshold: u8,
    pub(crate) slow_start: Duration,
    pub(crate) outlier: outlier::Policy,
    pub(crate) health: Option<Arc<Policy>>,
    pub(crate) attempts: u32,
    pub(crate) budget: u8,
    /// Whether 503 is asked of another.
    pub(crate) retries_503: bool,
    pub(crate) retries_reset: bool,
    pub(crate) per_try: Option<Duration>,
    pub(crate) response: Duration,
}

/// A backend as the operator wants it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) port: Port,
    pub(crate) weight: u32,
    /// Requests in flight; 0 for as many as come.
    pub(crate) cap: u32,
    pub(crate) backup: bool,
}

impl Settings {
    /// Settings for a whole run.
    pub(crate) fn draw(lots: &mut Rng) -> Self {
        let bounded = lots.u8(..100) < 60;
        let mut settings = Self {
            strategy: strategy(lots),
            sticky: lots.u8(..100) < 35,
            backends: Vec::new(),
            places: 0,
            room: 0,
            patience: Duration::ZERO,
            panic_threshold: 0,
            slow_start: Duration::from_secs(*choose(lots, &[0, 0, 5, 30])),
            outlier: outlier::Policy {
                consecutive: *choose(lots, &[0, 1, 2, 3, 5]),
                interval: Duration::from_secs(*choose(lots, &[1, 10])),
                base_ejection: Duration::from_millis(*choose(lots, &[300, 2_000, 30_000])),
                max_ejection: Duration::from_secs(*choose(lots, &[40, 300])),
                max_ejected: *choose(lots, &[0, 10, 34, 50, 50, 100]),
                success_rate: false,
            },
            health: (lots.u8(..100) < 60).then(|| Arc::new(health(lots))),
            attempts: lots.u32(1..=4),
            budget: *choose(lots, &[0, 20, 20, 100]),
            retries_503: lots.bool(),
            retries_reset: lots.u8(..4) > 0,
            per_try: lots.bool().then_some(Duration::from_millis(700)),
            response: Duration::from_secs(*choose(lots, &[1, 5])),
        };
        for port in 1..=lots.u16(1..=7) {
            settings.backends.push(wanted(port, bounded, lots));
        }
        settings.vary_limits(bounded, lots);
        settings.mend(lots);
        settings
    }

    /// Other settings of the same pool, as a reload brings them.
    pub(crate) fn vary(&mut self, lots: &mut Rng) {
        let bounded = self.backends.iter().any(|wanted| wanted.cap > 0) || lots.u8(..8) == 0;
        match lots.u8(..6) {
            0 => self.vary_limits(bounded, lots),
            1 => self.strategy = strategy(lots),
            2 if self.backends.len() > 1 => {
                let gone = lots.usize(..self.backends.len());
                self.backends.remove(gone);
            }
            // Names come again, so that some are added that were there before.
            3 => {
                let port = lots.u16(1..=9);
                if self.backends.iter().all(|wanted| wanted.port != port) {
                    let at = lots.usize(..=self.backends.len());
                    self.backends.insert(at, wanted(port, bounded, lots));
                }
            }
            _ => {
                let one = lots.usize(..self.backends.len());
                self.backends[one] = wanted(self.backends[one].port, bounded, lots);
            }
        }
        self.mend(lots);
    }

    fn vary_limits(&mut self, bounded: bool, lots: &mut Rng) {
        self.places = if bounded && lots.bool() {
            lots.u32(1..=12)
        } else {
            0
        };
        self.room = *choose(lots, &[0, 1, 3, 10, 100]);
        self.patience = Duration::from_millis(*choose(lots, &[50, 1_000, 4_000]));
        self.panic_threshold = *choose(lots, &[0, 30, 50, 50, 100]);
    }

    /// What a configuration would not be taken with.
    fn mend(&mut self, lots: &mut Rng) {
        let one = lots.usize(..self.backends.len());
        if self.backends.iter().all(|wanted| wanted.weight == 0) {
            self.backends[one].weight = 1;
        }
        if self.backends.iter().all(|wanted| wanted.backup) {
            self.backends[one].backup = false;
        }
    }

    /// How long a backend that is back takes less; not at all with strategies that go by hash.
    pub(crate) fn window(&self) -> Duration {
        match self.strategy {
            Spec::IpHash { .. } => Duration::ZERO,
            _ => self.slow_start,
        }
    }

    pub(crate) fn plan(&self) -> Plan {
        let mut plan = BASE.clone();
        let pool = &mut plan.pools[0];
        pool.strategy = self.strategy.clone();
        pool.sticky = self.sticky.then(sticky);
        pool.backends = self.backends.iter().map(Wanted::plan).collect();
        pool.limits = Limits {
            in_flight: self.places,
            queue: self.room,
            queue_timeout: self.patience,
            adaptive: None,
        };
        pool.panic_threshold = PanicThreshold(self.panic_threshold);
        pool.slow_start = self.window();
        pool.outlier = self.outlier;
        pool.health = self.health.clone();
        pool.timeouts.response = self.response;
        pool.retry.attempts = self.attempts;
        pool.retry.budget = self.budget;
        pool.retry.on.reset = self.retries_reset;
        pool.retry.on.statuses = if self.retries_503 {
            vec![503..=503]
        } else {
            Vec::new()
        };
        pool.retry.per_try_timeout = self.per_try;
        plan
    }
}

impl Wanted {
    fn plan(&self) -> BackendPlan {
        let address = Address::Tcp((Ipv4Addr::LOCALHOST, self.port).into());
        BackendPlan {
            id: address.to_string().into(),
            address,
            server_name: None,
            name: None,
            weight: self.weight,
            max_in_flight: self.cap,
            backup: self.backup,
        }
    }
}

fn wanted(port: Port, bounded: bool, lots: &mut Rng) -> Wanted {
    Wanted {
        port,
        weight: *choose(lots, &[0, 1, 1, 1, 1, 2, 3, 7]),
        cap: if bounded { lots.u32(0..=4) } else { 0 },
        backup: lots.u8(..8) == 0,
    }
}

fn strategy(lots: &mut Rng) -> Spec {
    let names = [
        "ip-hash",
        "least-connections",
        "random",
        "round-robin",
        "two-choices",
        "weighted",
    ];
    Spec::from_name(choose::<&str>(lots, &names)).expect("they are the names of all")
}

fn health(lots: &mut Rng) -> Policy {
    let base = BASE.pools[0].health.as_ref().expect("it has one");
    Policy {
        interval: Duration::from_millis(*choose(lots, &[1_000, 3_000])),
        fast_interval: Duration::from_millis(*choose(lots, &[250, 1_000])),
        timeout: Duration::from_millis(500),
        rise: lots.u32(1..=3),
        fall: lots.u32(1..=3),
        initial: *choose(lots, &[Initial::Up, Initial::Down]),
        ..(**base).clone()
    }
}

fn sticky() -> StickySpec {
    StickySpec {
        cookie: Some("fc".into()),
        keys: vec![STICKY_KEY.clone()],
        same_site: SameSite::Auto,
        max_idle: None,
        max_life: None,
    }
}

/// One of them.
pub(crate) fn choose<'a, T>(lots: &mut Rng, all: &'a [T]) -> &'a T {
    &all[lots.usize(..all.len())]
}

static STICKY_KEY: LazyLock<StickyKey> =
    LazyLock::new(|| StickyKey::new(&[7; 32]).expect("it is long enough"));

/// A route for each priority, and a pool whose settings are all replaced.
static BASE: LazyLock<Plan> = LazyLock::new(|| {
    let routes = (0..10).map(|priority| {
        format!(
            "[[routes]]\npath_prefix = \"/{priority}\"\npriority = {priority}\npool = \"shop\"\n"
        )
    });
    let text = format!(
        "listeners.web.address = \"127.0.0.1:80\"\n{}\
         [pools.shop]\nbackends = [{{ address = \"127.0.0.1:1\" }}]\n\
         [pools.shop.health]\ncheck = \"tcp\"\n",
        routes.collect::<String>()
    );
    let loaded = config::load_text(&text, Path::new("simulation.toml"), &Options::new());
    loaded.unwrap_or_else(|report| panic!("{report}")).plan
});
