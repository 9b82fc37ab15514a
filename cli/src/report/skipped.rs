//! Tasks that were skipped one after the other, as one line: a playbook for every case has many that are not this one.

use std::sync::{Mutex, PoisonError};

/// Those that have not been told yet.
#[derive(Default)]
pub struct Skipped(Mutex<Option<Row>>);

/// Tasks of one host, one after the other.
struct Row {
    host: String,
    first: String,
    more: usize,
}

impl Skipped {
    /// One more, named as in its line; the line of those of another host, where it follows them.
    pub fn add(&self, host: &str, name: &str) -> Option<String> {
        let mut row = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match row.as_mut().filter(|row| row.host == host) {
            Some(row) => {
                row.more += 1;
                None
            }
            None => {
                let before = row.replace(Row {
                    host: host.to_owned(),
                    first: name.to_owned(),
                    more: 0,
                });
                before.map(line)
            }
        }
    }

    /// Something else is told: their line comes before it.
    pub fn take(&self) -> Option<String> {
        let mut row = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        row.take().map(line)
    }
}

fn line(row: Row) -> String {
    let more = match row.more {
        0 => String::new(),
        n => format!(", and {n} more (-v lists them)"),
    };
    format!("{}: {}{more}", row.host, row.first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_and_each_row_has_its_line() {
        let skipped = Skipped::default();
        assert_eq!(skipped.take(), None);
        assert_eq!(skipped.add("a", "One"), None);
        assert_eq!(skipped.take().as_deref(), Some("a: One"));
        assert_eq!(skipped.add("a", "Two"), None);
        assert_eq!(skipped.add("a", "Three"), None);
        assert_eq!(
            skipped.add("b", "Two").as_deref(),
            Some("a: Two, and 1 more (-v lists them)")
        );
        assert_eq!(skipped.take().as_deref(), Some("b: Two"));
        assert_eq!(skipped.take(), None);
    }
}
