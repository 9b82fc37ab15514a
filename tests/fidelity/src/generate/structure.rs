//! What holds tasks together: loops, conditions, blocks, included files, handlers.

use serde_json::{Map, Value, json};

use super::files::on_host;
use super::picture::Thing;
use super::{Holds, Writer, call};

const HANDLERS: [&str; 4] = ["first handler", "second handler", "both", "last handler"];

impl Writer {
    /// One or more tasks; no more than `left` of them.
    pub(super) fn item(&mut self, left: usize, depth: usize) -> Value {
        if depth < 2 && left >= 4 && self.random.chance(9) {
            return self.block(left, depth);
        }
        if depth == 0 && left >= 4 && self.random.chance(4) {
            return self.include(left);
        }
        if depth == 0 && self.random.chance(3) {
            return json!({"meta": "flush_handlers"});
        }
        if self.random.chance(11) {
            return self.failing_item(depth);
        }
        let mut task =
            match self
                .random
                .weighed(&[(30, 0), (16, 1), (12, 2), (14, 3), (9, 4), (6, 5)])
            {
                0 => self.file_task(),
                1 => self.edit_task(),
                2 => self.reading_task(),
                3 => self.command_task(),
                4 => self.loop_task(),
                _ => self.plain_task(),
            };
        self.decorate(&mut task);
        self.done(task)
    }

    fn decorate(&mut self, task: &mut Map<String, Value>) {
        if self.random.chance(18)
            && let Some(condition) = self.condition()
        {
            task.insert("when".to_owned(), json!(condition));
        }
        if self.random.chance(2) {
            task.insert("check_mode".to_owned(), json!(true));
        }
        if self.random.chance(2) {
            task.insert("changed_when".to_owned(), json!(self.random.chance(50)));
        }
        // What was not meant to fail may fail all the same; few playbooks end there.
        if self.random.chance(80) {
            task.insert("ignore_errors".to_owned(), json!(true));
        }
    }

    fn failing_item(&mut self, depth: usize) -> Value {
        let mut task = self.failing_task();
        // Now and then it ends the playbook.
        if depth > 0 || !self.random.chance(6) {
            task.insert("ignore_errors".to_owned(), json!(true));
        }
        self.done(task)
    }

    fn block(&mut self, left: usize, depth: usize) -> Value {
        let most = left.min(6);
        let mut inside = Vec::new();
        let begun = self.count;
        let fails = self.random.chance(45);
        while self.count - begun + 2 < most && inside.len() < 3 {
            let next = self.item(most - 2 - (self.count - begun), depth + 1);
            inside.push(next);
        }
        let mut block = Map::new();
        let number = self.count;
        block.insert("name".to_owned(), json!(format!("block at {number}")));
        if fails || inside.is_empty() {
            let task = self.failing_task();
            let task = self.done(task);
            inside.push(task);
        }
        block.insert("block".to_owned(), json!(inside));
        if fails || self.random.chance(40) {
            let task = self.file_task();
            let rescue = self.done(task);
            block.insert("rescue".to_owned(), json!([rescue]));
        }
        if self.count - begun < most && self.random.chance(40) {
            let task = self.edit_task();
            let mut always = self.done(task);
            always["ignore_errors"] = json!(true);
            block.insert("always".to_owned(), json!([always]));
        }
        if self.random.chance(20)
            && let Some(condition) = self.condition()
        {
            block.insert("when".to_owned(), json!(condition));
        }
        Value::Object(block)
    }

    fn include(&mut self, left: usize) -> Value {
        let mut tasks = Vec::new();
        let (begun, registers) = (self.count, self.registers.len());
        for _ in 0..self.random.between(1, 3) {
            if self.count - begun + 1 < left {
                let next = self.item(1, 2);
                tasks.push(next);
            }
        }
        let name = format!("tasks/part{}.yaml", self.included.len());
        let mut item = Map::new();
        let keyword = *self.random.pick(&["include_tasks", "import_tasks"]);
        if keyword == "include_tasks" {
            // A file that is read when it is reached says too late what it registers.
            self.registers.truncate(registers);
        }
        item.insert(keyword.to_owned(), json!(name));
        if keyword == "include_tasks" {
            if self.random.chance(40) {
                let path = self.picture.new_path(&mut self.random);
                self.writes(&path, Thing::File);
                let task = call(
                    "copy",
                    json!({"dest": format!("{}-{{{{ item }}}}", on_host(&path)), "content": "{{ item }}\n"}),
                );
                let task = self.done(task);
                tasks.push(task);
                item.insert("loop".to_owned(), json!(["x", "y"]));
            }
            if self.random.chance(40)
                && let Some(condition) = self.condition()
            {
                item.insert("when".to_owned(), json!(condition));
            }
        }
        self.included.push((name, tasks));
        Value::Object(item)
    }

    /// A task for each item of a list.
    pub(super) fn loop_task(&mut self) -> Map<String, Value> {
        let above = self.picture.existing(Thing::Directory, &mut self.random);
        let above = above.unwrap_or_else(|| "etc".to_owned());
        self.uses(&above);
        let answers: Vec<String> = self
            .registers
            .iter()
            .filter(|r| r.holds == Holds::Answer)
            .map(|r| r.name.clone())
            .collect();
        let (items, name): (Value, &str) = match self.random.below(4) {
            0 if !answers.is_empty() => {
                self.builds = true;
                let register = self.random.pick(&answers);
                let lines = format!("{{{{ {register}.stdout_lines | default([]) }}}}");
                (json!(lines), "{{ item }}")
            }
            1 => (json!("{{ names }}"), "{{ item }}"),
            2 => (
                json!([{"name": "p", "mode": "0600"}, {"name": "q", "mode": "0640"}]),
                "{{ item.name }}",
            ),
            _ => (json!(["a.conf", "b.conf", "x"]), "{{ item }}"),
        };
        let path = format!("{above}/{name}");
        for item in ["a.conf", "b.conf", "x"] {
            if name == "{{ item }}" && items.is_array() {
                self.picture.writes(&format!("{above}/{item}"), Thing::File);
            }
        }
        self.untouched = false;
        let at = on_host(&path);
        let mut task = match self.random.below(6) {
            0 => call("copy", json!({"dest": at, "content": format!("{name}\n")})),
            1 => call(
                "lineinfile",
                json!({"path": at, "line": format!("of={name}"), "create": true}),
            ),
            2 => call("file", json!({"path": at, "state": "absent"})),
            // The same file again and again: each item sees what the one before it has left.
            3 => call(
                "lineinfile",
                json!({"path": on_host("etc/all"), "line": format!("of={name}"), "create": true}),
            ),
            4 => call("file", json!({"path": at, "state": "touch"})),
            _ => call("stat", json!({"path": at})),
        };
        task.insert("loop".to_owned(), items);
        if self.random.chance(20) {
            task.insert(
                "loop_control".to_owned(),
                json!({"index_var": "index", "label": "{{ index }}"}),
            );
        }
        if self.random.chance(15) {
            task.insert("when".to_owned(), json!("item != 'b.conf'"));
        }
        self.maybe_registered(&mut task, Holds::Change, 25);
        self.maybe_notifies(&mut task);
        task
    }

    /// What changes no host.
    fn plain_task(&mut self) -> Map<String, Value> {
        let value = self.value_of_register();
        match self.random.below(4) {
            0 => call("debug", json!({"msg": value.unwrap_or_default()})),
            1 => call("set_fact", json!({"kept": value.unwrap_or_default()})),
            2 => call("assert", json!({"that": ["number == 7"]})),
            _ => {
                let mut task = call("fail", json!({"msg": "so it is"}));
                let condition = self.condition();
                task.insert(
                    "when".to_owned(),
                    json!(condition.unwrap_or_else(|| "number == 8".to_owned())),
                );
                task
            }
        }
    }

    pub(super) fn maybe_notifies(&mut self, task: &mut Map<String, Value>) {
        if !self.plain && self.random.chance(22) {
            task.insert("notify".to_owned(), json!([self.random.pick(&HANDLERS)]));
        }
    }

    /// Handlers; one of them listens, one notifies another.
    pub(super) fn handlers(&mut self) -> Vec<Value> {
        let first = self.edit_task();
        let mut second = self.file_task();
        let mut last = call("command", json!({"cmd": "echo handled", "changes": []}));
        second.insert("listen".to_owned(), json!("both"));
        second.insert("notify".to_owned(), json!("last handler"));
        last.insert("listen".to_owned(), json!("both"));
        let named = [
            (first, HANDLERS[0]),
            (second, HANDLERS[1]),
            (last, HANDLERS[3]),
        ];
        named
            .into_iter()
            .map(|(mut task, name)| {
                task.insert("name".to_owned(), json!(name));
                task.insert("ignore_errors".to_owned(), json!(true));
                Value::Object(task)
            })
            .collect()
    }
}
