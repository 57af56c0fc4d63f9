//! What processes and CPUs have done, as the kernel accounts for it.

use std::collections::HashMap;
use std::fs;

use rustix::param::{clock_ticks_per_second, page_size};
use serde::{Deserialize, Serialize};

/// A process and all that descend from it.
pub(crate) fn family(root: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    for entry in processes {
        let Some(id) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        if let Some(parent) = stat(id).and_then(|fields| fields.get(1)?.parse().ok()) {
            children.entry(parent).or_default().push(id);
        }
    }
    let mut family = vec![root];
    let mut at = 0;
    while let Some(id) = family.get(at) {
        let born = children.remove(id).unwrap_or_default();
        family.extend(born);
        at += 1;
    }
    family
}

/// The fields of /proc/ID/stat from the state on (proc(5) calls it the third).
fn stat(id: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

/// CPU time, in seconds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct CpuTime {
    pub(crate) user: f64,
    pub(crate) system: f64,
}

impl CpuTime {
    /// Of a process and its descendants, those included that have ended.
    pub(crate) fn of(root: u32) -> Self {
        let mut ticks = [0.0; 2];
        for id in family(root) {
            let Some(fields) = stat(id) else { continue };
            let field = |at: usize| -> f64 {
                fields
                    .get(at)
                    .and_then(|field| field.parse().ok())
                    .unwrap_or(0.0)
            };
            for (at, ticks) in ticks.iter_mut().enumerate() {
                *ticks += field(11 + at) + if id == root { field(13 + at) } else { 0.0 };
            }
        }
        let second = clock_ticks_per_second() as f64;
        Self {
            user: ticks[0] / second,
            system: ticks[1] / second,
        }
    }

    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            user: self.user - before.user,
            system: self.system - before.system,
        }
    }

    pub(crate) fn sum(self) -> f64 {
        self.user + self.system
    }
}

/// Bytes of memory that a process and its descendants hold.
pub(crate) fn resident(root: u32) -> f64 {
    let pages: u64 = family(root)
        .into_iter()
        .filter_map(|id| {
            let text = fs::read_to_string(format!("/proc/{id}/statm")).ok()?;
            text.split_whitespace().nth(1)?.parse::<u64>().ok()
        })
        .sum();
    (pages * page_size() as u64) as f64
}

/// Seconds that a CPU has been busy.
pub(crate) fn busy(cpu: usize) -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let name = format!("cpu{cpu} ");
    let Some(line) = text.lines().find(|line| line.starts_with(&name)) else {
        return 0.0;
    };
    let ticks: u64 = line
        .split_whitespace()
        .skip(1)
        .take(8)
        .enumerate()
        // Idle, and waiting for disks.
        .filter(|(at, _)| !matches!(at, 3 | 4))
        .filter_map(|(_, field)| field.parse::<u64>().ok())
        .sum();
    ticks as f64 / clock_ticks_per_second() as f64
}
