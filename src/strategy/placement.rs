//! The hash that decides where things belong, written down once and for all.
//!
//! Two processes, two machines and two versions of forecourt must agree on it, or clients move when
//! nothing has changed. So: XXH3 (64 bits), which has a stable specification, with the seed below; never
//! the hashers of maps, which differ from process to process. What is computed:
//!
//! - a member: `XXH3-64(id, PLACEMENT_SEED)`;
//! - a client: `XXH3-64(address cut to its prefix, 4 or 16 bytes in network order, PLACEMENT_SEED)`;
//! - a client at a member: `XXH3-64(the member's hash as 8 bytes little-endian, seed = the client's hash)`.
//!
//! Ten known placements are tested in `tests/stability.rs`. They may never change.

use std::net::IpAddr;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// How much of a client's address counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressKey {
    /// Leading bits of an IPv4 address, at most 32.
    pub ipv4_prefix: u8,
    /// Leading bits of an IPv6 address, at most 128.
    pub ipv6_prefix: u8,
}

impl AddressKey {
    /// Hashes a client's address as [`hash_client`] does.
    pub fn hash(self, ip: IpAddr) -> u64 {
        hash_client(ip, self.ipv4_prefix, self.ipv6_prefix)
    }
}

/// Hashes the id of a member.
pub fn hash_id(id: &str) -> u64 {
    xxh3_64_with_seed(id.as_bytes(), PLACEMENT_SEED)
}

/// Hashes a client's address, of which only the prefix counts: one household goes about within a /64.
/// An IPv4-mapped IPv6 address counts as IPv4. Prefixes that are too long mean the whole address.
pub fn hash_client(ip: IpAddr, ipv4_prefix: u8, ipv6_prefix: u8) -> u64 {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let host_bits = 32_u32.saturating_sub(u32::from(ipv4_prefix));
            let mask = u32::MAX.checked_shl(host_bits).unwrap_or(0);
            xxh3_64_with_seed(&(ip.to_bits() & mask).to_be_bytes(), PLACEMENT_SEED)
        }
        IpAddr::V6(ip) => {
            let host_bits = 128_u32.saturating_sub(u32::from(ipv6_prefix));
            let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
            xxh3_64_with_seed(&(ip.to_bits() & mask).to_be_bytes(), PLACEMENT_SEED)
        }
    }
}

/// Hashes a client at a member: the same for the pair wherever it is computed, and as good as
/// independent from pair to pair.
pub(super) fn hash_pair(client: u64, member: u64) -> u64 {
    xxh3_64_with_seed(&member.to_le_bytes(), client)
}

/// Stirs a number so that neighbours have nothing in common: a bijection with full avalanche. For turns
/// and lots within one process; what must be stable uses the hashes above.
pub(super) fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// The seed of every placement: the letters of `forecour`, big-endian. Changing it moves every client
/// of every user.
const PLACEMENT_SEED: u64 = u64::from_be_bytes(*b"forecour");

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn only_the_prefix_counts() {
        let hash = |text| hash_client(ip(text), 24, 64);
        assert_eq!(hash("192.0.2.1"), hash("192.0.2.254"));
        assert_ne!(hash("192.0.2.1"), hash("192.0.3.1"));
        assert_eq!(hash("2001:db8::1"), hash("2001:db8::ffff:1"));
        assert_ne!(hash("2001:db8::1"), hash("2001:db8:0:1::1"));
        assert_ne!(
            hash_client(ip("192.0.2.1"), 32, 64),
            hash_client(ip("192.0.2.2"), 32, 64)
        );
    }

    #[test]
    fn the_ends_of_the_prefixes_do_not_overflow() {
        assert_eq!(
            hash_client(ip("192.0.2.1"), 0, 0),
            hash_client(ip("203.0.113.9"), 0, 0)
        );
        assert_eq!(
            hash_client(ip("2001:db8::1"), 0, 0),
            hash_client(ip("::1"), 0, 0)
        );
        assert_eq!(
            hash_client(ip("192.0.2.1"), 255, 64),
            hash_client(ip("192.0.2.1"), 32, 64)
        );
        assert_eq!(
            hash_client(ip("2001:db8::1"), 32, 255),
            hash_client(ip("2001:db8::1"), 32, 128)
        );
    }

    #[test]
    fn a_mapped_address_is_an_ipv4_address() {
        assert_eq!(
            hash_client(ip("::ffff:192.0.2.1"), 32, 64),
            hash_client(ip("192.0.2.1"), 32, 64)
        );
    }
}
