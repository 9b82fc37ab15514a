//! A part of the long matrices: all of them take hours, which not every machine has in one piece. The parts of one commit
//! together are the whole.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};

use crate::run::{root, target};

/// Where it is noted which have passed, among what is built.
const FOLDER: &str = "parts";

/// `2/3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    number: u32,
    of: u32,
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text
            .split_once('/')
            .and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
        match numbers {
            Some((number, of)) if (1..=of).contains(&number) => Ok(Self { number, of }),
            _ => Err(format!("`{text}` is no part; write 1/3")),
        }
    }
}

impl Part {
    /// The tests of it, as nextest takes it.
    pub fn of_tests(self) -> String {
        format!("--partition=count:{}/{}", self.number, self.of)
    }

    /// Is it the first?
    pub fn is_first(self) -> bool {
        self.number == 1
    }

    /// Is it the last?
    pub fn is_last(self) -> bool {
        self.number == self.of
    }

    /// Notes that the part has passed.
    pub fn passed(self) -> Result<()> {
        fs::create_dir_all(target().join(FOLDER))?;
        fs::write(self.note(self.number), commit()?)?;
        Ok(())
    }

    /// The parts before it have passed at this commit.
    pub fn follows(self) -> Result<()> {
        let now = commit()?;
        for number in 1..self.number {
            let note = self.note(number);
            let then = fs::read_to_string(&note).with_context(|| {
                format!(
                    "part {number}/{} comes before, and has not passed here",
                    self.of
                )
            })?;
            ensure!(
                then == now,
                "part {number}/{} has passed at {}, and this is {}",
                self.of,
                then.trim(),
                now.trim()
            );
        }
        Ok(())
    }

    fn note(self, number: u32) -> PathBuf {
        target()
            .join(FOLDER)
            .join(format!("part-{number}-of-{}", self.of))
    }
}

/// The commit that is tested, without anything beside it.
fn commit() -> Result<String> {
    let git = |args: &[&str]| -> Result<String> {
        let output = Command::new("git")
            .args(args)
            .current_dir(root())
            .output()?;
        ensure!(output.status.success(), "git {} fails", args.join(" "));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    if !git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty() {
        bail!("there are changes that are not committed: parts have to be of one commit");
    }
    git(&["rev-parse", "HEAD"])
}

#[cfg(test)]
mod tests {
    use super::Part;

    #[test]
    fn parts() {
        let part: Part = "2/3".parse().unwrap();
        assert_eq!(part.of_tests(), "--partition=count:2/3");
        assert!(!part.is_first() && !part.is_last());
        for wrong in ["", "3", "0/3", "4/3", "1/0", "a/b"] {
            assert!(wrong.parse::<Part>().is_err(), "{wrong}");
        }
    }
}
