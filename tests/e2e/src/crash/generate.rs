//! Playbooks of files and commands, made by chance from a seed, for a host on which a part is done already.
//!
//! Each command adds a line to a file of its own below `counts/`: more lines than in an undisturbed run say that it ran
//! twice. What a command says is used by later tasks, so that a register that is lost is seen in a file.

use std::fmt::Write as _;

use super::chance::Chance;

/// A playbook with the files that it needs, and the host that it begins with.
#[derive(Debug, Clone)]
pub struct Generated {
    /// `playbook.yaml`; it names the folder on the host as the variable `root`.
    pub playbook: String,
    /// Further files beside it: path and content.
    pub files: Vec<(String, String)>,
    /// A shell script that makes what is on the host beforehand, in the folder itself.
    pub setup: String,
}

struct Maker {
    chance: Chance,
    tasks: String,
    files: Vec<(String, String)>,
    setup: String,
    /// Commands whose results later tasks may use.
    registers: Vec<String>,
    number: usize,
    /// Tasks may become root.
    becomes: bool,
}

/// A playbook of so many parts; a part is one to six tasks.
#[must_use]
pub fn generate(seed: u64, parts: usize, becomes: bool) -> Generated {
    let mut maker = Maker {
        chance: Chance::new(seed, "playbook"),
        tasks: String::new(),
        files: vec![
            ("files/large".to_owned(), "after, and long\n".repeat(90_000)),
            (
                "templates/t.j2".to_owned(),
                "# {{ inventory_hostname }}\n{% for n in numbers %}n{{ n }}={{ n * 2 }}\n{% endfor %}".to_owned(),
            ),
        ],
        setup: "mkdir -p counts d\n".to_owned(),
        registers: Vec::new(),
        number: 0,
        becomes,
    };
    // Each kind of part comes once before any comes again.
    let mut kinds: Vec<usize> = Vec::new();
    for _ in 0..parts {
        if kinds.is_empty() {
            kinds = (0..KINDS.len()).collect();
        }
        let at = usize::try_from(maker.chance.below(kinds.len() as u64)).unwrap_or(0);
        let kind = kinds.swap_remove(at);
        maker.number += 1;
        KINDS[kind](&mut maker);
    }
    let Maker {
        tasks,
        files,
        setup,
        ..
    } = maker;
    let mut playbook = format!(
        "# Seed {seed}\n- name: Generated\n  hosts: all\n  gather_facts: false\n  tasks:\n{tasks}  handlers:\n"
    );
    for n in 1..=3 {
        let listen = if n == 2 {
            "      listen: all of them\n"
        } else {
            ""
        };
        let _ = write!(
            playbook,
            "    - name: handler {n}\n{listen}      shell: echo ran >> {{{{ root }}}}/counts/handler-{n}; sleep 0.05; cat {{{{ root }}}}/d/* > {{{{ root }}}}/d-{n} 2>&1 || true\n"
        );
    }
    Generated {
        playbook,
        files,
        setup,
    }
}

const KINDS: [fn(&mut Maker); 21] = [
    Maker::new_file,
    Maker::replaced_file,
    Maker::large_file,
    Maker::directory,
    Maker::removed_directory,
    Maker::removed_file,
    Maker::link,
    Maker::mode,
    Maker::line,
    Maker::block_of_lines,
    Maker::replaced_words,
    Maker::template,
    Maker::command,
    Maker::command,
    Maker::loop_of_files,
    Maker::loop_of_commands,
    Maker::rescued,
    Maker::included,
    Maker::on_condition,
    Maker::before,
    Maker::side_by_side,
];

impl Maker {
    /// A task at the depth of the play's tasks, or deeper.
    fn task(&mut self, depth: usize, name: &str, lines: &[String]) {
        let blanks = " ".repeat(4 + depth * 4);
        let _ = writeln!(self.tasks, "{blanks}- name: {name}");
        for line in lines {
            let _ = writeln!(self.tasks, "{blanks}  {line}");
        }
    }

    /// What a task that changes a file may have beside its module.
    fn more(&mut self, lines: &mut Vec<String>) {
        if self.chance.percent(30) {
            let handler = match self.chance.below(3) {
                0 => "handler 1",
                1 => "all of them",
                _ => "handler 3",
            };
            lines.push(format!("notify: {handler}"));
        }
        if self.becomes && self.chance.percent(20) {
            lines.push("become: true".to_owned());
        }
    }

    fn name(&self, what: &str) -> String {
        format!("{what}{}", self.number)
    }

    /// A line for a shell: counts itself, takes a moment, says something.
    fn counted(&mut self, name: &str) -> String {
        let hundredths = 1 + self.chance.below(12);
        format!(
            "shell: echo ran >> {{{{ root }}}}/counts/{name}; sleep 0.{hundredths:02}; echo said by {name}"
        )
    }

    fn new_file(&mut self) {
        let name = self.name("new");
        let mode = ["0644", "0600", "0755"][usize::try_from(self.chance.below(3)).unwrap_or(0)];
        let content = self.content();
        let mut lines = vec![format!(
            "copy: {{dest: \"{{{{ root }}}}/d/{name}\", content: \"{content}\\n\", mode: \"{mode}\"}}"
        )];
        self.more(&mut lines);
        // On half of the hosts it is there already.
        if self.chance.percent(25) {
            let _ = writeln!(self.setup, "echo other > d/{name}");
        }
        self.task(0, &name, &lines);
    }

    /// A text, or what a command has said.
    fn content(&mut self) -> String {
        match self.chance.one_of(&self.registers).cloned() {
            Some(register) if self.chance.percent(60) => {
                format!("{{{{ {register}.stdout }}}} {{{{ {register}.rc }}}}")
            }
            _ => format!("number {}", self.chance.below(1000)),
        }
    }

    fn replaced_file(&mut self) {
        let name = self.name("replaced");
        let _ = writeln!(self.setup, "echo before > d/{name}; chmod 0640 d/{name}");
        let content = self.content();
        let mut lines = vec![format!(
            "copy: {{dest: \"{{{{ root }}}}/d/{name}\", content: \"{content}\\n\"}}"
        )];
        self.more(&mut lines);
        self.task(0, &name, &lines);
    }

    fn large_file(&mut self) {
        let name = self.name("large");
        if self.chance.percent(70) {
            let _ = writeln!(
                self.setup,
                "yes before | head -c 1400000 > {name}; chmod 0604 {name}"
            );
        }
        let mut lines = vec![format!(
            "copy: {{src: large, dest: \"{{{{ root }}}}/{name}\"}}"
        )];
        self.more(&mut lines);
        self.task(0, &name, &lines);
    }

    fn directory(&mut self) {
        let name = self.name("directory");
        // Made by the login user, who writes into it next.
        let lines = [format!(
            "file: {{path: \"{{{{ root }}}}/{name}/deep/er\", state: directory, mode: \"0750\"}}"
        )];
        self.task(0, &name, &lines);
        let lines = [format!(
            "copy: {{dest: \"{{{{ root }}}}/{name}/deep/er/f\", content: \"in it\\n\"}}"
        )];
        self.task(0, &format!("{name}, a file in it"), &lines);
    }

    fn removed_directory(&mut self) {
        let name = self.name("gone");
        let _ = writeln!(self.setup, "mkdir -p {name}/deep; echo x > {name}/deep/x");
        let mut lines = vec![format!(
            "file: {{path: \"{{{{ root }}}}/{name}\", state: absent}}"
        )];
        self.more(&mut lines);
        self.task(0, &name, &lines);
    }

    fn removed_file(&mut self) {
        let name = self.name("lost");
        let _ = writeln!(self.setup, "echo lost > d/{name}");
        let mut lines = vec![format!(
            "file: {{path: \"{{{{ root }}}}/d/{name}\", state: absent}}"
        )];
        self.more(&mut lines);
        self.task(0, &name, &lines);
    }

    fn link(&mut self) {
        let name = self.name("link");
        if self.chance.percent(50) {
            let _ = writeln!(self.setup, "ln -s elsewhere {name}");
        }
        let lines = [format!(
            "file: {{path: \"{{{{ root }}}}/{name}\", src: d, state: link, force: true}}"
        )];
        self.task(0, &name, &lines);
    }

    fn mode(&mut self) {
        let name = self.name("mode");
        let _ = writeln!(self.setup, "echo {name} > d/{name}; chmod 0644 d/{name}");
        let mut lines = vec![format!(
            "file: {{path: \"{{{{ root }}}}/d/{name}\", mode: \"0{}00\"}}",
            4 + 2 * self.chance.below(2)
        )];
        self.more(&mut lines);
        self.task(0, &name, &lines);
    }

    fn line(&mut self) {
        let name = self.name("lines");
        let _ = writeln!(self.setup, "printf 'a=1\\nb=1\\n' > d/{name}");
        let mut lines = vec![format!(
            "lineinfile: {{path: \"{{{{ root }}}}/d/{name}\", regexp: \"^a=\", line: \"a={}\"}}",
            self.chance.below(100) + 2
        )];
        self.more(&mut lines);
        self.task(0, &name, &lines);
        // The same file once more: what stands between two writes of a run is nobody's end state.
        let lines = [format!(
            "lineinfile: {{path: \"{{{{ root }}}}/d/{name}\", line: \"c=1\"}}"
        )];
        self.task(0, &format!("{name}, again"), &lines);
    }

    fn block_of_lines(&mut self) {
        let name = self.name("block");
        let _ = writeln!(self.setup, "echo first > d/{name}");
        let mut lines = vec![format!(
            "blockinfile: {{path: \"{{{{ root }}}}/d/{name}\", block: \"one\\ntwo\"}}"
        )];
        self.more(&mut lines);
        self.task(0, &name, &lines);
    }

    fn replaced_words(&mut self) {
        let name = self.name("words");
        let _ = writeln!(self.setup, "echo 'old and old' > d/{name}");
        let mut lines = vec![format!(
            "replace: {{path: \"{{{{ root }}}}/d/{name}\", regexp: old, replace: new}}"
        )];
        self.more(&mut lines);
        self.task(0, &name, &lines);
    }

    fn template(&mut self) {
        let name = self.name("template");
        let mut lines = vec![
            format!("template: {{src: t.j2, dest: \"{{{{ root }}}}/d/{name}\"}}"),
            format!("vars: {{numbers: [1, {}]}}", self.chance.below(50)),
        ];
        self.more(&mut lines);
        self.task(0, &name, &lines);
    }

    fn command(&mut self) {
        let name = self.name("command");
        let mut lines = vec![self.counted(&name), format!("register: {name}")];
        self.more(&mut lines);
        self.task(0, &name, &lines);
        if self.chance.percent(50) {
            let lines = [format!(
                "set_fact: {{fact_of_{name}: \"{{{{ {name}.stdout }}}}, kept\"}}"
            )];
            self.task(0, &format!("{name}, a fact of it"), &lines);
            let lines = [format!(
                "copy: {{dest: \"{{{{ root }}}}/d/of-{name}\", content: \"{{{{ fact_of_{name} }}}}\\n\"}}"
            )];
            self.task(0, &format!("{name}, what it said"), &lines);
        }
        self.registers.push(name);
    }

    fn loop_of_files(&mut self) {
        let name = self.name("many");
        let mut lines = vec![
            format!(
                "copy: {{dest: \"{{{{ root }}}}/d/{name}-{{{{ item }}}}\", content: \"{{{{ item }}}}\\n\"}}"
            ),
            "loop: [a, b, c]".to_owned(),
        ];
        self.more(&mut lines);
        self.task(0, &name, &lines);
    }

    fn loop_of_commands(&mut self) {
        let name = self.name("each");
        let lines = [
            self.counted(&format!("{name}-{{{{ item }}}}")),
            "loop: [a, b, c]".to_owned(),
            format!("register: {name}"),
        ];
        self.task(0, &name, &lines);
        let lines = [format!(
            "copy: {{dest: \"{{{{ root }}}}/d/of-{name}\", content: \"{{{{ {name}.results | map(attribute='stdout') | join(';') }}}}\\n\"}}"
        )];
        self.task(0, &format!("{name}, what they said"), &lines);
    }

    fn rescued(&mut self) {
        let name = self.name("fails");
        let _ = writeln!(self.tasks, "    - name: {name}\n      block:");
        let lines = [format!(
            "copy: {{dest: \"{{{{ root }}}}/d/{name}-tried\", content: \"tried\\n\"}}"
        )];
        self.task(1, &format!("{name}, tried"), &lines);
        let lines = [format!(
            "shell: echo ran >> {{{{ root }}}}/counts/{name}; sleep 0.05; exit 3"
        )];
        self.task(1, &format!("{name}, and fails"), &lines);
        let lines = [self.counted(&format!("{name}-never"))];
        self.task(1, &format!("{name}, not reached"), &lines);
        let _ = writeln!(self.tasks, "      rescue:");
        let lines = [format!(
            "copy: {{dest: \"{{{{ root }}}}/d/{name}-rescued\", content: \"{{{{ ansible_failed_task.name }}}} {{{{ ansible_failed_result.rc }}}}\\n\"}}"
        )];
        self.task(1, &format!("{name}, rescued"), &lines);
        let lines = [self.counted(&format!("{name}-rescue"))];
        self.task(1, &format!("{name}, a command of the rescue"), &lines);
        let _ = writeln!(self.tasks, "      always:");
        let lines = [self.counted(&format!("{name}-always"))];
        self.task(1, &format!("{name}, always"), &lines);
    }

    fn included(&mut self) {
        let name = self.name("included");
        let one = self.counted(&format!("{name}-{{{{ which }}}}"));
        let text = format!(
            "- name: {name}, a command\n  {one}\n  register: {name}\n- name: {name}, a file\n  copy: {{dest: \"{{{{ root }}}}/d/{name}-{{{{ which }}}}\", content: \"{{{{ {name}.stdout }}}}\\n\"}}\n  notify: handler 1\n"
        );
        self.files.push((format!("tasks/{name}.yaml"), text));
        let lines = [
            format!("include_tasks: tasks/{name}.yaml"),
            "loop: [x, y]".to_owned(),
            "loop_control: {loop_var: which}".to_owned(),
        ];
        self.task(0, &name, &lines);
    }

    fn on_condition(&mut self) {
        let name = self.name("maybe");
        let lines = [self.counted(&name), format!("register: {name}")];
        self.task(0, &name, &lines);
        for (word, negated) in [("yes", ""), ("no", "not ")] {
            let lines = [
                self.counted(&format!("{name}-{word}")),
                format!("when: {negated}{name}.stdout is search('said')"),
            ];
            self.task(0, &format!("{name}, {word}"), &lines);
        }
        self.registers.push(name);
    }

    fn before(&mut self) {
        let name = self.name("swap");
        let _ = writeln!(self.setup, "echo old > d/{name}");
        let lines = [
            format!("before: [{name}]"),
            self.counted(&format!("{name}-stop")),
        ];
        self.task(0, &format!("{name}, stop before it"), &lines);
        let lines = [self.counted(&format!("{name}-between"))];
        self.task(0, &format!("{name}, something between"), &lines);
        let lines = [
            format!("id: {name}"),
            format!("copy: {{dest: \"{{{{ root }}}}/d/{name}\", content: \"new\\n\"}}"),
            "notify: handler 3".to_owned(),
        ];
        self.task(0, &name, &lines);
        // Nothing of this changes, so nothing is done before it.
        let _ = writeln!(self.setup, "printf 'same\\n' > d/{name}-same");
        let lines = [
            format!("before: [{name}-same]"),
            self.counted(&format!("{name}-idle")),
        ];
        self.task(0, &format!("{name}, nothing to do before"), &lines);
        let lines = [
            format!("id: {name}-same"),
            format!("copy: {{dest: \"{{{{ root }}}}/d/{name}-same\", content: \"same\\n\"}}"),
        ];
        self.task(0, &format!("{name}, as it is"), &lines);
    }

    fn side_by_side(&mut self) {
        let name = self.name("side");
        let _ = writeln!(
            self.tasks,
            "    - name: {name}\n      parallel: true\n      block:"
        );
        for side in ["left", "right"] {
            let _ = writeln!(
                self.tasks,
                "        - name: {name}, {side}\n          block:"
            );
            let word = format!("{name}-{side}");
            let lines = [self.counted(&word), format!("register: {name}_{side}")];
            self.task(2, &format!("{name}, {side}, a command"), &lines);
            let lines = [format!(
                "copy: {{dest: \"{{{{ root }}}}/d/{word}\", content: \"{{{{ {name}_{side}.stdout }}}}\\n\"}}"
            )];
            self.task(2, &format!("{name}, {side}, a file"), &lines);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::generate;

    #[test]
    fn a_seed_gives_one_playbook_and_another_seed_another() {
        assert_eq!(
            generate(7, 25, false).playbook,
            generate(7, 25, false).playbook
        );
        assert_ne!(
            generate(7, 25, false).playbook,
            generate(8, 25, false).playbook
        );
    }
}
