//! Ejections in simulated time, against a shadow model that keeps the whole history.

use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

use super::*;

fn sample(requests: u64, errors: u64) -> Sample {
    Sample { requests, errors }
}

#[test]
fn one_that_errs_among_three_is_found_and_all_alike_are_not() {
    assert_eq!(
        outliers(&[sample(50, 0), sample(50, 50), sample(50, 0)]),
        [1]
    );
    assert_eq!(
        outliers(&[sample(500, 5), sample(500, 9), sample(500, 80)]),
        [2]
    );
    // The worst first, and without it in the rest.
    let samples = [
        sample(100, 60),
        sample(100, 0),
        sample(100, 99),
        sample(100, 1),
    ];
    assert_eq!(outliers(&samples), [2, 0]);
    for alike in [0, 5, 50, 100] {
        assert_eq!(outliers(&[sample(100, alike); 5]), [0; 0], "{alike}");
    }
    // Two are nobody's rest, and few requests say nothing.
    assert_eq!(outliers(&[sample(100, 100), sample(100, 0)]), [0; 0]);
    assert_eq!(
        outliers(&[sample(49, 49), sample(100, 0), sample(100, 0)]),
        [0; 0]
    );
    // Nine points are little, and twelve of fifty are chance when the rest has four.
    assert_eq!(
        outliers(&[sample(10_000, 900), sample(10_000, 0), sample(10_000, 0)]),
        [0; 0]
    );
    assert_eq!(
        outliers(&[sample(50, 6), sample(50, 2), sample(50, 2)]),
        [0; 0]
    );
}

proptest! {
    /// All alike but for chance: each request of each backend fails by the same odds.
    #[test]
    fn chance_ejects_nobody(
        percent in 0_u64..=100, backends in 3_usize..8, requests in 50_u64..400, seed in any::<u64>(),
    ) {
        let mut state = seed;
        let mut lot = || {
            // SplitMix64.
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (z ^ (z >> 31)) % 100
        };
        let samples: Vec<Sample> = (0..backends)
            .map(|_| sample(requests, (0..requests).filter(|_| lot() < percent).count() as u64))
            .collect();
        // Four deviations: at most by chance, and then by a little. Six are no chance.
        for index in outliers(&samples) {
            let rest = samples.iter().enumerate().filter(|(at, _)| *at != index);
            let rest = rest.fold(Sample::default(), |sum, (_, it)| {
                sample(sum.requests + it.requests, sum.errors + it.errors)
            });
            let both = sample(rest.requests + requests, rest.errors + samples[index].errors).share();
            let spread = 1.0 / requests as f64 + 1.0 / rest.requests as f64;
            let deviation = (both * (1.0 - both) * spread).sqrt();
            prop_assert!(samples[index].share() - rest.share() < 6.0 * deviation, "{:?}", samples);
        }
    }

    #[test]
    fn whoever_is_found_is_above_all_who_are_not(
        pairs in prop::collection::vec((0_u64..300, 0_u64..300), 0..12),
    ) {
        let samples: Vec<Sample> = pairs.iter().map(|(a, b)| sample(*a.max(b), *a.min(b))).collect();
        let found = outliers(&samples);
        let judged = samples.iter().filter(|it| it.requests >= LEAST_VOLUME).count();
        prop_assert!(found.len() <= judged.saturating_sub(LEAST_BACKENDS - 1));
        for (at, index) in found.iter().enumerate() {
            prop_assert!(samples[*index].requests >= LEAST_VOLUME);
            prop_assert!(!found[..at].contains(index));
            for (other, it) in samples.iter().enumerate() {
                let earlier = found[..at].contains(&other);
                if !earlier && it.requests >= LEAST_VOLUME {
                    prop_assert!(it.share() <= samples[*index].share());
                }
            }
        }
    }

    /// A pool over many seconds, in which backends fail and are ejected; the shadow knows each ejection by its history.
    #[test]
    fn ejections_end_in_time_grow_and_are_forgiven_and_never_take_the_last(
        steps in prop::collection::vec((0_usize..5, 0_u64..20, any::<bool>()), 1..120),
        count in 1_usize..5,
        max_ejected in 0_u8..=100,
    ) {
        let policy = Policy { max_ejected, ..Policy::default() };
        let start = Instant::now();
        let mut now = start;
        let mut records = vec![Record::default(); count];
        // Of each backend: its level, the end of its ejection, and when it was last let in.
        let mut shadow = vec![(0_u32, None::<Instant>, start - Duration::from_secs(1000)); count];
        for (who, seconds, tick) in steps {
            now += Duration::from_secs(seconds);
            for (record, shade) in records.iter_mut().zip(&mut shadow) {
                prop_assert_eq!(record.until(), shade.1);
                prop_assert_eq!(record.is_due(now), shade.1.is_some_and(|end| end <= now));
                if record.is_due(now) {
                    record.readmit(now);
                    (shade.1, shade.2) = (None, now);
                }
                if tick {
                    record.forgive(now, false, &policy);
                    if shade.1.is_none() && now - shade.2 >= policy.interval {
                        shade.0 = shade.0.saturating_sub(1);
                    }
                }
                prop_assert_eq!(record.times(), shade.0);
            }
            let who = who % count;
            let ejected = shadow.iter().filter(|shade| shade.1.is_some()).count();
            let crowd = Crowd { all: count, ejected, ready: count - ejected };
            if shadow[who].1.is_none() && crowd.may_lose_one(&policy) {
                let time = records[who].eject(now, &policy);
                shadow[who].0 += 1;
                let due = Duration::from_secs(30 * u64::from(shadow[who].0).min(10));
                prop_assert_eq!(time, due);
                shadow[who].1 = Some(now + due);
                let out = ejected + 1;
                prop_assert!(out < count, "somebody is left");
                prop_assert!(out == 1 || out * 100 <= count * usize::from(max_ejected));
            } else if shadow[who].1.is_none() {
                // Refused for a reason.
                let most = (count * usize::from(max_ejected) / 100).max(usize::from(max_ejected > 0));
                prop_assert!(count - ejected == 1 || ejected >= most);
            }
        }
    }
}

#[test]
fn who_fails_still_is_forgiven_nothing() {
    let policy = Policy::default();
    let start = Instant::now();
    let mut record = Record::default();
    for times in 1..=12 {
        assert_eq!(
            record.eject(start, &policy),
            Duration::from_secs(30 * times).min(policy.max_ejection)
        );
        record.readmit(start);
        record.forgive(start + policy.interval * 5, true, &policy);
    }
    record.forgive(
        start + policy.interval - Duration::from_millis(1),
        false,
        &policy,
    );
    assert_eq!(record.times(), 12, "not a whole interval yet");
    record.forgive(start + policy.interval, false, &policy);
    assert_eq!(record.times(), 11);
}
