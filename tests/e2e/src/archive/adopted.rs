//! Containers that somebody made by hand, as tasks that `runbook adopt` prints.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use runbook_lab::Lab;

use super::{Archive, names};

impl Archive {
    /// The tasks of the site's containers show no password, and change nothing where they are carried out.
    ///
    /// # Errors
    /// Where that is not so.
    pub fn is_adopted(&self) -> Result<()> {
        let folder = tempfile::tempdir()?;
        let at = |name: &str| folder.path().join(name).display().to_string();
        fs::write(at("password"), "frosted-anvil\n")?;
        let inventory = self.inventory().display().to_string();
        let mut playbook = "- hosts: all\n  become: true\n  vars_files: [ldap.yaml, db.yaml, arc.yaml]\n  tasks:\n".to_owned();
        for name in ["ldap", "db", "arc"] {
            let secrets = at(&format!("{name}.yaml"));
            let args = [
                "adopt",
                self.host_of(name)?,
                name,
                "-b",
                "-i",
                &inventory,
                "--secrets",
                &secrets,
                "--vault-password-file",
                &at("password"),
            ];
            self.say(&format!("$ runbook {}", args.join(" ")));
            let output = Command::new(&self.program)
                .args(args)
                .current_dir(Lab::project())
                .env("RUNBOOK_STATE", self.state.path())
                .stdin(Stdio::null())
                .output()?;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            ensure!(output.status.success(), "{said}");
            let task = String::from_utf8(output.stdout)?;
            self.say(&task);
            let written = fs::read_to_string(&secrets)?;
            let asked = "docker inspect -f '{{range .Config.Env}}{{println .}}{{end}}'";
            for line in self.on(name, &format!("{asked} {name}"))?.lines() {
                let Some((variable, value)) = line.split_once('=') else {
                    continue;
                };
                if variable.contains("PASS") && !value.is_empty() {
                    let shown = [&task, &said, &written].iter().any(|t| t.contains(value));
                    ensure!(!shown, "the value of {variable} is shown");
                }
            }
            for line in task.lines() {
                playbook.push_str(&format!("    {line}\n"));
            }
        }
        fs::write(at("adopted.yaml"), playbook)?;
        let tasks = names(&["Container ldap", "Container db", "Container arc"]);
        let checked = self.runbook(
            &[
                "play",
                &at("adopted.yaml"),
                "--check",
                "--diff",
                "--vault-password-file",
                &at("password"),
            ],
            0,
        )?;
        ensure!(
            checked.named("ok") == tasks,
            "the tasks of what is there come to {:#?}",
            checked.finished()
        );
        Ok(())
    }
}
