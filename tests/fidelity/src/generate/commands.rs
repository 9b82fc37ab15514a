//! Commands: those that say what they do, and, late in a few playbooks, those that do not.

use serde_json::{Map, Value, json};

use super::files::on_host;
use super::picture::Thing;
use super::{Holds, Writer, call};

impl Writer {
    pub(super) fn command_task(&mut self) -> Map<String, Value> {
        let known = [(4, 0), (3, 1), (3, 2), (2, 3), (2, 4), (1, 5)];
        let first = [(3, 6), (3, 7), (2, 8)];
        let murky = [(3, 9), (1, 10)];
        let mut all: Vec<(usize, usize)> = known.to_vec();
        // What may read anything is known only while nothing has changed.
        if self.untouched {
            all.extend(first);
        }
        if self.murky {
            all.extend(murky);
        }
        match self.random.weighed(&all) {
            0 => self.says_words(),
            1 => self.reads_file(),
            2 => self.changes_nothing(),
            3 => self.creates(),
            4 => self.removes(),
            5 => call("pause", json!({"seconds": 0})),
            6 => self.reads_anything(),
            7 => self.only_if(),
            8 => call("wait_for", json!({"path": on_host("etc"), "timeout": 5})),
            9 => self.opaque(),
            _ => self.changes_a_file(),
        }
    }

    fn says_words(&mut self) -> Map<String, Value> {
        let words = *self
            .random
            .pick(&["one\\ntwo\\n", "a.conf\\nb.conf\\nd\\n", "", "word\\n"]);
        let args = json!({"cmd": format!("printf '{words}'"), "reads_only": true, "reads": []});
        let module = *self.random.pick(&["command", "shell"]);
        let mut task = call(module, args);
        self.maybe_registered(&mut task, Holds::Answer, 90);
        task
    }

    fn reads_file(&mut self) -> Map<String, Value> {
        let Some(path) = self.picture.pristine(Thing::File, &mut self.random) else {
            return self.says_words();
        };
        let path = on_host(&path);
        let program = *self.random.pick(&["cat", "wc -c", "grep -c a", "test -s"]);
        let args = json!({"cmd": format!("{program} {path}"), "reads_only": true, "reads": [path]});
        let mut task = call("command", args);
        task.insert("failed_when".to_owned(), json!(false));
        self.maybe_registered(&mut task, Holds::Answer, 90);
        task
    }

    fn reads_anything(&mut self) -> Map<String, Value> {
        let args = json!({"cmd": "ls | wc -l", "chdir": on_host("etc"), "reads_only": true});
        let mut task = call("shell", args);
        self.maybe_registered(&mut task, Holds::Answer, 90);
        task
    }

    fn changes_nothing(&mut self) -> Map<String, Value> {
        let args = json!({"cmd": "echo done", "changes": []});
        let mut task = call("shell", args);
        self.maybe_registered(&mut task, Holds::Action, 40);
        match self.random.below(4) {
            0 => {
                task.insert("changed_when".to_owned(), json!(false));
            }
            1 => {
                if let Some(condition) = self.condition() {
                    task.insert("changed_when".to_owned(), json!(condition));
                }
            }
            _ => {}
        }
        self.maybe_notifies(&mut task);
        task
    }

    fn creates(&mut self) -> Map<String, Value> {
        let path = match self.random.chance(70) {
            true => self.a_file(),
            false => "etc/*.conf".to_owned(),
        };
        self.uses(&path);
        let at = on_host(&path);
        let made = on_host("made");
        let args = json!({"cmd": format!("touch {made}"), "creates": at, "changes": [made]});
        let mut task = call("command", args);
        self.maybe_registered(&mut task, Holds::Change, 30);
        task
    }

    fn removes(&mut self) -> Map<String, Value> {
        let path = self.a_file();
        self.uses(&path);
        let args = json!({"cmd": "echo it is there", "removes": on_host(&path), "changes": []});
        let mut task = call("shell", args);
        self.maybe_notifies(&mut task);
        task
    }

    fn only_if(&mut self) -> Map<String, Value> {
        let keyword = *self.random.pick(&["only_if", "unless"]);
        let path = on_host(&self.a_file());
        let mut args = json!({"cmd": "echo so it is", "changes": []});
        args[keyword] = json!(format!("grep -q a {path} 2>/dev/null"));
        call("shell", args)
    }

    fn opaque(&mut self) -> Map<String, Value> {
        let path = on_host(&self.a_file());
        let line = match self.random.below(4) {
            0 => format!("[ ! -f {path} ] || echo more >> {path}"),
            1 => "exit 3".to_owned(),
            _ => "true".to_owned(),
        };
        self.untouched = false;
        let mut task = call("shell", json!(line));
        if self.random.chance(40) {
            task.insert("ignore_errors".to_owned(), json!(true));
        }
        self.maybe_registered(&mut task, Holds::Action, 60);
        task
    }

    fn changes_a_file(&mut self) -> Map<String, Value> {
        let path = self.a_file();
        let at = on_host(&path);
        // What it says that it changes may be a directory, and need not be there.
        let named = match self.random.below(3) {
            0 => at.rsplit_once('/').map_or(at.as_str(), |(above, _)| above),
            _ => &at,
        };
        let line = format!("mkdir -p $(dirname {at}); echo more >> {at}");
        let args = json!({"cmd": line, "changes": [named]});
        self.writes(&path, Thing::Murky);
        let mut task = call("shell", args);
        self.maybe_registered(&mut task, Holds::Action, 60);
        task
    }
}
