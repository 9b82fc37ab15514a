//! Rules and labels of SELinux, as its own tools and the file system see them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use runbook_e2e::Scene;

#[path = "../../policy.rs"]
mod policy;
#[path = "../../skip.rs"]
mod skip;

use policy::Store;

/// A site with a policy of its own and an installation.
struct Site {
    store: Store,
    scene: Scene,
}

impl Site {
    fn new(test: &str) -> Result<Option<Self>> {
        let store = match Store::new() {
            Ok(store) => store,
            Err(why) => {
                skip::skip(test, &why);
                return Ok(None);
            }
        };
        let scene = Scene::new()?;
        for file in [
            "home/php/home.php",
            "home/php/a b",
            "home/log/x.log",
            "home/pacs",
        ] {
            scene.write(file, "x\n")?;
        }
        symlink("pacs", scene.path("home/link"))?;
        scene.write("hosts.yaml", "all: {hosts: {localhost: {}}}\n")?;
        Ok(Some(Self { store, scene }))
    }

    fn home(&self) -> String {
        self.scene.path("home").display().to_string()
    }

    /// A playbook of these tasks, in which `$HOME` and `$STORE` are filled in.
    fn play(&self, tasks: &str) -> Result<()> {
        let tasks = tasks
            .replace("$HOME", &self.home())
            .replace("$STORE", &self.store.name);
        self.scene.write(
            "play.yaml",
            &format!("- hosts: all\n  gather_facts: false\n  tasks:\n{tasks}"),
        )?;
        Ok(())
    }

    /// Runs it; status and diff of each task.
    fn run(&self, more: &[&str]) -> Result<Vec<(String, String)>> {
        let args = [
            &["play", "play.yaml", "-i", "hosts.yaml", "--output", "json"],
            more,
        ]
        .concat();
        let run = self.scene.runbook(&args)?;
        ensure!(run.code == 0, "{}", run.text());
        let told = |task: &serde_json::Value| {
            let part = |name: &str| task[name].as_str().unwrap_or_default().to_owned();
            (part("status"), format!("{}{}", part("diff"), task["notes"]))
        };
        Ok(run.tasks("localhost")?.iter().map(told).collect())
    }

    fn rules(&self) -> Result<String> {
        let args = ["fcontext", "-S", &self.store.name, "-l", "-C"];
        let output = Command::new("/usr/sbin/semanage").args(args).output()?;
        ensure!(output.status.success());
        Ok(String::from_utf8(output.stdout)?.replace(&self.home(), "$HOME"))
    }

    /// The type of each file.
    fn types(&self) -> Result<BTreeMap<String, String>> {
        let home = self.home();
        let args = [
            "-R",
            "-P",
            "-h",
            "-d",
            "-m",
            "security.selinux",
            "--absolute-names",
            &home,
        ];
        let output = Command::new("/usr/bin/getfattr").args(args).output()?;
        ensure!(output.status.success());
        let mut path = String::new();
        let mut found = BTreeMap::new();
        for line in String::from_utf8(output.stdout)?.lines() {
            if let Some(name) = line.strip_prefix("# file: ") {
                path = name.replace(&home, "").replace("\\040", " ");
            } else if let Some(label) = line.strip_prefix("security.selinux=") {
                let of_label = label.split(':').nth(2).context("a label")?;
                found.insert(path.clone(), of_label.to_owned());
            }
        }
        Ok(found)
    }

    fn label(&self, file: &str, label: &str) -> Result<()> {
        let path = self.scene.path("home").join(file);
        let args = ["-h", "-n", "security.selinux", "-v", label];
        let set = Command::new("/usr/bin/setfattr")
            .args(args)
            .arg(path)
            .status()?;
        ensure!(set.success());
        Ok(())
    }
}

const TASKS: &str = r#"
    - name: Labels
      selinux_fcontext:
        store: $STORE
        ignore_selinux_state: true
        rules:
          - {target: "$HOME(/.*)?", setype: httpd_sys_content_t}
          - {target: "$HOME/log(/.*)?", setype: httpd_log_t}
        restore: [$HOME, $HOME/log]
"#;

#[test]
fn a_directory_gets_its_labels_and_has_its_old_ones_again() -> Result<()> {
    let Some(site) = Site::new("a_directory_gets_its_labels")? else {
        return Ok(());
    };
    site.label("log/x.log", "system_u:object_r:var_log_t:s0")?;
    site.label("pacs", "system_u:object_r:httpd_sys_content_t:s0")?;
    let before = (site.rules()?, site.types()?);
    site.play(TASKS)?;
    let check = site.run(&["--check", "--diff"])?;
    assert_eq!(
        (site.rules()?, site.types()?),
        before,
        "a check writes nothing"
    );
    let home = site.home();
    for line in [
        format!("+{home}(/.*)? a system_u:object_r:httpd_sys_content_t:s0"),
        format!(
            "-{home}/php/a b no label\n+{home}/php/a b system_u:object_r:httpd_sys_content_t:s0"
        ),
        format!(
            "-{home}/log/x.log system_u:object_r:var_log_t:s0\n+{home}/log/x.log system_u:object_r:httpd_log_t:s0"
        ),
    ] {
        ensure!(check[0].1.contains(&line), "{line}:\n{}", check[0].1);
    }
    ensure!(
        !check[0].1.contains("/pacs "),
        "its label is right: {}",
        check[0].1
    );

    assert_eq!(
        site.run(&["-y", "--diff"])?,
        check,
        "what the check has said"
    );
    let types: Vec<(String, String)> = site.types()?.into_iter().collect();
    let type_of = |path: &str| {
        types
            .iter()
            .find(|(p, _)| p == path)
            .map(|(_, t)| t.as_str())
    };
    for (path, expected) in [
        ("", "httpd_sys_content_t"),
        ("/link", "httpd_sys_content_t"),
        ("/php/a b", "httpd_sys_content_t"),
        ("/log", "httpd_log_t"),
        ("/log/x.log", "httpd_log_t"),
    ] {
        assert_eq!(type_of(path), Some(expected), "{path}: {types:?}");
    }
    let rules = site.rules()?;
    ensure!(
        rules.contains("$HOME(/.*)?") && rules.contains("$HOME/log(/.*)?"),
        "{rules}"
    );
    assert_eq!(site.run(&["-y"])?[0].0, "ok", "a second time");

    let back = site
        .scene
        .runbook(&["rollback", "-y", "--output", "json"])?;
    ensure!(back.code == 0, "{}", back.text());
    assert_eq!((site.rules()?, site.types()?), before);
    Ok(())
}

#[test]
fn ten_thousand_files_are_labelled_in_one_batch() -> Result<()> {
    let Some(site) = Site::new("ten_thousand_files")? else {
        return Ok(());
    };
    for folder in 0..100 {
        let folder = site.scene.path(&format!("home/many/{folder}"));
        fs::create_dir_all(&folder)?;
        for file in 0..100 {
            fs::write(folder.join(format!("{file}")), "")?;
        }
    }
    site.play(TASKS)?;
    assert_eq!(site.run(&["-y"])?[0].0, "changed");
    let types = site.types()?;
    let labelled = types
        .values()
        .filter(|t| *t == "httpd_sys_content_t")
        .count();
    ensure!(labelled >= 10_100, "{labelled}");
    // A second run writes nothing.
    let times = |site: &Site| -> Result<Vec<std::time::SystemTime>> {
        let mut all = Vec::new();
        for path in types.keys() {
            let path = format!("{}{path}", site.home());
            let about = fs::symlink_metadata(path)?;
            use std::os::unix::fs::MetadataExt as _;
            let changed = std::time::Duration::new(
                about.ctime().unsigned_abs(),
                about.ctime_nsec().unsigned_abs() as u32,
            );
            all.push(std::time::UNIX_EPOCH + changed);
        }
        Ok(all)
    };
    let before = times(&site)?;
    assert_eq!(site.run(&["-y"])?[0].0, "ok");
    assert_eq!(times(&site)?, before);
    Ok(())
}

#[test]
fn what_counts_before_a_rule_is_named_and_what_cannot_be_is_refused() -> Result<()> {
    let Some(site) = Site::new("what_counts_before_a_rule")? else {
        return Ok(());
    };
    let task = |args: &str| {
        format!("    - selinux_fcontext: {{store: $STORE, ignore_selinux_state: true, {args}}}\n")
    };
    // What comes behind it counts; the rule that is changed stays where it is.
    site.play(
        &(task("target: \"$HOME/log(/.*)?\", setype: httpd_log_t")
            + &task("target: \"$HOME(/.*)?\", setype: var_t")),
    )?;
    site.run(&["-y"])?;
    site.play(&task(
        "target: \"$HOME/log(/.*)?\", setype: var_log_t, restore: [$HOME/log]",
    ))?;
    let told = site.run(&["-y", "--diff"])?;
    let note = format!("the local rule {}(/.*)? (var_t) comes behind", site.home());
    ensure!(told[0].1.contains(&note), "{}", told[0].1);
    assert_eq!(
        site.types()?.get("/log/x.log").map(String::as_str),
        Some("var_t")
    );

    // A rule that goes and comes back stands where it stood.
    let order = site.rules()?;
    site.play(&task("target: \"$HOME/log(/.*)?\", state: absent"))?;
    site.run(&["-y"])?;
    ensure!(!site.rules()?.contains("/log"), "{}", site.rules()?);
    let back = site.scene.runbook(&["rollback", "-y"])?;
    ensure!(back.code == 0, "{}", back.text());
    assert_eq!(site.rules()?, order);
    let path = format!(
        "/etc/selinux/{}/contexts/files/file_contexts.local",
        site.store.name
    );
    let text = fs::read_to_string(path)?;
    let (log, all) = (text.find("/log(/.*)?"), text.rfind("home(/.*)?"));
    ensure!(log.is_some() && log < all, "{text}");

    // So do two that go together.
    site.play(&task("rules: [{target: \"$HOME/log(/.*)?\", state: absent}, {target: \"$HOME(/.*)?\", state: absent}]"))?;
    site.run(&["-y"])?;
    let back = site.scene.runbook(&["rollback", "-y"])?;
    ensure!(back.code == 0, "{}", back.text());
    let path = format!(
        "/etc/selinux/{}/contexts/files/file_contexts.local",
        site.store.name
    );
    assert_eq!(fs::read_to_string(path)?, text);

    // The policy treats one directory as another.
    site.play(&task("target: /bin/pacsone, setype: bin_t"))?;
    let told = site.run(&["-y"])?;
    ensure!(
        told[0].1.contains("the rule is for /usr/bin/pacsone"),
        "{}",
        told[0].1
    );
    ensure!(site.rules()?.contains("/usr/bin/pacsone"));

    let rules = site.rules()?;
    for (args, expected) in [
        (
            "target: \"/home/pacsone(/.* )?\", setype: var_t",
            "write `/home/pacsone(/.*)?`",
        ),
        (
            "target: /home/pacsone/, setype: var_t",
            "write `/home/pacsone(/.*)?`",
        ),
        ("target: home, setype: var_t", "does not begin with `/`"),
        ("target: /home/pacsone", "`setype` is missing"),
        (
            "target: /home/pacsone, setype: none_such_t",
            "the policy does not take the rules: ",
        ),
        (
            "target: \"/home/(pacsone\", setype: var_t",
            "the policy does not take the rules: ",
        ),
        ("target: \"/srv/it's\", setype: var_t", "has a quote in it"),
        (
            "rules: [{target: /bin/zz, setype: var_t}, {target: /usr/bin/zz, setype: etc_t}]",
            "there are two rules for /usr/bin/zz",
        ),
        ("setype: var_t", "`target` is missing"),
    ] {
        site.play(&task(args))?;
        for check in ["--check", "-y"] {
            let run = site
                .scene
                .runbook(&["play", "play.yaml", "-i", "hosts.yaml", check])?;
            ensure!(
                run.code != 0 && run.text().contains(expected),
                "{args}: {}",
                run.text()
            );
        }
        assert_eq!(site.rules()?, rules, "{args}");
    }
    Ok(())
}

#[test]
fn drift_of_rules_and_labels_is_refused() -> Result<()> {
    let Some(site) = Site::new("drift_of_rules_and_labels")? else {
        return Ok(());
    };
    site.play(TASKS)?;
    let plan = ["plan", "play.yaml", "-i", "hosts.yaml", "-o", "plan.json"];
    let made = site.scene.runbook(&plan)?;
    ensure!(made.code == 0, "{}", made.text());
    let target = format!("{}(/.*)?", site.home());
    let semanage = |more: &[&str]| -> Result<()> {
        let args = [&["fcontext", "-S", &site.store.name], more, &[&target]].concat();
        ensure!(
            Command::new("/usr/sbin/semanage")
                .args(args)
                .status()?
                .success()
        );
        Ok(())
    };
    let refused = |named: &str| -> Result<()> {
        let before = (site.rules()?, site.types()?);
        let apply = site.scene.runbook(&["apply", "plan.json"])?;
        ensure!(
            apply.code == 5 && apply.err.contains(named),
            "{}",
            apply.text()
        );
        assert_eq!((site.rules()?, site.types()?), before);
        Ok(())
    };
    semanage(&["-a", "-t", "var_t"])?;
    refused("no rule → system_u:object_r:var_t:s0")?;
    semanage(&["-d"])?;
    site.label("pacs", "system_u:object_r:etc_t:s0")?;
    refused("/pacs: no label → system_u:object_r:etc_t:s0")?;
    let path = site.scene.path("home/pacs");
    let taken = Command::new("/usr/bin/setfattr")
        .args(["-h", "-x", "security.selinux"])
        .arg(path)
        .status()?;
    ensure!(taken.success());
    let apply = site.scene.runbook(&["apply", "plan.json"])?;
    ensure!(apply.code == 0, "{}", apply.text());
    Ok(())
}

#[test]
fn where_selinux_is_off_it_is_skipped_with_the_reason() -> Result<()> {
    if fs::exists("/sys/fs/selinux/enforce")? {
        skip::skip("where_selinux_is_off", "it is on here");
        return Ok(());
    }
    let Some(site) = Site::new("where_selinux_is_off")? else {
        return Ok(());
    };
    site.play(&TASKS.replace("        ignore_selinux_state: true\n", ""))?;
    let run = site
        .scene
        .runbook(&["play", "play.yaml", "-i", "hosts.yaml", "-y"])?;
    ensure!(
        run.code == 0 && run.text().contains("SELinux is off on this host"),
        "{}",
        run.text()
    );
    ensure!(site.types()?.is_empty());
    Ok(())
}
