//! Containers, a project of compose, entries and a restored branch of a directory, a database's schema and a restored
//! database on a site of the lab: the program killed, and each server killed during its own change.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use runbook_lab::{Lab, Variables};

use super::harm::{Ended, Going, Harm};
use super::trial::{Stage, State};
use crate::Scene;
use crate::archive::{Archive, Likeness, lasting};

/// The port of an sshd that can be killed without the host.
const PORT: u16 = 2022;

/// Makes two images of one program, the second of which writes into what it mounts.
const IMAGES: &str = r#"set -e
cd /tmp/crash-image
mkdir -p root/bin root/data
cp busybox root/bin/busybox
for l in $(ldd busybox 2>/dev/null | grep -o '/[^ ]*' || true); do mkdir -p root$(dirname $l); cp -L $l root$l; done
for p in sh sleep httpd cat echo; do ln -sf busybox root/bin/$p; done
tar -C root -cf all.tar .
docker import --change 'ENV PATH=/bin OF_IMAGE=old' --change 'CMD ["sh","-c","trap exit TERM; httpd -f -p 80 -h /data & wait"]' all.tar crash:1 >/dev/null
docker import --change 'ENV PATH=/bin OF_IMAGE=new' --change 'CMD ["sh","-c","trap exit TERM; echo new > /data/written; httpd -f -p 80 -h /data & wait"]' all.tar crash:2 >/dev/null
rm -rf /tmp/crash-image
"#;

/// Keeps the database as it was, from which each run gets one of its own. Nobody may be logged in to it meanwhile.
const TEMPLATE: &str = r"docker stop arc >/dev/null
docker exec db psql -U pacs -d postgres -tAc 'select datname from pg_database' | grep -qx crash_template || docker exec db createdb -U pacs -T pacsdb crash_template";

/// All as before a run.
const FRESH: &str = r#"set -e
docker ps -a --format '{{.Names}}' | { grep ^crash- || true; } | xargs -r docker rm -fv >/dev/null
docker network ls --format '{{.Name}}' | { grep ^crash- || true; } | xargs -r docker network rm >/dev/null
docker volume ls -q | { grep ^crash- || true; } | xargs -r docker volume rm >/dev/null
rm -rf /srv/crash /var/tmp/.runbook-* /tmp/.runbook-*
mkdir -p /srv/crash/app /srv/crash/counts; echo index > /srv/crash/app/index.html; echo old > /srv/crash/app/old
mkdir -p /srv/given-app; echo given > /srv/given-app/index.html; tar -czf /srv/given-app.tar.gz -C /srv/given-app .
docker run -d --name crash-app --restart always -e BY_HAND=1 -v /srv/crash/app:/data -p 8088:80 crash:1 >/dev/null
docker run -d --name crash-gone -e BY_HAND=1 crash:1 >/dev/null
mkdir -p /srv/crash/project/data
printf '%s\n' 'services:' '  one:' '    image: crash:1 # by hand' '    container_name: crash-one' '    network_mode: bridge' '    volumes: ["./data:/data"]' '    stop_grace_period: 2s' > /srv/crash/project/compose.yaml
docker compose -p crash-project --project-directory /srv/crash/project -f /srv/crash/project/compose.yaml up -d >/dev/null 2>&1
docker exec -i ldap sh -c 'ldapdelete -x -r -c -D "cn=admin,$LDAP_BASE_DN" -w "$LDAP_ROOTPASS" "ou=crash,$LDAP_BASE_DN" "ou=given,$LDAP_BASE_DN" 2>/dev/null; true'
docker exec -i ldap sh -c 'sed "s/BASE/$LDAP_BASE_DN/" | ldapadd -x -D "cn=admin,$LDAP_BASE_DN" -w "$LDAP_ROOTPASS"' >/dev/null <<'L'
dn: ou=crash,BASE
objectClass: organizationalUnit
ou: crash

dn: cn=changed,ou=crash,BASE
objectClass: organizationalRole
cn: changed
description: before
description: stays

dn: cn=removed,ou=crash,BASE
objectClass: organizationalRole
cn: removed

dn: ou=given,BASE
objectClass: organizationalUnit
ou: given

dn: cn=goes,ou=given,BASE
objectClass: organizationalRole
cn: goes
L
docker exec db sh -c 'dropdb -U pacs --if-exists --force crashdb && createdb -U pacs -T crash_template crashdb'
docker exec db psql -U pacs -d postgres -tAc "select datname from pg_database where datname like 'crash@_%' escape '@' and datname <> 'crash_template'" |
    while read -r name; do docker exec db dropdb -U pacs --force "$name" </dev/null; done
[ -e /srv/given.dump ] || docker exec db pg_dump -U pacs -Fc crash_template > /srv/given.dump
printf 'dn: ou=given,%s\nobjectClass: organizationalUnit\nou: given\n\ndn: cn=restored,ou=given,%s\nobjectClass: organizationalRole\ncn: restored\n' dc=dcm4che,dc=org dc=dcm4che,dc=org > /srv/given.ldif
[ -e /run/crash-sshd.pid ] && kill -0 $(cat /run/crash-sshd.pid) 2>/dev/null || /usr/sbin/sshd -p 2022 -o PidFile=/run/crash-sshd.pid
"#;

/// Waits until all servers answer, and starts what does not run.
const MENDED: &str = r#"
[ -e /run/crash-sshd.pid ] && kill -0 $(cat /run/crash-sshd.pid) 2>/dev/null || /usr/sbin/sshd -p 2022 -o PidFile=/run/crash-sshd.pid
for n in $(seq 300); do docker info >/dev/null 2>&1 && break; sleep 0.2; done
docker start ldap db >/dev/null
for n in $(seq 300); do
    docker exec ldap sh -c 'ldapsearch -x -D "cn=admin,$LDAP_BASE_DN" -w "$LDAP_ROOTPASS" -s base -b "ou=crash,$LDAP_BASE_DN"' >/dev/null 2>&1 &&
    docker exec db sh -c 'PGPASSWORD=$POSTGRES_PASSWORD psql -h 127.0.0.1 -U pacs -d crashdb -c "select 1"' >/dev/null 2>&1 && exit 0
    sleep 0.2
done
exit 1
"#;

/// Ends dockerd, which the host starts again, and waits until the new one answers.
const RESTARTED: &str = r#"
p=$(pgrep -o -x dockerd); kill $p
for n in $(seq 300); do [ -d /proc/$p ] || break; sleep 0.2; done
for n in $(seq 300); do docker info >/dev/null 2>&1 && exit 0; sleep 0.2; done
exit 1
"#;

/// A database as text: schema, rows, and what the ledger says without times.
pub fn database(name: &str) -> String {
    format!(
        r#"docker exec db sh -c 'pg_dump -U pacs --exclude-table-data="runbook.ledger" {name}' | grep -v '^\\\(un\)\?restrict ' | LC_ALL=C sort | uniq -c
there=$(docker exec db psql -U pacs -d {name} -tAc "select to_regclass('runbook.ledger') is not null") || exit 1
[ "$there" = f ] || docker exec db psql -U pacs -d {name} -tAc 'select version, number, part, file, hash, state, rows_changed, progress, upto from runbook.ledger order by 1, 2'"#
    )
}

/// What bears a name of ours on a host of a site.
pub const ASIDE: &str = r"
find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /var/lib/docker \) -prune -o -name '*.runbook-*' -print -prune
set -e
docker ps -a --filter 'name=\.runbook-' --format '{{.Names}}'
docker ps -a --filter 'name=runbook-look' --format '{{.Names}}'
images=$(docker images --format '{{.Repository}}:{{.Tag}}')
printf '%s\n' $images | { grep -F .runbook- || [ $? = 1 ]; }";

/// What a network that is made anew gives to a container.
fn is_of_network(line: &str) -> bool {
    let gives = [
        "NetworkID:",
        "Gateway:",
        "EndpointID:",
        "IPAddress:",
        "MacAddress:",
        "IPPrefixLen:",
    ];
    line.contains(".NetworkSettings.") && gives.iter().any(|g| line.contains(g))
}

/// A server, and the task during which it is killed.
pub const SERVERS: [(&str, &str); 4] = [
    ("dockerd", "New app"),
    ("slapd", "Entries"),
    ("postgres", "Part 1"),
    ("sshd", "New app"),
];

/// Up to this part of the time that a task takes undisturbed, in hundredths, a kill that comes too late is a mistake of ours.
const EARLY: u32 = 60;

/// How a server is killed.
fn kill(server: &str) -> Result<&'static str> {
    Ok(match server {
        "dockerd" => "pkill -9 -x dockerd",
        "slapd" => "pkill -9 -x slapd",
        "postgres" => "pkill -9 -o -x postgres",
        // The listener, and all that it has let in. It is back after two seconds, as where systemd sees to it.
        "sshd" => {
            "kill -9 $(cat /run/crash-sshd.pid) || exit 1; pkill -9 -f '^sshd: '; sleep 2; /usr/sbin/sshd -p 2022 -o PidFile=/run/crash-sshd.pid"
        }
        _ => bail!("there is no server {server}"),
    })
}

/// They.
pub struct Services<'a> {
    archive: &'a Archive,
    name: String,
}

impl<'a> Services<'a> {
    /// On a fresh site, whose archive is stopped.
    ///
    /// # Errors
    /// What could not be prepared.
    pub fn new(archive: &'a Archive, name: &str) -> Result<Self> {
        let stage = Self {
            archive,
            name: name.to_owned(),
        };
        if stage
            .on("docker image inspect crash:2 >/dev/null 2>&1 && echo there || true")?
            .is_empty()
        {
            let site = archive.site();
            let host = site.hosts.first().context("a site without a host")?;
            stage.on("mkdir -p /tmp/crash-image")?;
            let busybox = ["/bin/busybox", "/usr/bin/busybox"];
            let from = busybox.iter().find(|b| std::path::Path::new(b).exists());
            let from = from.context("there is no busybox on this machine")?;
            let to = format!("{}:/tmp/crash-image/busybox", site.container(host));
            let copied = Command::new("docker")
                .args(["cp", "-L", from, &to])
                .output()?;
            ensure!(
                copied.status.success(),
                "busybox cannot be copied: {}",
                String::from_utf8_lossy(&copied.stderr)
            );
            stage.on(IMAGES)?;
        }
        stage.on(TEMPLATE)?;
        Ok(stage)
    }

    fn on(&self, script: &str) -> Result<String> {
        self.archive.on("db", script)
    }

    /// Kills a server so many hundredths of a task's time after the task has begun.
    fn with_server_killed(&self, scene: &Scene, server: &str, hundredths: u32) -> Result<Ended> {
        let task = SERVERS.iter().find(|(name, _)| *name == server);
        let (_, task) = task.with_context(|| format!("there is no server {server}"))?;
        // How long the task takes when nobody disturbs it, on a stage of its own.
        let undisturbed = self.fresh()?;
        let took = self.watched(&undisturbed, task, None)?.1;
        // The scene stays; what is on the host begins anew.
        self.on(FRESH)?;
        let after = took * hundredths / 100;
        Ok(self.watched(scene, task, Some((kill(server)?, after)))?.0)
    }

    /// Runs the playbook; how long a task took. A script, which has to succeed, may be run on the host so long after the task has
    /// begun; it came in time where the task had not ended by then.
    fn watched(
        &self,
        scene: &Scene,
        task: &str,
        then: Option<(&str, Duration)>,
    ) -> Result<(Ended, Duration)> {
        let args = self.play();
        let mut args: Vec<&str> = args.iter().map(String::as_str).collect();
        args.extend(["--output", "json"]);
        let mut going = Going::start(scene, &[], &args)?;
        let seen = |event: &str, text: &str| {
            text.lines().any(|line| {
                line.contains(&format!("\"event\":\"{event}\""))
                    && line.contains(&format!("\"task\":\"{task}\""))
            })
        };
        let mut begun: Option<Instant> = None;
        let mut took = Duration::ZERO;
        let (mut then, mut in_time) = (then, true);
        while going.wait(Duration::from_millis(2))?.is_none() {
            let text = going.said()?;
            if begun.is_none() && seen("task-started", &text) {
                begun = Some(Instant::now());
            }
            let Some(since) = begun else { continue };
            if took.is_zero() && seen("task-finished", &text) {
                took = since.elapsed();
            }
            if let Some((script, after)) = then {
                std::thread::sleep(after.saturating_sub(since.elapsed()));
                in_time = !seen("task-finished", &going.said()?);
                let site = self.archive.site();
                let killed = site.exec(self.archive.host_of("db")?, script)?;
                ensure!(
                    killed.status == Some(0),
                    "`{script}` kills nothing: {}",
                    killed.stderr
                );
                then = None;
            }
        }
        ensure!(
            then.is_none(),
            "{task} was never begun, or too short to be disturbed"
        );
        let ended = going.end()?;
        Ok((Ended { in_time, ..ended }, took))
    }
}

const ENTRIES: &str = "files/entries.ldif";
/// So many entries that a server can be killed while they are written.
const MANY: usize = 300;

const FILES: [(&str, &str); 2] = [
    (
        "playbook.yaml",
        r#"- name: Services
  hosts: all
  become: true
  tasks:
    - name: A command before
      shell: echo ran >> /srv/crash/counts/before; sleep 0.1; echo said
      register: before

    - name: A network
      docker_network: {name: crash-net}

    - name: New app
      docker_container:
        name: crash-app
        image: crash:2
        env: {ADDED: "{{ before.stdout }}"}
        save: [/srv/crash/app]
        unpack: {/srv/crash/app: /srv/given-app.tar.gz}
        healthy: {http: "http://localhost:80/index.html", within: 1m}
      notify: told

    - name: It answers
      uri: {url: "http://localhost:8088/index.html", return_content: true}
      register: answer
      failed_when: answer.content != "given\n"

    - name: A volume
      docker_volume: {name: crash-vol, labels: {of: crash}}

    - name: One more
      docker_container:
        name: crash-more
        image: crash:1
        networks: [{name: crash-net}]
        volumes: ["/srv/crash/counts:/counts", "crash-vol:/vol"]
        healthy: {tcp: 80}

    - name: A command in it
      docker_exec: {container: crash-more, command: "echo ran >> /counts/within; sleep 0.2", changes: ["file:/srv/crash/counts"]}

    - name: One that goes
      docker_container: {name: crash-gone, state: absent}

    - name: Entries
      ldap_update:
        container: ldap
        bind_dn: "cn=admin,{{ base_dn }}"
        password: "{{ ldap_password }}"
        ldif: [files/entries.ldif]

    - name: Part 1
      pg_schema: {container: db, database: crashdb, user: pacs, password: "{{ pg_password }}", files: {image: "dcm4che/postgres-dcm4chee:15.6-32"}, to: "5.32", parts: [1], batch: 500}

    - name: Part 2
      pg_schema: {container: db, database: crashdb, user: pacs, password: "{{ pg_password }}", files: {image: "dcm4che/postgres-dcm4chee:15.6-32"}, to: "5.32", parts: [2]}

    - name: Another image in a project
      docker_compose: {project_src: /srv/crash/project, project_name: crash-project, images: {one: "crash:2"}, save: {one: [/srv/crash/project/data]}}

    - name: A dump
      pg_restore: {container: db, user: pacs, password: "{{ pg_password }}", src: /srv/given.dump, database: crash_given}

    - name: Under another name
      pg_database: {container: db, user: pacs, password: "{{ pg_password }}", name: crash_other, from: crash_given}

    - name: A branch as an export has it
      ldap_restore: {container: ldap, bind_dn: "cn=admin,{{ base_dn }}", password: "{{ ldap_password }}", src: /srv/given.ldif}

    - name: A container that does its work and goes
      docker_container:
        name: crash-once
        image: crash:1
        state: oneshot
        command: [sh, -c, "echo ran >> /counts/once; sleep 0.3; echo done; sleep 60"]
        stop_timeout: 1
        volumes: ["/srv/crash/counts:/counts"]
        oneshot: {until: {log: ^done}, changes: ["file:/srv/crash/counts"]}

    - name: A command after
      shell: echo ran >> /srv/crash/counts/after
  handlers:
    - name: told
      shell: echo ran >> /srv/crash/counts/told
"#,
    ),
    (
        ENTRIES,
        r"dn: cn=changed,ou=crash,dc=dcm4che,dc=org
changetype: modify
replace: description
description: after
description: stays
-

dn: cn=removed,ou=crash,dc=dcm4che,dc=org
changetype: delete

dn: cn=new1,ou=crash,dc=dcm4che,dc=org
changetype: add
objectClass: organizationalRole
cn: new1

dn: cn=new2,ou=crash,dc=dcm4che,dc=org
changetype: add
objectClass: organizationalRole
cn: new2
description: of the second

dn: ou=deep,ou=crash,dc=dcm4che,dc=org
changetype: add
objectClass: organizationalUnit
ou: deep

dn: cn=new3,ou=deep,ou=crash,dc=dcm4che,dc=org
changetype: add
objectClass: organizationalRole
cn: new3
",
    ),
];

impl Stage for Services<'_> {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn fresh(&self) -> Result<Scene> {
        self.on(FRESH)?;
        let scene = Scene::new()?;
        for (path, text) in FILES {
            scene.write(path, text)?;
        }
        let many = (0..MANY).map(|n| {
            format!("\ndn: cn=many{n},ou=crash,dc=dcm4che,dc=org\nchangetype: add\nobjectClass: organizationalRole\ncn: many{n}\n")
        });
        let few = FILES.iter().find(|(path, _)| *path == ENTRIES);
        let few = few.map_or("", |(_, text)| text);
        scene.write(ENTRIES, &format!("{few}{}", many.collect::<String>()))?;
        let site = self.archive.site();
        let host = site.hosts.first().context("a site without a host")?;
        let (lab, v) = (Lab::here(), Variables::of(&site.name));
        let said = self.on("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub")?;
        let key = said.split_whitespace().find(|w| w.starts_with("SHA256:"));
        scene.write(
            "inventory.yaml",
            &format!(
                "all:\n  hosts:\n    target: {{ansible_host: {}, ansible_port: {PORT}, ansible_user: ops, ansible_ssh_private_key_file: {}, host_key: \"{}\"}}\n  vars: {{base_dn: \"{}\", ldap_password: {}, pg_password: {}}}\n",
                host.address,
                lab.key().display(),
                key.context("a key without a fingerprint")?,
                v.base_dn,
                v.ldap_password,
                v.pg_password
            ),
        )?;
        Ok(scene)
    }

    fn play(&self) -> Vec<String> {
        ["play", "playbook.yaml", "-i", "inventory.yaml", "-y"]
            .map(str::to_owned)
            .to_vec()
    }

    fn look(&self, _runs: &[String]) -> Result<State> {
        let mut state = State::default();
        let listed = self.on("docker ps -a --format '{{.Names}} {{.Image}} {{.State}}' | grep ^crash- | grep -v runbook- | LC_ALL=C sort; docker network ls --format '{{.Name}}' | LC_ALL=C sort; docker volume ls -q | LC_ALL=C sort")?;
        state.lines.extend(listed.lines().map(str::to_owned));
        for name in ["crash-app", "crash-more", "crash-one"] {
            let inspected = self.on(&format!("docker inspect {name} 2>/dev/null || echo '[]'"))?;
            if inspected.trim() != "[]" {
                let lines = Likeness::described(name, &inspected)?;
                // Compose notes which container it has replaced.
                let lines = lines
                    .into_iter()
                    .filter(|l| !is_of_network(l) && !l.contains("com.docker.compose.replace"));
                state.lines.extend(lines.map(|l| format!("{name}{l}")));
            }
        }
        let ldif = self.on("docker exec ldap slapcat -F /etc/openldap/slapd.d -n 1")?;
        for (dn, lines) in lasting(&ldif) {
            state
                .lines
                .extend(lines.into_iter().map(|l| format!("{dn}: {l}")));
            state.lines.insert(dn);
        }
        let schema = self.on(&database("crashdb"))?;
        state.lines.extend(schema.lines().map(str::to_owned));
        let names =
            "docker exec db psql -U pacs -d postgres -tAc 'select datname from pg_database'";
        for restored in [names, &database("crash_other")] {
            let lines = self.on(restored)?;
            state
                .lines
                .extend(lines.lines().map(|l| format!("restored: {l}")));
        }
        let files = self.on(r"cd /srv/crash && find . \( -name '*.runbook-*' -o -path ./counts \) -prune -o -printf '%P %y %m %U:%G %l\n'; find . \( -name '*.runbook-*' -o -path ./counts \) -prune -o -type f -print0 | xargs -0r sha256sum")?;
        state.lines.extend(files.lines().map(str::to_owned));
        let counts = self.on("cd /srv/crash/counts && { grep -c '^ran$' -r . || [ $? = 1 ]; }")?;
        for line in counts.lines() {
            if let Some((name, count)) = line.rsplit_once(':') {
                state.counts.insert(name.to_owned(), count.parse()?);
            }
        }
        let aside: BTreeSet<String> = self.on(ASIDE)?.lines().map(str::to_owned).collect();
        state.aside = aside;
        Ok(state)
    }

    fn disturb(&self, scene: &Scene, harm: &Harm) -> Result<Ended> {
        let Harm::Own(what) = harm else {
            bail!("{harm} is nothing for services");
        };
        let parts = what.split_once("-killed-at-");
        let (server, at) = parts.with_context(|| format!("{what} is no way to kill a server"))?;
        let hundredths = at.strip_suffix('%').and_then(|a| a.parse().ok());
        let hundredths = hundredths.with_context(|| format!("{at} is no part of a time"))?;
        self.with_server_killed(scene, server, hundredths)
    }

    /// A server that is killed in the first part of what its task takes is killed while that goes on.
    fn heard(&self, harm: &Harm, ended: &Ended) -> Result<()> {
        let Harm::Own(what) = harm else {
            return Ok(());
        };
        let part = what
            .rsplit_once("-at-")
            .and_then(|(_, at)| at.strip_suffix('%')?.parse().ok());
        ensure!(
            ended.in_time || part.is_none_or(|part: u32| part > EARLY),
            "its task had ended before it was killed"
        );
        Ok(())
    }

    fn mend(&self, _scene: &Scene) -> Result<()> {
        self.on(MENDED).map(drop)
    }

    /// Docker 20.10 that was killed while it started a container may keep its port until it is started again.
    fn obey(&self, said: &str) -> Result<bool> {
        if !said.contains("restart the daemon") {
            return Ok(false);
        }
        self.on(RESTARTED)?;
        self.on(MENDED)?;
        Ok(true)
    }
}
