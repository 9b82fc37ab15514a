//! A site whose containers are made by compose, as the guide has it beside `docker run`.

use anyhow::{Context as _, Result, ensure};

use super::story::UPGRADE;
use super::{Archive, VERSION, equal};

const FOLDER: &str = "/home/ops/dcm4chee";
const PROJECT: &str = "dcm4chee-arc";
/// Ids and names of all containers, the file, and whatever else lies in homes and folders for a moment's files.
const LOOK: &str = "docker ps -aq --no-trunc --format '{{.ID}} {{.Names}} {{.Status}}' | cut -d' ' -f1-3 | sort; \
                    find /root /home -printf '%p %y %s %T@\\n' | sort; find /dev/shm /tmp -mindepth 1 | sort; cat /home/ops/dcm4chee/docker-compose.yml";

/// Which compose a site has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compose {
    /// `docker-compose`, version 1.
    Program,
    /// `docker compose`.
    Plugin,
}

impl Compose {
    fn command(self) -> String {
        let words = match self {
            Self::Program => "docker-compose",
            Self::Plugin => "docker compose",
        };
        format!("cd {FOLDER} && {words} -p {PROJECT}")
    }

    fn container(self, service: &str) -> String {
        let divider = match self {
            Self::Program => '_',
            Self::Plugin => '-',
        };
        [PROJECT, service, "1"].join(&divider.to_string())
    }

    /// What the site says of itself besides.
    fn variables(self) -> String {
        let name = |service| self.container(service);
        format!(
            r#"{{"compose": {{"project_src": "{FOLDER}", "project_name": "{PROJECT}"}}, "containers": {{"ldap": "{}", "db": "{}", "arc": "{}"}}}}"#,
            name("ldap"),
            name("db"),
            name("arc")
        )
    }
}

/// Replaces the containers of a host by a project with the same settings, out of a file as people keep it.
const BECOMES: &str = r#"
set -eu
mkdir -p /home/ops/dcm4chee && cd /home/ops/dcm4chee
env() { docker inspect -f '{{range .Config.Env}}{{println .}}{{end}}' $1 | grep -E "^($2)="; }
env ldap 'LDAP_BASE_DN|LDAP_ROOTPASS|LDAP_CONFIGPASS|ARCHIVE_DEVICE_NAME|AE_TITLE|SITE_CONTACT' > ldap.env
env db 'POSTGRES_DB|POSTGRES_USER|POSTGRES_PASSWORD' > docker-compose.env
env arc 'LDAP_BASE_DN|LDAP_ROOTPASS|JAVA_OPTS' > arc.env
cat > docker-compose.yml <<'YAML'
VERSIONservices:
  ldap:
    image: dcm4che/slapd-dcm4chee:2.6.5-31.2   # the directory
    logging:
      driver: json-file
      options:
        max-size: "10m"
    ports:
      - "389:389"
    env_file: ldap.env
    volumes:
      - /var/local/dcm4chee-arc/ldap:/var/lib/openldap/openldap-data
      - /var/local/dcm4chee-arc/slapd.d:/etc/openldap/slapd.d
  db:
    image: "dcm4che/postgres-dcm4chee:15.4-31"
    ports: ["5432:5432"]
    env_file: docker-compose.env
    volumes:
      - /etc/localtime:/etc/localtime:ro
      - /var/local/dcm4chee-arc/db:/var/lib/postgresql/data
  arc:
    image: dcm4che/dcm4chee-arc-psql:5.31.2
    # 11112 is DICOM, 2575 HL7
    ports: ["8080:8080", "8443:8443", "9990:9990", "9993:9993", "11112:11112", "2762:2762", "2575:2575", "12575:12575"]
    env_file: [docker-compose.env, arc.env]
    environment:
      WILDFLY_WAIT_FOR: ldap:389 db:5432
      KEYSTORE_PASSWORD: hidden-heron-willow
    depends_on: [ldap, db]
    volumes:
      - /etc/localtime:/etc/localtime:ro
      - /var/local/dcm4chee-arc/wildfly:/opt/wildfly/standalone
      - /var/local/dcm4chee-arc/storage:/storage
YAML
docker rm -f arc db ldap >/dev/null
docker network rm dcm4chee_default >/dev/null
UP up -d
end=$((SECONDS + 180))
until curl -fsS -o /dev/null http://127.0.0.1:8080/dcm4chee-arc/ui2; do [ $SECONDS -lt $end ] || exit 1; sleep 0.5; done
"#;

impl Archive {
    /// A project of compose in place of containers that were made by hand.
    ///
    /// # Errors
    /// It does not come up.
    pub fn becomes_a_project(&self, compose: Compose) -> Result<()> {
        let version = match compose {
            Compose::Program => "version: \"3\"\n",
            Compose::Plugin => "",
        };
        let script = BECOMES
            .replace("VERSION", version)
            .replace("UP up", &format!("{} up", compose.command()));
        self.on("arc", &script).map(drop)
    }

    /// The upgrade of such a site: the check changes nothing and says what comes; the run does that; the file has other tags
    /// and nothing else; a second run, and compose itself, find nothing to do; and the way back.
    ///
    /// # Errors
    /// Where that is not so.
    pub fn is_upgraded_as_a_project(&self, compose: Compose) -> Result<()> {
        let variables = compose.variables();
        let of = |more: &[&str]| -> Vec<String> {
            let words = [&["-e", variables.as_str()], more].concat();
            words.iter().map(|w| (*w).to_owned()).collect()
        };
        let play = |playbook: &str, more: &[&str]| {
            let words = of(more);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            self.play(playbook, &words, 0)
        };
        let look = || self.on("arc", LOOK);
        let file = || self.on("arc", &format!("cat {FOLDER}/docker-compose.yml"));
        let (before, text) = (look()?, file()?);
        let check = play(UPGRADE, &["--check", "--diff"])?;
        ensure!(look()? == before, "the check has changed:\n{}", look()?);
        for status in ["failed", "unknown", "conditional"] {
            let found = check.named(status);
            ensure!(found.is_empty(), "{status} in the check: {found:?}");
        }
        let told = format!("{:?}{:?}", check.events, check.said);
        ensure!(
            !told.contains("hidden-heron-willow") && told.contains("KEYSTORE_PASSWORD"),
            "a password in the project's file is shown, or the file is not"
        );
        let run = play(UPGRADE, &["--diff"])?;
        equal(&check, &run)?;
        self.confirm("arc", VERSION, r#"{"version":"5.32.0"}"#)?;
        let tags = text
            .replace("slapd-dcm4chee:2.6.5-31.2", "slapd-dcm4chee:2.6.6-32.0")
            .replace("postgres-dcm4chee:15.4-31", "postgres-dcm4chee:15.6-32")
            .replace("dcm4chee-arc-psql:5.31.2", "dcm4chee-arc-psql:5.32.0");
        ensure!(file()? == tags, "the file is another:\n{}", file()?);

        let ids = "docker ps -aq --no-trunc | sort";
        let upgraded = self.on("arc", ids)?;
        ensure!(upgraded.lines().count() == 3, "left behind:\n{upgraded}");
        let changed = play(UPGRADE, &[])?.named("changed");
        ensure!(changed.is_empty(), "a second run changes {changed:?}");
        self.on("arc", &format!("{} up -d 2>&1", compose.command()))?;
        self.confirm("arc", ids, upgraded.trim())?;

        let id = run.run_id().context("the upgrade has no id")?;
        self.rollback(&id, &[])?;
        self.confirm("arc", VERSION, r#"{"version":"5.31.2"}"#)?;
        ensure!(file()? == text, "the file is not as it was:\n{}", file()?);
        let back = self.on("arc", ids)?;
        self.on("arc", &format!("{} up -d 2>&1", compose.command()))?;
        self.confirm("arc", ids, back.trim())
    }
}
