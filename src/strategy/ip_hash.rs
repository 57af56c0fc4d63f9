//! One client, one member: weighted rendezvous by the client's address.
//!
//! Every eligible member draws a number `u` in (0, 1) for this client, always the same one, and waits
//! `-ln(u) / weight`; the first to come is picked. That is a race of exponential clocks, so each
//! member has its share by weight, whatever the order of the configuration. Who leaves the race gives up
//! his own clients only, and they go by weight to all others; who enters takes only what becomes
//! his. A retry takes the next to come, which for two clients of one lost member is rarely the same.
//!
//! The scan is over the whole pool at every size: an algorithm that changed with the number of members
//! would move every client at the border.

use super::placement::{hash_pair, mix};
use super::{AddressKey, Foresight, Member, Members, Needs, PickContext, Slot, Strategy};

/// The member that a client's address belongs to.
#[derive(Debug)]
pub struct IpHash {
    key: AddressKey,
}

impl IpHash {
    /// Looks at this much of the address.
    pub fn new(key: AddressKey) -> Self {
        Self { key }
    }
}

impl Strategy for IpHash {
    fn name(&self) -> &'static str {
        "ip-hash"
    }

    /// Entropy is for clients without an address (they came by a Unix socket): they are spread by lot,
    /// rather than all be sent to one member.
    fn needs(&self) -> Needs {
        Needs {
            affinity: Some(self.key),
            entropy: true,
        }
    }

    fn pick(&self, members: &Members, cx: &PickContext<'_>) -> Option<Slot> {
        let client = cx.affinity.unwrap_or_else(|| mix(cx.entropy));
        let mut best: Option<(Arrival, Slot)> = None;
        let untried = members
            .eligible()
            .iter()
            .copied()
            .filter(|&slot| !cx.tried.contains(slot));
        for slot in untried {
            let member = members.get(slot);
            let draw = Draw::of(client, member);
            if best.is_some_and(|(first, _)| draw.cannot_beat(first)) {
                continue;
            }
            let arrival = draw.arrival();
            if best.is_none_or(|(first, _)| arrival.is_before(first)) {
                best = Some((arrival, slot));
            }
        }
        best.map(|(_, slot)| slot)
    }

    fn foresee(&self, members: &Members, cx: &PickContext<'_>, _: &mut u64) -> Foresight {
        match cx.affinity {
            Some(_) => Foresight::of(self.pick(members, cx)),
            None => Foresight::by_weight(members, cx),
        }
    }
}

/// The number that a member draws for a client, as its distance from 1: `u = 1 - gap`.
#[derive(Clone, Copy, Debug)]
struct Draw {
    gap: f64,
    weight: f64,
    placement: u64,
}

/// When a member comes; among those that come at once the lower hash is first, so that the order of
/// the configuration never decides.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    time: f64,
    placement: u64,
}

impl Draw {
    /// Takes 52 bits of the hash and half a step: 53 bits, so `u` and `1 - u` are exact and neither is 0.
    fn of(client: u64, member: &Member) -> Self {
        let steps = (hash_pair(client, member.placement) >> 12) as f64 + 0.5;
        Self {
            gap: 1.0 - steps / STEPS,
            weight: f64::from(member.weight),
            placement: member.placement,
        }
    }

    fn arrival(self) -> Arrival {
        Arrival {
            time: minus_ln(1.0 - self.gap) / self.weight,
            placement: self.placement,
        }
    }

    /// Spares most members the logarithm: `-ln(u)` is never less than `1 - u`. With a margin far above
    /// rounding, so that sparing changes no outcome.
    fn cannot_beat(self, first: Arrival) -> bool {
        self.gap * (1.0 - 1e-9) > first.time * self.weight
    }
}

impl Arrival {
    fn is_before(self, other: Self) -> bool {
        self.time < other.time || (self.time == other.time && self.placement < other.placement)
    }
}

/// The natural logarithm of a `u` in (0, 1), negated, the same to the last bit on every machine.
///
/// Not `f64::ln`, which is the platform's and differs between them in the last place, enough to give
/// two balancers two opinions about one client now and then. This uses nothing but `+ - * /`, which
/// IEEE 754 fixes to the bit and Rust neither reorders nor fuses (so no `mul_add` here either).
fn minus_ln(u: f64) -> f64 {
    let bits = u.to_bits();
    let mut exponent = (bits >> 52) as i32 - 1023;
    let mut mantissa = f64::from_bits((bits & MANTISSA) | ONE);
    if mantissa > std::f64::consts::SQRT_2 {
        // Around 1, so that just below 1 nothing cancels.
        mantissa *= 0.5;
        exponent += 1;
    }
    // ln(m) = 2 artanh(s) = 2 (s + s^3/3 + s^5/5 + ..), where |s| < 0.172: eleven terms reach 2^-56.
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let square = s * s;
    let series = ODD
        .iter()
        .rev()
        .fold(0.0, |sum, odd| sum * square + 1.0 / odd);
    -(f64::from(exponent) * std::f64::consts::LN_2 + 2.0 * s * series)
}

const STEPS: f64 = (1_u64 << 52) as f64;
const MANTISSA: u64 = (1 << 52) - 1;
const ONE: u64 = 1023 << 52;
const ODD: [f64; 11] = [1.0, 3.0, 5.0, 7.0, 9.0, 11.0, 13.0, 15.0, 17.0, 19.0, 21.0];

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, proptest};

    use super::*;

    #[test]
    fn the_logarithm_holds_at_both_ends() {
        let smallest = 0.5 / STEPS;
        assert!((minus_ln(smallest) - -smallest.ln()).abs() < 1e-12);
        let largest = 1.0 - smallest;
        assert!((minus_ln(largest) / smallest - 1.0).abs() < 1e-9);
        assert_eq!(minus_ln(0.5), std::f64::consts::LN_2);
    }

    proptest! {
        #[test]
        fn the_logarithm_is_one(steps in 0_u64..1 << 52) {
            let u = (steps as f64 + 0.5) / STEPS;
            let ours = minus_ln(u);
            prop_assert!((ours / -u.ln() - 1.0).abs() < 1e-14);
            prop_assert!(ours >= (1.0 - u) * (1.0 - 1e-9));
        }
    }
}
