//! The backends: verdicts, ejections, ramps, and who is eligible.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use forecourt::backend::{Backend, Health, OperatorWord};
use forecourt::health::Initial;
use forecourt::snapshot::Pool;
use forecourt::strategy::Spec;

use super::{Facts, Shadow, now};
use crate::backends::port_of;
use crate::settings::{Port, Settings};

/// What requests see that begin now.
#[derive(Debug)]
pub(crate) struct Version {
    pub(crate) settings: Rc<Settings>,
    pub(crate) members: Vec<Port>,
    pub(crate) eligible: Vec<Port>,
    /// Of the eligible, in units of their own.
    pub(crate) weights: BTreeMap<Port, u32>,
    /// The shares of all members, as of the time that this was made.
    nominals: BTreeMap<Port, u32>,
    pub(crate) panics: bool,
    pub(crate) sticky: bool,
    pub(crate) strategy: Spec,
}

/// How a backend stood when ramps were looked at last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    number: u32,
    is_ready: bool,
    begun: Option<Instant>,
}

impl Shadow {
    /// The configuration is another one; `pool` is what became of it.
    pub(crate) fn reloaded(&mut self, settings: Settings, pool: &Pool) {
        let is_first = self.newest.members.is_empty();
        let before = std::mem::replace(&mut self.settings, settings.clone());
        let stays: Vec<Port> = before.backends.iter().map(|wanted| wanted.port).collect();
        for (wanted, member) in settings.backends.iter().zip(pool.members.all()) {
            let real = &member.backend;
            let stayed = !is_first && stays.contains(&wanted.port);
            let known = self.backends.get(&wanted.port);
            let is_same = known.is_some_and(|facts| facts.number == real.number());
            let busy = known.is_some_and(|facts| facts.in_flight > 0);
            self.hold("reload", is_same || !(stayed || busy), || {
                format!("{} was there and is another one now", wanted.port)
            });
            if !is_same {
                let facts = Facts::new(real, &settings);
                self.backends.insert(wanted.port, facts);
            }
            let facts = self.facts(wanted.port);
            facts.cap = wanted.cap;
            facts.backup = wanted.backup;
            facts.configured = wanted.weight;
            facts.removed = false;
            // A file that says another weight has the last word, for good.
            facts.steered = facts.steered.filter(|(_, then)| *then == wanted.weight);
            if !stayed {
                // Whose checks began anew.
                facts.outcomes.clear();
            }
        }
        let gone: Vec<Port> = stays
            .into_iter()
            .filter(|port| settings.backends.iter().all(|wanted| wanted.port != *port))
            .collect();
        self.publish();
        let is_on = settings.outlier.max_ejected > 0 && settings.outlier.consecutive > 0;
        let latest = now() + settings.outlier.interval;
        let end = self.interval_end.map_or(latest, |end| end.min(latest));
        self.interval_end = is_on.then_some(end);
        // Nobody looks after those that are gone.
        for port in gone {
            self.note_taken_out(port);
            let facts = self.facts(port);
            facts.removed = true;
            if facts.ejected.take().is_some() {
                facts.fails = 0;
            }
            (facts.times, facts.since, facts.lifted, facts.successes) = (0, None, false, 0);
        }
    }

    /// The operator has said a word.
    pub(crate) fn said(&mut self, port: Port, word: OperatorWord) {
        self.facts(port).word = word;
        if word != OperatorWord::Ready {
            self.note_taken_out(port);
        }
    }

    /// A check is over; whether it succeeded.
    pub(crate) fn checked(&mut self, port: Port, is_good: bool) {
        let Some(policy) = self.settings.health.clone() else {
            return;
        };
        let facts = self.facts(port);
        facts.outcomes.push(is_good);
        let is_ejected = facts.ejected.is_some();
        facts.successes = if is_good && is_ejected {
            facts.successes + 1
        } else {
            0
        };
        if facts.successes >= policy.rise {
            facts.successes = 0;
            facts.ejected = None;
            facts.lifted = true;
            facts.fails = 0;
        }
        let needed = if is_good { policy.rise } else { policy.fall } as usize;
        let last = facts.outcomes.iter().rev().take(needed);
        if facts.outcomes.len() >= needed && last.clone().all(|outcome| *outcome == is_good) {
            facts.health = if is_good {
                Health::Well
            } else {
                Health::Failing
            };
        }
    }

    /// Ejections were looked at, because a pool was suspected or something was due.
    pub(crate) fn looked(&mut self, is_suspected: bool) {
        let (now, policy) = (now(), self.settings.outlier);
        let Some(end) = self.interval_end else {
            return;
        };
        let members = self.newest.members.clone();
        for port in &members {
            let facts = self.facts(*port);
            let is_due = facts.ejected.is_some_and(|until| until <= now);
            if is_due {
                facts.ejected = None;
                facts.fails = 0;
            }
            if is_due || std::mem::take(&mut facts.lifted) {
                facts.since = Some(now);
            }
        }
        let is_over = end <= now;
        if is_over || is_suspected {
            for port in &members {
                let facts = self.of(*port);
                if facts.fails >= policy.consecutive && facts.takes_bound() {
                    self.eject(*port, now);
                }
            }
        }
        if is_over {
            for port in &members {
                let facts = self.facts(*port);
                let long_in = facts
                    .since
                    .is_none_or(|since| now - since >= policy.interval);
                if facts.ejected.is_none() && long_in && facts.fails == 0 {
                    facts.times = facts.times.saturating_sub(1);
                }
            }
            self.interval_end = Some(now + policy.interval);
        }
    }

    /// Unless too many are out already, or it would leave nobody.
    fn eject(&mut self, port: Port, now: Instant) {
        let policy = self.settings.outlier;
        let (all, ejected, ready) = self.crowd();
        let share = all * usize::from(policy.max_ejected) / 100;
        if ejected >= share.max(1) || ready <= 1 {
            self.tally.spared += 1;
            return;
        }
        let facts = self.facts(port);
        facts.times += 1;
        let time = (policy.base_ejection * facts.times).min(policy.max_ejection);
        facts.ejected = Some(now + time);
        facts.fails = 0;
        facts.successes = 0;
        self.tally.ejected += 1;
        self.tell(|| format!("{port} is ejected for {time:?}"));
    }

    pub(crate) fn ejected(&self) -> Vec<Port> {
        let members = self.newest.members.iter().copied();
        members
            .filter(|port| self.of(*port).ejected.is_some())
            .collect()
    }

    /// How many there were if all that are ejected were wanted again: all, the ejected; and those that take requests.
    fn crowd(&self) -> (usize, usize, usize) {
        let members = || {
            self.newest
                .members
                .iter()
                .map(|port| (port, self.of(*port)))
        };
        let is_ejected = |facts: &Facts| facts.ejected.is_some();
        let is_wanted = |port: &Port, facts: &Facts| {
            self.newest.nominal(*port) > 0 && facts.word == OperatorWord::Ready
        };
        let all = members().filter(|(port, facts)| is_wanted(port, facts) || is_ejected(facts));
        let ejected = members().filter(|(_, facts)| is_ejected(facts));
        let ready = members().filter(|(port, facts)| is_wanted(port, facts) && facts.takes_new());
        (all.count(), ejected.count(), ready.count())
    }

    /// Ramps were looked at: whoever is back or new begins at a tenth.
    pub(crate) fn ramped(&mut self) {
        let (now, window) = (now(), self.settings.window());
        let is_first = self.known.is_empty();
        let before = std::mem::take(&mut self.known);
        for port in self.newest.members.clone() {
            let facts = self.facts(port);
            let known = before
                .get(&port)
                .filter(|known| known.number == facts.number);
            let was_ready = known.map_or(is_first, |known| known.is_ready);
            let is_ready = facts.takes_new();
            let mut begun = known.and_then(|known| known.begun);
            if !is_ready || window.is_zero() {
                begun = None;
            } else if begun.is_none() && !was_ready {
                begun = Some(now);
            }
            let share = begun.map_or(1.0, |begun| {
                now.duration_since(begun).as_secs_f64() / window.as_secs_f64()
            });
            facts.ramp = (share * 100.0 + 1e-6).clamp(10.0, 100.0) as u8;
            let known = Known {
                number: facts.number,
                is_ready,
                begun: begun.filter(|_| facts.ramp < 100),
            };
            self.known.insert(port, known);
        }
    }

    /// Members were made anew: who is eligible follows from how all stand now.
    pub(crate) fn publish(&mut self) {
        let version = self.version();
        if version.weights != self.newest.weights {
            self.missed.clear();
        }
        self.newest = Rc::new(version);
        for (port, nominal) in self.newest.nominals.clone() {
            let weightless = nominal == 0;
            if !std::mem::replace(&mut self.facts(port).weightless, weightless) && weightless {
                self.note_taken_out(port);
            }
        }
    }

    /// Who is eligible: whoever stands ready and has a weight; backups if nobody else does; and when fewer than the threshold
    /// are well, all that the operator wants.
    fn version(&self) -> Version {
        let settings = Rc::new(self.settings.clone());
        let members: Vec<Port> = settings.backends.iter().map(|wanted| wanted.port).collect();
        let with_weight = members.iter().filter(|port| self.of(**port).weight() > 0);
        let with_weight: Vec<Port> = with_weight.copied().collect();
        let those = |may: &dyn Fn(&Facts) -> bool| -> Vec<Port> {
            let ports = with_weight.iter().copied();
            ports.filter(|port| may(self.of(*port))).collect()
        };
        let first = those(&|facts| facts.takes_new() && !facts.backup);
        let backups = those(&|facts| facts.takes_new() && facts.backup);
        let threshold = usize::from(settings.panic_threshold);
        let wanted = if !first.is_empty() {
            those(&|facts| facts.is_wanted() && !facts.backup)
        } else if !backups.is_empty() {
            backups.clone()
        } else {
            those(&Facts::is_wanted)
        };
        let ready = if first.is_empty() { backups } else { first };
        let panics = ready.len() * 100 < wanted.len() * threshold;
        let eligible = if panics { wanted } else { ready };
        let weights = eligible.iter().map(|port| {
            let facts = self.of(*port);
            (*port, facts.weight() * u32::from(facts.ramp))
        });
        Version {
            weights: weights.collect(),
            nominals: members
                .iter()
                .map(|port| (*port, self.of(*port).weight()))
                .collect(),
            sticky: settings.sticky,
            strategy: settings.strategy.clone(),
            settings,
            members,
            eligible,
            panics,
        }
    }

    /// What is not as it has to be of single backends.
    fn wrong_backends(&self, pool: &Pool) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        for member in pool.members.all() {
            let real = &member.backend;
            let port = port_of(real);
            let facts = self.of(port);
            let mut same = |invariant: &'static str, real: String, due: String| {
                if real != due {
                    wrong.push((invariant, format!("{port}: {real}, not {due}")));
                }
            };
            same(
                "standing",
                format!("{:?}", real.operator()),
                format!("{:?}", facts.word),
            );
            same(
                "verdict",
                format!("{:?}", real.health()),
                format!("{:?}", facts.health),
            );
            let ejected = facts.ejected.is_some();
            same(
                "ejection",
                real.ejection().is_some().to_string(),
                ejected.to_string(),
            );
            same(
                "failures",
                real.failures_in_row().to_string(),
                facts.fails.to_string(),
            );
            same(
                "in flight",
                real.in_flight().to_string(),
                facts.in_flight.to_string(),
            );
            same(
                "reload",
                real.most_in_flight().to_string(),
                facts.cap.to_string(),
            );
            same(
                "reload",
                member.nominal.to_string(),
                facts.weight().to_string(),
            );
            same(
                "slow start",
                real.ramp().to_string(),
                facts.ramp.to_string(),
            );
        }
        wrong
    }

    /// What is there is what has to be: to be asked whenever nothing is on its way.
    pub(crate) fn hold_standing(&mut self, pool: &Pool) {
        let mut wrong = self.wrong_backends(pool);
        let due = self.version();
        let real = pool.members.eligible().iter();
        let real: Vec<_> = real.map(|slot| port_of(pool.backend(*slot))).collect();
        if real != due.eligible {
            wrong.push(("eligible", format!("{real:?}, not {due:?}")));
        }
        let panics = pool.members.are_in_panic();
        if panics != due.panics {
            wrong.push(("panic threshold", format!("{panics}, not {due:?}")));
        }
        self.tally.panics += u64::from(panics);
        wrong.extend(self.wrong_shares(pool, &due));
        for (invariant, what) in wrong {
            self.hold(invariant, false, || what);
        }
    }

    /// Shares are to each other as they have to be, whatever they are counted in; none is less than a tenth or more than all.
    fn wrong_shares(&self, pool: &Pool, due: &Version) -> Option<(&'static str, String)> {
        let shares = pool.members.eligible().iter().map(|slot| {
            let member = pool.members.get(*slot);
            (port_of(&member.backend), u64::from(member.weight))
        });
        let shares: Vec<_> = shares.collect();
        let (first, real) = *shares.first()?;
        let of = |port: &Port| due.weights.get(port).map(|weight| u64::from(*weight));
        let is_wrong = shares.iter().any(|(port, weight)| {
            let (Some(due), Some(first)) = (of(port), of(&first)) else {
                return true;
            };
            weight * first != due * real
        });
        is_wrong.then(|| {
            (
                "slow start",
                format!("shares {shares:?}, not {:?}", due.weights),
            )
        })
    }
}

impl Version {
    /// Before the first configuration.
    pub(crate) fn none(settings: &Settings) -> Self {
        Self {
            settings: Rc::new(settings.clone()),
            members: Vec::new(),
            eligible: Vec::new(),
            weights: BTreeMap::new(),
            nominals: BTreeMap::new(),
            panics: false,
            sticky: false,
            strategy: settings.strategy.clone(),
        }
    }

    fn nominal(&self, port: Port) -> u32 {
        self.nominals.get(&port).copied().unwrap_or_default()
    }
}

impl Facts {
    fn new(real: &Arc<Backend>, settings: &Settings) -> Self {
        let is_unproven = settings
            .health
            .as_ref()
            .is_some_and(|policy| policy.initial == Initial::Down);
        Self {
            real: Arc::downgrade(real),
            number: real.number(),
            word: OperatorWord::Ready,
            removed: false,
            weightless: false,
            health: if is_unproven {
                Health::Unproven
            } else {
                Health::Well
            },
            outcomes: Vec::new(),
            ejected: None,
            successes: 0,
            times: 0,
            since: None,
            lifted: false,
            fails: 0,
            in_flight: 0,
            cap: 0,
            configured: 0,
            steered: None,
            backup: false,
            ramp: 100,
        }
    }
}
