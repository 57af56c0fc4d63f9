//! Names of backends: asked of the system once, when the configuration is loaded.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How `name:port` becomes addresses. Blocks; called from threads of its own.
pub type Lookup = fn(&str) -> io::Result<Vec<SocketAddr>>;

/// Why a name gives no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ResolveError {
    #[error("the name does not resolve: {0}")]
    Failed(String),
    #[error("the name resolves to nothing")]
    Nothing,
    #[error("the name was not resolved within {} seconds", .0.as_secs())]
    TooLate(Duration),
    #[error("no thread to resolve the name: {0}")]
    NoThread(String),
}

/// What each name resolves to.
pub(crate) type Resolved = HashMap<String, Result<Vec<SocketAddr>, ResolveError>>;

/// Asks the operating system: hosts file, DNS, whatever it is told to use.
///
/// # Errors
/// Whatever the system's resolver says.
pub fn system_lookup(name: &str) -> io::Result<Vec<SocketAddr>> {
    name.to_socket_addrs().map(Iterator::collect)
}

/// Resolves all names at once and waits for them until `deadline` from now, all in all.
///
/// A thread that is still waiting then is left behind: nothing can interrupt the system's resolver, which gives up
/// by itself sooner or later. Threads are few, so that thousands of names do not become thousands of threads.
pub(crate) fn resolve(names: Vec<String>, lookup: Lookup, deadline: Duration) -> Resolved {
    let until = Instant::now() + deadline;
    let mut resolved: Resolved = names
        .iter()
        .map(|name| (name.clone(), Err(ResolveError::TooLate(deadline))))
        .collect();
    let mut missing = resolved.len();
    let threads = missing.min(THREADS_MOST);
    let queue = Arc::new(Mutex::new(names));
    let (sender, answers) = mpsc::sync_channel(missing);
    for _ in 0..threads {
        let queue = Arc::clone(&queue);
        let sender = sender.clone();
        let spawned = thread::Builder::new()
            .name("resolve".to_owned())
            .spawn(move || {
                while let Some(name) = next(&queue) {
                    let answer = lookup(&name);
                    if sender.send((name, answer)).is_err() {
                        return;
                    }
                }
            });
        if let Err(error) = spawned {
            // The threads that there are do the work; if there is none, nobody holds the channel open.
            resolved
                .values_mut()
                .for_each(|value| *value = Err(ResolveError::NoThread(error.to_string())));
            break;
        }
    }
    drop(sender);
    while missing > 0 {
        let Ok((name, answer)) =
            answers.recv_timeout(until.saturating_duration_since(Instant::now()))
        else {
            break;
        };
        resolved.insert(
            name,
            answer
                .map_err(|error| ResolveError::Failed(error.to_string()))
                .and_then(choose),
        );
        missing -= 1;
    }
    // Nothing is left for the threads to begin.
    queue.lock().unwrap_or_else(PoisonError::into_inner).clear();
    resolved
}

fn next(queue: &Mutex<Vec<String>>) -> Option<String> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).pop()
}

/// Takes one family. If a name has both, IPv4 is taken: `localhost` has both nearly everywhere, while many servers
/// bind to 127.0.0.1 only, and every second request would be refused. Whoever wants IPv6 has a name with AAAA only,
/// or writes the address.
fn choose(mut addresses: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, ResolveError> {
    if addresses.iter().any(SocketAddr::is_ipv4) {
        addresses.retain(SocketAddr::is_ipv4);
    }
    // Resolvers rotate their answers; the plan should be the same for the same addresses.
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.is_empty() {
        Err(ResolveError::Nothing)
    } else {
        Ok(addresses)
    }
}

/// Enough to hide the latency of one slow name behind the others.
const THREADS_MOST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn fake(name: &str) -> io::Result<Vec<SocketAddr>> {
        let parse = |texts: &[&str]| Ok(texts.iter().map(|text| text.parse().unwrap()).collect());
        match name {
            "both:80" => parse(&["[::1]:80", "127.0.0.1:80"]),
            "six:80" => parse(&["[::2]:80", "[::1]:80", "[::2]:80"]),
            "none:80" => parse(&[]),
            "silent:80" => {
                thread::park();
                parse(&[])
            }
            _ => Err(io::Error::other("no such name")),
        }
    }

    fn all(names: &[&str], deadline: Duration) -> Resolved {
        resolve(
            names.iter().map(|&name| name.to_owned()).collect(),
            fake,
            deadline,
        )
    }

    #[test]
    fn ipv4_is_taken_where_there_is_a_choice() {
        let resolved = all(
            &["both:80", "six:80", "none:80", "other:80"],
            Duration::from_secs(60),
        );
        assert_eq!(
            resolved["both:80"],
            Ok(vec!["127.0.0.1:80".parse().unwrap()])
        );
        assert_eq!(
            resolved["six:80"],
            Ok(vec![
                "[::1]:80".parse().unwrap(),
                "[::2]:80".parse().unwrap()
            ])
        );
        assert_eq!(resolved["none:80"], Err(ResolveError::Nothing));
        assert_eq!(
            resolved["other:80"],
            Err(ResolveError::Failed("no such name".to_owned()))
        );
    }

    #[test]
    fn a_resolver_that_is_silent_is_not_waited_for() {
        let resolved = all(&["silent:80"], Duration::ZERO);
        assert_eq!(
            resolved["silent:80"],
            Err(ResolveError::TooLate(Duration::ZERO))
        );
        assert!(all(&[], Duration::ZERO).is_empty());
    }
}
