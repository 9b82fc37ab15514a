//! What a check and a run say is so: nothing stands in no plan, nothing is taken for true that was true once, and what is
//! to be hidden stays hidden.

use std::fs;
use std::time::Duration;

use anyhow::Result;
use runbook_e2e::{Run, Scene};

fn play(scene: &Scene, tasks: &str, more: &[&str]) -> Result<Run> {
    scene.write("play.yaml", tasks)?;
    let args = [&["play", "play.yaml", "-i", "localhost,"], more].concat();
    scene.runbook(&args)
}

#[test]
fn a_rescue_is_told_before_anybody_says_yes() -> Result<()> {
    let scene = Scene::new()?;
    let file = scene.write("precious", "x\n")?;
    let tasks = format!(
        "- hosts: all\n  gather_facts: false\n  tasks:\n    - name: Try it\n      block:\n        - command: /bin/false\n      rescue:\n        - name: Away with it\n          file: {{path: {}, state: absent}}\n",
        file.display()
    );
    let check = play(&scene, &tasks, &["--check"])?;
    let line = check
        .out
        .lines()
        .find(|l| l.contains("if \"Try it\" fails:"))
        .unwrap_or_default();
    for said in ["change", "Away with it", "precious: file → absent"] {
        assert!(line.contains(said), "no `{said}` in\n{}", check.out);
    }
    assert!(file.exists());
    // It is no part of the prediction itself: the run tells the same tasks where nothing fails.
    let harmless = tasks.replace("/bin/false", "/bin/true");
    let check = play(&scene, &harmless, &["--check", "--output", "json"])?;
    let run = play(&scene, &harmless, &["--output", "json"])?;
    let names = |run: &Run| -> Result<Vec<String>> {
        let finished = run.tasks("localhost")?;
        Ok(finished.iter().map(|t| t["task"].to_string()).collect())
    };
    assert_eq!(names(&check)?, names(&run)?);
    let told = check.events()?;
    let told = told.iter().find(|e| e["event"] == "rescue-foretold");
    assert_eq!(
        told.map(|e| e["block"].to_string()).as_deref(),
        Some("\"Try it\"")
    );
    Ok(())
}

#[test]
fn ok_is_not_said_of_what_was_so_before_a_wait() -> Result<()> {
    for wait in [
        "pause: {seconds: 2}",
        "command: sleep 2",
        "wait_for: {path: GO, timeout: 20}",
    ] {
        let scene = Scene::new()?;
        let file = scene.write("conf", "wanted\n")?;
        let go = scene.path("go");
        let tasks = format!(
            "- hosts: all\n  gather_facts: false\n  tasks:\n    - {}\n    - name: Conf\n      copy: {{dest: {}, content: \"wanted\\n\"}}\n",
            wait.replace("GO", &go.display().to_string()),
            file.display()
        );
        let (other, theirs) = (file.clone(), go.clone());
        let somebody = std::thread::spawn(move || -> Result<()> {
            std::thread::sleep(Duration::from_millis(1200));
            fs::write(&other, "theirs\n")?;
            Ok(fs::write(theirs, "")?)
        });
        let run = play(&scene, &tasks, &["--output", "json"])?;
        somebody.join().map_err(|_| anyhow::anyhow!("panicked"))??;
        assert_eq!(run.code, 0, "{}", run.text());
        let finished = run.tasks("localhost")?;
        let conf = finished.iter().find(|t| t["task"] == "Conf");
        assert_eq!(
            conf.map(|t| t["status"].to_string()).as_deref(),
            Some("\"changed\""),
            "{wait}"
        );
        assert_eq!(fs::read_to_string(&file)?, "wanted\n", "{wait}");
    }
    Ok(())
}

#[test]
fn a_command_whose_failure_is_accepted_has_changed_something() -> Result<()> {
    let scene = Scene::new()?;
    let tasks = "- hosts: all\n  gather_facts: false\n  tasks:\n    - name: Accepted\n      shell: exit 2\n      failed_when: false\n      notify: told\n      register: a\n    - name: Ignored\n      shell: exit 2\n      ignore_errors: true\n      register: b\n    - assert: {that: [a is changed, a is not failed, b is changed, b is failed]}\n  handlers:\n    - name: told\n      command: {cmd: \"true\", reads_only: true}\n";
    let run = play(&scene, tasks, &["--output", "json"])?;
    assert_eq!(run.code, 0, "{}", run.text());
    let finished = run.tasks("localhost")?;
    let status = |name: &str| {
        let task = finished.iter().find(|t| t["task"] == name);
        task.map(|t| t["status"].to_string())
    };
    assert_eq!(status("Accepted").as_deref(), Some("\"changed\""));
    assert!(
        status("told").is_some(),
        "the handler did not run: {}",
        run.out
    );
    Ok(())
}

#[test]
fn secrets_are_shown_by_no_way_round() -> Result<()> {
    let scene = Scene::new()?;
    let tasks = r#"
- hosts: all
  gather_facts: false
  vars: {db_password: of-a-variable, plain: of-a-retry}
  tasks:
    - shell: "echo {{ db_password }} | rev | rev"
      register: out
    - debug: {var: out.stdout}
    - set_fact: {my_password: of-a-fact, x_token: "of-a-fact-made-{{ 1 + 1 }}"}
    - debug: {msg: "{{ my_password }} {{ x_token }}"}
    - debug: {msg: "{{ item.password }}"}
      loop: [{password: of-a-loop}]
    - command: echo of-a-register
      register: new_password
    - debug: {msg: "{{ new_password.stdout }}"}
    - copy: {dest: CONF, content: "password={{ my_password }}\n"}
    - shell: "echo {{ plain }} >&2; exit 1"
      no_log: true
      retries: 1
      delay: 0
      ignore_errors: true
"#;
    let tasks = tasks.replace("CONF", &scene.path("conf").display().to_string());
    for more in [
        &["-v", "--diff"][..],
        &["-v", "--output", "json"],
        &["--check", "--diff", "-v"],
    ] {
        let run = play(&scene, &tasks, more)?;
        assert_eq!(run.code, 0, "{}", run.text());
        for secret in ["of-a-variable", "of-a-fact", "of-a-loop", "of-a-retry"] {
            assert!(
                !run.text().contains(secret),
                "{secret} in {more:?}:\n{}",
                run.text()
            );
        }
    }
    Ok(())
}

#[test]
fn where_a_variable_is_asked_for_it_may_be_undefined() -> Result<()> {
    let scene = Scene::new()?;
    let target = scene.path("made");
    let tasks = format!(
        "- hosts: all\n  gather_facts: false\n  tasks:\n    - command: /bin/true\n      register: ran\n    - name: Perhaps\n      \
         copy: {{dest: \"{}\", content: \"{{{{ perhaps }}}}\", mode: \"{{{{ mode }}}}\"}}\n      \
         when: ran.rc == 0 and perhaps is defined and mode is defined\n",
        target.display()
    );
    let without = play(&scene, &tasks, &["-y"])?;
    assert_eq!(without.code, 0, "{}{}", without.out, without.err);
    assert!(!target.exists());
    let with = play(&scene, &tasks, &["-y", "-e", "perhaps=yes mode=0600"])?;
    assert_eq!(with.code, 0, "{}{}", with.out, with.err);
    assert_eq!(fs::read_to_string(&target)?, "yes");
    // What is known to be wrong is told beforehand all the same.
    let wrong = play(&scene, &tasks, &["-y", "-e", "perhaps=yes mode=rwx"])?;
    assert_eq!(wrong.code, 1, "{}{}", wrong.out, wrong.err);
    Ok(())
}

/// A secret that stands in the name of a resource, or in the line of a shell.
#[test]
fn a_secret_in_a_name_or_a_line_is_shown_nowhere() -> Result<()> {
    let token = "Tok-Zeta-4711x";
    let scene = Scene::new()?;
    let root = scene.path("host").display().to_string();
    fs::create_dir(&root)?;
    let tasks = format!(
        r#"- hosts: all
  gather_facts: false
  vars: {{api_token: {token}}}
  tasks:
    - file: {{path: "{root}/{{{{ api_token }}}}", state: directory}}
    - template: {{src: t.j2, dest: "{root}/{{{{ api_token }}}}/f"}}
    - name: The arguments of the shell itself
      shell: ": {{{{ api_token }}}}; tr '\\0' ' ' < /proc/$$/cmdline > {root}/arguments"
"#
    );
    scene.write(
        "t.j2",
        "{{ api_token | upper }} {{ api_token | reverse }} {{ api_token | hash('sha256') }} {{ api_token[:9] }}\n",
    )?;
    let run = play(&scene, &tasks, &["--diff"])?;
    assert_eq!(run.code, 0, "{}", run.text());
    let arguments = fs::read_to_string(format!("{root}/arguments"))?;
    assert!(!arguments.contains(token), "{arguments}");
    // A plan that is refused names what has changed.
    let plan = ["plan", "play.yaml", "-i", "localhost,", "-o", "plan.json"];
    let mut said = vec![run.text(), scene.runbook(&plan)?.text()];
    let file = format!("{root}/{token}/f");
    let written = fs::read_to_string(&file)?;
    fs::write(&file, "other\n")?;
    for call in [
        &["apply", "plan.json", "--diff"][..],
        &["show"],
        &["show", "--output", "json"],
        &["log"],
        &["log", "--output", "json"],
        &["drift", "--run", "-i", "localhost,", "--diff"],
        &["rollback", "--check", "--diff", "-i", "localhost,"],
        &["runs"],
    ] {
        said.push(scene.runbook(call)?.text());
    }
    let mut made: Vec<String> = written.split_whitespace().map(str::to_owned).collect();
    made.push(token.to_owned());
    assert_eq!(made.len(), 5);
    for text in said {
        for secret in &made {
            assert!(!text.contains(secret.as_str()), "{secret} in\n{text}");
        }
    }
    Ok(())
}
