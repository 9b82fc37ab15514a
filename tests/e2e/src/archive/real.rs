//! A site whose directory and database are those of the archive 5.29.0, made of the files that its vendor ships, and images
//! with the vendor's own updates. The servers are the lab's; only what they hold is another.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::points::{SCHEMA, kept, kept_parts};
use super::story::{FINISH, UPGRADE};
use super::{Archive, Played, VERSION, damage, equal};

/// Makes images of the lab's, with the vendor's files in place of the lab's own. `/srv/real` holds them.
const IMAGES: &str = r#"set -eu
export DOCKER_BUILDKIT=0
cd /srv/real
rm -rf build; mkdir build
image() { # TAG FOLDER: a Dockerfile on standard input
    cat >"build/$2/Dockerfile"
    docker build -q --network none -t "$1" "build/$2" >/dev/null
}
schemas='dicom dcm4che dcm4chee-archive dcm4chee-archive-ui'

mkdir -p build/old-ldap/schema build/old-ldap/init
for name in $schemas; do cp "ldap/schema/5.29.0/$name.ldif" build/old-ldap/schema/; done
cp ldap/init/5.29.0/init-baseDN.ldif build/old-ldap/init/10-base.ldif
n=20
for name in init-config dcm4chee-arc default-ui-config default-users keycloak logstash scheduledstation storescp stowrsd; do
    cp "ldap/init/5.29.0/$name.ldif" "build/old-ldap/init/$n-$name.ldif"
    n=$((n + 1))
done
image real/slapd-dcm4chee:2.6.5-29.0 old-ldap <<'D'
FROM dcm4che/slapd-dcm4chee:2.6.5-31.2
RUN rm -rf /etc/openldap/schema /etc/openldap/init /etc/openldap/data
COPY schema /etc/openldap/schema
COPY init /etc/openldap/init
D

mkdir -p build/new-ldap/schema build/new-ldap/ldap
for name in $schemas; do cp "ldap/schema/5.32.0/$name.ldif" "ldap/schema/5.32.0/$name-modify.ldif" build/new-ldap/schema/; done
cp ldap/init/5.32.0/*.ldif build/new-ldap/ldap/
mkdir build/new-ldap/data
for version in 5.26.0 5.29.1 5.29.2 5.30.0 5.31.0 5.31.1 5.31.2 5.32.0; do cp -r "ldap/update/$version" build/new-ldap/data/; done
image real/slapd-dcm4chee:2.6.6-32.0 new-ldap <<'D'
FROM dcm4che/slapd-dcm4chee:2.6.6-32.0
RUN rm -rf /etc/openldap/schema /etc/openldap/init /etc/openldap/data
COPY schema /etc/openldap/schema
COPY ldap /etc/openldap/ldap
COPY data /etc/openldap/data
D

mkdir -p build/old-db
cp sql/create/5.29.0/create-psql.sql build/old-db/10_create.sql
cp sql/create/5.29.0/create-fk-index.sql build/old-db/20_fk.sql
cp sql/create/5.29.0/create-case-insensitive-index.sql build/old-db/30_ci.sql
cat >build/old-db/40_rows.sql <<'S'
-- As many rows as the updates need to have something to do; each refers to the one of its own number.
create function pg_temp.fill(name text, count integer, more text[] default '{}') returns void language plpgsql as $$
declare columns text; expressions text;
begin
    select string_agg(quote_ident(column_name), ', '),
        string_agg(case data_type
            when 'bigint' then 'n'
            when 'integer' then '0'
            when 'boolean' then 'false'
            when 'bytea' then quote_literal('x') || '::bytea'
            when 'timestamp without time zone' then quote_literal('2024-01-01') || '::timestamp'
            else quote_literal(column_name || ' ') || ' || n' end, ', ')
        into columns, expressions from information_schema.columns
        where table_schema = 'public' and table_name = name and (is_nullable = 'NO' or column_name = any(more));
    execute format('insert into %I (%s) select %s from generate_series(1, %s) n', name, columns, expressions, count);
end $$;
select pg_temp.fill(name, 200) from unnest(array['dicomattrs', 'patient_id']) name;
select pg_temp.fill('patient', 200, array['patient_id_fk']);
select pg_temp.fill(name, 200) from unnest(array['study', 'series', 'instance', 'mwl_item']) name;
update instance set ext_retrieve_aet = 'REMOTE' where pk % 4 = 0;
S
image real/postgres-dcm4chee:15.4-29 old-db <<'D'
FROM dcm4che/postgres-dcm4chee:15.4-31
RUN rm -rf /docker-entrypoint-initdb.d/* /sql/*
COPY *.sql /docker-entrypoint-initdb.d/
D
mkdir -p build/new-db
cp sql/update/*.sql build/new-db/
image real/postgres-dcm4chee:15.6-32 new-db <<'D'
FROM dcm4che/postgres-dcm4chee:15.6-32
RUN rm -rf /sql/*
COPY *.sql /sql/
D
mkdir -p build/arc
image real/dcm4chee-arc-psql:5.29.0 arc <<'D'
FROM dcm4che/dcm4chee-arc-psql:5.31.2
ENV ARCHIVE_VERSION=5.29.0
RUN echo 5.29.0 >/docker-entrypoint.d/configuration/VERSION
D
rm -rf build
"#;

/// What runs before the upgrade.
const OLD: [(&str, &str); 4] = [
    ("LDAP_IMAGE", "real/slapd-dcm4chee:2.6.5-29.0"),
    (
        "LDAP_LAST",
        "dicomDeviceName=stowrsd,cn=Devices,cn=DICOM Configuration",
    ),
    ("DB_IMAGE", "real/postgres-dcm4chee:15.4-29"),
    ("ARC_IMAGE", "real/dcm4chee-arc-psql:5.29.0"),
];

/// Adds two application entities and a device to the directory, as sites do in the user interface: each is made like one that
/// is there.
const ADDED: &str = r#"set -e
base=dc=dcm4che,dc=org
device="dicomDeviceName=dcm4chee-arc,cn=Devices,cn=DICOM Configuration,$base"
like() { # BASE SED [FILTER]
    docker exec ldap sh -c 'ldapsearch -x -LLL -o ldif-wrap=no -D "cn=admin,$LDAP_BASE_DN" -w "$LDAP_ROOTPASS" -b "$1" "$2"' sh "$1" "${3:-(objectClass=*)}" |
        sed "$2" |
        docker exec -i ldap sh -c 'ldapadd -x -D "cn=admin,$LDAP_BASE_DN" -w "$LDAP_ROOTPASS"' >/dev/null
}
entity() { # DEVICE TITLE NEW: with the web applications that bear its name
    like "dicomAETitle=$2,$1" "s/\b$2\b/$3/g"
    like "$1" "s/\b$2\b/$3/g" "(|(dcmWebAppName=$2)(dcmWebAppName=$2-WADO))"
}
entity "$device" DCM4CHEE NIGHT
like "$device" 's/dicomDeviceName\(=\|: \)dcm4chee-arc/dicomDeviceName\1arc-east/g; s/\bDCM4CHEE\b/EAST/g'
entity "${device/dcm4chee-arc/arc-east}" EAST EASTNIGHT
"#;

/// What a site says of them.
const ADDITIONAL: &str = r#"{"additional_aets": ["NIGHT"], "additional_devices": [{"names": {"device": "arc-east", "aet": "EAST"}, "additional_aets": ["EASTNIGHT"]}]}"#;

/// Removes branches of the directory and changes entries of it.
const AS_OLD: &str = r#"set -e
root() { docker exec -i ldap sh -c "$1"' -x -D "cn=admin,$LDAP_BASE_DN" -w "$LDAP_ROOTPASS"'"$2"; }
root 'ldapdelete -r' "BRANCHES"
root ldapmodify '' >/dev/null <<'L'
LDIF
L
"#;

/// What is taken from a directory of 5.29.0 to make it as old as the archive, and what these did not have yet is done once.
struct Older {
    version: &'static str,
    /// Branches that are removed.
    branches: &'static [&'static str],
    /// A script for `ldapmodify`.
    ldif: &'static str,
    once: &'static [&'static str],
}

const OLDER: [Older; 2] = [
    Older {
        version: "5.7.0",
        branches: &[
            "ou=realm-management",
            "ou=account",
            "uid=root,ou=users",
            "cn=root,ou=users",
            "cn=auditlog,ou=users",
            "cn=ADMINISTRATOR,ou=users",
            "dcmuiPermissionName=Menu - Navigation,dcmuiConfigName=default,DEVICE",
        ],
        ldif: "\
dn: dicomAETitle=DCM4CHEE,DEVICE
changetype: modify
delete: dcmObjectStorageID

dn: DEVICE
changetype: modify
add: dcmStorageID
dcmStorageID: fs1

dn: cn=cn,cn=Audit Logger,DEVICE
changetype: add
objectClass: dcmAuditSuppressCriteria
cn: cn

dn: dcmuiPermissionName=Own,dcmuiConfigName=default,DEVICE
changetype: add
objectClass: dcmuiPermission
dcmuiPermissionName: Own
dcmuiAction: own
",
        once: &[
            "Permissions to manage the realm (5.8.0)",
            "The group for audit logs (5.9.0)",
            "The archive's application entity names the storage (5.10.2)",
            "The device names none any more (5.10.2)",
            "No audit messages are suppressed (5.10.4)",
            "Permissions to query the realm (5.10.5)",
            "Permissions of the user interface, all of them (5.13.0)",
            "The branch of accounts (5.24.0)",
            "Roles of accounts (5.24.0)",
            "The user with all rights (5.25.0)",
            "Roles of this user that are new (5.25.0)",
            "Roles of this user (5.25.0)",
            "Permissions of the user interface as 5.25.0 has them",
            "Who may log in (5.31.2)",
            "Who is no ordinary user any more (5.31.2)",
        ],
    },
    Older {
        version: "5.5.0",
        branches: &[
            "ou=users",
            "ou=realm-management",
            "dcmuiConfigName=default,DEVICE",
        ],
        // Roles of accounts that somebody has made by hand, as the guide says, and with one member each.
        ldif: "\
dn: cn=view-profile,ou=account,BASE
changetype: modify
replace: member
member: uid=admin,ou=users,BASE

dn: cn=manage-account,ou=account,BASE
changetype: modify
replace: member
member: uid=admin,ou=users,BASE
",
        once: &[
            "Users and their roles (5.6.0)",
            "Permissions of the user interface, all of them (5.13.0)",
            "Users with these roles (5.24.0)",
        ],
    },
];

/// What a site says that comes from before 5.29.
const GIVEN: &str = r#"{"from_versions": "5\\.", "root_password": "changed-at-once", "stale_configuration": ["stale.xml"], "docker_network": "dcm4chee_more"}"#;
/// What is done of that, beside what is done once.
const ASKED: [&str; 2] = [
    "Network of the containers",
    "Configuration that the new archive shall write anew",
];
const REPLACED: &str = "Permissions of the user interface as 5.25.0 has them";
const STALE: &str = "/var/local/dcm4chee-arc/wildfly/configuration/stale.xml";
/// Makes an image of the archive that gives up.
const BAD: &str = r#"set -e
id=$(docker create dcm4che/dcm4chee-arc-psql:5.32.0)
docker commit --change 'ENTRYPOINT ["sh", "-c", "sleep 2; exit 1"]' "$id" dcm4che/dcm4chee-arc-psql:5.32.1 >/dev/null
docker rm "$id" >/dev/null
"#;

/// What is done once, to a directory from before 5.31.2, beside the chain of updates.
const ONCE: [&str; 7] = [
    "Data of further application entities",
    "Data of further archive devices",
    "Data of their further application entities",
    "Permissions of the user interface",
    "The role of all who may log in (5.31.2)",
    "Who may log in (5.31.2)",
    "Who is no ordinary user any more (5.31.2)",
];

/// The images of the upgrade, as a variable.
pub const NEW: &str = r#"{"images": {"ldap": "real/slapd-dcm4chee:2.6.6-32.0", "arc": "dcm4che/dcm4chee-arc-psql:5.32.0", "db": {"15": "real/postgres-dcm4chee:15.6-32"}}}"#;

/// The directory's schema.
const OWN_SCHEMA: &str = "docker exec ldap sh -c 'ldapsearch -x -LLL -o ldif-wrap=no -D cn=admin,cn=config -w $LDAP_CONFIGPASS -b cn=schema,cn=config' | sort";

const ROLE: &str = r#"docker exec -i ldap sh -c 'ldapmodify -x -D "cn=admin,$LDAP_BASE_DN" -w "$LDAP_ROOTPASS"' >/dev/null <<'L'
dn: dicomAETitle=DCM4CHEE,dicomDeviceName=dcm4chee-arc,cn=Devices,cn=DICOM Configuration,dc=dcm4che,dc=org
changetype: modify
add: dcmAcceptedUserRole
dcmAcceptedUserRole: admin
L
"#;

type Entries = BTreeMap<String, BTreeSet<String>>;

/// A text with another name in the place of one, where that stands as a whole word.
fn renamed(text: &str, from: &str, to: &str) -> String {
    let mut parts = text.split(from);
    let mut whole = parts.next().unwrap_or_default().to_owned();
    let in_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    for part in parts {
        let word = in_word(whole.chars().next_back()) || in_word(part.chars().next());
        whole.push_str(if word { from } else { to });
        whole.push_str(part);
    }
    whole
}

/// What the site has added was like its model before, and is so afterwards, when all of it has changed.
fn added_are_alike(before: &Entries, after: &Entries) -> Result<()> {
    let device = "dicomDeviceName=dcm4chee-arc,";
    let title = "dicomAETitle=DCM4CHEE,dicomDeviceName=dcm4chee-arc,";
    let changes = |text: &str, pairs: &[(&str, &str)]| {
        let begin = text.to_owned();
        pairs
            .iter()
            .fold(begin, |text, (from, to)| renamed(&text, from, to))
    };
    let east = [
        ("dicomDeviceName=dcm4chee-arc", "dicomDeviceName=arc-east"),
        ("dicomDeviceName: dcm4chee-arc", "dicomDeviceName: arc-east"),
        ("DCM4CHEE", "EAST"),
    ];
    let night = [("DCM4CHEE", "NIGHT")];
    let pairs: [(&str, &[(&str, &str)]); 2] = [(title, &night), (device, &east)];
    for (model, names) in pairs {
        let mut changed = 0;
        for (dn, lines) in after.iter().filter(|(dn, _)| dn.contains(model)) {
            // The user interface is configured at one device; and what lies below another entity has other names.
            if dn.contains("dcmuiConfigName=") || dn.contains("NIGHT") {
                continue;
            }
            let there = after.get(&changes(dn, names));
            let alike: BTreeSet<String> = lines.iter().map(|l| changes(l, names)).collect();
            ensure!(
                there == Some(&alike),
                "{dn} is {alike:#?}, and the one made like it {there:#?}"
            );
            changed += usize::from(before.get(dn) != Some(lines));
        }
        ensure!(
            changed > 20,
            "only {changed} entries of {model} have changed"
        );
    }
    Ok(())
}

impl Archive {
    /// The site holds a real archive 5.29.0 in place of what it held.
    ///
    /// # Errors
    /// A program fails.
    pub fn becomes_real(&self, data: &Path) -> Result<()> {
        for host in &self.site.hosts {
            let container = self.site.container(host);
            self.site
                .exec(&host.name, "rm -rf /srv/real; mkdir -p /srv/real")?;
            let output = Command::new("docker")
                .arg("cp")
                .arg(format!("{}/.", data.display()))
                .arg(format!("{container}:/srv/real"))
                .output()?;
            ensure!(
                output.status.success(),
                "docker cp: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            let made = self.site.exec(&host.name, IMAGES)?;
            ensure!(
                made.status == Some(0),
                "the images are not made: {}{}",
                made.stdout,
                made.stderr
            );
        }
        self.site.others(&OLD)
    }

    /// Everything from 5.29.0 to 5.32.0, through every version in between: the check tells what the run does, a second run
    /// does nothing, a rollback brings back what was there, and forward again to the end.
    ///
    /// # Errors
    /// Where that is not so.
    pub fn comes_from_5_29(&self) -> Result<()> {
        self.on("ldap", ADDED)?;
        let directory = damage::lasting(&damage::directory(self)?);
        let (schema, own) = (self.on("db", SCHEMA)?, self.on("ldap", OWN_SCHEMA)?);
        let check = self.play_real(UPGRADE, &["--check", "--diff", "-e", ADDITIONAL], 0)?;
        let run = self.play_real(UPGRADE, &["-e", ADDITIONAL], 0)?;
        let tasks = equal(&check, &run)?;
        self.confirm("arc", VERSION, r#"{"version":"5.32.0"}"#)?;
        let changed = run.named("changed");
        for task in ONCE {
            ensure!(changed.contains(task), "`{task}` has changed nothing");
        }
        let after = damage::lasting(&damage::directory(self)?);
        self.say(&format!(
            "# {tasks} tasks, {} entries before, {} after",
            directory.len(),
            after.len()
        ));
        added_are_alike(&directory, &after)?;
        // Somebody gives a role back that the upgrade has taken away: the next run leaves it there.
        self.on("ldap", ROLE)?;
        let with_role = damage::lasting(&damage::directory(self)?);
        ensure!(with_role != after, "the role was there");
        let again = self.play_real(UPGRADE, &["-e", ADDITIONAL], 0)?;
        let changed = again.named("changed");
        ensure!(changed.is_empty(), "the second run changes {changed:?}");
        ensure!(
            damage::lasting(&damage::directory(self)?) == with_role,
            "the second run has changed the directory"
        );
        self.on("ldap", &ROLE.replace("add:", "delete:"))?;

        let id = run.run_id().context("the run has no id")?;
        let back = self.rollback(&id, &[])?;
        let mut keys = kept_parts(&back);
        let entries = kept(&back, "ldap-entry:");
        for said in [&keys, &entries] {
            ensure!(!said.is_empty(), "nothing is said of the schema");
        }
        keys.extend(entries);
        ensure!(
            self.on("ldap", OWN_SCHEMA)? != own,
            "the directory's schema has not stayed"
        );
        let also: Vec<&str> = keys
            .iter()
            .flat_map(|key| ["--also", key.as_str()])
            .collect();
        self.rollback(&id, &also)?;
        self.confirm("arc", VERSION, r#"{"version":"5.29.0"}"#)?;
        let now = damage::lasting(&damage::directory(self)?);
        let differs: Vec<&String> = directory
            .keys()
            .chain(now.keys())
            .filter(|dn| directory.get(*dn) != now.get(*dn))
            .collect();
        ensure!(differs.is_empty(), "not as before: {differs:#?}");
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
        let now = self.on("db", SCHEMA)?;
        let differs: Vec<String> = lines(&schema)
            .symmetric_difference(&lines(&now))
            .cloned()
            .collect();
        ensure!(
            differs.is_empty() && schema == now,
            "the schema is not the one before: {differs:#?}"
        );
        ensure!(
            self.on("ldap", OWN_SCHEMA)? == own,
            "the directory's schema is not the one before"
        );

        self.play_real(UPGRADE, &["-e", ADDITIONAL], 0)?;
        ensure!(
            damage::lasting(&damage::directory(self)?) == after,
            "forward again, the directory is another one"
        );
        // Columns of before go with it, so somebody has to say that this is meant.
        let refused = self.play_real(FINISH, &["-y"], 2)?;
        let why = refused.failures();
        ensure!(
            why.values()
                .any(|w| w.contains("mwl_item.local_aet") && w.contains("consent: true")),
            "{why:?}"
        );
        self.play_real(FINISH, &["-y", "-e", "consent=true"], 0)?;
        self.confirm("arc", VERSION, r#"{"version":"5.32.0"}"#)?;
        self.confirm(
            "db",
            "docker exec db psql -U pacs -d pacsdb -tAc \"select count(*) from information_schema.columns where (table_name, column_name) in (('mwl_item', 'local_aet'), ('patient', 'patient_id_fk'))\"",
            "0",
        )
    }

    /// The same from an older version: what the guide does once is done, and not a second time. With `all`: from all versions
    /// that are tried, taken back, and begun anew after a failure.
    ///
    /// # Errors
    /// Where that is not so.
    pub fn comes_from_older(&self, all: bool) -> Result<()> {
        let count = if all { OLDER.len() } else { 1 };
        OLDER.iter().take(count).try_for_each(|older| {
            self.comes_from(older)
                .and_then(|run| match all {
                    true => self.goes_back_and_is_begun_anew(older, run),
                    false => Ok(()),
                })
                .with_context(|| format!("from {}", older.version))
        })
    }

    /// Gives the directory as it was before, and the run.
    fn comes_from(&self, older: &Older) -> Result<(Entries, Played)> {
        let image = format!("real/dcm4chee-arc-psql:{}", older.version);
        self.on(
            "arc",
            &format!("docker tag real/dcm4chee-arc-psql:5.29.0 {image}"),
        )?;
        let images = OLD.map(|(name, usual)| match name {
            "ARC_IMAGE" => (name, image.as_str()),
            _ => (name, usual),
        });
        self.site.others(&images)?;
        let base = "dc=dcm4che,dc=org";
        let device =
            format!("dicomDeviceName=dcm4chee-arc,cn=Devices,cn=DICOM Configuration,{base}");
        let branches = older
            .branches
            .iter()
            .map(|branch| match branch.strip_suffix("DEVICE") {
                Some(begin) => format!(" '{begin}{device}'"),
                None => format!(" '{branch},{base}'"),
            });
        let ldif = older.ldif.replace("DEVICE", &device);
        let script = AS_OLD.replace("BRANCHES", &branches.collect::<String>());
        self.on("ldap", &script.replace("LDIF", &ldif.replace("BASE", base)))?;
        self.on("arc", &format!("echo old > {STALE}"))?;
        self.on(
            "arc",
            "docker network ls -q -f name=dcm4chee_more | xargs -r docker network rm >/dev/null",
        )?;
        let directory = damage::lasting(&damage::directory(self)?);
        let given = ["-e", GIVEN];
        let check = self.play_real(UPGRADE, &[&["--check", "--diff"], &given[..]].concat(), 0)?;
        let run = self.play_real(UPGRADE, &given, 0)?;
        equal(&check, &run)?;
        let changed = run.named("changed");
        for task in older.once.iter().chain(&ASKED) {
            ensure!(changed.contains(*task), "`{task}` has changed nothing");
        }
        let again = self.play_real(UPGRADE, &given, 0)?;
        let changed = again.named("changed");
        ensure!(changed.is_empty(), "the second run changes {changed:?}");
        Ok((directory, run))
    }

    fn goes_back_and_is_begun_anew(
        &self,
        older: &Older,
        (directory, run): (Entries, Played),
    ) -> Result<()> {
        self.rollback(&run.run_id().context("the run has no id")?, &[])?;
        let back = damage::lasting(&damage::directory(self)?);
        let differs: Vec<&String> = directory
            .keys()
            .chain(back.keys())
            .filter(|dn| directory.get(*dn) != back.get(*dn))
            .collect();
        ensure!(differs.is_empty(), "not as before: {differs:#?}");
        self.confirm("arc", &format!("cat {STALE}"), "old")?;
        self.confirm("arc", "docker network ls -q -f name=dcm4chee_more", "")?;
        self.is_begun_anew(older, &["-e", GIVEN])
    }

    /// The new archive does not come up, so the run ends with the old one; begun anew, it finds done what it did to the
    /// directory, though the archive is as old as before.
    fn is_begun_anew(&self, older: &Older, given: &[&str]) -> Result<()> {
        self.on("arc", BAD)?;
        let bad = NEW.replace("dcm4chee-arc-psql:5.32.0", "dcm4chee-arc-psql:5.32.1");
        let failed = self.play(UPGRADE, &[&["-e", &bad], given].concat(), 2)?;
        ensure!(
            failed.failures().contains_key("New archive"),
            "{:?}",
            failed.failures()
        );
        self.confirm(
            "arc",
            "docker inspect -f '{{.Config.Image}} {{.State.Running}}' arc",
            &format!("real/dcm4chee-arc-psql:{} true", older.version),
        )?;
        let run = self.play_real(UPGRADE, given, 0)?;
        let (mut done, changed) = (run.named("ok"), run.named("changed"));
        // What the updates have made of it since stays.
        ensure!(run.named("skipped").contains(REPLACED), "{REPLACED}");
        done.insert(REPLACED.to_owned());
        for task in older.once.iter().chain(&ASKED) {
            ensure!(
                done.contains(*task) && !changed.contains(*task),
                "`{task}` is not only ok when the upgrade is begun anew"
            );
        }
        ensure!(changed.contains("New archive"), "it changed {changed:?}");
        self.confirm("arc", VERSION, r#"{"version":"5.32.0"}"#)
    }

    /// The upgrade with the real files.
    ///
    /// # Errors
    /// It ends with another exit code.
    pub fn play_real(&self, playbook: &str, more: &[&str], code: i32) -> Result<Played> {
        self.play(playbook, &[&["-e", NEW], more].concat(), code)
    }
}
