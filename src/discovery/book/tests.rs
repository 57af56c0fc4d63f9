//! The book by hand and by chance, in simulated time.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};
use proptest::{collection, prop_assert, prop_assert_eq};

use super::*;

fn question(name: &str) -> Question {
    Question::Service(name.into())
}

fn found(hosts: &[u8]) -> Vec<Found> {
    let one = |host: &u8| Found {
        address: SocketAddr::from(([10, 0, 0, *host], 80)),
        weight: None,
        backup: false,
    };
    hosts.iter().map(one).collect()
}

fn answer(hosts: &[u8], ttl: u64) -> Result<Answer, LookupError> {
    let ttl = Duration::from_secs(ttl);
    let found = found(hosts);
    Ok(Answer { found, ttl })
}

fn settings() -> Dns {
    Dns {
        max_addresses: 3,
        ..Dns::default()
    }
}

/// A book of one name that is asked at once.
fn book(hosts: &[u8], now: Instant) -> Book {
    let mut book = Book::default();
    let forgotten = book.adopt([(question("a"), found(hosts).into())], now);
    assert!(forgotten.is_empty());
    assert_eq!(book.take_due(now), Some(question("a")));
    assert_eq!(book.take_due(now), None, "nobody asks twice at once");
    book
}

fn note(book: &mut Book, answer: Result<Answer, LookupError>, now: Instant) -> Noted {
    let noted = book.note(&question("a"), answer, &settings(), (now, 0));
    book.check();
    noted.expect("the name is known")
}

#[test]
fn what_comes_and_goes_is_told_and_an_order_is_none() {
    let now = Instant::now();
    let mut book = book(&[1, 2], now);
    let noted = note(&mut book, answer(&[3, 2, 3], 10), now);
    assert_eq!((noted.came, noted.gone), (found(&[3]), found(&[1])));
    assert_eq!(noted.found.as_deref(), Some(&found(&[2, 3])[..]));
    assert_eq!(note(&mut book, answer(&[2, 3], 10), now), Noted::default());
}

#[test]
fn the_last_good_answer_outlives_every_failure() {
    let now = Instant::now();
    let failures = [
        answer(&[], 10),
        Err(LookupError::Nothing),
        Err(LookupError::NoSuchName),
        Err(LookupError::TooLate(Duration::from_secs(2))),
        Err(LookupError::Failed("SERVFAIL".to_owned())),
    ];
    let mut book = book(&[1, 2], now);
    for (index, failure) in failures.into_iter().enumerate() {
        let noted = note(&mut book, failure, now);
        assert_eq!(noted.failures as usize, index + 1);
        assert_eq!(noted.found, None);
        assert_eq!(book.count(&question("a")), 2);
    }
    let noted = note(&mut book, answer(&[1, 2], 10), now);
    assert_eq!((noted.recovered, noted.found), (5, None));
    assert_eq!(note(&mut book, answer(&[1, 2], 10), now).recovered, 0);
}

#[test]
fn a_name_is_asked_again_by_its_ttl_within_bounds_and_after_failures_ever_later() {
    let now = Instant::now();
    let mut book = book(&[], now);
    let mut wait = |answer| {
        note(&mut book, answer, now);
        let at = book.next().expect("it is asked again");
        (at - now).as_secs()
    };
    for (ttl, seconds) in [(0, 1), (1, 1), (60, 60), (u64::from(u32::MAX), 300)] {
        assert_eq!(wait(answer(&[1], ttl)), seconds);
    }
    let failed = || Err(LookupError::Nothing);
    let waits: Vec<u64> = (0..8).map(|_| wait(failed())).collect();
    assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 30]);
}

#[test]
fn of_too_many_those_stay_that_were_there() {
    let now = Instant::now();
    let mut book = book(&[7, 9], now);
    let noted = note(&mut book, answer(&[1, 2, 3, 7, 9], 10), now);
    assert_eq!(noted.found.as_deref(), Some(&found(&[1, 7, 9])[..]));
    assert_eq!(noted.cut, 2);
}

#[test]
fn a_reload_keeps_what_stays_and_forgets_what_goes() {
    let now = Instant::now();
    let mut book = book(&[1], now);
    let names = [(question("b"), found(&[2]).into())];
    assert_eq!(book.adopt(names, now), [question("a")]);
    let late = book.note(&question("a"), answer(&[3], 1), &settings(), (now, 0));
    assert_eq!(late, None, "nobody wants to know any more");
    assert_eq!(book.take_due(now), Some(question("b")));
    // It is being asked, and is not asked a second time.
    let names = [(question("b"), found(&[2]).into())];
    book.adopt(names, now);
    assert_eq!(book.take_due(now), None);
    book.check();
}

/// Of the same address the record counts that is asked first.
#[test]
fn an_address_of_two_records_is_of_the_better_one() {
    let of = |weight, backup| Found {
        weight: Some(weight),
        backup,
        ..found(&[1])[0]
    };
    let settled = settle(vec![of(9, true), of(1, false), of(5, false)], &[], 3);
    assert_eq!(*settled, [of(5, false)]);
}

#[derive(Clone, Debug)]
enum Step {
    Answer(Vec<u8>, u64),
    Fail,
    Reload,
}

fn steps() -> impl Strategy<Value = Vec<(Step, u64)>> {
    let hosts = collection::vec(0_u8..6, 0..6);
    let step = prop_oneof![
        4 => (hosts, 0_u64..1000).prop_map(|(hosts, ttl)| Step::Answer(hosts, ttl)),
        2 => Just(Step::Fail),
        1 => Just(Step::Reload),
    ];
    collection::vec((step, any::<u64>()), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever is answered in whichever order: the book says what the last good answer was, what is told adds up to it,
    /// questions are neither lost nor more frequent than may be, and the bounds hold.
    #[test]
    fn the_book_is_what_a_simple_model_of_it_is(steps in steps()) {
        let settings = settings();
        let mut now = Instant::now();
        let mut book = Book::default();
        let asked = question("a");
        book.adopt([(asked.clone(), Arc::default())], now);
        let mut last_good: BTreeSet<SocketAddr> = BTreeSet::new();
        let mut told = last_good.clone();
        let mut failures = 0;
        for (step, draw) in steps {
            let due = book.next().expect("a name is never forgotten");
            now = now.max(due);
            prop_assert_eq!(book.take_due(now), Some(asked.clone()));
            let given = match step {
                Step::Reload => {
                    let held = book.pages[&asked].found.clone();
                    book.adopt([(asked.clone(), held)], now);
                    answer(&[], 0)
                }
                Step::Answer(hosts, ttl) => answer(&hosts, ttl),
                Step::Fail => Err(LookupError::Nothing),
            };
            let offered: BTreeSet<SocketAddr> = match &given {
                Ok(answer) => answer.found.iter().map(|one| one.address).collect(),
                Err(_) => BTreeSet::new(),
            };
            let noted = book.note(&asked, given, &settings, (now, draw)).expect("it is known");
            book.check();
            let wait = book.next().expect("it is asked again") - now;
            prop_assert!(wait >= settings.min_ttl);
            prop_assert!(wait <= settings.max_ttl.mul_f64(1.1));
            for found in &noted.came {
                prop_assert!(told.insert(found.address));
            }
            for found in &noted.gone {
                prop_assert!(told.remove(&found.address));
            }
            if offered.is_empty() {
                failures += 1;
                prop_assert_eq!(noted.failures, failures);
                prop_assert!(noted.found.is_none());
            } else {
                prop_assert_eq!(noted.recovered, failures);
                failures = 0;
                let kept: BTreeSet<_> = last_good.intersection(&offered).copied().collect();
                let count = offered.len().min(settings.max_addresses);
                prop_assert_eq!(told.len(), count);
                prop_assert!(told.is_subset(&offered));
                prop_assert!(kept.is_subset(&told), "who may stay stays");
                last_good.clone_from(&told);
            }
            prop_assert_eq!(&told, &last_good);
            let held: BTreeSet<_> = book.pages[&asked].found.iter().map(|one| one.address).collect();
            prop_assert_eq!(held, told.clone());
        }
    }
}
