//! What was once predicted wrongly: each made small, as the generator has found it. A line for each that comes.

use std::path::Path;

use anyhow::Result;
use runbook_e2e::program;
use runbook_fidelity::{Place, Script, listed, of_script};
use serde_json::{Value, json};

fn tried(what: &str, before: &[&str], tasks: Value) -> Result<usize> {
    let script = Script {
        before: before.iter().map(|line| (*line).to_owned()).collect(),
        tasks: tasks.as_array().cloned().unwrap_or_default(),
        ..Script::default()
    };
    let compared = of_script(&script, false, &Place::new(program()?))?;
    assert!(
        compared.wrong.is_empty(),
        "{what}:\n{}",
        listed(&compared.wrong)
    );
    Ok(compared.figures.known)
}

/// Lets everybody through to the folder of the tasks.
const OPEN: &str = r#"d=$PWD; while [ "$d" != /dev/shm ] && [ "$d" != /tmp ] && [ "$d" != / ]; do chmod o+x "$d"; d=${d%/*}; done"#;

/// The same task, done by nobody.
fn nobody(mut task: Value) -> Value {
    task["become"] = json!(true);
    task["become_user"] = json!("nobody");
    task["ignore_errors"] = json!(true);
    task
}

#[test]
fn links_and_directories_that_will_be_there() -> Result<()> {
    tried(
        "a link leads up out of a new directory",
        &["mkdir etc"],
        json!([
            {"file": {"path": "@AT@/opt", "state": "directory"}},
            {"file": {"path": "@AT@/opt/d", "src": "../etc", "state": "link"}},
        ]),
    )?;
    tried(
        "a link that leads nowhere is replaced by a file",
        &["ln -s nowhere conf"],
        json!([
            {"copy": {"dest": "@AT@/conf", "content": "a"}},
            {"lineinfile": {"path": "@AT@/conf", "line": "b"}},
        ]),
    )?;
    tried(
        "what is written behind a new link is read through it, and the other way round",
        &["mkdir data"],
        json!([
            {"file": {"path": "@AT@/link", "src": "data", "state": "link"}},
            {"copy": {"dest": "@AT@/data/a", "content": "a\n"}},
            {"lineinfile": {"path": "@AT@/link/a", "line": "b"}},
            {"slurp": {"src": "@AT@/data/a"}, "register": "a"},
            {"copy": {"dest": "@AT@/out", "content": "{{ a.content | b64decode }}"}},
        ]),
    )?;
    tried(
        "a second hard link to a new file",
        &[],
        json!([
            {"copy": {"dest": "@AT@/a", "content": "a\n"}},
            {"file": {"path": "@AT@/b", "src": "@AT@/a", "state": "hard"}},
            {"file": {"path": "@AT@/b", "src": "@AT@/a", "state": "hard"}},
        ]),
    )?;
    tried(
        "a line behind a link that leads nowhere, when a link like it was changed before",
        &["mkdir etc; ln -s nowhere etc/x"],
        json!([
            {"lineinfile": {"path": "@AT@/etc/{{ item }}", "line": "of={{ item }}", "create": true}, "loop": ["a", "x"]},
            {"file": {"path": "@AT@/etc/y", "src": "nowhere", "state": "link"}},
            {"lineinfile": {"path": "@AT@/etc/y", "line": "of=y"}},
        ]),
    )?;
    Ok(())
}

#[test]
fn rights_of_a_file_with_two_names() -> Result<()> {
    let known = tried(
        "set under one, looked at under the other",
        &["touch a; chmod 600 a; ln a b"],
        json!([
            {"copy": {"dest": "@AT@/b", "content": "", "mode": "a+r"}},
            {"file": {"path": "@AT@/a", "mode": "0644"}},
            {"lineinfile": {"path": "@AT@/a", "line": "", "mode": "0600"}},
            {"file": {"path": "@AT@/c", "src": "@AT@/b", "state": "hard"}},
            {"file": {"path": "@AT@/c", "mode": "0640"}},
            {"stat": {"path": "@AT@/b"}, "register": "b"},
            {"copy": {"dest": "@AT@/out", "content": "{{ b.stat.mode }}"}},
        ]),
    )?;
    assert_eq!(known, 7);
    tried(
        "set under one if a command says so",
        &["touch a; ln a b"],
        json!([
            {"command": {"cmd": "cat a", "chdir": "@AT@", "changes": []}, "register": "said"},
            {"file": {"path": "@AT@/a", "mode": "0600"}, "when": "said.stdout == ''"},
            {"file": {"path": "@AT@/b", "mode": "0600"}},
        ]),
    )?;
    Ok(())
}

#[test]
fn what_is_below_a_new_directory_is_known() -> Result<()> {
    let known = tried(
        "rights of all below it",
        &[],
        json!([
            {"file": {"path": "@AT@/srv/app/data", "state": "directory"}},
            {"copy": {"dest": "@AT@/srv/app/data/a", "content": "a\n"}},
            {"file": {"path": "@AT@/srv", "state": "directory", "recurse": true, "mode": "u=rwX,go="}},
            {"file": {"path": "@AT@/srv/app/data", "state": "absent"}},
            {"file": {"path": "@AT@/srv", "state": "directory", "recurse": true, "mode": "0755"}},
        ]),
    )?;
    assert_eq!(known, 5);
    Ok(())
}

#[test]
fn what_is_below_a_directory_in_which_something_was_changed_is_known() -> Result<()> {
    let known = tried(
        "rights of all below it, after one was made, one changed, one removed and one got new times",
        &["mkdir -p srv/old; touch srv/a srv/b srv/old/x srv/z; chmod 600 srv/b; chmod 777 srv/z"],
        json!([
            {"copy": {"dest": "@AT@/srv/new", "content": "n\n", "mode": "0666"}},
            {"copy": {"dest": "@AT@/srv/a", "content": "a\n", "mode": "0640"}},
            {"file": {"path": "@AT@/srv/old", "state": "absent"}},
            {"file": {"path": "@AT@/srv/b", "state": "touch"}},
            {"pause": {"seconds": 0}},
            {"file": {"path": "@AT@/srv", "state": "directory", "recurse": true, "mode": "u=rwX,go="}},
            {"lineinfile": {"path": "@AT@/srv/b", "line": "b"}},
            {"file": {"path": "@AT@/srv", "state": "directory", "recurse": true, "mode": "u=rwX,go="}},
            {"copy": {"dest": "@AT@/srv/theirs", "content": "n\n", "owner": "daemon"}, "ignore_errors": true},
            {"file": {"path": "@AT@/srv", "state": "directory", "recurse": true, "mode": "u=rwX,go=r"}},
        ]),
    )?;
    assert_eq!(known, 10);
    Ok(())
}

#[test]
fn what_is_below_a_directory_with_names_of_one_file_is_known() -> Result<()> {
    let all = |mode: &str| json!({"file": {"path": "@AT@/d", "state": "directory", "recurse": true, "mode": mode}});
    let known = tried(
        "the other name lies elsewhere, and it was changed under that",
        &["mkdir d; touch d/a; chmod 600 d/a; ln d/a b"],
        json!([
            {"file": {"path": "@AT@/b", "mode": "0644"}},
            all("u=rwX,go="),
            {"stat": {"path": "@AT@/d/a"}, "register": "a"},
            {"copy": {"dest": "@AT@/out", "content": "{{ a.stat.mode }}"}},
        ]),
    )?;
    assert_eq!(known, 4);
    let known = tried(
        "both lie in it",
        &["mkdir d; echo a > d/a; ln d/a d/b; chmod 640 d/a"],
        json!([
            all("u=rwX,go="),
            {"file": {"path": "@AT@/d/b", "mode": "0644"}},
            all("u=rwX,go="),
            all("u=rwX,go="),
        ]),
    )?;
    assert_eq!(known, 4);
    let known = tried(
        "the second name is made, in it and of it",
        &["mkdir d; touch a; chmod 600 a; touch d/x; chmod 600 d/x"],
        json!([
            {"file": {"path": "@AT@/d/a", "src": "@AT@/a", "state": "hard"}},
            {"file": {"path": "@AT@/a", "mode": "0644"}},
            {"file": {"path": "@AT@/x", "src": "@AT@/d/x", "state": "hard"}},
            {"file": {"path": "@AT@/x", "mode": "0640"}},
            all("u=rwX,go="),
            {"file": {"path": "@AT@/a", "state": "absent"}},
            all("u=rwX,go=rX"),
        ]),
    )?;
    assert_eq!(known, 7);
    let known = tried(
        "in a directory that is new",
        &["touch a; chmod 600 a"],
        json!([
            {"file": {"path": "@AT@/d", "state": "directory"}},
            {"file": {"path": "@AT@/d/a", "src": "@AT@/a", "state": "hard"}},
            {"file": {"path": "@AT@/a", "mode": "0644"}},
            all("0700"),
        ]),
    )?;
    assert_eq!(known, 4);
    Ok(())
}

#[test]
fn what_was_told_under_another_name_holds_though_the_directory_changes() -> Result<()> {
    for above in [
        json!({"file": {"path": "@AT@/d", "mode": "0700"}}),
        json!({"file": {"path": "@AT@/d", "state": "touch"}}),
    ] {
        let known = tried(
            "a mode set under a name elsewhere",
            &["mkdir d; echo a > d/a; ln d/a b"],
            json!([
                {"file": {"path": "@AT@/d/a", "mode": "0640"}},
                {"file": {"path": "@AT@/b", "mode": "0600"}},
                above,
                {"file": {"path": "@AT@/d/a", "mode": "0640"}},
            ]),
        )?;
        assert_eq!(known, 4);
    }
    Ok(())
}

#[test]
fn new_times_change_nothing_else() -> Result<()> {
    let known = tried(
        "of a file, of a directory, and of a file that a link leads to",
        &["mkdir d; printf 'a\n' > d/a; ln -s d/a link"],
        json!([
            {"file": {"path": "@AT@/d/a", "state": "touch", "mode": "0600"}},
            {"lineinfile": {"path": "@AT@/d/a", "line": "b"}},
            {"file": {"path": "@AT@/d", "state": "touch"}},
            {"stat": {"path": "@AT@/d/a"}, "register": "a"},
            {"file": {"path": "@AT@/link", "state": "touch"}},
            {"copy": {"dest": "@AT@/out", "content": "{{ a.stat.size }} {{ a.stat.mode }}"}},
        ]),
    )?;
    assert_eq!(known, 6);
    tried(
        "what was changed last is not known before",
        &["touch a"],
        json!([
            {"file": {"path": "@AT@/a", "state": "touch"}},
            {"stat": {"path": "@AT@/a"}, "register": "a"},
            {"copy": {"dest": "@AT@/out", "content": "{{ a.stat.mtime }}"}},
        ]),
    )?;
    Ok(())
}

#[test]
fn owners_of_what_will_be_made() -> Result<()> {
    tried(
        "a backup in a new directory",
        &[],
        json!([
            {"file": {"path": "@AT@/etc", "state": "directory"}},
            {"copy": {"dest": "@AT@/etc/a", "content": "a=1\n"}},
            {"lineinfile": {"path": "@AT@/etc/a", "line": "b=2", "backup": true}},
        ]),
    )?;
    tried(
        "a hard link to another's file (as root)",
        &["touch a; [ \"$(id -u)\" != 0 ] || chown 1:1 a"],
        json!([
            {"file": {"path": "@AT@/b", "src": "@AT@/a", "state": "hard"}},
            {"copy": {"dest": "@AT@/b", "content": "b\n", "backup": true}},
        ]),
    )?;
    tried(
        "a file in place of another's (as root)",
        &["touch a; [ \"$(id -u)\" != 0 ] || chown 1:1 a"],
        json!([
            {"file": {"path": "@AT@/a", "state": "absent"}},
            {"copy": {"dest": "@AT@/a", "content": "", "owner": "{{ ansible_facts.user_id }}"}},
        ]),
    )?;
    Ok(())
}

#[test]
fn owners_that_a_directory_or_a_number_gives() -> Result<()> {
    tried(
        "a directory that hands on its group (another's as root)",
        &["mkdir shared; [ \"$(id -u)\" != 0 ] || chgrp 1 shared; chmod 2775 shared"],
        json!([
            {"copy": {"dest": "@AT@/shared/a", "content": "a\n"}},
            {"file": {"path": "@AT@/shared/deep/er", "state": "directory"}},
            {"copy": {"dest": "@AT@/shared/deep/b", "content": "b\n"}},
            {"file": {"path": "@AT@/shared/plain", "state": "directory", "mode": "0755"}},
            {"copy": {"dest": "@AT@/shared/plain/c", "content": "c\n"}},
            {"file": {"path": "@AT@/shared/a", "state": "absent"}},
            {"file": {"path": "@AT@/shared/a", "src": "plain", "state": "link"}},
            {"stat": {"path": "@AT@/shared/deep/b"}, "register": "b"},
            {"copy": {"dest": "@AT@/said", "content": "{{ b.stat.gr_name }} {{ b.stat.gid }}\n"}},
        ]),
    )?;
    tried(
        "a number that has a name",
        &["touch a; [ \"$(id -u)\" != 0 ] || chown 1:1 a"],
        json!([
            {"copy": {"dest": "@AT@/a", "content": "a\n", "owner": "{{ ansible_facts.user_uid }}"}},
            {"copy": {"dest": "@AT@/a", "content": "b\n", "group": "{{ ansible_facts.user_gid }}"}},
            {"copy": {"dest": "@AT@/a", "content": "b\n", "owner": "{{ ansible_facts.user_id }}"}},
        ]),
    )?;
    Ok(())
}

/// Nothing of this is written: who may not do it is told so beforehand.
#[test]
fn a_user_who_may_not_write() -> Result<()> {
    if !is_root()? {
        runbook_e2e::skip("a_user_who_may_not_write", "only root becomes another");
        return Ok(());
    }
    let nobody = |module: &str, args: Value| json!({module: args, "become": true, "become_user": "nobody", "ignore_errors": true});
    let known = tried(
        "another user's directory, file and mode",
        &[],
        json!([
            nobody("copy", json!({"dest": "/etc/runbook-of-nobody", "content": "x\n"})),
            nobody("file", json!({"path": "/etc/passwd", "mode": "0600"})),
            nobody("file", json!({"path": "/etc/passwd", "owner": "nobody"})),
            nobody("lineinfile", json!({"path": "/etc/passwd", "line": "x"})),
            nobody("file", json!({"path": "/etc/passwd", "state": "absent"})),
            {"copy": {"dest": "@AT@/a", "content": "x\n"}},
        ]),
    )?;
    assert_eq!(known, 6);
    let known = tried(
        "another's file in a sticky directory, and one's own",
        &[
            "mkdir t o; chmod 1777 t; chmod 777 o; echo x > t/a; echo x > o/a; chmod 666 t/a; touch t/n; chown nobody t/n; chmod 755 . ..",
        ],
        json!([
            nobody("copy", json!({"dest": "@AT@/t/a", "content": "y\n"})),
            nobody("file", json!({"path": "@AT@/t/a", "state": "absent"})),
            nobody("copy", json!({"dest": "@AT@/t/n", "content": "y\n"})),
            nobody("copy", json!({"dest": "@AT@/t/b", "content": "y\n"})),
            nobody("copy", json!({"dest": "@AT@/o/a", "content": "y\n"})),
            nobody(
                "copy",
                json!({"dest": "@AT@/o/b", "content": "y\n", "owner": "root"})
            ),
            nobody(
                "copy",
                json!({"dest": "@AT@/o/c", "content": "y\n", "group": "root"})
            ),
            nobody(
                "copy",
                json!({"dest": "@AT@/o/d", "content": "y\n", "group": "nogroup", "mode": "0600"})
            ),
            nobody(
                "file",
                json!({"path": "@AT@/o/d", "group": "nogroup", "mode": "0640"})
            ),
            nobody("file", json!({"path": "@AT@/o/d", "group": "root"})),
            nobody("file", json!({"path": "@AT@/o/a", "state": "absent"})),
        ]),
    )?;
    assert_eq!(known, 11);
    let known = tried(
        "directories that root makes, for another and for itself",
        &["chmod 755 . .."],
        json!([
            {"file": {"path": "@AT@/d", "state": "directory", "owner": "nobody"}},
            nobody("copy", json!({"dest": "@AT@/d/a", "content": "x\n", "owner": "nobody"})),
            nobody("copy", json!({"dest": "@AT@/d/b", "content": "x\n"})),
            {"file": {"path": "@AT@/d/b", "owner": "nobody"}},
            {"copy": {"dest": "@AT@/d/c", "content": "x\n"}},
            nobody("file", json!({"path": "@AT@/d/c", "mode": "0600"})),
            nobody("file", json!({"path": "@AT@/d/c", "state": "absent"})),
            nobody("copy", json!({"dest": "@AT@/d/c", "content": "y\n", "owner": "nobody"})),
            {"file": {"path": "@AT@/e", "state": "directory"}},
            nobody("copy", json!({"dest": "@AT@/e/a", "content": "x\n"})),
            {"file": {"path": "@AT@/e", "mode": "0777"}},
            nobody("copy", json!({"dest": "@AT@/e/a", "content": "x\n"})),
            {"file": {"path": "@AT@/e/a", "owner": "nobody"}},
        ]),
    )?;
    assert_eq!(known, 13);
    Ok(())
}

fn is_root() -> Result<bool> {
    let id = std::process::Command::new("id").arg("-u").output()?;
    Ok(id.stdout == b"0\n")
}

#[test]
fn what_may_be_there_is_not_known() -> Result<()> {
    let known = tried(
        "a command changes a directory",
        &["mkdir etc; echo a > etc/a; echo b > b"],
        json!([
            {"copy": {"dest": "@AT@/etc/c", "content": "c\n"}},
            {"shell": {"cmd": "echo more | tee -a @AT@/etc/a @AT@/etc/c", "changes": ["@AT@/etc"]}},
            {"lineinfile": {"path": "@AT@/b", "line": "c"}},
            {"lineinfile": {"path": "@AT@/etc/c", "line": "d"}},
            {"slurp": {"src": "@AT@/etc/a"}},
        ]),
    )?;
    assert_eq!(known, 3, "the first three");
    let known = tried(
        "a directory that may be made",
        &[],
        json!([
            {"command": {"cmd": "echo x", "changes": []}, "register": "said"},
            {"file": {"path": "@AT@/opt/app/lib", "state": "directory"}, "when": "said.stdout == 'x'"},
            {"copy": {"dest": "@AT@/opt/app/conf", "content": "a\n"}},
            {"copy": {"dest": "@AT@/opt.conf", "content": "a\n"}},
        ]),
    )?;
    assert_eq!(known, 2, "the command and the last");
    let known = tried(
        "a content that only the run can tell",
        &["echo a > a; echo b > b"],
        json!([
            {"command": {"cmd": "echo x", "changes": []}, "register": "said"},
            {"copy": {"dest": "@AT@/a", "content": "{{ said.stdout }}\n"}},
            {"lineinfile": {"path": "@AT@/b", "line": "c"}},
            {"lineinfile": {"path": "@AT@/a", "line": "c"}},
            {"copy": {"dest": "{{ said.stdout is defined | ternary('@AT@/b', '') }}", "content": "{{ said.stdout }}"}},
            {"lineinfile": {"path": "@AT@/b", "line": "d"}},
        ]),
    )?;
    assert_eq!(known, 2, "the command and the line of another file");
    let known = tried(
        "what is unknown does not become known by `changed_when`",
        &["echo a > a"],
        json!([
            {"shell": "echo b >> @AT@/a"},
            {"lineinfile": {"path": "@AT@/a", "line": "c"}, "changed_when": false},
        ]),
    )?;
    assert_eq!(known, 1);
    tried(
        "`check_mode: true` leaves nothing behind",
        &[],
        json!([
            {"copy": {"dest": "@AT@/a", "content": "a\n"}, "check_mode": true},
            {"slurp": {"src": "@AT@/a"}},
        ]),
    )?;
    Ok(())
}

#[test]
fn a_check_that_would_change_something_is_seen() {
    // The comparison itself: two snapshots of one folder, in between of which a file has come.
    let folder = tempfile::tempdir().unwrap();
    let look = |path: &Path| runbook_fidelity::snapshot(path).unwrap();
    let before = look(folder.path());
    assert_eq!(before, look(folder.path()));
    std::fs::write(folder.path().join("new"), "").unwrap();
    assert_ne!(before, look(folder.path()));
}

#[test]
fn commands_that_name_a_path_through_a_link() -> Result<()> {
    tried(
        "what is made behind the link is looked at where it is, and the other way round",
        &["mkdir data; ln -s data link; echo old > data/b"],
        json!([
            {"command": {"cmd": "touch a", "chdir": "@AT@/data", "creates": "@AT@/link/a"}},
            {"stat": {"path": "@AT@/data/a"}, "register": "a"},
            {"copy": {"dest": "@AT@/out", "content": "{{ a.stat.exists }}"}},
            {"shell": {"cmd": "echo new > b", "chdir": "@AT@/data", "changes": ["@AT@/link/b"]}},
            {"copy": {"dest": "@AT@/data/b", "content": "new\n"}},
        ]),
    )?;
    tried(
        "an answer that rests on a file behind a link",
        &["mkdir data; ln -s data link; echo old > data/a"],
        json!([
            {"copy": {"dest": "@AT@/data/a", "content": "new\n"}},
            {"command": {"cmd": "cat @AT@/link/a", "reads_only": true, "reads": ["@AT@/link/a"]}, "register": "a"},
            {"copy": {"dest": "@AT@/out", "content": "{{ a.stdout }}"}},
        ]),
    )?;
    tried(
        "`changes` name a link whose end is written then",
        &["mkdir v1; ln -s v1 app; echo old > v1/conf"],
        json!([
            {"shell": {"cmd": "echo new > conf", "chdir": "@AT@/app", "changes": ["@AT@/app"]}},
            {"copy": {"dest": "@AT@/v1/conf", "content": "new\n"}},
        ]),
    )?;
    tried(
        "a pattern below a link",
        &["mkdir data; ln -s data link"],
        json!([
            {"copy": {"dest": "@AT@/data/a.sql", "content": ""}},
            {"shell": {"cmd": "touch @AT@/link/b.sql", "creates": "@AT@/link/*.sql"}},
        ]),
    )?;
    let known = tried(
        "`creates` of what was made, removed, and made again by a task with a state",
        &["mkdir data; ln -s data link; touch data/old"],
        json!([
            {"copy": {"dest": "@AT@/data/a", "content": ""}},
            {"command": {"cmd": "touch @AT@/link/a", "creates": "@AT@/link/a"}},
            {"file": {"path": "@AT@/link/old", "state": "absent"}},
            {"command": {"cmd": "touch @AT@/data/old", "creates": "@AT@/data/old"}},
            {"command": {"cmd": "touch no", "chdir": "@AT@", "removes": "@AT@/link/gone"}},
        ]),
    )?;
    assert_eq!(known, 5);
    Ok(())
}

#[test]
fn creates_needs_no_right_to_read() -> Result<()> {
    let known = tried(
        "a file that its own user may not read (root may)",
        &["touch a; chmod 000 a"],
        json!([{"command": {"cmd": "touch b", "chdir": "@AT@", "creates": "@AT@/a"}}]),
    )?;
    assert_eq!(known, 1);
    Ok(())
}

#[test]
fn what_a_command_that_has_not_run_will_say() -> Result<()> {
    tried(
        "whether it fails, where the play goes on in spite of it",
        &[],
        json!([
            {"shell": {"cmd": "exit 3", "changes": []}, "ignore_errors": true, "register": "one"},
            {"copy": {"dest": "@AT@/a", "content": "x"}, "when": "one is failed"},
            {"copy": {"dest": "@AT@/b", "content": "x"}, "when": "one is succeeded"},
            {"copy": {"dest": "@AT@/c", "content": "{{ one.failed }}"}},
            {"shell": {"cmd": "exit {{ item }}", "changes": []}, "loop": [0, 4], "ignore_errors": true, "register": "all"},
            {"copy": {"dest": "@AT@/d", "content": "x"}, "when": "all is failed"},
        ]),
    )?;
    let known = tried(
        "where it does not",
        &[],
        json!([
            {"shell": {"cmd": "true", "changes": []}, "register": "one"},
            {"copy": {"dest": "@AT@/a", "content": "{{ one.failed }}"}, "when": "one is succeeded"},
            {"shell": {"cmd": "exit 3", "changes": []}, "failed_when": false, "register": "two"},
            {"copy": {"dest": "@AT@/b", "content": "{{ two.failed }}"}},
        ]),
    )?;
    assert_eq!(known, 4);
    Ok(())
}

#[test]
fn folders_and_patterns_of_commands() -> Result<()> {
    tried(
        "a pattern in what a command may have made",
        &["mkdir e"],
        json!([
            {"shell": {"cmd": "mkdir -p @AT@/e/d; touch @AT@/e/d/x", "changes": ["@AT@/e"]}},
            {"command": {"cmd": "true", "creates": "@AT@/e/*/x", "changes": []}},
            {"command": {"cmd": "true", "removes": "@AT@/e/d/*", "changes": []}},
        ]),
    )?;
    tried(
        "a folder that is not there, and one that is made before",
        &[],
        json!([
            {"command": {"cmd": "true", "chdir": "@AT@/none", "changes": []}, "ignore_errors": true},
            {"file": {"path": "@AT@/new", "state": "directory"}},
            {"command": {"cmd": "ls", "chdir": "@AT@/new", "reads_only": true, "reads": []}},
            {"command": {"cmd": "touch x", "chdir": "@AT@/new", "creates": "x"}},
        ]),
    )?;
    let known = tried(
        "a folder that an opaque command makes",
        &[],
        json!([
            {"shell": {"cmd": "mkdir @AT@/late"}},
            {"command": {"cmd": "touch x", "chdir": "@AT@/late"}},
        ]),
    )?;
    assert_eq!(known, 2);
    Ok(())
}

#[test]
fn owners_that_nobody_is() -> Result<()> {
    let known = tried(
        "a user and a group that are not there",
        &["mkdir d; touch d/f"],
        json!([
            {"file": {"path": "@AT@/d", "owner": "no-such-user"}, "ignore_errors": true},
            {"copy": {"dest": "@AT@/d/f", "content": "x", "group": "no-such-group"}, "ignore_errors": true},
            {"lineinfile": {"path": "@AT@/d/f", "line": "x", "owner": "no-such-user"}, "ignore_errors": true},
            {"file": {"path": "@AT@/new", "state": "directory", "owner": "no-such-user"}, "ignore_errors": true},
            {"stat": {"path": "@AT@/new"}, "register": "new"},
            {"copy": {"dest": "@AT@/out", "content": "{{ new.stat.exists }}"}},
        ]),
    )?;
    assert_eq!(known, 6);
    tried(
        "a user that a command may make",
        &[],
        json!([
            {"command": {"cmd": "touch @AT@/home", "creates": "@AT@/home"}},
            {"copy": {"dest": "@AT@/f", "content": "x", "owner": "no-such-user"}, "ignore_errors": true},
        ]),
    )?;
    Ok(())
}

#[test]
fn up_through_links_that_will_be_there() -> Result<()> {
    let known = tried(
        "below a link that leads up and down again",
        &["mkdir app app/conf; ln -s app current"],
        json!([
            {"file": {"path": "@AT@/new/sub", "state": "directory"}},
            {"file": {"path": "@AT@/app/neu", "src": "../new", "state": "link"}},
            {"copy": {"dest": "@AT@/app/neu/sub/q", "content": "q\n"}},
            {"lineinfile": {"path": "@AT@/current/neu/sub/q", "line": "r"}},
            {"file": {"path": "@AT@/app/conf/shared", "src": "../../new", "state": "link"}},
            {"copy": {"dest": "@AT@/current/conf/shared/sub/s", "content": "s\n"}},
            {"copy": {"dest": "@AT@/app/../new/sub/t", "content": "t\n"}},
        ]),
    )?;
    assert_eq!(known, 7);
    tried(
        "a directory by a path that goes up from another",
        &["mkdir d e"],
        json!([
            {"file": {"path": "@AT@/l", "src": "d", "state": "link"}},
            {"file": {"path": "@AT@/e/../l", "state": "directory"}},
            {"copy": {"dest": "@AT@/e/../l/f", "content": "f\n"}},
            {"lineinfile": {"path": "@AT@/d/f", "line": "g"}},
        ]),
    )?;
    Ok(())
}

#[test]
fn links_that_a_task_leads_in_a_circle() -> Result<()> {
    tried(
        "a circle of two, looked at and written through",
        &[],
        json!([
            {"file": {"path": "@AT@/x", "src": "y", "state": "link", "force": true}},
            {"file": {"path": "@AT@/y", "src": "x", "state": "link", "force": true}, "ignore_errors": true},
            {"stat": {"path": "@AT@/x", "follow": true}, "register": "x", "ignore_errors": true},
            {"copy": {"dest": "@AT@/out", "content": "{{ x.stat.exists | default('?') }}"}},
            {"copy": {"dest": "@AT@/x", "content": "a"}, "ignore_errors": true},
            {"lineinfile": {"path": "@AT@/x/z", "line": "a", "create": true}, "ignore_errors": true},
        ]),
    )?;
    Ok(())
}

#[test]
fn what_is_registered_of_a_file_that_was_changed_under_another_name() -> Result<()> {
    let known = tried(
        "its mode",
        &["touch a; chmod 644 a; ln a b"],
        json!([
            {"file": {"path": "@AT@/b", "mode": "0600"}},
            {"file": {"path": "@AT@/a", "state": "file"}, "register": "a"},
            {"copy": {"dest": "@AT@/out", "content": "{{ a.mode }}"}},
        ]),
    )?;
    assert_eq!(known, 3);
    Ok(())
}

/// As root, who may become anybody.
#[test]
fn what_another_user_sees() -> Result<()> {
    let known = tried(
        "behind a directory that is shut, and behind one that is opened",
        &[
            OPEN,
            "mkdir open shut; echo a > open/f; echo b > shut/f; chmod 755 open; chmod 700 shut",
        ],
        json!([
            {"file": {"path": "@AT@/open", "mode": "0700"}},
            nobody(json!({"slurp": {"src": "@AT@/open/f"}})),
            nobody(json!({"stat": {"path": "@AT@/open/f"}})),
            nobody(json!({"copy": {"dest": "@AT@/open/g", "content": "x"}})),
            {"file": {"path": "@AT@/shut", "mode": "0755"}},
            nobody(json!({"slurp": {"src": "@AT@/shut/f"}})),
        ]),
    )?;
    assert_eq!(known, 5, "only what is behind the opened one is not known");
    let known = tried(
        "what is made for some",
        &[OPEN],
        json!([
            {"file": {"path": "@AT@/new", "state": "directory", "mode": "0700"}},
            {"copy": {"dest": "@AT@/new/f", "content": "x"}},
            nobody(json!({"slurp": {"src": "@AT@/new/f"}})),
            {"file": {"path": "@AT@/new", "mode": "0755"}},
            nobody(json!({"slurp": {"src": "@AT@/new/f"}})),
            {"copy": {"dest": "@AT@/new/g", "content": "x", "mode": "0600"}},
            nobody(json!({"slurp": {"src": "@AT@/new/g"}})),
            {"file": {"path": "@AT@/all", "state": "directory", "mode": "1777"}},
            nobody(json!({"copy": {"dest": "@AT@/all/mine", "content": "x", "mode": "0600"}})),
            nobody(json!({"lineinfile": {"path": "@AT@/all/mine", "line": "y"}})),
            nobody(json!({"file": {"path": "@AT@/new/f", "state": "touch"}})),
            nobody(json!({"file": {"path": "@AT@/all/mine", "state": "touch"}})),
        ]),
    )?;
    assert_eq!(known, 12);
    Ok(())
}

#[test]
fn when_a_directory_was_changed() -> Result<()> {
    let known = tried(
        "its time, once something is made in it",
        &["mkdir d e; touch -d @1000000000 d e"],
        json!([
            {"copy": {"dest": "@AT@/d/x", "content": "x"}},
            {"stat": {"path": "@AT@/d"}, "register": "d"},
            {"stat": {"path": "@AT@/e"}, "register": "e"},
            {"copy": {"dest": "@AT@/e.txt", "content": "{{ e.stat.mtime }}"}},
            {"copy": {"dest": "@AT@/d.txt", "content": "{{ d.stat.mtime }}"}},
        ]),
    )?;
    assert_eq!(known, 4, "all but what the new time is");
    Ok(())
}

#[test]
fn whose_a_file_will_be_by_name_and_by_number() -> Result<()> {
    let known = tried(
        "in registers",
        &["touch g"],
        json!([
            {"copy": {"dest": "@AT@/f", "content": "x", "owner": "daemon", "group": "daemon"}, "register": "r"},
            {"copy": {"dest": "@AT@/use", "content": "{{ r.uid }} {{ r.gid }} {{ r.owner }} {{ r.group }}"}},
            {"copy": {"dest": "@AT@/one", "content": "x"}, "when": "r.uid == 1"},
            {"file": {"path": "@AT@/d", "state": "directory", "owner": "1", "group": "54321"}, "register": "d"},
            {"copy": {"dest": "@AT@/two", "content": "{{ d.uid }} {{ d.gid }} {{ d.owner }} {{ d.group }}"}},
        ]),
    )?;
    assert_eq!(known, 5);
    tried(
        "changed twice",
        &["touch f; mkdir d"],
        json!([
            {"file": {"path": "@AT@/f", "owner": "1"}},
            {"file": {"path": "@AT@/f", "owner": "0"}},
            {"file": {"path": "@AT@/f", "owner": "12345", "group": "54321"}},
            {"file": {"path": "@AT@/f", "owner": "root", "group": "0"}},
            {"file": {"path": "@AT@/d", "owner": "12345", "group": "54321"}},
            {"file": {"path": "@AT@/d", "owner": "0", "group": "daemon"}},
            {"copy": {"dest": "@AT@/f", "content": "a", "owner": "2"}},
            {"copy": {"dest": "@AT@/f", "content": "b", "owner": "root"}},
        ]),
    )?;
    Ok(())
}

#[test]
fn what_a_validator_refuses() -> Result<()> {
    let known = tried(
        "where that is passed over",
        &[],
        json!([
            {"copy": {"dest": "@AT@/v", "content": "a=1\n", "validate": "grep -q zz %s"}, "ignore_errors": true, "register": "v"},
            {"copy": {"dest": "@AT@/says", "content": "{{ v is failed }} {{ v is changed }}"}},
            {"copy": {"dest": "@AT@/failed", "content": "x"}, "when": "v is failed"},
            {"stat": {"path": "@AT@/v"}, "register": "s"},
            {"copy": {"dest": "@AT@/there", "content": "x"}, "when": "s.stat.exists"},
            {"lineinfile": {"path": "@AT@/v", "line": "b=2", "create": true}},
        ]),
    )?;
    assert!(known <= 1, "{known}: all rests on what the validator says");
    tried(
        "where it could be, and is not: what the register has then is not known",
        &[],
        json!([
            {"copy": {"dest": "@AT@/v", "content": "a=1\n", "mode": "0640", "validate": "test -e %s"}, "ignore_errors": true, "register": "v"},
            {"copy": {"dest": "@AT@/says", "content": "{{ v.mode | default('none') }} {{ v.dest | default('none') }}"}},
        ]),
    )?;
    Ok(())
}

/// Whether a handler comes after the first flush only the run knows; that it comes after the last one is known.
#[test]
fn a_handler_that_may_come_and_one_that_does() -> Result<()> {
    let script = Script {
        tasks: json!([
            {"shell": {"cmd": "exit 1", "changes": []}, "notify": "one", "ignore_errors": true},
            {"file": {"path": "@AT@/a", "state": "directory"}},
            {"meta": "flush_handlers"},
            {"file": {"path": "@AT@/b", "state": "directory"}, "notify": "one"},
        ])
        .as_array()
        .cloned()
        .unwrap_or_default(),
        handlers: vec![json!({"name": "one", "command": {"cmd": "echo handled", "changes": []}})],
        ..Script::default()
    };
    let compared = of_script(&script, false, &Place::new(program()?))?;
    assert!(compared.wrong.is_empty(), "{}", listed(&compared.wrong));
    assert_eq!(compared.figures.conditional, 1, "{:?}", compared.figures);
    Ok(())
}

/// Somebody who is not root, and becomes nobody else: what he may not do fails in the check, too.
#[test]
fn what_somebody_who_is_not_root_may_not_do() -> Result<()> {
    let known = tried(
        "as nobody",
        &[
            OPEN,
            "mkdir own; echo a > own/f; chown -R nobody:nogroup own; echo b > own/theirs",
        ],
        json!([
            nobody(json!({"file": {"path": "@AT@/own/f", "owner": "root"}})),
            nobody(json!({"file": {"path": "@AT@/own/f", "group": "root"}})),
            nobody(json!({"file": {"path": "@AT@/own/f", "mode": "0000"}})),
            nobody(json!({"copy": {"dest": "@AT@/own/g", "content": "x", "mode": "0200"}})),
            nobody(json!({"file": {"path": "@AT@/own/theirs", "mode": "0600"}})),
            nobody(json!({"file": {"path": "@AT@/own/f", "mode": "0640"}})),
            nobody(json!({"copy": {"dest": "@AT@/own/theirs", "content": "x"}})),
            nobody(json!({"file": {"path": "@AT@/own", "mode": "0600"}})),
            nobody(json!({"stat": {"path": "@AT@/own/f"}})),
        ]),
    )?;
    assert_eq!(known, 9);
    Ok(())
}

#[test]
fn what_a_command_changes_is_known_though_its_condition_is_not() -> Result<()> {
    let known = tried(
        "a path that only the run knows",
        &["touch other"],
        json!([
            {"command": {"cmd": "echo @AT@/mark", "changes": []}, "register": "r"},
            {"command": {"cmd": "touch @AT@/made", "creates": "{{ r.stdout }}", "changes": ["@AT@/made"]}},
            {"lineinfile": {"path": "@AT@/other", "line": "a"}},
        ]),
    )?;
    assert_eq!(known, 2, "only the command itself is open");
    Ok(())
}
