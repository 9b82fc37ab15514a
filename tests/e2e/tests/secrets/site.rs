//! Where the secrets of a site of the lab are planted, and the playbook that works among them.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use runbook_e2e::Scene;
use runbook_e2e::secrets::{Haystack, secret};
use runbook_lab::{Lab, Site, Variables};

use super::plant::{CONTROL, quoted, sealed, variable};

/// Those that the playbook uses or leaves where they are on the host, as it is seen afterwards.
pub const USED: [usize; 7] = [40, 41, 44, 45, 47, 48, 49];
/// Variables of containers, which the container's own processes have.
const OWN: [&str; 4] = ["AUX_PASSWORD", "SMTP_PASSWORD", "TOKEN", "X_SECRET"];

const IMAGE: &str = "dcm4che/postgres-dcm4chee:15.6-32";

/// What the host has before the playbook comes, none of it known to any inventory.
pub fn host(site: &Site) -> Result<()> {
    let v = Variables::of(&site.name);
    let base = v.base_dn;
    // What is typed here is typed by whoever has built the site; each word is quoted for the shell.
    let ldif: String = [("svc", 39), ("other", 48)]
        .iter()
        .map(|(name, number)| {
            format!(
                "dn: cn={name},ou=users,{base}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\n\
                 cn: {name}\nuserPassword:: {}\n\n",
                base64(&secret(*number))
            )
        })
        .collect();
    let root = "dn.base=gidNumber=0+uidNumber=0,cn=peercred,cn=external,cn=auth";
    let config = format!(
        "dn: olcDatabase={{0}}config,cn=config\nchangetype: modify\nreplace: olcRootPW\nolcRootPW:: {}\n\n\
         dn: cn=config\nchangetype: modify\nreplace: olcLogLevel\nolcLogLevel: stats\n\n\
         dn: olcDatabase={{1}}mdb,cn=config\nchangetype: modify\nreplace: olcAccess\n\
         olcAccess: {{0}}to attrs=userPassword by {root} manage by anonymous auth by * none\n\
         olcAccess: {{1}}to * by {root} manage by users read by * none\n",
        base64(&secret(46))
    );
    let key = format!(
        "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\n{}\n-----END PRIVATE KEY-----\n",
        secret(49)
    );
    let role = format!(
        "create role svc login superuser password {};\nalter system set log_statement = 'all';\n\
         alter system set log_connections = on;\nselect pg_reload_conf();\n",
        literal(&secret(38))
    );
    let night = format!("night:{}\n", secret(42));
    let lines = [
        "useradd -m -s /bin/bash night".to_owned(),
        format!("printf %s {} | chpasswd", word(&night)),
        "echo 'night ALL=(ALL) ALL' > /etc/sudoers.d/night".to_owned(),
        format!(
            "install -d -m 700 /srv/secrets && printf %s {} > /srv/secrets/site.key",
            word(&key)
        ),
        "printf 'mode=1\\n' > /srv/secrets/plain".to_owned(),
        format!(
            "printf %s {} | docker exec -i ldap ldapadd -x -D cn=admin,{base} -w {}",
            word(&ldif),
            v.ldap_password
        ),
        format!(
            "printf %s {} | docker exec -i ldap ldapmodify -x -D cn=admin,cn=config -w {}",
            word(&config),
            v.ldap_config_password
        ),
        format!(
            "printf %s {} | docker exec -i db psql -q -v ON_ERROR_STOP=1 -U pacs -d pacsdb",
            word(&role)
        ),
        format!(
            "docker run -d --name mail -e MODE=one -e {} --entrypoint sleep {IMAGE} 3600",
            word(&format!("SMTP_PASSWORD={}", secret(47)))
        ),
    ];
    for line in lines {
        let output = site.exec(&site.hosts[0].name, &line)?;
        ensure!(output.status == Some(0), "{line}: {}", output.stderr);
    }
    Ok(())
}

/// Inventory, playbooks and files.
pub fn scene(scene: &Scene, site: &Site) -> Result<()> {
    let lab = Lab::ready()?;
    let key = scene.path("locked");
    std::fs::copy(lab.key(), &key)?;
    let changed = Command::new("ssh-keygen")
        .args(["-q", "-p", "-P", "", "-N", &secret(43), "-f"])
        .arg(&key)
        .status()?;
    ensure!(changed.success(), "ssh-keygen");
    scene.write("pw", "vault-password-of-main\n")?;
    std::fs::create_dir(scene.path("tmp"))?;
    let v = Variables::of(&site.name);
    let mut group = format!(
        "turn: 1\ncontrol: {}\nbase: {}\nldap_password: {}\n",
        quoted(CONTROL),
        v.base_dn,
        v.ldap_password
    );
    for number in 38..47 {
        group.push_str(&variable(scene, &format!("s{number}"), number, "main@pw")?);
    }
    scene.write("group_vars/all.yaml", &group)?;
    let host = |name: &str, more: &str| {
        format!(
            "    {name}: {{ansible_host: {}, known_hosts: {}, {more}}}\n",
            site.hosts[0].address,
            lab.known_hosts().display()
        )
    };
    let locked = format!(
        "ansible_user: ops, ansible_private_key_file: {}, ansible_private_key_passphrase: '{{{{ s43 }}}}'",
        key.display()
    );
    let word = |number| {
        format!(
            "ansible_user: night, ansible_password: '{{{{ s{number} }}}}', ansible_become_password: '{{{{ s{number} }}}}'"
        )
    };
    scene.write(
        "hosts.yaml",
        &format!(
            "all:\n  hosts:\n{}{}{}",
            host("site", &word(42)),
            host("keyed", &locked),
            host("refused", &word(45))
        ),
    )?;
    for (name, dn, number) in [("third", "ou=users", 41), ("lost", "ou=nowhere", 41)] {
        let entry = format!(
            "dn: cn={name},{dn},{}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: {name}\n\
             userPassword:: {}\n",
            v.base_dn,
            base64(&secret(number))
        );
        sealed(scene, &format!("{name}.ldif"), &entry, "main@pw")?;
    }
    scene.write("app.j2", "word = {{ s45 }}\nmode = 1\n")?;
    scene.write("site.yaml", include_str!("site.yaml"))?;
    scene.write("wrong.yaml", include_str!("site-failing.yaml"))?;
    Ok(())
}

/// Processes of the host, as this machine counts them.
pub fn processes(site: &Site) -> Result<Vec<u32>> {
    let container = site.container(&site.hosts[0]);
    let output = Command::new("docker")
        .args(["inspect", "-f", "{{.State.Pid}}", &container])
        .output()?;
    let first: u32 = String::from_utf8(output.stdout)?.trim().parse()?;
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Ok(process) = entry.file_name().to_string_lossy().parse::<u32>() else {
            continue;
        };
        // It may have ended meanwhile.
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        // `pid (name) state ppid`; a name may hold anything (proc(5)).
        let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
        let parent = after.split_whitespace().nth(1).and_then(|p| p.parse().ok());
        children
            .entry(parent.unwrap_or(0))
            .or_default()
            .push(process);
    }
    let mut found = vec![first];
    let mut at = 0;
    while let Some(process) = found.get(at) {
        found.extend(children.get(process).cloned().unwrap_or_default());
        at += 1;
    }
    Ok(found)
}

/// What the host has written down, and its servers.
pub fn written(site: &Site) -> Result<Vec<Haystack>> {
    let host = &site.hosts[0].name;
    let files = "tar -c --exclude=/root/.cache /var/log /var/tmp /tmp /home /root /run/user 2>/dev/null; true";
    let mut seen = vec![Haystack::new(
        "files of the host",
        site.exec(host, files)?.stdout,
    )];
    for name in ["ldap", "db", "arc", "mail", "aux"] {
        let output = site.exec(host, &format!("docker logs {name} 2>&1; true"))?;
        seen.push(Haystack::new(format!("log of {name}"), output.stdout));
    }
    let sshd = Command::new("docker")
        .args(["logs", &site.container(&site.hosts[0])])
        .output()
        .context("docker logs")?;
    seen.push(Haystack::new(
        "log of sshd",
        [sshd.stdout, sshd.stderr].concat(),
    ));
    Ok(seen)
}

/// Where the secrets are meant to be at the end.
pub fn meant(site: &Site) -> Result<Haystack> {
    let v = Variables::of(&site.name);
    let script = format!(
        "cat /srv/secrets/*; docker inspect mail aux; docker exec ldap slapcat -F /etc/openldap/slapd.d -b {} | sed 's/^userPassword:: //'",
        v.base_dn
    );
    let output = site.exec(&site.hosts[0].name, &script)?;
    Ok(Haystack::new("where they belong", output.stdout))
}

/// An exec trace without the variables that containers were given on purpose: those in the environment of what is started,
/// the second list of a line (`execve("/bin/sleep", ["sleep", "9"], ["TOKEN=…"])`). In the list of arguments they stay.
pub fn without_own(trace: &[u8]) -> Vec<u8> {
    let mut left = Vec::with_capacity(trace.len());
    let (mut at, mut lists) = (0, 0);
    while let Some(byte) = trace.get(at) {
        match byte {
            b'\n' => lists = 0,
            b'[' => lists += 1,
            _ => {}
        }
        if *byte != b'"' {
            left.push(*byte);
            at += 1;
            continue;
        }
        let from = at;
        at += 1;
        while let Some(inner) = trace.get(at).filter(|b| **b != b'"') {
            at += if *inner == b'\\' { 2 } else { 1 };
        }
        at = (at + 1).min(trace.len());
        let word = &trace[from..at];
        let is_own = |name: &&str| word.starts_with(format!("\"{name}=").as_bytes());
        if !(lists == 2 && OWN.iter().any(is_own)) {
            left.extend_from_slice(word);
        }
    }
    left
}

/// What is written down on purpose in each place that is searched, so that the search is known to reach it.
pub fn mark(site: &Site) -> Result<()> {
    let control = secret(CONTROL);
    let base = Variables::of(&site.name).base_dn;
    for line in [
        format!("printf '%s\\n' {} > /var/log/control", word(&control)),
        // Who logs in is written down as he says it, and that he may not.
        format!(
            "docker exec ldap ldapwhoami -x -D {} -w none >/dev/null 2>&1 || [ $? = 49 ]",
            word(&format!("cn={control},{base}"))
        ),
        format!(
            "printf %s {} | docker exec -i db psql -q -U pacs -d pacsdb",
            word(&format!("select {};", literal(&control)))
        ),
    ] {
        let output = site.exec(&site.hosts[0].name, &line)?;
        ensure!(output.status == Some(0), "{line}: {}", output.stderr);
    }
    Ok(())
}

fn word(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn base64(text: &str) -> String {
    STANDARD.encode(text)
}

#[test]
fn what_stands_in_a_list_of_arguments_stays() {
    let trace = br#"7 execve("/bin/docker", ["docker", "run", "-e", "TOKEN=geheim", "[x]"], ["PATH=/bin"]) = 0
8 execve("/bin/sleep", ["sleep", "9 \"]"], ["A=1", "TOKEN=gehe\"im", "B=[2]"]) = 0
9 execve("/bin/env", ["env", "TOKEN=geheim"], ["TOKEN=geheim"]) = 0
"#;
    let left = String::from_utf8(without_own(trace)).unwrap();
    assert_eq!(left.matches("TOKEN=geheim").count(), 2, "{left}");
    assert!(!left.contains("im\"") || !left.contains("gehe\\"), "{left}");
    assert!(
        left.contains("\"B=[2]\"") && left.contains("\"A=1\""),
        "{left}"
    );
}
