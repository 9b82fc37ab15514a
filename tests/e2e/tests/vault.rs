//! Ansible Vault, here and with ansible-vault itself: what one has encrypted, the other reads.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use runbook_e2e::{Run, Scene, Terminal, program, skip};

const PASSWORD: &str = "Schlüssel & \"Kreuz\" $1";
const OTHER: &str = "tulip-meadow-9";
/// Whichever runs Ansible runs its modules.
const PYTHON: &str = "ansible_python_interpreter={{ ansible_playbook_python }}";
const SECRET: &str = "kestrel-cinder-41";

fn scene() -> Result<Scene> {
    let scene = Scene::new()?;
    scene.write("pw", &format!("{PASSWORD}\n"))?;
    scene.write("other", OTHER)?;
    Ok(scene)
}

/// Encrypts a text into a file of the scene.
fn vault(scene: &Scene, name: &str, text: &str, with: &str) -> Result<()> {
    scene.write(name, text)?;
    let run = scene.runbook(&["vault", "encrypt", name, "--vault-id", with])?;
    ensure!(run.code == 0, "{}", run.text());
    Ok(())
}

/// A variable as `encrypt_string` writes it.
fn encrypted(scene: &Scene, name: &str, text: &str, with: &str) -> Result<String> {
    let run = scene.runbook(&[
        "vault",
        "encrypt_string",
        text,
        "-n",
        name,
        "--vault-id",
        with,
    ])?;
    ensure!(run.code == 0, "{}", run.text());
    Ok(run.out)
}

/// Calls a program of Ansible in the scene's folder. `None`: there is none.
fn ansible(scene: &Scene, program: &str, args: &[&str]) -> Result<Option<Vec<u8>>> {
    let mut command = Command::new(program);
    command
        .args(args)
        .current_dir(scene.folder())
        .env("HOME", scene.folder())
        .env("ANSIBLE_NOCOLOR", "1")
        .env("PAGER", "cat")
        .env_remove("ANSIBLE_VAULT_PASSWORD_FILE")
        .stdin(Stdio::null());
    let output = match command.output() {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    ensure!(
        output.status.success(),
        "{program} {args:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(Some(output.stdout))
}

/// Calls the program without any terminal that it could ask on.
fn alone(scene: &Scene, args: &[&str]) -> Result<Run> {
    let output = Command::new("setsid")
        .arg("-w")
        .arg(program()?)
        .args(args)
        .current_dir(scene.folder())
        .env("RUNBOOK_STATE", scene.path("state"))
        .env("RUNBOOK_KEY_FILE", scene.path("journal.key"))
        .env("HOME", scene.folder())
        .stdin(Stdio::null())
        .output()
        .context("setsid")?;
    Ok(Run {
        code: output.status.code().context("ended by a signal")?,
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
        took: std::time::Duration::ZERO,
    })
}

fn shows_no_secret(run: &Run) -> Result<()> {
    for secret in [SECRET, PASSWORD, OTHER] {
        ensure!(
            !run.text().contains(secret),
            "`{secret}` is in {}",
            run.text()
        );
    }
    Ok(())
}

#[test]
fn what_one_has_encrypted_the_other_reads() -> Result<()> {
    let scene = scene()?;
    let large: Vec<u8> = (0..200_000_u32).map(|n| (n * 31 % 251) as u8).collect();
    let contents: [&[u8]; 5] = [
        b"",
        b"one line without an end",
        b"exactly sixteen!",
        "Grüße\n\n\t$ANSIBLE_VAULT is no header here\r\n".as_bytes(),
        &large,
    ];
    for (at, content) in contents.into_iter().enumerate() {
        for (with, header) in [
            ("pw", "$ANSIBLE_VAULT;1.1;AES256\n"),
            ("site@other", "$ANSIBLE_VAULT;1.2;AES256;site\n"),
        ] {
            let (theirs, ours) = (scene.path("theirs"), scene.path("ours"));
            fs::write(&theirs, content)?;
            fs::write(&ours, content)?;
            let made = ansible(
                &scene,
                "ansible-vault",
                &["encrypt", "--vault-id", with, "theirs"],
            )?;
            if made.is_none() {
                skip(
                    "what_one_has_encrypted_the_other_reads",
                    "there is no ansible-vault",
                );
                return Ok(());
            }
            let read = ["vault", "decrypt", "theirs", "--vault-id", with];
            let read = scene.runbook(&[&read[..], &["--output", "read"]].concat())?;
            assert_eq!(read.code, 0, "{}", read.text());
            assert!(fs::read(scene.path("read"))? == content, "{at} {with}");

            let encrypted = scene.runbook(&["vault", "encrypt", "ours", "--vault-id", with])?;
            assert_eq!(encrypted.code, 0, "{}", encrypted.text());
            assert!(fs::read_to_string(&ours)?.starts_with(header), "{at}");
            // As ansible-vault writes it, to the line.
            let lines = |path: &Path| -> Result<Vec<usize>> {
                Ok(fs::read_to_string(path)?.lines().map(str::len).collect())
            };
            assert_eq!(lines(&ours)?, lines(&theirs)?, "{at} {with}");
            ansible(
                &scene,
                "ansible-vault",
                &["decrypt", "--vault-id", with, "ours"],
            )?;
            assert!(fs::read(&ours)? == content, "{at} {with}");
        }
    }
    Ok(())
}

#[test]
fn strings_go_both_ways() -> Result<()> {
    let scene = scene()?;
    let args = ["encrypt_string", SECRET, "-n", "theirs", "--vault-id", "pw"];
    let Some(theirs) = ansible(&scene, "ansible-vault", &args)? else {
        skip("strings_go_both_ways", "there is no ansible-vault");
        return Ok(());
    };
    let ours = encrypted(&scene, "ours", SECRET, "site@other")?;
    let vars = format!("{}\n{ours}", String::from_utf8(theirs)?);
    scene.write("vars.yaml", &vars)?;
    let playbook = "- hosts: localhost
  connection: local
  gather_facts: false
  vars_files: [vars.yaml]
  tasks:
    - copy: {dest: \"{{ playbook_dir }}/here\", content: \"{{ ours }}/{{ theirs }}\"}
";
    scene.write("theirs.yaml", playbook)?;
    // Where a task runs is the inventory's business here.
    scene.write("ours.yaml", &playbook.replace("  connection: local\n", ""))?;
    let passwords = ["--vault-id", "pw", "--vault-id", "site@other"];
    let expected = format!("{SECRET}/{SECRET}");
    ansible(
        &scene,
        "ansible-playbook",
        &[
            &["theirs.yaml", "-i", "localhost,", "-e", PYTHON],
            &passwords[..],
        ]
        .concat(),
    )?;
    assert_eq!(fs::read_to_string(scene.path("here"))?, expected);
    fs::remove_file(scene.path("here"))?;
    let args = ["play", "ours.yaml", "-i", "localhost,", "-vv"];
    let run = scene.runbook(&[&args[..], &passwords].concat())?;
    assert_eq!(run.code, 0, "{}", run.text());
    assert_eq!(fs::read_to_string(scene.path("here"))?, expected);
    shows_no_secret(&run)
}

const EVERYWHERE: &str = r#"
- hosts: web
  vars_files: [vars.yaml]
  tasks:
    - name: All of them
      copy:
        dest: "{{ playbook_dir }}/all"
        content: "{{ of_file }} {{ of_template }} {{ number + 1 }} {{ flag }} {{ nested.list[1] }} {{ inline }} {{ of_group }} {{ of_host }} {{ of_inventory }} {{ given }}\n"
    - name: No template
      copy: {dest: "{{ playbook_dir }}/raw", content: "{{ braces }}"}
    - name: A file
      copy: {src: sealed.txt, dest: "{{ playbook_dir }}/opened"}
    - name: A file as it is
      copy: {src: sealed.txt, dest: "{{ playbook_dir }}/sealed", decrypt: false}
    - name: A tree
      copy: {src: tree/, dest: "{{ playbook_dir }}/copied/"}
    - name: A template
      template: {src: sealed.j2, dest: "{{ playbook_dir }}/rendered"}
    - name: All of them, shown
      debug: {msg: "{{ [of_file, of_template, number, nested, inline, of_group, of_host, of_inventory, given] }}"}
    - name: A condition
      debug: {msg: yes indeed}
      when: flag and number > 5000
"#;

fn everywhere() -> Result<Scene> {
    let scene = scene()?;
    let secret = |part: &str| format!("{SECRET}-{part}");
    let file = format!(
        "of_file: {}\nof_template: \"{}/{{{{ plain }}}}\"\nnumber: 5431\nflag: yes\nnested: {{list: [1, {}]}}\n",
        secret("file"),
        secret("template"),
        secret("nested"),
    );
    vault(&scene, "vars.yaml", &file, "pw")?;
    let inline = encrypted(&scene, "inline", &secret("inline"), "site@other")?;
    let braces = encrypted(&scene, "braces", "{{ plain }}", "pw")?;
    scene.write(
        "group_vars/all.yaml",
        &format!("plain: word\n{inline}{braces}"),
    )?;
    let of_group = format!("of_group: {}\n", secret("group"));
    vault(&scene, "group_vars/web/vault.yaml", &of_group, "site@other")?;
    let of_host = format!("of_host: {}\n", secret("host"));
    vault(&scene, "host_vars/a.yaml", &of_host, "pw")?;
    let of_inventory = encrypted(&scene, "of_inventory", &secret("inventory"), "pw")?;
    let indented: String = of_inventory
        .lines()
        .map(|l| format!("        {l}\n"))
        .collect();
    scene.write(
        "hosts.yaml",
        &format!("web:\n  hosts:\n    a:\n      ansible_connection: local\n  vars:\n{indented}"),
    )?;
    vault(
        &scene,
        "extra.yaml",
        &format!("given: {}\n", secret("given")),
        "pw",
    )?;
    vault(&scene, "files/sealed.txt", &secret("copied"), "pw")?;
    vault(&scene, "files/tree/deep/one", &secret("tree"), "site@other")?;
    scene.write("files/tree/two", "open\n")?;
    vault(
        &scene,
        "templates/sealed.j2",
        &format!("{{{{ plain }}}} {}\n", secret("rendered")),
        "pw",
    )?;
    scene.write("play.yaml", EVERYWHERE)?;
    Ok(scene)
}

const PLAY: [&str; 6] = ["play", "play.yaml", "-i", "hosts.yaml", "-e", "@extra.yaml"];
const PASSWORDS: [&str; 4] = ["--vault-id", "pw", "--vault-id", "site@other"];

#[test]
fn vaults_are_read_wherever_variables_and_files_stand_and_nothing_is_shown() -> Result<()> {
    let scene = everywhere()?;
    let check = [&PLAY[..], &PASSWORDS, &["--check", "--diff", "-vv"]].concat();
    let check = scene.runbook(&check)?;
    assert_eq!(check.code, 0, "{}", check.text());
    shows_no_secret(&check)?;
    assert!(check.out.contains("what a vault holds is not shown"));
    let json = [&PLAY[..], &PASSWORDS, &["--diff", "--output", "json"]].concat();
    let run = scene.runbook(&json)?;
    assert_eq!(run.code, 0, "{}", run.text());
    shows_no_secret(&run)?;
    let read = |name: &str| fs::read_to_string(scene.path(name));
    let secret = |part: &str| format!("{SECRET}-{part}");
    assert_eq!(
        read("all")?,
        format!(
            "{} {}/word 5432 True {} {} {} {} {} {}\n",
            secret("file"),
            secret("template"),
            secret("nested"),
            secret("inline"),
            secret("group"),
            secret("host"),
            secret("inventory"),
            secret("given"),
        )
    );
    assert_eq!(read("raw")?, "{{ plain }}");
    assert_eq!(read("opened")?, secret("copied"));
    assert_eq!(read("sealed")?, read("files/sealed.txt")?);
    assert_eq!(read("copied/deep/one")?, secret("tree"));
    assert_eq!(read("copied/two")?, "open\n");
    assert_eq!(read("rendered")?, format!("word {}\n", secret("rendered")));
    let again = [&PLAY[..], &PASSWORDS, &["--detailed-exitcode"]].concat();
    let again = scene.runbook(&again)?;
    assert_eq!(again.code, 0, "{}", again.text());
    shows_no_secret(&again)
}

#[test]
fn without_its_password_nothing_starts_and_each_place_is_named() -> Result<()> {
    let scene = everywhere()?;
    for (passwords, says) in [
        (&[][..], "no vault password was given"),
        (
            &["--vault-id", "site@pw"],
            "the vault password `site` does not open it",
        ),
        (&["--vault-id", "pw"], "under the id `site`"),
    ] {
        let run = scene.runbook(&[&PLAY[..], passwords].concat())?;
        assert_eq!(run.code, 1, "{}", run.text());
        assert!(run.err.contains(says), "{}", run.text());
        assert!(run.err.contains("Nothing was touched"), "{}", run.text());
        assert!(!scene.path("all").exists());
        shows_no_secret(&run)?;
    }
    // A string that nobody uses needs no password, a damaged one is told even so.
    let unused = encrypted(&scene, "unused", SECRET, "site@other")?;
    scene.write(
        "lazy.yaml",
        &format!(
            "- hosts: localhost\n  vars:\n{}  tasks:\n    - debug: {{msg: there}}\n",
            unused
                .lines()
                .map(|l| format!("    {l}\n"))
                .collect::<String>()
        ),
    )?;
    let lazy = scene.runbook(&["play", "lazy.yaml"])?;
    assert_eq!(lazy.code, 0, "{}", lazy.text());
    let lines: Vec<&str> = unused.lines().collect();
    let cut = lines[..lines.len() - 1].join("\n    ");
    scene.write(
        "cut.yaml",
        &format!("- hosts: localhost\n  vars:\n    {cut}\n  tasks:\n    - debug: {{msg: there}}\n"),
    )?;
    let cut = scene.runbook(&["play", "cut.yaml", "--vault-id", "site@other"])?;
    assert_eq!(cut.code, 1, "{}", cut.text());
    assert!(cut.err.contains("it is damaged"), "{}", cut.text());
    assert_eq!(
        cut.places(),
        [("vault-string".to_owned(), "cut.yaml".to_owned(), 4, 15)]
    );
    Ok(())
}

#[test]
fn a_mistake_in_a_vault_shows_its_place_and_none_of_its_lines() -> Result<()> {
    let scene = scene()?;
    let vars = format!("fine: 1\nwrong: \"{SECRET}{{{{ nowhere }}}}\"\n");
    vault(&scene, "vars.yaml", &vars, "pw")?;
    let tasks = format!("- debug: {{msg: \"{{{{ wrong }}}}\"}}\n- debug: {{mgs: {SECRET}}}\n");
    vault(&scene, "tasks.yaml", &tasks, "pw")?;
    let play =
        "- hosts: localhost\n  vars_files: [vars.yaml]\n  tasks:\n    - import_tasks: tasks.yaml\n";
    vault(&scene, "play.yaml", play, "pw")?;
    let run = scene.runbook(&["play", "play.yaml", "--vault-id", "pw"])?;
    assert_eq!(run.code, 1, "{}", run.text());
    let places = run.places();
    assert!(
        places.contains(&(
            "unknown-argument".to_owned(),
            "tasks.yaml".to_owned(),
            2,
            11
        )),
        "{}",
        run.text()
    );
    shows_no_secret(&run)?;
    // The tasks of a vault are those of any playbook; only what its `vars` say is a secret.
    let sound = format!(
        "- hosts: localhost\n  vars: {{word: {SECRET}}}\n  tasks:\n    - name: A name\n      debug: {{msg: \"open {{{{ word }}}}\"}}\n    - debug: {{msg: also open}}\n"
    );
    vault(&scene, "sound.yaml", &sound, "pw")?;
    let run = scene.runbook(&["play", "sound.yaml", "--vault-id", "pw"])?;
    assert_eq!(run.code, 0, "{}", run.text());
    assert!(run.out.contains("A name") && run.out.contains("also open"));
    shows_no_secret(&run)
}

fn executable(scene: &Scene, name: &str, text: &str) -> Result<()> {
    let path = scene.write(name, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

#[test]
fn passwords_come_from_files_programs_and_the_terminal() -> Result<()> {
    let scene = scene()?;
    vault(&scene, "v", SECRET, "site@other")?;
    executable(&scene, "print", &format!("#!/bin/sh\necho '{OTHER}'\n"))?;
    executable(
        &scene,
        "keys-client.sh",
        &format!("#!/bin/sh\n[ \"$1 $2\" = '--vault-id site' ] || exit 2\necho '{OTHER}'\n"),
    )?;
    executable(&scene, "failing", "#!/bin/sh\nexit 3\n")?;
    executable(&scene, "silent", "#!/bin/sh\n")?;
    scene.write("empty", "\n")?;
    vault(&scene, "sealed-pw", OTHER, "master@pw")?;
    for with in [
        &["--vault-password-file", "print"][..],
        &["--vault-pass-file", "./print"],
        &["--vault-id", "site@keys-client.sh"],
        &["--vault-id", "wrong@pw", "--vault-id", "other"],
        &["--vault-id", "master@pw", "--vault-id", "site@sealed-pw"],
    ] {
        let run = scene.runbook(&[&["vault", "view", "v"], with].concat())?;
        assert_eq!((run.code, run.out.as_str()), (0, SECRET), "{}", run.text());
    }
    for (with, says) in [
        ("no@keys-client.sh", "knows no password of `no`"),
        ("failing", "failed: exit status: 3"),
        ("silent", "gives an empty password"),
        ("empty", "gives an empty password"),
        ("nowhere", "cannot be read"),
        ("files/", "cannot be read"),
        ("site@", "names no file"),
        ("a;b@pw", "a vault label is a word"),
    ] {
        let run = scene.runbook(&["vault", "view", "v", "--vault-id", with])?;
        assert_eq!(run.code, 1, "{with}: {}", run.text());
        assert!(run.err.contains(says), "{with}: {}", run.text());
        shows_no_secret(&run)?;
    }
    let mut terminal = Terminal::start(&scene, "runbook vault view v -J")?;
    terminal.until("Vault password: ")?;
    terminal.press(&format!("{OTHER}\r"))?;
    let (code, seen) = terminal.end()?;
    assert_eq!(code, 0, "{seen}");
    assert!(seen.contains(SECRET) && !seen.contains(OTHER), "{seen}");
    let asked = Terminal::start(
        &scene,
        "RUNBOOK_VAULT_PASSWORD_FILE=other runbook vault view v",
    )?;
    let (code, seen) = asked.end()?;
    assert_eq!((code, seen.as_str()), (0, SECRET));
    let unasked = alone(&scene, &["vault", "view", "v", "--vault-id", "site@prompt"])?;
    assert_eq!(unasked.code, 1);
    assert!(
        unasked.err.contains("--vault-id LABEL@FILE"),
        "{}",
        unasked.text()
    );
    Ok(())
}

#[test]
fn a_new_password_is_asked_for_twice() -> Result<()> {
    let scene = scene()?;
    for (second, expected) in [("flint", 0), ("flant", 1)] {
        scene.write("v", SECRET)?;
        let mut terminal = Terminal::start(&scene, "runbook vault encrypt v --vault-id s@prompt")?;
        terminal.until("New vault password (s): ")?;
        terminal.press("flint\r")?;
        terminal.until("once more: ")?;
        terminal.press(&format!("{second}\r"))?;
        let (code, seen) = terminal.end()?;
        assert_eq!(code, expected, "{seen}");
        let now = fs::read_to_string(scene.path("v"))?;
        assert_eq!(now == SECRET, expected == 1, "{now}");
    }
    // Ctrl-C leaves the terminal as it was and the file, too.
    scene.write("v", SECRET)?;
    let mut terminal = Terminal::start(
        &scene,
        "trap : INT; runbook vault encrypt v -J; echo \"code $?\"; stty -a | grep -o ' echo '",
    )?;
    terminal.until("New vault password: ")?;
    terminal.press("\x03")?;
    let (_, seen) = terminal.end()?;
    assert!(
        seen.contains("code 130") && seen.contains(" echo "),
        "{seen}"
    );
    assert_eq!(fs::read_to_string(scene.path("v"))?, SECRET);
    Ok(())
}

#[test]
fn files_are_written_whole_and_keep_mode_and_links() -> Result<()> {
    let scene = scene()?;
    let path = scene.write("kept/v", SECRET)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640))?;
    std::os::unix::fs::symlink("kept/v", scene.path("link"))?;
    let mode = || -> Result<u32> { Ok(fs::metadata(&path)?.permissions().mode() & 0o7777) };
    let call = |args: &[&str], code: i32| -> Result<Run> {
        let run = scene.runbook(&[&["vault"], args].concat())?;
        ensure!(run.code == code, "{args:?}: {}", run.text());
        shows_no_secret(&run)?;
        ensure!(
            fs::read_dir(scene.path("kept"))?.count() == 1,
            "something lies beside the file"
        );
        Ok(run)
    };
    call(&["encrypt", "link", "--vault-id", "site@other"], 0)?;
    assert!(fs::symlink_metadata(scene.path("link"))?.is_symlink());
    assert_eq!(mode()?, 0o640);
    let sealed = fs::read_to_string(&path)?;
    call(&["encrypt", "link", "--vault-id", "pw"], 1)?;
    call(&["decrypt", "link", "--vault-id", "pw"], 1)?;
    // One of several that stays shut leaves all as they were.
    vault(&scene, "second", "two", "pw")?;
    let both = ["second", "kept/v", "--vault-id", "pw"];
    call(&[&["decrypt"], &both[..]].concat(), 1)?;
    let new = ["--new-vault-password-file", "other"];
    call(&[&["rekey"], &both[..], &new].concat(), 1)?;
    assert_eq!(fs::read_to_string(&path)?, sealed);
    assert!(fs::read_to_string(scene.path("second"))?.starts_with("$ANSIBLE_VAULT;"));
    call(
        &[
            "rekey",
            "kept/v",
            "--vault-id",
            "other",
            "--new-vault-id",
            "next@pw",
        ],
        0,
    )?;
    assert!(fs::read_to_string(&path)?.starts_with("$ANSIBLE_VAULT;1.2;AES256;next\n"));
    call(&["decrypt", "kept/v", "--vault-id", "pw"], 0)?;
    assert_eq!(
        (fs::read_to_string(&path)?.as_str(), mode()?),
        (SECRET, 0o640)
    );
    let two = ["--vault-id", "pw", "--vault-id", "site@other"];
    let undecided = call(&[&["encrypt", "kept/v"], &two[..]].concat(), 1)?;
    assert!(undecided.err.contains("--encrypt-vault-id"));
    let label = ["--encrypt-vault-id", "site", "--output", "new"];
    call(&[&["encrypt", "kept/v"], &two[..], &label].concat(), 0)?;
    assert_eq!(fs::read_to_string(&path)?, SECRET);
    let new = fs::metadata(scene.path("new"))?.permissions().mode() & 0o7777;
    assert_eq!(new, 0o600);
    // A folder that cannot be written leaves everything.
    let nowhere = ["--vault-id", "pw", "--output", "nowhere/at/all"];
    call(&[&["encrypt", "kept/v"], &nowhere[..]].concat(), 1)?;
    Ok(())
}

/// Folders for decrypted files that are there now.
fn scratches() -> Vec<String> {
    let places = ["/dev/shm", "/tmp"];
    let mut found = Vec::new();
    for place in places {
        for entry in fs::read_dir(place).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("runbook-vault-") {
                found.push(format!("{place}/{name}"));
            }
        }
    }
    found
}

#[test]
fn an_editor_sees_a_private_file_that_goes_whatever_happens() -> Result<()> {
    let scene = scene()?;
    executable(
        &scene,
        "editor",
        "#!/bin/sh\nstat -c '%a %a' \"$1\" \"$(dirname \"$1\")\" > seen\necho \"$1\" >> seen\ncp \"$1\" \"$1.swp\"\n\
         case $MOOD in\nchange) echo more >> \"$1\";;\nfail) echo more >> \"$1\"; exit 7;;\nlose) rm \"$1\";;\nhang) \
         sleep 30;;\nrace) echo more >> \"$1\"; echo raced > v;;\nesac\n",
    )?;
    let edit = "EDITOR=./editor runbook vault edit v --vault-id site@other";
    for (mood, code, says) in [
        ("keep", 0, "v is as it was"),
        ("change", 0, "v is changed and encrypted"),
        ("fail", 1, "nothing was written"),
        ("lose", 1, "nothing was written"),
        ("race", 1, "somebody else has changed v"),
    ] {
        vault(&scene, "v", &format!("{SECRET}\n"), "site@other")?;
        let before = fs::read_to_string(scene.path("v"))?;
        let command = format!("MOOD={mood} {edit}");
        let (ended, seen) = Terminal::start(&scene, &command)?.end()?;
        assert_eq!(ended, code, "{mood}: {seen}");
        assert!(seen.contains(says), "{mood}: {seen}");
        assert!(!seen.contains(SECRET), "{mood}: {seen}");
        let noted = fs::read_to_string(scene.path("seen"))?;
        let noted: Vec<&str> = noted.lines().collect();
        assert_eq!(noted[..2], ["600 600", "700 700"], "{mood}");
        assert!(!Path::new(noted[2]).exists(), "{mood}");
        assert!(
            !Path::new(noted[2]).parent().is_some_and(Path::exists),
            "{mood}"
        );
        let after = fs::read_to_string(scene.path("v"))?;
        match mood {
            "change" => {
                let view = scene.runbook(&["vault", "view", "v", "--vault-id", "other"])?;
                assert_eq!(view.out, format!("{SECRET}\nmore\n"));
                assert!(after.starts_with("$ANSIBLE_VAULT;1.2;AES256;site\n"));
            }
            "race" => {
                assert_eq!(after, "raced\n");
                let aside = seen.split_once("encrypted in ").context("no place")?.1;
                let aside = aside.lines().next().unwrap_or_default();
                let aside = aside.split(':').next().unwrap_or_default().trim();
                let view = scene.runbook(&["vault", "view", aside, "--vault-id", "other"])?;
                assert_eq!(view.out, format!("{SECRET}\nmore\n"), "{seen}");
                fs::remove_file(aside)?;
            }
            _ => assert_eq!(after, before, "{mood}"),
        }
    }
    vault(&scene, "v", SECRET, "site@other")?;
    let command = format!("MOOD=hang {edit} & sleep 1; kill -TERM $!; wait $!; echo \"code $?\"");
    let (_, seen) = Terminal::start(&scene, &command)?.end()?;
    assert!(seen.contains("code 130"), "{seen}");
    let noted = fs::read_to_string(scene.path("seen"))?;
    let place = noted.lines().nth(2).context("the editor saw nothing")?;
    assert!(!scratches().iter().any(|s| place.starts_with(s)), "{place}");
    Ok(())
}

#[test]
fn a_new_file_is_written_in_the_editor_and_lies_there_only_encrypted() -> Result<()> {
    let scene = scene()?;
    executable(
        &scene,
        "editor",
        "#!/bin/sh\necho \"$1\" > seen\ncase $MOOD in\nwrite) echo new-secret >> \"$1\";;\nnothing) ;;\nfail) echo x >> \
         \"$1\"; exit 7;;\nrace) echo new-secret >> \"$1\"; echo raced > v;;\nesac\n",
    )?;
    let create = "EDITOR=./editor runbook vault create v --vault-id site@other";
    for (mood, code, says) in [
        ("nothing", 0, "v was not made"),
        ("fail", 1, "nothing was written"),
        ("write", 0, "v is made and encrypted"),
        ("write", 1, "v is there already"),
        ("race", 1, "v is there already"),
    ] {
        if mood == "race" {
            fs::remove_file(scene.path("v"))?;
        }
        let (ended, seen) = Terminal::start(&scene, &format!("MOOD={mood} {create}"))?.end()?;
        assert_eq!(ended, code, "{mood}: {seen}");
        assert!(seen.contains(says), "{mood}: {seen}");
        assert!(!seen.contains("new-secret"), "{mood}: {seen}");
        let there = fs::read_to_string(scene.path("v")).unwrap_or_default();
        match mood {
            "write" => {
                let view = scene.runbook(&["vault", "view", "v", "--vault-id", "other"])?;
                assert_eq!(view.out, "new-secret\n");
                assert!(there.starts_with("$ANSIBLE_VAULT;1.2;AES256;site\n"));
            }
            "race" => {
                assert_eq!(there, "raced\n");
                assert!(seen.contains("encrypted in "), "{seen}");
                let aside = seen.split_once("encrypted in ").context("no place")?.1;
                let aside = aside.lines().next().unwrap_or_default();
                fs::remove_file(aside.split(':').next().unwrap_or_default().trim())?;
            }
            _ => assert_eq!(there, "", "{mood}"),
        }
        let noted = fs::read_to_string(scene.path("seen"))?;
        assert!(!Path::new(noted.trim()).exists(), "{mood}");
    }
    Ok(())
}

const PROMPTS: &str = r#"
- hosts: localhost
  vars: {shown: from vars}
  vars_prompt:
    - {name: hidden, prompt: "The word", confirm: true}
    - {name: shown, prompt: "The name:", private: no, default: nobody}
  tasks:
    - name: Both
      copy: {dest: "{{ playbook_dir }}/both", content: "{{ hidden }} {{ shown }}\n"}
    - debug: {msg: "{{ hidden }} is said by {{ shown }}"}
"#;

#[test]
fn what_a_play_asks_for_is_asked_and_given_and_never_guessed() -> Result<()> {
    let scene = scene()?;
    scene.write("play.yaml", PROMPTS)?;
    let mut terminal = Terminal::start(&scene, "runbook play play.yaml --check --diff")?;
    for (until, press) in [
        ("The word: ", format!("{SECRET}\r")),
        ("once more: ", "something else\r".to_owned()),
        ("The two answers differ.", String::new()),
    ] {
        terminal.until(until)?;
        terminal.press(&press)?;
    }
    terminal.press(&format!("{SECRET}\r{SECRET}\r"))?;
    terminal.until("The name [nobody]: ")?;
    terminal.press("\r")?;
    let (code, seen) = terminal.end()?;
    assert_eq!(code, 0, "{seen}");
    assert!(seen.contains("+********"), "{seen}");
    assert!(!seen.contains(SECRET), "{seen}");
    assert!(!scene.path("both").exists());

    let given = ["-e", "shown=me"];
    let alone_one = alone(&scene, &[&["play", "play.yaml"], &given[..]].concat())?;
    assert_eq!(alone_one.code, 1, "{}", alone_one.text());
    assert!(
        alone_one.err.contains("`-e hidden=…`"),
        "{}",
        alone_one.text()
    );
    let both = [&given[..], &["-e", "hidden=word"]].concat();
    let run = alone(&scene, &[&["play", "play.yaml"], &both[..]].concat())?;
    assert_eq!(run.code, 0, "{}", run.text());
    assert_eq!(fs::read_to_string(scene.path("both"))?, "word me\n");
    for looks in [&["--syntax-check"][..], &["--list-tasks"]] {
        let run = alone(&scene, &[&["play", "play.yaml"], looks].concat())?;
        assert_eq!(run.code, 0, "{}", run.text());
    }
    scene.write(
        "wrong.yaml",
        "- hosts: localhost\n  vars_prompt:\n    - {name: a b, privat: yes}\n    - {name: x, encrypt: sha512_crypt}\n    - {prompt: y}\n",
    )?;
    let wrong = scene.runbook(&["play", "wrong.yaml"])?;
    assert_eq!(wrong.err.matches("error[").count(), 4, "{}", wrong.text());
    assert!(wrong.err.contains("password_hash"), "{}", wrong.text());
    Ok(())
}

#[test]
fn a_rollback_of_secrets_needs_their_password_only_to_show_nothing() -> Result<()> {
    let scene = everywhere()?;
    let run = scene.runbook(&[&PLAY[..], &PASSWORDS].concat())?;
    assert_eq!(run.code, 0, "{}", run.text());
    for args in [&["show"][..], &["log"], &["runs"]] {
        shows_no_secret(&scene.runbook(args)?)?;
    }
    let back = [&["rollback", "--diff", "-vv"], &PASSWORDS[..]].concat();
    let back = scene.runbook(&back)?;
    assert_eq!(back.code, 0, "{}", back.text());
    shows_no_secret(&back)?;
    assert!(!scene.path("all").exists());
    Ok(())
}
