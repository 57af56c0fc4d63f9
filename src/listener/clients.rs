//! How many connections each client has, on one listener, over all workers.
//!
//! A client is an address; of IPv6 it is a /64, which every household has to itself and can draw addresses from at
//! will. The table knows only who is connected: a place is given back when its connection ends, and the last one takes
//! the entry with it, so that it never grows beyond the connections there are. Nothing is counted while
//! there is no limit.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use ahash::RandomState;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

/// The clients of one listener.
#[derive(Debug, Default)]
pub struct Clients {
    connections: DashMap<Client, usize, RandomState>,
}

/// One connection's place among its client's; dropping it gives the place back.
#[derive(Debug)]
pub struct Place {
    clients: Arc<Clients>,
    client: Client,
}

/// The bits of an address that tell one client from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Client {
    V4([u8; 4]),
    V6([u8; 8]),
}

impl Clients {
    /// A place for one more connection of `address`, unless it has `most` already.
    pub fn enter(self: &Arc<Self>, address: IpAddr, most: usize) -> Option<Place> {
        let client = Client::of(address);
        let mut held = self.connections.entry(client).or_insert(0);
        if *held >= most {
            if *held == 0 {
                drop(held);
                self.connections.remove_if(&client, |_, held| *held == 0);
            }
            return None;
        }
        *held += 1;
        drop(held);
        Some(Place {
            clients: Arc::clone(self),
            client,
        })
    }

    /// How many clients have a connection.
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Whether no client has one.
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Entry::Occupied(mut held) = self.clients.connections.entry(self.client) {
            *held.get_mut() -= 1;
            if *held.get() == 0 {
                held.remove();
            }
        }
    }
}

impl Client {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.octets()),
            IpAddr::V6(address) => Self::V6(network(address)),
        }
    }
}

fn network(address: Ipv6Addr) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = address.octets();
    [a, b, c, d, e, f, g, h]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn places_are_limited_and_given_back() {
        let clients = Arc::<Clients>::default();
        let (one, other) = (address("192.0.2.1"), address("192.0.2.2"));
        let first = clients.enter(one, 2).unwrap();
        let _second = clients.enter(one, 2).unwrap();
        assert!(clients.enter(one, 2).is_none());
        let _third = clients.enter(other, 2).unwrap();
        assert!(clients.enter(one, 3).is_some(), "a reload raises the limit");
        drop(first);
        assert!(clients.enter(one, 1).is_none(), "a reload lowers the limit");
        assert!(clients.enter(one, 2).is_some());
    }

    #[test]
    fn nothing_is_left_of_those_that_went() {
        let clients = Arc::<Clients>::default();
        for host in 0..200 {
            let places: Vec<_> = (0..3)
                .filter_map(|_| clients.enter(IpAddr::from([192, 0, 2, host]), 2))
                .collect();
            assert_eq!((places.len(), clients.len()), (2, 1));
        }
        assert!(clients.enter(address("192.0.2.1"), 0).is_none());
        assert!(clients.is_empty());
    }

    #[test]
    fn a_household_is_one_client() {
        let clients = Arc::<Clients>::default();
        let _place = clients.enter(address("2001:db8:0:1::1"), 1).unwrap();
        assert!(clients.enter(address("2001:db8:0:1:ffff::2"), 1).is_none());
        assert!(clients.enter(address("2001:db8:0:2::1"), 1).is_some());
        let _mapped = clients.enter(address("::ffff:192.0.2.1"), 1).unwrap();
        assert!(clients.enter(address("192.0.2.1"), 1).is_none());
    }

    #[test]
    fn workers_agree() {
        let clients = Arc::<Clients>::default();
        let one = address("192.0.2.1");
        let taken: usize = std::thread::scope(|scope| {
            let enter = || {
                let places: Vec<_> = (0..1000).filter_map(|_| clients.enter(one, 500)).collect();
                let taken = places.len();
                std::mem::forget(places);
                taken
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(enter)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum()
        });
        assert_eq!(taken, 500);
    }
}
