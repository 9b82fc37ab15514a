//! Playbooks from a seed: the same seed gives the same playbook.
//!
//! They are made of tasks that mean something on the files that were there or that earlier tasks have made, as far as a
//! coarse picture of the host tells; what the picture does not tell is left to chance. So most tasks do what they are
//! meant to do, some find nothing to do, and some fail though nobody meant them to.

mod commands;
mod edits;
mod failing;
mod files;
mod picture;
mod reading;
mod structure;

use serde_json::{Map, Value, json};

use crate::random::Random;
use crate::script::Script;
use picture::Picture;

/// What a register holds that later tasks may ask for.
#[derive(Debug, Clone)]
struct Register {
    name: String,
    holds: Holds,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// What `stat` gives.
    Stat,
    /// What `slurp` gives.
    Content,
    /// What a task gives that changes a file.
    Change,
    /// What a command gives that only reads.
    Answer,
    /// What a command gives that a check cannot run.
    Action,
}

/// A playbook in the making.
struct Writer {
    random: Random,
    picture: Picture,
    registers: Vec<Register>,
    included: Vec<(String, Vec<Value>)>,
    /// How many registers have got a name.
    named: usize,
    /// How many tasks there are, of all files.
    count: usize,
    /// How many of them build on an earlier one.
    building: usize,
    /// How many of them must fail.
    failing: usize,
    /// What a check cannot know may come from here on.
    murky: bool,
    /// No task before this one changes anything.
    untouched: bool,
    /// The task at hand builds on an earlier one.
    builds: bool,
    /// There are no handlers.
    plain: bool,
}

/// A playbook and what was meant with it.
pub struct Generated {
    /// The playbook.
    pub script: Script,
    /// How many tasks it has.
    pub tasks: usize,
    /// How many of them build on an earlier one.
    pub building: usize,
    /// How many of them must fail.
    pub failing: usize,
}

/// The playbook of a seed.
#[must_use]
pub fn generate(seed: u64) -> Generated {
    Writer::new(seed).playbook()
}

/// Twenty tasks that only look at files and change them, one after the other, with modules and arguments that Ansible
/// has, too; conditions and contents rest on registers, and every failure is ignored.
#[must_use]
pub fn generate_files(seed: u64) -> Script {
    let mut writer = Writer::new(seed);
    writer.plain = true;
    let before = writer.before();
    let tasks = (0..20).map(|_| {
        let mut task = match writer.random.weighed(&[(10, 0), (6, 1), (4, 2), (3, 3)]) {
            0 => writer.file_task(),
            1 => writer.edit_task(),
            2 => writer.reading_task(),
            _ => writer.loop_task(),
        };
        if writer.random.chance(20)
            && let Some(condition) = writer.condition()
        {
            task.entry("when").or_insert(json!(condition));
        }
        task.insert("ignore_errors".to_owned(), json!(true));
        writer.done(task)
    });
    Script {
        tasks: tasks.collect(),
        before,
        files: controller_files(),
        ..Script::default()
    }
}

impl Writer {
    fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            picture: Picture::default(),
            registers: Vec::new(),
            included: Vec::new(),
            named: 0,
            count: 0,
            building: 0,
            failing: 0,
            murky: false,
            untouched: true,
            builds: false,
            plain: false,
        }
    }
}

/// A task that calls a module.
fn call(module: &str, args: Value) -> Map<String, Value> {
    let mut task = Map::new();
    task.insert("name".to_owned(), json!(module));
    task.insert(module.to_owned(), args);
    task
}

impl Writer {
    fn playbook(&mut self) -> Generated {
        let before = self.before();
        let files = controller_files();
        let wanted = self.random.between(10, 40);
        // What a check cannot know spreads to all that follows: it stands in few playbooks, and late in them.
        let murky_from = self
            .random
            .chance(24)
            .then(|| self.random.between(wanted / 2, wanted));
        let mut tasks = Vec::new();
        while self.count < wanted {
            self.murky |= murky_from.is_some_and(|from| self.count >= from);
            let left = wanted - self.count;
            let next = self.item(left, 0);
            tasks.push(next);
        }
        let handlers = self.handlers();
        let done = self.random.between(0, tasks.len());
        let damage = (0..self.random.below(4)).map(|_| self.damage()).collect();
        Generated {
            script: Script {
                before,
                files,
                included: std::mem::take(&mut self.included),
                tasks,
                handlers,
                done,
                damage,
            },
            tasks: self.count,
            building: self.building,
            failing: self.failing,
        }
    }

    /// Gives a task its name and its usual keywords, and counts it.
    fn done(&mut self, mut task: Map<String, Value>) -> Value {
        self.count += 1;
        let module = task.get("name").and_then(Value::as_str).unwrap_or_default();
        let name = format!("{} {module}", self.count);
        task.insert("name".to_owned(), json!(name));
        if std::mem::take(&mut self.builds) {
            self.building += 1;
        }
        Value::Object(task)
    }

    fn new_register(&mut self, holds: Holds) -> String {
        let name = format!("r{}", self.named);
        self.named += 1;
        self.registers.push(Register {
            name: name.clone(),
            holds,
        });
        name
    }
}

/// What tasks of the playbook take from the controller.
fn controller_files() -> Vec<(String, String)> {
    [
        ("files/short.conf", "listen=80\nroot=/srv\n"),
        ("files/long.conf", "# long\na=1\nb=2\n\n[part]\nc=3\n"),
        ("files/tree/a", "a\n"),
        ("files/tree/in/b", "b=1\n"),
        (
            "templates/plain.j2",
            "word={{ word }}\n{% for n in names %}\nname={{ n }}\n{% endfor %}\nend\n",
        ),
        (
            "templates/asks.j2",
            "# {{ word | upper }}\n{% if asked is defined and asked %}\nasked={{ asked }}\n{% endif %}\nnumber={{ number + 1 }}\n",
        ),
    ]
    .map(|(name, content)| (name.to_owned(), content.to_owned()))
    .into()
}

#[cfg(test)]
mod tests {
    use super::generate;

    #[test]
    fn a_seed_gives_the_same_playbook_and_another_seed_another() {
        let [one, again, other] = [7, 7, 8].map(|seed| generate(seed).script.shown(true));
        assert_eq!(one, again);
        assert_ne!(one, other);
    }

    #[test]
    fn a_quarter_of_the_tasks_builds_on_an_earlier_one_and_a_tenth_must_fail() {
        let (mut tasks, mut building, mut failing) = (0, 0, 0);
        for seed in 0..1000 {
            let generated = generate(seed);
            assert!((10..=40).contains(&generated.tasks), "{}", generated.tasks);
            tasks += generated.tasks;
            building += generated.building;
            failing += generated.failing;
        }
        assert!(building * 4 >= tasks, "{building} of {tasks} build");
        assert!(failing * 10 >= tasks, "{failing} of {tasks} must fail");
    }
}
