//! Who answers: one backend's identity and its live state.
//!
//! *What this room is for.* A [`Backend`] is one address in one pool, with what is true of it at this
//! moment: how many requests it has in flight, what health and the operator say of it, what it owes to
//! the rotation for its sticky requests. It outlives the generations of a pool: a reload makes new
//! members, with other weights perhaps, around the same backends.
//!
//! *What enters*: keys from the configuration, verdicts from health, words from the operator, requests
//! that begin. *What leaves*: numbers and standings, read by strategies, the admin API and the scrape.
//!
//! In reading order: [`key`] (what a backend is called), [`checked`] (what the last check found), `live` (its atomics, on cache lines of their
//! own), [`secure`] (TLS with it), [`in_flight`] (the claim that ends by being dropped), [`standing`] (health's verdict and the
//! operator's word, kept apart), [`steering`] (a weight set at run time).
//!
//! Deliberately absent: weights of the configuration (they belong to a generation of a pool, see `strategy::Member`),
//! sockets and connections (each worker keeps its own), HTTP, clocks, and any decision.

pub mod checked;
pub mod in_flight;
pub mod key;
mod live;
pub mod secure;
pub mod standing;
pub mod steering;

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use checked::LastCheck;
pub use in_flight::InFlight;
pub use key::{Address, BackendKey, BackendTag};
pub use secure::Secure;
pub use standing::{Health, OperatorWord, Standing};
pub use steering::SteeredWeight;

pub use crate::telemetry::meters::{BackendMeters, CheckResult, Ejection};
use live::Live;

use crate::telemetry::meters::Counter;

/// One address in a pool, with its live state. Shared by every generation, worker and request that
/// knows it; gone when the last of them is.
pub struct Backend {
    key: BackendKey,
    /// The address, written once: each line of the access log has it twice.
    shown: Box<str>,
    number: u32,
    live: Live,
    meters: Arc<BackendMeters>,
    last_check: Mutex<Option<LastCheck>>,
    /// By cause; written by whoever ejects, and that is one thread.
    ejections: [Counter; Ejection::COUNT],
    /// By result; written by whoever checks, and that is one thread.
    checks: [Counter; CheckResult::COUNT],
    steered_weight: Mutex<Option<SteeredWeight>>,
    /// Milliseconds; 0: nothing was seen.
    closes_idle_after: AtomicU32,
    /// Seconds since 1970, for whoever looks; 0: nobody knows.
    failing_since: AtomicU64,
    ejected_until: AtomicU64,
    stands_since: AtomicU64,
}

impl Backend {
    /// A backend that is well, wanted and idle. `number` must be unique in the process.
    pub fn new(key: BackendKey, number: u32, meters: Arc<BackendMeters>) -> Arc<Self> {
        Arc::new(Self {
            shown: key.address.to_string().into(),
            key,
            number,
            live: Live::default(),
            meters,
            last_check: Mutex::new(None),
            ejections: Default::default(),
            checks: Default::default(),
            steered_weight: Mutex::new(None),
            closes_idle_after: AtomicU32::new(0),
            failing_since: AtomicU64::new(0),
            ejected_until: AtomicU64::new(0),
            stands_since: AtomicU64::new(0),
        })
    }

    /// Its identity.
    pub fn key(&self) -> &BackendKey {
        &self.key
    }

    /// Where it is.
    pub fn address(&self) -> &Address {
        &self.key.address
    }

    /// Its address as the configuration writes it.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Its number, unique in the process and never used again: an index for what each worker keeps
    /// for itself.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Its meters.
    pub fn meters(&self) -> &Arc<BackendMeters> {
        &self.meters
    }

    /// Requests in flight now, over all workers: from [`Backend::begin`] until the guard is dropped.
    pub fn in_flight(&self) -> u32 {
        self.live.in_flight()
    }

    /// The most requests that may be in flight at once; 0 for as many as come.
    pub fn most_in_flight(&self) -> u32 {
        self.live.most()
    }

    /// Sets the most requests that may be in flight at once, from now on; 0 for as many as come. What is in flight
    /// already stays.
    pub fn set_most_in_flight(&self, most: u32) {
        self.live.set_most(most);
    }

    /// Health's verdict, ejection and the operator's word, joined.
    pub fn standing(&self) -> Standing {
        Standing::of(self.health(), self.operator()).with(self.ejection())
    }

    /// Health's verdict alone; [`Health::Well`] until health has said otherwise.
    pub fn health(&self) -> Health {
        self.live.health()
    }

    /// The operator's word alone.
    pub fn operator(&self) -> OperatorWord {
        self.live.operator()
    }

    /// Records health's verdict. The pool's members must be rebuilt for it to take effect on picks.
    pub fn set_health(&self, health: Health) {
        self.live.set_health(health);
    }

    /// Why it is ejected, if it is. Apart from [`Backend::health`]: checks know nothing of it, and it ends by itself.
    pub fn ejection(&self) -> Option<Ejection> {
        self.live.ejection()
    }

    /// Ejects it, and begins its run of failures anew. The pool's members must be rebuilt for it to take effect on picks.
    /// One thread only.
    pub fn eject(&self, cause: Ejection) {
        self.live.note_success();
        self.live.set_ejection(Some(cause));
        self.ejections[cause.index()].add(1);
    }

    /// Has it ejected as it was in the process before, which has counted that.
    pub fn stay_ejected(&self, cause: Ejection) {
        self.live.set_ejection(Some(cause));
    }

    /// Ends an ejection. The pool's members must be rebuilt for it to take effect on picks.
    pub fn readmit(&self) {
        self.live.note_success();
        self.live.set_ejection(None);
    }

    /// How often it was ejected for this.
    pub fn ejections(&self, cause: Ejection) -> u64 {
        self.ejections[cause.index()].get()
    }

    /// Failed attempts since the last one that succeeded, or since it was ejected or readmitted.
    pub fn failures_in_row(&self) -> u32 {
        self.live.failures()
    }

    /// Counts an attempt that failed by the backend's fault; says how many did in a row.
    pub fn note_failure(&self) -> u32 {
        self.live.note_failure()
    }

    /// Takes note that an attempt succeeded: its run of failures is over.
    #[inline]
    pub fn note_success(&self) {
        self.live.note_success();
    }

    /// Per cent of its weight that it takes; 100 but in slow start.
    pub fn ramp(&self) -> u8 {
        self.live.ramp()
    }

    /// Sets the part of its weight that it takes. The pool's members must be rebuilt for it to take effect on picks.
    pub fn set_ramp(&self, percent: u8) {
        self.live.set_ramp(percent);
    }

    /// After how long a rest it closed the connection that taught us last, if any has.
    pub fn closes_idle_after(&self) -> Option<Duration> {
        let seen = self.closes_idle_after.load(Relaxed);
        (seen > 0).then(|| Duration::from_millis(seen.into()))
    }

    /// Records that it closed a connection that had rested for so long, or less.
    pub fn note_closes_idle_after(&self, rested: Duration) {
        let seen = u32::try_from(rested.as_millis()).unwrap_or(u32::MAX);
        self.closes_idle_after.store(seen, Relaxed);
    }

    /// What the last check found, if there was one.
    pub fn last_check(&self) -> Option<LastCheck> {
        *self.known_check()
    }

    /// Records a check; `None` when it is checked no more.
    pub fn note_check(&self, check: Option<LastCheck>) {
        if let Some(check) = check {
            let result = match check.failure {
                None => CheckResult::Ok,
                Some(_) => CheckResult::Failed,
            };
            self.checks[result.index()].add(1);
        }
        *self.known_check() = check;
    }

    /// How many checks have ended so.
    pub fn checks(&self, result: CheckResult) -> u64 {
        self.checks[result.index()].get()
    }

    fn known_check(&self) -> std::sync::MutexGuard<'_, Option<LastCheck>> {
        self.last_check
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Records the operator's word. The pool's members must be rebuilt for it to take effect on picks.
    pub fn set_operator(&self, word: OperatorWord) {
        self.live.set_operator(word);
    }

    /// How often the operator has said a word: whoever acts on one later sees whether it is still the last.
    pub fn words(&self) -> u32 {
        self.live.words()
    }

    /// Of 255 tunnels, how many are to end. Each draws its lot.
    pub fn called_off(&self) -> u8 {
        self.live.called_off()
    }

    /// Calls off that many of 255 tunnels, until the operator says another word.
    pub fn call_off(&self, share: u8) {
        self.live.call_off(share);
        CALLS.fetch_add(1, Relaxed);
    }

    /// WebSockets and other tunnels to it.
    pub fn streams(&self) -> u32 {
        self.meters.tunnels()
    }

    /// Whether no configuration names it any more: what runs there may end, and nothing new is sent.
    pub fn is_removed(&self) -> bool {
        self.live.is_removed()
    }

    /// Notes that the configuration has it no more, or has it again: then it calls nobody off.
    pub fn set_removed(&self, removed: bool) {
        self.live.set_removed(removed);
    }

    /// Whether its weight is 0 in the generation of now: nothing new is sent there, as in a drain.
    pub fn is_weightless(&self) -> bool {
        self.live.is_weightless()
    }

    /// Notes whether its weight is 0 from now on.
    pub fn set_weightless(&self, weightless: bool) {
        self.live.set_weightless(weightless);
    }

    /// The weight that was set at run time, if one was.
    pub fn steered_weight(&self) -> Option<SteeredWeight> {
        *self
            .steered_weight
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets a weight in the place of the configuration's, or that one again. The pool's members must be rebuilt for it
    /// to take effect on picks.
    pub fn steer_weight(&self, weight: Option<SteeredWeight>) {
        *self
            .steered_weight
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = weight;
    }

    /// The weight that holds where the configuration says `configured`. One set at run time under another
    /// configuration does not hold.
    pub fn weight_over(&self, configured: u32) -> u32 {
        SteeredWeight::over(self.steered_weight(), configured)
    }

    /// Claims a place for one request. It ends when the guard is dropped, wherever that is.
    pub fn begin(self: &Arc<Self>) -> InFlight {
        InFlight::begin(Arc::clone(self))
    }

    /// Charges one request that came by its cookie and not by the rotation. Debt is bounded: what was
    /// bound long ago weighs no more.
    pub fn add_debt(&self) {
        self.live.add_debt();
    }

    /// Pays one request of debt by letting a turn pass; says whether the turn passes. Never twice in
    /// a row: a backend with however many bound requests keeps every second of its turns.
    pub fn pay_debt(&self) -> bool {
        self.live.pay_debt()
    }

    /// Whether [`Backend::pay_debt`] would let a turn pass now.
    pub fn would_pay_debt(&self) -> bool {
        self.live.would_pay_debt()
    }

    /// When it was found failing, in seconds since 1970, if that is known of one that fails.
    pub fn failing_since(&self) -> Option<u64> {
        told(&self.failing_since)
    }

    /// Records when it was found failing; `None` when it no longer is.
    pub fn note_failing_since(&self, at: Option<u64>) {
        self.failing_since.store(at.unwrap_or(0), Relaxed);
    }

    /// When its ejection ends at the latest, in seconds since 1970, if that is known of one that is ejected.
    pub fn ejected_until(&self) -> Option<u64> {
        told(&self.ejected_until).filter(|_| self.ejection().is_some())
    }

    /// Since when it has stood as it does, in seconds since 1970, if that has changed in this process.
    pub fn stands_since(&self) -> Option<u64> {
        told(&self.stands_since)
    }

    /// Records when its standing changed last.
    pub fn note_stands_since(&self, at: u64) {
        self.stands_since.store(at, Relaxed);
    }

    /// Records when its ejection ends.
    pub fn note_ejected_until(&self, at: u64) {
        self.ejected_until.store(at, Relaxed);
    }
}

/// A time that was noted, if one was.
fn told(at: &AtomicU64) -> Option<u64> {
    Some(at.load(Relaxed)).filter(|at| *at > 0)
}

/// How often any backend has called tunnels off: those that are silent have to be woken when this changes, and their
/// backend may be one that no configuration names any more.
pub fn calls() -> u64 {
    CALLS.load(Relaxed)
}

static CALLS: AtomicU64 = AtomicU64::new(0);

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend")
            .field("key", &self.key)
            .field("number", &self.number)
            .field("standing", &self.standing())
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backend() -> Arc<Backend> {
        let key = BackendKey {
            pool: "shop".into(),
            address: Address::Tcp(([127, 0, 0, 1], 9001).into()),
        };
        Backend::new(key, 7, Arc::new(BackendMeters::new(1)))
    }

    #[test]
    fn in_flight_ends_by_dropping_also_on_a_panic() {
        let backend = backend();
        let first = backend.begin();
        let second = backend.begin();
        assert_eq!(backend.in_flight(), 2);
        drop(first);
        assert_eq!(second.backend().in_flight(), 1);
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _claim = second;
            panic!("a request went wrong");
        }));
        assert!(caught.is_err());
        assert_eq!(backend.in_flight(), 0);
    }

    #[test]
    fn in_flight_is_exact_over_threads() {
        let backend = backend();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        let _claim = backend.begin();
                    }
                });
            }
        });
        assert_eq!(backend.in_flight(), 0);
    }

    #[test]
    fn no_more_are_in_flight_than_may_be_whoever_comes_at_once() {
        let backend = backend();
        backend.set_most_in_flight(3);
        let claim = || InFlight::begin_within(&backend, || Arc::clone(&backend));
        let most = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    for _ in 0..5_000 {
                        if let Some(claimed) = claim() {
                            let now = claimed.backend().in_flight();
                            most.fetch_max(now, Relaxed);
                        }
                    }
                });
            }
        });
        assert!((1..=3).contains(&most.into_inner()));
        assert_eq!(backend.in_flight(), 0);
        let held: Vec<_> = (0..4).map_while(|_| claim()).collect();
        assert_eq!(held.len(), 3);
        backend.set_most_in_flight(0);
        assert!(claim().is_some());
    }

    #[test]
    fn a_new_backend_is_ready_and_words_do_not_erase_verdicts() {
        let backend = backend();
        assert_eq!(backend.standing(), Standing::Ready);
        backend.set_health(Health::Failing);
        backend.set_operator(OperatorWord::Maintenance);
        assert_eq!(backend.standing(), Standing::Maintenance);
        backend.set_operator(OperatorWord::Ready);
        assert_eq!(backend.standing(), Standing::Failing);
        backend.set_health(Health::Well);
        assert_eq!(backend.standing(), Standing::Ready);
    }

    #[test]
    fn ejection_is_apart_from_verdicts_and_words() {
        let backend = backend();
        assert_eq!((backend.note_failure(), backend.note_failure()), (1, 2));
        backend.note_success();
        assert_eq!(backend.note_failure(), 1);
        backend.eject(Ejection::Failures);
        assert_eq!(backend.failures_in_row(), 0);
        assert_eq!(backend.standing(), Standing::Ejected);
        backend.set_operator(OperatorWord::Draining);
        assert_eq!(backend.standing(), Standing::Ejected);
        backend.set_health(Health::Failing);
        assert_eq!(backend.standing(), Standing::Failing);
        backend.set_operator(OperatorWord::Maintenance);
        assert_eq!(backend.standing(), Standing::Maintenance);
        backend.readmit();
        backend.set_operator(OperatorWord::Ready);
        backend.set_health(Health::Well);
        assert_eq!(backend.standing(), Standing::Ready);
        backend.eject(Ejection::Errors);
        assert_eq!(backend.ejection(), Some(Ejection::Errors));
        assert_eq!(Ejection::ALL.map(|cause| backend.ejections(cause)), [1, 1]);
    }

    #[test]
    fn debt_is_paid_once_in_a_row_and_is_bounded() {
        let backend = backend();
        assert!(!backend.pay_debt());
        backend.add_debt();
        backend.add_debt();
        assert_eq!(
            [(); 4].map(|()| backend.pay_debt()),
            [true, false, true, false]
        );
        assert!(!backend.pay_debt());
        for _ in 0..1_000_000 {
            backend.add_debt();
        }
        let paid = (0..10_000).filter(|_| backend.pay_debt()).count();
        assert!(paid > 0 && paid <= 100, "{paid}");
    }

    #[test]
    fn live_state_has_cache_lines_of_its_own() {
        assert_eq!(align_of::<Backend>() % 128, 0);
    }
}
