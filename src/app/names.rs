//! Names of backends, asked again and again, and what they give taken into use.
//!
//! What is asked when, and what an answer changes, is of [`Book`]; here are the asking and the effect. Other addresses make
//! other members of the pools that name them, in a snapshot of the *same* generation: the configuration is as it was. All
//! else is as with a reload. Who stays keeps standing, cookie and place; who is gone gets no new requests while those in
//! flight end; who is new begins as health and slow start have it for one that is added.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use tokio::task::{Id, JoinSet};

use super::control::{Control, Setup, tell_of_panics};
use super::leaving::removed;
use super::outliers::until;
use crate::discovery::book::Noted;
use crate::discovery::{Answer, Book, LastGood, LookupError, Resolver};
use crate::plan::names::{Found, Question};
use crate::plan::{Dns, Plan};
use crate::snapshot::{Registry, Snapshots};
use crate::worker::unix_seconds;

/// The names of the process.
pub(super) struct Names {
    control: Arc<Control>,
    snapshots: Arc<Snapshots>,
    registry: Arc<Registry>,
    last_good: LastGood,
    book: Book,
    resolver: Resolver,
    running: JoinSet<Result<Answer, LookupError>>,
    /// Which question a running lookup is about.
    asked: HashMap<Id, Question>,
}

impl Names {
    pub(super) fn new(setup: &Setup) -> Self {
        let dns = setup.snapshots.load().plan.dns.clone();
        Self {
            control: Arc::clone(&setup.control),
            snapshots: Arc::clone(&setup.snapshots),
            registry: Arc::clone(&setup.registry),
            last_good: setup.last_good.clone(),
            book: Book::default(),
            resolver: Resolver::new(dns),
            running: JoinSet::new(),
            asked: HashMap::new(),
        }
    }

    /// Asks for ever.
    pub(super) async fn run(mut self) {
        self.adopt();
        let control = Arc::clone(&self.control);
        loop {
            let next = self.book.next();
            let next = next.filter(|_| self.running.len() < MOST_AT_ONCE);
            tokio::select! {
                () = control.reload_of_names() => self.adopt(),
                Some(done) = self.running.join_next_with_id() => {
                    let mut changed = BTreeMap::new();
                    let mut done = Some(done);
                    // What is there at once takes effect at once.
                    while let Some(one) = done {
                        let (id, answer) = match one {
                            Ok(done) => done,
                            Err(error) => (error.id(), Err(LookupError::Failed(error.to_string()))),
                        };
                        self.note(id, answer, &mut changed);
                        done = self.running.try_join_next_with_id();
                    }
                    self.publish(&changed);
                }
                () = until(next) => self.begin_next(),
            }
        }
    }

    /// Takes on the names of the configuration of now.
    fn adopt(&mut self) {
        let plan = Arc::clone(&self.snapshots.load().plan);
        if *self.resolver.settings() != plan.dns {
            self.resolver = Resolver::new(plan.dns.clone());
        }
        let names = names_of(&plan);
        for (question, found) in &names {
            show_count(question, found.len());
            begin_counts(question);
            if !found.is_empty() {
                self.last_good.keep(question, Arc::clone(found));
            }
        }
        for left in self.book.adopt(names, Instant::now()) {
            self.last_good.forget(&left);
            show_count(&left, 0);
        }
    }

    fn begin_next(&mut self) {
        let Some(question) = self.book.take_due(Instant::now()) else {
            return;
        };
        let (resolver, asked) = (self.resolver.clone(), question.clone());
        let task = self
            .running
            .spawn_local(async move { resolver.ask(&asked).await });
        self.asked.insert(task.id(), question);
    }

    /// Takes an answer; what is to take effect goes to `changed`.
    fn note(
        &mut self,
        id: Id,
        answer: Result<Answer, LookupError>,
        changed: &mut BTreeMap<Question, Arc<[Found]>>,
    ) {
        let Some(question) = self.asked.remove(&id) else {
            return;
        };
        let error = answer.as_ref().err().cloned();
        let dns = self.resolver.settings();
        let when = (Instant::now(), fastrand::u64(..));
        let Some(noted) = self.book.note(&question, answer, dns, when) else {
            return;
        };
        count(&question, error.as_ref());
        tell(
            &question,
            &noted,
            error.as_ref(),
            self.book.count(&question),
            dns,
        );
        if let Some(found) = noted.found {
            show_count(&question, found.len());
            self.last_good.keep(&question, Arc::clone(&found));
            changed.insert(question, found);
        }
    }

    /// Publishes the generation of now with what names have given.
    fn publish(&self, changed: &BTreeMap<Question, Arc<[Found]>>) {
        if changed.is_empty() {
            return;
        }
        let (last, next) = self
            .snapshots
            .publish(|now| now.with_found(changed, &self.registry));
        tell_of_panics(&last, &next);
        self.control.removed(removed(&last, &next));
        self.registry.sweep();
        self.control.found();
    }
}

/// The names of a plan, each once, with what they have found.
fn names_of(plan: &Plan) -> BTreeMap<Question, Arc<[Found]>> {
    let names = plan.pools.iter().flat_map(|pool| &pool.names);
    names
        .map(|name| (name.question.clone(), Arc::clone(&name.found)))
        .collect()
}

/// Says what an answer changes: which addresses come and go, and where a run of failures begins and ends.
fn tell(
    question: &Question,
    noted: &Noted,
    error: Option<&LookupError>,
    addresses: usize,
    dns: &Dns,
) {
    for found in &noted.came {
        tracing::info!(name = %question, backend = %found.address, "discovery: an address has come");
    }
    for found in &noted.gone {
        tracing::info!(
            name = %question, backend = %found.address,
            "discovery: an address has gone, and gets no new requests"
        );
    }
    if noted.cut > 0 && noted.found.is_some() {
        tracing::warn!(
            name = %question, passed_over = noted.cut, max_addresses = dns.max_addresses,
            "discovery: the name has more addresses than may be taken"
        );
    }
    if noted.recovered > 0 {
        tracing::info!(
            name = %question, addresses, failed = noted.recovered,
            "discovery: the name resolves again"
        );
    }
    if let Some(error) = error.filter(|_| noted.failures == 1) {
        tracing::warn!(
            name = %question, %error, addresses,
            "discovery: a lookup gives nothing, what was known last stays"
        );
    }
}

fn count(question: &Question, error: Option<&LookupError>) {
    let name = question.to_string();
    let result = error.map_or("ok", LookupError::as_str);
    if error.is_none() {
        metrics::gauge!("forecourt_dns_last_answer_timestamp_seconds", "name" => name.clone())
            .set(unix_seconds() as f64);
    }
    metrics::counter!("forecourt_dns_lookups_total", "name" => name, "result" => result)
        .increment(1);
}

/// So that the first failure is seen as one.
fn begin_counts(question: &Question) {
    for result in LookupError::RESULTS {
        metrics::counter!("forecourt_dns_lookups_total", "name" => question.to_string(), "result" => result)
            .increment(0);
    }
}

fn show_count(question: &Question, addresses: usize) {
    metrics::gauge!("forecourt_dns_addresses", "name" => question.to_string())
        .set(addresses as f64);
}

/// Lookups at once: of thousands of names a few seconds' work, and no burst that a name server would drop.
const MOST_AT_ONCE: usize = 64;
