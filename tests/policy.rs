//! A SELinux policy for a test: one file for all tests, taken in by its path. The tools keep policies side by side, whether or
//! not the kernel uses one; a copy under a name of its own is changed by nobody else.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A copy of Debian's policy, which goes with the test.
pub struct Store {
    /// Its name.
    pub name: String,
}

/// Where the tools keep it: what rules are made of, and what they are made into.
const FOLDERS: [&str; 2] = ["/var/lib/selinux", "/etc/selinux"];

impl Store {
    /// `Err`: what is missing here.
    pub fn new() -> Result<Self, String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        for program in ["semanage", "setfiles", "setfattr"] {
            let there = ["/usr/sbin", "/usr/bin", "/sbin"];
            if !there
                .iter()
                .any(|dir| Path::new(dir).join(program).exists())
            {
                return Err(format!("no {program}"));
            }
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let store = Self {
            name: format!("runbook-{}-{number}", std::process::id()),
        };
        for folder in FOLDERS {
            let from = format!("{folder}/default");
            let to = format!("{folder}/{}", store.name);
            let copied = Command::new("cp").args(["-a", &from, &to]).output();
            if !copied.is_ok_and(|o| o.status.success()) {
                return Err(format!("{from} cannot be copied"));
            }
        }
        let local = format!(
            "/etc/selinux/{}/contexts/files/file_contexts.local",
            store.name
        );
        drop(std::fs::remove_file(local));
        let made = format!("{}/{}/active/file_contexts.local", FOLDERS[0], store.name);
        drop(std::fs::remove_file(made));
        Ok(store)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        for folder in FOLDERS {
            drop(std::fs::remove_dir_all(format!("{folder}/{}", self.name)));
        }
    }
}
