//! Whether a process and all that it has started are asleep: one file for the tests that count round trips.
//!
//! Who has sent part of an answer and is still at work on the rest has not answered yet. A proxy that only waits for so
//! many milliseconds would take a machine that is slow for a program that asks twice.
//!
//! Threads are looked at one after the other, and one that was seen asleep may be woken by another before that one is
//! looked at. So all are looked at twice: who is asleep both times, and was not given a processor in between, has slept
//! all the time, and all of them together at the moment between the two looks.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The threads that were found, by their places in proc(5), and how often each has been given a processor.
type Seen = BTreeMap<PathBuf, u64>;

/// Whether there is a moment at which no thread of what this process has started, and of `itself` if that counts, wants to
/// run or waits for a disk. What has ended is asleep. The states are those of proc_pid_stat(5).
pub fn at_rest(pid: u32, itself: bool) -> bool {
    let look = |seen: &mut Seen| match itself {
        true => look(pid, seen),
        false => below(pid, seen),
    };
    let (mut first, mut second) = (Seen::new(), Seen::new());
    look(&mut first) && look(&mut second) && first == second
}

/// Whether each was asleep when it was looked at.
fn look(pid: u32, seen: &mut Seen) -> bool {
    threads(pid).iter().all(|thread| asleep(thread, seen)) && below(pid, seen)
}

/// The same of the processes that this one has started (proc_pid_task(5) has the children of a thread).
fn below(pid: u32, seen: &mut Seen) -> bool {
    threads(pid).iter().all(|thread| {
        let children = fs::read_to_string(thread.join("children")).unwrap_or_default();
        children
            .split_whitespace()
            .filter_map(|child| child.parse().ok())
            .all(|child| look(child, seen))
    })
}

/// The switches to and from it (proc_pid_status(5)) are read first: who sleeps after that, and has as many the next time,
/// has not run.
fn asleep(thread: &Path, seen: &mut Seen) -> bool {
    let status = fs::read_to_string(thread.join("status")).unwrap_or_default();
    let switches = status
        .lines()
        .filter_map(|line| line.split_once("_ctxt_switches:"))
        .filter_map(|(_, count)| count.trim().parse::<u64>().ok())
        .sum();
    seen.insert(thread.to_owned(), switches);
    let stat = fs::read_to_string(thread.join("stat")).unwrap_or_default();
    // The name stands in brackets and may hold anything.
    let state = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    !state.starts_with(['R', 'D'])
}

fn threads(pid: u32) -> Vec<PathBuf> {
    let listed = fs::read_dir(format!("/proc/{pid}/task"));
    listed.map_or_else(|_| Vec::new(), |l| l.flatten().map(|t| t.path()).collect())
}
