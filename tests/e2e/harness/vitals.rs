//! What the kernel says of a process: its memory, the CPU time it took, the files it holds.

use std::fs;
use std::time::Duration;

/// A process, looked at through `/proc`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vitals {
    pid: u32,
}

impl Vitals {
    pub(crate) fn of(pid: u32) -> Self {
        Self { pid }
    }

    /// Bytes of memory that are resident.
    pub(crate) fn resident(&self) -> u64 {
        let status = self.read("status");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .expect("a living process has memory");
        let kib: u64 = line
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .expect("memory is a number of kB");
        kib * 1024
    }

    /// CPU time of all threads so far, in user and kernel mode.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = self.read("stat");
        // The second field, the program's name, may hold anything; it ends with the last parenthesis.
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let ticks = |index: usize| -> u64 { fields[index].parse().expect("ticks are a number") };
        Duration::from_millis((ticks(11) + ticks(12)) * MILLIS_PER_TICK)
    }

    /// Descriptors that are open.
    pub(crate) fn open_files(&self) -> usize {
        let files = fs::read_dir(format!("/proc/{}/fd", self.pid));
        files.expect("our own child can be looked at").count()
    }

    fn read(&self, name: &str) -> String {
        let path = format!("/proc/{}/{name}", self.pid);
        fs::read_to_string(path).expect("the process lives")
    }
}

/// USER_HZ, which is 100 on every Linux that people run.
const MILLIS_PER_TICK: u64 = 10;

/// How long a test looks at a process that shall do next to nothing.
pub(crate) const A_WHILE: Duration = Duration::from_secs(1);
