//! Whether a process and all that it has started are asleep: one file for the tests that count round trips.
//!
//! Who has sent part of an answer and is still at work on the rest has not answered yet. A proxy that only waits for so
//! many milliseconds would take a machine that is slow for a program that asks twice.

use std::fs;
use std::path::PathBuf;

/// Whether no thread of this process, and of the processes below it, wants to run or waits for a disk. What has ended is
/// asleep. The states are those of proc_pid_stat(5).
pub fn at_rest(pid: u32) -> bool {
    let asleep = threads(pid).iter().all(|thread| {
        let stat = fs::read_to_string(thread.join("stat")).unwrap_or_default();
        // The name stands in brackets and may hold anything.
        let state = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        !state.starts_with(['R', 'D'])
    });
    asleep && at_rest_below(pid)
}

/// Whether all that this process has started is at rest, itself aside (proc_pid_task(5) has the children of a thread).
pub fn at_rest_below(pid: u32) -> bool {
    threads(pid).iter().all(|thread| {
        let children = fs::read_to_string(thread.join("children")).unwrap_or_default();
        children
            .split_whitespace()
            .filter_map(|child| child.parse().ok())
            .all(at_rest)
    })
}

fn threads(pid: u32) -> Vec<PathBuf> {
    let listed = fs::read_dir(format!("/proc/{pid}/task"));
    listed.map_or_else(|_| Vec::new(), |l| l.flatten().map(|t| t.path()).collect())
}
