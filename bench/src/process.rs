//! Processes: which core they run on, what they have used.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result};
use rustix::process::{Resource, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The server's core.
const SERVER: usize = 0;
/// The generator's core.
const GENERATOR: usize = 1;
/// Clock ticks a second in /proc (USER_HZ, which Linux has fixed at 100 for programs).
const TICKS: f64 = 100.0;

/// Takes as many open files as the administrator allows.
pub(crate) fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Refused where the maximum is no real number: then what there is must do.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Puts this process on the generator's core; false where there is no second one.
pub(crate) fn pin_generator() -> bool {
    let two = sched_getaffinity(None).is_ok_and(|cores| cores.is_set(SERVER) && cores.is_set(GENERATOR));
    let mut own = CpuSet::new();
    own.set(GENERATOR);
    two && sched_setaffinity(None, &own).is_ok()
}

/// A command that runs on the server's core, where this process was put on the generator's.
pub(crate) fn pinned(program: &std::path::Path) -> Command {
    let alone = sched_getaffinity(None).is_ok_and(|cores| cores.count() == 1 && cores.is_set(GENERATOR));
    if !alone {
        return Command::new(program);
    }
    let mut command = Command::new("taskset");
    command.args(["-c", &SERVER.to_string()]).arg(program);
    command
}

/// CPU seconds a process has used, user and system.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the server is gone")?;
    // The second field is the program's name in brackets, which may hold blanks.
    let rest = stat.rsplit_once(") ").context("/proc/<pid>/stat has no name")?.1;
    let field = |index: usize| -> Result<f64> {
        Ok(rest.split(' ').nth(index).context("/proc/<pid>/stat is short")?.parse()?)
    };
    // utime and stime are fields 14 and 15 of the line, counted from 1.
    Ok((field(11)? + field(12)?) / TICKS)
}

/// Resident memory of a process, in bytes.
pub(crate) fn resident_bytes(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the server is gone")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kilobytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes * 1024.0)
}

/// What the two cores have done, and how much of it was ours, in CPU seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cores {
    all: f64,
    busy: f64,
    ours: f64,
}

impl Cores {
    /// Now. Children count when they have ended.
    pub(crate) fn now() -> Result<Self> {
        let (mut all, mut busy) = (0.0, 0.0);
        let stat = fs::read_to_string("/proc/stat")?;
        for core in [SERVER, GENERATOR] {
            let Some(line) = stat.lines().find_map(|line| line.strip_prefix(&format!("cpu{core} "))) else {
                continue;
            };
            let fields: Vec<f64> = line.split_whitespace().filter_map(|field| field.parse().ok()).collect();
            // user, nice, system, idle, iowait, irq, softirq, steal; guest time is in user already.
            let total: f64 = fields.iter().take(8).sum();
            all += total;
            busy += total - fields.iter().skip(3).take(2).sum::<f64>();
        }
        let own = fs::read_to_string("/proc/self/stat")?;
        let rest = own.rsplit_once(") ").context("/proc/self/stat has no name")?.1;
        // utime, stime, and the same of children that have ended.
        let ours: f64 = rest.split(' ').skip(11).take(4).filter_map(|field| field.parse::<f64>().ok()).sum();
        Ok(Self { all: all / TICKS, busy: busy / TICKS, ours: ours / TICKS })
    }

    /// The part of the two cores' time since `before` that went to others: other programs, the host, interrupts.
    pub(crate) fn to_others_since(self, before: Self) -> f64 {
        let others = (self.busy - before.busy) - (self.ours - before.ours);
        (others / (self.all - before.all)).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_something() {
        let own = std::process::id();
        assert!(cpu_seconds(own).unwrap() >= 0.0);
        assert!(resident_bytes(own).unwrap() > 100_000.0);
        assert!(cpu_seconds(u32::MAX).is_err());
    }

    #[test]
    fn what_others_used_is_what_is_busy_and_not_ours() {
        let cores = |all, busy, ours| Cores { all, busy, ours };
        assert!((cores(20.0, 15.0, 9.0).to_others_since(cores(10.0, 7.0, 5.0)) - 0.4).abs() < 1e-9);
        assert_eq!(cores(20.0, 11.0, 9.0).to_others_since(cores(10.0, 7.0, 5.0)), 0.0);
        assert!(Cores::now().unwrap().all > 0.0);
    }
}
