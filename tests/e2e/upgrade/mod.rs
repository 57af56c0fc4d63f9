//! Another program takes over, and nobody notices; or it cannot, and nothing has happened.
//!
//! In reading order: [`handover`] (what goes over), [`failures`] (programs that come to nothing), [`activation`] (sockets and
//! words of the service manager).

mod activation;
mod failures;
mod handover;

use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::harness::{
    Balancer, Behaviour, Client, DEADLINE, Origin, Request, binary, is_full_drill, pool, wait_for,
    wait_until,
};

/// A path that leads to the program and can be turned elsewhere.
struct Turnable {
    folder: tempfile::TempDir,
}

impl Turnable {
    fn to_the_program() -> Self {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let turnable = Self { folder };
        symlink(binary(), turnable.path()).expect("the folder can be written to");
        turnable
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("forecourt")
    }

    fn turn_to(&self, program: &Path) {
        let beside = self.folder.path().join("next");
        symlink(program, &beside).expect("the folder can be written to");
        std::fs::rename(beside, self.path()).expect("the folder can be written to");
    }

    /// Leads to a shell script of these lines.
    fn turn_to_script(&self, lines: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let script = self.folder.path().join("script");
        std::fs::write(&script, format!("#!/bin/sh\n{lines}\n"))
            .expect("the folder can be written to");
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&script, mode).expect("the folder can be written to");
        self.turn_to(&script);
    }
}

/// Who serves now, of the processes that a balancer has become.
fn serving(balancer: &Balancer) -> Option<Pid> {
    balancer.successors().pop()
}

/// Signals whoever serves now.
fn signal(balancer: &Balancer, signal: Signal) {
    match serving(balancer) {
        Some(pid) => kill_process(pid, signal).expect("it runs"),
        None => balancer.signal(signal),
    }
}

/// Upgrades and waits until the new one serves and those before have ended.
#[track_caller]
pub(crate) fn upgrade(balancer: &mut Balancer) {
    let before = balancer.successors();
    signal(balancer, Signal::USR2);
    wait_until(DEADLINE, "the upgrade", || {
        balancer.successors().len() > before.len()
    });
    match before.last() {
        Some(old) => wait_until(DEADLINE, "the old one's end", || !balancer.runs(*old)),
        None => assert_eq!(balancer.wait_for_exit(DEADLINE).code(), Some(0)),
    }
}

/// Ends whoever serves now, in order.
#[track_caller]
pub(crate) fn end(balancer: &Balancer) {
    signal(balancer, Signal::TERM);
    if let Some(last) = serving(balancer) {
        wait_until(DEADLINE, "the end", || !balancer.runs(last));
    }
}

fn failed_upgrades(balancer: &Balancer) -> f64 {
    balancer.metric("forecourt_upgrades_total{result=\"failed\"}")
}

fn status(balancer: &Balancer) -> Value {
    serde_json::from_slice(&balancer.admin("/v1/status").body).expect("JSON")
}

/// Clients that ask all the time: some on connections that are kept, some with a new one for each request.
struct Busy {
    ended: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

impl Busy {
    fn at(address: SocketAddr) -> Self {
        let (ended, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let clients = (0..8)
            .map(|number| {
                let (ended, answered) = (Arc::clone(&ended), Arc::clone(&answered));
                thread::spawn(move || {
                    let mut failures = Vec::new();
                    let mut client = Client::of(address);
                    while !ended.load(Ordering::Relaxed) {
                        if number % 2 == 0 {
                            client.close();
                        }
                        match client.try_send(&Request::get("/")) {
                            Ok(answer) if answer.status == 200 && answer.is_whole() => {
                                answered.fetch_add(1, Ordering::Relaxed);
                            }
                            Ok(answer) => failures.push(answer.to_string()),
                            Err(error) => {
                                failures.push(format!("client {number}: {error}"));
                                client.close();
                            }
                        }
                    }
                    failures
                })
            })
            .collect();
        Self {
            ended,
            answered,
            clients,
        }
    }

    /// Waits until so many more requests have been answered.
    #[track_caller]
    fn go_on(&self, more: u64) {
        let before = self.answered.load(Ordering::Relaxed);
        wait_until(DEADLINE, "answers", || {
            self.answered.load(Ordering::Relaxed) >= before + more
        });
    }

    /// What went wrong.
    fn failures(self) -> Vec<String> {
        self.ended.store(true, Ordering::Relaxed);
        let clients = self.clients.into_iter();
        clients
            .flat_map(|client| client.join().expect("a client does not panic"))
            .collect()
    }
}
