//! What the tests need on this machine: found, or installed from Debian, or named as missing.

use std::process::Command;

use anyhow::Result;

use crate::run::{has, run, say};

/// A program that tests start, and the Debian package that has it.
const PROGRAMS: &[(&str, &str)] = &[
    ("sshd", "openssh-server"),
    ("ssh", "openssh-client"),
    ("sudo", "sudo"),
    ("slapd", "slapd"),
    ("ldapsearch", "ldap-utils"),
    ("openssl", "openssl"),
    ("psql", "postgresql-client"),
    ("busybox", "busybox-static"),
    ("dash", "dash"),
    ("fish", "fish"),
    ("tcsh", "tcsh"),
    ("dockerd", "docker.io"),
    ("docker-compose", "docker-compose"),
    ("docker-registry", "docker-registry"),
    ("debootstrap", "debootstrap"),
    ("iptables", "iptables"),
    ("strace", "strace"),
    ("ansible-playbook", "ansible-core"),
    ("apache2", "apache2-bin"),
    ("php", "php-cli"),
    ("semanage", "policycoreutils-python-utils"),
    ("setfiles", "policycoreutils"),
    ("setfattr", "attr"),
    ("minisign", "minisign"),
    ("gpg", "gnupg"),
];

/// PostgreSQL's server programs lie outside the search path.
fn has_postgres() -> bool {
    std::fs::read_dir("/usr/lib/postgresql").is_ok_and(|mut versions| versions.next().is_some())
}

fn is_root() -> bool {
    Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|o| o.stdout.starts_with(b"0\n"))
}

/// Packages that are missing.
fn missing() -> Vec<&'static str> {
    let sbin = |program: &str| std::path::Path::new("/usr/sbin").join(program).exists();
    let mut packages: Vec<&str> = PROGRAMS
        .iter()
        .filter(|(program, _)| !has(program) && !sbin(program))
        .map(|(_, package)| *package)
        .collect();
    if !std::path::Path::new("/etc/selinux/default/policy").exists() {
        packages.push("selinux-policy-default");
    }
    if !has_postgres() {
        packages.push("postgresql");
    }
    packages
}

/// What would be installed, for people.
pub fn announcement() -> String {
    let packages = missing();
    if packages.is_empty() {
        "  (none is missing)".to_owned()
    } else {
        format!("  {}", packages.join(" "))
    }
}

/// Installs what is missing where it may; says what stays missing, and so which tests will be skipped.
pub fn install() -> Result<()> {
    let packages = missing();
    if packages.is_empty() {
        return Ok(());
    }
    let command = format!(
        "apt-get install -y --no-install-recommends {}",
        packages.join(" ")
    );
    if !is_root() || !has("apt-get") {
        say(&format!(
            "missing for some tests, which will be skipped by name: {}",
            packages.join(", ")
        ));
        say(&format!("to have them, run as root: {command}"));
        return Ok(());
    }
    say(&format!("installing: {command}"));
    // Servers are started by the tests themselves, on their own ports and folders.
    let policy = std::path::Path::new("/usr/sbin/policy-rc.d");
    let ours = !policy.exists();
    if ours {
        std::fs::write(policy, "#!/bin/sh\nexit 101\n")?;
        run("chmod", &["755", "/usr/sbin/policy-rc.d"])?;
    }
    let outcome = run("apt-get", &["update", "-qq"]).and_then(|()| {
        let mut args = vec!["install", "-y", "-qq", "--no-install-recommends"];
        args.extend(packages);
        run(
            "env",
            &[&["DEBIAN_FRONTEND=noninteractive", "apt-get"], &args[..]].concat(),
        )
    });
    if ours {
        std::fs::remove_file(policy)?;
    }
    outcome
}

/// A later compose than Debian 12 has: the plugin that the lab's hosts have, out of their image.
pub fn compose_plugin() -> Result<()> {
    let answers = Command::new("docker").args(["compose", "version"]).output();
    if answers.is_ok_and(|o| o.status.success()) {
        return Ok(());
    }
    let plugin = "/usr/libexec/docker/cli-plugins/docker-compose";
    if !is_root() {
        say(&format!(
            "missing for some tests, which will be skipped by name: {plugin}"
        ));
        return Ok(());
    }
    let name = "runbook-lab-compose-plugin";
    run("docker", &["create", "--name", name, "runbook-lab/host:12"])?;
    let copied = std::fs::create_dir_all("/usr/libexec/docker/cli-plugins")
        .map_err(anyhow::Error::from)
        .and_then(|()| run("docker", &["cp", &format!("{name}:{plugin}"), plugin]));
    run("docker", &["rm", name])?;
    copied
}

/// Asks on the terminal; without an answer it is no.
pub fn agreed() -> bool {
    say("Go on? [y/N]");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).is_ok() && matches!(line.trim(), "y" | "yes")
}
