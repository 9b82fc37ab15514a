//! One slip is told as one mistake, with what to do: nothing is told of what only follows from it.

use anyhow::{Result, ensure};
use runbook_e2e::Scene;

/// What was written, and for each mistake a part of what is said.
type Case = (&'static str, &'static [&'static str]);

const TASKS: &[Case] = &[
    (
        "    - copy: {content: x, dset: /x}\n",
        &["did you mean `dest`?"],
    ),
    (
        "    - cpoyx: {content: x}
      register: found
    - debug: {msg: '{{ found.x }}'}\n",
        &["there is no module `cpoyx`"],
    ),
    (
        "    - debug: {msg: '{{ item }}'}
      with_items: [1]
    - include_tasks: '{{ item }}.yaml'
      with_items: [a]\n",
        &[
            "`with_items` is not a keyword here",
            "`with_items` is not a keyword here",
        ],
    ),
    (
        "    - debug: {msg: '{{ item }}'}
      with_fileglob: '*.txt'\n",
        &["`copy` takes a whole folder, too"],
    ),
    (
        "    - name: x
      copy:
      src: a
      dest: /b
      mode: '0644'\n",
        &["`src`, `dest`, `mode` stand beside `copy`, not below it"],
    ),
    (
        "    - copy: {content: x, dest: /x, mode: 644}
    - copy: content=x dest=/x mode=644
    - copy: {content: x, dest: /x, mode: 0644}
    - copy: {content: x, dest: /x, mode: '644'}
    - copy: {content: x, dest: /x, mode: u=rw}
    - file: {path: /x, mode: \"{{ m }}\"}
      vars: {m: 755}\n",
        &[
            "`mode: 644` is a decimal number, to Ansible the permission bits 1204",
            "write the octal digits as a text: `mode: \"0755\"`",
        ],
    ),
    (
        "    - debug: {msg: '{{ item }}'}
      loop: \"{{ query('fileglob','*.txt') }}\"
    - debug: {msg: \"{{ lookup('nosuch', inventory_hostname) }}\"}
    - debug: {msg: \"{{ lookup('env', 'HOME') }}\"}\n",
        &[
            "the lookup `fileglob` is not made here",
            "there is no lookup `nosuch`",
        ],
    ),
    (
        "    - debug: msg=x when=foo
    - copy:
        content: x
        dest: /x
        when: true
    - command: echo x executable=/bin/bash
    - shell: echo x warn=no\n",
        &[
            "`when` is a keyword of the task, no argument of `debug`: it belongs one level up, beside `debug`",
            "`when` is a keyword of the task, no argument of `copy`",
            "no shell runs this; `shell` takes `executable`",
            "leave it out: nothing is warned of",
        ],
    ),
    (
        "    - debug: {msg: '{{ ansible_env.HOME }}'}
    - debug: {msg: '{{ ansible_facts.env.HOME }}'}
    - debug: {msg: '{{ ansible_facts[\"mounts\"] }}'}
    - debug: {msg: '{{ ansible_os_famili }}'}
    - debug: {msg: '{{ ansible_env.HOME | default(ansible_facts.fqdn) }}'}
    - debug: {msg: x}
      when: ansible_local is defined and ansible_local.x\n",
        &[
            "the home directory is `ansible_user_dir`",
            "`ansible_facts.env` is undefined",
            "`ansible_facts.mounts` is undefined",
            "did you mean `ansible_os_family`?",
        ],
    ),
    (
        "    - copy: {content: x, dest: ~/x}
    - template: {src: fine.j2, dest: '$HOME/x'}
    - stat: {path: rel.txt}
    - lineinfile: {dest: '${HOME}', line: x}
    - file: {name: ~other/x, state: touch}
    - slurp: {src: '{{ ansible_user_dir }}/x'}
    - copy: {content: x, dest: '{{ folder }}/x'}
      vars: {folder: ~/y}
    - command: ls chdir=~/x
    - shell: ls creates=rel
    - shell: ls creates=rel chdir=/\n",
        &[
            "write the whole path, or `{{ ansible_user_dir }}/x`",
            "`$HOME` is not expanded",
            "`rel.txt` is no absolute path",
            "or `{{ ansible_user_dir }}`",
            "`~` and `$NAME` are not expanded: write the whole path",
            "or `{{ ansible_user_dir }}/y/x`",
            "`chdir: ~/x`: `~` is not expanded",
            "`creates: rel` is no absolute path",
        ],
    ),
    (
        "    - debug: {msg: '{{ \"%s\" % inventory_hostname }}'}
    - debug: {msg: \"{{ '*' | fileglob }}\"}
    - debug: {msg: '{{ inventory_dir | ansible.builtin.expanduser }}'}
    - debug: {msg: '{{ vars.nope }} {{ vars[\"q\"] }}'}
      vars: {q: 1}
    - assert: {that: inventory_hostname = 1}
    - debug: {msg: x}
      when: inventory_dir is exists\n",
        &[
            "use `format`",
            "there is no filter `fileglob`",
            "`ansible_user_dir` is the home of the user on the host",
            "`nope` is undefined",
            "`==` compares",
            "`found.stat.exists`",
        ],
    ),
    (
        "    - assert: {that: flag}
    - debug: {msg: x}
      when: not flag
    - debug: {msg: x}
      when: other and flag
    - debug: {msg: x}
      when: flag | bool
    - include_tasks: fine.yaml
      when: not flag
    - meta: end_play
      when: flag
    - debug: {msg: '{{ flag }}'}
      when: \"'{{ flag }}' == 'no'\"
      vars: {flag: 'no'}\n",
        &[
            "write `flag | bool`",
            "write `flag | bool`",
            "write `flag | bool`",
            "write `flag | bool`",
            "without the braces: `flag == 'no'`",
        ],
    ),
    (
        "    - copy: {dest: /a/b{{ x }}, content: x}\n",
        &["quote the value"],
    ),
    (
        "    - template: {src: bad.j2, dest: /x}
    - template: {src: bad.j2, dest: '/{{ found.stdout }}'}
    - template: {src: filter.j2, dest: /x}
    - command: ls
      register: found\n",
        &["bad.j2:2:7", "there is no filter `nofilter`"],
    ),
    (
        "    - template: {src: facts.j2, dest: /x}
    - template: {src: facts.j2, dest: /y}
      when: ansible_env is defined and ansible_facts is defined\n",
        &["facts.j2:2:4", "facts.j2:4:4"],
    ),
];

#[test]
fn one_slip_is_one_mistake() -> Result<()> {
    let scene = Scene::new()?;
    scene.write("templates/bad.j2", "a\n{% if %}\n")?;
    scene.write("templates/fine.j2", "a\n")?;
    scene.write(
        "templates/facts.j2",
        "{{ ansible_host }} {{ ansible_managed }} {{ ansible_fqdn }} {{ nope.x | default('') }}
{{ ansible_env.HOME }}
{% if ansible_local is defined %}{{ ansible_local }}{% endif %}
{{ ansible_facts.mounts }} {{ ansible_facts.fqdn }}\n",
    )?;
    scene.write("fine.yaml", "- debug: {msg: x}\n")?;
    scene.write(
        "templates/filter.j2",
        "a\n{{ inventory_hostname | nofilter }}\n",
    )?;
    for (tasks, said) in TASKS {
        let flags = "  vars: {flag: 'no', other: false}\n";
        scene.write(
            "p.yaml",
            &format!("- hosts: localhost\n{flags}  tasks:\n{tasks}"),
        )?;
        told(&scene, &["p.yaml", "-i", "localhost,"], said)?;
    }
    Ok(())
}

fn told(scene: &Scene, args: &[&str], said: &[&str]) -> Result<()> {
    let run = scene.runbook(&[&["play", "--syntax-check"], args].concat())?;
    let count = run.err.matches("error[").count();
    ensure!(count == said.len(), "{count} mistakes in {}", run.text());
    for part in said {
        ensure!(run.err.contains(part), "`{part}` is not in {}", run.text());
    }
    Ok(())
}

#[test]
fn what_stands_in_a_file_that_cannot_be_read_is_not_undefined() -> Result<()> {
    let scene = Scene::new()?;
    scene.write("vaulted.yaml", "$ANSIBLE_VAULT;1.1;AES256\n6162\n6364\n")?;
    let playbook = "- hosts: localhost
  vars_files: [vaulted.yaml]
  tasks:
    - debug: {msg: '{{ in_there }}'}
";
    scene.write("p.yaml", playbook)?;
    let encrypted = ["vaulted.yaml cannot be decrypted: it is damaged"];
    told(&scene, &["p.yaml", "-i", "localhost,"], &encrypted)?;
    let web = "- hosts: web\n  tasks:\n    - debug: {msg: '{{ in_there }}'}\n";
    scene.write("web.yaml", web)?;
    scene.write("broken/hosts.yaml", "all:\n  hosts:\n    a: [\n")?;
    told(
        &scene,
        &["web.yaml", "-i", "broken/hosts.yaml"],
        &["this is not YAML"],
    )?;
    scene.write("whole/hosts", "[web]\na\n")?;
    scene.write(
        "whole/group_vars/web.yaml",
        "$ANSIBLE_VAULT;1.1;AES256\n6162\n",
    )?;
    let encrypted = ["web.yaml cannot be decrypted: it is damaged"];
    told(&scene, &["web.yaml", "-i", "whole"], &encrypted)
}
