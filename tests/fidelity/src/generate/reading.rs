//! Tasks that look at something, and what later tasks make of what they have found.

use serde_json::{Map, Value, json};

use super::files::on_host;
use super::picture::Thing;
use super::{Holds, Writer, call};

impl Writer {
    pub(super) fn reading_task(&mut self) -> Map<String, Value> {
        let path = self.a_file();
        self.uses(&path);
        let (mut task, holds) = match self.random.chance(65) {
            true => {
                let mut args = json!({"path": on_host(&path)});
                if self.random.chance(25) {
                    args["follow"] = json!(true);
                }
                (call("stat", args), Holds::Stat)
            }
            false => {
                let path = self.picture.existing(Thing::File, &mut self.random);
                let path = path.unwrap_or_else(|| self.a_file());
                self.uses(&path);
                (
                    call("slurp", json!({"src": on_host(&path)})),
                    Holds::Content,
                )
            }
        };
        self.maybe_registered(&mut task, holds, 100);
        task
    }

    /// A register, newer ones more often. Of what a check cannot know only where that is wanted.
    fn a_register(&mut self) -> Option<super::Register> {
        let murky = self.murky && self.random.chance(30);
        let usable: Vec<_> = self
            .registers
            .iter()
            .filter(|r| murky || r.holds != Holds::Action)
            .cloned()
            .collect();
        let newest = usable.len().saturating_sub(6);
        let usable = &usable[newest..];
        if usable.is_empty() {
            return None;
        }
        self.builds = true;
        Some(self.random.pick(usable).clone())
    }

    /// A template of what an earlier task has registered, defined whatever that task did.
    pub(super) fn value_of_register(&mut self) -> Option<String> {
        let register = self.a_register()?;
        let (name, random) = (&register.name, &mut self.random);
        let part = match register.holds {
            Holds::Stat => random.pick(&[
                "stat.size | default(0)",
                "stat.mode | default('none')",
                "stat.checksum | default('none')",
                "stat.exists | default('?')",
                "stat.lnk_source | default('no link')",
                "stat.pw_name | default('nobody')",
            ]),
            Holds::Content => random.pick(&[
                "content | default('') | b64decode | trim",
                "content | default('') | length",
            ]),
            Holds::Change => random.pick(&[
                "changed",
                "failed",
                "checksum | default('none')",
                "size | default('none')",
                "mode | default('none')",
                "backup_file | default('none') | basename",
                "msg | default('')",
            ]),
            Holds::Answer => random.pick(&[
                "stdout | default('')",
                "rc | default(9)",
                "stdout_lines | default([]) | length",
            ]),
            Holds::Action => random.pick(&[
                "rc | default(9)",
                "stdout | default('')",
                "failed",
                "changed",
            ]),
        };
        // A part before the first filter has to be there, so the register's own name stands in front of it.
        Some(format!("{{{{ {name}.{part} }}}}"))
    }

    /// A condition on what an earlier task has registered.
    pub(super) fn condition(&mut self) -> Option<String> {
        let register = self.a_register()?;
        let (name, random) = (&register.name, &mut self.random);
        let condition = match register.holds {
            Holds::Stat => random.pick(&[
                "R.stat.exists | default(false)",
                "not (R.stat.exists | default(false))",
                "R.stat.isdir | default(false)",
                "(R.stat.size | default(0)) > 5",
                "(R.stat.mode | default('')) == '0644'",
            ]),
            Holds::Content => random.pick(&[
                "'a=' in (R.content | default('') | b64decode)",
                "R is succeeded",
            ]),
            Holds::Change => random.pick(&[
                "R is changed",
                "R is not changed",
                "R.changed",
                "R is succeeded",
                "R is not skipped",
                "R is failed or R is changed",
            ]),
            Holds::Answer => random.pick(&[
                "(R.rc | default(1)) == 0",
                "'a' in (R.stdout | default(''))",
                "R is succeeded",
            ]),
            Holds::Action => random.pick(&[
                "(R.rc | default(1)) == 0",
                "R.stdout != 'x'",
                "R is succeeded",
                "R is failed",
                "R is changed",
            ]),
        };
        Some(
            condition
                .replace("R.", &format!("{name}."))
                .replace("R is", &format!("{name} is")),
        )
    }
}
