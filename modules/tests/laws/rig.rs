//! A case's own corner of this machine: a folder, and the server that it needs, fresh for each look at it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use runbook_engine::host::{Connection, Probe, Target, User};

use crate::case::{Case, Needs};
use crate::cluster::{self, Cluster};
use crate::daemon;
use crate::policy::Store;
use crate::registry_server::Registry;
use crate::skip::skip;
use crate::slapd::{self, Slapd};

pub struct Rig {
    pub connection: Arc<dyn Connection>,
    pub probe: Probe,
    pub target: Target,
    folder: tempfile::TempDir,
    name: String,
    docker: Option<daemon::Host>,
    port: Option<u16>,
    registry: Option<Registry>,
    slapd: Option<Slapd>,
    database: Option<(&'static Cluster, String)>,
    policy: Option<Store>,
}

impl Rig {
    /// `None`, said by name: what the case needs is not on this machine.
    pub fn new(case: &Case) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let connection = runbook_engine::transport::local::connect("localhost", None);
        let probe = Probe::new(connection.clone(), User::Login);
        let test = format!("the laws of {}", case.module);
        let mut rig = Self {
            connection,
            target: runbook_engine::testkit::target(probe.clone()),
            probe,
            folder: tempfile::tempdir().unwrap(),
            name: format!("law-{}-{number}", std::process::id()),
            docker: None,
            port: None,
            registry: None,
            slapd: None,
            database: None,
            policy: None,
        };
        if matches!(
            case.needs,
            Needs::Docker | Needs::Registry | Needs::DirectoryAndDocker
        ) {
            let host = daemon::Host::new(&test)?;
            rig.name = host.name("law");
            rig.docker = Some(host);
        }
        match case.needs {
            Needs::Nothing => {}
            Needs::Docker => rig.port = Some(free()),
            Needs::Http => rig.port = Some(answering()),
            Needs::Registry => rig.registry = Some(Registry::start(&test)?),
            Needs::Directory | Needs::DirectoryAndDocker => {
                if !slapd::available(&test) {
                    return None;
                }
                let slapd = Slapd::start(&[]);
                slapd.add(
                    b"dn: dc=dcm4che,dc=org\nobjectClass: domain\ndc: dcm4che\n\n\
                      dn: ou=users,dc=dcm4che,dc=org\nobjectClass: organizationalUnit\nou: users\n\
                      description: those who may log in\nl: Wien\nuserPassword: geheimes-wort\n",
                );
                rig.slapd = Some(slapd);
            }
            Needs::Policy => match Store::new() {
                Ok(store) => rig.policy = Some(store),
                Err(why) => {
                    skip(&test, &why);
                    return None;
                }
            },
            Needs::Database => {
                let cluster = cluster::cluster(&test)?;
                rig.database = Some((cluster, cluster.database()));
            }
        }
        rig.sh(case.before);
        Some(rig)
    }

    /// What `$DIR`, `$NAME`, `$PORT` and `$DB` stand for in a case.
    fn variables(&self) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            ("DIR", self.folder.path().to_str().unwrap().to_owned()),
            ("NAME", self.name.clone()),
        ];
        if let Some(port) = self.port {
            variables.push(("PORT", port.to_string()));
        }
        if let Some(registry) = &self.registry {
            variables.push(("PORT", registry.port.to_string()));
        }
        if let Some(slapd) = &self.slapd {
            variables.push(("PORT", slapd.port.to_string()));
        }
        if let Some(store) = &self.policy {
            variables.push(("STORE", store.name.clone()));
        }
        if let Some((cluster, database)) = &self.database {
            variables.push(("PORT", cluster.port.to_string()));
            variables.push(("DB", database.clone()));
        }
        variables
    }

    pub fn fill(&self, text: &str) -> String {
        let variables = self.variables();
        variables
            .iter()
            .fold(text.to_owned(), |text, (name, value)| {
                text.replace(&format!("${name}"), value)
            })
    }

    /// A shell command of the case; its output. It has to succeed.
    pub fn sh(&self, script: &str) -> String {
        let output = Command::new("sh")
            .args(["-euc", script])
            .envs(self.variables())
            .env("PGHOST", "127.0.0.1")
            .env(
                "PGPORT",
                self.database.as_ref().map_or(0, |d| d.0.port).to_string(),
            )
            .env("PGUSER", cluster::USER)
            .env("PGPASSWORD", cluster::PASSWORD)
            .env(
                "PGDATABASE",
                self.database.as_ref().map_or("", |d| d.1.as_str()),
            )
            .env("PATH", self.path())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{script}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn path(&self) -> String {
        let path = std::env::var("PATH").unwrap_or_default();
        self.database.as_ref().map_or(path.clone(), |(cluster, _)| {
            format!("{}:{path}", cluster.bin.display())
        })
    }

    /// What other programs see of all that the case is about.
    pub fn look(&self, case: &Case) -> String {
        let tree = "cd \"$DIR\"; find . -printf '%P %y %m %U %G %l\\n' | sort; find . -type f -print0 | sort -z | xargs -0 -r sha256sum";
        let own = match case.needs {
            Needs::Nothing | Needs::Http => "true",
            Needs::Registry => {
                "docker images --format '{{.Repository}}:{{.Tag}} {{.ID}}' | grep -F \"/$NAME:\" | sort"
            }
            Needs::Docker => {
                "docker ps -a --filter name=$NAME --format '{{.Names}} {{.Image}} {{.State}}' | sort; \
                 docker network ls --filter name=$NAME --format '{{.Name}} {{.Driver}}'; \
                 docker volume ls --filter name=$NAME --format '{{.Name}} {{.Driver}}'; \
                 docker images --filter \"reference=$NAME:*\" --format '{{.Repository}}:{{.Tag}} {{.ID}}' | sort; \
                 docker ps -aq --no-trunc --filter name=$NAME | sort | xargs -r docker inspect --format \
                 '{{.Id}} {{.Image}} {{.HostConfig.Memory}} {{.HostConfig.RestartPolicy}} {{.HostConfig.Binds}} {{.Config.Env}} {{.State.Paused}} {{json .Config.Labels}} {{.Config.Cmd}} {{.HostConfig.PortBindings}}'"
            }
            Needs::Directory | Needs::DirectoryAndDocker => {
                "ldapsearch -x -LLL -o ldif-wrap=no -H ldap://127.0.0.1:$PORT -D cn=admin,dc=dcm4che,dc=org -w secret \
                 -b dc=dcm4che,dc=org"
            }
            Needs::Policy => {
                "semanage fcontext -S $STORE -l -C; getfattr -R -h -d -m security.selinux --absolute-names $DIR"
            }
            Needs::Database => {
                "pg_dump --no-owner --inserts --exclude-schema=runbook | grep -v -e '^--' -e restrict | sort"
            }
        };
        format!("{}{}{}", self.sh(tree), self.sh(own), self.sh(case.look))
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if self.docker.is_some() {
            let _ = Command::new("docker")
                .args(["rmi", "-f", &format!("{}:1", self.name)])
                .output();
            // One that has lost its name to another.
            let own = format!("label=org.runbook.test={}", self.name);
            let _ = Command::new("docker")
                .args(["image", "prune", "-f", "--filter", &own])
                .output();
        }
    }
}

/// What stands where every user of the machine may write, outside the corner of a case.
pub struct Outside(BTreeMap<String, (u64, Option<std::time::SystemTime>)>);

impl Outside {
    pub fn look() -> Self {
        let mut found = BTreeMap::new();
        for folder in ["/tmp", "/var/tmp"] {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            for entry in entries {
                let path = entry.path().to_string_lossy().into_owned();
                // Folders of other tests, which run at the same time, and of what Docker starts for them.
                if path.contains("/.tmp") || path.starts_with("/tmp/runc-") {
                    continue;
                }
                let Ok(meta) = entry.metadata() else {
                    continue;
                };
                let file = meta.is_file();
                let state = (
                    if file { meta.len() } else { 0 },
                    meta.modified().ok().filter(|_| file),
                );
                found.insert(path, state);
            }
        }
        Self(found)
    }

    /// What has come or has changed since, without the part of its name that differs from time to time.
    pub fn changed(&self) -> BTreeSet<String> {
        let now = Self::look();
        let changed = now
            .0
            .iter()
            .filter(|(name, state)| self.0.get(*name) != Some(state));
        changed
            .map(|(name, _)| {
                let words = name.split_inclusive(|c: char| !c.is_ascii_alphanumeric());
                words
                    .map(|word| match word.find(|c: char| c.is_ascii_digit()) {
                        Some(_) => "#",
                        None => word,
                    })
                    .collect()
            })
            .collect()
    }
}

/// A port that nobody listens on.
fn free() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A port that answers HTTP until the tests end.
fn answering() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
            );
        }
    });
    port
}
