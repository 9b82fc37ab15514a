//! Tasks that must fail, whatever is on the host; and that they must can be known beforehand.

use serde_json::{Map, Value, json};

use super::files::on_host;
use super::{Holds, Writer, call};

impl Writer {
    pub(super) fn failing_task(&mut self) -> Map<String, Value> {
        self.failing += 1;
        let nothing = on_host("no/such/thing");
        let mut task = match self.random.below(11) {
            0 => call("fail", json!({"msg": "{{ word }} was asked to fail"})),
            1 => call("lineinfile", json!({"path": nothing, "line": "x"})),
            2 => call(
                "replace",
                json!({"path": nothing, "regexp": "x", "replace": "y"}),
            ),
            3 => call("slurp", json!({"src": nothing})),
            4 => call("file", json!({"path": nothing, "state": "file"})),
            5 => call(
                "copy",
                json!({"src": nothing, "dest": on_host("etc/z"), "remote_src": true}),
            ),
            6 => call(
                "copy",
                json!({"src": "short.conf", "dest": on_host("etc/z"),
                       "checksum": "0000000000000000000000000000000000000000"}),
            ),
            7 => call("copy", json!({"content": "x", "dest": nothing})),
            8 => call(
                "command",
                json!({"cmd": "sh -c 'echo why >&2; exit 3'", "reads_only": true, "reads": []}),
            ),
            9 => {
                let mut task = call("stat", json!({"path": on_host("etc")}));
                task.insert("register".to_owned(), json!("looked"));
                task.insert(
                    "failed_when".to_owned(),
                    json!("looked.stat.exists or true"),
                );
                return task;
            }
            _ => call(
                "blockinfile",
                json!({"path": nothing, "block": "x", "create": false}),
            ),
        };
        self.maybe_registered(&mut task, Holds::Change, 20);
        task
    }
}
