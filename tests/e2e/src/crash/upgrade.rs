//! The upgrade of the lab's archive, on a site that is put back after each run.

use anyhow::Result;
use runbook_lab::Lab;

use super::services::{ASIDE, database};
use super::trial::{Stage, State};
use crate::Scene;
use crate::archive::{Archive, Likeness, lasting};

/// Each backup with its mode, and with how many entries or tables it holds: none is missing, none is half of one.
const BACKUPS: &str = r#"
cd /var/backups/dcm4chee 2>/dev/null || exit 0
find . -type f | LC_ALL=C sort | while read -r f; do
    case $f in
    *.ldif) n=$(grep -c '^dn:' "$f") ;;
    *.dump) n=$(docker exec -i db pg_restore -l < "$f" | grep -c 'TABLE DATA') ;;
    *) n=? ;;
    esac
    echo "backup $f $(stat -c %a "$f") $n"
done
"#;

/// It.
pub struct Upgrade<'a> {
    archive: &'a Archive,
}

impl<'a> Upgrade<'a> {
    /// On a site that has been kept (`Site::keep`).
    #[must_use]
    pub fn new(archive: &'a Archive) -> Self {
        Self { archive }
    }
}

impl Stage for Upgrade<'_> {
    fn name(&self) -> String {
        "upgrade".to_owned()
    }

    fn fresh(&self) -> Result<Scene> {
        self.archive.site().again()?;
        self.archive
            .on("db", "rm -rf /var/tmp/.runbook-* /tmp/.runbook-*")?;
        Scene::new()
    }

    fn play(&self) -> Vec<String> {
        let playbook = Lab::project().join("playbooks/upgrade-5.32.yaml");
        let inventory = self.archive.inventory();
        vec![
            "play".to_owned(),
            playbook.display().to_string(),
            "-i".to_owned(),
            inventory.display().to_string(),
            "-y".to_owned(),
        ]
    }

    fn look(&self, runs: &[String]) -> Result<State> {
        let mut state = State::default();
        for line in Likeness::of(self.archive)?.lines() {
            // The folder of backups is named after the run.
            let line = runs.iter().fold(line, |l, run| l.replace(run, "RUN"));
            // What is in backups and in the files of the directory's configuration tells when it was made.
            let dated = ["  /var/backups/", "  /var/local/dcm4chee-arc/slapd.d/"];
            if !dated.iter().any(|d| line.contains(d)) {
                state.lines.insert(line);
            }
        }
        let configuration = self.archive.on(
            "ldap",
            "docker exec ldap slapcat -F /etc/openldap/slapd.d -n 0",
        )?;
        for (dn, lines) in lasting(&configuration) {
            let lines = lines.into_iter().map(|l| format!("{dn}: {l}"));
            state.lines.extend(lines);
        }
        let listed = self.archive.on(
            "db",
            r"docker ps -a --format '{{.Names}} {{.Image}} {{.State}}' | grep -v '\.runbook-' | LC_ALL=C sort; docker network ls --format '{{.Name}}'; docker images --format '{{.Repository}}:{{.Tag}}' | grep -v '\.runbook-'",
        )?;
        state.lines.extend(listed.lines().map(str::to_owned));
        let database = self.archive.on("db", &database("pacsdb"))?;
        state.lines.extend(database.lines().map(str::to_owned));
        let backups = runs
            .iter()
            .fold(self.archive.on("db", BACKUPS)?, |text, run| {
                text.replace(run, "RUN")
            });
        state.lines.extend(backups.lines().map(str::to_owned));
        let aside = self.archive.on("db", ASIDE)?;
        state.aside.extend(aside.lines().map(str::to_owned));
        Ok(state)
    }
}
