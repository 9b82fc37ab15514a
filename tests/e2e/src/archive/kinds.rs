//! A plan rests on resources of every kind that a site has, and somebody changes one after the other.

use anyhow::{Result, ensure};
use runbook_lab::Variables;

use super::Archive;

/// A resource that a plan rests on.
struct Bound {
    /// Its kind.
    kind: &'static str,
    /// The task that changes it.
    task: &'static str,
    /// What makes it as the plan finds it.
    before: &'static str,
    /// What somebody does to it.
    change: &'static str,
    /// What makes it again as the plan has found it.
    back: &'static str,
    /// What the refusal names.
    named: &'static str,
    /// What shows that it is as it was, or that the plan was applied.
    look: &'static str,
}

const IMAGE: &str = "dcm4che/postgres-dcm4chee:15.4-31";

/// `IMAGE` stands for an image of the host; schemas and further states of these kinds are what the upgrade's own plan rests on.
const ALL: [Bound; 7] = [
    Bound {
        kind: "file",
        task: r#"copy: {dest: /srv/drift/file, content: "new\n", mode: "0644"}"#,
        before: "mkdir -p /srv/drift; echo old > /srv/drift/file; chmod 644 /srv/drift/file",
        change: "chmod 600 /srv/drift/file",
        back: "chmod 644 /srv/drift/file",
        named: "/srv/drift/file",
        look: "cat /srv/drift/file",
    },
    Bound {
        kind: "container",
        task: r#"docker_container: {name: drift-app, env: {LEVEL: "2"}, stop_timeout: 1}"#,
        before: "docker run -d --name drift-app -e LEVEL=1 --entrypoint sleep IMAGE 3600 >/dev/null",
        change: "docker update --restart always drift-app >/dev/null",
        back: "docker update --restart no drift-app >/dev/null",
        named: "drift-app",
        look: "docker inspect -f '{{.Config.Env}}' drift-app",
    },
    Bound {
        kind: "image",
        task: r#"docker_image: {name: "drift:gone", state: absent}"#,
        before: "tar -C /etc -cf - hostname | docker import - drift:gone >/dev/null; docker tag drift:gone drift:kept",
        change: "tar -C /etc -cf - hosts | docker import - drift:gone >/dev/null",
        back: "docker tag drift:kept drift:gone",
        named: "drift:gone",
        look: "docker images -q drift:gone | wc -l",
    },
    Bound {
        kind: "network",
        task: "docker_network: {name: drift-net, subnet: 10.251.1.0/24}",
        before: "true",
        change: "docker network create drift-net >/dev/null",
        back: "docker network rm drift-net >/dev/null",
        named: "drift-net",
        look: "docker network ls -q --filter name=drift-net | wc -l",
    },
    Bound {
        kind: "volume",
        task: "docker_volume: {name: drift-vol}",
        before: "true",
        change: "docker volume create --label by=hand drift-vol >/dev/null",
        back: "docker volume rm drift-vol >/dev/null",
        named: "drift-vol",
        look: "docker volume ls -q --filter name=drift-vol | wc -l",
    },
    Bound {
        kind: "ldap-entry",
        task: r#"ldap_entry: {container: ldap, bind_dn: "cn=admin,{{ base_dn }}", password: "{{ ldap_password }}", dn: "cn=drift,ou=users,{{ base_dn }}", objectClass: organizationalRole}"#,
        before: "true",
        change: r#"docker exec -i ldap sh -c 'printf "dn: cn=drift,ou=users,%s\nobjectClass: organizationalRole\ncn: drift\ndescription: theirs\n" "$LDAP_BASE_DN" | ldapadd -x -D "cn=admin,$LDAP_BASE_DN" -w "$LDAP_ROOTPASS"' >/dev/null"#,
        back: r#"docker exec -i ldap sh -c 'ldapdelete -x -D "cn=admin,$LDAP_BASE_DN" -w "$LDAP_ROOTPASS" "cn=drift,ou=users,$LDAP_BASE_DN"'"#,
        named: "cn=drift",
        look: r#"docker exec -i ldap sh -c 'ldapsearch -x -LLL -D "cn=admin,$LDAP_BASE_DN" -w "$LDAP_ROOTPASS" -b "ou=users,$LDAP_BASE_DN" "(cn=drift)" dn | grep -c ^dn: || true'"#,
    },
    Bound {
        kind: "pg-database",
        task: r#"pg_database: {container: db, user: pacs, password: "{{ pg_password }}", name: drift_new, from: drift_old}"#,
        before: "docker exec db createdb -U pacs drift_old",
        change: "docker exec db createdb -U pacs drift_new",
        back: "docker exec db dropdb -U pacs drift_new",
        named: "drift_new",
        look: "docker exec db psql -U pacs -d postgres -tAc \"select datname from pg_database where datname like 'drift%'\"",
    },
];

impl Archive {
    /// On a site whose parts run on one host: what somebody changes of a resource is named, whatever its kind, and nothing is
    /// written then; where all is as it was, the plan is applied.
    ///
    /// # Errors
    /// Something slips through.
    pub fn refuses_drift_of_each_kind(&self) -> Result<()> {
        let on = |script: &str| self.on("db", &script.replace("IMAGE", IMAGE));
        let mut play = String::from("- hosts: db\n  become: true\n  tasks:\n");
        for bound in &ALL {
            on(bound.before)?;
            play.push_str(&format!("    - {}\n", bound.task));
        }
        let v = Variables::of(&self.site().name);
        let file = self.state.path().join("drift.yaml");
        std::fs::write(&file, play)?;
        let plan = self.state.path().join("drift.plan");
        let (file, plan) = (file.to_string_lossy(), plan.to_string_lossy());
        let passwords = format!(
            "base_dn={} ldap_password={} pg_password={}",
            v.base_dn, v.ldap_password, v.pg_password
        );
        self.runbook(&["plan", &file, "-e", &passwords, "-o", &plan], 0)?;
        let looks = || {
            ALL.iter()
                .map(|bound| on(bound.look))
                .collect::<Result<Vec<_>>>()
        };
        let before = looks()?;
        for bound in &ALL {
            self.say(&format!("# {}", bound.change));
            on(bound.change)?;
            let changed = looks()?;
            let applied = self.called(&["apply", &plan])?;
            let drifts = applied.drifts();
            ensure!(
                applied.code == 5 && drifts.iter().any(|d| d.contains(bound.named)),
                "{}: exit code {}, drifts {drifts:?}",
                bound.kind,
                applied.code
            );
            ensure!(
                looks()? == changed,
                "{}: a refused plan has written",
                bound.kind
            );
            on(bound.back)?;
            ensure!(looks()? == before, "{}: it is not as it was", bound.kind);
        }
        let applied = self.called(&["apply", &plan])?;
        ensure!(
            applied.code == 0,
            "exit code {}: {}",
            applied.code,
            applied.said
        );
        let after = looks()?;
        for ((bound, before), after) in ALL.iter().zip(&before).zip(&after) {
            ensure!(before != after, "{}: nothing was done", bound.kind);
        }
        Ok(())
    }
}
