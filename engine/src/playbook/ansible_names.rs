//! Names under which Ansible knows what is called otherwise here, or is done in another way.

/// What to write in place of an Ansible module's name, where it is not merely misspelt. `modules`: those that there are.
#[must_use]
pub fn other_name(ansible: &str, modules: &[String]) -> Option<String> {
    if let Some(here) = renamed(ansible).filter(|here| modules.iter().any(|m| m == here)) {
        return Some(format!("the module is called `{here}` here"));
    }
    if let Some(instead) = instead(ansible) {
        return Some(instead.to_owned());
    }
    let (what, how) = missing(ansible)?;
    Some(format!("this version has no module for {what}; {how}"))
}

/// The name of the same module here.
fn renamed(ansible: &str) -> Option<&'static str> {
    Some(match ansible {
        "win_service" => "windows_service",
        "win_regedit" | "win_registry" => "windows_registry",
        "win_acl" => "windows_acl",
        "systemd" | "systemd_service" | "sysvinit" => "service",
        "apt" | "yum" | "dnf" | "dnf5" | "zypper" | "apk" => "package",
        "sefcontext" => "selinux_fcontext",
        "docker_compose_v2" => "docker_compose",
        "docker_container_exec" => "docker_exec",
        "apache2_module" => "httpd_module",
        _ => return None,
    })
}

/// What does the same in another way.
fn instead(ansible: &str) -> Option<&'static str> {
    Some(match ansible {
        "ldap_entry" | "ldap_attrs" | "ldap_attr" | "ldap_passwd" => {
            "use `ldap_update`: it takes LDIF"
        }
        "postgresql_db" => {
            "to dump a database there is `pg_dump`; for the rest use `command: psql …` with `unless` or `reads_only: true`"
        }
        name if name.starts_with("postgresql_") => {
            "statements that change a database go through `pg_schema`, which keeps a ledger; `pg_info` looks; for the \
             rest use `command: psql …` with `unless` or `reads_only: true`"
        }
        "docker_host_info" | "docker_container_info" | "docker_image_info" => {
            "use `docker_image` and `docker_container` with `check_mode: true`, or `command: docker inspect …` with \
             `reads_only: true`"
        }
        "raw" => "use `shell`: nothing has to be installed on a host for it",
        "expect" => "use `command` with its `stdin`",
        "setup" | "gather_facts" => {
            "leave it out: facts are gathered by themselves where a template looks at them"
        }
        "ping" | "wait_for_connection" => {
            "leave it out: a host is connected before its first task; `wait_for` waits for a port"
        }
        "script" => {
            "`copy` the file and run it with `command`, so that the check knows what it changes"
        }
        "include" => "use `include_tasks` or `import_tasks`, and for plays `import_playbook`",
        "include_role" | "import_role" => {
            "roles are not read by this version; put the tasks into a file and use `import_tasks`"
        }
        "include_vars" => "use `vars_files` of the play: they are checked beforehand",
        "add_host" | "group_by" => {
            "hosts come from the inventory, so that all of them can be checked beforehand"
        }
        "synchronize" => "use `copy`: it takes a whole folder",
        "fetch" => "use `slurp`, and `copy` with `content` and `delegate_to: localhost`",
        "async_status" => {
            "leave it out: a command goes on without its connection; there is nothing to poll"
        }
        "assemble" => "use `template` with `{% include %}`",
        "tempfile" => "use a path of your own, or `command: mktemp` with `register`",
        "set_stats" => "use `set_fact`",
        "xml" => "use `lineinfile`, `replace` or `template`",
        _ => return None,
    })
}

/// What there is no module for yet, and what to use meanwhile.
fn missing(ansible: &str) -> Option<(&'static str, &'static str)> {
    Some(match ansible {
        "service" | "systemd" | "systemd_service" | "sysvinit" => (
            "services yet",
            "use `command: systemctl …`, with `unless: systemctl is-active NAME`",
        ),
        "package" | "apt" | "yum" | "dnf" | "dnf5" | "zypper" | "apk" | "rpm_key"
        | "yum_repository" | "apt_repository" | "apt_key" | "deb822_repository" | "pip" | "npm"
        | "gem" | "snap" => (
            "packages yet",
            "use `command` with the package manager, with `creates` or `unless` (`unless: rpm -q NAME`)",
        ),
        "package_facts" | "service_facts" | "getent" => (
            "this",
            "use `command` with `reads_only: true` and register its result",
        ),
        "git" | "subversion" | "hg" => (
            "git and its like",
            "use `command: git clone …` with `creates: FOLDER/.git`",
        ),
        "get_url" => (
            "downloads",
            "use `command: curl -fsSo FILE URL` with `creates: FILE`, or `copy` a file that lies beside the playbook",
        ),
        "unarchive" | "archive" => ("archives", "use `command: tar …` with `creates: FILE`"),
        "find" => (
            "finding files",
            "use `command: find …` with `reads_only: true`, and `register`: its `stdout_lines` are the files",
        ),
        "user" | "group" => (
            "users and groups",
            "use `command: useradd …` with `unless: id NAME`",
        ),
        "authorized_key" | "known_hosts" => ("this", "use `lineinfile` with `create: true`"),
        "cron" | "at" => ("cron", "`copy` a file into `/etc/cron.d`"),
        "mount" | "filesystem" | "lvol" | "lvg" | "parted" => (
            "disks and mounts",
            "use `lineinfile` on `/etc/fstab`, and `command: mount …` with `unless: mountpoint -q FOLDER`",
        ),
        "hostname" | "timezone" | "locale_gen" => (
            "this",
            "use `command: hostnamectl …` and its like, with `unless`",
        ),
        "sysctl" | "modprobe" | "pam_limits" => (
            "kernel settings",
            "`copy` a file into `/etc/sysctl.d` or its like, and notify a handler with `command`",
        ),
        "firewalld" | "ufw" | "iptables" | "seboolean" | "selinux" | "sefcontext" | "seport" => (
            "this",
            "use `command` with `unless` (`unless: firewall-cmd --query-port=80/tcp`)",
        ),
        "alternatives" => (
            "this",
            "use `file` with `state: link`, or `command` with `unless`",
        ),
        "reboot" => (
            "reboots",
            "use `command: systemctl reboot`, and `wait_for` on the controller with `delegate_to: localhost`",
        ),
        "docker_login" | "docker_prune" | "docker_swarm" => {
            ("this", "use `command: docker …` with `unless`")
        }
        name if name.starts_with("mysql_") => ("MySQL", "use `command: mysql …` with `unless`"),
        name if name.starts_with("win_") => ("Windows hosts", "they cannot be reached yet"),
        name if name.starts_with("openssl_") || name.starts_with("x509_") => (
            "certificates",
            "use `command: openssl …` with `creates: FILE`",
        ),
        _ => return None,
    })
}
