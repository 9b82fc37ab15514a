//! Names under which Ansible knows what is called otherwise here, or is done in another way.

use super::keywords::{PLAY, TASK};

/// What to write in place of an Ansible module's name, where it is not merely misspelt. `modules`: those that there are;
/// a hint at one that is still to come says so.
#[must_use]
pub fn other_name(ansible: &str, modules: &[String]) -> Option<String> {
    let hint = hint(ansible)?;
    let coming = hint.split('`').skip(1).step_by(2).any(|word| {
        let keyword = TASK.contains(&word) || PLAY.contains(&word) || word.contains([' ', ':']);
        !keyword && !modules.iter().any(|m| m == word)
    });
    Some(if coming {
        format!("{hint}; this version does not have it yet")
    } else {
        hint.to_owned()
    })
}

fn hint(ansible: &str) -> Option<&'static str> {
    Some(match ansible {
        "win_service" => "the module is called `windows_service` here",
        "win_regedit" | "win_registry" => "the module is called `windows_registry` here",
        "win_acl" => "the module is called `windows_acl` here",
        "win_copy" => "`copy` is for Windows hosts too, which this version cannot reach yet",
        "win_template" => {
            "`template` is for Windows hosts too, which this version cannot reach yet"
        }
        "win_file" => "`file` is for Windows hosts too, which this version cannot reach yet",
        "win_lineinfile" => {
            "`lineinfile` is for Windows hosts too, which this version cannot reach yet"
        }
        "win_command" => "`command` is for Windows hosts too, which this version cannot reach yet",
        "win_shell" | "win_powershell" => {
            "`shell` is for Windows hosts too, which this version cannot reach yet"
        }
        "win_wait_for" => {
            "`wait_for` is for Windows hosts too, which this version cannot reach yet"
        }
        "win_uri" => "`uri` is for Windows hosts too, which this version cannot reach yet",
        "systemd" | "systemd_service" | "sysvinit" => "the module is called `service` here",
        "apt" | "yum" | "dnf" | "dnf5" | "zypper" | "apk" => "the module is called `package` here",
        "sefcontext" => "the module is called `selinux_fcontext` here",
        "ldap_entry" | "ldap_attrs" | "ldap_attr" => {
            "the module is called `ldap_update` here: it takes LDIF"
        }
        "postgresql_query" | "postgresql_script" => {
            "the module is called `pg_schema` here: it keeps a ledger"
        }
        "postgresql_db" => "to dump a database there is `pg_dump`",
        "docker_compose_v2" => "the module is called `docker_compose` here",
        "docker_container_exec" => "the module is called `docker_exec` here",
        "docker_host_info" => {
            "there is `docker_image` and `docker_container` with `check_mode: true`"
        }
        "mysql_query" => "there is `mysql_db` and `mysql_user`",
        "apache2_module" => "the module is called `httpd_module` here",
        "raw" => "use `shell`: nothing has to be installed on a host for it",
        "setup" | "gather_facts" => {
            "facts are gathered by themselves where a template looks at them"
        }
        "script" => {
            "`copy` the file and run it with `command`, so that the check knows what it changes"
        }
        "include" => "use `include_tasks` or `import_tasks`",
        "include_role" | "import_role" => "roles are not read by this version; use `import_tasks`",
        "include_vars" => "use `vars_files` of the play: they are checked beforehand",
        "add_host" | "group_by" => {
            "hosts come from the inventory, so that all of them can be checked beforehand"
        }
        "synchronize" => "use `copy`",
        "fetch" => "use `slurp` and `copy` with `delegate_to: localhost`",
        "async_status" => "a command goes on without its connection; there is nothing to poll",
        _ => return None,
    })
}
