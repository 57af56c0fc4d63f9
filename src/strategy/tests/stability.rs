//! Who moves when the pool changes: with ip-hash no more than must, with cookies nobody.

use std::net::IpAddr;

use proptest::prelude::{ProptestConfig, prop, prop_assert, prop_assert_eq, prop_assume, proptest};

use super::*;
use crate::backend::{Health, OperatorWord};

const CLIENTS: u64 = 4_000;

/// The ids of the members that so many clients go to.
fn placed(pool: &Members) -> Vec<Arc<str>> {
    let strategy = built("ip-hash", pool);
    let tried = Tried::new();
    (0..CLIENTS)
        .map(|seed| {
            Arc::clone(
                &pool
                    .get(strategy.pick(pool, &request(seed, &tried)).unwrap())
                    .id,
            )
        })
        .collect()
}

/// May never change: each line is a client of somebody's shop who would lose his basket. The values were
/// computed a second time from the specification of XXH3, by another program.
#[test]
fn ten_known_placements() {
    let pool = named(&[
        ("10.0.0.1:80", 1),
        ("10.0.0.2:80", 2),
        ("[2001:db8::1]:80", 1),
        ("b4", 4),
    ]);
    let strategy = built("ip-hash", &pool);
    let key = strategy.needs().affinity.unwrap();
    let known = [
        ("192.0.2.1", "b4"),
        ("192.0.2.2", "b4"),
        ("198.51.100.7", "b4"),
        ("203.0.113.255", "10.0.0.1:80"),
        ("10.1.2.3", "[2001:db8::1]:80"),
        ("0.0.0.0", "b4"),
        ("2001:db8::1", "10.0.0.1:80"),
        ("2001:db8:0:1::1", "10.0.0.2:80"),
        ("fe80::1", "b4"),
        ("::ffff:192.0.2.2", "b4"),
    ];
    let tried = Tried::new();
    let found = known.map(|(client, _)| {
        let affinity = Some(key.hash(client.parse::<IpAddr>().unwrap()));
        let cx = PickContext {
            affinity,
            ..request(0, &tried)
        };
        (client, &*pool.get(strategy.pick(&pool, &cx).unwrap()).id)
    });
    assert_eq!(found, known);
    assert_eq!(placement::hash_id("b4"), 0xe99e_2508_7644_024d);
    assert_eq!(
        key.hash("192.0.2.1".parse().unwrap()),
        0xa2dc_ffdb_850f_5745
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_order_of_the_configuration_does_not_matter(
        pool in prop::collection::btree_map("[a-z]{1,6}", 1_u32..10, 1..9),
        turn in 0_usize..9,
    ) {
        let mut pool: Vec<(&str, u32)> = pool.iter().map(|(id, weight)| (id.as_str(), *weight)).collect();
        let before = placed(&named(&pool));
        pool.reverse();
        let turn = turn % pool.len();
        pool.rotate_left(turn);
        prop_assert_eq!(before, placed(&named(&pool)));
    }

    #[test]
    fn who_leaves_moves_his_own_clients_only(
        weights in prop::collection::vec(1_u32..10, 2..9),
        who: prop::sample::Index,
    ) {
        let pool = members(&weights);
        let before = placed(&pool);
        let leaver = pool.get(Slot(who.index(weights.len()) as u32));
        leaver.backend.set_health(Health::Failing);
        let after = placed(&rebuilt(&pool));
        for (before, after) in before.iter().zip(&after) {
            let left = *before == leaver.id;
            prop_assert!(*after != leaver.id && (left || before == after), "{} to {}", before, after);
        }
    }

    #[test]
    fn who_gains_weight_takes_and_nobody_else_moves(
        weights in prop::collection::vec(0_u32..10, 2..9),
        who: prop::sample::Index,
        gain in 1_u32..10,
    ) {
        prop_assume!(weights.iter().any(|&weight| weight > 0));
        let mut gained = weights.clone();
        gained[who.index(weights.len())] += gain;
        let winner = format!("b{}", who.index(weights.len()));
        for (before, after) in placed(&members(&weights)).iter().zip(&placed(&members(&gained))) {
            prop_assert!(before == after || **after == *winner, "{} to {}", before, after);
        }
    }
}

#[test]
fn members_that_enter_take_their_share_and_no_more() {
    let weights = [1; 9];
    let before = placed(&members(&weights));
    let after = placed(&members(&[1; 10]));
    let moved = before
        .iter()
        .zip(&after)
        .filter(|(before, after)| before != after)
        .count();
    assert!(moved.abs_diff(CLIENTS as usize / 10) < 80, "{moved}");
}

/// A sticky pool over every strategy, and a request pinned to its second member.
fn pinned(pool: &Members, name: &str, tried: &Tried) -> Option<Slot> {
    let strategy = Sticky::new(built(name, pool));
    let pin = pool.get(Slot(1)).tag;
    strategy.pick(
        pool,
        &PickContext {
            pin,
            ..request(1, tried)
        },
    )
}

#[test]
fn a_cookie_binds_while_the_member_lives() {
    for name in Spec::NAMES {
        let pool = named(&[("a", 1), ("b", 0), ("c", 1)]);
        let backend = &pool.get(Slot(1)).backend;
        let none = Tried::new();
        assert_eq!(
            pinned(&pool, name, &none),
            Some(Slot(1)),
            "{name}: weight 0 keeps the bound"
        );
        backend.set_operator(OperatorWord::Draining);
        assert_eq!(
            pinned(&rebuilt(&pool), name, &none),
            Some(Slot(1)),
            "{name}: so does draining"
        );

        let leaves =
            |slot: Option<Slot>| assert!(matches!(slot, Some(Slot(0 | 2))), "{name}: {slot:?}");
        let mut tried = Tried::new();
        tried.insert(Slot(1));
        leaves(pinned(&pool, name, &tried));
        backend.set_operator(OperatorWord::Maintenance);
        leaves(pinned(&rebuilt(&pool), name, &none));
        backend.set_operator(OperatorWord::Draining);
        backend.set_health(Health::Failing);
        leaves(pinned(&rebuilt(&pool), name, &none));
    }
}

#[test]
fn a_tag_of_nobody_is_as_good_as_none() {
    let pool = members(&[1, 1]);
    let strategy = Sticky::new(built("round-robin", &pool));
    let tried = Tried::new();
    let cx = PickContext {
        pin: Some(BackendTag(12)),
        ..request(1, &tried)
    };
    assert!(strategy.pick(&pool, &cx).is_some());
    assert_eq!(Sticky::bound(&pool, &cx), None);
}

#[test]
fn a_change_of_keys_binds_nobody_anew() {
    let [old, new] = [b"the secret of last year", b"the secret of this year"]
        .map(|key| StickyKey::new(key).unwrap());
    let spec = |keys| StickySpec {
        cookie: None,
        keys,
        same_site: SameSite::Auto,
        max_idle: None,
        max_life: None,
    };
    let (before, after) = (
        spec(vec![old.clone()]),
        spec(vec![new.clone(), old.clone()]),
    );
    let mut value = Vec::new();
    ticket::seal(
        &before,
        "fc",
        "shop",
        ticket::tag(&old, "shop", "b1"),
        100,
        &mut value,
    );

    let mut all = members(&[1, 1, 1]).all().to_vec();
    for member in &mut all {
        member.tag = Some(ticket::tag(&new, "shop", &member.id));
    }
    let former = ticket::former_tags(&after, "shop", &all);
    let pool = Members::new(all).with_former_tags(former);
    let opened = ticket::open(&after, "fc", "shop", &value, 100).unwrap();
    assert_eq!(pool.by_tag(opened.tag), Some(Slot(1)));
    assert_eq!(pool.by_tag(pool.get(Slot(2)).tag.unwrap()), Some(Slot(2)));
}
