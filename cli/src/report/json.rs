//! One JSON event a line.

use std::io::Write;
use std::sync::Mutex;

use runbook_engine::run::event::{Event, Sink};

/// Prints events as they come.
#[derive(Default)]
pub struct JsonLines(Mutex<()>);

impl Sink for JsonLines {
    fn event(&self, event: Event) {
        let _one_at_a_time = self.0.lock();
        if let Ok(line) = serde_json::to_string(&event) {
            let mut out = std::io::stdout().lock();
            let _ = writeln!(out, "{line}");
            let _ = out.flush();
        }
    }
}
