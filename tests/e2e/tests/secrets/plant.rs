//! Where the secrets of this machine are planted, and the playbooks that use them.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use runbook_e2e::secrets::secret;
use runbook_e2e::{Scene, program};

/// How many there are, and one that is shown on purpose.
pub const MANY: usize = 51;
/// Shown on purpose, so that the search is seen to find.
pub const CONTROL: usize = 50;
/// Those that the playbook writes into files of the host.
pub const USED: [usize; 24] = [
    0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 15, 16, 18, 19, 20, 21, 22, 23, 25, 27, 28, 30,
];
/// Ways in which `failing.yaml` fails.
pub const FAILURES: usize = 14;
/// Playbooks with mistakes.
pub const WRONG: [&str; 3] = [
    "wrong/values.yaml",
    "wrong/vault.yaml",
    "wrong/control.yaml",
];

/// As YAML and JSON write it.
pub fn quoted(number: usize) -> String {
    serde_json::Value::from(secret(number)).to_string()
}

/// Calls the program with a text on its standard input, which no argument list holds.
pub fn vault(scene: &Scene, args: &[&str], text: &str) -> Result<String> {
    let mut child = Command::new(program()?)
        .arg("vault")
        .args(args)
        .current_dir(scene.folder())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut keys = child.stdin.take().context("no standard input")?;
    keys.write_all(text.as_bytes())?;
    drop(keys);
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "vault {args:?}");
    Ok(String::from_utf8(output.stdout)?)
}

pub fn sealed(scene: &Scene, name: &str, text: &str, with: &str) -> Result<()> {
    let sealed = vault(scene, &["encrypt", "--vault-id", with], text)?;
    scene.write(name, &sealed)?;
    Ok(())
}

/// A secret as an encrypted variable, a line of a file of variables.
pub fn variable(scene: &Scene, name: &str, number: usize, with: &str) -> Result<String> {
    let args = ["encrypt_string", "--stdin-name", name, "--vault-id", with];
    vault(scene, &args, &secret(number))
}

/// Everything but what changes on the host between two runs.
pub fn scene(scene: &Scene, port: u16) -> Result<()> {
    scene.write("pw", "vault-password-of-main\n")?;
    scene.write("pw2", "vault-password-of-other\n")?;
    fs::create_dir(scene.path("tmp"))?;
    let mut vars = String::new();
    for number in 0..10 {
        vars.push_str(&format!("a{number}: {}\n", quoted(number)));
    }
    vars.push_str(
        "deep: {list: [\"{{ a8 }}\", \"{{ a9 }}/more\"], url: \"http://u:{{ a5 }}@h/\"}\n",
    );
    sealed(scene, "vars.yaml", &vars, "main@pw")?;
    let mut group = format!(
        "port: {port}\ndb_password: {}\napi_token: {}\ncontrol: {}\n",
        quoted(18),
        quoted(19),
        quoted(CONTROL)
    );
    for number in 10..15 {
        group.push_str(&variable(scene, &format!("s{number}"), number, "main@pw")?);
    }
    for (number, name) in [
        (7, "a_retry"),
        (24, "s24"),
        (25, "s25"),
        (26, "s26"),
        (27, "s27"),
        (28, "s28"),
        (29, "s29"),
        (37, "s37"),
    ] {
        group.push_str(&variable(scene, name, number, "other@pw2")?);
    }
    scene.write("group_vars/all.yaml", &group)?;
    sealed(
        scene,
        "extra.yaml",
        &format!("e15: {}\n", quoted(15)),
        "main@pw",
    )?;
    sealed(
        scene,
        "host_vars/a.yaml",
        &format!("h16: {}\n", quoted(16)),
        "other@pw2",
    )?;
    sealed(
        scene,
        "files/sealed.txt",
        &format!("{}\nab\n", secret(20)),
        "main@pw",
    )?;
    sealed(
        scene,
        "templates/sealed.j2",
        &format!("{} {{{{ a0 }}}}\n", secret(21)),
        "main@pw",
    )?;
    sealed(
        scene,
        "again.yaml",
        &format!("x: {}\n", quoted(0)),
        "main@pw",
    )?;
    scene.write(
        "templates/app.j2",
        "two={{ a2 }}\nten={{ s10 }}\nopen=word\n",
    )?;
    scene.write(
        "templates/conf.j2",
        "user arc\nthe word is {{ a3 }};\nend\n",
    )?;
    scene.write(
        "hosts.yaml",
        &format!(
            "all:\n  vars: {{ansible_connection: local}}\n  hosts: {{a: }}\n  children:\n    failing:\n      hosts:\n{}",
            (0..FAILURES).map(|n| format!("        f{n}: {{which: '{n}'}}\n")).collect::<String>()
        ),
    )?;
    let play = PLAY.replace("LITERAL", &quoted(22));
    scene.write("play.yaml", &play)?;
    scene.write("failing.yaml", FAILING)?;
    scene.write(
        "asks.yaml",
        "- hosts: a\n  vars_prompt: [{name: asked, prompt: The word}]\n  tasks:\n    - debug: {var: asked}\n    - debug: {var: control}\n    - copy: {dest: \"{{ playbook_dir }}/target/asked\", content: \"{{ asked }}\\n\"}\n",
    )?;
    scene.write("wrong/values.yaml", VALUES)?;
    sealed(
        scene,
        "wrong/vault.yaml",
        &format!(
            "- hosts: all\n  vars: {{x: \"{{{{ {}\"}}\n  tasks:\n    - debug: {{mgs: {}}}\n    - debug: {{msg: \"{{{{ x }}}} {{{{ nowhere }}}}\"}}\n",
            "a0 | nofilter }}",
            quoted(4)
        ),
        "main@pw",
    )?;
    scene.write(
        "wrong/control.yaml",
        &format!(
            "- hosts: all\n  tasks:\n    - debug: {{mgs: {}}}\n",
            quoted(CONTROL)
        ),
    )?;
    host(scene)
}

/// What stands on the host before the playbook comes.
pub fn host(scene: &Scene) -> Result<()> {
    let key = |kind: &str, number| {
        format!(
            "-----BEGIN {kind}-----\nMIIEvQIBADANBg\n{}\n-----END {kind}-----\n",
            secret(number)
        )
    };
    scene.write("target/key.pem", &key("PRIVATE KEY", 30))?;
    scene.write("target/id_key", &key("OPENSSH PRIVATE KEY", 31))?;
    scene.write(
        "target/conf",
        &format!("user arc\nthe word is {};\nend\n", secret(32)),
    )?;
    scene.write("target/whole", &secret(33))?;
    scene.write(
        "target/app.ini",
        &format!("[db]\npassword = {}\nmode=1\n", secret(34)),
    )?;
    scene.write(
        "target/app.yaml",
        &format!("mode: 1\napi_token: {}\n", quoted(35)),
    )?;
    scene.write(
        "target/url.conf",
        &format!("mode=1\nat=postgres://arc:{}@db/x\n", secret(36)),
    )?;
    scene.write("only/host.txt", &format!("{}\n", secret(23)))?;
    Ok(())
}

const PLAY: &str = include_str!("play.yaml");
const FAILING: &str = include_str!("failing.yaml");

const VALUES: &str = include_str!("values.yaml");
