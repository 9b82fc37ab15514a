//! Playbooks that a newcomer from Ansible writes: they do what they do there.

use anyhow::{Result, ensure};
use runbook_e2e::{Run, Scene};

fn play(scene: &Scene, args: &[&str]) -> Result<Run> {
    let run = scene.runbook(&[&["play"], args].concat())?;
    ensure!(run.code == 0, "{}", run.text());
    Ok(run)
}

/// Plays tasks on this machine; `AT` in them is the folder.
fn tasks(scene: &Scene, tasks: &str) -> Result<Run> {
    let at = scene.folder().display().to_string();
    let play_of = "- hosts: localhost\n  gather_facts: false\n  tasks:\n".to_owned() + tasks;
    scene.write("p.yaml", &play_of.replace("AT", &at))?;
    play(scene, &["p.yaml", "-i", "localhost,", "-y"])
}

fn content(scene: &Scene, name: &str) -> Result<String> {
    Ok(std::fs::read_to_string(scene.path(name))?)
}

#[test]
fn block_tags_in_the_texts_of_a_playbook_leave_no_blank_lines() -> Result<()> {
    let scene = Scene::new()?;
    tasks(
        &scene,
        "    - copy:
        dest: AT/copied
        content: |
          start
          {% for i in range(2) %}
          line {{ i }}
          {% endfor %}
          end
    - copy: {dest: AT/block, content: \"\"}
    - blockinfile:
        path: AT/block
        block: |
          {% if true %}
          one
          {% endif %}
    - shell: |
        {% for f in ['a', 'b'] %}
        echo {{ f }} >> AT/shelled
        {% endfor %}
    - set_fact:
        fact: |
          {% if true %}
          x
          {% endif %}
    - copy: {dest: AT/fact, content: \"{{ fact }}\"}
",
    )?;
    assert_eq!(content(&scene, "copied")?, "start\nline 0\nline 1\nend\n");
    assert_eq!(
        content(&scene, "block")?,
        "# BEGIN ANSIBLE MANAGED BLOCK\none\n# END ANSIBLE MANAGED BLOCK\n"
    );
    assert_eq!(content(&scene, "shelled")?, "a\nb\n");
    assert_eq!(content(&scene, "fact")?, "x\n");
    Ok(())
}

#[test]
fn a_template_file_is_rendered_with_the_options_of_its_task() -> Result<()> {
    let scene = Scene::new()?;
    scene.write("l.j2", "a\n  {% if true %}\nb\n  {% endif %}\nc\n")?;
    scene.write("c.j2", "a\r\n{% if true %}\r\nb\r\n{% endif %}\r\nc\r\n")?;
    tasks(
        &scene,
        r#"    - template: {src: l.j2, dest: AT/usual}
    - template: {src: l.j2, dest: AT/untrimmed, trim_blocks: false}
    - template: {src: l.j2, dest: AT/stripped, lstrip_blocks: true}
    - template: {src: l.j2, dest: AT/both, lstrip_blocks: yes, trim_blocks: "{{ false }}"}
    - template: {src: c.j2, dest: AT/ends}
    - template: {src: c.j2, dest: AT/crlf, newline_sequence: "\r\n"}
"#,
    )?;
    for (name, expected) in [
        ("usual", "a\n  b\n  c\n"),
        ("untrimmed", "a\n  \nb\n  \nc\n"),
        ("stripped", "a\nb\nc\n"),
        ("both", "a\n\nb\n\nc\n"),
        ("ends", "a\nb\nc\n"),
        ("crlf", "a\r\nb\r\nc\r\n"),
    ] {
        assert_eq!(content(&scene, name)?, expected, "{name}");
    }
    scene.write(
        "p.yaml",
        "- hosts: localhost\n  tasks:\n    - template: {src: l.j2, dest: /x, block_start_string: '<%'}\n",
    )?;
    let run = scene.runbook(&["play", "p.yaml", "-i", "localhost,"])?;
    assert!(
        run.code == 1 && run.err.contains("unknown argument `block_start_string`"),
        "{}",
        run.text()
    );
    Ok(())
}

#[test]
fn group_vars_beside_the_playbook_are_read_however_it_is_named() -> Result<()> {
    let scene = Scene::new()?;
    scene.write(
        "site.yaml",
        "- hosts: all\n  gather_facts: false\n  tasks:\n    - debug: {msg: \"{{ a }} and {{ b }}\"}\n",
    )?;
    scene.write("group_vars/all.yaml", "a: from group\n")?;
    scene.write("host_vars/localhost.yaml", "b: from host\n")?;
    scene.write("inv/hosts", "localhost ansible_connection=local\n")?;
    scene.write("hosts", "localhost ansible_connection=local\n")?;
    for playbook in ["site.yaml", "./site.yaml"] {
        for inventory in ["inv", "inv/hosts", "hosts", "./hosts", "localhost,"] {
            let run = play(&scene, &[playbook, "-i", inventory, "-y"])?;
            assert!(
                run.out.contains("from group and from host"),
                "{playbook} {inventory}: {}",
                run.text()
            );
        }
    }
    Ok(())
}

#[test]
fn magic_variables_know_who_has_failed() -> Result<()> {
    let scene = Scene::new()?;
    scene.write(
        "hosts",
        "[zoo]\na ansible_connection=local\nb ansible_connection=local\n[ape]\na\n",
    )?;
    scene.write(
        "p.yaml",
        "- hosts: zoo
  gather_facts: false
  tasks:
    - debug: {msg: \"in {{ group_names | join(' ') }}.\"}
    - fail:
      when: inventory_hostname == 'b'
    - debug: {msg: \"left {{ ansible_play_hosts }} {{ ansible_play_batch }} {{ play_hosts }} of {{ ansible_play_hosts_all }}\"}
",
    )?;
    let run = scene.runbook(&["play", "p.yaml", "-i", "hosts", "-y"])?;
    assert!(run.out.contains("in ape zoo."), "{}", run.text());
    assert!(
        run.out.contains("left ['a'] ['a'] ['a'] of ['a', 'b']"),
        "{}",
        run.text()
    );
    Ok(())
}

#[test]
fn contents_that_are_no_texts_are_written_as_ansible_writes_them() -> Result<()> {
    let scene = Scene::new()?;
    let cases = [
        (r#""{{ ['a', 'b'] }}""#, r#"["a", "b"]"#),
        (
            r#""{{ {'a': [1, true, none, 1.5, 'ü']} }}""#,
            r#"{"a": [1, true, null, 1.5, "\u00fc"]}"#,
        ),
        (
            r#"{a: 1, b: [x, "é<&>"]}"#,
            r#"{"a": 1, "b": ["x", "\u00e9<&>"]}"#,
        ),
        ("[]", "[]"),
        ("true", "True"),
        ("yes", "True"),
        (r#""{{ false }}""#, "False"),
        ("5", "5"),
        ("1.50", "1.5"),
        ("0o17", "0o17"),
        ("1_000", "1000"),
        ("2024-01-01", "2024-01-01"),
        (r#""{{ 'plain' }}""#, "plain"),
    ];
    let written: String = cases
        .iter()
        .enumerate()
        .map(|(at, (text, _))| format!("    - copy: {{dest: AT/c{at}, content: {text}}}\n"))
        .collect();
    tasks(&scene, &written)?;
    for (at, (text, expected)) in cases.iter().enumerate() {
        assert_eq!(content(&scene, &format!("c{at}"))?, *expected, "{text}");
    }
    Ok(())
}

#[test]
fn handlers_that_listen_to_a_topic_run_once() -> Result<()> {
    let scene = Scene::new()?;
    let at = scene.folder().display().to_string();
    let text = "- hosts: localhost
  tasks:
    - {copy: {dest: AT/a, content: a}, notify: [topic, other, three]}
    - meta: flush_handlers
    - {copy: {dest: AT/b, content: b}, notify: other}
  post_tasks:
    - {copy: {dest: AT/c, content: c}, notify: three}
  handlers:
    - {name: one, listen: [topic, other], shell: echo one >> AT/ran}
    - {name: two, listen: topic, shell: echo two >> AT/ran}
    - {name: three, shell: echo three >> AT/ran}
- hosts: localhost
  tasks:
    - {copy: {dest: AT/d, content: d}, notify: three}
  handlers:
    - {name: of another play, listen: [topic, three], shell: echo four >> AT/ran}
";
    scene.write("p.yaml", &text.replace("AT", &at))?;
    play(&scene, &["p.yaml", "-i", "localhost,", "-y"])?;
    let ran = content(&scene, "ran")?;
    let ran: Vec<&str> = ran.lines().collect();
    ensure!(
        ran == ["one", "two", "three", "one", "three", "four"],
        "{ran:?}"
    );
    Ok(())
}

#[test]
fn what_was_answered_is_not_asked_again_and_no_private_answer_is_shown() -> Result<()> {
    let scene = Scene::new()?;
    let at = scene.folder().display().to_string();
    let text = "- hosts: localhost
  vars_prompt: [{name: word, prompt: The word}]
  tasks:
    - {debug: {msg: 'it is {{ word }}'}}
    - {copy: {dest: AT/said, content: '{{ word }}'}}
";
    scene.write("p.yaml", &text.replace("AT", &at))?;
    let given = ["p.yaml", "-i", "localhost,", "-e", "word=quiet-otter", "-D"];
    let shown = play(&scene, &[&given[..], &["-vv", "-y"]].concat())?;
    ensure!(content(&scene, "said")? == "quiet-otter");
    ensure!(!shown.text().contains("otter"), "{}", shown.text());
    std::fs::remove_file(scene.path("said"))?;

    let plan = "runbook plan p.yaml -i localhost, -o p.plan -D";
    let mut terminal = runbook_e2e::Terminal::start(&scene, plan)?;
    terminal.until("The word: ")?;
    terminal.press("loud-otter\r")?;
    let (code, screen) = terminal.end()?;
    ensure!(code == 0 && !screen.contains("otter"), "{screen}");
    let applied = scene.runbook(&["apply", "p.plan"])?;
    ensure!(applied.code == 0, "{}", applied.text());
    ensure!(content(&scene, "said")? == "loud-otter");
    ensure!(!applied.text().contains("otter"), "{}", applied.text());
    Ok(())
}

#[test]
fn options_within_the_line_of_a_command() -> Result<()> {
    let scene = Scene::new()?;
    let twice = "    - shell: echo once >> once creates=once chdir=AT
    - command: touch 'a b' creates=\"AT/a b\"
      args: {chdir: AT}
    - shell: cat >> said stdin='two words'
      args: {chdir: AT, creates: AT/said}
";
    tasks(&scene, &(twice.to_owned() + twice))?;
    assert_eq!(content(&scene, "once")?, "once\n");
    assert_eq!(content(&scene, "said")?, "two words\n");
    assert!(scene.path("a b").is_file());
    let run = scene.runbook(&["call", "localhost", "shell", "pwd chdir=/etc", "-v"])?;
    ensure!(run.code == 0 && run.out.contains("/etc"), "{}", run.text());
    Ok(())
}

#[test]
fn an_exhausted_loop_has_its_retries_as_attempts() -> Result<()> {
    let scene = Scene::new()?;
    for (retries, attempts, calls) in [(0, 1, 1), (1, 1, 2), (2, 2, 3)] {
        tasks(
            &scene,
            &format!(
                "    - shell: echo x >> AT/calls{retries}; false
      register: found
      until: found.rc == 0
      retries: {retries}
      delay: 0
      ignore_errors: true
    - copy: {{content: \"{{{{ found.attempts }}}}\", dest: AT/attempts{retries}}}
"
            ),
        )?;
        let found = content(&scene, &format!("attempts{retries}"))?;
        assert_eq!(found, attempts.to_string(), "{retries}");
        let called = content(&scene, &format!("calls{retries}"))?;
        assert_eq!(called, "x\n".repeat(calls), "{retries}");
    }
    tasks(
        &scene,
        "    - shell: echo x >> AT/tries; test $(wc -l < AT/tries) = 3
      register: found
      until: found.rc == 0
      retries: 2
      delay: 0
    - copy: {content: \"{{ found.attempts }}\", dest: AT/attempts}
",
    )?;
    assert_eq!(content(&scene, "attempts")?, "3");
    Ok(())
}

#[test]
fn what_templates_for_ansible_count_on() -> Result<()> {
    let scene = Scene::new()?;
    scene.write("managed.j2", "# {{ ansible_managed }}\n")?;
    scene.write(
        "list.j2",
        "{% for i in [1, 2] %}{{ i }}{{ ',' if not loop.last }}{% endfor %}\n",
    )?;
    tasks(
        &scene,
        "    - template: {src: managed.j2, dest: AT/managed}
    - template: {src: managed.j2, dest: AT/own}
      vars: {ansible_managed: Ours}
    - template: {src: list.j2, dest: AT/list}
    - command: \"touch AT/plain{{ '-not' if 1 > 2 }}\"
    - copy: {content: \"{{ vars['greeting'] }}\", dest: AT/greeting}
      vars: {greeting: hello}
",
    )?;
    assert_eq!(content(&scene, "managed")?, "# Ansible managed\n");
    assert_eq!(content(&scene, "own")?, "# Ours\n");
    assert_eq!(content(&scene, "list")?, "1,2");
    assert_eq!(content(&scene, "greeting")?, "hello");
    assert!(scene.path("plain").is_file());
    let local = "- hosts: localhost\n  connection: local\n  tasks:\n    - debug: {msg: x}\n";
    scene.write("local.yaml", local)?;
    play(&scene, &["local.yaml", "-i", "localhost,"])?;
    Ok(())
}

#[test]
fn texts_that_say_yes_or_no() -> Result<()> {
    let scene = Scene::new()?;
    scene.write(
        "flag.yaml",
        "- hosts: localhost
  tasks:
    - command: touch AT/direct
      when: flag | bool
    - command: touch AT/inverse
      when: not flag | bool
"
        .replace("AT", &scene.folder().display().to_string())
        .as_str(),
    )?;
    play(
        &scene,
        &["flag.yaml", "-i", "localhost,", "-y", "-e", "flag=no"],
    )?;
    assert!(!scene.path("direct").exists() && scene.path("inverse").exists());
    // What a text says that only the run knows is judged there.
    scene.write(
        "late.yaml",
        "- hosts: localhost
  tasks:
    - command: {cmd: echo off, reads_only: true}
      register: found
    - debug: {msg: x}
      when: found.stdout
",
    )?;
    let run = scene.runbook(&["play", "late.yaml", "-i", "localhost,"])?;
    ensure!(run.code != 0, "{}", run.text());
    ensure!(
        run.text().contains("write `found.stdout | bool`"),
        "{}",
        run.text()
    );
    Ok(())
}
