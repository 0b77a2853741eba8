//! Processes: which core they run on, what they have used.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Resource, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The server's core.
const SERVER: usize = 0;
/// The generator's core.
const GENERATOR: usize = 1;
/// Clock ticks a second in /proc (USER_HZ, which Linux has fixed at 100 for programs).
const TICKS: f64 = 100.0;

/// Where `numbers` has the parent, and the times: user, system, and the same of children that have ended.
const PARENT: usize = 0;
const TIMES: usize = 10;

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
    if !generator_is_alone() {
        return Command::new(program);
    }
    let mut command = Command::new("taskset");
    command.args(["-c", &SERVER.to_string()]).arg(program);
    command
}

fn generator_is_alone() -> bool {
    sched_getaffinity(None).is_ok_and(|cores| cores.count() == 1 && cores.is_set(GENERATOR))
}

/// The numbers of /proc/<pid>/stat behind the name, which may hold anything, and the state.
fn numbers(stat: &str) -> Result<Vec<f64>> {
    let rest = stat.rsplit_once(") ").context("/proc/<pid>/stat has no name")?.1;
    Ok(rest.split_whitespace().skip(1).map_while(|field| field.parse().ok()).collect())
}

/// CPU seconds a process has used, user and system.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the server is gone")?;
    let ticks: f64 = numbers(&stat)?.iter().skip(TIMES).take(2).sum();
    Ok(ticks / TICKS)
}

/// CPU seconds a process and its children have used, those that have ended too.
pub(crate) fn cpu_seconds_with_children(pid: u32) -> Result<f64> {
    let own = fs::read_to_string(format!("/proc/{pid}/stat")).context("the process is gone")?;
    let mut ticks: f64 = numbers(&own)?.iter().skip(TIMES).take(4).sum();
    for entry in fs::read_dir("/proc")? {
        let stat = entry?.path().join("stat");
        // One that has ended meanwhile, or no process at all.
        let Ok(text) = fs::read_to_string(stat) else { continue };
        let Ok(numbers) = numbers(&text) else { continue };
        if numbers.get(PARENT) == Some(&f64::from(pid)) {
            ticks += numbers.iter().skip(TIMES).take(2).sum::<f64>();
        }
    }
    Ok(ticks / TICKS)
}

/// Puts a process that runs already on the server's core, with all its threads and what it starts from now on.
pub(crate) fn pin(pid: u32) -> Result<()> {
    if !generator_is_alone() {
        return Ok(());
    }
    let mut core = CpuSet::new();
    core.set(SERVER);
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let Some(task) = task?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // A thread that has ended meanwhile.
        let _ = sched_setaffinity(Pid::from_raw(task), &core);
    }
    Ok(())
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
        // With those of children that have ended.
        let ours: f64 = numbers(&own)?.iter().skip(TIMES).take(4).sum();
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
        let before = cpu_seconds(own).unwrap();
        assert!(cpu_seconds_with_children(own).unwrap() >= before);
    }

    #[test]
    fn what_others_used_is_what_is_busy_and_not_ours() {
        let cores = |all, busy, ours| Cores { all, busy, ours };
        assert!((cores(20.0, 15.0, 9.0).to_others_since(cores(10.0, 7.0, 5.0)) - 0.4).abs() < 1e-9);
        assert_eq!(cores(20.0, 11.0, 9.0).to_others_since(cores(10.0, 7.0, 5.0)), 0.0);
        assert!(Cores::now().unwrap().all > 0.0);
    }
}
