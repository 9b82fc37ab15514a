//! The log of a container, followed look by look.

use jiff::Timestamp;
use runbook_engine::host::HostError;

use super::client::{Reader, encode};
use super::health::demultiplexed;

/// How much of it was seen.
#[derive(Debug, Default)]
pub(super) struct Follow {
    /// The time of the last line, as the daemon writes it (RFC 3339, in nanoseconds), and how many lines have it.
    last: String,
    of_last: usize,
    lines: Vec<String>,
}

/// So many of the last lines are kept.
const KEPT: usize = 200;

impl Follow {
    /// The lines that have come since the last look.
    pub(super) async fn more(
        &mut self,
        daemon: &Reader,
        id: &str,
    ) -> Result<Vec<String>, HostError> {
        // The daemon takes seconds and their fraction.
        let since = self.last.parse::<Timestamp>().map_or_else(
            |_| String::new(),
            |at| format!("&since={}.{:09}", at.as_second(), at.subsec_nanosecond()),
        );
        let path = format!(
            "/containers/{}/logs?stdout=1&stderr=1&timestamps=1{since}",
            encode(id)
        );
        let text = daemon.raw(&path).await?.unwrap_or_default();
        let new = self.take(&demultiplexed(&text));
        self.lines.extend(new.iter().cloned());
        let surplus = self.lines.len().saturating_sub(KEPT);
        self.lines.drain(..surplus);
        Ok(new)
    }

    /// Of lines with their times, those that were not there before. The daemon gives those of the last second once more.
    fn take(&mut self, text: &str) -> Vec<String> {
        let mut new = Vec::new();
        let mut seen = self.of_last;
        for line in text.lines() {
            let (time, said) = line.split_once(' ').unwrap_or((line, ""));
            if time < self.last.as_str() {
                continue;
            }
            if time == self.last {
                if seen > 0 {
                    seen -= 1;
                    continue;
                }
                self.of_last += 1;
            } else {
                time.clone_into(&mut self.last);
                self.of_last = 1;
                seen = 0;
            }
            new.push(said.trim_end_matches('\r').to_owned());
        }
        new
    }

    /// The last lines, so many at most.
    pub(super) fn last(&self, most: usize) -> Vec<String> {
        let from = self.lines.len().saturating_sub(most);
        self.lines[from..].to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::Follow;

    #[test]
    fn each_line_comes_once() {
        let mut follow = Follow::default();
        let first = "2026-01-01T00:00:00.000000001Z a\n2026-01-01T00:00:00.000000002Z b\n2026-01-01T00:00:00.000000002Z b\n";
        assert_eq!(follow.take(first), ["a", "b", "b"]);
        assert!(follow.take(first).is_empty());
        let more = format!(
            "{first}2026-01-01T00:00:00.000000002Z b\n2026-01-01T00:00:00.000000003Z \n2026-01-01T00:00:01.5Z c d\n"
        );
        assert_eq!(follow.take(&more), ["b", "", "c d"]);
        assert!(follow.take("2026-01-01T00:00:01.5Z c d\n").is_empty());
    }
}
